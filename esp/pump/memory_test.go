package pump_test

import (
	"encoding/binary"
	"net/netip"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/racoon3/racoon/esp"
	"github.com/racoon3/racoon/esp/pump"
	"github.com/racoon3/racoon/spd"
)

// memoryTUN is a TUN device whose other side is a test.
type memoryTUN struct {
	toPump   chan []byte
	fromPump chan []byte
	broken   chan error // errors for Read
	events   chan tun.Event
	closed   chan struct{}
	once     sync.Once
	batch    int
}

func newMemoryTUN(batch int) *memoryTUN {
	d := &memoryTUN{
		toPump: make(chan []byte, 1024), fromPump: make(chan []byte, 1024), broken: make(chan error),
		events: make(chan tun.Event), closed: make(chan struct{}), batch: batch,
	}
	return d
}

func (d *memoryTUN) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	select {
	case p := <-d.toPump:
		n := 0
		for {
			sizes[n] = copy(bufs[n][offset:], p)
			if n++; n == len(bufs) {
				return n, nil
			}
			select {
			case p = <-d.toPump:
			default:
				return n, nil
			}
		}
	case err := <-d.broken:
		return 0, err
	case <-d.closed:
		return 0, os.ErrClosed
	}
}

func (d *memoryTUN) Write(bufs [][]byte, offset int) (int, error) {
	for i, b := range bufs {
		for j := range offset {
			b[j] = 0xee // as a device does with a header of its own
		}
		select {
		case d.fromPump <- append([]byte(nil), b[offset:]...):
		case <-d.closed:
			return i, os.ErrClosed
		}
	}
	return len(bufs), nil
}

func (d *memoryTUN) File() *os.File           { return nil }
func (d *memoryTUN) MTU() (int, error)        { return 1420, nil }
func (d *memoryTUN) Name() (string, error)    { return "memory", nil }
func (d *memoryTUN) Events() <-chan tun.Event { return d.events }
func (d *memoryTUN) BatchSize() int           { return d.batch }

func (d *memoryTUN) Close() error {
	d.once.Do(func() { close(d.closed); close(d.events) })
	return nil
}

// end is a gateway with a device in memory and a socket on the loopback
// interface.
type end struct {
	t      testing.TB
	dev    *memoryTUN
	engine *esp.Engine
	pump   *pump.Pump
	udp    *pump.UDPConn
	net    spd.TrafficSelector
}

func newEnd(t testing.TB, network string, cfg esp.Config, parallel int) *end {
	e := &end{t: t, dev: newMemoryTUN(8), engine: esp.New(cfg), net: spd.FromPrefix(netip.MustParsePrefix(network))}
	var err error
	e.udp, err = pump.ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"))
	require.NoError(t, err)
	e.pump, err = pump.New(pump.Config{Engine: e.engine, TUN: e.dev, Parallel: parallel})
	require.NoError(t, err)
	e.pump.SetWriter(e.udp)
	served := make(chan error, 1)
	go func() { served <- e.udp.Serve(e.pump) }()
	t.Cleanup(func() {
		require.NoError(t, e.udp.Close())
		require.NoError(t, <-served)
		require.NoError(t, e.pump.Close())
		require.NoError(t, e.engine.Close())
	})
	return e
}

// newEnds returns two gateways that have policies for each other, and no SAs.
func newEnds(t testing.TB, cfg esp.Config) (a, b *end) { return newParallelEnds(t, cfg, 0) }

func newParallelEnds(t testing.TB, cfg esp.Config, parallel int) (a, b *end) {
	a, b = newEnd(t, "10.1.0.0/16", cfg, parallel), newEnd(t, "10.2.0.0/16", cfg, parallel)
	for _, e := range []*end{a, b} {
		peer := a
		if e == a {
			peer = b
		}
		var policies []spd.Policy
		for _, d := range []spd.Direction{spd.In, spd.Out} {
			policies = append(policies, spd.Policy{Direction: d, Selector: spd.Selector{Local: e.net, Remote: peer.net}, Action: spd.ActionProtect, ReqID: 1})
		}
		require.NoError(t, e.engine.SetPolicies(t.Context(), 1, policies))
	}
	return a, b
}

// install makes an SA from one gateway to the other.
func install(t testing.TB, from, to *end, spi spd.SPI) {
	out, in := bundles(from, to, spi)
	require.NoError(t, to.engine.InstallInbound(t.Context(), &in))
	require.NoError(t, from.engine.InstallOutbound(t.Context(), &out))
}

func bundles(from, to *end, spi spd.SPI) (out, in spd.Bundle) {
	out = spd.Bundle{
		SAs: []spd.SA{{
			Protocol: spd.ProtoESP, SPI: spi, EncrKey: make([]byte, 20),
			Encryption: spd.Transform{Type: spd.TransformENCR, ID: spd.EncrAESGCM16, KeyLen: 128},
		}},
		ReqID: 1, Local: from.udp.LocalAddr(), Remote: to.udp.LocalAddr(), UDPEncap: true,
		LocalTS: []spd.TrafficSelector{from.net}, RemoteTS: []spd.TrafficSelector{to.net},
	}
	in = out
	in.Local, in.Remote, in.LocalTS, in.RemoteTS = out.Remote, out.Local, out.RemoteTS, out.LocalTS
	return out, in
}

// udpPacket is a UDP packet without checksum that holds a number.
func udpPacket(src, dst string, size int, number uint32) []byte {
	s, d := netip.MustParseAddr(src).As4(), netip.MustParseAddr(dst).As4()
	b := make([]byte, size)
	b[0], b[8], b[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(b[2:], uint16(size))
	copy(b[12:], s[:])
	copy(b[16:], d[:])
	binary.BigEndian.PutUint16(b[24:], uint16(size-20))
	binary.BigEndian.PutUint32(b[28:], number)
	return b
}
