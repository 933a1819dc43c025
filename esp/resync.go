package esp

import (
	"sync/atomic"
)

// A receiver that has missed 2^32 packets in a row takes every packet for one
// of an earlier subspace, and none passes its integrity check any more (RFC
// 4303 appendix A3). So after so many failures in a row one packet is tried
// with the next high halves. Forged packets cannot make that dear: it costs
// resyncTries checks in resyncAfter.
const (
	resyncAfter = 1024
	resyncTries = 8
)

// failures counts packets that fail the integrity check, one after the other.
type failures struct{ n atomic.Uint32 }

// due reports whether the next packet, if it fails too, is to be tried with
// other high halves.
func (f *failures) due() bool { return f.n.Load()%resyncAfter == resyncAfter-1 }

func (f *failures) failed() { f.n.Add(1) }

// passed is for every packet, and writes to shared memory only if it must.
func (f *failures) passed() {
	if f.n.Load() != 0 {
		f.n.Store(0)
	}
}

// resynchronize tries to open the packet again that was taken for number seq,
// with greater high halves, and copies what it finds into pkt. saved is the
// packet as it came.
func (s *InboundSA) resynchronize(pkt, saved []byte, seq uint64) (uint64, bool) {
	start := espHeaderSize + s.ivSize
	x := extendeds.Get().(*extended)
	defer extendeds.Put(x)
	for range resyncTries {
		if seq += 1 << 32; seq>>32 == 0 {
			return 0, false // the end of the sequence number space
		}
		copy(pkt, saved)
		aad, tail := x.authenticated(s.cipher, pkt[:espHeaderSize], uint32(seq>>32))
		if s.cipher.Open(pkt[start:], pkt[espHeaderSize:start], aad, tail) == nil {
			return seq, true
		}
	}
	return 0, false
}
