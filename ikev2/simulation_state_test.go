package ikev2

import (
	"strings"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/spd"
)

// localSPI is the SPI that the receiver of a message has chosen.
func localSPI(h message.Header) message.SPI {
	if h.FromInitiator() {
		return h.SPIr
	}
	return h.SPIi
}

// Receive implements coretest.Protocol.
func (p *simProtocol) Receive(n *simNode, _ ike.Path, b []byte) func() {
	h, err := message.ParseHeader(b)
	if err != nil {
		return nil
	}
	s, sa := p.sim, n.Core.sas[localSPI(h)]
	switch {
	case h.Exchange == message.ExchangeIKESAInit && !h.IsResponse():
		s.Visit("none", "IKE_SA_INIT request")
	case sa == nil:
		s.Visit("none", exchangeName(h.Exchange)+" for an unknown SA")
	case sa.req == nil && h.IsResponse():
		s.Visit(stateOf(sa), exchangeName(h.Exchange)+" response unasked")
	case sa.repeats(h):
		s.Visit(stateOf(sa), exchangeName(h.Exchange)+" request repeated")
	case h.Exchange == message.ExchangeIKESAInit:
		s.Visit(stateOf(sa), "IKE_SA_INIT response")
	}
	return nil
}

// Adopt implements coretest.Protocol.
func (p *simProtocol) Adopt(n *simNode) {
	for _, sa := range n.Core.sas {
		state := func() string { return stateOf(sa) }
		n.Watch(&sa.retransmit, state, "timer: retransmission")
		n.Watch(&sa.soft, state, "timer: rekey")
		n.Watch(&sa.hard, state, "timer: lifetime")
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
func (p *simProtocol) trace(n *simNode, t ike.TraceRecord) {
	m, err := message.Parse(t.Message)
	if err != nil {
		return
	}
	what := describe(m)
	dir := "<-"
	if t.Outbound {
		dir = "->"
	}
	p.sim.W.Tracef("%s %s #%d %s", n.Name, dir, m.Header.MessageID, what)
	if t.Outbound || m.Header.Exchange == message.ExchangeIKESAInit {
		return
	}
	p.sim.Visit(stateOf(n.Core.sas[localSPI(m.Header)]), what)
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
