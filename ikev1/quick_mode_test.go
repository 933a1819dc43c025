package ikev1

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/internal/quickmode"
	"github.com/racoon3/racoon/internal/secret"
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

func TestRekeyOfChildren(t *testing.T) {
	for name, begin := range map[string]func(p *pair){
		"by the initiator": func(p *pair) { p.rekey(p.a) },
		"by the responder": func(p *pair) { p.rekey(p.b) },
		"by both":          func(p *pair) { p.rekey(p.a); p.rekey(p.b) },
	} {
		t.Run(name, func(t *testing.T) {
			p := childPair(t, nil)
			p.initiate()
			p.noGaps()
			for range 10 {
				begin(p)
				p.advance(5 * time.Second)
				require.LessOrEqual(t, len(p.pa.SAs()), 6)
				p.advance(25 * time.Second)
				p.agree(1)
				require.Len(t, p.pa.SAs(), 2)
			}
			for _, events := range [][]ike.Event{p.evA, p.evB} {
				require.Len(t, find[ike.ChildUp](events), 1)
				require.Empty(t, find[ike.ChildDown](events))
				require.Empty(t, find[ike.RekeyFailed](events))
				rekeyed := find[ike.ChildRekeyed](events)
				for i := range rekeyed[1:] {
					require.Equal(t, rekeyed[i].Child.ChildSPIs, rekeyed[i+1].Old, "one follows another")
				}
			}
		})
	}
}

func (p *pair) rekey(e *Endpoint) {
	s := only(p.t, e)
	for _, a := range s.Children.All() {
		if a.State == child.Mature {
			require.NoError(p.t, e.RekeyChild(p.now, s.ID, a.Info.ID))
			return
		}
	}
	p.t.Fatal("nothing to rekey")
}

// Both sides rekey at the same time on a network that loses Deletes, delays
// messages or turns their order round.
func TestRekeyByBothUnderLoss(t *testing.T) {
	for name, lose := range map[string]func(n int, tx ike.Transmit) bool{
		"all Deletes": func(_ int, tx ike.Transmit) bool {
			return isakmp.ExchangeType(tx.Packet[18]) == isakmp.ExchangeInformational
		},
		"each second": func(n int, _ ike.Transmit) bool { return n%2 == 0 },
		"each third":  func(n int, _ ike.Transmit) bool { return n%3 == 0 },
		"each fourth": func(n int, _ ike.Transmit) bool { return n%4 == 0 },
	} {
		t.Run(name, func(t *testing.T) {
			p := childPair(t, func(a, b *Peer) {
				for _, q := range []*Peer{a, b} {
					q.Children[0].Rekey, q.Children[0].Lifetime = 10*time.Minute, 12*time.Minute
					q.Timing.Liveness = -1
				}
			})
			p.initiate()
			n := 0
			p.filter = func(_ *Endpoint, tx ike.Transmit) bool { n++; return !lose(n, tx) }
			p.noGaps()
			for range 20 {
				p.rekey(p.a)
				p.rekey(p.b)
				p.advance(time.Minute)
				for _, e := range []*Endpoint{p.a, p.b} {
					require.LessOrEqual(t, only(t, e).Children.Len(), 12)
				}
				p.delivers(inner)
			}
			p.filter = nil
			p.rekey(p.a)
			p.advance(15 * time.Minute) // what Deletes did not end, has ended by its lifetime
			p.delivers(inner)
			for _, e := range []*Endpoint{p.a, p.b} {
				require.LessOrEqual(t, only(t, e).Children.Len(), 3)
			}
			require.Empty(t, find[ike.ChildDown](p.evA))
			require.Empty(t, find[ike.ChildDown](p.evB))
		})
	}
}

// The third message is lost: traffic of the initiator shows that it has the SA.
func TestThirdMessageLost(t *testing.T) {
	lost := 0
	lose := func(p *pair) func(from *Endpoint, tx ike.Transmit) bool {
		quick := 0
		return func(from *Endpoint, tx ike.Transmit) bool {
			if from == p.a && isakmp.ExchangeType(tx.Packet[18]) == isakmp.ExchangeQuickMode {
				if quick++; quick > 1 {
					lost++
					return false
				}
			}
			return true
		}
	}
	p := childPair(t, nil)
	p.filter = lose(p)
	p.initiate()
	require.Len(t, find[ike.ChildUp](p.evA), 1)
	require.Empty(t, find[ike.ChildUp](p.evB))
	require.Equal(t, spd.Delivered, p.pa.Send(p.pb, inner, 100).Outcome)
	p.planes()
	p.run()
	require.Len(t, find[ike.ChildUp](p.evB), 1)
	p.agree(1)
	p.delivers(inner)
	before := lost
	p.advance(5 * time.Second)
	require.Equal(t, before, lost, "the responder asks no more")

	// With no traffic, the responder's repetitions get it again.
	p = childPair(t, nil)
	quick := 0
	p.filter = func(from *Endpoint, tx ike.Transmit) bool {
		if from == p.a && isakmp.ExchangeType(tx.Packet[18]) == isakmp.ExchangeQuickMode {
			quick++
			return quick != 2
		}
		return true
	}
	p.initiate()
	p.advance(3 * time.Second)
	p.agree(1)

	// If it never comes, both sides end without the SA.
	p = childPair(t, nil)
	p.filter = lose(p)
	p.initiate()
	p.advance(5 * time.Minute)
	require.Zero(t, only(t, p.a).Children.Len())
	require.Zero(t, only(t, p.b).Children.Len())
	require.Empty(t, p.pa.SAs())
	require.Empty(t, p.pb.SAs())
	require.Len(t, find[ike.ChildDown](p.evA), 1)
	require.Len(t, find[ike.ChildFailed](p.evB), 1)

	// At a rekey the Delete of the old SA shows the same.
	p = childPair(t, nil)
	p.initiate()
	quick = 0
	p.filter = func(from *Endpoint, tx ike.Transmit) bool {
		if from == p.a && isakmp.ExchangeType(tx.Packet[18]) == isakmp.ExchangeQuickMode {
			quick++
			return quick == 1
		}
		return true
	}
	p.rekey(p.a)
	p.advance(15 * time.Second)
	p.agree(1)
	p.delivers(inner)
	require.Len(t, find[ike.ChildRekeyed](p.evB), 1)
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

	// CONNECTED is lost: the initiator uses the SA after a while.
	for _, proof := range []string{"time", "traffic"} {
		p = childPair(t, nil)
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
		if proof == "time" {
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

func TestResponderLifetime(t *testing.T) {
	for _, c := range []struct {
		check     ike.ProposalCheck
		a, b      time.Duration
		va, vb    uint64
		want      time.Duration
		wantBytes uint64
		refused   bool
	}{
		{ike.CheckObey, 2 * time.Hour, time.Hour, 0, 0, 2 * time.Hour, 0, false},
		{ike.CheckStrict, time.Hour, 2 * time.Hour, 0, 0, time.Hour, 0, false},
		{ike.CheckStrict, 2 * time.Hour, time.Hour, 0, 0, 0, 0, true},
		{ike.CheckClaim, 2 * time.Hour, time.Hour, 0, 0, time.Hour, 0, false},
		{ike.CheckClaim, time.Hour, time.Hour, 0, 1 << 20, time.Hour, 1 << 20, false},
		{ike.CheckClaim, time.Hour, time.Hour, 4 << 20, 1 << 20, time.Hour, 1 << 20, false},
		{ike.CheckExact, time.Hour, time.Hour, 0, 0, time.Hour, 0, false},
		{ike.CheckExact, time.Hour, 2 * time.Hour, 0, 0, 0, 0, true},
	} {
		p := childPair(t, func(a, b *Peer) {
			b.Check = c.check
			a.Children[0].Rekey, a.Children[0].Lifetime, a.Children[0].Volume.HardBytes = c.a-time.Minute, c.a, c.va
			b.Children[0].Rekey, b.Children[0].Lifetime, b.Children[0].Volume.HardBytes = c.b-time.Minute, c.b, c.vb
		})
		p.initiate()
		if c.refused {
			p.agree(0)
			require.ErrorContains(t, find[ike.ChildFailed](p.evB)[0].Err, "Lifetime")
			continue
		}
		p.agree(1)
		a, b := only(t, p.a).Children.All()[0].Config, only(t, p.b).Children.All()[0].Config
		require.Equal(t, min(c.want, c.a), a.Lifetime)
		require.LessOrEqual(t, b.Lifetime, c.want)
		require.Equal(t, c.wantBytes, a.Volume.HardBytes)
		require.Equal(t, c.wantBytes, b.Volume.HardBytes)
	}
}

// Lifetimes in kilobytes: the data plane says when they are over.
func TestVolumeLifetime(t *testing.T) {
	p := childPair(t, func(a, b *Peer) {
		for _, q := range []*Peer{a, b} {
			q.Children[0].Volume.HardBytes = 1 << 20
		}
		a.Children[0].Outer, b.Children[0].Outer = proposals(spd.ProtoAH, "sha256"), proposals(spd.ProtoAH, "sha256")
	})
	p.initiate()
	p.agree(1)
	first := only(t, p.a).Children.All()[0].Info.ChildSPIs
	p.pa.Send(p.pb, inner, 1<<20-50_000)
	p.planes()
	p.advance(20 * time.Second)
	p.agree(1)
	require.NotEqual(t, first, only(t, p.a).Children.All()[0].Info.ChildSPIs, "rekeyed at the soft limit")
	p.delivers(inner)
	// The hard limit ends it where nobody may rekey.
	for _, e := range []*Endpoint{p.a, p.b} {
		for _, a := range only(t, e).Children.All() {
			a.Rekeying = true
		}
	}
	p.pa.Send(p.pb, inner, 1<<20)
	p.planes()
	p.advance(time.Second)
	require.Zero(t, only(t, p.a).Children.Len())
	require.Zero(t, only(t, p.b).Children.Len())
	require.Empty(t, p.pa.SAs())
	require.Empty(t, p.pb.SAs())
}

// A Child SA that is not replaced ends by its lifetime.
func TestHardLifetime(t *testing.T) {
	p := childPair(t, func(a, b *Peer) {
		for _, q := range []*Peer{a, b} {
			q.Children[0].Rekey, q.Children[0].Lifetime = -1, time.Hour
		}
	})
	p.initiate()
	p.advance(time.Hour - time.Second)
	p.agree(1)
	p.advance(2 * time.Second)
	p.agree(0)
	require.Equal(t, ike.DownExpired, find[ike.ChildDown](p.evA)[0].Reason)
	require.Len(t, find[ike.ChildDown](p.evA), 1)
	require.Len(t, find[ike.ChildDown](p.evB), 1)
	require.Empty(t, p.pa.Leaks())
}

// Rekeying by the soft lifetime: one side does it, in time.
func TestSoftLifetime(t *testing.T) {
	p := childPair(t, func(a, b *Peer) {
		for _, q := range []*Peer{a, b} {
			q.Children[0].Rekey, q.Children[0].Lifetime = 10*time.Minute, 12*time.Minute
		}
	})
	p.initiate()
	p.noGaps()
	p.advance(2 * time.Hour)
	p.agree(1)
	n := len(find[ike.ChildRekeyed](p.evA))
	require.GreaterOrEqual(t, n, 11)
	require.LessOrEqual(t, n, 14)
	require.Empty(t, find[ike.RekeyFailed](p.evA))
	require.Empty(t, find[ike.ChildDown](p.evA))
}

func TestChildLimit(t *testing.T) {
	var many []spd.TrafficSelector
	for i := range 10 {
		many = append(many, selectors(fmt.Sprintf("10.2.%d.0/24", i))...)
	}
	a, b := pskPeer("b", "a.example", "b.example"), pskPeer("a", "b.example", "a.example")
	a.Children[0].Remote, b.Children[0].Local, b.Children[0].Remote = many, many, a.Children[0].Local
	p := newPair(t, a, b, func(_, b *Config) { b.Limits.Children = 4 })
	p.initiate()
	require.Equal(t, 4, only(t, p.b).Children.Len())
	require.Len(t, find[ike.ChildFailed](p.evA), 6)
	require.ErrorContains(t, find[ike.ChildFailed](p.evB)[0].Err, "limit of 4 Child SAs")
	p.rekey(p.a) // a successor has room
	p.run()
	require.Len(t, find[ike.ChildRekeyed](p.evB), 1)
}

func TestGeneratedPolicies(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy GeneratePolicy
		edit   func(c *ike.ChildConfig) // of the client
		not    string
	}{
		{"off", GenerateOff, nil, "no common traffic"},
		{"on", GenerateOn, nil, ""},
		{"require", GenerateRequire, nil, ""},
		{"unique", GenerateUnique, nil, ""},
		{"ours are not its matter", GenerateOn, func(c *ike.ChildConfig) { c.Remote = selectors("0.0.0.0/0") }, "is not within"},
		{"draws everything to itself", GenerateOn, func(c *ike.ChildConfig) { c.Local = selectors("0.0.0.0/0") }, "overlaps with our"},
		{"draws ours to itself", GenerateOn, func(c *ike.ChildConfig) { c.Local = selectors("10.2.3.4/32") }, "overlaps with our"},
		{"other algorithms", GenerateOn, func(c *ike.ChildConfig) { c.Proposals = proposals(spd.ProtoESP, "aes192-md5") }, "like Child"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := childPair(t, func(a, b *Peer) {
				a.Children[0].Local = selectors("172.16.5.7/32")
				b.GeneratePolicy = c.policy
				b.Children[0].ReqID = 77
				if c.edit != nil {
					c.edit(a.Children[0])
				}
			})
			p.initiate()
			if c.not != "" {
				p.agree(0)
				require.ErrorContains(t, find[ike.ChildFailed](p.evB)[0].Err, c.not)
				require.Empty(t, p.pb.Policies())
				return
			}
			p.agree(1)
			f := flow("172.16.5.7", "10.2.0.1")
			p.delivers(f)
			reqid := p.pb.Bundles()[0].Bundle.ReqID
			require.Equal(t, c.policy != GenerateUnique, reqid == 77)
			p.rekey(p.b)
			p.advance(20 * time.Second)
			p.agree(1)
			p.rekey(p.a)
			p.advance(20 * time.Second)
			p.agree(1)
			p.delivers(f)
			require.Equal(t, reqid, p.pb.Bundles()[0].Bundle.ReqID)
			require.NoError(t, p.a.Delete(p.now, only(t, p.a).ID, ike.DownLocal))
			p.run()
			require.Empty(t, p.pb.Policies(), "they end with the session")
		})
	}
	// They are bounded.
	p := childPair(t, func(a, b *Peer) {
		a.Children[0].Local = nil
		for i := range maxGenerated + 5 {
			a.Children[0].Local = append(a.Children[0].Local, selectors(fmt.Sprintf("172.16.0.%d/32", i+1))...)
		}
		b.GeneratePolicy = GenerateUnique
	})
	p.initiate()
	require.Equal(t, maxGenerated, only(t, p.b).Children.Len())
	require.ErrorContains(t, find[ike.ChildFailed](p.evB)[0].Err, "limit of 32 is reached")
}

// Transport mode behind NATs: the data plane learns what the peers call the
// hosts, for the checksums.
func TestTransportBehindNAT(t *testing.T) {
	p := childPair(t, func(a, b *Peer) {
		for _, q := range []*Peer{a, b} {
			c := q.Children[0]
			c.Mode, c.Local, c.Remote, c.LocalDynamic, c.RemoteDynamic = spd.ModeTransport, nil, nil, true, true
		}
	})
	inside, outside := netip.MustParseAddrPort("192.168.1.7:500"), addrA
	toNAT := func(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(outside.Addr(), a.Port()) }
	p.filter = func(from *Endpoint, tx ike.Transmit) bool {
		if from == p.a {
			path := reverse(tx.Path)
			path.Remote = toNAT(path.Remote)
			p.b.HandleDatagram(p.now, path, tx.Packet)
		} else {
			path := reverse(tx.Path)
			path.Local = netip.AddrPortFrom(inside.Addr(), path.Local.Port())
			p.a.HandleDatagram(p.now, path, tx.Packet)
		}
		return false
	}
	float := ike.Path{Local: netip.AddrPortFrom(inside.Addr(), 4500), Remote: netip.AddrPortFrom(addrB.Addr(), 4500)}
	_, err := p.a.Initiate(p.now, Initiation{Peer: p.a.peers.index.All()[0], Path: ike.Path{Local: inside, Remote: addrB}, NATTPath: float})
	require.NoError(t, err)
	p.run()
	if len(find[ike.ChildUp](p.evA)) == 0 {
		p.explain()
	}
	p.agree(1)
	a, b := p.pa.Bundles()[0].Bundle, p.pb.Bundles()[0].Bundle
	require.True(t, a.UDPEncap && b.UDPEncap)
	require.Equal(t, inside.Addr(), a.LocalTS[0].First)
	require.Equal(t, outside.Addr(), b.RemoteTS[0].First, "what the packets have there")
	require.Equal(t, inside.Addr(), b.OriginalRemote, "what the peer calls itself")
	require.Equal(t, addrB.Addr(), b.OriginalLocal)
	require.Equal(t, outside.Addr(), a.OriginalLocal, "as the peer sees it")
	require.Equal(t, addrB.Addr(), a.OriginalRemote)
}

// rawQuick sends a Quick Mode of its own making as A.
type rawQuick struct{ got []*inbound }

func (*rawQuick) hash(x *exchange, covered []byte) secret.Bytes { return nil }
func (r *rawQuick) receive(_ time.Time, x *exchange, m *inbound) {
	r.got = append(r.got, m)
}
func (*rawQuick) abort(time.Time, *exchange, error) {}

// quick sends a first message of Quick Mode with these payloads after HASH.
func (p *pair) quick(payloads ...isakmp.Payload) {
	sa := only(p.t, p.a).current
	x, err := sa.newExchange(isakmp.ExchangeQuickMode, &rawQuick{})
	require.NoError(p.t, err)
	x.send(p.now, x.messageHash, payloads...)
	p.run()
	x.fail(p.now, errGone)
}

// C07: identities, proposals and protocols of Quick Mode that make no sense are
// refused, with an explanation.
func TestC07_QuickModeNonsense(t *testing.T) {
	p := childPair(t, nil)
	p.initiate()
	s := only(t, p.a)
	policy := s.policyOf(s.current, s.peer.Children[0])
	good, err := policy.Offer(dh.None, quickmode.SPIs{spd.ProtoESP: 0x1000})
	require.NoError(t, err)
	edit := func(f func(sa *isakmp.SA)) *isakmp.SA {
		c, err := policy.Offer(dh.None, quickmode.SPIs{spd.ProtoESP: 0x1000})
		require.NoError(t, err)
		f(c)
		return c
	}
	nonce := &isakmp.Nonce{Data: bytes.Repeat([]byte{1}, 16)}
	idci, _ := isakmp.NewSelectorID(selectors("10.1.0.0/16")[0])
	idcr, _ := isakmp.NewSelectorID(selectors("10.2.0.0/16")[0])
	id := func(t isakmp.IDType, data string) *isakmp.ID { return &isakmp.ID{Type: t, Data: []byte(data)} }
	for name, c := range map[string]struct {
		payloads []isakmp.Payload
		why      string
	}{
		"FQDN in IDcr":          {[]isakmp.Payload{good, nonce, &idci, id(isakmp.IDFQDN, "b.example")}, "INVALID-ID-INFORMATION"},
		"FQDN in IDci":          {[]isakmp.Payload{good, nonce, id(isakmp.IDFQDN, "a.example"), &idcr}, "INVALID-ID-INFORMATION"},
		"key ID":                {[]isakmp.Payload{good, nonce, id(isakmp.IDKeyID, "a"), id(isakmp.IDKeyID, "b")}, "INVALID-ID-INFORMATION"},
		"mask with a hole":      {[]isakmp.Payload{good, nonce, &idci, id(isakmp.IDIPv4AddrSubnet, "\x0a\x02\x00\x00\xff\x00\xff\x00")}, "INVALID-ID-INFORMATION"},
		"reversed range":        {[]isakmp.Payload{good, nonce, &idci, id(isakmp.IDIPv4AddrRange, "\x0a\x02\x00\x09\x0a\x02\x00\x01")}, "INVALID-ID-INFORMATION"},
		"families mixed":        {[]isakmp.Payload{good, nonce, &idci, id(isakmp.IDIPv6Addr, string(make([]byte, 16)))}, "INVALID-ID-INFORMATION"},
		"no nonce":              {[]isakmp.Payload{good, &idci, &idcr}, "NONCE"},
		"no SA":                 {[]isakmp.Payload{nonce, &idci, &idcr}, "SA"},
		"two SAs":               {[]isakmp.Payload{good, good, nonce, &idci, &idcr}, "2 SA payloads"},
		"KE without a group":    {[]isakmp.Payload{good, nonce, &isakmp.KE{Data: make([]byte, 64)}, &idci, &idcr}, "KE"},
		"another DOI":           {[]isakmp.Payload{edit(func(sa *isakmp.SA) { sa.DOI = 9; sa.Situation = 1 }), nonce, &idci, &idcr}, ""},
		"SPI 0":                 {[]isakmp.Payload{edit(func(sa *isakmp.SA) { sa.Proposals[0].SPI = make([]byte, 4) }), nonce, &idci, &idcr}, "SPI"},
		"SPI of 8 octets":       {[]isakmp.Payload{edit(func(sa *isakmp.SA) { sa.Proposals[0].SPI = make([]byte, 8) }), nonce, &idci, &idcr}, "SPI"},
		"AH for ESP":            {[]isakmp.Payload{edit(func(sa *isakmp.SA) { sa.Proposals[0].Protocol = spd.ProtoAH }), nonce, &idci, &idcr}, "Protocols"},
		"protocol 0":            {[]isakmp.Payload{edit(func(sa *isakmp.SA) { sa.Proposals[0].Protocol = 0 }), nonce, &idci, &idcr}, ""},
		"AES-GMAC with 0 key":   {[]isakmp.Payload{edit(func(sa *isakmp.SA) { sa.Proposals[0].Transforms[0].ID = uint8(isakmp.ESPNullAuthAESGMAC) }), nonce, &idci, &idcr}, ""},
		"no transform":          {[]isakmp.Payload{edit(func(sa *isakmp.SA) { sa.Proposals[0].Transforms = nil }), nonce, &idci, &idcr}, ""},
		"another situation":     {[]isakmp.Payload{edit(func(sa *isakmp.SA) { sa.Situation = 2 }), nonce, &idci, &idcr}, ""},
		"one identity only":     {[]isakmp.Payload{good, nonce, &idci}, ""},
		"selectors of nobody's": {[]isakmp.Payload{good, nonce, id(isakmp.IDIPv4Addr, "\x0b\x00\x00\x01"), &idcr}, "no common traffic"},
	} {
		p.evA, p.evB = nil, nil
		p.quick(c.payloads...)
		failed := find[ike.ChildFailed](p.evB)
		if len(failed) == 1 {
			require.ErrorContains(t, failed[0].Err, c.why, name)
		} else {
			require.Empty(t, c.why, name)
		}
		require.Len(t, only(t, p.b).Children.All(), 1, name)
		require.Empty(t, p.pb.Larval(), name)
		require.Empty(t, find[ike.SessionDown](p.evB), name)
	}
	p.delivers(inner)
}

// A refusal is taken for the Quick Mode that it names.
func TestRefusalBySPI(t *testing.T) {
	p := childPair(t, func(a, b *Peer) {
		c := *a.Children[0]
		c.Name, c.Remote = "other", selectors("10.9.0.0/16")
		a.Children = append(a.Children, &c)
	})
	p.initiate()
	p.agree(1)
	failed := find[ike.ChildFailed](p.evA)
	require.Len(t, failed, 1)
	require.Equal(t, "other", failed[0].Name)
	var n *NotifyError
	require.True(t, errors.As(failed[0].Err, &n))
	require.Equal(t, isakmp.NotifyInvalidIDInformation, n.Type)
	require.Contains(t, n.Error(), "10.9.0.0/16")
	require.Empty(t, p.pa.Larval())

	// Without an SPI it may be for any: those that stand do not suffer.
	p = childPair(t, func(a, b *Peer) {
		for _, name := range []string{"second", "third"} {
			c := *a.Children[0]
			c.Name, c.Remote = name, selectors("10.9.0.0/16")
			a.Children = append(a.Children, &c)
		}
	})
	p.filter = func(from *Endpoint, tx ike.Transmit) bool {
		for _, sa := range p.b.sas {
			if from == p.b && isakmp.ExchangeType(tx.Packet[18]) == isakmp.ExchangeInformational && tx.Packet[19] == 1 && !bytes.Contains(tx.Packet, []byte("mine")) {
				sa.sendNotifyWithoutSPI(p)
				return false
			}
		}
		return true
	}
	p.initiate()
	p.advance(10 * time.Second)
	p.agree(1)
	require.Len(t, find[ike.ChildFailed](p.evA), 2)
	for _, f := range find[ike.ChildFailed](p.evA) {
		require.True(t, errors.As(f.Err, &n), "%v", f.Err)
		require.Equal(t, isakmp.NotifyNoProposalChosen, n.Type)
	}
}

// sendNotifyWithoutSPI refuses something at A's, past the network.
func (sa *isakmpSA) sendNotifyWithoutSPI(p *pair) {
	x := sa.prepare(isakmp.ExchangeInformational, uint32(p.a.Stats().Received)<<8|0xff, true, nil)
	packets, _, err := sa.seal(p.now, sa.header(x.kind, x.id), x.iv, x.messageHash, []isakmp.Payload{&isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoESP, Type: isakmp.NotifyNoProposalChosen}})
	require.NoError(p.t, err)
	p.a.HandleDatagram(p.now, pathAB(), packets[0])
}

// An installation that fails changes the answer.
func TestInstallationFails(t *testing.T) {
	for _, op := range []spd.Operation{spd.OpInstallInbound, spd.OpAllocSPI, spd.OpSetPolicies} {
		for _, side := range []string{"initiator", "responder"} {
			p := childPair(t, nil)
			plane := p.pa
			if side == "responder" {
				plane = p.pb
			}
			plane.FailNext(op, errors.New("out of order"))
			p.initiate()
			p.advance(5 * time.Second)
			require.Zero(t, only(t, p.a).Children.Len(), "%v %s", op, side)
			require.Zero(t, only(t, p.b).Children.Len(), "%v %s", op, side)
			require.NotEmpty(t, find[ike.ChildFailed](p.evA))
			for _, plane := range []*spd.Memory{p.pa, p.pb} {
				require.Empty(t, plane.SAs(), "%v %s", op, side)
				require.Empty(t, plane.Larval(), "%v %s", op, side)
				require.Empty(t, plane.Policies(), "%v %s", op, side)
			}
			require.NoError(t, p.a.CreateChild(p.now, only(t, p.a).ID, "net", 0, nil))
			p.run()
			p.agree(1)
		}
	}
}

// A program may refuse what the configuration allows, but not change it.
func TestNarrow(t *testing.T) {
	for _, c := range []struct {
		answer func(r ike.NarrowRequest) ([]spd.TrafficSelector, []spd.TrafficSelector, error)
		ok     bool
	}{
		{func(r ike.NarrowRequest) ([]spd.TrafficSelector, []spd.TrafficSelector, error) {
			return r.Local, r.Remote, nil
		}, true},
		{func(r ike.NarrowRequest) ([]spd.TrafficSelector, []spd.TrafficSelector, error) {
			return nil, nil, errors.New("not today")
		}, false},
		{func(r ike.NarrowRequest) ([]spd.TrafficSelector, []spd.TrafficSelector, error) {
			return selectors("10.2.0.0/24"), r.Remote, nil
		}, false},
	} {
		a, b := pskPeer("b", "a.example", "b.example"), pskPeer("a", "b.example", "a.example")
		b.Children[0].Local, b.Children[0].Remote = b.Children[0].Remote, b.Children[0].Local
		p := newPair(t, a, b, func(_, b *Config) {
			b.Narrow = func(_ context.Context, r ike.NarrowRequest) ([]spd.TrafficSelector, []spd.TrafficSelector, error) {
				return c.answer(r)
			}
		})
		p.initiate()
		require.Equal(t, c.ok, only(t, p.b).Children.Len() == 1)
		require.Equal(t, c.ok, only(t, p.a).Children.Len() == 1)
	}
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
