package esp

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd"
)

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
