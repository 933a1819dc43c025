package ikev1

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/internal/core"
	"github.com/racoon3/racoon/internal/simnet"
	"github.com/racoon3/racoon/spd"
)

// What both ends must come to agree on. IKEv1 tells of the end of an SA by one
// message that nobody answers, so after faults the two may differ:
//
//   - An ISAKMP SA whose Delete was lost, or whose last message the other side
//     has not got, is there on one side only. Whoever uses it finds out by dead
//     peer detection; unused it ends with its lifetime.
//   - A Child SA whose Delete was lost, or whose third message of Quick Mode was,
//     is there on one side only, until that side rekeys it (the new one stands on
//     both sides) or its lifetime ends.
//   - When both begin at the same time there are two SAs for the same thing, and
//     both work. The worse one of two Child SAs is deleted soon; two ISAKMP SAs
//     stay until one of them is renewed.
//
// So no difference outlives the longest lifetime of the SAs that were there when
// the faults ended, and that is how long the simulation waits at most. Then
// everything has to be the same, there is one Child SA for each traffic, and two
// ISAKMP SAs at most.

// settle ends the faults and waits for agreement.
func (s *sim) settle() {
	f := s.w.Faults
	s.w.Faults = simnet.Faults{Latency: f.Latency, Jitter: min(f.Jitter, f.Latency/2), JobDelay: f.JobDelay}
	clear(s.planeFail)
	s.w.Partition(s.a.node, s.b.node, 0)
	began := s.w.Now()
	s.waitAgreement("after the faults were over", s.longest+detection)
	s.settled = s.w.Now().Sub(began)
}

// detection is how long it takes to find out that a peer has gone, and to begin
// anew.
const detection = 6 * time.Minute

func (s *sim) waitAgreement(when string, most time.Duration) {
	if s.err != nil {
		return
	}
	end := s.w.Now().Add(most)
	// It need not be looked at after every step.
	for s.err == nil {
		why := s.differ()
		if why == "" {
			return
		}
		if !s.w.Now().Before(end) {
			s.failf("%s the two ends do not agree: %s", when, why)
			return
		}
		s.advance(min(5*time.Second, end.Sub(s.w.Now())))
	}
}

// quiet says what an endpoint is still busy with, or nothing.
func (s *sim) quiet(n *simNode) string {
	if n.Held().Jobs > 0 {
		return fmt.Sprintf("%d jobs", n.Held().Jobs)
	}
	for _, sa := range sortedSAs(n) {
		if sa.state != stateEstablished {
			return fmt.Sprintf("ISAKMP SA %v is %s", sa.local, stateOf(sa))
		}
		for _, x := range sa.exchanges {
			if x.of != nil && x.busy || x.waits {
				return fmt.Sprintf("ISAKMP SA %v: %s", sa.local, stateOf(sa))
			}
		}
	}
	for _, x := range n.sessions {
		if len(x.queue) > 0 || x.configured != nil {
			return fmt.Sprintf("session %x: %d errands wait, for a configuration %v", x.ID, len(x.queue), x.configured != nil)
		}
		for _, c := range x.Children.All() {
			if c.State != child.Mature && c.State != child.Replaced || c.Rekeying {
				return fmt.Sprintf("Child SA %08x is %v, rekeying %v", c.Info.In, c.State, c.Rekeying)
			}
		}
	}
	return ""
}

func sortedSAs(n *simNode) []*isakmpSA {
	out := make([]*isakmpSA, 0, len(n.sas))
	for _, c := range slices.Sorted(maps.Keys(n.sas)) {
		out = append(out, n.sas[c])
	}
	return out
}

// differ says in what the two ends do not agree, or nothing. What each holds for
// itself has to be right whenever it is quiet.
func (s *sim) differ() string {
	for _, n := range []*simNode{s.a, s.b} {
		if busy := s.quiet(n); busy != "" {
			return n.name + ": " + busy
		}
	}
	if s.w.Flying() > 0 {
		return fmt.Sprintf("%d datagrams are on their way", s.w.Flying())
	}
	for _, n := range []*simNode{s.a, s.b} {
		s.checkAccounts(n)
		if set, known := n.Held().Timers, s.timers(n); set != known {
			return fmt.Sprintf("%s: %d timers are set, %d are accounted for", n.name, set, known)
		}
		if why := s.oneSided(n); why != "" {
			return why
		}
	}
	if d := spd.CompareMemory(s.a.plane, s.b.plane); len(d) > 0 {
		return "data planes: " + strings.Join(d, "; ")
	}
	return s.blocked()
}

// oneSided says what a node has that the other has not.
func (s *sim) oneSided(n *simNode) string {
	o := n.other()
	for _, sa := range sortedSAs(n) {
		i, r := sa.cookiePair()
		m := o.sas[sa.remote]
		switch {
		case m == nil || m.remote != sa.local || m.state != sa.state:
			return fmt.Sprintf("ISAKMP SA %v/%v of %s is not one of the other's", i, r, n.name)
		case !m.keys.d.Equal(sa.keys.d) || !m.keys.a.Equal(sa.keys.a) || !m.keys.e.Equal(sa.keys.e):
			return fmt.Sprintf("ISAKMP SA %v/%v: the keys differ", i, r)
		case m.initiator == sa.initiator:
			return fmt.Sprintf("ISAKMP SA %v/%v: both sides have the same role", i, r)
		}
	}
	used := map[*session]*session{}
	for _, x := range n.up() {
		if x.current == nil {
			return fmt.Sprintf("%s: session %x has no ISAKMP SA", n.name, x.ID)
		}
		m := o.sas[x.current.remote].s
		if used[m] != nil {
			return fmt.Sprintf("%s: sessions %x and %x are one to the other", n.name, x.ID, used[m].ID)
		}
		used[m] = x
		lasting := 0
		for _, sa := range x.sas {
			if sa.soft.Active() {
				lasting++
			}
		}
		if lasting > 2 {
			return fmt.Sprintf("%s: %d ISAKMP SAs of session %x are to last", n.name, lasting, x.ID)
		}
		traffic := map[string]int{}
		for _, c := range x.Children.All() {
			if c.State == child.Replaced {
				return fmt.Sprintf("%s: the replaced Child SA %08x is not gone", n.name, c.Info.In)
			}
			k := fmt.Sprint(c.Info.LocalTS, c.Info.RemoteTS)
			if traffic[k]++; traffic[k] > 1 {
				return fmt.Sprintf("%s: %d Child SAs of session %x for %s", n.name, traffic[k], x.ID, k)
			}
			if m.Children.ByInbound(c.Info.Protocol, c.Info.Out) == nil {
				return fmt.Sprintf("%s: Child SA %08x of session %x is not the other's", n.name, c.Info.In, x.ID)
			}
		}
	}
	return ""
}

// blocked sends a packet each way through each pair of selectors, and says which
// does not arrive.
func (s *sim) blocked() string {
	if s.nat {
		return "" // the plane's packets do not know the translated addresses
	}
	for _, n := range []*simNode{s.a, s.b} {
		for _, x := range n.up() {
			for _, c := range x.Children.All() {
				l, r := c.Info.LocalTS[0], c.Info.RemoteTS[0]
				d := n.plane.Send(n.other().plane, spd.Flow{Src: l.First.Next(), Dst: r.First.Next(), Protocol: 17, SrcPort: 1000, DstPort: 2000}, 100)
				if d.Outcome != spd.Delivered {
					return fmt.Sprintf("%s: a packet through Child SA %08x: %v", n.name, c.Info.Out, d)
				}
			}
		}
	}
	return ""
}

// checkUp: who says that a session is up has authenticated the peer. Then the
// peer must have the same ISAKMP SA with the same keys: nobody is in between.
func (s *sim) checkUp(n *simNode, id ike.SessionID) {
	x := n.sessions[id]
	if x == nil || x.current == nil || n.other() == nil {
		return
	}
	sa := x.current
	mirror := n.other().sas[sa.remote]
	switch {
	case mirror == nil && (s.w.Fired[simnet.Restarted] > 0 || n.other().forgot[sa.remote]):
		// The peer has lost it, or given it up, since it sent its last message.
	case mirror == nil:
		s.failf("%s: session %v/%v is up, and the peer has no such SA", n.name, sa.local, sa.remote)
	case mirror.keys == nil && sa.mode == BaseMode && !sa.initiator && mirror.p1 != nil:
		// The initiator of Base Mode has its keys with the last message.
	case mirror.remote != sa.local || mirror.keys == nil || !mirror.keys.d.Equal(sa.keys.d):
		s.failf("%s: session %v/%v is up, and the peer has other keys", n.name, sa.local, sa.remote)
	}
}

// checkAccounts: what a quiet endpoint and its plane hold is what its sessions
// hold, and no more.
func (s *sim) checkAccounts(n *simNode) {
	st := n.Endpoint.Stats()
	spis := map[core.SAKey]bool{}
	for _, sa := range n.sas {
		for _, x := range sa.exchanges {
			if !x.timer.Active() {
				s.failf("%s: exchange %08x is not forgotten", n.name, x.id)
			}
		}
		if n.sessions[sa.s.ID] != sa.s || !slices.Contains(sa.s.sas, sa) {
			s.failf("%s: ISAKMP SA %v belongs to nothing", n.name, sa.local)
		}
		if !sa.hard.Active() {
			s.failf("%s: ISAKMP SA %v has no end", n.name, sa.local)
		}
	}
	var ids []string
	policies := map[string]bool{}
	for _, x := range n.sessions {
		if !x.Up {
			s.failf("%s: session %x is neither up nor gone", n.name, x.ID)
			return
		}
		for _, sa := range x.sas {
			if n.sas[sa.local] != sa {
				s.failf("%s: session %x has an ISAKMP SA that is gone", n.name, x.ID)
			}
		}
		told := map[ike.ChildID]bool{}
		for _, c := range x.Children.All() {
			told[c.Info.ID] = true
			in, out := c.SAIDs()
			spis[core.SAKey{SPI: c.Info.In}] = true
			spis[core.SAKey{SPI: c.Info.Out, Remote: x.RemoteAddr()}] = true
			for _, id := range slices.Concat(in, out) {
				ids = append(ids, saidString(id))
			}
			for _, l := range c.Info.LocalTS {
				for _, r := range c.Info.RemoteTS {
					policies[fmt.Sprint(l, r, c.Info.ReqID, spd.In)] = true
					policies[fmt.Sprint(l, r, c.Info.ReqID, spd.Out)] = true
				}
			}
		}
		for id, session := range n.child {
			if session == x.ID && !told[id] {
				s.failf("%s: by the events Child SA %x is up", n.name, id)
			}
			delete(told, id)
		}
		for id := range told {
			s.failf("%s: Child SA %x is up, and the events do not say so", n.name, id)
		}
	}
	for _, sa := range n.initial {
		if n.sas[sa.local] != sa {
			s.failf("%s: the first message of ISAKMP SA %v is remembered", n.name, sa.local)
		}
	}
	var have []string
	for _, id := range n.plane.SAs() {
		have = append(have, saidString(id))
	}
	slices.Sort(ids)
	slices.Sort(have)
	held := map[string]bool{}
	for _, p := range n.plane.Policies() {
		held[fmt.Sprint(p.Selector.Local, p.Selector.Remote, p.ReqID, p.Direction)] = true
	}
	switch {
	case st.HalfOpen != 0 || n.Held().Addresses != 0:
		s.failf("%s: half-open SAs: %d counted, %d addresses", n.name, st.HalfOpen, n.Held().Addresses)
	case n.Load.Sessions() != len(n.sessions) || len(n.ups) != len(n.sessions):
		s.failf("%s: %d sessions; %d by the load, %d by the events", n.name, len(n.sessions), n.Load.Sessions(), len(n.ups))
	case !maps.Equal(spis, n.Held().SAs):
		s.failf("%s: the quickmode.SPIs of the Child SAs are %v, the endpoint knows %v", n.name, slices.Collect(maps.Keys(spis)), slices.Collect(maps.Keys(n.Held().SAs)))
	case !slices.Equal(ids, have):
		s.failf("%s: the Child SAs have %v, the data plane %v", n.name, ids, have)
	case !maps.Equal(policies, held):
		s.failf("%s: the Child SAs want the policies %v, the data plane has %v", n.name, slices.Sorted(maps.Keys(policies)), slices.Sorted(maps.Keys(held)))
	case len(n.plane.Larval()) > 0:
		s.failf("%s: reserved and forgotten: %v", n.name, n.plane.Larval())
	}
}

// timers counts the timers of a quiet endpoint that belong to something.
func (s *sim) timers(n *simNode) (timers int) {
	count := func(all ...*child.Timer) {
		for _, t := range all {
			if t.Active() {
				timers++
			}
		}
	}
	count(&n.fragments.timer)
	for _, sa := range n.sas {
		count(&sa.retransmit, &sa.soft, &sa.hard, &sa.dpd.timer)
		for _, x := range sa.exchanges {
			count(&x.timer)
		}
	}
	for _, x := range n.sessions {
		count(&x.LivenessTimer, &x.KeepaliveTimer, &x.configTimer)
		for _, r := range x.retiring {
			count(&r.timer)
		}
		for _, c := range x.Children.All() {
			if timers++; c.State == child.Mature {
				timers++ // both its lifetimes
			}
		}
	}
	return timers
}

func saidString(id spd.SAID) string {
	return fmt.Sprintf("%v %08x to %v", id.Direction, uint32(id.SPI), id.Dst)
}

// checkEmpty: after everything was deleted, nothing is left.
func (s *sim) checkEmpty(n *simNode) {
	if s.err != nil {
		return
	}
	st := n.Endpoint.Stats()
	switch {
	case len(n.sessions)+len(n.sas)+len(n.Held().SAs)+n.Held().Jobs+len(n.initial)+n.Held().Addresses+n.HalfOpen()+n.Held().Timers > 0:
		s.failf("%s: after the end there are %d sessions, %d ISAKMP SAs, %d quickmode.SPIs, %d jobs, %d+%d+%d half-open, %d timers", n.name,
			len(n.sessions), len(n.sas), len(n.Held().SAs), n.Held().Jobs, len(n.initial), n.Held().Addresses, n.HalfOpen(), n.Held().Timers)
	case n.Load.Sessions() != 0 || n.Load.HalfOpen() != 0:
		s.failf("%s: after the end the load is %d sessions, %d half-open", n.name, n.Load.Sessions(), n.Load.HalfOpen())
	case n.fragments.early.octets+n.fragments.late.octets+len(n.fragments.firsts) > 0:
		s.failf("%s: after the end fragments are left", n.name)
	case len(n.ups) > 0:
		s.failf("%s: %d sessions were reported up and never down", n.name, len(n.ups))
	case len(n.child) > 0:
		s.failf("%s: by the events %d Child SAs are left", n.name, len(n.child))
	case len(n.plane.Leaks()) > 0:
		s.failf("%s: after the end the data plane has %s", n.name, strings.Join(n.plane.Leaks(), "; "))
	case st.LostEvents > 0:
		s.failf("%s: %d events were lost", n.name, st.LostEvents)
	}
}

// probe sends packets both ways whenever something has changed, at once and
// a little later. Once the Child SA is up, each must arrive.
func (s *sim) probe() {
	if s.w.Digest() == s.lastSeen {
		return
	}
	s.lastSeen = s.w.Digest()
	if !s.flowing {
		if len(s.a.child) == 0 || len(s.b.child) == 0 || s.quiet(s.a) != "" || s.quiet(s.b) != "" {
			return
		}
		s.flowing = true
	}
	s.sendProbes()
	s.w.After(s.w.Between(time.Millisecond, 50*time.Millisecond), s.sendProbes)
}

func (s *sim) sendProbes() {
	if !s.flowing || s.err != nil {
		return
	}
	s.sendProbe(s.a, netip.AddrFrom4([4]byte{10, 1, 0, 1}), netip.AddrFrom4([4]byte{10, 2, 0, 1}))
	s.sendProbe(s.b, netip.AddrFrom4([4]byte{10, 2, 0, 1}), netip.AddrFrom4([4]byte{10, 1, 0, 1}))
}

func (s *sim) sendProbe(n *simNode, src, dst netip.Addr) {
	s.probed++
	p, d := n.plane.Encapsulate(spd.Flow{Src: src, Dst: dst, Protocol: 17, SrcPort: 1000, DstPort: 2000}, 100)
	if p == nil {
		s.failf("%s: traffic gap: %v", n.name, d)
		return
	}
	sent := s.w.Now()
	n.node.Carry(ike.Path{Local: p.Src, Remote: p.Dst}, time.Millisecond, 20*time.Millisecond, func(_ *simnet.Node, _ ike.Path) {
		if d := n.other().plane.Deliver(p); d.Outcome != spd.Delivered && s.flowing {
			s.failf("%s: traffic gap: packet sent at %v: %v", n.name, sent.Sub(s.w.Now().Add(-s.w.Elapsed())), d)
		}
	})
}

// checkVisited: the schedules have met what they are meant to.
func checkVisited(t *testing.T, v map[visit]int) {
	for _, want := range mustVisit {
		if v[want] == 0 {
			t.Errorf("never visited: %q meets %q", want.state, want.event)
		}
	}
}

// mustVisit are the pairs without which a run would prove little.
var mustVisit = []visit{}
