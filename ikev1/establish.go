package ikev1

import (
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/natt"
	"github.com/racoon3/racoon/spd"
)

// establish: phase 1 is through, both sides have proved what it lets them
// prove. With XAuth the user comes next.
func (sa *isakmpSA) establish(now time.Time) {
	p := sa.p1
	sa.lastBlock, sa.lastSeen = p.iv, p.seen
	if sa.lastWord() {
		sa.lastReply = p.sent
	}
	sa.settle(now)
	sa.noLongerHalfOpen()
	sa.keys.settle()
	for _, k := range p.keyed {
		if k.keys != sa.keys {
			k.keys.wipe()
		}
	}
	p.keyed = nil
	p.wipe()
	sa.p1 = nil
	defer sa.takeHeld(now, p.held)
	sa.ep.StopTimer(&sa.hard)
	sa.ep.SetTimer(&sa.retransmit, now.Add(sa.confirmAfter(0)))
	if sa.negotiated.method.XAuth() {
		sa.state = stateUser
		sa.beginUser(now)
		return
	}
	sa.up(now)
}

// takeHeld takes what came while the peer was being verified.
func (sa *isakmpSA) takeHeld(now time.Time, held []heldDatagram) {
	for _, d := range held {
		if h, err := isakmp.ParseHeader(d.b); err == nil && sa.state != stateDead {
			sa.ep.dispatch(now, d.path, sa, h, d.b)
		}
	}
}

// settle gives the session what phase 1 has found out.
func (sa *isakmpSA) settle(now time.Time) {
	s, p := sa.s, sa.p1
	if sa.variant != natt.NoVariant {
		s.NATLocal, s.NATRemote, s.NonIKE = sa.nat.LocalNAT, sa.nat.RemoteNAT, !sa.variant.Floats()
	}
	// A peer that does not know NAT traversal cannot be made to encapsulate.
	s.ForceEncap = sa.feigned
	s.vendors = p.vendors
	if sa.mode == AggressiveMode && !sa.initiator && sa.negotiated.method.Base() == AuthPSK {
		s.Warn(now, errAggressivePSK)
	}
	for _, n := range p.notifies {
		sa.notifiedInPhase1(now, n)
	}
}

// notifiedInPhase1 takes a notification that came with the peer's proof.
func (sa *isakmpSA) notifiedInPhase1(now time.Time, n *isakmp.Notify) {
	s := sa.s
	switch {
	case n.Type == isakmp.NotifyResponderLifetime:
		sa.told(now, n)
		if said, err := n.ResponderLifetime(); err == nil && n.Protocol == spd.ProtoIKE {
			sa.negotiated.life = sa.negotiated.life.Shortened(said)
		}
	case n.Type.IsError():
		s.Warn(now, &NotifyError{Exchange: sa.mode.exchange(), Type: n.Type, Text: notifyText(n)})
	default:
		sa.told(now, n)
	}
}

// confirmAfter is when to look whether the last message has arrived: the
// initiator of Aggressive Mode sends it again, all others forget it.
func (sa *isakmpSA) confirmAfter(tries int) time.Duration {
	if sa.p1Unconfirmed() {
		return sa.ep.RetransmitAfter(sa.s.Timing, tries)
	}
	return remember
}

// p1Unconfirmed reports whether the own last message of phase 1 may have been
// lost and nobody will ask for it: the third of Aggressive Mode.
func (sa *isakmpSA) p1Unconfirmed() bool { return sa.initiator && sa.lastReply != nil }

// confirmed: the peer has sent something under the SA, so it has all of phase 1.
func (sa *isakmpSA) confirmed(now time.Time) {
	if sa.lastReply != nil {
		sa.lastReply = nil
		sa.ep.StopTimer(&sa.retransmit)
	}
}

// repeatLast sends the third message of Aggressive Mode again, a few times, or
// forgets the last message of another mode.
func (sa *isakmpSA) repeatLast(now time.Time) {
	if !sa.p1Unconfirmed() || sa.repeats >= sa.s.Timing.RetransmitTries {
		sa.lastReply = nil
		return
	}
	sa.repeats++
	sa.ep.Count.Retransmitted++
	sa.ep.Transmit(sa.s.Path, sa.lastReply...)
	sa.ep.SetTimer(&sa.retransmit, now.Add(sa.confirmAfter(sa.repeats)))
}

// lastWord reports whether this side sends the last message of phase 1, and so
// is through before the other one.
func (sa *isakmpSA) lastWord() bool { return sa.initiator == (sa.mode == AggressiveMode) }

// disowned: the peer says under a new ISAKMP SA that it did not accept the
// proof in our last message.
func (sa *isakmpSA) disowned(now time.Time, err error) {
	s := sa.s
	sa.kill(now, err)
	s.sweep(now, ike.DownFailed, err)
}

// up: the ISAKMP SA can be used for everything. This is the only way to
// stateEstablished.
func (sa *isakmpSA) up(now time.Time) {
	sa.state, sa.established = stateEstablished, now
	if !sa.s.Up && !sa.initiator {
		sa.join(now)
	}
	s := sa.s
	s.current = sa
	sa.startLifetime(now)
	sa.supersede(now)
	if s.Up {
		s.ep.Emit(ike.SessionRekeyed{EventHeader: s.EventHeader(now), Initiator: sa.initiator, LocalSPI: uint64(sa.local), RemoteSPI: uint64(sa.remote),
			Proposal: sa.negotiated.proposal()})
		s.LastAlive = now
		s.ArmLiveness(now)
		if sa.initiator && sa.firstContact && !s.Established.After(sa.begun) {
			sa.disowns(now)
		}
		s.runErrands(now)
		if !s.Dead && sa.state == stateEstablished {
			sa.reconfigure(now)
		}
		return
	}
	sa.configure(now, s.comeUp)
}

// comeUp: the session is up, with its addresses if it asked for some.
func (s *session) comeUp(now time.Time) {
	if s.Up || s.Dead {
		return
	}
	begin := s.begin
	s.begin = nil
	s.ep.beginning = slices.DeleteFunc(s.ep.beginning, func(o *session) bool { return o == s })
	s.Establish(now, s.info())
	s.ep.know(s)
	s.userUp(now, s.current)
	s.runErrands(now)
	if begin == nil {
		return
	}
	for i, name := range begin.Children {
		q := s.newQuickMode(s.peer.child(name))
		if i == 0 {
			q.acquire, q.packet = s.Acquire, begin.Packet
			s.Acquire = 0
		}
		if s.awaitsLease(q) {
			s.forLease = append(s.forLease, q)
			continue
		}
		s.do(now, q.errand())
	}
	if len(s.forLease) > 0 {
		s.configTimer.Owner = s.addressed
		s.ep.SetTimer(&s.configTimer, now.Add(leaseWait))
	}
}

// join puts an ISAKMP SA that the peer has begun into the session that it has
// with us, if it is the same peer at the same place and has not said that it
// knows of no other. That is how IKEv1 renews an ISAKMP SA. A session that this
// side has just begun with the peer is the same one too: both began at once.
func (sa *isakmpSA) join(now time.Time) {
	s := sa.s
	o := sa.begunHere()
	if o == nil {
		for _, x := range s.ep.sessionsWith(s.peer, s.RemoteID) {
			// What has come up since the peer said that there is no other is none
			// that it has forgotten. Of several it means the youngest: it has ended
			// the others, without our hearing of it.
			if x != s && x.sameAs(s) && (!sa.firstContact || x.Established.After(sa.begun)) {
				o = x
			}
		}
	}
	if o == nil {
		return
	}
	s.sas = slices.DeleteFunc(s.sas, func(x *isakmpSA) bool { return x == sa })
	s.end(now, ike.DownReplaced, nil)
	sa.s = o
	o.sas = append(o.sas, sa)
	o.NATLocal, o.NATRemote = s.NATLocal, s.NATRemote
	if !o.Up {
		o.Path, o.LocalID, o.RemoteID, o.remoteMethod, o.vendors = s.Path, s.LocalID, s.RemoteID, s.remoteMethod, s.vendors
	}
}

// begunHere is the session that this side is about to establish with the peer of
// the SA, nil if there is none.
func (sa *isakmpSA) begunHere() *session {
	s := sa.s
	if sa.negotiated.method.XAuth() {
		return nil // which of both is the client depends on who began
	}
	for _, o := range s.ep.beginning {
		if o.peer == s.peer && o.configured == nil && o.RemoteAddr() == s.RemoteAddr() && o.LocalAddr() == s.LocalAddr() {
			return o
		}
	}
	return nil
}

// sameAs reports whether two sessions are with the same peer at the same place.
func (s *session) sameAs(o *session) bool {
	return s.Up && s.Name == o.Name && s.Path == o.Path && s.RemoteID == o.RemoteID && s.LocalID == o.LocalID && sameUser(s.user, o.user)
}

func sameUser(a, b *ike.UserAccepted) bool {
	return a == nil && b == nil || a != nil && b != nil && a.User == b.User
}
