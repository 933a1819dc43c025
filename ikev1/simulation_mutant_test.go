package ikev1

import (
	"context"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/internal/coretest"
)

// of returns the header of a datagram and the ISAKMP SA that it belongs to.
func of(n *simNode, path ike.Path, b []byte) (isakmp.Header, *isakmpSA) {
	h, err := isakmp.ParseHeader(b)
	if err != nil {
		return h, nil
	}
	return h, n.Core.find(path, h)
}

// mutants are broken cores. They are broken from outside: what a wrapper
// changes in the core's state or in its jobs is what a mistake in it would.
var mutants = []*coretest.Mutant[*Endpoint, *Peer]{
	{Name: "serves a repeated Quick Mode again", Profile: "rekey with loss", Datagram: func(n *simNode, path ike.Path, b []byte) {
		if h, sa := of(n, path, b); sa != nil && h.Exchange == isakmp.ExchangeQuickMode {
			if x := sa.exchanges[h.MessageID]; x != nil && !x.initiator && x.seen == sha256.Sum256(b) {
				delete(sa.exchanges, h.MessageID)
				sa.used = usedIDs{}
			}
		}
	}},
	{Name: "says nothing in Informational exchanges", Profile: "rekey", Transmit: func(n *simNode, tx ike.Transmit) bool {
		h, err := isakmp.ParseHeader(tx.Packet)
		return err != nil || h.Exchange != isakmp.ExchangeInformational
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
	{Name: "lets a client in before its user is known", Profile: "roadwarrior", Second: true, Datagram: func(n *simNode, path ike.Path, b []byte) {
		if _, sa := of(n, path, b); sa != nil && sa.state == stateUser && !sa.initiator {
			sa.up(n.Net.Now())
		}
	}},
	{Name: "loses results of jobs now and then", Profile: "rekey with loss", Result: func(n *simNode, r ike.Result) bool {
		return r.ID%7 != 0
	}},
	{Name: "keeps the timers of dead SAs", Profile: "loss", Datagram: func(n *simNode, path ike.Path, b []byte) {
		if _, sa := of(n, path, b); sa != nil && sa.leaving {
			n.Core.SetTimer(&child.Timer{Owner: func(time.Time) {}}, n.Net.Now().Add(time.Hour))
		}
	}},
}

// TestSimulationCatchesMutants: the simulation notices when something is wrong.
func TestSimulationCatchesMutants(t *testing.T) { simulation(t).Catches(t, mutants) }
