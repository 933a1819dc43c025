package racoon

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
)

// BenchmarkHandshake is a whole PSK handshake with X25519 and a Child SA
// between two Managers over UDP, and its deletion. Both sides count: the
// responder's part is about the half of cpu-ns/op.
func BenchmarkHandshake(b *testing.B) {
	for _, parallel := range []int{1, 16} {
		b.Run(fmt.Sprintf("parallel=%d", parallel), func(b *testing.B) {
			gl, plain, natt := benchListen(b)
			cl, _, _ := benchListen(b)
			proposals := []string{"aes128gcm16-prfsha256-x25519"}
			gateway := benchServe(b, Config{DataPlane: newPlane(), Listen: gl, Limits: benchLimits, Peers: with(gatewayPeer(), func(p *Peer) {
				p.RemoteID, p.Unique, p.Proposals, p.Children = "*", ike.UniqueNever, proposals, nil
			})})
			peers := make([]Peer, parallel)
			for i := range peers {
				peers[i] = with(clientPeer(), func(p *Peer) {
					p.Name = fmt.Sprint(i)
					p.Remote, p.RemoteNATT, p.Proposals, p.Children = plain.String(), natt.Port(), proposals, nil
				})[0]
			}
			client := benchServe(b, Config{DataPlane: newPlane(), Listen: cl, Limits: benchLimits, Peers: peers})
			begin := cpuTime()
			b.ReportAllocs()
			b.ResetTimer()
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			for i := range parallel {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						s, err := client.Initiate(b.Context(), peers[i].Name)
						if err == nil {
							err = s.Delete(b.Context())
						}
						if err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64(cpuTime()-begin)/float64(b.N), "cpu-ns/op")
			require.NoError(b, client.Shutdown(b.Context()))
			require.NoError(b, gateway.Shutdown(b.Context()))
		})
	}
	b.Run("raw=X25519x4", func(b *testing.B) { // what both sides compute
		begin := cpuTime()
		for b.Loop() {
			for range 2 {
				k, _ := ecdh.X25519().GenerateKey(rand.Reader)
				k.ECDH(k.PublicKey())
			}
		}
		b.ReportMetric(float64(cpuTime()-begin)/float64(b.N), "cpu-ns/op")
	})
}

var benchLimits = ike.Limits{CookieThreshold: 1 << 20, HalfOpenPerIP: 1 << 20, HalfOpen: 1 << 20}

func benchListen(b *testing.B) (list []Listen, plain, natt netip.AddrPort) {
	for i := range 2 {
		c, err := bindOne(netip.MustParseAddrPort("127.0.0.1:0"))
		require.NoError(b, err)
		list = append(list, Listen{Conn: c, NATT: i == 1})
	}
	plain, _ = addrPortOf(list[0].Conn.LocalAddr())
	natt, _ = addrPortOf(list[1].Conn.LocalAddr())
	return list, plain, natt
}

func benchServe(b *testing.B, cfg Config) *Manager {
	m, err := NewManager(cfg)
	require.NoError(b, err)
	go m.Serve(b.Context())
	<-m.Ready()
	return m
}

// BenchmarkJob is what it costs to have a job done by a pool: to hand it over
// and to get its result.
func BenchmarkJob(b *testing.B) {
	r := newJobRunner(b.Context(), runtime.GOMAXPROCS(0))
	defer r.stop()
	w := newWorker(nil, 0, nil)
	run := func(context.Context) (any, error) { return nil, nil }
	begin := cpuTime()
	b.ReportAllocs()
	sent, got := 0, 0
	var half inbox
	for b.Loop() {
		for range 16 {
			r.submit(w, ike.Job{Kind: ike.JobKeyExchange, Run: run})
			sent++
		}
		for got < sent {
			<-w.box.wake
			w.box.swap(&half)
			got += len(half.results)
		}
	}
	b.ReportMetric(float64(cpuTime()-begin)/float64(sent), "cpu-ns/job")
}

// BenchmarkIdleSession is the heap of an established session with one Child
// SA, of both sides together.
func BenchmarkIdleSession(b *testing.B) {
	gl, plain, natt := benchListen(b)
	cl, _, _ := benchListen(b)
	gp, cp := newPlane(), newPlane()
	gateway := benchServe(b, Config{DataPlane: gp, Listen: gl, Limits: benchLimits, Peers: with(gatewayPeer(), func(p *Peer) {
		p.RemoteID, p.Unique, p.Children[0].Remote = "*", ike.UniqueNever, []string{"10.128.0.0/9"}
	})})
	peers := make([]Peer, b.N)
	for i := range peers {
		peers[i] = with(clientPeer(), func(p *Peer) {
			p.Name, p.LocalID = fmt.Sprint(i), fmt.Sprintf("user%d@example.org", i)
			p.Remote, p.RemoteNATT = plain.String(), natt.Port()
			p.Children[0].Local = []string{netip.AddrFrom4([4]byte{10, 128 | byte(i>>16), byte(i >> 8), byte(i)}).String()}
		})[0]
	}
	client := benchServe(b, Config{DataPlane: cp, Listen: cl, Limits: benchLimits, Peers: peers})
	before, goroutines := heap(), runtime.NumGoroutine()
	b.ResetTimer()
	work := make(chan string)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for name := range work {
				if _, err := client.Initiate(b.Context(), name); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range peers {
		work <- peers[i].Name
	}
	close(work)
	wg.Wait()
	b.StopTimer()
	require.Equal(b, b.N, gateway.Stats(b.Context()).Sessions)
	b.ReportMetric(float64(heap()-before)/float64(b.N)/2, "B/session")
	b.ReportMetric(float64(runtime.NumGoroutine()-goroutines), "goroutines")
	require.NoError(b, client.Shutdown(b.Context()))
	require.NoError(b, gateway.Shutdown(b.Context()))
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
