package message

import (
	"log/slog"
)

// A Message is a decoded IKE message. Its getters (m.SA(), m.Notify(t)...) are
// those of [Payloads].
type Message struct {
	Header Header
	Payloads
}

// Parse decodes a datagram: header, chain and every payload (SK and SKF stay
// encrypted). The result aliases b.
//
// Errors are of type [*ParseError]. With [ErrUnsupportedCritical] the message
// is returned beside the error, complete; with all others it is nil.
func Parse(b []byte) (*Message, error) {
	h, err := ParseHeader(b)
	if err != nil {
		return nil, err
	}
	d := &decoded{Message: Message{Header: h}}
	if e := d.decode(h.NextPayload, b[HeaderLen:], HeaderLen); e != nil {
		if e.Err == ErrUnsupportedCritical {
			return &d.Message, e
		}
		return nil, e
	}
	return &d.Message, nil
}

// AppendBinary appends the message in wire form ([encoding.BinaryAppender]).
// The header's NextPayload and Length are written as the payloads require,
// whatever the fields say; a Version of zero is written as 2.0, reserved fields
// (but ID.Reserved) as zero. Into a buffer
// with room it allocates nothing. An error means that a payload has no wire
// form, such as an SPI of 256 octets; dst is then returned unchanged.
func (m *Message) AppendBinary(dst []byte) ([]byte, error) {
	b := NewBuilder(dst, m.Header)
	for _, p := range m.Payloads {
		b.Add(p)
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
	b = append(b, ": "...)
	return string(m.Payloads.appendText(b))
}

// GoString is String: %#v shows no more than %v.
func (m Message) GoString() string { return m.String() }

// LogValue implements [slog.LogValuer] with String.
func (m Message) LogValue() slog.Value { return slog.StringValue(m.String()) }
