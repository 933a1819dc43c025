package xfrm_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/xfrm"
	"github.com/racoon3/racoon/xfrm/xfrmtest"
)

// BenchmarkCodec encodes and decodes an SA with a GCM key, and beside it copies
// as many octets.
func BenchmarkCodec(b *testing.B) {
	m := &xfrm.NewSA{SA: xfrm.SA{Src: addr("192.0.2.1"), Dst: addr("192.0.2.2"), SPI: 1, Proto: xfrm.ProtoESP,
		AEAD: xfrm.Algorithm{Name: "rfc4106(gcm(aes))", Key: make(spd.Key, 36), ICVBits: 128}, ReplayESN: xfrm.NewReplayESN(64)}}
	out := m.Append(nil)
	buf := make([]byte, 0, len(out))
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			buf = m.Append(buf[:0])
		}
	})
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := xfrm.Parse(xfrm.MsgNewSA, out); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("copy", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			buf = append(buf[:0], out...)
		}
	})
}

// manyChild is the i-th of many Child SAs: hosts of 10/8 behind peers of
// 172.16/12.
func manyChild(i int, local netip.Addr) *spd.Bundle {
	b := gateway(spd.SPI(0x100000 + i))
	b.ReqID = uint32(i + 1)
	n := byte(i)
	b.Local = netip.AddrPortFrom(local, 4500)
	b.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{172, 16 + byte(i>>16), byte(i >> 8), n}), 4500)
	b.LocalTS = []spd.TrafficSelector{spd.FromPrefix(netip.MustParsePrefix("192.168.0.0/24"))}
	b.RemoteTS = []spd.TrafficSelector{spd.FromAddr(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), n}))}
	return b
}

// BenchmarkMany sets up Child SAs, two SAs and three policies each, while there
// are 50,000 SAs already, against the kernel in memory: what is measured is this
// package's own part, and the memory that it keeps.
func BenchmarkMany(b *testing.B) {
	const children = 25000
	k := xfrmtest.NewKernel()
	p := openFake(b, k, xfrm.Config{Capabilities: fakeCapabilities(), NoFirstPacket: true})
	local := addr("192.0.2.1")
	begin := time.Now()
	for i := range children {
		setMany(b, p, i, local)
	}
	rate := 5 * children / time.Since(begin).Seconds()
	b.Run(fmt.Sprintf("sas=%d", 2*children), func(b *testing.B) {
		b.ReportAllocs()
		i := children
		for b.Loop() {
			setMany(b, p, i, local)
			unsetMany(b, p, i, local)
		}
		b.ReportMetric(rate, "SAs,policies/s") // of the first 50,000 SAs and 75,000 policies
	})
	b.Run("query", func(b *testing.B) {
		b.ReportAllocs()
		id := manyChild(1, local).ID(spd.Out, 0)
		for b.Loop() {
			_, err := p.Query(ctx, id)
			require.NoError(b, err)
		}
	})
}

// TestManyMemory reports what the data plane keeps for 50,000 SAs and 75,000
// policies of the kernel, beside the kernel in memory.
func TestManyMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	const children = 25000
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	// A data plane whose kernel keeps nothing.
	accept := func(xfrm.Protocol, xfrm.Groups) (xfrm.Conn, error) { return &yes{}, nil }
	p, err := xfrm.New(xfrm.Config{Capabilities: fakeCapabilities(), NoFirstPacket: true, Dial: accept})
	require.NoError(t, err)
	before := heap()
	for i := range children {
		setMany(t, p, i, addr("192.0.2.1"))
	}
	each := (heap() - before) / children
	t.Logf("%d octets for a Child SA of two SAs and two policies, three of the kernel's", each)
	require.Less(t, each, uint64(8<<10))
	_ = p.Close() // this kernel does not tell what it has
}

func setMany(tb testing.TB, p *xfrm.DataPlane, i int, local netip.Addr) {
	b := manyChild(i, local)
	require.NoError(tb, p.InstallInbound(ctx, b))
	require.NoError(tb, p.InstallOutbound(ctx, b))
	require.NoError(tb, p.SetPolicies(ctx, spd.Owner(i), bundlePolicies(b)))
}

func unsetMany(tb testing.TB, p *xfrm.DataPlane, i int, local netip.Addr) {
	b := manyChild(i, local)
	require.NoError(tb, p.SetPolicies(ctx, spd.Owner(i), nil))
	for _, d := range []spd.Direction{spd.Out, spd.In} {
		_, err := p.Remove(ctx, b.ID(d, 0))
		require.NoError(tb, err)
	}
}
