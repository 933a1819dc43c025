//go:build linux

package lab_test

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/internal/testhost"
)

// hear reads a datagram and returns it with its source.
func hear(t *testing.T, c *net.UDPConn) (string, netip.AddrPort) {
	t.Helper()
	b := make([]byte, 9000)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(testhost.Patience)))
	n, from, err := c.ReadFromUDPAddrPort(b)
	require.NoError(t, err)
	return string(b[:n]), from
}

// silent tells that nothing arrives for a while.
func silent(t *testing.T, c *net.UDPConn) {
	t.Helper()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
	_, _, err := c.ReadFromUDPAddrPort(make([]byte, 9000))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

func TestRouterNAT(t *testing.T) {
	t.Parallel()
	lab.Require(t, lab.Root)
	r := lab.NewRouter(t, lab.RouterConfig{})
	in, out := r.Inside("in"), r.Outside("out")
	client := in.ListenUDP(netip.AddrPortFrom(in.Outer, 4500))
	server := out.ListenUDP(netip.AddrPortFrom(out.Outer, 4500))
	other := out.ListenUDP(netip.AddrPortFrom(out.Outer, 500))
	to := netip.AddrPortFrom(out.Outer, 4500)
	say := func(c *net.UDPConn, s string, to netip.AddrPort) {
		t.Helper()
		_, err := c.WriteToUDPAddrPort([]byte(s), to)
		require.NoError(t, err)
	}

	// A mapping is made, kept, and answered.
	say(client, "one", to)
	s, first := hear(t, server)
	require.Equal(t, "one", s)
	require.Equal(t, r.Public, first.Addr())
	require.NotEqual(t, uint16(4500), first.Port())
	say(client, "two", to)
	_, again := hear(t, server)
	require.Equal(t, first, again)
	require.Equal(t, []lab.Mapping{{Proto: unix.IPPROTO_UDP, Inside: netip.AddrPortFrom(in.Outer, 4500), Outside: first}}, r.Mappings())
	say(server, "answer", first)
	s, from := hear(t, client)
	require.Equal(t, "answer", s)
	require.Equal(t, to, from)

	// Whom the inside has not called does not get in.
	say(other, "stranger", first)
	say(server, "acquaintance", first)
	s, _ = hear(t, client)
	require.Equal(t, "acquaintance", s)
	require.Positive(t, r.Dropped())

	// IP fragments find their way in both directions, checksums and all.
	big := string(bytes.Repeat([]byte("0123456789"), 400))
	say(client, big, to)
	s, _ = hear(t, server)
	require.Equal(t, big, s)
	say(server, big, first)
	s, _ = hear(t, client)
	require.Equal(t, big, s)

	// After a rebinding the old mapping is dead and there is a new one.
	r.Rebind()
	say(server, "lost", first)
	say(client, "three", to)
	_, second := hear(t, server)
	require.Equal(t, r.Public, second.Addr())
	require.NotEqual(t, first.Port(), second.Port())
	say(server, "back", second)
	s, _ = hear(t, client)
	require.Equal(t, "back", s)

	// ... and a new address if so wished.
	r.RebindTo(netip.MustParseAddr("10.99.7.7"))
	say(client, "four", to)
	_, third := hear(t, server)
	require.Equal(t, "10.99.7.7", third.Addr().String())

	in.MustPing(in.Outer, out.Outer)
	out.Echo(netip.AddrPortFrom(out.Outer, 7))
	require.NoError(t, in.Transfer(t.Context(), in.Outer, netip.AddrPortFrom(out.Outer, 7), 1<<20))
	in.MustPing(in.Outer6, out.Outer6)
}

func TestRouterNATTimeout(t *testing.T) {
	t.Parallel()
	lab.Require(t, lab.Root)
	r := lab.NewRouter(t, lab.RouterConfig{Timeout: 200 * time.Millisecond, PreservePorts: true})
	in, out := r.Inside("in"), r.Outside("out")
	client := in.ListenUDP(netip.AddrPortFrom(in.Outer, 4500))
	server := out.ListenUDP(netip.AddrPortFrom(out.Outer, 4500))
	_, err := client.WriteToUDPAddrPort([]byte("x"), netip.AddrPortFrom(out.Outer, 4500))
	require.NoError(t, err)
	_, from := hear(t, server)
	require.Equal(t, netip.AddrPortFrom(r.Public, 4500), from)
	time.Sleep(250 * time.Millisecond)
	_, err = server.WriteToUDPAddrPort([]byte("too late"), from)
	require.NoError(t, err)
	silent(t, client)
}

func TestRouterFilter(t *testing.T) {
	t.Parallel()
	lab.Require(t, lab.Root)
	r := lab.NewRouter(t, lab.RouterConfig{})
	a, b := r.Outside("a"), r.Outside("b")
	ca, cb := a.ListenUDP(netip.AddrPortFrom(a.Outer, 500)), b.ListenUDP(netip.AddrPortFrom(b.Outer, 500))
	send := func(s string) {
		t.Helper()
		_, err := ca.WriteToUDPAddrPort([]byte(s), netip.AddrPortFrom(b.Outer, 500))
		require.NoError(t, err)
	}
	r.SetFilter(func(p *lab.Packet) lab.Verdict {
		switch string(p.Payload) {
		case "drop":
			return lab.Verdict{Drop: true}
		case "late":
			return lab.Verdict{Delay: 100 * time.Millisecond}
		case "twice":
			return lab.Verdict{Copies: 1}
		}
		return lab.Verdict{}
	})
	begin := time.Now()
	for _, s := range []string{"drop", "late", "twice", "plain"} {
		send(s)
	}
	var got []string
	for range 4 {
		s, from := hear(t, cb)
		require.Equal(t, netip.AddrPortFrom(a.Outer, 500), from)
		if s == "late" { // on a busy machine not after the others
			require.GreaterOrEqual(t, time.Since(begin), 100*time.Millisecond)
		}
		got = append(got, s)
	}
	require.ElementsMatch(t, []string{"late", "twice", "twice", "plain"}, got)
}

func TestStrongSwanThroughNAT(t *testing.T) {
	t.Parallel()
	lab.Require(t, lab.StrongSwan)
	r := lab.NewRouter(t, lab.RouterConfig{})
	in, out := r.Inside("in"), r.Outside("out")
	conf := func(me, peer *lab.Site, remote string) lab.StrongSwanConfig {
		return lab.StrongSwanConfig{PSK: "lab-psk", Conns: []lab.StrongSwanConn{{
			Local: me.Outer.String(), Remote: remote, LocalID: me.Name + ".lab", RemoteID: peer.Name + ".lab",
			Proposals: "aes128gcm16-prfsha256-x25519",
			Children:  []lab.StrongSwanChild{{LocalTS: me.InnerNet.String(), RemoteTS: peer.InnerNet.String(), Proposals: "aes128gcm16"}},
		}}}
	}
	b := lab.StartStrongSwan(t, out.Namespace, conf(out, in, ""))
	a := lab.StartStrongSwan(t, in.Namespace, conf(in, out, out.Outer.String()))
	require.NoError(t, a.Initiate("net"))
	in.MustPing(in.Inner, out.Inner)
	before := b.SAs()[0].RemoteHost
	require.Equal(t, r.Public, before.Addr())

	var clear atomic.Int32
	r.SetFilter(func(p *lab.Packet) lab.Verdict {
		if p.Src.Addr().Is4() && (p.Proto != unix.IPPROTO_UDP || p.Dst.Port() != 4500 && p.Src.Port() != 4500) {
			clear.Add(1)
		}
		return lab.Verdict{}
	})
	r.Rebind()
	// strongSwan as a responder (without MOBIKE) follows the change, which the next IKE message shows.
	a.RekeyChild("net")
	sas := b.WaitSAs(testhost.Patience, "following the new mapping", func(s []lab.StrongSwanSA) bool {
		return len(s) == 1 && s[0].RemoteHost != before
	})
	require.Equal(t, r.Public, sas[0].RemoteHost.Addr())
	in.MustPing(in.Inner, out.Inner)
	require.Zero(t, clear.Load(), "packets outside of the tunnel")
}
