package load

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/racoon3/racoon/ike"
)

type sessionID = ike.SessionID

// A worker makes its share of the handshakes with an endpoint and a socket of
// its own. It is one goroutine: jobs are done in line, since nothing here
// waits for anybody else.
type worker struct {
	cfg          *Config
	number, step int // handshakes are numbered number, number+step, ...
	todo         int
	limit        int // handshakes under way at a time
	path         ike.Path
	conn         *net.UDPConn
	ep           initiator

	begin   time.Time
	open    map[sessionID]*attempt // begun, and not yet up and rekeyed
	up      []sessionID            // done, to be deleted at the end
	leaving int                    // deletes under way
	down    map[sessionID]bool     // of up, those that ended

	begun, established, failed, deleted, lost int
	received                                  uint64
	last                                      time.Time // when the last handshake ended
	latencies, ikeRekeys, childRekeys         []time.Duration
	failures                                  failures

	in, out []byte
}

// attempt is a handshake with what follows it.
type attempt struct {
	begun    time.Time // the step under way
	up       bool
	deleting bool
	child    ike.ChildID
	ikeLeft  int // rekeys to do
	kidsLeft int
}

func (w *worker) run(ctx context.Context) {
	w.in = make([]byte, 65536)
	w.down = make(map[sessionID]bool)
	end := w.begin.Add(w.cfg.Time)

	// Handshakes, until all have ended. Those under way when the time is over
	// end by their own timeouts.
	w.loop(ctx, end.Add(time.Duration(4+2*w.cfg.IKERekeys+2*w.cfg.ChildRekeys)*w.cfg.Timeout), func(now time.Time) (next time.Time, done bool) {
		if now.Before(end) && ctx.Err() == nil {
			next = w.launch(now)
		}
		return next, len(w.open) == 0 && (w.todo == 0 || !now.Before(end) || ctx.Err() != nil)
	})
	for range w.open {
		w.fail("unfinished when the time was over")
	}
	if w.cfg.Hold > 0 {
		until := time.Now().Add(w.cfg.Hold)
		w.loop(ctx, until, func(now time.Time) (time.Time, bool) { return until, ctx.Err() != nil || !now.Before(until) })
	}
	if w.cfg.Leave {
		return
	}
	w.loop(context.WithoutCancel(ctx), time.Now().Add(2*w.cfg.Timeout+w.cfg.Time), func(now time.Time) (time.Time, bool) {
		for len(w.up) > 0 && w.leaving < w.limit {
			id := w.up[len(w.up)-1]
			w.up = w.up[:len(w.up)-1]
			if !w.down[id] && w.ep.Delete(now, id, ike.DownLocal) == nil {
				w.leaving++
				w.open[id] = &attempt{deleting: true}
			}
		}
		return time.Time{}, len(w.up) == 0 && w.leaving == 0
	})
}

// loop feeds and drains the endpoint until step says that it is done, or until
// the limit. step may name a time to be called again.
func (w *worker) loop(ctx context.Context, limit time.Time, step func(now time.Time) (next time.Time, done bool)) {
	for {
		now := time.Now()
		if !now.Before(limit) {
			return
		}
		w.ep.HandleTimeout(now)
		next, done := step(now)
		w.drain(now)
		if done {
			if _, again := step(now); again { // draining may have ended more, or begun more
				return
			}
			continue
		}
		// A bound on the wait lets the loop notice the end of ctx.
		wake := now.Add(100 * time.Millisecond)
		if !next.IsZero() && next.Before(wake) {
			wake = next
		}
		if t, ok := w.ep.PollTimeout(); ok && t.Before(wake) {
			wake = t
		}
		if limit.Before(wake) {
			wake = limit
		}
		w.receive(wake)
	}
}

// launch begins what rate and concurrency allow and returns when the next
// handshake is due.
func (w *worker) launch(now time.Time) (next time.Time) {
	for w.todo > 0 && len(w.open) < w.limit {
		if rate := w.cfg.Rate / float64(w.step); rate > 0 {
			due := w.begin.Add(time.Duration(float64(w.begun) / rate * float64(time.Second)))
			if due.After(now) {
				return due
			}
		}
		w.todo--
		n := w.number + w.begun*w.step
		w.begun++
		id, err := w.ep.initiate(now, w.path, n)
		if err != nil {
			w.fail(kindOf(err))
			continue
		}
		w.open[id] = &attempt{begun: now, ikeLeft: w.cfg.IKERekeys, kidsLeft: w.cfg.ChildRekeys}
		w.drain(now)
		now = time.Now()
	}
	return time.Time{}
}

// numbered puts the number of a handshake into an identity.
func numbered(id string, n int) string { return strings.ReplaceAll(id, "%d", strconv.Itoa(n)) }

// nthAddr is the n-th address of a prefix.
func nthAddr(p netip.Prefix, n int) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := len(b) - 1; i >= 0 && n > 0; i-- {
		n += int(b[i])
		b[i] = byte(n)
		n >>= 8
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// receive waits for a datagram until wake.
func (w *worker) receive(wake time.Time) {
	_ = w.conn.SetReadDeadline(wake)
	n, err := w.conn.Read(w.in)
	if err != nil {
		// Nothing came, or an ICMP error did (nobody listens): the
		// retransmissions find out.
		return
	}
	w.received++
	b := w.in[:n]
	if w.cfg.Marker {
		if n < 4 || b[0]|b[1]|b[2]|b[3] != 0 {
			return
		}
		b = b[4:]
	}
	w.ep.HandleDatagram(time.Now(), w.path, b)
}

func (w *worker) drain(now time.Time) {
	for busy := true; busy; {
		busy = false
		for j, ok := w.ep.PollJob(); ok; j, ok = w.ep.PollJob() {
			busy = true
			w.ep.HandleResult(now, j.Do(context.Background()))
		}
		for t, ok := w.ep.PollTransmit(); ok; t, ok = w.ep.PollTransmit() {
			b := t.Packet
			if w.cfg.Marker && !t.Keepalive {
				w.out = append(append(w.out[:0], 0, 0, 0, 0), b...)
				b = w.out
			}
			_, _ = w.conn.Write(b) // what is lost is sent again
		}
		for ev, ok := w.ep.PollEvent(); ok; ev, ok = w.ep.PollEvent() {
			busy = true
			w.event(time.Now(), ev)
		}
	}
}

func (w *worker) fail(kind string) {
	w.failed++
	w.failures.add(kind)
}

// event takes what the endpoint tells about a session.
func (w *worker) event(now time.Time, ev ike.Event) {
	id := ev.Header().Session
	a := w.open[id]
	if a == nil {
		if _, down := ev.(ike.SessionDown); down {
			w.down[id] = true
			w.lost++
		}
		return
	}
	switch ev := ev.(type) {
	case ike.SessionUp:
		a.up = true
		w.established++
		w.latencies = append(w.latencies, now.Sub(a.begun))
		w.last = now
		a.begun = now
		if w.cfg.Childless {
			w.next(now, id, a)
		}
	case ike.ChildUp:
		a.child = ev.Child.ID
		w.next(now, id, a)
	case ike.ChildFailed:
		w.fail("Child SA: " + kindOf(ev.Err))
		a.ikeLeft, a.kidsLeft = 0, 0
		w.next(now, id, a)
	case ike.ChildRekeyed:
		if ev.Initiator {
			w.childRekeys = append(w.childRekeys, now.Sub(a.begun))
			w.next(now, id, a)
		}
	case ike.SessionRekeyed:
		if ev.Initiator {
			w.ikeRekeys = append(w.ikeRekeys, now.Sub(a.begun))
			w.next(now, id, a)
		}
	case ike.SessionFailed:
		delete(w.open, id)
		w.last = now
		w.fail(kindOf(ev.Err))
	case ike.SessionDown:
		delete(w.open, id)
		switch {
		case a.deleting:
			if w.leaving > 0 {
				w.leaving--
			}
			if ev.Err == nil {
				w.deleted++
			} else {
				w.fail("Delete: " + kindOf(ev.Err))
			}
		case ev.Err != nil:
			w.fail(fmt.Sprintf("after it was up: %s", kindOf(ev.Err)))
		default:
			w.fail(fmt.Sprintf("after it was up: session ended: %v", ev.Reason))
		}
	}
}

// next begins the next step of a session that is up.
func (w *worker) next(now time.Time, id sessionID, a *attempt) {
	a.begun = now
	var err error
	switch {
	case a.kidsLeft > 0:
		a.kidsLeft--
		err = w.ep.RekeyChild(now, id, a.child)
	case a.ikeLeft > 0:
		a.ikeLeft--
		err = w.ep.RekeyIKE(now, id)
	case w.cfg.Churn:
		a.deleting = true
		err = w.ep.Delete(now, id, ike.DownLocal)
	default:
		delete(w.open, id)
		w.up = append(w.up, id)
	}
	if err != nil {
		delete(w.open, id)
		w.fail(kindOf(err))
	}
}
