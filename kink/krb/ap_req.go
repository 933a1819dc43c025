package krb

import (
	"time"
)

// An APReq is an AP-REQ as anybody sees it (RFC 4120 5.5.1).
type APReq struct {
	Mutual        bool // mutual authentication is wanted
	UseSessionKey bool // user-to-user: the ticket is encrypted in the session key of the server's TGT
	Ticket        *SealedTicket
	authenticator encryptedData
}

// ParseAPReq decodes an AP-REQ. The result aliases b. The error wraps
// [ErrSyntax], or is [APErrBadVersion] or [APErrMsgType].
func ParseAPReq(b []byte) (*APReq, error) {
	r := sequence(b, msgAPReq)
	version, kind := r.int(0), r.int(1)
	if !r.bad && version != pvno {
		return nil, APErrBadVersion
	}
	if !r.bad && kind != msgAPReq {
		return nil, APErrMsgType
	}
	options := r.flags(2)
	raw := r.field(3)
	auth := r.encrypted(4)
	if r.bad {
		return nil, syntax("AP-REQ")
	}
	t, err := ParseTicket(raw)
	if err != nil {
		return nil, err
	}
	return &APReq{Mutual: options&optionMutual != 0, UseSessionKey: options&optionUseSession != 0, Ticket: t, authenticator: auth}, nil
}

// authenticator is RFC 4120 5.5.1's Authenticator without what KINK ignores:
// the checksum, the subkey, the sequence number.
type authenticator struct {
	client Principal
	stamp  Stamp
}

func parseAuthenticator(b []byte) (a authenticator, err error) {
	r := sequence(b, msgAuthenticator)
	version := r.int(0)
	realm := r.string(1)
	name := r.name(2)
	r.optional(3)
	micro := r.int(4)
	seconds := r.time(5)
	if r.bad || version != pvno || micro < 0 || micro > 999999 {
		return a, syntax("Authenticator")
	}
	a.client = NewPrincipal(realm, name...)
	a.stamp = StampOf(seconds.Add(time.Duration(micro) * time.Microsecond))
	return a, nil
}
