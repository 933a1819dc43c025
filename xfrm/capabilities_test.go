package xfrm_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/xfrm"
	"github.com/racoon3/racoon/xfrm/xfrmtest"
)

func TestCapabilities(t *testing.T) {
	k := xfrmtest.NewKernel()
	k.Lacks = func(name string) bool {
		return name == "rfc7539esp(chacha20,poly1305)" || name == "hmac(sha256)" || name == "deflate"
	}
	k.Ignores = []xfrm.AttributeType{xfrm.AttrInterfaceID, xfrm.AttrCPU, xfrm.AttrSecCtx}
	p := openFake(t, k, xfrm.Config{})
	require.Empty(t, k.SAs())
	c := p.Capabilities()
	require.True(t, c.Supports(spd.ProtoESP, gcm128))
	require.True(t, c.Supports(spd.ProtoESP, spd.Transform{Type: spd.TransformENCR, ID: spd.EncrAESCBC, KeyLen: 256}))
	require.False(t, c.Supports(spd.ProtoESP, spd.Transform{Type: spd.TransformENCR, ID: spd.EncrChaCha20Poly1305}))
	require.False(t, c.Supports(spd.ProtoAH, spd.Transform{Type: spd.TransformINTEG, ID: spd.IntegHMACSHA256_128}))
	require.Empty(t, c.IPComp)
	require.False(t, c.InterfaceIDs || c.PerCPU || c.SecurityLabels)
	b := gateway(0x1001)
	b.Options.InterfaceID = 1
	require.ErrorIs(t, p.InstallInbound(ctx, b), spd.ErrUnsupported)

	k = xfrmtest.NewKernel()
	k.Lacks = func(string) bool { return true }
	_, err := xfrm.New(xfrm.Config{Dial: k.Dial})
	require.ErrorIs(t, err, spd.ErrUnsupported)
	require.Zero(t, k.Conns())
	k = xfrmtest.NewKernel()
	k.Fail = func(xfrm.Message) xfrm.Errno { return xfrm.EPERM }
	_, err = xfrm.New(xfrm.Config{Dial: k.Dial})
	require.ErrorContains(t, err, "CAP_NET_ADMIN")
}

// TestOptions: what the kernel has no means for is refused.
func TestOptions(t *testing.T) {
	k, p := newFake(t)
	for _, f := range []func(*spd.Options){
		func(o *spd.Options) { o.MTU = 1400 }, func(o *spd.Options) { o.Fragment = 1400 }, func(o *spd.Options) { o.DF = spd.DFSet },
		func(o *spd.Options) { o.Offload = "no such device" },
	} {
		b := gateway(0x1001)
		f(&b.Options)
		require.ErrorIs(t, p.InstallOutbound(ctx, b), spd.ErrUnsupported)
	}
	require.Empty(t, k.SAs())
	b := gateway(0x1001)
	b.Options = spd.Options{NoECN: true, NoDSCP: true, DF: spd.DFClear, TFCPadding: 1200, MarkOut: spd.Mark{Value: 0xff, Mask: 0xf0}, OutputMark: spd.Mark{Value: 3, Mask: 7},
		InterfaceID: 5, SecurityCtx: "label"}
	require.NoError(t, p.InstallOutbound(ctx, b))
	sa := k.SAs()[0]
	require.Equal(t, xfrm.FlagNoECN|xfrm.FlagNoPMTUDisc, sa.Flags)
	require.Equal(t, xfrm.ExtraNoDSCP, sa.ExtraFlags)
	require.EqualValues(t, 1200, sa.TFCPad)
	require.Equal(t, xfrm.Mark{Value: 0xf0, Mask: 0xf0}, sa.Mark)
	require.Equal(t, xfrm.Mark{Value: 3, Mask: 7}, sa.SetMark)
	require.EqualValues(t, 5, sa.InterfaceID)
	require.Equal(t, "label", sa.SecCtx.Label)
	_, err := p.Query(ctx, b.ID(spd.Out, 0))
	require.NoError(t, err)
	_, err = p.Remove(ctx, b.ID(spd.Out, 0))
	require.NoError(t, err)
}
