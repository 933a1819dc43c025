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
	"github.com/racoon3/racoon/internal/quickmode"
	"github.com/racoon3/racoon/internal/secret"
)

// phase1 is what an ISAKMP SA keeps between its first message and its
// establishment.
type phase1 struct {
	policy   phase1Policy
	possible []*Peer // of a responder: whom it may be, by address

	hashed phase1Hash // what HASH_I and HASH_R cover
	ni, nr []byte

	groups  privateGroups // that an earlier ISAKMP SA has agreed on
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

	asked int // octets of the first message, of a responder

	before      [sha256.Size]byte // seen, before the message that is being worked on
	ivBefore    initVector        // iv, likewise
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
	return fmt.Sprintf("we offered %v with %v", p.policy.proposals, quickmode.Names(p.policy.methods))
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
func (p *Peer) policy(initiator bool) phase1Policy { return p.policyWith(initiator, nil) }

// policyWith is policy with private groups, by the numbers that are used now.
func (p *Peer) policyWith(initiator bool, groups privateGroups) phase1Policy {
	out := phase1Policy{proposals: groups.in(p), life: quickmode.LifetimeOf(offeredLifetime(p.times().Rekey, p.times().Lifetime), p.Volume), check: p.Check}
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
func (e *Endpoint) newNonce() ([]byte, error) { return e.nonceOf(nonceLen) }

func (e *Endpoint) nonceOf(octets int) ([]byte, error) {
	b := make([]byte, octets)
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
		if cap(m) >= 2*len(m) {
			m = slices.Clone(m) // it is kept
		}
		p.sent = sa.cut(m)
	}
	p.busy, p.tries, p.refused = false, 0, nil
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
		// With a cookie of ours in the message its sender has got an answer.
		proven := h.CookieR != 0 || sa.mode == MainMode
		if !p.busy && !sa.initiator && p.sent != nil && (proven || e.affords(now, path.Remote)) {
			e.Count.Repeated++
			p.tries++
			p.sent = sa.smaller(p.sent, p.tries)
			e.Transmit(sa.s.Path, p.sent...)
			if !proven {
				sa.chargeReply(now)
			}
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
	p.before, p.seen, p.ivBefore = p.seen, digest, p.iv
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

// keep copies a payload's body, so that the message that it came in need not be
// kept: nobody knows yet who sent it, or how long it is.
func (m *inbound) keep(t isakmp.PayloadType) []byte { return slices.Clone(m.chain.Body(t)) }

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
