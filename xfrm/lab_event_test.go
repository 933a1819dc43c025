//go:build linux

package xfrm_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/internal/testhost"
	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/xfrm"
)

// wait takes events until one fits.
func wait[T spd.Event](t *testing.T, p *xfrm.DataPlane, fits func(T) bool) T {
	t.Helper()
	timeout := time.After(testhost.Patience)
	for {
		select {
		case e := <-p.Events():
			t.Logf("event %#v", e)
			if ev, ok := e.(T); ok && (fits == nil || fits(ev)) {
				return ev
			}
		case <-timeout:
			var ev T
			require.FailNow(t, "no event", "%T", ev)
		}
	}
}

// quiet requires that no event of a type is waiting.
func quiet[T spd.Event](t *testing.T, p *xfrm.DataPlane) {
	t.Helper()
	for {
		select {
		case e := <-p.Events():
			ev, ok := e.(T)
			require.False(t, ok, "%#v", ev)
		default:
			return
		}
	}
}

// testLabAcquire: a packet without an SA raises an acquire with its flow; a
// failure lets the next packet ask again; the SA lets it through.
func testLabAcquire(t *testing.T) {
	p := newPair(t, xfrm.Config{})
	ctx := context.Background()
	for i, mode := range []spd.Mode{spd.ModeTunnel, spd.ModeTransport} {
		reqID := uint32(20 + i)
		from, to := p.a.Inner, p.b.Inner
		if mode == spd.ModeTransport {
			from, to = p.a.Outer, p.b.Outer
		}
		trap := spd.Policy{Direction: spd.Out, Selector: spd.Selector{Local: spd.FromAddr(from), Remote: spd.FromAddr(to)}, Action: spd.ActionTrap,
			Priority: 2000, ReqID: reqID, Protocol: spd.ProtoESP, Mode: mode, Local: p.a.Outer, Remote: p.b.Outer}
		require.NoError(t, p.pa.SetPolicies(ctx, 99, []spd.Policy{trap}))
		send := func() {
			p.a.Do(func() {
				c, err := net.DialUDP("udp", &net.UDPAddr{IP: from.AsSlice(), Port: 4001}, &net.UDPAddr{IP: to.AsSlice(), Port: 4002})
				require.NoError(t, err)
				_, _ = c.Write([]byte("hello"))
				c.Close()
			})
		}
		send()
		ev := wait[spd.AcquireEvent](t, p.pa, nil)
		require.Equal(t, trap, ev.Policy)
		flow := spd.Flow{Src: from, Dst: to, SrcPort: 4001, DstPort: 4002, Protocol: 17}
		require.Equal(t, flow.Selector(spd.Out), ev.Packet)
		require.Contains(t, p.a.Run("ip", "xfrm", "state"), "spi 0x00000000")
		send()
		time.Sleep(50 * time.Millisecond) // for an event that must not come
		quiet[spd.AcquireEvent](t, p.pa)

		require.NoError(t, p.pa.AcquireDone(ctx, ev.ID, errors.New("no")))
		require.Empty(t, p.a.Run("ip", "xfrm", "state"))
		send()
		ev = wait[spd.AcquireEvent](t, p.pa, nil)
		got, err := p.a.Ping(from, to, 1, 56)
		require.Zero(t, got, "%v", err)

		r := p.install(t, child{proposal: "aes128gcm16", mode: mode, reqID: reqID})
		require.NoError(t, p.pa.AcquireDone(ctx, ev.ID, nil))
		p.a.MustPing(from, to)
		require.NotContains(t, p.a.Run("ip", "xfrm", "state"), "spi 0x00000000")
		first := wait[spd.FirstPacketEvent](t, p.pb, nil)
		require.Equal(t, r.bIn.ID(spd.In, 0), first.ID)
		p.removeAll(t, r)
		require.NoError(t, p.pa.SetPolicies(ctx, 99, nil))
		empty(t, p.a)
	}
}

// testLabHold: with HoldPackets the packet that raises an acquire is sent when
// the SA is there.
func testLabHold(t *testing.T) {
	p := newPair(t, xfrm.Config{HoldPackets: true, AcquireExpires: 2 * time.Minute})
	ctx := context.Background()
	trap := spd.Policy{Direction: spd.Out, Selector: spd.Selector{Local: spd.FromPrefix(p.a.InnerNet), Remote: spd.FromPrefix(p.b.InnerNet)}, Action: spd.ActionTrap,
		Priority: 2000, ReqID: 1, Protocol: spd.ProtoESP, Mode: spd.ModeTunnel, Local: p.a.Outer, Remote: p.b.Outer}
	require.NoError(t, p.pa.SetPolicies(ctx, 99, []spd.Policy{trap}))
	sink := p.b.ListenUDP(netip.AddrPortFrom(p.b.Inner, 4002))
	src := p.a.ListenUDP(netip.AddrPortFrom(p.a.Inner, 4001))
	_, err := src.WriteToUDPAddrPort([]byte("only once"), netip.AddrPortFrom(p.b.Inner, 4002))
	require.NoError(t, err)
	ev := wait[spd.AcquireEvent](t, p.pa, nil)
	p.install(t, child{proposal: "aes128gcm16"})
	require.NoError(t, p.pa.AcquireDone(ctx, ev.ID, nil))
	require.NoError(t, sink.SetReadDeadline(time.Now().Add(2*testhost.Patience))) // the kernel tries in intervals that double
	buf := make([]byte, 100)
	n, err := sink.Read(buf)
	require.NoError(t, err, "%s\n%s", p.a.Run("cat", "/proc/net/xfrm_stat"), p.b.Run("cat", "/proc/net/xfrm_stat"))
	require.Equal(t, "only once", string(buf[:n]))
}

// testLabLifetimes: volume and time limits, soft and hard.
func testLabLifetimes(t *testing.T) {
	p := newPair(t, xfrm.Config{})
	for _, c := range []child{
		{proposal: "aes128gcm16", lifetime: spd.Lifetime{SoftBytes: 500, HardBytes: 1000}},
		{proposal: "aes128-sha256-esn", lifetime: spd.Lifetime{SoftPackets: 3, HardPackets: 6}},
	} {
		r := p.install(t, c)
		got, _ := p.a.Ping(p.a.Inner, p.b.Inner, 20, 56)
		require.Positive(t, got)
		require.Less(t, got, 20)
		// Each of the two may be the first, and those of the last round may come late.
		ours := func(id spd.SAID) bool { return id == r.aOut.ID(spd.Out, 0) || id == r.aIn.ID(spd.In, 0) }
		wait(t, p.pa, func(e spd.ExpireEvent) bool { return !e.Hard && ours(e.ID) })
		hard := wait(t, p.pa, func(e spd.ExpireEvent) bool { return e.Hard && ours(e.ID) })
		require.GreaterOrEqual(t, hard.Counters.Packets, uint64(5))
		c, err := p.pa.Query(context.Background(), hard.ID)
		require.NoError(t, err)
		require.Equal(t, hard.Counters.Packets, c.Packets)
		p.removeAll(t, r)
	}
	r := p.install(t, child{proposal: "aes128gcm16", lifetime: spd.Lifetime{HardTime: time.Second}})
	wait(t, p.pa, func(e spd.ExpireEvent) bool {
		return e.Hard && (e.ID == r.aOut.ID(spd.Out, 0) || e.ID == r.aIn.ID(spd.In, 0))
	})
	p.removeAll(t, r)
	empty(t, p.a)
}

// testLabLarval: reserved SPIs as ip(8) sees them.
func testLabLarval(t *testing.T) {
	a, b := lab.NewPair(t)
	pa := newPlane(t, a, xfrm.Config{AcquireExpires: time.Hour})
	ctx := context.Background()
	request := spd.SPIRequest{Protocol: spd.ProtoESP, Local: a.Outer, Remote: b.Outer, ReqID: 3}
	id := func(spi spd.SPI) spd.SAID {
		return spd.SAID{Direction: spd.In, Protocol: spd.ProtoESP, SPI: spi, Dst: a.Outer}
	}
	spi, err := pa.AllocSPI(ctx, request)
	require.NoError(t, err)
	require.Contains(t, a.Run("ip", "xfrm", "state"), fmt.Sprintf("src %v dst %v\n\tproto esp spi 0x%08x reqid 3 mode tunnel", b.Outer, a.Outer, uint32(spi)))
	require.NoError(t, pa.ReleaseSPI(ctx, id(spi)))
	empty(t, a)
	// The kernel's own limit.
	pa = newPlane(t, a, xfrm.Config{AcquireExpires: time.Second})
	spi, err = pa.AllocSPI(ctx, request)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return a.Run("ip", "xfrm", "state") == "" }, testhost.Patience, 50*time.Millisecond)
	require.NoError(t, pa.ReleaseSPI(ctx, id(spi)))
	require.ErrorIs(t, pa.ReleaseSPI(ctx, id(spi)), spd.ErrNotFound)
}

// testLabMove: an SA moves to other addresses under traffic, into and out of
// UDP, and to other ports, with its sequence numbers.
func testLabMove(t *testing.T) {
	p := newPair(t, xfrm.Config{})
	p.a.IP("addr add 10.99.0.11/24 dev " + p.a.Device)
	for _, x := range []struct {
		s     *lab.Site
		plane *xfrm.DataPlane
		addr  netip.AddrPort
	}{{p.a, p.pa, netip.MustParseAddrPort("10.99.0.11:4500")}, {p.a, p.pa, netip.MustParseAddrPort("10.99.0.11:4600")}, {p.b, p.pb, netip.AddrPortFrom(p.b.Outer, 4500)}} {
		require.NoError(t, x.plane.PrepareSocket(x.s.ListenUDP(x.addr), true))
	}
	ctx := context.Background()
	for _, proposal := range []string{"aes128gcm16", "aes128gcm16-esn"} {
		r := p.install(t, child{proposal: proposal})
		p.a.MustPing(p.a.Inner, p.b.Inner)
		for _, to := range []spd.Endpoints{
			{Local: netip.MustParseAddrPort("10.99.0.11:4500"), Remote: r.aOut.Remote},
			{Local: netip.MustParseAddrPort("10.99.0.11:4500"), Remote: r.aOut.Remote, UDPEncap: true},
			{Local: netip.MustParseAddrPort("10.99.0.11:4600"), Remote: r.aOut.Remote, UDPEncap: true},
			{Local: netip.AddrPortFrom(p.a.Outer6, 4500), Remote: netip.AddrPortFrom(p.b.Outer6, 4500)},
			{Local: r.aOut.Local, Remote: r.aOut.Remote},
		} {
			back := spd.Endpoints{Local: to.Remote, Remote: to.Local, UDPEncap: to.UDPEncap}
			for _, m := range []struct {
				plane *xfrm.DataPlane
				b     *spd.Bundle
				dir   spd.Direction
				to    spd.Endpoints
			}{{p.pa, r.aIn, spd.In, to}, {p.pa, r.aOut, spd.Out, to}, {p.pb, r.bIn, spd.In, back}, {p.pb, r.bOut, spd.Out, back}} {
				require.NoError(t, m.plane.MovePeer(ctx, m.b.ID(m.dir, 0), m.to))
				m.b.Local, m.b.Remote, m.b.UDPEncap = m.to.Local, m.to.Remote, m.to.UDPEncap
			}
			p.pings(t, p.a.Inner, p.b.Inner, 3, 56, to)
		}
		// Six times three packets with one key, and the numbers go on.
		sa, err := p.pa.Client().SA(ctx, xfrm.SAKey{Dst: p.b.Outer, SPI: uint32(r.aOut.SAs[0].SPI), Proto: xfrm.ProtoESP})
		require.NoError(t, err)
		if sa.ReplayESN != nil {
			require.EqualValues(t, 18, sa.ReplayESN.OutSeq)
		} else {
			require.EqualValues(t, 18, sa.Replay.OutSeq)
		}
		require.EqualValues(t, 18, sa.Usage.Packets)
		c := p.removeAll(t, r)
		require.EqualValues(t, 18, c.Packets)
		require.Zero(t, c.ReplayDrops+c.AuthDrops)
		quiet[spd.AcquireEvent](t, p.pa)
		empty(t, p.a)
		empty(t, p.b)
	}
}

// testLabMapping: a new NAT mapping is told, and followed.
func testLabMapping(t *testing.T) {
	p := newPair(t, xfrm.Config{})
	sa := p.a.ListenUDP(netip.AddrPortFrom(p.a.Outer, 4500))
	require.NoError(t, p.pa.PrepareSocket(sa, true))
	require.NoError(t, p.pb.PrepareSocket(p.b.ListenUDP(netip.AddrPortFrom(p.b.Outer, 4500)), true))
	r := p.install(t, child{proposal: "aes128gcm16", encap: true})
	p.a.MustPing(p.a.Inner, p.b.Inner)
	// As if a NAT had moved a: its SA sends from another port.
	to := spd.Endpoints{Local: netip.AddrPortFrom(p.a.Outer, 4777), Remote: r.aOut.Remote, UDPEncap: true}
	require.NoError(t, p.pa.PrepareSocket(p.a.ListenUDP(to.Local), true))
	require.NoError(t, p.pa.MovePeer(context.Background(), r.aOut.ID(spd.Out, 0), to))
	_, _ = p.a.Ping(p.a.Inner, p.b.Inner, 1, 56)
	ev := wait[spd.MappingEvent](t, p.pb, nil)
	require.Equal(t, spd.MappingEvent{ID: r.bIn.ID(spd.In, 0), Old: r.bIn.Remote, New: to.Local}, ev)
	back := spd.Endpoints{Local: r.bIn.Local, Remote: to.Local, UDPEncap: true}
	for _, dir := range []spd.Direction{spd.In, spd.Out} {
		b := map[spd.Direction]*spd.Bundle{spd.In: r.bIn, spd.Out: r.bOut}[dir]
		require.NoError(t, p.pb.MovePeer(context.Background(), b.ID(dir, 0), back))
	}
	require.Contains(t, p.b.Run("ip", "xfrm", "state"), "encap type espinudp sport 4777 dport 4500")
	p.a.MustPing(p.a.Inner, p.b.Inner)
}

// testLabSocketOverflow: what a socket has no room for is told as lost, and the
// socket goes on.
func testLabSocketOverflow(t *testing.T) {
	a, b := lab.NewPair(t)
	c := newClient(t, a)
	ctx := context.Background()
	var conn xfrm.Conn
	a.Do(func() {
		dial, release, err := xfrm.SystemDialer()
		require.NoError(t, err)
		defer release()
		conn, err = dial(xfrm.ProtocolXFRM, xfrm.GroupSA)
		require.NoError(t, err)
	})
	defer conn.Close()
	sa := &xfrm.SA{Src: a.Outer, Dst: b.Outer, SPI: 0x1000, Proto: xfrm.ProtoIPComp, Mode: xfrm.ModeTransport, Comp: xfrm.Algorithm{Name: "deflate"}}
	for range 8000 { // two messages each
		require.NoError(t, c.AddSA(ctx, sa))
		require.NoError(t, c.DeleteSA(ctx, sa.Key()))
	}
	buf := make([]byte, 64<<10)
	told := 0
	for {
		n, err := conn.Receive(ctx, buf)
		if errors.Is(err, xfrm.ErrOverflow) {
			break
		}
		require.NoError(t, err)
		for h, body := range xfrm.Messages(buf[:n]) {
			m, err := xfrm.Parse(xfrm.MessageType(h.Type), body.Data)
			require.NoError(t, err)
			if d, ok := m.(*xfrm.DelSA); ok {
				require.Equal(t, "deflate", d.SA.Comp.Name)
			}
		}
		told++
		require.Less(t, told, 16000, "no overflow")
	}
	t.Logf("%d datagrams before the overflow was told", told)
	cancelled, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	for {
		if _, err := conn.Receive(cancelled, buf); err != nil {
			require.ErrorIs(t, err, context.DeadlineExceeded)
			break
		}
	}
}

// testLabOverflow: a receive queue that is too small for a flood of events.
func testLabOverflow(t *testing.T) {
	p := newPair(t, xfrm.Config{Events: 8})
	ctx := context.Background()
	var ps []spd.Policy
	for i := range 200 {
		ps = append(ps, spd.Policy{Direction: spd.Out, Selector: spd.Selector{Local: spd.FromPrefix(p.a.InnerNet),
			Remote: spd.FromAddr(netip.AddrFrom4([4]byte{10, 2, 0, byte(i + 2)}))}, Action: spd.ActionTrap, Priority: 5, ReqID: uint32(1000 + i),
			Protocol: spd.ProtoESP, Local: p.a.Outer, Remote: p.b.Outer})
	}
	require.NoError(t, p.pa.SetPolicies(ctx, 1, ps))
	require.Equal(t, 200, strings.Count(p.a.Run("ip", "xfrm", "policy", "list", "nosock"), "dir out"))
	c := p.a.ListenUDP(netip.AddrPortFrom(p.a.Inner, 4001))
	for i := range 200 {
		_, _ = c.WriteToUDPAddrPort([]byte("x"), netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 2, 0, byte(i + 2)}), 9))
	}
	wait[spd.OverflowEvent](t, p.pa, nil)
	require.NoError(t, p.pa.SetPolicies(ctx, 1, nil))
	require.NoError(t, p.pa.Close())
}
