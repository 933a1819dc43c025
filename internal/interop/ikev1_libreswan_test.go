//go:build linux

package interop

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/internal/testpki"
)

func newLibreswanV1(t *testing.T) *libreswan {
	l := newLibreswan(t)
	useV1(&l.Peer)
	l.Pluto.IKEv1 = true
	l.algorithms("aes128-sha256-modp2048", "aes128-sha2_256-modp2048", "aes128-sha256-modp2048", "aes128-sha2_256;modp2048")
	return l
}

// roadWarrior is as that of a swan.
func (l *libreswan) roadWarrior(r role) *assigner {
	if r == weInitiate {
		l.Peer.UserPrompt = ike.StaticUser(user, []byte(password))
		l.Peer.RequestAddress = true
		l.Peer.Children = []racoon.Child{{Name: "net", Remote: []string{l.b.InnerNet.String()}, Proposals: l.Peer.Children[0].Proposals}}
		l.Pluto.XAuthClients, l.Pluto.Pool, l.Pluto.Remote, l.Pluto.RemoteNet = map[string]string{user: password}, "10.3.0.1-10.3.0.200", "", ""
		return nil
	}
	l.Peer.Users = users{user: password}
	pool := newV1Pool()
	l.Peer.Assign = pool
	l.Peer.Children = []racoon.Child{{Name: "net", Local: []string{l.a.InnerNet.String()}, Remote: []string{"dynamic"}, Proposals: l.Peer.Children[0].Proposals}}
	l.Pluto.XAuthUser, l.Pluto.LocalNet = user, ""
	l.Pluto.Secrets = "@" + user + " : XAUTH \"" + password + "\""
	return pool
}

func TestIKEv1Libreswan(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		edit func(t *testing.T, l *libreswan, r role)
	}{
		{"Main PSK", func(*testing.T, *libreswan, role) {}},
		{"Main RSA", func(t *testing.T, l *libreswan, _ role) { l.certificates(t, testpki.RSA2048) }},
		{"Aggressive PSK", func(_ *testing.T, l *libreswan, _ role) { useAggressive(&l.Peer); l.Pluto.Aggressive = true }},
		{"XAuth, pull", func(_ *testing.T, l *libreswan, r role) { l.roadWarrior(r) }},
		{"XAuth, push", func(_ *testing.T, l *libreswan, r role) {
			l.roadWarrior(r)
			l.Peer.IKEv1.PushConfig = true
			l.Pluto.PushConfig = true
		}},
		{"XAuth, Aggressive", func(_ *testing.T, l *libreswan, r role) {
			l.roadWarrior(r)
			useAggressive(&l.Peer)
			l.Pluto.Aggressive = true
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			forRoles(t, func(t *testing.T, r role) {
				l := newLibreswanV1(t)
				c.edit(t, l, r)
				l.up(t, r)
			})
		})
	}
}

// Rekeys of both phases, ours and at the end of libreswan's lifetimes; keys
// compared each time.
func TestIKEv1LibreswanRekey(t *testing.T) {
	t.Parallel()
	t.Run("we rekey", func(t *testing.T) {
		forRoles(t, func(t *testing.T, r role) {
			l := newLibreswanV1(t)
			l.up(t, r)
			s := l.session()
			for range 2 {
				old := l.ourKeys()
				require.NoError(t, s.RekeyChild(l.within(), s.ChildSAs()[0].ID))
				l.sameKeys(1, l.pluto.InstalledSAs)
				require.NotEqual(t, old, l.ourKeys())
				require.NoError(t, s.Rekey(l.within()))
				l.sameKeys(1, l.pluto.InstalledSAs)
			}
			require.NoError(t, s.Err())
		})
	})
	t.Run("they rekey", func(t *testing.T) {
		l := newLibreswanV1(t)
		l.Pluto.Lifetime, l.Pluto.IKELifetime = 15*time.Second, 17*time.Second
		l.up(t, theyInitiate)
		old := l.ourKeys()
		waitEvent[ike.ChildRekeyed](l.host, 1)
		require.NotEqual(t, old, l.ourKeys())
		waitEvent[ike.SessionRekeyed](l.host, 1)
		waitEvent[ike.ChildRekeyed](l.host, 2)
		require.Empty(t, eventsOf[ike.SessionDown](l.host))
		require.Len(t, eventsOf[ike.SessionUp](l.host), 1)
	})
}

func TestIKEv1LibreswanDelete(t *testing.T) {
	t.Parallel()
	for _, deleter := range []string{"we", "they"} {
		t.Run(deleter+" delete", func(t *testing.T) {
			l := newLibreswanV1(t)
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

// Traffic, in a kernel of the lab: its ESP on libreswan's side, ours on ours.
func TestIKEv1LibreswanTraffic(t *testing.T) {
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
				l := newLibreswanV1(t)
				l.Pluto.Kernel, l.Pluto.Encap, l.Host.RawESP = true, udp, true
				l.up(t, r)
				l.b.RouteTo(l.a)
				s := l.session()
				require.Equal(t, udp, s.ChildSAs()[0].UDPEncap)
				l.reach(l.a, l.a.Inner, l.b, l.b.Inner)
				l.reach(l.b, l.b.Inner, l.a, l.a.Inner)
				l.underTrafficEarly(l.b, func() {
					require.NoError(t, s.RekeyChild(l.within(), s.ChildSAs()[0].ID))
					require.NoError(t, s.Rekey(l.within()))
				})
			})
		})
	}
}
