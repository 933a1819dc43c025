package ikev1

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
)

// XAuth (draft-beaulieu-ike-xauth-02) authenticates the user of a client, after
// phase 1 and before anything else. It is the server that asks:
//
//	server                                 client
//	REQUEST(TYPE, NAME, PASSWORD)     ->
//	                                  <-   REPLY(TYPE, NAME, PASSWORD)
//	... more of them, when the authenticator prompts ...
//	SET(STATUS)                       ->
//	                                  <-   ACK

// Times of a login.
const (
	// loginTime bounds a login, all its rounds and the typing included.
	loginTime = 5 * time.Minute
	// loginWait is how long a client waits for the server to begin.
	loginWait = time.Minute
)

// client reports whether this side is the one whose user is authenticated.
func (sa *isakmpSA) client() bool { return sa.negotiated.method.Client(sa.initiator) }

// beginUser authenticates the user of the client.
func (sa *isakmpSA) beginUser(now time.Time) {
	if sa.client() {
		sa.ep.SetTimer(&sa.hard, now.Add(loginWait))
		sa.s.ArmKeepalive(now) // the user may type for longer than a NAT remembers
		return
	}
	sa.ep.SetTimer(&sa.hard, now.Add(loginTime))
	sa.beginLogin(now)
}

// userExpired ends a login that takes too long.
func (sa *isakmpSA) userExpired(now time.Time) {
	err := errLoginTime
	if sa.client() && sa.prompts.round == 0 {
		err = errNoLogin
	}
	sa.sendDelete(now)
	sa.failed(now, ike.DownDead, &AuthError{ID: sa.s.RemoteID, Err: err})
}

// userFields are the fields of a prompt and their attributes, in the order in
// which they are asked for.
var userFields = [...]struct {
	field     ike.UserFields
	attribute isakmp.ConfigAttributeType
}{
	{ike.FieldUser, isakmp.AttrXAuthUserName},
	{ike.FieldPassword, isakmp.AttrXAuthUserPassword},
	{ike.FieldPasscode, isakmp.AttrXAuthPasscode},
	{ike.FieldDomain, isakmp.AttrXAuthDomain},
	{ike.FieldNextPIN, isakmp.AttrXAuthNextPIN},
	{ike.FieldAnswer, isakmp.AttrXAuthAnswer},
}

func isXAuth(t isakmp.ConfigAttributeType) bool {
	return t >= isakmp.AttrXAuthType && t <= isakmp.AttrXAuthAnswer
}

func hasXAuth(a *isakmp.Attributes) bool {
	return slices.ContainsFunc(a.Attributes, func(c isakmp.ConfigAttribute) bool { return isXAuth(c.Type) })
}

// checkPoint is what Check Point's numbers of XAUTH_TYPE to XAUTH_STATUS have
// to be raised by.
const checkPoint = isakmp.AttrXAuthType - isakmp.AttrCheckPointXAuthType

// xauthNumbers gives attributes that have Check Point's numbers those of the
// draft. Within XAuth they can mean nothing else. It reports how much was
// added.
func xauthNumbers(a *isakmp.Attributes) (raised isakmp.ConfigAttributeType) {
	if hasXAuth(a) {
		return 0
	}
	for i := range a.Attributes {
		if t := &a.Attributes[i].Type; *t >= isakmp.AttrCheckPointXAuthType && *t <= isakmp.AttrCheckPointXAuthStatus {
			*t += checkPoint
			raised = checkPoint
		}
	}
	return raised
}

// xauthType is the XAUTH_TYPE of a message; without one it is generic.
func xauthType(a *isakmp.Attributes) (k ike.UserAuthKind, there, ok bool) {
	t := a.First(isakmp.AttrXAuthType)
	if t == nil {
		return ike.UserGeneric, false, true
	}
	n, ok := t.Uint()
	return ike.UserAuthKind(n), true, ok && n <= 0xffff
}

// xauthStatus is the XAUTH_STATUS of a message, if it has one.
func xauthStatus(a *isakmp.Attributes) (good, there bool) {
	s := a.First(isakmp.AttrXAuthStatus)
	if s == nil {
		return false, false
	}
	n, ok := s.Uint()
	return ok && n == uint64(isakmp.XAuthStatusOK), true
}

// Bounds of texts that a peer sends, in octets.
const (
	maxMessage = 1024 // of several lines
	maxText    = 253  // of one
)

// textOf makes a peer's text fit for a terminal and a log: printable, and not
// too long. With lines it may have several.
func textOf(b []byte, limit int, lines bool) string {
	s := strings.TrimRight(string(b[:min(len(b), limit)]), "\x00")
	if lines {
		s = strings.ReplaceAll(s, "\r\n", "\n")
	}
	return strings.Map(func(r rune) rune {
		if lines && r == '\n' || r != utf8.RuneError && unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

// textAttribute is an attribute that a text goes into.
func textAttribute(t isakmp.ConfigAttributeType, s string, limit int) isakmp.ConfigAttribute {
	return isakmp.ConfigAttribute{Type: t, Data: []byte(s[:min(len(s), limit)])}
}

// hideSecrets makes the user's secrets in the payloads of a Transaction message
// unreadable: a trace is for others to see.
func (sa *isakmpSA) hideSecrets(first isakmp.PayloadType, body []byte) {
	chain, err := isakmp.ParsePaddedChain(first, body)
	if err != nil {
		clear(body)
		return
	}
	payloads, err := chain.Payloads()
	if err != nil {
		clear(body)
		return
	}
	for _, p := range payloads {
		a, ok := p.(*isakmp.Attributes)
		if !ok {
			continue
		}
		for i := range a.Attributes {
			t := a.Attributes[i].Type
			if sa.state == stateUser && t < isakmp.AttrCheckPointXAuthStatus {
				t += checkPoint
			}
			switch t {
			case isakmp.AttrXAuthUserPassword, isakmp.AttrXAuthPasscode, isakmp.AttrXAuthNextPIN, isakmp.AttrXAuthAnswer:
				for j := range a.Attributes[i].Data {
					a.Attributes[i].Data[j] = '*'
				}
			}
		}
	}
}
