package krb

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// DefaultSkew is by how much clocks may differ.
const DefaultSkew = 5 * time.Minute

// KeySource has the keys of services, as a keytab does.
type KeySource interface {
	// ServiceKeys returns the keys that may open a ticket for server; kvno 0
	// means any version. The error is a [Code]: [APErrNotUs] for a server that
	// is not known, [APErrBadKeyVer] or [APErrNoKey].
	ServiceKeys(server Principal, e EType, kvno uint32) ([]*Key, error)
}

// An Acceptor checks AP-REQs, which is the server's part of RFC 4120 3.2.3. It
// reads no clock and draws no randomness. It is safe for concurrent use.
type Acceptor struct {
	Keys KeySource // nil: user-to-user only
	// Servers are the principals that we are; nil: all that Keys has keys of. A
	// host's keytab may have those of other services too.
	Servers []Principal
	// TGTs are our own TGTs that peers may have got user-to-user tickets for,
	// the latest first.
	TGTs    []*Ticket
	Replays *ReplayCache  // nil: replays are not noticed
	Skew    time.Duration // by how much clocks may differ; 0: DefaultSkew
	ETypes  []EType       // allowed for tickets and session keys; nil: DefaultETypes
	// TrustTransited accepts clients of other realms whose path through realms
	// the KDC did not check (RFC 4120 2.7).
	TrustTransited bool
}

// An Accepted is what an AP-REQ has proven.
type Accepted struct {
	Client, Server Principal
	Key            *Key  // session key
	Stamp          Stamp // of the authenticator, for the AP-REP
	Mutual         bool  // the client wants an AP-REP
	UserToUser     bool
	Flags          Flags
	AuthTime       time.Time
	EndTime        time.Time // of the ticket

	authenticator [16]byte // hash of the encrypted one
}

// Accept checks an AP-REQ that came from an address; the zero address leaves
// that check out. The error is of type [*Error], or [ErrReplayCacheFull].
//
// With an error, Accepted may be non-nil: then the ticket and its authenticator
// could be decrypted, so that Key and Stamp are good for protecting the answer
// (RFC 4430 4.2.3), though nothing else is proven by it.
func (a *Acceptor) Accept(now time.Time, from netip.Addr, req *APReq) (*Accepted, error) {
	fail := func(c Code, format string, args ...any) error {
		return &Error{Code: c, Reason: fmt.Sprintf(format, args...)}
	}
	t := req.Ticket
	if !allowed(a.ETypes, t.EType) {
		return nil, fail(KDCErrETypeNoSupp, "the ticket has %v", t.EType)
	}
	if a.Servers != nil && !slices.Contains(a.Servers, t.Server) {
		return nil, fail(APErrNotUs, "the ticket is for %v", t.Server)
	}
	keys, err := a.keys(req)
	if err != nil {
		return nil, err
	}
	part, err := openTicket(t, keys)
	if err != nil {
		return nil, fail(APErrBadIntegrity, "no key of ours opens the ticket for %v (%v, key version %d): %v", t.Server, t.EType, t.KVNO, err)
	}
	if part.key == nil || !allowed(a.ETypes, part.key.etype) {
		return nil, fail(KDCErrETypeNoSupp, "session key of the ticket")
	}
	enc := req.authenticator
	text, err := enc.open(part.key, usageAPReq)
	if err != nil {
		return nil, fail(APErrBadIntegrity, "authenticator of %v: %v", part.client, err)
	}
	auth, err := parseAuthenticator(text)
	if err != nil {
		return nil, fail(APErrBadIntegrity, "authenticator of %v: %v", part.client, err)
	}
	acc := &Accepted{
		Client: part.client, Server: t.Server, Key: part.key, Stamp: auth.stamp, Mutual: req.Mutual, UserToUser: req.UseSessionKey,
		Flags: part.flags, AuthTime: part.authTime, EndTime: part.endTime, authenticator: hashOf(enc.cipher),
	}
	if auth.client != part.client {
		return acc, fail(APErrBadMatch, "ticket of %v, authenticator of %v", part.client, auth.client)
	}
	if part.restricted && from.IsValid() && !slices.Contains(part.addrs, from.Unmap()) {
		return acc, fail(APErrBadAddr, "the ticket is not for use from %v", from)
	}
	skew := a.Skew
	if skew <= 0 {
		skew = DefaultSkew
	}
	if d := auth.stamp.Time().Sub(now); d > skew || d < -skew {
		return acc, fail(APErrSkew, "the clock of %v differs from ours by %v, %v is allowed", part.client, d.Round(time.Second), skew)
	}
	if part.flags&FlagInvalid != 0 || part.startTime.Sub(now) > skew {
		return acc, fail(APErrTktNYV, "from %s", part.startTime.Format(time.RFC3339))
	}
	if now.Sub(part.endTime) > skew {
		return acc, fail(APErrTktExpired, "ended %s", part.endTime.Format(time.RFC3339))
	}
	if part.client.Realm != t.Server.Realm && part.flags&FlagTransitedOK == 0 && !a.TrustTransited {
		return acc, fail(APErrPathNotAccepted, "the KDC has not checked the realms between %s and %s", part.client.Realm, t.Server.Realm)
	}
	if a.Replays != nil {
		if err := a.Replays.Remember(now, acc); err != nil {
			return acc, err
		}
	}
	return acc, nil
}

// keys returns the keys that may open the ticket.
func (a *Acceptor) keys(req *APReq) ([]*Key, error) {
	t := req.Ticket
	if req.UseSessionKey {
		var keys []*Key
		for _, tgt := range a.TGTs {
			if tgt.Key.etype == t.EType && tgt.Client == t.Server {
				keys = append(keys, tgt.Key)
			}
		}
		if len(keys) == 0 {
			return nil, &Error{Code: APErrNoTGT, Reason: "user-to-user ticket for " + t.Server.String() + ", of which there is no TGT here"}
		}
		return keys, nil
	}
	if a.Keys == nil {
		return nil, &Error{Code: APErrUserToUserRequired, Reason: "there is no key for " + t.Server.String() + " here"}
	}
	keys, err := a.Keys.ServiceKeys(t.Server, t.EType, t.KVNO)
	if err != nil {
		code, ok := errors.AsType[Code](err)
		if !ok {
			code = ErrGeneric
		}
		return nil, &Error{Code: code, Reason: fmt.Sprintf("ticket for %v, %v, key version %d", t.Server, t.EType, t.KVNO)}
	}
	return keys, nil
}

func openTicket(t *SealedTicket, keys []*Key) (*ticketPart, error) {
	err := ErrDecrypt
	for _, k := range keys {
		var text []byte
		if text, err = (encryptedData{etype: t.EType, cipher: t.cipher}).open(k, usageTicket); err != nil {
			continue
		}
		part, err := parseTicketPart(text)
		clear(text)
		return part, err
	}
	return nil, err
}
