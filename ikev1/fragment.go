package ikev1

import (
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/vendorid"
)

// reassembly collects the fragments of one message.
type reassembly struct{}

// peerFragments reports whether the peer takes fragments of this mode's
// messages.
func (sa *isakmpSA) peerFragments() bool {
	need := vendorid.FragmentsMain
	return sa.peerVIDs.Has(vendorid.Fragmentation) && sa.peerVIDs.Fragmentation()&need != 0
}

// cut cuts a message into fragments where that is agreed.
func (sa *isakmpSA) cut(m []byte) [][]byte { return [][]byte{m} }

func (e *Endpoint) fragment(now time.Time, path ike.Path, sa *isakmpSA, h isakmp.Header, b []byte) {
	e.Count.Unexpected++
}
