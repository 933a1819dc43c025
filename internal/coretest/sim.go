package coretest

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/simnet"
	"github.com/racoon3/racoon/spd"
)

// A Sim is one schedule: two endpoints live through random commands, and what
// the network, the clocks, the jobs and an attacker do to that. When the faults
// are over, both must come to hold the same, and in the end nothing may be left
// behind.
type Sim[E Core, P any] struct {
	Profile[E, P]
	Seed     uint64
	W        *simnet.World
	A, B     *Node[E, P]
	Protocol Protocol[E, P]
	Limits   ike.Limits
	// ActiveFor is how long commands are given.
	ActiveFor time.Duration
	Visited   map[Visit]int

	err       error
	planeFail map[spd.Operation]float64
	probed    int
	settled   time.Duration // how long agreement took after the faults
	flowing   bool
	lastSeen  uint64
}

// A Visit is a state and what was met in it.
type Visit struct{ State, Event string }

// Visit notes that an event was met in a state.
func (s *Sim[E, P]) Visit(state, event string) { s.Visited[Visit{state, event}]++ }

// Failf ends the schedule. The first failure counts.
func (s *Sim[E, P]) Failf(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf("at %v: %s", s.W.Elapsed(), fmt.Sprintf(format, args...))
		s.W.Tracef("FAILURE %v", s.err)
	}
}

// Failed reports whether the schedule has failed.
func (s *Sim[E, P]) Failed() bool { return s.err != nil }

// The addresses of the nodes, and of the NAT in front of the first one.
var (
	AddrA = netip.MustParseAddrPort("192.0.2.1:500")
	AddrB = netip.MustParseAddrPort("192.0.2.2:500")

	natAddr = netip.MustParseAddr("198.51.100.1")
)

// newSim sets a schedule up. A mutant, if not nil, spoils one of the nodes.
func (u *Suite[E, P]) newSim(seed uint64, p Profile[E, P], trace func(string), m *Mutant[E, P]) *Sim[E, P] {
	s := &Sim[E, P]{Profile: p, Seed: seed, Visited: map[Visit]int{}, planeFail: map[spd.Operation]float64{}}
	s.W = simnet.New(simnet.Config{Seed: seed, Trace: trace})
	s.W.Faults = p.Faults(s.W)
	if p.PlaneFail {
		for _, op := range []spd.Operation{spd.OpAllocSPI, spd.OpInstallInbound, spd.OpInstallOutbound, spd.OpSetPolicies, spd.OpQuery} {
			s.planeFail[op] = s.W.Rand().Float64() * 0.1
		}
	}
	s.Protocol = u.New(s)
	pa, pb := s.Protocol.Peers()
	path := ike.Path{Local: AddrA, Remote: AddrB}
	var nat netip.Addr
	if p.NAT {
		nat = natAddr
	}
	s.A = s.newNode("a", pa, path, nat)
	s.B = s.newNode("b", pb, Reverse(path), netip.Addr{})
	switch {
	case m == nil:
	case m.Second:
		s.B.Mutant = m
	default:
		s.A.Mutant = m
	}
	return s
}

// Nodes are both nodes.
func (s *Sim[E, P]) Nodes() [2]*Node[E, P] { return [2]*Node[E, P]{s.A, s.B} }

// run lets the schedule happen and checks what must hold.
func (s *Sim[E, P]) run() {
	if s.Run != nil {
		s.Run(s)
		return
	}
	s.ActiveFor = s.W.Between(10*time.Second, 90*time.Second)
	s.Begin()
	for range 3 + s.W.Rand().IntN(10) {
		what := s.Commands[s.W.Rand().IntN(len(s.Commands))]
		s.W.After(s.W.Between(time.Second, s.ActiveFor), func() { s.Command(what) })
	}
	s.Advance(s.ActiveFor)
	s.settle()
	s.restore()
	s.flowing = false
	s.tearDown()
	if s.err == nil && s.W.Fired.Total() == 0 {
		s.Failf("no fault has fired")
	}
}

// Begin makes the first session, and one fault certain to happen.
func (s *Sim[E, P]) Begin() {
	certain := []simnet.Fault{simnet.Lost, simnet.Duplicated, simnet.Delayed}
	s.W.After(s.W.Between(0, 2*time.Second), func() { s.W.Force(certain[s.W.Rand().IntN(len(certain))]) })
	first := s.A
	if !s.onlyFirst() && s.W.Chance(0.5) {
		first = s.B
	}
	s.Initiate(first)
	if s.W.Chance(s.Both) {
		s.W.After(s.W.Between(0, 200*time.Millisecond), func() {
			if n := first.Other(); s.Protocol.MayInitiate(n) {
				s.Initiate(n)
			}
		})
	}
}

// maxSteps is far more than any schedule takes.
const maxSteps = 200_000

// Advance lets time pass, and traffic flow.
func (s *Sim[E, P]) Advance(d time.Duration) {
	end := s.W.Now().Add(d)
	for s.err == nil && s.W.Step(end) {
		if s.W.Steps() > maxSteps {
			s.Failf("more than %d steps: the endpoints are busy with nothing", maxSteps)
		}
		if s.Traffic {
			s.probe()
		}
	}
	if s.err == nil {
		s.W.Run(end.Sub(s.W.Now()))
	}
}

// settle ends the faults and waits for agreement.
func (s *Sim[E, P]) settle() {
	f := s.W.Faults
	s.W.Faults = simnet.Faults{Latency: f.Latency, Jitter: min(f.Jitter, f.Latency/2), JobDelay: f.JobDelay}
	clear(s.planeFail)
	s.W.Partition(s.A.Net, s.B.Net, 0)
	began, p := s.W.Now(), s.Protocol.Patience()
	s.Advance(p.First)
	s.waitAgreement("after the faults were over", p)
	s.settled = s.W.Now().Sub(began)
}

// restore: whatever has happened, a new session comes up if there is none.
func (s *Sim[E, P]) restore() {
	if s.err != nil || len(s.A.Up()) > 0 {
		return
	}
	s.Initiate(s.A)
	s.Advance(30 * time.Second)
	p := s.Protocol.Patience()
	s.waitAgreement("after a new session", Patience{Quiet: min(p.Quiet, 10*time.Minute), Differ: min(p.Differ, time.Minute)})
	if s.err == nil && len(s.A.Up()) == 0 {
		s.Failf("no session comes up any more")
	}
}

// tearDown deletes everything, and checks that nothing is left. What the peer is
// told of it arrives: there are no faults any more.
func (s *Sim[E, P]) tearDown() {
	if s.err != nil {
		return
	}
	n := s.A
	if !s.NAT && s.W.Chance(0.5) { // the second may not know where the first is since its NAT has rebound
		n = s.B
	}
	for _, x := range n.Up() {
		s.Delete(n, x.ID)
		s.W.Run(s.W.Between(0, time.Second))
	}
	s.W.Run(5 * time.Minute)
	if s.Protocol.Patience().Differ > 0 { // where nothing is answered, the peer may have been about to renew what was deleted
		for _, n := range s.Nodes() {
			for _, x := range n.Up() {
				s.Delete(n, x.ID)
			}
		}
		s.W.Run(5 * time.Minute)
	}
	s.CheckEmpty(s.A)
	s.CheckEmpty(s.B)
}

// waitAgreement waits until both ends are quiet and hold the same.
func (s *Sim[E, P]) waitAgreement(when string, p Patience) {
	began, last := s.W.Now(), "nothing"
	for s.err == nil {
		waited := s.W.Now().Sub(began)
		if why := s.busy(); why != "" {
			if waited >= p.Quiet {
				s.Failf("%s the endpoints do not come to rest: %s; the last difference was: %s", when, why, last)
			}
		} else if why := s.differ(); why == "" {
			return
		} else if waited >= p.Differ {
			s.Failf("%s the two ends do not agree: %s", when, why)
		} else {
			last = why
		}
		s.Advance(5 * time.Second) // it need not be looked at after every step
	}
}
