package ikev1

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/racoon3/racoon/ikev1/isakmp"
)

// A Router tells which of several endpoints a datagram is for. The header of
// ISAKMP has both cookies and does not say who sent it, so our cookies are made
// to be recognised: the endpoint's Tag, four random octets, and a keyed check
// over both. It is safe for concurrent use.
type Router struct{ check cipher.Block }

// NewRouter returns a Router with a key of its own.
func NewRouter(rand io.Reader) (*Router, error) {
	key := make([]byte, 16)
	if _, err := io.ReadFull(rand, key); err != nil {
		return nil, fmt.Errorf("ikev1: random source failed: %w", err)
	}
	b, err := aes.NewCipher(key)
	return &Router{b}, err
}

// Route returns the Tag of the endpoint that a datagram is for. With initial
// set it is a first message, which names no endpoint yet: the driver picks one,
// the same for all that come from an address, so that an endpoint knows the
// peer when it begins another ISAKMP SA. It reports false for what is no IKEv1
// message of ours.
func (r *Router) Route(b []byte) (tag uint8, initial, ok bool) {
	if len(b) < isakmp.HeaderLen || isakmp.Version(b[17]).Major() != 1 {
		return 0, false, false
	}
	i, p := binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	switch {
	case p == 0:
		return 0, true, true
	case r.mark(p) == p:
		return b[8], false, true
	case r.mark(i) == i:
		return b[0], false, true
	}
	return 0, false, false
}

// mark puts the check into the last three octets of a cookie.
func (r *Router) mark(cookie uint64) uint64 {
	var block [16]byte
	binary.BigEndian.PutUint64(block[:], cookie&^0xffffff)
	r.check.Encrypt(block[:], block[:])
	return cookie&^0xffffff | binary.BigEndian.Uint64(block[:])&0xffffff
}
