package racoon

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/krb/krbtest"
)

// What KINK is configured with changes while the Manager serves: where keys and
// tickets come from, encryption types, by how much clocks may differ. Sessions go
// on.
func TestReloadKINK(t *testing.T) {
	var hc, gc Config
	host, gw, hp, gp, realm := kinkPair(t, func(h, g *Config) {
		h.Peers[0].Timing = ike.Timing{RetransmitBase: 300 * time.Millisecond, RetransmitTries: 3} // what nobody has authenticated counts after the last
		hc, gc = *h, *g
	})
	ctx := testContext(t)
	s, err := host.Initiate(ctx, "gw")
	require.NoError(t, err)
	cfg := host.asked
	require.Equal(t, hc.Peers[0].Name, cfg.Peers[0].Name)

	// Another Kerberos for the same principal, as if keytab and krb5.conf were
	// others: the one before has no KDC any more.
	other := realm.Host("kink/host.example.com")
	cfg.KINK.Kerberos.(*krbtest.Host).Forget()
	cfg.KINK.Kerberos = other
	cfg.KINK.Skew = 10 * time.Minute
	changes, err := host.Reload(ctx, cfg)
	require.NoError(t, err)
	require.Len(t, changes, 1)
	require.Equal(t, Change{Field: "KINK", Effect: EffectLive}, changes[0])
	require.True(t, s.Up())
	asked := realm.Requests()
	require.NoError(t, s.RekeyChild(ctx, s.ChildSAs()[0].ID))
	require.Greater(t, realm.Requests(), asked, "the ticket is another one")
	require.False(t, hp.Send(gp, flow, 100).Outcome.Gap())

	// The gateway takes no tickets of the realm's encryption type any more.
	narrow := gw.asked
	narrow.KINK.ETypes = []krb.EType{krb.AES128SHA1}
	changes, err = gw.Reload(ctx, narrow)
	require.NoError(t, err)
	require.Equal(t, []Change{{Field: "KINK", Effect: EffectLive}}, changes)
	require.ErrorContains(t, host.Ask(ctx, "gw"), "KDC_ERR_ETYPE_NOSUPP")
	narrow.KINK.ETypes = nil
	_, err = gw.Reload(ctx, narrow)
	require.NoError(t, err)
	require.NoError(t, host.Ask(ctx, "gw"))

	// Who this side is stays.
	for _, k := range []krb.Kerberos{realm.Host("kink/somebody.example.com"), nil} {
		bad := gc
		bad.KINK.Kerberos = k
		_, err = gw.Reload(ctx, bad)
		require.ErrorIs(t, err, ErrConfig)
	}
	bad := gw.asked
	bad.KINK.Kerberos = realm.Host("kink/somebody.example.com")
	_, err = gw.Reload(ctx, bad)
	require.ErrorContains(t, err, "KINK: cannot change while the Manager serves")
	require.NoError(t, host.Ask(ctx, "gw"))
}

// A Manager whose KINK has other files from the beginning on is not disturbed by a
// reload before it serves.
func TestReloadKINKBeforeServe(t *testing.T) {
	realm := krbtest.NewRealm("EXAMPLE.COM", rand.Reader, krb.AES256SHA384)
	kinkPair(t, func(h, _ *Config) {
		m, err := NewManager(*h)
		require.NoError(t, err)
		next := *h
		next.KINK.Kerberos = realm.Host("kink/host.example.com")
		changes, err := m.Reload(t.Context(), next)
		require.NoError(t, err)
		require.Len(t, changes, 1)
	})
}
