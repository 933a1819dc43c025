package ikev2

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/spd"
)

// A peer that says so gets no TFC padding, whichever side begins (RFC 7296
// 1.3.1).
func TestTFCPaddingNotSupported(t *testing.T) {
	refusal := &message.Notify{Type: message.NotifyESPTFCPaddingNotSupported}
	for _, refuses := range []bool{false, true} {
		s := newScene(t, func(pa, pb *Peer, _, _ *Config) {
			pa.Children[0].Options.TFCPadding, pb.Children[0].Options.TFCPadding = 1000, 1000
		}).establish()
		padding := func(a *actor) (sizes []int) {
			for _, i := range a.plane.Bundles() {
				if i.Direction == spd.Out {
					sizes = append(sizes, i.Bundle.Options.TFCPadding)
				}
			}
			return sizes
		}
		require.Equal(t, []int{1000}, padding(s.A))
		require.Equal(t, []int{1000}, padding(s.B))

		s.A.rekeyChild()
		id := s.A.anySA().sendID
		payloads := slices.Clone(s.A.anySA().req.payloads)
		s.A.out = nil
		if refuses {
			payloads = append(payloads, refusal)
		}
		answer := s.A.injects(s.A.protect(message.ExchangeCreateChildSA, id, false, payloads...))
		require.NotNil(t, answer.SA())
		payloads = answer.Payloads
		if refuses {
			payloads = append(payloads, refusal)
		}
		tx := s.B.protect(message.ExchangeCreateChildSA, id, true, payloads...)
		before := s.A.child().In
		s.A.HandleDatagram(s.now, ike.Path{Local: tx.Path.Remote, Remote: tx.Path.Local}, tx.Packet)
		s.flush()
		require.NotEqual(t, before, s.A.child().In, "the answer was taken")
		want := 1000
		if refuses {
			want = 0
		}
		require.Equal(t, []int{want}, padding(s.A))
		require.Equal(t, []int{want}, padding(s.B))
	}
}
