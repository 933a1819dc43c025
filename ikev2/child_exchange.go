package ikev2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/internal/core"
	"github.com/racoon3/racoon/spd"
)

// A childExchange is the negotiation of one Child SA, in IKE_AUTH or in
// CREATE_CHILD_SA, in either role.
type childExchange struct {
	s   *session
	cfg *ike.ChildConfig
	old *child.SA // the one it replaces, or nil

	initiator bool
	requests  []spd.SPIRequest
	spis      []spd.SPI
	offerSPI  spd.SPI // the first of spis, also after they are installed or released
	ni, nr    []byte

	// Initiator.
	acquire  spd.AcquireID
	packet   *spd.Selector
	pair     *spd.Selector // only this pair of the configured selectors
	offered  []spd.Proposal
	group    dh.ID // 0 without PFS
	keyShare core.KeyExchange

	mode          spd.Mode
	proposal      spd.Proposal
	peerSPI       spd.SPI
	local, remote []spd.TrafficSelector // initiator: offered, then agreed

	// IPComp (RFC 7296 2.22): wanted until the peer answers, then agreed.
	ipcomp  bool
	peerCPI spd.SPI

	noTFC bool // the peer takes no packets with TFC padding (RFC 7296 1.3.1)

	// Transport mode behind a NAT: what the peer calls the two hosts.
	originalLocal, originalRemote netip.Addr

	sa *child.SA // once installed
}

func (s *session) newChildExchange(cfg *ike.ChildConfig) *childExchange {
	return &childExchange{s: s, cfg: cfg, initiator: true, mode: cfg.Mode, ipcomp: s.canIPComp(cfg)}
}

// childExchanges are the negotiations that a configured Child takes: one, or
// one for each pair of selectors with a peer that takes one pair at a time.
func (s *session) childExchanges(cfg *ike.ChildConfig) []*childExchange {
	if !s.peer.Quirks.OnePairPerChild {
		return []*childExchange{s.newChildExchange(cfg)}
	}
	return s.pairs(cfg)
}

func (s *session) pairs(cfg *ike.ChildConfig) (all []*childExchange) {
	local, remote := s.OfferedSelectors(cfg)
	for _, l := range local {
		for _, r := range remote {
			if l.Is4() == r.Is4() {
				x := s.newChildExchange(cfg)
				x.pair = &spd.Selector{Local: l, Remote: r}
				all = append(all, x)
			}
		}
	}
	return all
}

// reserve gets the inbound SPI.
func (x *childExchange) reserve(done func(now time.Time, err error)) {
	s := x.s
	reqID := x.cfg.ReqID
	if x.old != nil {
		reqID = x.old.Info.ReqID
	}
	x.requests = []spd.SPIRequest{{Protocol: x.cfg.Proposals[0].Protocol, Local: s.LocalAddr(), Remote: s.RemoteAddr(), ReqID: reqID,
		Mark: x.cfg.Options.MarkIn, Acquire: x.acquire, TTL: s.Timing.RetransmitMax * time.Duration(s.Timing.RetransmitTries+1)}}
	if x.ipcomp {
		r := x.requests[0]
		r.Protocol = spd.ProtoIPComp
		x.requests = append(x.requests, r)
	}
	s.Children.Reserve(x.requests, func(now time.Time, spis []spd.SPI, err error) {
		x.spis = spis
		if len(spis) > 0 {
			x.offerSPI = spis[0]
		}
		done(now, err)
	})
}

// offer makes the payloads of the initiator's request. In IKE_AUTH there is no
// key exchange, and the nonces are those of IKE_SA_INIT.
func (x *childExchange) offer(inAuth bool) message.Payloads {
	s := x.s
	x.offered = x.cfg.Proposals
	if inAuth {
		x.offered = nil
		for _, p := range x.cfg.Proposals {
			if p = p.WithKE(); !slices.ContainsFunc(x.offered, p.Equal) {
				x.offered = append(x.offered, p)
			}
		}
	}
	out := make(message.Payloads, 0, childPayloads)
	if x.old != nil {
		out = append(out, &message.Notify{Type: message.NotifyRekeySA, Protocol: x.old.Info.Protocol, SPI: spiBytes(x.old.Info.In)})
	}
	out = append(out, x.ipcompNotify(x.spis)...)
	if x.mode == spd.ModeTransport {
		out = append(out, &message.Notify{Type: message.NotifyUseTransportMode})
	}
	out = append(out, wireProposals(x.offered, spiBytes(x.spis[0])))
	if !inAuth {
		out = append(out, &message.Nonce{Data: x.ni})
		if x.group != dh.None {
			out = append(out, &message.KE{Group: uint16(x.group), Data: x.keyShare.Public})
		}
	}
	x.local, x.remote = s.OfferedSelectors(x.cfg)
	if x.pair != nil {
		x.local, x.remote = []spd.TrafficSelector{x.pair.Local}, []spd.TrafficSelector{x.pair.Remote}
	}
	if x.old != nil {
		// A rekey keeps what was agreed (RFC 7296 2.9.2).
		x.local, x.remote = x.old.Info.LocalTS, x.old.Info.RemoteTS
	} else if p := x.packet; p != nil && p.Local.First.IsValid() && p.Remote.First.IsValid() &&
		spd.Covers(x.local, p.Local) && spd.Covers(x.remote, p.Remote) {
		x.local = append([]spd.TrafficSelector{p.Local}, x.local...)
		x.remote = append([]spd.TrafficSelector{p.Remote}, x.remote...)
	}
	return append(out, wireSelectors(x.local, false), wireSelectors(x.remote, true))
}

// childPayloads is the usual number of payloads that negotiate a Child SA.
const childPayloads = 6

// accept takes the responder's answer and installs the SA. done gets why there
// is none.
func (x *childExchange) accept(now time.Time, m *message.Message, k *ikeKeys, done func(now time.Time, err error)) {
	s := x.s
	if k == nil {
		k = s.current.keys
	}
	if err := x.check(m); err != nil {
		done(now, err)
		return
	}
	if x.group == dh.None || m.KE() == nil {
		x.install(now, k, nil, false, done)
		return
	}
	private := x.keyShare.Private
	x.keyShare.Private = nil
	s.Conclude(private, m.KE().Data, func(now time.Time, ke core.KeyExchange, err error) {
		defer ke.Secret.Wipe()
		if err != nil {
			done(now, fmt.Errorf("key exchange: %w", err))
			return
		}
		x.install(now, k, ke.Secret, false, done)
	})
}

// check compares the answer with what was offered. Nothing of it is taken on
// trust: a responder may only choose and narrow.
func (x *childExchange) check(m *message.Message) error {
	if n := m.ErrorNotify(); n != nil && m.SA() == nil {
		detail := ""
		switch n.Type {
		case message.NotifyNoProposalChosen:
			detail = fmt.Sprintf("we offered %v", x.offered)
		case message.NotifyTSUnacceptable:
			detail = fmt.Sprintf("we offered %v === %v", x.local, x.remote)
		}
		return &NotifyError{Exchange: m.Header.Exchange, Type: n.Type, Detail: detail}
	}
	if err := m.Require(message.PayloadSA, message.PayloadTSi, message.PayloadTSr); err != nil {
		return protocolError(m.Header.Exchange, "response: %w", err)
	}
	chosen := offeredProposals(m.SA())
	if len(chosen) != 1 {
		return protocolError(m.Header.Exchange, "peer chose %d proposals", len(chosen))
	}
	if _, err := spd.CheckSelected(x.offered, chosen[0]); err != nil {
		return err
	}
	x.proposal = chosen[0]
	x.noTFC = m.HasNotify(message.NotifyESPTFCPaddingNotSupported)
	group := dh.ID(x.proposal.KeyExchange())
	if group != dh.None && (m.KE() == nil || group != x.group || dh.ID(m.KE().Group) != group) {
		return protocolError(m.Header.Exchange, "peer chose key exchange %v, and we sent %v", group, x.group)
	}
	if group == dh.None {
		x.group = dh.None
	}
	var err error
	if x.peerSPI, err = wireSPI(m.SA().Proposals[0].SPI); err != nil {
		return protocolError(m.Header.Exchange, "%w", err)
	}
	if n := m.Nonce(); n != nil {
		x.nr = n.Data
	}
	if x.mode == spd.ModeTransport && !m.HasNotify(message.NotifyUseTransportMode) {
		return protocolError(m.Header.Exchange, "peer does not take transport mode")
	}
	local, okL := selectors(m.TSi())
	remote, okR := selectors(m.TSr())
	if !okL || !okR || len(local) == 0 || len(remote) == 0 {
		return protocolError(m.Header.Exchange, "traffic selectors %v === %v", m.TSi(), m.TSr())
	}
	local, remote = x.natSelectors(local, remote)
	if !spd.CoversSet(x.local, local) || !spd.CoversSet(x.remote, remote) {
		return protocolError(m.Header.Exchange, "traffic selectors %v === %v are not within the offered %v === %v", local, remote, x.local, x.remote)
	}
	if x.s.Asked != nil && x.cfg.LocalDynamic && x.old == nil {
		// Whatever a gateway answers, nobody but the assigned address takes part.
		own, _ := x.s.OfferedSelectors(x.cfg)
		narrowed := spd.Narrow(local, own)
		if len(narrowed) == 0 {
			return protocolError(m.Header.Exchange, "traffic selectors %v are not those of the address that the gateway has assigned: %v", local, own)
		}
		local = narrowed
	}
	x.local, x.remote = local, remote
	x.agreeIPComp(m)
	return nil
}

// natSelectors has the selectors as they are on this side of a NAT, and keeps
// the originals.
func (x *childExchange) natSelectors(local, remote []spd.TrafficSelector) (l, r []spd.TrafficSelector) {
	l, r, x.originalLocal, x.originalRemote = x.s.NATSelectors(x.mode, local, remote)
	return l, r
}

// maxKnownLives bounds Endpoint.lives: there are few configurations of Child
// SAs, and many sessions of each.
const maxKnownLives = 64

// lifeOf is core.LifeOf. Child SAs with the same settings share them.
func (e *Endpoint) lifeOf(c *ike.ChildConfig, noRekey bool) *child.Config {
	l := core.LifeOf(c, noRekey)
	for _, known := range e.lives {
		if *known == *l {
			return known
		}
	}
	if len(e.lives) < maxKnownLives {
		e.lives = append(e.lives, l)
	}
	return l
}

// install derives the keys and installs both directions; with hold the
// outbound one waits (responder of a rekey).
func (x *childExchange) install(now time.Time, k *ikeKeys, shared []byte, hold bool, done func(now time.Time, err error)) {
	s := x.s
	in, out, err := childKeys(k, x.proposal, shared, x.ni, x.nr, x.initiator)
	if err != nil {
		done(now, err)
		return
	}
	in.SPI, out.SPI = x.spis[0], x.peerSPI
	in.Mode, out.Mode = x.mode, x.mode
	in.ReplayWindow = x.cfg.ReplayWindow
	x.sa = s.AddChild(ike.ChildInfo{Name: x.cfg.Name, Protocol: x.proposal.Protocol,
		ChildSPIs: ike.ChildSPIs{In: in.SPI, Out: out.SPI}, ReqID: x.cfg.ReqID, Mode: x.mode,
		LocalTS: x.local, RemoteTS: x.remote, Proposal: x.proposal, UDPEncap: s.Encap()},
		s.ep.lifeOf(x.cfg, s.peer.Quirks.NoChildRekeyInitiation), x.initiator, x.old)
	options := x.cfg.Options
	if x.noTFC {
		options.TFCPadding = 0
	}
	var both struct { // in one piece
		in, out spd.Bundle
		sas     [2]spd.SA
	}
	b := &both
	b.sas = [2]spd.SA{in, out}
	bundle := func(sas []spd.SA, cpi spd.SPI) spd.Bundle {
		return spd.Bundle{SAs: x.withIPComp(sas, cpi), ReqID: x.sa.Info.ReqID, Local: s.Path.Local, Remote: s.Path.Remote, UDPEncap: s.Encap(),
			Interface: s.Path.Interface, LocalTS: x.local, RemoteTS: x.remote, OriginalLocal: x.originalLocal, OriginalRemote: x.originalRemote,
			Lifetime: x.sa.Config.Volume, Options: options}
	}
	var cpi spd.SPI
	if len(x.spis) > 1 {
		cpi = x.spis[1]
		if !x.ipcomp {
			s.Children.Release(x.requests[1:], x.spis[1:])
		}
	}
	x.spis = nil // installed or removed from here on, no longer reserved
	x.sa.Info.IPComp = x.ipcomp
	b.in, b.out = bundle(b.sas[:1:1], cpi), bundle(b.sas[1:], x.peerCPI)
	s.Children.Install(now, x.sa, &b.in, &b.out, hold, func(now time.Time, err error) {
		if err != nil {
			done(now, fmt.Errorf("installing the Child SA: %w", err))
			return
		}
		if x.old == nil {
			s.Emit(ike.ChildUp{EventHeader: s.EventHeader(now), Child: x.sa.Info})
		}
		if x.acquire != 0 {
			s.AcquireDone(x.acquire, nil)
			x.acquire = 0
		}
		done(now, nil)
	})
}

// withdraw tells the peer, before anything else, to delete the SA that it has
// made of our offer (RFC 7296 1.3.1 and 2.8.1): we do not take it.
func (x *childExchange) withdraw(sa *ikeSA) {
	t := &informational{payloads: message.Payloads{deleteSPI(x.requests[0].Protocol, x.offerSPI)}}
	sa.queue = append([]task{t}, sa.queue...)
}

// failed ends an exchange without a Child SA: SPIs and secrets go back, the
// data plane and the program are told.
func (x *childExchange) failed(now time.Time, err error) {
	s := x.s
	s.Children.Release(x.requests, x.spis)
	x.spis = nil
	x.keyShare.Wipe()
	x.keyShare = core.KeyExchange{}
	s.AcquireDone(x.acquire, err)
	x.acquire = 0
	if x.old == nil && s.Up && !s.Dead {
		s.Emit(ike.ChildFailed{EventHeader: s.EventHeader(now), Name: x.cfg.Name, Initiator: x.initiator, Err: err})
	}
}

func spiBytes(spi spd.SPI) []byte { return binary.BigEndian.AppendUint32(nil, uint32(spi)) }

// wireSPI reads an ESP or AH SPI; 0 to 255 are reserved (RFC 4303 2.1).
func wireSPI(b []byte) (spd.SPI, error) {
	if len(b) != 4 {
		return 0, fmt.Errorf("SPI of %d octets", len(b))
	}
	spi := spd.SPI(binary.BigEndian.Uint32(b))
	if spi < 256 {
		return 0, fmt.Errorf("SPI %d is reserved", spi)
	}
	return spi, nil
}

func wireSelectors(set []spd.TrafficSelector, responder bool) *message.TS {
	w := &struct {
		message.TS
		usual [1]message.TrafficSelector
	}{}
	ts := &w.TS
	ts.Responder, ts.Selectors = responder, w.usual[:0]
	for _, s := range set {
		ts.Selectors = append(ts.Selectors, message.NewTrafficSelector(s))
	}
	return ts
}

// selectors takes the selectors out of a TS payload; those of unknown types
// are left out. It reports false if none is usable.
func selectors(ts *message.TS) ([]spd.TrafficSelector, bool) {
	if ts == nil {
		return nil, false
	}
	set := make([]spd.TrafficSelector, 0, len(ts.Selectors))
	for i := range ts.Selectors {
		if t := &ts.Selectors[i]; t.Valid() {
			set = append(set, t.TrafficSelector)
		}
	}
	return set, len(set) > 0
}

var errNoSelectors = errors.New("no common traffic")
