package pfkey_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/pfkey/pfkeytest"
	"github.com/racoon3/racoon/spd"
)

// NetBSD's GET and DELETE do not see the SAs of a second Child SA between the same
// hosts. They are counted and removed all the same, whatever their algorithms.
func TestNetBSDHiddenSAs(t *testing.T) {
	ctx := t.Context()
	k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: pfkey.NetBSD, FirstHead: true})
	p := newPlane(t, k, pfkey.NetBSD, pfkey.DataPlaneConfig{})
	var ids []spd.SAID
	for i, suite := range []string{anySuite, "aes128gcm16", "null-sha1", anySuite} {
		reqID := uint32(10 + i)
		spi, err := p.AllocSPI(ctx, spd.SPIRequest{Protocol: spd.ProtoESP, Local: addrA, Remote: addrB, ReqID: reqID})
		require.NoError(t, err)
		in, out := tunnel(t, suite, spi, reqID), tunnel(t, suite, spd.SPI(0x9000+i), reqID)
		in.UDPEncap, out.UDPEncap = i == 3, i == 3
		require.NoError(t, p.InstallInbound(ctx, in))
		require.NoError(t, p.InstallOutbound(ctx, out))
		ids = append(ids, in.ID(spd.In, 0), out.ID(spd.Out, 0))
	}
	require.Len(t, k.SAs(), len(ids))
	for _, id := range ids {
		_, err := p.Query(ctx, id)
		require.NoError(t, err, "%v", id)
	}
	key := k.SAs()[7].EncryptKey.Clone()
	for i := len(ids) - 1; i >= 0; i-- {
		_, err := p.Remove(ctx, ids[i])
		require.NoError(t, err, "%v", ids[i])
		if i == 7 {
			require.NotEqual(t, key, k.SAs()[7].EncryptKey, "it cannot be used any more, as far as it is there")
		}
	}
	k.Advance(2 * time.Second)
	require.Empty(t, k.SAs())

	c := p.Client()
	require.ErrorIs(t, c.Delete(ctx, pfkey.SAKey{Type: pfkey.SATypeESP, SPI: 0x9999, Src: addrA, Dst: addrB}), pfkey.ENOENT)
	_, err := c.Get(ctx, pfkey.SAKey{Type: pfkey.SATypeESP, SPI: 0x9999, Src: addrA, Dst: addrB})
	require.ErrorIs(t, err, pfkey.ENOENT)
}

// Where a hard limit counts only after a soft one, each SA has both: one whose
// daemon has died ends.
func TestHardLimitsWithoutSoftOnes(t *testing.T) {
	each(t, func(t *testing.T, d *pfkey.Dialect) {
		k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: d})
		p := newPlane(t, k, d, pfkey.DataPlaneConfig{})
		out := tunnel(t, anySuite, 0x9000, 3)
		out.Lifetime = spd.Lifetime{HardTime: time.Minute}
		require.NoError(t, p.InstallOutbound(t.Context(), out))
		require.NoError(t, p.SetPolicies(t.Context(), 1, childPolicies(3)))
		_, _ = k.Packet(flowOut, 100)
		k.Advance(59 * time.Second)
		require.Len(t, k.SAs(), 1)
		k.Advance(2 * time.Second)
		k.Advance(time.Second)
		require.Empty(t, k.SAs())
	})
}
