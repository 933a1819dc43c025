package ikev2

import (
	"math"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
)

// enqueue adds a task and starts it if nothing else is under way.
func (sa *ikeSA) enqueue(now time.Time, t task) {
	if sa.state == stateDead {
		t.abort(now, sa, errGone)
		return
	}
	if len(sa.queue) >= sa.ep.Limits.Queue {
		sa.ep.Count.Limited++
		t.abort(now, sa, errQueueFull)
		return
	}
	sa.queue = append(sa.queue, t)
	sa.next(now)
}

// next starts the first waiting task.
func (sa *ikeSA) next(now time.Time) {
	if sa.active != nil || len(sa.queue) == 0 || sa.state == stateDead || sa.yielding {
		return
	}
	sa.active = sa.queue[0]
	sa.queue = sa.queue[1:]
	if len(sa.queue) == 0 {
		sa.queue = nil
	}
	sa.active.start(now, sa)
}

// finish ends the active task.
func (sa *ikeSA) finish(now time.Time) {
	sa.active = nil
	sa.next(now)
}

// request sends the active task's request, protected.
func (sa *ikeSA) request(now time.Time, exchange message.ExchangeType, payloads ...message.Payload) {
	packets, err := sa.seal(sa.header(exchange, false, sa.sendID), payloads, sa.s.fragmentSize())
	if err != nil {
		sa.s.fail(now, ike.DownFailed, err)
		return
	}
	sa.s.trace(now, true, sa.header(exchange, false, sa.sendID), payloads)
	sa.launch(now, &request{exchange: exchange, payloads: payloads, packets: packets})
}

// launch puts a request into the window.
func (sa *ikeSA) launch(now time.Time, r *request) {
	sa.req = r
	sa.transmitRequest()
	sa.armRetransmit(now)
}

// transmitRequest sends the request in flight, also to where the peer seems to
// have moved.
func (sa *ikeSA) transmitRequest() {
	sa.ep.Transmit(sa.s.Path, sa.req.packets...)
	if p := sa.s.Seen; p != nil {
		sa.ep.Transmit(*p, sa.req.packets...)
	}
}

func (sa *ikeSA) armRetransmit(now time.Time) {
	sa.ep.SetTimer(&sa.retransmit, now.Add(sa.ep.RetransmitAfter(sa.s.Timing, sa.req.tries)))
}

// retransmitDue sends the request again, or gives the peer up.
func (sa *ikeSA) retransmitDue(now time.Time) {
	if sa.req == nil {
		if sa.firstReply {
			sa.forgetReply()
		}
		return
	}
	if sa.hs != nil && sa.hs.refused != nil {
		sa.s.fail(now, ike.DownFailed, sa.hs.refused)
		return
	}
	if sa.req.tries >= sa.s.Timing.RetransmitTries {
		sa.gaveUp(now)
		return
	}
	sa.req.tries++
	sa.shrink()
	sa.ep.Count.Retransmitted++
	sa.transmitRequest()
	sa.armRetransmit(now)
}

// smallFragment is the datagram size that every IPv4 host takes (RFC 791).
const smallFragment = 576

// shrink fragments an unanswered request into smaller pieces: perhaps a path
// swallows the larger ones (RFC 7383 2.5.2).
func (sa *ikeSA) shrink() {
	r := sa.req
	if r.tries != 2 || r.payloads == nil || !sa.s.fragmentation || sa.s.fragmentSize() <= smallFragment {
		return
	}
	if packets, err := sa.seal(sa.header(r.exchange, false, sa.sendID), r.payloads, smallFragment); err == nil && len(packets) > len(r.packets) {
		r.packets = packets
	}
}

// lives notes that the peer has sent a request of its own: it is there, and may
// only have lost ours. So it is asked again as if for the first time, some
// times.
func (r *request) lives() {
	if r.revived < maxRevived {
		r.tries = 0
		r.revived++
	}
}

// maxRevived bounds how long a peer that never answers is waited for.
const maxRevived = 16

// gaveUp: the peer does not answer.
func (sa *ikeSA) gaveUp(now time.Time) {
	if sa.state == stateRekeyed || sa.state == stateDeleting {
		sa.kill(now, errNoAnswer)
		sa.s.sweep(now)
		return
	}
	sa.s.fail(now, ike.DownDead, &TimeoutError{Exchange: sa.req.exchange, Tries: sa.req.tries + 1, Path: sa.s.Path})
}

// answered takes the response to the request in flight.
func (sa *ikeSA) answered(now time.Time, m *message.Message) {
	sa.ep.StopTimer(&sa.retransmit)
	sa.req = nil
	if sa.firstReply {
		sa.forgetReply() // who takes our requests has it
	}
	sa.countID(now, &sa.sendID)
	if sa.active != nil {
		sa.active.response(now, sa, m)
	}
}

// respond answers the request that is being served.
func (sa *ikeSA) respond(now time.Time, exchange message.ExchangeType, payloads ...message.Payload) {
	if sa.state == stateDead {
		return
	}
	packets, err := sa.seal(sa.header(exchange, true, sa.recvID), payloads, sa.s.fragmentSize())
	if err != nil {
		sa.s.fail(now, ike.DownFailed, err)
		return
	}
	sa.s.trace(now, true, sa.header(exchange, true, sa.recvID), payloads)
	sa.replied(now, packets)
	if exchange == message.ExchangeIKEAuth && sa.state == stateEstablished {
		sa.firstReply = true
		if sa.req == nil {
			sa.ep.SetTimer(&sa.retransmit, now.Add(keepReply))
		}
	}
}

// replied records and sends a response.
func (sa *ikeSA) replied(now time.Time, packets [][]byte) {
	sa.reply, sa.firstReply = packets, false
	sa.serving = false
	sa.ep.Transmit(sa.s.Path, packets...)
	sa.countID(now, &sa.recvID)
}

// Message IDs never wrap (RFC 7296 2.2): long before, the IKE SA is replaced,
// and at the end it takes and sends nothing more.
const (
	lastID  = math.MaxUint32
	rekeyID = lastID &^ (1<<16 - 1)
)

// countID counts a finished exchange.
func (sa *ikeSA) countID(now time.Time, id *uint32) {
	*id++
	if *id < rekeyID {
		return
	}
	switch current := sa.state == stateEstablished && sa.s.current == sa; {
	case *id == lastID && current:
		sa.s.end(now, ike.DownExpired, errNoIDs)
	case *id == lastID:
		sa.kill(now, errNoIDs)
		sa.s.sweep(now)
	case current && *id%(1<<12) == 0: // again and again: the rekey may come to nothing
		sa.s.rekeyIKE(now)
	}
}

// keepReply is how long the response to IKE_AUTH is kept, which is large with
// certificates, if the peer never shows that it has it: longer than any known
// peer repeats its request (strongSwan, 165 s).
const keepReply = 5 * time.Minute

// forgetReply drops the last response.
func (sa *ikeSA) forgetReply() { sa.reply, sa.firstReply = nil, false }
