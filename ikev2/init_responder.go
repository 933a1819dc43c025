package ikev2

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/internal/core"
	"github.com/racoon3/racoon/spd"
)

// maxInitSize bounds IKE_SA_INIT messages, in octets: a half-open SA keeps the
// request whole, for AUTH, and anybody can send one. With the largest key
// exchange and dozens of vendor IDs it is below 4,000; strongSwan takes none above
// 10,000 either.
const maxInitSize = 10_000

// initRequest takes an IKE_SA_INIT request. Until a valid one has been
// accepted, nothing is kept and at most one datagram answers.
func (e *Endpoint) initRequest(now time.Time, path ike.Path, h message.Header, b []byte) {
	if h.SPIi == 0 || h.SPIr != 0 || h.MessageID != 0 || !h.FromInitiator() || len(b) > maxInitSize {
		e.Count.Malformed++
		return
	}
	key := initKey{h.SPIi, path.Remote}
	if sa := e.initial[key]; sa != nil {
		sa.repeatInit(b)
		return
	}
	if !e.Admits(path.Remote) {
		return
	}
	m, err := message.Parse(b)
	if err != nil {
		e.Count.Malformed++
		if errors.Is(err, message.ErrUnsupportedCritical) {
			e.refuseInit(path, h, err)
		}
		return
	}
	if err := m.Require(message.PayloadSA, message.PayloadKE, message.PayloadNonce); err != nil {
		e.Count.Malformed++
		e.refuseInit(path, h, err)
		return
	}
	if !e.cookieOK(now, path, m) {
		return
	}
	peers, proposals := e.peers.candidates(path)
	offered := offeredProposals(m.SA())
	failed := func(t message.NotifyType, err error) {
		e.replyClear(path, responseTo(h), &message.Notify{Type: t})
		e.Count.Failed++
		e.Emit(ike.SessionFailed{EventHeader: ike.EventHeader{Time: now, Path: path},
			Err: &RefusedError{Exchange: h.Exchange, Type: t, Err: err}})
	}
	if len(peers) == 0 {
		failed(message.NotifyNoProposalChosen, fmt.Errorf("no peer is configured for %v on %v", path.Remote, path.Local))
		return
	}
	ke := m.KE()
	selected, err := spd.Select(offered, proposals, spd.SelectOptions{KE: ke.Group})
	if err != nil {
		failed(message.NotifyNoProposalChosen, err)
		return
	}
	alg, err := e.algorithmsOf(selected.Proposal)
	if err != nil {
		failed(message.NotifyNoProposalChosen, err)
		return
	}
	if alg.group != ke.Group {
		e.replyClear(path, responseTo(h), &message.Notify{Type: message.NotifyInvalidKEPayload, Data: []byte{byte(alg.group >> 8), byte(alg.group)}})
		return
	}
	g, ok := dh.ByID(dh.ID(alg.group))
	if !ok || len(ke.Data) != g.InitiatorSize() {
		e.Count.Malformed++
		e.replyClear(path, responseTo(h), &message.Notify{Type: message.NotifyInvalidSyntax})
		return
	}
	e.acceptInitRequest(now, key, path, m, b, alg, m.SA().Proposals[selected.OfferedIndex].Num, peers)
}

func responseTo(h message.Header) message.Header {
	h.Flags = message.FlagResponse
	h.Version = message.Version2
	return h
}

// refuseInit tells an initiator that its message cannot be read. It is
// unauthenticated, so nothing more is done.
func (e *Endpoint) refuseInit(path ike.Path, h message.Header, err error) {
	var pe *message.ParseError
	if errors.As(err, &pe) && pe.Notify() != 0 {
		e.replyClear(path, responseTo(h), &message.Notify{Type: pe.Notify(), Data: pe.AppendNotifyData(nil)})
	}
}

// cookieOK demands a cookie when many SAs are half-open (RFC 7296 2.6), and
// reports whether the request may go on.
func (e *Endpoint) cookieOK(now time.Time, path ike.Path, m *message.Message) bool {
	if limit := e.Limits.CookieThreshold; limit >= 0 && e.Load.HalfOpen() < limit {
		return true
	}
	if err := e.cookies.refresh(now, e.cfg.Rand); err != nil {
		return false
	}
	nonce := m.Nonce().Data
	if n, ok := m.Payloads[0].(*message.Notify); ok && n.Type == message.NotifyCookie {
		if e.cookies.check(n.Data, path, m.Header.SPIi, nonce) {
			return true
		}
		e.Count.CookiesBad++
	}
	e.Count.CookiesSent++
	e.replyClear(path, responseTo(m.Header), &message.Notify{Type: message.NotifyCookie, Data: e.cookies.make(path, m.Header.SPIi, nonce)})
	return false
}

// repeatInit answers an identical retransmission of a request that has been
// answered (RFC 7296 2.1); anything else with its SPI is dropped.
func (sa *ikeSA) repeatInit(b []byte) {
	hs := sa.hs
	if hs == nil || hs.messageR == nil || sha256.Sum256(b) != hs.fingerprint {
		sa.ep.Count.Unexpected++
		return
	}
	sa.ep.Count.Repeated++
	sa.ep.Transmit(sa.s.Path, hs.messageR)
}

// acceptInitRequest makes a half-open SA and answers when the key exchange is
// done.
func (e *Endpoint) acceptInitRequest(now time.Time, key initKey, path ike.Path, m *message.Message, raw []byte, alg *algorithms, num uint8, peers []*Peer) {
	s := e.newSession(nil, path, false)
	s.Timing = peers[0].times()
	sa, err := e.newSA(s, false)
	if err != nil {
		s.end(now, ike.DownFailed, err)
		return
	}
	raw = slices.Clone(raw)
	s.current = sa
	sa.remote, sa.alg = m.Header.SPIi, alg
	sa.hs = &handshake{key: key, fingerprint: sha256.Sum256(raw), messageI: raw, possible: peers}
	hs := sa.hs
	hs.ni = slices.Clone(m.Nonce().Data)
	e.initial[key] = sa
	e.OpenHalf(path.Remote)
	e.SetTimer(&sa.hard, now.Add(s.Timing.HalfOpen))
	sa.peerAnnounces(path, m)
	s.RespondTo(dh.ID(alg.group), m.KE().Data, func(now time.Time, k core.KeyExchange, err error) {
		defer k.Secret.Wipe()
		if err == nil {
			hs.nr, err = e.newNonce()
		}
		if err == nil {
			err = sa.deriveInitial(k.Secret)
		}
		if err != nil {
			if errors.Is(err, dh.ErrInvalidPublicValue) {
				e.replyClear(s.Path, responseTo(sa.header(message.ExchangeIKESAInit, true, 0)), &message.Notify{Type: message.NotifyInvalidSyntax})
			}
			s.fail(now, ike.DownFailed, fmt.Errorf("key exchange: %w", err))
			return
		}
		sa.answerInit(now, num, k.Public)
	})
}

// answerInit sends the IKE_SA_INIT response.
func (sa *ikeSA) answerInit(now time.Time, num uint8, public []byte) {
	hs, s := sa.hs, sa.s
	m := message.Message{Header: sa.header(message.ExchangeIKESAInit, true, 0)}
	m.Payloads = append(make(message.Payloads, 0, initPayloads),
		wireChoice(sa.alg.proposal, num, nil),
		&message.KE{Group: sa.alg.group, Data: public},
		&message.Nonce{Data: hs.nr})
	peer := hs.possible[0]
	m.Payloads = sa.appendNATNotifies(m.Payloads, peer)
	m.Payloads = append(m.Payloads, sa.certRequest(hs.possible)...)
	m.Payloads = appendInitNotifies(m.Payloads, peer)
	if slices.ContainsFunc(hs.possible, func(p *Peer) bool { return p.Childless }) {
		m.Payloads = append(m.Payloads, &message.Notify{Type: message.NotifyChildlessIKEv2Supported})
	}
	for _, v := range sa.ep.cfg.VendorIDs {
		m.Payloads = append(m.Payloads, &message.VendorID{ID: v})
	}
	b, err := m.AppendBinary(make([]byte, 0, initSize))
	if err != nil {
		s.fail(now, ike.DownFailed, err)
		return
	}
	hs.messageR = b
	sa.recvID = 1
	s.trace(now, true, m.Header, m.Payloads)
	sa.ep.Transmit(s.Path, b)
}

// forgetInitial takes the SA out of the half-open accounts.
func (sa *ikeSA) forgetInitial() {
	hs, e := sa.hs, sa.ep
	if hs == nil || hs.key == (initKey{}) || e.initial[hs.key] != sa {
		return
	}
	delete(e.initial, hs.key)
	e.CloseHalf(hs.key.remote)
}
