package ikev2

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/spd"
)

func ikeProposal(s string) spd.Proposal { return spd.MustParseProposal(spd.ProtoIKE, s) }
func espProposal(s string) spd.Proposal { return spd.MustParseProposal(spd.ProtoESP, s) }

// initiate begins a session from A and delivers nothing.
func (s *scene) initiate() *scene {
	s.t.Helper()
	_, err := s.A.Initiate(s.now, Initiation{Peer: s.A.peer, Path: pathAB()})
	require.NoError(s.t, err)
	s.work()
	return s
}

// inClear parses an unprotected message.
func inClear(t testing.TB, tx ike.Transmit) *message.Message {
	m, err := message.Parse(tx.Packet)
	require.NoError(t, err)
	return m
}

// forge is an unprotected response to an IKE_SA_INIT request.
func (a *actor) forge(request ike.Transmit, payloads ...message.Payload) ike.Transmit {
	m := message.Message{Header: responseTo(inClear(a.s.t, request).Header), Payloads: payloads}
	b, err := m.AppendBinary(nil)
	require.NoError(a.s.t, err)
	return ike.Transmit{Path: reverse(request.Path), Packet: b}
}

func alwaysCookie(_, _ *Peer, _, cb *Config) { cb.Limits.CookieThreshold = -1 }

// groups lets the two sides prefer different groups: A sends a KE for its
// first.
func groups(a, b string) sceneOption {
	return func(pa, pb *Peer, _, _ *Config) {
		pa.Proposals = []spd.Proposal{ikeProposal("aes128gcm16-prfsha256-" + a)}
		pb.Proposals = []spd.Proposal{ikeProposal("aes128gcm16-prfsha256-" + b)}
	}
}

// A                               B
// IKE_SA_INIT           ------->
//
//	<-------  N(COOKIE), nothing is kept
//
// N(COOKIE), the same   ------->
//
//	<-------  SA, KE, Nr
func TestCookie(t *testing.T) {
	s := newScene(t, alwaysCookie).initiate()
	first := s.A.out[0]
	s.A.sends("init")
	require.Empty(t, s.B.sessions)
	require.Zero(t, s.B.HalfOpen())
	s.B.sends("unknown")
	second := s.A.out[0]
	m1, m2 := inClear(t, first), inClear(t, second)
	require.IsType(t, &message.Notify{}, m2.Payloads[0])
	require.Equal(t, message.NotifyCookie, m2.Payloads[0].(*message.Notify).Type)
	require.Equal(t, m1.Payloads.String(), m2.Payloads[1:].String(), "RFC 7296 2.6: all else is unchanged")
	require.Equal(t, m1.Header.SPIi, m2.Header.SPIi)
	s.flush()
	require.Len(t, find[ike.SessionUp](s.A.happened), 1)
	require.EqualValues(t, 1, s.B.Stats().CookiesSent)
	require.Zero(t, s.B.Stats().CookiesBad)
	s.converged(1)
}

// A                               B
// KE(X25519)            ------->
//
//	<-------  N(INVALID_KE_PAYLOAD, P-256)
//
// KE(P-256), same SPI   ------->
func TestInvalidKE(t *testing.T) {
	s := newScene(t, groups("x25519-ecp256", "ecp256")).initiate()
	first := inClear(t, s.A.out[0])
	s.A.sends("init")
	require.Empty(t, s.B.sessions)
	s.B.sends("unknown")
	second := inClear(t, s.A.out[0])
	require.EqualValues(t, spd.KEECP256, second.KE().Group)
	require.Equal(t, first.SA().String(), second.SA().String(), "RFC 7296 1.2: the full list of groups is offered again")
	s.flush()
	s.converged(1)
	require.EqualValues(t, spd.KEECP256, s.A.session().current.alg.group)
}

// The COOKIE goes along when the KE changes (RFC 7296 2.6.1), and comes first.
func TestCookieWithInvalidKE(t *testing.T) {
	s := newScene(t, groups("x25519-ecp256", "ecp256"), alwaysCookie).initiate()
	s.A.sends("init")
	s.B.sends("unknown") // COOKIE
	s.A.sends("init")
	s.B.sends("unknown") // INVALID_KE_PAYLOAD
	third := inClear(t, s.A.out[0])
	require.Equal(t, message.NotifyCookie, third.Payloads[0].(*message.Notify).Type)
	require.EqualValues(t, spd.KEECP256, third.KE().Group)
	s.flush()
	s.converged(1)
	require.EqualValues(t, 1, s.B.Stats().CookiesSent, "the cookie is good for both")
}

// A peer that is never satisfied does not make us begin for ever.
func TestA14_InitLoopsAreBounded(t *testing.T) {
	for name, answer := range map[string]func(n int) message.Payload{
		"COOKIE": func(n int) message.Payload {
			return &message.Notify{Type: message.NotifyCookie, Data: []byte{byte(n)}}
		},
		"INVALID_KE_PAYLOAD": func(n int) message.Payload {
			g := []uint16{spd.KEECP256, spd.KECurve25519}[n%2]
			return &message.Notify{Type: message.NotifyInvalidKEPayload, Data: []byte{byte(g >> 8), byte(g)}}
		},
		"both": func(n int) message.Payload {
			if n%2 == 0 {
				return &message.Notify{Type: message.NotifyCookie, Data: []byte{byte(n)}}
			}
			g := []uint16{spd.KEECP256, spd.KECurve25519}[n/2%2]
			return &message.Notify{Type: message.NotifyInvalidKEPayload, Data: []byte{byte(g >> 8), byte(g)}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t).initiate()
			sent := map[string]bool{}
			for n := 0; n < 1000 && len(s.A.sessions) > 0; n++ {
				if len(s.A.out) == 0 {
					s.tick(time.Second)
					continue
				}
				request := s.A.take("init")
				sent[string(request.Packet)] = true
				s.B.hand(s.A.forge(request, answer(n)), "forged")
			}
			require.LessOrEqual(t, len(sent), maxRestarts+1)
			require.Empty(t, s.A.sessions, "given up")
			failed := find[ike.SessionFailed](s.A.happened)
			require.Len(t, failed, 1)
			require.ErrorContains(t, failed[0].Err, "again and again")
			s.gone()
		})
	}
}

// INVALID_KE_PAYLOAD for a group that we do not offer is no way to weaken us.
func TestA14_InvalidKEForForeignGroup(t *testing.T) {
	for _, group := range []dh.ID{dh.MODP1024, dh.MODP2048, dh.Curve25519, 1025, 0} {
		s := newScene(t).initiate()
		request := s.A.take("init")
		s.B.hand(s.A.forge(request, &message.Notify{Type: message.NotifyInvalidKEPayload, Data: []byte{byte(group >> 8), byte(group)}}), "forged")
		require.Empty(t, s.A.out, "%v", group)
		s.B.HandleDatagram(s.now, reverse(request.Path), request.Packet)
		s.flush()
		s.converged(1) // the true answer came too
	}
}

// A forged refusal does not end a handshake that the true peer answers, and
// leaves no trace in it.
func TestForgedRefusal(t *testing.T) {
	s := newScene(t).initiate()
	request := s.A.take("init")
	s.B.hand(s.A.forge(request, &message.Notify{Type: message.NotifyNoProposalChosen}), "forged")
	require.Len(t, s.A.sessions, 1)
	s.A.hand(request, "init")
	s.B.sends("init:ok")
	s.A.loses("auth")
	s.pass(2 * time.Second)
	s.converged(1)
}

// A refusal that nothing contradicts fails quickly and says what was offered.
func TestRefusalExplains(t *testing.T) {
	s := newScene(t, func(_, b *Peer, _, _ *Config) {
		b.Proposals = []spd.Proposal{ikeProposal("aes256-sha256-modp2048")}
	}).initiate()
	s.pass(5 * time.Second)
	failed := find[ike.SessionFailed](s.A.happened)
	require.Len(t, failed, 1)
	var n *NotifyError
	require.ErrorAs(t, failed[0].Err, &n)
	require.Equal(t, message.NotifyNoProposalChosen, n.Type)
	require.ErrorContains(t, failed[0].Err, "aes128gcm16-prfsha256-x25519-ecp256", "what was offered")

	refused := find[ike.SessionFailed](s.B.happened)
	require.Len(t, refused, 1)
	require.ErrorIs(t, refused[0].Err, spd.ErrNoProposalChosen)
	for _, text := range []string{"aes128gcm16", "aes256", "modp2048"} {
		require.ErrorContains(t, refused[0].Err, text, "offered and wanted")
	}
	s.gone()
}

// A message ID that is answered is answered alike (RFC 7296 2.1), one under
// work is not worked on twice.
func TestRepeatedInit(t *testing.T) {
	s := newScene(t).initiate()
	s.B.slow[ike.JobKeyExchange] = true
	request := s.A.take("init")
	s.A.hand(request, "init")
	s.A.hand(request, "init")
	require.Len(t, s.B.held, 1, "one key exchange for both")
	require.Empty(t, s.B.out)
	s.B.release()
	require.Len(t, s.B.out, 1)
	response := s.B.out[0].Packet
	s.A.hand(request, "init")
	require.Len(t, s.B.out, 2)
	require.Equal(t, response, s.B.out[1].Packet)
	require.Len(t, s.B.sessions, 1)
	s.flush()
	s.converged(1)
}

// The times of retransmission: base, factor, largest, tries.
func TestRetransmission(t *testing.T) {
	s := newScene(t, func(a, _ *Peer, _, _ *Config) {
		a.Timing = ike.Timing{RetransmitBase: 2 * time.Second, RetransmitFactor: 2, RetransmitMax: 10 * time.Second, RetransmitTries: 5, RetransmitJitter: -1}
	}).initiate()
	begin := s.now
	var at []time.Duration
	first := s.A.take("init").Packet
	for len(s.A.sessions) > 0 {
		next, ok := s.A.PollTimeout()
		require.True(t, ok)
		s.now = next
		s.A.HandleTimeout(s.now)
		s.work()
		for _, tx := range s.A.out {
			require.Equal(t, first, tx.Packet)
			at = append(at, s.now.Sub(begin))
		}
		s.A.out = nil
	}
	require.Equal(t, []time.Duration{2 * time.Second, 6 * time.Second, 14 * time.Second, 24 * time.Second, 34 * time.Second}, at)
	require.Equal(t, 44*time.Second, s.now.Sub(begin))
	var timeout *TimeoutError
	require.ErrorAs(t, find[ike.SessionFailed](s.A.happened)[0].Err, &timeout)
	require.Equal(t, TimeoutError{Exchange: message.ExchangeIKESAInit, Tries: 6, Path: pathAB()}, *timeout)
	s.gone()
}

// Jitter shortens each interval by at most its fraction.
func TestRetransmissionJitter(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 50 {
		s := newScene(t, func(a, _ *Peer, _, _ *Config) { a.Timing.RetransmitJitter = 0.5 }).initiate()
		next, _ := s.A.PollTimeout()
		d := next.Sub(s.now)
		require.LessOrEqual(t, d, time.Second)
		require.GreaterOrEqual(t, d, time.Second/2)
		seen[d] = true
	}
	require.Greater(t, len(seen), 40)
}

// Any message of the handshake may be lost once, in either direction.
func TestHandshakeWithLoss(t *testing.T) {
	for lost := range 4 {
		s := newScene(t).initiate()
		n := 0
		for range 20 {
			for _, a := range []*actor{s.A, s.B} {
				for len(a.out) > 0 {
					tx := a.out[0]
					a.out = a.out[1:]
					if n++; n-1 == lost {
						continue
					}
					a.hand(tx, a.kind(tx))
				}
			}
			s.tick(500 * time.Millisecond)
		}
		s.converged(1)
		require.Len(t, find[ike.SessionUp](s.B.happened), 1)
		require.Len(t, find[ike.ChildUp](s.B.happened), 1)
	}
}

// An authentication that fails leaves nothing behind but, for a while, its
// answer.
func TestFailedAuthLeavesNothing(t *testing.T) {
	s := newScene(t, func(_, b *Peer, _, _ *Config) {
		b.Remote.Credential = (&ike.Credential{PSK: ike.Secret("another secret")}).Source()
	}).initiate()
	s.A.sends("init")
	s.B.sends("init:ok")
	request := s.A.take("auth")
	s.A.hand(request, "auth")
	s.B.loses("auth:AUTHENTICATION_FAILED")
	s.A.hand(request, "auth")
	s.B.sends("auth:AUTHENTICATION_FAILED")
	require.ErrorContains(t, find[ike.SessionFailed](s.B.happened)[0].Err, "the pre-shared keys differ")
	require.ErrorContains(t, find[ike.SessionFailed](s.A.happened)[0].Err, "AUTHENTICATION_FAILED")
	require.Empty(t, find[ike.SessionUp](s.A.happened))
	require.Empty(t, find[ike.SessionUp](s.B.happened))
	require.Empty(t, s.A.sessions)
	require.Empty(t, s.B.sessions)
	s.pass(2 * time.Minute)
	s.gone()
}

// The responder is not who was expected: it is told, since it believes that
// the SA is up.
func TestInitiatorDistrusts(t *testing.T) {
	s := newScene(t, func(a, b *Peer, _, _ *Config) {
		b.Local.Credential = (&ike.Credential{PSK: ike.Secret("another secret")}).Source()
	}).initiate()
	s.flush()
	failed := find[ike.SessionFailed](s.A.happened)
	require.Len(t, failed, 1)
	var auth *AuthError
	require.ErrorAs(t, failed[0].Err, &auth)
	require.Empty(t, find[ike.SessionUp](s.A.happened))
	down := find[ike.SessionDown](s.B.happened)
	require.Len(t, down, 1)
	require.Equal(t, ike.DownRemote, down[0].Reason)
	require.ErrorContains(t, down[0].Err, "AUTHENTICATION_FAILED")
	s.pass(2 * time.Minute)
	s.gone()
}

// Even if the responder never answers that, the reason given is the true one.
func TestInitiatorDistrustsUnanswered(t *testing.T) {
	s := newScene(t, func(a, b *Peer, _, _ *Config) {
		b.Local.Credential = (&ike.Credential{PSK: ike.Secret("another secret")}).Source()
	}).initiate()
	s.A.sends("init")
	s.B.sends("init:ok")
	s.A.sends("auth")
	s.B.sends("auth:ok")
	for range 30 {
		s.A.out = nil
		s.tick(10 * time.Second)
	}
	failed := find[ike.SessionFailed](s.A.happened)
	require.Len(t, failed, 1)
	var auth *AuthError
	require.ErrorAs(t, failed[0].Err, &auth)
}

// A job's failure ends the handshake with its reason.
func TestFailingJobs(t *testing.T) {
	broken := errors.New("the token was pulled out")
	s := newScene(t, func(a, _ *Peer, _, _ *Config) {
		a.Local.Credential = func(context.Context, ike.Identity, ike.Identity) (*ike.Credential, error) { return nil, broken }
	}).initiate()
	s.flush()
	require.ErrorIs(t, find[ike.SessionFailed](s.A.happened)[0].Err, broken)
	s.pass(2 * time.Minute)
	s.gone()
}

func TestInitiateErrors(t *testing.T) {
	s := newScene(t)
	for want, in := range map[string]Initiation{
		"Peer is nil":      {Path: pathAB()},
		"needs a local":    {Peer: s.A.peer},
		`no Child "other"`: {Peer: s.A.peer, Path: pathAB(), Children: []string{"other"}},
		"set Childless":    {Peer: s.A.peer, Path: pathAB(), Children: []string{}},
	} {
		_, err := s.A.Initiate(s.now, in)
		require.ErrorContains(t, err, want)
		require.Empty(t, s.A.sessions, fmt.Sprint(in))
	}
}
