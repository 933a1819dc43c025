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
		refuse := func(what string) (UserAnswers, error) {
			if r.Message != "" {
				what += "; it says " + quoteUser(r.Message)
			}
			return UserAnswers{}, fmt.Errorf("%w: %s", ErrPrompt, what)
		}
		if again := r.Fields & r.Answered & (FieldPassword | FieldPasscode); again != 0 {
			return refuse("the " + again.String() + " again, so the first was refused")
		}
		if other := r.Fields & (FieldNextPIN | FieldAnswer); other != 0 {
			return refuse(other.String())
		}
		secrets := r.Fields & (FieldPassword | FieldPasscode)
		if secrets == FieldPassword|FieldPasscode {
			return refuse("a passcode beside the password")
		}
		if secrets != 0 && (r.Kind == UserOTP || r.Kind == UserSKey) {
			return refuse("a one-time password for " + quoteUser(string(r.Challenge)))
		}
		var a UserAnswers
		if r.Fields&FieldUser != 0 {
			a.User = user
		}
		switch secrets {
		case FieldPassword:
			a.Password = password.Clone()
		case FieldPasscode:
			a.Passcode = password.Clone()
		}
		return a, nil
	}
}
