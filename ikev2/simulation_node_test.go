package ikev2

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
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

	ups   map[ike.SessionID]bool
	child map[simChild]int // Child SAs that the events say are up
	downs int
	known map[*ikeSA]bool
	found map[*session]bool
}

type simChild struct {
	session ike.SessionID
	name    string
}

// A mutant is a way to break a core at its boundary, or from within before it
// is called. The simulation must notice.
type mutant struct {
	name     string
	datagram func(n *simNode, h message.Header, sa *ikeSA) // before HandleDatagram
	result   func(n *simNode, r ike.Result) bool           // false: swallow it
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
	n.ups, n.child = map[ike.SessionID]bool{}, map[simChild]int{}
	n.known, n.found = map[*ikeSA]bool{}, map[*session]bool{}
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
		if s := n.sessions[id]; s.Up && s.current != nil && !s.Ending {
			up = append(up, s)
		}
	}
	return up
}

// HandleDatagram implements simnet.Core.
func (n *simNode) HandleDatagram(now time.Time, path ike.Path, b []byte) {
	h, err := message.ParseHeader(b)
	if err == nil {
		local := h.SPIr
		if !h.FromInitiator() {
			local = h.SPIi
		}
		sa := n.sas[local]
		if n.mutant != nil && n.mutant.datagram != nil {
			n.mutant.datagram(n, h, sa)
		}
		switch {
		case h.Exchange == message.ExchangeIKESAInit && !h.IsResponse():
			n.s.visit("none", "IKE_SA_INIT request")
		case sa == nil:
			n.s.visit("none", exchangeName(h.Exchange)+" for an unknown SA")
		case sa.req == nil && h.IsResponse():
			n.s.visit(stateOf(sa), exchangeName(h.Exchange)+" response unasked")
		case sa.repeats(h):
			n.s.visit(stateOf(sa), exchangeName(h.Exchange)+" request repeated")
		case h.Exchange == message.ExchangeIKESAInit:
			n.s.visit(stateOf(sa), "IKE_SA_INIT response")
		}
	}
	n.Endpoint.HandleDatagram(now, path, b)
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
	for _, sa := range n.sas {
		if n.known[sa] {
			continue
		}
		n.known[sa] = true
		note := func(t *child.Timer, name string) {
			fire := t.Owner
			t.Owner = func(now time.Time) {
				n.s.visit(stateOf(sa), name)
				fire(now)
			}
		}
		note(&sa.retransmit, "timer: retransmission")
		note(&sa.soft, "timer: rekey")
		note(&sa.hard, "timer: lifetime")
	}
	for _, s := range n.sessions {
		if n.found[s] {
			continue
		}
		n.found[s] = true
		fire := s.LivenessTimer.Owner
		s.LivenessTimer.Owner = func(now time.Time) {
			n.s.visit(stateOf(s.current), "timer: liveness")
			fire(now)
		}
	}
}

// stateOf names the state of an IKE SA, with what it is about.
func stateOf(sa *ikeSA) string {
	if sa == nil {
		return "none"
	}
	st := sa.state.String()
	if sa.state < stateEstablished {
		if sa.initiator {
			return st + " initiator"
		}
		return st + " responder"
	}
	rival := func(is bool) string {
		if is {
			return ", collision"
		}
		return ""
	}
	switch t := sa.active.(type) {
	case *createChild:
		if t.x.old != nil {
			return st + ", rekeys Child" + rival(t.rival != nil)
		}
		return st + ", creates Child"
	case *rekeyIKE:
		return st + ", rekeys IKE" + rival(t.rival != nil)
	case *informational:
		switch {
		case t.deletes != nil:
			return st + ", deletes Child"
		case !t.deletesIKE && len(t.payloads) == 0:
			return st + ", liveness"
		}
	}
	return st
}

// trace notes an accepted message: what came, and in which state it was met.
func (n *simNode) trace(t ike.TraceRecord) {
	m, err := message.Parse(t.Message)
	if err != nil {
		return
	}
	what := describe(m)
	if n.s.w != nil {
		dir := "<-"
		if t.Outbound {
			dir = "->"
		}
		n.s.w.Tracef("%s %s #%d %s", n.name, dir, m.Header.MessageID, what)
	}
	if t.Outbound || m.Header.Exchange == message.ExchangeIKESAInit {
		return
	}
	local := m.Header.SPIr
	if !m.Header.FromInitiator() {
		local = m.Header.SPIi
	}
	n.s.visit(stateOf(n.sas[local]), what)
}

func exchangeName(x message.ExchangeType) string {
	if x < message.ExchangeIKESAInit || x > message.ExchangeInformational {
		return "unknown exchange"
	}
	return x.String()
}

// describe says what a message is about.
func describe(m *message.Message) string {
	s := exchangeName(m.Header.Exchange) + " request"
	if m.Header.IsResponse() {
		s = exchangeName(m.Header.Exchange) + " response"
	}
	if d := m.SA(); d != nil && m.Header.Exchange == message.ExchangeCreateChildSA {
		switch {
		case len(d.Proposals) > 0 && d.Proposals[0].Protocol == spd.ProtoIKE:
			s += ": rekey IKE"
		case m.HasNotify(message.NotifyRekeySA):
			s += ": rekey Child"
		case !m.Header.IsResponse():
			s += ": new Child"
		}
	}
	for d := range m.Deletes() {
		if d.Protocol == spd.ProtoIKE {
			s += ": delete IKE"
		} else {
			s += ": delete Child"
		}
	}
	if x := m.Header.Exchange; x == message.ExchangeInformational && len(m.Payloads) == 0 {
		s += ": empty"
	}
	if e := m.ErrorNotify(); e != nil {
		if name := e.Type.String(); !strings.Contains(name, "(") {
			s += ": " + name
		} else {
			s += ": an unknown error"
		}
	}
	return s
}

// event keeps book of what the core reports, and checks what an event claims.
func (n *simNode) event(now time.Time, ev ike.Event) {
	id := ev.Header().Session
	n.s.w.Tracef("%s: %T %s", n.name, ev, explain(ev))
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
		if n.s.steady && n.s.w.Elapsed() < n.s.activeFor {
			n.s.failf("%s: session ended although nothing should end it: %v %v", n.name, ev.Reason, ev.Err)
		}
	case ike.ChildUp:
		n.child[simChild{id, ev.Child.Name}]++
	case ike.ChildDown:
		k := simChild{id, ev.Child.Name}
		if n.child[k]--; n.child[k] < 0 {
			n.s.failf("%s: ChildDown for %q, which was not up", n.name, ev.Child.Name)
		}
		if n.s.steady && n.s.w.Elapsed() < n.s.activeFor {
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
		return fmt.Sprintf("in %08x out %08x", ev.Child.In, ev.Child.Out)
	case ike.ChildRekeyed:
		return fmt.Sprintf("in %08x out %08x, old in %08x out %08x", ev.Child.In, ev.Child.Out, ev.Old.In, ev.Old.Out)
	case ike.ChildFailed:
		return fmt.Sprint(ev.Err)
	case ike.ChildDown:
		return fmt.Sprintf("in %08x: %v %v", ev.Child.In, ev.Reason, ev.Err)
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
		n.s.failf("%s: %d IKE SAs for %d sessions", n.name, len(n.sas), len(n.sessions))
	case n.Held().Jobs > maxJobsPerSession*sessions:
		n.s.failf("%s: %d jobs for %d sessions", n.name, n.Held().Jobs, len(n.sessions))
	}
	for _, s := range n.sessions {
		if c, most := s.Children.Len(), 2*n.Limits.Children+2; c > most {
			n.s.failf("%s: %d Child SAs in a session, the limit is %d", n.name, c, most)
		}
	}
}
