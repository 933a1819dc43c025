package ikev2

import (
	"encoding/binary"

	"github.com/racoon3/racoon/ikev2/message"
)

const (
	// maxFragments and maxReassembled bound what one message may cost
	// (RFC 7383 gives no limit).
	maxFragments   = 256
	maxReassembled = 128 << 10
	// maxUnauthenticated is for the half-open, who need room for a chain of
	// certificates only, and are many.
	maxUnauthenticated = 32 << 10
)

// reassembly collects the fragments of one message. Each has been
// authenticated before it comes here, so only a peer with the keys can fill
// it, and an SA has one at most in each direction.
type reassembly struct {
	id    uint32
	total uint16
	have  uint16
	size  int
	first message.PayloadType
	parts [][]byte
}

// addFragment adds a decrypted fragment and returns the whole when it is
// complete. Duplicates are ignored; a message that the peer has split anew
// into more fragments replaces the old one (RFC 7383 2.6).
func (sa *ikeSA) addFragment(h message.Header, enc *message.RawPayload, text []byte) (first message.PayloadType, whole []byte, complete bool) {
	number, total := binary.BigEndian.Uint16(enc.Body), binary.BigEndian.Uint16(enc.Body[2:])
	if number == 0 || number > total || total > maxFragments {
		sa.ep.Count.Malformed++
		return 0, nil, false
	}
	if total == 1 {
		return enc.Next, text, true
	}
	slot := &sa.partial[0]
	if h.IsResponse() {
		slot = &sa.partial[1]
	}
	r := *slot
	if r == nil || r.id != h.MessageID || total > r.total {
		r = &reassembly{id: h.MessageID, total: total, parts: make([][]byte, total)}
		*slot = r
	}
	if total < r.total || r.parts[number-1] != nil || len(text) == 0 {
		return 0, nil, false
	}
	limit := maxReassembled
	if sa.state < stateEstablished {
		limit = maxUnauthenticated
	}
	if r.size += len(text); r.size > limit {
		sa.ep.Count.Limited++
		*slot = nil
		return 0, nil, false
	}
	r.parts[number-1] = text
	r.have++
	if number == 1 {
		r.first = enc.Next
	}
	if r.have < r.total {
		return 0, nil, false
	}
	*slot = nil
	whole = make([]byte, 0, r.size)
	for _, p := range r.parts {
		whole = append(whole, p...)
	}
	return r.first, whole, true
}
