package load

import (
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/testhost"
)

// loopback are the addresses that a Linux host has without asking.
var loopback = netip.MustParsePrefix("127.0.0.0/8")

// floodLimit is what of the heap a flood may hold or leave behind, in octets.
const floodLimit = 4 << 20

// attempts is how many half-open attempts a flood makes.
func attempts() int {
	if testing.Short() {
		return 10_000
	}
	return 100_000
}

// A16: 100,000 half-open attempts from many addresses, faster than they can be
// handled, neither take memory nor keep the gateway from its established
// sessions, nor a peer that answers cookies from coming in.
func TestA16_FloodFromManyAddresses(t *testing.T) {
	gateway, addr := serve(t, ResponderConfig{Identity: psk("gw.example.org", ""), Limits: ike.Limits{CookieThreshold: 500, HalfOpenPerIP: 50}})
	user := Config{Identity: psk("user%d@example.org", ""), Target: addr, Handshakes: 20, Leave: true}
	fill(t, user)
	before := liveHeap()

	flooded := make(chan *FloodReport, 1)
	go func() {
		r, err := RunFlood(t.Context(), FloodConfig{Target: addr, Sources: loopback, Attempts: attempts(), Rate: 40_000, Wait: 3 * time.Second})
		if err != nil {
			t.Error(err)
		}
		flooded <- r
	}()
	// Meanwhile: sessions that are up renew their keys, new ones come up.
	var served Report
	var flood *FloodReport
	for flood == nil {
		select {
		case flood = <-flooded:
			continue
		default:
		}
		busy := user
		busy.Handshakes, busy.Concurrency, busy.IKERekeys, busy.ChildRekeys = 4, 2, 2, 2
		busy.Leave, busy.Timeout = false, 2*testhost.Patience // with retransmissions: the flood fills the socket too
		r, err := Run(t.Context(), busy)
		require.NoError(t, err)
		require.Empty(t, r.Failures)
		served.Established += r.Established
		served.IKERekeys.Count += r.IKERekeys.Count
		served.ChildRekeys.Count += r.ChildRekeys.Count
	}
	require.NotNil(t, flood)
	require.Equal(t, attempts(), flood.Attempts)
	require.Positive(t, served.IKERekeys.Count)
	require.Equal(t, 2*served.Established, served.ChildRekeys.Count)

	report := gateway.Report(t.Context())
	held := liveHeap() - before
	t.Logf("%d served with %d rekeys meanwhile; answers: %v; half-open: %d; heap: %d KiB", served.Established,
		served.IKERekeys.Count+served.ChildRekeys.Count, flood.Answers, report.HalfOpen, held>>10)
	require.Equal(t, 20, report.Sessions, "the sessions from before are still there")
	require.LessOrEqual(t, report.HalfOpen, 500+2*runtime.GOMAXPROCS(0), "cookies are demanded from the threshold on")
	require.Positive(t, flood.Answers["COOKIE"])
	require.Less(t, held, int64(floodLimit))
}

// A31: the same by an attacker who receives at all his addresses and answers
// cookies: what he can make us hold is bounded, and is given back.
func TestA31_FloodWithCookies(t *testing.T) {
	const limit = 1000
	gateway, addr := serve(t, ResponderConfig{Identity: psk("gw.example.org", ""), HalfOpenTime: time.Second,
		Limits: ike.Limits{HalfOpen: limit, CookieThreshold: 100, HalfOpenPerIP: 50}})
	fill(t, Config{Identity: psk("user%d@example.org", ""), Target: addr, Handshakes: 20, Leave: true})
	before := liveHeap()
	flood, err := RunFlood(t.Context(), FloodConfig{Target: addr, Sources: loopback, Ports: 4, Attempts: attempts() / 20, Rate: 2_500, Cookies: true,
		Wait: 3 * time.Second})
	require.NoError(t, err)
	require.Positive(t, flood.Answers["COOKIE"])
	require.Greater(t, flood.Answers["IKE_SA_INIT"], uint64(110), "more than without cookies")
	report := gateway.Report(t.Context())
	require.LessOrEqual(t, report.HalfOpen, limit+runtime.GOMAXPROCS(0))
	require.Less(t, liveHeap()-before, int64(floodLimit+limit*8<<10), "at most 8 KiB for each half-open SA")
	require.Eventually(t, func() bool { return gateway.Report(t.Context()).HalfOpen == 0 }, testhost.Patience, 50*time.Millisecond)
	require.Less(t, liveHeap()-before, int64(floodLimit), "everything is given back")
	require.Equal(t, 20, gateway.Report(t.Context()).Sessions)
}
