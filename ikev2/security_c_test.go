package ikev2

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/spd"
)

// Tests of what an authenticated peer, or somebody who records and changes its
// messages, can do to an established IKE SA: rows C of the security list. Row
// C09 is collision_child_test.go and collision_ike_test.go.

// atRest requires that both sides are as they were: one IKE SA, one Child SA,
// nothing told.
func (s *scene) atRest() {
	s.t.Helper()
	s.pass(10 * time.Second)
	s.converged(1)
	require.Empty(s.t, find[ike.SessionDown](s.B.happened))
	require.Empty(s.t, find[ike.ChildDown](s.B.happened))
}

func TestC01_RetransmittedRequests(t *testing.T) {
	s := newScene(t).establish()
	s.A.rekeyChild()
	request := s.A.take("rekey-child")
	s.A.hand(request, "rekey-child")
	answer := s.B.take("rekey-child:ok")
	for range 3 {
		s.A.hand(request, "rekey-child")
		again := s.B.take("rekey-child:ok")
		require.Equal(t, answer.Packet, again.Packet, "octet by octet")
	}
	require.Equal(t, 2, s.B.Held().ChildSAs, "one new SA")
	require.EqualValues(t, 3, s.B.Stats().Repeated)
	// Another content under the same ID gets the old answer.
	sa := s.A.anySA()
	other := s.A.protectOn(sa, message.ExchangeInformational, sa.sendID, false, &message.Delete{Protocol: spd.ProtoIKE})
	s.A.hand(other, "forged")
	require.Equal(t, answer.Packet, s.B.take("rekey-child:ok").Packet)
	require.Len(t, s.B.sessions, 1)
	s.B.hand(answer, "rekey-child:ok")
	s.atRest()
}

func TestC02_MessageIDs(t *testing.T) {
	s := newScene(t).establish()
	s.pass(2 * time.Minute) // some liveness checks
	s.forgetEvents()
	next, last := s.A.nextID(), s.B.anySA().recvID
	require.Equal(t, next, last)
	for _, id := range []uint32{next + 1, next + 2, next + 100, next - 2, 1<<31 + next, math.MaxUint32 - 1, math.MaxUint32} {
		before := s.B.Stats().Unexpected
		require.Nil(t, s.A.injects(s.A.protect(message.ExchangeInformational, id, false, &message.Delete{Protocol: spd.ProtoIKE})), "request %d", id)
		require.Equal(t, before+1, s.B.Stats().Unexpected)
		require.Equal(t, next, s.B.anySA().recvID, "the window has not moved")
	}
	// Responses that nobody asked for.
	for _, id := range []uint32{0, next - 1, next, next + 1, math.MaxUint32} {
		require.Nil(t, s.A.injects(s.A.protect(message.ExchangeInformational, id, true)), "response %d", id)
	}
	// Two responses: the first counts.
	s.A.rekeyChild()
	s.A.sends("rekey-child")
	answer := s.B.take("rekey-child:ok")
	s.B.hand(answer, "rekey-child:ok")
	s.B.hand(answer, "rekey-child:ok")
	require.Equal(t, 2, s.A.Held().ChildSAs)
	// A response to another exchange than was asked.
	s.flush()
	s.A.rekeyChild()
	s.A.loses("rekey-child")
	require.Nil(t, s.B.injects(s.B.protect(message.ExchangeInformational, s.A.nextID(), true)))
	require.NotNil(t, s.A.anySA().req)
	s.atRest()
}

// Every single bit flip makes a message worthless.
func TestC03_CorruptedMessages(t *testing.T) {
	for _, suite := range []string{"aes128gcm16-prfsha256-x25519", "aes128-sha256-x25519", "aes128ctr-sha1-x25519", "chacha20poly1305-prfsha256-x25519"} {
		t.Run(suite, func(t *testing.T) {
			s := newScene(t, func(a, b *Peer, _, _ *Config) {
				a.Proposals, b.Proposals = []spd.Proposal{ikeProposal(suite)}, []spd.Proposal{ikeProposal(suite)}
			}).establish()
			tx := s.A.protect(message.ExchangeInformational, s.A.nextID(), false, &message.Delete{Protocol: spd.ProtoIKE})
			for at := range tx.Packet {
				for _, bit := range []byte{1, 0x80} {
					b := slices.Clone(tx.Packet)
					b[at] ^= bit
					a := s.A.injects(ike.Transmit{Path: tx.Path, Packet: b})
					if a != nil { // another exchange or version: refused in clear at most
						require.Nil(t, a.SK(), "octet %d", at)
					}
				}
			}
			for cut := 1; cut < len(tx.Packet)-message.HeaderLen; cut++ {
				b := slices.Clone(tx.Packet[:len(tx.Packet)-cut])
				binary.BigEndian.PutUint32(b[24:], uint32(len(b)))
				if len(b) >= message.HeaderLen+4 {
					binary.BigEndian.PutUint16(b[message.HeaderLen+2:], uint16(len(b)-message.HeaderLen))
				}
				require.Nil(t, s.A.injects(ike.Transmit{Path: tx.Path, Packet: b}), "cut by %d", cut)
			}
			require.Len(t, s.B.sessions, 1)
			require.NotZero(t, s.B.Stats().BadIntegrity)
			s.atRest()
		})
	}
	// A pad length beyond the payload, correctly sealed.
	s := newScene(t).establish()
	sa := s.A.anySA()
	c, err := sa.keys.sealer()
	require.NoError(t, err)
	p, err := sa.sealOne(c, sa.header(message.ExchangeInformational, false, sa.sendID), 200, func(b *message.Builder) { b.BeginSK(c.IVSize()) })
	require.NoError(t, err)
	start := message.HeaderLen + 4
	body := p[start+c.IVSize():]
	body[0] = 200
	require.NoError(t, c.Seal(body, p[start:start+c.IVSize()], p[:start], nil))
	require.Nil(t, s.A.injects(ike.Transmit{Path: sa.s.Path, Packet: p}))
	s.atRest()
}

func TestC05_RekeyOfNonsense(t *testing.T) {
	s := newScene(t).establish()
	out := spiBytes(s.A.child().In)
	s.A.rekeyChild()
	good := s.A.anySA().req.payloads
	s.A.loses("rekey-child")
	for name, c := range map[string]struct {
		n    *message.Notify
		want message.NotifyType
	}{
		"protocol 0":       {&message.Notify{Type: message.NotifyRekeySA, SPI: out}, message.NotifyInvalidSyntax},
		"protocol IKE":     {&message.Notify{Type: message.NotifyRekeySA, Protocol: spd.ProtoIKE, SPI: make([]byte, 8)}, message.NotifyInvalidSyntax},
		"protocol 77":      {&message.Notify{Type: message.NotifyRekeySA, Protocol: 77, SPI: out}, message.NotifyInvalidSyntax},
		"no SPI":           {&message.Notify{Type: message.NotifyRekeySA, Protocol: spd.ProtoESP}, message.NotifyInvalidSyntax},
		"8 octets":         {&message.Notify{Type: message.NotifyRekeySA, Protocol: spd.ProtoESP, SPI: make([]byte, 8)}, message.NotifyInvalidSyntax},
		"AH":               {&message.Notify{Type: message.NotifyRekeySA, Protocol: spd.ProtoAH, SPI: out}, message.NotifyChildSANotFound},
		"unknown":          {&message.Notify{Type: message.NotifyRekeySA, Protocol: spd.ProtoESP, SPI: []byte{9, 9, 9, 9}}, message.NotifyChildSANotFound},
		"the wrong side's": {&message.Notify{Type: message.NotifyRekeySA, Protocol: spd.ProtoESP, SPI: spiBytes(s.A.child().Out)}, message.NotifyChildSANotFound},
	} {
		payloads := slices.Clone(good)
		payloads[0] = c.n
		a := s.A.asks(message.ExchangeCreateChildSA, payloads...)
		require.Equal(t, c.want, onlyNotify(a), name)
		if c.want == message.NotifyChildSANotFound {
			require.Equal(t, c.n.SPI, a.Payloads[0].(*message.Notify).SPI, "RFC 7296 3.10.1")
		}
		require.Equal(t, 1, s.B.Held().ChildSAs, name)
	}
	// Twice the same: the second is refused while the first is not finished.
	require.NotNil(t, s.A.asks(message.ExchangeCreateChildSA, good...).SA())
	require.Equal(t, message.NotifyTemporaryFailure, onlyNotify(s.A.asks(message.ExchangeCreateChildSA, good...)))
	require.Equal(t, 2, s.B.Held().ChildSAs)
}

// A storm of rekeys of one Child SA while ours is on its way.
func TestC05_RekeyStormInCollision(t *testing.T) {
	s := newScene(t).establish()
	s.A.rekeyChild()
	good := s.A.anySA().req.payloads
	s.A.loses("rekey-child")
	s.B.rekeyChild()
	for i := range 50 {
		good[1].(*message.SA).Proposals[0].SPI = []byte{7, 7, 7, byte(i)}
		require.NotNil(t, s.A.asks(message.ExchangeCreateChildSA, good...))
	}
	require.LessOrEqual(t, s.B.Held().ChildSAs, 4, "old, and what stands in for it")
}

func TestC06_TrafficSelectors(t *testing.T) {
	ts := func(t message.PayloadType, n byte, body ...byte) message.Payload {
		return raw(t, append([]byte{n, 0, 0, 0}, body...)...)
	}
	sel := func(typ, proto byte, length, from, to uint16, first, last string) []byte {
		b := []byte{typ, proto, byte(length >> 8), byte(length), byte(from >> 8), byte(from), byte(to >> 8), byte(to)}
		return append(append(b, first...), last...)
	}
	lo, hi := "\x0a\x01\x00\x00", "\x0a\x01\xff\xff"
	for name, body := range map[string]message.Payload{
		"no selectors":       ts(message.PayloadTSi, 0),
		"count too high":     ts(message.PayloadTSi, 2, sel(7, 0, 16, 0, 65535, lo, hi)...),
		"count too low":      ts(message.PayloadTSi, 1, append(sel(7, 0, 16, 0, 65535, lo, hi), sel(7, 0, 16, 0, 65535, lo, hi)...)...),
		"start above end":    ts(message.PayloadTSi, 1, sel(7, 0, 16, 0, 65535, hi, lo)...),
		"ports reversed":     ts(message.PayloadTSi, 1, sel(7, 17, 16, 100, 99, lo, hi)...),
		"length 8":           ts(message.PayloadTSi, 1, sel(7, 0, 8, 0, 65535, "", "")...),
		"length 0":           ts(message.PayloadTSi, 1, sel(7, 0, 0, 0, 65535, lo, hi)...),
		"length 15":          ts(message.PayloadTSi, 1, sel(7, 0, 15, 0, 65535, lo, hi)[:15]...),
		"IPv6 with 4 octets": ts(message.PayloadTSi, 1, sel(8, 0, 16, 0, 65535, lo, hi)...),
		"unknown type":       ts(message.PayloadTSi, 1, sel(99, 0, 16, 0, 65535, lo, hi)...),
		"cut short":          ts(message.PayloadTSi, 1, 7, 0, 0, 16),
		"other family":       &message.TS{Selectors: []message.TrafficSelector{message.NewTrafficSelector(spd.MustParseTrafficSelector("2001:db8::/32"))}},
		"outside":            &message.TS{Selectors: []message.TrafficSelector{message.NewTrafficSelector(spd.MustParseTrafficSelector("172.16.0.0/12"))}},
		"255 outside":        &message.TS{Selectors: slices.Repeat([]message.TrafficSelector{message.NewTrafficSelector(spd.MustParseTrafficSelector("172.16.0.0/12"))}, 255)},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t).initiate()
			s.A.sends("init")
			s.B.sends("init:ok")
			payloads := slices.Clone(s.A.anySA().req.payloads)
			for i, p := range payloads {
				if p.PayloadType() == message.PayloadTSi {
					payloads[i] = body
				}
			}
			a := s.A.injects(s.A.protect(message.ExchangeIKEAuth, 1, false, payloads...))
			require.NotNil(t, a)
			require.Zero(t, s.B.Held().ChildSAs)
			require.Empty(t, s.B.plane.SAs())
			n := a.ErrorNotify()
			require.NotNil(t, n)
			require.Contains(t, []message.NotifyType{message.NotifyTSUnacceptable, message.NotifyInvalidSyntax}, n.Type)
		})
	}
	// 255 selectors, one of which fits.
	s := newScene(t, func(a, _ *Peer, _, _ *Config) {
		a.FragmentSize = -1
		a.Children[0].Local = append(slices.Repeat(selectorSet("172.16.0.0/12"), 254), a.Children[0].Local...)
	})
	s.initiate().flush()
	s.converged(1)
	require.Equal(t, selectorSet("10.1.0.0/16"), s.A.child().LocalTS)

	// A responder that widens, or answers with another family or nothing.
	for _, answer := range [][]string{{"10.0.0.0/8"}, {"2001:db8::/32"}, {"10.2.0.0/16", "10.3.0.0/16"}} {
		s := newScene(t).establish()
		s.A.rekeyChild()
		s.A.loses("rekey-child")
		x := s.A.anySA().active.(*createChild).x
		reaction := s.B.injects(s.B.protect(message.ExchangeCreateChildSA, s.A.nextID(), true,
			wireChoice(x.offered[0], 1, []byte{0xbb, 1, 2, 3}), &message.Nonce{Data: make([]byte, 32)},
			wireSelectors(x.local, false), wireSelectors(selectorSet(answer...), true)))
		require.Equal(t, 1, s.A.Held().ChildSAs, "%v", answer)
		require.NotEmpty(t, find[ike.RekeyFailed](s.A.happened))
		require.NotNil(t, reaction)
		require.Equal(t, "delete-child", requestKind(reaction), "what the peer made is deleted there")
	}
}

func TestC08_Deletes(t *testing.T) {
	for name, c := range map[string]struct {
		payloads func(spi []byte) message.Payloads
		child    bool // survives
		session  bool
	}{
		"twice in one": {func(spi []byte) message.Payloads {
			return message.Payloads{&message.Delete{Protocol: spd.ProtoESP, SPISize: 4, SPIs: append(slices.Clone(spi), spi...)}}
		}, false, true},
		"in two payloads": {func(spi []byte) message.Payloads {
			d := &message.Delete{Protocol: spd.ProtoESP, SPISize: 4, SPIs: spi}
			return message.Payloads{d, d}
		}, false, true},
		"unknown SPI": {func([]byte) message.Payloads {
			return message.Payloads{&message.Delete{Protocol: spd.ProtoESP, SPISize: 4, SPIs: []byte{1, 2, 3, 4}}}
		}, true, true},
		"AH": {func(spi []byte) message.Payloads {
			return message.Payloads{&message.Delete{Protocol: spd.ProtoAH, SPISize: 4, SPIs: spi}}
		}, true, true},
		"count lies": {func(spi []byte) message.Payloads {
			return message.Payloads{raw(message.PayloadDelete, append([]byte{3, 4, 0, 9}, spi...)...)}
		}, false, false}, // a syntax error ends the IKE SA
		"SPI size 8": {func(spi []byte) message.Payloads {
			return message.Payloads{raw(message.PayloadDelete, append([]byte{3, 8, 0, 1, 0, 0, 0, 0}, spi...)...)}
		}, true, true},
		"no SPIs": {func([]byte) message.Payloads {
			return message.Payloads{raw(message.PayloadDelete, 3, 4, 0, 0)}
		}, true, true},
		"IKE and a Child and notifies": {func(spi []byte) message.Payloads {
			return message.Payloads{&message.Delete{Protocol: spd.ProtoIKE}, &message.Delete{Protocol: spd.ProtoESP, SPISize: 4, SPIs: spi},
				&message.Notify{Type: message.NotifyInvalidSyntax}, &message.Delete{Protocol: spd.ProtoIKE}}
		}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t).establish()
			a := s.A.asks(message.ExchangeInformational, c.payloads(spiBytes(s.A.child().In))...)
			require.NotNil(t, a)
			require.Equal(t, c.session, len(s.B.sessions) == 1)
			require.Equal(t, c.child, s.B.Held().ChildSAs == 1)
			if !c.child {
				require.Len(t, find[ike.ChildDown](s.B.happened), 1)
				require.Empty(t, s.B.plane.Leaks())
			}
			if c.session && !c.child {
				n := 0
				for d := range a.Deletes() {
					n += len(d.SPIs) / 4
				}
				require.Equal(t, 1, n, "answered once")
			}
		})
	}
}

func TestC10_InitialContact(t *testing.T) {
	// From a stranger, without the proof, it does nothing: the program learns
	// of it with Authorize only (TestAuthorize).
	asked := 0
	s := newScene(t, func(_, _ *Peer, _, cb *Config) {
		cb.Authorize = func(context.Context, ike.AuthorizeRequest) error { asked++; return nil }
	}).establish()
	require.Equal(t, 1, asked)
	stranger := *s.A.peer
	stranger.Name = "stranger" // so that INITIAL_CONTACT is sent
	stranger.Local.Credential = (&ike.Credential{PSK: ike.Secret("wrong")}).Source()
	_, err := s.A.Initiate(s.now, Initiation{Peer: &stranger, Path: pathAB()})
	require.NoError(t, err)
	s.flush()
	require.Len(t, find[ike.SessionFailed](s.B.happened), 1)
	require.Equal(t, 1, asked)
	require.Empty(t, find[ike.SessionDown](s.B.happened))
	require.Len(t, s.B.sessions, 1)
	s.A.happened, s.B.happened = nil, nil
	s.pass(time.Minute)
	s.converged(1)
}

// A peer that has crashed and comes back is taken beside the old session; who
// replaces what is the program's business. A dead one is found out.
func TestC10_DeadPeer(t *testing.T) {
	s := newScene(t).establish()
	begin := s.now
	for range 400 {
		s.A.out, s.B.out = nil, nil
		s.tick(time.Second)
		if len(s.A.sessions) == 0 {
			break
		}
	}
	require.Empty(t, s.A.sessions)
	down := find[ike.SessionDown](s.A.happened)
	require.Len(t, down, 1)
	require.Equal(t, ike.DownDead, down[0].Reason)
	var timeout *TimeoutError
	require.ErrorAs(t, down[0].Err, &timeout)
	require.Less(t, s.now.Sub(begin), 3*time.Minute)
	require.Empty(t, s.A.plane.Leaks())
}

func TestC15_ConfigurationPayloads(t *testing.T) {
	attr := func(typ uint16, v ...byte) []byte {
		return append([]byte{byte(typ >> 8), byte(typ), byte(len(v) >> 8), byte(len(v))}, v...)
	}
	assigner := &testAssigner{}
	for name, body := range map[string][]byte{
		"empty":            {1, 0, 0, 0},
		"zero length":      append([]byte{1, 0, 0, 0}, attr(1)...),
		"3 octets":         append([]byte{1, 0, 0, 0}, attr(1, 1, 2, 3)...),
		"IPv6 of 16":       append([]byte{1, 0, 0, 0}, attr(8, make([]byte, 16)...)...),
		"prefix 255":       append([]byte{1, 0, 0, 0}, attr(8, append(make([]byte, 16), 255)...)...),
		"unknown":          append([]byte{1, 0, 0, 0}, attr(0x7777, 1, 2, 3)...),
		"many":             append([]byte{1, 0, 0, 0}, slices.Repeat(attr(1, 10, 0, 0, 1), 60)...),
		"type 77":          {77, 0, 0, 0},
		"broadcast wanted": append([]byte{1, 0, 0, 0}, attr(1, 255, 255, 255, 255)...),
	} {
		s := newScene(t, func(_, b *Peer, _, _ *Config) { b.Assign = assigner }).initiate()
		s.A.sends("init")
		s.B.sends("init:ok")
		payloads := append(slices.Clone(s.A.anySA().req.payloads), raw(message.PayloadCP, body...))
		a := s.A.injects(s.A.protect(message.ExchangeIKEAuth, 1, false, payloads...))
		require.NotNil(t, a, name)
		require.NotNil(t, a.AUTH(), name)
	}
	// Cut attributes are a syntax error.
	s := newScene(t, func(_, b *Peer, _, _ *Config) { b.Assign = assigner }).initiate()
	s.A.sends("init")
	s.B.sends("init:ok")
	payloads := append(slices.Clone(s.A.anySA().req.payloads), raw(message.PayloadCP, 1, 0, 0, 0, 0, 1, 0, 9, 1))
	require.Equal(t, message.NotifyInvalidSyntax, onlyNotify(s.A.injects(s.A.protect(message.ExchangeIKEAuth, 1, false, payloads...))))
	require.Empty(t, s.B.sessions)
}

// Deletes of one Child SA that cross are answered without the SA: each side is
// deleting it already (RFC 7296 1.4.1).
func TestC08_CrossingDeletes(t *testing.T) {
	s := newScene(t).establish()
	a, b := spiBytes(s.A.child().In), spiBytes(s.B.child().In)
	s.A.deleteChild()
	s.B.deleteChild()
	ofA, ofB := s.A.out, s.B.out
	require.Len(t, ofA, 1)
	require.Len(t, ofB, 1)
	for x, spi := range map[*actor][]byte{s.A: a, s.B: b} {
		m := x.injects(x.protect(message.ExchangeInformational, x.nextID(), false, &message.Delete{Protocol: spd.ProtoESP, SPISize: 4, SPIs: spi}))
		require.NotNil(t, m)
		require.Empty(t, m.Payloads)
	}
	s.pass(time.Minute) // the answers are repeated
	s.converged(0)
}

// Lifetimes of any size, and a clock that jumps, make no busy loop and end
// nothing without need.
func TestC16_LifetimesAndClock(t *testing.T) {
	for _, d := range []time.Duration{math.MaxInt64, math.MaxInt64 / 11 * 10, 1<<32 - 1, 1, -1, time.Duration(1<<32-1) * time.Second, 200 * 365 * 24 * time.Hour} {
		s := newScene(t, func(a, b *Peer, _, _ *Config) {
			for _, p := range []*Peer{a, b} {
				p.Timing.Rekey, p.Timing.Lifetime, p.Timing.Reauth = d, d, 0
				p.Children[0].Rekey, p.Children[0].Lifetime = d, d
				p.Timing.Jitter, p.Children[0].Jitter = 1, 1
			}
		})
		s.initiate().flush()
		steps := 0
		for range 20 {
			s.tick(100 * time.Millisecond)
			s.flush()
			steps++
		}
		require.Equal(t, 20, steps)
		if d > time.Hour || d < 0 {
			s.converged(1)
		}
	}
	for name, jump := range map[string]time.Duration{"forward": 365 * 24 * time.Hour, "back": -365 * 24 * time.Hour, "back a little": -time.Second, "past 2038": 20 * 365 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t).establish()
			s.now = s.now.Add(jump)
			timeouts := 0
			for range 100 {
				for _, a := range []*actor{s.A, s.B} {
					if at, ok := a.PollTimeout(); ok && !at.After(s.now) {
						timeouts++
						a.HandleTimeout(s.now)
						at, ok = a.PollTimeout()
						require.True(t, !ok || at.After(s.now), "HandleTimeout leaves nothing that is due")
					}
				}
				s.flush()
				s.now = s.now.Add(time.Second)
			}
			require.Less(t, timeouts, 100)
			if jump < 0 {
				s.pass(time.Minute)
				s.converged(1)
			}
		})
	}
}

func TestC17_Storms(t *testing.T) {
	s := newScene(t, func(_, _ *Peer, _, cb *Config) { cb.Limits.Children = 10 }).establish()
	s.A.rekeyChild()
	good := s.A.anySA().req.payloads
	s.A.loses("rekey-child")
	// New Child SAs without end.
	var refused int
	for i := range 100 {
		offer := good[1].(*message.SA)
		offer.Proposals[0].SPI = []byte{7, 7, 7, byte(i)}
		a := s.A.asks(message.ExchangeCreateChildSA, good[1:]...)
		require.NotNil(t, a)
		if n := a.ErrorNotify(); n != nil {
			require.Equal(t, message.NotifyNoAdditionalSAs, n.Type)
			refused++
		}
	}
	require.Equal(t, 91, refused)
	require.Equal(t, 10, s.B.Held().ChildSAs)

	// Rekeys of the IKE SA that are never finished.
	s = newScene(t).establish()
	s.A.rekeyIKE()
	good = s.A.anySA().req.payloads
	s.A.loses("rekey-ike")
	old := s.A.anySA()
	for i := range 100 {
		a := s.A.injects(s.A.protectOn(old, message.ExchangeCreateChildSA, old.sendID+uint32(i), false, good...))
		require.NotNil(t, a)
	}
	require.LessOrEqual(t, len(s.B.sas), maxSAs+1)

	// Many message IDs.
	s = newScene(t).establish()
	for range 70_000 {
		tx := s.A.protect(message.ExchangeInformational, s.A.nextID(), false)
		s.B.HandleDatagram(s.now, reverse(tx.Path), tx.Packet)
		s.A.anySA().sendID++
		s.B.PollTransmit()
	}
	require.EqualValues(t, 70_000+2, s.B.anySA().recvID)
	s.A.rekeyChild()
	s.atRest()
}

// Notifies by the thousand do not fill the memory with events.
func TestC17_EventsAreBounded(t *testing.T) {
	s := newScene(t, func(_, _ *Peer, _, cb *Config) { cb.Limits.Events = 20 }).establish()
	for range 100 {
		tx := s.A.protect(message.ExchangeInformational, s.A.nextID(), false, &message.Notify{Type: 40000})
		s.B.HandleDatagram(s.now, reverse(tx.Path), tx.Packet)
		s.A.anySA().sendID++
		for _, ok := s.B.PollTransmit(); ok; _, ok = s.B.PollTransmit() {
		}
	}
	require.EqualValues(t, 80, s.B.Stats().LostEvents)
	n := 0
	for _, ok := s.B.PollEvent(); ok; _, ok = s.B.PollEvent() {
		n++
	}
	require.Equal(t, 20, n)
}

func TestC18_SPIs(t *testing.T) {
	for _, spi := range [][]byte{{0, 0, 0, 0}, {0, 0, 0, 1}, {0, 0, 0, 255}, {}, {1, 2}, {1, 2, 3, 4, 5, 6, 7, 8}} {
		s := newScene(t).establish()
		s.A.rekeyChild()
		payloads := slices.Clone(s.A.anySA().req.payloads)
		s.A.loses("rekey-child")
		for i, p := range payloads {
			if sa, ok := p.(*message.SA); ok {
				c := &message.SA{Proposals: slices.Clone(sa.Proposals)}
				c.Proposals[0].SPI = spi
				payloads[i] = c
			}
		}
		a := s.A.asks(message.ExchangeCreateChildSA, payloads...)
		require.NotNil(t, a)
		require.NotNil(t, a.ErrorNotify(), "SPI %x", spi)
		require.Equal(t, 1, s.B.Held().ChildSAs)
		require.Empty(t, s.B.plane.Larval())
	}
	// IKE SPIs: 0, and of a wrong size.
	for _, spi := range [][]byte{make([]byte, 8), {1, 2, 3, 4}, {}} {
		s := newScene(t).establish()
		s.A.rekeyIKE()
		payloads := slices.Clone(s.A.anySA().req.payloads)
		s.A.loses("rekey-ike")
		c := &message.SA{Proposals: slices.Clone(payloads[0].(*message.SA).Proposals)}
		c.Proposals[0].SPI = spi
		payloads[0] = c
		a := s.A.asks(message.ExchangeCreateChildSA, payloads...)
		require.NotNil(t, a.ErrorNotify(), "SPI %x", spi)
		require.Len(t, s.B.sas, 1)
	}
	// Ours are unique, never 0, and carry the endpoint's tag.
	s := newScene(t)
	seen := map[message.SPI]bool{}
	for range 1000 {
		spi, err := s.A.newSPI()
		require.NoError(t, err)
		require.False(t, seen[spi])
		require.EqualValues(t, 0xa, spi>>56)
		seen[spi] = true
	}
}

// C22: an initiator that is led to another responder than it asked for notices
// by the identity, even if that one is trustworthy in itself.
func TestC22_Deviation(t *testing.T) {
	s := newScene(t, func(a, b *Peer, _, _ *Config) {
		b.Local.ID = mustID("c.example") // knows the key, and is another
		a.Quirks.NoIDr = true            // so that it does not refuse itself
	}).initiate()
	s.flush()
	require.Empty(t, find[ike.SessionUp](s.A.happened))
	require.ErrorContains(t, find[ike.SessionFailed](s.A.happened)[0].Err, "c.example")
	require.ErrorContains(t, find[ike.SessionFailed](s.A.happened)[0].Err, "b.example")
	s.pass(3 * time.Minute)
	s.gone()
}

// C25: what the peer writes cannot break a log's lines or a terminal.
func TestC25_LogInjection(t *testing.T) {
	evil := "a.example\r\n\x1b[31mroot logged in\x00\u202e%s%n"
	var texts []string
	s := newScene(t).initiate()
	s.A.sends("init")
	s.B.sends("init:ok")
	payloads := slices.Clone(s.A.anySA().req.payloads)
	payloads[0] = &message.ID{Type: message.IDFQDN, Data: []byte(evil)}
	s.A.injects(s.A.protect(message.ExchangeIKEAuth, 1, false, payloads...))
	for _, ev := range s.B.happened {
		texts = append(texts, fmt.Sprintf("%+v", ev))
		if f, ok := ev.(ike.SessionFailed); ok {
			texts = append(texts, f.Err.Error())
		}
	}
	// Notify data, configuration text.
	require.Equal(t, "x?[31m??", printable([]byte("x\x1b[31m\r\n")))
	s = newScene(t).establish()
	s.A.asks(message.ExchangeInformational, &message.Notify{Type: message.NotifyAuthenticationFailed, Data: []byte(evil)}, &message.Delete{Protocol: spd.ProtoIKE})
	for _, d := range find[ike.SessionDown](s.B.happened) {
		texts = append(texts, d.Err.Error())
	}
	require.GreaterOrEqual(t, len(texts), 3)
	for _, text := range texts {
		for _, r := range text {
			require.False(t, r < ' ' || r == 0x7f || r == 0x202e, "%q", text)
		}
	}
}
