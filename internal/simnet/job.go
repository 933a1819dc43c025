package simnet

import (
	"context"
	"time"

	"github.com/racoon3/racoon/ike"
)

// order is what waits behind a running job of the same Job.Order.
type order struct{ waiting []ike.Job }

// startJob runs a job after a random delay, and delivers its result after
// another one. Jobs of one Order run one after the other, and their results
// arrive in that order.
func (n *Node) startJob(j ike.Job) {
	n.stats.Jobs++
	n.stats.PendingJobs++
	if j.Order != 0 {
		o := n.orders[j.Order]
		if o != nil {
			o.waiting = append(o.waiting, j)
			return
		}
		n.orders[j.Order] = new(order)
	}
	n.runJob(j)
}

func (n *Node) runJob(j ike.Job) {
	w, f, life := n.w, &n.w.Faults, n.life
	took := w.Between(0, f.JobDelay)
	if w.Chance(f.JobSlow) {
		took += w.Between(0, f.JobSlowBy)
		w.fired(JobSlow, "%s: %v job takes %v", n.Name, j.Kind, took)
	}
	back := time.Duration(0)
	if took > 0 {
		back = time.Duration(w.rand.Int64N(int64(took) + 1))
	}
	w.After(took-back, func() {
		if n.life != life {
			return
		}
		var r ike.Result
		if f.JobFail != nil && w.Chance(f.JobFail(j.Kind)) {
			n.stats.JobsFailed++
			w.fired(JobFailed, "%s: %v job fails", n.Name, j.Kind)
			r = ike.Result{ID: j.ID, Err: ErrInjected}
		} else {
			r = j.Do(context.Background())
		}
		w.After(back, func() {
			if n.life != life {
				return
			}
			w.note("%s: result of %v job: %v", n.Name, j.Kind, r.Err)
			n.stats.PendingJobs--
			n.cfg.Core.HandleResult(n.Now(), r)
			n.endOrder(j.Order)
		})
	})
}

// endOrder starts the next job of an order.
func (n *Node) endOrder(id uint64) {
	if id == 0 {
		return
	}
	o := n.orders[id]
	if o == nil {
		return
	}
	if len(o.waiting) == 0 {
		delete(n.orders, id)
		return
	}
	next := o.waiting[0]
	o.waiting = o.waiting[1:]
	n.runJob(next)
}
