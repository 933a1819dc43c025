package ikev2

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

// quiet says what an endpoint is still busy with, or nothing.
func (s *sim) quiet(n *simNode) string {
	if n.Held().Jobs > 0 {
		return fmt.Sprintf("%d jobs", n.Held().Jobs)
	}
	for _, sa := range n.sas {
		switch {
		case passive(sa):
		case sa.state != stateEstablished || sa.s.Dead || sa.s.Ending:
			return fmt.Sprintf("IKE SA %v is %s", sa.local, stateOf(sa))
		case sa.active != nil || len(sa.queue) > 0 || sa.req != nil || sa.serving:
			return fmt.Sprintf("IKE SA %v: %s, %d waiting, serving %v", sa.local, stateOf(sa), len(sa.queue), sa.serving)
		}
	}
	for _, x := range n.sessions {
		for _, c := range x.Children.All() {
			if c.State != child.Mature || c.Rekeying {
				return fmt.Sprintf("Child SA %08x is %v, rekeying %v", c.Info.In, c.State, c.Rekeying)
			}
		}
	}
	return ""
}

// passive reports whether an SA is there only to repeat its last answer.
func passive(sa *ikeSA) bool {
	return sa.state == stateDeleting && sa.active == nil && sa.req == nil && len(sa.queue) == 0 && (sa.s.Dead || sa.s.current != sa)
}

// checkUp: who says that a session is up has authenticated the peer. Then the
// peer must have the same IKE SA with the same keys: nobody is in between.
func (s *sim) checkUp(n *simNode, id ike.SessionID) {
	x := n.sessions[id]
	if x == nil || x.current == nil || n.other() == nil {
		return
	}
	sa := x.current
	mirror := n.other().sas[sa.remote]
	switch {
	case mirror == nil && n.node.Stats().Received > 0 && s.w.Fired[simnet.Restarted] > 0:
		// The peer has lost its memory since it sent its last message.
	case mirror == nil:
		s.failf("%s: session %v/%v is up, and the peer has no such SA", n.name, sa.local, sa.remote)
	case mirror.remote != sa.local || mirror.keys == nil || !mirror.keys.skD.Equal(sa.keys.skD):
		s.failf("%s: session %v/%v is up, and the peer has other keys", n.name, sa.local, sa.remote)
	}
}

// checkAgreement compares the two sides.
func (s *sim) checkAgreement() {
	if s.err != nil {
		return
	}
	s.checkAccounts(s.a)
	s.checkAccounts(s.b)
	if len(s.a.sessions) != len(s.b.sessions) {
		s.failf("a has %d sessions, b %d", len(s.a.sessions), len(s.b.sessions))
		return
	}
	for _, x := range s.a.sessions {
		m := s.b.sas[x.current.remote]
		switch {
		case m == nil || m.remote != x.current.local || m.s.current != m:
			s.failf("IKE SA %v/%v of a is not one of b's", x.current.local, x.current.remote)
			return
		case !m.keys.skD.Equal(x.current.keys.skD):
			s.failf("IKE SA %v/%v: the keys differ", x.current.local, x.current.remote)
			return
		case m.initiator == x.current.initiator:
			s.failf("IKE SA %v/%v: both sides have the same role", x.current.local, x.current.remote)
			return
		}
		spis := func(x *session, swap bool) string {
			var l []string
			for _, c := range x.Children.All() {
				in, out := c.Info.In, c.Info.Out
				if swap {
					in, out = out, in
				}
				l = append(l, fmt.Sprintf("%s %08x/%08x", c.Info.Name, in, out))
			}
			slices.Sort(l)
			return strings.Join(l, ", ")
		}
		if here, there := spis(x, false), spis(m.s, true); here != there {
			s.failf("Child SAs: a has %s; b has %s", here, there)
			return
		}
	}
	if d := spd.CompareMemory(s.a.plane, s.b.plane); len(d) > 0 {
		s.failf("data planes: %s", strings.Join(d, "; "))
	}
}

// checkAccounts: what a quiet endpoint and its plane hold is what its sessions
// hold, and no more.
func (s *sim) checkAccounts(n *simNode) {
	st := n.Endpoint.Stats()
	timers := 0
	count := func(t *child.Timer) {
		if t.Active() {
			timers++
		}
	}
	spis := map[core.SAKey]bool{}
	for _, sa := range n.sas {
		count(&sa.retransmit)
		count(&sa.soft)
		count(&sa.hard)
		if !passive(sa) && (sa.s.Dead || n.sessions[sa.s.ID] != sa.s || sa.s.current != sa) {
			s.failf("%s: IKE SA %v belongs to nothing", n.name, sa.local)
		}
	}
	var ids []string
	policies := map[string]bool{}
	for _, x := range n.sessions {
		if !x.Up || x.current == nil {
			s.failf("%s: session %x is neither up nor gone", n.name, x.ID)
			return
		}
		count(&x.LivenessTimer)
		count(&x.reauth)
		count(&x.KeepaliveTimer)
		if len(slices.DeleteFunc(slices.Clone(x.sas), passive)) != 1 {
			s.failf("%s: session %x has %d IKE SAs", n.name, x.ID, len(x.sas))
			return
		}
		lineages, names := map[ike.ChildID]bool{}, map[string]int{}
		for _, c := range x.Children.All() {
			timers += 2 // its lifetimes
			if lineages[c.Info.ID] {
				s.failf("%s: two Child SAs where one should have replaced the other: %08x", n.name, c.Info.In)
				return
			}
			lineages[c.Info.ID] = true
			names[c.Info.Name]++
			in, out := c.SAIDs()
			for _, id := range slices.Concat(in, out) {
				ids = append(ids, saidString(id))
				spis[core.KeyOf(id)] = true
			}
			for _, l := range c.Info.LocalTS {
				for _, r := range c.Info.RemoteTS {
					policies[fmt.Sprint(l, r, c.Info.ReqID, spd.In)] = true
					policies[fmt.Sprint(l, r, c.Info.ReqID, spd.Out)] = true
				}
			}
		}
		for _, name := range []string{"net", "net2"} {
			if made := n.child[simChild{x.ID, name}]; made != names[name] {
				s.failf("%s: by the events there are %d Child SAs %q, there are %d", n.name, made, name, names[name])
				return
			}
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
	case n.Held().Jobs != 0:
		s.failf("%s: %d jobs are forgotten", n.name, n.Held().Jobs)
	case st.HalfOpen != 0 || len(n.initial) != 0 || n.Held().Addresses != 0:
		s.failf("%s: half-open SAs: %d counted, %d known, %d addresses", n.name, st.HalfOpen, len(n.initial), n.Held().Addresses)
	case n.Load.Sessions() != len(n.sessions) || len(n.ups) != len(n.sessions):
		s.failf("%s: %d sessions; %d by the load, %d by the events", n.name, len(n.sessions), n.Load.Sessions(), len(n.ups))
	case !maps.Equal(spis, n.Held().SAs):
		s.failf("%s: the SPIs of the Child SAs are %v, the endpoint knows %v", n.name, slices.Collect(maps.Keys(spis)), slices.Collect(maps.Keys(n.Held().SAs)))
	case timers != n.Held().Timers:
		s.failf("%s: %d timers are set, %d are accounted for", n.name, n.Held().Timers, timers)
	case !slices.Equal(ids, have):
		s.failf("%s: the Child SAs have %v, the data plane %v", n.name, ids, have)
	case !maps.Equal(policies, held):
		s.failf("%s: the Child SAs want the policies %v, the data plane has %v", n.name, slices.Sorted(maps.Keys(policies)), slices.Sorted(maps.Keys(held)))
	case len(n.plane.Larval()) > 0:
		s.failf("%s: reserved and forgotten: %v", n.name, n.plane.Larval())
	}
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
		s.failf("%s: after the end there are %d sessions, %d IKE SAs, %d SPIs, %d jobs, %d+%d+%d half-open, %d timers", n.name,
			len(n.sessions), len(n.sas), len(n.Held().SAs), n.Held().Jobs, len(n.initial), n.Held().Addresses, n.HalfOpen(), n.Held().Timers)
	case n.Load.Sessions() != 0 || n.Load.HalfOpen() != 0:
		s.failf("%s: after the end the load is %d sessions, %d half-open", n.name, n.Load.Sessions(), n.Load.HalfOpen())
	case len(n.ups) > 0:
		s.failf("%s: %d sessions were reported up and never down", n.name, len(n.ups))
	case len(n.plane.Leaks()) > 0:
		s.failf("%s: after the end the data plane has %s", n.name, strings.Join(n.plane.Leaks(), "; "))
	case st.LostEvents > 0:
		s.failf("%s: %d events were lost", n.name, st.LostEvents)
	}
	for k, c := range n.child {
		if c != 0 {
			s.failf("%s: by the events %d Child SAs %q are left", n.name, c, k.name)
		}
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
var mustVisit = []visit{
	{"INIT initiator", "IKE_SA_INIT response"},
	{"INIT initiator", "timer: retransmission"},
	{"AUTH initiator", "IKE_AUTH response"},
	{"AUTH initiator", "IKE_AUTH response: AUTHENTICATION_FAILED"},
	{"AUTH initiator", "timer: retransmission"},
	{"AUTH initiator", "IKE_SA_INIT response"},
	{"AUTH responder", "IKE_AUTH request"},
	{"AUTH responder", "timer: lifetime"},
	{"ESTABLISHED", "IKE_AUTH request repeated"},
	{"ESTABLISHED", "CREATE_CHILD_SA request: new Child"},
	{"ESTABLISHED", "CREATE_CHILD_SA request: rekey Child"},
	{"ESTABLISHED", "CREATE_CHILD_SA request: rekey IKE"},
	{"ESTABLISHED", "CREATE_CHILD_SA request repeated"},
	{"ESTABLISHED", "INFORMATIONAL request: delete Child"},
	{"ESTABLISHED", "INFORMATIONAL request: delete IKE"},
	{"ESTABLISHED", "first packet of a Child SA"},
	{"ESTABLISHED", "timer: liveness"},
	{"ESTABLISHED", "timer: rekey"},
	{"ESTABLISHED, creates Child", "CREATE_CHILD_SA response"},
	{"ESTABLISHED, creates Child", "timer: retransmission"},
	{"ESTABLISHED, deletes Child", "CREATE_CHILD_SA request: rekey Child"},
	{"ESTABLISHED, deletes Child", "CREATE_CHILD_SA request: rekey IKE"},
	{"ESTABLISHED, deletes Child", "INFORMATIONAL request: delete Child"},
	{"ESTABLISHED, deletes Child", "INFORMATIONAL response: delete Child"},
	{"ESTABLISHED, deletes Child", "timer: retransmission"},
	{"ESTABLISHED, rekeys Child", "CREATE_CHILD_SA request: rekey Child"},
	{"ESTABLISHED, rekeys Child", "CREATE_CHILD_SA request: rekey IKE"},
	{"ESTABLISHED, rekeys Child", "CREATE_CHILD_SA response"},
	{"ESTABLISHED, rekeys Child", "CREATE_CHILD_SA response: TEMPORARY_FAILURE"},
	{"ESTABLISHED, rekeys Child", "INFORMATIONAL request: delete Child"},
	{"ESTABLISHED, rekeys Child", "timer: retransmission"},
	{"ESTABLISHED, rekeys Child, collision", "CREATE_CHILD_SA response"},
	{"ESTABLISHED, rekeys Child, collision", "CREATE_CHILD_SA response: TEMPORARY_FAILURE"},
	{"ESTABLISHED, rekeys Child, collision", "INFORMATIONAL request: delete Child"},
	{"ESTABLISHED, rekeys Child, collision", "first packet of a Child SA"},
	{"ESTABLISHED, rekeys Child, collision", "timer: retransmission"},
	{"ESTABLISHED, rekeys IKE", "CREATE_CHILD_SA request: rekey Child"},
	{"ESTABLISHED, rekeys IKE", "CREATE_CHILD_SA request: rekey IKE"},
	{"ESTABLISHED, rekeys IKE", "CREATE_CHILD_SA response: rekey IKE"},
	{"ESTABLISHED, rekeys IKE", "CREATE_CHILD_SA response: TEMPORARY_FAILURE"},
	{"ESTABLISHED, rekeys IKE", "INFORMATIONAL request: delete IKE"},
	{"ESTABLISHED, rekeys IKE", "timer: retransmission"},
	{"ESTABLISHED, rekeys IKE, collision", "CREATE_CHILD_SA response: rekey IKE"},
	{"ESTABLISHED, rekeys IKE, collision", "INFORMATIONAL request: delete IKE"},
	{"ESTABLISHED, rekeys IKE, collision", "timer: retransmission"},
	{"REKEYED", "CREATE_CHILD_SA request repeated"},
	{"REKEYED", "INFORMATIONAL request: delete IKE"},
	{"DELETING", "INFORMATIONAL request: delete IKE"},
	{"DELETING", "timer: retransmission"},
	{"DELETING", "timer: lifetime"},
	{"none", "INFORMATIONAL for an unknown SA"},
	{"man in the middle", "relayed IKE_AUTH"},
}
