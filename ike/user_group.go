package ike

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// RequireGroup returns an authenticator that lets in those users of another one
// who belong to one of the groups.
func RequireGroup(users UserAuthenticator, groups ...string) UserAuthenticator {
	return &groupFilter{users, slices.Clone(groups)}
}

type groupFilter struct {
	UserAuthenticator
	groups []string
}

// Unwrap returns the authenticator behind, as all wrappers do.
func (f *groupFilter) Unwrap() UserAuthenticator { return f.UserAuthenticator }

func (f *groupFilter) AuthenticateUser(ctx context.Context, r UserRequest) (UserAnswer, error) {
	answer, err := f.UserAuthenticator.AuthenticateUser(ctx, r)
	if a, ok := answer.(UserAccepted); ok && err == nil && !slices.ContainsFunc(a.Groups, func(g string) bool { return slices.Contains(f.groups, g) }) {
		user := a.User
		if user == "" {
			user = r.User
		}
		return UserRejected{User: user, Cause: RejectPolicy, Reason: fmt.Sprintf("of the groups %q, not of %q", a.Groups, f.groups)}, nil
	}
	return answer, err
}

// String names the groups.
func (f *groupFilter) String() string {
	return fmt.Sprintf("%v of the groups %s", f.UserAuthenticator, strings.Join(f.groups, ", "))
}

// Accounting returns the accounting side of an authenticator, or of the one
// that a wrapper ([RequireGroup], [ThrottleLogins], or any with an Unwrap method
// like theirs) has behind it; nil if there is none.
func Accounting(a UserAuthenticator) UserAccounting {
	for a != nil {
		if acct, ok := a.(UserAccounting); ok {
			return acct
		}
		w, ok := a.(interface{ Unwrap() UserAuthenticator })
		if !ok {
			return nil
		}
		a = w.Unwrap()
	}
	return nil
}
