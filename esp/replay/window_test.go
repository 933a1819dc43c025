package replay

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// take is what a receiver does with a packet that passes its integrity check.
func take(w *Window, low uint32) (uint64, bool) {
	seq, ok := w.Infer(low)
	if !ok {
		return seq, false
	}
	ok, _ = w.Accept(seq)
	return seq, ok
}

func TestSizes(t *testing.T) {
	for size, want := range map[int]int{0: DefaultSize, 1: 64, 32: 64, 64: 64, 65: 128, 1000: 1024, 4096: 4096, 1 << 20: 4096} {
		require.Equal(t, want, New(size, false).Size(), size)
	}
}

// TestWindowEdges walks the edges for each size: the lowest number still
// inside, the one just below, duplicates, and 0.
func TestWindowEdges(t *testing.T) {
	for _, esn := range []bool{false, true} {
		for _, size := range []int{64, 128, 1024, 4096} {
			w := New(size, esn)
			_, ok := take(w, 0)
			require.False(t, ok, "no sender uses 0")
			for _, start := range []uint32{1, 63, 64, 65, 100000} {
				w = New(size, esn)
				top := start + uint32(size)
				_, ok = take(w, top)
				require.True(t, ok)
				_, ok = take(w, top)
				require.False(t, ok, "a duplicate of the newest")
				_, ok = take(w, start+1)
				require.True(t, ok, "the lowest inside")
				_, ok = take(w, start+1)
				require.False(t, ok)
				seq, ok := take(w, start)
				if esn {
					// Below the window means the next subspace (appendix A2.2).
					require.Equal(t, uint64(start)|1<<32, seq)
					require.True(t, ok)
					continue
				}
				require.False(t, ok, "just below")
				for s := start + 2; s < top; s++ {
					_, ok = take(w, s)
					require.True(t, ok, s)
				}
			}
		}
	}
}

// TestAgainstModel compares with a set of all accepted numbers, under random
// jumps, reordering and duplicates.
func TestAgainstModel(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		size := []int{64, 128, 192, 1024}[seed%4]
		w := New(size, seed%2 == 0)
		seen := map[uint64]bool{}
		top := uint64(0)
		if w.esn {
			top = 1<<32 - 500 // cross a subspace
			w.Accept(top)
			seen[top] = true
		}
		for range 20000 {
			var seq uint64
			switch r.IntN(10) {
			case 0:
				seq = top + r.Uint64N(uint64(size)*3)
			case 1:
				seq = top - min(top, r.Uint64N(uint64(size)*2))
			default:
				seq = top + 2 - min(top, r.Uint64N(uint64(size)))
			}
			if !w.esn && seq >= 1<<32 || w.esn && seq+uint64(size) < top {
				continue
			}
			want := seq > 0 && !seen[seq] && (seq > top || top-seq < uint64(size))
			got, ok := w.Infer(uint32(seq))
			if w.esn && seq+uint64(size) <= top {
				continue // taken for the next subspace
			}
			require.Equal(t, want, ok)
			ok, newest := w.Accept(seq)
			require.Equal(t, want, ok, "seq %d top %d", seq, top)
			require.Equal(t, want && seq > top, newest)
			if ok {
				require.Equal(t, seq, got)
				seen[seq] = true
				top = max(top, seq)
			}
			require.Equal(t, top, w.Top())
		}
	}
}

// TestESNSubspaces is appendix A2.2: both positions of the window.
func TestESNSubspaces(t *testing.T) {
	for _, v := range []struct {
		top  uint64
		low  uint32
		want uint64
		ok   bool
	}{
		{0, 1, 1, true},
		{0, 1<<32 - 1, 0, false}, // before the first packet there is no earlier subspace
		{10, 1<<32 - 5, 0, false},
		{1<<32 - 1, 0, 1 << 32, true}, // the wrap of the low half
		{1<<32 + 10, 1<<32 - 5, 1<<32 - 5, true},
		{1<<32 + 10, 20, 1<<32 + 20, true},
		{1<<32 + 10, 1 << 31, 1<<32 + 1<<31, true},
		{7<<32 + 5000, 100, 8<<32 + 100, true},
		{7<<32 + 5000, 4999, 7<<32 + 4999, true},
		{1<<64 - 1, 5, 0, false}, // the end of all
	} {
		w := New(64, true)
		w.Accept(v.top)
		got, ok := w.Infer(v.low)
		require.Equal(t, v.ok, ok, "%x", v)
		if ok {
			require.Equal(t, v.want, got, "%x", v)
		}
	}
}

// TestWithoutESNNoWrap: without ESN the number after 2^32-1 is old, not new.
func TestWithoutESNNoWrap(t *testing.T) {
	w := New(64, false)
	_, ok := take(w, 1<<32-1)
	require.True(t, ok)
	for _, low := range []uint32{0, 1, 2, 1 << 31} {
		_, ok = take(w, low)
		require.False(t, ok, low)
	}
}

func TestOff(t *testing.T) {
	w := New(-1, false)
	for _, low := range []uint32{5, 5, 1, 1 << 31, 5, 0} {
		_, ok := take(w, low)
		require.True(t, ok, low)
	}
}

// TestOnceUnderConcurrency: however many goroutines present the same packets,
// each is accepted once.
func TestOnceUnderConcurrency(t *testing.T) {
	w := New(4096, false)
	const n = 3000
	var accepted [n + 1]atomic.Int32
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for _, i := range rand.New(rand.NewPCG(uint64(g), 2)).Perm(n) {
				if _, ok := take(w, uint32(i+1)); ok {
					accepted[i+1].Add(1)
				}
			}
		})
	}
	wg.Wait()
	for i := 1; i <= n; i++ {
		require.EqualValues(t, 1, accepted[i].Load(), i)
	}
}

func TestAllocations(t *testing.T) {
	w := New(1024, true)
	var s uint32
	require.Zero(t, testing.AllocsPerRun(100, func() { s++; take(w, s) }))
}

func BenchmarkWindow(b *testing.B) {
	b.ReportAllocs()
	w := New(1024, true)
	var s uint32
	for b.Loop() {
		s++
		take(w, s)
	}
}

func ExampleWindow() {
	w := New(64, false)
	for _, low := range []uint32{1, 3, 2, 3} {
		seq, ok := w.Infer(low)
		if ok { // and the integrity check has passed
			ok, _ = w.Accept(seq)
		}
		fmt.Println(low, ok)
	}
	// Output:
	// 1 true
	// 3 true
	// 2 true
	// 3 false
}
