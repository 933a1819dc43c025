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

func TestStrongSwanCertificates(t *testing.T) {
	t.Parallel()
	for _, kt := range []testpki.KeyType{testpki.RSA2048, testpki.RSA4096, testpki.P256, testpki.P384, testpki.P521, testpki.Ed25519} {
		t.Run(string(kt), func(t *testing.T) {
			forRoles(t, func(t *testing.T, r role) {
				s := newSwan(t)
				s.certificates(kt, 1)
				s.up(r)
				s.agree()
				s.traffic()
			})
		})
	}
}

// The ways to sign with the same key: RFC 7427 with either padding, and
// RFC 7296's own methods with a peer that does not know RFC 7427.
func TestStrongSwanSignatures(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		key  testpki.KeyType
		auth string // strongSwan's
		edit func(*swan)
	}{
		{"RSA PKCS1 with SHA2-512", testpki.RSA2048, "ike:rsa-sha512", func(s *swan) {
			s.Peer.LocalSignature = ikev2.SignatureOptions{RSAPadding: ikev2.RSAPKCS1, Hashes: []message.HashAlgorithm{message.HashSHA512}}
		}},
		{"RSA PSS with SHA2-384", testpki.RSA3072, "ike:rsa/pss-sha384", func(s *swan) {
			s.Peer.LocalSignature = ikev2.SignatureOptions{Hashes: []message.HashAlgorithm{message.HashSHA384}}
		}},
		{"RSA with SHA1 as RFC 7296", testpki.RSA2048, "pubkey", func(s *swan) {
			s.Swan.Charon += "\nsignature_authentication = no"
			hashes := []message.HashAlgorithm{message.HashSHA1}
			s.Peer.LocalSignature.Hashes, s.Peer.RemoteSignature.Hashes = hashes, hashes
		}},
		{"ECDSA P-256 as RFC 4754", testpki.P256, "pubkey", func(s *swan) { s.Swan.Charon += "\nsignature_authentication = no" }},
		{"ECDSA P-521 as RFC 4754", testpki.P521, "pubkey", func(s *swan) { s.Swan.Charon += "\nsignature_authentication = no" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			forRoles(t, func(t *testing.T, r role) {
				s := newSwan(t)
				s.certificates(c.key, 0)
				s.Swan.Conns[0].LocalAuth, s.Swan.Conns[0].RemoteAuth = c.auth, c.auth
				c.edit(s)
				s.up(r)
				s.agree()
			})
		})
	}
}

// Each side may prove itself in its own way.
func TestStrongSwanMixedAuthentication(t *testing.T) {
	t.Parallel()
	forRoles(t, func(t *testing.T, r role) {
		s := newSwan(t)
		s.certificates(testpki.P256, 0)
		s.Peer.Trust, s.Peer.PSK, s.Peer.RemoteAuth = nil, []byte(psk), []ikev2.AuthMethod{ikev2.AuthPSK}
		s.Peer.LocalAuth = ikev2.AuthSignature
		s.Swan.PSK, s.Swan.Conns[0].LocalAuth, s.Swan.Conns[0].RemoteAuth = psk, "psk", "pubkey"
		s.up(r)
		s.agree()
		s.traffic()
	})
}

func TestStrongSwanRawKeys(t *testing.T) {
	t.Parallel()
	forRoles(t, func(t *testing.T, r role) {
		s := newSwan(t)
		s.certificates(testpki.Ed25519, 0)
		own, peer := s.Peer.Credential, s.Swan.Certs[0]
		s.Peer.Credential = &ike.Credential{Signer: own.Signer}
		s.Peer.Trust = &ike.Trust{RawKeys: []ike.RawKey{{Key: peer.Key.Public()}}}
		s.Swan.Certs, s.Swan.CAs = nil, nil
		s.Swan.Files = map[string]string{
			"pubkey/a.pem":  string(testpki.PublicKeyPEM(t, own.Signer.Public())),
			"pubkey/b.pem":  string(testpki.PublicKeyPEM(t, peer.Key.Public())),
			"private/b.pem": string(peer.KeyPEM(t)),
		}
		c := &s.Swan.Conns[0]
		c.LocalAuth, c.RemoteAuth, c.LocalExtra, c.RemoteExtra = "pubkey", "pubkey", "pubkeys = b.pem", "pubkeys = a.pem"
		s.up(r)
		s.agree()
		s.traffic()
	})
}

// A wrong secret, and a certificate of somebody else, are refused on either
// side, and both sides say so.
func TestStrongSwanRefused(t *testing.T) {
	t.Parallel()
	t.Run("PSK, we initiate", func(t *testing.T) {
		s := newSwan(t)
		s.Peer.PSK = []byte("another")
		s.start()
		_, err := s.Initiate(s.within(), "swan")
		var n *ikev2.NotifyError
		require.ErrorAs(t, err, &n)
		require.Equal(t, message.NotifyAuthenticationFailed, n.Type)
		s.peer.WaitSAs(patience, "none", none)
	})
	t.Run("PSK, they initiate", func(t *testing.T) {
		s := newSwan(t)
		s.Peer.PSK = []byte("another")
		s.start()
		require.ErrorContains(t, s.peer.Initiate("net"), "AUTH_FAILED")
		ev := waitEvent[ike.SessionFailed](s.host, 1)
		require.ErrorContains(t, ev.Err, "b.lab")
		require.Empty(t, s.plane.installed())
	})
	t.Run("their certificate, we initiate", func(t *testing.T) {
		s := newSwan(t)
		s.certificates(testpki.P256, 0)
		s.Peer.Trust = &ike.Trust{Roots: []*x509.Certificate{testpki.NewIssuer(t, testpki.P256, 0).Root()}}
		s.start()
		_, err := s.Initiate(s.within(), "swan")
		require.Error(t, err)
		t.Log(err)
		s.peer.WaitSAs(patience, "none", func(sas []lab.StrongSwanSA) bool { return len(sas) == 0 })
		require.Empty(t, s.plane.installed())
	})
	t.Run("our certificate, they initiate", func(t *testing.T) {
		s := newSwan(t)
		s.certificates(testpki.P256, 0)
		s.Swan.CAs = []*testpki.Cert{testpki.NewIssuer(t, testpki.P256, 0)}
		s.start()
		require.ErrorContains(t, s.peer.Initiate("net"), "no trusted")
		// strongSwan tells us after we believed to be up.
		ev := waitEvent[ike.SessionDown](s.host, 1)
		require.Equal(t, ike.DownRemote, ev.Reason)
		require.ErrorContains(t, ev.Err, "AUTHENTICATION_FAILED")
		s.until("no SA", func() bool { return len(s.plane.installed()) == 0 })
	})
	t.Run("their identity, they initiate", func(t *testing.T) {
		s := newSwan(t)
		s.certificates(testpki.P256, 0)
		s.Peer.RemoteID = "c.lab"
		s.start()
		require.ErrorContains(t, s.peer.Initiate("net"), "AUTH_FAILED")
		ev := waitEvent[ike.SessionFailed](s.host, 1)
		require.ErrorContains(t, ev.Err, "c.lab")
		require.ErrorContains(t, ev.Err, "b.lab")
	})
}
