package pump_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/esp"
	"github.com/racoon3/racoon/esp/pump"
	"github.com/racoon3/racoon/internal/suite"
	"github.com/racoon3/racoon/spd"
)

// A packet of that size makes a datagram that fits, one octet more does not:
// by what the engine itself makes of it.
func TestInnerMTU(t *testing.T) {
	type algorithms struct{ encr, integ spd.Transform }
	all := []algorithms{}
	for _, a := range esp.New(esp.Config{}).Capabilities().Algorithms {
		if a.Type != spd.TransformENCR {
			continue
		}
		if spd.IsCombinedMode(a.Transform) {
			all = append(all, algorithms{a.Transform, spd.Transform{}})
			continue
		}
		for _, i := range []uint16{spd.IntegHMACSHA1_96, spd.IntegHMACSHA256_128, spd.IntegHMACSHA384_192, spd.IntegHMACSHA512_256} {
			all = append(all, algorithms{a.Transform, spd.Transform{Type: spd.TransformINTEG, ID: i}})
		}
	}
	for _, a := range all {
		for _, udp := range []bool{false, true} {
			for _, v6 := range []bool{false, true} {
				for _, mode := range []spd.Mode{spd.ModeTunnel, spd.ModeTransport} {
					name := fmt.Sprint(a, udp, v6, mode)
					remote := netip.MustParseAddr("192.0.2.2")
					if v6 {
						remote = netip.MustParseAddr("2001:db8::2")
					}
					sa := spd.SA{Protocol: spd.ProtoESP, SPI: 0x1000, Mode: mode, Encryption: a.encr, Integrity: a.integ}
					mtu, err := pump.InnerMTU(1500, &sa, remote, udp)
					require.NoError(t, err)
					require.Greater(t, mtu, 1380, name)

					info, _ := suite.ENCRByID(a.encr.ID)
					n, _ := info.KeySize(int(a.encr.KeyLen))
					sa.EncrKey = key(n)
					if in, ok := suite.INTEGByID(a.integ.ID); ok {
						sa.IntegKey = key(in.KeySize)
					}
					out, err := esp.NewOutboundSA(&sa, zeros{})
					require.NoError(t, err, name)
					outer := func(inner int) int {
						header := 20
						if v6 {
							header = 40
						}
						if udp {
							header += 8
						}
						if mode == spd.ModeTransport {
							if inner -= 20; v6 {
								inner -= 20
							}
						}
						return header + out.SealedSize(inner)
					}
					require.LessOrEqual(t, outer(mtu), 1500, name)
					require.Greater(t, outer(mtu+1), 1500, name)
				}
			}
		}
	}
	mtu, err := pump.InnerMTU(1500, gcm(), netip.MustParseAddr("192.0.2.1"), true)
	require.NoError(t, err)
	require.Equal(t, 1438, mtu, "as documented")
	mtu, err = pump.InnerMTU(1500, gcm(), netip.MustParseAddr("192.0.2.1"), false)
	require.NoError(t, err)
	require.Equal(t, 1446, mtu, "as documented")

	for _, sa := range []*spd.SA{
		{}, {Encryption: spd.Transform{Type: spd.TransformENCR, ID: spd.EncrAESCBC, KeyLen: 128}},
	} {
		_, err := pump.InnerMTU(1500, sa, netip.MustParseAddr("192.0.2.1"), true)
		require.ErrorIs(t, err, spd.ErrUnsupported)
	}
	_, err = pump.InnerMTU(60, gcm(), netip.MustParseAddr("192.0.2.1"), true)
	require.ErrorContains(t, err, "no room")
	_, err = pump.InnerMTU(1500, gcm(), netip.Addr{}, true)
	require.Error(t, err)
}

func key(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	for i := range b {
		b[i] = byte(i)
	}
	return len(b), nil
}
