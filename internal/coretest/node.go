package coretest

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/internal/core"
	"github.com/racoon3/racoon/internal/simnet"
	"github.com/racoon3/racoon/spd"
)

// A Node is an endpoint with its data plane in a simulated world. It is the
// simnet.Core that the world drives: each call is noted with the state that it
// met, and a mutant spoils it.
type Node[E Core, P any] struct {
	Sim    *Sim[E, P]
	Name   string
	Peer   P
	Path   ike.Path // to the other
	Core   E
	Plane  *spd.Memory
	Net    *simnet.Node
	Mutant *Mutant[E, P]

	running  ike.JobKind
	ups      map[ike.SessionID]bool
	children map[ike.ChildID]ike.SessionID // Child SAs that the events say are up
	watched  map[*child.Timer]bool
}

// A Mutant is a way to break a core at its boundary, or from within before it is
// called. The simulation must notice.
type Mutant[E Core, P any] struct {
	Name     string
	Profile  string                                       // where it shows
	Second   bool                                         // it is the second node that is broken, not the first
	Datagram func(n *Node[E, P], path ike.Path, b []byte) // before HandleDatagram
	Result   func(n *Node[E, P], r ike.Result) bool       // false: swallow it
	Job      func(n *Node[E, P], j ike.Job) ike.Job       // another one
	Transmit func(n *Node[E, P], tx ike.Transmit) bool    // false: swallow it
}

func (s *Sim[E, P]) newNode(name string, peer P, path ike.Path, nat netip.Addr) *Node[E, P] {
	n := s.NewNode(name, peer, path)
	n.Net = s.W.AddNode(simnet.NodeConfig{Name: name, Core: n, Addr: path.Local.Addr(), NAT: nat,
		DataPlane: func() []spd.Event { return n.Plane.PollEvents() }, Event: n.event})
	return n
}

// NewNode makes a node that is not in the world yet: whoever adds it sets Net.
func (s *Sim[E, P]) NewNode(name string, peer P, path ike.Path) *Node[E, P] {
	n := &Node[E, P]{Sim: s, Name: name, Peer: peer, Path: path}
	n.boot()
	return n
}

// boot makes an endpoint and a plane that know nothing.
func (n *Node[E, P]) boot() {
	s := n.Sim
	rand := s.W.NewReader()
	n.Plane = spd.NewMemory(spd.MemoryConfig{
		Fail: func(op spd.Operation) error {
			// What gives something back must not fail.
			if (n.running == ike.JobAllocSPI || n.running == ike.JobInstall || n.running == ike.JobQuery) && s.W.Chance(s.planeFail[op]) {
				s.W.Fired[simnet.JobFailed]++
				return fmt.Errorf("%v: %w", op, simnet.ErrInjected)
			}
			return nil
		},
		SPI: func() spd.SPI { return spd.SPI(s.W.Rand().Uint32() | 0x1000) },
		Now: func() time.Time {
			if n.Net == nil {
				return s.W.Now()
			}
			return n.Net.Now()
		},
	})
	e, err := s.Protocol.Boot(n, core.Config{Rand: rand, DataPlane: n.Plane, Tag: n.Name[0], Limits: s.Limits})
	if err != nil {
		panic(err)
	}
	n.Core = e
	n.ups, n.children, n.watched = map[ike.SessionID]bool{}, map[ike.ChildID]ike.SessionID{}, map[*child.Timer]bool{}
}

// Other is the other node.
func (n *Node[E, P]) Other() *Node[E, P] {
	if n == n.Sim.A {
		return n.Sim.B
	}
	return n.Sim.A
}

// Up returns the established sessions that take commands, oldest first.
func (n *Node[E, P]) Up() (up []*core.Session) {
	for _, x := range n.Sim.Protocol.Sessions(n.Core) {
		if x.Up && n.Sim.Protocol.Usable(n.Core, x.ID) {
			up = append(up, x)
		}
	}
	return up
}

// ToldUp is how many sessions are up by the events.
func (n *Node[E, P]) ToldUp() int { return len(n.ups) }

// HandleDatagram implements simnet.Core.
func (n *Node[E, P]) HandleDatagram(now time.Time, path ike.Path, b []byte) {
	if n.Mutant != nil && n.Mutant.Datagram != nil {
		n.Mutant.Datagram(n, path, b)
	}
	after := n.Sim.Protocol.Receive(n, path, b)
	n.Core.HandleDatagram(now, path, b)
	if after != nil {
		after()
	}
	n.adopt()
	n.bounded()
}

// HandleTimeout implements simnet.Core.
func (n *Node[E, P]) HandleTimeout(now time.Time) {
	n.Core.HandleTimeout(now)
	n.adopt()
}

// HandleResult implements simnet.Core.
func (n *Node[E, P]) HandleResult(now time.Time, r ike.Result) {
	if n.Mutant != nil && n.Mutant.Result != nil && !n.Mutant.Result(n, r) {
		return
	}
	n.Core.HandleResult(now, r)
	n.adopt()
}

// HandleDataPlane implements simnet.Core.
func (n *Node[E, P]) HandleDataPlane(now time.Time, ev spd.Event) {
	if e, ok := ev.(spd.FirstPacketEvent); ok {
		if id := n.Core.Owner(e.ID); id != 0 {
			n.Sim.Visit(n.Sim.Protocol.State(n.Core, id), "first packet of a Child SA")
		}
	}
	n.Core.HandleDataPlane(now, ev)
}

// PollJob implements simnet.Core.
func (n *Node[E, P]) PollJob() (ike.Job, bool) {
	j, ok := n.Core.PollJob()
	run := j.Run
	j.Run = func(ctx context.Context) (any, error) {
		n.running = j.Kind
		return run(ctx)
	}
	if ok && n.Mutant != nil && n.Mutant.Job != nil {
		j = n.Mutant.Job(n, j)
	}
	return j, ok
}

// PollTransmit implements simnet.Core.
func (n *Node[E, P]) PollTransmit() (ike.Transmit, bool) {
	tx, ok := n.Core.PollTransmit()
	for ok && n.Mutant != nil && n.Mutant.Transmit != nil && !n.Mutant.Transmit(n, tx) {
		tx, ok = n.Core.PollTransmit()
	}
	return tx, ok
}

// PollTimeout implements simnet.Core.
func (n *Node[E, P]) PollTimeout() (time.Time, bool) { return n.Core.PollTimeout() }

// PollEvent implements simnet.Core.
func (n *Node[E, P]) PollEvent() (ike.Event, bool) { return n.Core.PollEvent() }

// adopt has the timers of what is new tell when they fire.
func (n *Node[E, P]) adopt() {
	p := n.Sim.Protocol
	p.Adopt(n)
	for _, x := range p.Sessions(n.Core) {
		n.Watch(&x.LivenessTimer, func() string { return p.State(n.Core, x.ID) }, "timer: liveness")
	}
}

// Watch has a timer tell when it fires, and in which state.
func (n *Node[E, P]) Watch(t *child.Timer, state func() string, name string) {
	if n.watched[t] || t.Owner == nil {
		return
	}
	n.watched[t] = true
	fire := t.Owner
	t.Owner = func(now time.Time) {
		n.Sim.Visit(state(), name)
		fire(now)
	}
}

// maxJobsPerSession is how many jobs one peer may have an endpoint wait for in a
// simulation.
const maxJobsPerSession = 64

// bounded checks that nobody has made the endpoint hold too much.
func (n *Node[E, P]) bounded() {
	p := n.Sim.Protocol
	sessions := p.Sessions(n.Core)
	if jobs := n.Core.Held().Jobs; jobs > maxJobsPerSession*(len(sessions)+1) {
		n.Sim.Failf("%s: %d jobs for %d sessions", n.Name, jobs, len(sessions))
	}
	for _, x := range sessions {
		if c, most := x.Children.Len(), 2*p.Engine(n.Core).Limits.Children+2; c > most {
			n.Sim.Failf("%s: %d Child SAs in a session, the limit is %d", n.Name, c, most)
		}
	}
	if why := p.Excess(n); why != "" {
		n.Sim.Failf("%s: %s", n.Name, why)
	}
}
