package daemon

import (
	"crypto/rand"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/internal/testhost"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/krb/krbtest"
	"github.com/racoon3/racoon/spd/names"
)

// The names of KINK's peers are followed, those of a reloaded configuration from
// then on.
func TestNamesOfKINKPeers(t *testing.T) {
	realm := krbtest.NewRealm("EXAMPLE.COM", rand.Reader, krb.AES128SHA1)
	peer := func(name, remote string, v racoon.Version) racoon.Peer {
		return racoon.Peer{Name: name, Remote: remote, Versions: []racoon.Version{v}}
	}
	cfg := racoon.Config{KINK: racoon.KINKConfig{Kerberos: realm.Host("kink/a.example.com")}, Peers: []racoon.Peer{
		peer("b", "localhost:910", racoon.KINK), peer("c", "192.0.2.1", racoon.KINK), peer("d", "d.invalid", racoon.IKEv2), peer("e", "", racoon.KINK),
	}}
	d := &daemon{}
	d.followNames(t.Context(), &cfg)
	cache := d.names.cache
	require.Equal(t, []string{"localhost."}, cache.Registered())
	directory := cfg.Resolver.(names.Directory)
	require.Eventually(t, func() bool { return len(cache.Addrs("localhost")) > 0 }, testhost.Patience, 10*time.Millisecond, "without a question")
	list, err := directory.LookupAddr(t.Context(), cache.Addrs("localhost")[0].String())
	require.NoError(t, err)
	require.Equal(t, []string{"localhost."}, list)

	cfg.Peers[0].Remote = "other.invalid"
	d.names.register(&cfg)
	require.Equal(t, []string{"other.invalid."}, cache.Registered())
	require.Empty(t, cache.Names(netip.MustParseAddr("127.0.0.1")))
	require.NoError(t, d.close())
}
