package pfkey_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/spd"
)

// testKernelTakeUp: packets that have asked for SAs before a data plane was there.
// The kernel does not ask for them again for an hour. What is taken up leads to
// SAs, or is refused, and the next packet asks again.
func testKernelTakeUp(t *testing.T) {
	for _, mode := range []spd.Mode{spd.ModeTunnel, spd.ModeTransport} {
		t.Run(mode.String(), func(t *testing.T) {
			a, b := lab.NewPair(t)
			a.RouteTo(b)
			b.RouteTo(a)
			a.Sysctl("core/xfrm_acq_expires=3600")
			ctx := t.Context()
			k := &kernelPair{a: a, b: b, pb: kernelPlane(t, b.Namespace), spi: 0x10000}
			l := link{text: "aes128-sha1", mode: mode}
			ab, ba := k.bundles(t, l, 61)
			_, _, from, to := k.addresses(l)
			// A policy daemon has a policy, and something has been sent. (Where nobody
			// at all listens the kernel keeps nothing, and asks with each packet.)
			policies := kernelPlane(t, a.Namespace)
			require.NoError(t, policies.SetPolicies(ctx, 999, policiesOf(ab, spd.ActionTrap)[:1]))
			_, _ = a.Ping(from, to, 1, 100, "-W", "1")
			larvals := func() (n int) {
				for e, err := range kernelClient(t, a.Namespace, pfkey.ClientConfig{}).Dump(ctx, pfkey.SATypeUnspec) {
					require.NoError(t, err)
					if e.SPI == 0 {
						n++
					}
				}
				return n
			}
			require.Equal(t, 1, larvals())

			k.pa = kernelPlane(t, a.Namespace)
			k.pa.TakeUpAcquires(ctx)
			ev := waitFor[spd.AcquireEvent](t, k.pa)
			require.EqualValues(t, 61, ev.Policy.ReqID)
			require.Equal(t, policiesOf(ab, spd.ActionTrap)[0].Selector, ev.Policy.Selector)
			reqID, ok := k.pa.AcquireReqID(ev.ID)
			require.True(t, ok)
			require.EqualValues(t, 61, reqID)
			require.NoError(t, k.pa.AcquireDone(ctx, ev.ID, errors.New("no")))
			require.Zero(t, larvals())

			_, _ = a.Ping(from, to, 1, 100, "-W", "1") // asks again, and nobody hears it
			waitFor[spd.AcquireEvent](t, k.pa)
			require.NoError(t, k.pa.Close())
			require.Equal(t, 1, larvals())

			k.pa = kernelPlane(t, a.Namespace)
			k.pa.TakeUpAcquires(ctx)
			ev = waitFor[spd.AcquireEvent](t, k.pa)
			spi, err := k.pa.AllocSPI(ctx, spd.SPIRequest{Protocol: spd.ProtoESP, Local: ab.Local.Addr(), Remote: ab.Remote.Addr(), ReqID: ab.ReqID, Acquire: ev.ID})
			require.NoError(t, err)
			ba.SAs[0].SPI = spi
			require.NoError(t, k.pb.InstallInbound(ctx, mirror(ab)))
			require.NoError(t, k.pb.InstallOutbound(ctx, ba))
			require.NoError(t, k.pb.SetPolicies(ctx, 1, policiesOf(ba, spd.ActionProtect)))
			require.NoError(t, k.pa.SetPolicies(ctx, 1, policiesOf(ab, spd.ActionProtect)[1:]))
			require.NoError(t, k.pa.InstallInbound(ctx, mirror(ba)))
			require.NoError(t, k.pa.InstallOutbound(ctx, ab))
			require.NoError(t, k.pa.AcquireDone(ctx, ev.ID, nil))
			require.Zero(t, larvals(), "the SA has taken its place")
			k.pings(t, from, to, 3, 100)
		})
	}
}
