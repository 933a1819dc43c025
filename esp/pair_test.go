package esp

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/suite"
	"github.com/racoon3/racoon/spd"
)

// gateway is an engine in front of a network, with a clock of its own.
type gateway struct {
	*Engine
	t     testing.TB
	now   time.Time
	batch Batch
	outer netip.AddrPort
	nets  []spd.TrafficSelector
}

func newGateway(t testing.TB, cfg Config, outer string, nets ...string) *gateway {
	g := &gateway{t: t, now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), outer: netip.MustParseAddrPort(outer)}
	cfg.Now = func() time.Time { return g.now }
	cfg.RawESP = true
	g.Engine = New(cfg)
	for _, n := range nets {
		g.nets = append(g.nets, spd.FromPrefix(netip.MustParsePrefix(n)))
	}
	t.Cleanup(func() { g.Close() })
	return g
}

const reqID = 7

// pair is two gateways with a Child SA between them.
type pair struct {
	t    testing.TB
	a, b *gateway
	ab   spd.Bundle // from a to b, as a has it
	ba   spd.Bundle // from b to a, as b has it
}

// variant changes the bundles before they are installed; both directions get
// the same.
type variant func(*spd.Bundle)

func algorithm(e spd.Transform, i spd.Transform) variant {
	return func(b *spd.Bundle) { b.SAs[0].Encryption, b.SAs[0].Integrity = e, i }
}

func transport(b *spd.Bundle)   { b.SAs[0].Mode = spd.ModeTransport }
func extendedESN(b *spd.Bundle) { b.SAs[0].ESN = true }
func inUDP(b *spd.Bundle)       { b.UDPEncap = true }

func options(set func(*spd.Options)) variant { return func(b *spd.Bundle) { set(&b.Options) } }

func newPair(t testing.TB, v ...variant) *pair {
	return newPairBetween(t, newGateway(t, Config{}, "192.0.2.1:4500", "10.1.0.0/16", "2001:db8:1::/48"),
		newGateway(t, Config{}, "198.51.100.2:4500", "10.2.0.0/16", "2001:db8:2::/48"), v...)
}

func newPairBetween(t testing.TB, a, b *gateway, v ...variant) *pair {
	p := &pair{t: t, a: a, b: b}
	p.rekey(1, v...)
	for _, g := range []*gateway{a, b} {
		other := p.other(g)
		var policies []spd.Policy
		for _, l := range g.nets {
			for _, r := range other.nets {
				if l.Is4() == r.Is4() {
					policies = append(policies,
						spd.Policy{Direction: spd.Out, Selector: spd.Selector{Local: l, Remote: r}, Action: spd.ActionProtect, ReqID: reqID},
						spd.Policy{Direction: spd.In, Selector: spd.Selector{Local: l, Remote: r}, Action: spd.ActionProtect, ReqID: reqID})
				}
			}
		}
		require.NoError(t, g.SetPolicies(t.Context(), 1, policies))
	}
	return p
}

func (p *pair) other(g *gateway) *gateway {
	if g == p.a {
		return p.b
	}
	return p.a
}

// rekey installs another Child SA, whose SPIs and keys depend on generation.
func (p *pair) rekey(generation byte, v ...variant) {
	p.ab = p.bundle(p.a, p.b, spd.SPI(0x1000)+spd.SPI(generation), generation, v)
	p.ba = p.bundle(p.b, p.a, spd.SPI(0x2000)+spd.SPI(generation), generation+100, v)
	ctx := p.t.Context()
	in := reversed(p.ba)
	require.NoError(p.t, p.a.InstallInbound(ctx, &in))
	in = reversed(p.ab)
	require.NoError(p.t, p.b.InstallInbound(ctx, &in))
	require.NoError(p.t, p.a.InstallOutbound(ctx, &p.ab))
	require.NoError(p.t, p.b.InstallOutbound(ctx, &p.ba))
}

func (p *pair) bundle(from, to *gateway, spi spd.SPI, key byte, v []variant) spd.Bundle {
	b := spd.Bundle{
		SAs:   []spd.SA{{Protocol: spd.ProtoESP, SPI: spi, Encryption: encr(spd.EncrAESGCM16, 128)}},
		ReqID: reqID, Local: from.outer, Remote: to.outer, LocalTS: from.nets, RemoteTS: to.nets,
	}
	for _, f := range v {
		f(&b)
	}
	s := &b.SAs[0]
	info, _ := suite.ENCRByID(s.Encryption.ID)
	n, ok := info.KeySize(int(s.Encryption.KeyLen))
	require.True(p.t, ok)
	s.EncrKey = bytes.Repeat([]byte{key}, n)
	for i := range s.EncrKey { // 3DES wants three different parts
		s.EncrKey[i] ^= byte(i)
	}
	if in, ok := suite.INTEGByID(s.Integrity.ID); ok {
		s.IntegKey = bytes.Repeat([]byte{key + 1}, in.KeySize)
	}
	return b
}

// reversed is an outbound bundle as the receiver has it.
func reversed(b spd.Bundle) spd.Bundle {
	b.Local, b.Remote = b.Remote, b.Local
	b.LocalTS, b.RemoteTS = b.RemoteTS, b.LocalTS
	b.OriginalLocal, b.OriginalRemote = b.OriginalRemote, b.OriginalLocal
	return b
}

// in a buffer with room around it.
func roomy(packet []byte) Packet {
	buf := make([]byte, Headroom+len(packet)+Tailroom)
	copy(buf[Headroom:], packet)
	return Packet{Buf: buf, Start: Headroom, End: Headroom + len(packet)}
}

// send takes packets out of g's network and returns what goes to the peer.
func (g *gateway) send(packets ...[]byte) []Datagram {
	g.batch.Reset()
	for _, p := range packets {
		g.Outbound(&g.batch, roomy(p))
	}
	return cloned(g.batch.Datagrams)
}

func cloned(ds []Datagram) []Datagram {
	var out []Datagram
	for _, d := range ds {
		d.Packet = roomy(d.Bytes())
		out = append(out, d)
	}
	return out
}

// receive takes datagrams from the peer and returns what they held.
func (g *gateway) receive(ds ...Datagram) [][]byte {
	g.batch.Reset()
	for _, d := range ds {
		d.Packet = roomy(d.Bytes())
		d.Local, d.Remote = d.Remote, d.Local // the other end's view
		g.Inbound(&g.batch, d)
	}
	return g.packets()
}

func (g *gateway) packets() [][]byte {
	var out [][]byte
	for _, p := range g.batch.Packets {
		out = append(out, bytes.Clone(p.Bytes()))
	}
	return out
}

// event returns the next event, which must be there already.
func (g *gateway) event() spd.Event {
	g.t.Helper()
	select {
	case ev := <-g.Events():
		return ev
	default:
		require.Fail(g.t, "no event")
		return nil
	}
}

func (g *gateway) noEvent() {
	g.t.Helper()
	select {
	case ev := <-g.Events():
		require.Failf(g.t, "unexpected event", "%#v", ev)
	default:
	}
}

func (g *gateway) counters(d spd.Direction, spi spd.SPI) spd.Counters {
	id := spd.SAID{Direction: d, Protocol: spd.ProtoESP, SPI: spi}
	if d == spd.Out {
		require.Len(g.t, g.outbound[spi], 1)
		id.Dst = g.outbound[spi][0].path.Load().Remote.Addr()
	}
	c, err := g.Query(g.t.Context(), id)
	require.NoError(g.t, err)
	return c
}

// Packets for the inner networks. checksum is written apart from the
// package's own.

func checksum(parts ...[]byte) uint16 {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	if len(all)%2 == 1 {
		all = append(all, 0)
	}
	var s uint32
	for i := 0; i < len(all); i += 2 {
		s += uint32(all[i])<<8 | uint32(all[i+1])
	}
	for s > 0xffff {
		s = s&0xffff + s>>16
	}
	return uint16(^s)
}

// udp returns a UDP packet of either family with right checksums and n octets
// of data.
func udp(src, dst string, n int) []byte {
	return udpPacket(netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst), n)
}

func udpPacket(src, dst netip.AddrPort, n int) []byte {
	u := make([]byte, 8+n)
	r := rand.New(rand.NewPCG(uint64(n), 3))
	for i := range u {
		u[i] = byte(r.Uint32())
	}
	binary.BigEndian.PutUint16(u, src.Port())
	binary.BigEndian.PutUint16(u[2:], dst.Port())
	binary.BigEndian.PutUint16(u[4:], uint16(len(u)))
	binary.BigEndian.PutUint16(u[6:], 0)
	binary.BigEndian.PutUint16(u[6:], checksum(pseudoHeader(src.Addr(), dst.Addr(), len(u), protoUDP), u))
	return ipPacket(src.Addr(), dst.Addr(), protoUDP, u)
}

func pseudoHeader(src, dst netip.Addr, n int, proto uint8) []byte {
	b := append(src.AsSlice(), dst.AsSlice()...)
	return append(b, 0, 0, byte(n>>8), byte(n), 0, proto)
}

func ipPacket(src, dst netip.Addr, proto uint8, payload []byte) []byte {
	if src.Is4() {
		h := []byte{0x45, 0, 0, 0, 0x12, 0x34, 0, 0, 63, proto, 0, 0}
		binary.BigEndian.PutUint16(h[2:], uint16(20+len(payload)))
		h = append(append(h, src.AsSlice()...), dst.AsSlice()...)
		binary.BigEndian.PutUint16(h[10:], checksum(h))
		return append(h, payload...)
	}
	h := []byte{0x60, 0, 0, 0, 0, 0, proto, 63}
	binary.BigEndian.PutUint16(h[4:], uint16(len(payload)))
	return append(append(append(h, src.AsSlice()...), dst.AsSlice()...), payload...)
}

// withTOS returns a packet with another TOS octet or traffic class.
func withTOS(p []byte, tos uint8) []byte {
	p = bytes.Clone(p)
	if p[0]>>4 == 4 {
		p[1] = tos
		p[10], p[11] = 0, 0
		binary.BigEndian.PutUint16(p[10:], checksum(p[:20]))
		return p
	}
	p[0], p[1] = 0x60|tos>>4, tos<<4
	return p
}

// withDF returns an IPv4 packet with "don't fragment".
func withDF(p []byte) []byte {
	p = bytes.Clone(p)
	p[6] |= 0x40
	p[10], p[11] = 0, 0
	binary.BigEndian.PutUint16(p[10:], checksum(p[:20]))
	return p
}

// requireChecksums sees that a packet's checksums are right.
func requireChecksums(t testing.TB, p []byte) {
	t.Helper()
	f, ok := parseFlow(p)
	require.True(t, ok)
	size := 40
	if p[0]>>4 == 4 {
		size = int(p[0]&15) * 4
		require.Zero(t, checksum(p[:size]), "IPv4 header checksum")
	}
	if !f.fragment && (f.Protocol == protoUDP || f.Protocol == protoTCP || f.Protocol == protoICMPv6) {
		require.Zero(t, checksum(pseudoHeader(f.Src, f.Dst, len(p)-size, f.Protocol), p[size:]), "transport checksum")
	}
}
