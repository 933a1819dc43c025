package ike

import (
	"container/list"
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// ThrottleConfig says how failed logins slow down what follows.
type ThrottleConfig struct {
	// UserFree and AddressFree are how many failed logins of one user, and from
	// one address (of IPv6, one /64), have no consequences; 0 means 5 and 20.
	UserFree, AddressFree int
	// Delay is how long the next login must wait then, and doubles with each
	// failure up to MaxDelay; logins that come before are refused without asking
	// the back end. It is also how long every refusal is held back. 0 means a
	// second, and a minute for MaxDelay.
	Delay, MaxDelay time.Duration
	// Forget is how long after the last failed login all is as before; 0 means
	// 15 minutes.
	Forget time.Duration
	// MaxEntries bounds the users and addresses that are remembered, about 200
	// octets each; 0 means 65536. When there are more, the one that was seen
	// longest ago is forgotten.
	MaxEntries int
}

// ThrottleLogins returns an authenticator that slows down the guessing of
// passwords: it counts failed logins by user and by address. It holds no
// goroutine and no job back; refusals carry a Delay for the core's timer. Time
// is that of the requests.
//
// A login that has begun counts as failed until it turns out otherwise, so that
// many at one time are no way around; a good login clears the user's failures,
// not those of the address. Somebody who knows a name and is past the peer's
// own authentication can make that user wait.
func ThrottleLogins(users UserAuthenticator, cfg ThrottleConfig) UserAuthenticator {
	fill := func(n *int, def int) {
		if *n <= 0 {
			*n = def
		}
	}
	fillTime := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	fill(&cfg.UserFree, 5)
	fill(&cfg.AddressFree, 20)
	fill(&cfg.MaxEntries, 1<<16)
	fillTime(&cfg.Delay, time.Second)
	fillTime(&cfg.MaxDelay, max(time.Minute, cfg.Delay))
	fillTime(&cfg.Forget, 15*time.Minute)
	return &loginThrottle{users: users, cfg: cfg, entries: make(map[loginKey]*list.Element)}
}

type loginThrottle struct {
	users UserAuthenticator
	cfg   ThrottleConfig

	mu      sync.Mutex
	entries map[loginKey]*list.Element // of *loginEntry
	seen    list.List                  // the one seen last is first
}

// loginKey is a user or a network.
type loginKey struct {
	user string
	from netip.Prefix
}

type loginEntry struct {
	key             loginKey
	failed, running int
	last            time.Time // that one began or failed
}

// Unwrap returns the authenticator behind.
func (t *loginThrottle) Unwrap() UserAuthenticator { return t.users }

// String names the authenticator behind.
func (t *loginThrottle) String() string { return fmt.Sprintf("%v, throttled", t.users) }

func (t *loginThrottle) Format(f fmt.State, _ rune) { fmt.Fprint(f, t.String()) }

func (t *loginThrottle) Supports(k UserAuthKind) bool { return t.users.Supports(k) }

func (t *loginThrottle) AuthenticateUser(ctx context.Context, r UserRequest) (UserAnswer, error) {
	if r.Fields()&^(FieldUser|FieldDomain) == 0 {
		return t.users.AuthenticateUser(ctx, r) // nothing is guessed
	}
	keys := t.keys(r)
	if wait := t.begin(keys, r.Time); wait > 0 {
		return UserRejected{User: r.User, Cause: RejectThrottled, Delay: t.cfg.Delay,
			Reason: fmt.Sprintf("the next one in %v", wait.Round(time.Second/10))}, nil
	}
	answer, err := t.users.AuthenticateUser(ctx, r)
	failed, accepted := false, false
	if err == nil {
		switch a := answer.(type) {
		case UserAccepted:
			accepted = true
		case UserRejected:
			failed = a.Cause == RejectCredentials || a.Cause == RejectDisabled
			a.Delay = max(a.Delay, t.cfg.Delay)
			answer = a
		case UserPrompt:
			if failed = a.Failed; failed {
				a.Delay = max(a.Delay, t.cfg.Delay)
				answer = a
			}
		}
	}
	t.end(keys, r.Time, failed, accepted)
	return answer, err
}

// keys returns what a login is counted under: the user, if it is named, and the
// address.
func (t *loginThrottle) keys(r UserRequest) []loginKey {
	keys := make([]loginKey, 0, 2)
	if from := r.Path.Remote.Addr().Unmap().WithZone(""); from.IsValid() {
		bits := 32
		if from.Is6() {
			bits = 64
		}
		p, _ := from.Prefix(bits)
		keys = append(keys, loginKey{from: p})
	}
	if user := r.User; user != "" {
		keys = append(keys, loginKey{user: user[:min(len(user), MaxUserName)]})
	}
	return keys
}

// begin counts a login that begins, or returns how long it is too early.
func (t *loginThrottle) begin(keys []loginKey, now time.Time) (wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range keys {
		wait = max(wait, t.tooEarly(k, now))
	}
	if wait > 0 {
		return wait
	}
	for _, k := range keys {
		e := t.entry(k)
		e.running++
		e.last = now
	}
	return 0
}

func (t *loginThrottle) tooEarly(k loginKey, now time.Time) time.Duration {
	el := t.entries[k]
	if el == nil {
		return 0
	}
	e := el.Value.(*loginEntry)
	if e.last.After(now) { // the clock was set back
		e.last = now
	}
	age := now.Sub(e.last)
	if age >= t.cfg.Forget {
		e.failed = 0
	}
	free := t.cfg.AddressFree
	if k.user != "" {
		free = t.cfg.UserFree
	}
	if e.failed+e.running < free {
		return 0
	}
	delay := t.cfg.Delay
	for n := e.failed - free; n > 0 && delay < t.cfg.MaxDelay; n-- {
		delay *= 2
	}
	delay = min(delay, t.cfg.MaxDelay)
	if age < delay {
		return delay - age
	}
	if e.running > 0 { // beyond what is free, one at a time
		return t.cfg.Delay
	}
	return 0
}

// entry returns the entry of k and makes it the one seen last.
func (t *loginThrottle) entry(k loginKey) *loginEntry {
	if el := t.entries[k]; el != nil {
		t.seen.MoveToFront(el)
		return el.Value.(*loginEntry)
	}
	if t.seen.Len() >= t.cfg.MaxEntries {
		old := t.seen.Back()
		delete(t.entries, t.seen.Remove(old).(*loginEntry).key)
	}
	e := &loginEntry{key: k}
	t.entries[k] = t.seen.PushFront(e)
	return e
}

// end counts how a login ended. What nothing is held against is forgotten.
func (t *loginThrottle) end(keys []loginKey, now time.Time, failed, accepted bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range keys {
		e := t.entry(k)
		e.running = max(e.running-1, 0)
		switch {
		case failed:
			e.failed++
			if e.last.Before(now) {
				e.last = now
			}
		case accepted && k.user != "":
			e.failed = 0
		}
		if e.failed == 0 && e.running == 0 {
			t.seen.Remove(t.entries[k])
			delete(t.entries, k)
		}
	}
}
