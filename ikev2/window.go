package ikev2

import (
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
	if p := sa.s.Seen; p.Remote.IsValid() {
		sa.ep.Transmit(p, sa.req.packets...)
	}
}

func (sa *ikeSA) armRetransmit(now time.Time) {
	sa.ep.SetTimer(&sa.retransmit, now.Add(sa.ep.RetransmitAfter(sa.s.Timing, sa.req.tries)))
}

// retransmitDue sends the request again, or gives the peer up.
func (sa *ikeSA) retransmitDue(now time.Time) {
	if sa.req == nil {
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
	sa.sendID++
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
	sa.replied(packets)
}

// replied records and sends a response.
func (sa *ikeSA) replied(packets [][]byte) {
	sa.reply = packets
	sa.serving = false
	sa.recvID++
	sa.ep.Transmit(sa.s.Path, packets...)
}
