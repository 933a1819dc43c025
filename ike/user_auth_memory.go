package ike

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/racoon3/racoon/internal/password"
)

// A User is an entry of [MemoryUsers].
type User struct {
	// Password is the password itself, which CHAP needs; or Hash is a hash of
	// it: bcrypt ($2a$, $2b$, $2y$), SHA-crypt ($5$, $6$), or a PHC string of
	// Argon2 ($argon2id$, $argon2i$) or scrypt ($scrypt$). One of them.
	Password Secret
	Hash     Secret

	Groups []string
	// Addresses are fixed inner addresses, one of a family at most.
	Addresses []netip.Addr
	// Config and SessionTimeout are as in UserAccepted.
	Config         *NetworkConfig
	SessionTimeout time.Duration
	// Disabled locks the account.
	Disabled bool
}

// Format implements [fmt.Formatter] for every verb.
func (u User) Format(f fmt.State, _ rune) { fmt.Fprint(f, u.String()) }

// String shows nothing of the password and its hash.
func (u User) String() string {
	s := fmt.Sprintf("groups %q, addresses %v", u.Groups, u.Addresses)
	if u.Disabled {
		s += ", disabled"
	}
	return s
}

// MarshalText implements [encoding.TextMarshaler]; JSON and slog use it.
func (u User) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// MemoryUsers is a [UserAuthenticator] that holds its users in memory, for
// tests, for a few users, and for programs that keep them in a way of their
// own. It asks for name and password at once.
//
// An unknown user takes as long as one whose hash is of the most frequent kind:
// use one kind and cost, so that time does not tell who exists. No more
// passwords are checked at one time than there are processors.
//
// It is safe for concurrent use.
type MemoryUsers struct{ users atomic.Pointer[userTable] }

// NewMemoryUsers checks the users, by their names, and returns the back end.
// What it is given is copied.
func NewMemoryUsers(users map[string]User) (*MemoryUsers, error) {
	m := &MemoryUsers{}
	if err := m.Replace(users); err != nil {
		return nil, err
	}
	return m, nil
}

// Replace exchanges all users at once. Logins that have begun go by what was
// before. Nothing changes if it fails.
func (m *MemoryUsers) Replace(users map[string]User) error {
	t := newUserTable()
	for _, name := range slices.Sorted(maps.Keys(users)) {
		if err := t.add(name, users[name]); err != nil {
			return err
		}
	}
	t.finish()
	m.users.Store(t)
	return nil
}

// Supports implements [UserAuthenticator]: generic, and CHAP if the password of
// every user is there.
func (m *MemoryUsers) Supports(k UserAuthKind) bool { return m.users.Load().supports(k) }

// AuthenticateUser implements [UserAuthenticator].
func (m *MemoryUsers) AuthenticateUser(ctx context.Context, r UserRequest) (UserAnswer, error) {
	return m.users.Load().authenticate(ctx, r)
}

// Format implements [fmt.Formatter] for every verb.
func (m *MemoryUsers) Format(f fmt.State, _ rune) { fmt.Fprint(f, m.String()) }

// String says how many users there are.
func (m *MemoryUsers) String() string { return fmt.Sprintf("%d users", len(m.users.Load().users)) }

// userTable is a set of users; it does not change once it is finished.
type userTable struct {
	users   map[string]*userEntry
	owners  map[netip.Addr]string // of the fixed addresses
	kinds   map[string]int        // how many users have a hash of this kind and cost
	typical *password.Hash        // of the most frequent ones, for users that do not exist
	running chan struct{}         // checks of passwords, as many as it has room for
}

type userEntry struct {
	User
	hash *password.Hash // nil if there is a password
}

func newUserTable() *userTable {
	return &userTable{
		users: make(map[string]*userEntry), owners: make(map[netip.Addr]string), kinds: make(map[string]int),
		running: make(chan struct{}, runtime.GOMAXPROCS(0)),
	}
}

func (t *userTable) add(name string, u User) error {
	fail := func(err error) error { return fmt.Errorf("user %s: %w", quoteUser(name), err) }
	if name == "" {
		return errors.New("a user without a name")
	}
	if err := (UserAnswers{User: name, Password: u.Password}).Validate(); err != nil {
		return fail(err)
	}
	e := &userEntry{User: u}
	switch {
	case len(u.Password) > 0 && len(u.Hash) > 0:
		return fail(errors.New("both a password and a hash"))
	case len(u.Hash) > 0:
		h, err := password.Parse(string(u.Hash))
		if err != nil {
			return fail(err)
		}
		e.hash, e.Hash = h, nil
		if t.kinds[h.Params()]++; t.typical == nil || t.kinds[h.Params()] > t.kinds[t.typical.Params()] {
			t.typical = h
		}
	case len(u.Password) > 0:
		e.Password = u.Password.Clone()
	case !u.Disabled:
		return fail(errors.New("neither a password nor a hash"))
	}
	e.Groups = slices.Clone(u.Groups)
	e.Addresses = nil
	var families [2]bool
	for _, a := range u.Addresses {
		a = a.Unmap()
		if len(FixedAddresses([]netip.Addr{a})) == 0 || a.Zone() != "" || a.IsMulticast() {
			return fail(fmt.Errorf("%v cannot be anybody's address", a))
		}
		family := &families[0]
		if a.Is6() {
			family = &families[1]
		}
		if *family {
			return fail(fmt.Errorf("%v is a second address of its family", a))
		}
		*family = true
		if owner, taken := t.owners[a]; taken {
			return fail(fmt.Errorf("%v is %s's already", a, quoteUser(owner)))
		}
		t.owners[a] = name
		e.Addresses = append(e.Addresses, a)
	}
	if u.Config != nil && len(u.Config.Addresses) > 0 {
		return fail(errors.New("Config.Addresses: fixed addresses belong into Addresses"))
	}
	t.users[name] = e
	return nil
}

// finish ends the making of a table.
func (t *userTable) finish() { t.kinds = nil }

func (t *userTable) supports(k UserAuthKind) bool {
	switch k {
	case UserGeneric:
		return true
	case UserCHAP:
		for _, e := range t.users {
			if e.hash != nil {
				return false
			}
		}
		return true
	}
	return false
}

func (t *userTable) authenticate(ctx context.Context, r UserRequest) (UserAnswer, error) {
	if r.Kind != UserGeneric && r.Kind != UserCHAP {
		return nil, fmt.Errorf("%v cannot be done with passwords", r.Kind)
	}
	if r.Round == 0 {
		return UserPrompt{Kind: r.Kind, Fields: FieldUser | FieldPassword}, nil
	}
	reject := func(cause RejectCause, reason string) (UserAnswer, error) {
		return UserRejected{User: r.User, Cause: cause, Reason: reason}, nil
	}
	if err := r.Validate(); err != nil {
		return reject(RejectProtocol, err.Error())
	}
	if r.User == "" || len(r.Password) == 0 {
		return reject(RejectProtocol, "name or password is missing")
	}
	select {
	case t.running <- struct{}{}:
		defer func() { <-t.running }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	e, known := t.users[r.User]
	right, able := t.check(e, r)
	switch {
	case !known:
		return reject(RejectCredentials, "no such user")
	case !able:
		return reject(RejectPolicy, "CHAP needs the password, and only a hash of it is here")
	case !right:
		return reject(RejectCredentials, "wrong password")
	case e.Disabled:
		return reject(RejectDisabled, "")
	}
	return UserAccepted{User: r.User, Groups: slices.Clone(e.Groups), Addresses: slices.Clone(e.Addresses), Config: e.Config, SessionTimeout: e.SessionTimeout}, nil
}

// nobody is the password of users that do not exist.
var nobody = Secret("not compared for its result")

// check compares the password of the request with an entry, which is nil for
// an unknown user: that takes as long. able is false if there is only a hash
// where the password is needed.
func (t *userTable) check(e *userEntry, r UserRequest) (right, able bool) {
	want, hash := nobody, t.typical
	exists := e != nil && (len(e.Password) > 0 || e.hash != nil) // else unknown, or locked without a hash
	if exists {
		want, hash = e.Password, e.hash
	}
	switch {
	case r.Kind == UserCHAP:
		right, able = VerifyCHAP(r.Password, want, r.Challenge), !exists || hash == nil
	case hash != nil:
		right, able = hash.Verify(r.Password), true
	default: // sums, so that the time does not depend on the length either
		a, b := sha256.Sum256(r.Password), sha256.Sum256(want)
		right, able = subtle.ConstantTimeCompare(a[:], b[:]) == 1, true
	}
	return right && exists && able, able
}
