package ikev1

import (
	"crypto/sha256"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/secret"
	"github.com/racoon3/racoon/spd"
)

// phase1 is what an ISAKMP SA keeps between its first message and its
// establishment.
type phase1 struct {
	key      initKey // of a responder
	policy   phase1Policy
	possible []*Peer // of a responder: whom it may be, by address

	hashed phase1Hash // what HASH_I and HASH_R cover
	ni, nr []byte

	private dh.PrivateKey // of an initiator
	shared  secret.Bytes  // g^xy, while SKEYID is not decided
	skeyid  secret.Bytes  // of Base Mode with a pre-shared key, until there are the other keys
	keyed   []keyedPeer   // of a Main Mode responder with pre-shared keys
	iv      initVector    // of the next message

	step  uint8 // number of the message that is expected
	busy  bool  // a job works on the last one; duplicates are absorbed
	seen  [sha256.Size]byte
	sent  [][]byte
	tries int

	before      [sha256.Size]byte // seen, before the message that is being worked on
	doubts      uint8             // messages in clear that were not genuine
	undecrypted uint8             // messages that the keys did not fit

	float         ike.Path // where an initiator goes on behind a NAT
	certRequested bool
	authorities   [][]byte // that the peer trusts: DER names
	vendors       []string // names of the peer's vendor IDs
	notifies      []*isakmp.Notify
	held          []heldDatagram
	refused       error // an unauthenticated refusal, believed only if nothing better comes
}

// keyedPeer are peers that a responder may be talking to, with the keys that
// their pre-shared key makes.
type keyedPeer struct {
	peers []*Peer
	keys  *phase1Keys
}

func (p *phase1) wipe() {
	if p == nil {
		return
	}
	if p.private != nil {
		p.private.Wipe()
		p.private = nil
	}
	p.shared.Wipe()
	p.skeyid.Wipe()
	for _, k := range p.keyed {
		k.keys.wipe()
	}
	p.keyed = nil
}

func (p *phase1) offeredText() string {
	if p == nil || len(p.policy.proposals) == 0 {
		return ""
	}
	return fmt.Sprintf("we offered %v with %v", p.policy.proposals, names(p.policy.methods))
}

func (m Mode) exchange() isakmp.ExchangeType {
	switch m {
	case AggressiveMode:
		return isakmp.ExchangeAggressive
	case BaseMode:
		return isakmp.ExchangeBase
	}
	return isakmp.ExchangeIdentityProtection
}

func modeOf(x isakmp.ExchangeType) (Mode, bool) {
	switch x {
	case isakmp.ExchangeIdentityProtection:
		return MainMode, true
	case isakmp.ExchangeAggressive:
		return AggressiveMode, true
	case isakmp.ExchangeBase:
		return BaseMode, true
	}
	return 0, false
}

// policy is what a peer's configuration allows for an ISAKMP SA, this side
// being its initiator or not.
func (p *Peer) policy(initiator bool) phase1Policy {
	out := phase1Policy{proposals: p.Proposals, life: lifetimeOf(p.times().Lifetime, p.Volume), check: p.Check}
	for _, m := range p.Methods {
		// With XAuth, who is the client must fit who began.
		if m.XAuth() {
			client := m.Client(initiator)
			if client && p.Prompt == nil || !client && p.Users == nil {
				continue
			}
		}
		out.methods = append(out.methods, m)
	}
	return out
}

// nonceLen is the size of our nonces in octets.
const nonceLen = 32

// newNonce draws a nonce.
func (e *Endpoint) newNonce() ([]byte, error) {
	b := make([]byte, nonceLen)
	return b, e.Random(b)
}

// Phase 1 alternates: whoever has sent waits for the other's message. The
// initiator sends its own again until then; the responder only answers a
// repetition, so that it never sends more than it was sent (VU#419128).

// sendPhase1 sends the next message of phase 1, encrypted if the step asks for
// it, and waits for the number that follows it.
func (sa *isakmpSA) sendPhase1(now time.Time, encrypt bool, payloads ...isakmp.Payload) {
	p := sa.p1
	h := sa.header(sa.mode.exchange(), 0)
	if encrypt {
		packets, next, err := sa.seal(now, h, p.iv, nil, payloads)
		if err != nil {
			sa.failed(now, ike.DownFailed, err)
			return
		}
		p.sent, p.iv = packets, next
	} else {
		b := isakmp.NewBuilder(make([]byte, 0, 512), h)
		for _, pl := range payloads {
			b.Add(pl)
		}
		m, err := b.Finish()
		if err != nil {
			sa.failed(now, ike.DownFailed, err)
			return
		}
		sa.trace(now, true, h, m[isakmp.HeaderLen:], isakmp.PayloadType(m[16]))
		p.sent = sa.cut(m)
	}
	p.busy = false
	p.tries = 0
	sa.ep.Transmit(sa.s.Path, p.sent...)
	if sa.initiator {
		sa.ep.SetTimer(&sa.retransmit, now.Add(sa.ep.RetransmitAfter(sa.s.Timing, 0)))
	}
}

// retransmitDue sends the initiator's last message again, or gives the peer up.
func (sa *isakmpSA) retransmitDue(now time.Time) {
	s := sa.s
	if sa.p1 == nil { // the last message, whose arrival nothing shows
		sa.repeatLast(now)
		return
	}
	p := sa.p1
	if p.refused != nil && p.tries > 0 {
		sa.failed(now, ike.DownFailed, p.refused)
		return
	}
	if p.tries >= s.Timing.RetransmitTries {
		sa.failed(now, ike.DownDead, &TimeoutError{Exchange: sa.mode.exchange(), Tries: p.tries + 1, Path: s.Path, Cause: sa.silence()})
		return
	}
	p.tries++
	p.sent = sa.smaller(p.sent, p.tries)
	sa.ep.Count.Retransmitted++
	sa.ep.Transmit(s.Path, p.sent...)
	sa.ep.SetTimer(&sa.retransmit, now.Add(sa.ep.RetransmitAfter(s.Timing, p.tries)))
}

// receivePhase1 takes a message of phase 1.
func (sa *isakmpSA) receivePhase1(now time.Time, path ike.Path, h isakmp.Header, b []byte) {
	e, p := sa.ep, sa.p1
	digest := sha256.Sum256(b)
	if digest == sa.lastSeen {
		if sa.lastReply != nil {
			e.Count.Repeated++
			e.Transmit(sa.s.Path, sa.lastReply...)
		}
		return
	}
	if p == nil {
		e.Count.Unexpected++
		return
	}
	if digest == p.seen {
		if !p.busy && !sa.initiator && p.sent != nil {
			e.Count.Repeated++
			p.tries++
			p.sent = sa.smaller(p.sent, p.tries)
			e.Transmit(sa.s.Path, p.sent...)
		}
		return
	}
	if mode, ok := modeOf(h.Exchange); !ok || mode != sa.mode || p.busy || h.Flags&isakmp.FlagCommit != 0 || h.CookieR == 0 || p.doubts >= maxDoubts {
		e.Count.Unexpected++
		return
	}
	m, next, err := sa.openPhase1(now, h, b)
	if err != nil {
		if h.Encrypted() && p.undecrypted < math.MaxUint8 {
			p.undecrypted++
		}
		e.countBad(err)
		return
	}
	if err := m.Only(phase1Payloads...); err != nil {
		e.Count.Malformed++
		return
	}
	// What does not advance the exchange leaves no trace: the genuine message
	// may follow a forged one.
	p.before, p.seen = p.seen, digest
	if !sa.takePhase1(now, path, m, next) {
		p.seen = p.before
		e.Count.Unexpected++
		return
	}
	if sa.initiator && sa.p1 != nil && sa.p1.busy {
		e.StopTimer(&sa.retransmit)
	}
}

// phase1Payloads are what a message of phase 1 may hold. NAT-D has private
// numbers in the drafts, which are let through.
var phase1Payloads = []isakmp.PayloadType{
	isakmp.PayloadSA, isakmp.PayloadKE, isakmp.PayloadID, isakmp.PayloadCERT, isakmp.PayloadCR, isakmp.PayloadHASH, isakmp.PayloadSIG,
	isakmp.PayloadNonce, isakmp.PayloadNotify, isakmp.PayloadDelete, isakmp.PayloadVendorID, isakmp.PayloadNATD, isakmp.PayloadNATDDraft04,
}

// openPhase1 decrypts a message of phase 1, or parses one in clear where that
// is what the step has.
func (sa *isakmpSA) openPhase1(now time.Time, h isakmp.Header, b []byte) (*inbound, initVector, error) {
	p := sa.p1
	if sa.encrypts(p.step) {
		if h.Encrypted() {
			if len(p.keyed) > 1 {
				return sa.openWithAny(now, h, b)
			}
			return sa.open(now, h, b, p.iv, nil)
		}
		if sa.mode != AggressiveMode { // whose third message may be in clear (RFC 2409 5.4)
			return nil, p.iv, errUnprotected
		}
	} else if h.Encrypted() {
		return nil, p.iv, errMalformed
	}
	m, err := openClear(h, b)
	if err == nil {
		sa.trace(now, false, h, m.body, h.NextPayload)
	}
	return m, p.iv, err
}

// encrypts reports whether a message of phase 1 is encrypted.
func (sa *isakmpSA) encrypts(step uint8) bool {
	switch sa.mode {
	case MainMode:
		return step >= 5
	case AggressiveMode:
		return step == 3
	}
	return false
}

// takePhase1 works on the message of a step. It reports false, having changed
// nothing, if it is not the one that is expected.
func (sa *isakmpSA) takePhase1(now time.Time, path ike.Path, m *inbound, next initVector) bool {
	switch sa.mode {
	case MainMode:
		return sa.takeMain(now, path, m, next)
	case AggressiveMode:
		return sa.takeAggressive(now, path, m, next)
	}
	return sa.takeBase(now, path, m, next)
}

// A heldDatagram has come a moment too early.
type heldDatagram struct {
	path ike.Path
	b    []byte
}

// maxHeld and maxHeldSize bound what is held.
const (
	maxHeld     = 2
	maxHeldSize = 4096
)

// hold keeps a message of the next exchange while the peer's last message of
// phase 1 is being verified: who sends that goes on at once.
func (sa *isakmpSA) hold(path ike.Path, b []byte) bool {
	p := sa.p1
	last := map[Mode]uint8{MainMode: 5, AggressiveMode: 3, BaseMode: 3}[sa.mode]
	if p == nil || sa.state != statePhase1 || !p.busy || p.step < last || len(p.held) >= maxHeld || len(b) > maxHeldSize {
		return false
	}
	p.held = append(p.held, heldDatagram{path, slices.Clone(b)})
	return true
}

// firstMessage takes a message that begins phase 1. Until a valid one has been
// accepted, nothing is kept and at most one datagram answers.
func (e *Endpoint) firstMessage(now time.Time, path ike.Path, h isakmp.Header, b []byte) {
	mode, ok := modeOf(h.Exchange)
	if !ok || h.MessageID != 0 || h.Encrypted() || h.Flags != 0 {
		e.Count.Unexpected++
		return
	}
	if !e.Admits(path.Remote) {
		return
	}
	m, err := openClear(h, b)
	if err == nil {
		err = m.Require(mode.firstPayloads()...)
	}
	if err == nil {
		err = m.Only(phase1Payloads...)
	}
	if err != nil || m.SA().DOI != isakmp.DOIIPsec || m.Count(isakmp.PayloadSA) != 1 || m.Count(isakmp.PayloadID) > 1 {
		e.Count.Malformed++
		return
	}
	possible, why := e.possible(path, mode)
	refuse := func(t isakmp.NotifyType, err error) {
		e.refuseClear(path, h, t)
		e.Count.Failed++
		e.Emit(ike.SessionFailed{EventHeader: ike.EventHeader{Time: now, Path: path}, Err: &RefusedError{Exchange: h.Exchange, Type: t, Err: err}})
	}
	if len(possible) == 0 {
		refuse(isakmp.NotifyNoProposalChosen, why)
		return
	}
	if limit := e.Limits.CookieThreshold; mode == AggressiveMode && limit >= 0 && e.Load.HalfOpen() >= limit {
		e.Count.Limited++
		return
	}
	if mode == MainMode {
		policy := unionPolicy(possible)
		policy.gssapi = gssapiOnly(m.Payloads)
		chosen, err := policy.choose(m.SA())
		if err != nil {
			refuse(isakmp.NotifyNoProposalChosen, err)
			return
		}
		e.acceptFirst(now, path, h, b, m, mode, possible, policy, chosen)
		return
	}
	peer, policy, chosen, t, err := e.chooseNamed(path, mode, possible, m)
	if err != nil {
		refuse(t, err)
		return
	}
	e.acceptFirst(now, path, h, b, m, mode, []*Peer{peer}, policy, chosen)
}

// chooseNamed chooses the peer and the proposal where the initiator says at
// once who it is: the first peer with that identity that allows any of what is
// offered. In Aggressive Mode the public value has to be one of the group.
func (e *Endpoint) chooseNamed(path ike.Path, mode Mode, possible []*Peer, m *inbound) (peer *Peer, policy phase1Policy, chosen selectedPhase1, t isakmp.NotifyType, err error) {
	id := identityOf(m.ID())
	if err = id.Validate(); err != nil {
		return nil, policy, chosen, isakmp.NotifyInvalidIDInformation, err
	}
	var first error
	gssapi := gssapiOnly(m.Payloads)
	for _, q := range byIdentity(possible, id) {
		policy = q.policy(false)
		policy.gssapi = gssapi
		if chosen, err = policy.choose(m.SA()); err == nil {
			peer = q
			break
		}
		if first == nil {
			first = fmt.Errorf("%v is peer %q: %w", id, q.Name, err)
		}
	}
	switch {
	case peer == nil && first != nil:
		return nil, policy, chosen, isakmp.NotifyNoProposalChosen, first
	case peer == nil:
		return nil, policy, chosen, isakmp.NotifyInvalidIDInformation, e.unknownIdentity(path, id, mode)
	}
	if g, ok := dh.ByID(chosen.group); mode == AggressiveMode && (!ok || len(m.KE().Data) != g.InitiatorSize()) {
		err = fmt.Errorf("KE payload of %d octets for %v", len(m.KE().Data), chosen.group)
		return nil, policy, chosen, isakmp.NotifyInvalidKeyInformation, err
	}
	return peer, policy, chosen, 0, nil
}

// firstPayloads are what the first message of a mode must have.
func (m Mode) firstPayloads() []isakmp.PayloadType {
	switch m {
	case AggressiveMode:
		return []isakmp.PayloadType{isakmp.PayloadSA, isakmp.PayloadKE, isakmp.PayloadNonce, isakmp.PayloadID}
	case BaseMode:
		return []isakmp.PayloadType{isakmp.PayloadSA, isakmp.PayloadNonce, isakmp.PayloadID}
	}
	return []isakmp.PayloadType{isakmp.PayloadSA}
}

// possible are the peers that may use a mode from an address.
func (e *Endpoint) possible(path ike.Path, mode Mode) ([]*Peer, error) {
	all, _ := e.peers.index.Candidates(path)
	if len(all) == 0 {
		return nil, fmt.Errorf("no peer is configured for %v on %v", path.Remote, path.Local)
	}
	var out []*Peer
	for _, p := range all {
		if p.accepts(mode) && len(p.policy(false).methods) > 0 {
			out = append(out, p)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("none of the %d peers possible at %v accepts %v", len(all), path.Remote, mode)
	}
	return out, nil
}

// unionPolicy is what any of several peers allows: each proposal and method of
// any. The peer that it turns out to be must allow what was chosen. The lifetime
// is then its own matter too.
func unionPolicy(peers []*Peer) phase1Policy {
	out := peers[0].policy(false)
	if len(peers) == 1 {
		return out
	}
	out.proposals, out.check = slices.Clone(out.proposals), CheckObey
	out.methods = slices.Clone(out.methods)
	for _, p := range peers[1:] {
		q := p.policy(false)
		for _, m := range q.methods {
			if !slices.Contains(out.methods, m) {
				out.methods = append(out.methods, m)
			}
		}
		for _, pr := range q.proposals {
			if !slices.ContainsFunc(out.proposals, func(o spd.Proposal) bool { return o.Equal(pr) }) {
				out.proposals = append(out.proposals, pr)
			}
		}
	}
	return out
}

// refuseClear answers a first message with a notification in clear that leaves
// no state behind.
func (e *Endpoint) refuseClear(path ike.Path, h isakmp.Header, t isakmp.NotifyType) {
	h.Exchange, h.Flags = isakmp.ExchangeInformational, 0
	b := isakmp.NewBuilder(make([]byte, 0, 64), h)
	b.Add(&isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoIKE, Type: t})
	if m, err := b.Finish(); err == nil {
		e.Transmit(path, m)
	}
}

// acceptFirst makes a half-open SA and answers.
func (e *Endpoint) acceptFirst(now time.Time, path ike.Path, h isakmp.Header, b []byte, m *inbound, mode Mode, possible []*Peer, policy phase1Policy, chosen selectedPhase1) {
	s := e.newSession(nil, path, false)
	s.Timing = possible[0].times()
	sa, err := e.newSA(s, mode, false)
	if err != nil {
		s.fail(now, ike.DownFailed, err)
		return
	}
	sa.remote, sa.negotiated = h.CookieI, chosen
	sa.p1 = &phase1{key: initKey{h.CookieI, path.Remote}, policy: policy, possible: possible, step: 1, busy: true, seen: sha256.Sum256(b)}
	sa.p1.hashed.sai = m.chain.Body(isakmp.PayloadSA)
	e.initial[sa.p1.key] = sa
	e.OpenHalf(path.Remote)
	e.SetTimer(&sa.hard, now.Add(s.Timing.HalfOpen))
	if mode != MainMode {
		s.RemoteID = identityOf(m.ID())
		s.setPeer(possible[0])
	}
	sa.announced(m.Payloads)
	sa.noteCertRequests(m.Payloads)
	sa.trace(now, false, h, m.body, h.NextPayload)
	answer := chosen.answer(m.SA())
	switch mode {
	case MainMode:
		sa.answerMain(now, answer)
	case AggressiveMode:
		sa.answerAggressive(now, answer, m)
	default:
		sa.answerBase(now, answer, m)
	}
}

// forgetInitial takes the SA out of the half-open accounts.
func (sa *isakmpSA) forgetInitial() {
	p, e := sa.p1, sa.ep
	if p == nil || p.key == (initKey{}) || e.initial[p.key] != sa {
		return
	}
	delete(e.initial, p.key)
	e.CloseHalf(p.key.remote)
}
