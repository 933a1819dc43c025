package racoon

import (
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/testhost"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/krb/krbtest"
	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/spd/names"
)

// namedPair is two hosts that know each other by name only, on two addresses of the
// loopback network, and what the names mean.
func namedPair(t *testing.T, change func(host, gw *Config)) (host, gw *Manager, hp, gp *spd.Memory, cache *names.Cache) {
	t.Helper()
	at := [2]string{"127.0.0.1", "127.0.0.2"}
	var conns [2]*net.UDPConn
	for i := range conns {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(at[i])})
		if err != nil {
			testhost.Missing(t, "this system has no %s: %v", at[i], err)
		}
		conns[i] = c
	}
	realm := krbtest.NewRealm("EXAMPLE.COM", rand.Reader, krb.AES256SHA384)
	hosts := names.Hosts{}
	hosts.Add("other.example.com", netip.MustParseAddr("127.0.0.9"))
	hosts.Add("host.example.com", netip.MustParseAddr(at[0]))
	cache = names.NewCache(names.CacheConfig{})
	directory := names.Directory{Cache: cache, Resolver: hosts}
	_, err := cache.Register("gw.example.com")
	require.NoError(t, err)
	cache.Learn("gw.example.com", []names.Answer{{Addr: netip.MustParseAddr("127.0.0.7"), TTL: time.Hour}, {Addr: netip.MustParseAddr(at[1]), TTL: time.Hour}})
	port := func(i int) int { return conns[i].LocalAddr().(*net.UDPAddr).Port }
	hp, gp = spd.NewMemory(spd.MemoryConfig{}), spd.NewMemory(spd.MemoryConfig{})
	timing := ike.Timing{RetransmitBase: 300 * time.Millisecond, RetransmitTries: 3}
	peer := func(name string, port int) Peer {
		return Peer{Name: name, Versions: []Version{KINK}, Remote: fmt.Sprintf("%s.example.com:%d", name, port), Timing: timing,
			Children: []Child{{Name: "all", Mode: spd.ModeTransport}}}
	}
	hc := Config{DataPlane: hp, KINK: KINKConfig{Kerberos: realm.Host("kink/host.example.com")}, Resolver: directory, Listen: []Listen{{Conn: conns[0], KINK: true}},
		Peers: []Peer{peer("other", port(1)), peer("gw", port(1))}}
	gc := Config{DataPlane: gp, KINK: KINKConfig{Kerberos: realm.Host("kink/gw.example.com")}, Resolver: directory, Listen: []Listen{{Conn: conns[1], KINK: true}},
		Peers: []Peer{peer("host", port(0))}}
	if change != nil {
		change(&hc, &gc)
	}
	return serve(t, hc), serve(t, gc), hp, gp, cache
}

// waitsFor is a policy of somebody else's: packets to the loopback network wait.
func waitsFor(t *testing.T, plane *spd.Memory) {
	require.NoError(t, plane.SetPolicies(t.Context(), 77, []spd.Policy{{Direction: spd.Out, Action: spd.ActionTrap, Protocol: spd.ProtoESP, Mode: spd.ModeTransport,
		Selector: spd.Selector{Local: spd.MustParseTrafficSelector("127.0.0.1/32"), Remote: spd.MustParseTrafficSelector("127.0.0.0/8")}, Priority: 1 << 30}}))
}

func flowTo(addr string) spd.Flow {
	return spd.Flow{Src: netip.MustParseAddr("127.0.0.1"), Dst: netip.MustParseAddr(addr), Protocol: 17, SrcPort: 1024, DstPort: 53}
}

// A packet to an address finds the peer whose name has it, and that address is
// called, though it is not the first one of the name.
func TestAcquireByName(t *testing.T) {
	host, _, hp, gp, cache := namedPair(t, nil)
	waitsFor(t, hp)
	require.True(t, hp.Send(gp, flowTo("127.0.0.2"), 100).Outcome.Gap())
	require.Eventually(t, func() bool { return hp.PendingAcquires() == 0 }, testhost.Patience, time.Millisecond)
	s := only(t, host.Sessions())
	require.Equal(t, "gw", s.Peer())
	require.Equal(t, "krb5:kink/gw.example.com@EXAMPLE.COM", s.Info().RemoteID.String())
	require.Equal(t, "127.0.0.2", s.ChildSAs()[0].RemoteTS[0].First.String())
	require.False(t, hp.Send(gp, flowTo("127.0.0.2"), 100).Outcome.Gap())

	// Nobody's address: the packet is answered all the same.
	hp.Send(gp, flowTo("127.0.0.8"), 100)
	require.Eventually(t, func() bool { return hp.PendingAcquires() == 0 }, testhost.Patience, time.Millisecond)
	require.Len(t, only(t, host.Sessions()).ChildSAs(), 1)

	// The name leads elsewhere now: to where nobody answers.
	cache.Learn("gw.example.com", []names.Answer{{Addr: netip.MustParseAddr("127.0.0.8"), TTL: time.Hour}})
	events := host.Subscribe(testContext(t))
	hp.Send(gp, flowTo("127.0.0.8"), 100)
	failed := (<-events).(ike.SessionFailed)
	require.ErrorContains(t, failed.Err, "no answer to CREATE from 127.0.0.8")
	require.Eventually(t, func() bool { return hp.PendingAcquires() == 0 }, testhost.Patience, time.Millisecond)
}

// A principal is bound to the addresses of its name, if that is wanted: Kerberos
// says who somebody is, and not whose address it uses.
func TestNamedAddress(t *testing.T) {
	for name, has := range map[string]string{"its own": "127.0.0.1", "another": "127.0.0.9"} {
		t.Run(name, func(t *testing.T) {
			host, gw, _, _, _ := namedPair(t, func(h, g *Config) {
				hosts := names.Hosts{}
				hosts.Add("host.example.com", netip.MustParseAddr(has))
				g.Resolver = names.Directory{Cache: names.NewCache(names.CacheConfig{}), Resolver: hosts}
				g.Peers[0].KINK.Principal, g.Peers[0].KINK.NamedAddress = "kink/*@EXAMPLE.COM", true
				h.Peers[1].KINK.Principal = "kink/gw.example.com@EXAMPLE.COM"
				h.Peers[1].Remote = g.Listen[0].Conn.LocalAddr().String()
			})
			ctx := testContext(t)
			events := gw.Subscribe(ctx)
			_, err := host.Initiate(ctx, "gw")
			if has == "127.0.0.1" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, "AUTHENTICATION-FAILED")
			for ev := range events {
				if f, ok := ev.(ike.SessionFailed); ok {
					require.ErrorContains(t, f.Err, "KINK.NamedAddress: 127.0.0.1 is no address of host.example.com, which has [127.0.0.9]")
					return
				}
			}
		})
	}
}
