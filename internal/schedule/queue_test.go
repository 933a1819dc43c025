package schedule

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)

// TestAgainstSortedSlice drives the queue and a stably sorted slice with the same random operations. Few distinct
// deadlines make ties common.
func TestAgainstSortedSlice(t *testing.T) {
	type want struct {
		id int
		at time.Time
	}
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var q Queue[int]
		timers := make([]Timer[int], 1+rng.IntN(300))
		for i := range timers {
			timers[i].Owner = i
		}
		var model []want
		drop := func(id int) bool {
			i := slices.IndexFunc(model, func(w want) bool { return w.id == id })
			if i >= 0 {
				model = slices.Delete(model, i, i+1)
			}
			return i >= 0
		}
		now := epoch
		for range 2000 {
			id := rng.IntN(len(timers))
			switch op := rng.IntN(10); {
			case op < 6:
				at := now.Add(time.Duration(rng.IntN(50)-5) * time.Second)
				if rng.IntN(50) == 0 {
					at = time.Time{}
				}
				drop(id)
				i, _ := slices.BinarySearchFunc(model, at, func(w want, at time.Time) int {
					if w.at.After(at) {
						return 1
					}
					return -1 // behind all of the same deadline
				})
				model = slices.Insert(model, i, want{id, at})
				q.Set(&timers[id], at)
			case op < 8:
				require.Equal(t, drop(id), q.Stop(&timers[id]))
				require.False(t, timers[id].Active())
			default:
				now = now.Add(time.Duration(rng.IntN(3)) * time.Second)
				for len(model) > 0 && !model[0].at.After(now) {
					tm, ok := q.Pop(now)
					require.True(t, ok, "seed %d", seed)
					require.Equal(t, model[0].id, tm.Owner, "seed %d", seed)
					require.False(t, tm.Active())
					model = model[1:]
				}
				_, ok := q.Pop(now)
				require.False(t, ok, "seed %d: popped before its time", seed)
			}
			require.Equal(t, len(model), q.Len())
			next, ok := q.Next()
			require.Equal(t, len(model) > 0, ok)
			if ok {
				require.True(t, next.Equal(model[0].at), "seed %d: next %v, want %v", seed, next, model[0].at)
			}
			at, ok := q.At(&timers[id])
			i := slices.IndexFunc(model, func(w want) bool { return w.id == id })
			require.Equal(t, i >= 0, ok)
			if ok {
				require.True(t, at.Equal(model[i].at))
			}
		}
	}
}

func TestEqualDeadlinesFireInOrderOfSet(t *testing.T) {
	var q Queue[int]
	timers := make([]Timer[int], 100)
	for i := range timers {
		timers[i].Owner = i
		q.Set(&timers[i], epoch)
	}
	q.Set(&timers[0], epoch) // set again: now the newest
	for i := range timers {
		tm, ok := q.Pop(epoch)
		require.True(t, ok)
		require.Equal(t, (i+1)%len(timers), tm.Owner)
	}
}

func TestPopWhileSetting(t *testing.T) {
	var q Queue[string]
	a := Timer[string]{Owner: "a"}
	q.Set(&a, epoch)
	tm, ok := q.Pop(epoch)
	require.True(t, ok)
	q.Set(tm, epoch.Add(time.Nanosecond))
	_, ok = q.Pop(epoch)
	require.False(t, ok)
	tm, ok = q.Pop(epoch.Add(time.Nanosecond))
	require.True(t, ok)
	require.Same(t, &a, tm)
}

func TestZeroTimeIsDueAtOnce(t *testing.T) {
	var q Queue[int]
	a, b := Timer[int]{Owner: 1}, Timer[int]{Owner: 2}
	q.Set(&a, time.Time{}) // must not become the origin of later deadlines
	q.Set(&b, epoch)
	next, ok := q.Next()
	require.True(t, ok)
	require.True(t, next.IsZero())
	tm, _ := q.Pop(epoch.Add(-time.Hour))
	require.Same(t, &a, tm)
	_, ok = q.Pop(epoch.Add(-time.Nanosecond))
	require.False(t, ok)
	next, _ = q.Next()
	require.True(t, next.Equal(epoch))
}

// TestMonotonicReading checks that the queue keeps the monotonic clock reading of the deadlines it was given: the deadline
// it returns is compared with now by that reading, not by the wall clock.
func TestMonotonicReading(t *testing.T) {
	now := time.Now()
	var q Queue[int]
	var a Timer[int]
	q.Set(&a, now.Add(time.Hour))
	next, _ := q.Next()
	require.Contains(t, next.String(), "m=+")
	require.Equal(t, time.Hour, next.Sub(now))
}

func TestForeignTimer(t *testing.T) {
	var q, other Queue[int]
	var a, b Timer[int]
	q.Set(&a, epoch)
	other.Set(&b, epoch)
	require.False(t, other.Stop(&a))
	require.True(t, a.Active())
	require.Panics(t, func() { other.Set(&a, epoch) })
	require.True(t, q.Stop(&a))
	require.False(t, q.Stop(&a))
}

func TestSetAllocatesNothing(t *testing.T) {
	var q Queue[int]
	timers := make([]Timer[int], 1000)
	for i := range timers {
		q.Set(&timers[i], epoch.Add(time.Duration(i)*time.Second))
	}
	i := 0
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		i++
		tm := &timers[i*7919%len(timers)]
		q.Set(tm, epoch.Add(time.Duration(i*104729%3600)*time.Second))
		q.Stop(tm)
		q.Set(tm, epoch.Add(time.Duration(i*1299709%3600)*time.Second))
		q.Next()
		if tm, ok := q.Pop(epoch.Add(time.Minute)); ok {
			q.Set(tm, epoch.Add(time.Hour))
		}
	}))
}

func TestMemoryReturnsAfterFlood(t *testing.T) {
	var q Queue[int]
	timers := make([]Timer[int], 100_000)
	for i := range timers {
		q.Set(&timers[i], epoch.Add(time.Duration(i)))
	}
	for i := range timers[10:] {
		require.True(t, q.Stop(&timers[i]))
	}
	require.Equal(t, 10, q.Len())
	require.LessOrEqual(t, cap(q.heap), 2*minShrink)
	for i := len(timers) - 10; i < len(timers); i++ {
		tm, ok := q.Pop(epoch.Add(time.Second))
		require.True(t, ok)
		require.Same(t, &timers[i], tm)
	}
}
