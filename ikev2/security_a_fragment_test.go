package ikev2

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/spd"
)

func TestA25_HostileFragments(t *testing.T) {
	inner := func(s *scene) (message.PayloadType, []byte) {
		c := message.NewChainBuilder(nil)
		c.Add(&message.Notify{Type: message.NotifyInitialContact, Data: make([]byte, 3000)})
		b, err := c.Finish()
		require.NoError(t, err)
		return c.First(), b
	}
	type part struct{ number, total uint16 }
	for name, parts := range map[string][]part{
		"number 0":           {{0, 2}, {2, 2}},
		"number above total": {{1, 2}, {3, 2}},
		"total 0":            {{1, 0}},
		"total 65535":        {{1, 65535}, {65535, 65535}},
		"only the last ones": {{2, 3}, {3, 3}},
		"the same again":     {{1, 2}, {1, 2}, {1, 2}},
		"fewer later":        {{1, 3}, {2, 3}, {2, 2}},
		"growing":            {{1, 2}, {1, 3}, {1, 4}, {1, 5}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t).establish()
			first, text := inner(s)
			for _, p := range parts {
				f := first
				if p.number != 1 {
					f = 0
				}
				require.Nil(t, s.A.injects(s.A.fragment(message.ExchangeInformational, s.A.nextID(), p.number, p.total, f, text[:100])))
			}
			// The true message is taken all the same.
			n := uint16(6)
			for i := range n {
				at := int(i) * 510
				f := message.PayloadNone
				if i == 0 {
					f = first
				}
				a := s.A.injects(s.A.fragment(message.ExchangeInformational, s.A.nextID(), i+1, n, f, text[at:min(at+510, len(text))]))
				require.Equal(t, i == n-1, a != nil, "fragment %d", i+1)
			}
			require.Nil(t, s.B.anySA().partial[0])
			s.A.anySA().sendID++
			s.A.rekeyChild()
			s.pass(10 * time.Second)
			s.converged(1)
		})
	}
	t.Run("not authentic", func(t *testing.T) {
		s := newScene(t).establish()
		first, text := inner(s)
		tx := s.A.fragment(message.ExchangeInformational, s.A.nextID(), 1, 2, first, text[:100])
		for at := range tx.Packet {
			if at >= 16 && at < 20 || at >= 24 && at < 32 {
				continue // what makes it another message
			}
			b := slices.Clone(tx.Packet)
			b[at] ^= 0x10
			require.Nil(t, s.A.injects(ike.Transmit{Path: tx.Path, Packet: b}), "octet %d", at)
			require.Nil(t, s.B.anySA().partial[0], "octet %d", at)
		}
	})
	t.Run("too much", func(t *testing.T) {
		s := newScene(t).establish()
		for i := range uint16(maxFragments) {
			s.A.injects(s.A.fragment(message.ExchangeInformational, s.A.nextID(), i+1, maxFragments, 0, make([]byte, 1200)))
			if r := s.B.anySA().partial[0]; r != nil {
				require.LessOrEqual(t, r.size, maxReassembled)
			}
		}
		require.NotZero(t, s.B.Stats().Limited)
	})
	t.Run("nested", func(t *testing.T) {
		s := newScene(t).establish()
		a := s.A.asks(message.ExchangeInformational, raw(message.PayloadSKF, 0, 1, 0, 1, 0, 0, 0, 0))
		require.NotNil(t, a)
		require.Nil(t, s.B.anySA().partial[0])
	})
	// What a half-open peer can make us keep is much less.
	t.Run("before authentication", func(t *testing.T) {
		s := newScene(t).initiate()
		s.A.sends("init")
		s.B.sends("init:ok")
		s.A.out = nil
		most := 0
		for i := range uint16(maxFragments) {
			s.A.injects(s.A.fragment(message.ExchangeIKEAuth, 1, i+1, maxFragments, 0, make([]byte, 1200)))
			if r := s.B.anySA().partial[0]; r != nil {
				most = max(most, r.size)
			}
		}
		require.LessOrEqual(t, most, maxUnauthenticated)
		s.tick(time.Minute)
		require.Empty(t, s.B.sessions, "expired")
	})
}

func TestA26_Fragments(t *testing.T) {
	selectors := func(n int) sceneOption {
		return func(a, b *Peer, _, _ *Config) {
			a.FragmentSize, b.FragmentSize = 300, 300
			a.Children[0].Local, b.Children[0].Remote = nil, nil
			for i := range n {
				ts := spd.MustParseTrafficSelector(fmt.Sprintf("10.1.%d.0/24", 2*i)) // none adjoins another
				a.Children[0].Local, b.Children[0].Remote = append(a.Children[0].Local, ts), append(b.Children[0].Remote, ts)
			}
		}
	}
	big := selectors(100)
	begin := func(t *testing.T) *scene {
		s := newScene(t, big).initiate()
		s.A.sends("init")
		s.B.sends("init:ok")
		require.Greater(t, len(s.A.out), 2, "IKE_AUTH is fragmented")
		for _, tx := range s.A.out {
			require.LessOrEqual(t, len(tx.Packet)+32, 576)
		}
		return s
	}
	t.Run("reversed", func(t *testing.T) {
		s := begin(t)
		slices.Reverse(s.A.out)
		s.flush()
		s.converged(1)
	})
	t.Run("each twice", func(t *testing.T) {
		s := begin(t)
		s.A.out = append(slices.Clone(s.A.out), s.A.out...)
		slices.Reverse(s.A.out)
		s.flush()
		s.converged(1)
	})
	t.Run("one lost", func(t *testing.T) {
		s := begin(t)
		s.A.out = s.A.out[1:]
		s.flush()
		s.pass(3 * time.Second)
		s.converged(1)
	})
	t.Run("answer lost", func(t *testing.T) {
		s := begin(t)
		n := len(s.A.out)
		for _, tx := range slices.Clone(s.A.out) {
			s.A.hand(tx, "auth")
		}
		s.A.out = nil
		answer := s.B.out
		require.Greater(t, len(answer), 1)
		s.B.out = nil
		s.tick(time.Second)
		require.Len(t, s.A.out, n, "all fragments again")
		// Of a repeated request only the first fragment brings the answer again.
		for i, tx := range slices.Clone(s.A.out) {
			s.B.out = nil
			s.A.hand(tx, "auth")
			if i == 0 {
				require.Equal(t, packets(answer), packets(s.B.out), "RFC 7383 2.6.1")
			} else {
				require.Empty(t, s.B.out)
			}
		}
		for _, tx := range answer {
			s.B.hand(tx, "auth:ok")
		}
		s.A.out = nil
		s.pass(time.Second)
		s.converged(1)
	})
	t.Run("path MTU", func(t *testing.T) {
		// A path that swallows datagrams above 700 octets: the third try is of
		// smaller pieces (RFC 7383 2.5.2).
		s := newScene(t, func(a, b *Peer, ca, cb *Config) {
			selectors(40)(a, b, ca, cb)
			a.FragmentSize, b.FragmentSize = 0, 600
		}).initiate()
		s.A.sends("init")
		s.B.sends("init:ok")
		require.Len(t, s.A.out, 1)
		require.Greater(t, len(s.A.out[0].Packet), 700)
		for range 20 {
			s.A.out = slices.DeleteFunc(s.A.out, func(tx ike.Transmit) bool { return len(tx.Packet) > 700 })
			s.flush()
			s.tick(time.Second)
		}
		require.Len(t, find[ike.SessionUp](s.A.happened), 1)
		require.Len(t, find[ike.SessionUp](s.B.happened), 1)
	})
}

func packets(out []ike.Transmit) (p [][]byte) {
	for _, tx := range out {
		p = append(p, tx.Packet)
	}
	return p
}
