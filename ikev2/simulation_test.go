package ikev2

import (
	"net/netip"
	"testing"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/core"
	"github.com/racoon3/racoon/internal/coretest"
	"github.com/racoon3/racoon/spd"
)

type (
	sim     = coretest.Sim[*Endpoint, *Peer]
	simNode = coretest.Node[*Endpoint, *Peer]
	profile = coretest.Profile[*Endpoint, *Peer]
	mutant  = coretest.Mutant[*Endpoint, *Peer]
)

// simulation is that of package coretest, with peers that do not keep to the
// protocol.
func simulation() *coretest.Suite[*Endpoint, *Peer] {
	return &coretest.Suite[*Endpoint, *Peer]{
		New: func(s *sim) coretest.Protocol[*Endpoint, *Peer] { return &simProtocol{sim: s} },
		Profiles: append(coretest.StandardProfiles[*Endpoint, *Peer](),
			profile{Name: "malicious peer", Faults: coretest.Reordering, Both: 0.3, Run: runMalicious},
			profile{Name: "impostor", Faults: coretest.Lossy, Run: runImpostor}),
		Schedules: 800, MustVisit: mustVisit,
	}
}

func TestSimulation(t *testing.T) { simulation().Test(t) }

// TestSimulationReplays: the same seed is the same run, to the last octet.
func TestSimulationReplays(t *testing.T) { simulation().Replays(t) }

// simProtocol is what only IKEv2 knows of a schedule.
type simProtocol struct {
	coretest.Basics[*Endpoint, *Peer]
	sim *sim
}

// Boot implements coretest.Protocol.
func (p *simProtocol) Boot(n *simNode, c core.Config) (*Endpoint, error) {
	e, err := NewEndpoint(Config{Rand: c.Rand, DataPlane: c.DataPlane, Tag: c.Tag, Limits: c.Limits, Trace: func(t ike.TraceRecord) { p.trace(n, t) }})
	if err != nil {
		return nil, err
	}
	ps, err := NewPeerSet([]*Peer{n.Peer})
	if err != nil {
		return nil, err
	}
	e.SetPeers(ps)
	return e, nil
}

// Initiate implements coretest.Protocol.
func (p *simProtocol) Initiate(n *simNode, now time.Time) error {
	in := Initiation{Peer: n.Peer, Path: n.Path, Children: []string{"net"}}
	if p.sim.NAT {
		in.NATTPath = ike.Path{Local: netip.AddrPortFrom(n.Path.Local.Addr(), 4500), Remote: netip.AddrPortFrom(n.Path.Remote.Addr(), 4500)}
	}
	_, err := n.Core.Initiate(now, in)
	return err
}

// MayInitiate implements coretest.Protocol: two sessions are no contradiction.
func (p *simProtocol) MayInitiate(n *simNode) bool { return len(n.Up()) < 2 }

// Engine implements coretest.Protocol.
func (p *simProtocol) Engine(e *Endpoint) *core.Core { return &e.engine }

// Sessions implements coretest.Protocol.
func (p *simProtocol) Sessions(e *Endpoint) []*core.Session {
	out := make([]*core.Session, 0, len(e.sessions))
	for s := range e.Sessions() {
		out = append(out, &e.sessions[s.ID].Session)
	}
	return out
}

// Usable implements coretest.Protocol.
func (p *simProtocol) Usable(e *Endpoint, id ike.SessionID) bool {
	s := e.sessions[id]
	return s != nil && s.current != nil && !s.Ending
}

// Peers implements coretest.Protocol: with lifetimes of a minute or of hours.
func (p *simProtocol) Peers() (a, b *Peer) {
	s := p.sim
	a, b = pskPeer("b", "a.example", "b.example"), pskPeer("a", "b.example", "a.example")
	esp := "aes128gcm16-noesn"
	if s.W.Chance(0.2) {
		esp = "aes128gcm16-x25519-noesn"
	}
	short := s.W.Chance(0.5)
	for _, x := range []*Peer{a, b} {
		x.Children = append(x.Children, &ike.ChildConfig{Name: "net2",
			Local:  []spd.TrafficSelector{spd.MustParseTrafficSelector("10.3.0.0/16")},
			Remote: []spd.TrafficSelector{spd.MustParseTrafficSelector("10.4.0.0/16")},
		})
		for _, c := range x.Children {
			c.Proposals = []spd.Proposal{spd.MustParseProposal(spd.ProtoESP, esp)}
			if x == b {
				c.Local, c.Remote = c.Remote, c.Local
			}
			if short {
				c.Rekey, c.Jitter = s.W.Between(20*time.Second, time.Minute), 0.5
				c.Lifetime = c.Rekey + 10*time.Minute
			}
		}
		if short {
			x.Timing.Rekey, x.Timing.Jitter = s.W.Between(20*time.Second, 2*time.Minute), 0.5
			x.Timing.Lifetime = x.Timing.Rekey + 10*time.Minute
		}
		if s.Steady {
			x.Timing.RetransmitTries = 15 // bad luck must not look like a dead peer
		}
		if s.W.Chance(0.3) {
			x.FragmentSize = 576
		}
	}
	return a, b
}

// mustVisit are the pairs without which a run would prove little.
var mustVisit = []coretest.Visit{
	{State: "INIT initiator", Event: "IKE_SA_INIT response"},
	{State: "INIT initiator", Event: "timer: retransmission"},
	{State: "AUTH initiator", Event: "IKE_AUTH response"},
	{State: "AUTH initiator", Event: "IKE_AUTH response: AUTHENTICATION_FAILED"},
	{State: "AUTH initiator", Event: "timer: retransmission"},
	{State: "AUTH initiator", Event: "IKE_SA_INIT response"},
	{State: "AUTH responder", Event: "IKE_AUTH request"},
	{State: "AUTH responder", Event: "timer: lifetime"},
	{State: "ESTABLISHED", Event: "IKE_AUTH request repeated"},
	{State: "ESTABLISHED", Event: "CREATE_CHILD_SA request: new Child"},
	{State: "ESTABLISHED", Event: "CREATE_CHILD_SA request: rekey Child"},
	{State: "ESTABLISHED", Event: "CREATE_CHILD_SA request: rekey IKE"},
	{State: "ESTABLISHED", Event: "CREATE_CHILD_SA request repeated"},
	{State: "ESTABLISHED", Event: "INFORMATIONAL request: delete Child"},
	{State: "ESTABLISHED", Event: "INFORMATIONAL request: delete IKE"},
	{State: "ESTABLISHED", Event: "first packet of a Child SA"},
	{State: "ESTABLISHED", Event: "timer: liveness"},
	{State: "ESTABLISHED", Event: "timer: rekey"},
	{State: "ESTABLISHED, creates Child", Event: "CREATE_CHILD_SA response"},
	{State: "ESTABLISHED, creates Child", Event: "timer: retransmission"},
	{State: "ESTABLISHED, deletes Child", Event: "CREATE_CHILD_SA request: rekey Child"},
	{State: "ESTABLISHED, deletes Child", Event: "CREATE_CHILD_SA request: rekey IKE"},
	{State: "ESTABLISHED, deletes Child", Event: "INFORMATIONAL request: delete Child"},
	{State: "ESTABLISHED, deletes Child", Event: "INFORMATIONAL response: delete Child"},
	{State: "ESTABLISHED, deletes Child", Event: "timer: retransmission"},
	{State: "ESTABLISHED, rekeys Child", Event: "CREATE_CHILD_SA request: rekey Child"},
	{State: "ESTABLISHED, rekeys Child", Event: "CREATE_CHILD_SA request: rekey IKE"},
	{State: "ESTABLISHED, rekeys Child", Event: "CREATE_CHILD_SA response"},
	{State: "ESTABLISHED, rekeys Child", Event: "CREATE_CHILD_SA response: TEMPORARY_FAILURE"},
	{State: "ESTABLISHED, rekeys Child", Event: "INFORMATIONAL request: delete Child"},
	{State: "ESTABLISHED, rekeys Child", Event: "timer: retransmission"},
	{State: "ESTABLISHED, rekeys Child, collision", Event: "CREATE_CHILD_SA response"},
	{State: "ESTABLISHED, rekeys Child, collision", Event: "CREATE_CHILD_SA response: TEMPORARY_FAILURE"},
	{State: "ESTABLISHED, rekeys Child, collision", Event: "INFORMATIONAL request: delete Child"},
	{State: "ESTABLISHED, rekeys Child, collision", Event: "first packet of a Child SA"},
	{State: "ESTABLISHED, rekeys Child, collision", Event: "timer: retransmission"},
	{State: "ESTABLISHED, rekeys IKE", Event: "CREATE_CHILD_SA request: rekey Child"},
	{State: "ESTABLISHED, rekeys IKE", Event: "CREATE_CHILD_SA request: rekey IKE"},
	{State: "ESTABLISHED, rekeys IKE", Event: "CREATE_CHILD_SA response: rekey IKE"},
	{State: "ESTABLISHED, rekeys IKE", Event: "CREATE_CHILD_SA response: TEMPORARY_FAILURE"},
	{State: "ESTABLISHED, rekeys IKE", Event: "INFORMATIONAL request: delete IKE"},
	{State: "ESTABLISHED, rekeys IKE", Event: "timer: retransmission"},
	{State: "ESTABLISHED, rekeys IKE, collision", Event: "CREATE_CHILD_SA response: rekey IKE"},
	{State: "ESTABLISHED, rekeys IKE, collision", Event: "INFORMATIONAL request: delete IKE"},
	{State: "ESTABLISHED, rekeys IKE, collision", Event: "timer: retransmission"},
	{State: "REKEYED", Event: "CREATE_CHILD_SA request repeated"},
	{State: "REKEYED", Event: "INFORMATIONAL request: delete IKE"},
	{State: "DELETING", Event: "INFORMATIONAL request: delete IKE"},
	{State: "DELETING", Event: "timer: retransmission"},
	{State: "DELETING", Event: "timer: lifetime"},
	{State: "none", Event: "INFORMATIONAL for an unknown SA"},
	{State: "man in the middle", Event: "relayed IKE_AUTH"},
}
