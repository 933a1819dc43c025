//go:build linux

package interop

import (
	"crypto/x509"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/internal/testpki"
)

// A libreswan is a pair whose peer is pluto.
type libreswan struct {
	*pair
	Pluto lab.LibreswanConfig
	pluto *lab.Pluto
}

func newLibreswan(t *testing.T) *libreswan {
	p := newPair(t, lab.Libreswan)
	l := &libreswan{pair: p, Pluto: lab.LibreswanConfig{
		Local: p.b.Outer.String(), Remote: p.a.Outer.String(), LocalID: "@b.lab", RemoteID: "@a.lab",
		LocalNet: p.b.InnerNet.String(), RemoteNet: p.a.InnerNet.String(), PSK: psk,
	}}
	// It insists on perfect forward secrecy at a rekey.
	l.algorithms("aes256gcm16-prfsha512-x25519", "aes_gcm256-sha2_512-dh31", "aes128gcm16-x25519", "aes_gcm128;dh31")
	return l
}

// algorithms sets the proposals of both sides, each in its own words.
func (l *libreswan) algorithms(ourIKE, theirIKE, ourESP, theirESP string) {
	l.Peer.Proposals, l.Pluto.IKE = []string{ourIKE}, theirIKE
	l.Peer.Children[0].Proposals, l.Pluto.ESP = []string{ourESP}, theirESP
}

func (l *libreswan) certificates(t *testing.T, kt testpki.KeyType) {
	ca := testpki.NewIssuer(t, kt, 0)
	l.Peer.PSK, l.Peer.Credential, l.Peer.Trust = nil, credential(ca.Host(t, kt, "a.lab")), &ike.Trust{Roots: []*x509.Certificate{ca.Root()}}
	l.Pluto.PSK, l.Pluto.Cert, l.Pluto.CA = "", ca.Host(t, kt, "b.lab"), ca
}

func (l *libreswan) up(t *testing.T, r role) {
	t.Helper()
	l.pluto = lab.StartLibreswan(t, l.b.Namespace, l.Pluto)
	l.start(t)
	if r == weInitiate {
		l.initiate("peer")
	} else {
		require.NoError(t, l.pluto.Initiate())
	}
	s := l.session()
	l.until("the Child SA", func() bool { return len(s.ChildSAs()) > 0 })
	if !l.Pluto.Kernel {
		l.sameKeys(1, l.pluto.InstalledSAs)
	}
}

func TestLibreswanAuthentication(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		edit func(*testing.T, *libreswan)
	}{
		{"PSK", func(*testing.T, *libreswan) {}},
		{"RSA", func(t *testing.T, l *libreswan) { l.certificates(t, testpki.RSA2048) }},
		{"RSA PSS with SHA2-512", func(t *testing.T, l *libreswan) {
			l.certificates(t, testpki.RSA3072)
			l.Pluto.Auth = "rsa-sha2_512"
			l.Peer.LocalSignature.Hashes = []message.HashAlgorithm{message.HashSHA512}
		}},
		{"RSA with SHA1 as RFC 7296", func(t *testing.T, l *libreswan) {
			l.certificates(t, testpki.RSA2048)
			l.Pluto.Auth = "rsa-sha1"
			hashes := []message.HashAlgorithm{message.HashSHA1}
			l.Peer.LocalSignature, l.Peer.RemoteSignature = ikev2.SignatureOptions{Hashes: hashes}, ikev2.SignatureOptions{Hashes: hashes}
		}},
		{"ECDSA P-256", func(t *testing.T, l *libreswan) { l.certificates(t, testpki.P256); l.Pluto.Auth = "ecdsa-sha2_256" }},
		{"ECDSA P-384", func(t *testing.T, l *libreswan) { l.certificates(t, testpki.P384); l.Pluto.Auth = "ecdsa-sha2_384" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			forRoles(t, func(t *testing.T, r role) {
				l := newLibreswan(t)
				c.edit(t, l)
				l.up(t, r)
			})
		})
	}
}

func TestLibreswanAlgorithms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ ourIKE, theirIKE, ourESP, theirESP string }{
		{"aes128-sha256-modp2048", "aes128-sha2_256-dh14", "aes128-sha256", "aes128-sha2_256"},
		{"aes256-sha512-ecp256", "aes256-sha2_512-dh19", "aes256-sha512", "aes256-sha2_512"},
		{"aes256gcm16-prfsha256-ecp384", "aes_gcm256-sha2_256-dh20", "chacha20poly1305", "chacha20_poly1305"},
		{"aes256ctr-sha256-modp3072", "aes_ctr256-sha2_256-dh15", "aes128gcm16-esn", "aes_gcm128"},
	} {
		t.Run(c.ourIKE+" "+c.ourESP, func(t *testing.T) {
			forRoles(t, func(t *testing.T, r role) {
				l := newLibreswan(t)
				l.algorithms(c.ourIKE, c.theirIKE, c.ourESP, c.theirESP)
				l.Pluto.Conn += "\nesn=either"
				l.up(t, r)
				require.Equal(t, c.ourESP, l.session().ChildSAs()[0].Proposal.String())
			})
		})
	}
}

// Rekeys by either side, with perfect forward secrecy; keys compared each time.
func TestLibreswanRekey(t *testing.T) {
	t.Parallel()
	forRoles(t, func(t *testing.T, r role) {
		l := newLibreswan(t)
		l.up(t, r)
		s := l.session()
		first := l.ourKeys()

		require.NoError(t, s.RekeyChild(l.within(), s.ChildSAs()[0].ID))
		l.sameKeys(1, l.pluto.InstalledSAs)
		require.NotEqual(t, first, l.ourKeys())
		second := l.ourKeys()

		l.pluto.RekeyChild()
		waitEvent[ike.ChildRekeyed](l.host, 2)
		l.sameKeys(1, l.pluto.InstalledSAs)
		require.NotEqual(t, second, l.ourKeys())

		require.NoError(t, s.Rekey(l.within()))
		l.sameKeys(1, l.pluto.InstalledSAs)
		l.pluto.RekeyIKE()
		waitEvent[ike.SessionRekeyed](l.host, 2)
		l.sameKeys(1, l.pluto.InstalledSAs)

		require.NoError(t, s.RekeyChild(l.within(), s.ChildSAs()[0].ID))
		l.sameKeys(1, l.pluto.InstalledSAs)
		l.pluto.RekeyChild()
		waitEvent[ike.ChildRekeyed](l.host, 4)
		l.sameKeys(1, l.pluto.InstalledSAs)
		require.NoError(t, s.Err())
	})
}

func TestLibreswanDelete(t *testing.T) {
	t.Parallel()
	for _, deleter := range []string{"we", "they"} {
		t.Run(deleter+" delete", func(t *testing.T) {
			l := newLibreswan(t)
			l.up(t, weInitiate)
			if deleter == "we" {
				require.NoError(t, l.session().Delete(l.within()))
			} else {
				l.pluto.Terminate()
			}
			waitEvent[ike.SessionDown](l.host, 1)
			waitEvent[ike.ChildDown](l.host, 1)
			l.pluto.WaitInstalledSAs(0, patience)
			l.until("no SA", func() bool { return len(l.plane.installed()) == 0 })
		})
	}
}

// Traffic, in a kernel of the lab: its ESP on libreswan's side, ours on ours,
// as IP protocol 50 and in UDP.
func TestLibreswanTraffic(t *testing.T) {
	t.Parallel()
	if !lab.InKernel(t, lab.KernelOptions{}) {
		return
	}
	for _, udp := range []bool{false, true} {
		name := "protocol 50"
		if udp {
			name = "in UDP"
		}
		t.Run(name, func(t *testing.T) {
			forRoles(t, func(t *testing.T, r role) {
				l := newLibreswan(t)
				l.Pluto.Kernel, l.Pluto.Encap, l.Host.RawESP = true, udp, true
				l.up(t, r)
				l.b.RouteTo(l.a)
				s := l.session()
				require.Equal(t, udp, s.ChildSAs()[0].UDPEncap)
				l.reach(l.a, l.a.Inner, l.b, l.b.Inner)
				l.reach(l.b, l.b.Inner, l.a, l.a.Inner)
				// When we rekey, libreswan sends on the new SA as soon as it has
				// answered, before we have it (RFC 7296 2.8 allows that).
				l.underTrafficEarly(l.b, func() {
					require.NoError(t, s.RekeyChild(l.within(), s.ChildSAs()[0].ID))
					l.pluto.RekeyChild()
					waitEvent[ike.ChildRekeyed](l.host, 2)
					require.NoError(t, s.Rekey(l.within()))
					l.pluto.RekeyIKE()
					waitEvent[ike.SessionRekeyed](l.host, 2)
				})
			})
		})
	}
}
