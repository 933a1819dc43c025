package netstack_test

import (
	"context"
	"io"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/esp"
	"github.com/racoon3/racoon/esp/netstack"
	"github.com/racoon3/racoon/internal/testhost"
)

// Nothing runs after Close, whatever was under way; and what was tells why it
// ended.
func TestCloseEndsEverything(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("run", func(t *testing.T) {
		p := newPair(t, options{})
		l, err := p.b.Listen("tcp", ":80")
		require.NoError(t, err)
		accepted := make(chan net.Conn, 1)
		go func() {
			c, err := l.Accept()
			if err == nil {
				accepted <- c
			}
			_, err = l.Accept()
			if err == nil {
				t.Error("accepted after Close")
			}
			close(accepted)
		}()
		c, err := p.a.DialContext(within(t, testhost.Patience), "tcp", netip.AddrPortFrom(addr2, 80).String())
		require.NoError(t, err)
		_, err = c.Write([]byte("x"))
		require.NoError(t, err)
		s := <-accepted
		_, err = io.ReadFull(s, make([]byte, 1))
		require.NoError(t, err)
		u, err := p.a.ListenPacket("udp", ":53")
		require.NoError(t, err)

		ended := make(chan error, 4)
		go func() { _, err := c.Read(make([]byte, 1)); ended <- err }()
		go func() { _, _, err := u.ReadFrom(make([]byte, 1)); ended <- err }()
		go func() { _, err := s.Read(make([]byte, 1)); ended <- err }()
		go func() { _, err := p.a.Ping(t.Context(), netip.MustParseAddr("10.2.0.77")); ended <- err }()
		require.NoError(t, p.b.Close())
		require.NoError(t, p.a.Close())
		require.NoError(t, p.a.Close(), "twice")
		for range cap(ended) {
			select {
			case err := <-ended:
				require.Error(t, err)
			case <-time.After(testhost.Patience):
				require.Fail(t, "still waiting")
			}
		}
		<-accepted

		_, err = p.a.DialContext(t.Context(), "tcp", "10.2.0.1:80")
		require.ErrorIs(t, err, netstack.ErrClosed)
		_, err = p.a.Listen("tcp", ":81")
		require.ErrorIs(t, err, netstack.ErrClosed)
		_, err = p.a.ListenPacket("udp", ":81")
		require.ErrorIs(t, err, netstack.ErrClosed)
		_, err = p.a.Ping(t.Context(), addr2)
		require.ErrorIs(t, err, netstack.ErrClosed)
		require.ErrorIs(t, p.a.AddAddress(netip.MustParseAddr("10.9.9.9")), netstack.ErrClosed)
	})
	deadline := time.Now().Add(testhost.Patience)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > before {
		buf := make([]byte, 1<<20)
		t.Fatalf("%d goroutines, %d before:\n%s", n, before, buf[:runtime.Stack(buf, true)])
	}
}

// Without a way to the peers, connecting fails when its time is over.
func TestWithoutWriter(t *testing.T) {
	e := esp.New(esp.Config{})
	defer e.Close()
	s, err := netstack.New(netstack.Config{Engine: e, Addresses: []netip.Addr{addr1}})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = s.DialContext(ctx, "tcp", "10.2.0.1:80")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, s.Close())
}
