package esp

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd"
)

// algorithms is everything that Capabilities offers, in combinations.
func algorithms(t testing.TB) map[string]variant {
	all := map[string]variant{}
	c := New(Config{}).Capabilities()
	for _, e := range c.Algorithms {
		if e.Type != spd.TransformENCR {
			continue
		}
		switch e.ID {
		case spd.EncrAESCBC, spd.EncrAESCTR, spd.EncrCamelliaCBC, spd.Encr3DES, spd.EncrNULL:
			for _, i := range c.Algorithms {
				if i.Type == spd.TransformINTEG {
					all[fmt.Sprintf("%d-%d+%d", e.ID, e.KeyLen, i.ID)] = algorithm(e.Transform, i.Transform)
				}
			}
		default:
			all[fmt.Sprintf("%d-%d", e.ID, e.KeyLen)] = algorithm(e.Transform, spd.Transform{})
		}
	}
	require.Greater(t, len(all), 50)
	return all
}

// TestTunnel carries packets both ways through a tunnel: every algorithm, inner
// and outer IPv4 and IPv6, 32 and 64 bit sequence numbers, in UDP and not.
func TestTunnel(t *testing.T) {
	for name, alg := range algorithms(t) {
		t.Run(name, func(t *testing.T) {
			for i := range 8 {
				v := []variant{alg}
				if i&1 != 0 {
					v = append(v, extendedESN)
				}
				if i&2 != 0 {
					v = append(v, inUDP)
				}
				a := newGateway(t, Config{}, "192.0.2.1:4500", "10.1.0.0/16", "2001:db8:1::/48")
				b := newGateway(t, Config{}, "198.51.100.2:4500", "10.2.0.0/16", "2001:db8:2::/48")
				if i&4 != 0 {
					a.outer, b.outer = netip.MustParseAddrPort("[2001:db8::1]:4500"), netip.MustParseAddrPort("[2001:db8::2]:4500")
				}
				p := newPairBetween(t, a, b, v...)
				for n := range 40 {
					for _, packet := range [][]byte{
						udp("10.1.0.1:1", "10.2.0.2:2", n*17), udp("[2001:db8:1::1]:1", "[2001:db8:2::2]:2", n*17),
					} {
						ds := a.send(packet)
						require.Len(t, ds, 1)
						require.Equal(t, i&2 != 0, ds[0].UDPEncap)
						require.Equal(t, a.outer, ds[0].Local)
						require.Equal(t, b.outer, ds[0].Remote)
						require.NotContains(t, string(ds[0].Buf[:Headroom]), string(packet[:20]))
						require.Equal(t, [][]byte{packet}, b.receive(ds...))
					}
				}
				back := udp("10.2.0.2:2", "10.1.0.1:1", 100)
				require.Equal(t, [][]byte{back}, a.receive(b.send(back)...))
				c := b.counters(spd.In, p.ab.SAs[0].SPI)
				require.EqualValues(t, 80, c.Packets)
				require.Equal(t, c, a.counters(spd.Out, p.ab.SAs[0].SPI))
				require.Equal(t, a.now, c.LastUsed.UTC())
			}
		})
	}
}

// TestInnerMustBeWhatItSays: next header and IP version agree, and the packet
// is whole.
func TestInnerMustBeWhatItSays(t *testing.T) {
	p := newPair(t)
	out := p.a.outbound[p.ab.SAs[0].SPI][0].sa
	good := udp("10.1.0.1:1", "10.2.0.2:2", 40)
	long := bytes.Clone(good)
	long[3]++
	short := bytes.Clone(good)
	short[0] = 0x44
	for i, v := range []struct {
		next  uint8
		inner []byte
	}{
		{protoIPv6, good}, {protoUDP, good}, {protoIPv4, long}, {protoIPv4, short}, {protoIPv4, nil},
		{protoIPv4, good[:19]}, {protoIPv6, udp("[2001:db8:1::1]:1", "[2001:db8:2::2]:2", 0)[:39]}, {protoIPv4, make([]byte, 100)},
	} {
		buf := make([]byte, 300)
		copy(buf[40:], v.inner)
		start, end, err := out.Seal(buf, 40, 40+len(v.inner), v.next)
		require.NoError(t, err)
		require.Empty(t, p.b.receive(Datagram{Packet: Packet{buf, start, end}}))
		require.EqualValues(t, i+1, p.b.counters(spd.In, p.ab.SAs[0].SPI).OtherDrops, i)
	}
}

// TestDummyAndTFC: dummy packets vanish (RFC 4303 2.6), and padding for
// traffic flow confidentiality hides the size and vanishes too (2.7).
func TestDummyAndTFC(t *testing.T) {
	p := newPair(t, options(func(o *spd.Options) { o.TFCPadding = 1000 }))
	size := 0
	for _, n := range []int{0, 1, 500, 972} {
		packet := udp("10.1.0.1:1", "10.2.0.2:2", n)
		ds := p.a.send(packet)
		if size == 0 {
			size = ds[0].Len()
		}
		require.Equal(t, size, ds[0].Len())
		require.Equal(t, [][]byte{packet}, p.b.receive(ds...))
	}

	// What the buffer held before does not travel as padding.
	room := roomy(udp("10.1.0.1:1", "10.2.0.2:2", 8))
	room.Buf = append(room.Buf, bytes.Repeat([]byte("secret"), 300)...)
	copy(room.Buf[room.End:], bytes.Repeat([]byte("secret"), 300))
	p.a.batch.Reset()
	p.a.Outbound(&p.a.batch, room)
	d := p.a.batch.Datagrams[0]
	o, err := p.b.in.get(uint32(p.ab.SAs[0].SPI)).sa.Open(d.Bytes())
	require.NoError(t, err)
	require.Equal(t, make([]byte, 1000-36), d.Bytes()[o.Start+36:o.End])

	out := p.a.outbound[p.ab.SAs[0].SPI][0].sa
	buf := make([]byte, 100)
	start, end, err := out.Seal(buf, 40, 60, protoDummy)
	require.NoError(t, err)
	before := p.b.counters(spd.In, p.ab.SAs[0].SPI)
	require.Empty(t, p.b.receive(Datagram{Packet: Packet{buf, start, end}}))
	after := p.b.counters(spd.In, p.ab.SAs[0].SPI)
	require.Equal(t, before.Packets+1, after.Packets, "it shows that the peer lives")
	require.Equal(t, before.Bytes, after.Bytes)
	require.Zero(t, after.OtherDrops)
}
