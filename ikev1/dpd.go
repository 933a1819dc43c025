package ikev1

import (
	"fmt"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/internal/vendorid"
)

// dpdState is dead peer detection (RFC 3706) on one ISAKMP SA. Sequence numbers
// guard against replay: an acknowledgement has to be for the number asked last.
type dpdState struct {
	sent    uint32
	waiting bool
	doubted bool // the SA itself: traffic is no answer
	tries   int
	since   time.Time // of the question
	seen    uint32    // of the peer's last question
	asked   bool
	answers int // in the second that began at second
	second  time.Time
	timer   child.Timer
}

// maxDPDAnswers is how many questions are answered in a second.
const maxDPDAnswers = 5

// Probe implements core.Protocol: R-U-THERE, unless one is on its way.
func (s *session) Probe(now time.Time) {
	sa := s.current
	if sa == nil {
		s.probeAnew(now)
		return
	}
	sa.probe(now)
}

// doubted asks because an exchange gets no answer: the peer may live, as traffic
// shows, and have this ISAKMP SA no longer.
func (sa *isakmpSA) doubted(now time.Time) {
	sa.probe(now)
	sa.dpd.doubted = sa.dpd.waiting
}

// vouched: something authentic has come under the SA.
func (sa *isakmpSA) vouched() {
	if d := &sa.dpd; d.doubted {
		d.waiting, d.doubted = false, false
		sa.ep.StopTimer(&d.timer)
	}
}

// probe asks on one ISAKMP SA.
func (sa *isakmpSA) probe(now time.Time) {
	s := sa.s
	if !sa.peerVIDs.Has(vendorid.DPD) || sa.dpd.waiting && s.Seen == nil {
		return
	}
	if sa.dpd.waiting {
		sa.askDPD(now)
		return
	}
	d := &sa.dpd
	if d.sent == 0 {
		var b [4]byte
		if s.ep.Random(b[:]) != nil {
			return
		}
		d.sent = uint32(b[0]&0x7f)<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3]) // RFC 3706 7.2: the high bit is clear at first
	}
	d.sent++
	d.waiting, d.tries, d.since = true, 0, now
	d.timer.Owner = sa.dpdDue
	sa.askDPD(now)
}

// probeAnew: there is no ISAKMP SA to ask on. A new one shows that the peer is
// there.
func (s *session) probeAnew(now time.Time) {
	if !s.canInitiate() || s.negotiating() || !s.Up {
		return
	}
	if err := s.renew(now); err != nil {
		s.Warn(now, err)
	}
}

func (sa *isakmpSA) askDPD(now time.Time) {
	s := sa.s
	path := s.Path
	sa.sendNotify(now, isakmp.NotifyRUThere, isakmp.AppendSequenceData(nil, sa.dpd.sent))
	if p := s.Seen; p != nil {
		s.Path = *p
		sa.sendNotify(now, isakmp.NotifyRUThere, isakmp.AppendSequenceData(nil, sa.dpd.sent))
		s.Path = path
	}
	s.ep.SetTimer(&sa.dpd.timer, now.Add(s.ep.RetransmitAfter(s.Timing, sa.dpd.tries)))
}

func (sa *isakmpSA) dpdDue(now time.Time) {
	s, d := sa.s, &sa.dpd
	if !d.waiting {
		return
	}
	if !d.doubted && s.LastAlive.After(d.since) && s.Seen == nil {
		d.waiting = false // it has said something else (RFC 3706 5.5)
		return
	}
	if d.tries >= s.Timing.RetransmitTries {
		sa.unresponsive(now)
		return
	}
	d.tries++
	s.ep.Count.Retransmitted++
	sa.askDPD(now)
}

// unresponsive: no question was answered. The peer is dead, unless its traffic
// comes in: then it has no longer this ISAKMP SA, and its Delete was lost. So that
// one goes, and the next exchange makes another.
func (sa *isakmpSA) unresponsive(now time.Time) {
	s, d := sa.s, &sa.dpd
	s.Children.LastUsed(func(now, last, _ time.Time) {
		if sa.state == stateDead || !d.waiting {
			return
		}
		d.waiting, d.doubted = false, false
		other := s.current != nil && s.current != sa // which nothing is said against
		if last.After(d.since) && !other {
			s.Warn(now, fmt.Errorf("peer does not answer R-U-THERE, but its traffic comes in"))
		}
		if other || last.After(d.since) {
			if other || s.canInitiate() {
				sa.sendDelete(now)
				sa.kill(now, errGone)
				s.sweep(now, ike.DownDead, nil)
			}
			return
		}
		s.end(now, ike.DownDead, &TimeoutError{Exchange: isakmp.ExchangeInformational, Tries: d.tries + 1, Path: s.Path})
	})
}

// answerDPD answers the peer's question. A number that is older than the last
// one is a replay; the same one is a repetition, its answer may have been lost.
func (sa *isakmpSA) answerDPD(now time.Time, n *isakmp.Notify) {
	seq, ok := sa.dpdSequence(n)
	d := &sa.dpd
	if !ok || d.asked && seq-d.seen > 1<<31 { // older: replayed
		sa.ep.Count.Unexpected++
		return
	}
	d.seen, d.asked = seq, true
	if since := now.Sub(d.second); since < 0 || since >= time.Second {
		d.second, d.answers = now, 0
	}
	if d.answers++; d.answers > maxDPDAnswers {
		sa.ep.Count.Limited++
		return
	}
	sa.sendNotify(now, isakmp.NotifyRUThereAck, isakmp.AppendSequenceData(nil, seq))
}

// takeDPDAck takes the peer's answer.
func (sa *isakmpSA) takeDPDAck(now time.Time, n *isakmp.Notify) {
	seq, ok := sa.dpdSequence(n)
	d := &sa.dpd
	if !ok || !d.waiting || seq != d.sent {
		sa.ep.Count.Unexpected++
		return
	}
	d.waiting = false
	sa.ep.StopTimer(&d.timer)
}

// dpdSequence reads the number of a notification that is about this SA.
func (sa *isakmpSA) dpdSequence(n *isakmp.Notify) (uint32, bool) {
	b := sa.cookies()
	if len(n.SPI) != 0 && string(n.SPI) != string(b[:]) {
		return 0, false
	}
	seq, err := n.Sequence()
	return seq, err == nil
}

// unanswered: an exchange has timed out. A peer that can be asked is asked
// whether it lives; with one that cannot, the ISAKMP SA is given up, so that the
// next exchange makes a new one.
func (s *session) unanswered(now time.Time, sa *isakmpSA) {
	if s.Dead || sa.state != stateEstablished {
		return
	}
	if sa.peerVIDs.Has(vendorid.DPD) {
		sa.doubted(now)
		return
	}
	sa.kill(now, errGone)
	s.sweep(now, ike.DownDead, nil)
}
