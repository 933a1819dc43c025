package isakmp

import (
	"log/slog"

	"github.com/racoon3/racoon/internal/trace"
)

// A Message is a decoded ISAKMP message. Its getters (m.SA(), m.Notify(t)...)
// are those of [Payloads].
type Message struct {
	Header Header
	Payloads
	// Ciphertext is what follows the header of an encrypted message, which has
	// no Payloads then.
	Ciphertext []byte
	// Chain holds the octets of each payload, for the hashes of RFC 2409 5.
	// AppendBinary does not look at it.
	Chain Chain
}

// Parse decodes a datagram: header, chain and every payload; of an encrypted
// message only the header. The result aliases b. Errors are of type
// [*ParseError].
func Parse(b []byte) (*Message, error) {
	h, err := ParseHeader(b)
	if err != nil {
		return nil, err
	}
	d := &decoded{Message: Message{Header: h}}
	if h.Encrypted() {
		d.Ciphertext = b[HeaderLen:]
		return &d.Message, nil
	}
	w := walker{body: b, off: HeaderLen, next: h.NextPayload}
	if d.Chain, err = w.chain(false); err != nil {
		return nil, err
	}
	if e := d.decode(d.Chain); e != nil {
		return nil, e
	}
	return &d.Message, nil
}

// AppendBinary appends the message in wire form ([encoding.BinaryAppender]):
// the payloads in clear, or after the header of an encrypted message its
// Ciphertext. The header's Length, and NextPayload unless encrypted, are
// written as the content requires, whatever the fields say; a Version of zero
// is written as 1.0, reserved fields as zero. Into a buffer with room it
// allocates nothing. An error means that a payload has no wire form, such as
// an SPI of 256 octets; dst is then returned unchanged.
func (m *Message) AppendBinary(dst []byte) ([]byte, error) {
	b := NewBuilder(dst, m.Header)
	if m.Header.Encrypted() {
		b.buf[b.start+16] = byte(m.Header.NextPayload)
		b.buf = append(b.buf, m.Ciphertext...)
	} else {
		for _, p := range m.Payloads {
			b.Add(p)
		}
	}
	out, err := b.Finish()
	if err != nil {
		return dst, err
	}
	return out, nil
}

// maxTrace bounds the text of a message in octets: a log line, whatever a peer
// sends.
const maxTrace = 16 << 10

// String returns the message as one line of a trace.
func (m Message) String() string {
	b := m.Header.appendText(nil)
	if m.Header.Encrypted() {
		return string(trace.AppendOctets(append(b, ": "...), len(m.Ciphertext)))
	}
	b = append(b, ": "...)
	return string(m.Payloads.appendText(b))
}

// GoString is String: %#v shows no more than %v.
func (m Message) GoString() string { return m.String() }

// LogValue implements [slog.LogValuer] with String.
func (m Message) LogValue() slog.Value { return slog.StringValue(m.String()) }
