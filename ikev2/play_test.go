package ikev2

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// The 30 situations around the rekey of a Child SA that strongSwan's tests
// name, and what RFC 7296 2.8, 2.8.1, 2.25 and 2.25.1 make of them. In the
// diagrams time runs downwards; a message ends where it arrives. They are in
// rekey_child_test.go and the files collision_child*_test.go.
//
// Situations with several key exchanges (RFC 9370, which is not spoken here)
// are played with a key exchange that takes its time: like an
// IKE_FOLLOWUP_KE, it keeps one side's exchange open while others go on.

// withPFS gives the Child SAs of each side these groups.
func withPFS(a, b string) sceneOption {
	return func(pa, pb *Peer, _, _ *Config) {
		pa.Children[0].Proposals = []spd.Proposal{espProposal("aes128gcm16-" + a + "-noesn")}
		pb.Children[0].Proposals = []spd.Proposal{espProposal("aes128gcm16-" + b + "-noesn")}
	}
}

// A play is a situation, set up and running.
type play struct {
	*scene
	oldA ike.ChildSPIs // of the Child SA that is rekeyed, as A and B see it
	oldB ike.ChildSPIs
}

// plays runs a situation with and without traffic: packets on a new SA let the
// responder of a rekey use it at once, without them the Delete does.
func plays(t *testing.T, run func(t *testing.T, p *play), options ...sceneOption) {
	for _, traffic := range []bool{true, false} {
		name := "idle"
		if traffic {
			name = "traffic"
		}
		t.Run(name, func(t *testing.T) {
			s := newScene(t, options...).establish()
			s.traffic = traffic
			run(t, &play{scene: s, oldA: s.A.child().ChildSPIs, oldB: s.B.child().ChildSPIs})
		})
	}
}

// bothRoles runs a situation twice: x is the original initiator, then the
// original responder.
func bothRoles(t *testing.T, run func(t *testing.T, p *play, x, y *actor), options ...sceneOption) {
	for _, role := range []string{"initiator", "responder"} {
		t.Run(role, func(t *testing.T) {
			plays(t, func(t *testing.T, p *play) {
				if role == "initiator" {
					run(t, p, p.A, p.B)
				} else {
					run(t, p, p.B, p.A)
				}
			}, options...)
		})
	}
}

// A nonceOrder says with which octet the four nonces of two exchanges that
// collide begin, and whose SA survives: of the exchange that has not the
// lowest (RFC 7296 2.8.1).
type nonceOrder struct {
	name           string
	ai, br, bi, ar byte // A's request, B's answer to it, B's request, A's answer to it
	winner         string
}

var nonceOrders = []nonceOrder{
	{"A's request is lowest", 0x00, 0xf0, 0xf1, 0xf2, "B"},
	{"B's answer is lowest", 0xf0, 0x00, 0xf1, 0xf2, "B"},
	{"B's request is lowest", 0xf0, 0xf1, 0x00, 0xf2, "A"},
	{"A's answer is lowest", 0xf0, 0xf1, 0xf2, 0x00, "A"},
}

// collisions runs a situation for each order of nonces that want accepts.
func collisions(t *testing.T, want func(nonceOrder) bool, run func(t *testing.T, p *play, o nonceOrder), options ...sceneOption) {
	for _, o := range nonceOrders {
		if want == nil || want(o) {
			t.Run(o.name, func(t *testing.T) {
				plays(t, func(t *testing.T, p *play) { run(t, p, o) }, options...)
			})
		}
	}
}

// bothRekey lets both sides begin.
func (p *play) bothRekey(o nonceOrder) {
	p.t.Helper()
	p.A.draws(o.ai).rekeyChild()
	p.B.draws(o.bi).rekeyChild()
	p.B.draws(o.br)
	p.A.draws(o.ar)
}

// rekeyedOnce requires that the Child SA was replaced once and nothing else
// has happened, and returns who has begun the exchange that made the new one.
func (p *play) rekeyedOnce() string {
	p.t.Helper()
	p.pass(15 * time.Second)
	p.converged(1)
	by := ""
	for _, a := range []*actor{p.A, p.B} {
		old := p.oldA
		if a == p.B {
			old = p.oldB
		}
		r := find[ike.ChildRekeyed](a.happened)
		require.Len(p.t, r, 1, "%s was told %+v", a.name, a.happened)
		require.Equal(p.t, old, r[0].Old, a.name)
		require.Equal(p.t, a.child().ChildSPIs, r[0].Child.ChildSPIs, a.name)
		require.NotEqual(p.t, old, r[0].Child.ChildSPIs, a.name)
		if r[0].Initiator {
			by += a.name
		}
		p.nothingElse(a, 1)
	}
	return by
}

// nothingElse requires that a was told of nothing but rekeys.
func (p *play) nothingElse(a *actor, events int) {
	p.t.Helper()
	require.Len(p.t, a.happened, events, "%s was told %+v", a.name, a.happened)
}

// lost requires that the Child SA is gone on both sides and that each was told
// once. Who was told of the end before the answer to its own rekey came is told
// that the Child SA has come up again, and of that one's end.
func (p *play) lost() {
	p.t.Helper()
	p.pass(30 * time.Second)
	p.converged(0)
	for _, a := range []*actor{p.A, p.B} {
		up := false
		for _, ev := range a.happened[slices.IndexFunc(a.happened, isChildDown)+1:] {
			switch ev.(type) {
			case ike.ChildUp:
				require.False(p.t, up, "%s was told %+v", a.name, a.happened)
				up = true
			case ike.ChildDown, ike.ChildRekeyed:
				require.True(p.t, up, "%s was told %+v", a.name, a.happened)
				up = !isChildDown(ev)
			}
		}
		require.False(p.t, up, "%s was told %+v", a.name, a.happened)
		require.NotEmpty(p.t, find[ike.ChildDown](a.happened), a.name)
		require.Empty(p.t, find[ike.ChildFailed](a.happened), a.name)
	}
}

func isChildDown(ev ike.Event) bool {
	_, is := ev.(ike.ChildDown)
	return is
}
