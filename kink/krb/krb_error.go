package krb

import (
	"fmt"
	"strconv"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// A KRBError is a KRB-ERROR message (RFC 4120 5.9.1). It proves nothing by
// itself: who sent it is for what carries it to say.
type KRBError struct {
	Code       Code
	ServerTime Stamp
	ClientTime Stamp     // of the authenticator; 0: not said
	Client     Principal // zero: not said
	Server     Principal // zero: not said, as by some KDCs; AppendBinary wants it
	Text       string    // for people; whatever the sender likes
	Data       []byte    // depends on Code; KINK does not use it
}

// Error implements error. It does not say whose error it is.
func (e *KRBError) Error() string {
	s := "krb: " + e.Code.String()
	if e.Text != "" {
		s += " (" + quoted(e.Text) + ")"
	}
	return s
}

// Unwrap returns the code.
func (e *KRBError) Unwrap() error { return e.Code }

// Skew returns by how much the server's clock was ahead of the client's, for
// [APErrSkew] (RFC 4430 3.5); ok is false if the message does not tell the
// client's time. Only what came protected may be believed.
func (e *KRBError) Skew() (d time.Duration, ok bool) {
	if e.ClientTime == 0 {
		return 0, false
	}
	return e.ServerTime.Time().Sub(e.ClientTime.Time()), true
}

func quoted(s string) string {
	const limit = 128
	if len(s) > limit {
		return strconv.QuoteToASCII(s[:limit]) + "..."
	}
	return strconv.QuoteToASCII(s)
}

// AppendBinary appends the message in DER ([encoding.BinaryAppender]).
func (e *KRBError) AppendBinary(dst []byte) ([]byte, error) {
	if e.Server.IsZero() {
		return dst, fmt.Errorf("%w: a KRB-ERROR names its server", ErrPrincipal)
	}
	b := cryptobyte.NewBuilder(dst)
	addApplication(b, msgError, func(b *cryptobyte.Builder) {
		addInt(b, 0, pvno)
		addInt(b, 1, msgError)
		if e.ClientTime != 0 {
			addTime(b, 2, e.ClientTime.seconds())
			addInt(b, 3, e.ClientTime.micro())
		}
		addTime(b, 4, e.ServerTime.seconds())
		addInt(b, 5, e.ServerTime.micro())
		addInt(b, 6, int64(e.Code))
		if !e.Client.IsZero() {
			addString(b, 7, e.Client.Realm)
			addName(b, 8, e.Client)
		}
		addString(b, 9, e.Server.Realm)
		addName(b, 10, e.Server)
		if e.Text != "" {
			addString(b, 11, e.Text)
		}
		if len(e.Data) > 0 {
			addOctets(b, 12, e.Data)
		}
	})
	return b.Bytes()
}

// ParseKRBError decodes a KRB-ERROR. Data aliases b. The error wraps
// [ErrSyntax], or is [APErrBadVersion] or [APErrMsgType].
func ParseKRBError(b []byte) (*KRBError, error) {
	r := sequence(b, msgError)
	version, kind := r.int(0), r.int(1)
	if !r.bad && version != pvno {
		return nil, APErrBadVersion
	}
	if !r.bad && kind != msgError {
		return nil, APErrMsgType
	}
	e := &KRBError{}
	micro := func(t time.Time, n int64) Stamp {
		r.check(n >= 0 && n <= 999999)
		if t.IsZero() {
			return 0
		}
		return StampOf(t.Add(time.Duration(n) * time.Microsecond))
	}
	t := r.optionalTime(2)
	e.ClientTime = micro(t, r.optionalInt(3))
	t = r.time(4)
	e.ServerTime = micro(t, r.int(5))
	e.Code = Code(r.int(6))
	var realm string
	if r.has(7) {
		realm = r.string(7)
	}
	if r.has(8) {
		e.Client = principal(realm, r.names(8))
	}
	realm = r.string(9)
	e.Server = principal(realm, r.names(10))
	if r.has(11) {
		var text cryptobyte.String
		f := r.field(11)
		r.check(f.ReadASN1(&text, generalString))
		e.Text = string(text[:min(len(text), maxNameLen)])
	}
	if r.has(12) {
		e.Data = r.octets(12)
	}
	if r.bad {
		return nil, syntax("KRB-ERROR")
	}
	return e, nil
}

// principal is zero if a name is not there, which an error may well have: in
// the place of a server that it does not know, Heimdal's KDC has a name without
// components in the realm "<unspecified realm>".
func principal(realm string, name []string) Principal {
	if realm == "" || len(name) == 0 || len(name) == 1 && name[0] == "" {
		return Principal{}
	}
	return NewPrincipal(realm, name...)
}
