package isakmp

import (
	"encoding/binary"
	"strconv"

	"github.com/racoon3/racoon/internal/trace"
)

// Fragment is the payload of Cisco's IKE fragmentation, of which there is no
// RFC: a piece of a whole ISAKMP message, header included, cut before any
// fragmentation and after encryption. It is the only payload of its message.
type Fragment struct {
	ID    uint16 // the same in all fragments of a message; many senders always say 1
	Index uint8  // from 1
	Flags uint8  // FragmentLast, and bits without a known meaning
	Data  []byte
}

// FragmentLast is the flag of the last fragment of a message.
const FragmentLast = 0x01

// FragmentLen is the length of what a fragment adds to its data in octets: the
// generic header and the fields. The ISAKMP header comes on top.
const FragmentLen = 8

// PayloadType returns PayloadFragment.
func (Fragment) PayloadType() PayloadType { return PayloadFragment }

// Last reports whether it is the last fragment of a message.
func (p *Fragment) Last() bool { return p.Flags&FragmentLast != 0 }

func (p *Fragment) parse(b []byte) *ParseError {
	if len(b) < 4 {
		return syntaxError(PayloadFragment, len(b), "fragment is cut short")
	}
	p.ID, p.Index, p.Flags, p.Data = binary.BigEndian.Uint16(b), b[2], b[3], b[4:]
	if f := p.fault(); f != "" {
		return syntaxError(PayloadFragment, 2, f)
	}
	return nil
}

// AppendBody appends the payload without its generic header.
func (p Fragment) AppendBody(dst []byte) []byte {
	dst = append(dst, byte(p.ID>>8), byte(p.ID), p.Index, p.Flags)
	return append(dst, p.Data...)
}

func (p *Fragment) fault() string {
	switch {
	case p.Index == 0:
		return "fragment 0"
	case len(p.Data) == 0:
		return "fragment without data"
	}
	return ""
}

// String returns the payload as a trace shows it.
func (p Fragment) String() string { return string(p.appendText(nil)) }

func (p Fragment) appendText(b []byte) []byte {
	b = strconv.AppendUint(append(b, "FRAG("...), uint64(p.Index), 10)
	if p.Last() {
		b = append(b, " last"...)
	}
	b = strconv.AppendUint(append(b, " of "...), uint64(p.ID), 10)
	return append(trace.AppendOctets(append(b, ' '), len(p.Data)), ')')
}
