package krb

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// A Transport sends a request to a KDC of the realm and returns its answer. That
// one KDC does not answer is for it to overcome. It is safe for concurrent use.
type Transport interface {
	Exchange(ctx context.Context, realm string, request []byte) ([]byte, error)
}

// ErrNoCredentials means that a [Client] has nothing to get a TGT with.
var ErrNoCredentials = errors.New("krb: no keytab, password or credential cache with a valid TGT")

// A ClientConfig says who a [Client] is and how it talks to KDCs.
type ClientConfig struct {
	Principal Principal
	Transport Transport
	Random    io.Reader     // for nonces and confounders
	ETypes    []EType       // nil: DefaultETypes
	Lifetime  time.Duration // of the tickets that are asked for; 0: 10 hours
	// CAPath returns the realms between two others, in order, where KDCs do not
	// know the way themselves: [capaths] of krb5.conf. Nil: they do.
	CAPath func(from, to string) []string
}

// maxHops is how many realms a ticket may take to get, and maxKept how many
// tickets are kept.
const (
	maxHops = 10
	maxKept = 1 << 16
)

// A Client gets tickets from KDCs: the AS exchange with a keytab or password,
// the TGS exchange, user-to-user, across realms by referrals. It keeps what it
// got. Its calls wait for the Transport; the time is a parameter. It is safe for
// concurrent use.
type Client struct {
	c ClientConfig

	login chan struct{} // held by whoever gets the first TGT

	mu       sync.Mutex
	keytab   *Keytab
	password string
	stamps   Stamper
	tgts     map[string]*Ticket // by the realm whose KDC takes them
	kept     map[Principal]*Ticket
}

// NewClient returns a client without credentials.
func NewClient(c ClientConfig) *Client {
	if c.ETypes == nil {
		c.ETypes = DefaultETypes()
	}
	if c.Lifetime <= 0 {
		c.Lifetime = 10 * time.Hour
	}
	return &Client{c: c, login: make(chan struct{}, 1), tgts: map[string]*Ticket{}, kept: map[Principal]*Ticket{}}
}

// Principal returns whose client it is.
func (c *Client) Principal() Principal { return c.c.Principal }

// SetKeytab replaces the keytab with which TGTs are got.
func (c *Client) SetKeytab(k *Keytab) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keytab = k
}

// SetPassword replaces the password with which TGTs are got if there is no
// key.
func (c *Client) SetPassword(password string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.password = password
}

// SetCCache replaces the tickets that are kept by those of a credential cache.
// The error says that it is somebody else's.
func (c *Client) SetCCache(cc *CCache) error {
	if cc.Client != c.c.Principal {
		return fmt.Errorf("krb: the credential cache is of %v, not of %v", cc.Client, c.c.Principal)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.tgts)
	clear(c.kept)
	for _, t := range cc.Tickets {
		if t.Client != cc.Client || t.UserToUser {
			continue
		}
		if realm, ok := tgsRealm(t.Server); ok {
			c.tgts[realm] = t
		} else {
			c.kept[t.Server] = t
		}
	}
	return nil
}

// tgsRealm returns whose KDC a ticket is for.
func tgsRealm(server Principal) (string, bool) {
	p := server.Components()
	if len(p) == 2 && p[0] == "krbtgt" {
		return p[1], true
	}
	return "", false
}

// margin is how long before its end a TGT is not used any more.
const margin = time.Minute

// TGT returns the client's own TGT: the kept one while it is good, or a new
// one.
func (c *Client) TGT(ctx context.Context, now time.Time) (*Ticket, error) {
	return c.ownTGT(ctx, now, margin)
}

// ownTGT is TGT with one that is good for longer than rest.
func (c *Client) ownTGT(ctx context.Context, now time.Time, rest time.Duration) (*Ticket, error) {
	realm := c.c.Principal.Realm
	if t := c.tgt(realm, now, rest); t != nil {
		return t, nil
	}
	select { // one at a time
	case c.login <- struct{}{}:
		defer func() { <-c.login }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if t := c.tgt(realm, now, rest); t != nil {
		return t, nil
	}
	t, err := c.initial(ctx, now)
	if err != nil {
		return nil, fmt.Errorf("krb: TGT of %v: %w", c.c.Principal, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.tgts) // those of other realms came from the old one
	c.tgts[realm] = t
	return t, nil
}

// tgt returns a kept TGT; one that cannot be replaced is good to its end.
func (c *Client) tgt(realm string, now time.Time, rest time.Duration) *Ticket {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.tgts[realm]; t.Valid(now) && t.EndTime.Sub(now) > rest || t.Valid(now) && c.keytab == nil && c.password == "" {
		return t
	}
	return nil
}

// ServiceTicket returns a ticket for server that is good at now: a kept one, or
// a new one. With an empty realm the KDCs say where the server is (RFC 6806).
func (c *Client) ServiceTicket(ctx context.Context, now time.Time, server Principal, o TicketOptions) (*Ticket, error) {
	if o.TGT == nil && !o.Fresh {
		c.mu.Lock()
		t := c.kept[server]
		c.mu.Unlock()
		if t.Valid(now) && t.EndTime.Sub(now) > o.AtLeast {
			return t, nil
		}
	}
	t, err := c.service(ctx, now, server, o)
	if stale(err) && c.forget() { // the KDC has other keys than when it made the TGT
		t, err = c.service(ctx, now, server, o)
	}
	if err != nil {
		return nil, fmt.Errorf("krb: ticket for %v: %w", server, err)
	}
	if o.TGT == nil {
		c.keep(now, server, t)
	}
	return t, nil
}

// forget drops the TGTs, unless there is nothing to get another one with.
func (c *Client) forget() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keytab == nil && c.password == "" {
		return false
	}
	clear(c.tgts)
	return true
}

// stale reports whether a new TGT may help.
func stale(err error) bool {
	for _, code := range []Code{APErrTktExpired, APErrBadIntegrity, APErrBadKeyVer, APErrModified, APErrNoKey, ErrGeneric /* MIT, for an unknown key */} {
		if _, ok := errors.AsType[*KRBError](err); ok && errors.Is(err, code) {
			return true
		}
	}
	return false
}

func (c *Client) keep(now time.Time, server Principal, t *Ticket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.kept) >= maxKept {
		for p, t := range c.kept {
			if !t.Valid(now) || len(c.kept) >= maxKept {
				delete(c.kept, p)
			}
		}
	}
	c.kept[server] = t
}

// nonce returns a number that requests and replies are matched by.
func (c *Client) nonce() (uint32, error) {
	var b [4]byte
	if _, err := io.ReadFull(c.c.Random, b[:]); err != nil {
		return 0, fmt.Errorf("krb: nonce: %w", err)
	}
	return binary.BigEndian.Uint32(b[:]) >> 1, nil // some take it for signed
}

// initial does the AS exchange (RFC 4120 3.1) with PA-ENC-TIMESTAMP.
func (c *Client) initial(ctx context.Context, now time.Time) (*Ticket, error) {
	me := c.c.Principal
	etypes, err := c.loginETypes()
	if err != nil {
		return nil, err
	}
	nonce, err := c.nonce()
	if err != nil {
		return nil, err
	}
	q := &kdcRequest{
		kind: msgASReq, options: optionRenewableOK, client: me, server: NewPrincipal(me.Realm, "krbtgt", me.Realm),
		till: now.Add(c.c.Lifetime), nonce: nonce, etypes: etypes,
	}
	body, err := q.body()
	if err != nil {
		return nil, err
	}
	var pa []paData
	for range 2 {
		b, err := q.message(body, pa...)
		if err != nil {
			return nil, err
		}
		reply, err := c.c.Transport.Exchange(ctx, me.Realm, b)
		if err != nil {
			return nil, err
		}
		p, err := parseKDCReply(reply, msgASReq)
		if ke, ok := errors.AsType[*KRBError](err); ok && ke.Code == KDCErrPreauthRequired && pa == nil {
			hints, _ := parsePAData(ke.Data)
			if pa, err = c.preauthenticate(now, etypes, parseETypeInfo(hints)); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("the KDC of %s answers %w", me.Realm, err)
		}
		if !slices.Contains(etypes, p.enc.etype) {
			return nil, fmt.Errorf("%w: reply of the KDC with %v", ErrEType, p.enc.etype)
		}
		hint := etypeInfo{etype: p.enc.etype}
		for _, i := range parseETypeInfo(p.pa) {
			if i.etype == p.enc.etype {
				hint = i
			}
		}
		keys, err := c.loginKeys(hint, p.enc.kvno)
		if err != nil {
			return nil, err
		}
		t, err := openWith(keys, p, q)
		if err != nil {
			return nil, err
		}
		if t.Client != me || t.Server != q.server || !allowed(c.c.ETypes, t.Key.etype) {
			return nil, fmt.Errorf("%w: the KDC's reply is a %v with %v", ErrSyntax, t, t.Key.etype)
		}
		return t, nil
	}
	return nil, KDCErrPreauthFailed
}

func openWith(keys []*Key, p *kdcReply, q *kdcRequest) (t *Ticket, err error) {
	for _, k := range keys {
		if t, err = p.open(k, usageASRep, q); !errors.Is(err, ErrDecrypt) {
			return t, err
		}
	}
	return nil, fmt.Errorf("keytab or password does not open the KDC's reply: %w", ErrDecrypt)
}

// preauthenticate makes the encrypted timestamp with the first of the KDC's
// encryption types that there is a key for.
func (c *Client) preauthenticate(now time.Time, etypes []EType, hints []etypeInfo) ([]paData, error) {
	if len(hints) == 0 { // none said
		hints = []etypeInfo{{etype: etypes[0]}}
	}
	for _, h := range hints {
		if !slices.Contains(etypes, h.etype) {
			continue
		}
		keys, err := c.loginKeys(h, 0)
		if err != nil {
			return nil, err
		}
		plain, err := encTimestamp(now)
		if err != nil {
			return nil, err
		}
		sealed, err := keys[0].Encrypt(nil, usagePreAuth, plain, c.c.Random)
		if err != nil {
			return nil, err
		}
		value, err := encryptedDataDER(encryptedData{etype: h.etype, cipher: sealed})
		if err != nil {
			return nil, err
		}
		return []paData{{paEncTimestamp, value}}, nil
	}
	return nil, fmt.Errorf("%w: the KDC wants none of %v", KDCErrETypeNoSupp, etypes)
}

// loginETypes returns the encryption types there are keys for, in order of
// preference.
func (c *Client) loginETypes() ([]EType, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.password != "" {
		return c.c.ETypes, nil
	}
	var out []EType
	for _, e := range c.c.ETypes {
		if _, err := c.keytab.ServiceKeys(c.c.Principal, e, 0); err == nil {
			out = append(out, e)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w for %v", ErrNoCredentials, c.c.Principal)
	}
	return out, nil
}

// loginKeys returns the client's keys of an encryption type, at least one.
func (c *Client) loginKeys(i etypeInfo, kvno uint32) ([]*Key, error) {
	c.mu.Lock()
	keytab, password := c.keytab, c.password
	c.mu.Unlock()
	keys, err := keytab.ServiceKeys(c.c.Principal, i.etype, kvno)
	if err != nil && kvno != 0 {
		keys, err = keytab.ServiceKeys(c.c.Principal, i.etype, 0)
	}
	if err == nil {
		return keys, nil
	}
	if password == "" {
		return nil, fmt.Errorf("%w for %v with %v", ErrNoCredentials, c.c.Principal, i.etype)
	}
	salt := i.salt
	if !i.hasSalt { // RFC 4120 4: realm and components without separators
		salt = []byte(c.c.Principal.Realm)
		for _, s := range c.c.Principal.Components() {
			salt = append(salt, s...)
		}
	}
	k, err := StringToKey(i.etype, password, salt, i.iterations)
	if err != nil {
		return nil, err
	}
	return []*Key{k}, nil
}

// service does the TGS exchange (RFC 4120 3.3), from realm to realm until the
// ticket is one for server.
func (c *Client) service(ctx context.Context, now time.Time, server Principal, o TicketOptions) (*Ticket, error) {
	rest := max(margin, o.AtLeast) // no ticket outlives its TGT
	tgt, err := c.ownTGT(ctx, now, rest)
	if err != nil {
		return nil, err
	}
	here := c.c.Principal.Realm
	refer := server.Realm == ""
	var way []string
	if !refer && server.Realm != here {
		if t := c.tgt(server.Realm, now, rest); t != nil {
			tgt, here = t, server.Realm
		} else if c.c.CAPath != nil {
			way = c.c.CAPath(here, server.Realm)
		}
	}
	for range maxHops {
		want := server
		switch {
		case refer:
			want.Realm = here
		case server.Realm != here && len(way) > 0:
			want = NewPrincipal(here, "krbtgt", way[0])
		case server.Realm != here:
			want = NewPrincipal(here, "krbtgt", server.Realm)
		}
		t, err := c.grant(ctx, now, tgt, want, refer, o)
		if err != nil {
			return nil, err
		}
		if t.Server == want && want.Name == server.Name {
			return t, nil
		}
		next, ok := tgsRealm(t.Server)
		if !ok || next == here || t.Server.Realm != here {
			return nil, fmt.Errorf("%w: asked for %v, the KDC answered with a ticket for %v", ErrSyntax, want, t.Server)
		}
		c.mu.Lock()
		c.tgts[next] = t
		c.mu.Unlock()
		tgt, here = t, next
		if len(way) > 0 && way[0] == next {
			way = way[1:]
		}
	}
	return nil, fmt.Errorf("%w: more than %d realms on the way", APErrPathNotAccepted, maxHops)
}

// grant asks the KDC that takes tgt for one ticket.
func (c *Client) grant(ctx context.Context, now time.Time, tgt *Ticket, server Principal, refer bool, o TicketOptions) (*Ticket, error) {
	nonce, err := c.nonce()
	if err != nil {
		return nil, err
	}
	q := &kdcRequest{kind: msgTGSReq, server: server, till: now.Add(c.c.Lifetime), nonce: nonce, etypes: c.c.ETypes}
	if refer {
		q.options |= optionCanonical
	}
	if _, ok := tgsRealm(server); o.TGT != nil && !ok {
		q.options |= optionEncTktSkey
		q.additional = o.TGT
	}
	body, err := q.body()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	stamp := c.stamps.Next(now)
	c.mu.Unlock()
	auth, err := tgt.apReq(nil, 0, stamp, usageTGSAuth, body, c.c.Random)
	if err != nil {
		return nil, err
	}
	b, err := q.message(body, paData{paTGSReq, auth})
	if err != nil {
		return nil, err
	}
	realm, _ := tgsRealm(tgt.Server)
	reply, err := c.c.Transport.Exchange(ctx, realm, b)
	if err != nil {
		return nil, err
	}
	p, err := parseKDCReply(reply, msgTGSReq)
	if err != nil {
		return nil, fmt.Errorf("the KDC of %s, asked for %v, answers %w", realm, server, err)
	}
	t, err := p.open(tgt.Key, usageTGSRep, q)
	if err != nil {
		return nil, err
	}
	if t.Client != c.c.Principal || !allowed(c.c.ETypes, t.Key.etype) {
		return nil, fmt.Errorf("%w: the KDC's reply is a %v with %v", ErrSyntax, t, t.Key.etype)
	}
	return t, nil
}
