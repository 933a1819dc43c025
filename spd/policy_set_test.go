package spd

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPolicySet(t *testing.T) {
	a, b, c := policy(Out, "10.0.0.0/8", "10.1.0.0/16", ActionProtect, 1), policy(Out, "10.0.0.0/8", "10.2.0.0/16", ActionProtect, 1), policy(In, "10.0.0.0/8", "10.1.0.0/16", ActionProtect, 1)
	var s PolicySet
	set := func(o Owner, ps ...Policy) PolicyChange {
		t.Helper()
		ch, err := s.Set(o, ps)
		require.NoError(t, err)
		require.Len(t, ch.added, len(ch.Add))
		for i, p := range ch.added {
			require.Equal(t, ch.Add[i], *p)
		}
		ch.added = nil
		return ch
	}
	require.Equal(t, PolicyChange{Add: []Policy{a, b}}, set(1, a, b, a))
	// A rekeyed Child SA has the same policy: nothing to do, twice.
	require.Equal(t, PolicyChange{Add: []Policy{c}}, set(2, a, c))
	require.Equal(t, PolicyChange{Remove: []Policy{b}, Previous: []Policy{a, b}}, set(1))
	require.True(t, s.Has(a))
	// Equal before and after: no change. Order does not matter.
	require.Equal(t, PolicyChange{Previous: []Policy{a, c}}, set(2, c, a))
	// An invalid one changes nothing.
	_, err := s.Set(2, []Policy{b, {}})
	require.ErrorIs(t, err, ErrPolicy)
	require.Equal(t, []Policy{c, a}, s.Get(2))
	require.False(t, s.Has(b))
	// Taken back.
	ch := set(2, b)
	require.Equal(t, PolicyChange{Add: []Policy{b}, Remove: []Policy{c, a}, Previous: []Policy{c, a}}, ch)
	set(2, ch.Previous...)
	require.Equal(t, 2, s.Len())
	require.Equal(t, 1, s.Owners())
	set(2)
	require.Zero(t, s.Len()+s.Owners())
}

// TestPolicyTableApply makes the same changes with Apply and With.
func TestPolicyTableApply(t *testing.T) {
	a, b, c := policy(Out, "10.0.0.0/8", "10.1.0.0/16", ActionProtect, 1), policy(Out, "10.0.0.0/8", "10.2.0.0/16", ActionProtect, 1), policy(In, "10.0.0.0/8", "10.1.0.0/16", ActionProtect, 1)
	var set PolicySet
	var with, applied *PolicyTable
	for i, step := range []struct {
		owner    Owner
		policies []Policy
	}{{1, []Policy{a, b}}, {2, []Policy{a, c}}, {1, nil}, {2, []Policy{c, b}}, {1, []Policy{b}}, {2, nil}, {1, nil}} {
		ch, err := set.Set(step.owner, step.policies)
		require.NoError(t, err)
		before := applied.Len()
		snapshot := applied
		with, err = with.With(ch.Remove, ch.Add)
		require.NoError(t, err)
		applied = applied.Apply(ch)
		require.Equal(t, before, snapshot.Len(), "a snapshot stays what it is")
		require.Equal(t, set.Len(), applied.Len())
		var w, g []Policy
		for p := range with.All() {
			w = append(w, *p)
		}
		for p := range applied.All() {
			g = append(g, *p)
		}
		require.Equal(t, w, g, "step %d", i)
	}
	require.Zero(t, applied.Len())
}

// TestPoliciesBeyondTheCapabilities are refused, not kept without effect.
func TestPoliciesBeyondTheCapabilities(t *testing.T) {
	caps := MemoryCapabilities()
	caps.Marks, caps.InterfaceIDs, caps.TrapPolicy = false, false, false
	m := NewMemory(MemoryConfig{Capabilities: caps})
	good := Policy{Selector: Selector{Local: AnyIPv4, Remote: AnyIPv4}}
	for want, change := range map[string]func(*Policy){
		"marks":         func(p *Policy) { p.Mark = Mark{1, 1} },
		"interface IDs": func(p *Policy) { p.InterfaceID = 1 },
		"trap policies": func(p *Policy) { p.Action = ActionTrap },
	} {
		bad := good
		change(&bad)
		err := m.SetPolicies(t.Context(), 1, []Policy{good, bad})
		require.ErrorIs(t, err, ErrUnsupported)
		require.ErrorContains(t, err, want)
		require.Empty(t, m.Policies())
	}
}
