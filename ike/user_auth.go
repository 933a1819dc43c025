package ike

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A UserAuthenticator authenticates the user of a peer, after the peer itself
// has been authenticated: XAuth in IKEv1 (draft-beaulieu-ike-xauth). It is the
// server's side; the client's is a [UserPrompter].
//
// It is called from jobs, so it may block, on a RADIUS server for instance,
// until ctx ends; and it must be safe for concurrent use. One login is a
// conversation of one session: the first request has round 0 and no answers,
// and asks what to prompt for; each [UserPrompt] brings another request, with
// what the user has answered; [UserAccepted] and [UserRejected] end it. A
// conversation may also be abandoned at any prompt without another call.
type UserAuthenticator interface {
	// Supports reports whether users can be authenticated in this way; a
	// configuration that asks for another one is refused. A back end that keeps
	// hashes of passwords cannot do [UserCHAP], which needs the password itself.
	Supports(kind UserAuthKind) bool

	// AuthenticateUser takes one round. An error means that the back end cannot
	// tell (out of reach, misconfigured): the login fails, and nobody counts it
	// against the user. A wrong password is a [UserRejected], no error. The
	// secrets of the request are the caller's, who wipes them after the call.
	AuthenticateUser(ctx context.Context, r UserRequest) (UserAnswer, error)
}

// MaxUserRounds bounds the prompts of one login: a core ends a longer one.
const MaxUserRounds = 16

// UserAuthKind is how a user proves who he is: the numbers of XAUTH-TYPE
// (draft-beaulieu-ike-xauth-02 6.3).
type UserAuthKind uint16

// Kinds of user authentication.
const (
	UserGeneric UserAuthKind = 0 // name, password, passcode and so on as they are
	UserCHAP    UserAuthKind = 1 // RADIUS-CHAP: see [AppendCHAP]
	UserOTP     UserAuthKind = 2 // one-time password (RFC 2289), the challenge is text
	UserSKey    UserAuthKind = 3 // S/KEY (RFC 1760), the challenge is text
)

func (k UserAuthKind) String() string {
	switch k {
	case UserGeneric:
		return "generic"
	case UserCHAP:
		return "CHAP"
	case UserOTP:
		return "OTP"
	case UserSKey:
		return "S/KEY"
	}
	return "user authentication " + strconv.Itoa(int(k))
}

// UserFields is a set of the things a user can be asked for.
type UserFields uint8

// Fields, by their XAUTH attributes.
const (
	FieldUser     UserFields = 1 << iota // XAUTH-USER-NAME
	FieldPassword                        // XAUTH-USER-PASSWORD
	FieldPasscode                        // XAUTH-PASSCODE: of a token card
	FieldNextPIN                         // XAUTH-NEXT-PIN: a new one that the user chooses
	FieldAnswer                          // XAUTH-ANSWER: to the prompt's message
	FieldDomain                          // XAUTH-DOMAIN
)

var fieldNames = [...]string{"user name", "password", "passcode", "next PIN", "answer", "domain"}

func (f UserFields) String() string {
	var names []string
	for i, n := range fieldNames {
		if f&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

// UserAnswers is what a user has filled in. What was not asked for, or not
// answered, is zero.
type UserAnswers struct {
	User     string
	Domain   string
	Password Secret // of [UserCHAP]: the response, as AppendCHAP makes it
	Passcode Secret
	NextPIN  Secret
	Answer   Secret
}

// Fields returns which fields are there.
func (a UserAnswers) Fields() (f UserFields) {
	for i, there := range [...]bool{a.User != "", a.Password != nil, a.Passcode != nil, a.NextPIN != nil, a.Answer != nil, a.Domain != ""} {
		if there {
			f |= 1 << i
		}
	}
	return f
}

// Wipe overwrites the secrets.
func (a UserAnswers) Wipe() {
	for _, s := range [...]Secret{a.Password, a.Passcode, a.NextPIN, a.Answer} {
		s.Wipe()
	}
}

// String says which answers are there, and nothing of the secrets.
func (a UserAnswers) String() string {
	s := "user " + quoteUser(a.User)
	if a.Domain != "" {
		s += " of " + quoteUser(a.Domain)
	}
	if rest := a.Fields() &^ (FieldUser | FieldDomain); rest != 0 {
		s += " with " + rest.String()
	}
	return s
}

// Format implements [fmt.Formatter] for every verb.
func (a UserAnswers) Format(f fmt.State, _ rune) { fmt.Fprint(f, a.String()) }

// MarshalText implements [encoding.TextMarshaler]; JSON and slog use it.
func (a UserAnswers) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// Bounds of answers, in octets. RADIUS carries 253 of a name and 128 of a
// password (RFC 2865 5.1, 5.2).
const (
	MaxUserName   = 253
	MaxUserSecret = 256
)

// ErrUserAnswers is matched by the errors of [UserAnswers.Validate].
var ErrUserAnswers = errors.New("malformed user credentials")

// Validate reports what no back end should have to look at: a name that is too
// long, not UTF-8 or has control characters, and secrets that are too long. A
// core rejects the login then, without a job.
func (a UserAnswers) Validate() error {
	for _, f := range [...]struct{ what, text string }{{"user name", a.User}, {"domain", a.Domain}} {
		if len(f.text) > MaxUserName {
			return fmt.Errorf("%w: a %s of %d octets, at most %d are accepted", ErrUserAnswers, f.what, len(f.text), MaxUserName)
		}
		if !utf8.ValidString(f.text) || strings.ContainsFunc(f.text, isControl) {
			return fmt.Errorf("%w: the %s %s is no text on one line", ErrUserAnswers, f.what, quoteUser(f.text))
		}
	}
	for i, s := range [...]Secret{a.Password, a.Passcode, a.NextPIN, a.Answer} {
		if len(s) > MaxUserSecret {
			return fmt.Errorf("%w: a %s of %d octets, at most %d are accepted", ErrUserAnswers, fieldNames[i+1], len(s), MaxUserSecret)
		}
	}
	return nil
}

// quoteUser makes what a peer has sent fit for a log.
func quoteUser(s string) string { return strconv.QuoteToASCII(shorten(s)) }

// UserRequest is one round of a login: all that is known.
type UserRequest struct {
	Time     time.Time // of the core's clock: back ends need not read another
	Session  SessionID
	Peer     string // configured peer
	Path     Path
	RemoteID Identity // the peer's, as it has been authenticated
	Method   string   // authentication method of the peer
	// Reauthentication is the name of the user that this session or the one it
	// replaces belonged to, or "". Who asks again may accept at once
	// (draft-beaulieu-ike-xauth-02 5.5) only if RemoteID is of that user alone.
	Reauthentication string

	Round int          // 0: nothing has been asked yet
	Kind  UserAuthKind // of the prompt that is answered; in round 0 the configured one
	UserAnswers
	Challenge []byte // that the prompt was sent with
	State     any    // of the prompt that is answered, see UserPrompt
}

// String says who logs in to what, and nothing of the secrets or the state.
func (r UserRequest) String() string {
	return fmt.Sprintf("%v login, round %d, of %v from %v to %s: %v", r.Kind, r.Round, r.RemoteID, r.Path.Remote, r.Peer, r.UserAnswers)
}

// Format implements [fmt.Formatter] for every verb.
func (r UserRequest) Format(f fmt.State, _ rune) { fmt.Fprint(f, r.String()) }

// MarshalText implements [encoding.TextMarshaler]; JSON and slog use it.
func (r UserRequest) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// A UserAnswer is what an authenticator makes of a round: a [UserAccepted], a
// [UserRejected] or a [UserPrompt].
type UserAnswer interface{ userAnswer() }

func (UserAccepted) userAnswer() {}
func (UserRejected) userAnswer() {}
func (UserPrompt) userAnswer()   {}

// UserPrompt asks the user for something.
type UserPrompt struct {
	Kind    UserAuthKind
	Fields  UserFields // what is wanted
	Message string     // shown to the user
	// Challenge is for the kinds that have one. Of UserCHAP it may be nil: then
	// the core sends 16 random octets.
	Challenge []byte

	// State comes back in the request that answers this prompt, so that a back
	// end has nothing to look up and nothing to clean up: RADIUS keeps its State
	// attribute here. What has to be closed must end by itself after a while,
	// since a conversation may be abandoned at any prompt.
	State any
	// Failed says that what was answered before was wrong and the user has
	// another try; who counts failed logins counts this as one.
	Failed bool
	// Delay is how long the core waits, on a timer, before it prompts.
	Delay time.Duration
}

// UserAccepted lets the user in, with what is known of him. Back ends with less
// to say leave fields zero.
type UserAccepted struct {
	User    string   // the name that counts from here on; "" is the one he gave
	Groups  []string // of the user
	Message string   // shown to the user

	// Addresses are fixed inner addresses, one of a family at most; see
	// [FixedAddresses] for RADIUS's special ones. A family without one is served
	// by the peer's AddressAssigner, whom they are passed to as well
	// ([AddressRequest].Fixed) so that nobody else gets them.
	Addresses []netip.Addr
	// Config replaces what the AddressAssigner says, field by field, as
	// [NetworkConfig.Override] does. Nil replaces nothing. Its Addresses are
	// empty: fixed ones have to be leased.
	Config *NetworkConfig

	// SessionTimeout ends the session, or has the user asked again; 0 is none.
	SessionTimeout time.Duration
	// Interim is how often [UserAccounting] gets counters of the running
	// session; 0 is never.
	Interim time.Duration
	// Class goes into every [AccountingRecord] of the session as it is.
	Class [][]byte
}

// FixedAddresses returns the addresses that are addresses: of
// Framed-IP-Address (RFC 2865 5.8), 255.255.255.254 says "from the pool" and
// 255.255.255.255 "what the client asks for", which is no fixed address either.
func FixedAddresses(addrs []netip.Addr) []netip.Addr {
	var fixed []netip.Addr
	for _, a := range addrs {
		a = a.Unmap()
		if a.IsValid() && !a.IsUnspecified() && a != framedPool && a != framedChoice {
			fixed = append(fixed, a)
		}
	}
	return fixed
}

var (
	framedPool   = netip.AddrFrom4([4]byte{255, 255, 255, 254})
	framedChoice = netip.AddrFrom4([4]byte{255, 255, 255, 255})
)

// UserRejected refuses the user. It is an error as well, which the events about
// the session wrap.
type UserRejected struct {
	User    string // that he claimed to be
	Cause   RejectCause
	Reason  string // for the log of this side; the user is not told
	Message string // for the user
	// Delay is how long the core waits, on a timer, before it says so to the
	// peer.
	Delay time.Duration
}

func (r UserRejected) Error() string {
	s := "user " + quoteUser(r.User) + " rejected: " + r.Cause.String()
	if r.Reason != "" {
		s += " (" + r.Reason + ")"
	}
	return s
}

// Is makes errors.Is(err, ErrUserRejected) true.
func (r UserRejected) Is(target error) bool { return target == ErrUserRejected }

// ErrUserRejected is matched by every [UserRejected].
var ErrUserRejected = errors.New("user rejected")

// RejectCause says why a user was rejected.
type RejectCause uint8

// Causes.
const (
	RejectCredentials RejectCause = iota // name or password are wrong
	RejectDisabled                       // the account is locked or over
	RejectPolicy                         // the user is who he says, but may not: not of the group, not now
	RejectThrottled                      // too many failed logins; nobody looked at this one
	RejectProtocol                       // the peer's answer cannot be used
)

var rejectNames = [...]string{"wrong name or password", "account disabled", "not allowed", "too many failed logins", "unusable answer"}

func (c RejectCause) String() string {
	if int(c) < len(rejectNames) {
		return rejectNames[c]
	}
	return "unknown"
}
