package schedule

import (
	"math/rand/v2"
	"testing"
	"time"
)

const many = 100_000

func filled() (*Queue[int], []Timer[int], []time.Time) {
	rng := rand.New(rand.NewPCG(1, 2))
	q, timers := new(Queue[int]), make([]Timer[int], many)
	for i := range timers {
		q.Set(&timers[i], epoch.Add(time.Duration(rng.Int64N(int64(4*time.Hour)))))
	}
	at := make([]time.Time, 1<<16)
	for i := range at {
		at[i] = epoch.Add(time.Duration(rng.Int64N(int64(4 * time.Hour))))
	}
	return q, timers, at
}

// BenchmarkMove moves one of 100,000 timers to a random deadline.
func BenchmarkMove(b *testing.B) {
	q, timers, at := filled()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		q.Set(&timers[i*7919%many], at[i&0xffff])
		i++
	}
}

// BenchmarkLiveness pushes a deadline back by a little, as each sign of life of a peer does.
func BenchmarkLiveness(b *testing.B) {
	q, timers, _ := filled()
	b.ReportAllocs()
	now := epoch
	i := 0
	for b.Loop() {
		now = now.Add(time.Millisecond)
		q.Set(&timers[i*7919%many], now.Add(30*time.Second))
		i++
	}
}

// BenchmarkRetransmit sets and stops a near deadline among 100,000, as a request and its response do.
func BenchmarkRetransmit(b *testing.B) {
	q, _, _ := filled()
	b.ReportAllocs()
	var t Timer[int]
	for b.Loop() {
		q.Set(&t, epoch.Add(time.Second))
		q.Stop(&t)
	}
}

// BenchmarkPopSet fires the earliest of 100,000 timers and sets it again.
func BenchmarkPopSet(b *testing.B) {
	q, _, _ := filled()
	b.ReportAllocs()
	for b.Loop() {
		next, _ := q.Next()
		t, _ := q.Pop(next)
		q.Set(t, next.Add(4*time.Hour))
	}
}

// BenchmarkRuntimeTimer is the runtime's own timer doing what BenchmarkRetransmit does.
func BenchmarkRuntimeTimer(b *testing.B) {
	timers := make([]*time.Timer, many)
	for i := range timers {
		timers[i] = time.AfterFunc(time.Hour+time.Duration(i)*time.Millisecond, func() {})
	}
	b.ReportAllocs()
	t := time.AfterFunc(time.Hour, func() {})
	for b.Loop() {
		t.Reset(time.Minute)
		t.Stop()
	}
	for _, t := range timers {
		t.Stop()
	}
}
