package pfkey_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/pfkey/pfkeytest"
	"github.com/racoon3/racoon/spd"
)

// memoryDisplaced is a store that outlives a data plane.
type memoryDisplaced map[string][]byte

func (m memoryDisplaced) Load() (map[string][]byte, error) { return m, nil }
func (m memoryDisplaced) Put(place string, content []byte) error {
	m[place] = content
	return nil
}
func (m memoryDisplaced) Remove(place string) error { delete(m, place); return nil }

// TestDisplaced: where an administrator has set policies of the selectors of a
// Child SA, the Child SA's are there for as long as it lives, and those of the
// administrator before and after, without a moment without one; after a crash
// too. What the administrator sets meanwhile stays.
func TestDisplaced(t *testing.T) {
	each(t, func(t *testing.T, d *pfkey.Dialect) {
		ctx := t.Context()
		foreign := func(t *testing.T) (*pfkeytest.Kernel, func(reqID uint32)) {
			k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: d})
			setkey := newClient(t, k, pfkey.ClientConfig{Dialect: d, PID: 77})
			return k, func(reqID uint32) {
				out := pfkey.PolicyEntry{Src: net1, Dst: net2, Policy: pfkey.Policy{Type: pfkey.PolicyIPsec, Dir: pfkey.DirOut, Requests: []pfkey.Request{
					{Proto: pfkey.IPProtoESP, Mode: pfkey.ModeTunnel, Level: pfkey.LevelUnique, ReqID: reqID, Src: pfkey.SockAddr{Addr: addrA}, Dst: pfkey.SockAddr{Addr: addrB}}}}}
				in := pfkey.PolicyEntry{Src: net2, Dst: net1, Policy: pfkey.Policy{Type: pfkey.PolicyIPsec, Dir: pfkey.DirIn, Requests: []pfkey.Request{
					{Proto: pfkey.IPProtoESP, Mode: pfkey.ModeTunnel, Level: pfkey.LevelUnique, ReqID: reqID, Src: pfkey.SockAddr{Addr: addrB}, Dst: pfkey.SockAddr{Addr: addrA}}}}}
				for _, e := range []*pfkey.PolicyEntry{&out, &in} {
					_, err := setkey.SPDUpdate(ctx, e)
					require.NoError(t, err)
				}
			}
		}
		reqIDs := func(k *pfkeytest.Kernel) map[pfkey.Dir]uint32 {
			m := map[pfkey.Dir]uint32{}
			for _, e := range k.Policies() {
				m[e.Policy.Dir] = e.Policy.Requests[0].ReqID
			}
			return m
		}
		theirs := func(reqID uint32) map[pfkey.Dir]uint32 {
			return map[pfkey.Dir]uint32{pfkey.DirOut: reqID, pfkey.DirIn: reqID}
		}
		for _, end := range []string{"removed", "closed"} {
			t.Run(end, func(t *testing.T) {
				k, set := foreign(t)
				set(99)
				p := newPlane(t, k, d, pfkey.DataPlaneConfig{})
				list, err := p.ForeignPolicies(ctx)
				require.NoError(t, err)
				want := childPolicies(99)
				want[0].Action = spd.ActionTrap
				found := make([]spd.Policy, len(list))
				for i := range list {
					require.NotZero(t, list[i].ID)
					found[i] = list[i].Policy
					found[i].Priority = 1000
				}
				require.ElementsMatch(t, want, found)
				require.NoError(t, p.SetPolicies(ctx, 1, childPolicies(7)))
				require.EqualValues(t, 7, reqIDs(k)[pfkey.DirOut])
				list, err = p.ForeignPolicies(ctx)
				require.NoError(t, err)
				require.Empty(t, list)
				_, _ = k.Packet(flowOut, 100)
				if end == "removed" {
					require.NoError(t, p.SetPolicies(ctx, 1, nil))
				} else {
					require.NoError(t, p.Close())
				}
				require.Equal(t, theirs(99), reqIDs(k))
			})
		}
		t.Run("after a crash", func(t *testing.T) {
			k, set := foreign(t)
			set(99)
			store := memoryDisplaced{}
			p := newPlane(t, k, d, pfkey.DataPlaneConfig{Displaced: store})
			require.NoError(t, p.SetPolicies(ctx, 1, childPolicies(7)))
			require.Len(t, store, 2)
			p = newPlane(t, k, d, pfkey.DataPlaneConfig{Displaced: store}) // the next life
			adopted, err := p.AdoptPolicies(ctx, 1, childPolicies(7))
			require.NoError(t, err)
			require.Len(t, adopted, 2)
			require.NoError(t, p.SetPolicies(ctx, 1, nil))
			require.Equal(t, theirs(99), reqIDs(k))
			require.Empty(t, store)
		})
		t.Run("changed meanwhile", func(t *testing.T) {
			k, set := foreign(t)
			set(99)
			p := newPlane(t, k, d, pfkey.DataPlaneConfig{})
			require.NoError(t, p.SetPolicies(ctx, 1, childPolicies(7)))
			set(55)
			require.NoError(t, p.SetPolicies(ctx, 1, nil))
			require.Equal(t, theirs(55), reqIDs(k))
		})
	})
}

// TestForeignReqID: an SA for a policy of a kernel's own number gets that number,
// which no policy of this data plane's could have.
func TestForeignReqID(t *testing.T) {
	k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: pfkey.Linux})
	setkey := newClient(t, k, pfkey.ClientConfig{Dialect: pfkey.Linux, PID: 77})
	_, err := setkey.SPDAdd(t.Context(), &pfkey.PolicyEntry{Src: net1, Dst: net2, Policy: pfkey.Policy{Type: pfkey.PolicyIPsec, Dir: pfkey.DirOut, Requests: []pfkey.Request{
		{Proto: pfkey.IPProtoESP, Mode: pfkey.ModeTunnel, Level: pfkey.LevelUnique, Src: pfkey.SockAddr{Addr: addrA}, Dst: pfkey.SockAddr{Addr: addrB}}}}})
	require.NoError(t, err)
	p := newPlane(t, k, pfkey.Linux, pfkey.DataPlaneConfig{})
	list, err := p.ForeignPolicies(t.Context())
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Greater(t, list[0].Policy.ReqID, uint32(pfkey.MaxReqID))
	require.NoError(t, p.InstallOutbound(t.Context(), tunnel(t, anySuite, 0x1001, list[0].Policy.ReqID)))
	v, _ := k.Packet(flowOut, 100)
	require.Equal(t, pfkeytest.Protect, v)
}
