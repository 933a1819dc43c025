package ikev1

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/spd"
)

// childPair is a pair with a Child each, which edit may change: own is A's, to
// be mirrored.
func childPair(t *testing.T, edit func(a, b *Peer)) *pair {
	a, b := pskPeer("b", "a.example", "b.example"), pskPeer("a", "b.example", "a.example")
	b.Children[0].Local, b.Children[0].Remote = b.Children[0].Remote, b.Children[0].Local
	if edit != nil {
		edit(a, b)
	}
	return newPair(t, a, b, nil)
}

func flow(src, dst string) spd.Flow {
	return spd.Flow{Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), Protocol: 17, SrcPort: 1000, DstPort: 2000}
}

var inner = flow("10.1.0.1", "10.2.0.1")

// both sends a packet each way and tells the cores what the data planes say.
func (p *pair) both(f spd.Flow) (there, back spd.Delivery) {
	there, back = p.pa.Send(p.pb, f, 100), p.pb.Send(p.pa, f.Reverse(), 100)
	p.planes()
	return there, back
}

func (p *pair) planes() {
	for _, ev := range p.pa.PollEvents() {
		p.a.HandleDataPlane(p.now, ev)
	}
	for _, ev := range p.pb.PollEvents() {
		p.b.HandleDataPlane(p.now, ev)
	}
}

// delivers wants packets to arrive both ways.
func (p *pair) delivers(f spd.Flow) {
	p.t.Helper()
	there, back := p.both(f)
	require.Equal(p.t, spd.Delivered, there.Outcome, "%v", there)
	require.Equal(p.t, spd.Delivered, back.Outcome, "%v", back)
	p.run()
}

// noGaps sends packets both ways at each datagram, and wants all to arrive.
func (p *pair) noGaps() {
	next := p.filter
	p.filter = func(from *Endpoint, tx ike.Transmit) bool {
		for _, f := range []spd.Flow{inner, inner.Reverse()} {
			from, to := p.pa, p.pb
			if f != inner {
				from, to = to, from
			}
			d := from.Send(to, f, 100)
			require.Equal(p.t, spd.Delivered, d.Outcome, "%v at %v", d, p.now)
		}
		return next == nil || next(from, tx)
	}
}

// only returns the only session of an endpoint.
func only(t testing.TB, e *Endpoint) *session {
	t.Helper()
	require.Len(t, e.sessions, 1)
	for _, s := range e.sessions {
		return s
	}
	return nil
}

// agree wants both sides to have the same n living Child SAs.
func (p *pair) agree(n int) {
	p.t.Helper()
	a, b := only(p.t, p.a), only(p.t, p.b)
	require.Len(p.t, a.Children.All(), n)
	require.Len(p.t, b.Children.All(), n)
	for _, x := range a.Children.All() {
		y := b.Children.ByInbound(x.Info.Protocol, x.Info.Out)
		require.NotNil(p.t, y)
		require.Equal(p.t, x.Info.In, y.Info.Out)
		require.Equal(p.t, child.Mature, x.State)
		require.Equal(p.t, child.Mature, y.State)
	}
}

func proposals(protocol spd.Protocol, texts ...string) (out []spd.Proposal) {
	for _, s := range texts {
		out = append(out, spd.MustParseProposal(protocol, s))
	}
	return out
}

func selectors(texts ...string) (out []spd.TrafficSelector) {
	for _, s := range texts {
		out = append(out, spd.MustParseTrafficSelector(s))
	}
	return out
}

func TestQuickModeShapes(t *testing.T) {
	hosts := flow("192.0.2.1", "192.0.2.2")
	for _, c := range []struct {
		name string
		edit func(a, b *ike.ChildConfig)
		flow spd.Flow
		want func(t *testing.T, b spd.Installed)
		not  string // why it is refused
	}{
		{"tunnel", nil, inner, func(t *testing.T, b spd.Installed) { require.Equal(t, spd.ModeTunnel, b.Bundle.SAs[0].Mode) }, ""},
		{"PFS", func(a, b *ike.ChildConfig) {
			a.Proposals = proposals(spd.ProtoESP, "aes256-sha256-ecp384")
			b.Proposals = a.Proposals
		}, inner, nil, ""},
		{"PFS of the initiator only", func(a, b *ike.ChildConfig) {
			a.Proposals, b.Proposals = proposals(spd.ProtoESP, "aes256-sha256-modp2048"), proposals(spd.ProtoESP, "aes256-sha256")
		}, inner, nil, ""},
		{"weak PFS of the initiator only", func(a, b *ike.ChildConfig) {
			a.Proposals, b.Proposals = proposals(spd.ProtoESP, "aes256-sha256-modp1024"), proposals(spd.ProtoESP, "aes256-sha256")
		}, inner, nil, "KE"},
		{"PFS of the responder only", func(a, b *ike.ChildConfig) {
			a.Proposals, b.Proposals = proposals(spd.ProtoESP, "aes256-sha256"), proposals(spd.ProtoESP, "aes256-sha256-ecp256")
		}, inner, nil, "KE"},
		{"other algorithms", func(a, b *ike.ChildConfig) {
			a.Proposals, b.Proposals = proposals(spd.ProtoESP, "aes256-sha256"), proposals(spd.ProtoESP, "aes128-sha256")
		}, inner, nil, "256"},
		{"transport", func(a, b *ike.ChildConfig) {
			for _, c := range []*ike.ChildConfig{a, b} {
				c.Mode, c.Local, c.Remote, c.LocalDynamic, c.RemoteDynamic = spd.ModeTransport, nil, nil, true, true
			}
		}, hosts, func(t *testing.T, b spd.Installed) { require.Equal(t, spd.ModeTransport, b.Bundle.SAs[0].Mode) }, ""},
		{"transport here, tunnel there", func(a, b *ike.ChildConfig) { a.Mode = spd.ModeTransport }, inner, nil, "Encapsulation-Mode"},
		{"AH", func(a, b *ike.ChildConfig) {
			a.Proposals = proposals(spd.ProtoAH, "sha256")
			b.Proposals = a.Proposals
		}, inner, func(t *testing.T, b spd.Installed) { require.Equal(t, spd.ProtoAH, b.Bundle.SAs[0].Protocol) }, ""},
		{"AH and ESP", func(a, b *ike.ChildConfig) {
			for _, c := range []*ike.ChildConfig{a, b} {
				c.Proposals, c.Outer = proposals(spd.ProtoESP, "aes128-sha256"), proposals(spd.ProtoAH, "sha512")
			}
		}, inner, func(t *testing.T, b spd.Installed) {
			require.Len(t, b.Bundle.SAs, 2)
			require.Equal(t, []spd.Protocol{spd.ProtoESP, spd.ProtoAH}, []spd.Protocol{b.Bundle.SAs[0].Protocol, b.Bundle.SAs[1].Protocol})
			require.Equal(t, spd.ModeTunnel, b.Bundle.SAs[0].Mode)
			require.Equal(t, spd.ModeTransport, b.Bundle.SAs[1].Mode)
		}, ""},
		{"AH and ESP of one side", func(a, b *ike.ChildConfig) { a.Outer = proposals(spd.ProtoAH, "sha512") }, inner, nil, "Protocols"},
		{"IPComp", func(a, b *ike.ChildConfig) { a.IPComp, b.IPComp = true, true }, inner, func(t *testing.T, b spd.Installed) {
			require.Len(t, b.Bundle.SAs, 2)
			require.Equal(t, spd.ProtoIPComp, b.Bundle.SAs[0].Protocol)
			require.Equal(t, spd.ModeTunnel, b.Bundle.SAs[0].Mode)
		}, ""},
		{"IPComp declined", func(a, b *ike.ChildConfig) { a.IPComp = true }, inner, func(t *testing.T, b spd.Installed) { require.Len(t, b.Bundle.SAs, 1) }, ""},
		{"IPComp, IPv6 inside", func(a, b *ike.ChildConfig) {
			a.IPComp, b.IPComp = true, true
			a.Local, a.Remote = selectors("2001:db8:1::/64"), selectors("2001:db8:2::/64")
			b.Local, b.Remote = a.Remote, a.Local
		}, flow("2001:db8:1::1", "2001:db8:2::1"), func(t *testing.T, b spd.Installed) { require.Len(t, b.Bundle.SAs, 1, "no kernel has that") }, ""},
		{"ESN", func(a, b *ike.ChildConfig) {
			a.Proposals = proposals(spd.ProtoESP, "aes128gcm16-esn")
			b.Proposals = a.Proposals
		}, inner, func(t *testing.T, b spd.Installed) { require.True(t, b.Bundle.SAs[0].ESN) }, ""},
		{"one port", func(a, b *ike.ChildConfig) {
			a.Remote = []spd.TrafficSelector{spd.MustParseTrafficSelector("10.2.0.0/16").WithProtocol(17, spd.PortRange{First: 2000, Last: 2000})}
			b.Local = a.Remote
		}, inner, nil, ""},
		{"a range", func(a, b *ike.ChildConfig) {
			r := spd.TrafficSelector{First: netip.MustParseAddr("10.1.0.1"), Last: netip.MustParseAddr("10.1.0.9"), Ports: spd.AnyPort}
			a.Local, b.Remote = []spd.TrafficSelector{r}, []spd.TrafficSelector{r}
		}, inner, nil, ""},
		{"within", func(a, b *ike.ChildConfig) { a.Remote = selectors("10.2.0.0/24") }, inner, nil, ""},
		{"wider", func(a, b *ike.ChildConfig) { a.Remote = selectors("10.0.0.0/8") }, inner, nil, "no common traffic"},
		{"IPv6 inside", func(a, b *ike.ChildConfig) {
			a.Local, a.Remote = selectors("2001:db8:1::/64"), selectors("2001:db8:2::/64")
			b.Local, b.Remote = a.Remote, a.Local
		}, flow("2001:db8:1::1", "2001:db8:2::1"), nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := childPair(t, func(a, b *Peer) {
				if c.edit != nil {
					c.edit(a.Children[0], b.Children[0])
				}
			})
			p.initiate()
			if c.not != "" {
				p.agree(0)
				for _, events := range [][]ike.Event{p.evA, p.evB} {
					require.Len(t, find[ike.ChildFailed](events), 1)
				}
				require.ErrorContains(t, find[ike.ChildFailed](p.evB)[0].Err, c.not)
				var n *NotifyError
				require.ErrorAs(t, find[ike.ChildFailed](p.evA)[0].Err, &n)
				require.Contains(t, n.Detail, "we offered")
				require.Empty(t, p.pa.Larval())
				require.Empty(t, p.pb.Larval())
				require.Empty(t, p.pb.SAs())
				return
			}
			if len(find[ike.ChildUp](p.evA)) != 1 {
				p.explain()
			}
			p.agree(1)
			p.delivers(c.flow)
			for _, plane := range []*spd.Memory{p.pa, p.pb} {
				require.Len(t, plane.Bundles(), 2)
				if c.want != nil {
					c.want(t, plane.Bundles()[0])
				}
				require.Empty(t, plane.Larval())
			}
			// A rekey keeps the shape; everything goes at the end.
			id := only(t, p.a).ID
			require.NoError(t, p.a.RekeyChild(p.now, id, only(t, p.a).Children.All()[0].Info.ID))
			p.advance(20 * time.Second)
			p.agree(1)
			p.delivers(c.flow)
			require.NoError(t, p.a.Delete(p.now, id, ike.DownLocal))
			p.run()
			for _, plane := range []*spd.Memory{p.pa, p.pb} {
				require.Empty(t, plane.Leaks())
				require.Empty(t, plane.SAs())
				require.Empty(t, plane.Policies())
			}
		})
	}
}

// Several pairs of selectors take a Quick Mode each, all at the same time.
func TestQuickModesInParallel(t *testing.T) {
	p := childPair(t, func(a, b *Peer) {
		a.Children[0].Local, a.Children[0].Remote = selectors("10.1.0.0/24", "10.1.1.0/24", "2001:db8:1::/64"), selectors("10.2.0.0/24", "10.2.1.0/24", "2001:db8:2::/64")
		b.Children[0].Local, b.Children[0].Remote = a.Children[0].Remote, a.Children[0].Local
		a.Children[0].Proposals = proposals(spd.ProtoESP, "aes128gcm16-ecp256")
		b.Children[0].Proposals = a.Children[0].Proposals
	})
	open := 0
	p.filter = func(_ *Endpoint, tx ike.Transmit) bool {
		for _, sa := range p.b.sas {
			open = max(open, sa.peerExchanges())
		}
		return true
	}
	p.initiate()
	p.agree(5)
	require.Greater(t, open, 2)
	for _, f := range []spd.Flow{flow("10.1.0.1", "10.2.0.1"), flow("10.1.0.1", "10.2.1.1"), flow("10.1.1.1", "10.2.0.1"), flow("10.1.1.1", "10.2.1.1"), flow("2001:db8:1::1", "2001:db8:2::1")} {
		p.delivers(f)
	}
	// On demand, the pair of the packet comes first.
	p = childPair(t, func(a, b *Peer) {
		a.Children[0].Remote = selectors("10.2.0.0/24", "10.2.1.0/24")
		b.Children[0].Local = a.Children[0].Remote
	})
	packet := spd.Selector{Local: selectors("10.1.0.7/32")[0], Remote: selectors("10.2.1.7/32")[0]}
	_, err := p.a.Initiate(p.now, Initiation{Peer: p.a.peers.index.All()[0], Path: pathAB(), Acquire: 7, Packet: &packet})
	require.NoError(t, err)
	p.run()
	require.Equal(t, "10.2.1.0/24", find[ike.ChildUp](p.evA)[0].Child.RemoteTS[0].String())
	p.agree(2)
	require.Equal(t, 1, p.pa.Calls(spd.OpAcquireDone))
}

func TestCommitBit(t *testing.T) {
	commit := func(of *Endpoint, p *pair) {
		for _, sa := range of.sas {
			for _, x := range sa.exchanges {
				x.flags |= isakmp.FlagCommit
			}
		}
	}
	// The initiator wants to hear CONNECTED, as Windows does.
	p := childPair(t, nil)
	var said []uint8
	p.filter = func(from *Endpoint, tx ike.Transmit) bool {
		if x := isakmp.ExchangeType(tx.Packet[18]); x == isakmp.ExchangeQuickMode {
			said = append(said, tx.Packet[19])
			if from == p.a {
				tx.Packet[19] |= byte(isakmp.FlagCommit) // HASH does not cover it
			}
		}
		return true
	}
	p.initiate()
	p.agree(1)
	require.Len(t, said, 4, "with CONNECTED")
	require.Equal(t, []uint8{1, 3, 1, 3}, said)
	require.Len(t, find[ike.ChildUp](p.evA), 1)
	require.Len(t, find[ike.ChildUp](p.evB), 1)
	p.delivers(inner)

	// The bit in the third message alone is answered too.
	p = childPair(t, nil)
	said = nil
	p.filter = func(from *Endpoint, tx ike.Transmit) bool {
		if isakmp.ExchangeType(tx.Packet[18]) == isakmp.ExchangeQuickMode {
			if said = append(said, tx.Packet[19]); len(said) == 3 {
				tx.Packet[19] |= byte(isakmp.FlagCommit)
			}
		}
		return true
	}
	p.initiate()
	p.agree(1)
	require.Equal(t, []uint8{1, 1, 1, 3}, said)
	p.delivers(inner)

	// CONNECTED is lost: the initiator uses the SA after a while.
	for _, proof := range []string{"time", "traffic", "time, with a key exchange"} {
		p = childPair(t, func(a, b *Peer) {
			if proof != "time" && proof != "traffic" {
				a.Children[0].Proposals = proposals(spd.ProtoESP, "aes128gcm16-ecp256")
				b.Children[0].Proposals = a.Children[0].Proposals
			}
		})
		quick := 0
		p.filter = func(from *Endpoint, tx ike.Transmit) bool {
			if x := isakmp.ExchangeType(tx.Packet[18]); x == isakmp.ExchangeQuickMode {
				commit(p.b, p)
				if from == p.a {
					tx.Packet[19] |= byte(isakmp.FlagCommit)
				}
				if quick++; quick == 4 {
					return false
				}
			}
			return true
		}
		p.initiate()
		require.Empty(t, find[ike.ChildUp](p.evA))
		require.Equal(t, child.InboundOnly, only(t, p.a).Children.All()[0].State)
		if proof != "traffic" {
			p.advance(connectedWait + time.Second)
		} else {
			require.Equal(t, spd.Delivered, p.pb.Send(p.pa, inner.Reverse(), 10).Outcome)
			p.planes()
			p.run()
		}
		require.Len(t, find[ike.ChildUp](p.evA), 1, proof)
		p.agree(1)
		p.delivers(inner)
	}

	// CONNECTED comes as an Informational message with the ID of the Quick Mode
	// (RFC 2408 3.1).
	p = childPair(t, nil)
	p.filter = func(from *Endpoint, tx ike.Transmit) bool {
		if x := isakmp.ExchangeType(tx.Packet[18]); x != isakmp.ExchangeQuickMode {
			return true
		}
		if from == p.a {
			tx.Packet[19] |= byte(isakmp.FlagCommit)
			return true
		}
		for _, sa := range p.b.sas {
			for _, x := range sa.exchanges {
				q, _ := x.of.(*quickMode)
				if q != nil || x.sent == nil {
					continue
				}
				info := sa.prepare(isakmp.ExchangeInformational, x.id, true, nil)
				info.transmit(p.now, info.messageHash, []isakmp.Payload{&isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoESP, SPI: make([]byte, 4), Type: isakmp.NotifyConnected}})
				return false
			}
		}
		return true
	}
	p.initiate()
	require.Len(t, find[ike.ChildUp](p.evA), 1)
	p.agree(1)
}

// Who has a user to authenticate gets no Child SA before.
func TestNoQuickModeBeforeXAuth(t *testing.T) {
	p := childPair(t, nil)
	p.initiate()
	sa := only(t, p.b).current
	sa.state = stateUser
	before := p.b.Stats().Unexpected
	require.NoError(t, p.a.CreateChild(p.now, only(t, p.a).ID, "net", 0, nil))
	p.run()
	require.Equal(t, before+1, p.b.Stats().Unexpected)
	require.Len(t, only(t, p.b).Children.All(), 1)
	require.False(t, slices.ContainsFunc(sortedExchanges(sa.exchanges), func(x *exchange) bool { return x.of != nil }))
}
