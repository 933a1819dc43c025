package ikev2

import (
	"net/netip"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/internal/coretest"
	"github.com/racoon3/racoon/internal/simnet"
	"github.com/racoon3/racoon/spd"
)

// malicious is an endpoint with valid credentials that does not keep to the
// protocol: beside what its core says it sends well-protected nonsense, as
// requests, and as answers before the core's own.
type malicious struct {
	*simNode
	rate float64 // of nonsense
	sent int
}

// runMalicious lets a malicious peer loose on an honest one, which must keep
// its bounds, and in the end hold nothing.
func runMalicious(s *sim) {
	s.Limits = ike.Limits{Children: 8, Queue: 16}
	s.A.Core.Limits = s.Limits.WithDefaults()
	s.B.Core.Limits = s.A.Core.Limits
	evil := &malicious{simNode: s.B, rate: 0.2 + 0.6*s.W.Rand().Float64()}
	s.ActiveFor = s.W.Between(20*time.Second, 90*time.Second)
	s.Begin()
	// What goes to the honest side meets the evil one's additions.
	s.B.Mutant = &mutant{Name: "malicious peer", Transmit: evil.transmit}
	for range 20 + s.W.Rand().IntN(60) {
		s.W.After(s.W.Between(0, s.ActiveFor), evil.attack)
	}
	commands := []string{"initiate", "initiate", "rekey child", "rekey IKE", "create child", "delete child", "liveness"}
	for range 8 {
		what := commands[s.W.Rand().IntN(len(commands))]
		s.W.After(s.W.Between(time.Second, s.ActiveFor), func() {
			// Whatever the core of the evil side thinks of it, the honest one
			// must take commands.
			if !s.Failed() {
				s.Command(what)
			}
		})
	}
	s.Advance(s.ActiveFor)
	s.B.Mutant = nil
	clear(s.B.Core.sessions)
	s.W.Partition(s.A.Net, s.B.Net, 24*time.Hour)
	s.Advance(settleTime)
	// The peer is gone: nothing is left of what it has been up to.
	for _, x := range s.A.Up() {
		s.Delete(s.A, x.ID)
	}
	s.W.Run(10 * time.Minute)
	s.CheckEmpty(s.A)
	if !s.Failed() && evil.sent == 0 && s.W.Fired.Total() == 0 {
		s.Failf("nothing has happened")
	}
}

// transmit adds nonsense to what the evil side's own core sends.
func (e *malicious) transmit(_ *simNode, tx ike.Transmit) bool {
	h, err := message.ParseHeader(tx.Packet)
	if err != nil || h.Exchange == message.ExchangeIKESAInit || !e.Sim.W.Chance(e.rate) {
		return true
	}
	local := h.SPIi
	if !h.FromInitiator() {
		local = h.SPIr
	}
	sa := e.Core.sas[local]
	if sa == nil || sa.keys == nil {
		return true
	}
	// The same message ID, another content; sometimes beside the honest one.
	e.send(sa, h.Exchange, h.IsResponse(), h.MessageID, tx.Path)
	return e.Sim.W.Chance(0.5)
}

// attack sends a request that the core knows nothing of.
func (e *malicious) attack() {
	if e.Sim.Failed() {
		return
	}
	var keyed []*ikeSA
	for _, sa := range e.Core.sas {
		if sa.keys != nil && sa.state != stateDead {
			keyed = append(keyed, sa)
		}
	}
	if len(keyed) == 0 {
		return
	}
	slices.SortFunc(keyed, func(x, y *ikeSA) int { return int(x.local>>32) - int(y.local>>32) })
	w := e.Sim.W
	sa := keyed[w.Rand().IntN(len(keyed))]
	exchanges := []message.ExchangeType{message.ExchangeCreateChildSA, message.ExchangeCreateChildSA, message.ExchangeCreateChildSA,
		message.ExchangeInformational, message.ExchangeInformational}
	if w.Chance(0.05) {
		exchanges = []message.ExchangeType{message.ExchangeIKEAuth, message.ExchangeType(38 + w.Rand().IntN(200))}
	}
	flood := 1
	if w.Chance(0.2) {
		flood = 30
	}
	for i := range flood {
		w.After(time.Duration(i)*w.Faults.Latency, func() {
			// It knows well which message ID the honest side expects.
			id := sa.sendID
			if victim := e.Sim.A.Core.sas[sa.remote]; victim != nil {
				id = victim.recvID
			}
			if w.Chance(0.05) {
				id += w.Rand().Uint32N(3) - 1
			}
			if sa.keys != nil && sa.state != stateDead {
				e.send(sa, exchanges[w.Rand().IntN(len(exchanges))], w.Chance(0.05), id, sa.s.Path)
			}
		})
	}
}

// send seals a random message and puts it on the wire.
func (e *malicious) send(sa *ikeSA, x message.ExchangeType, response bool, id uint32, path ike.Path) {
	w := e.Sim.W
	h := sa.header(x, response, id)
	size := 0
	if w.Chance(0.1) {
		size = smallFragment
	}
	packets, err := sa.seal(h, e.payloads(sa), size)
	if err != nil {
		return
	}
	e.sent++
	w.Tracef("%s: evil %v response %v #%d", e.Name, x, response, id)
	for _, p := range packets {
		e.Net.Send(ike.Transmit{Path: path, Packet: p})
	}
}

// payloads makes a message out of what could hurt.
func (e *malicious) payloads(sa *ikeSA) message.Payloads {
	r := e.Sim.W.Rand()
	noise := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	// SPIs: of Child SAs that exist on either side, and that do not.
	spi := func() spd.SPI {
		var known []spd.SPI
		for _, n := range e.Sim.Nodes() {
			for _, id := range n.Plane.SAs() {
				known = append(known, id.SPI)
			}
		}
		if len(known) > 0 && r.IntN(4) > 0 {
			return known[r.IntN(len(known))]
		}
		return spd.SPI(r.Uint32())
	}
	ts := func(responder bool) *message.TS {
		set := [][]spd.TrafficSelector{
			{spd.MustParseTrafficSelector("10.1.0.0/16")}, {spd.MustParseTrafficSelector("10.2.0.0/16")},
			{spd.MustParseTrafficSelector("10.3.0.0/16")}, {spd.MustParseTrafficSelector("10.4.0.0/16")}, {spd.AnyIPv4, spd.AnyIPv6}, nil,
		}[r.IntN(6)]
		return wireSelectors(set, responder)
	}
	var out message.Payloads
	child := func() {
		p := []spd.Proposal{spd.MustParseProposal(spd.ProtoESP, "aes128gcm16-noesn")}
		out = append(out, wireProposals(p, spiBytes(spi())), &message.Nonce{Data: noise(16 + r.IntN(48))})
		if r.IntN(8) > 0 {
			out = append(out, ts(false), ts(true))
		}
		if r.IntN(4) == 0 {
			out = append(out, &message.KE{Group: 31, Data: noise(r.IntN(64))})
		}
	}
	parts := 1
	if r.IntN(8) == 0 {
		parts += r.IntN(3)
	}
	for range parts {
		switch r.IntN(14) {
		case 0: // a new Child SA, or a flood of them
			child()
		case 1, 2: // rekey of one that may not exist
			out = append(out, &message.Notify{Type: message.NotifyRekeySA, Protocol: spd.ProtoESP, SPI: spiBytes(spi())})
			child()
		case 3, 4: // rekey of the IKE SA
			out = append(out, wireProposals(e.Peer.Proposals, noise(8)), &message.Nonce{Data: noise(32)}, &message.KE{Group: 31, Data: noise(32)})
		case 5: // Deletes of anybody's SPIs
			var b []byte
			for range r.IntN(8) {
				b = append(b, spiBytes(spi())...)
			}
			out = append(out, &message.Delete{Protocol: spd.ProtoESP, SPISize: 4, SPIs: b})
		case 6:
			if r.IntN(4) == 0 {
				out = append(out, &message.Delete{Protocol: spd.ProtoIKE})
			}
		case 7: // any notify
			out = append(out, &message.Notify{Type: message.NotifyType(r.IntN(65536)), Protocol: spd.Protocol(r.IntN(4)), SPI: noise([]int{0, 4, 8}[r.IntN(3)]), Data: noise(r.IntN(40))})
		case 8: // an error notify
			out = append(out, &message.Notify{Type: message.NotifyType(1 + r.IntN(50)), Data: noise(r.IntN(8))})
		case 9: // a payload that nobody knows, critical or not
			out = append(out, &message.Unknown{Type: message.PayloadType(60 + r.IntN(190)), Critical: r.IntN(3) == 0, Body: noise(r.IntN(60))})
		case 10: // other identities
			out = append(out, &message.ID{Responder: r.IntN(2) == 0, Type: message.IDType(r.IntN(14)), Data: noise(r.IntN(40))},
				&message.AUTH{Method: message.AuthMethod(r.IntN(16)), Data: noise(r.IntN(80))})
		case 11: // proposals that make no sense
			out = append(out, &message.SA{Proposals: []message.Proposal{{Num: uint8(r.Uint32()), Protocol: spd.Protocol(r.IntN(5)), SPI: noise(r.IntN(9))}}},
				&message.Nonce{Data: noise(r.IntN(300))})
		case 12: // a liveness check
		case 13:
			out = append(out, &message.KE{Group: uint16(r.IntN(40)), Data: noise(r.IntN(300))}, ts(r.IntN(2) == 0))
		}
	}
	return out
}

// A relay is a man in the middle without credentials: it makes a key exchange
// of its own with either side and passes what they prove to each other on.
type relay struct {
	*simNode
	half *relay // the other half
}

// HandleDatagram implements simnet.Core: what is protected for this half is
// protected anew for the victim of the other half.
func (m *relay) HandleDatagram(now time.Time, path ike.Path, b []byte) {
	h, err := message.ParseHeader(b)
	if err != nil || h.Exchange == message.ExchangeIKESAInit {
		m.Core.HandleDatagram(now, path, b)
		return
	}
	local := h.SPIr
	if !h.FromInitiator() {
		local = h.SPIi
	}
	sa := m.Core.sas[local]
	other := m.half.only()
	if sa == nil || sa.keys == nil || other == nil || other.keys == nil {
		return
	}
	chain, err := message.ParseChain(h.NextPayload, b[message.HeaderLen:])
	if err != nil || chain.Encrypted() == nil {
		return
	}
	text, err := sa.open(b, chain.Encrypted())
	if err != nil {
		return
	}
	payloads, err := message.ParsePayloads(chain.Encrypted().Next, text)
	if err != nil {
		return
	}
	packets, err := other.seal(other.header(h.Exchange, h.IsResponse(), h.MessageID), payloads, 0)
	if err != nil {
		return
	}
	m.Sim.Visit("man in the middle", "relayed "+h.Exchange.String())
	for _, p := range packets {
		m.half.Net.Send(ike.Transmit{Path: m.half.Path, Packet: p})
	}
}

func (m *relay) only() *ikeSA {
	for _, sa := range m.Core.sas {
		if sa.keys != nil {
			return sa
		}
	}
	return nil
}

// PollTransmit keeps the relay's own cores from speaking after IKE_SA_INIT.
func (m *relay) PollTransmit() (ike.Transmit, bool) {
	for {
		tx, ok := m.Core.PollTransmit()
		if !ok {
			return tx, ok
		}
		if h, err := message.ParseHeader(tx.Packet); err == nil && h.Exchange == message.ExchangeIKESAInit {
			return tx, true
		}
	}
}

// runImpostor: a wants to speak to b, and a man in the middle sits on the way.
// Neither may believe that a session is up.
func runImpostor(s *sim) {
	toA, toB := netip.MustParseAddrPort("203.0.113.1:500"), netip.MustParseAddrPort("203.0.113.2:500")
	wrong := (&ike.Credential{PSK: ike.Secret("a guess")}).Source()
	half := func(name string, peer *Peer, path ike.Path) *relay {
		fake := *peer
		fake.Local.Credential, fake.Remote.Credential = wrong, wrong
		m := &relay{simNode: s.NewNode(name, &fake, path)}
		m.Net = s.W.AddNode(simnet.NodeConfig{Name: name, Core: m, Addr: path.Local.Addr(), DataPlane: func() []spd.Event { return m.Plane.PollEvents() }})
		return m
	}
	front := half("front", s.B.Peer, ike.Path{Local: toA, Remote: coretest.AddrA}) // plays b for a
	back := half("back", s.A.Peer, ike.Path{Local: toB, Remote: coretest.AddrB})   // plays a for b
	front.half, back.half = back, front
	s.A.Path.Remote = toA
	s.Initiate(s.A)
	s.Initiate(back.simNode)
	s.W.After(s.W.Between(0, time.Second), func() { s.W.Force(simnet.Lost) })
	s.Advance(5 * time.Minute)
	for _, n := range s.Nodes() {
		if st := n.Core.Stats(); st.Established > 0 || n.ToldUp() > 0 {
			s.Failf("%s: a session is up with a man in the middle", n.Name)
		}
		s.CheckEmpty(n)
	}
	if s.Visited[coretest.Visit{State: "man in the middle", Event: "relayed IKE_AUTH"}] == 0 && s.W.Fired[simnet.Lost] < 4 {
		s.Failf("the man in the middle has relayed no IKE_AUTH")
	}
}
