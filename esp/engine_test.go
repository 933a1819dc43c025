package esp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

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
		case spd.EncrAESCBC, spd.EncrAESCTR, spd.Encr3DES, spd.EncrNULL:
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

// TestTransport protects the traffic of two hosts themselves.
func TestTransport(t *testing.T) {
	for _, alg := range []variant{
		algorithm(encr(spd.EncrAESGCM16, 128), spd.Transform{}),
		algorithm(encr(spd.EncrAESCBC, 256), integ(spd.IntegHMACSHA256_128)),
		algorithm(encr(spd.EncrNULL, 0), integ(spd.IntegHMACSHA1_96)), // the least room for a header
	} {
		for _, v := range [][2]string{{"192.0.2.1", "198.51.100.2"}, {"2001:db8::1", "2001:db8::2"}} {
			x, y := netip.MustParseAddr(v[0]), netip.MustParseAddr(v[1])
			a := newGateway(t, Config{}, netip.AddrPortFrom(x, 0).String(), netip.PrefixFrom(x, x.BitLen()).String())
			b := newGateway(t, Config{}, netip.AddrPortFrom(y, 0).String(), netip.PrefixFrom(y, y.BitLen()).String())
			newPairBetween(t, a, b, alg, transport)
			for n := range 40 {
				packet := udpPacket(netip.AddrPortFrom(x, 1000), netip.AddrPortFrom(y, 53), n)
				ds := a.send(packet)
				require.Len(t, ds, 1)
				got := b.receive(ds...)
				require.Len(t, got, 1)
				requireChecksums(t, got[0])
				h := headerSize(x)
				require.Equal(t, packet[h:], got[0][h:])
				f, _ := parseFlow(got[0])
				require.Equal(t, x, f.Src)
				require.Equal(t, y, f.Dst)

				// A datagram read into a buffer without room before it works too.
				ds = a.send(packet)
				d := ds[0]
				d.Packet = Packet{Buf: bytes.Clone(d.Bytes()), End: d.Len()}
				b.batch.Reset()
				b.Inbound(&b.batch, Datagram{Packet: d.Packet, Local: b.outer, Remote: a.outer})
				require.Equal(t, got, b.packets())
			}
		}
	}
}

// TestTransportNAT: both hosts are behind NATs; the checksum that the sender
// computed with its own view of the addresses is right in the receiver's
// (RFC 3948 3.1.2).
func TestTransportNAT(t *testing.T) {
	host := func(s string) spd.TrafficSelector { return spd.FromAddr(netip.MustParseAddr(s)) }
	for _, proto := range []uint8{protoUDP, protoTCP} {
		// a is 10.0.0.5 behind 192.0.2.1; b is 172.16.0.9 behind 198.51.100.2.
		a := newGateway(t, Config{}, "10.0.0.5:4500", "10.0.0.5/32")
		b := newGateway(t, Config{}, "172.16.0.9:4500", "172.16.0.9/32")
		p := &pair{t: t, a: a, b: b}
		ab := p.bundle(a, b, 0x1001, 1, []variant{transport, inUDP})
		ab.Remote = netip.MustParseAddrPort("198.51.100.2:4500")
		ab.RemoteTS = []spd.TrafficSelector{host("198.51.100.2")}
		require.NoError(t, a.InstallOutbound(t.Context(), &ab))
		require.NoError(t, a.SetPolicies(t.Context(), 1, []spd.Policy{{Direction: spd.Out, Action: spd.ActionProtect, ReqID: reqID,
			Selector: spd.Selector{Local: host("10.0.0.5"), Remote: host("198.51.100.2")}}}))
		in := reversed(ab)
		in.Local, in.Remote = b.outer, netip.MustParseAddrPort("192.0.2.1:61000")
		in.LocalTS, in.RemoteTS = []spd.TrafficSelector{host("172.16.0.9")}, []spd.TrafficSelector{host("192.0.2.1")}
		in.OriginalRemote, in.OriginalLocal = netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("198.51.100.2")
		require.NoError(t, b.InstallInbound(t.Context(), &in))

		for n := range 300 {
			packet := udp("10.0.0.5:1000", "198.51.100.2:53", n)
			if proto == protoTCP {
				tcp := make([]byte, 20+n)
				for i := range tcp {
					tcp[i] = byte(i * n)
				}
				src, dst := netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("198.51.100.2")
				tcp[16], tcp[17] = 0, 0
				binary.BigEndian.PutUint16(tcp[16:], checksum(pseudoHeader(src, dst, len(tcp), protoTCP), tcp))
				packet = ipPacket(src, dst, protoTCP, tcp)
			}
			ds := a.send(packet)
			require.Len(t, ds, 1)
			b.batch.Reset()
			b.Inbound(&b.batch, Datagram{Packet: ds[0].Packet, Local: b.outer, Remote: in.Remote, UDPEncap: true})
			require.Len(t, b.batch.Packets, 1)
			requireChecksums(t, b.batch.Packets[0].Bytes())
		}

		// A UDP packet without checksum keeps none.
		packet := udp("10.0.0.5:1000", "198.51.100.2:53", 10)
		packet[26], packet[27] = 0, 0
		b.batch.Reset()
		b.Inbound(&b.batch, Datagram{Packet: a.send(packet)[0].Packet, Local: b.outer, Remote: in.Remote, UDPEncap: true})
		require.Len(t, b.batch.Packets, 1)
		require.Zero(t, binary.BigEndian.Uint16(b.batch.Packets[0].Bytes()[26:]))
	}
}

// TestTransportRefuses what transport mode cannot carry.
func TestTransportRefuses(t *testing.T) {
	a := newGateway(t, Config{}, "192.0.2.1:0", "192.0.2.1/32")
	b := newGateway(t, Config{}, "198.51.100.2:0", "198.51.100.2/32")
	p := newPairBetween(t, a, b, transport)
	fragment := udp("192.0.2.1:1", "198.51.100.2:2", 64)
	fragment[6] = 0x20
	require.Empty(t, a.send(fragment))
	require.EqualValues(t, 1, a.counters(spd.Out, p.ab.SAs[0].SPI).OtherDrops)
}

// TestTOS: DSCP and ECN go to the outer header, congestion marks come back
// (RFC 4301 5.1.2, RFC 6040 figures 3 and 4), DF as configured (RFC 4301 8.1).
func TestTOS(t *testing.T) {
	inner4, inner6 := udp("10.1.0.1:1", "10.2.0.2:2", 50), udp("[2001:db8:1::1]:1", "[2001:db8:2::2]:2", 50)
	p := newPair(t)
	for tos := range 256 {
		for _, packet := range [][]byte{withTOS(inner4, uint8(tos)), withTOS(inner6, uint8(tos))} {
			ds := p.a.send(packet)
			require.EqualValues(t, tos, ds[0].TOS)
			require.Equal(t, [][]byte{packet}, p.b.receive(ds...))
		}
	}
	const drop = 255
	for inner, row := range [4][4]uint8{ // outer Not-ECT, ECT(1), ECT(0), CE
		ecnNotECT: {ecnNotECT, ecnNotECT, ecnNotECT, drop},
		ecnECT1:   {ecnECT1, ecnECT1, ecnECT1, ecnCE},
		ecnECT0:   {ecnECT0, ecnECT1, ecnECT0, ecnCE},
		ecnCE:     {ecnCE, ecnCE, ecnCE, ecnCE},
	} {
		for outer, want := range row {
			for _, packet := range [][]byte{inner4, inner6} {
				ds := p.a.send(withTOS(packet, 0xb8|uint8(inner)))
				ds[0].TOS = uint8(outer)
				got := p.b.receive(ds...)
				if want == drop {
					require.Empty(t, got)
					continue
				}
				require.Equal(t, [][]byte{withTOS(packet, 0xb8|want)}, got, "inner %d outer %d", inner, outer)
			}
		}
	}

	p = newPair(t, options(func(o *spd.Options) { o.NoDSCP = true }))
	require.EqualValues(t, 2, p.a.send(withTOS(inner4, 0xba))[0].TOS)
	p = newPair(t, options(func(o *spd.Options) { o.NoECN = true }))
	ds := p.a.send(withTOS(inner4, 0xba))
	require.EqualValues(t, 0xb8, ds[0].TOS)
	ds[0].TOS = ecnCE
	require.Equal(t, [][]byte{withTOS(inner4, 0xba)}, p.b.receive(ds...))

	for mode, want := range map[spd.DFMode][3]bool{spd.DFCopy: {false, true, true}, spd.DFSet: {true, true, true}, spd.DFClear: {false, false, false}} {
		p = newPair(t, options(func(o *spd.Options) { o.CopyDF = mode }))
		for i, packet := range [][]byte{inner4, withDF(inner4), inner6} {
			require.Equal(t, want[i], p.a.send(packet)[0].DF, "mode %d packet %d", mode, i)
		}
	}
}

// TestTooBig: the sender of a packet that must not be fragmented learns the
// size that fits, and that size fits the outer MTU to the octet.
func TestTooBig(t *testing.T) {
	for _, v := range [][]variant{nil, {inUDP}, {algorithm(encr(spd.EncrAESCBC, 128), integ(spd.IntegHMACSHA256_128))}, {extendedESN, inUDP}} {
		p := newPair(t, v...)
		for _, packet := range [][]byte{withDF(udp("10.1.0.1:1", "10.2.0.2:2", 1450)), udp("[2001:db8:1::1]:1", "[2001:db8:2::2]:2", 1450)} {
			require.Empty(t, p.a.send(packet))
			require.Len(t, p.a.batch.Packets, 1)
			icmp := p.a.batch.Packets[0].Bytes()
			requireChecksums(t, icmp)
			f, ok := parseFlow(icmp)
			require.True(t, ok)
			want, _ := parseFlow(packet)
			require.Equal(t, want.Src, f.Dst, "to the sender")
			var mtu int
			if icmp[0]>>4 == 4 {
				require.Zero(t, checksum(icmp[20:]))
				require.Equal(t, []byte{3, 4}, icmp[20:22])
				mtu = int(binary.BigEndian.Uint16(icmp[26:]))
				require.Equal(t, packet[:28], icmp[28:56])
			} else {
				require.Equal(t, []byte{2, 0}, icmp[40:42])
				mtu = int(binary.BigEndian.Uint32(icmp[44:]))
				require.Equal(t, packet[:48], icmp[48:96])
				require.LessOrEqual(t, len(icmp), 1280)
			}
			head := 28
			if packet[0]>>4 == 6 {
				head = 48
			}
			remake := func(n int) []byte {
				if packet[0]>>4 == 4 {
					return withDF(udp("10.1.0.1:1", "10.2.0.2:2", n-head))
				}
				return udp("[2001:db8:1::1]:1", "[2001:db8:2::2]:2", n-head)
			}
			ds := p.a.send(remake(mtu))
			require.Len(t, ds, 1, "the size it was told passes")
			whole, ok := ds[0].WithOuterHeader()
			require.True(t, ok)
			require.LessOrEqual(t, whole.Len(), 1500)
			require.Greater(t, whole.Len(), 1500-16)
			require.Empty(t, p.a.send(remake(mtu+1)), "one more does not")
		}
		require.NotZero(t, p.a.Stats().TooBig)
	}

	// Without DF it is the outer network that fragments.
	p := newPair(t)
	big := udp("10.1.0.1:1", "10.2.0.2:2", 5000)
	ds := p.a.send(big)
	require.False(t, ds[0].DF)
	require.Equal(t, [][]byte{big}, p.b.receive(ds...))

	// No ICMP error answers an ICMP error.
	e := ipPacket(netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.2.0.2"), protoICMP, append([]byte{3, 1, 0, 0}, make([]byte, 1500)...))
	require.Empty(t, p.a.send(withDF(e)))
	require.Empty(t, p.a.batch.Packets)

	// An MTU of the SA's own, and no limit at all.
	p = newPair(t, options(func(o *spd.Options) { o.MTU = 1000 }))
	require.Empty(t, p.a.send(withDF(udp("10.1.0.1:1", "10.2.0.2:2", 1000-27))))
	require.Len(t, p.a.send(withDF(udp("10.1.0.1:1", "10.2.0.2:2", 1000-28))), 1)
	require.Len(t, p.a.send(udp("[2001:db8:1::1]:1", "[2001:db8:2::2]:2", 1280-48)), 1, "IPv6 always has 1280")
	p = newPairBetween(t, newGateway(t, Config{PathMTU: -1}, "192.0.2.1:4500", "10.1.0.0/16"), newGateway(t, Config{}, "198.51.100.2:4500", "10.2.0.0/16"))
	require.Len(t, p.a.send(withDF(udp("10.1.0.1:1", "10.2.0.2:2", 60000))), 1)
}

// TestPathMTU: a smaller path makes the tunnels over it smaller, within reason.
func TestPathMTU(t *testing.T) {
	mtu := func(p *pair) int {
		t.Helper()
		require.Empty(t, p.a.send(withDF(udp("10.1.0.1:1", "10.2.0.2:2", 9000))))
		require.Len(t, p.a.batch.Packets, 1)
		return int(binary.BigEndian.Uint16(p.a.batch.Packets[0].Bytes()[26:]))
	}
	p := newPair(t)
	was := mtu(p)
	p.a.SetPathMTU(netip.MustParseAddr("203.0.113.1"), 600)
	require.Equal(t, was, mtu(p), "another peer's")
	p.a.SetPathMTU(p.b.outer.Addr(), 1400)
	require.Equal(t, was-100, mtu(p))
	p.rekey(2)
	require.Equal(t, was-100, mtu(p), "remembered for the next SA")
	p.a.SetPathMTU(p.b.outer.Addr(), 68)
	require.Greater(t, mtu(p), 500, "not believed")
	p.a.SetPathMTU(p.b.outer.Addr(), 0)
	require.Equal(t, was, mtu(p))

	p = newPair(t, options(func(o *spd.Options) { o.MTU = 1000 }))
	p.a.SetPathMTU(p.b.outer.Addr(), 1400)
	require.Equal(t, 1000, mtu(p), "what is configured is less")
	p.a.SetPathMTU(p.b.outer.Addr(), 700)
	require.Less(t, mtu(p), 700)
	for i := range 2 * maxPaths {
		p.a.SetPathMTU(netip.AddrFrom4([4]byte{100, 64, byte(i >> 8), byte(i)}), 1000)
	}
	require.Len(t, p.a.pathMTU, maxPaths)
}

// TestFragmentBeforeEncapsulation: packets beyond the size that is configured
// for the peer are fragmented inside the tunnel.
func TestFragmentBeforeEncapsulation(t *testing.T) {
	p := newPair(t, inUDP, options(func(o *spd.Options) { o.Fragment = 552 }))
	for _, n := range []int{0, 524, 525, 552, 1000, 1100, 5000, 60000} {
		packet := udp("10.1.0.1:1", "10.2.0.2:2", n)
		ds := p.a.send(packet)
		got := p.b.receive(ds...)
		require.Len(t, got, len(ds))
		if len(packet) <= 552 {
			require.Equal(t, [][]byte{packet}, got)
			continue
		}
		data := make([]byte, 0, len(packet))
		for i, f := range got {
			require.LessOrEqual(t, len(f), 552)
			requireChecksums(t, f)
			field := binary.BigEndian.Uint16(f[6:])
			require.Equal(t, len(data), int(field&0x1fff)*8)
			require.Equal(t, i < len(got)-1, field&0x2000 != 0, "more fragments")
			require.Equal(t, packet[4:6], f[4:6], "one identification")
			data = append(data, f[20:]...)
		}
		require.Equal(t, packet[20:], data)
	}
	require.Empty(t, p.a.send(withDF(udp("10.1.0.1:1", "10.2.0.2:2", 1000))), "DF is obeyed")
	require.Len(t, p.a.batch.Packets, 1)
}

// TestBatchKeepsFewBuffers: a batch has as many buffers as it had packets in
// use at once, whatever their sizes and order.
func TestBatchKeepsFewBuffers(t *testing.T) {
	var b Batch
	for i := range 1000 {
		b.Reset()
		for j := range 1 + i%5 {
			p := b.packet([]int{100, 9000, 1400, 60000}[(i*7+j)%4], 0)
			require.GreaterOrEqual(t, len(p.Buf)-p.End, Tailroom)
			require.Equal(t, Headroom, p.Start)
		}
		seen := map[*byte]bool{}
		for _, buf := range append(slices.Clone(b.taken), b.spare...) {
			require.False(t, seen[&buf[0]], "given out twice")
			seen[&buf[0]] = true
		}
		require.LessOrEqual(t, len(seen), 5)
	}
}

// TestFragmentOptionsAndFragments: a fragment is fragmented again in place of
// its own, and only options that say so are copied (RFC 791 3.1).
func TestFragmentOptionsAndFragments(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 50)
	opts := []byte{0x83, 3, 4, 7, 4, 5, 1, 0} // loose source route (copied), record route (not), no operation, end
	h := []byte{0x47, 0, 0, 0, 1, 2, 0x20, 100, 63, protoUDP, 0, 0, 10, 1, 0, 1, 10, 2, 0, 2}
	h = append(h, opts...)
	packet := append(h, data...)
	binary.BigEndian.PutUint16(packet[2:], uint16(len(packet)))
	binary.BigEndian.PutUint16(packet[10:], checksum(packet[:28]))
	var b Batch
	var got []byte
	n := 0
	fragmentIPv4(&b, roomy(packet), 300, func(p Packet) {
		f := p.Bytes()
		size := int(f[0]&15) * 4
		require.Zero(t, checksum(f[:size]))
		field := binary.BigEndian.Uint16(f[6:])
		require.Equal(t, 100+len(got)/8, int(field&0x1fff))
		require.NotZero(t, field&0x2000, "the packet itself had more fragments")
		if n == 0 {
			require.Equal(t, opts, f[20:size])
		} else {
			require.Equal(t, []byte{0x83, 3, 4, 0}, f[20:size])
		}
		got = append(got, f[size:]...)
		n++
	})
	require.Equal(t, data, got)
	require.Equal(t, 3, n)
}

// TestSelectorsAfterDecryption: an authentic packet that the tunnel was not
// negotiated for is dropped (RFC 4301 5.2), and told of.
func TestSelectorsAfterDecryption(t *testing.T) {
	p := newPair(t)
	cheat := p.ab
	cheat.LocalTS = []spd.TrafficSelector{spd.AnyIPv4}
	cheat.RemoteTS = cheat.LocalTS
	a := newGateway(t, Config{}, "192.0.2.1:4500")
	require.NoError(t, a.InstallOutbound(t.Context(), &cheat))
	require.NoError(t, a.SetPolicies(t.Context(), 1, []spd.Policy{{Direction: spd.Out, Action: spd.ActionProtect, ReqID: reqID, Selector: spd.Selector{Local: spd.AnyIPv4, Remote: spd.AnyIPv4}}}))
	good := udp("10.1.0.1:1", "10.2.0.2:2", 8)
	require.Len(t, p.b.receive(a.send(good)...), 1)
	for i, bad := range [][]byte{
		udp("10.3.0.1:1", "10.2.0.2:2", 8), // someone else's source
		udp("10.1.0.1:1", "127.0.0.1:2", 8),
		udp("10.2.0.2:2", "10.1.0.1:1", 8), // the wrong way round
	} {
		require.Empty(t, p.b.receive(a.send(bad)...))
		require.EqualValues(t, i+1, p.b.counters(spd.In, p.ab.SAs[0].SPI).SelectorDrops)
	}
	require.IsType(t, spd.FirstPacketEvent{}, p.b.event())
	ev := p.b.event().(spd.PeerErrorEvent)
	require.ErrorIs(t, ev.Err, ErrSelectors)
	require.Contains(t, ev.Err.Error(), "10.3.0.1")

	// Ports count too, and what hides them does not pass.
	only53 := func(b *spd.Bundle) {
		b.LocalTS = []spd.TrafficSelector{spd.AnyIPv4.WithProtocol(protoUDP, spd.AnyPort)}
		b.RemoteTS = []spd.TrafficSelector{spd.AnyIPv4.WithProtocol(protoUDP, spd.PortRange{First: 53, Last: 53})}
	}
	b := newGateway(t, Config{}, "198.51.100.2:4500")
	in := p.ab
	only53(&in)
	in = reversed(in)
	require.NoError(t, b.InstallInbound(t.Context(), &in))
	require.Len(t, b.receive(a.send(udp("10.1.0.1:1", "10.2.0.2:53", 8))...), 1)
	require.Empty(t, b.receive(a.send(udp("10.1.0.1:1", "10.2.0.2:54", 8))...))
	later := udp("10.1.0.1:1", "10.2.0.2:53", 8)
	later[7] = 4
	require.Empty(t, b.receive(a.send(later)...))
}

// TestPeerCannotSendInAnothersName: where selectors of peers overlap, policy
// says whose traffic a packet is.
func TestPeerCannotSendInAnothersName(t *testing.T) {
	everything := func(b *spd.Bundle) {
		b.LocalTS, b.RemoteTS = []spd.TrafficSelector{spd.AnyIPv4}, []spd.TrafficSelector{spd.AnyIPv4}
	}
	p := newPair(t, everything)
	good, bad, gone := udp("10.1.0.1:1", "10.2.0.2:2", 8), udp("10.1.9.1:1", "10.2.0.2:2", 8), udp("10.1.8.1:1", "10.2.0.2:2", 8)
	require.NoError(t, p.b.SetPolicies(t.Context(), 2, []spd.Policy{
		{Direction: spd.In, Action: spd.ActionProtect, ReqID: reqID + 1,
			Selector: spd.Selector{Local: p.b.nets[0], Remote: spd.FromPrefix(netip.MustParsePrefix("10.1.9.0/24"))}},
		{Direction: spd.In, Action: spd.ActionDiscard,
			Selector: spd.Selector{Local: p.b.nets[0], Remote: spd.FromPrefix(netip.MustParsePrefix("10.1.8.0/24"))}},
	}))
	require.Equal(t, [][]byte{good}, p.b.receive(p.a.send(good, bad, gone)...))
	require.EqualValues(t, 2, p.b.counters(spd.In, p.ab.SAs[0].SPI).SelectorDrops)
}

// TestMovedSAHasANewName: the destination is part of an SA's name.
func TestMovedSAHasANewName(t *testing.T) {
	p := newPair(t)
	id := p.ab.ID(spd.Out, 0)
	to := spd.Endpoints{Local: p.a.outer, Remote: netip.MustParseAddrPort("203.0.113.7:4500")}
	require.NoError(t, p.a.MovePeer(t.Context(), id, to))
	_, err := p.a.Query(t.Context(), id)
	require.ErrorIs(t, err, spd.ErrNotFound)
	require.Equal(t, to.Remote, p.a.send(udp("10.1.0.1:1", "10.2.0.2:2", 8))[0].Remote)
	require.NoError(t, p.a.InstallOutbound(t.Context(), &p.ab), "the old name is free")
	moved := id
	moved.Dst = to.Remote.Addr()
	require.ErrorIs(t, p.a.MovePeer(t.Context(), id, to), spd.ErrExists)
	c, err := p.a.Remove(t.Context(), moved)
	require.NoError(t, err)
	require.EqualValues(t, 1, c.Packets)
	require.ErrorIs(t, p.a.MovePeer(t.Context(), id, spd.Endpoints{Local: p.a.outer, Remote: netip.MustParseAddrPort("[2001:db8::2]:1")}), spd.ErrBundle)
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

// TestVolumeLifetimes: one soft event, one hard event, and then nothing passes.
func TestVolumeLifetimes(t *testing.T) {
	packet := udp("10.1.0.1:1", "10.2.0.2:2", 72) // 100 octets
	for name, life := range map[string]spd.Lifetime{
		"packets": {SoftPackets: 3, HardPackets: 5},
		"octets":  {SoftBytes: 250, HardBytes: 450},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, func(b *spd.Bundle) { b.Lifetime = life })
			sent := 0
			for range 8 {
				ds := p.a.send(packet)
				sent += len(ds)
				p.b.receive(ds...)
			}
			require.Equal(t, 5, sent)
			out := p.a.event().(spd.ExpireEvent)
			require.False(t, out.Hard)
			require.EqualValues(t, 3, out.Counters.Packets)
			require.Equal(t, spd.Out, out.ID.Direction)
			out = p.a.event().(spd.ExpireEvent)
			require.True(t, out.Hard)
			require.False(t, out.Exhausted)
			p.a.noEvent()
			require.EqualValues(t, 3, p.a.counters(spd.Out, p.ab.SAs[0].SPI).OtherDrops)

			require.IsType(t, spd.FirstPacketEvent{}, p.b.event())
			in := p.b.event().(spd.ExpireEvent)
			require.Equal(t, spd.In, in.ID.Direction)
			require.False(t, in.Hard)
			require.True(t, p.b.event().(spd.ExpireEvent).Hard)
			p.b.noEvent()
		})
	}

	p := newPair(t, func(b *spd.Bundle) { b.Lifetime.HardTime = time.Hour })
	p.a.now = p.a.now.Add(time.Hour - 1)
	require.Len(t, p.a.send(packet), 1)
	p.a.now = p.a.now.Add(1)
	require.Empty(t, p.a.send(packet))
	require.True(t, p.a.event().(spd.ExpireEvent).Hard)
	require.Empty(t, p.a.send(packet))
	p.a.noEvent()
}

// TestMapping: a new address of the peer is told once, only by an authentic
// packet that is the newest, and nothing moves until key management says so.
func TestMapping(t *testing.T) {
	p := newPair(t, inUDP)
	packet := udp("10.1.0.1:1", "10.2.0.2:2", 8)
	from := func(d Datagram, addr string) Datagram {
		d.Local = netip.MustParseAddrPort(addr) // the sender's side; receive turns it round
		return d
	}
	ds := p.a.send(packet, packet, packet, packet, packet)
	require.Len(t, p.b.receive(ds[2]), 1)
	require.IsType(t, spd.FirstPacketEvent{}, p.b.event())

	forged := cloned(ds[3:4])[0]
	forged.Bytes()[20] ^= 1
	require.Empty(t, p.b.receive(from(forged, "203.0.113.9:1")))
	p.b.noEvent()
	require.Empty(t, p.b.receive(from(ds[2], "203.0.113.9:1")), "a replay from elsewhere")
	p.b.noEvent()
	require.Len(t, p.b.receive(from(ds[1], "203.0.113.9:1")), 1, "an older packet from elsewhere")
	p.b.noEvent()

	require.Len(t, p.b.receive(from(ds[3], "192.0.2.1:61234")), 1)
	ev := p.b.event().(spd.MappingEvent)
	require.Equal(t, spd.MappingEvent{ID: ev.ID, Old: p.a.outer, New: netip.MustParseAddrPort("192.0.2.1:61234")}, ev)
	require.Len(t, p.b.receive(from(ds[4], "192.0.2.1:61234")), 1)
	p.b.noEvent()
	back := udp("10.2.0.2:2", "10.1.0.1:1", 8)
	require.Equal(t, p.a.outer, p.b.send(back)[0].Remote)

	out := spd.SAID{Direction: spd.Out, Protocol: spd.ProtoESP, SPI: p.ba.SAs[0].SPI, Dst: p.a.outer.Addr()}
	to := spd.Endpoints{Local: p.b.outer, Remote: ev.New, UDPEncap: true}
	require.NoError(t, p.b.MovePeer(t.Context(), ev.ID, to))
	require.NoError(t, p.b.MovePeer(t.Context(), out, to))
	require.Equal(t, ev.New, p.b.send(back)[0].Remote)
	require.Len(t, p.b.receive(from(p.a.send(packet)[0], "192.0.2.1:61234")), 1)
	p.b.noEvent()
}

// TestRekey: the new outbound SA is used at once, both inbound ones serve until
// the old is removed, whose counters are returned.
func TestRekey(t *testing.T) {
	p := newPair(t)
	packet := udp("10.1.0.1:1", "10.2.0.2:2", 8)
	old := p.ab.SAs[0].SPI
	late := p.a.send(packet, packet)
	p.rekey(2)
	ds := p.a.send(packet)
	require.EqualValues(t, p.ab.SAs[0].SPI, binary.BigEndian.Uint32(ds[0].Bytes()))
	require.Len(t, p.b.receive(ds[0], late[0]), 2)
	first := []spd.Event{p.b.event(), p.b.event()}
	require.Contains(t, first, spd.FirstPacketEvent{ID: spd.SAID{Direction: spd.In, Protocol: spd.ProtoESP, SPI: p.ab.SAs[0].SPI, Dst: p.b.outer.Addr()}})

	c, err := p.b.Remove(t.Context(), spd.SAID{Direction: spd.In, Protocol: spd.ProtoESP, SPI: old, Dst: p.b.outer.Addr()})
	require.NoError(t, err)
	require.EqualValues(t, 1, c.Packets)
	require.Empty(t, p.b.receive(late[1]))
	ev := p.b.event().(spd.PeerErrorEvent)
	require.ErrorIs(t, ev.Err, ErrUnknownSPI)
	require.Equal(t, old, ev.SPI)
	_, err = p.b.Remove(t.Context(), spd.SAID{Direction: spd.In, Protocol: spd.ProtoESP, SPI: old, Dst: p.b.outer.Addr()})
	require.ErrorIs(t, err, spd.ErrNotFound)

	// The newer of two removed: the older one serves again.
	_, err = p.a.Remove(t.Context(), spd.SAID{Direction: spd.Out, Protocol: spd.ProtoESP, SPI: p.ab.SAs[0].SPI, Dst: p.b.outer.Addr()})
	require.NoError(t, err)
	require.EqualValues(t, old, binary.BigEndian.Uint32(p.a.send(packet)[0].Bytes()))
}

// TestInstallErrors: nothing is half installed, and the error says what to fix.
func TestInstallErrors(t *testing.T) {
	g := newGateway(t, Config{}, "192.0.2.1:0", "10.1.0.0/16")
	h := newGateway(t, Config{}, "198.51.100.2:0", "10.2.0.0/16")
	p := &pair{t: t, a: g, b: h}
	ah := spd.SA{Protocol: spd.ProtoAH, SPI: 5000, Integrity: integ(spd.IntegHMACSHA1_96), IntegKey: make([]byte, 20)}
	for want, change := range map[string]func(*spd.Bundle){
		"SAs[1]":             func(b *spd.Bundle) { b.SAs = append(b.SAs, b.SAs[0]) },
		"no SAs":             func(b *spd.Bundle) { b.SAs = nil },
		"more than one":      func(b *spd.Bundle) { b.SAs = append(b.SAs, ah) },
		"AH":                 func(b *spd.Bundle) { b.SAs[0] = ah },
		"reserved":           func(b *spd.Bundle) { b.SAs[0].SPI = 255 },
		"EncrKey":            func(b *spd.Bundle) { b.SAs[0].EncrKey = b.SAs[0].EncrKey[:19] },
		"encryption":         func(b *spd.Bundle) { b.SAs[0].Encryption.ID = 99 },
		"unspecified":        func(b *spd.Bundle) { b.Remote = netip.MustParseAddrPort("0.0.0.0:0") },
		"no IPv4 or IPv6":    func(b *spd.Bundle) { b.Remote = netip.AddrPort{} },
		"different families": func(b *spd.Bundle) { b.Remote = netip.MustParseAddrPort("[2001:db8::2]:0") },
		"must not be empty":  func(b *spd.Bundle) { b.LocalTS = nil },
		"traffic selector":   func(b *spd.Bundle) { b.RemoteTS = []spd.TrafficSelector{{}} },
		"a replay window of": func(b *spd.Bundle) { b.SAs[0].ReplayWindow = 5000 },
		"marks":              func(b *spd.Bundle) { b.Options.MarkIn.Mask = 1; b.Options.MarkOut.Mask = 1 },
	} {
		b := p.bundle(g, h, 0x1000, 1, nil)
		change(&b)
		require.ErrorContains(t, g.InstallInbound(t.Context(), &b), want)
		require.ErrorContains(t, g.InstallOutbound(t.Context(), &b), want)
		require.Zero(t, g.in.len())
		require.Empty(t, g.outbound)
	}
	b := p.bundle(g, h, 0x1000, 1, nil)
	require.NoError(t, g.InstallOutbound(t.Context(), &b))
	require.ErrorIs(t, g.InstallOutbound(t.Context(), &b), spd.ErrExists, "the same key again would repeat nonces")
	require.NoError(t, g.Close())
	require.ErrorIs(t, g.InstallInbound(t.Context(), &b), spd.ErrClosed)
	_, open := <-g.Events()
	require.False(t, open)
	require.NoError(t, g.Close())
}

// TestKeysAreCopied: the caller may wipe its keys.
func TestKeysAreCopied(t *testing.T) {
	p := newPair(t, algorithm(encr(spd.EncrAESCBC, 256), integ(spd.IntegHMACSHA256_128)))
	for _, b := range []*spd.Bundle{&p.ab, &p.ba} {
		b.SAs[0].EncrKey.Wipe()
		b.SAs[0].IntegKey.Wipe()
	}
	packet := udp("10.1.0.1:1", "10.2.0.2:2", 8)
	require.Equal(t, [][]byte{packet}, p.b.receive(p.a.send(packet)...))
	require.NotContains(t, fmt.Sprintf("%+v", p.a.outbound[p.ab.SAs[0].SPI][0].sa), "[1 ")
}

// TestPolicies: actions, owners and precedence.
func TestPolicies(t *testing.T) {
	p := newPair(t)
	packet := udp("10.1.0.1:1", "10.2.0.2:2", 8)
	bypass := spd.Policy{Direction: spd.Out, Action: spd.ActionBypass, Priority: 0, Selector: spd.Selector{
		Local: spd.FromAddr(netip.MustParseAddr("10.1.0.1")), Remote: spd.FromAddr(netip.MustParseAddr("10.2.0.2"))}}
	require.NoError(t, p.a.SetPolicies(t.Context(), 2, []spd.Policy{bypass}))
	require.NoError(t, p.a.SetPolicies(t.Context(), 3, []spd.Policy{bypass, bypass}))
	require.Empty(t, p.a.send(packet))
	require.Len(t, p.a.batch.Bypass, 1)
	require.NoError(t, p.a.SetPolicies(t.Context(), 2, nil))
	require.Empty(t, p.a.send(packet), "another owner wants it still")
	require.NoError(t, p.a.SetPolicies(t.Context(), 3, nil))
	require.Len(t, p.a.send(packet), 1)
	require.Error(t, p.a.SetPolicies(t.Context(), 1, []spd.Policy{{}}))
	require.Len(t, p.a.send(packet), 1, "a failed change changes nothing")

	// What no policy speaks of is discarded, and so is what is no IP packet.
	require.Empty(t, p.a.send(udp("10.1.0.1:1", "8.8.8.8:53", 8)))
	require.Empty(t, p.a.batch.Bypass)
	require.EqualValues(t, 1, p.a.Stats().Discarded)
	require.Empty(t, p.a.send(nil, []byte{0x45}, packet[:20], make([]byte, 60)))
	require.EqualValues(t, 4, p.a.Stats().Malformed)

	require.False(t, p.b.AcceptsClear(packet), "policy wants it protected")
	require.False(t, p.b.AcceptsClear(udp("8.8.8.8:53", "10.2.0.2:9", 8)))
	require.NoError(t, p.b.SetPolicies(t.Context(), 9, []spd.Policy{{Direction: spd.In, Action: spd.ActionBypass,
		Selector: spd.Selector{Local: p.b.nets[0], Remote: spd.AnyIPv4}, Priority: 5}}))
	require.True(t, p.b.AcceptsClear(udp("8.8.8.8:53", "10.2.0.2:9", 8)))
	require.False(t, p.b.AcceptsClear(packet))
	require.False(t, p.b.AcceptsClear(nil))
}

// TestOverflow: a reader that falls behind learns of it, even if nothing ever
// happens again.
func TestOverflow(t *testing.T) {
	g := newGateway(t, Config{Events: 4}, "192.0.2.1:0")
	for i := range 10 {
		g.now = g.now.Add(time.Second)
		d := roomy(binary.BigEndian.AppendUint64(nil, uint64(1000+i)<<32))
		g.Inbound(&g.batch, Datagram{Packet: d})
	}
	var lost uint64
	var got int
	for range 4 {
		switch ev := g.event().(type) {
		case spd.OverflowEvent:
			lost += ev.Lost
		default:
			got++
		}
	}
	g.noEvent()
	require.Equal(t, 3, got)
	require.Positive(t, lost)
	g.now = g.now.Add(time.Second)
	g.Inbound(&g.batch, Datagram{Packet: roomy(make([]byte, 8)[:8:8])}, Datagram{Packet: roomy(binary.BigEndian.AppendUint64(nil, 5000<<32))})
	lost += g.event().(spd.OverflowEvent).Lost
	require.EqualValues(t, 7, lost)
	require.IsType(t, spd.PeerErrorEvent{}, g.event())
}

// TestUnknownSPIEventsAreLimited: a flood of packets without SA cannot push
// other events out.
func TestUnknownSPIEventsAreLimited(t *testing.T) {
	g := newGateway(t, Config{}, "192.0.2.1:0")
	for i := range 10000 {
		g.Inbound(&g.batch, Datagram{Packet: roomy(binary.BigEndian.AppendUint64(nil, uint64(1000+i)<<32))})
	}
	require.Len(t, g.Events(), limitPerSecond)
	require.EqualValues(t, 10000, g.Stats().UnknownSPI)
}

func TestDataPlaneErrors(t *testing.T) {
	g := newGateway(t, Config{}, "192.0.2.1:0")
	id := spd.SAID{Protocol: spd.ProtoESP, SPI: 4711}
	for _, d := range []spd.Direction{spd.In, spd.Out} {
		id.Direction = d
		_, err := g.Query(t.Context(), id)
		require.ErrorIs(t, err, spd.ErrNotFound)
		_, err = g.Remove(t.Context(), id)
		require.ErrorIs(t, err, spd.ErrNotFound)
		require.ErrorIs(t, g.MovePeer(t.Context(), id, spd.Endpoints{Local: netip.MustParseAddrPort("192.0.2.1:1"), Remote: netip.MustParseAddrPort("192.0.2.2:1")}), spd.ErrNotFound)
	}
	require.ErrorIs(t, g.ReleaseSPI(t.Context(), id), spd.ErrNotFound)
	require.ErrorIs(t, g.AcquireDone(t.Context(), 1, nil), spd.ErrNotFound)
	require.ErrorIs(t, g.AcquireDone(t.Context(), 1, errors.New("x")), spd.ErrNotFound)
	_, err := g.AllocSPI(t.Context(), spd.SPIRequest{Protocol: spd.ProtoAH})
	require.ErrorIs(t, err, spd.ErrUnsupported)
	require.NoError(t, g.PrepareSocket(nil, true))
}
