package ikev1

import (
	"fmt"
	"strings"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/spd"
)

// Receive implements coretest.Protocol.
func (p *simProtocol) Receive(n *simNode, path ike.Path, b []byte) func() {
	h, err := isakmp.ParseHeader(b)
	state := "none"
	if err == nil {
		sa := n.Core.find(path, h)
		state = stateOf(sa)
		switch {
		case h.NextPayload == isakmp.PayloadFragment:
			p.sim.Visit(state, "fragment")
		case sa == nil && h.CookieR == 0:
			p.sim.Visit(state, exchangeName(h.Exchange)+" begins")
		case sa == nil:
			p.sim.Visit(state, exchangeName(h.Exchange)+" for an unknown SA")
		}
	}
	before := n.Core.Count
	return func() {
		switch c := n.Core.Count; {
		case c.Repeated > before.Repeated:
			p.sim.Visit(state, "repetition")
		case c.BadIntegrity > before.BadIntegrity:
			p.sim.Visit(state, "not genuine")
		case c.Unexpected > before.Unexpected:
			p.sim.Visit(state, "unexpected")
		}
	}
}

// Adopt implements coretest.Protocol.
func (p *simProtocol) Adopt(n *simNode) {
	for _, sa := range n.Core.sas {
		p.forgot[n][sa.local] = true
		state := func() string { return stateOf(sa) }
		n.Watch(&sa.retransmit, state, "timer: last message of phase 1")
		n.Watch(&sa.soft, state, "timer: renewal")
		n.Watch(&sa.hard, state, "timer: lifetime")
		for _, x := range sa.exchanges {
			n.Watch(&x.timer, state, "timer: "+exchangeName(x.kind))
		}
	}
}

// State implements coretest.Protocol.
func (p *simProtocol) State(e *Endpoint, id ike.SessionID) string {
	s := e.sessions[id]
	if s == nil {
		return stateOf(nil)
	}
	return stateOf(s.current)
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
		case *groupProposal:
			doing[4] = true
		}
	}
	st := sa.state.String()
	for i, what := range []string{", rekeys Child", ", creates Child", ", answers Quick Mode", ", transaction", ", proposes a group"} {
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
func (p *simProtocol) trace(n *simNode, t ike.TraceRecord) {
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
	p.sim.W.Tracef("%s %s %04x/%04x #%08x %s%s", n.Name, dir, uint64(h.CookieI)&0xffff, uint64(h.CookieR)&0xffff, h.MessageID, what, about)
	if !t.Outbound {
		p.sim.Visit(stateOf(n.Core.find(t.Path, h)), what)
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
	case isakmp.ExchangeNewGroupMode:
		return "New Group Mode"
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
