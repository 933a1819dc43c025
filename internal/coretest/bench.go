package coretest

import (
	"crypto/rand"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
)

// A Bench is two endpoints that know each other. Their data planes should do
// nothing, so that the cores' own cost shows.
type Bench[E Core] struct {
	Ends [2]E
	Now  time.Time
	// Initiate begins a session of the first endpoint with the second; n is the
	// number of the session.
	Initiate func(n int, now time.Time) (ike.SessionID, error)
	// Prepare, if set, is called before Initiate, for what is not to be measured.
	Prepare func(n int, now time.Time)

	link     Link[E]
	children int
	sessions int
}

// A BenchCase is a way to shake hands, and the public-key cryptography of both
// sides that no implementation can avoid.
type BenchCase[E Core] struct {
	Name string
	New  func(b *testing.B) *Bench[E]
	Raw  func()
}

// up brings one session up, with one Child SA.
func (x *Bench[E]) up(b *testing.B) ike.SessionID {
	if x.link.Event == nil {
		x.link = Link[E]{Ends: x.Ends, Event: func(_ E, ev ike.Event) {
			if _, up := ev.(ike.ChildUp); up {
				x.children++
			}
		}}
	}
	x.children = 0
	id, err := x.Initiate(x.sessions, x.Now)
	if err == nil {
		err = x.link.Run(&x.Now)
	}
	x.sessions++
	if err != nil || x.children != 2 { // what require does would be measured
		b.Fatalf("%d Child SAs, error %v", x.children, err)
	}
	return id
}

// prepare makes ready for the next session.
func (x *Bench[E]) prepare() {
	if x.Prepare != nil {
		x.Prepare(x.sessions, x.Now)
	}
}

// down ends a session, and lets what it leaves behind go.
func (x *Bench[E]) down(b *testing.B, id ike.SessionID) {
	require.NoError(b, x.Ends[0].Delete(x.Now, id, ike.DownLocal))
	x.wait(b)
}

// wait lets the time pass for which something is kept after a handshake.
func (x *Bench[E]) wait(b *testing.B) {
	for range 3 {
		require.NoError(b, x.link.Run(&x.Now))
		x.Now = x.Now.Add(time.Minute)
		for _, e := range x.Ends {
			e.HandleTimeout(x.Now)
		}
	}
	require.NoError(b, x.link.Run(&x.Now))
}

// BenchHandshake measures whole handshakes, both sides' work, with one Child SA.
func BenchHandshake[E Core](b *testing.B, cases []BenchCase[E]) {
	for _, c := range cases {
		b.Run(c.Name, func(b *testing.B) {
			x := c.New(b)
			b.ReportAllocs()
			x.prepare()
			for b.Loop() {
				id := x.up(b)
				b.StopTimer()
				x.down(b, id)
				x.prepare()
				b.StartTimer()
			}
		})
	}
}

// BenchRaw measures the cryptography alone.
func BenchRaw[E Core](b *testing.B, cases []BenchCase[E]) {
	for _, c := range cases {
		b.Run(c.Name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.Raw()
			}
		})
	}
}

// BenchRatio measures handshakes with the raw cryptography after each, so that
// both have the machine at the same time, and reports the medians of the
// processor time and their ratio.
func BenchRatio[E Core](b *testing.B, cases []BenchCase[E]) {
	for _, c := range cases {
		b.Run(c.Name, func(b *testing.B) {
			x := c.New(b)
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			var handshakes, raws []time.Duration
			for b.Loop() {
				x.prepare()
				begin := threadTime()
				id := x.up(b)
				handshakes = append(handshakes, threadTime()-begin)
				x.down(b, id)
				begin = threadTime()
				c.Raw()
				raws = append(raws, threadTime()-begin)
			}
			median := func(d []time.Duration) float64 {
				slices.Sort(d)
				return float64(d[len(d)/2]) / 1000
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(handshakes), "handshake-us")
			b.ReportMetric(median(raws), "raw-us")
			b.ReportMetric(median(handshakes)/median(raws), "ratio")
		})
	}
}

// BenchHeap reports what an established session with one Child SA occupies on
// the heap of either side when it is idle, with n of them.
func BenchHeap[E Core](b *testing.B, n int, x *Bench[E]) {
	base := liveHeap()
	for range n {
		x.prepare()
		x.up(b)
	}
	x.wait(b)
	for _, e := range x.Ends {
		require.Equal(b, n, e.Stats().Sessions)
		require.Equal(b, n, e.Stats().Children)
	}
	both := liveHeap() - base
	var none E
	x.Ends[0], x.link, x.Initiate = none, Link[E]{}, nil
	responder := liveHeap() - base
	runtime.KeepAlive(x)
	b.ReportMetric(float64(both-responder)/float64(n), "B/initiator")
	b.ReportMetric(float64(responder)/float64(n), "B/responder")
}

func liveHeap() int64 {
	runtime.GC()
	runtime.GC() // finalizers of the first round
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// RawKeyExchange is both sides' part of a key exchange.
func RawKeyExchange(id dh.ID) func() {
	g, ok := dh.ByID(id)
	if !ok {
		panic("no such group")
	}
	seed := make([]byte, g.SeedSize())
	return func() {
		_, _ = rand.Read(seed)
		key, _ := g.Generate(seed)
		_, _ = rand.Read(seed)
		public, _, _ := g.Respond(seed, key.Public())
		_, _ = key.Finish(public)
	}
}
