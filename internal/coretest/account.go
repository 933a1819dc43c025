package coretest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/internal/core"
	"github.com/racoon3/racoon/spd"
)

// busy says what one of the two is busy with, or nothing.
func (s *Sim[E, P]) busy() string {
	for _, n := range s.Nodes() {
		if why := n.busy(); why != "" {
			return n.Name + ": " + why
		}
	}
	if f := s.W.Flying(); f > 0 {
		return fmt.Sprintf("%d datagrams are on their way", f)
	}
	return ""
}

func (n *Node[E, P]) busy() string {
	if jobs := n.Core.Held().Jobs; jobs > 0 {
		return fmt.Sprintf("%d jobs", jobs)
	}
	if why := n.Sim.Protocol.Busy(n.Core); why != "" {
		return why
	}
	for _, x := range n.Sim.Protocol.Sessions(n.Core) {
		for _, c := range x.Children.All() {
			if c.State != child.Mature && c.State != child.Replaced || c.Rekeying {
				return fmt.Sprintf("Child SA %08x is %v, rekeying %v", c.Info.In, c.State, c.Rekeying)
			}
		}
	}
	return ""
}

// differ says in what the two ends do not agree, or nothing. What each holds for
// itself has to be right whenever it is quiet.
func (s *Sim[E, P]) differ() string {
	for _, n := range s.Nodes() {
		if why := n.disorder(); why != "" {
			s.Failf("%s: %s", n.Name, why)
		}
		if why := n.twice(); why != "" {
			return why
		}
		if set, known := n.Core.Held().Timers, n.timers(); set != known {
			return fmt.Sprintf("%s: %d timers are set, %d are accounted for", n.Name, set, known)
		}
	}
	if a, b := len(s.A.Up()), len(s.B.Up()); a != b {
		return fmt.Sprintf("a has %d sessions, b %d", a, b)
	}
	if why := s.Protocol.Differ(); why != "" {
		return why
	}
	if here, there := s.A.childSAs(false), s.B.childSAs(true); here != there {
		return fmt.Sprintf("Child SAs: a has %s; b has %s", here, there)
	}
	if d := spd.CompareMemory(s.A.Plane, s.B.Plane); len(d) > 0 {
		return "data planes: " + strings.Join(d, "; ")
	}
	return s.blocked()
}

// twice says which Child SA should have been replaced by another.
func (n *Node[E, P]) twice() string {
	lineages := map[ike.ChildID]bool{}
	for _, x := range n.Sim.Protocol.Sessions(n.Core) {
		for _, c := range x.Children.All() {
			if lineages[c.Info.ID] || c.State == child.Replaced {
				return fmt.Sprintf("%s: two Child SAs where one should have replaced the other: %08x", n.Name, c.Info.In)
			}
			lineages[c.Info.ID] = true
		}
	}
	return ""
}

// childSAs names all Child SAs by their SPIs, as the other side does if swap is
// set.
func (n *Node[E, P]) childSAs(swap bool) string {
	var all []string
	for _, x := range n.Sim.Protocol.Sessions(n.Core) {
		for _, c := range x.Children.All() {
			in, out := c.Info.In, c.Info.Out
			if swap {
				in, out = out, in
			}
			all = append(all, fmt.Sprintf("%s %08x/%08x", c.Info.Name, in, out))
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// disorder says what is wrong with what a quiet endpoint and its plane hold: it
// has to be what its sessions hold, and no more.
func (n *Node[E, P]) disorder() string {
	p := n.Sim.Protocol
	if why := p.Disorder(n); why != "" {
		return why
	}
	sessions, held := p.Sessions(n.Core), n.Core.Held()
	spis := map[core.SAKey]bool{}
	var ids []string
	policies := map[string]bool{}
	known := map[ike.ChildID]bool{}
	for _, x := range sessions {
		if !x.Up {
			return fmt.Sprintf("session %x is neither up nor gone", x.ID)
		}
		for _, c := range x.Children.All() {
			known[c.Info.ID] = true
			if n.children[c.Info.ID] != x.ID {
				return fmt.Sprintf("Child SA %x of session %x is up, and the events do not say so", c.Info.ID, x.ID)
			}
			spis[core.SAKey{SPI: c.Info.In}] = true
			spis[core.SAKey{SPI: c.Info.Out, Remote: x.RemoteAddr()}] = true
			in, out := c.SAIDs()
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
	}
	for id, session := range n.children {
		if !known[id] {
			return fmt.Sprintf("by the events Child SA %x of session %x is up", id, session)
		}
	}
	var have []string
	for _, id := range n.Plane.SAs() {
		have = append(have, saidString(id))
	}
	slices.Sort(ids)
	slices.Sort(have)
	installed := map[string]bool{}
	for _, p := range n.Plane.Policies() {
		installed[fmt.Sprint(p.Selector.Local, p.Selector.Remote, p.ReqID, p.Direction)] = true
	}
	load := p.Engine(n.Core).Load
	switch {
	case held.HalfOpen != 0 || held.Addresses != 0:
		return fmt.Sprintf("half-open SAs: %d counted, %d addresses", held.HalfOpen, held.Addresses)
	case load.Sessions() != len(sessions) || len(n.ups) != len(sessions):
		return fmt.Sprintf("%d sessions; %d by the load, %d by the events", len(sessions), load.Sessions(), len(n.ups))
	case !maps.Equal(spis, held.SAs):
		return fmt.Sprintf("the SPIs of the Child SAs are %v, the endpoint knows %v", slices.Collect(maps.Keys(spis)), slices.Collect(maps.Keys(held.SAs)))
	case !slices.Equal(ids, have):
		return fmt.Sprintf("the Child SAs have %v, the data plane %v", ids, have)
	case !maps.Equal(policies, installed):
		return fmt.Sprintf("the Child SAs want the policies %v, the data plane has %v", slices.Sorted(maps.Keys(policies)), slices.Sorted(maps.Keys(installed)))
	case len(n.Plane.Larval()) > 0:
		return fmt.Sprintf("reserved and forgotten: %v", n.Plane.Larval())
	}
	return ""
}

// timers counts the timers of a quiet endpoint that belong to something.
func (n *Node[E, P]) timers() (count int) {
	all := n.Sim.Protocol.Timers(n.Core)
	for _, x := range n.Sim.Protocol.Sessions(n.Core) {
		all = append(all, &x.LivenessTimer, &x.KeepaliveTimer)
		for _, c := range x.Children.All() {
			if count++; c.State == child.Mature && !c.Config.NoRekey {
				count++ // both its lifetimes
			}
		}
	}
	for _, t := range all {
		if t.Active() {
			count++
		}
	}
	return count
}

func saidString(id spd.SAID) string {
	return fmt.Sprintf("%v %08x to %v", id.Direction, uint32(id.SPI), id.Dst)
}

// CheckEmpty fails if an endpoint holds anything, after everything was deleted.
func (s *Sim[E, P]) CheckEmpty(n *Node[E, P]) {
	if s.err != nil {
		return
	}
	p, held := s.Protocol, n.Core.Held()
	load := p.Engine(n.Core).Load
	switch sessions := len(p.Sessions(n.Core)); {
	case sessions+len(held.SAs)+held.Jobs+held.Addresses+held.HalfOpen+held.Timers > 0:
		s.Failf("%s: after the end there are %d sessions and %+v", n.Name, sessions, held)
	case p.Left(n.Core) != "":
		s.Failf("%s: after the end there is %s", n.Name, p.Left(n.Core))
	case load.Sessions() != 0 || load.HalfOpen() != 0:
		s.Failf("%s: after the end the load is %d sessions, %d half-open", n.Name, load.Sessions(), load.HalfOpen())
	case len(n.ups) > 0:
		s.Failf("%s: %d sessions were reported up and never down", n.Name, len(n.ups))
	case len(n.children) > 0:
		s.Failf("%s: by the events %d Child SAs are left", n.Name, len(n.children))
	case len(n.Plane.Leaks()) > 0:
		s.Failf("%s: after the end the data plane has %s", n.Name, strings.Join(n.Plane.Leaks(), "; "))
	case n.Core.Stats().LostEvents > 0:
		s.Failf("%s: %d events were lost", n.Name, n.Core.Stats().LostEvents)
	}
}
