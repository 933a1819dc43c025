//go:build linux

package interop

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ikev1"
	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/internal/testpki"
)

// Cisco's fragments in either role, through a NAT that loses fragments of IP: by
// agreement and forced on either side, in Main and Aggressive Mode. In the latter
// the answer with our certificates goes in fragments to an initiator that has
// announced that it takes them.
func TestIKEv1StrongSwanFragmentationRoles(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		ours       ikev1.FragmentPolicy
		theirs     string
		aggressive bool
	}{
		{"both", ikev1.FragmentOn, "yes", false},
		{"we force it", ikev1.FragmentForce, "yes", false},
		{"both force it", ikev1.FragmentForce, "force", false},
		{"Aggressive", ikev1.FragmentOn, "yes", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			forRoles(t, func(t *testing.T, r role) {
				s, _ := natted(t, r == weInitiate, lab.RouterConfig{DropFragments: true})
				s.v1()
				s.Peer.Versions, s.Peer.IKEv1.Fragmentation = []racoon.Version{racoon.IKEv1}, c.ours
				s.Peer.FragmentSize = 576
				s.Swan.Conns[0].Fragmentation = c.theirs
				s.certificates(testpki.RSA3072, 3)
				if c.aggressive {
					s.aggressive()
				}
				ours, theirs := s.a.Sniff(), s.b.Sniff()
				session := s.upV1(r)
				require.True(t, session.Info().Fragmentation)
				s.agree()
				s.traffic()
				for side, wire := range map[*lab.Site]*lab.Sniffer{s.a: ours, s.b: theirs} {
					fragments, large := 0, 0
					for _, p := range wire.Packets() {
						if p.Src.Addr() != side.Outer {
							continue
						}
						b := p.Payload
						if p.Src.Port() == 4500 && len(b) > 4 {
							b = b[4:] // the non-ESP marker, or no fragment
						}
						if len(b) > 28 && b[16] == 132 && b[17] == 0x10 {
							fragments++
							large = max(large, len(p.Raw))
						}
						require.False(t, p.Fragment, "IP fragments from %s", side.Name)
					}
					require.NotZero(t, fragments, "from %s", side.Name)
					if side == s.a {
						require.LessOrEqual(t, large, 576+18, "our fragments")
					}
				}
			})
		})
	}
}
