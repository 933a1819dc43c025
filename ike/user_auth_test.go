package ike

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"
)

var loginTime = time.Unix(1_700_000_000, 0)

// login is a request as a core makes it.
func login(user, password string) UserRequest {
	return UserRequest{
		Time: loginTime, Session: 1, Peer: "clients", RemoteID: Identity{IDKeyID, "sales"}, Method: "pre-shared key", Round: 1,
		Path:        Path{Local: netip.MustParseAddrPort("192.0.2.1:4500"), Remote: netip.MustParseAddrPort("198.51.100.7:4500")},
		UserAnswers: UserAnswers{User: user, Password: Secret(password)},
	}
}

func ask(t testing.TB, a UserAuthenticator, r UserRequest) UserAnswer {
	t.Helper()
	answer, err := a.AuthenticateUser(context.Background(), r)
	require.NoError(t, err)
	require.NotNil(t, answer)
	return answer
}

func rejected(t testing.TB, a UserAuthenticator, r UserRequest) UserRejected {
	t.Helper()
	answer := ask(t, a, r)
	require.IsType(t, UserRejected{}, answer)
	require.Equal(t, r.User, answer.(UserRejected).User)
	return answer.(UserRejected)
}

func accepted(t testing.TB, a UserAuthenticator, r UserRequest) UserAccepted {
	t.Helper()
	answer := ask(t, a, r)
	require.IsType(t, UserAccepted{}, answer)
	return answer.(UserAccepted)
}

func hashOf(t testing.TB, password string) Secret {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	require.NoError(t, err)
	return h
}

// TestCHAP has the example of RFC 2865 7.2, the digest being that of RFC 1994.
func TestCHAP(t *testing.T) {
	challenge := []byte("\x2a\xee\x86\xf0\x8d\x0d\x55\x96\x9c\xa5\x97\x8e\x0d\x33\x67\xa2")
	response := Secret("\x16\xe9\x75\x57\xc3\x16\x18\x58\x95\xf2\x93\xff\x63\x44\x07\x72\x75")
	password := Secret("arctangent")
	require.Equal(t, []byte(response), AppendCHAP(nil, 0x16, password, challenge))
	require.True(t, VerifyCHAP(response, password, challenge))
	for i := range response {
		bad := response.Clone()
		bad[i] ^= 1
		require.False(t, VerifyCHAP(bad, password, challenge), i)
	}
	require.False(t, VerifyCHAP(response, Secret("arctangens"), challenge))
	require.False(t, VerifyCHAP(response, password, challenge[1:]))
	require.False(t, VerifyCHAP(response[:16], password, challenge))
	require.False(t, VerifyCHAP(append(response.Clone(), 0), password, challenge))
	require.False(t, VerifyCHAP(nil, password, challenge))
	sum := md5.Sum([]byte("\x01arctangent"))
	require.False(t, VerifyCHAP(append(Secret{1}, sum[:]...), password, nil), "a response to no challenge is a replay")
}

func TestMemoryUsers(t *testing.T) {
	users, err := NewMemoryUsers(map[string]User{
		"alice": {Password: Secret("wonderland"), Groups: []string{"staff"}, Addresses: []netip.Addr{netip.MustParseAddr("10.9.0.7"), netip.MustParseAddr("2001:db8::7")}, SessionTimeout: time.Hour},
		"bob":   {Hash: hashOf(t, "builder"), Config: &NetworkConfig{Banner: "hello bob"}},
		"carol": {Hash: hashOf(t, "secret"), Disabled: true},
		"dave":  {Disabled: true},
	})
	require.NoError(t, err)

	first := login("", "")
	first.Round, first.Password = 0, nil
	require.Equal(t, UserPrompt{Fields: FieldUser | FieldPassword}, ask(t, users, first))

	a := accepted(t, users, login("alice", "wonderland"))
	require.Equal(t, UserAccepted{User: "alice", Groups: []string{"staff"}, Addresses: []netip.Addr{netip.MustParseAddr("10.9.0.7"), netip.MustParseAddr("2001:db8::7")}, SessionTimeout: time.Hour}, a)
	require.Equal(t, "hello bob", accepted(t, users, login("bob", "builder")).Config.Banner)

	for _, c := range []struct {
		user, password string
		cause          RejectCause
	}{
		{"alice", "wonderlanD", RejectCredentials},
		{"alice", "wonderland2", RejectCredentials},
		{"alice", "builder", RejectCredentials},
		{"Alice", "wonderland", RejectCredentials},
		{"bob", "builde", RejectCredentials},
		{"carol", "wrong", RejectCredentials},
		{"carol", "secret", RejectDisabled},
		{"dave", "x", RejectCredentials},
		{"nobody", "x", RejectCredentials},
		{"nobody", string(nobody), RejectCredentials},
		{"dave", string(nobody), RejectCredentials},
		{"alice", "", RejectProtocol},
		{"", "wonderland", RejectProtocol},
		{"alice\n", "wonderland", RejectProtocol},
		{strings.Repeat("a", 254), "wonderland", RejectProtocol},
		{"alice", strings.Repeat("w", 257), RejectProtocol},
		{"\xff", "x", RejectProtocol},
	} {
		r := rejected(t, users, login(c.user, c.password))
		require.Equal(t, c.cause, r.Cause, c)
		require.ErrorIs(t, r, ErrUserRejected)
	}
	require.NoError(t, users.Replace(map[string]User{"eve": {Password: Secret("x")}}))
	require.Equal(t, RejectCredentials, rejected(t, users, login("alice", "wonderland")).Cause)
	require.Error(t, users.Replace(map[string]User{"": {}}))
	accepted(t, users, login("eve", "x"))

	copied := Secret("once")
	require.NoError(t, users.Replace(map[string]User{"x": {Password: copied}}))
	copied.Wipe()
	accepted(t, users, login("x", "once"))
}

func TestMemoryUsersCHAP(t *testing.T) {
	clear, err := NewMemoryUsers(map[string]User{"alice": {Password: Secret("wonderland")}, "bob": {Disabled: true}})
	require.NoError(t, err)
	mixed, err := NewMemoryUsers(map[string]User{"alice": {Password: Secret("wonderland")}, "bob": {Hash: hashOf(t, "builder")}})
	require.NoError(t, err)
	require.True(t, clear.Supports(UserGeneric))
	require.True(t, clear.Supports(UserCHAP))
	require.True(t, mixed.Supports(UserGeneric))
	require.False(t, mixed.Supports(UserCHAP))
	require.False(t, clear.Supports(UserOTP))

	chap := func(user, password string) UserRequest {
		r := login(user, "")
		r.Kind, r.Challenge = UserCHAP, []byte("sixteen octets..")
		r.Password = AppendCHAP(nil, 7, Secret(password), r.Challenge)
		return r
	}
	accepted(t, clear, chap("alice", "wonderland"))
	accepted(t, mixed, chap("alice", "wonderland"))
	require.Equal(t, RejectCredentials, rejected(t, clear, chap("alice", "wonderlane")).Cause)
	require.Equal(t, RejectCredentials, rejected(t, clear, chap("bob", "")).Cause, "no password is not the empty password")
	require.Equal(t, RejectCredentials, rejected(t, clear, chap("nobody", string(nobody))).Cause)
	require.Equal(t, RejectCredentials, rejected(t, mixed, chap("nobody", "")).Cause)
	r := rejected(t, mixed, chap("bob", "builder"))
	require.Equal(t, RejectPolicy, r.Cause)
	require.ErrorContains(t, r, "CHAP needs the password")
	// The password itself is no response, nor the response a password.
	plain := chap("alice", "")
	plain.Password = Secret("wonderland")
	require.Equal(t, RejectCredentials, rejected(t, clear, plain).Cause)
	generic := chap("alice", "wonderland")
	generic.Kind = UserGeneric
	require.Equal(t, RejectCredentials, rejected(t, clear, generic).Cause)
	// A core that has sent no challenge.
	none := chap("alice", "wonderland")
	none.Challenge = nil
	none.Password = AppendCHAP(nil, 7, Secret("wonderland"), nil)
	require.Equal(t, RejectCredentials, rejected(t, clear, none).Cause)

	otp := login("alice", "x")
	otp.Kind = UserOTP
	_, err = clear.AuthenticateUser(context.Background(), otp)
	require.Error(t, err)
}

func TestMemoryUsersErrors(t *testing.T) {
	good := hashOf(t, "hunter2")
	ip := netip.MustParseAddr
	for want, users := range map[string]map[string]User{
		"a user without a name":             {"": {Password: Secret("hunter2")}},
		`user "a": neither a password`:      {"a": {}},
		`user "a": both`:                    {"a": {Password: Secret("hunter2"), Hash: good}},
		`user "a": unusable password hash`:  {"a": {Hash: Secret("hunter2")}},
		`user "a\nb": malformed user`:       {"a\nb": {Password: Secret("hunter2")}},
		"a password of 300 octets":          {"a": {Password: Secret(strings.Repeat("h", 300))}},
		"10.0.0.2 is a second address":      {"a": {Hash: good, Addresses: []netip.Addr{ip("10.0.0.1"), ip("10.0.0.2")}}},
		`10.0.0.1 is "a"'s already`:         {"a": {Hash: good, Addresses: []netip.Addr{ip("10.0.0.1")}}, "b": {Hash: good, Addresses: []netip.Addr{ip("::ffff:10.0.0.1")}}},
		"0.0.0.0 cannot be anybody's":       {"a": {Hash: good, Addresses: []netip.Addr{ip("0.0.0.0")}}},
		"255.255.255.254 cannot be":         {"a": {Hash: good, Addresses: []netip.Addr{ip("255.255.255.254")}}},
		"224.0.0.1 cannot be":               {"a": {Hash: good, Addresses: []netip.Addr{ip("224.0.0.1")}}},
		"fe80::1%eth0 cannot be":            {"a": {Hash: good, Addresses: []netip.Addr{ip("fe80::1%eth0")}}},
		"invalid IP cannot be":              {"a": {Hash: good, Addresses: []netip.Addr{{}}}},
		"fixed addresses belong into Addre": {"a": {Hash: good, Config: &NetworkConfig{Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}}}},
	} {
		_, err := NewMemoryUsers(users)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "hunter2")
		require.NotContains(t, err.Error(), string(good[10:]))
	}
}

// An unknown user must cost what a known one does: the work is counted, not the
// time.
func TestUnknownUserCostsTheSame(t *testing.T) {
	cheap, dear := hashOf(t, "x"), Secret("$6$rounds=9000$salt$"+strings.Repeat("a", 86))
	users, err := NewMemoryUsers(map[string]User{"a": {Hash: cheap}, "b": {Hash: dear}, "c": {Hash: dear}, "d": {Disabled: true}, "e": {Password: Secret("x")}})
	require.NoError(t, err)
	allocations := func(user string) float64 {
		return testing.AllocsPerRun(3, func() { _, _ = users.AuthenticateUser(context.Background(), login(user, "wrong")) })
	}
	known := allocations("b") // 9000 rounds of SHA-512 allocate as often
	require.Greater(t, known, 8000.0)
	require.InDelta(t, known, allocations("nobody"), 10)
	require.InDelta(t, known, allocations("d"), 10)
}

func TestPasswordChecksAreFew(t *testing.T) {
	users, err := NewMemoryUsers(map[string]User{"a": {Password: Secret("x")}})
	require.NoError(t, err)
	running := users.users.Load().running
	for range cap(running) {
		running <- struct{}{}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = users.AuthenticateUser(ctx, login("a", "x"))
	require.ErrorIs(t, err, context.Canceled)
	<-running
	accepted(t, users, login("a", "x"))
	require.Len(t, running, cap(running)-1, "the place is given back")
}

func TestUserFile(t *testing.T) {
	alice := string(hashOf(t, "wonderland"))
	text := "# users\n\nalice:$2y$" + alice[4:] + ":staff, admin:10.9.0.7,2001:db8::7\r\n" +
		"bob:$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1\n" +
		"carol:!" + alice + "::2001:db8::9\n" +
		"dave:*:staff\n" +
		"erin:{PLAIN}open sesame:\n"
	path := secretFile(t, text)
	users, err := LoadUserFile(path)
	require.NoError(t, err)
	require.Equal(t, UserAccepted{User: "alice", Groups: []string{"staff", "admin"}, Addresses: []netip.Addr{netip.MustParseAddr("10.9.0.7"), netip.MustParseAddr("2001:db8::7")}},
		accepted(t, users, login("alice", "wonderland")))
	require.Equal(t, UserAccepted{User: "bob"}, accepted(t, users, login("bob", "Hello world!")))
	require.Equal(t, UserAccepted{User: "erin"}, accepted(t, users, login("erin", "open sesame")))
	require.Equal(t, RejectDisabled, rejected(t, users, login("carol", "wonderland")).Cause)
	require.Equal(t, RejectCredentials, rejected(t, users, login("dave", "*")).Cause)
	require.Equal(t, RejectCredentials, rejected(t, users, login("alice", "Wonderland")).Cause)
	require.Equal(t, RejectCredentials, rejected(t, users, login("alice", alice)).Cause, "a hash is no password")
	require.False(t, users.Supports(UserCHAP))
	require.Equal(t, "users of "+path, fmt.Sprintf("%+v", users))

	// A user who is removed is refused at once, and so is everybody while the
	// file cannot be used.
	writeSecret(t, path, "bob:{PLAIN}builder\n", time.Now().Add(-time.Minute))
	require.Equal(t, RejectCredentials, rejected(t, users, login("alice", "wonderland")).Cause)
	accepted(t, users, login("bob", "builder"))
	require.True(t, users.Supports(UserCHAP))
	writeSecret(t, path, "bob:{PLAIN}builder\nalice\n", time.Now().Add(-time.Second))
	_, err = users.AuthenticateUser(context.Background(), login("bob", "builder"))
	require.ErrorContains(t, err, path+":2: a name and a hash are wanted")
	require.Error(t, users.Reload())
	require.False(t, users.Supports(UserGeneric))
}

// C24: errors name file and line, and show neither password nor hash.
func TestC24_UserFileErrors(t *testing.T) {
	good := string(hashOf(t, "x"))
	for text, want := range map[string]string{
		"hunter2\n":                                  ":1: a name and a hash are wanted",
		"a:" + good + "\n#\na:" + good + "\n":        `:3: user "a" is in line 1 already`,
		"a:hunter2\n":                                `:1: user "a": unusable password hash: it is no hash in a known form`,
		"a:$apr1$hunter2$hunter2hunter2hunter2/\n":   "Apache's MD5 (apr1) is not supported",
		"a:{SHA}hunter2\n":                           "unsalted SHA-1 is not supported",
		"a:\n":                                       "neither a password nor a hash",
		"a:{PLAIN}\n":                                "neither a password nor a hash",
		":" + good + "\n":                            "a user without a name",
		"a:" + good + "::10.0.0\n":                   `"10.0.0" is no address`,
		"a:" + good + "::10.0.0.1,10.0.0.2\n":        "10.0.0.2 is a second address",
		"a:" + good + "::10.0.0.1\nb:*::10.0.0.1\n":  `:2: user "b": 10.0.0.1 is "a"'s already`,
		"a:{PLAIN}" + strings.Repeat("hunter2", 300): "the line has 2109 octets",
		"a\x01:" + good + "\n":                       "is no text on one line",
		strings.Repeat("\n", 5000) + "hunter2":       ":5001: a name and",
	} {
		_, err := LoadUserFile(secretFile(t, text))
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "hunter2")
		var fe *FileError
		require.ErrorAs(t, err, &fe)
	}
}

func TestRequireGroup(t *testing.T) {
	users, err := NewMemoryUsers(map[string]User{
		"alice": {Password: Secret("x"), Groups: []string{"staff", "vpn"}},
		"bob":   {Password: Secret("x"), Groups: []string{"staff"}},
		"carol": {Password: Secret("x")},
	})
	require.NoError(t, err)
	vpn := RequireGroup(users, "admin", "vpn")
	require.True(t, vpn.Supports(UserCHAP))
	accepted(t, vpn, login("alice", "x"))
	require.Equal(t, RejectCredentials, rejected(t, vpn, login("alice", "y")).Cause)
	for _, user := range []string{"bob", "carol"} {
		r := rejected(t, vpn, login(user, "x"))
		require.Equal(t, RejectPolicy, r.Cause)
		require.ErrorContains(t, r, `not of ["admin" "vpn"]`)
	}
	accepted(t, RequireGroup(users, "staff"), login("bob", "x"))
	require.Equal(t, RejectPolicy, rejected(t, RequireGroup(users), login("alice", "x")).Cause, "of no group is nobody")
}

func TestFixedAddresses(t *testing.T) {
	var in []netip.Addr
	for _, s := range []string{"255.255.255.254", "255.255.255.255", "0.0.0.0", "::", "10.0.0.1", "::ffff:10.0.0.2", "2001:db8::1", "::ffff:255.255.255.254"} {
		in = append(in, netip.MustParseAddr(s))
	}
	in = append(in, netip.Addr{})
	require.Equal(t, []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("2001:db8::1")}, FixedAddresses(in))
	require.Empty(t, FixedAddresses(nil))
}

func TestStaticUser(t *testing.T) {
	password := Secret("hunter2")
	answer := StaticUser("alice", password)
	password.Wipe()
	ctx := context.Background()
	a, err := answer(ctx, PromptRequest{Round: 1, Fields: FieldUser | FieldPassword})
	require.NoError(t, err)
	require.Equal(t, UserAnswers{User: "alice", Password: Secret("hunter2")}, a)
	a.Wipe() // as the core does
	a, err = answer(ctx, PromptRequest{Round: 2, Fields: FieldPassword | FieldDomain, Answered: FieldUser})
	require.NoError(t, err)
	require.Equal(t, UserAnswers{Password: Secret("hunter2")}, a, "one field after the other")
	a, err = answer(ctx, PromptRequest{Round: 1, Fields: FieldUser | FieldPasscode})
	require.NoError(t, err)
	require.Equal(t, Secret("hunter2"), a.Passcode)
	a, err = answer(ctx, PromptRequest{Round: 1, Kind: UserCHAP, Fields: FieldUser | FieldPassword, Challenge: []byte("c")})
	require.NoError(t, err)
	require.Equal(t, Secret("hunter2"), a.Password)
	a, err = answer(ctx, PromptRequest{Round: 1, Kind: UserOTP, Fields: FieldUser})
	require.NoError(t, err)
	require.Equal(t, "alice", a.User)

	for _, c := range []struct {
		r    PromptRequest
		want string
	}{
		{PromptRequest{Round: 2, Fields: FieldUser | FieldPassword, Answered: FieldUser | FieldPassword, Message: "try\nagain"}, `the password again, so the first was refused; it says "try\nagain"`},
		{PromptRequest{Round: 2, Fields: FieldPasscode, Answered: FieldPasscode}, "passcode again"},
		{PromptRequest{Round: 1, Fields: FieldUser | FieldPassword | FieldPasscode}, "a passcode beside the password"},
		{PromptRequest{Round: 2, Fields: FieldNextPIN, Message: "new PIN"}, `next PIN; it says "new PIN"`},
		{PromptRequest{Round: 2, Fields: FieldAnswer}, "answer"},
		{PromptRequest{Round: 2, Kind: UserOTP, Fields: FieldPassword, Challenge: []byte("otp-md5 499 ke1234")}, `a one-time password for "otp-md5 499 ke1234"`},
	} {
		a, err := answer(ctx, c.r)
		require.ErrorIs(t, err, ErrPrompt)
		require.ErrorContains(t, err, c.want)
		require.Nil(t, a.Password, "nothing is sent")
	}
}

func TestUserAnswersFields(t *testing.T) {
	require.Zero(t, UserAnswers{}.Fields())
	require.Equal(t, FieldPassword, UserAnswers{Password: Secret{}}.Fields(), "an empty answer is one")
	all := UserAnswers{User: "u", Domain: "d", Password: Secret("p"), Passcode: Secret("c"), NextPIN: Secret("n"), Answer: Secret("a")}
	require.Equal(t, FieldUser|FieldPassword|FieldPasscode|FieldNextPIN|FieldAnswer|FieldDomain, all.Fields())
	require.Equal(t, "user name, password, passcode, next PIN, answer, domain", all.Fields().String())
	require.Equal(t, "nothing", UserFields(0).String())
	all.Wipe()
	require.Equal(t, UserAnswers{User: "u", Domain: "d", Password: Secret{0}, Passcode: Secret{0}, NextPIN: Secret{0}, Answer: Secret{0}}, all)
	require.NoError(t, UserAnswers{User: "Jürgen Müller", Domain: "lab"}.Validate())
	for _, a := range []UserAnswers{{Domain: "a\x1b[31m"}, {User: "a\u202eb"}, {User: "a\x00"}, {NextPIN: make(Secret, 300)}, {Answer: make(Secret, 300)}, {Domain: strings.Repeat("d", 254)}} {
		require.ErrorIs(t, a.Validate(), ErrUserAnswers, "%v", a)
	}
}

func TestNetworkConfigOverride(t *testing.T) {
	base := &NetworkConfig{DNS: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, Banner: "all", PFS: true, UDPPort: 1, Expiry: time.Hour, Domains: []string{"a"}}
	user := &NetworkConfig{DNS: []netip.Addr{netip.MustParseAddr("10.0.0.2")}, Banner: "you", SavePassword: true, UDPPort: 2, Firewall: []byte{1}, Expiry: time.Minute}
	got := base.Override(user)
	require.Equal(t, &NetworkConfig{DNS: user.DNS, Banner: "you", PFS: true, SavePassword: true, UDPPort: 2, Firewall: []byte{1}, Expiry: time.Minute, Domains: []string{"a"}}, got)
	require.Equal(t, "all", base.Banner)
	require.Equal(t, base, base.Override(nil))
	require.Equal(t, user, (*NetworkConfig)(nil).Override(user))
	require.NotSame(t, base, base.Override(nil))
}

// C25: what a peer sends as a name reaches the log quoted.
func TestC25_UserNamesInErrors(t *testing.T) {
	bad := "a\nroot logged in\x1b[2J\u202e" + strings.Repeat("x", 500)
	for _, s := range []string{
		UserRejected{User: bad}.Error(), fmt.Sprint(login(bad, "")), UserAnswers{User: bad, Domain: bad}.String(),
		UserAnswers{User: bad}.Validate().Error(), (UserAnswers{User: bad[:20]}).Validate().Error(),
	} {
		require.Less(t, len(s), 700)
		for _, r := range s {
			require.True(t, r >= ' ' && r <= '~', "%q", s)
		}
	}
}

func TestUserSecretsAreNotPrinted(t *testing.T) {
	const s = "hunter2"
	hash := string(hashOf(t, s))
	answers := UserAnswers{User: "alice", Password: Secret(s), Passcode: Secret(s), NextPIN: Secret(s), Answer: Secret(s)}
	r := login("alice", s)
	r.UserAnswers, r.State = answers, s
	users, err := NewMemoryUsers(map[string]User{"a": {Password: Secret(s)}, "b": {Hash: Secret(hash)}})
	require.NoError(t, err)
	file, err := LoadUserFile(secretFile(t, "a:{PLAIN}"+s+"\nb:"+hash+"\n"))
	require.NoError(t, err)
	for _, v := range []any{
		answers, &answers, r, &r, User{Password: Secret(s), Hash: Secret(hash)}, &User{Password: Secret(s), Hash: Secret(hash)},
		users, file, RequireGroup(users, "g"), RequireGroup(file, "g"), ThrottleLogins(users, ThrottleConfig{}), ThrottleLogins(RequireGroup(file, "g"), ThrottleConfig{}),
		StaticUser("alice", Secret(s)), rejected(t, users, login("a", s+"x")), accepted(t, users, login("a", s)), PromptRequest{}, AccountingRecord{},
	} {
		requireNoSecret(t, v, s)
		requireNoSecret(t, v, hash)
	}
	require.Equal(t, `generic login, round 1, of keyid:sales from 198.51.100.7:4500 to clients: user "alice" with password, passcode, next PIN, answer`, fmt.Sprintf("%+v", r))
}

func TestConcurrentLogins(t *testing.T) {
	path := secretFile(t, "a:{PLAIN}x\n")
	file, err := LoadUserFile(path)
	require.NoError(t, err)
	mem, err := NewMemoryUsers(map[string]User{"a": {Password: Secret("x")}})
	require.NoError(t, err)
	var wg sync.WaitGroup
	for _, u := range []UserAuthenticator{file, ThrottleLogins(mem, ThrottleConfig{})} {
		for range 4 {
			wg.Go(func() {
				for i := range 50 {
					if _, err := u.AuthenticateUser(context.Background(), login("a", "x")); err != nil && !errors.Is(err, ErrNoCredential) {
						panic(err)
					}
					if i%10 == 0 {
						_ = file.Reload()
						_ = mem.Replace(map[string]User{"a": {Password: Secret("x")}})
					}
				}
			})
		}
	}
	wg.Wait()
}

func BenchmarkMemoryUsers(b *testing.B) {
	hash := hashOf(b, "right")
	users, err := NewMemoryUsers(map[string]User{"hash": {Hash: hash}, "plain": {Password: Secret("right")}})
	require.NoError(b, err)
	ctx := context.Background()
	for _, user := range []string{"plain", "hash", "nobody"} {
		b.Run(user, func(b *testing.B) {
			r := login(user, "right")
			b.ReportAllocs()
			for b.Loop() {
				_, _ = users.AuthenticateUser(ctx, r)
			}
		})
	}
	b.Run("bare-bcrypt", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = bcrypt.CompareHashAndPassword(hash, []byte("right"))
		}
	})
}

func FuzzUserFileLine(f *testing.F) {
	f.Add("alice:$2b$04$CCCCCCCCCCCCCCCCCCCCC.ug0A3dTXhy5U.dFjx/qguZ8I4CB77BC:staff:10.9.0.7,2001:db8::7")
	f.Add("bob:!:")
	f.Add("erin:{PLAIN}x::")
	f.Fuzz(func(t *testing.T, line string) {
		table := newUserTable()
		name, err := table.addLine([]byte(line), map[string]int{})
		if e := table.users[name]; (err == nil) != (e != nil) {
			t.Fatal(name, err)
		} else if err == nil && e.hash == nil && len(e.Password) == 0 && !e.Disabled {
			t.Fatal("a user whom anything lets in")
		}
	})
}
