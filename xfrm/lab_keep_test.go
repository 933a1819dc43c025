//go:build linux

package xfrm_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/xfrm"
)

// keptStore remembers policies over the lives of databases.
type keptStore map[spd.Policy]spd.StoredPolicy

func (s keptStore) Load() (r []spd.StoredPolicy, err error) {
	for _, p := range s {
		r = append(r, p)
	}
	return r, nil
}

func (s keptStore) Add(list []spd.StoredPolicy) error {
	for _, p := range list {
		s[p.Policy] = p
	}
	return nil
}

func (s keptStore) Remove(list []spd.Policy) error {
	for _, p := range list {
		delete(s, p)
	}
	return nil
}

// A program is killed and started again: its policies in the kernel are taken
// up, those of another program are left.
func testLabAdoptsPolicies(t *testing.T) {
	ns := lab.NewNamespace(t, "keep")
	ns.Run("ip", "xfrm", "policy", "add", "src", "10.50.0.0/16", "dst", "10.60.0.0/16", "dir", "out", "priority", "5")
	store := keptStore{}
	policies := func() string { return ns.Run("ip", "xfrm", "policy") }
	open := func() (*spd.Database, spd.Restored) {
		// Neither is ever closed, as where a process is killed.
		var p *xfrm.DataPlane
		var err error
		ns.Do(func() { p, err = xfrm.New(xfrm.Config{Capabilities: fakeCapabilities()}) })
		require.NoError(t, err)
		db := spd.NewDatabase(spd.DatabaseConfig{DataPlane: p, Store: store})
		r, err := db.Restore(t.Context())
		require.NoError(t, err)
		return db, r
	}
	rule := func(name, remote string) spd.Rule {
		return spd.Rule{Name: name, Local: []spd.TrafficSelector{spd.FromPrefix(prefix("10.1.0.0/16"))}, Remote: []spd.TrafficSelector{spd.FromPrefix(netip.MustParsePrefix(remote))},
			Action: spd.ActionProtect, Priority: 1000, LocalAddr: addr("192.0.2.1"), RemoteAddr: addr("192.0.2.2")}
	}
	bundle := rule("bundle", "10.7.0.0/16")
	bundle.Protocols, bundle.Level = []spd.Protocol{spd.ProtoIPComp, spd.ProtoESP}, spd.LevelUse
	discard := rule("discard", "10.8.0.0/16")
	discard.Action = spd.ActionDiscard
	db, _ := open()
	require.NoError(t, db.Declare(t.Context(), []spd.Rule{rule("a", "10.2.0.0/16"), bundle, discard, rule("stale", "10.9.0.0/16")}))
	before := policies()
	require.Equal(t, 13, strings.Count(before, "priority"), before)

	db, r := open()
	require.Equal(t, spd.Restored{Declared: 8}, r)
	require.Equal(t, before, policies(), "nothing was touched")
	require.NoError(t, db.Declare(t.Context(), []spd.Rule{rule("a", "10.2.0.0/16"), bundle, discard}))
	after := policies()
	require.Equal(t, 10, strings.Count(after, "priority"), after)
	require.NotContains(t, after, "10.9.0.0/16")
	require.Contains(t, after, "proto comp")
	list, err := db.Installed(t.Context())
	require.NoError(t, err)
	require.Len(t, list, 9)
	name, ok, err := db.NameOf(t.Context(), list[0].ID)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, list[0].Name, name)
	require.NoError(t, db.Close(t.Context(), false))
	require.Equal(t, 1, strings.Count(policies(), "priority"), "what is not ours stays: %s", policies())
}
