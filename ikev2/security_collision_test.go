package ikev2

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestC09_Collisions: simultaneous rekeys of Child SAs and IKE SAs by both
// sides, reordered, delayed, and lost: both sides end with the same SAs, and
// while packets are only reordered no traffic is lost. The single situations
// are in collision_child_test.go and collision_ike_test.go; these are their
// mixtures.
func TestC09_Collisions(t *testing.T) {
	for _, p := range profiles[:2] {
		for seed := uint64(1_000_000); seed < 1_000_040; seed++ {
			o := simulateProfile(seed, p, nil)
			require.NoError(t, o.err, "profile %q, seed %d", p.name, seed)
			require.Positive(t, o.fired.Total(), "no fault fired")
		}
	}
}
