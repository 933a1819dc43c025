package pfkey

import (
	"errors"
	"fmt"
)

const (
	headerSize    = 16
	extHeaderSize = 4
	version       = 2 // PF_KEY_V2

	// MaxMessage is how long a message can be: its length field counts 8 octets
	// in 16 bits. A kernel's are shorter, but an ACQUIRE can have several KiB.
	MaxMessage = 65535 * 8
)

// A Header begins every message (RFC 2367 2.3).
type Header struct {
	Version uint8 // 0 stands for 2, PF_KEYv2, in Append
	Type    MsgType
	Errno   uint8 // the system's number, see [Dialect.Errno]; 0 in requests
	SAType  SAType
	Seq     uint32
	PID     uint32

	// Refs is what some kernels put where requests have 0: how many references
	// to the SA or policy there are. Append leaves it out.
	Refs uint16
}

// A Message is a decoded PF_KEY message. Extensions are in their order on the
// wire; there is at most one of a type.
type Message struct {
	Header
	Exts []Extension

	// Inner is what an X_PROMISC message from the kernel wraps: a message as it
	// was written (RFC 2367 3.1.11).
	Inner []byte
}

// An Extension is one of the pointer types of this package: [*SA],
// [*Lifetime], [*Address] and so on; [*Unknown] for what it has no struct for.
type Extension interface {
	// Ext returns the extension's type.
	Ext() ExtType
	// appendBody appends what follows length and type; the caller pads.
	appendBody(d *Dialect, b []byte) ([]byte, error)
}

// ErrMessage is what errors about messages that cannot be decoded or encoded
// wrap.
var ErrMessage = errors.New("pfkey: invalid message")

// A ParseError tells what in a message is malformed. It wraps [ErrMessage].
type ParseError struct {
	Offset int     // of the extension in the message, 0 for the header
	Ext    ExtType // 0 for the header
	Reason string
}

func (e *ParseError) Error() string {
	if e.Offset == 0 {
		return fmt.Sprintf("%v: header: %s", ErrMessage, e.Reason)
	}
	return fmt.Sprintf("%v: %v at octet %d: %s", ErrMessage, e.Ext, e.Offset, e.Reason)
}

// Unwrap returns [ErrMessage].
func (e *ParseError) Unwrap() error { return ErrMessage }

// Find returns the extension of a type, nil if the message has none.
func (m *Message) Find(t ExtType) Extension {
	for _, e := range m.Exts {
		if e.Ext() == t {
			return e
		}
	}
	return nil
}

func find[T Extension](m *Message, t ExtType) (none T) {
	if e, ok := m.Find(t).(T); ok {
		return e
	}
	return none
}

// SA returns the SA extension, nil if there is none.
func (m *Message) SA() *SA { return find[*SA](m, ExtSA) }

// SA2 returns the X_SA2 extension, nil if there is none.
func (m *Message) SA2() *SA2 { return find[*SA2](m, ExtSA2) }

// Policy returns the X_POLICY extension, nil if there is none.
func (m *Message) Policy() *Policy { return find[*Policy](m, ExtPolicy) }

// Proposal returns the PROPOSAL extension, nil if there is none.
func (m *Message) Proposal() *Proposal { return find[*Proposal](m, ExtProposal) }

// Address returns an extension that holds an address, nil if there is none.
func (m *Message) Address(t ExtType) *Address { return find[*Address](m, t) }

// Lifetime returns a lifetime extension, nil if there is none.
func (m *Message) Lifetime(t ExtType) *Lifetime { return find[*Lifetime](m, t) }

// Key returns a key extension, nil if there is none.
func (m *Message) Key(t ExtType) *Key { return find[*Key](m, t) }

// Supported returns a list of algorithms, nil if there is none.
func (m *Message) Supported(t ExtType) *Supported { return find[*Supported](m, t) }

// Identity returns an identity extension, nil if there is none.
func (m *Message) Identity(t ExtType) *Identity { return find[*Identity](m, t) }

// port returns the value of a NAT-T port extension, 0 if there is none.
func (m *Message) port(t ExtType) uint16 {
	if p := find[*NATTPort](m, t); p != nil {
		return p.Port
	}
	return 0
}

// Append appends the message to b as the system writes it. On error b is
// returned as it was.
func (d *Dialect) Append(b []byte, m *Message) ([]byte, error) {
	typ, ok := d.msgs.toRaw(uint32(m.Type), uint32(unknownMsg))
	if !ok || typ > 255 {
		return b, fmt.Errorf("%w: %s has no %v", ErrMessage, d.name, m.Type)
	}
	satype, ok := d.saTypes.toRaw(uint32(m.SAType), uint32(unknownSAType))
	if m.Type == MsgPromisc && m.SAType <= 255 {
		satype, ok = uint32(m.SAType), true // on or off (RFC 2367 3.1.11)
	}
	if !ok || satype > 255 {
		return b, fmt.Errorf("%w: %s has no SA type %v", ErrMessage, d.name, m.SAType)
	}
	v := m.Version
	if v == 0 {
		v = version
	}
	start := len(b)
	r := append(b, v, byte(typ), m.Errno, byte(satype), 0, 0, 0, 0)
	r = d.order.AppendUint32(r, m.Seq)
	r = d.order.AppendUint32(r, m.PID)
	for _, e := range m.Exts {
		var err error
		if r, err = d.appendExt(r, e); err != nil {
			clear(r[start:]) // keys
			return b, err
		}
	}
	r = append(r, m.Inner...)
	n := len(r) - start
	if n%8 != 0 || n > MaxMessage {
		clear(r[start:])
		return b, fmt.Errorf("%w: %v of %d octets", ErrMessage, m.Type, n)
	}
	d.order.PutUint16(r[start+4:], uint16(n/8))
	return r, nil
}

func (d *Dialect) appendExt(b []byte, e Extension) ([]byte, error) {
	if e == nil {
		return b, fmt.Errorf("%w: an extension is nil", ErrMessage)
	}
	t := e.Ext()
	raw, ok := d.exts.toRaw(uint32(t), uint32(unknownExt))
	if !ok || raw > 65535 {
		return b, fmt.Errorf("%w: %s has no extension %v", ErrMessage, d.name, t)
	}
	start := len(b)
	b = append(b, 0, 0, 0, 0)
	d.order.PutUint16(b[start+2:], uint16(raw))
	b, err := e.appendBody(d, b)
	if err != nil {
		return b, fmt.Errorf("%w: %v: %w", ErrMessage, t, err)
	}
	for (len(b)-start)%8 != 0 {
		b = append(b, 0)
	}
	n := (len(b) - start) / 8
	if n > 65535 {
		return b, fmt.Errorf("%w: %v of %d octets", ErrMessage, t, n*8)
	}
	d.order.PutUint16(b[start:], uint16(n))
	return b, nil
}
