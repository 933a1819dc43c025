package krb_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/krb/krbtest"
)

var (
	noon   = time.Date(2030, 1, 2, 12, 0, 0, 123456789, time.UTC)
	client = krb.Principal{Name: "kink/a.example.com", Realm: "EXAMPLE.COM"}
	server = krb.Principal{Name: "kink/b.example.com", Realm: "EXAMPLE.COM"}
	allAES = krb.DefaultETypes()
)

func random(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

func randomKey(t testing.TB, e krb.EType, seed byte) *krb.Key {
	k, err := krb.RandomKey(e, random(seed))
	require.NoError(t, err)
	return k
}

// issue is a good ticket of client for server, ten hours from noon.
func issue(t testing.TB, e krb.EType) *krb.Issue {
	start := noon.Truncate(time.Second)
	return &krb.Issue{
		Client: client, Server: server, Session: randomKey(t, e, 1), Flags: krb.FlagPreAuthent,
		AuthTime: start, StartTime: start, EndTime: start.Add(10 * time.Hour), Seal: randomKey(t, e, 2), KVNO: 3,
	}
}

func ticket(t testing.TB, i *krb.Issue) *krb.Ticket {
	tkt, err := i.Ticket(random(3))
	require.NoError(t, err)
	return tkt
}

func apReq(t testing.TB, tkt *krb.Ticket, at time.Time) *krb.APReq {
	b, err := tkt.APReq(nil, krb.StampOf(at), random(4))
	require.NoError(t, err)
	req, err := krb.ParseAPReq(b)
	require.NoError(t, err)
	return req
}

// acceptor has the key that issue seals with.
func acceptor(t testing.TB, e krb.EType) *krb.Acceptor {
	return &krb.Acceptor{
		Keys:    krb.NewKeytab(krb.KeytabEntry{Principal: server, KVNO: 3, Key: randomKey(t, e, 2)}),
		Replays: krb.NewReplayCache(krb.DefaultSkew, 0, 0),
		ETypes:  []krb.EType{e},
	}
}

func TestAccept(t *testing.T) {
	for _, e := range append(allAES, krb.DES3SHA1) {
		tkt := ticket(t, issue(t, e))
		require.True(t, tkt.Valid(noon))
		require.False(t, tkt.Valid(noon.Add(10*time.Hour)))
		req := apReq(t, tkt, noon)
		require.True(t, req.Mutual)
		require.False(t, req.UseSessionKey)
		require.Equal(t, server, req.Ticket.Server)
		require.EqualValues(t, 3, req.Ticket.KVNO)
		peer, err := acceptor(t, e).Accept(noon, netip.Addr{}, req)
		require.NoError(t, err, "%v", e)
		require.Equal(t, client, peer.Client)
		require.Equal(t, server, peer.Server)
		require.True(t, peer.Key.Equal(tkt.Key))
		require.Equal(t, krb.StampOf(noon), peer.Stamp)
		require.Equal(t, "2030-01-02T12:00:00.123456Z", peer.Stamp.String())
		require.Equal(t, tkt.EndTime, peer.EndTime)
		rep, err := krb.AppendAPRep([]byte("x"), peer.Key, peer.Stamp, random(5))
		require.NoError(t, err)
		stamp, err := krb.OpenAPRep(rep[1:], tkt.Key)
		require.NoError(t, err)
		require.Equal(t, peer.Stamp, stamp)

		// An AP-REP under another key, and a changed one.
		_, err = krb.OpenAPRep(rep[1:], randomKey(t, e, 9))
		require.ErrorIs(t, err, krb.ErrDecrypt)
		for i := range rep[1:] {
			bad := bytes.Clone(rep[1:])
			bad[i] ^= 1
			s, err := krb.OpenAPRep(bad, tkt.Key)
			require.True(t, err != nil || s == stamp, "octet %d", i)
		}
	}
	tkt := ticket(t, issue(t, krb.DES3SHA1))
	a := acceptor(t, krb.DES3SHA1)
	a.ETypes = nil
	_, err := a.Accept(noon, netip.Addr{}, apReq(t, tkt, noon))
	require.ErrorIs(t, err, krb.KDCErrETypeNoSupp, "DES3 only if it is asked for")
}

// Every reason of RFC 4120 3.2.3 to refuse, its code, its words, and whether the
// answer can be protected.
func TestAcceptRefuses(t *testing.T) {
	const e = krb.AES128SHA256
	from := netip.MustParseAddr("10.0.0.1")
	other := krb.Principal{Name: "kink/c.example.com", Realm: "EXAMPLE.COM"}
	for _, c := range []struct {
		name   string
		issue  func(i *krb.Issue)
		ticket func(t *krb.Ticket)
		accept func(a *krb.Acceptor)
		at     time.Duration // of the authenticator, after noon
		now    time.Duration // of the acceptor
		code   krb.Code      // 0: accepted
		key    bool
		text   string
	}{
		{name: "good"},
		{name: "authenticator of somebody else", ticket: func(t *krb.Ticket) { t.Client = other }, code: krb.APErrBadMatch, key: true, text: "ticket of kink/a.example.com@EXAMPLE.COM, authenticator of kink/c.example.com@EXAMPLE.COM"},
		{name: "authenticator of another realm", ticket: func(t *krb.Ticket) { t.Client.Realm = "EXAMPLE.ORG" }, code: krb.APErrBadMatch, key: true},
		{name: "authenticator with another key", ticket: func(x *krb.Ticket) { x.Key = randomKey(t, e, 7) }, code: krb.APErrBadIntegrity},
		{name: "session key of another type", ticket: func(x *krb.Ticket) { x.Key = randomKey(t, krb.AES128SHA1, 1) }, code: krb.APErrBadIntegrity},
		{name: "ticket for somebody else", issue: func(i *krb.Issue) { i.Server = other }, code: krb.APErrNotUs, text: "kink/c.example.com@EXAMPLE.COM"},
		{name: "one of our names", accept: func(a *krb.Acceptor) { a.Servers = []krb.Principal{other, server} }},
		{name: "another service's key", accept: func(a *krb.Acceptor) { a.Servers = []krb.Principal{other} }, code: krb.APErrNotUs, text: "kink/b.example.com@EXAMPLE.COM"},
		{name: "ticket with another key", issue: func(i *krb.Issue) { i.Seal = randomKey(t, e, 8) }, code: krb.APErrBadIntegrity, text: "key version 3"},
		{name: "old key", issue: func(i *krb.Issue) { i.KVNO = 2 }, code: krb.APErrBadKeyVer, text: "key version 2"},
		{name: "any key version", issue: func(i *krb.Issue) { i.KVNO = 0 }},
		{name: "key of a type we have not", issue: func(i *krb.Issue) { i.Seal = randomKey(t, krb.AES256SHA1, 2) }, accept: func(a *krb.Acceptor) { a.ETypes = nil }, code: krb.APErrNoKey},
		{name: "type that is not allowed", accept: func(a *krb.Acceptor) { a.ETypes = []krb.EType{krb.AES256SHA1} }, code: krb.KDCErrETypeNoSupp, text: "aes128-cts-hmac-sha256-128"},
		{name: "session key type that is not allowed", issue: func(i *krb.Issue) { i.Session = randomKey(t, krb.AES256SHA1, 1) }, code: krb.KDCErrETypeNoSupp},
		{name: "no key at all", accept: func(a *krb.Acceptor) { a.Keys = nil }, code: krb.APErrUserToUserRequired},
		{name: "user-to-user without TGT", ticket: func(x *krb.Ticket) { x.UserToUser = true }, code: krb.APErrNoTGT},
		{name: "clock within the limit", at: 5 * time.Minute},
		{name: "clock ahead", at: 5*time.Minute + time.Second, code: krb.APErrSkew, key: true, text: "5m1s"},
		{name: "clock behind", at: -6 * time.Minute, code: krb.APErrSkew, key: true},
		{name: "narrow limit", accept: func(a *krb.Acceptor) { a.Skew = time.Second }, at: 2 * time.Second, code: krb.APErrSkew, key: true, text: "1s is allowed"},
		{name: "expired within the limit", at: 10*time.Hour + 4*time.Minute, now: 10*time.Hour + 4*time.Minute},
		{name: "expired", at: 10*time.Hour + 6*time.Minute, now: 10*time.Hour + 6*time.Minute, code: krb.APErrTktExpired, key: true, text: "ended 2030-01-02T22:00:00Z"},
		{name: "not yet valid", issue: func(i *krb.Issue) { i.StartTime = noon.Add(time.Hour) }, code: krb.APErrTktNYV, key: true},
		{name: "invalid", issue: func(i *krb.Issue) { i.Flags |= krb.FlagInvalid }, code: krb.APErrTktNYV, key: true},
		{name: "good address", issue: func(i *krb.Issue) { i.Addresses = []netip.Addr{netip.MustParseAddr("::1"), from} }},
		{name: "bad address", issue: func(i *krb.Issue) { i.Addresses = []netip.Addr{netip.MustParseAddr("10.0.0.2")} }, code: krb.APErrBadAddr, key: true, text: "10.0.0.1"},
		{name: "unchecked path", issue: func(i *krb.Issue) { i.Client.Realm = "OTHER" }, code: krb.APErrPathNotAccepted, key: true},
		{name: "unchecked path, trusted", issue: func(i *krb.Issue) { i.Client.Realm = "OTHER" }, accept: func(a *krb.Acceptor) { a.TrustTransited = true }},
		{name: "checked path", issue: func(i *krb.Issue) { i.Client.Realm = "OTHER"; i.Flags |= krb.FlagTransitedOK }},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := issue(t, e)
			if c.issue != nil {
				c.issue(i)
			}
			tkt := ticket(t, i)
			if c.ticket != nil {
				c.ticket(tkt)
			}
			a := acceptor(t, e)
			if c.accept != nil {
				c.accept(a)
			}
			peer, err := a.Accept(noon.Add(c.now), from, apReq(t, tkt, noon.Add(c.at)))
			if c.code == 0 {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, c.code)
			ke, ok := errors.AsType[*krb.Error](err)
			require.True(t, ok)
			require.Equal(t, c.code, ke.Code)
			require.ErrorContains(t, err, c.text)
			require.Equal(t, c.key, peer != nil)
			if c.key {
				require.True(t, peer.Key.Equal(tkt.Key))
				require.Equal(t, krb.StampOf(noon.Add(c.at)), peer.Stamp)
			}
		})
	}
}

// User-to-user: the ticket is made with the session key of the server's TGT.
// The limits themselves are within: of clocks either way, and of the ticket's times.
func TestAcceptLimits(t *testing.T) {
	now := noon.Truncate(time.Second)
	const skew, bit = krb.DefaultSkew, time.Microsecond
	for _, c := range []struct {
		name       string
		stamp      time.Duration // from now
		start, end time.Duration
		code       krb.Code
	}{
		{"ahead", skew, 0, time.Hour, 0},
		{"too far ahead", skew + bit, 0, time.Hour, krb.APErrSkew},
		{"behind", -skew, 0, time.Hour, 0},
		{"too far behind", -skew - bit, 0, time.Hour, krb.APErrSkew},
		{"about to be valid", 0, skew, time.Hour, 0},
		{"not yet valid", 0, skew + time.Second, time.Hour, krb.APErrTktNYV},
		{"just ended", 0, -time.Hour, -skew, 0},
		{"ended", 0, -time.Hour, -skew - time.Second, krb.APErrTktExpired},
	} {
		i := issue(t, krb.AES128SHA1)
		i.AuthTime, i.StartTime, i.EndTime = now.Add(c.start), now.Add(c.start), now.Add(c.end)
		a := acceptor(t, krb.AES128SHA1)
		_, err := a.Accept(now, netip.Addr{}, apReq(t, ticket(t, i), now.Add(c.stamp)))
		if c.code == 0 {
			require.NoError(t, err, c.name)
		} else {
			require.ErrorIs(t, err, c.code, c.name)
		}
	}
}

// What comes from a clock that is ahead is good for twice the difference, and is
// remembered for as long, though the cache is swept meanwhile.
func TestC28_ReplayAtTheLimit(t *testing.T) {
	now := noon.Truncate(time.Second)
	a := acceptor(t, krb.AES128SHA1)
	tkt := ticket(t, issue(t, krb.AES128SHA1))
	req := apReq(t, tkt, now.Add(krb.DefaultSkew))
	_, err := a.Accept(now, netip.Addr{}, req)
	require.NoError(t, err)
	for d := time.Minute; d <= 2*krb.DefaultSkew; d += time.Minute {
		_, err = a.Accept(now.Add(d), netip.Addr{}, req)
		require.ErrorIs(t, err, krb.APErrRepeat, "after %v", d)
		_, err = a.Accept(now.Add(d), netip.Addr{}, apReq(t, tkt, now.Add(d+time.Microsecond)))
		require.NoError(t, err)
	}
	_, err = a.Accept(now.Add(2*krb.DefaultSkew+time.Microsecond), netip.Addr{}, req)
	require.ErrorIs(t, err, krb.APErrSkew)
}

func TestAcceptUserToUser(t *testing.T) {
	r := krbtest.NewRealm("EXAMPLE.COM", random(6), krb.AES256SHA384)
	a, b := r.Host("kink/a"), r.Host("kink/b")
	r.RequireUserToUser("kink/b")
	b.SetKeytab(nil)
	ctx := context.Background()
	_, err := a.ServiceTicket(ctx, noon, b.Principal(), krb.TicketOptions{})
	require.ErrorIs(t, err, krb.KDCErrMustUseUser2User)
	tgt, err := b.TGT(ctx, noon)
	require.NoError(t, err)
	sealed, err := krb.ParseTicket(tgt.Raw)
	require.NoError(t, err)
	require.True(t, sealed.IsLocalTGT())
	tkt, err := a.ServiceTicket(ctx, noon, b.Principal(), krb.TicketOptions{TGT: tgt.Raw})
	require.NoError(t, err)
	req := apReq(t, tkt, noon)
	require.True(t, req.UseSessionKey)
	acc := &krb.Acceptor{TGTs: []*krb.Ticket{tgt}}
	peer, err := acc.Accept(noon, netip.Addr{}, req)
	require.NoError(t, err)
	require.True(t, peer.UserToUser)
	require.Equal(t, a.Principal(), peer.Client)

	// b has lost its TGT and got another one (RFC 4430 3.7.1); then it has both.
	b.Forget()
	again, err := b.TGT(ctx, noon)
	require.NoError(t, err)
	_, err = (&krb.Acceptor{TGTs: []*krb.Ticket{again}}).Accept(noon, netip.Addr{}, req)
	require.ErrorIs(t, err, krb.APErrBadIntegrity)
	_, err = (&krb.Acceptor{TGTs: []*krb.Ticket{again, tgt}}).Accept(noon, netip.Addr{}, req)
	require.NoError(t, err)

	// A TGT of somebody else is not taken for the server's.
	_, err = a.ServiceTicket(ctx, noon, b.Principal(), krb.TicketOptions{TGT: mustTGT(t, a).Raw})
	require.ErrorIs(t, err, krb.APErrBadMatch)
	_, err = (&krb.Acceptor{TGTs: []*krb.Ticket{mustTGT(t, a)}}).Accept(noon, netip.Addr{}, req)
	require.ErrorIs(t, err, krb.APErrNoTGT)
}

func mustTGT(t testing.TB, h *krbtest.Host) *krb.Ticket {
	tgt, err := h.TGT(context.Background(), noon)
	require.NoError(t, err)
	return tgt
}

// The same AP-REQ again, whole or with what is not authenticated changed, is a
// replay; a new authenticator with the same ticket is none.
func TestC28_Replay(t *testing.T) {
	const e = krb.AES128SHA256
	tkt := ticket(t, issue(t, e))
	a := acceptor(t, e)
	raw, err := tkt.APReq(nil, krb.StampOf(noon), random(4))
	require.NoError(t, err)
	accept := func(b []byte, now time.Time) error {
		req, err := krb.ParseAPReq(b)
		require.NoError(t, err)
		_, err = a.Accept(now, netip.Addr{}, req)
		return err
	}
	require.NoError(t, accept(raw, noon))
	require.ErrorIs(t, accept(raw, noon), krb.APErrRepeat)
	require.ErrorIs(t, accept(raw, noon.Add(4*time.Minute)), krb.APErrRepeat)
	i := bytes.Index(raw, []byte{0x03, 0x05, 0x00, 0x20}) // ap-options
	require.Positive(t, i)
	changed := bytes.Clone(raw)
	changed[i+3] = 0
	require.ErrorIs(t, accept(changed, noon), krb.APErrRepeat)
	require.ErrorIs(t, accept(raw, noon.Add(time.Hour)), krb.APErrSkew)
	var s krb.Stamper
	for range 100 {
		next, err := tkt.APReq(nil, s.Next(noon.Add(time.Microsecond)), random(4))
		require.NoError(t, err)
		require.NoError(t, accept(next, noon))
	}
}

func TestReplayCacheIsBounded(t *testing.T) {
	const e = krb.AES128SHA256
	a := acceptor(t, e)
	a.Replays = krb.NewReplayCache(krb.DefaultSkew, 30, 20)
	accept := func(c krb.Principal, at, now time.Time) error {
		i := issue(t, e)
		i.Client = c
		_, err := a.Accept(now, netip.Addr{}, apReq(t, ticket(t, i), at))
		return err
	}
	at := func(i int) time.Time { return noon.Add(time.Duration(i) * time.Second) }
	// One client exceeds its share: what it may not repeat, it still may not.
	for i := range 40 {
		require.NoError(t, accept(client, at(i), at(i)))
		require.LessOrEqual(t, a.Replays.Len(), 20)
	}
	for i := range 40 {
		require.ErrorIs(t, accept(client, at(i), at(40)), krb.APErrRepeat, "%d", i)
	}
	require.NoError(t, accept(client, at(40), at(40)))
	// Others have room until the total is reached.
	for i := range 10 {
		require.NoError(t, accept(krb.Principal{Name: "kink/" + string(rune('a'+i)), Realm: "EXAMPLE.COM"}, at(40), at(40)), "%d", i)
	}
}

func TestReplayCacheFull(t *testing.T) {
	const e = krb.AES128SHA256
	a := acceptor(t, e)
	a.Replays = krb.NewReplayCache(krb.DefaultSkew, 5, 3)
	accept := func(name string, now time.Time) error {
		i := issue(t, e)
		i.Client.Name = name
		_, err := a.Accept(now, netip.Addr{}, apReq(t, ticket(t, i), now))
		return err
	}
	for _, n := range []string{"a", "b", "c", "d", "e"} {
		require.NoError(t, accept(n, noon))
	}
	require.ErrorIs(t, accept("f", noon), krb.ErrReplayCacheFull)
	require.Equal(t, 5, a.Replays.Len())
	// What is older than the limit for clocks is forgotten, and who it was from.
	require.NoError(t, accept("f", noon.Add(7*time.Minute)))
	require.Equal(t, 1, a.Replays.Len())
	require.Equal(t, 1, a.Replays.Clients())
}

// A clock that was put back does not keep the cache from forgetting.
func TestReplayCacheClockPutBack(t *testing.T) {
	a := acceptor(t, krb.AES128SHA1)
	a.Replays = krb.NewReplayCache(krb.DefaultSkew, 2, 2)
	accept := func(name string, now time.Time) error {
		i := issue(t, krb.AES128SHA1)
		i.Client.Name, i.EndTime = name, noon.Add(100*time.Hour)
		_, err := a.Accept(now, netip.Addr{}, apReq(t, ticket(t, i), now))
		return err
	}
	require.NoError(t, accept("a", noon.Add(24*time.Hour)))
	require.NoError(t, accept("b", noon))
	require.ErrorIs(t, accept("c", noon.Add(time.Minute)), krb.ErrReplayCacheFull)
	require.NoError(t, accept("c", noon.Add(11*time.Minute)))
}

// A key of another length than its type has is none.
func TestKeyLength(t *testing.T) {
	for _, e := range append(allAES, krb.DES3SHA1) {
		fits := 0
		for n := range 100 {
			_, err := krb.NewKey(e, make([]byte, n))
			if err == nil {
				fits++
				continue
			}
			require.ErrorIs(t, err, krb.ErrKeyLength)
		}
		require.Equal(t, 1, fits, "%v", e)
	}
}

// Two hosts may share a principal, and so the time of an authenticator.
func TestSameTimeTwice(t *testing.T) {
	a := acceptor(t, krb.AES128SHA1)
	i := issue(t, krb.AES128SHA1)
	one := apReq(t, ticket(t, i), noon)
	i.Session = randomKey(t, krb.AES128SHA1, 9)
	two := apReq(t, ticket(t, i), noon)
	for _, req := range []*krb.APReq{one, two} {
		_, err := a.Accept(noon, netip.Addr{}, req)
		require.NoError(t, err)
	}
	for _, req := range []*krb.APReq{one, two} {
		_, err := a.Accept(noon, netip.Addr{}, req)
		require.ErrorIs(t, err, krb.APErrRepeat)
	}
}

// TestC28_ReplayAfterMoreSkew: where clocks may differ by more than before, what
// nobody has remembered until then is a replay.
func TestC28_ReplayAfterMoreSkew(t *testing.T) {
	a := acceptor(t, krb.AES128SHA1)
	a.Skew = time.Hour
	a.Replays.SetSkew(noon, time.Hour)
	tkt := ticket(t, issue(t, krb.AES128SHA1))
	for d, want := range map[time.Duration]error{
		-krb.DefaultSkew - time.Second: krb.APErrRepeat, -krb.DefaultSkew: krb.APErrRepeat, -krb.DefaultSkew + time.Second: nil, 30 * time.Minute: nil,
	} {
		_, err := a.Accept(noon, netip.Addr{}, apReq(t, tkt, noon.Add(d)))
		require.ErrorIs(t, err, want, "%v", d)
	}
}

func TestStamper(t *testing.T) {
	var s krb.Stamper
	a := s.Next(noon)
	require.Equal(t, krb.StampOf(noon), a)
	require.Equal(t, a+1, s.Next(noon))
	require.Equal(t, a+2, s.Next(noon.Add(-time.Millisecond)))
	require.Equal(t, krb.StampOf(noon.Add(time.Minute)), s.Next(noon.Add(time.Minute)))
	require.Equal(t, krb.StampOf(noon), s.Next(noon), "the clock was put back")
}

func TestKRBError(t *testing.T) {
	e := &krb.KRBError{
		Code: krb.APErrSkew, ServerTime: krb.StampOf(noon.Add(time.Hour)), ClientTime: krb.StampOf(noon), Client: client, Server: server,
		Text: "your\nclock", Data: []byte{1, 2},
	}
	b, err := e.AppendBinary(nil)
	require.NoError(t, err)
	got, err := krb.ParseKRBError(b)
	require.NoError(t, err)
	require.Equal(t, e, got)
	require.Equal(t, `krb: KRB_AP_ERR_SKEW ("your\nclock")`, got.Error())
	d, ok := got.Skew()
	require.True(t, ok)
	require.Equal(t, time.Hour, d)
	e = &krb.KRBError{Code: 12345, ServerTime: krb.StampOf(noon), Server: server}
	b, err = e.AppendBinary(nil)
	require.NoError(t, err)
	got, err = krb.ParseKRBError(b)
	require.NoError(t, err)
	require.Equal(t, e, got)
	require.Equal(t, "krb: Kerberos error 12345", got.Error())
	_, ok = got.Skew()
	require.False(t, ok)
	// Heimdal's KDC, of a server that it does not know.
	got, err = krb.ParseKRBError(unhex(`7e693067a003020105a10302011ea211180f32303236313132323130333933395aa30502030c82f3a411180f32303236
		313132323130333933395aa50502030c8b95a603020107a9151b133c756e737065636966696564207265616c6d3eaa0b3009a003020100a1023000`))
	require.NoError(t, err)
	require.ErrorIs(t, got, krb.KDCErrSPrincipalUnknown)
	require.True(t, got.Server.IsZero())
	_, err = (&krb.KRBError{}).AppendBinary(nil)
	require.ErrorIs(t, err, krb.ErrPrincipal)
}
