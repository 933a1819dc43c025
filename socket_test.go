package racoon

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/testhost"
	"github.com/racoon3/racoon/spd"
)

// A wildcard socket answers from the address that it was asked on: the whole
// 127.0.0.0/8 is this host's.
func TestWildcardAnswersFromTheAddressAsked(t *testing.T) {
	if runtime.GOOS != "linux" {
		testhost.Missing(t, "needs more than one loopback address")
	}
	gw := Config{DataPlane: newPlane(), Peers: []Peer{gatewayPeer()}, Logger: testLog("gateway"),
		Listen: []Listen{{Address: ":0"}, {Address: ":0", NATT: true}}}
	gateway := serve(t, gw)
	ctx := testContext(t)
	for i, at := range []string{"127.0.0.1", "127.0.0.77", "::1"} {
		var plain, natt netip.AddrPort
		for _, a := range gateway.Addrs() {
			if a.Addr().Is4() == netip.MustParseAddr(at).Is4() {
				if plain.IsValid() {
					natt = a
				} else {
					plain = a
				}
			}
		}
		if !plain.IsValid() {
			t.Logf("no IPv6 here")
			continue
		}
		client := serve(t, Config{DataPlane: newPlane(), Logger: testLog("client"), Listen: []Listen{{Address: ":0"}, {Address: ":0", NATT: true}},
			Peers: with(clientPeer(), func(p *Peer) {
				p.Remote = netip.AddrPortFrom(netip.MustParseAddr(at), plain.Port()).String()
				p.RemoteNATT = natt.Port()
				p.ForceEncap = i == 1 // go on at the other port
			})})
		s, err := client.Initiate(ctx, "gw")
		require.NoError(t, err)
		require.Equal(t, at, s.Path().Remote.Addr().String())
		require.NoError(t, s.Rekey(ctx))
		if i == 1 {
			require.Equal(t, natt.Port(), s.Path().Remote.Port(), "floated to the NAT-T port")
			require.True(t, s.ChildSAs()[0].UDPEncap)
		}
		for g := range gateway.Sessions() {
			if g.Info().RemoteSPI == s.Info().LocalSPI {
				require.Equal(t, s.Path().Remote, g.Path().Local)
				require.Equal(t, s.Path().Local, g.Path().Remote)
			}
		}
		require.NoError(t, s.Delete(ctx))
	}
}

// A client without a socket for plain IKE begins on the NAT-T port.
func TestOnlyNATTSocket(t *testing.T) {
	bubble(t, func(t *testing.T, b *scene) {
		b.start(gatewayAddr, Config{Peers: []Peer{gatewayPeer()}})
		client := b.start(clientAddr, Config{Listen: b.net.listen(clientAddr)[1:], Peers: []Peer{clientPeer()}})
		s, err := client.Initiate(t.Context(), "gw")
		require.NoError(t, err)
		require.Equal(t, uint16(4500), s.Path().Remote.Port())
		require.Equal(t, uint16(4500), s.Path().Local.Port())
		only4500 := b.start("192.0.2.9", Config{Listen: b.net.listen("192.0.2.9")[:1], Peers: with(clientPeer(), func(p *Peer) { p.Remote += ":4500" })})
		_, err = only4500.Initiate(t.Context(), "gw")
		require.ErrorContains(t, err, "set NATT in Config.Listen")
	})
}

// espSink keeps what it is given.
type espSink struct {
	mu      sync.Mutex
	packets [][]byte
	local   netip.AddrPort
	remote  netip.AddrPort
	tos     byte
	calls   int
}

func (s *espSink) HandleESP(local, remote netip.AddrPort, tos byte, packets [][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.local, s.remote, s.tos = local, remote, tos
	s.calls++
	for _, p := range packets {
		s.packets = append(s.packets, bytes.Clone(p))
	}
}

func (s *espSink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.packets)
}

// ESP in UDP reaches the packet handler unchanged and in order, in batches and
// segments where the system has them, and does not disturb IKE.
func TestESPThroughTheSockets(t *testing.T) {
	for _, addr := range []string{"127.0.0.1", "::1"} {
		t.Run(addr, func(t *testing.T) {
			sink := new(espSink)
			client, gateway, _, _ := pairOfManagers(t, addr, func(c, g *Config) {
				c.PacketHandler, g.PacketHandler = new(espSink), sink
				c.Peers[0].ForceEncap = true
			})
			ctx := testContext(t)
			s, err := client.Initiate(ctx, "gw")
			require.NoError(t, err)
			path := s.Path()
			var packets [][]byte
			sizes := []int{1400, 1400, 1400, 700, 60, 1400, 8, 1400, 1400}
			for i := range 90 {
				p := bytes.Repeat([]byte{byte(i)}, sizes[i%len(sizes)])
				p[0], p[3] = 0xc0, byte(i)
				packets = append(packets, p)
			}
			for sent := 0; sent < len(packets); { // a part at a time: all of them fill a socket that is not read yet
				n, err := client.WriteESP(path.Local, path.Remote, 0x2, packets[sent:sent+30])
				require.NoError(t, err)
				require.Equal(t, 30, n)
				sent += n
				require.Eventually(t, func() bool { return sink.count() == sent }, testhost.Patience, time.Millisecond)
			}
			require.Equal(t, packets, sink.packets)
			require.Equal(t, path.Local, sink.remote)
			require.Equal(t, path.Remote, sink.local)
			if runtime.GOOS == "linux" {
				require.Equal(t, byte(2), sink.tos)
				t.Logf("%d packets in %d calls", len(packets), sink.calls)
			}
			require.NoError(t, s.Rekey(ctx))
			require.Equal(t, uint64(len(packets)), gateway.Stats(ctx).ESP)

			_, err = client.WriteESP(netip.MustParseAddrPort("192.0.2.1:1"), path.Remote, 0, packets)
			require.ErrorContains(t, err, "no NAT-T socket")
		})
	}
}

// What is neither IKE nor ESP is counted and goes no further.
func TestStrayDatagrams(t *testing.T) {
	_, gateway, _, _ := pairOfManagers(t, "127.0.0.1", nil)
	c, err := net.Dial("udp", gateway.Addrs()[1].String())
	require.NoError(t, err)
	defer c.Close()
	for _, b := range [][]byte{{0xff}, {1, 2}, {0, 0, 0, 0, 1}, bytes.Repeat([]byte{1}, 40), make([]byte, 60000)} {
		_, err := c.Write(b)
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		s := gateway.Stats(t.Context())
		return s.Keepalives == 1 && s.Malformed == 2 && s.ESP == 1 && s.IKEReceived == 1
	}, testhost.Patience, time.Millisecond, "%+v", gateway.Stats(t.Context()))
}

func TestPathOf(t *testing.T) {
	wild := netip.MustParseAddrPort("0.0.0.0:500")
	p := pathOf(wild, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddrPort("198.51.100.1:1234"), 7)
	require.Equal(t, ike.Path{Local: netip.MustParseAddrPort("192.0.2.1:500"), Remote: netip.MustParseAddrPort("198.51.100.1:1234")}, p,
		"the way that packets take is no part of a path")
	p = pathOf(netip.MustParseAddrPort("[::]:500"), netip.MustParseAddr("fe80::1"), netip.MustParseAddrPort("[fe80::2%3]:500"), 3)
	require.Equal(t, ike.Path{Local: netip.MustParseAddrPort("[fe80::1]:500"), Remote: netip.MustParseAddrPort("[fe80::2]:500"), Interface: 3}, p)
	require.Equal(t, netip.MustParseAddrPort("[fe80::2%3]:500"), withZone(p))
	p = pathOf(netip.MustParseAddrPort("[::]:500"), netip.MustParseAddr("::ffff:192.0.2.1"), netip.MustParseAddrPort("[::ffff:192.0.2.2]:500"), 3)
	require.True(t, p.Local.Addr().Is4() && p.Remote.Addr().Is4())
}

// A connection that is bound to no address and cannot tell is refused.
func TestInjectedConn(t *testing.T) {
	m, err := NewManager(Config{DataPlane: newPlane(), Listen: []Listen{{Conn: newMemoryNetwork().conn(netip.MustParseAddrPort("0.0.0.0:500"))}}})
	require.NoError(t, err)
	require.ErrorContains(t, m.Serve(t.Context()), "bind it to one address or implement racoon.PathConn")

	bad := spd.NewMemory(spd.MemoryConfig{})
	bad.FailNext(spd.OpPrepareSocket, spd.ErrUnsupported)
	c := newMemoryNetwork().conn(netip.MustParseAddrPort("192.0.2.1:500"))
	m, err = NewManager(Config{DataPlane: bad, Listen: []Listen{{Conn: c}}})
	require.NoError(t, err)
	require.ErrorIs(t, m.Serve(t.Context()), spd.ErrUnsupported)
	_, _, err = c.ReadFrom(nil)
	require.ErrorIs(t, err, net.ErrClosed, "nothing stays open")
}

// A dual-stack socket of the program's carries both families.
func TestDualStackConn(t *testing.T) {
	var list []Listen
	for i := range 2 {
		c, err := net.ListenUDP("udp", nil)
		require.NoError(t, err)
		list = append(list, Listen{Conn: c, NATT: i == 1})
	}
	if addr, _ := addrPortOf(list[0].Conn.LocalAddr()); addr.Addr().Is4() {
		testhost.Missing(t, "no IPv6 here")
	}
	gateway := serve(t, Config{DataPlane: newPlane(), Peers: []Peer{gatewayPeer()}, Listen: list})
	for i, at := range []string{"127.0.0.1", "::1"} {
		client := serve(t, Config{DataPlane: newPlane(), Logger: testLog("client"), Listen: []Listen{{Address: ":0"}},
			Peers: with(clientPeer(), func(p *Peer) {
				p.LocalID = fmt.Sprintf("user%d@example.org", i)
				p.Remote = netip.AddrPortFrom(netip.MustParseAddr(at), gateway.Addrs()[0].Port()).String()
			})})
		_, err := client.Initiate(testContext(t), "gw")
		require.NoError(t, err)
	}
}
