package esp

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd"
)

// TestFlow reads what selectors are compared with from packets of all shapes.
func TestFlow(t *testing.T) {
	src6, dst6 := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	ip6 := func(next uint8, payload ...byte) []byte { return ipPacket(src6, dst6, next, payload) }
	udpHead := []byte{0, 5, 0, 53, 0, 8, 0, 0}
	hop := func(next uint8, more ...byte) []byte { return append([]byte{next, 0, 1, 4, 0, 0, 0, 0}, more...) }
	frag := func(next uint8, offset uint16, more ...byte) []byte {
		return append([]byte{next, 0, byte(offset >> 8), byte(offset), 0, 0, 0, 1}, more...)
	}
	type want struct {
		proto    uint8
		src, dst uint16
		opaque   bool
		fragment bool
	}
	for name, v := range map[string]struct {
		packet []byte
		want   want
	}{
		"udp4":                      {udp("10.0.0.1:5", "10.0.0.2:53", 1), want{proto: 17, src: 5, dst: 53}},
		"udp6":                      {ip6(17, udpHead...), want{proto: 17, src: 5, dst: 53}},
		"icmp type and code":        {ip6(58, 128, 1, 0, 0), want{proto: 58, src: 128<<8 | 1}},
		"mobility header":           {ip6(135, 59, 0, 5, 0, 0, 0, 0, 0), want{proto: 135, src: 5 << 8}},
		"no ports to see":           {ip6(17, 0, 5), want{proto: 17, opaque: true}},
		"a protocol without ports":  {ip6(47, udpHead...), want{proto: 47, opaque: true}},
		"hop-by-hop, then udp":      {ip6(0, hop(17, udpHead...)...), want{proto: 17, src: 5, dst: 53}},
		"two destination options":   {ip6(60, hop(60, hop(17, udpHead...)...)...), want{proto: 17, src: 5, dst: 53}},
		"first fragment":            {ip6(44, frag(17, 1, udpHead...)...), want{proto: 17, src: 5, dst: 53, fragment: true}},
		"later fragment":            {ip6(44, frag(17, 8, udpHead...)...), want{proto: 17, opaque: true, fragment: true}},
		"later fragment of options": {ip6(44, frag(60, 8, udpHead...)...), want{proto: 60, opaque: true, fragment: true}},
		"atomic fragment":           {ip6(44, frag(17, 0, udpHead...)...), want{proto: 17, src: 5, dst: 53}},
	} {
		t.Run(name, func(t *testing.T) {
			n, ok := ipLength(v.packet)
			require.True(t, ok)
			require.Len(t, v.packet, n)
			f, ok := parseFlow(v.packet)
			require.True(t, ok)
			require.Equal(t, v.want, want{f.Protocol, f.SrcPort, f.DstPort, f.Opaque, f.fragment})
		})
	}

	later4 := udp("10.0.0.1:5", "10.0.0.2:53", 1)
	later4[7] = 1
	f, ok := parseFlow(later4)
	require.True(t, ok && f.Opaque && f.fragment)

	for name, b := range map[string][]byte{
		"options beyond the packet":  ip6(0, 17, 9, 0, 0, 0, 0, 0, 0),
		"options cut short":          ip6(60, 17, 0, 0),
		"fragment header cut short":  ip6(44, 17, 0, 0, 0),
		"IPv4-mapped source address": ipPacket(netip.MustParseAddr("::ffff:10.0.0.1"), dst6, 17, udpHead),
	} {
		if b[0]>>4 == 4 {
			b = ip6(17, udpHead...)
			copy(b[8:], netip.MustParseAddr("::ffff:10.0.0.1").AsSlice())
		}
		_, ok := ipLength(b)
		require.True(t, ok, name)
		_, ok = parseFlow(b)
		require.False(t, ok, name)
	}
}

// TestWithOuterHeader makes the whole packet that goes out, of both families,
// in UDP and not.
func TestWithOuterHeader(t *testing.T) {
	for _, v := range []struct {
		local, remote string
		udp           bool
	}{
		{"192.0.2.1:4500", "198.51.100.2:61000", true}, {"192.0.2.1:0", "198.51.100.2:0", false},
		{"[2001:db8::1]:4500", "[2001:db8::2]:61000", true}, {"[2001:db8::1]:0", "[2001:db8::2]:0", false},
	} {
		zero := false
		for i := range 70000 { // with IPv6 one of them has the checksum 0, sent as ffff
			payload := []byte{0, 0, 1, 2, byte(i >> 16), 0, 3, 3, byte(i >> 8), byte(i)}
			d := Datagram{
				Packet: roomy(payload), UDPEncap: v.udp, TOS: 0xb8, DF: true,
				Local: netip.MustParseAddrPort(v.local), Remote: netip.MustParseAddrPort(v.remote),
			}
			p, ok := d.WithOuterHeader()
			require.True(t, ok)
			b := p.Bytes()
			f, ok := parseFlow(b)
			require.True(t, ok)
			require.Equal(t, d.Local.Addr(), f.Src)
			require.Equal(t, d.Remote.Addr(), f.Dst)
			require.EqualValues(t, 0xb8, tosOf(b))
			if !v.udp {
				require.EqualValues(t, protoESP, f.Protocol)
				require.Equal(t, payload, b[headerSize(f.Src):])
				break
			}
			require.Equal(t, [2]uint16{4500, 61000}, [2]uint16{f.SrcPort, f.DstPort})
			field := b[headerSize(f.Src)+6:][:2]
			if f.Src.Is4() {
				require.True(t, dontFragment(b))
				require.Equal(t, []byte{0, 0}, field, "RFC 3948 2.1")
				require.Zero(t, checksum(b[:20]))
				break
			}
			require.NotEqual(t, []byte{0, 0}, field)
			zero = zero || field[0] == 0xff && field[1] == 0xff
			if i%1000 == 0 || field[0] == 0xff {
				requireChecksums(t, b)
			}
		}
		require.Equal(t, v.udp && v.local[0] == '[', zero)
	}
	for _, d := range []Datagram{
		{Packet: Packet{Buf: make([]byte, 100), Start: 19, End: 60}, Local: netip.MustParseAddrPort("192.0.2.1:1"), Remote: netip.MustParseAddrPort("192.0.2.2:1")},
		{Packet: Packet{Buf: make([]byte, 100), Start: 7, End: 60}, UDPEncap: true, Local: netip.MustParseAddrPort("192.0.2.1:1"), Remote: netip.MustParseAddrPort("192.0.2.2:1")},
		{Packet: roomy(make([]byte, 65530)), UDPEncap: true, Local: netip.MustParseAddrPort("192.0.2.1:1"), Remote: netip.MustParseAddrPort("192.0.2.2:1")},
		{Packet: roomy(make([]byte, 20)), Local: netip.MustParseAddrPort("192.0.2.1:1"), Remote: netip.MustParseAddrPort("[2001:db8::1]:1")},
		{Packet: roomy(make([]byte, 20))},
	} {
		_, ok := d.WithOuterHeader()
		require.False(t, ok)
	}
}

// TestNoRoom: packets in buffers without room around them are copied.
func TestNoRoom(t *testing.T) {
	p := newPair(t, algorithm(encr(spd.EncrAESCBC, 128), integ(spd.IntegHMACSHA512_256)))
	for n := range 60 {
		packet := udp("10.1.0.1:1", "10.2.0.2:2", n)
		for _, room := range []Packet{
			{Buf: append([]byte(nil), packet...), End: len(packet)},
			{Buf: append(make([]byte, 23), packet...), Start: 23, End: 23 + len(packet)},
			{Buf: append(append(make([]byte, 24), packet...), make([]byte, 33)...), Start: 24, End: 24 + len(packet)},
		} {
			p.a.batch.Reset()
			p.a.Outbound(&p.a.batch, room)
			require.Equal(t, [][]byte{packet}, p.b.receive(cloned(p.a.batch.Datagrams)...))
		}
	}
	s := p.ab.SAs[0]
	out := p.a.outbound[s.SPI][0].sa
	buf := make([]byte, 200)
	for _, at := range [][2]int{{23, 60}, {24, 200}, {24, 167}, {60, 50}} {
		_, _, err := out.Seal(buf, at[0], at[1], protoIPv4)
		require.Equal(t, ErrNoRoom, err)
	}
	require.EqualValues(t, 180, out.Sequence(), "no number was used for them")
}
