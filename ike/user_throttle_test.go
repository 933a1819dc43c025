package ike

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// countingUsers accepts one password and counts how often it is asked.
type countingUsers struct {
	asked int
	fail  error
	block func()
}

func (c *countingUsers) Supports(UserAuthKind) bool { return true }

func (c *countingUsers) AuthenticateUser(_ context.Context, r UserRequest) (UserAnswer, error) {
	c.asked++
	if c.block != nil {
		c.block()
	}
	switch {
	case c.fail != nil:
		return nil, c.fail
	case r.Round == 0:
		return UserPrompt{Fields: FieldUser | FieldPassword}, nil
	case string(r.Password) == "right":
		return UserAccepted{}, nil
	case string(r.Password) == "again":
		return UserPrompt{Fields: FieldPassword, Failed: true}, nil
	case string(r.Password) == "first":
		return UserPrompt{Fields: FieldPasscode}, nil
	case string(r.Password) == "policy":
		return UserRejected{User: r.User, Cause: RejectPolicy}, nil
	}
	return UserRejected{User: r.User, Cause: RejectCredentials}, nil
}

func loginAt(user, password, from string, at time.Duration) UserRequest {
	r := login(user, password)
	r.Path.Remote = netip.AddrPortFrom(netip.MustParseAddr(from), 4500)
	r.Time = loginTime.Add(at)
	return r
}

func TestThrottleByUser(t *testing.T) {
	back := &countingUsers{}
	users := ThrottleLogins(back, ThrottleConfig{UserFree: 3, AddressFree: 1000, Delay: time.Second, MaxDelay: 10 * time.Second})
	from := func(i int) string { return fmt.Sprintf("198.51.100.%d", i) } // a botnet
	for i := range 3 {
		r := rejected(t, users, loginAt("alice", "guess", from(i), 0))
		require.Equal(t, RejectCredentials, r.Cause)
		require.Equal(t, time.Second, r.Delay, "the refusal is held back")
	}
	at := time.Duration(0)
	for i, delay := range []time.Duration{1, 2, 4, 8, 10, 10} {
		delay *= time.Second
		r := rejected(t, users, loginAt("alice", "right", from(i+10), at+delay-1))
		require.Equal(t, RejectThrottled, r.Cause, "even the right password waits")
		require.Equal(t, time.Second, r.Delay)
		require.Equal(t, 3+i, back.asked, "the back end is not asked")
		at += delay
		require.Equal(t, RejectCredentials, rejected(t, users, loginAt("alice", "guess", from(i+20), at)).Cause)
	}
	accepted(t, users, loginAt("bob", "right", from(1), at))
	accepted(t, users, loginAt("alice", "right", from(99), at+10*time.Second))
	for range 3 {
		require.Equal(t, RejectCredentials, rejected(t, users, loginAt("alice", "guess", from(1), at+11*time.Second)).Cause, "a good login has cleared it")
	}
}

func TestThrottleByAddress(t *testing.T) {
	back := &countingUsers{}
	users := ThrottleLogins(back, ThrottleConfig{UserFree: 1000, AddressFree: 4, Delay: time.Second})
	for _, c := range []struct{ here, neighbour, elsewhere string }{
		{"198.51.100.7", "::ffff:198.51.100.7", "198.51.100.8"},
		{"2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"},
	} {
		for i := range 4 {
			// A login of the attacker's own in between gains nothing.
			accepted(t, users, loginAt("mallory", "right", c.here, 0))
			require.Equal(t, RejectCredentials, rejected(t, users, loginAt(fmt.Sprint("user", i), "guess", c.here, 0)).Cause)
		}
		require.Equal(t, RejectThrottled, rejected(t, users, loginAt("alice", "right", c.here, 0)).Cause)
		require.Equal(t, RejectThrottled, rejected(t, users, loginAt("alice", "right", c.neighbour, 0)).Cause)
		accepted(t, users, loginAt("alice", "right", c.elsewhere, 0))
		accepted(t, users, loginAt("alice", "right", c.here, time.Second))
	}
}

func TestThrottleForgets(t *testing.T) {
	users := ThrottleLogins(&countingUsers{}, ThrottleConfig{UserFree: 2, Forget: time.Minute, MaxDelay: time.Hour, Delay: 50 * time.Second})
	for range 2 {
		rejected(t, users, loginAt("alice", "guess", "192.0.2.1", 0))
	}
	require.Equal(t, RejectThrottled, rejected(t, users, loginAt("alice", "x", "192.0.2.1", 49*time.Second)).Cause)
	for range 2 {
		require.Equal(t, RejectCredentials, rejected(t, users, loginAt("alice", "guess", "192.0.2.1", time.Minute)).Cause)
	}
	// C16: a clock that is set back by a day locks nobody out for a day.
	require.Equal(t, RejectThrottled, rejected(t, users, loginAt("alice", "right", "192.0.2.1", -24*time.Hour)).Cause)
	accepted(t, users, loginAt("alice", "right", "192.0.2.1", -24*time.Hour+50*time.Second))
}

func TestThrottleCountsWhatIsAGuess(t *testing.T) {
	back := &countingUsers{}
	users := ThrottleLogins(back, ThrottleConfig{UserFree: 2})
	first := loginAt("", "", "192.0.2.1", 0)
	first.Round, first.Password = 0, nil
	for range 50 {
		require.IsType(t, UserPrompt{}, ask(t, users, first))
		require.IsType(t, UserPrompt{}, ask(t, users, loginAt("alice", "first", "192.0.2.1", 0)), "right so far")
		require.Equal(t, RejectPolicy, rejected(t, users, loginAt("alice", "policy", "192.0.2.1", 0)).Cause)
	}
	back.fail = errors.New("the server does not answer")
	for range 50 {
		_, err := users.AuthenticateUser(context.Background(), loginAt("alice", "right", "192.0.2.1", 0))
		require.ErrorIs(t, err, back.fail)
	}
	back.fail = nil
	for range 2 { // another try in the same conversation is a guess all the same
		p, ok := ask(t, users, loginAt("alice", "again", "192.0.2.1", 0)).(UserPrompt)
		require.True(t, ok)
		require.Equal(t, time.Second, p.Delay)
	}
	require.Equal(t, RejectThrottled, rejected(t, users, loginAt("alice", "right", "192.0.2.1", 0)).Cause)
}

// Logins at one time count before they have failed.
func TestThrottleParallelGuesses(t *testing.T) {
	back := &countingUsers{}
	users := ThrottleLogins(back, ThrottleConfig{UserFree: 3})
	var causes []RejectCause
	back.block = func() { // the back end is slow, and the next guess comes meanwhile
		causes = append(causes, rejected(t, users, loginAt("alice", "guess", "192.0.2.1", 0)).Cause)
	}
	rejected(t, users, loginAt("alice", "guess", "192.0.2.1", 0))
	require.Equal(t, []RejectCause{RejectThrottled, RejectCredentials, RejectCredentials}, causes)
	require.Equal(t, 3, back.asked)

	// Beyond what is free, one at a time, however long it takes.
	back.block = func() {
		back.block = nil
		require.Equal(t, RejectThrottled, rejected(t, users, loginAt("alice", "guess", "192.0.2.1", time.Hour/8)).Cause)
	}
	require.Equal(t, RejectCredentials, rejected(t, users, loginAt("alice", "guess", "192.0.2.1", time.Minute)).Cause)
	require.Equal(t, 4, back.asked)
}

func TestThrottleMemoryIsBounded(t *testing.T) {
	back := &countingUsers{}
	users := ThrottleLogins(back, ThrottleConfig{MaxEntries: 100, UserFree: 1}).(*loginThrottle)
	for i := range 10_000 {
		ask(t, users, loginAt(fmt.Sprint("user", i), "guess", netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String(), 0))
		require.LessOrEqual(t, len(users.entries), 100)
		require.Equal(t, len(users.entries), users.seen.Len())
	}
	require.Equal(t, RejectThrottled, rejected(t, users, loginAt("user9999", "right", "192.0.2.1", 0)).Cause, "the last ones are known")
	accepted(t, users, loginAt("user1", "right", "192.0.2.1", 0))
	// Good logins leave nothing behind.
	users = ThrottleLogins(back, ThrottleConfig{}).(*loginThrottle)
	for i := range 100 {
		accepted(t, users, loginAt(fmt.Sprint("user", i), "right", "192.0.2.1", 0))
	}
	require.Empty(t, users.entries)
	require.Zero(t, users.seen.Len())
}

// accountedUsers has an accounting side.
type accountedUsers struct {
	countingUsers
	records []AccountingRecord
}

func (a *accountedUsers) Account(_ context.Context, r AccountingRecord) error {
	a.records = append(a.records, r)
	return nil
}

func TestAccountingBehindWrappers(t *testing.T) {
	back := &accountedUsers{}
	acct := Accounting(ThrottleLogins(RequireGroup(back, "staff"), ThrottleConfig{}))
	require.NotNil(t, acct)
	require.NoError(t, acct.Account(context.Background(), AccountingRecord{Kind: AccountingStop, User: "alice"}))
	require.Equal(t, "alice", back.records[0].User)
	require.Nil(t, Accounting(ThrottleLogins(&countingUsers{}, ThrottleConfig{})))
	require.Nil(t, Accounting(nil))
}

func BenchmarkThrottle(b *testing.B) {
	users := ThrottleLogins(&countingUsers{}, ThrottleConfig{})
	r := login("alice", "right")
	ctx := context.Background()
	b.Run("throttled", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = users.AuthenticateUser(ctx, r)
		}
	})
	b.Run("bare", func(b *testing.B) {
		bare := &countingUsers{}
		b.ReportAllocs()
		for b.Loop() {
			_, _ = bare.AuthenticateUser(ctx, r)
		}
	})
}
