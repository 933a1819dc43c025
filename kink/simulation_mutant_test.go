package kink

import (
	"context"
	"testing"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/coretest"
	"github.com/racoon3/racoon/kink/message"
)

// mutants are broken cores: what a wrapper changes in the core's state or in its
// jobs is what a mistake in it would.
var mutants = []*coretest.Mutant[*Endpoint, *Peer]{
	{Name: "serves a repeated command again", Profile: "rekey with loss", Datagram: func(n *simNode, _ ike.Path, _ []byte) {
		for _, v := range n.Core.served {
			if v.content != nil && !v.waits {
				v.forget()
			}
		}
	}},
	{Name: "says nothing of DELETE", Profile: "rekey", Transmit: func(n *simNode, tx ike.Transmit) bool {
		h, err := message.ParseHeader(tx.Packet)
		return err != nil || h.Type != message.Delete
	}},
	{Name: "leaves replaced SAs in the data plane", Profile: "rekey", Job: func(n *simNode, j ike.Job) ike.Job {
		if j.Kind == ike.JobRemove {
			j.Run = func(context.Context) (any, error) { return nil, nil }
		}
		return j
	}},
	{Name: "forgets the peer's epoch", Profile: "chaos", Datagram: func(n *simNode, _ ike.Path, _ []byte) {
		for _, s := range n.Core.sessions {
			s.epoch.known = false
		}
	}},
	{Name: "never has another epoch", Profile: "KDC and chaos", Datagram: func(n *simNode, _ ike.Path, _ []byte) {
		clear(n.Core.cfg.Epochs.lost)
	}},
	{Name: "loses results of jobs now and then", Profile: "rekey with loss", Result: func(n *simNode, r ike.Result) bool {
		return r.ID%7 != 0
	}},
}

func TestSimulationMutants(t *testing.T) { simulation().Catches(t, mutants) }
