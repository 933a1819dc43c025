package xfrm_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/xfrm"
)

// TestInstallBundleFamilies: the kernel finds no SA around a tunnel whose inner
// packets are of another family, so such a bundle is refused.
func TestInstallBundleFamilies(t *testing.T) {
	_, p := newFake(t)
	b := gateway(0x1001)
	b.SAs = append([]spd.SA{{Protocol: spd.ProtoIPComp, SPI: 0x1001, Mode: spd.ModeTunnel, Encryption: spd.Transform{Type: spd.TransformENCR, ID: 2}}}, b.SAs...)
	require.NoError(t, p.InstallOutbound(ctx, b))
	b = gateway(0x1002)
	b.LocalTS, b.RemoteTS = []spd.TrafficSelector{spd.AnyIPv6}, []spd.TrafficSelector{spd.AnyIPv6}
	require.NoError(t, p.InstallOutbound(ctx, b), "a tunnel alone")
	b.SAs = append([]spd.SA{{Protocol: spd.ProtoIPComp, SPI: 0x1003, Mode: spd.ModeTunnel, Encryption: spd.Transform{Type: spd.TransformENCR, ID: 2}}}, b.SAs...)
	require.ErrorIs(t, p.InstallOutbound(ctx, b), spd.ErrUnsupported)
}

// TestInstallAHPadding: AH has 32-bit boundaries over IPv4 (RFC 4302 3.3.3.2.1).
func TestInstallAHPadding(t *testing.T) {
	k, p := newFake(t)
	b := gateway(0x1001)
	proposal, err := spd.ParseProposal(spd.ProtoAH, "sha256")
	require.NoError(t, err)
	integ, _ := proposal.Get(spd.TransformINTEG)
	b.SAs = []spd.SA{{Protocol: spd.ProtoAH, SPI: 0x1001, Mode: spd.ModeTunnel, Integrity: integ, IntegKey: make(spd.Key, integ.KeymatLen())}}
	require.NoError(t, p.InstallOutbound(ctx, b))
	require.NotZero(t, k.SAs()[0].Flags&xfrm.FlagAlign4)
}
