package ikev1

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/internal/simnet"
	"github.com/racoon3/racoon/spd"
)

// simNode is an endpoint with its data plane in a simulated world. It is the
// core that the world drives: each call is noted with the state that it met,
// and a mutant spoils it.
type simNode struct {
	*Endpoint
	s       *sim
	name    string
	peer    *Peer
	path    ike.Path // to the other
	plane   *spd.Memory
	node    *simnet.Node
	mutant  *mutant
	running ike.JobKind

	ups    map[ike.SessionID]bool
	child  map[ike.ChildID]ike.SessionID // Child SAs that the events say are up
	downs  int
	noted  map[*child.Timer]bool
	forgot map[isakmp.Cookie]bool // ISAKMP SAs that were here
}

// A mutant is a way to break a core at its boundary, or from within before it
// is called. The simulation must notice.
type mutant struct {
	datagram func(n *simNode, h isakmp.Header, sa *isakmpSA) // before HandleDatagram
	result   func(n *simNode, r ike.Result) bool             // false: swallow it
	job      func(n *simNode, j ike.Job) ike.Job
	transmit func(n *simNode, tx ike.Transmit) bool // false: swallow it
}

func (s *sim) newNode(name string, peer *Peer, path ike.Path, nat netip.Addr) *simNode {
	n := &simNode{s: s, name: name, peer: peer, path: path}
	n.boot()
	n.node = s.w.AddNode(simnet.NodeConfig{Name: name, Core: n, Addr: path.Local.Addr(), NAT: nat,
		DataPlane: func() []spd.Event { return n.plane.PollEvents() }, Event: n.event})
	return n
}

// boot makes an endpoint and a plane that know nothing.
func (n *simNode) boot() {
	s := n.s
	rand := s.w.NewReader()
	n.plane = spd.NewMemory(spd.MemoryConfig{
		Fail: func(op spd.Operation) error {
			// What gives something back must not fail.
			if (n.running == ike.JobAllocSPI || n.running == ike.JobInstall || n.running == ike.JobQuery) && s.w.Chance(s.planeFail[op]) {
				s.w.Fired[simnet.JobFailed]++
				return fmt.Errorf("%v: %w", op, simnet.ErrInjected)
			}
			return nil
		},
		SPI: func() spd.SPI { return spd.SPI(s.w.Rand().Uint32() | 0x1000) },
		Now: func() time.Time {
			if n.node == nil {
				return s.w.Now()
			}
			return n.node.Now()
		},
	})
	e, err := NewEndpoint(Config{Rand: rand, DataPlane: n.plane, Tag: n.name[0], Trace: n.trace, Limits: s.limits})
	if err != nil {
		panic(err)
	}
	ps, err := NewPeerSet([]*Peer{n.peer})
	if err != nil {
		panic(err)
	}
	e.SetPeers(ps)
	n.Endpoint = e
	n.ups, n.child = map[ike.SessionID]bool{}, map[ike.ChildID]ike.SessionID{}
	n.noted, n.forgot = map[*child.Timer]bool{}, map[isakmp.Cookie]bool{}
}

func (n *simNode) restart() {
	n.boot()
	n.node.Restart(n)
}

func (n *simNode) other() *simNode {
	if n == n.s.a {
		return n.s.b
	}
	return n.s.a
}

// up returns the established sessions, oldest first.
func (n *simNode) up() []*session {
	var up []*session
	for _, id := range slices.Sorted(maps.Keys(n.sessions)) {
		if s := n.sessions[id]; s.Up {
			up = append(up, s)
		}
	}
	return up
}

// HandleDatagram implements simnet.Core.
func (n *simNode) HandleDatagram(now time.Time, path ike.Path, b []byte) {
	if h, err := isakmp.ParseHeader(b); err == nil {
		sa := n.find(path, h)
		if n.mutant != nil && n.mutant.datagram != nil {
			n.mutant.datagram(n, h, sa)
		}
		switch {
		case h.NextPayload == isakmp.PayloadFragment:
			n.s.visit(stateOf(sa), "fragment")
		case sa == nil && h.CookieR == 0:
			n.s.visit("none", exchangeName(h.Exchange)+" begins")
		case sa == nil:
			n.s.visit("none", exchangeName(h.Exchange)+" for an unknown SA")
		}
	}
	repeated, bad, unexpected := n.Count.Repeated, n.Count.BadIntegrity, n.Count.Unexpected
	state := ""
	if h, err := isakmp.ParseHeader(b); err == nil {
		state = stateOf(n.find(path, h))
	}
	n.Endpoint.HandleDatagram(now, path, b)
	switch {
	case n.Count.Repeated > repeated:
		n.s.visit(state, "repetition")
	case n.Count.BadIntegrity > bad:
		n.s.visit(state, "not genuine")
	case n.Count.Unexpected > unexpected:
		n.s.visit(state, "unexpected")
	}
	n.adopt()
	n.bounded()
}

// HandleTimeout implements simnet.Core.
func (n *simNode) HandleTimeout(now time.Time) {
	n.Endpoint.HandleTimeout(now)
	n.adopt()
}

// HandleResult implements simnet.Core.
func (n *simNode) HandleResult(now time.Time, r ike.Result) {
	if n.mutant != nil && n.mutant.result != nil && !n.mutant.result(n, r) {
		return
	}
	n.Endpoint.HandleResult(now, r)
	n.adopt()
}

// HandleDataPlane implements simnet.Core.
func (n *simNode) HandleDataPlane(now time.Time, ev spd.Event) {
	if e, ok := ev.(spd.FirstPacketEvent); ok {
		if s, ok := n.sessions[n.Owner(e.ID)]; ok {
			n.s.visit(stateOf(s.current), "first packet of a Child SA")
		}
	}
	n.Endpoint.HandleDataPlane(now, ev)
}

// PollJob implements simnet.Core.
func (n *simNode) PollJob() (ike.Job, bool) {
	j, ok := n.Endpoint.PollJob()
	run := j.Run
	j.Run = func(ctx context.Context) (any, error) {
		n.running = j.Kind
		return run(ctx)
	}
	if ok && n.mutant != nil && n.mutant.job != nil {
		j = n.mutant.job(n, j)
	}
	return j, ok
}

// PollTransmit implements simnet.Core.
func (n *simNode) PollTransmit() (ike.Transmit, bool) {
	tx, ok := n.Endpoint.PollTransmit()
	for ok && n.mutant != nil && n.mutant.transmit != nil && !n.mutant.transmit(n, tx) {
		tx, ok = n.Endpoint.PollTransmit()
	}
	return tx, ok
}

// adopt makes the timers of new SAs and sessions tell when they fire.
func (n *simNode) adopt() {
	note := func(t *child.Timer, state func() string, name string) {
		if n.noted[t] || t.Owner == nil {
			return
		}
		n.noted[t] = true
		fire := t.Owner
		t.Owner = func(now time.Time) {
			n.s.visit(state(), name)
			fire(now)
		}
	}
	for _, sa := range n.sas {
		n.forgot[sa.local] = true
		state := func() string { return stateOf(sa) }
		note(&sa.retransmit, state, "timer: last message of phase 1")
		note(&sa.soft, state, "timer: renewal")
		note(&sa.hard, state, "timer: lifetime")
		for _, x := range sa.exchanges {
			note(&x.timer, state, "timer: "+exchangeName(x.kind))
		}
	}
	for _, s := range n.sessions {
		note(&s.LivenessTimer, func() string { return stateOf(s.current) }, "timer: liveness")
	}
}

// stateOf names the state of an ISAKMP SA, with what goes on under it.
func stateOf(sa *isakmpSA) string {
	if sa == nil {
		return "none"
	}
	role := " responder"
	if sa.initiator {
		role = " initiator"
	}
	if sa.state == statePhase1 {
		return fmt.Sprintf("%v%s %d", sa.mode, role, sa.p1.step)
	}
	var doing [5]bool
	for _, x := range sa.exchanges {
		switch of := x.of.(type) {
		case *quickMode:
			switch {
			case x.initiator && of.old != nil:
				doing[0] = true
			case x.initiator:
				doing[1] = true
			default:
				doing[2] = true
			}
		case *transaction:
			doing[3] = true
		}
	}
	st := sa.state.String()
	for i, what := range []string{", rekeys Child", ", creates Child", ", answers Quick Mode", ", transaction"} {
		if doing[i] {
			st += what
		}
	}
	if len(sa.s.sas) > 1 && sa.s.negotiating() {
		st += ", renewed"
	}
	return st
}

// trace notes an accepted message: what came, and in which state it was met.
func (n *simNode) trace(t ike.TraceRecord) {
	h, err := isakmp.ParseHeader(t.Message)
	if err != nil {
		return
	}
	chain, err := isakmp.ParsePaddedChain(h.NextPayload, t.Message[isakmp.HeaderLen:])
	if err != nil {
		return
	}
	payloads, err := chain.Payloads()
	if err != nil {
		return
	}
	what := describe(h, payloads)
	dir := "<-"
	if t.Outbound {
		dir = "->"
	}
	about := ""
	for d := range payloads.Deletes() {
		about += fmt.Sprintf(" %x", d.SPIs)
	}
	n.s.w.Tracef("%s %s %04x/%04x #%08x %s%s", n.name, dir, uint64(h.CookieI)&0xffff, uint64(h.CookieR)&0xffff, h.MessageID, what, about)
	if !t.Outbound {
		n.s.visit(stateOf(n.find(t.Path, h)), what)
	}
}

func exchangeName(x isakmp.ExchangeType) string {
	switch x {
	case isakmp.ExchangeIdentityProtection:
		return "Main Mode"
	case isakmp.ExchangeAggressive:
		return "Aggressive Mode"
	case isakmp.ExchangeBase:
		return "Base Mode"
	case isakmp.ExchangeQuickMode:
		return "Quick Mode"
	case isakmp.ExchangeInformational:
		return "Informational"
	case isakmp.ExchangeTransaction:
		return "Transaction"
	}
	return "unknown exchange"
}

// describe says what a message is about.
func describe(h isakmp.Header, m isakmp.Payloads) string {
	s := exchangeName(h.Exchange)
	switch h.Exchange {
	case isakmp.ExchangeQuickMode:
		if m.SA() == nil {
			s += ": confirmation"
		}
	case isakmp.ExchangeTransaction:
		if a := m.Attributes(); a != nil {
			s += fmt.Sprintf(": %v", a.Type)
		}
	}
	for d := range m.Deletes() {
		if d.Protocol == spd.ProtoIKE {
			s += ": delete ISAKMP SA"
		} else {
			s += ": delete Child"
		}
	}
	for n := range m.Notifies() {
		if name := n.Type.String(); !strings.Contains(name, "(") {
			s += ": " + name
		} else {
			s += ": an unknown notification"
		}
	}
	return s
}

// event keeps book of what the core reports, and checks what an event claims.
func (n *simNode) event(now time.Time, ev ike.Event) {
	id := ev.Header().Session
	n.s.w.Tracef("%s: %T %x %s", n.name, ev, id&0xffff, explain(ev))
	steady := n.s.steady && n.s.w.Elapsed() < n.s.activeFor
	switch ev := ev.(type) {
	case ike.SessionUp:
		n.ups[id] = true
		n.s.checkUp(n, id)
	case ike.SessionDown:
		if !n.ups[id] {
			n.s.failf("%s: SessionDown for session %x, which was not up", n.name, id)
		}
		delete(n.ups, id)
		n.downs++
		if steady {
			n.s.failf("%s: session ended although nothing should end it: %v %v", n.name, ev.Reason, ev.Err)
		}
	case ike.ChildUp:
		if _, twice := n.child[ev.Child.ID]; twice {
			n.s.failf("%s: ChildUp for %q %x, which was up", n.name, ev.Child.Name, ev.Child.ID)
		}
		n.child[ev.Child.ID] = id
	case ike.ChildRekeyed:
		if _, there := n.child[ev.Child.ID]; !there {
			n.s.failf("%s: ChildRekeyed for %q %x, which was not up", n.name, ev.Child.Name, ev.Child.ID)
		}
	case ike.ChildDown:
		if _, there := n.child[ev.Child.ID]; !there {
			n.s.failf("%s: ChildDown for %q %x, which was not up", n.name, ev.Child.Name, ev.Child.ID)
		}
		delete(n.child, ev.Child.ID)
		if steady {
			n.s.failf("%s: Child SA ended although nothing should end it: %v %v", n.name, ev.Reason, ev.Err)
		}
	}
}

// explain shows the reason that an event carries.
func explain(ev ike.Event) string {
	switch ev := ev.(type) {
	case ike.SessionFailed:
		return fmt.Sprint(ev.Err)
	case ike.SessionDown:
		return fmt.Sprint(ev.Reason, " ", ev.Err)
	case ike.ChildUp:
		return fmt.Sprintf("%x in %08x out %08x", ev.Child.ID&0xffff, ev.Child.In, ev.Child.Out)
	case ike.ChildRekeyed:
		return fmt.Sprintf("%x in %08x out %08x, old in %08x out %08x", ev.Child.ID&0xffff, ev.Child.In, ev.Child.Out, ev.Old.In, ev.Old.Out)
	case ike.ChildFailed:
		return fmt.Sprint(ev.Err)
	case ike.RekeyFailed:
		return fmt.Sprint(ev.Err)
	case ike.ChildDown:
		return fmt.Sprintf("%x in %08x: %v %v", ev.Child.ID&0xffff, ev.Child.In, ev.Reason, ev.Err)
	case ike.Warning:
		return fmt.Sprint(ev.Err)
	}
	return ""
}

// Bounds of what one peer may make an endpoint hold in a simulation.
const (
	maxSAsPerSession  = 8
	maxJobsPerSession = 64
)

// bounded checks that nobody has made the endpoint hold too much.
func (n *simNode) bounded() {
	sessions := len(n.sessions) + 1
	switch {
	case len(n.sas) > maxSAsPerSession*sessions+n.s.w.Steps()/50+16:
		n.s.failf("%s: %d ISAKMP SAs for %d sessions", n.name, len(n.sas), len(n.sessions))
	case n.Held().Jobs > maxJobsPerSession*sessions:
		n.s.failf("%s: %d jobs for %d sessions", n.name, n.Held().Jobs, len(n.sessions))
	}
	for _, s := range n.sessions {
		if c, most := s.Children.Len(), 2*n.Limits.Children+2; c > most {
			n.s.failf("%s: %d Child SAs in a session, the limit is %d", n.name, c, most)
		}
	}
	for _, sa := range n.sas {
		if x, most := len(sa.exchanges), maxExchanges+2*n.Limits.Queue; x > most {
			n.s.failf("%s: %d exchanges under an ISAKMP SA, the limit is %d", n.name, x, most)
		}
	}
}
