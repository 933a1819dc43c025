// Package krbtest is a Kerberos realm in memory, for tests and simulations
// without a KDC: it issues tickets at the time that it is told, from the
// randomness that it was given, and fails when it is told to.
//
//	realm := krbtest.NewRealm("EXAMPLE.COM", random, krb.AES256SHA384)
//	a := realm.Host("kink/a.example.com")     // implements krb.Kerberos
//	b := realm.Host("kink/b.example.com")
//	realm.Rekey("kink/b.example.com")         // b's keytab is old until b.Reload
package krbtest

import (
	"context"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/racoon3/racoon/kink/krb"
)

// A Realm is a KDC with its database. It is safe for concurrent use; with a
// deterministic source of randomness it is deterministic if it is used so.
type Realm struct {
	mu       sync.Mutex
	name     string
	random   io.Reader
	etype    krb.EType
	services map[krb.Principal]*service
	trusts   map[string]*Realm
	down     error
	lifetime time.Duration
	requests int
	tgs      *krb.Key
}

// service is a principal of the database.
type service struct {
	key *krb.Key
	old []krb.KeytabEntry
	vno uint32
	u2u bool
}

// NewRealm returns a realm whose keys and tickets have the encryption type e.
// Tickets live 10 hours.
func NewRealm(name string, random io.Reader, e krb.EType) *Realm {
	r := &Realm{name: name, random: random, etype: e, services: map[krb.Principal]*service{}, trusts: map[string]*Realm{}, lifetime: 10 * time.Hour}
	r.tgs = r.newKey()
	return r
}

func (r *Realm) newKey() *krb.Key {
	k, err := krb.RandomKey(r.etype, r.random)
	if err != nil {
		panic(err) // the caller's reader
	}
	return k
}

// Principal returns the principal of the realm with the given name.
func (r *Realm) Principal(name string) krb.Principal { return krb.Principal{Name: name, Realm: r.name} }

// Trust lets principals of this realm have tickets for the other one, the
// transited path checked.
func (r *Realm) Trust(o *Realm) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trusts[o.name] = o
}

// SetDown makes every request fail with err, until it is nil again: the KDC is
// not reachable.
func (r *Realm) SetDown(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = err
}

// SetLifetime sets how long tickets live from now on.
func (r *Realm) SetLifetime(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lifetime = d
}

// RequireUserToUser makes the KDC refuse tickets for the service but
// user-to-user ones.
func (r *Realm) RequireUserToUser(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.service(r.Principal(name)).u2u = true
}

// Rekey gives the service a new key; hosts have it after Reload.
func (r *Realm) Rekey(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.service(r.Principal(name))
	s.old = append(s.old, s.entry(r.Principal(name)))
	s.key = r.newKey()
	s.vno++
}

// Requests returns how many tickets were asked for, from any host.
func (r *Realm) Requests() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests
}

func (r *Realm) service(p krb.Principal) *service {
	s := r.services[p]
	if s == nil {
		s = &service{key: r.newKey(), vno: 1}
		r.services[p] = s
	}
	return s
}

func (s *service) entry(p krb.Principal) krb.KeytabEntry {
	return krb.KeytabEntry{Principal: p, KVNO: s.vno, Key: s.key}
}

// Host returns what the principal with the given name has of Kerberos: its
// keytab as of now, and tickets.
func (r *Realm) Host(name string) *Host {
	h := &Host{realm: r, me: r.Principal(name), kept: map[krb.Principal]*krb.Ticket{}}
	_ = h.Reload(context.Background())
	return h
}

// A Host is one principal's [krb.Kerberos].
type Host struct {
	realm *Realm
	me    krb.Principal

	mu     sync.Mutex
	keytab *krb.Keytab
	tgt    *krb.Ticket
	kept   map[krb.Principal]*krb.Ticket
}

var _ krb.Kerberos = (*Host)(nil)

// Principal returns whose it is.
func (h *Host) Principal() krb.Principal { return h.me }

// ServiceKeys implements [krb.KeySource].
func (h *Host) ServiceKeys(server krb.Principal, e krb.EType, kvno uint32) ([]*krb.Key, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.keytab.ServiceKeys(server, e, kvno)
}

// SetKeytab replaces the host's keytab until the next Reload; nil leaves it
// without one, as hosts are that need user-to-user.
func (h *Host) SetKeytab(k *krb.Keytab) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keytab = k
}

// Reload takes the keytab from the realm.
func (h *Host) Reload(context.Context) error {
	h.realm.mu.Lock()
	s := h.realm.service(h.me)
	entries := append(slices.Clone(s.old), s.entry(h.me))
	h.realm.mu.Unlock()
	h.SetKeytab(krb.NewKeytab(entries...))
	return nil
}

// Forget drops the tickets, the TGT too.
func (h *Host) Forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tgt = nil
	clear(h.kept)
}

// TGT implements [krb.Kerberos].
func (h *Host) TGT(ctx context.Context, now time.Time) (*krb.Ticket, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.tgt.Valid(now) {
		return h.tgt, nil
	}
	r := h.realm
	r.mu.Lock()
	defer r.mu.Unlock()
	t, err := r.issue(ctx, now, h.me, krb.NewPrincipal(r.name, "krbtgt", r.name), r.tgs, 1, false)
	if err == nil {
		h.tgt = t
	}
	return t, err
}

// ServiceTicket implements [krb.Kerberos].
func (h *Host) ServiceTicket(ctx context.Context, now time.Time, server krb.Principal, o krb.TicketOptions) (*krb.Ticket, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t := h.kept[server]; t.Valid(now.Add(o.AtLeast)) && !o.Fresh && o.TGT == nil {
		return t, nil
	}
	r := h.realm
	r.mu.Lock()
	if server.Realm != r.name {
		o := r.trusts[server.Realm]
		r.mu.Unlock()
		if o == nil {
			return nil, &krb.KRBError{Code: krb.KDCErrSPrincipalUnknown, Server: server}
		}
		r = o
		r.mu.Lock()
	}
	defer r.mu.Unlock()
	s := r.services[server]
	switch {
	case s == nil:
		return nil, &krb.KRBError{Code: krb.KDCErrSPrincipalUnknown, Server: server}
	case o.TGT != nil:
		key, err := r.sessionKey(o.TGT, server)
		if err != nil {
			return nil, err
		}
		return r.issue(ctx, now, h.me, server, key, 0, true)
	case s.u2u:
		return nil, &krb.KRBError{Code: krb.KDCErrMustUseUser2User, Server: server}
	}
	t, err := r.issue(ctx, now, h.me, server, s.key, s.vno, false)
	if err == nil {
		h.kept[server] = t
	}
	return t, err
}

// sessionKey opens a TGT of ours that must be the server's.
func (r *Realm) sessionKey(tgt []byte, server krb.Principal) (*krb.Key, error) {
	t, err := krb.ParseTicket(tgt)
	if err != nil {
		return nil, err
	}
	k, client, err := t.SessionKey(r.tgs)
	if err != nil || client != server {
		return nil, &krb.KRBError{Code: krb.APErrBadMatch, Server: server}
	}
	return k, nil
}

func (r *Realm) issue(ctx context.Context, now time.Time, client, server krb.Principal, seal *krb.Key, vno uint32, u2u bool) (*krb.Ticket, error) {
	r.requests++
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if r.down != nil {
		return nil, r.down
	}
	now = now.Truncate(time.Second)
	i := krb.Issue{
		Client: client, Server: server, Session: r.newKey(), Flags: krb.FlagPreAuthent | krb.FlagTransitedOK,
		AuthTime: now, StartTime: now, EndTime: now.Add(r.lifetime), Seal: seal, KVNO: vno, UserToUser: u2u,
	}
	return i.Ticket(r.random)
}
