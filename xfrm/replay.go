package xfrm

// Replay is the anti-replay state of an SA whose window is at most 32 packets
// (struct xfrm_replay_state, 12 octets).
type Replay struct {
	OutSeq uint32 // outbound: last number sent
	Seq    uint32 // inbound: highest number received
	Bitmap uint32 // inbound: bit 0 is Seq
}

func (r *Replay) append(b []byte) []byte {
	return append32(append32(append32(b, r.OutSeq), r.Seq), r.Bitmap)
}

// MaxReplayWindow is the largest replay window of the kernel in packets.
const MaxReplayWindow = 4096

// ReplayESN is the anti-replay state of an SA with 64-bit sequence numbers or a
// large window (struct xfrm_replay_state_esn, 24 octets and the bitmap).
// Without [FlagESN] the numbers have 32 bits, whatever their upper halves say.
type ReplayESN struct {
	OutSeq uint64 // outbound: last number sent
	Seq    uint64 // inbound: highest number received
	Window uint32 // packets, at most 32 for each word of Bitmap
	Bitmap []uint32
}

// NewReplayESN returns the state of a new SA with a window of so many packets.
func NewReplayESN(window int) *ReplayESN {
	return &ReplayESN{Window: uint32(window), Bitmap: make([]uint32, (window+31)/32)}
}

func (r *ReplayESN) append(b []byte) []byte {
	b = append32(b, uint32(len(r.Bitmap)))
	b = append32(append32(b, uint32(r.OutSeq)), uint32(r.Seq))
	b = append32(append32(b, uint32(r.OutSeq>>32)), uint32(r.Seq>>32))
	b = append32(b, r.Window)
	for _, w := range r.Bitmap {
		b = append32(b, w)
	}
	return b
}

func parseReplayESN(v []byte) (*ReplayESN, error) {
	c := cursor{b: v}
	n := c.u32()
	out, in := uint64(c.u32()), uint64(c.u32())
	r := &ReplayESN{OutSeq: out | uint64(c.u32())<<32, Seq: in | uint64(c.u32())<<32, Window: c.u32()}
	if c.short || uint64(n)*4 > uint64(len(c.b)) {
		return nil, syntaxError(AttrReplayESN, "attribute is cut short")
	}
	if n > 0 {
		r.Bitmap = make([]uint32, n)
		for i := range r.Bitmap {
			r.Bitmap[i] = c.u32()
		}
	}
	return r, nil
}
