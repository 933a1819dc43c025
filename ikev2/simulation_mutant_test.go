package ikev2

import (
	"context"
	"testing"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/internal/child"
)

// of returns the header of a datagram and the IKE SA that it belongs to.
func of(n *simNode, b []byte) (message.Header, *ikeSA) {
	h, err := message.ParseHeader(b)
	if err != nil {
		return h, nil
	}
	return h, n.Core.sas[localSPI(h)]
}

// mutants are broken cores. They are broken from outside: what a wrapper
// changes in the core's state or in its jobs is what a mistake in it would.
var mutants = []*mutant{
	{Name: "serves a repeated request again", Profile: "rekey with loss", Datagram: func(n *simNode, _ ike.Path, b []byte) {
		h, sa := of(n, b)
		if sa != nil && sa.repeats(h) {
			sa.recvID, sa.reply = h.MessageID, nil
		}
	}},
	{Name: "never gives in when both rekey a Child SA", Profile: "rekey", Datagram: func(n *simNode, _ ike.Path, b []byte) {
		_, sa := of(n, b)
		if sa == nil {
			return
		}
		if t, ok := sa.active.(*createChild); ok && t.rival != nil {
			t.rivalNonce = nil
		}
	}},
	{Name: "never gives in when both rekey the IKE SA", Profile: "rekey", Datagram: func(n *simNode, _ ike.Path, b []byte) {
		_, sa := of(n, b)
		if sa == nil {
			return
		}
		if t, ok := sa.active.(*rekeyIKE); ok && t.rival != nil {
			t.rivalNonce = nil
		}
	}},
	{Name: "leaves replaced SAs in the data plane", Profile: "rekey", Job: func(n *simNode, j ike.Job) ike.Job {
		if j.Kind == ike.JobRemove {
			j.Run = func(context.Context) (any, error) { return nil, nil }
		}
		return j
	}},
	{Name: "answers before the inbound SA is installed", Profile: "rekey", Job: func(n *simNode, j ike.Job) ike.Job {
		if j.Kind == ike.JobInstall {
			run := j.Run
			j.Run = func(ctx context.Context) (any, error) {
				n.Sim.W.After(300*time.Millisecond, func() { _, _ = run(ctx) })
				return nil, nil
			}
		}
		return j
	}},
	{Name: "sends on the new SA before the peer is ready", Profile: "rekey", Result: func(n *simNode, r ike.Result) bool {
		n.Sim.W.After(0, func() {
			for _, s := range n.Core.sessions {
				for _, c := range s.Children.All() {
					if c.State == child.InboundOnly {
						s.Children.Activate(n.Net.Now(), c)
					}
				}
			}
		})
		return true
	}},
	{Name: "loses results of jobs now and then", Profile: "rekey with loss", Result: func(n *simNode, r ike.Result) bool {
		return r.ID%7 != 0
	}},
	{Name: "keeps the timers of dead SAs", Profile: "loss", Datagram: func(n *simNode, _ ike.Path, b []byte) {
		_, sa := of(n, b)
		if sa != nil && sa.state == stateDeleting {
			n.Core.SetTimer(&child.Timer{Owner: func(time.Time) {}}, n.Net.Now().Add(time.Hour))
		}
	}},
}

// TestSimulationCatchesMutants: the simulation notices when something is wrong.
func TestSimulationCatchesMutants(t *testing.T) { simulation().Catches(t, mutants) }
