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
