//go:build linux

package pfkey_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/internal/testhost"
	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/pfkey/policy"
	"github.com/racoon3/racoon/spd"
)

// kernelPair are two sites whose kernels protect what goes between them.
type kernelPair struct {
	a, b   *lab.Site
	pa, pb *pfkey.DataPlane
	spi    spd.SPI
}

func newKernelPair(t *testing.T) *kernelPair {
	a, b := lab.NewPair(t)
	a.RouteTo(b)
	b.RouteTo(a)
	k := &kernelPair{a: a, b: b, pa: kernelPlane(t, a.Namespace), pb: kernelPlane(t, b.Namespace), spi: 0x10000}
	return k
}

// link is a Child SA between the sites.
type link struct {
	text           string
	mode           spd.Mode
	outer6, inner6 bool
	udp            bool
	comp, ah       bool
}

func (k *kernelPair) addresses(l link) (outerA, outerB, innerA, innerB netip.Addr) {
	outerA, outerB, innerA, innerB = k.a.Outer, k.b.Outer, k.a.Inner, k.b.Inner
	if l.outer6 {
		outerA, outerB = k.a.Outer6, k.b.Outer6
	}
	if l.inner6 {
		innerA, innerB = k.a.Inner6, k.b.Inner6
	}
	if l.mode == spd.ModeTransport {
		innerA, innerB = outerA, outerB
	}
	return
}

// bundles are the two directions of a link, each as seen from the site that
// sends; the receiver's view of it is its mirror.
func (k *kernelPair) bundles(t testing.TB, l link, reqID uint32) (ab, ba *spd.Bundle) {
	encr, integ := proposal(t, l.text)
	outerA, outerB, innerA, innerB := k.addresses(l)
	bundle := func(local, remote, il, ir netip.Addr) *spd.Bundle {
		k.spi += 3
		b := &spd.Bundle{ReqID: reqID, Local: netip.AddrPortFrom(local, 4500), Remote: netip.AddrPortFrom(remote, 4500), UDPEncap: l.udp,
			LocalTS: []spd.TrafficSelector{spd.FromAddr(il)}, RemoteTS: []spd.TrafficSelector{spd.FromAddr(ir)}}
		mode := l.mode
		add := func(s spd.SA) {
			s.Mode, mode = mode, spd.ModeTransport
			b.SAs = append(b.SAs, s)
		}
		if l.comp {
			add(spd.SA{Protocol: spd.ProtoIPComp, SPI: 0x1000 + k.spi&0xfff, Encryption: spd.Transform{ID: 2}})
		}
		add(spd.SA{Protocol: spd.ProtoESP, SPI: k.spi, Encryption: encr, Integrity: integ,
			EncrKey: keyOf(encr.KeymatLen(), byte(k.spi)), IntegKey: keyOf(integ.KeymatLen(), byte(k.spi+1))})
		if l.ah {
			add(spd.SA{Protocol: spd.ProtoAH, SPI: k.spi, Integrity: integ, IntegKey: keyOf(integ.KeymatLen(), 3)})
		}
		return b
	}
	return bundle(outerA, outerB, innerA, innerB), bundle(outerB, outerA, innerB, innerA)
}

func mirror(b *spd.Bundle) *spd.Bundle {
	m := b.Clone()
	m.Local, m.Remote, m.LocalTS, m.RemoteTS = b.Remote, b.Local, b.RemoteTS, b.LocalTS
	return m
}

func policiesOf(b *spd.Bundle, action spd.Action) []spd.Policy {
	out := spd.Policy{Direction: spd.Out, Action: action, Priority: 1000, ReqID: b.ReqID, Protocol: spd.ProtoESP, Mode: b.SAs[0].Mode,
		Local: b.Local.Addr(), Remote: b.Remote.Addr(), Selector: spd.Selector{Local: b.LocalTS[0], Remote: b.RemoteTS[0]}}
	in := out
	in.Direction = spd.In
	return []spd.Policy{out, in}
}

// install sets a link up on both sides and returns the SAs of a.
func (k *kernelPair) install(t testing.TB, l link, reqID uint32) (ab, ba *spd.Bundle) {
	t.Helper()
	ctx := t.Context()
	ab, ba = k.bundles(t, l, reqID)
	for _, x := range []struct {
		p       *pfkey.DataPlane
		out, in *spd.Bundle
	}{{k.pa, ab, mirror(ba)}, {k.pb, ba, mirror(ab)}} {
		require.NoError(t, x.p.InstallInbound(ctx, x.in))
		require.NoError(t, x.p.InstallOutbound(ctx, x.out))
		require.NoError(t, x.p.SetPolicies(ctx, spd.Owner(reqID), policiesOf(x.out, spd.ActionProtect)))
	}
	return ab, ba
}

func (k *kernelPair) remove(t testing.TB, ab, ba *spd.Bundle) {
	ctx := t.Context()
	for _, x := range []struct {
		p       *pfkey.DataPlane
		out, in *spd.Bundle
	}{{k.pa, ab, mirror(ba)}, {k.pb, ba, mirror(ab)}} {
		require.NoError(t, x.p.SetPolicies(ctx, spd.Owner(ab.ReqID), nil))
		for _, id := range append(x.out.IDs(spd.Out), x.in.IDs(spd.In)...) {
			_, err := x.p.Remove(ctx, id)
			require.NoError(t, err)
		}
	}
}

// pings sends n pings from a, all of which have to be answered. Each is a program
// by itself: the last of several is not waited for as long as a busy machine may
// need.
func (k *kernelPair) pings(t testing.TB, from, to netip.Addr, n, size int) {
	t.Helper()
	for range n {
		got, err := k.a.Ping(from, to, 1, size, "-W", "20")
		require.NoError(t, err)
		require.Equal(t, 1, got, "%s\n%s\n%s\n%s", state(k.a.Namespace), policies(k.a.Namespace), state(k.b.Namespace), policies(k.b.Namespace))
	}
}

// testKernelTraffic sends through Child SAs that two data planes have set up in
// two kernels.
func testKernelTraffic(t *testing.T) {
	k := newKernelPair(t)
	for _, s := range []*lab.Site{k.a, k.b} {
		for _, addr := range []netip.Addr{s.Outer, s.Outer6} {
			p := k.pa
			if s == k.b {
				p = k.pb
			}
			require.NoError(t, p.PrepareSocket(s.ListenUDP(netip.AddrPortFrom(addr, 4500)), true))
		}
	}
	for i, l := range []link{
		{text: "aes128-sha1", mode: spd.ModeTunnel},
		{text: "aes256-sha384", mode: spd.ModeTunnel, outer6: true, inner6: true},
		{text: "aes192-sha512", mode: spd.ModeTransport},
		{text: "3des-md5", mode: spd.ModeTransport, outer6: true, inner6: true},
		{text: "aes128ctr-sha1", mode: spd.ModeTunnel, udp: true},
		{text: "aes128-aesxcbc", mode: spd.ModeTransport, udp: true},
		{text: "null-sha1", mode: spd.ModeTunnel, udp: true, outer6: true, inner6: true},
		{text: "aes128-sha1", mode: spd.ModeTunnel, inner6: true},
		{text: "aes128-sha1", mode: spd.ModeTunnel, outer6: true},
		{text: "aes128-sha1", mode: spd.ModeTransport, ah: true},
		{text: "aes128-sha1", mode: spd.ModeTunnel, ah: true, comp: true},
	} {
		reqID := uint32(100 + i*20000)
		ab, ba := k.install(t, l, reqID)
		_, _, innerA, innerB := k.addresses(l)
		ok := t.Run(fmt.Sprintf("%+v", l), func(t *testing.T) {
			k.pings(t, innerA, innerB, 3, 500)
			c, err := k.pa.Query(t.Context(), ab.ID(spd.Out, len(ab.SAs)-1))
			require.NoError(t, err)
			require.GreaterOrEqual(t, c.Packets, uint64(3))
			require.GreaterOrEqual(t, c.Bytes, uint64(3*100))
			require.WithinDuration(t, time.Now(), c.LastUsed, 2*testhost.Patience)
			in := mirror(ab)
			c, err = k.pb.Query(t.Context(), in.ID(spd.In, len(ab.SAs)-1))
			require.NoError(t, err)
			require.GreaterOrEqual(t, c.Packets, uint64(3))
		})
		k.remove(t, ab, ba)
		require.True(t, ok)
		require.Empty(t, state(k.a.Namespace))
		require.NotContains(t, policies(k.a.Namespace), "tmpl")
	}
	require.NoError(t, k.pa.Close())
}

// testKernelAcquire: a packet asks for an SA and goes through it; one whose SA
// is refused does not leave in clear.
func testKernelAcquire(t *testing.T) {
	k := newKernelPair(t)
	// After a refusal the kernel asks again when this time is over.
	k.a.Sysctl("core/xfrm_acq_expires=4")
	ctx := t.Context()
	for _, mode := range []spd.Mode{spd.ModeTransport, spd.ModeTunnel} {
		l := link{text: "aes128-sha1", mode: mode}
		ab, ba := k.bundles(t, l, 50+uint32(mode))
		traps := policiesOf(ab, spd.ActionTrap)[:1]
		require.NoError(t, k.pa.SetPolicies(ctx, 999, traps))
		_, _, innerA, innerB := k.addresses(l)

		n, err := k.a.Ping(innerA, innerB, 1, 100)
		require.False(t, err == nil && n > 0, "in clear")
		asked := func() spd.AcquireEvent {
			for { // the kernel may have asked once more for the mode before
				if ev := waitFor[spd.AcquireEvent](t, k.pa); ev.Policy == traps[0] {
					return ev
				}
			}
		}
		ev := asked()
		if mode == spd.ModeTransport {
			require.Equal(t, spd.FromAddr(innerB), ev.Packet.Remote)
		}
		require.NoError(t, k.pa.AcquireDone(ctx, ev.ID, errors.New("nobody is there")))

		// A later packet waits until the SA is there.
		answered := make(chan int)
		go func() {
			n := 0
			for end := time.Now().Add(2 * testhost.Patience); n == 0 && time.Now().Before(end); {
				n, _ = k.a.Ping(innerA, innerB, 1, 100)
			}
			answered <- n
		}()
		ev = asked()
		spi, err := k.pa.AllocSPI(ctx, spd.SPIRequest{Protocol: spd.ProtoESP, Local: ab.Local.Addr(), Remote: ab.Remote.Addr(), ReqID: ab.ReqID, Acquire: ev.ID})
		require.NoError(t, err)
		ba.SAs[0].SPI = spi
		require.NoError(t, k.pb.InstallInbound(ctx, mirror(ab)))
		require.NoError(t, k.pb.InstallOutbound(ctx, ba))
		require.NoError(t, k.pb.SetPolicies(ctx, 1, policiesOf(ba, spd.ActionProtect)))
		require.NoError(t, k.pa.InstallInbound(ctx, mirror(ba)))
		require.NoError(t, k.pa.InstallOutbound(ctx, ab))
		require.NoError(t, k.pa.SetPolicies(ctx, 1, policiesOf(ab, spd.ActionProtect)))
		require.NoError(t, k.pa.AcquireDone(ctx, ev.ID, nil))
		require.NotZero(t, <-answered)
		require.NoError(t, k.pa.SetPolicies(ctx, 999, nil))
		ab.ReqID, ba.ReqID = 1, 1
		k.remove(t, ab, ba)
	}
}

// testKernelHolds: with HoldPackets a packet waits for its SA and is not lost. The
// kernel asks again after AcquireExpires.
func testKernelHolds(t *testing.T) {
	a, b := lab.NewPair(t)
	a.RouteTo(b)
	b.RouteTo(a)
	a.Sysctl("core/xfrm_larval_drop=1")
	var pa *pfkey.DataPlane
	var err error
	client := kernelClient(t, a.Namespace, pfkey.ClientConfig{})
	a.Do(func() {
		pa, err = pfkey.NewDataPlane(t.Context(), client, pfkey.DataPlaneConfig{AcquireExpires: 2500 * time.Millisecond, HoldPackets: true})
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = pa.Close() })
	require.Equal(t, "3\n0\n", a.Run("cat", "/proc/sys/net/core/xfrm_acq_expires", "/proc/sys/net/core/xfrm_larval_drop"))
	k := &kernelPair{a: a, b: b, pa: pa, pb: kernelPlane(t, b.Namespace), spi: 0x10000}
	ctx := t.Context()
	ab, ba := k.bundles(t, link{text: "aes128-sha1", mode: spd.ModeTunnel}, 60)
	require.NoError(t, pa.SetPolicies(ctx, 999, policiesOf(ab, spd.ActionTrap)[:1]))

	answered := make(chan int)
	go func() {
		n, _ := a.Ping(a.Inner, b.Inner, 1, 100, "-W", "50")
		answered <- n
	}()
	first := waitFor[spd.AcquireEvent](t, pa) // nobody answers that one
	ev := waitFor[spd.AcquireEvent](t, pa)
	require.NotEqual(t, first.ID, ev.ID)
	require.NoError(t, k.pb.InstallInbound(ctx, mirror(ab)))
	require.NoError(t, k.pb.InstallOutbound(ctx, ba))
	require.NoError(t, k.pb.SetPolicies(ctx, 1, policiesOf(ba, spd.ActionProtect)))
	require.NoError(t, pa.InstallInbound(ctx, mirror(ba)))
	require.NoError(t, pa.InstallOutbound(ctx, ab))
	require.NoError(t, pa.SetPolicies(ctx, 1, policiesOf(ab, spd.ActionProtect)))
	require.NoError(t, pa.AcquireDone(ctx, ev.ID, nil))
	require.Equal(t, 1, <-answered, "the one packet that was sent")
}

// waitFor returns the next event of a kind.
func waitFor[T spd.Event](t testing.TB, p *pfkey.DataPlane) T {
	t.Helper()
	end := time.After(testhost.Patience)
	for {
		select {
		case ev := <-p.Events():
			if x, ok := ev.(T); ok {
				return x
			}
			t.Logf("another event: %#v", ev)
		case <-end:
			var none T
			t.Fatalf("no %T", none)
		}
	}
}

// testKernelExpire: soft and hard limits by volume and by time.
func testKernelExpire(t *testing.T) {
	k := newKernelPair(t)
	ctx := t.Context()
	l := link{text: "aes128-sha1", mode: spd.ModeTunnel}
	ab, ba := k.bundles(t, l, 5)
	ab.Lifetime = spd.Lifetime{SoftBytes: 1000, HardBytes: 4000}
	in := mirror(ba)
	in.Lifetime = spd.Lifetime{HardTime: 6 * time.Second}
	require.NoError(t, k.pa.InstallInbound(ctx, in))
	require.NoError(t, k.pa.InstallOutbound(ctx, ab))
	require.NoError(t, k.pa.SetPolicies(ctx, 1, policiesOf(ab, spd.ActionProtect)))
	_, _, innerA, innerB := k.addresses(l)
	_, _ = k.a.Ping(innerA, innerB, 2, 700)
	_, _ = k.a.Ping(innerA, innerB, 5, 1000)
	type kind struct {
		id   spd.SAID
		hard bool
	}
	seen := map[kind]spd.Counters{}
	for len(seen) < 3 {
		ev := waitFor[spd.ExpireEvent](t, k.pa)
		seen[kind{ev.ID, ev.Hard}] = ev.Counters
	}
	require.GreaterOrEqual(t, seen[kind{ab.ID(spd.Out, 0), false}].Bytes, uint64(1000))
	require.Contains(t, seen, kind{ab.ID(spd.Out, 0), true})
	require.Contains(t, seen, kind{in.ID(spd.In, 0), true})
	_, err := k.pa.Remove(ctx, ab.ID(spd.Out, 0))
	require.ErrorIs(t, err, spd.ErrNotFound)
}

// testKernelMove: the peer gets another address, and SAs and policies follow
// without new keys and with their sequence numbers (X_MIGRATE).
func testKernelMove(t *testing.T) {
	k := newKernelPair(t)
	ctx := t.Context()
	l := link{text: "aes128-sha1", mode: spd.ModeTunnel}
	ab, ba := k.install(t, l, 5)
	_, _, innerA, innerB := k.addresses(l)
	k.a.MustPing(innerA, innerB)
	moved := netip.MustParseAddr("10.99.0.77")
	k.b.IP("addr add 10.99.0.77/24 dev out0")
	seen := spd.Endpoints{Local: ab.Local, Remote: netip.AddrPortFrom(moved, 4500)}
	own := spd.Endpoints{Local: seen.Remote, Remote: ab.Local}
	move := func(p *pfkey.DataPlane, id spd.SAID, to spd.Endpoints) {
		t.Helper()
		err := p.MovePeer(ctx, id, to)
		if errors.Is(err, pfkey.ENOPROTOOPT) {
			t.Skip("this kernel has no X_MIGRATE")
		}
		require.NoError(t, err, "%s\n%s", state(k.a.Namespace), policies(k.a.Namespace))
	}
	ina, inb := mirror(ba), mirror(ab)
	move(k.pa, ab.ID(spd.Out, 0), seen)
	move(k.pa, ina.ID(spd.In, 0), seen)
	move(k.pb, ba.ID(spd.Out, 0), own)
	move(k.pb, inb.ID(spd.In, 0), own)
	s := state(k.a.Namespace) + policies(k.a.Namespace)
	require.NotContains(t, s, k.b.Outer.String()+" ", "nothing of the old address is left")
	require.Contains(t, s, "src 10.99.0.77 dst 10.99.0.1")
	k.b.IP("addr del 10.99.0.2/24 dev out0")
	k.b.IP("addr add 10.99.0.77/24 dev out0 noprefixroute", "route replace 10.99.0.0/24 dev out0 src 10.99.0.77", "route replace "+k.a.InnerNet.String()+" dev out0 src "+k.b.Inner.String())
	k.pings(t, innerA, innerB, 3, 100)
	id := ab.ID(spd.Out, 0)
	id.Dst = moved
	c, err := k.pa.Query(ctx, id)
	require.NoError(t, err)
	require.GreaterOrEqual(t, c.Packets, uint64(3))
	require.Contains(t, s, "anti-replay context: seq 0x0, oseq 0x3,", "sequence numbers went along")
	require.Contains(t, s, "anti-replay context: seq 0x3, oseq 0x0,", "and the replay window")
	require.NoError(t, k.pa.SetPolicies(ctx, 5, nil))
	_, err = k.pa.Remove(ctx, id)
	require.NoError(t, err)
}

// testKernelMapping: a NAT gives the peer another port, the kernel tells, and
// MovePeer follows.
func testKernelMapping(t *testing.T) {
	k := newKernelPair(t)
	ctx := t.Context()
	require.NoError(t, k.pa.PrepareSocket(k.a.ListenUDP(netip.AddrPortFrom(k.a.Outer, 4500)), true))
	require.NoError(t, k.pb.PrepareSocket(k.b.ListenUDP(netip.AddrPortFrom(k.b.Outer, 4500)), true))
	require.NoError(t, k.pb.PrepareSocket(k.b.ListenUDP(netip.AddrPortFrom(k.b.Outer, 4501)), true))
	l := link{text: "aes128-sha1", mode: spd.ModeTunnel, udp: true}
	ab, ba := k.install(t, l, 5)
	_, _, innerA, innerB := k.addresses(l)
	k.a.MustPing(innerA, innerB)

	// b sends from another port, and listens there.
	port := netip.AddrPortFrom(k.b.Outer, 4501)
	require.NoError(t, k.pb.MovePeer(ctx, ba.ID(spd.Out, 0), spd.Endpoints{Local: port, Remote: ba.Remote, UDPEncap: true}))
	in := mirror(ab)
	require.NoError(t, k.pb.MovePeer(ctx, in.ID(spd.In, 0), spd.Endpoints{Local: port, Remote: ba.Remote, UDPEncap: true}))
	_, _ = k.b.Ping(innerB, innerA, 1, 100)
	ev := waitFor[spd.MappingEvent](t, k.pa)
	ina := mirror(ba)
	require.Equal(t, spd.MappingEvent{ID: ina.ID(spd.In, 0), Old: netip.AddrPortFrom(k.b.Outer, 4500), New: port}, ev)
	to := spd.Endpoints{Local: ab.Local, Remote: port, UDPEncap: true}
	require.NoError(t, k.pa.MovePeer(ctx, ab.ID(spd.Out, 0), to))
	require.NoError(t, k.pa.MovePeer(ctx, ina.ID(spd.In, 0), to))
	k.a.MustPing(innerA, innerB)
}

// testKernelBypass: IKE's sockets are not held up by policies that discard
// everything.
func testKernelBypass(t *testing.T) {
	k := newKernelPair(t)
	ctx := t.Context()
	for _, x := range []struct {
		any  spd.TrafficSelector
		a, b netip.Addr
	}{{spd.AnyIPv4, k.a.Outer, k.b.Outer}, {spd.AnyIPv6, k.a.Outer6, k.b.Outer6}} {
		pol := spd.Policy{Direction: spd.Out, Action: spd.ActionDiscard, Selector: spd.Selector{Local: x.any.WithProtocol(17, spd.AnyPort), Remote: x.any.WithProtocol(17, spd.AnyPort)}}
		in := pol
		in.Direction = spd.In
		require.NoError(t, k.pa.SetPolicies(ctx, 1, []spd.Policy{pol, in}))
		a, b := k.a.ListenUDP(netip.AddrPortFrom(x.a, 500)), k.b.ListenUDP(netip.AddrPortFrom(x.b, 500))
		exchange := func(patience time.Duration) error {
			if _, err := a.WriteToUDPAddrPort([]byte("ping"), netip.AddrPortFrom(x.b, 500)); err != nil {
				return err
			}
			buf := make([]byte, 10)
			for _, c := range []*net.UDPConn{b, a} {
				if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
					return err
				}
				_, from, err := c.ReadFromUDPAddrPort(buf)
				if err != nil {
					return err
				}
				if c == b {
					if _, err := b.WriteToUDPAddrPort([]byte("pong"), from); err != nil {
						return err
					}
				}
			}
			return nil
		}
		require.Error(t, exchange(300*time.Millisecond), "the policies discard it")
		require.NoError(t, k.pa.PrepareSocket(a, false))
		require.NoError(t, exchange(testhost.Patience))
	}
}

// testKernelSocketPolicy: a socket with a policy of its own asks for an SA.
func testKernelSocketPolicy(t *testing.T) {
	k := newKernelPair(t)
	for text, to := range map[string]netip.Addr{
		"out ipsec esp/transport//require": k.b.Outer, "out ipsec ah/transport//require": k.b.Outer6,
	} {
		p, err := policy.Parse(text)
		require.NoError(t, err)
		local := k.a.Outer
		if to.Is6() {
			local = k.a.Outer6
		}
		c := k.a.ListenUDP(netip.AddrPortFrom(local, 7777))
		require.NoError(t, pfkey.Linux.SetSocketPolicy(c, to.Is6(), p))
		// Without an SA the kernel answers EAGAIN, which Go takes for a full socket.
		sent := make(chan struct{})
		go func() {
			_, _ = c.WriteToUDPAddrPort([]byte("x"), netip.AddrPortFrom(to, 7777))
			close(sent)
		}()
		ev := waitFor[spd.AcquireEvent](t, k.pa)
		require.NoError(t, c.SetWriteDeadline(time.Unix(1, 0)))
		<-sent
		require.Equal(t, to.Is6(), ev.Policy.Protocol == spd.ProtoAH, "%+v", ev)
	}
}

// testC21_KernelLeak: after an SA has gone, nothing leaves in clear, and what
// comes in clear is not taken.
func testC21_KernelLeak(t *testing.T) {
	k := newKernelPair(t)
	ctx := t.Context()
	l := link{text: "aes128-sha1", mode: spd.ModeTunnel}
	ab, _ := k.install(t, l, 5)
	_, _, innerA, innerB := k.addresses(l)
	k.a.MustPing(innerA, innerB)
	_, err := k.pa.Remove(ctx, ab.ID(spd.Out, 0))
	require.NoError(t, err)
	n, err := k.a.Ping(innerA, innerB, 2, 100)
	require.False(t, err == nil && n > 0)
	// In clear to b: dropped there.
	require.NoError(t, k.pa.SetPolicies(ctx, 5, nil))
	n, err = k.a.Ping(innerA, innerB, 2, 100)
	require.False(t, err == nil && n > 0)
}

// testKernelScale: many SAs and policies, and a dump of all. There are 5,000 of
// each, with RACOON_SCALE set 50,000, which takes minutes.
func testKernelScale(t *testing.T) {
	n := 5000
	if os.Getenv("RACOON_SCALE") != "" {
		n = 50000
	}
	ns := lab.NewNamespace(t, "scale")
	c := kernelClient(t, ns, pfkey.ClientConfig{Timeout: time.Minute})
	ctx := context.Background()
	each := func(what string, f func(peer netip.Addr, i int) error) {
		begin := time.Now()
		for i := range n {
			if err := f(netip.AddrFrom4([4]byte{10, 100, byte(i >> 8), byte(i)}), i); err != nil {
				t.Fatalf("%s %d: %v", what, i, err)
			}
		}
		t.Logf("%s: %d in %v, %.0f a second", what, n, time.Since(begin).Round(time.Millisecond), float64(n)/time.Since(begin).Seconds())
	}
	dump := func(what string, count func() int) {
		begin := time.Now()
		require.Equal(t, n, count())
		t.Logf("%s: %d in %v", what, n, time.Since(begin).Round(time.Millisecond))
	}
	sa := func(peer netip.Addr, i int) *pfkey.SAEntry {
		e := cbcEntry(t, c.Dialect(), spd.SPI(0x10000+i))
		e.Dst, e.ReqID = peer, uint32(i%pfkey.MaxReqID+1)
		return e
	}
	pol := func(peer netip.Addr, i int) *pfkey.PolicyEntry {
		return &pfkey.PolicyEntry{Src: netip.PrefixFrom(addrA, 32), Dst: netip.PrefixFrom(peer, 32), Policy: pfkey.Policy{Type: pfkey.PolicyIPsec, Dir: pfkey.DirOut,
			Priority: 1000, Requests: []pfkey.Request{{Proto: pfkey.IPProtoESP, Mode: pfkey.ModeTransport, Level: pfkey.LevelUnique, ReqID: uint32(i%pfkey.MaxReqID + 1)}}}}
	}
	each("ADD", func(peer netip.Addr, i int) error { return c.Add(ctx, sa(peer, i)) })
	each("GET", func(peer netip.Addr, i int) error { _, err := c.Get(ctx, sa(peer, i).Key()); return err })
	dump("DUMP", func() (seen int) {
		for _, err := range c.Dump(ctx, pfkey.SATypeESP) {
			require.NoError(t, err)
			seen++
		}
		return seen
	})
	each("DELETE", func(peer netip.Addr, i int) error { return c.Delete(ctx, sa(peer, i).Key()) })
	each("SPDADD", func(peer netip.Addr, i int) error { _, err := c.SPDAdd(ctx, pol(peer, i)); return err })
	dump("SPDDUMP", func() (seen int) {
		for _, err := range c.SPDDump(ctx) {
			require.NoError(t, err)
			seen++
		}
		return seen
	})
	each("SPDDELETE", func(peer netip.Addr, i int) error { return c.SPDDelete(ctx, pol(peer, i)) })
}
