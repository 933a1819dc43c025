package esp

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTableAgainstMap(t *testing.T) {
	var tab table[int]
	model := map[uint32]*int{}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		k := r.Uint32N(3000) * 0x10000 // keys that differ in high bits only
		switch r.IntN(3) {
		case 0, 1:
			v := new(int)
			require.Equal(t, model[k] == nil, tab.put(k, v))
			if model[k] == nil {
				model[k] = v
			}
		case 2:
			require.False(t, tab.remove(k, new(int)), "another value's key")
			require.Equal(t, model[k] != nil, tab.remove(k, model[k]))
			delete(model, k)
		}
		require.Equal(t, model[k], tab.get(k))
		require.Equal(t, len(model), tab.len())
	}
	for k, v := range model {
		require.Same(t, v, tab.get(k))
	}
	n := 0
	tab.clear(func(*int) { n++ })
	require.Equal(t, len(model), n)
	require.Zero(t, tab.len())
	require.Nil(t, tab.get(0))
}

// TestTableReaders: what stays is found at every moment, while others come and
// go around it and the table grows.
func TestTableReaders(t *testing.T) {
	var tab table[uint32]
	stay := make([]uint32, 200)
	for i := range stay {
		stay[i] = uint32(i * 7)
		tab.put(stay[i], &stay[i])
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	lost := make(chan uint32, 2)
	for range 2 {
		wg.Go(func() {
			for {
				for _, k := range stay {
					if v := tab.get(k); v == nil || *v != k {
						lost <- k
						return
					}
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	v := new(uint32)
	for round := range 20 {
		for i := range uint32(500) {
			tab.put(1_000_000+i*uint32(round+1), v)
		}
		for i := range uint32(500) {
			tab.remove(1_000_000+i*uint32(round+1), v)
		}
	}
	close(done)
	wg.Wait()
	require.Empty(t, lost)
}
