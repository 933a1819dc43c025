package netstack_test

import (
	"crypto/rand"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/esp"
	"github.com/racoon3/racoon/esp/netstack"
	"github.com/racoon3/racoon/spd"
)

var (
	addr1, addr2   = netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.2.0.1")
	addr16, addr26 = netip.MustParseAddr("2001:db8:1::1"), netip.MustParseAddr("2001:db8:2::1")
)

// pair is two hosts in the inner networks of two gateways, with a Child SA
// between these.
type pair struct {
	t    testing.TB
	a, b *host
	gen  spd.SPI
}

type host struct {
	*netstack.Stack
	engine *esp.Engine
	outer  netip.AddrPort
	nets   []spd.TrafficSelector
	wire   *wire
}

// wire carries ESP packets to a host. Who sends waits when it is full.
type wire struct {
	to   *host
	lose atomic.Pointer[func(packet []byte) bool]
	ch   chan flight
	free sync.Pool
	done chan struct{}
}

type flight struct {
	local, remote netip.AddrPort
	tos           byte
	packets       [][]byte
	buf           *[]byte
}

func (w *wire) WriteESP(local, remote netip.AddrPort, tos byte, packets [][]byte) (int, error) {
	buf, _ := w.free.Get().(*[]byte)
	if buf == nil {
		buf = new(make([]byte, 0, 256<<10))
	}
	*buf = (*buf)[:0]
	f := flight{remote, local, tos, make([][]byte, 0, len(packets)), buf}
	lose := w.lose.Load()
	for _, p := range packets {
		if lose != nil && (*lose)(p) {
			continue
		}
		n := len(*buf)
		*buf = append(*buf, p...)
		f.packets = append(f.packets, (*buf)[n:len(*buf):len(*buf)])
	}
	select {
	case w.ch <- f:
	case <-w.done:
	}
	return len(packets), nil
}

func (w *wire) run() {
	for {
		select {
		case f := <-w.ch:
			w.to.HandleESP(f.local, f.remote, f.tos, f.packets)
			w.free.Put(f.buf)
		case <-w.done:
			return
		}
	}
}

type options struct {
	mtu    int
	bundle func(*spd.Bundle)
	engine esp.Config
}

func newPair(t testing.TB, o options) *pair {
	p := &pair{t: t}
	p.a = p.newHost(o, "192.0.2.1:4500", addr1, addr16)
	p.b = p.newHost(o, "198.51.100.2:4500", addr2, addr26)
	p.a.wire, p.b.wire = p.join(p.b), p.join(p.a)
	p.a.SetWriter(p.a.wire)
	p.b.SetWriter(p.b.wire)
	p.rekey(o.bundle)
	for _, h := range []*host{p.a, p.b} {
		other := p.other(h)
		var policies []spd.Policy
		for i, l := range h.nets {
			for _, d := range []spd.Direction{spd.In, spd.Out} {
				policies = append(policies, spd.Policy{
					Direction: d, Selector: spd.Selector{Local: l, Remote: other.nets[i]}, Action: spd.ActionProtect, ReqID: 1,
				})
			}
		}
		require.NoError(t, h.engine.SetPolicies(t.Context(), 1, policies))
	}
	return p
}

func (p *pair) newHost(o options, outer string, addrs ...netip.Addr) *host {
	h := &host{engine: esp.New(o.engine), outer: netip.MustParseAddrPort(outer)}
	for _, a := range addrs {
		h.nets = append(h.nets, spd.FromPrefix(netip.PrefixFrom(a, a.BitLen()/2).Masked()))
	}
	s, err := netstack.New(netstack.Config{Engine: h.engine, Addresses: addrs, MTU: o.mtu})
	require.NoError(p.t, err)
	h.Stack = s
	p.t.Cleanup(func() {
		require.NoError(p.t, h.Close())
		require.NoError(p.t, h.engine.Close())
	})
	return h
}

func (p *pair) join(to *host) *wire {
	w := &wire{to: to, ch: make(chan flight, 8), done: make(chan struct{})}
	ended := make(chan struct{})
	go func() { w.run(); close(ended) }()
	p.t.Cleanup(func() { close(w.done); <-ended })
	return w
}

func (p *pair) other(h *host) *host {
	if h == p.a {
		return p.b
	}
	return p.a
}

// rekey installs new SAs both ways. The old ones stay for packets on their way.
func (p *pair) rekey(change func(*spd.Bundle)) {
	ctx := p.t.Context()
	p.gen++
	for _, from := range []*host{p.a, p.b} {
		to := p.other(from)
		out, in := bundles(from, to, from.spi(p, p.gen), change)
		require.NoError(p.t, to.engine.InstallInbound(ctx, &in))
		require.NoError(p.t, from.engine.InstallOutbound(ctx, &out))
	}
}

func bundles(from, to *host, spi spd.SPI, change func(*spd.Bundle)) (out, in spd.Bundle) {
	out = spd.Bundle{
		SAs: []spd.SA{{
			Protocol: spd.ProtoESP, SPI: spi,
			Encryption: spd.Transform{Type: spd.TransformENCR, ID: spd.EncrAESGCM16, KeyLen: 128},
			EncrKey:    make([]byte, 20),
		}},
		ReqID: 1, Local: from.outer, Remote: to.outer, UDPEncap: true, LocalTS: from.nets, RemoteTS: to.nets,
	}
	rand.Read(out.SAs[0].EncrKey)
	if change != nil {
		change(&out)
	}
	in = out
	in.Local, in.Remote, in.LocalTS, in.RemoteTS = out.Remote, out.Local, out.RemoteTS, out.LocalTS
	return out, in
}

func (h *host) spi(p *pair, gen spd.SPI) spd.SPI {
	if h == p.a {
		return 0x1000 + gen
	}
	return 0x2000 + gen
}

func (h *host) counters(t testing.TB, d spd.Direction, spi spd.SPI) spd.Counters {
	c, err := h.engine.Query(t.Context(), spd.SAID{Direction: d, Protocol: spd.ProtoESP, SPI: spi})
	require.NoError(t, err)
	return c
}
