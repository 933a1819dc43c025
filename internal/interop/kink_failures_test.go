//go:build linux

package interop

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/kink"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/krb/kdc"
	"github.com/racoon3/racoon/spd"
)

// The KDC is not there when the hosts start, comes, goes, and comes back: what
// is up stays up, and what has to be up comes up as soon as it can.
func TestKINKWithoutKDC(t *testing.T) {
	t.Parallel()
	l := newKINK(t, lab.KDCConfig{}, spd.ModeTunnel)
	l.kdc.Stop()
	l.a.Peer.Start, l.a.Peer.Backoff, l.a.Peer.BackoffMax = racoon.StartAlways, 100*time.Millisecond, 300*time.Millisecond
	l.start()
	err := waitEvent[ike.SessionFailed](l.a.host, 2).Err // and it goes on trying
	require.ErrorIs(t, err, kdc.ErrNoKDC)
	says(t, err, "no ticket for kink/beta.example.com@EXAMPLE.COM", l.kdc.Addr.String())
	require.Empty(t, eventsOf[ike.SessionFailed](l.b.host), "the peer was told nothing")

	l.kdc.Start()
	s := waitEvent[ike.ChildUp](l.a.host, 1)
	l.reach()

	l.kdc.Stop()
	session := l.a.Session(s.Session)
	require.NotNil(t, session)
	require.NoError(t, session.RekeyChild(l.a.within(), s.Child.ID), "the ticket is good for hours")
	err = session.Rekey(l.a.within())
	require.ErrorIs(t, err, kdc.ErrNoKDC)
	says(t, err, "no ticket for kink/beta.example.com@EXAMPLE.COM")
	l.reach()
	l.kdc.Start()
	require.NoError(t, session.Rekey(l.a.within()))
	l.reach()
}

// Tickets that last for seconds: a Child SA does not outlast its ticket, and is
// rekeyed with a new one before that, without losing a packet. Without a KDC it
// ends with the ticket.
func TestKINKTicketExpiry(t *testing.T) {
	t.Parallel()
	// Long before the end of the ticket, but another one is needed: what is left of
	// it is less than a transaction may take.
	l := newKINK(t, lab.KDCConfig{MaxLife: 10 * time.Second}, spd.ModeTunnel)
	l.a.Peer.Timing, l.b.Peer.Timing = quick, quick
	l.a.Peer.Children[0].Rekey, l.a.Peer.Children[0].Lifetime = 5*time.Second, time.Hour
	l.start()
	l.up()
	first := l.ticket()
	l.underTraffic(func() {
		r := waitEvent[ike.ChildRekeyed](l.a.host, 1)
		require.True(t, r.Initiator)
		require.Less(t, r.Time, first.EndTime)
	})
	require.False(t, first.Key.Equal(l.ticket().Key))

	l.kdc.Stop()
	failed := waitEvent[ike.RekeyFailed](l.a.host, 1)
	require.ErrorIs(t, failed.Err, kdc.ErrNoKDC)
	down := waitEvent[ike.ChildDown](l.a.host, 1)
	require.Equal(t, ike.DownExpired, down.Reason)
}

// The clock of a host is wrong by more than is allowed: the KDC says so.
func TestKINKClockOfClient(t *testing.T) {
	t.Parallel()
	l := newKINK(t, lab.KDCConfig{}, spd.ModeTunnel)
	k, err := kdc.New(l.a.Kerberos)
	require.NoError(t, err)
	l.a.Options.Kerberos = wrongClock{k, time.Hour}
	l.start()
	err = l.fails("no ticket for kink/beta.example.com@EXAMPLE.COM", "the KDC of EXAMPLE.COM answers", "KRB_AP_ERR_SKEW")
	require.ErrorIs(t, err, krb.APErrSkew)
}

// wrongClock is the Kerberos of a host whose clock is ahead.
type wrongClock struct {
	*kdc.Kerberos
	ahead time.Duration
}

func (w wrongClock) ServiceTicket(ctx context.Context, now time.Time, server krb.Principal, o krb.TicketOptions) (*krb.Ticket, error) {
	return w.Kerberos.ServiceTicket(ctx, now.Add(w.ahead), server, o)
}

// A host gets new keys at the KDC while both are running. While its keytab is old
// it says which key it lacks; when the file is there it is read without being
// asked for. A peer with a ticket from before gets another one.
func TestKINKNewKeys(t *testing.T) {
	t.Parallel()
	l := newKINK(t, lab.KDCConfig{}, spd.ModeTunnel)
	l.a.Peer.Timing = quick
	l.start()
	s := l.up()
	require.NoError(t, s.Delete(l.a.within()))

	renewed := func() { // alpha's ticket is of the new key
		l.kdc.Kadmin("cpw -randkey " + beta)
		_, err := l.a.krb.ServiceTicket(l.a.within(), time.Now(), l.b.krb.Principal(), krb.TicketOptions{Fresh: true})
		require.NoError(t, err)
	}
	t.Run("new keytab", func(t *testing.T) {
		renewed()
		replaceKeytab(t, l.b.Kerberos.Keytab, l.kdc.Keytab(beta))
		s := l.up()
		l.reach()
		require.NoError(t, s.Delete(l.a.within()))
	})
	t.Run("old keytab", func(t *testing.T) {
		renewed()
		err := l.fails("no answer to CREATE", "10.99.0.2:910", "unprotected", "KRB_AP_ERR_BADKEYVER")
		require.ErrorIs(t, err, krb.APErrBadKeyVer)
		says(t, refused(l.b.host), "KRB_AP_ERR_BADKEYVER", "ticket for kink/beta.example.com@EXAMPLE.COM", "key version 3")
	})
	t.Run("old ticket", func(t *testing.T) {
		old := l.ticket()
		l.kdc.Kadmin("cpw -randkey " + beta)
		replaceKeytab(t, l.b.Kerberos.Keytab, l.kdc.Keytab(beta))
		require.NoError(t, l.b.krb.Reload(l.b.within())) // as at SIGHUP
		l.up()
		require.False(t, old.Key.Equal(l.ticket().Key))
		l.reach()
	})
}

// One of the sides means somebody else. Whoever notices tells why.
func TestKINKPrincipals(t *testing.T) {
	t.Parallel()
	t.Run("the KDC knows no such peer", func(t *testing.T) {
		t.Parallel()
		l := newKINK(t, lab.KDCConfig{}, spd.ModeTunnel)
		l.a.Peer.KINK.Principal = "kink/nobody.example.com@EXAMPLE.COM"
		l.start()
		err := l.fails("no ticket for kink/nobody.example.com@EXAMPLE.COM", "KDC_ERR_S_PRINCIPAL_UNKNOWN")
		require.ErrorIs(t, err, krb.KDCErrSPrincipalUnknown)
		require.Empty(t, eventsOf[ike.SessionFailed](l.b.host))
	})
	t.Run("the KDC does not know us", func(t *testing.T) {
		t.Parallel()
		l := newKINK(t, lab.KDCConfig{}, spd.ModeTunnel)
		l.kdc.Kadmin("delprinc -force " + alpha)
		l.start()
		err := l.fails("no ticket for kink/beta.example.com@EXAMPLE.COM", "TGT of kink/alpha.example.com@EXAMPLE.COM", "the KDC of EXAMPLE.COM answers", "KDC_ERR_C_PRINCIPAL_UNKNOWN")
		require.ErrorIs(t, err, krb.KDCErrCPrincipalUnknown)
	})
	t.Run("the peer is another one", func(t *testing.T) {
		t.Parallel()
		l := newKINK(t, lab.KDCConfig{}, spd.ModeTunnel)
		l.kdc.AddPrincipal("kink/gamma.example.com")
		l.a.Peer.KINK.Principal, l.a.Peer.Timing = "kink/gamma.example.com@EXAMPLE.COM", quick
		l.start()
		l.fails("no answer to CREATE", "unprotected", "KRB_AP_ERR_NOT_US")
		says(t, refused(l.b.host), "KRB_AP_ERR_NOT_US", "kink/gamma.example.com@EXAMPLE.COM")
	})
	t.Run("the peer expects another one", func(t *testing.T) {
		t.Parallel()
		l := newKINK(t, lab.KDCConfig{}, spd.ModeTunnel)
		l.b.Peer.KINK.Principal = "kink/gamma.example.com@EXAMPLE.COM"
		l.start()
		l.fails("peer answered CREATE with AUTHENTICATION-FAILED")
		says(t, refused(l.b.host), "kink/alpha.example.com@EXAMPLE.COM")
	})
	t.Run("a keytab of somebody else", func(t *testing.T) {
		t.Parallel()
		l := newKINK(t, lab.KDCConfig{}, spd.ModeTunnel)
		l.a.Kerberos.Keytab = l.b.Kerberos.Keytab
		l.start()
		err := l.fails("no ticket for kink/beta.example.com@EXAMPLE.COM", "kink/alpha.example.com@EXAMPLE.COM")
		require.ErrorIs(t, err, krb.ErrNoCredentials)
	})
	t.Run("no keytab at all", func(t *testing.T) {
		t.Parallel()
		l := newKINK(t, lab.KDCConfig{}, spd.ModeTunnel)
		l.b.Kerberos.Keytab += ".absent"
		l.a.Peer.Timing = quick
		l.start()
		l.fails("no answer to CREATE", "KRB_AP_ERR_NOKEY")
		says(t, refused(l.b.host), "KRB_AP_ERR_NOKEY", "ticket for kink/beta.example.com@EXAMPLE.COM")
	})
}

// User-to-user: beta has no keytab, and the KDC gives out no other tickets for
// it.
func TestKINKUserToUser(t *testing.T) {
	t.Parallel()
	l := newKINK(t, lab.KDCConfig{}, spd.ModeTunnel)
	l.kdc.Kadmin("cpw -pw secret " + beta)
	l.kdc.Kadmin("modprinc -allow_svr +allow_dup_skey " + beta)
	l.b.Kerberos.Keytab, l.b.Kerberos.Password = "", "secret"
	l.b.Peer.KINK.UserToUser = kink.UserToUserAccept
	l.a.Peer.KINK.UserToUser = kink.UserToUserRequest
	l.start()
	s := l.up()
	l.underTraffic(func() { require.NoError(t, s.RekeyChild(l.a.within(), s.ChildSAs()[0].ID)) })
	require.NoError(t, s.Delete(l.a.within()))
	back := l.b.initiate(l.a.Site.Name) // alpha has a keytab
	l.reach()
	require.NoError(t, back.Delete(l.b.within()))
	s = l.up()
	// Who does not know that gets no ticket, and is told why.
	l.b.crash()
	l.b.start(t, &l.a)
	_, err := l.a.krb.ServiceTicket(l.a.within(), time.Now(), l.b.krb.Principal(), krb.TicketOptions{Fresh: true})
	says(t, err, "KDC_ERR_MUST_USE_USER2USER")
	require.NoError(t, s.Delete(l.a.within()))
	l.up() // beta has another TGT now
	l.reach()
}

// The peer is in another realm.
func TestKINKCrossRealm(t *testing.T) {
	t.Parallel()
	l := newKINK(t, lab.KDCConfig{}, spd.ModeTunnel)
	other := lab.StartKDC(t, lab.KDCConfig{Realm: "EXAMPLE.NET"})
	const name = "kink/beta.example.net"
	other.AddPrincipal(name)
	kdcs := map[string][]string{l.kdc.Realm: {l.kdc.Addr.String()}, other.Realm: {other.Addr.String()}}
	l.a.Kerberos.KDCs, l.b.Kerberos.KDCs = kdcs, kdcs
	l.b.Kerberos.Principal, l.b.Kerberos.Keytab = name+"@EXAMPLE.NET", other.Keytab(name)
	l.a.Peer.KINK.Principal = name + "@EXAMPLE.NET"
	l.a.Peer.Timing = quick
	l.start()
	l.fails("no ticket for "+name+"@EXAMPLE.NET", "the KDC of EXAMPLE.COM, asked for krbtgt/EXAMPLE.NET@EXAMPLE.COM, answers", "KDC_ERR_S_PRINCIPAL_UNKNOWN")

	for _, k := range []*lab.KDC{l.kdc, other} {
		k.Kadmin("addprinc -pw trust krbtgt/EXAMPLE.NET@EXAMPLE.COM")
		k.Kadmin("addprinc -pw trust krbtgt/EXAMPLE.COM@EXAMPLE.NET")
	}
	s := l.up()
	l.underTraffic(func() { require.NoError(t, s.RekeyChild(l.a.within(), s.ChildSAs()[0].ID)) })
	require.NoError(t, s.Delete(l.a.within()))
	l.b.initiate(l.a.Site.Name)
	l.reach()
}
