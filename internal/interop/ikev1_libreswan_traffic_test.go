//go:build linux

package interop

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/internal/testpki"
	"github.com/racoon3/racoon/spd"
)

// Traffic after each way of authentication, in a kernel of the lab: its ESP on
// libreswan's side, ours on ours.
func TestIKEv1LibreswanTrafficAuthentication(t *testing.T) {
	t.Parallel()
	if !lab.InKernel(t, lab.KernelOptions{}) {
		return
	}
	for _, c := range []struct {
		name  string
		edit  func(t *testing.T, l *libreswan, r role)
		xauth bool
	}{
		{"Main RSA", func(t *testing.T, l *libreswan, _ role) { l.certificates(t, testpki.RSA2048) }, false},
		{"Aggressive PSK", func(_ *testing.T, l *libreswan, _ role) { useAggressive(&l.Peer); l.Pluto.Aggressive = true }, false},
		{"XAuth", func(_ *testing.T, l *libreswan, r role) { l.roadWarrior(r) }, true},
		{"XAuth, push", func(_ *testing.T, l *libreswan, r role) {
			l.roadWarrior(r)
			l.Peer.IKEv1.PushConfig, l.Pluto.PushConfig = true, true
		}, true},
		{"XAuth, Aggressive", func(_ *testing.T, l *libreswan, r role) {
			l.roadWarrior(r)
			useAggressive(&l.Peer)
			l.Pluto.Aggressive = true
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			forRoles(t, func(t *testing.T, r role) {
				l := newLibreswanV1(t)
				c.edit(t, l, r)
				l.Pluto.Kernel, l.Host.RawESP = true, true
				l.up(t, r)
				ours, theirs := l.a.Inner, l.b.Inner
				switch {
				case !c.xauth:
					l.b.RouteTo(l.a)
				case r == weInitiate:
					ours, theirs = l.asVirtual(r, l.b)
					l.b.IP("route replace " + virtual.String() + "/32 via " + l.a.Outer.String() + " src " + l.b.Inner.String())
				default: // libreswan has given itself the address that it was told
					ours, theirs = l.asVirtual(r, l.b)
					s := l.session()
					require.Equal(t, user, s.Info().User)
					require.Equal(t, []spd.TrafficSelector{spd.MustParseTrafficSelector(virtual.String())}, s.ChildSAs()[0].RemoteTS)
				}
				l.reach(l.a, ours, l.b, theirs)
				l.reach(l.b, theirs, l.a, ours)
			})
		})
	}
}
