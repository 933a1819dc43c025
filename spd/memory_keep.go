package spd

import (
	"context"
	"errors"
	"slices"
)

var _ PolicyKeeper = (*Memory)(nil)

// Crash forgets who owns the policies, as when a program is killed and its
// kernel goes on: they stay in force until somebody sets or adopts them.
func (m *Memory) Crash() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.policies = PolicySet{}
}

// AdoptPolicies implements [PolicyKeeper].
func (m *Memory) AdoptPolicies(ctx context.Context, owner Owner, policies []Policy) ([]Policy, error) {
	err := m.begin(ctx, OpAdoptPolicies)
	defer m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if len(m.policies.Get(owner)) > 0 {
		return nil, errors.New("spd: the owner has policies already")
	}
	there := map[Policy]bool{}
	for p := range m.table.All() {
		there[*p] = true
	}
	adopted := slices.DeleteFunc(slices.Clone(policies), func(p Policy) bool { return !there[p] })
	_, err = m.policies.Set(owner, adopted)
	return adopted, err
}

// AbandonPolicies implements [PolicyKeeper].
func (m *Memory) AbandonPolicies(ctx context.Context, owner Owner) error {
	err := m.begin(ctx, OpAdoptPolicies)
	defer m.mu.Unlock()
	if err == nil {
		_, err = m.policies.Set(owner, nil)
	}
	return err
}

// InstalledPolicies implements [PolicyKeeper]. The numbers are those of the
// policies in the order of their installation.
func (m *Memory) InstalledPolicies(ctx context.Context) ([]InstalledPolicy, error) {
	err := m.begin(ctx, OpQuery)
	defer m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	var r []InstalledPolicy
	if m.table == nil {
		return nil, nil
	}
	for _, d := range []Direction{In, Out, Forward} {
		for _, e := range m.table.sorted(d) {
			if m.policies.Has(*e.policy) {
				r = append(r, InstalledPolicy{Policy: *e.policy, Direction: d, ID: uint32(e.rank.seq) + 1})
			}
		}
	}
	return r, nil
}
