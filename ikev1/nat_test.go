package ikev1

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/natt"
	"github.com/racoon3/racoon/spd"
)

// natBox translates the addresses of one side of a pair.
type natBox struct {
	p       *pair
	inside  *Endpoint
	private netip.Addr
	public  netip.Addr
	offset  uint16 // of the outer port to the inner one; 0 leaves it
	seen    []ike.Path
	variant natt.Variant // that the initiator's vendor IDs are made to say
}

// behindNAT puts A or B behind a NAT.
func behindNAT(p *pair, inside *Endpoint, offset uint16) *natBox {
	n := &natBox{p: p, inside: inside, offset: offset, private: netip.MustParseAddr("10.0.0.2"), public: netip.MustParseAddr("198.51.100.7")}
	p.filter = n.deliver
	return n
}

func (n *natBox) outer(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(n.public, a.Port()+n.offset)
}

func (n *natBox) deliver(from *Endpoint, tx ike.Transmit) bool {
	p := n.p
	path := reverse(tx.Path)
	to := p.a
	if from == p.a {
		to = p.b
	}
	if from == n.inside {
		path.Remote = n.outer(path.Remote)
	} else if path.Local.Addr() == n.public {
		port := path.Local.Port() - n.offset
		if port != 500 && port != 4500 {
			return false // there is no such mapping any more
		}
		path.Local = netip.AddrPortFrom(n.private, port)
	}
	n.seen = append(n.seen, tx.Path)
	b := append([]byte(nil), tx.Packet...)
	if h, err := isakmp.ParseHeader(b); err == nil && h.CookieR == 0 && n.variant != natt.NoVariant {
		chain, err := isakmp.ParseChain(h.NextPayload, b[isakmp.HeaderLen:])
		require.NoError(p.t, err)
		for _, r := range chain {
			if _, ok := natt.VariantOf(r.Body); ok && r.Type == isakmp.PayloadVendorID {
				copy(r.Body, n.variant.AppendVendorID(nil))
			}
		}
	}
	to.HandleDatagram(p.now, path, b)
	return false
}

// initiate begins at A from its private address if it is behind the NAT,
// else to B's public one.
func (n *natBox) initiate() ike.SessionID {
	p := n.p
	path := pathAB()
	if n.inside == p.a {
		path.Local = netip.AddrPortFrom(n.private, 500)
	} else {
		path.Remote = netip.AddrPortFrom(n.public, 500+n.offset)
	}
	float := ike.Path{Local: netip.AddrPortFrom(path.Local.Addr(), 4500), Remote: netip.AddrPortFrom(path.Remote.Addr(), path.Remote.Port()+4000)}
	id, err := p.a.Initiate(p.now, Initiation{Peer: p.a.peers.index.All()[0], Path: path, NATTPath: float})
	require.NoError(p.t, err)
	p.run()
	return id
}

// TestNATTraversal has every mode and every variant with a NAT before the
// initiator: both move to the NAT-T port, and ESP goes in UDP.
func TestNATTraversal(t *testing.T) {
	for _, mode := range allModes {
		for v := range natt.Variants() {
			t.Run(fmt.Sprintf("%v/%v", mode, v), func(t *testing.T) {
				p := modePair(t, mode, nil)
				n := behindNAT(p, p.a, 1000)
				n.variant = v
				id := n.initiate()
				sa, sb := p.requireUp(id)
				if !v.Floats() {
					require.False(t, sa.Info.LocalNAT)
					require.False(t, sb.Children[0].UDPEncap, "drafts 00 and 01 are not taken unless the peer has them in NATT")
					return
				}
				require.True(t, sa.Info.LocalNAT)
				require.False(t, sa.Info.RemoteNAT)
				require.True(t, sb.Info.RemoteNAT)
				require.False(t, sb.Info.LocalNAT)
				require.Equal(t, "10.0.0.2:4500-192.0.2.2:4500", sa.Path.String())
				require.Equal(t, "192.0.2.2:4500-198.51.100.7:5500", sb.Path.String())
				require.True(t, sa.Children[0].UDPEncap)
				require.True(t, sb.Children[0].UDPEncap)

				// Renewed, it begins where it is.
				before := len(n.seen)
				p.advance(time.Minute)
				require.NoError(t, p.a.RekeyIKE(p.now, id))
				p.advance(time.Minute)
				require.Len(t, find[ike.SessionRekeyed](p.evA), 1)
				require.Len(t, find[ike.SessionRekeyed](p.evB), 1)
				require.Len(t, p.b.sessions, 1)
				for _, path := range n.seen[before:] {
					require.Contains(t, []uint16{4500, 5500}, path.Remote.Port())
				}
			})
		}
	}
}

// TestNATTraversalResponder: the NAT is before the responder.
func TestNATTraversalResponder(t *testing.T) {
	for _, mode := range allModes {
		p := modePair(t, mode, nil)
		n := behindNAT(p, p.b, 0)
		sa, sb := p.requireUp(n.initiate())
		require.True(t, sa.Info.RemoteNAT)
		require.True(t, sb.Info.LocalNAT)
		require.False(t, sb.Info.RemoteNAT)
		require.Equal(t, uint16(4500), sb.Path.Remote.Port(), "%v", mode)
		require.True(t, sb.Children[0].UDPEncap)
	}
}

// TestNATTraversalForcedAndOff: without a NAT nothing changes, unless it is
// forced; with one nothing changes either where it is off.
func TestNATTraversalForcedAndOff(t *testing.T) {
	for _, mode := range allModes {
		for name, c := range map[string]struct {
			change func(a, b *Peer)
			nat    bool
			encap  bool
		}{
			"no NAT":              {nil, false, false},
			"forced by A":         {func(a, _ *Peer) { a.ForceEncap = true }, false, true},
			"forced by B":         {func(_, b *Peer) { b.ForceEncap = true }, false, true},
			"forced by both":      {func(a, b *Peer) { a.ForceEncap, b.ForceEncap = true, true }, false, true},
			"forced and a NAT":    {func(a, b *Peer) { a.ForceEncap, b.ForceEncap = true, true }, true, true},
			"forced and off at B": {func(a, b *Peer) { a.ForceEncap, b.NoNATT = true, true }, false, false},
			"forced and off at A": {func(a, b *Peer) { b.ForceEncap, a.NoNATT = true, true }, false, false},
			"off at A":            {func(a, _ *Peer) { a.NoNATT = true }, true, false},
			"off at B":            {func(_, b *Peer) { b.NoNATT = true }, true, false},
		} {
			t.Run(fmt.Sprintf("%v/%v", mode, name), func(t *testing.T) {
				p := modePair(t, mode, c.change)
				inside := p.a
				if !c.nat {
					inside = nil
				}
				n := behindNAT(p, inside, 0)
				if c.nat {
					n.initiate()
				} else {
					_, err := p.a.Initiate(p.now, Initiation{Peer: p.a.peers.index.All()[0], Path: pathAB(),
						NATTPath: ike.Path{Local: netip.AddrPortFrom(addrA.Addr(), 4500), Remote: netip.AddrPortFrom(addrB.Addr(), 4500)}})
					require.NoError(t, err)
					p.run()
				}
				sa, sb := p.requireUp(find[ike.SessionUp](p.evA)[0].Session)
				require.Equal(t, c.encap, sa.Children[0].UDPEncap)
				require.Equal(t, c.encap, sb.Children[0].UDPEncap)
				want := uint16(500)
				if c.encap {
					want = 4500
				}
				require.Equal(t, want, sa.Path.Remote.Port())
				require.Equal(t, want, sb.Path.Local.Port())
			})
		}
	}
}

// TestNATRebindingAfterEachMode: the NAT forgets. An authentic message from the new address
// moves the session, a copy of an old one or anything else does not.
func TestNATRebindingAfterEachMode(t *testing.T) {
	for _, mode := range allModes {
		p := modePair(t, mode, nil)
		n := behindNAT(p, p.a, 1000)
		id := n.initiate()
		_, sb := p.requireUp(id)
		var last ike.Transmit
		p.filter = func(from *Endpoint, tx ike.Transmit) bool {
			if from == p.a {
				last = tx
			}
			return n.deliver(from, tx)
		}
		p.advance(time.Minute)
		require.NoError(t, p.a.CheckLiveness(p.now, id))
		p.run()
		n.offset = 2000
		moved := len(find[ike.SessionMoved](p.evB)) // in Base Mode, from port 500
		elsewhere := ike.Path{Local: sb.Path.Local, Remote: netip.MustParseAddrPort("203.0.113.9:4500")}
		p.b.HandleDatagram(p.now, elsewhere, last.Packet)
		spoilt := append([]byte(nil), last.Packet...)
		spoilt[len(spoilt)-1] ^= 1
		p.b.HandleDatagram(p.now, elsewhere, spoilt)
		p.run()
		require.Len(t, find[ike.SessionMoved](p.evB), moved)

		require.NoError(t, p.a.CheckLiveness(p.now, id))
		p.run()
		require.Len(t, find[ike.SessionMoved](p.evB), moved+1)
		_, sb = p.requireUp(id)
		require.Equal(t, "198.51.100.7:6500", sb.Path.Remote.String())
	}
}

// TestNoMoveBeforeProof: in a handshake too, the peer's address changes only
// with a good proof.
func TestNoMoveBeforeProof(t *testing.T) {
	for _, mode := range allModes {
		p := modePair(t, mode, nil)
		n := behindNAT(p, p.a, 1000)
		p.filter = func(from *Endpoint, tx ike.Transmit) bool {
			if from == p.a {
				forged := append([]byte(nil), tx.Packet...)
				spoilProof(forged)
				if h, _ := isakmp.ParseHeader(forged); string(forged) != string(tx.Packet) || h.Encrypted() {
					forged[len(forged)-1] ^= 1
					p.b.HandleDatagram(p.now, ike.Path{Local: netip.AddrPortFrom(addrB.Addr(), 4500), Remote: netip.MustParseAddrPort("203.0.113.9:4500")}, forged)
					p.work(p.b)
				}
			}
			return n.deliver(from, tx)
		}
		id := n.initiate()
		p.advance(30 * time.Second)
		p.requireUp(id)
		for _, path := range n.seen {
			require.NotEqual(t, "203.0.113.9:4500", path.Remote.String(), "%v", mode)
		}
	}
}

// The original addresses are for transport mode in UDP only (RFC 3947 5.2).
func TestOriginalAddressesOnlyInUDP(t *testing.T) {
	p := pskPair(t)
	s := p.a.sessions[p.initiate()]
	q := &quickMode{s: s, cfg: &ike.ChildConfig{Mode: spd.ModeTransport}, initiator: true}
	require.NotZero(t, s.current.variant, "both know NAT traversal")
	require.Empty(t, q.natOAs(s.current))
}
