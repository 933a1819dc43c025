package ikev1

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
)

// The gateway asks anew, under another message ID, while the user still types:
// the answer to the older question is not sent.
func TestXAuthAskedAnew(t *testing.T) {
	p := pskRoadwarrior(t, nil)
	var held []ike.Job
	p.hold = func(_ *Endpoint, j ike.Job) bool {
		if j.Kind == ike.JobPrompt {
			held = append(held, j)
		}
		return j.Kind == ike.JobPrompt
	}
	id := p.initiate()
	var reply *isakmp.Attributes
	p.b.anySA().transact(p.now, &isakmp.Attributes{Type: isakmp.ConfigRequest, Attributes: []isakmp.ConfigAttribute{emptyAttribute(isakmp.AttrXAuthPasscode)}},
		time.Time{}, func(_ time.Time, a *isakmp.Attributes, _ error) { reply = a })
	p.run()
	require.Len(t, held, 2)
	sent := p.a.Stats().Sent
	p.a.HandleResult(p.now, held[0].Do(t.Context()))
	p.run()
	require.Equal(t, sent, p.a.Stats().Sent)
	require.Nil(t, reply)
	s, _ := p.a.Session(id)
	require.Equal(t, "XAUTH", s.State)
	// The prompter has no passcode, and says so.
	p.a.HandleResult(p.now, held[1].Do(t.Context()))
	p.run()
	require.NotNil(t, reply.First(isakmp.AttrXAuthStatus))
}

// A gateway that has waited for long may have asked anew before the answer
// came: it gets the same, once. What it asks after an answer in time, or a third
// time, means that the answer was refused.
func TestXAuthQuestionsCross(t *testing.T) {
	for _, late := range []bool{true, false} {
		p := pskRoadwarrior(t, func(c, _ *Peer) { c.Prompt = static("alice", "alice's password") })
		var held []ike.Job
		var answered bool
		p.hold = func(_ *Endpoint, j ike.Job) bool {
			if j.Kind == ike.JobPrompt {
				held = append(held, j)
				return true
			}
			return j.Kind == ike.JobUser && answered // so that the login goes on
		}
		p.initiate()
		answer := func(after time.Duration) {
			t.Helper()
			p.advance(after)
			require.Len(t, held, 1)
			job := held[0]
			held, answered = nil, true
			p.a.HandleResult(p.now, job.Do(t.Context()))
			p.run()
		}
		var reply *isakmp.Attributes
		ask := func() {
			p.b.anySA().transact(p.now, &isakmp.Attributes{Type: isakmp.ConfigRequest, Attributes: []isakmp.ConfigAttribute{
				emptyAttribute(isakmp.AttrXAuthUserName), emptyAttribute(isakmp.AttrXAuthUserPassword)}},
				time.Time{}, func(_ time.Time, a *isakmp.Attributes, _ error) { reply = a })
			p.run()
		}
		if late {
			answer(lateAnswer)
			ask()
			answer(lateAnswer)
			require.Nil(t, reply.First(isakmp.AttrXAuthStatus))
			require.Equal(t, "alice's password", string(reply.First(isakmp.AttrXAuthUserPassword).Data))
		} else {
			answer(lateAnswer / 2)
		}
		ask()
		answer(0)
		require.NotNil(t, reply.First(isakmp.AttrXAuthStatus), "late %v", late)
		require.ErrorContains(t, find[ike.SessionFailed](p.evA)[0].Err, "password again")
	}
}

// The user never answers.
func TestXAuthLoginExpires(t *testing.T) {
	p := pskRoadwarrior(t, nil)
	var held []ike.Job
	p.hold = func(_ *Endpoint, j ike.Job) bool {
		if j.Kind == ike.JobPrompt {
			held = append(held, j)
			return true
		}
		return false
	}
	p.initiate()
	p.advance(10 * time.Minute)
	require.Len(t, held, 1)
	p.a.HandleResult(p.now, held[0].Do(t.Context()))
	_, gateway := p.requireNotIn()
	require.ErrorIs(t, gateway, errLoginTime)
}

// keeper is an authenticator that may keep what it is given.
type keeper func(r ike.UserRequest) (ike.UserAnswer, error)

func (keeper) Supports(ike.UserAuthKind) bool { return true }

func (k keeper) AuthenticateUser(_ context.Context, r ike.UserRequest) (ike.UserAnswer, error) {
	return k(r)
}

// Renewal: a new phase 1 with its own login joins the session.
func TestXAuthRenewal(t *testing.T) {
	var again []string
	p := pskRoadwarrior(t, func(c, g *Peer) {
		behind := g.Users
		g.Users = users(func(r ike.UserRequest) (ike.UserAnswer, error) {
			again = append(again, r.Reauthentication)
			return behind.AuthenticateUser(context.Background(), r)
		})
		c.Request = &ike.ConfigRequest{IPv4: true}
		g.Assign = &leases{t: t, give: []netip.Prefix{netip.MustParsePrefix("10.9.0.7/32")}}
	})
	id := p.initiate()
	first, _ := p.requireUp(id)
	p.advance(time.Minute)
	require.NoError(t, p.a.RekeyIKE(p.now, id))
	p.advance(2 * time.Minute)
	a, b := p.requireUp(id)
	require.NotEqual(t, first.Info.LocalSPI, a.Info.LocalSPI)
	require.Equal(t, "alice", b.Info.User)
	require.Len(t, find[ike.SessionRekeyed](p.evB), 1)
	require.Len(t, find[ike.SessionUp](p.evB), 1)
	require.Len(t, find[ike.AddressAssigned](p.evB), 1)
	require.Equal(t, first.Info.Config.Addresses, a.Info.Config.Addresses)
	require.Equal(t, []string{"", "", "alice", "alice"}, again)
	require.Len(t, p.a.sas, 1)
	require.Len(t, p.b.sas, 1)
	require.Empty(t, find[ike.Warning](append(p.evA, p.evB...)))
	require.NoError(t, p.a.Delete(p.now, id, ike.DownLocal))
	p.advance(2 * time.Minute)
	p.requireNothingLeft()
}

// A renewal whose login fails leaves the session as it was.
func TestXAuthRenewalFails(t *testing.T) {
	password := "alice's password"
	p := pskRoadwarrior(t, func(c, _ *Peer) {
		c.Prompt = func(context.Context, ike.PromptRequest) (ike.UserAnswers, error) {
			return ike.UserAnswers{User: "alice", Password: ike.Secret(password)}, nil
		}
	})
	id := p.initiate()
	p.requireUp(id)
	password = "wrong"
	require.NoError(t, p.a.RekeyIKE(p.now, id))
	p.advance(time.Minute)
	p.requireUp(id)
	require.Len(t, find[ike.RekeyFailed](p.evA), 1)
	require.ErrorIs(t, find[ike.RekeyFailed](p.evA)[0].Err, ike.ErrUserRejected)
	require.Empty(t, find[ike.SessionDown](p.evA))
}

// Known from before: draft-beaulieu-ike-xauth-02 5.5.
func TestXAuthPreviouslyAuthenticated(t *testing.T) {
	p := pskRoadwarrior(t, func(c, g *Peer) {
		g.Users = users(func(ike.UserRequest) (ike.UserAnswer, error) { return ike.UserAccepted{User: "host"}, nil })
		c.Prompt = func(context.Context, ike.PromptRequest) (ike.UserAnswers, error) {
			t.Error("nobody is to be asked")
			return ike.UserAnswers{}, nil
		}
	})
	_, b := p.requireUp(p.initiate())
	require.Equal(t, "host", b.Info.User)
}
