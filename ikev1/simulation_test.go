package ikev1

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/core"
	"github.com/racoon3/racoon/internal/coretest"
	"github.com/racoon3/racoon/spd"
)

type (
	sim     = coretest.Sim[*Endpoint, *Peer]
	simNode = coretest.Node[*Endpoint, *Peer]
	profile = coretest.Profile[*Endpoint, *Peer]
)

// simulation is that of package coretest, with road warriors: XAuth, and
// addresses by mode config.
func simulation(t testing.TB) *coretest.Suite[*Endpoint, *Peer] {
	roadwarrior := func(name string, p profile) profile {
		p.Name, p.Kind, p.OnlyFirst, p.Both = name, "roadwarrior", true, 0
		return p
	}
	all := coretest.StandardProfiles[*Endpoint, *Peer]()
	all = append(all,
		roadwarrior("roadwarrior", all[2]),
		roadwarrior("roadwarrior and chaos", all[3]),
		roadwarrior("roadwarrior, failing jobs", all[5]))
	return &coretest.Suite[*Endpoint, *Peer]{
		New: func(s *sim) coretest.Protocol[*Endpoint, *Peer] {
			return &simProtocol{t: t, sim: s, forgot: map[*simNode]map[isakmp.Cookie]bool{}}
		},
		Profiles: all, Schedules: 800, MustVisit: mustVisit,
	}
}

func TestSimulation(t *testing.T) { simulation(t).Test(t) }

// TestSimulationReplays: the same seed is the same run, to the last octet.
func TestSimulationReplays(t *testing.T) { simulation(t).Replays(t) }

// simProtocol is what only IKEv1 knows of a schedule.
type simProtocol struct {
	coretest.Basics[*Endpoint, *Peer]
	t       testing.TB
	sim     *sim
	longest time.Duration // of what a lost Delete may leave on one side
	lender  *lender
	forgot  map[*simNode]map[isakmp.Cookie]bool // ISAKMP SAs that were here
}

// Boot implements coretest.Protocol.
func (p *simProtocol) Boot(n *simNode, c core.Config) (*Endpoint, error) {
	p.forgot[n] = map[isakmp.Cookie]bool{}
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

// Established implements coretest.Protocol: of the sessions with one identity the
// one that it began last stays, which is the Manager's to see to.
func (p *simProtocol) Established(n *simNode, id ike.SessionID) {
	up := n.Core.sessions[id]
	if up == nil || up.Initiator {
		return
	}
	for _, old := range n.Up() {
		if old.ID != id && !old.Established.After(up.Established) {
			p.sim.W.After(handover, func() {
				n.Net.Do(func(now time.Time) { _ = n.Core.Delete(now, old.ID, ike.DownReplaced) })
			})
		}
	}
}

// handover is how long a session that is replaced goes on.
const handover = time.Second

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

// Peers implements coretest.Protocol: in any mode, with lifetimes of a minute or
// of half an hour.
func (p *simProtocol) Peers() (a, b *Peer) {
	s := p.sim
	r := s.W.Rand()
	a, b = pskPeer("b", "a.example", "b.example"), pskPeer("a", "b.example", "a.example")
	mode := MainMode + Mode(r.IntN(3))
	esp := []string{"aes128gcm16-noesn", "aes128-sha1-noesn", "aes128gcm16-ecp256-noesn"}[r.IntN(3)]
	rekey, life := 20*time.Minute, 25*time.Minute
	childRekey, childLife := 20*time.Minute, 24*time.Minute
	if s.W.Chance(0.5) {
		rekey, life = s.W.Between(time.Minute, 2*time.Minute), s.W.Between(6*time.Minute, 10*time.Minute)
		childRekey, childLife = s.W.Between(40*time.Second, 2*time.Minute), s.W.Between(5*time.Minute, 10*time.Minute)
	}
	if s.Steady {
		// It takes minutes to find out that the other side has no longer an ISAKMP
		// SA, when tries are many.
		life, childLife = life+15*time.Minute, childLife+15*time.Minute
	}
	p.longest = max(life, childLife)
	fragments := s.W.Chance(0.3)
	for _, c := range []*Peer{a, b} {
		c.Modes = []Mode{mode}
		c.Children = append(c.Children, &ike.ChildConfig{Name: "net2",
			Local:  []spd.TrafficSelector{spd.MustParseTrafficSelector("10.3.0.0/16")},
			Remote: []spd.TrafficSelector{spd.MustParseTrafficSelector("10.4.0.0/16")},
		})
		for _, n := range c.Children {
			n.Proposals = []spd.Proposal{spd.MustParseProposal(spd.ProtoESP, esp)}
			if c == b {
				n.Local, n.Remote = n.Remote, n.Local
			}
			n.Rekey, n.Lifetime, n.Jitter = childRekey, childLife, 0.3
		}
		c.Timing.Rekey, c.Timing.Lifetime, c.Timing.Jitter = rekey, life, 0.3
		if s.Steady {
			c.Timing.RetransmitTries = 15 // bad luck must not look like a dead peer
		}
		if fragments {
			c.Fragmentation, c.FragmentSize = FragmentForce, smallFragment4
		}
	}
	if fragments && strings.Contains(esp, "ecp256") { // about one in ten, without a further random number
		p.privateGroups(a, b)
	}
	if s.Kind == "roadwarrior" {
		p.roadwarrior(a, b)
	}
	return a, b
}

// privateGroups makes New Group Mode come before rekeys and renewals. Each side
// has a number of its own for the group.
func (p *simProtocol) privateGroups(a, b *Peer) {
	for c, number := range map[*Peer]dh.ID{a: 32768, b: 40000} {
		c.PrivateGroups = []*dh.PrivateGroup{privateGroup(p.t, number, 0)}
		c.Proposals = []spd.Proposal{c.Proposals[0].WithKE(uint16(number), spd.KEECP256)}
		for _, n := range c.Children {
			n.Proposals = []spd.Proposal{n.Proposals[0].WithKE(uint16(number))}
		}
	}
}

// roadwarrior makes a the client of b: with XAuth, hybrid or not, and an address
// that it asks for or is pushed.
func (p *simProtocol) roadwarrior(client, gateway *Peer) {
	for _, c := range []*Peer{client, gateway} {
		c.Methods = []AuthMethod{AuthXAuthInitPSK}
	}
	users, err := ike.NewMemoryUsers(map[string]ike.User{"alice": {Password: ike.Secret("alice's password")}})
	require.NoError(p.t, err)
	p.lender = &lender{t: p.t, lent: map[netip.Addr]bool{}}
	gateway.Users, gateway.Assign, gateway.PushConfig = users, p.lender, p.sim.W.Chance(0.5)
	client.Prompt = ike.StaticUser("alice", ike.Secret("alice's password"))
	client.Request = &ike.ConfigRequest{IPv4: true, DNS: true}
	for i := range client.Children {
		client.Children[i].Local, client.Children[i].LocalDynamic = nil, true
		gateway.Children[i].Remote, gateway.Children[i].RemoteDynamic = nil, true
	}
}

// mustVisit are the pairs without which a run would prove little.
var mustVisit = []coretest.Visit{
	{State: "Aggressive Mode initiator 2", Event: "Aggressive Mode"},
	{State: "Aggressive Mode initiator 2", Event: "timer: last message of phase 1"},
	{State: "Aggressive Mode responder 1", Event: "Aggressive Mode"},
	{State: "Aggressive Mode responder 3", Event: "Aggressive Mode"},
	{State: "Aggressive Mode responder 3", Event: "Aggressive Mode: INITIAL-CONTACT"},
	{State: "Aggressive Mode responder 3", Event: "repetition"},
	{State: "Aggressive Mode responder 3", Event: "timer: lifetime"},
	{State: "Base Mode initiator 2", Event: "Base Mode"},
	{State: "Base Mode initiator 2", Event: "timer: last message of phase 1"},
	{State: "Base Mode initiator 4", Event: "Base Mode"},
	{State: "Base Mode initiator 4", Event: "timer: last message of phase 1"},
	{State: "Base Mode responder 1", Event: "Base Mode"},
	{State: "Base Mode responder 3", Event: "Base Mode"},
	{State: "Base Mode responder 3", Event: "repetition"},
	{State: "ESTABLISHED", Event: "Informational: INITIAL-CONTACT"},
	{State: "ESTABLISHED", Event: "Informational: R-U-THERE"},
	{State: "ESTABLISHED", Event: "Informational: R-U-THERE-ACK"},
	{State: "ESTABLISHED", Event: "Informational: delete Child"},
	{State: "ESTABLISHED", Event: "Informational: delete Child: delete ISAKMP SA"},
	{State: "ESTABLISHED", Event: "Informational: delete ISAKMP SA"},
	{State: "ESTABLISHED", Event: "Quick Mode"},
	{State: "ESTABLISHED", Event: "Transaction: ISAKMP_CFG_REQUEST"},
	{State: "ESTABLISHED", Event: "first packet of a Child SA"},
	{State: "ESTABLISHED", Event: "repetition"},
	{State: "ESTABLISHED", Event: "timer: Quick Mode"},
	{State: "ESTABLISHED", Event: "timer: Transaction"},
	{State: "ESTABLISHED", Event: "timer: last message of phase 1"},
	{State: "ESTABLISHED", Event: "timer: lifetime"},
	{State: "ESTABLISHED", Event: "timer: liveness"},
	{State: "ESTABLISHED", Event: "timer: renewal"},
	{State: "ESTABLISHED", Event: "New Group Mode"},
	{State: "ESTABLISHED, proposes a group", Event: "New Group Mode"},
	{State: "ESTABLISHED, proposes a group", Event: "repetition"},
	{State: "ESTABLISHED, proposes a group", Event: "timer: New Group Mode"},
	{State: "ESTABLISHED, answers Quick Mode", Event: "Quick Mode: confirmation"},
	{State: "ESTABLISHED, answers Quick Mode", Event: "first packet of a Child SA"},
	{State: "ESTABLISHED, answers Quick Mode", Event: "repetition"},
	{State: "ESTABLISHED, answers Quick Mode", Event: "timer: Quick Mode"},
	{State: "ESTABLISHED, creates Child", Event: "Informational: INVALID-ID-INFORMATION"},
	{State: "ESTABLISHED, creates Child", Event: "Quick Mode"},
	{State: "ESTABLISHED, creates Child", Event: "timer: Quick Mode"},
	{State: "ESTABLISHED, creates Child", Event: "timer: last message of phase 1"},
	{State: "ESTABLISHED, creates Child, transaction", Event: "Quick Mode"},
	{State: "ESTABLISHED, rekeys Child", Event: "Informational: INVALID-ID-INFORMATION"},
	{State: "ESTABLISHED, rekeys Child", Event: "Informational: delete Child"},
	{State: "ESTABLISHED, rekeys Child", Event: "Quick Mode"},
	{State: "ESTABLISHED, rekeys Child", Event: "timer: Quick Mode"},
	{State: "ESTABLISHED, rekeys Child, answers Quick Mode", Event: "Quick Mode"},
	{State: "ESTABLISHED, rekeys Child, answers Quick Mode", Event: "first packet of a Child SA"},
	{State: "ESTABLISHED, transaction", Event: "Transaction: ISAKMP_CFG_ACK"},
	{State: "ESTABLISHED, transaction", Event: "Transaction: ISAKMP_CFG_REPLY"},
	{State: "ESTABLISHED, transaction", Event: "Transaction: ISAKMP_CFG_REQUEST"},
	{State: "ESTABLISHED, transaction", Event: "Transaction: ISAKMP_CFG_SET"},
	{State: "ESTABLISHED, transaction", Event: "repetition"},
	{State: "ESTABLISHED, transaction", Event: "timer: Transaction"},
	{State: "Main Mode initiator 2", Event: "Main Mode"},
	{State: "Main Mode initiator 2", Event: "timer: last message of phase 1"},
	{State: "Main Mode initiator 4", Event: "Main Mode"},
	{State: "Main Mode initiator 4", Event: "timer: last message of phase 1"},
	{State: "Main Mode initiator 6", Event: "Main Mode"},
	{State: "Main Mode initiator 6", Event: "Main Mode: INITIAL-CONTACT"},
	{State: "Main Mode initiator 6", Event: "timer: last message of phase 1"},
	{State: "Main Mode responder 1", Event: "Main Mode"},
	{State: "Main Mode responder 3", Event: "Main Mode"},
	{State: "Main Mode responder 3", Event: "repetition"},
	{State: "Main Mode responder 5", Event: "Main Mode"},
	{State: "Main Mode responder 5", Event: "Main Mode: INITIAL-CONTACT"},
	{State: "Main Mode responder 5", Event: "repetition"},
	{State: "XAUTH", Event: "Transaction: ISAKMP_CFG_REQUEST"},
	{State: "XAUTH", Event: "Transaction: ISAKMP_CFG_SET"},
	{State: "XAUTH, transaction", Event: "Informational: INITIAL-CONTACT"},
	{State: "XAUTH, transaction", Event: "Transaction: ISAKMP_CFG_ACK"},
	{State: "XAUTH, transaction", Event: "Transaction: ISAKMP_CFG_REPLY"},
	{State: "XAUTH, transaction", Event: "timer: Transaction"},
	{State: "none", Event: "Aggressive Mode begins"},
	{State: "none", Event: "Aggressive Mode for an unknown SA"},
	{State: "none", Event: "Base Mode begins"},
	{State: "none", Event: "Base Mode for an unknown SA"},
	{State: "none", Event: "Informational for an unknown SA"},
	{State: "none", Event: "Main Mode begins"},
	{State: "none", Event: "Main Mode for an unknown SA"},
	{State: "none", Event: "Quick Mode for an unknown SA"},
	{State: "none", Event: "Transaction for an unknown SA"},
}
