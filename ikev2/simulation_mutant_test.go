package ikev2

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/internal/child"
)

// mutants are broken cores. They are broken from outside: what a wrapper
// changes in the core's state or in its jobs is what a mistake in it would.
var mutants = []struct {
	profile string
	*mutant
}{
	{"rekey with loss", &mutant{name: "serves a repeated request again", datagram: func(n *simNode, h message.Header, sa *ikeSA) {
		if sa != nil && sa.repeats(h) {
			sa.recvID, sa.reply = h.MessageID, nil
		}
	}}},
	{"rekey", &mutant{name: "never gives in when both rekey a Child SA", datagram: func(n *simNode, h message.Header, sa *ikeSA) {
		if sa == nil {
			return
		}
		if t, ok := sa.active.(*createChild); ok && t.rival != nil {
			t.rivalNonce = nil
		}
	}}},
	{"rekey", &mutant{name: "never gives in when both rekey the IKE SA", datagram: func(n *simNode, h message.Header, sa *ikeSA) {
		if sa == nil {
			return
		}
		if t, ok := sa.active.(*rekeyIKE); ok && t.rival != nil {
			t.rivalNonce = nil
		}
	}}},
	{"rekey", &mutant{name: "leaves replaced SAs in the data plane", job: func(n *simNode, j ike.Job) ike.Job {
		if j.Kind == ike.JobRemove {
			j.Run = func(context.Context) (any, error) { return nil, nil }
		}
		return j
	}}},
	{"rekey", &mutant{name: "answers before the inbound SA is installed", job: func(n *simNode, j ike.Job) ike.Job {
		if j.Kind == ike.JobInstall {
			run := j.Run
			j.Run = func(ctx context.Context) (any, error) {
				n.s.w.After(300*time.Millisecond, func() { _, _ = run(ctx) })
				return nil, nil
			}
		}
		return j
	}}},
	{"rekey", &mutant{name: "sends on the new SA before the peer is ready", result: func(n *simNode, r ike.Result) bool {
		n.s.w.After(0, func() {
			for _, s := range n.sessions {
				for _, c := range s.Children.All() {
					if c.State == child.InboundOnly {
						s.Children.Activate(n.node.Now(), c)
					}
				}
			}
		})
		return true
	}}},
	{"rekey with loss", &mutant{name: "loses results of jobs now and then", result: func(n *simNode, r ike.Result) bool {
		return r.ID%7 != 0
	}}},
	{"loss", &mutant{name: "keeps the timers of dead SAs", datagram: func(n *simNode, h message.Header, sa *ikeSA) {
		if sa != nil && sa.state == stateDeleting {
			n.SetTimer(&child.Timer{Owner: func(time.Time) {}}, n.node.Now().Add(time.Hour))
		}
	}}},
}

// TestSimulationCatchesMutants: the simulation notices when something is wrong.
func TestSimulationCatchesMutants(t *testing.T) {
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			var p profile
			for _, q := range profiles {
				if q.name == m.profile {
					p = q
				}
			}
			for seed := uint64(1); seed <= 200; seed++ {
				o := simulateProfile(seed, p, nil, m.mutant)
				if o.err != nil {
					t.Logf("caught by seed %d: %.150v", seed, o.err)
					require.NoError(t, simulateProfile(seed, p, nil).err, "the same schedule without the mutant")
					return
				}
			}
			t.Error("not caught in 200 schedules")
		})
	}
}
