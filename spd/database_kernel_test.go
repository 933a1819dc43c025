package spd_test

import (
	"context"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/pfkey/pfkeytest"
	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/xfrm"
	"github.com/racoon3/racoon/xfrm/xfrmtest"
)

// kernel is one in memory that outlives the data planes over it.
type kernel struct {
	name     string
	open     func(t *testing.T) spd.DataPlane // another program, which never closes
	policies func() int
	reqIDs   func() []uint32 // of outbound policies
	foreign  func(t *testing.T)
	// fail makes the n-th request about policies fail, and reports whether there
	// were so many.
	fail func(n int) (failed func() bool)
	// leaks reports whether the flow would leave in clear; watch looks after each
	// request, where the kernel lets one.
	leaks func() bool
	watch func() (leaked func() bool)
}

var dbFlow = spd.Flow{Src: netip.MustParseAddr("10.1.0.5"), Dst: netip.MustParseAddr("10.2.0.9"), Protocol: 6, SrcPort: 1234, DstPort: 80}

func xfrmKernel() *kernel {
	k := xfrmtest.NewKernel()
	caps := spd.MemoryCapabilities()
	caps.Name = "xfrm"
	return &kernel{
		name: "xfrm",
		open: func(t *testing.T) spd.DataPlane {
			p, err := xfrm.New(xfrm.Config{Capabilities: &caps, Dial: k.Dial})
			require.NoError(t, err)
			return p
		},
		policies: func() int { return len(k.Policies()) },
		reqIDs: func() (ids []uint32) {
			for _, p := range k.Policies() {
				if p.Dir == xfrm.DirOut && len(p.Templates) > 0 {
					ids = append(ids, p.Templates[0].ReqID)
				}
			}
			return ids
		},
		foreign: func(t *testing.T) {
			c, err := xfrm.NewClient(k.Dial)
			require.NoError(t, err)
			defer c.Close()
			require.NoError(t, c.SetPolicy(t.Context(), &xfrm.Policy{Selector: xfrm.Selector{Src: netip.MustParsePrefix("10.1.0.0/16"), Dst: netip.MustParsePrefix("10.9.0.0/16")}, Dir: xfrm.DirOut, Priority: 77}))
		},
		fail: func(n int) func() bool {
			var count atomic.Int32
			k.Do(func() {
				k.Fail = func(m xfrm.Message) xfrm.Errno {
					switch m.(type) {
					case *xfrm.NewPolicy, *xfrm.UpdPolicy, *xfrm.DelPolicy, *xfrm.DumpPolicy:
						if int(count.Add(1)) == n {
							return xfrm.ENOMEM
						}
					}
					return 0
				}
			})
			return func() bool { k.Do(func() { k.Fail = nil }); return int(count.Load()) >= n }
		},
		leaks: func() (v bool) { k.Do(func() { v = k.LookOut(dbFlow) == xfrmtest.Clear }); return v },
		watch: func() func() bool {
			leaked := false
			k.Do(func() {
				k.After = func(xfrm.Message, xfrm.Errno) { leaked = leaked || k.LookOut(dbFlow) == xfrmtest.Clear }
			})
			return func() bool { k.Do(func() { k.After = nil }); return leaked }
		},
	}
}

func pfkeyKernel(d *pfkey.Dialect) *kernel {
	k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: d})
	return &kernel{
		name: "pfkey " + d.String(),
		open: func(t *testing.T) spd.DataPlane {
			var clients [2]*pfkey.Client
			for i := range clients {
				c, err := pfkey.NewClient(k.Connect(), pfkey.ClientConfig{Dialect: d})
				require.NoError(t, err)
				clients[i] = c
			}
			p, err := pfkey.NewDataPlane(context.Background(), clients[0], pfkey.DataPlaneConfig{Events: clients[1]})
			require.NoError(t, err)
			return p
		},
		policies: func() int { return len(k.Policies()) },
		reqIDs: func() (ids []uint32) {
			for _, p := range k.Policies() {
				if p.Policy.Dir == pfkey.DirOut && len(p.Policy.Requests) > 0 {
					ids = append(ids, p.Policy.Requests[0].ReqID)
				}
			}
			return ids
		},
		foreign: func(t *testing.T) {
			c, err := pfkey.NewClient(k.Connect(), pfkey.ClientConfig{Dialect: d})
			require.NoError(t, err)
			defer c.Close()
			_, err = c.SPDUpdate(t.Context(), &pfkey.PolicyEntry{Src: netip.MustParsePrefix("10.1.0.0/16"), Dst: netip.MustParsePrefix("10.9.0.0/16"),
				Policy: pfkey.Policy{Type: pfkey.PolicyNone, Dir: pfkey.DirOut, Priority: 77}})
			require.NoError(t, err)
		},
		fail: func(n int) func() bool {
			var count atomic.Int32
			k.Fail(func(t pfkey.MsgType) pfkey.Errno {
				switch t {
				case pfkey.MsgSPDDump, pfkey.MsgSPDAdd, pfkey.MsgSPDUpdate, pfkey.MsgSPDDelete:
					if int(count.Add(1)) == n {
						return pfkey.ENOMEM
					}
				}
				return 0
			})
			return func() bool { k.Fail(nil); return int(count.Load()) >= n }
		},
		leaks: func() bool { v, _ := k.Packet(dbFlow, 0); return v == pfkeytest.Clear },
		watch: func() func() bool { return func() bool { return false } },
	}
}

func kernels() []func() *kernel {
	list := []func() *kernel{xfrmKernel}
	for _, d := range []*pfkey.Dialect{pfkey.Linux, pfkey.FreeBSD, pfkey.NetBSD, pfkey.MacOS} {
		list = append(list, func() *kernel { return pfkeyKernel(d) })
	}
	return list
}

func selectors(t testing.TB, s string) []spd.TrafficSelector {
	ts, err := spd.ParseTrafficSelector(s)
	require.NoError(t, err)
	return []spd.TrafficSelector{ts}
}

func tunnelRule(t testing.TB, name, remote string) spd.Rule {
	return spd.Rule{Name: name, Local: selectors(t, "10.1.0.0/16"), Remote: selectors(t, remote), Action: spd.ActionProtect, Priority: 1000,
		LocalAddr: netip.MustParseAddr("192.0.2.1"), RemoteAddr: netip.MustParseAddr("192.0.2.2")}
}

func discardRule(t testing.TB, name, remote string) spd.Rule {
	return spd.Rule{Name: name, Local: selectors(t, "10.1.0.0/16"), Remote: selectors(t, remote), Priority: 500}
}

// policyStore keeps what the databases of several lives install.
type policyStore map[spd.Policy]spd.StoredPolicy

func (s policyStore) Load() (r []spd.StoredPolicy, err error) {
	for _, p := range s {
		r = append(r, p)
	}
	return r, nil
}

func (s policyStore) Add(list []spd.StoredPolicy) error {
	for _, p := range list {
		s[p.Policy] = p
	}
	return nil
}

func (s policyStore) Remove(list []spd.Policy) error {
	for _, p := range list {
		delete(s, p)
	}
	return nil
}

func (k *kernel) live(t *testing.T, s spd.PolicyStore) (*spd.Database, spd.Restored, spd.DataPlane) {
	t.Helper()
	p := k.open(t)
	db := spd.NewDatabase(spd.DatabaseConfig{DataPlane: p, Store: s})
	r, err := db.Restore(t.Context())
	require.NoError(t, err, k.name)
	return db, r, p
}

func TestRestartOverKernels(t *testing.T) {
	for _, open := range kernels() {
		k, s := open(), policyStore{}
		k.foreign(t)
		db, _, _ := k.live(t, s)
		// In a list without priorities the discard has to come before the tunnel.
		require.NoError(t, db.Declare(t.Context(), []spd.Rule{tunnelRule(t, "a", "10.2.0.0/16"), discardRule(t, "b", "10.2.3.0/24"), tunnelRule(t, "stale", "10.4.0.0/16")}))
		_, err := db.Generate(t.Context(), tunnelRule(t, "g", "10.5.0.0/16"))
		require.NoError(t, err)
		n, ids := k.policies(), k.reqIDs()
		require.False(t, k.leaks(), k.name)
		installed, err := db.Installed(t.Context())
		require.NoError(t, err)
		require.Len(t, installed, n-1, "%s: all but the foreign one", k.name)

		// The process is gone; another one comes.
		leaked := k.watch()
		db, r, plane := k.live(t, s)
		require.Equal(t, spd.Restored{Declared: 6, Generated: 2}, r, k.name)
		require.Equal(t, n, k.policies(), k.name)
		require.Equal(t, ids, k.reqIDs(), k.name)
		again, err := db.Installed(t.Context())
		require.NoError(t, err)
		require.ElementsMatch(t, installed, again, "%s: names and numbers are known", k.name)

		a := tunnelRule(t, "a", "10.2.0.0/16")
		a.RemoteAddr = netip.MustParseAddr("192.0.2.3") // replaced in place
		require.NoError(t, db.Declare(t.Context(), []spd.Rule{discardRule(t, "b", "10.2.3.0/24"), a}))
		require.Equal(t, n-(n-1)/4, k.policies(), "%s: one of four rules is stale", k.name)
		require.NoError(t, db.DropOrphans(t.Context()))
		require.False(t, leaked(), k.name)
		require.False(t, k.leaks(), k.name)

		// An orderly end that leaves them, and then one that does not.
		left := k.policies()
		require.NoError(t, db.Close(t.Context(), true))
		require.NoError(t, plane.Close())
		require.Equal(t, left, k.policies(), k.name)
		db, r, plane = k.live(t, s)
		require.Equal(t, spd.Restored{Declared: 4}, r, k.name)
		require.NoError(t, db.Close(t.Context(), false))
		require.NoError(t, plane.Close())
		require.Equal(t, 1, k.policies(), "%s: what is not ours stays", k.name)
		require.Empty(t, s)
	}
}

// Another program has put its own policy in the place of one of ours: it is not
// ours any more, unless a rule wants its place.
func TestForeignPolicyIsNotAdopted(t *testing.T) {
	for _, open := range kernels() {
		k, s := open(), policyStore{}
		db, _, _ := k.live(t, s)
		r := discardRule(t, "x", "10.9.0.0/16")
		r.Direction = spd.OnlyOutbound
		require.NoError(t, db.Declare(t.Context(), []spd.Rule{r}))
		require.Equal(t, 1, k.policies())
		k.foreign(t)
		require.Equal(t, 1, k.policies(), "in its place")
		db, restored, plane := k.live(t, s)
		require.Equal(t, spd.Restored{Gone: 1}, restored, k.name)
		require.NoError(t, db.Declare(t.Context(), nil))
		require.NoError(t, plane.Close())
		require.Equal(t, 1, k.policies(), "%s: it is not ours to remove", k.name)
	}
}

// C20, C21: each request of a change after a restart fails once. Then nothing
// has changed, and the protected flow is never in clear.
func TestC21_DatabaseKernelFailures(t *testing.T) {
	for _, open := range kernels() {
		for n := 1; ; n++ {
			k, s := open(), policyStore{}
			db, _, _ := k.live(t, s)
			require.NoError(t, db.Declare(t.Context(), []spd.Rule{tunnelRule(t, "a", "10.2.0.0/16"), tunnelRule(t, "stale", "10.4.0.0/16")}))
			before := k.policies()

			leaked := k.watch()
			db = spd.NewDatabase(spd.DatabaseConfig{DataPlane: k.open(t), Store: s})
			failed := k.fail(n)
			_, err1 := db.Restore(t.Context())
			var err2 error
			a := tunnelRule(t, "a", "10.2.0.0/16")
			a.RemoteAddr = netip.MustParseAddr("192.0.2.3")
			if err1 == nil {
				err2 = db.Declare(t.Context(), []spd.Rule{a, discardRule(t, "b", "10.2.3.0/24")})
			}
			reached := failed()
			require.False(t, k.leaks(), "%s, request %d", k.name, n)
			if err1 != nil || err2 != nil {
				require.Equal(t, before, k.policies(), "%s, request %d: %v %v", k.name, n, err1, err2)
			}
			if err1 != nil {
				_, err1 = db.Restore(t.Context())
				require.NoError(t, err1, k.name)
			}
			require.NoError(t, db.Declare(t.Context(), []spd.Rule{a, discardRule(t, "b", "10.2.3.0/24")}), "%s, request %d: the next time it works", k.name, n)
			require.False(t, leaked(), "%s, request %d", k.name, n)
			require.NoError(t, db.Close(t.Context(), false))
			require.Zero(t, k.policies(), "%s, request %d", k.name, n)
			if !reached {
				require.Greater(t, n, 4)
				break
			}
		}
	}
}
