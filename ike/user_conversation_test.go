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

// converse lets the two sides of a login talk as a core does, without the wire.
func converse(t testing.TB, users UserAuthenticator, kind UserAuthKind, prompt UserPrompter) (UserAnswer, []string, error) {
	t.Helper()
	var transcript []string
	r := login("", "")
	r.Round, r.Password, r.Kind = 0, nil, kind
	var answered UserFields
	for {
		require.LessOrEqual(t, r.Round, MaxUserRounds)
		answer, err := users.AuthenticateUser(context.Background(), r)
		r.UserAnswers.Wipe()
		if err != nil {
			return nil, transcript, err
		}
		p, ok := answer.(UserPrompt)
		if !ok {
			return answer, transcript, nil
		}
		if p.Kind == UserCHAP && p.Challenge == nil {
			p.Challenge = []byte("sixteen random..")
		}
		transcript = append(transcript, fmt.Sprintf("REQUEST(%v: %v) %s", p.Kind, p.Fields, p.Message))
		reply, err := prompt(context.Background(), PromptRequest{Session: 1, Round: r.Round + 1, Kind: p.Kind, Fields: p.Fields, Message: p.Message, Challenge: p.Challenge, Answered: answered})
		if err != nil {
			return nil, transcript, err
		}
		answered |= reply.Fields()
		if p.Kind == UserCHAP && reply.Password != nil {
			response := AppendCHAP(nil, 0xaa, reply.Password, p.Challenge)
			reply.Password.Wipe()
			reply.Password = response
		}
		transcript = append(transcript, "REPLY("+reply.Fields().String()+")")
		r.Round, r.Kind, r.UserAnswers, r.Challenge, r.State = r.Round+1, p.Kind, reply, p.Challenge, p.State
	}
}

// scriptedUsers is a back end in the manner of RADIUS: each Access-Challenge
// has a State, which finds the next step.
type scriptedUsers []func(r UserRequest) UserAnswer

func (s scriptedUsers) Supports(UserAuthKind) bool { return true }

func (s scriptedUsers) AuthenticateUser(_ context.Context, r UserRequest) (UserAnswer, error) {
	step, _ := r.State.([]byte)
	if len(step) != r.Round {
		return nil, errors.New("the state was lost")
	}
	if len(step) == len(s) {
		return UserAccepted{User: "joe"}, nil
	}
	answer := s[len(step)](r)
	if p, ok := answer.(UserPrompt); ok {
		p.State = append(step[:len(step):len(step)], 1)
		answer = p
	}
	return answer, nil
}

func TestXAuthConversations(t *testing.T) {
	ask := func(fields UserFields, message string, want UserAnswers) func(UserRequest) UserAnswer {
		return func(r UserRequest) UserAnswer {
			if r.User != want.User || !r.Password.Equal(want.Password) || !r.Passcode.Equal(want.Passcode) || !r.NextPIN.Equal(want.NextPIN) || !r.Answer.Equal(want.Answer) {
				return UserRejected{User: r.User}
			}
			return UserPrompt{Fields: fields, Message: message}
		}
	}
	both := FieldUser | FieldPassword
	for _, c := range []struct {
		name    string // in draft-beaulieu-ike-xauth-02
		server  scriptedUsers
		replies []UserAnswers
		rounds  int
	}{
		{"5.1 simple", scriptedUsers{ask(both, "", UserAnswers{})}, []UserAnswers{{User: "joe", Password: Secret("foobar")}}, 1},
		{"5.3 two factors", scriptedUsers{
			ask(both|FieldPasscode, "", UserAnswers{}),
			ask(both|FieldPasscode, "", UserAnswers{User: "joe", Password: Secret("foobar"), Passcode: Secret("323415")}),
		}, []UserAnswers{{User: "joe", Password: Secret("foobar"), Passcode: Secret("323415")}, {User: "joe", Password: Secret("foobar"), Passcode: Secret("513212")}}, 2},
		{"A-2 new PIN", scriptedUsers{
			ask(both, "", UserAnswers{}),
			ask(FieldNextPIN, "Enter your new PIN containing 4-6 digits", UserAnswers{User: "joe", Password: Secret("1637364856")}),
			ask(both, "", UserAnswers{NextPIN: Secret("1234")}),
		}, []UserAnswers{{User: "joe", Password: Secret("1637364856")}, {NextPIN: Secret("1234")}, {User: "joe", Password: Secret("1234764456")}}, 3},
		{"A-3 answer", scriptedUsers{
			ask(both, "", UserAnswers{}),
			ask(FieldAnswer, "Would you like to generate your own PIN (y/n)?", UserAnswers{User: "joe", Password: Secret("1")}),
		}, []UserAnswers{{User: "joe", Password: Secret("1")}, {Answer: Secret("y")}}, 2},
		{"5.5 previously authenticated", nil, nil, 0},
	} {
		rounds := 0
		answer, transcript, err := converse(t, c.server, UserGeneric, func(_ context.Context, r PromptRequest) (UserAnswers, error) {
			rounds++
			require.Equal(t, rounds, r.Round)
			a := c.replies[r.Round-1]
			return UserAnswers{User: a.User, Password: a.Password.Clone(), Passcode: a.Passcode.Clone(), NextPIN: a.NextPIN.Clone(), Answer: a.Answer.Clone()}, nil
		})
		require.NoError(t, err, c.name)
		require.Equal(t, UserAccepted{User: "joe"}, answer, "%s: %q", c.name, transcript)
		require.Equal(t, c.rounds, rounds, c.name)
	}
}

func TestConversationsOfOurOwnSides(t *testing.T) {
	users, err := NewMemoryUsers(map[string]User{"joe": {Password: Secret("foobar")}})
	require.NoError(t, err)
	guarded := ThrottleLogins(users, ThrottleConfig{})
	for _, kind := range []UserAuthKind{UserGeneric, UserCHAP} {
		answer, transcript, err := converse(t, guarded, kind, StaticUser("joe", Secret("foobar")))
		require.NoError(t, err)
		require.Equal(t, UserAccepted{User: "joe"}, answer)
		require.Equal(t, []string{fmt.Sprintf("REQUEST(%v: user name, password) ", kind), "REPLY(user name, password)"}, transcript)
		answer, _, err = converse(t, guarded, kind, StaticUser("joe", Secret("foobaz")))
		require.NoError(t, err)
		require.Equal(t, UserRejected{User: "joe", Reason: "wrong password", Delay: time.Second}, answer)
	}
	// A gateway that asks again and again gets the password once.
	nagging := scriptedUsers{}
	for range MaxUserRounds {
		nagging = append(nagging, func(UserRequest) UserAnswer { return UserPrompt{Fields: FieldUser | FieldPassword, Failed: true} })
	}
	_, transcript, err := converse(t, nagging, UserGeneric, StaticUser("joe", Secret("foobar")))
	require.ErrorIs(t, err, ErrPrompt)
	require.Len(t, transcript, 3)
	_, _, err = converse(t, users, UserOTP, StaticUser("joe", Secret("foobar")))
	require.ErrorContains(t, err, "OTP cannot be done with passwords")
}

// directory is a back end in the manner of LDAP: search, bind as the user,
// groups, addresses from attributes. It shows that one fits in.
type directory struct {
	entries map[string]map[string][]string
}

func (directory) Supports(k UserAuthKind) bool { return k == UserGeneric }

func (d directory) AuthenticateUser(ctx context.Context, r UserRequest) (UserAnswer, error) {
	if r.Round == 0 {
		return UserPrompt{Fields: FieldUser | FieldPassword, Message: "directory login"}, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e := d.entries[r.User]
	if e == nil || len(r.Password) == 0 || !r.Password.Equal([]byte(e["password"][0])) { // an empty one would bind anonymously
		return UserRejected{User: r.User, Reason: "bind: invalid credentials"}, nil
	}
	a := UserAccepted{User: e["uid"][0], Groups: e["memberOf"], Class: [][]byte{[]byte(e["dn"][0])}}
	for _, s := range e["racoon-address"] {
		addr, err := netip.ParseAddr(s)
		if err != nil {
			return nil, fmt.Errorf("the directory has the address %q for %s: %w", s, a.User, err)
		}
		a.Addresses = append(a.Addresses, addr)
	}
	return a, nil
}

func TestDirectoryFits(t *testing.T) {
	d := directory{map[string]map[string][]string{
		"JOE": {"dn": {"uid=joe,ou=people"}, "uid": {"joe"}, "password": {"x"}, "memberOf": {"vpn"}, "racoon-address": {"10.0.0.9", "255.255.255.254"}},
		"ann": {"dn": {"uid=ann"}, "uid": {"ann"}, "password": {"x"}, "racoon-address": {"ten"}},
	}}
	answer, _, err := converse(t, RequireGroup(d, "vpn"), UserGeneric, StaticUser("JOE", Secret("x")))
	require.NoError(t, err)
	a := answer.(UserAccepted)
	require.Equal(t, "joe", a.User, "the name that counts is the directory's")
	require.Equal(t, []netip.Addr{netip.MustParseAddr("10.0.0.9")}, FixedAddresses(a.Addresses))
	require.Equal(t, "uid=joe,ou=people", string(a.Class[0]))
	_, _, err = converse(t, d, UserGeneric, StaticUser("ann", Secret("x")))
	require.ErrorContains(t, err, `the address "ten" for ann`)
}
