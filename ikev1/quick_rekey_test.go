package ikev1

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/spd"
)

func TestRekeyOfChildren(t *testing.T) {
	for name, begin := range map[string]func(p *pair){
		"by the initiator": func(p *pair) { p.rekey(p.a) },
		"by the responder": func(p *pair) { p.rekey(p.b) },
		"by both":          func(p *pair) { p.rekey(p.a); p.rekey(p.b) },
	} {
		t.Run(name, func(t *testing.T) {
			p := childPair(t, nil)
			p.initiate()
			p.noGaps()
			for range 10 {
				begin(p)
				p.advance(5 * time.Second)
				require.LessOrEqual(t, len(p.pa.SAs()), 6)
				p.advance(25 * time.Second)
				p.agree(1)
				require.Len(t, p.pa.SAs(), 2)
			}
			for _, events := range [][]ike.Event{p.evA, p.evB} {
				require.Len(t, find[ike.ChildUp](events), 1)
				require.Empty(t, find[ike.ChildDown](events))
				require.Empty(t, find[ike.RekeyFailed](events))
				rekeyed := find[ike.ChildRekeyed](events)
				for i := range rekeyed[1:] {
					require.Equal(t, rekeyed[i].Child.ChildSPIs, rekeyed[i+1].Old, "one follows another")
				}
			}
		})
	}
}

func (p *pair) rekey(e *Endpoint) {
	s := only(p.t, e)
	for _, a := range s.Children.All() {
		if a.State == child.Mature {
			require.NoError(p.t, e.RekeyChild(p.now, s.ID, a.Info.ID))
			return
		}
	}
	p.t.Fatal("nothing to rekey")
}

// Both sides rekey at the same time on a network that loses Deletes, delays
// messages or turns their order round.
func TestRekeyByBothUnderLoss(t *testing.T) {
	for name, lose := range map[string]func(n int, tx ike.Transmit) bool{
		"all Deletes": func(_ int, tx ike.Transmit) bool {
			return isakmp.ExchangeType(tx.Packet[18]) == isakmp.ExchangeInformational
		},
		"each second": func(n int, _ ike.Transmit) bool { return n%2 == 0 },
		"each third":  func(n int, _ ike.Transmit) bool { return n%3 == 0 },
		"each fourth": func(n int, _ ike.Transmit) bool { return n%4 == 0 },
	} {
		t.Run(name, func(t *testing.T) {
			p := childPair(t, func(a, b *Peer) {
				for _, q := range []*Peer{a, b} {
					q.Children[0].Rekey, q.Children[0].Lifetime = 10*time.Minute, 12*time.Minute
					q.Timing.Liveness = -1
				}
			})
			p.initiate()
			n := 0
			p.filter = func(_ *Endpoint, tx ike.Transmit) bool { n++; return !lose(n, tx) }
			p.noGaps()
			for range 20 {
				p.rekey(p.a)
				p.rekey(p.b)
				p.advance(time.Minute)
				for _, e := range []*Endpoint{p.a, p.b} {
					require.LessOrEqual(t, only(t, e).Children.Len(), 12)
				}
				p.delivers(inner)
			}
			p.filter = nil
			p.rekey(p.a)
			p.advance(15 * time.Minute) // what Deletes did not end, has ended by its lifetime
			p.delivers(inner)
			for _, e := range []*Endpoint{p.a, p.b} {
				require.LessOrEqual(t, only(t, e).Children.Len(), 3)
			}
			require.Empty(t, find[ike.ChildDown](p.evA))
			require.Empty(t, find[ike.ChildDown](p.evB))
		})
	}
}

// The third message is lost: traffic of the initiator shows that it has the SA.
func TestThirdMessageLost(t *testing.T) {
	lost := 0
	lose := func(p *pair) func(from *Endpoint, tx ike.Transmit) bool {
		quick := 0
		return func(from *Endpoint, tx ike.Transmit) bool {
			if from == p.a && isakmp.ExchangeType(tx.Packet[18]) == isakmp.ExchangeQuickMode {
				if quick++; quick > 1 {
					lost++
					return false
				}
			}
			return true
		}
	}
	p := childPair(t, nil)
	p.filter = lose(p)
	p.initiate()
	require.Len(t, find[ike.ChildUp](p.evA), 1)
	require.Empty(t, find[ike.ChildUp](p.evB))
	require.Equal(t, spd.Delivered, p.pa.Send(p.pb, inner, 100).Outcome)
	p.planes()
	p.run()
	require.Len(t, find[ike.ChildUp](p.evB), 1)
	p.agree(1)
	p.delivers(inner)
	before := lost
	p.advance(5 * time.Second)
	require.Equal(t, before, lost, "the responder asks no more")

	// With no traffic, the responder's repetitions get it again.
	p = childPair(t, nil)
	quick := 0
	p.filter = func(from *Endpoint, tx ike.Transmit) bool {
		if from == p.a && isakmp.ExchangeType(tx.Packet[18]) == isakmp.ExchangeQuickMode {
			quick++
			return quick != 2
		}
		return true
	}
	p.initiate()
	p.advance(3 * time.Second)
	p.agree(1)

	// If it never comes, both sides end without the SA.
	p = childPair(t, nil)
	p.filter = lose(p)
	p.initiate()
	p.advance(5 * time.Minute)
	require.Zero(t, only(t, p.a).Children.Len())
	require.Zero(t, only(t, p.b).Children.Len())
	require.Empty(t, p.pa.SAs())
	require.Empty(t, p.pb.SAs())
	require.Len(t, find[ike.ChildDown](p.evA), 1)
	require.Len(t, find[ike.ChildFailed](p.evB), 1)

	// At a rekey the Delete of the old SA shows the same.
	p = childPair(t, nil)
	p.initiate()
	quick = 0
	p.filter = func(from *Endpoint, tx ike.Transmit) bool {
		if from == p.a && isakmp.ExchangeType(tx.Packet[18]) == isakmp.ExchangeQuickMode {
			quick++
			return quick == 1
		}
		return true
	}
	p.rekey(p.a)
	p.advance(15 * time.Second)
	p.agree(1)
	p.delivers(inner)
	require.Len(t, find[ike.ChildRekeyed](p.evB), 1)
}
