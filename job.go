package racoon

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/racoon3/racoon/ike"
)

// ErrBusy is what an operation fails with when a queue is full.
var ErrBusy = errors.New("racoon: too much work is waiting")

// jobTimeout bounds the context of jobs that may wait for somebody else,
// promptTimeout that of a person who is asked for a password.
const (
	jobTimeout    = 30 * time.Second
	promptTimeout = 5 * time.Minute
)

// jobQueue is how many jobs may wait in one pool. A flood that fills it makes
// handshakes fail, not memory grow.
const jobQueue = 16384

// jobRunner runs the jobs of all workers. Each kind of back end has its own
// pool, so that a slow one delays nobody who does not need it. The number of
// goroutines is bounded whatever the number of sessions.
type jobRunner struct {
	pools  [lastPool]*jobPool
	ctx    context.Context // ends with the Manager
	cancel context.CancelFunc
}

// The pools.
const (
	poolCPU      = iota // key exchanges and verifications: as many as there are processors
	poolSign            // private keys, which may live in an HSM
	poolDecision        // Authorize and Narrow
	poolLookup          // credentials
	poolAddress         // address leases
	poolUser            // users' logins and accounting
	poolPrompt          // people
	poolPlane           // data plane
	lastPool
)

func poolOf(k ike.JobKind) int {
	switch k {
	case ike.JobKeyExchange, ike.JobVerify:
		return poolCPU
	case ike.JobSign:
		return poolSign
	case ike.JobAuthorize, ike.JobNarrow:
		return poolDecision
	case ike.JobCredential:
		return poolLookup
	case ike.JobAddress:
		return poolAddress
	case ike.JobUser, ike.JobAccount:
		return poolUser
	case ike.JobPrompt:
		return poolPrompt
	}
	return poolPlane
}

func newJobRunner(ctx context.Context, processors int) *jobRunner {
	r := new(jobRunner)
	r.ctx, r.cancel = context.WithCancel(ctx)
	for i := range r.pools {
		limit, keep, timeout := 64, 2, jobTimeout
		switch i {
		case poolCPU:
			limit, keep, timeout = processors, processors, 0
		case poolDecision, poolLookup, poolUser:
			limit = 256
		case poolPrompt:
			limit, timeout = 256, promptTimeout
		}
		r.pools[i] = &jobPool{runner: r, limit: limit, keep: keep, timeout: timeout}
		r.pools[i].work.L = &r.pools[i].mu
	}
	return r
}

// submit runs a job of w's core and posts the result to w. Jobs of one Order
// wait for each other.
func (r *jobRunner) submit(w *worker, j ike.Job) {
	if j.Order != 0 && !w.orders.begin(j) {
		return // its turn comes when the job before it is done
	}
	r.start(w, j)
}

func (r *jobRunner) start(w *worker, j ike.Job) {
	if !r.pools[poolOf(j.Kind)].put(task{w, j}) {
		r.finish(task{w, j}, ike.Result{ID: j.ID, Err: fmt.Errorf("%w: %d %v jobs", ErrBusy, jobQueue, j.Kind)})
	}
}

// finish delivers a result and starts the next job of its order.
func (r *jobRunner) finish(t task, res ike.Result) {
	t.w.box.putResult(res)
	if t.job.Order != 0 {
		if next, ok := t.w.orders.end(t.job.Order); ok {
			r.start(t.w, next)
		}
	}
}

// stop drops the jobs that wait, tells the running ones to end, and waits for
// them.
func (r *jobRunner) stop() {
	r.cancel()
	for _, p := range r.pools {
		p.stop()
	}
	for _, p := range r.pools {
		p.wg.Wait()
	}
}

// task is a job and whose it is.
type task struct {
	w   *worker
	job ike.Job
}

// A jobPool runs jobs on at most limit goroutines, which start when they are
// needed; at most keep of them stay when they have nothing to do.
type jobPool struct {
	runner      *jobRunner
	limit, keep int
	timeout     time.Duration // of the context of jobs that may wait, 0 for those that do not

	wg sync.WaitGroup

	mu      sync.Mutex
	work    sync.Cond
	queue   []task
	head    int
	started int
	running int
	idle    int
	stopped bool
}

// put reports false if the pool is full. Jobs that give something back are
// never refused.
func (p *jobPool) put(t task) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return true // nobody is left to read a result
	}
	switch t.job.Kind {
	case ike.JobRemove, ike.JobAcquireDone, ike.JobAddress, ike.JobAccount:
	default:
		if len(p.queue)-p.head >= jobQueue {
			return false
		}
	}
	if p.head > 0 && len(p.queue) == cap(p.queue) { // slide instead of grow
		n := copy(p.queue, p.queue[p.head:])
		clear(p.queue[n:])
		p.queue, p.head = p.queue[:n], 0
	}
	p.queue = append(p.queue, t)
	switch {
	case p.idle > 0:
		p.idle-- // on behalf of the one that wakes
		p.work.Signal()
	case p.started < p.limit:
		p.started++
		p.wg.Go(p.run)
	}
	return true
}

func (p *jobPool) run() {
	p.mu.Lock()
	for {
		for p.head == len(p.queue) && !p.stopped && p.idle < p.keep {
			p.idle++
			p.work.Wait()
		}
		if p.head == len(p.queue) || p.stopped {
			p.started--
			p.mu.Unlock()
			return
		}
		t := p.queue[p.head]
		p.queue[p.head] = task{}
		p.head++
		if p.head == len(p.queue) {
			p.queue, p.head = p.queue[:0], 0
		}
		p.running++
		p.mu.Unlock()
		p.runner.finish(t, p.do(t))
		p.mu.Lock()
		p.running--
	}
}

func (p *jobPool) do(t task) ike.Result {
	ctx := p.runner.ctx
	if p.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.timeout)
		defer cancel()
	}
	return t.job.Do(ctx)
}

func (p *jobPool) stop() {
	p.mu.Lock()
	p.stopped = true
	p.queue, p.head = nil, 0
	p.idle = 0
	p.work.Broadcast()
	p.mu.Unlock()
}

// orders keeps the jobs of one worker that must run one after the other.
type orders struct {
	mu   sync.Mutex
	wait map[uint64][]ike.Job // present while a job of the order runs
}

// begin reports whether j may run now; if not it is kept for end.
func (o *orders) begin(j ike.Job) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	q, running := o.wait[j.Order]
	if running {
		o.wait[j.Order] = append(q, j)
		return false
	}
	if o.wait == nil {
		o.wait = make(map[uint64][]ike.Job)
	}
	o.wait[j.Order] = nil
	return true
}

// end returns the job of the order that may run next.
func (o *orders) end(order uint64) (ike.Job, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	q := o.wait[order]
	if len(q) == 0 {
		delete(o.wait, order)
		return ike.Job{}, false
	}
	j := q[0]
	o.wait[order] = q[1:]
	return j, true
}

// busy returns how many jobs wait or run.
func (r *jobRunner) busy() (n int) {
	for _, p := range r.pools {
		p.mu.Lock()
		n += len(p.queue) - p.head + p.running
		p.mu.Unlock()
	}
	return n
}
