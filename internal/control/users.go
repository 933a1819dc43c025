package control

import (
	"context"
	"fmt"
	"sync"

	"github.com/racoon3/racoon/ike"
)

// users are the names and passwords that callers have given for their side of
// a peer's login.
type users struct {
	mu     sync.Mutex
	byPeer map[string]*login
}

type login struct {
	user     string
	password ike.Secret
	asked    bool // the gateway has asked for it
	calling  int  // orders that wait for it
}

// begin keeps a login for an order that is about to begin. It refuses if
// another user's is under way.
func (u *users) begin(peer, user string, password []byte) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if l := u.byPeer[peer]; l != nil {
		if l.calling > 0 && (l.user != user || !l.password.Equal(password)) {
			return &Error{Status: 409, Code: CodeConflict, Message: fmt.Sprintf("peer %q is being called for user %q", peer, l.user)}
		}
		if l.calling > 0 {
			l.calling++
			return nil
		}
		l.password.Wipe()
	}
	if u.byPeer == nil {
		u.byPeer = make(map[string]*login)
	}
	u.byPeer[peer] = &login{user: user, password: ike.Secret(password).Clone(), calling: 1}
	return nil
}

// end tells that an order is over; keep says that the session is up. It reports
// whether the gateway has asked.
func (u *users) end(peer string, keep bool) (asked bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	l := u.byPeer[peer]
	if l == nil {
		return true // the session has ended again
	}
	if l.calling--; l.calling <= 0 && !keep {
		l.password.Wipe()
		delete(u.byPeer, peer)
	}
	return l.asked
}

// forget wipes a login whose session has ended.
func (u *users) forget(peer string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if l := u.byPeer[peer]; l != nil && l.calling == 0 {
		l.password.Wipe()
		delete(u.byPeer, peer)
	}
}

// forgetAll wipes all logins.
func (u *users) forgetAll() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, l := range u.byPeer {
		l.password.Wipe()
	}
	clear(u.byPeer)
}

// answer answers a gateway.
func (u *users) answer(ctx context.Context, r ike.PromptRequest, fallback ike.UserPrompter) (ike.UserAnswers, error) {
	u.mu.Lock()
	l := u.byPeer[r.Peer]
	var user string
	var password ike.Secret
	if l != nil {
		l.asked = true
		user, password = l.user, l.password.Clone()
	}
	u.mu.Unlock()
	switch {
	case l != nil:
		defer password.Wipe()
		return ike.StaticUser(user, password)(ctx, r)
	case fallback != nil:
		return fallback(ctx, r)
	}
	return ike.UserAnswers{}, fmt.Errorf("%w: no user is configured for peer %q; give one with racoonctl vpn-connect -u", ike.ErrPrompt, r.Peer)
}
