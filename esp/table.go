package esp

import (
	"sync"
	"sync/atomic"
)

// table maps 32-bit keys, SPIs and reqids, to values. Readers take no lock and
// allocate nothing; writers take turns. (A sync.Map would box each key.)
type table[V any] struct {
	mu      sync.Mutex
	n       int
	buckets atomic.Pointer[[]atomic.Pointer[entry[V]]]
}

// entry is a link of a bucket's list. Links never change, except that the
// next of one is replaced as a whole when another is removed.
type entry[V any] struct {
	key   uint32
	value *V
	next  atomic.Pointer[entry[V]]
}

const minBuckets = 64

// bucket spreads keys: reqids count upwards, and SPIs of manual keys do too.
func bucket(key uint32, n int) int { return int(uint64(key*0x9e3779b1) * uint64(n) >> 32) }

func (t *table[V]) get(key uint32) *V {
	b := t.buckets.Load()
	if b == nil {
		return nil
	}
	for e := (*b)[bucket(key, len(*b))].Load(); e != nil; e = e.next.Load() {
		if e.key == key {
			return e.value
		}
	}
	return nil
}

// put adds a value and reports whether the key was free.
func (t *table[V]) put(key uint32, v *V) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.get(key) != nil {
		return false
	}
	b := t.buckets.Load()
	if b == nil || t.n >= 2*len(*b) {
		b = t.grow(b)
	}
	link(*b, key, v)
	t.n++
	return true
}

// grow makes a table of more buckets beside the old one, which readers may
// still be walking.
func (t *table[V]) grow(old *[]atomic.Pointer[entry[V]]) *[]atomic.Pointer[entry[V]] {
	b := make([]atomic.Pointer[entry[V]], max(minBuckets, 4*t.n))
	if old != nil {
		for i := range *old {
			for e := (*old)[i].Load(); e != nil; e = e.next.Load() {
				link(b, e.key, e.value)
			}
		}
	}
	t.buckets.Store(&b)
	return &b
}

func link[V any](b []atomic.Pointer[entry[V]], key uint32, v *V) {
	e := &entry[V]{key: key, value: v}
	head := &b[bucket(key, len(b))]
	e.next.Store(head.Load())
	head.Store(e)
}

// remove removes the key if it has the value v.
func (t *table[V]) remove(key uint32, v *V) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.buckets.Load()
	if b == nil {
		return false
	}
	at := &(*b)[bucket(key, len(*b))]
	for e := at.Load(); e != nil; e = at.Load() {
		if e.key == key && e.value == v {
			at.Store(e.next.Load())
			t.n--
			return true
		}
		at = &e.next
	}
	return false
}

// len returns the number of keys.
func (t *table[V]) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}

// clear removes all keys, after telling each value.
func (t *table[V]) clear(each func(*V)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if b := t.buckets.Load(); b != nil {
		for i := range *b {
			for e := (*b)[i].Load(); e != nil; e = e.next.Load() {
				each(e.value)
			}
		}
	}
	t.buckets.Store(nil)
	t.n = 0
}
