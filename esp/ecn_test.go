package esp

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd"
)

// TestTOS: DSCP and ECN go to the outer header, congestion marks come back
// (RFC 4301 5.1.2, RFC 6040 figures 3 and 4), DF as configured (RFC 4301 8.1).
func TestTOS(t *testing.T) {
	inner4, inner6 := udp("10.1.0.1:1", "10.2.0.2:2", 50), udp("[2001:db8:1::1]:1", "[2001:db8:2::2]:2", 50)
	p := newPair(t)
	for tos := range 256 {
		for _, packet := range [][]byte{withTOS(inner4, uint8(tos)), withTOS(inner6, uint8(tos))} {
			ds := p.a.send(packet)
			require.EqualValues(t, tos, ds[0].TOS)
			require.Equal(t, [][]byte{packet}, p.b.receive(ds...))
		}
	}
	const drop = 255
	for inner, row := range [4][4]uint8{ // outer Not-ECT, ECT(1), ECT(0), CE
		ecnNotECT: {ecnNotECT, ecnNotECT, ecnNotECT, drop},
		ecnECT1:   {ecnECT1, ecnECT1, ecnECT1, ecnCE},
		ecnECT0:   {ecnECT0, ecnECT1, ecnECT0, ecnCE},
		ecnCE:     {ecnCE, ecnCE, ecnCE, ecnCE},
	} {
		for outer, want := range row {
			for _, packet := range [][]byte{inner4, inner6} {
				ds := p.a.send(withTOS(packet, 0xb8|uint8(inner)))
				ds[0].TOS = uint8(outer)
				got := p.b.receive(ds...)
				if want == drop {
					require.Empty(t, got)
					continue
				}
				require.Equal(t, [][]byte{withTOS(packet, 0xb8|want)}, got, "inner %d outer %d", inner, outer)
			}
		}
	}

	p = newPair(t, options(func(o *spd.Options) { o.NoDSCP = true }))
	require.EqualValues(t, 2, p.a.send(withTOS(inner4, 0xba))[0].TOS)
	p = newPair(t, options(func(o *spd.Options) { o.NoECN = true }))
	ds := p.a.send(withTOS(inner4, 0xba))
	require.EqualValues(t, 0xb8, ds[0].TOS)
	ds[0].TOS = ecnCE
	require.Equal(t, [][]byte{withTOS(inner4, 0xba)}, p.b.receive(ds...))

	for mode, want := range map[spd.DFMode][3]bool{spd.DFCopy: {false, true, true}, spd.DFSet: {true, true, true}, spd.DFClear: {false, false, false}} {
		p = newPair(t, options(func(o *spd.Options) { o.DF = mode }))
		for i, packet := range [][]byte{inner4, withDF(inner4), inner6} {
			require.Equal(t, want[i], p.a.send(packet)[0].DF, "mode %d packet %d", mode, i)
		}
	}
}
