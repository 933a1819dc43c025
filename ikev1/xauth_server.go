package ikev1

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/child"
)

// A login is the server's side of XAuth on one ISAKMP SA.
type login struct {
	id     uint16 // of the transaction: the same in all its messages
	rounds int
	user   string         // named last
	prompt ike.UserPrompt // that the client has to answer
	until  time.Time
	delay  child.Timer
	half   netip.AddrPort // that it is counted under as half-open
}

var (
	errLoginTime = fmt.Errorf("the login was not through within %v", loginTime)
	errNoLogin   = fmt.Errorf("XAuth was agreed on, and the gateway has asked for no user within %v", loginWait)
	errGivesUp   = errors.New("the client gives up")
)

// beginLogin asks the authenticator what to ask the client for.
func (sa *isakmpSA) beginLogin(now time.Time) {
	id, err := sa.ep.newTransactionID()
	if err != nil {
		sa.failed(now, ike.DownFailed, err)
		return
	}
	s := sa.s
	sa.login = &login{id: id, until: now.Add(loginTime), half: s.Path.Remote, prompt: ike.UserPrompt{Kind: s.peer.UserKind}}
	// Until the user is known the SA counts as half-open: with hybrid
	// authentication anybody can make one.
	sa.ep.OpenHalf(sa.login.half)
	sa.authenticate(now, ike.UserAnswers{})
}

// endLogin forgets the login, however it ended.
func (sa *isakmpSA) endLogin() {
	l := sa.login
	if l == nil {
		return
	}
	sa.ep.StopTimer(&l.delay)
	sa.ep.CloseHalf(l.half)
	sa.login = nil
}

// authenticate gives the authenticator what the client has answered.
func (sa *isakmpSA) authenticate(now time.Time, a ike.UserAnswers) {
	s, l := sa.s, sa.login
	if a.User != "" {
		l.user = a.User
	}
	r := ike.UserRequest{Time: now, Session: s.ID, Peer: s.Name, Path: s.Path, RemoteID: s.RemoteID, Method: s.remoteMethod,
		Reauthentication: sa.formerUser(), Round: l.rounds, Kind: l.prompt.Kind, UserAnswers: a, Challenge: l.prompt.Challenge, State: l.prompt.State}
	users := s.peer.Users
	s.Job(ike.JobUser, 0, func(ctx context.Context) (any, error) {
		defer r.Wipe()
		return users.AuthenticateUser(ctx, r)
	}, func(now time.Time, v any, err error) {
		if sa.state != stateUser || sa.login != l {
			return
		}
		if err != nil {
			sa.refuseUser(now, "", fmt.Errorf("user %q cannot be authenticated now: %w", textOf([]byte(l.user), maxText, false), err))
			return
		}
		switch v := v.(type) {
		case ike.UserPrompt:
			sa.later(now, v.Delay, func(now time.Time) { sa.promptUser(now, v) })
		case ike.UserAccepted:
			sa.acceptUser(now, v)
		case ike.UserRejected:
			sa.later(now, v.Delay, func(now time.Time) { sa.refuseUser(now, v.Message, v) })
		default:
			sa.refuseUser(now, "", fmt.Errorf("the authenticator answered %T", v))
		}
	}, nil)
}

// later goes on after a delay that the authenticator wants. The end of the
// login does not wait for it.
func (sa *isakmpSA) later(now time.Time, d time.Duration, then func(now time.Time)) {
	if d <= 0 {
		then(now)
		return
	}
	sa.login.delay.Owner = then
	sa.ep.SetTimer(&sa.login.delay, now.Add(d))
}

// promptUser asks the client.
func (sa *isakmpSA) promptUser(now time.Time, p ike.UserPrompt) {
	l := sa.login
	if l.rounds++; l.rounds > ike.MaxUserRounds {
		sa.refuseUser(now, "", fmt.Errorf("the login took more than %d rounds", ike.MaxUserRounds))
		return
	}
	if p.Kind == ike.UserCHAP && p.Challenge == nil {
		p.Challenge = make([]byte, 16)
		if err := sa.ep.Random(p.Challenge); err != nil {
			sa.refuseUser(now, "", err)
			return
		}
	}
	l.prompt = p
	a := []isakmp.ConfigAttribute{basicAttribute(isakmp.AttrXAuthType, uint16(p.Kind))}
	if p.Message != "" {
		a = append(a, textAttribute(isakmp.AttrXAuthMessage, p.Message, maxMessage))
	}
	if p.Challenge != nil {
		a = append(a, isakmp.ConfigAttribute{Type: isakmp.AttrXAuthChallenge, Data: p.Challenge})
	}
	for _, f := range userFields {
		if p.Fields&f.field != 0 {
			a = append(a, emptyAttribute(f.attribute))
		}
	}
	sa.transact(now, &isakmp.Attributes{Type: isakmp.ConfigRequest, Identifier: l.id, Attributes: a}, l.until,
		func(now time.Time, a *isakmp.Attributes, err error) { sa.userAnswered(now, l, a, err) })
}

// userAnswered takes the client's REPLY.
func (sa *isakmpSA) userAnswered(now time.Time, l *login, a *isakmp.Attributes, err error) {
	if sa.state != stateUser || sa.login != l {
		return
	}
	reject := func(err error) {
		sa.refuseUser(now, "", ike.UserRejected{User: l.user, Cause: ike.RejectProtocol, Reason: err.Error()})
	}
	switch timeout := (*TimeoutError)(nil); {
	case errors.As(err, &timeout):
		sa.dropUser(now, ike.DownDead, err)
		return
	case err != nil:
		reject(err)
		return
	}
	xauthNumbers(a)
	if _, there := xauthStatus(a); there {
		// A client may only give up (XAUTH_STATUS 6.2): whatever else it says, it
		// is not for it to say.
		sa.dropUser(now, ike.DownFailed, errGivesUp)
		return
	}
	answers, err := userAnswers(a, &l.prompt)
	for i := range a.Attributes {
		clear(a.Attributes[i].Data)
	}
	if err == nil {
		err = answers.Validate()
	}
	if err != nil {
		answers.Wipe()
		reject(err)
		return
	}
	sa.authenticate(now, answers)
}

// userAnswers reads a REPLY to a prompt. All that was asked for has to be
// there.
func userAnswers(a *isakmp.Attributes, p *ike.UserPrompt) (out ike.UserAnswers, err error) {
	if kind, there, ok := xauthType(a); !ok || there && kind != p.Kind {
		return out, fmt.Errorf("the reply is of another type than the request, %v", p.Kind)
	}
	for _, f := range userFields {
		var found *isakmp.ConfigAttribute
		for i := range a.Attributes {
			if a.Attributes[i].Type != f.attribute {
				continue
			}
			if found != nil {
				return out, fmt.Errorf("the reply has more than one %v", f.field)
			}
			found = &a.Attributes[i]
		}
		asked := p.Fields&f.field != 0
		if found == nil || found.Basic || !asked {
			if asked && f.field != ike.FieldDomain {
				return out, fmt.Errorf("the reply has no %v", f.field)
			}
			continue
		}
		v := found.Data
		if p.Kind != ike.UserCHAP || f.field != ike.FieldPassword {
			v = withoutZero(v)
		}
		// An empty password never comes to a back end: to some it says "anonymous".
		if len(v) == 0 && f.field&(ike.FieldAnswer|ike.FieldDomain) == 0 {
			return out, fmt.Errorf("the %v in the reply is empty", f.field)
		}
		secret := ike.Secret(slices.Clone(v))
		if secret == nil {
			secret = ike.Secret{}
		}
		switch f.field {
		case ike.FieldUser:
			out.User = string(v)
		case ike.FieldDomain:
			out.Domain = string(v)
		case ike.FieldPassword:
			out.Password = secret
		case ike.FieldPasscode:
			out.Passcode = secret
		case ike.FieldNextPIN:
			out.NextPIN = secret
		case ike.FieldAnswer:
			out.Answer = secret
		}
	}
	return out, nil
}

// withoutZero cuts off the zero that some clients end a text with.
func withoutZero(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == 0 {
		return b[:n-1]
	}
	return b
}

// acceptUser tells the client that its user is in. The SA is used when the
// client knows.
func (sa *isakmpSA) acceptUser(now time.Time, u ike.UserAccepted) {
	l := sa.login
	if u.User == "" {
		u.User = l.user
	}
	sa.tellStatus(now, isakmp.XAuthStatusOK, u.Message, func(now time.Time, err error) {
		if err != nil {
			sa.dropUser(now, ike.DownDead, err)
			return
		}
		sa.endLogin()
		s := sa.s
		s.user = &u
		sa.ep.StopTimer(&sa.hard)
		sa.up(now)
		if sa.s != s { // it has joined the session that it renews
			sa.s.renewedUser(now, &u)
		}
	})
}

// refuseUser tells the client that its user is not in, and ends the ISAKMP SA
// (draft-beaulieu-ike-xauth-02 6).
func (sa *isakmpSA) refuseUser(now time.Time, message string, why error) {
	sa.tellStatus(now, isakmp.XAuthStatusFail, message, func(now time.Time, _ error) {
		sa.dropUser(now, ike.DownFailed, why)
	})
}

// tellStatus sends the outcome. done is called when the client has
// acknowledged it, or does not.
func (sa *isakmpSA) tellStatus(now time.Time, status uint16, message string, done func(now time.Time, err error)) {
	l := sa.login
	a := []isakmp.ConfigAttribute{basicAttribute(isakmp.AttrXAuthStatus, status)}
	if message != "" {
		a = append(a, textAttribute(isakmp.AttrXAuthMessage, message, maxMessage))
	}
	sa.transact(now, &isakmp.Attributes{Type: isakmp.ConfigSet, Identifier: l.id, Attributes: a}, time.Time{},
		func(now time.Time, _ *isakmp.Attributes, err error) {
			if sa.state == stateUser && sa.login == l {
				done(now, err)
			}
		})
}

// dropUser ends the ISAKMP SA of a login that has failed.
func (sa *isakmpSA) dropUser(now time.Time, reason ike.DownReason, err error) {
	sa.sendDelete(now)
	sa.failed(now, reason, &AuthError{ID: sa.s.RemoteID, Err: err})
}

// formerUser is the user of the session that the SA will be part of if the user
// is the same: the peer renews an ISAKMP SA.
func (sa *isakmpSA) formerUser() string {
	s := sa.s
	if s.user != nil {
		return s.user.User
	}
	if sa.firstContact {
		return ""
	}
	for _, o := range s.ep.sessionsWith(s.peer, s.RemoteID) {
		if o.user != nil && o.Path == s.Path && o.LocalID == s.LocalID {
			return o.user.User
		}
	}
	return ""
}
