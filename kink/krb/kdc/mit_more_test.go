//go:build linux

package kdc_test

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/krb/kdc"
)

// A password instead of a keytab, its salt as the KDC says; and wrong ones.
func TestMITPassword(t *testing.T) {
	lab.Require(t, lab.MITKDC)
	k := lab.StartKDC(t, lab.KDCConfig{})
	k.Kadmin("addprinc -pw secret +requires_preauth kink/a.example.com")
	k.Kadmin("addprinc -pw secret -requires_preauth kink/plain.example.com")
	ctx, now := context.Background(), time.Now()
	get := func(name, password string) error {
		h := host(t, k, "kink/a.example.com", func(c *kdc.Config) { c.Principal, c.Keytab, c.Password = name, "", password })
		_, err := h.TGT(ctx, now)
		return err
	}
	require.NoError(t, get("kink/a.example.com@EXAMPLE.COM", "secret"))
	require.NoError(t, get("kink/plain.example.com@EXAMPLE.COM", "secret"))
	require.ErrorIs(t, get("kink/a.example.com@EXAMPLE.COM", "wrong"), krb.KDCErrPreauthFailed)
	require.ErrorIs(t, get("kink/plain.example.com@EXAMPLE.COM", "wrong"), krb.ErrDecrypt)
	err := get("kink/nobody@EXAMPLE.COM", "secret")
	require.ErrorIs(t, err, krb.KDCErrCPrincipalUnknown)
	require.ErrorContains(t, err, "kink/nobody@EXAMPLE.COM")
	require.ErrorContains(t, err, "KDC_ERR_C_PRINCIPAL_UNKNOWN")
}

// kinit's credential cache, found again when it is renewed; krb5.conf read from
// the file that MIT's programs use.
func TestMITCredentialCache(t *testing.T) {
	lab.Require(t, lab.MITKDC)
	k := lab.StartKDC(t, lab.KDCConfig{})
	k.Kadmin("addprinc -pw secret +requires_preauth kink/a.example.com")
	k.AddPrincipal("kink/b.example.com")
	conf, err := kdc.ReadKrb5Conf(k.Krb5Conf())
	require.NoError(t, err)
	require.False(t, conf.DNSLookupKDC)
	ccache := filepath.Join(t.TempDir(), "ccache")
	h, err := kdc.New(kdc.Config{Principal: "kink/a.example.com", CCache: ccache, Krb5Conf: conf})
	require.NoError(t, err)
	require.Equal(t, k.Realm, h.Principal().Realm)
	ctx, now := context.Background(), time.Now()
	server := krb.ServicePrincipal("kink", "B.example.com.", k.Realm)
	_, err = h.ServiceTicket(ctx, now, server, krb.TicketOptions{})
	require.ErrorIs(t, err, krb.ErrNoCredentials)

	kinit := func(life string) {
		out, err := k.Run("secret\n", "kinit", "-c", "FILE:"+ccache, "-l", life, "kink/a.example.com")
		require.NoError(t, err, out)
	}
	kinit("10m")
	tkt, err := h.ServiceTicket(ctx, now, server, krb.TicketOptions{})
	require.NoError(t, err)
	require.WithinDuration(t, now.Add(10*time.Minute), tkt.EndTime, time.Minute)
	b := host(t, k, "kink/b.example.com")
	exchange(t, tkt, &krb.Acceptor{Keys: b})

	later := now.Add(11 * time.Minute)
	_, err = h.ServiceTicket(ctx, later, server, krb.TicketOptions{})
	require.ErrorIs(t, err, krb.ErrNoCredentials)
	kinit("30m")
	tgt, err := h.TGT(ctx, later)
	require.NoError(t, err)
	require.WithinDuration(t, now.Add(30*time.Minute), tgt.EndTime, time.Minute)

	// A ticket that MIT's client has fetched is taken from its cache.
	out, err := k.Run("", "kvno", "-c", "FILE:"+ccache, "kink/b.example.com")
	require.NoError(t, err, out)
	require.NoError(t, h.Reload(ctx))
	k.Stop()
	tkt, err = h.ServiceTicket(ctx, now, server, krb.TicketOptions{})
	require.NoError(t, err)
	exchange(t, tkt, &krb.Acceptor{Keys: b})

	// Somebody else's cache is refused, and what was there stays.
	x, err := kdc.New(kdc.Config{Principal: "kink/b.example.com", CCache: ccache, Krb5Conf: conf})
	require.Nil(t, x)
	require.ErrorContains(t, err, "is of kink/a.example.com@EXAMPLE.COM, not of kink/b.example.com@EXAMPLE.COM")
}

// The KDC is not there at first, goes away, and comes back; kept tickets do not
// need it.
func TestMITDown(t *testing.T) {
	lab.Require(t, lab.MITKDC)
	k := lab.StartKDC(t, lab.KDCConfig{})
	k.AddPrincipal("kink/a.example.com", "kink/b.example.com", "kink/c.example.com")
	a := host(t, k, "kink/a.example.com", func(c *kdc.Config) { c.Timeout = 2 * time.Second })
	ctx, now := context.Background(), time.Now()
	b, c := krb.ServicePrincipal("kink", "b.example.com", k.Realm), krb.ServicePrincipal("kink", "c.example.com", k.Realm)
	k.Stop()
	_, err := a.ServiceTicket(ctx, now, b, krb.TicketOptions{})
	require.ErrorIs(t, err, kdc.ErrNoKDC)
	require.ErrorContains(t, err, k.Addr.String())
	k.Start()
	_, err = a.ServiceTicket(ctx, now, b, krb.TicketOptions{})
	require.NoError(t, err)
	k.Stop()
	_, err = a.ServiceTicket(ctx, now, b, krb.TicketOptions{AtLeast: time.Hour})
	require.NoError(t, err)
	_, err = a.ServiceTicket(ctx, now, c, krb.TicketOptions{})
	require.ErrorIs(t, err, kdc.ErrNoKDC)
	_, err = a.ServiceTicket(ctx, now, b, krb.TicketOptions{AtLeast: 11 * time.Hour})
	require.ErrorIs(t, err, kdc.ErrNoKDC)
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = a.ServiceTicket(cancelled, now, c, krb.TicketOptions{})
	require.Error(t, err)
}

// A service gets new keys: its old keytab says which version it lacks, and the
// new one, in the same file, is taken by Reload.
func TestMITNewKeys(t *testing.T) {
	lab.Require(t, lab.MITKDC)
	k := lab.StartKDC(t, lab.KDCConfig{})
	k.AddPrincipal("kink/a.example.com", "kink/b.example.com")
	a := host(t, k, "kink/a.example.com")
	path := k.Keytab("kink/b.example.com")
	b := host(t, k, "kink/b.example.com", func(c *kdc.Config) { c.Keytab = path })
	ctx, now := context.Background(), time.Now()
	old, err := a.ServiceTicket(ctx, now, b.Principal(), krb.TicketOptions{})
	require.NoError(t, err)

	k.Kadmin("cpw -randkey -keepold kink/b.example.com")
	fresh, err := a.ServiceTicket(ctx, now, b.Principal(), krb.TicketOptions{Fresh: true})
	require.NoError(t, err)
	acc := &krb.Acceptor{Keys: b}
	refused := func() error {
		raw, err := fresh.APReq(nil, krb.StampOf(now), strings.NewReader(strings.Repeat("x", 64)))
		require.NoError(t, err)
		req, err := krb.ParseAPReq(raw)
		require.NoError(t, err)
		_, err = acc.Accept(now, netip.Addr{}, req)
		return err
	}
	err = refused()
	require.ErrorIs(t, err, krb.APErrBadKeyVer)
	require.ErrorContains(t, err, "key version 2")
	require.NoError(t, b.Reload(ctx)) // nothing has changed
	require.ErrorIs(t, refused(), krb.APErrBadKeyVer)

	next, err := os.ReadFile(k.Keytab("kink/b.example.com"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, next, 0o600))
	require.NoError(t, b.Reload(ctx))
	exchange(t, fresh, acc)
	exchange(t, old, acc) // the file has the old key too

	require.NoError(t, os.WriteFile(path, []byte("x"), 0o600))
	require.ErrorIs(t, b.Reload(ctx), krb.ErrKeytab)
	exchange(t, fresh, acc)
	require.NoError(t, os.Remove(path))
	require.ErrorIs(t, b.Reload(ctx), os.ErrNotExist)
	exchange(t, fresh, acc)
}

// What a KDC refuses, and what it says about it.
func TestMITRefusals(t *testing.T) {
	lab.Require(t, lab.MITKDC)
	k := lab.StartKDC(t, lab.KDCConfig{})
	k.AddPrincipal("kink/a.example.com", "kink/b.example.com", "kink/u2u.example.com")
	k.Kadmin("modprinc -allow_svr kink/u2u.example.com")
	a, u := host(t, k, "kink/a.example.com"), host(t, k, "kink/u2u.example.com")
	b := host(t, k, "kink/b.example.com")
	ctx, now := context.Background(), time.Now()
	_, err := a.ServiceTicket(ctx, now, krb.ServicePrincipal("kink", "none", k.Realm), krb.TicketOptions{})
	require.ErrorIs(t, err, krb.KDCErrSPrincipalUnknown)
	ke, ok := krbError(err)
	require.True(t, ok)
	require.Equal(t, "kink/none@EXAMPLE.COM", ke.Server.String())

	_, err = a.ServiceTicket(ctx, now, u.Principal(), krb.TicketOptions{})
	require.ErrorIs(t, err, krb.KDCErrMustUseUser2User)
	tgt, err := u.TGT(ctx, now)
	require.NoError(t, err)
	tkt, err := a.ServiceTicket(ctx, now, u.Principal(), krb.TicketOptions{TGT: tgt.Raw})
	require.NoError(t, err)
	exchange(t, tkt, &krb.Acceptor{TGTs: []*krb.Ticket{tgt}})

	// Somebody else's TGT is not for that service.
	other, err := b.TGT(ctx, now)
	require.NoError(t, err)
	_, err = a.ServiceTicket(ctx, now, u.Principal(), krb.TicketOptions{TGT: other.Raw})
	require.Error(t, err)

	// Our clock is wrong.
	wrong := host(t, k, "kink/a.example.com")
	_, err = wrong.TGT(ctx, now.Add(time.Hour))
	require.ErrorIs(t, err, krb.APErrSkew)

	// The KDC has forgotten our TGT's key: a new TGT is got, unasked.
	k.Kadmin("cpw -randkey krbtgt/EXAMPLE.COM")
	k.Stop()
	k.Start()
	_, err = a.ServiceTicket(ctx, now, b.Principal(), krb.TicketOptions{Fresh: true})
	require.NoError(t, err)
}

// Three realms in a row: through capaths, through the KDCs' own knowledge, and
// with the realm found by referral; user-to-user across them.
func TestMITCrossRealm(t *testing.T) {
	lab.Require(t, lab.MITKDC)
	const paths = "[capaths]\nA.EXAMPLE = {\n C.TEST = B.NET\n}\n[domain_realm]\n.c.test = C.TEST\n"
	a := lab.StartKDC(t, lab.KDCConfig{Realm: "A.EXAMPLE", Conf: paths})
	b := lab.StartKDC(t, lab.KDCConfig{Realm: "B.NET", Conf: paths})
	c := lab.StartKDC(t, lab.KDCConfig{Realm: "C.TEST", Conf: paths})
	for _, k := range []*lab.KDC{a, b} {
		k.Kadmin("addprinc -pw ab krbtgt/B.NET@A.EXAMPLE")
	}
	for _, k := range []*lab.KDC{b, c} {
		k.Kadmin("addprinc -pw bc krbtgt/C.TEST@B.NET")
	}
	a.AddPrincipal("kink/h.a.example")
	c.AddPrincipal("kink/h.c.test")
	kdcs := map[string][]string{"A.EXAMPLE": {a.Addr.String()}, "B.NET": {b.Addr.String()}, "C.TEST": {"tcp/" + c.Addr.String()}}
	server := host(t, c, "kink/h.c.test")
	ctx, now := context.Background(), time.Now()
	conf, err := kdc.ParseKrb5Conf(paths)
	require.NoError(t, err)
	want := krb.Principal{Name: "kink/h.c.test", Realm: "C.TEST"}
	for name, change := range map[string]func(*kdc.Config){
		"capaths":     func(c *kdc.Config) { c.Krb5Conf = conf },
		"the KDC's":   func(*kdc.Config) {},
		"by referral": func(*kdc.Config) {},
	} {
		t.Run(name, func(t *testing.T) {
			h := host(t, a, "kink/h.a.example", func(c *kdc.Config) { c.KDCs = kdcs; change(c) })
			ask := want
			if name == "by referral" {
				ask.Realm = ""
			}
			tkt, err := h.ServiceTicket(ctx, now, ask, krb.TicketOptions{})
			require.NoError(t, err)
			require.Equal(t, want, tkt.Server)
			peer := exchange(t, tkt, &krb.Acceptor{Keys: server})
			require.Equal(t, "A.EXAMPLE", peer.Client.Realm)
			require.NotZero(t, peer.Flags&krb.FlagTransitedOK)
			if ask.Realm == "" {
				return
			}
			tgt, err := server.TGT(ctx, now)
			require.NoError(t, err)
			u2u, err := h.ServiceTicket(ctx, now, want, krb.TicketOptions{TGT: tgt.Raw})
			require.NoError(t, err)
			exchange(t, u2u, &krb.Acceptor{TGTs: []*krb.Ticket{tgt}})
		})
	}
}

// A ticket that has to last longer than the TGT does is got with a new TGT.
func TestMITOldTGT(t *testing.T) {
	lab.Require(t, lab.MITKDC)
	k := lab.StartKDC(t, lab.KDCConfig{})
	k.AddPrincipal("kink/a.example.com", "kink/b.example.com", "kink/c.example.com")
	a := host(t, k, "kink/a.example.com", func(c *kdc.Config) { c.Lifetime = 10 * time.Minute })
	ctx, now := context.Background(), time.Now()
	tgt, err := a.TGT(ctx, now)
	require.NoError(t, err)
	later := now.Add(4 * time.Minute) // within the KDC's limit for clocks
	_, err = a.ServiceTicket(ctx, later, krb.ServicePrincipal("kink", "b.example.com", k.Realm), krb.TicketOptions{AtLeast: time.Minute})
	require.NoError(t, err)
	same, err := a.TGT(ctx, later)
	require.NoError(t, err)
	require.Same(t, tgt, same)
	tkt, err := a.ServiceTicket(ctx, later, krb.ServicePrincipal("kink", "c.example.com", k.Realm), krb.TicketOptions{AtLeast: 7 * time.Minute})
	require.NoError(t, err)
	require.Greater(t, tkt.EndTime.Sub(later), 7*time.Minute)
}
