package esp

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd"
)

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
