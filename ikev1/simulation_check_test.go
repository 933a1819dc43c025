package ikev1

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/internal/coretest"
	"github.com/racoon3/racoon/internal/simnet"
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

// Patience implements coretest.Protocol.
func (p *simProtocol) Patience() coretest.Patience {
	return coretest.Patience{Quiet: p.longest + detection, Differ: p.longest + detection}
}

// detection is how long it takes to find out that a peer has gone, and to begin
// anew.
const detection = 6 * time.Minute

// Busy implements coretest.Protocol.
func (p *simProtocol) Busy(e *Endpoint) string {
	for _, sa := range sortedSAs(e) {
		if sa.state != stateEstablished {
			return fmt.Sprintf("ISAKMP SA %v is %s", sa.local, stateOf(sa))
		}
		for _, x := range sa.exchanges {
			if x.of != nil && x.busy || x.waits {
				return fmt.Sprintf("ISAKMP SA %v: %s", sa.local, stateOf(sa))
			}
		}
	}
	for _, x := range e.sessions {
		if len(x.queue) > 0 || x.configured != nil {
			return fmt.Sprintf("session %x: %d errands wait, for a configuration %v", x.ID, len(x.queue), x.configured != nil)
		}
	}
	return ""
}

func sortedSAs(e *Endpoint) []*isakmpSA {
	out := make([]*isakmpSA, 0, len(e.sas))
	for _, c := range slices.Sorted(maps.Keys(e.sas)) {
		out = append(out, e.sas[c])
	}
	return out
}

// Differ implements coretest.Protocol.
func (p *simProtocol) Differ() string {
	for _, n := range p.sim.Nodes() {
		if why := p.oneSided(n); why != "" {
			return why
		}
	}
	return ""
}

// oneSided says what a node has that the other has not.
func (p *simProtocol) oneSided(n *simNode) string {
	o := n.Other().Core
	for _, sa := range sortedSAs(n.Core) {
		i, r := sa.cookiePair()
		m := o.sas[sa.remote]
		switch {
		case m == nil || m.remote != sa.local || m.state != sa.state:
			return fmt.Sprintf("ISAKMP SA %v/%v of %s is not one of the other's", i, r, n.Name)
		case !m.keys.d.Equal(sa.keys.d) || !m.keys.a.Equal(sa.keys.a) || !m.keys.e.Equal(sa.keys.e):
			return fmt.Sprintf("ISAKMP SA %v/%v: the keys differ", i, r)
		case m.initiator == sa.initiator:
			return fmt.Sprintf("ISAKMP SA %v/%v: both sides have the same role", i, r)
		}
	}
	used := map[*session]*session{}
	for _, up := range n.Up() {
		x := n.Core.sessions[up.ID]
		if x.current == nil {
			return fmt.Sprintf("%s: session %x has no ISAKMP SA", n.Name, x.ID)
		}
		m := o.sas[x.current.remote].s
		if used[m] != nil {
			return fmt.Sprintf("%s: sessions %x and %x are one to the other", n.Name, x.ID, used[m].ID)
		}
		used[m] = x
		lasting := 0
		for _, sa := range x.sas {
			if sa.soft.Active() {
				lasting++
			}
		}
		if lasting > 2 {
			return fmt.Sprintf("%s: %d ISAKMP SAs of session %x are to last", n.Name, lasting, x.ID)
		}
		traffic := map[string]int{}
		for _, c := range x.Children.All() {
			k := fmt.Sprint(c.Info.LocalTS, c.Info.RemoteTS)
			if traffic[k]++; traffic[k] > 1 {
				return fmt.Sprintf("%s: %d Child SAs of session %x for %s", n.Name, traffic[k], x.ID, k)
			}
			if m.Children.ByInbound(c.Info.Protocol, c.Info.Out) == nil {
				return fmt.Sprintf("%s: Child SA %08x of session %x is not the other's", n.Name, c.Info.In, x.ID)
			}
		}
	}
	return ""
}

// Distrust implements coretest.Protocol.
func (p *simProtocol) Distrust(n *simNode, id ike.SessionID) string {
	x := n.Core.sessions[id]
	if x == nil || x.current == nil {
		return ""
	}
	sa := x.current
	if p.sim.Kind == "roadwarrior" && n == p.sim.B && (x.user == nil || x.user.User != "alice") {
		return fmt.Sprintf("session %v/%v is up, and its user is not known", sa.local, sa.remote)
	}
	mirror := n.Other().Core.sas[sa.remote]
	switch {
	case mirror == nil && (p.sim.W.Fired[simnet.Restarted] > 0 || p.forgot[n.Other()][sa.remote]):
		// The peer has lost it, or given it up, since it sent its last message.
	case mirror == nil:
		return fmt.Sprintf("session %v/%v is up, and the peer has no such SA", sa.local, sa.remote)
	case mirror.keys == nil && sa.mode == BaseMode && !sa.initiator && mirror.p1 != nil:
		// The initiator of Base Mode has its keys with the last message.
	case mirror.remote != sa.local || mirror.keys == nil || !mirror.keys.d.Equal(sa.keys.d):
		return fmt.Sprintf("session %v/%v is up, and the peer has other keys", sa.local, sa.remote)
	}
	return ""
}

// Disorder implements coretest.Protocol.
func (p *simProtocol) Disorder(n *simNode) string {
	e := n.Core
	for _, sa := range sortedSAs(e) {
		for _, x := range sa.exchanges {
			if !x.timer.Active() {
				return fmt.Sprintf("exchange %08x is not forgotten", x.id)
			}
		}
		switch {
		case e.sessions[sa.s.ID] != sa.s || !slices.Contains(sa.s.sas, sa):
			return fmt.Sprintf("ISAKMP SA %v belongs to nothing", sa.local)
		case !sa.hard.Active():
			return fmt.Sprintf("ISAKMP SA %v has no end", sa.local)
		}
	}
	for _, x := range e.sessions {
		for _, sa := range x.sas {
			if e.sas[sa.local] != sa {
				return fmt.Sprintf("session %x has an ISAKMP SA that is gone", x.ID)
			}
		}
	}
	for _, sa := range e.initial {
		if e.sas[sa.local] != sa {
			return fmt.Sprintf("the first message of ISAKMP SA %v is remembered", sa.local)
		}
	}
	if p.lender != nil && n == p.sim.B && p.sim.W.Fired[simnet.Restarted] == 0 {
		if lent, sessions := len(p.lender.lent), len(e.sessions); lent > sessions {
			return fmt.Sprintf("%d addresses are assigned to %d sessions", lent, sessions)
		}
	}
	return ""
}

// Timers implements coretest.Protocol.
func (p *simProtocol) Timers(e *Endpoint) []*child.Timer {
	all := []*child.Timer{&e.fragments.timer}
	for _, sa := range e.sas {
		all = append(all, &sa.retransmit, &sa.soft, &sa.hard, &sa.dpd.timer)
		for _, x := range sa.exchanges {
			all = append(all, &x.timer)
		}
	}
	for _, x := range e.sessions {
		all = append(all, &x.configTimer)
		for _, r := range x.retiring {
			all = append(all, &r.timer)
		}
	}
	return all
}

// maxSAsPerSession is how many ISAKMP SAs one session may come to have in a
// simulation.
const maxSAsPerSession = 8

// Excess implements coretest.Protocol.
func (p *simProtocol) Excess(n *simNode) string {
	e := n.Core
	if len(e.sas) > maxSAsPerSession*(len(e.sessions)+1)+p.sim.W.Steps()/50+16 {
		return fmt.Sprintf("%d ISAKMP SAs for %d sessions", len(e.sas), len(e.sessions))
	}
	for _, sa := range e.sas {
		if x, most := len(sa.exchanges), maxExchanges+2*e.Limits.Queue; x > most {
			return fmt.Sprintf("%d exchanges under an ISAKMP SA, the limit is %d", x, most)
		}
	}
	return ""
}

// Left implements coretest.Protocol.
func (p *simProtocol) Left(e *Endpoint) string {
	switch {
	case len(e.sas)+len(e.initial)+len(e.relations)+len(e.beginning) > 0:
		return fmt.Sprintf("%d ISAKMP SAs, %d first messages, %d relations, %d beginnings", len(e.sas), len(e.initial), len(e.relations), len(e.beginning))
	case e.fragments.early.octets+e.fragments.late.octets+len(e.fragments.firsts) > 0:
		return "fragments"
	case p.lender != nil && len(p.lender.lent) > 0 && p.sim.W.Fired[simnet.Restarted] == 0:
		return fmt.Sprintf("addresses: %v", p.lender.lent)
	}
	return ""
}
