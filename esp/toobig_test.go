package esp

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd"
)

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
