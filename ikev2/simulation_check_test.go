package ikev2

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/internal/coretest"
	"github.com/racoon3/racoon/internal/simnet"
)

// settleTime is long enough for any retransmission, retry, liveness check and
// wait of a dying SA to come to its end.
const settleTime = 9 * time.Minute

// Patience implements coretest.Protocol. Everything in IKEv2 is answered, so what
// two quiet ends do not agree on does not heal.
func (p *simProtocol) Patience() coretest.Patience {
	return coretest.Patience{First: settleTime, Quiet: 10 * time.Minute}
}

// Busy implements coretest.Protocol.
func (p *simProtocol) Busy(e *Endpoint) string {
	for _, sa := range e.sas {
		switch {
		case passive(sa):
		case sa.state != stateEstablished || sa.s.Dead || sa.s.Ending:
			return fmt.Sprintf("IKE SA %v is %s", sa.local, stateOf(sa))
		case sa.active != nil || len(sa.queue) > 0 || sa.req != nil || sa.serving:
			return fmt.Sprintf("IKE SA %v: %s, %d waiting, serving %v", sa.local, stateOf(sa), len(sa.queue), sa.serving)
		}
	}
	for _, x := range e.sessions {
		for _, c := range x.Children.All() {
			if c.State != child.Mature {
				return fmt.Sprintf("Child SA %08x is %v", c.Info.In, c.State)
			}
		}
	}
	return ""
}

// passive reports whether an SA is there only to repeat its last answer.
func passive(sa *ikeSA) bool {
	return sa.state == stateDeleting && sa.active == nil && sa.req == nil && len(sa.queue) == 0 && (sa.s.Dead || sa.s.current != sa)
}

// Distrust implements coretest.Protocol.
func (p *simProtocol) Distrust(n *simNode, id ike.SessionID) string {
	x := n.Core.sessions[id]
	if x == nil || x.current == nil || n.Other() == nil {
		return ""
	}
	sa := x.current
	mirror := n.Other().Core.sas[sa.remote]
	switch {
	case mirror == nil && n.Net.Stats().Received > 0 && p.sim.W.Fired[simnet.Restarted] > 0:
		// The peer has lost its memory since it sent its last message.
	case mirror == nil:
		return fmt.Sprintf("session %v/%v is up, and the peer has no such SA", sa.local, sa.remote)
	case mirror.remote != sa.local || mirror.keys == nil || !mirror.keys.skD().Equal(sa.keys.skD()):
		return fmt.Sprintf("session %v/%v is up, and the peer has other keys", sa.local, sa.remote)
	}
	return ""
}

// Differ implements coretest.Protocol.
func (p *simProtocol) Differ() string {
	a, b := p.sim.A.Core, p.sim.B.Core
	for _, x := range a.sessions {
		m := b.sas[x.current.remote]
		switch {
		case m == nil || m.remote != x.current.local || m.s.current != m:
			return fmt.Sprintf("IKE SA %v/%v of a is not one of b's", x.current.local, x.current.remote)
		case !m.keys.skD().Equal(x.current.keys.skD()):
			return fmt.Sprintf("IKE SA %v/%v: the keys differ", x.current.local, x.current.remote)
		case m.initiator == x.current.initiator:
			return fmt.Sprintf("IKE SA %v/%v: both sides have the same role", x.current.local, x.current.remote)
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
			return fmt.Sprintf("Child SAs of session %x: a has %s; b has %s", x.ID, here, there)
		}
	}
	return ""
}

// Disorder implements coretest.Protocol.
func (p *simProtocol) Disorder(n *simNode) string {
	e := n.Core
	for _, sa := range e.sas {
		if !passive(sa) && (sa.s.Dead || e.sessions[sa.s.ID] != sa.s || sa.s.current != sa) {
			return fmt.Sprintf("IKE SA %v belongs to nothing", sa.local)
		}
	}
	for _, x := range e.sessions {
		if x.current == nil {
			return fmt.Sprintf("session %x has no IKE SA", x.ID)
		}
		if len(slices.DeleteFunc(slices.Clone(x.sas), passive)) != 1 {
			return fmt.Sprintf("session %x has %d IKE SAs", x.ID, len(x.sas))
		}
	}
	if len(e.initial) != 0 {
		return fmt.Sprintf("%d first messages are remembered", len(e.initial))
	}
	return ""
}

// Timers implements coretest.Protocol.
func (p *simProtocol) Timers(e *Endpoint) (all []*child.Timer) {
	for _, sa := range e.sas {
		all = append(all, &sa.retransmit, &sa.soft, &sa.hard)
	}
	for _, x := range e.sessions {
		all = append(all, &x.reauth)
	}
	return all
}

// maxSAsPerSession is how many IKE SAs one session may come to have in a
// simulation.
const maxSAsPerSession = 8

// Excess implements coretest.Protocol.
func (p *simProtocol) Excess(n *simNode) string {
	if e := n.Core; len(e.sas) > maxSAsPerSession*(len(e.sessions)+1)+p.sim.W.Steps()/50+16 {
		return fmt.Sprintf("%d IKE SAs for %d sessions", len(e.sas), len(e.sessions))
	}
	return ""
}

// Left implements coretest.Protocol.
func (p *simProtocol) Left(e *Endpoint) string {
	if len(e.sas)+len(e.initial) > 0 {
		return fmt.Sprintf("%d IKE SAs, %d first messages", len(e.sas), len(e.initial))
	}
	return ""
}
