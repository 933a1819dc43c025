package replay

import (
	"sync"
	"sync/atomic"
)

// Limits of the window size in packets, and the default.
const (
	MinSize     = 64
	MaxSize     = 4096
	DefaultSize = 1024
)

// Window remembers which of the latest sequence numbers have been received.
// All methods may be called concurrently.
type Window struct {
	size uint64
	esn  bool
	off  bool

	mu  sync.Mutex    // held while top and ring change
	top atomic.Uint64 // the highest number accepted, 0 for none
	// ring has a bit for each number, at number modulo its length. It is
	// longer than the window by a word, so that the words which come into use
	// when the window moves are outside the window before and after (RFC 6479).
	// It is made when top is set first: many SAs see no packet.
	ring []atomic.Uint64
}

// New returns a window of at least size packets, rounded up to a multiple of
// 64 and bounded by [MinSize] and [MaxSize]; 0 means [DefaultSize]. With a
// negative size nothing is refused as a replay, which is for manually keyed
// SAs whose sender starts over (RFC 4303 section 3.4.3). esn selects extended
// sequence numbers.
func New(size int, esn bool) *Window {
	w := &Window{esn: esn, off: size < 0}
	switch {
	case size == 0:
		size = DefaultSize
	case size < MinSize:
		size = MinSize
	case size > MaxSize:
		size = MaxSize
	}
	w.size = (uint64(size) + 63) / 64 * 64
	return w
}

// Size returns the number of packets in the window.
func (w *Window) Size() int { return int(w.size) }

// Top returns the highest number accepted so far.
func (w *Window) Top() uint64 { return w.top.Load() }

// Infer returns the whole sequence number of a packet from the 32 bits that it
// carries (RFC 4303 appendix A2.2). It reports false if the packet is too old,
// has been received already, or has the number 0, which no sender uses. It
// changes nothing and takes no lock: the answer is a cheap refusal of replays
// before the integrity check, the decision is Accept's.
func (w *Window) Infer(low uint32) (seq uint64, ok bool) {
	top := w.top.Load()
	seq = w.infer(top, low)
	if seq == 0 {
		return 0, w.off && !w.esn && low == 0
	}
	if w.off || seq > top {
		return seq, true
	}
	if top-seq >= w.size {
		return seq, false
	}
	seen := w.word(seq).Load()&bit(seq) != 0
	// The bit counts only if the window stood still meanwhile.
	return seq, !seen || w.top.Load() != top
}

// infer returns the number with the given low half that lies in the window or
// the least above it, or 0 if there is none.
func (w *Window) infer(top uint64, low uint32) uint64 {
	if !w.esn {
		return uint64(low)
	}
	th, tl := top>>32, uint32(top)
	bottom := tl - uint32(w.size) + 1 // modulo 2^32
	if uint64(tl) >= w.size-1 {
		if low >= bottom { // case A: the window is within one subspace
			return th<<32 | uint64(low)
		}
		// At the end of the sequence number space this is a small number,
		// far below the window.
		return (th+1)<<32 | uint64(low)
	}
	if low >= bottom { // case B: the window begins in the subspace before
		if th == 0 {
			return 0
		}
		return (th-1)<<32 | uint64(low)
	}
	return th<<32 | uint64(low)
}

// Accept takes the packet with the number seq, whose integrity check has
// passed. It reports false if the number is a replay or too old; of two
// packets with the same number exactly one is accepted. newest tells that no
// higher number has been accepted before.
func (w *Window) Accept(seq uint64) (ok, newest bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	top := w.top.Load()
	if seq > top {
		w.move(top, seq)
		return true, true
	}
	if w.off {
		return true, false
	}
	if seq == 0 || top-seq >= w.size {
		return false, false
	}
	word, b := w.word(seq), bit(seq)
	old := word.Load()
	if old&b != 0 {
		return false, false
	}
	word.Store(old | b)
	return true, false
}

// move makes seq the top of the window.
func (w *Window) move(top, seq uint64) {
	if w.ring == nil {
		w.ring = make([]atomic.Uint64, w.size/64+1)
	}
	// The words that come into use: those after top's, up to seq's.
	n := min(seq/64-top/64, uint64(len(w.ring)))
	for i := uint64(1); i <= n; i++ {
		w.ring[(top/64+i)%uint64(len(w.ring))].Store(0)
	}
	word := w.word(seq)
	word.Store(word.Load() | bit(seq))
	w.top.Store(seq)
}

func (w *Window) word(seq uint64) *atomic.Uint64 {
	return &w.ring[seq/64%uint64(len(w.ring))]
}

func bit(seq uint64) uint64 { return 1 << (seq % 64) }
