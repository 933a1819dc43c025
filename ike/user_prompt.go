package ike

import (
	"context"
	"errors"
	"fmt"
)

// A UserPrompter answers what a gateway asks the user of this side for. It is
// called from jobs, so it may show a dialog and wait for a person, until ctx
// ends. An error gives up: the gateway is told that the login fails.
//
// For [UserCHAP] it returns the password as it is; the core makes the response.
// The core wipes the secrets that are returned.
type UserPrompter func(ctx context.Context, r PromptRequest) (UserAnswers, error)

// PromptRequest is what a gateway asks for.
type PromptRequest struct {
	Session  SessionID
	Peer     string // configured peer
	Path     Path
	RemoteID Identity // the gateway's, as it has been authenticated

	Round     int // from 1
	Kind      UserAuthKind
	Fields    UserFields // what is wanted
	Message   string     // of the gateway, to be shown; printable text of one line or several
	Challenge []byte     // text for UserOTP and UserSKey
	// Answered are the fields that this login has answered in earlier rounds. A
	// gateway that asks for one of them again has probably refused it.
	Answered UserFields
}

// ErrPrompt is matched by the error of a prompter that cannot answer.
var ErrPrompt = errors.New("the gateway asks the user for something that is not configured")

// StaticUser returns a prompter with one name and password. The password also
// serves where a passcode alone is asked for. It answers each field once: when
// the gateway asks again, the password was wrong, and sending it again would
// only lock the account.
func StaticUser(user string, password Secret) UserPrompter {
	password = password.Clone()
	return func(_ context.Context, r PromptRequest) (UserAnswers, error) {
		a := UserAnswers{}
		said := ""
		if r.Message != "" {
			said = "; it says " + quoteUser(r.Message)
		}
		if again := r.Fields & r.Answered & (FieldPassword | FieldPasscode); again != 0 {
			return a, fmt.Errorf("%w: it asks for the %s again, so the first was refused%s", ErrPrompt, again, said)
		}
		for f := FieldUser; f <= FieldDomain; f <<= 1 {
			switch r.Fields & f {
			case 0, FieldDomain: // no domain is an answer
			case FieldUser:
				a.User = user
			case FieldPassword:
				a.Password = password.Clone()
			case FieldPasscode:
				if r.Fields&FieldPassword != 0 {
					return a, fmt.Errorf("%w: a passcode beside the password%s", ErrPrompt, said)
				}
				a.Passcode = password.Clone()
			default:
				return a, fmt.Errorf("%w: %s%s", ErrPrompt, f, said)
			}
		}
		if (r.Kind == UserOTP || r.Kind == UserSKey) && a.Password != nil {
			return UserAnswers{}, fmt.Errorf("%w: a one-time password for %s", ErrPrompt, quoteUser(string(r.Challenge)))
		}
		return a, nil
	}
}
