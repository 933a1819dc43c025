package ikev1

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
)

// roadwarrior is a client a and a gateway b with XAuth.
func roadwarrior(t *testing.T, mode Mode, method AuthMethod, change func(client, gateway *Peer)) *pair {
	t.Helper()
	a, b := methodPeers(t, mode, method)
	if change != nil {
		change(a, b)
	}
	return newPairNow(t, a, b)
}

func pskRoadwarrior(t *testing.T, change func(client, gateway *Peer)) *pair {
	t.Helper()
	return roadwarrior(t, MainMode, AuthXAuthInitPSK, change)
}

func static(user, password string) ike.UserPrompter {
	return ike.StaticUser(user, ike.Secret(password))
}

func memoryUsers(t *testing.T, users map[string]ike.User) *ike.MemoryUsers {
	t.Helper()
	m, err := ike.NewMemoryUsers(users)
	require.NoError(t, err)
	return m
}

// users is an authenticator made of a function.
type users func(r ike.UserRequest) (ike.UserAnswer, error)

func (users) Supports(ike.UserAuthKind) bool { return true }

func (u users) AuthenticateUser(_ context.Context, r ike.UserRequest) (ike.UserAnswer, error) {
	// The core wipes the secrets.
	r.Password, r.Passcode, r.NextPIN, r.Answer = r.Password.Clone(), r.Passcode.Clone(), r.NextPIN.Clone(), r.Answer.Clone()
	return u(r)
}

// requireNotIn checks that the login has failed on both sides and nothing is
// left; it returns how it ended for both.
func (p *pair) requireNotIn() (client, gateway error) {
	p.t.Helper()
	p.advance(10 * time.Minute)
	if len(find[ike.SessionFailed](p.evA)) != 1 || len(find[ike.SessionFailed](p.evB)) != 1 {
		p.explain()
	}
	require.Empty(p.t, find[ike.SessionUp](p.evA))
	require.Empty(p.t, find[ike.SessionUp](p.evB))
	require.Len(p.t, find[ike.SessionFailed](p.evA), 1)
	require.Len(p.t, find[ike.SessionFailed](p.evB), 1)
	p.requireNothingLeft()
	return find[ike.SessionFailed](p.evA)[0].Err, find[ike.SessionFailed](p.evB)[0].Err
}

func TestXAuthWrongPassword(t *testing.T) {
	p := pskRoadwarrior(t, func(c, _ *Peer) { c.Prompt = static("alice", "wrong") })
	p.initiate()
	client, gateway := p.requireNotIn()
	require.ErrorIs(t, client, ike.ErrUserRejected)
	require.ErrorIs(t, gateway, ike.ErrUserRejected)
	var r ike.UserRejected
	require.ErrorAs(t, gateway, &r)
	require.Equal(t, ike.RejectCredentials, r.Cause)
	require.Equal(t, "alice", r.User)
}

func TestXAuthMessages(t *testing.T) {
	p := pskRoadwarrior(t, func(c, g *Peer) {
		g.Users = users(func(r ike.UserRequest) (ike.UserAnswer, error) {
			if r.Round == 0 {
				return ike.UserPrompt{Fields: ike.FieldUser | ike.FieldPassword, Message: "Who is there?\r\nSay\x1b[2J"}, nil
			}
			return ike.UserRejected{Message: "Not today\n", Delay: 3 * time.Second}, nil
		})
		c.Prompt = func(_ context.Context, r ike.PromptRequest) (ike.UserAnswers, error) {
			require.Equal(t, "Who is there?\nSay?[2J", r.Message)
			require.Equal(t, ike.FieldUser|ike.FieldPassword, r.Fields)
			require.Equal(t, 1, r.Round)
			require.Equal(t, mustID("b.example"), r.RemoteID)
			return ike.UserAnswers{User: "bob", Password: ike.Secret("x")}, nil
		}
	})
	p.initiate()
	begun := p.now
	client, _ := p.requireNotIn()
	require.ErrorContains(t, client, `"Not today\n"`)
	require.False(t, find[ike.SessionFailed](p.evA)[0].Time.Before(begun.Add(3*time.Second)), "a refusal waits for its delay")
}

func TestXAuthBackEndDown(t *testing.T) {
	p := pskRoadwarrior(t, func(_, g *Peer) {
		g.Users = users(func(r ike.UserRequest) (ike.UserAnswer, error) {
			if r.Round == 0 {
				return ike.UserPrompt{Fields: ike.FieldUser | ike.FieldPassword}, nil
			}
			return nil, errors.New("no RADIUS server answers")
		})
	})
	p.initiate()
	client, gateway := p.requireNotIn()
	require.ErrorIs(t, client, ike.ErrUserRejected)
	require.NotErrorIs(t, gateway, ike.ErrUserRejected)
	require.ErrorContains(t, gateway, "no RADIUS server answers")
	require.NotContains(t, client.Error(), "RADIUS")
}

func TestXAuthThrottled(t *testing.T) {
	asked := 0
	p := pskRoadwarrior(t, func(c, g *Peer) {
		g.Users = ike.ThrottleLogins(users(func(r ike.UserRequest) (ike.UserAnswer, error) {
			if r.Round == 0 {
				return ike.UserPrompt{Fields: ike.FieldUser | ike.FieldPassword}, nil
			}
			asked++
			return ike.UserRejected{User: r.User}, nil
		}), ike.ThrottleConfig{UserFree: 2, Delay: 20 * time.Second, MaxDelay: time.Hour})
		c.Prompt = static("alice", "guess")
	})
	for range 4 {
		p.initiate()
		p.advance(15 * time.Second)
		require.Len(t, find[ike.SessionFailed](p.evB), 0, "held back")
		p.advance(6 * time.Second)
		require.Len(t, find[ike.SessionFailed](p.evB), 1)
		p.evA, p.evB = nil, append([]ike.Event(nil), p.evB...)
		var r ike.UserRejected
		require.ErrorAs(t, find[ike.SessionFailed](p.evB)[0].Err, &r)
		p.evB = nil
	}
	require.Less(t, asked, 4)
	p.advance(5 * time.Minute)
	p.requireNothingLeft()
}

// The conversation of draft-beaulieu-ike-xauth-02, example A-6.
func TestXAuthNewPIN(t *testing.T) {
	type round struct {
		prompt  ike.UserPrompt
		answers ike.UserAnswers
	}
	secret := func(s string) ike.Secret { return ike.Secret(s) }
	rounds := []round{
		{ike.UserPrompt{Fields: ike.FieldUser | ike.FieldPasscode}, ike.UserAnswers{User: "joe", Passcode: secret("1637364856")}},
		{ike.UserPrompt{Fields: ike.FieldAnswer, Message: "Would you like to generate your own PIN (y/n)?"}, ike.UserAnswers{Answer: secret("y")}},
		{ike.UserPrompt{Fields: ike.FieldNextPIN, Message: "Enter your new PIN containing 4-6 digits"}, ike.UserAnswers{NextPIN: secret("1234")}},
		{ike.UserPrompt{Fields: ike.FieldUser | ike.FieldPasscode}, ike.UserAnswers{User: "joe", Passcode: secret("1234764456")}},
	}
	for i := range rounds {
		rounds[i].prompt.State = i
		rounds[i].prompt.Delay = time.Duration(i) * time.Second
	}
	ids := make(map[uint16]bool)
	var shown []ike.PromptRequest
	p := pskRoadwarrior(t, func(c, g *Peer) {
		g.Users = users(func(r ike.UserRequest) (ike.UserAnswer, error) {
			if r.Round > 0 {
				require.Equal(t, rounds[r.Round-1].answers, r.UserAnswers)
				require.Equal(t, r.Round-1, r.State)
			}
			if r.Round == len(rounds) {
				return ike.UserAccepted{Groups: []string{"token"}}, nil
			}
			return rounds[r.Round].prompt, nil
		})
		c.Prompt = func(_ context.Context, r ike.PromptRequest) (ike.UserAnswers, error) {
			shown = append(shown, r)
			a := rounds[r.Round-1].answers
			a.Passcode, a.Answer, a.NextPIN = a.Passcode.Clone(), a.Answer.Clone(), a.NextPIN.Clone() // which the core wipes
			return a, nil
		}
	})
	p.a.cfg.Trace = func(tr ike.TraceRecord) {
		if a := transactionIn(t, tr); a != nil && hasXAuth(a) {
			ids[a.Identifier] = true
		}
	}
	id := p.initiate()
	p.advance(time.Minute)
	a, b := p.requireUp(id)
	require.Equal(t, "joe", a.Info.User)
	require.Equal(t, "joe", b.Info.User)
	require.Equal(t, []string{"token"}, b.Info.Groups)
	require.Equal(t, []string{"token"}, find[ike.SessionUp](p.evB)[0].Info.Groups)
	require.Len(t, ids, 1, "one transaction has one identifier")
	require.Len(t, shown, len(rounds))
	for i, r := range shown {
		require.Equal(t, i+1, r.Round)
		require.Equal(t, rounds[i].prompt.Message, r.Message)
		require.Equal(t, rounds[i].prompt.Fields, r.Fields)
	}
	require.Equal(t, ike.FieldUser|ike.FieldPasscode|ike.FieldAnswer|ike.FieldNextPIN, shown[3].Answered)
}

// transactionIn decodes a Transaction message of a trace.
func transactionIn(t *testing.T, tr ike.TraceRecord) *isakmp.Attributes {
	h, err := isakmp.ParseHeader(tr.Message)
	require.NoError(t, err)
	if h.Exchange != isakmp.ExchangeTransaction {
		return nil
	}
	m, err := openClear(h, tr.Message)
	require.NoError(t, err)
	return m.Attributes()
}

func TestXAuthCHAP(t *testing.T) {
	for password, good := range map[string]bool{"alice's password": true, "wrong": false} {
		t.Run(password, func(t *testing.T) {
			var challenges [][]byte
			p := pskRoadwarrior(t, func(c, g *Peer) {
				g.UserKind = ike.UserCHAP
				c.Prompt = static("alice", password)
			})
			p.a.cfg.Trace = func(tr ike.TraceRecord) {
				if a := transactionIn(t, tr); a != nil {
					if c := a.First(isakmp.AttrXAuthChallenge); c != nil {
						challenges = append(challenges, c.Data)
					}
					if a.Type == isakmp.ConfigReply {
						kind, there, _ := xauthType(a)
						require.True(t, there)
						require.Equal(t, ike.UserCHAP, kind)
						require.Len(t, a.First(isakmp.AttrXAuthUserPassword).Data, ike.CHAPSize)
					}
				}
			}
			id := p.initiate()
			require.Len(t, challenges, 1)
			require.Len(t, challenges[0], 16)
			if good {
				p.requireUp(id)
				return
			}
			_, gateway := p.requireNotIn()
			require.ErrorIs(t, gateway, ike.ErrUserRejected)
		})
	}
}

func TestXAuthOneTimePassword(t *testing.T) {
	p := pskRoadwarrior(t, func(c, g *Peer) {
		g.UserKind = ike.UserOTP
		g.Users = users(func(r ike.UserRequest) (ike.UserAnswer, error) {
			switch r.Round {
			case 0:
				require.Equal(t, ike.UserOTP, r.Kind)
				return ike.UserPrompt{Kind: ike.UserOTP, Fields: ike.FieldUser}, nil
			case 1:
				require.Equal(t, "joe", r.User)
				return ike.UserPrompt{Kind: ike.UserOTP, Fields: ike.FieldUser | ike.FieldPassword, Challenge: []byte("otp-md5 499 ke1234")}, nil
			}
			require.Equal(t, []byte("otp-md5 499 ke1234"), r.Challenge)
			require.Equal(t, ike.Secret("5bf0 75d9 959d 036f"), r.Password)
			return ike.UserAccepted{}, nil
		})
		c.Prompt = func(_ context.Context, r ike.PromptRequest) (ike.UserAnswers, error) {
			require.Equal(t, ike.UserOTP, r.Kind)
			a := ike.UserAnswers{User: "joe"}
			if r.Round == 2 {
				require.Equal(t, []byte("otp-md5 499 ke1234"), r.Challenge)
				a.Password = ike.Secret("5bf0 75d9 959d 036f")
			}
			return a, nil
		}
	})
	p.requireUp(p.initiate())
}

func TestXAuthEndlessPrompts(t *testing.T) {
	rounds := 0
	p := pskRoadwarrior(t, func(c, g *Peer) {
		g.Users = users(func(r ike.UserRequest) (ike.UserAnswer, error) {
			rounds++
			return ike.UserPrompt{Fields: ike.FieldAnswer, Message: "again"}, nil
		})
		c.Prompt = func(context.Context, ike.PromptRequest) (ike.UserAnswers, error) {
			return ike.UserAnswers{Answer: ike.Secret("no")}, nil
		}
	})
	p.initiate()
	_, gateway := p.requireNotIn()
	require.ErrorContains(t, gateway, "rounds")
	require.Equal(t, ike.MaxUserRounds+1, rounds)
}

// The user types for two minutes: repetitions are absorbed, the gateway is
// patient, and the user is asked once.
func TestXAuthSlowUser(t *testing.T) {
	p := pskRoadwarrior(t, nil)
	var held []ike.Job
	p.hold = func(_ *Endpoint, j ike.Job) bool {
		if j.Kind == ike.JobPrompt {
			held = append(held, j)
			return true
		}
		return false
	}
	p.filter = func(*Endpoint, ike.Transmit) bool {
		p.a.anySA().nat.LocalNAT = true
		if sa := p.b.anySA(); sa != nil {
			sa.nat.RemoteNAT = true
		}
		return true
	}
	id := p.initiate()
	sent := p.a.Stats().Sent
	p.advance(4 * time.Minute)
	require.Len(t, held, 1)
	require.Greater(t, p.b.Stats().Retransmitted, uint64(6))
	s, _ := p.a.Session(id)
	require.Equal(t, "XAUTH", s.State)
	require.Equal(t, sent+12, p.a.Stats().Sent, "keepalives for the NAT")
	require.Equal(t, 1, p.b.HalfOpen(), "it counts as half-open until the user is known")
	p.a.HandleResult(p.now, held[0].Do(t.Context()))
	p.run()
	p.requireUp(id)
	require.Zero(t, p.b.HalfOpen())
}

// The gateway agrees on XAuth and never asks.
func TestXAuthNobodyAsks(t *testing.T) {
	p := pskRoadwarrior(t, nil)
	var held []ike.Job
	p.hold = func(_ *Endpoint, j ike.Job) bool {
		if j.Kind == ike.JobUser {
			held = append(held, j)
			return true
		}
		return false
	}
	p.initiate()
	p.advance(2 * time.Minute)
	require.Len(t, find[ike.SessionFailed](p.evA), 1)
	require.ErrorIs(t, find[ike.SessionFailed](p.evA)[0].Err, errNoLogin)
	require.Len(t, held, 1)
	p.b.HandleResult(p.now, held[0].Do(t.Context()))
	p.requireNotIn()
}

// The client gives up: its prompter has no answer.
func TestXAuthGivesUp(t *testing.T) {
	p := pskRoadwarrior(t, func(c, _ *Peer) {
		c.Prompt = func(context.Context, ike.PromptRequest) (ike.UserAnswers, error) {
			return ike.UserAnswers{User: "alice"}, nil // and no password
		}
	})
	p.initiate()
	client, gateway := p.requireNotIn()
	require.ErrorIs(t, client, ike.ErrPrompt)
	require.ErrorContains(t, client, "password")
	require.ErrorIs(t, gateway, errGivesUp)
}

// Each datagram lost, and each one doubled and delayed: both sides come up all
// the same.
func TestXAuthLostAndDoubled(t *testing.T) {
	change := func(c, g *Peer) {
		c.Request = &ike.ConfigRequest{IPv4: true, DNS: true}
		g.Assign = &leases{t: t, give: []netip.Prefix{netip.MustParsePrefix("10.9.0.7/32")}}
	}
	for _, mode := range []Mode{MainMode, AggressiveMode} {
		sent := 0
		p := roadwarrior(t, mode, AuthXAuthInitPSK, change)
		p.filter = func(*Endpoint, ike.Transmit) bool { sent++; return true }
		p.requireUp(p.initiate())
		require.Greater(t, sent, 10)
		for nth := range sent {
			for _, double := range []bool{false, true} {
				t.Run(fmt.Sprintf("%v/%d/%v", mode, nth, double), func(t *testing.T) {
					p := roadwarrior(t, mode, AuthXAuthInitPSK, change)
					n := 0
					var again func()
					p.filter = func(from *Endpoint, tx ike.Transmit) bool {
						if n++; n-1 != nth {
							return true
						}
						to := p.b
						if from == p.b {
							to = p.a
						}
						b := bytes.Clone(tx.Packet)
						again = func() { to.HandleDatagram(p.now, reverse(tx.Path), b) }
						if double {
							again()
						}
						return double
					}
					id := p.initiate()
					p.advance(20 * time.Second)
					a, b := p.requireUp(id)
					if double {
						again()
						p.advance(time.Second)
						a, b = p.requireUp(id)
					}
					require.Equal(t, []netip.Prefix{netip.MustParsePrefix("10.9.0.7/32")}, a.Info.Config.Addresses)
					require.Equal(t, a.Info.Config.Addresses, b.Info.Config.Addresses)
					require.Empty(t, find[ike.Warning](p.evA))
				})
			}
		}
	}
}

// Nothing that is shown has the password in it.
func TestXAuthSecretsStaySecret(t *testing.T) {
	const password = "Pa55w0rd-of-alice"
	var traced [][]byte
	p := pskRoadwarrior(t, func(c, g *Peer) {
		g.Users = memoryUsers(t, map[string]ike.User{"alice": {Password: ike.Secret(password)}})
		c.Prompt = static("alice", password)
	})
	record := func(tr ike.TraceRecord) { traced = append(traced, tr.Message) }
	p.a.cfg.Trace, p.b.cfg.Trace = record, record
	p.requireUp(p.initiate())
	names := 0
	for _, m := range traced {
		require.NotContains(t, string(m), password)
		names += bytes.Count(m, []byte("alice"))
	}
	require.NotZero(t, names, "the trace has the rest")
	for _, ev := range append(p.evA, p.evB...) {
		require.NotContains(t, fmt.Sprintf("%+v", ev), password)
	}
	for _, e := range []*Endpoint{p.a, p.b} {
		require.NotContains(t, fmt.Sprintf("%+v %#v", e, e), password)
	}
}

// Passwords do not stay in memory: not what the prompter has answered, nor what
// the authenticator was given.
func TestXAuthWipes(t *testing.T) {
	for _, good := range []bool{true, false} {
		var prompted, asked ike.Secret
		p := pskRoadwarrior(t, func(c, g *Peer) {
			g.Users = keeper(func(r ike.UserRequest) (ike.UserAnswer, error) {
				if r.Round == 0 {
					return ike.UserPrompt{Fields: ike.FieldUser | ike.FieldPassword}, nil
				}
				require.Equal(t, ike.Secret("secret"), r.Password)
				if asked = r.Password; good {
					return ike.UserAccepted{}, nil
				}
				return nil, errors.New("broken")
			})
			c.Prompt = func(context.Context, ike.PromptRequest) (ike.UserAnswers, error) {
				prompted = ike.Secret("secret")
				return ike.UserAnswers{User: "alice", Password: prompted}, nil
			}
		})
		p.initiate()
		require.Equal(t, make(ike.Secret, 6), prompted)
		require.Equal(t, make(ike.Secret, 6), asked)
	}
}

// Check Point's numbers.
func TestXAuthCheckPoint(t *testing.T) {
	p := pskRoadwarrior(t, nil)
	p.a.cfg.Trace = func(tr ike.TraceRecord) { require.NotContains(t, string(tr.Message), "alice's password") }
	p.hold = func(of *Endpoint, j ike.Job) bool { return of == p.b && j.Kind == ike.JobUser } // the test is the gateway
	id := p.initiate()
	var reply *isakmp.Attributes
	p.b.anySA().transact(p.now, &isakmp.Attributes{Type: isakmp.ConfigRequest, Attributes: []isakmp.ConfigAttribute{
		basicAttribute(isakmp.AttrCheckPointXAuthType, 0), emptyAttribute(isakmp.AttrCheckPointXAuthUserName), emptyAttribute(isakmp.AttrCheckPointXAuthUserPassword),
	}}, time.Time{}, func(_ time.Time, a *isakmp.Attributes, err error) {
		require.NoError(t, err)
		reply = a
	})
	p.run()
	require.Equal(t, []isakmp.ConfigAttribute{
		basicAttribute(isakmp.AttrCheckPointXAuthType, 0),
		{Type: isakmp.AttrCheckPointXAuthUserName, Data: []byte("alice")},
		{Type: isakmp.AttrCheckPointXAuthUserPassword, Data: []byte("alice's password")},
	}, reply.Attributes)
	p.b.anySA().transact(p.now, &isakmp.Attributes{Type: isakmp.ConfigSet, Attributes: []isakmp.ConfigAttribute{
		basicAttribute(isakmp.AttrCheckPointXAuthStatus, 1)}}, time.Time{}, func(time.Time, *isakmp.Attributes, error) {})
	p.run()
	s, _ := p.a.Session(id)
	require.Equal(t, "ESTABLISHED", s.State)
}

func (e *Endpoint) anySA() *isakmpSA {
	for _, sa := range e.sas {
		return sa
	}
	return nil
}

// chained asks, and tells the outcome under the same message ID.
type chained struct {
	transaction
	reply *isakmp.Attributes
	acked bool
}

func (c *chained) receive(now time.Time, x *exchange, m *inbound) {
	if c.reply == nil {
		c.reply = m.Attributes()
		x.send(now, x.messageHash, &isakmp.Attributes{Type: isakmp.ConfigSet, Attributes: []isakmp.ConfigAttribute{
			basicAttribute(isakmp.AttrXAuthStatus, isakmp.XAuthStatusOK)}})
		return
	}
	c.acked = m.Attributes().Type == isakmp.ConfigAck
	x.finish(now)
}

// A gateway that goes on under one message ID.
func TestXAuthOneMessageID(t *testing.T) {
	p := pskRoadwarrior(t, nil)
	p.hold = func(of *Endpoint, j ike.Job) bool { return of == p.b && j.Kind == ike.JobUser }
	id := p.initiate()
	sa, c := p.b.anySA(), &chained{}
	x, err := sa.newExchange(isakmp.ExchangeTransaction, c)
	require.NoError(t, err)
	x.send(p.now, x.messageHash, &isakmp.Attributes{Type: isakmp.ConfigRequest, Attributes: []isakmp.ConfigAttribute{
		emptyAttribute(isakmp.AttrXAuthUserName), emptyAttribute(isakmp.AttrXAuthUserPassword)}})
	p.run()
	require.NotNil(t, c.reply)
	require.Nil(t, c.reply.First(isakmp.AttrXAuthType), "not in the request, so not in the reply")
	require.True(t, c.acked)
	s, _ := p.a.Session(id)
	require.Equal(t, "ESTABLISHED", s.State)
}

// The gateway asks again in an established session (draft-beaulieu-ike-xauth-02
// 6).
func TestXAuthAgain(t *testing.T) {
	p := pskRoadwarrior(t, nil)
	id := p.initiate()
	p.requireUp(id)
	var reply *isakmp.Attributes
	p.b.anySA().transact(p.now, &isakmp.Attributes{Type: isakmp.ConfigRequest, Attributes: []isakmp.ConfigAttribute{emptyAttribute(isakmp.AttrXAuthUserName)}},
		time.Time{}, func(_ time.Time, a *isakmp.Attributes, _ error) { reply = a })
	p.run()
	require.Equal(t, []isakmp.ConfigAttribute{{Type: isakmp.AttrXAuthUserName, Data: []byte("alice")}}, reply.Attributes)
	p.b.anySA().transact(p.now, &isakmp.Attributes{Type: isakmp.ConfigSet, Attributes: []isakmp.ConfigAttribute{basicAttribute(isakmp.AttrXAuthStatus, 1)}},
		time.Time{}, func(_ time.Time, a *isakmp.Attributes, _ error) { reply = a })
	p.run()
	require.Equal(t, isakmp.ConfigAck, reply.Type)
	p.requireUp(id)
}

func TestTextOf(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                  "plain",
		"zero\x00":               "zero",
		"a\x00b":                 "a?b",
		"\x1b]0;title\a":         "?]0;title?",
		"line\r\nline\n":         "line??line?",
		"grüße":                  "grüße",
		"\xff\xfe":               "??",
		"right\u202eleft":        "right?left",
		strings.Repeat("x", 300): strings.Repeat("x", maxText),
	} {
		require.Equal(t, want, textOf([]byte(in), maxText, false))
	}
	require.Equal(t, "a\nb\n?", textOf([]byte("a\r\nb\n\t"), maxText, true))
}

// A gateway that wants CHAP without a challenge, or with an empty one, would get a
// hash of nothing but the password: it gets no answer.
func TestXAuthCHAPWithoutChallenge(t *testing.T) {
	for _, challenge := range []bool{false, true} {
		p := pskRoadwarrior(t, nil)
		p.requireUp(p.initiate())
		q := &isakmp.Attributes{Type: isakmp.ConfigRequest, Attributes: []isakmp.ConfigAttribute{
			basicAttribute(isakmp.AttrXAuthType, uint16(ike.UserCHAP)), emptyAttribute(isakmp.AttrXAuthUserPassword)}}
		if challenge {
			q.Attributes = append(q.Attributes, emptyAttribute(isakmp.AttrXAuthChallenge))
		}
		var reply *isakmp.Attributes
		p.b.anySA().transact(p.now, q, time.Time{}, func(_ time.Time, a *isakmp.Attributes, err error) {
			require.NoError(t, err)
			reply = a
		})
		p.run()
		require.Equal(t, []isakmp.ConfigAttributeType{isakmp.AttrXAuthStatus}, typesOf(reply))
		require.Equal(t, isakmp.XAuthStatusFail, reply.Attributes[0].Value)
	}
}
