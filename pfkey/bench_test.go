package pfkey_test

import (
	"context"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/pfkey/pfkeytest"
	"github.com/racoon3/racoon/spd"
)

func benchMessage(d *pfkey.Dialect) *pfkey.Message {
	return &pfkey.Message{Header: pfkey.Header{Type: pfkey.MsgAdd, SAType: pfkey.SATypeESP, Seq: 1, PID: 2}, Exts: []pfkey.Extension{
		&pfkey.SA{SPI: 0x1000, Replay: 32, State: pfkey.StateMature, Auth: 5, Encrypt: 12},
		&pfkey.Lifetime{Type: pfkey.ExtLifetimeHard, AddTime: 3600}, &pfkey.Lifetime{Type: pfkey.ExtLifetimeSoft},
		&pfkey.Address{Type: pfkey.ExtAddressSrc, Proto: 255, PrefixLen: 32, SockAddr: pfkey.SockAddr{Addr: addrA}},
		&pfkey.Address{Type: pfkey.ExtAddressDst, Proto: 255, PrefixLen: 32, SockAddr: pfkey.SockAddr{Addr: addrB}},
		&pfkey.Key{Type: pfkey.ExtKeyAuth, Key: make(spd.Key, 32)}, &pfkey.Key{Type: pfkey.ExtKeyEncrypt, Key: make(spd.Key, 16)},
		&pfkey.SA2{Mode: pfkey.ModeTunnel, ReqID: 7},
	}}
}

func BenchmarkAppend(b *testing.B) {
	m, buf := benchMessage(pfkey.Linux), make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := pfkey.Linux.Append(buf, m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	octets, err := pfkey.Linux.Append(nil, benchMessage(pfkey.Linux))
	require.NoError(b, err)
	b.Run("header", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := pfkey.Linux.ParseHeader(octets); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("message", func(b *testing.B) {
		b.ReportAllocs()
		var m pfkey.Message
		for b.Loop() {
			if err := pfkey.Linux.ParseInto(&m, octets); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("copy", func(b *testing.B) { // what every message costs at least
		b.ReportAllocs()
		for b.Loop() {
			_ = append([]byte(nil), octets...)
		}
	})
}

// many is how many SAs and policies there are in the benchmarks of the client.
const many = 50000

func peer(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 100, byte(i >> 8), byte(i)}) }

// BenchmarkClient has 50,000 SAs and policies in a kernel in memory.
func BenchmarkClient(b *testing.B) {
	for _, d := range []*pfkey.Dialect{pfkey.Linux, pfkey.NetBSD} {
		b.Run(d.String(), func(b *testing.B) {
			k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: d})
			c := newClient(b, k, pfkey.ClientConfig{Dialect: d})
			ctx := context.Background()
			e := cbcEntry(b, d, 0)
			for i := range many {
				e.SPI, e.Dst = spd.SPI(0x10000+i), peer(i)
				require.NoError(b, c.Add(ctx, e))
			}
			b.Run("ADD+DELETE", func(b *testing.B) {
				b.ReportAllocs()
				e.SPI = 0x5000
				for b.Loop() {
					if err := c.Add(ctx, e); err != nil {
						b.Fatal(err)
					}
					if err := c.Delete(ctx, e.Key()); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("GET", func(b *testing.B) {
				b.ReportAllocs()
				e.SPI, e.Dst = 0x10000+7, peer(7)
				for b.Loop() {
					if _, err := c.Get(ctx, e.Key()); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("DUMP50000", func(b *testing.B) { // one operation is a whole dump
				b.ReportAllocs()
				for b.Loop() {
					n := 0
					for _, err := range c.Dump(ctx, pfkey.SATypeESP) {
						if err != nil {
							b.Fatal(err)
						}
						n++
					}
					if n != many {
						b.Fatal(n)
					}
				}
			})
		})
	}
}

// BenchmarkDataPlane has 50,000 SAs and policies of its own, and changes
// others.
func BenchmarkDataPlane(b *testing.B) {
	for _, d := range []*pfkey.Dialect{pfkey.Linux, pfkey.NetBSD} {
		b.Run(d.String(), func(b *testing.B) {
			var before, after runtime.MemStats
			k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: d})
			p := newPlane(b, k, d, pfkey.DataPlaneConfig{})
			ctx := context.Background()
			runtime.GC()
			runtime.ReadMemStats(&before)
			install := func(i int, spi spd.SPI) *spd.Bundle {
				x := tunnel(b, anySuite, spi, uint32(i%16000+1))
				x.Remote = netip.AddrPortFrom(peer(i), 0)
				x.RemoteTS = []spd.TrafficSelector{spd.FromAddr(peer(i))}
				require.NoError(b, p.InstallOutbound(ctx, x))
				require.NoError(b, p.SetPolicies(ctx, spd.Owner(i), policiesTo(x)))
				return x
			}
			begin := time.Now()
			for i := range many {
				install(i, spd.SPI(0x10000+i))
			}
			rate := many / time.Since(begin).Seconds()
			runtime.GC()
			runtime.ReadMemStats(&after)
			perChild := float64(after.HeapAlloc-before.HeapAlloc) / many
			b.Run("child", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					x := install(many, 0x5000)
					if err := p.SetPolicies(ctx, many, nil); err != nil {
						b.Fatal(err)
					}
					if _, err := p.Remove(ctx, x.ID(spd.Out, 0)); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(perChild, "B/SA+policy") // here and in the kernel together
				b.ReportMetric(rate, "SA+policy/s")     // of the first 50,000
			})
		})
	}
}

func policiesTo(x *spd.Bundle) []spd.Policy {
	return []spd.Policy{{Direction: spd.Out, Action: spd.ActionProtect, Priority: 1000, ReqID: x.ReqID, Protocol: spd.ProtoESP, Mode: spd.ModeTunnel,
		Local: x.Local.Addr(), Remote: x.Remote.Addr(), Selector: spd.Selector{Local: x.LocalTS[0], Remote: x.RemoteTS[0]}}}
}
