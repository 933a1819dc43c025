package ikev2

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/internal/suite"
)

// seal protects a message: one datagram with an SK payload (RFC 7296 3.14),
// or, if that is larger than size octets with its IP and UDP headers and the
// peer takes fragments, several with SKF payloads (RFC 7383). A size of 0
// never fragments.
func (sa *ikeSA) seal(h message.Header, payloads message.Payloads, size int) ([][]byte, error) {
	if sa.keys == nil {
		return nil, errors.New("ikev2: no keys to protect a message with")
	}
	c, err := sa.keys.sealer()
	if err != nil {
		return nil, err
	}
	defer sa.keys.done(c)
	chain := message.NewChainBuilder(sa.ep.scratch[:0])
	for _, p := range payloads {
		chain.Add(p)
	}
	inner, err := chain.Finish()
	if err != nil {
		return nil, fmt.Errorf("ikev2: %w", err)
	}
	sa.ep.scratch = inner[:0]

	overhead := message.HeaderLen + 4 + c.IVSize() + c.BlockSize() + c.ICVSize() // padding and pad length: a block at most
	limit := size - sa.s.datagramOverhead()
	if size == 0 || overhead+len(inner) <= limit {
		p, err := sa.sealOne(c, h, overhead+len(inner), func(b *message.Builder) {
			b.BeginSK(c.IVSize())
			b.AddChain(chain.First(), inner)
		})
		if err != nil {
			return nil, err
		}
		return [][]byte{p}, nil
	}
	const fragmentHeader = 4
	chunk := max(limit-overhead-fragmentHeader, 64)
	total := (len(inner) + chunk - 1) / chunk
	if total > maxFragments {
		return nil, errTooLarge
	}
	packets := make([][]byte, 0, total)
	for n := 1; n <= total; n++ {
		part := inner[:min(chunk, len(inner))]
		inner = inner[len(part):]
		first := message.PayloadNone
		if n == 1 {
			first = chain.First()
		}
		p, err := sa.sealOne(c, h, overhead+fragmentHeader+len(part), func(b *message.Builder) {
			b.BeginSKF(uint16(n), uint16(total), first, c.IVSize())
			b.Append(part...)
		})
		if err != nil {
			return nil, err
		}
		packets = append(packets, p)
	}
	return packets, nil
}

// datagramOverhead is what an IKE message's datagram has besides it: IP
// without options, UDP, and the non-ESP marker.
func (s *session) datagramOverhead() int {
	if s.RemoteAddr().Is4() {
		return 20 + 8 + 4
	}
	return 40 + 8 + 4
}

// sealOne makes one datagram; content writes its SK or SKF payload.
func (sa *ikeSA) sealOne(c *suite.Cipher, h message.Header, size int, content func(b *message.Builder)) ([]byte, error) {
	b := message.NewBuilder(make([]byte, 0, size), h)
	content(&b)
	s, err := b.Seal(c.BlockSize(), c.ICVSize())
	if err != nil {
		return nil, fmt.Errorf("ikev2: %w", err)
	}
	if err := sa.nextIV(c, s.IV); err != nil {
		return nil, err
	}
	text := s.Plaintext[:len(s.Plaintext)+len(s.ICV)]
	return s.Message, c.Seal(text, s.IV, s.AAD, nil)
}

// nextIV fills iv: a counter for the modes that need uniqueness, random octets
// for CBC, which needs unpredictability.
func (sa *ikeSA) nextIV(c *suite.Cipher, iv []byte) error {
	if len(iv) == 8 && c.BlockSize() == 1 {
		sa.keys.sealedIV++
		binary.BigEndian.PutUint64(iv, sa.keys.sealedIV)
		return nil
	}
	return sa.ep.Random(iv)
}

// open checks and decrypts an SK or SKF payload in a copy of the datagram and
// returns the payloads' octets. b is not changed.
func (sa *ikeSA) open(b []byte, enc *message.RawPayload) ([]byte, error) {
	c, err := sa.keys.opener()
	if err != nil {
		return nil, err
	}
	defer sa.keys.done(c)
	body := len(enc.Body)
	if enc.Type == message.PayloadSKF {
		if body < 4 {
			return nil, errShort
		}
		body -= 4
	}
	p := append(make([]byte, 0, len(b)), b...)
	s, err := message.OpenLayout(p, p[len(p)-body:], c.IVSize(), c.ICVSize())
	if err != nil {
		return nil, err
	}
	text := s.Plaintext[:len(s.Plaintext)+len(s.ICV)]
	if err := c.Open(text, s.IV, s.AAD, nil); err != nil {
		return nil, err
	}
	return message.Unpad(s.Plaintext)
}
