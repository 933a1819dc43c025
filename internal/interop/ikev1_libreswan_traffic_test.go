//go:build linux

package interop

import (
	"testing"

	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/internal/testpki"
)

// Traffic after each way of authentication, in a kernel of the lab: its ESP on
// libreswan's side, ours on ours. (The address of libreswan as a client is a
// matter of its scripts; that keys are the same shows without a kernel.)
func TestIKEv1LibreswanTrafficAuthentication(t *testing.T) {
	t.Parallel()
	if !lab.InKernel(t, lab.KernelOptions{}) {
		return
	}
	for _, c := range []struct {
		name  string
		roles []role
		edit  func(t *testing.T, l *libreswan)
	}{
		{"Main RSA", bothRoles, func(t *testing.T, l *libreswan) { l.certificates(t, testpki.RSA2048) }},
		{"Aggressive PSK", bothRoles, func(_ *testing.T, l *libreswan) { useAggressive(&l.Peer); l.Pluto.Aggressive = true }},
		{"XAuth", []role{weInitiate}, func(_ *testing.T, l *libreswan) { l.roadWarrior(weInitiate) }},
		{"XAuth, Aggressive", []role{weInitiate}, func(_ *testing.T, l *libreswan) {
			l.roadWarrior(weInitiate)
			useAggressive(&l.Peer)
			l.Pluto.Aggressive = true
		}},
	} {
		for _, r := range c.roles {
			t.Run(c.name+", "+string(r), func(t *testing.T) {
				l := newLibreswanV1(t)
				c.edit(t, l)
				l.Pluto.Kernel, l.Host.RawESP = true, true
				l.up(t, r)
				ours := l.a.Inner
				if l.Peer.RequestAddress {
					ours, _ = l.asVirtual(weInitiate, l.b)
					l.b.IP("route replace " + virtual.String() + "/32 via " + l.a.Outer.String() + " src " + l.b.Inner.String())
				} else {
					l.b.RouteTo(l.a)
				}
				l.reach(l.a, ours, l.b, l.b.Inner)
				l.reach(l.b, l.b.Inner, l.a, ours)
			})
		}
	}
}
