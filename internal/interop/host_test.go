//go:build linux

package interop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/esp"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/internal/testhost"
)

// patience is how long a test waits for something that should take a few
// milliseconds, on a machine that is busy.
const patience = testhost.Patience

// A host is our side at a site: a Manager with its sockets in the site's
// namespace, userspace ESP, and a TUN device that leads to the peer.
type host struct {
	*racoon.Manager
	t      *testing.T
	site   *lab.Site
	plane  *recorder
	tun    *os.File
	ip     net.PacketConn // protocol 50, nil where ESP goes in UDP only
	ctx    context.Context
	events *eventLog
}

// hostConfig is for startHost; only Peers is needed.
type hostConfig struct {
	Peers  []racoon.Peer
	IPv6   bool // the outer network
	RawESP bool // also ESP without UDP
	MTU    int  // of the TUN device; 1400 if 0
	Edit   func(c *racoon.Config)
}

// startHost runs our side at a site until the test ends.
func startHost(t *testing.T, site *lab.Site, hc hostConfig) *host {
	t.Helper()
	h := &host{t: t, site: site, plane: newRecorder(esp.New(esp.Config{RawESP: true}))}
	outer := site.Outer
	if hc.IPv6 {
		outer = site.Outer6
	}
	logs := &testhost.Log{}
	c := racoon.Config{
		DataPlane:     h.plane,
		PacketHandler: h,
		Listen: []racoon.Listen{
			{Conn: site.ListenUDP(netip.AddrPortFrom(outer, 500))},
			{Conn: site.ListenUDP(netip.AddrPortFrom(outer, 4500)), NATT: true},
		},
		Peers:  slices.Clone(hc.Peers),
		Logger: slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	trace := c.Logger
	c.Trace = func(r ike.TraceRecord) {
		trace.Debug("message", "outbound", r.Outbound, "m", describe(r.Message))
	}
	for i := range c.Peers {
		if c.Peers[i].LocalAddr == "" {
			c.Peers[i].LocalAddr = outer.String()
		}
	}
	if hc.Edit != nil {
		hc.Edit(&c)
	}
	var err error
	h.Manager, err = racoon.NewManager(c)
	require.NoError(t, err)

	mtu := hc.MTU
	if mtu == 0 {
		mtu = 1400
	}
	h.tun = site.OpenTUN("tun0", mtu)
	if hc.RawESP {
		site.Do(func() {
			network := "ip4:50"
			if hc.IPv6 {
				network = "ip6:50"
			}
			h.ip, err = net.ListenPacket(network, outer.String())
		})
		require.NoError(t, err)
		t.Cleanup(func() { _ = h.ip.Close() })
		go h.readIP()
	}
	go h.readTUN()
	go h.releaseHeld(t.Context())

	ctx, cancel := context.WithCancel(context.Background())
	h.ctx = ctx
	h.events = watchEvents(h.Subscribe(ctx))
	served := make(chan error, 1)
	go func() { served <- h.Serve(ctx) }()
	t.Cleanup(func() {
		stop, done := context.WithTimeout(context.Background(), patience)
		defer done()
		if err := h.Shutdown(stop); err != nil && !t.Failed() {
			t.Errorf("shutdown: %v", err)
		}
		cancel()
		if err := <-served; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("serve: %v", err)
		}
		if t.Failed() || os.Getenv("RACOON_INTEROP_LOG") != "" {
			t.Logf("our log:\n%s", logs.String())
			t.Logf("our data plane: %+v", h.plane.Engine.Stats())
		}
	})
	select {
	case <-h.Ready():
	case err := <-served:
		t.Fatalf("serve: %v", err)
	}
	return h
}

// initiate calls a peer and ends the test if it cannot be reached.
func (h *host) initiate(peer string) *racoon.Session {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.ctx, patience)
	defer cancel()
	s, err := h.Initiate(ctx, peer)
	require.NoError(h.t, err)
	return s
}

// session returns the only session, waiting for it.
func (h *host) session() *racoon.Session {
	h.t.Helper()
	var all []*racoon.Session
	h.until("one session", func() bool {
		all = slices.Collect(h.Sessions())
		return len(all) == 1
	})
	return all[0]
}

// until waits for a condition.
func (h *host) until(what string, ok func() bool) {
	h.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			h.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// within makes a context for one call.
func (h *host) within() context.Context {
	ctx, cancel := context.WithTimeout(h.ctx, patience)
	h.t.Cleanup(cancel)
	return ctx
}

// routeTo leads packets for a prefix into the tunnel.
func (h *host) routeTo(p netip.Prefix, src netip.Addr) {
	h.t.Helper()
	h.site.IP(fmt.Sprintf("route add %v dev tun0 src %v", p, src))
}

// HandleESP implements [racoon.PacketHandler].
func (h *host) HandleESP(local, remote netip.AddrPort, tos byte, packets [][]byte) {
	for _, p := range packets {
		h.inbound(esp.Datagram{Local: local, Remote: remote, UDPEncap: true, TOS: tos}, p)
	}
}

func (h *host) inbound(d esp.Datagram, p []byte) {
	var b esp.Batch
	d.Packet = packet(p)
	h.plane.Inbound(&b, d)
	h.send(&b)
}

// readTUN sends what the inner network has for the peer.
func (h *host) readTUN() {
	buf := make([]byte, 65536)
	for {
		n, err := h.tun.Read(buf)
		if err != nil {
			return
		}
		var b esp.Batch
		h.plane.Outbound(&b, packet(buf[:n]))
		h.send(&b)
	}
}

func (h *host) readIP() {
	buf := make([]byte, 65536)
	for {
		n, from, err := h.ip.ReadFrom(buf)
		if err != nil {
			return
		}
		at := func(a net.Addr) netip.AddrPort {
			ip, _ := netip.AddrFromSlice(a.(*net.IPAddr).IP)
			return netip.AddrPortFrom(ip.Unmap(), 0)
		}
		h.inbound(esp.Datagram{Local: at(h.ip.LocalAddr()), Remote: at(from)}, buf[:n])
	}
}

// releaseHeld sends packets that have waited for an SA.
func (h *host) releaseHeld(ctx context.Context) {
	for {
		select {
		case <-h.plane.Ready():
			var b esp.Batch
			h.plane.Release(&b)
			h.send(&b)
		case <-ctx.Done():
			return
		}
	}
}

func (h *host) send(b *esp.Batch) {
	for _, d := range b.Datagrams {
		switch {
		case d.UDPEncap:
			_, _ = h.WriteESP(d.Local, d.Remote, d.TOS, [][]byte{d.Bytes()})
		case h.ip != nil:
			_, _ = h.ip.WriteTo(d.Bytes(), &net.IPAddr{IP: d.Remote.Addr().AsSlice()})
		}
	}
	for _, p := range b.Packets {
		_, _ = h.tun.Write(p.Bytes())
	}
}

// packet copies p into a buffer with room around it.
func packet(p []byte) esp.Packet {
	buf := make([]byte, esp.Headroom+len(p)+esp.Tailroom)
	copy(buf[esp.Headroom:], p)
	return esp.Packet{Buf: buf, Start: esp.Headroom, End: esp.Headroom + len(p)}
}

// An eventLog keeps a Manager's events.
type eventLog struct {
	mu   sync.Mutex
	list []ike.Event
}

func watchEvents(ch <-chan ike.Event) *eventLog {
	l := &eventLog{}
	go func() {
		for ev := range ch {
			l.mu.Lock()
			l.list = append(l.list, ev)
			l.mu.Unlock()
		}
	}()
	return l
}

// eventsOf returns the events of one type so far.
func eventsOf[E ike.Event](h *host) []E {
	h.events.mu.Lock()
	defer h.events.mu.Unlock()
	var out []E
	for _, ev := range h.events.list {
		if e, ok := ev.(E); ok {
			out = append(out, e)
		}
	}
	return out
}

// waitEvent waits for the n-th event of a type.
func waitEvent[E ike.Event](h *host, n int) E {
	h.t.Helper()
	var got []E
	h.until(fmt.Sprintf("%d events %T", n, *new(E)), func() bool {
		got = eventsOf[E](h)
		return len(got) >= n
	})
	return got[n-1]
}

// describe prints a decrypted message of a trace.
func describe(b []byte) string {
	if len(b) > 17 && b[17]>>4 == 1 {
		m, err := isakmp.Parse(b)
		if err != nil {
			return err.Error()
		}
		return m.String()
	}
	m, err := message.Parse(b)
	if err != nil {
		return err.Error()
	}
	return m.String()
}
