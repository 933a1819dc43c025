package ikev2

import (
	"encoding/binary"
	"errors"

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
	const skOverhead, skfOverhead = message.HeaderLen + 4, message.HeaderLen + 8
	c, err := sa.keys.sealer()
	if err != nil {
		return nil, err
	}
	defer sa.keys.done(c)
	crypto := c.IVSize() + c.ICVSize() + 1 + c.BlockSize() - 1
	first, inner := appendPayloads(sa.ep.scratch[:0], payloads)
	sa.ep.scratch = inner[:0]
	// IP (without options), UDP, non-ESP marker.
	limit := size - 20 - 8 - 4
	if sa.s.path.Remote.Addr().Is6() && !sa.s.path.Remote.Addr().Is4In6() {
		limit -= 20
	}
	if size == 0 || skOverhead+crypto+len(inner) <= limit {
		p, err := sa.sealOne(c, h, message.PayloadSK, first, 0, 0, inner)
		if err != nil {
			return nil, err
		}
		return [][]byte{p}, nil
	}
	chunk := max(limit-skfOverhead-crypto, 64)
	total := (len(inner) + chunk - 1) / chunk
	if total > maxFragments {
		return nil, errTooLarge
	}
	packets := make([][]byte, 0, total)
	for n := 1; n <= total; n++ {
		part := inner[:min(chunk, len(inner))]
		inner = inner[len(part):]
		next := message.PayloadNone
		if n == 1 {
			next = first
		}
		p, err := sa.sealOne(c, h, message.PayloadSKF, next, uint16(n), uint16(total), part)
		if err != nil {
			return nil, err
		}
		packets = append(packets, p)
	}
	return packets, nil
}

// sealOne makes one datagram with an SK or SKF payload around text.
func (sa *ikeSA) sealOne(c *suite.Cipher, h message.Header, t, first message.PayloadType, number, total uint16, text []byte) ([]byte, error) {
	bodyStart := message.HeaderLen + 4
	if t == message.PayloadSKF {
		bodyStart += 4
	}
	pad := 0
	if b := c.BlockSize(); b > 1 {
		pad = (b - (len(text)+1)%b) % b
	}
	n := bodyStart + c.IVSize() + len(text) + pad + 1 + c.ICVSize()
	h.NextPayload, h.Length = t, uint32(n)
	p := h.Append(make([]byte, 0, n))
	p = append(p, byte(first), 0)
	p = binary.BigEndian.AppendUint16(p, uint16(n-message.HeaderLen))
	if n-message.HeaderLen > 0xffff {
		return nil, errTooLarge
	}
	if t == message.PayloadSKF {
		p = binary.BigEndian.AppendUint16(p, number)
		p = binary.BigEndian.AppendUint16(p, total)
	}
	p = p[:n]
	iv, buf := p[bodyStart:bodyStart+c.IVSize()], p[bodyStart+c.IVSize():]
	if err := sa.nextIV(c, iv); err != nil {
		return nil, err
	}
	copy(buf, text)
	buf[len(text)+pad] = byte(pad)
	return p, c.Seal(buf, iv, p[:bodyStart], nil)
}

// nextIV fills iv: a counter for the modes that need uniqueness, random octets
// for CBC, which needs unpredictability.
func (sa *ikeSA) nextIV(c *suite.Cipher, iv []byte) error {
	if len(iv) == 8 && c.BlockSize() == 1 {
		sa.keys.sealedIV++
		binary.BigEndian.PutUint64(iv, sa.keys.sealedIV)
		return nil
	}
	return sa.ep.random(iv)
}

// appendPayloads appends a chain of payloads and returns the type of the
// first.
func appendPayloads(dst []byte, payloads message.Payloads) (message.PayloadType, []byte) {
	for i, p := range payloads {
		next := message.PayloadNone
		if i+1 < len(payloads) {
			next = payloads[i+1].PayloadType()
		}
		start := len(dst)
		dst = append(dst, byte(next), 0, 0, 0)
		dst = p.AppendBody(dst)
		binary.BigEndian.PutUint16(dst[start+2:], uint16(len(dst)-start))
	}
	if len(payloads) == 0 {
		return message.PayloadNone, dst
	}
	return payloads[0].PayloadType(), dst
}

// open checks and decrypts an SK or SKF payload in a copy of the datagram and
// returns the payloads' octets. b is not changed.
func (sa *ikeSA) open(b []byte, enc *message.RawPayload) ([]byte, error) {
	c, err := sa.keys.opener()
	if err != nil {
		return nil, err
	}
	defer sa.keys.done(c)
	body := enc.Body
	if enc.Type == message.PayloadSKF {
		if len(body) < 4 {
			return nil, errShort
		}
		body = body[4:]
	}
	if len(body) < c.IVSize()+c.ICVSize()+1 {
		return nil, errShort
	}
	start := len(b) - len(body)
	p := append(make([]byte, 0, len(b)), b...)
	buf := p[start+c.IVSize():]
	if err := c.Open(buf, p[start:start+c.IVSize()], p[:start], nil); err != nil {
		return nil, err
	}
	text := buf[:len(buf)-c.ICVSize()]
	pad := int(text[len(text)-1])
	if pad+1 > len(text) {
		return nil, errPadding
	}
	return text[: len(text)-pad-1 : len(text)-pad-1], nil
}
