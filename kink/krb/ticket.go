package krb

import (
	"fmt"
	"io"
	"net/netip"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Flags are ticket flags, KDC options or AP options: bit 0 of RFC 4120 is the
// highest.
type Flags uint32

// Ticket flags that matter here (RFC 4120 5.3).
const (
	FlagForwardable   Flags = 1 << (31 - 1)
	FlagInvalid       Flags = 1 << (31 - 7)
	FlagRenewable     Flags = 1 << (31 - 8)
	FlagInitial       Flags = 1 << (31 - 9)
	FlagPreAuthent    Flags = 1 << (31 - 10)
	FlagTransitedOK   Flags = 1 << (31 - 12) // TRANSITED-POLICY-CHECKED
	optionUseSession  Flags = 1 << (31 - 1)  // AP option USE-SESSION-KEY
	optionMutual      Flags = 1 << (31 - 2)  // AP option MUTUAL-REQUIRED
	optionCanonical   Flags = 1 << (31 - 15) // KDC option CANONICALIZE
	optionEncTktSkey  Flags = 1 << (31 - 28) // KDC option ENC-TKT-IN-SKEY
	optionRenewableOK Flags = 1 << (31 - 27)
)

// A Ticket is a ticket with what its owner knows of it: the credentials for one
// service, or for a KDC (a TGT). It is immutable; its key is a secret.
type Ticket struct {
	Client, Server Principal
	Raw            []byte // DER of the Ticket
	Key            *Key   // session key
	Flags          Flags
	AuthTime       time.Time
	StartTime      time.Time
	EndTime        time.Time
	RenewTill      time.Time // zero: not renewable
	UserToUser     bool      // encrypted in the session key of the server's TGT
}

// Valid reports whether now is between start and end of the ticket. A start is
// taken for reached DefaultSkew before: the KDC's clock may be ahead of ours.
func (t *Ticket) Valid(now time.Time) bool {
	return t != nil && t.StartTime.Sub(now) <= DefaultSkew && now.Before(t.EndTime)
}

// String returns whose ticket it is, for what and until when.
func (t *Ticket) String() string {
	if t == nil {
		return "no ticket"
	}
	kind := ""
	if t.UserToUser {
		kind = " (user-to-user)"
	}
	return fmt.Sprintf("ticket of %v for %v%s until %s", t.Client, t.Server, kind, t.EndTime.UTC().Format(time.RFC3339))
}

// GoString is String.
func (t *Ticket) GoString() string { return t.String() }

// APReq appends an AP-REQ with this ticket to dst (RFC 4120 5.5.1), which wants
// mutual authentication (RFC 4430 4.2.1). The authenticator has the time of the
// stamp, which must differ from that of every other one; and no subkey,
// checksum or sequence number, none of which KINK uses. The error is that of
// random.
func (t *Ticket) APReq(dst []byte, s Stamp, random io.Reader) ([]byte, error) {
	options := optionMutual
	if t.UserToUser {
		options |= optionUseSession
	}
	return t.apReq(dst, options, s, usageAPReq, nil, random)
}

// apReq appends an AP-REQ whose authenticator has the key usage and, for a
// TGS-REQ, a checksum over body.
func (t *Ticket) apReq(dst []byte, options Flags, s Stamp, usage uint32, body []byte, random io.Reader) ([]byte, error) {
	var sum []byte
	if body != nil {
		sum = t.Key.appendMIC(nil, usageTGSChecksum, body)
	}
	// A header takes at most five octets, and a component of a name has one.
	w := newBackward(256 + len(t.Client.Realm) + 6*len(t.Client.Name) + len(sum))
	end := w.at
	w.time(5, s.seconds())
	w.int(4, s.micro())
	if body != nil {
		f := w.at
		w.octets(1, sum)
		w.int(0, int64(t.Key.p.cksum))
		w.sequence(f)
		w.field(3, f)
	}
	w.name(2, t.Client)
	w.realm(1, t.Client.Realm)
	w.int(0, pvno)
	w.application(msgAuthenticator, end)
	sealed, err := t.Key.Encrypt(nil, usage, w.written(), random)
	if err != nil {
		return dst, err
	}
	w = newBackward(128 + len(t.Raw) + len(sealed))
	end = w.at
	w.encrypted(4, t.Key.etype, sealed)
	f := w.at
	w.bytes(t.Raw)
	w.field(3, f)
	w.flags(2, options)
	w.int(1, msgAPReq)
	w.int(0, pvno)
	w.application(msgAPReq, end)
	return append(dst, w.written()...), nil
}

// A SealedTicket is a ticket as anybody sees it: who it is for, and with which
// kind of key it is encrypted.
type SealedTicket struct {
	Server Principal
	EType  EType
	KVNO   uint32 // version of the service's key; 0: not said
	cipher []byte
}

// ParseTicket decodes the DER of a ticket: what a KINK_TGT_REP carries. The
// result aliases b. The error wraps [ErrSyntax].
func ParseTicket(b []byte) (*SealedTicket, error) {
	r := sequence(b, msgTicket)
	version := r.int(0)
	realm := r.string(1)
	name := r.name(2)
	enc := r.encrypted(3)
	if r.bad || version != pvno || realm == "" {
		return nil, syntax("Ticket")
	}
	return &SealedTicket{Server: NewPrincipal(realm, name...), EType: enc.etype, KVNO: enc.kvno, cipher: enc.cipher}, nil
}

// IsLocalTGT reports whether the ticket is for the KDC of its own realm, and no
// inter-realm TGT, as RFC 4430 4.2.4 wants of a KINK_TGT_REP.
func (t *SealedTicket) IsLocalTGT() bool {
	return t.Server == NewPrincipal(t.Server.Realm, "krbtgt", t.Server.Realm)
}

// ticketPart is RFC 4120 5.3's EncTicketPart.
type ticketPart struct {
	flags      Flags
	key        *Key // nil: of an unknown type
	client     Principal
	authTime   time.Time
	startTime  time.Time
	endTime    time.Time
	restricted bool         // to addrs
	addrs      []netip.Addr // zero addresses for those of families that IP does not have
}

// parseTicketPart copies what it keeps.
func parseTicketPart(b []byte) (*ticketPart, error) {
	r := sequence(b, msgEncTicketPart)
	p := &ticketPart{flags: r.flags(0), key: r.key(1)}
	realm := r.string(2)
	name := r.name(3)
	in := plain(r.field(4))
	in.int(0)
	in.octets(1)
	r.check(!in.bad)
	p.authTime = r.time(5)
	p.startTime = r.optionalTime(6)
	p.endTime = r.time(7)
	r.optionalTime(8)
	if list, ok := r.optional(9); ok {
		p.restricted = true
		p.addrs, ok = addresses(list)
		r.check(ok)
	}
	if r.bad || realm == "" {
		return nil, syntax("EncTicketPart")
	}
	if p.startTime.IsZero() {
		p.startTime = p.authTime
	}
	p.client = NewPrincipal(realm, name...)
	return p, nil
}

// open decrypts and cuts the padding that DES3 leaves behind a message.
func (e encryptedData) open(k *Key, usage uint32) ([]byte, error) {
	if e.etype != k.etype {
		return nil, ErrDecrypt
	}
	text, err := k.Decrypt(usage, e.cipher)
	if err != nil {
		return nil, err
	}
	s := cryptobyte.String(text)
	var first cryptobyte.String
	var tag asn1.Tag
	if !s.ReadAnyASN1Element(&first, &tag) {
		return nil, syntax("no DER inside an encryption")
	}
	return first, nil
}

// SessionKey opens the ticket with the key of its server, as a KDC does with a
// TGT, and returns the session key and the client. The error is [ErrDecrypt],
// or wraps [ErrSyntax] or [ErrEType].
func (t *SealedTicket) SessionKey(k *Key) (*Key, Principal, error) {
	part, err := openTicket(t, []*Key{k})
	if err != nil {
		return nil, Principal{}, err
	}
	if part.key == nil {
		return nil, part.client, ErrEType
	}
	return part.key, part.client, nil
}
