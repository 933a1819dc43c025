package netstack_test

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/racoon3/racoon/internal/testhost"
)

// nameServer answers A questions with addr, at port 53 of a host.
func nameServer(t *testing.T, h *host, addr netip.Addr) {
	c, err := h.ListenPacket("udp", ":53")
	require.NoError(t, err)
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response, m.RecursionAvailable = true, true
			m.Additionals = nil
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1},
					Body:   &dnsmessage.AResource{A: addr.As4()},
				}}
			}
			b, err := m.Pack()
			if err == nil {
				c.WriteTo(b, from)
			}
		}
	}()
}

func TestDialByName(t *testing.T) {
	p := newPair(t, options{})
	_, err := p.a.DialContext(t.Context(), "tcp", "host.inner.example.:80")
	require.ErrorContains(t, err, "SetDNS")
	nameServer(t, p.b, addr2)
	require.NoError(t, p.a.SetDNS([]netip.Addr{addr2}))
	l, err := p.b.Listen("tcp", ":80")
	require.NoError(t, err)
	defer l.Close()
	c, err := p.a.DialContext(within(t, testhost.Patience), "tcp", "host.inner.example.:http")
	require.NoError(t, err)
	require.Equal(t, "10.2.0.1:80", c.RemoteAddr().String())
	require.NoError(t, c.Close())
	addrs, err := p.a.Resolver().LookupNetIP(within(t, testhost.Patience), "ip4", "other.inner.example.")
	require.NoError(t, err)
	require.Equal(t, []netip.Addr{addr2}, addrs)
	require.Error(t, p.a.SetDNS([]netip.Addr{{}}))
}

func TestListenBothFamilies(t *testing.T) {
	p := newPair(t, options{})
	l, err := p.b.Listen("tcp", ":80")
	require.NoError(t, err)
	defer l.Close()
	for _, from := range []struct{ to, own netip.Addr }{{addr2, addr1}, {addr26, addr16}} {
		c, err := p.a.DialContext(within(t, testhost.Patience), "tcp", netip.AddrPortFrom(from.to, 80).String())
		require.NoError(t, err)
		s, err := l.Accept()
		require.NoError(t, err)
		require.Equal(t, from.own, s.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap())
		require.Equal(t, from.to, s.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap())
		s.Close()
		c.Close()
	}
	// One family alone.
	l6, err := p.b.Listen("tcp6", "[2001:db8:2::1]:81")
	require.NoError(t, err)
	defer l6.Close()
	ctx := within(t, testhost.Patience)
	_, err = p.a.DialContext(ctx, "tcp", "10.2.0.1:81")
	var op *net.OpError
	require.ErrorAs(t, err, &op)
	require.Equal(t, "10.2.0.1:81", op.Addr.String())
	require.NoError(t, ctx.Err(), "refused at once")
	c, err := p.a.DialContext(ctx, "tcp6", "[2001:db8:2::1]:81")
	require.NoError(t, err)
	c.Close()

	for _, bad := range [][2]string{{"tcp", "10.2.0.1"}, {"tcp6", "10.2.0.1:80"}, {"udp", ":80"}, {"unix", "x"}, {"tcp", "name:80"}, {"tcp", "10.9.9.9:80"}} {
		_, err := p.b.Listen(bad[0], bad[1])
		require.Error(t, err, bad)
	}
	for _, bad := range [][2]string{{"tcp6", "10.2.0.1:80"}, {"unix", "x"}, {"tcp", "10.2.0.1"}, {"tcp", "10.2.0.1:99999"}} {
		_, err := p.b.DialContext(t.Context(), bad[0], bad[1])
		require.Error(t, err, bad)
	}
}

// Addresses come and go, as a gateway assigns them.
func TestAddressesComeAndGo(t *testing.T) {
	p := newPair(t, options{})
	next := netip.MustParseAddr("10.1.77.1")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := p.b.Ping(ctx, next)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, p.a.AddAddress(next))
	require.NoError(t, p.a.AddAddress(next), "twice")
	require.ElementsMatch(t, []netip.Addr{addr1, addr16, next}, p.a.Addresses())
	_, err = p.b.Ping(within(t, testhost.Patience), next)
	require.NoError(t, err)
	require.NoError(t, p.a.RemoveAddress(next))
	require.Error(t, p.a.RemoveAddress(next))
	ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = p.b.Ping(ctx, next)
	require.ErrorIs(t, err, context.DeadlineExceeded)

	require.NoError(t, p.a.RemoveAddress(addr16))
	_, err = p.a.DialContext(t.Context(), "tcp", "[2001:db8:2::1]:80")
	require.ErrorContains(t, err, "AddAddress")
	_, err = p.a.Ping(t.Context(), addr26)
	require.ErrorContains(t, err, "AddAddress")
	for _, bad := range []netip.Addr{{}, netip.IPv4Unspecified(), netip.MustParseAddr("ff02::1")} {
		require.Error(t, p.a.AddAddress(bad))
	}
}

// Own addresses are reached without the tunnel.
func TestOwnAddress(t *testing.T) {
	p := newPair(t, options{})
	l, err := p.a.Listen("tcp", "10.1.0.1:80")
	require.NoError(t, err)
	defer l.Close()
	c, err := p.a.DialContext(within(t, testhost.Patience), "tcp", "10.1.0.1:80")
	require.NoError(t, err)
	c.Close()
	require.Zero(t, p.a.Stats().Sent)
}

func TestDialEndsWithContext(t *testing.T) {
	p := newPair(t, options{})
	everything := func([]byte) bool { return true }
	p.a.wire.lose.Store(&everything)
	ctx, cancel := context.WithCancel(t.Context())
	go cancel()
	_, err := p.a.DialContext(ctx, "tcp", "10.2.0.1:80")
	require.ErrorIs(t, err, context.Canceled)
}
