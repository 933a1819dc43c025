package esp

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd"
)

func nonIKE(b *spd.Bundle) { b.UDPEncap, b.NonIKE = true, true }

// Under drafts 00 and 01 ESP goes from port 500 to port 500, and eight zero
// octets are between UDP and ESP (draft-ietf-ipsec-udp-encaps-01).
func TestNonIKEMarker(t *testing.T) {
	for _, ends := range [][2]string{{"192.0.2.1:500", "198.51.100.2:500"}, {"[2001:db8::1]:500", "[2001:db8::2]:500"}} {
		p := newPairBetween(t, newGateway(t, Config{}, ends[0], "10.1.0.0/16"), newGateway(t, Config{}, ends[1], "10.2.0.0/16"), nonIKE)
		packet := udp("10.1.0.1:1", "10.2.0.2:2", 100)
		d := p.a.send(packet)[0]
		require.True(t, d.NonIKE)
		esp := bytes.Clone(d.Bytes())
		whole, ok := d.WithOuterHeader()
		require.True(t, ok)
		b := whole.Bytes()
		f, ok := parseFlow(b)
		require.True(t, ok)
		if f.Src.Is6() {
			requireChecksums(t, b)
		}
		require.Equal(t, [2]uint16{500, 500}, [2]uint16{f.SrcPort, f.DstPort})
		payload := b[headerSize(f.Src)+8:]
		require.Equal(t, make([]byte, 8), payload[:8])
		require.Equal(t, esp, payload[8:])
		require.NotEqual(t, make([]byte, 4), payload[8:12], "the SPI")
		require.Equal(t, [][]byte{packet}, p.b.receive(Datagram{Packet: roomy(esp), Local: d.Local, Remote: d.Remote, UDPEncap: true}))

		d.Packet = Packet{Buf: make([]byte, 100), Start: headerSize(f.Src) + 15, End: 90}
		_, ok = d.WithOuterHeader()
		require.False(t, ok, "no room for all of it")
	}
}

// The marker makes packets longer, and tunnels by so much smaller.
func TestNonIKEPathMTU(t *testing.T) {
	most := func(v variant) int {
		p := newPair(t, v)
		p.a.SetPathMTU(p.b.outer.Addr(), 1400)
		require.Empty(t, p.a.send(withDF(udp("10.1.0.1:1", "10.2.0.2:2", 9000))))
		require.Len(t, p.a.batch.Packets, 1)
		mtu := int(binary.BigEndian.Uint16(p.a.batch.Packets[0].Bytes()[26:]))
		ds := p.a.send(withDF(udp("10.1.0.1:1", "10.2.0.2:2", mtu-28)))
		require.Len(t, ds, 1)
		whole, ok := ds[0].WithOuterHeader()
		require.True(t, ok)
		require.Equal(t, 1400, whole.Len())
		return mtu
	}
	require.Equal(t, most(inUDP)-8, most(nonIKE))
}

// A NAT maps each port for itself: what comes in at the other port of this
// host says nothing about the peer's address for this one.
func TestNoMappingAtAnotherPort(t *testing.T) {
	p := newPair(t, inUDP)
	packet := udp("10.1.0.1:1", "10.2.0.2:2", 8)
	ds := p.a.send(packet, packet)
	require.Len(t, p.b.receive(ds[0]), 1)
	require.IsType(t, spd.FirstPacketEvent{}, p.b.event())
	d := ds[1]
	d.Local, d.Remote = netip.MustParseAddrPort("192.0.2.1:61000"), netip.AddrPortFrom(p.b.outer.Addr(), 500)
	require.Len(t, p.b.receive(d), 1)
	p.b.noEvent()
}
