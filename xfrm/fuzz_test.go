package xfrm_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/xfrm"
	"github.com/racoon3/racoon/xfrm/xfrmtest"
)

// FuzzParse: no input panics; what decodes encodes, and decodes to the same.
func FuzzParse(f *testing.F) {
	for _, m := range messages() {
		f.Add(uint16(m.MessageType()), m.Append(nil))
	}
	f.Fuzz(func(t *testing.T, mt uint16, b []byte) {
		_, _ = xfrm.ParseDumpSA(b)
		m, err := xfrm.Parse(xfrm.MessageType(mt), b)
		if err != nil {
			require.ErrorIs(t, err, xfrm.ErrSyntax)
			return
		}
		out := m.Append(nil)
		again, err := xfrm.Parse(xfrm.MessageType(mt), out)
		require.NoError(t, err)
		require.Equal(t, out, again.Append(nil))
	})
}

// FuzzMessages: no datagram panics, and every message is within it.
func FuzzMessages(f *testing.F) {
	f.Add(xfrm.AppendAck(nil, xfrm.Header{Type: 0x10, Seq: 1}, xfrm.EINVAL, "why"))
	f.Add(xfrm.AppendMessage(xfrm.AppendMessage(nil, xfrm.Header{Type: 0x17}, messages()[0].Append), xfrm.Header{Type: 3, Flags: 2}, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		total := 0
		for _, body := range xfrm.Messages(b) {
			total += 16 + len(body.Data)
		}
		require.LessOrEqual(t, total, len(b)+16)
	})
}

// FuzzKernel: whatever the kernel answers and tells, no call panics or hangs.
func FuzzKernel(f *testing.F) {
	f.Add([]byte{1, 2, 3}, uint16(0x18))
	for _, m := range messages() {
		f.Add(m.Append(nil), uint16(m.MessageType()))
	}
	f.Fuzz(func(t *testing.T, b []byte, mt uint16) {
		k := xfrmtest.NewKernel()
		p, err := xfrm.New(xfrm.Config{Capabilities: fakeCapabilities(), Dial: k.Dial})
		require.NoError(t, err)
		bundle := gateway(0x1001)
		require.NoError(t, p.InstallOutbound(ctx, bundle))
		xfrm.SetTimeout(p.Client(), 2*time.Millisecond) // what follows may fail
		k.Inject(xfrm.GroupAcquire, xfrm.AppendMessage(nil, xfrm.Header{Type: mt}, func(o []byte) []byte { return append(o, b...) }))
		k.Inject(xfrm.GroupAcquire, b)
		n := 0
		k.Do(func() {
			k.Answer = func(answer []byte) []byte {
				if n++; n%2 == 0 {
					return b
				}
				return xfrm.AppendMessage(nil, xfrm.Header{Type: mt, Seq: first(answer).Seq}, func(o []byte) []byte { return append(o, b...) })
			}
		})
		ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		_, _ = p.AllocSPI(ctx, spd.SPIRequest{Protocol: spd.ProtoESP, Local: addr("192.0.2.1"), Remote: addr("192.0.2.2")})
		_, _ = p.Query(ctx, bundle.ID(spd.Out, 0))
		_ = p.SetPolicies(ctx, 1, bundlePolicies(bundle))
		_ = p.MovePeer(ctx, bundle.ID(spd.Out, 0), spd.Endpoints{Local: bundle.Local, Remote: bundle.Local})
		for _, err := range p.Client().SAs(ctx, &xfrm.DumpSA{}) {
			if err != nil {
				break
			}
		}
		k.Do(func() { k.Answer = nil })
		_ = p.Close()
	})
}

func first(datagram []byte) xfrm.Header {
	for h := range xfrm.Messages(datagram) {
		return h
	}
	return xfrm.Header{}
}
