package ikev1

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/internal/vendorid"
	"github.com/racoon3/racoon/natt"
)

// saState is where in its life an ISAKMP SA is.
type saState uint8

const (
	statePhase1      saState = iota // identities are not proved yet
	stateUser                       // they are, and XAuth has to authenticate the user
	stateEstablished                // usable for everything
	stateDead
	saStates // not a state
)

var saStateNames = [saStates]string{"PHASE1", "XAUTH", "ESTABLISHED", "DEAD"}

func (s saState) String() string { return saStateNames[s] }

// An isakmpSA is one ISAKMP SA: a pair of cookies and one set of keys.
type isakmpSA struct {
	ep            *Endpoint
	s             *session
	initiator     bool
	local, remote isakmp.Cookie
	mode          Mode
	state         saState
	p1            *phase1 // until established
	first         initKey // of a responder: what its first message is known by
	halfOpen      bool    // counted as such
	negotiated    selectedPhase1
	keys          *phase1Keys
	lastBlock     initVector // of phase 1: where the vectors of other exchanges come from
	established   time.Time

	peerVIDs vendorid.Announced // what the peer can do
	variant  natt.Variant       // of NAT traversal
	nat      natt.Detection     // what the NAT-D payloads have shown
	feigned  bool               // a NAT, by our own ones
	begun    time.Time          // its first message was sent or received
	// firstContact: the peer has said that it knows of no other SA with us.
	firstContact bool
	repeats      int // of the last message

	// The last message of phase 1, should the peer ask for it again.
	lastSeen  [sha256.Size]byte
	lastReply [][]byte

	exchanges  map[uint32]*exchange // by message ID; those that ended lately too
	ended      []*exchange          // of those, oldest first
	used       usedIDs
	dpd        dpdState
	login      *login        // of the client, XAuth
	prompts    prompts       // of the server, XAuth
	collecting []*reassembly // fragments
	groups     *agreedGroups // by New Group Mode; nil without
	octets     uint64        // encrypted and decrypted, for the lifetime in kilobytes
	renewing   bool          // they are nearly spent
	leaving    bool          // the peer has deleted it
	superseded bool          // by another one

	retransmit child.Timer // phase 1
	soft       child.Timer // a new one is to take over
	hard       child.Timer // lifetime, or the end of one that is half-open
}

// newSA makes an ISAKMP SA with a fresh cookie for a session.
func (e *Endpoint) newSA(s *session, mode Mode, initiator bool) (*isakmpSA, error) {
	cookie, err := e.newCookie()
	if err != nil {
		return nil, err
	}
	sa := &isakmpSA{ep: e, s: s, initiator: initiator, mode: mode, local: cookie}
	sa.retransmit.Owner, sa.soft.Owner, sa.hard.Owner = sa.retransmitDue, sa.softExpired, sa.hardExpired
	e.sas[cookie] = sa
	s.sas = append(s.sas, sa)
	return sa, nil
}

// cookies returns CKY-I | CKY-R.
func (sa *isakmpSA) cookies() (b [16]byte) {
	i, r := sa.cookiePair()
	binary.BigEndian.PutUint64(b[:], uint64(i))
	binary.BigEndian.PutUint64(b[8:], uint64(r))
	return b
}

func (sa *isakmpSA) cookiePair() (i, r isakmp.Cookie) {
	if sa.initiator {
		return sa.local, sa.remote
	}
	return sa.remote, sa.local
}

func (sa *isakmpSA) header(x isakmp.ExchangeType, id uint32) isakmp.Header {
	i, r := sa.cookiePair()
	return isakmp.Header{CookieI: i, CookieR: r, Version: isakmp.Version1, Exchange: x, MessageID: id}
}

// kill takes the SA away without telling the peer. The session decides whether
// it lives on.
func (sa *isakmpSA) kill(now time.Time, err error) {
	if sa.state == stateDead {
		return
	}
	e, s := sa.ep, sa.s
	sa.state = stateDead
	delete(e.sas, sa.local)
	sa.forgetFirst()
	sa.ungrouped()
	sa.endLogin()
	for _, t := range []*child.Timer{&sa.retransmit, &sa.soft, &sa.hard, &sa.dpd.timer} {
		e.StopTimer(t)
	}
	s.sas = slices.DeleteFunc(s.sas, func(o *isakmpSA) bool { return o == sa })
	if s.current == sa {
		s.current = nil
		s.choose()
	}
	all := sa.exchanges
	sa.exchanges, sa.ended = nil, nil
	for _, x := range sortedExchanges(all) {
		x.abort(now, err)
	}
	sa.keys.wipe()
	sa.p1.wipe()
	sa.p1, sa.lastReply = nil, nil
	sa.forgetAllFragments()
}

// leave ends the SA because the peer has deleted it. What the peer has said
// before, and comes later, is still taken: the Deletes of its Child SAs.
func (sa *isakmpSA) leave(now time.Time) {
	if sa.leaving || sa.state != stateEstablished {
		sa.kill(now, errGone)
		return
	}
	e, s := sa.ep, sa.s
	sa.leaving = true
	e.StopTimer(&sa.soft)
	e.StopTimer(&sa.dpd.timer)
	e.SetTimer(&sa.hard, now.Add(leaveTime))
	if s.current == sa {
		s.current = nil
		s.choose()
	}
	all := sa.exchanges
	sa.exchanges, sa.ended = nil, nil
	for _, x := range sortedExchanges(all) {
		x.abort(now, errGone)
	}
}

// left: the peer has deleted an ISAKMP SA. Without Child SAs it is done with the
// session, even if this side is about to renew it.
func (s *session) left(now time.Time) {
	if s.Up && !s.Dead && s.current == nil && len(s.queue) == 0 && (s.Children.Len() == 0 || s.loggedOut()) {
		s.end(now, ike.DownRemote, nil)
		return
	}
	s.sweep(now, ike.DownRemote, nil)
}

// loggedOut reports whether the peer is a client that has deleted its last ISAKMP
// SA, and has had time to show another one. With that it is gone, as racoon saw
// it too: only a new login could make the next one, and its address may be
// another's.
func (s *session) loggedOut() bool {
	return (s.user != nil || s.Leased != nil) && len(s.sas) == 0
}

// leaveTime is how long a deleted ISAKMP SA takes what is on its way.
const leaveTime = 5 * time.Second

// choose picks the ISAKMP SA that the session uses: the youngest established
// one.
func (s *session) choose() {
	for _, sa := range s.sas {
		if sa.state == stateEstablished && !sa.leaving && (s.current == nil || sa.established.After(s.current.established)) {
			s.current = sa
		}
	}
}

// softExpired makes a new ISAKMP SA beside this one (RFC 2409 has no rekey in
// place: it is a new phase 1, authentication included).
func (sa *isakmpSA) softExpired(now time.Time) {
	s := sa.s
	if sa.state != stateEstablished || s.current != sa || s.negotiating() {
		return
	}
	if err := s.renew(now); err != nil {
		s.ep.Emit(ike.RekeyFailed{EventHeader: s.EventHeader(now), Err: err})
	}
}

// hardExpired ends the SA: half-open for too long, or not replaced in time. Its
// Child SAs live on.
func (sa *isakmpSA) hardExpired(now time.Time) {
	s := sa.s
	switch {
	case sa.leaving:
		sa.kill(now, errGone)
		s.left(now)
		return
	case sa.state == statePhase1:
		err := errHalfOpen
		if why := sa.silence(); why != nil {
			err = fmt.Errorf("%w: %w", errHalfOpen, why)
		}
		sa.failed(now, ike.DownDead, err)
		return
	case sa.state == stateUser:
		sa.userExpired(now)
		return
	}
	if sa.superseded && s.current != sa && sa.negotiating() && now.Before(sa.established.Add(sa.negotiated.life.Time())) {
		sa.ep.SetTimer(&sa.hard, now.Add(leaveTime))
		return
	}
	sa.sendDelete(now)
	sa.kill(now, errGone)
	s.sweep(now, ike.DownExpired, nil)
}

// negotiating reports whether a Child SA is being negotiated under the SA, or a
// group for one.
func (sa *isakmpSA) negotiating() bool {
	for _, x := range sa.exchanges {
		switch x.of.(type) {
		case *quickMode, *groupProposal:
			return true
		}
	}
	return false
}

// failed ends an SA that has not been established, and its session if that
// rests on it.
func (sa *isakmpSA) failed(now time.Time, reason ike.DownReason, err error) {
	s := sa.s
	if s.Up {
		s.ep.Emit(ike.RekeyFailed{EventHeader: s.EventHeader(now), Err: err})
		sa.kill(now, err)
		s.flunk(now, err)
		s.sweep(now, reason, err)
		if c := s.current; c != nil && !c.soft.Active() && s.Timing.Rekey >= 0 && s.canInitiate() {
			s.ep.SetTimer(&c.soft, now.Add(s.ep.Jitter(retryDelay, 0.5))) // while its lifetime lasts
		}
		return
	}
	s.fail(now, reason, err)
}

// startLifetime arms the renewal and the end of an established SA. The side
// that did not begin it leaves the other a head start.
func (sa *isakmpSA) startLifetime(now time.Time) {
	t := sa.s.Timing
	hard := sa.negotiated.life.Time()
	soft := t.Rekey
	if soft <= 0 || soft > hard-hard/10 {
		soft = hard - hard/10
	}
	if !sa.initiator {
		soft += (hard - soft) / 2
	}
	if t.Rekey >= 0 && sa.s.canInitiate() {
		sa.ep.SetTimer(&sa.soft, now.Add(sa.ep.Jitter(soft, t.Jitter/2)))
	}
	sa.ep.SetTimer(&sa.hard, now.Add(hard))
}

// spent looks whether the lifetime in octets is over, or nearly.
func (sa *isakmpSA) spent(now time.Time) {
	limit := sa.negotiated.life.Bytes()
	soft := limit - limit/10
	if !sa.initiator {
		soft += limit / 20
	}
	if limit == 0 || sa.state != stateEstablished || sa.octets < soft {
		return
	}
	if sa.octets >= limit {
		sa.ep.SetTimer(&sa.hard, now)
	} else if !sa.renewing && sa.s.Timing.Rekey >= 0 && sa.s.canInitiate() {
		sa.renewing = true
		sa.ep.SetTimer(&sa.soft, now)
	}
}

// supersede lets the other ISAKMP SAs of the session go, after what is under way
// has had its time. If both sides have begun one at the same time, the one with
// the lower initiator cookie stays: both sides see the same. A peer that has
// another idea turns to the one that is left.
func (sa *isakmpSA) supersede(now time.Time) {
	s, best := sa.s, sa
	for _, o := range s.sas {
		if o.state == stateEstablished && !o.leaving && !o.superseded && sa.crosses(o) && o.initiatorCookie() < best.initiatorCookie() {
			best = o
		}
	}
	s.current = best
	for _, o := range s.sas {
		if o != best && o.state == stateEstablished && !o.leaving && !o.superseded {
			o.superseded = true
			sa.ep.StopTimer(&o.soft)
			sa.ep.SetTimer(&o.hard, now.Add(s.Timing.DeleteWait))
		}
	}
}

// crosses reports whether both sides have begun at the same time: sa, before the
// other side's o was established.
func (sa *isakmpSA) crosses(o *isakmpSA) bool {
	return o.initiator != sa.initiator && !sa.begun.After(o.established) && sa.established.Sub(o.established) <= crossing
}

func (sa *isakmpSA) initiatorCookie() isakmp.Cookie {
	i, _ := sa.cookiePair()
	return i
}

// crossing is how close together two ISAKMP SAs of one session come when both
// sides begin one at the same time.
const crossing = 10 * time.Second

// usedIDs are the message IDs that an SA has seen last, so that a recorded
// exchange cannot be played again.
type usedIDs struct {
	ids  []uint32
	next int
}

const maxUsedIDs = 512

func (u *usedIDs) has(id uint32) bool { return slices.Contains(u.ids, id) }

func (u *usedIDs) add(id uint32) {
	if len(u.ids) < maxUsedIDs {
		u.ids = append(u.ids, id)
		return
	}
	u.ids[u.next] = id
	u.next = (u.next + 1) % maxUsedIDs
}
