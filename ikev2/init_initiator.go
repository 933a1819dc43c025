package ikev2

import (
	"fmt"
	"slices"
	"time"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/internal/core"
	"github.com/racoon3/racoon/spd"
)

// An Initiation asks for a session.
type Initiation struct {
	Peer *Peer
	// Path is where IKE_SA_INIT goes. NATTPath is where the session floats to
	// when there is a NAT (RFC 7296 2.23): a NAT-T socket here, port 4500 there.
	// The zero value: it stays.
	Path, NATTPath ike.Path
	// Children names the Child SAs to bring up; nil is all of the peer's. The
	// first is negotiated in IKE_AUTH.
	Children []string
	// Acquire, if not 0, is answered with AcquireDone when the Child SA is up
	// or has failed; Packet is the flow that raised it.
	Acquire spd.AcquireID
	Packet  *spd.Selector
	// Replaces is the session that this one reauthenticates. When it is up,
	// the old one is deleted.
	Replaces ike.SessionID
}

// Initiate begins a session. What becomes of it, the events tell.
func (e *Endpoint) Initiate(now time.Time, in Initiation) (ike.SessionID, error) {
	if in.Peer == nil {
		return 0, fmt.Errorf("ikev2: Initiation.Peer is nil")
	}
	if e.peers.Peer(in.Peer.Name) != in.Peer { // those of the set have been checked
		if err := in.Peer.check(); err != nil {
			return 0, fmt.Errorf("ikev2: peer %q: %w", in.Peer.Name, err)
		}
	}
	if !in.Path.Remote.IsValid() || !in.Path.Local.IsValid() {
		return 0, fmt.Errorf("ikev2: Initiation.Path %v needs a local and a remote address", in.Path)
	}
	if in.Children == nil {
		for _, c := range in.Peer.Children {
			in.Children = append(in.Children, c.Name)
		}
	}
	for _, name := range in.Children {
		if in.Peer.child(name) == nil {
			return 0, fmt.Errorf("ikev2: peer %q has no Child %q", in.Peer.Name, name)
		}
	}
	if len(in.Children) == 0 && !in.Peer.Childless {
		return 0, fmt.Errorf("ikev2: peer %q has no Children; set Childless to come up without one", in.Peer.Name)
	}
	if m := e.Limits.Sessions; m > 0 && len(e.sessions) >= m {
		e.Count.Limited++
		return 0, fmt.Errorf("ikev2: limit of %d sessions is reached", m)
	}
	s := e.newSession(in.Peer, in.Path, true)
	s.begin, s.Acquire, s.Replaces = &in, in.Acquire, in.Replaces
	sa, err := e.newSA(s, true)
	if err != nil {
		s.end(now, ike.DownFailed, err)
		return 0, err
	}
	s.current = sa
	sa.hs = &handshake{group: dh.ID(spd.KEGroups(in.Peer.Proposals)[0])}
	sa.enqueue(now, &handshakeTask{})
	return s.ID, nil
}

// handshakeTask is the initiator's IKE_SA_INIT and IKE_AUTH.
type handshakeTask struct{}

// start begins IKE_SA_INIT, or begins it again with another group.
func (t *handshakeTask) start(now time.Time, sa *ikeSA) {
	hs, s := sa.hs, sa.s
	hs.wipe()
	s.Generate(hs.group, func(now time.Time, k core.KeyExchange, err error) {
		if err == nil && hs.ni == nil {
			hs.ni, err = s.ep.newNonce()
		}
		if err != nil {
			s.fail(now, ike.DownFailed, fmt.Errorf("key exchange: %w", err))
			return
		}
		hs.private = k.Private
		sa.sendInit(now)
	})
}

// sendInit sends the IKE_SA_INIT request of RFC 7296 1.2.
func (sa *ikeSA) sendInit(now time.Time) {
	hs, s := sa.hs, sa.s
	m := message.Message{Header: sa.header(message.ExchangeIKESAInit, false, 0), Payloads: make(message.Payloads, 0, initPayloads)}
	if hs.cookie != nil {
		m.Payloads = append(m.Payloads, &message.Notify{Type: message.NotifyCookie, Data: hs.cookie})
	}
	m.Payloads = append(m.Payloads,
		wireProposals(s.peer.Proposals, nil),
		&message.KE{Group: uint16(hs.group), Data: hs.private.Public()},
		&message.Nonce{Data: hs.ni})
	m.Payloads = appendInitNotifies(sa.appendNATNotifies(m.Payloads, s.peer), s.peer)
	for _, v := range s.ep.cfg.VendorIDs {
		m.Payloads = append(m.Payloads, &message.VendorID{ID: v})
	}
	b, err := m.AppendBinary(make([]byte, 0, initSize))
	if err != nil {
		s.fail(now, ike.DownFailed, err)
		return
	}
	hs.messageI = b
	hs.refused = nil
	s.trace(now, true, m.Header, m.Payloads)
	sa.launch(now, &request{exchange: message.ExchangeIKESAInit, packets: [][]byte{b}})
}

// Most IKE_SA_INIT messages fit in initSize octets and initPayloads payloads.
const (
	initSize     = 512
	initPayloads = 10
)

// appendInitNotifies announces what both roles can do.
func appendInitNotifies(to message.Payloads, p *Peer) message.Payloads {
	if p == nil || p.FragmentSize >= 0 {
		to = append(to, fragmentationNotify)
	}
	return append(to, signatureHashNotify)
}

// maxRestarts bounds how often COOKIE and INVALID_KE_PAYLOAD make us begin
// again (A14).
const maxRestarts = 6

// initResponse takes an IKE_SA_INIT response. It is not authenticated: what it
// says is believed only as far as IKE_AUTH will prove it.
func (e *Endpoint) initResponse(now time.Time, path ike.Path, h message.Header, b []byte) {
	sa := e.sas[h.SPIi]
	if sa == nil || !sa.initiator || h.FromInitiator() || sa.state != stateInit || sa.req == nil || h.MessageID != 0 ||
		path.Remote != sa.s.Path.Remote || len(b) > maxInitSize {
		e.Count.Unexpected++
		return
	}
	b = slices.Clone(b)
	m, err := message.Parse(b)
	if err != nil {
		e.Count.Malformed++
		return
	}
	s, hs := sa.s, sa.hs
	s.trace(now, false, m.Header, m.Payloads)
	if n := m.Notify(message.NotifyCookie); n != nil && m.SA() == nil {
		if len(n.Data) == 0 || len(n.Data) > 64 || !sa.restart(now, "COOKIE") {
			e.Count.Malformed++
			return
		}
		hs.cookie = slices.Clone(n.Data)
		sa.dropRequest()
		sa.sendInit(now)
		return
	}
	if n := m.Notify(message.NotifyInvalidKEPayload); n != nil {
		sa.otherGroup(now, n)
		return
	}
	if n := m.ErrorNotify(); n != nil {
		hs.refused = &NotifyError{Exchange: h.Exchange, Type: n.Type, Detail: s.askedFor(n.Type)}
		// Anybody could have sent it. A true answer may still come.
		e.SetTimer(&sa.retransmit, now.Add(s.Timing.RetransmitBase))
		return
	}
	if err := sa.acceptInit(now, path, m, b); err != nil {
		hs.refused = protocolError(h.Exchange, "response: %w", err)
		e.SetTimer(&sa.retransmit, now.Add(s.Timing.RetransmitBase))
	}
}

// askedFor says what we had asked for, when the peer refuses it.
func (s *session) askedFor(t message.NotifyType) string {
	if t == message.NotifyNoProposalChosen {
		return fmt.Sprintf("we offered %v", s.peer.Proposals)
	}
	return ""
}

// restart counts another beginning and reports whether it may be made.
func (sa *ikeSA) restart(now time.Time, why string) bool {
	sa.hs.restarts++
	if sa.hs.restarts > maxRestarts {
		sa.hs.refused = protocolError(message.ExchangeIKESAInit, "peer asks again and again for %s", why)
		return false
	}
	return true
}

func (sa *ikeSA) dropRequest() {
	sa.ep.StopTimer(&sa.retransmit)
	sa.req = nil
}

// otherGroup begins again with the group that the peer wants, if we have
// offered it.
func (sa *ikeSA) otherGroup(now time.Time, n *message.Notify) {
	s, hs := sa.s, sa.hs
	group, err := n.InvalidKEGroup()
	offered := spd.KEGroups(s.peer.Proposals)
	if err != nil || !slices.Contains(offered, group) || dh.ID(group) == hs.group {
		hs.refused = protocolError(message.ExchangeIKESAInit, "peer wants key exchange %v; we offer %v and sent %v", dh.ID(group), groupNames(offered), hs.group)
		sa.ep.SetTimer(&sa.retransmit, now.Add(s.Timing.RetransmitBase))
		return
	}
	if !sa.restart(now, "another group") {
		return
	}
	sa.dropRequest()
	hs.group = dh.ID(group)
	sa.active.start(now, sa)
}

func groupNames(groups []uint16) []dh.ID {
	names := make([]dh.ID, len(groups))
	for i, g := range groups {
		names[i] = dh.ID(g)
	}
	return names
}

// acceptInit takes the response's choices and goes on to derive keys.
func (sa *ikeSA) acceptInit(now time.Time, path ike.Path, m *message.Message, raw []byte) error {
	s, hs := sa.s, sa.hs
	if err := m.Require(message.PayloadSA, message.PayloadKE, message.PayloadNonce); err != nil {
		return err
	}
	chosen := offeredProposals(m.SA())
	if len(chosen) != 1 || m.Header.SPIr == 0 {
		return fmt.Errorf("%d proposals and responder SPI %v", len(chosen), m.Header.SPIr)
	}
	if _, err := spd.CheckSelected(s.peer.Proposals, chosen[0]); err != nil {
		return err
	}
	alg, err := s.ep.algorithmsOf(chosen[0])
	if err != nil {
		return err
	}
	ke := m.KE()
	if alg.group != uint16(hs.group) || ke.Group != alg.group {
		return fmt.Errorf("key exchange %v in the KE payload and %v in the proposal; we sent %v", dh.ID(ke.Group), dh.ID(alg.group), hs.group)
	}
	sa.dropRequest()
	hs.refused = nil
	sa.alg, sa.remote = alg, m.Header.SPIr
	hs.messageR, hs.nr = raw, m.Nonce().Data
	sa.peerAnnounces(path, m)
	if s.Encap() && s.begin.NATTPath.Local.IsValid() {
		s.Path = s.begin.NATTPath
	}
	private := hs.private
	hs.private = nil
	s.Conclude(private, ke.Data, func(now time.Time, k core.KeyExchange, err error) {
		defer k.Secret.Wipe()
		if err == nil {
			err = sa.deriveInitial(k.Secret)
		}
		if err != nil {
			s.fail(now, ike.DownFailed, fmt.Errorf("key exchange: %w", err))
			return
		}
		sa.sendID = 1
		sa.startAuth(now)
	})
	return nil
}

// deriveInitial makes the keys of a first IKE SA.
func (sa *ikeSA) deriveInitial(shared []byte) error {
	hs := sa.hs
	seed := initialSKEYSEED(sa.alg.prf, hs.ni, hs.nr, shared)
	defer seed.Wipe()
	keys, err := deriveIKEKeys(sa.alg, seed, hs.ni, hs.nr, sa.spis(), sa.initiator)
	if err != nil {
		return err
	}
	sa.keys = keys
	sa.state = stateAuth
	return nil
}

// response is not called for IKE_SA_INIT: what arrives here is IKE_AUTH.
func (t *handshakeTask) response(now time.Time, sa *ikeSA, m *message.Message) {
	sa.authResponse(now, m)
}

func (t *handshakeTask) abort(time.Time, *ikeSA, error) {}
