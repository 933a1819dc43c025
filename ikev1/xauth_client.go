package ikev1

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
)

// prompts is the client's side of XAuth on one ISAKMP SA.
type prompts struct {
	round    int
	asking   *exchange      // that the user is being asked for
	user     string         // that was answered last
	answered ike.UserFields // in this login
	late     time.Time      // when a late answer was sent; zero: none, or one that excused a repetition
}

// A gateway that has waited for lateAnswer may have asked anew, under another
// message ID, before the answer came (libreswan does). What comes within
// crossedQuestion of such an answer is taken for that, once, and not for a refusal.
const (
	lateAnswer      = 500 * time.Millisecond
	crossedQuestion = 2 * time.Second
)

// An userError says that the gateway has refused the user of this side.
type userError struct{ message string }

func (e *userError) Error() string {
	if e.message == "" {
		return "the gateway refuses the user"
	}
	return fmt.Sprintf("the gateway refuses the user: %q", e.message)
}

func (e *userError) Is(target error) bool { return target == ike.ErrUserRejected }

// userAsked takes what the server says: a REQUEST for the user's credentials,
// or a SET that ends the login. A server may ask again at any time.
func (sa *isakmpSA) userAsked(now time.Time, x *exchange, a *isakmp.Attributes) {
	if !sa.client() || sa.s.peer.Prompt == nil {
		sa.ep.Count.Unexpected++
		if a.Type == isakmp.ConfigRequest {
			asked{}.reply(now, x, a, []isakmp.ConfigAttribute{basicAttribute(isakmp.AttrXAuthStatus, isakmp.XAuthStatusFail)})
			return
		}
		x.finish(now)
		return
	}
	raised := xauthNumbers(a)
	if a.Type == isakmp.ConfigSet {
		sa.userDecided(now, x, a, raised)
		return
	}
	sa.askUser(now, x, a, raised)
}

// askUser asks the user of this side. That may take minutes, in which
// repetitions of the REQUEST are absorbed; when the server asks something else,
// the answer to the older question is not sent.
func (sa *isakmpSA) askUser(now time.Time, x *exchange, a *isakmp.Attributes, raised isakmp.ConfigAttributeType) {
	s, p := sa.s, &sa.prompts
	p.round++
	p.asking = x
	if sa.state == stateUser {
		if p.round == 1 {
			sa.ep.SetTimer(&sa.hard, now.Add(loginTime))
		}
		if p.round > ike.MaxUserRounds {
			sa.giveUp(now, x, a, raised, fmt.Errorf("the gateway has asked more than %d times", ike.MaxUserRounds))
			return
		}
	}
	r := ike.PromptRequest{Session: s.ID, Peer: s.Name, Path: s.Path, RemoteID: s.RemoteID, Round: p.round, Answered: p.answered}
	var ok bool
	if r.Kind, _, ok = xauthType(a); !ok || r.Kind > ike.UserSKey {
		sa.giveUp(now, x, a, raised, fmt.Errorf("the gateway asks for %v, which is not supported", r.Kind))
		return
	}
	if m := a.First(isakmp.AttrXAuthMessage); m != nil {
		r.Message = textOf(m.Data, maxMessage, true)
	}
	if c := a.First(isakmp.AttrXAuthChallenge); c != nil {
		r.Challenge = c.Data
	}
	for _, f := range userFields {
		if a.First(f.attribute) != nil {
			r.Fields |= f.field
		}
	}
	var id [1]byte
	if r.Kind == ike.UserCHAP {
		if err := sa.ep.Random(id[:]); err != nil || len(r.Challenge) == 0 {
			sa.giveUp(now, x, a, raised, errors.Join(err, errors.New("CHAP needs a challenge, and the gateway has sent none")))
			return
		}
	} else if r.Challenge != nil {
		r.Challenge = []byte(textOf(r.Challenge, maxMessage, false))
	}
	repeated := !p.late.IsZero() && now.Sub(p.late) < crossedQuestion && r.Challenge == nil
	if repeated {
		r.Answered &^= r.Fields
	}
	p.late = time.Time{}
	prompt, begun := s.peer.Prompt, now
	s.Job(ike.JobPrompt, 0, func(ctx context.Context) (any, error) {
		answers, err := prompt(ctx, r)
		if err == nil {
			err = answers.Validate()
		}
		if err != nil {
			answers.Wipe()
			return nil, err
		}
		if r.Kind == ike.UserCHAP && answers.Password != nil {
			response := ike.AppendCHAP(nil, id[0], answers.Password, r.Challenge)
			answers.Password.Wipe()
			answers.Password = response
		}
		return answers, nil
	}, func(now time.Time, v any, err error) {
		answers, _ := v.(ike.UserAnswers)
		defer answers.Wipe()
		if sa.state == stateDead || p.asking != x {
			return
		}
		p.asking = nil
		if missing := r.Fields &^ (answers.Fields() | ike.FieldDomain); err == nil && missing != 0 {
			err = fmt.Errorf("%w: %v", ike.ErrPrompt, missing)
		}
		if err != nil {
			sa.giveUp(now, x, a, raised, err)
			return
		}
		p.answered |= r.Fields
		if answers.User != "" {
			p.user = answers.User
		}
		if now.Sub(begun) >= lateAnswer && !repeated {
			p.late = now
		}
		sa.sendAnswers(now, x, a, raised, &answers)
	}, func(v any) {
		if answers, ok := v.(ike.UserAnswers); ok {
			answers.Wipe()
		}
	})
}

// sendAnswers sends the REPLY: the attributes of the REQUEST in its order.
func (sa *isakmpSA) sendAnswers(now time.Time, x *exchange, request *isakmp.Attributes, raised isakmp.ConfigAttributeType, u *ike.UserAnswers) {
	var out []isakmp.ConfigAttribute
	for _, a := range request.Attributes {
		c := isakmp.ConfigAttribute{Type: a.Type - raised}
		switch a.Type {
		case isakmp.AttrXAuthType:
			c.Basic, c.Value, c.Data = a.Basic, a.Value, a.Data
		case isakmp.AttrXAuthUserName:
			c.Data = []byte(u.User)
		case isakmp.AttrXAuthUserPassword:
			c.Data = u.Password
		case isakmp.AttrXAuthPasscode:
			c.Data = u.Passcode
		case isakmp.AttrXAuthDomain:
			c.Data = []byte(u.Domain)
		case isakmp.AttrXAuthNextPIN:
			c.Data = u.NextPIN
		case isakmp.AttrXAuthAnswer:
			c.Data = u.Answer
		default:
			continue
		}
		out = append(out, c)
	}
	asked{}.reply(now, x, request, out)
}

// giveUp tells the server that there is no answer, and ends the login.
func (sa *isakmpSA) giveUp(now time.Time, x *exchange, a *isakmp.Attributes, raised isakmp.ConfigAttributeType, err error) {
	asked{}.reply(now, x, a, []isakmp.ConfigAttribute{basicAttribute(isakmp.AttrXAuthStatus-raised, isakmp.XAuthStatusFail)})
	if sa.state == stateUser {
		sa.failUser(now, err)
		return
	}
	sa.s.Warn(now, fmt.Errorf("the gateway asked for the user again: %w", err))
}

// failUser ends the ISAKMP SA of a login that has failed.
func (sa *isakmpSA) failUser(now time.Time, err error) {
	sa.sendDelete(now)
	sa.failed(now, ike.DownFailed, &AuthError{ID: sa.s.RemoteID, Err: err})
}

// userDecided takes the outcome of the login. A server that knows the user from
// before may say so at once (draft-beaulieu-ike-xauth-02 5.5).
func (sa *isakmpSA) userDecided(now time.Time, x *exchange, a *isakmp.Attributes, raised isakmp.ConfigAttributeType) {
	good, there := xauthStatus(a)
	if !there {
		sa.ep.Count.Unexpected++
		x.finish(now)
		return
	}
	asked{}.reply(now, x, a, []isakmp.ConfigAttribute{emptyAttribute(isakmp.AttrXAuthStatus - raised)})
	p := &sa.prompts
	user := p.user
	*p = prompts{}
	message := ""
	if m := a.First(isakmp.AttrXAuthMessage); m != nil {
		message = textOf(m.Data, maxMessage, true)
	}
	switch {
	case !good && sa.state == stateUser:
		sa.failUser(now, &userError{message})
	case !good:
		sa.s.Warn(now, &userError{message}) // it will delete the SA
	case sa.state == stateUser:
		sa.s.userName = user
		sa.ep.StopTimer(&sa.hard)
		sa.up(now)
	}
}
