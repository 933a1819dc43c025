package ikev1

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

func bundles(m *spd.Memory, d spd.Direction) (all []spd.Installed) {
	for _, b := range m.Bundles() {
		if b.Direction == d {
			all = append(all, b)
		}
	}
	return all
}

// IPComp within ESP within AH, negotiated in one Quick Mode: three SAs in each
// direction with SPIs and keys of their own, the same on both sides; packets go
// through all of them, a rekey replaces all, a Delete takes all away.
func TestBundleOfThree(t *testing.T) {
	p := childPair(t, func(a, b *Peer) {
		for _, c := range []*ike.ChildConfig{a.Children[0], b.Children[0]} {
			c.Proposals, c.Outer, c.IPComp = proposals(spd.ProtoESP, "aes128-sha256-ecp256"), proposals(spd.ProtoAH, "sha512"), true
		}
	})
	p.initiate()
	order := []spd.Protocol{spd.ProtoIPComp, spd.ProtoESP, spd.ProtoAH}
	check := func() (spis []spd.SPI) {
		t.Helper()
		p.delivers(inner)
		for _, d := range []struct{ from, to *spd.Memory }{{p.pa, p.pb}, {p.pb, p.pa}} {
			out, in := bundles(d.from, spd.Out), bundles(d.to, spd.In)
			require.Len(t, out, 1)
			require.Len(t, in, 1)
			require.Len(t, out[0].Bundle.SAs, 3)
			for i, sa := range out[0].Bundle.SAs {
				twin := in[0].Bundle.SAs[i]
				require.Equal(t, order[i], sa.Protocol)
				require.Equal(t, sa.SPI, twin.SPI)
				require.Equal(t, sa.EncrKey, twin.EncrKey)
				require.Equal(t, sa.IntegKey, twin.IntegKey)
				require.Equal(t, map[bool]spd.Mode{true: spd.ModeTunnel, false: spd.ModeTransport}[i == 0], sa.Mode, "%v", sa.Protocol)
				spis = append(spis, sa.SPI)
			}
			require.Empty(t, out[0].Bundle.SAs[0].IntegKey)
			require.Len(t, out[0].Bundle.SAs[1].EncrKey, 16)
			require.Len(t, out[0].Bundle.SAs[1].IntegKey, 32)
			require.Len(t, out[0].Bundle.SAs[2].IntegKey, 64)
		}
		return spis
	}
	before := check()
	s := only(t, p.a)
	require.True(t, s.Children.All()[0].Info.IPComp)
	require.NoError(t, p.a.RekeyChild(p.now, s.ID, s.Children.All()[0].Info.ID))
	p.advance(time.Minute)
	for i, spi := range check() {
		require.NotEqual(t, before[i], spi)
	}
	require.NoError(t, p.a.Delete(p.now, s.ID, ike.DownLocal))
	p.advance(2 * time.Minute)
	require.Empty(t, p.pa.SAs())
	p.requireNothingLeft()
}
