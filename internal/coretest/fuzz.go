package coretest

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// A Fuzzed is two endpoints whose steps octets choose.
type Fuzzed[E Core] struct {
	Ends     [2]E
	Planes   [2]*spd.Memory
	Now      time.Time
	Initiate func(e E, now time.Time) error // begin a session with the other
	Child    string                         // a configured Child
	Bounded  func(e E)                      // fails the test if an endpoint holds too much
	Left     func(e E)                      // fails the test if anything is left

	t    testing.TB
	wire [2][]ike.Transmit // to the first, to the second
	jobs [2][]ike.Job
	in   []byte
}

// The steps. A step with two numbers has the lower one for the first endpoint,
// the higher one for the second.
const (
	stepInitiate    = 0
	stepRekeyIKE    = 2 // the commands are followed by which endpoint
	stepLiveness    = 3
	stepCreateChild = 4
	stepDelete      = 5
	stepRekeyChild  = 6
	stepDeleteChild = 7
	stepDeliver     = 8  // the first datagram to an endpoint
	stepDamage      = 10 // and changes one octet; followed by which, and how; the datagram stays
	stepOvertake    = 12 // followed by which datagram; it stays
	stepTimer       = 14 // time passes up to the next timer
	stepWait        = 15 // followed by how many tenths of a second
	stepResult      = 16 // of the first job
	stepFail        = 18 // the first job fails
	stepOtherBody   = 20 // followed by a length and that many octets: the body of a copy of the first datagram
	stepExpire      = 22 // the data plane says that an SA has expired; followed by which, and whether hard
	numSteps        = 24
)

// fuzzSteps bounds what one input takes.
const fuzzSteps = 400

// FuzzSeeds are inputs to begin with: what comes first, then a handshake, and
// each of the commands, by one side, by the other and by both, with the work
// that follows or with nothing but time.
func FuzzSeeds(first ...byte) (seeds [][]byte) {
	work := bytes.Repeat([]byte{stepResult, stepResult + 1, stepDeliver + 1, stepDeliver}, 16)
	lost := bytes.Repeat([]byte{stepTimer}, 12)
	begin := slices.Concat(first, []byte{stepInitiate}, work)
	seeds = append(seeds, begin, slices.Concat(first, []byte{stepInitiate, stepInitiate + 1}, work, work))
	for c := byte(stepRekeyIKE); c <= stepDeleteChild; c++ {
		seeds = append(seeds,
			slices.Concat(begin, []byte{c, 0}, work, []byte{c, 1}, work),
			slices.Concat(begin, []byte{c, 0, c, 1}, work),
			slices.Concat(begin, []byte{c, 0}, lost, work, []byte{stepWait, 200}, work))
	}
	return append(seeds,
		slices.Concat(begin, []byte{stepExpire, 0, 0, stepExpire + 1, 1, 1}, work),
		slices.Concat(first, []byte{0, 1, 16, 17, 10, 3, 77, 11, 5, 1, 8, 9, 12, 200, 13, 200, 14, 15, 7, 18, 19, 20, 4, 1, 2, 3, 4}))
}

// Fuzz takes the steps, then ends all sessions and lets an hour pass. Nothing may
// panic or grow without bound on the way, and in the end nothing may be left.
func (f *Fuzzed[E]) Fuzz(t testing.TB, steps []byte) {
	f.t, f.in = t, steps[:min(len(steps), fuzzSteps)]
	for len(f.in) > 0 {
		f.step(f.next() % numSteps)
		f.drain()
		for _, e := range f.Ends {
			f.Bounded(e)
		}
	}
	for i, e := range f.Ends {
		for s := range e.Sessions() {
			_ = e.Delete(f.Now, s.ID, ike.DownLocal)
		}
		for _, j := range f.jobs[i] {
			e.HandleResult(f.Now, j.Do(t.Context()))
		}
	}
	l := Link[E]{Ends: f.Ends}
	if err := l.Advance(&f.Now, time.Hour); err != nil {
		t.Fatal(err)
	}
	for i, e := range f.Ends {
		h := e.Held()
		if n := len(slices.Collect(e.Sessions())); n > 0 || len(h.SAs)+h.Addresses+h.Jobs+h.HalfOpen+h.Timers > 0 {
			t.Fatalf("in the end there are %d sessions and %+v", n, h)
		}
		if l := f.Planes[i].Leaks(); len(l) > 0 {
			t.Fatalf("in the end the data plane has %v", l)
		}
		f.Left(e)
	}
}

func (f *Fuzzed[E]) next() (b byte) {
	if len(f.in) > 0 {
		b, f.in = f.in[0], f.in[1:]
	}
	return b
}

func (f *Fuzzed[E]) step(op byte) {
	side := op & 1
	switch {
	case op < stepRekeyIKE:
		if e := f.Ends[side]; len(slices.Collect(e.Sessions())) < 4 {
			if err := f.Initiate(e, f.Now); err != nil {
				f.t.Fatal(err)
			}
		}
	case op < stepDeliver:
		f.command(op, f.Ends[f.next()&1])
	case op < stepTimer, op >= stepOtherBody && op < stepExpire:
		f.deliver(op, side)
	case op == stepTimer:
		for _, e := range f.Ends {
			if at, ok := e.PollTimeout(); ok && at.After(f.Now) {
				f.Now = at
				break
			}
		}
		f.timeout()
	case op == stepWait:
		f.Now = f.Now.Add(time.Duration(f.next()) * 100 * time.Millisecond)
		f.timeout()
	case op < stepOtherBody:
		f.result(side, op >= stepFail)
	default:
		if sas := f.Planes[side].SAs(); len(sas) > 0 {
			_ = f.Planes[side].Expire(sas[int(f.next())%len(sas)], f.next()&1 == 1)
		}
	}
}

func (f *Fuzzed[E]) timeout() {
	for _, e := range f.Ends {
		e.HandleTimeout(f.Now)
	}
}

// command gives a command to the first established session.
func (f *Fuzzed[E]) command(op byte, e E) {
	var s ike.SessionState
	for s = range e.Sessions() {
		if s.Up {
			break
		}
	}
	if !s.Up {
		return
	}
	switch {
	case op == stepRekeyIKE:
		_ = e.RekeyIKE(f.Now, s.ID)
	case op == stepLiveness:
		_ = e.CheckLiveness(f.Now, s.ID)
	case op == stepCreateChild:
		_ = e.CreateChild(f.Now, s.ID, f.Child, 0, nil)
	case op == stepDelete:
		_ = e.Delete(f.Now, s.ID, ike.DownLocal)
	case len(s.Children) == 0:
	case op == stepRekeyChild:
		_ = e.RekeyChild(f.Now, s.ID, s.Children[0].ID)
	case op == stepDeleteChild:
		_ = e.DeleteChild(f.Now, s.ID, s.Children[0].ID)
	}
}

// headerLen is the length of an ISAKMP and of an IKEv2 header, whose last four
// octets are the length of the message.
const headerLen = 28

func (f *Fuzzed[E]) deliver(op, to byte) {
	w := &f.wire[to]
	if len(*w) == 0 {
		return
	}
	i := 0
	if op >= stepOvertake && op < stepTimer {
		i = int(f.next()) % len(*w)
	}
	tx := (*w)[i]
	b := slices.Clone(tx.Packet)
	switch {
	case op >= stepOtherBody:
		n := min(int(f.next()), len(f.in))
		b = append(b[:min(headerLen, len(b))], f.in[:n]...)
		f.in = f.in[n:]
		if len(b) >= headerLen {
			b[26], b[27] = byte(len(b)>>8), byte(len(b))
		}
	case op >= stepOvertake:
	case op >= stepDamage:
		b[int(f.next())%len(b)] ^= f.next() | 1
	default:
		*w = (*w)[1:]
	}
	f.Ends[to].HandleDatagram(f.Now, Reverse(tx.Path), b)
}

func (f *Fuzzed[E]) result(of byte, fails bool) {
	if len(f.jobs[of]) == 0 {
		return
	}
	j := f.jobs[of][0]
	f.jobs[of] = f.jobs[of][1:]
	r := ike.Result{ID: j.ID, Err: context.Canceled}
	switch j.Kind {
	case ike.JobRemove, ike.JobAllocSPI, ike.JobInstall, ike.JobMove, ike.JobAddress, ike.JobAcquireDone:
		fails = false // what holds or gives back something does not fail without having run
	}
	if !fails {
		r = j.Do(f.t.Context())
	}
	f.Ends[of].HandleResult(f.Now, r)
}

// drain collects what the endpoints have to say. It waits until a step takes it.
func (f *Fuzzed[E]) drain() {
	for i, e := range f.Ends {
		for tx, ok := e.PollTransmit(); ok; tx, ok = e.PollTransmit() {
			if w := &f.wire[1-i]; len(*w) < 64 {
				*w = append(*w, tx)
			}
		}
		for j, ok := e.PollJob(); ok; j, ok = e.PollJob() {
			f.jobs[i] = append(f.jobs[i], j)
		}
		for _, ok := e.PollEvent(); ok; _, ok = e.PollEvent() {
		}
		for _, ev := range f.Planes[i].PollEvents() {
			e.HandleDataPlane(f.Now, ev)
		}
	}
}
