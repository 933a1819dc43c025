package daemon

import (
	"context"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd"
)

// sharedKernel is a kernel in which others set policies too.
type sharedKernel struct {
	*spd.Memory
	foreign  []spd.Policy
	acquires map[spd.AcquireID]uint32
	reqIDs   map[spd.SPI]uint32 // of installed SAs
	asked    uint32             // ReqID of the last SPI
	set      map[spd.Owner][]spd.Policy
}

func newSharedKernel() *sharedKernel {
	return &sharedKernel{Memory: spd.NewMemory(spd.MemoryConfig{}), acquires: map[spd.AcquireID]uint32{}, reqIDs: map[spd.SPI]uint32{}, set: map[spd.Owner][]spd.Policy{}}
}

func (k *sharedKernel) ForeignPolicies(context.Context) ([]spd.InstalledPolicy, error) {
	list := make([]spd.InstalledPolicy, len(k.foreign))
	for i, p := range k.foreign {
		list[i] = spd.InstalledPolicy{Policy: p, Direction: p.Direction, ID: uint32(i) + 1}
	}
	return list, nil
}

func (k *sharedKernel) AcquireReqID(id spd.AcquireID) (uint32, bool) {
	r, ok := k.acquires[id]
	return r, ok
}

func (k *sharedKernel) AllocSPI(ctx context.Context, r spd.SPIRequest) (spd.SPI, error) {
	k.asked = r.ReqID
	r.Acquire = 0
	return k.Memory.AllocSPI(ctx, r)
}

func (k *sharedKernel) InstallInbound(ctx context.Context, b *spd.Bundle) error {
	k.reqIDs[b.SAs[0].SPI] = b.ReqID
	return k.Memory.InstallInbound(ctx, b)
}

func (k *sharedKernel) InstallOutbound(ctx context.Context, b *spd.Bundle) error {
	k.reqIDs[b.SAs[0].SPI] = b.ReqID
	return k.Memory.InstallOutbound(ctx, b)
}

func (k *sharedKernel) SetPolicies(ctx context.Context, o spd.Owner, list []spd.Policy) error {
	k.set[o] = list
	return k.Memory.SetPolicies(ctx, o, list)
}

// both are a Child SA's policies.
func both(t *testing.T, remote string) []spd.Policy {
	out := policy(t, remote)
	in := out
	in.Direction = spd.In
	return []spd.Policy{out, in}
}

// unique are another program's of the same traffic, of another ReqID.
func unique(t *testing.T, remote string, reqID uint32) []spd.Policy {
	list := both(t, remote)
	for i := range list {
		list[i].ReqID, list[i].Priority = reqID, 1<<20
	}
	return list
}

// A policy of level require has no ReqID, as racoon2's spmd and setkey install them
// without further words, and finds in Linux an outbound SA without one only: with
// another one each packet asks for one SA more, and none leaves.
func TestFollowingRequire(t *testing.T) {
	ctx := t.Context()
	k := newSharedKernel()
	p := newFollowingPlane(k, k, true, nil)
	k.foreign = unique(t, "10.2.0.0/16", 0)
	for _, spi := range []spd.SPI{0x1001, 0x1002} { // and its rekey
		require.NoError(t, p.InstallInbound(ctx, bundle(t, spi)))
		require.NoError(t, p.InstallOutbound(ctx, bundle(t, spi+0x1000)))
		require.NoError(t, p.SetPolicies(ctx, 1, both(t, "10.2.0.0/16")))
		require.EqualValues(t, 7, k.reqIDs[spi], "any will do")
		require.Zero(t, k.reqIDs[spi+0x1000])
		require.Empty(t, k.set[1])
	}
	// Its successor finds other policies.
	k.foreign = unique(t, "10.2.0.0/16", 8200)
	require.NoError(t, p.InstallOutbound(ctx, bundle(t, 0x2003)))
	require.EqualValues(t, 8200, k.reqIDs[0x2003])
	// And none.
	k.foreign = nil
	require.NoError(t, p.InstallOutbound(ctx, bundle(t, 0x2004)))
	require.EqualValues(t, 7, k.reqIDs[0x2004])
}

// TestFollowing: with the policies of another program, a Child SA has its SAs with
// the ReqID of the policies that lead to them and no policies of its own, through
// rekeys, and also if the others' go. What nobody has a policy for has its own.
func TestFollowing(t *testing.T) {
	ctx := t.Context()
	k := newSharedKernel()
	p := newFollowingPlane(k, k, true, nil)
	k.foreign = append(unique(t, "0.0.0.0/0", 8200), unique(t, "10.2.0.0/16", 8201)...)
	ordered := append(unique(t, "10.2.5.0/24", 8199), k.foreign...) // the narrower first, as a kernel has them

	k.foreign = ordered
	require.NoError(t, p.SetPolicies(ctx, 9, []spd.Policy{{Direction: spd.Out, Selector: policy(t, "10.9.0.0/16").Selector, Action: spd.ActionTrap}}))
	require.Empty(t, k.set[9], "traps are the others' business")

	require.NoError(t, p.InstallInbound(ctx, bundle(t, 0x1001)))
	require.NoError(t, p.InstallOutbound(ctx, bundle(t, 0x2001)))
	require.NoError(t, p.SetPolicies(ctx, 1, both(t, "10.2.0.0/16")))
	require.EqualValues(t, 8200, k.reqIDs[0x1001], "the first that has all packets")
	require.EqualValues(t, 8200, k.reqIDs[0x2001])
	require.Empty(t, k.set[1])

	// A rekey: as before, though another policy comes first now.
	k.foreign = append(unique(t, "10.2.0.0/16", 8201), ordered...)
	_, err := p.AllocSPI(ctx, spd.SPIRequest{Protocol: spd.ProtoESP, Local: netip.MustParseAddr("192.0.2.1"), Remote: netip.MustParseAddr("192.0.2.2"), ReqID: 7})
	require.NoError(t, err)
	require.EqualValues(t, 8200, k.asked)
	require.NoError(t, p.InstallInbound(ctx, bundle(t, 0x1002)))
	require.NoError(t, p.InstallOutbound(ctx, bundle(t, 0x2002)))
	require.EqualValues(t, 8200, k.reqIDs[0x2002])

	// The others take their policies away: that is theirs to decide.
	k.foreign = nil
	require.NoError(t, p.SetPolicies(ctx, 1, both(t, "10.2.0.0/16")))
	require.Empty(t, k.set[1])
	for _, spi := range []spd.SPI{0x1001, 0x2001, 0x1002, 0x2002} {
		b, d := bundle(t, spi), spd.In
		if spi >= 0x2000 {
			d = spd.Out
		}
		_, err := p.Remove(ctx, b.ID(d, 0))
		require.NoError(t, err)
	}
	require.NoError(t, p.SetPolicies(ctx, 1, nil))
	require.Empty(t, p.lines)
	require.Empty(t, p.lineOf)
	require.Empty(t, p.led)

	// Nobody has a policy.
	require.NoError(t, p.InstallInbound(ctx, bundle(t, 0x1003)))
	require.NoError(t, p.SetPolicies(ctx, 1, both(t, "10.2.0.0/16")))
	require.EqualValues(t, 7, k.reqIDs[0x1003])
	require.Equal(t, both(t, "10.2.0.0/16"), k.set[1])

	// Somebody has one that leads elsewhere, in the same place.
	bypass := policy(t, "10.3.0.0/16")
	bypass.Action = spd.ActionBypass
	k.foreign = []spd.Policy{bypass}
	err = p.SetPolicies(ctx, 2, both(t, "10.3.0.0/16"))
	require.ErrorIs(t, err, errOccupied)
	require.ErrorIs(t, err, spd.ErrPolicy)
	require.Empty(t, k.set[2])
}

// TestFollowingAcquire: SAs that a packet has asked for are those of the policy
// that the packet met.
func TestFollowingAcquire(t *testing.T) {
	ctx := t.Context()
	k := newSharedKernel()
	p := newFollowingPlane(k, k, true, nil)
	k.foreign = append(unique(t, "10.2.0.0/16", 8200), unique(t, "10.2.5.0/24", 8199)...)
	k.acquires[5] = 8199
	spi, err := p.AllocSPI(ctx, spd.SPIRequest{Protocol: spd.ProtoESP, Local: netip.MustParseAddr("192.0.2.1"), Remote: netip.MustParseAddr("192.0.2.2"), ReqID: 7, Acquire: 5})
	require.NoError(t, err)
	require.EqualValues(t, 8199, k.asked)
	require.NoError(t, p.InstallInbound(ctx, bundle(t, spi)))
	require.NoError(t, p.InstallOutbound(ctx, bundle(t, 0x2001)))
	require.EqualValues(t, 8199, k.reqIDs[spi])
	require.EqualValues(t, 8199, k.reqIDs[0x2001])
	require.Empty(t, p.asked)
}

// TestFollowingOwn: a policy of the configuration that wants SAs of its own gets
// them, and the Child SA's own policies fit them too.
func TestFollowingOwn(t *testing.T) {
	ctx := t.Context()
	k := newSharedKernel()
	own := unique(t, "0.0.0.0/0", 8192)
	own[0].Action = spd.ActionTrap
	p := newFollowingPlane(k, nil, false, func() []spd.Policy { return own })
	require.NoError(t, p.InstallInbound(ctx, bundle(t, 0x1001)))
	require.NoError(t, p.InstallOutbound(ctx, bundle(t, 0x2001)))
	require.NoError(t, p.SetPolicies(ctx, 1, both(t, "10.2.0.0/16")))
	require.EqualValues(t, 8192, k.reqIDs[0x1001])
	require.EqualValues(t, 8192, k.reqIDs[0x2001])
	require.Len(t, k.set[1], 2)
	for _, pol := range k.set[1] {
		require.EqualValues(t, 8192, pol.ReqID)
	}
	other := bundle(t, 0x2002) // of another protocol than the policy wants
	other.ReqID = 8
	own[0].Protocol, own[1].Protocol = spd.ProtoAH, spd.ProtoAH
	require.NoError(t, p.InstallOutbound(ctx, other))
	require.EqualValues(t, 8, k.reqIDs[0x2002])
}
