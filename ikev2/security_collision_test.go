package ikev2

import "testing"

// TestC09_Collisions: simultaneous rekeys of Child SAs and IKE SAs by both
// sides, reordered, delayed, and lost: both sides end with the same SAs, and
// while packets are only reordered no traffic is lost. The single situations
// are in collision_child_test.go and collision_ike_test.go; these are their
// mixtures.
func TestC09_Collisions(t *testing.T) {
	for _, profile := range []string{"rekey", "rekey with loss"} {
		simulation().TestProfile(t, profile, 1_000_000, 40)
	}
}
