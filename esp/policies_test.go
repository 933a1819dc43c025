package esp

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd"
)

// TestPolicies: actions, owners and precedence.
func TestPolicies(t *testing.T) {
	p := newPair(t)
	packet := udp("10.1.0.1:1", "10.2.0.2:2", 8)
	bypass := spd.Policy{Direction: spd.Out, Action: spd.ActionBypass, Priority: 0, Selector: spd.Selector{
		Local: spd.FromAddr(netip.MustParseAddr("10.1.0.1")), Remote: spd.FromAddr(netip.MustParseAddr("10.2.0.2"))}}
	require.NoError(t, p.a.SetPolicies(t.Context(), 2, []spd.Policy{bypass}))
	require.NoError(t, p.a.SetPolicies(t.Context(), 3, []spd.Policy{bypass, bypass}))
	require.Empty(t, p.a.send(packet))
	require.Len(t, p.a.batch.Bypass, 1)
	require.NoError(t, p.a.SetPolicies(t.Context(), 2, nil))
	require.Empty(t, p.a.send(packet), "another owner wants it still")
	require.NoError(t, p.a.SetPolicies(t.Context(), 3, nil))
	require.Len(t, p.a.send(packet), 1)
	require.Error(t, p.a.SetPolicies(t.Context(), 1, []spd.Policy{{}}))
	require.Len(t, p.a.send(packet), 1, "a failed change changes nothing")

	marked := bypass
	marked.Mark = spd.Mark{Value: 1, Mask: 1}
	err := p.a.SetPolicies(t.Context(), 1, []spd.Policy{marked})
	require.ErrorIs(t, err, spd.ErrUnsupported, "it would never match")
	require.ErrorContains(t, err, "policies[0]")
	require.Len(t, p.a.send(packet), 1)

	// What no policy speaks of is discarded, and so is what is no IP packet.
	require.Empty(t, p.a.send(udp("10.1.0.1:1", "8.8.8.8:53", 8)))
	require.Empty(t, p.a.batch.Bypass)
	require.EqualValues(t, 1, p.a.Stats().Discarded)
	require.Empty(t, p.a.send(nil, []byte{0x45}, packet[:20], make([]byte, 60)))
	require.EqualValues(t, 4, p.a.Stats().Malformed)

	require.False(t, p.b.AcceptsClear(packet), "policy wants it protected")
	require.False(t, p.b.AcceptsClear(udp("8.8.8.8:53", "10.2.0.2:9", 8)))
	require.NoError(t, p.b.SetPolicies(t.Context(), 9, []spd.Policy{{Direction: spd.In, Action: spd.ActionBypass,
		Selector: spd.Selector{Local: p.b.nets[0], Remote: spd.AnyIPv4}, Priority: 5}}))
	require.True(t, p.b.AcceptsClear(udp("8.8.8.8:53", "10.2.0.2:9", 8)))
	require.False(t, p.b.AcceptsClear(packet))
	require.False(t, p.b.AcceptsClear(nil))
}
