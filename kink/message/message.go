package message

import (
	"encoding/binary"
	"fmt"
	"log/slog"
)

// A Key is the session key of a Kerberos ticket as KINK uses it, with the key
// usage numbers of RFC 4430 8. Package kink/krb has one.
type Key interface {
	// Seal encrypts b[off:], which begins with the confounder, in place
	// (RFC 3961's encrypt function), and appends what the function adds.
	Seal(b []byte, off int) ([]byte, error)
	// Open decrypts the output of Seal into a new slice, without the
	// confounder. There may be padding at its end.
	Open(ciphertext []byte) ([]byte, error)
	// AppendChecksum appends the checksum over header and rest to dst, which
	// may share the array of rest.
	AppendChecksum(dst, header, rest []byte) ([]byte, error)
	// VerifyChecksum reports whether sum is the checksum over header and rest.
	VerifyChecksum(header, rest, sum []byte) bool
}

// A Message is one KINK message. Its getters (m.APReq(), m.Error()...) are those
// of [Payloads]. What a KINK_ENCRYPT payload holds is not among the Payloads:
// see [Message.Open].
type Message struct {
	Header Header
	Payloads
	// Checksum is the Cksum field, empty for a message without.
	Checksum []byte

	octets []byte // header and payloads as received
}

// Parse decodes a datagram. The result aliases b. Errors are of type
// [*ParseError]; when the header could be read at all, [ParseHeader] still
// returns it, for an answer.
func Parse(b []byte) (*Message, error) {
	h, f, e := parseHeader(b)
	if e != nil {
		return nil, e
	}
	end := f.length - f.cksum
	m := &Message{Header: h, Checksum: b[end:f.length:f.length], octets: b[:end:end]}
	if f.cksum > 0 && end%4 != 0 {
		return nil, &ParseError{Offset: 14, Err: ErrLength, Reason: "checksum is not aligned"}
	}
	if m.Payloads, e = parsePayloads(f.first, b[HeaderLen:end], HeaderLen, false); e != nil {
		return nil, e
	}
	return m, nil
}

// Verify checks the checksum of a message that was parsed (RFC 4430 4). The
// error is [ErrNoChecksum] or [ErrChecksum].
func (m *Message) Verify(k Key) error {
	if len(m.Checksum) == 0 || len(m.octets) < HeaderLen {
		return ErrNoChecksum
	}
	var head [HeaderLen]byte
	copy(head[:], m.octets)
	binary.BigEndian.PutUint16(head[2:], uint16(len(m.octets)))
	head[14], head[15] = 0, 0
	if !k.VerifyChecksum(head[:], m.octets[HeaderLen:], m.Checksum) {
		return ErrChecksum
	}
	return nil
}

// Open returns the payloads of the message with those of its KINK_ENCRYPT
// payload, decrypted, in its place. Without one it returns the Payloads. The
// error is [ErrDecrypt], possibly wrapped, or a [*ParseError] whose offset
// counts in the decrypted octets.
func (m *Message) Open(k Key) (Payloads, error) {
	enc := m.Encrypt()
	if enc == nil {
		return m.Payloads, nil
	}
	text, err := k.Open(enc.Ciphertext)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDecrypt, err)
	}
	inner, e := parseInner(text)
	if e != nil {
		return nil, e
	}
	outer := m.Payloads[:len(m.Payloads)-1] // KINK_ENCRYPT is the last one
	return append(append(make(Payloads, 0, len(outer)+len(inner)), outer...), inner...), nil
}

// parseInner decodes what was in a KINK_ENCRYPT payload: the type of the first
// payload, three reserved octets, the payloads, and padding of the cipher.
func parseInner(text []byte) (Payloads, *ParseError) {
	if len(text) < genericLen {
		return nil, syntaxError(PayloadEncrypt, len(text), "ends before the type of the first payload")
	}
	ps, e := parsePayloads(PayloadType(text[0]), text[genericLen:], genericLen, true)
	if e != nil {
		return nil, e
	}
	// A key is needed to say who sends a message, and KINK_ENCRYPT ends a chain.
	for _, t := range []PayloadType{PayloadEncrypt, PayloadAPReq, PayloadAPRep, PayloadTGTReq, PayloadTGTRep} {
		if ps.has(t) {
			return nil, &ParseError{Payload: t, Err: ErrUnexpectedPayload, Reason: "inside KINK_ENCRYPT"}
		}
	}
	return ps, nil
}

// AppendBinary appends the message in wire form ([encoding.BinaryAppender]),
// with its Checksum as it is. Reserved fields and padding are written as zero.
// Without a checksum the last payload is padded only if it was when the message
// was parsed.
// An error means that the message has no wire form, such as one of more than
// 65,535 octets; dst is then returned unchanged.
func (m *Message) AppendBinary(dst []byte) ([]byte, error) {
	b := NewBuilder(dst, m.Header)
	for _, p := range m.Payloads {
		b.Add(p)
	}
	out, err := b.finish(m.Checksum, len(m.Checksum) > 0 || len(m.octets) > 0 && len(m.octets)%4 == 0)
	if err != nil {
		return dst, err
	}
	return out, nil
}

// String returns the message as one line of a trace.
func (m Message) String() string {
	b := append(m.Header.appendText(nil), ": "...)
	b = m.Payloads.appendText(b)
	if len(m.Checksum) == 0 {
		b = append(b, " without checksum"...)
	}
	return string(b)
}

// GoString is String: %#v shows no more than %v.
func (m Message) GoString() string { return m.String() }

// LogValue implements [slog.LogValuer] with String.
func (m Message) LogValue() slog.Value { return slog.StringValue(m.String()) }
