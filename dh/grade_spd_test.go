package dh_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/spd"
)

// TestGradesAgreeWithProposals: what a proposal warns of, and leaves out unless
// it is named, is what this package grades as less than sound.
func TestGradesAgreeWithProposals(t *testing.T) {
	offered := map[uint16]bool{}
	for _, p := range spd.DefaultIKEProposals() {
		for _, x := range p.Transforms {
			if x.Type == spd.TransformKE {
				offered[x.ID] = true
			}
		}
	}
	require.NotEmpty(t, offered)
	for g := range dh.Groups() {
		id := uint16(g.ID())
		sound := g.ID().Grade() == dh.Sound
		require.Equal(t, sound, spd.Weak(spd.Transform{Type: spd.TransformKE, ID: id}) == "", "%v", g.ID())
		require.False(t, offered[id] && !sound, "%v is offered by default", g.ID())
	}
}
