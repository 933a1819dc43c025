package esp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd"
)

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
	for _, nowhere := range []string{"[2001:db8::2]:1", "0.0.0.0:1", "[::ffff:198.51.100.7]:1"} {
		to := spd.Endpoints{Local: p.a.outer, Remote: netip.MustParseAddrPort(nowhere)}
		require.ErrorIs(t, p.a.MovePeer(t.Context(), id, to), spd.ErrBundle, nowhere)
	}
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
		"Mode":               func(b *spd.Bundle) { b.SAs[0].Mode = 9 },
		"TFCPadding":         func(b *spd.Bundle) { b.Options.TFCPadding = -1 },
		"interface IDs":      func(b *spd.Bundle) { b.Options.InterfaceID = 1 },
		"marks":              func(b *spd.Bundle) { b.Options.MarkIn.Mask = 1; b.Options.MarkOut.Mask = 1 },
		"single CPUs":        func(b *spd.Bundle) { b.Options.PerCPU = 1 },
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
