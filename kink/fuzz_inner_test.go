package kink

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/kink/message"
)

// FuzzInner: whatever an authenticated peer puts into its commands, the responder
// neither panics nor keeps more than its limits, and its own Child SA stays unless
// it is deleted by name.
func FuzzInner(f *testing.F) {
	p := newFuzzPair(f, 0)
	p.initiate()
	s := only(f, p.a)
	c := &creation{s: s, cfg: s.peer.Children[0], initiator: true, local: netA, remote: netB, ni: make([]byte, 32)}
	c.policy = s.policyOf(c.cfg)
	offer, err := c.policy.Offer(0, c.own)
	require.NoError(f, err)
	q, err := c.payload(offer, c.ni)
	require.NoError(f, err)
	f.Add(byte(message.Create), byte(q.First), byte(1), q.Chain)
	d, err := message.NewISAKMP(deletion(s.Children.All())...)
	require.NoError(f, err)
	f.Add(byte(message.Delete), byte(d.First), byte(1), d.Chain)
	n := notify(0, nil, isakmp.NotifyInitialContact, "")
	f.Add(byte(message.Status), byte(n.First), byte(3), n.Chain)
	f.Fuzz(func(t *testing.T, command, first, count byte, chain []byte) {
		if len(chain) > 2000 {
			return
		}
		p := newFuzzPair(t, 0)
		p.a.cfg.Rand = rand.NewChaCha8([32]byte{9})
		p.initiate()
		s := only(t, p.a)
		kind := []message.Type{message.Create, message.Delete, message.Status}[command%3]
		var content []message.Payload
		for range 1 + count%4 {
			content = append(content, &message.ISAKMP{First: isakmp.PayloadType(first), Chain: chain})
		}
		answers := 0
		s.command(p.now, kind, content, func(_ time.Time, _ message.Payloads, err error) {
			if err == nil {
				answers++
			}
		})
		p.run()
		require.LessOrEqual(t, answers, 1)
		require.LessOrEqual(t, p.b.Held().ChildSAs, 2*p.b.Limits.Children+2)
		require.Zero(t, p.b.Held().Jobs)
		fuzzBounded(t, p.b)
		require.Empty(t, p.pb.Larval())
	})
}
