package xfrm

import (
	"bytes"
	"encoding/binary"
	"iter"
)

// A Header is that of a netlink message (16 octets).
type Header struct {
	Type  uint16 // a MessageType, or one of the control types
	Flags uint16
	Seq   uint32
	Port  uint32 // of the sender's socket; 0 is the kernel
}

// Netlink control types and flags.
const (
	CtlNoop  uint16 = 1
	CtlError uint16 = 2 // also the acknowledgement, with error 0
	CtlDone  uint16 = 3 // end of a dump

	FlagRequest uint16 = 0x001
	FlagMulti   uint16 = 0x002 // part of a dump
	FlagAck     uint16 = 0x004
	FlagReplace uint16 = 0x100
	FlagExcl    uint16 = 0x200
	FlagDump    uint16 = 0x300
	FlagCreate  uint16 = 0x400

	flagCapped  uint16 = 0x100 // an error message does not repeat the request
	flagAckTLVs uint16 = 0x200 // an error message has attributes
)

const headerSize = 16

// AppendMessage appends a netlink message with a body that f appends.
func AppendMessage(b []byte, h Header, f func(b []byte) []byte) []byte {
	at := len(b)
	b = append16(append16(append32(b, 0), h.Type), h.Flags)
	b = append32(append32(b, h.Seq), h.Port)
	if f != nil {
		b = f(b)
	}
	binary.NativeEndian.PutUint32(b[at:], uint32(len(b)-at))
	return pad(b, -(len(b)-at)&3)
}

// Messages takes a datagram apart. It stops at an error, which wraps
// [ErrSyntax]. Bodies share memory with the datagram.
func Messages(datagram []byte) iter.Seq2[Header, Body] {
	return func(yield func(Header, Body) bool) {
		for b := datagram; len(b) > 0; {
			c := cursor{b: b}
			n := uint64(c.u32())
			h := Header{c.u16(), c.u16(), c.u32(), c.u32()}
			if c.short || n < headerSize || n > uint64(len(b)) {
				yield(h, Body{Err: &ParseError{Reason: "message length is wrong"}})
				return
			}
			if !yield(h, Body{Data: b[headerSize:n:n]}) {
				return
			}
			b = b[min((n+3)&^3, uint64(len(b))):]
		}
	}
}

// A Body is what follows the header of a netlink message, or why there is none.
type Body struct {
	Data []byte
	Err  error
}

// AppendAck appends the answer to a request: an error, or with 0 the
// acknowledgement.
func AppendAck(b []byte, request Header, errno Errno, text string) []byte {
	h := Header{Type: CtlError, Flags: flagCapped, Seq: request.Seq, Port: request.Port}
	if text != "" {
		h.Flags |= flagAckTLVs
	}
	return AppendMessage(b, h, func(b []byte) []byte {
		b = append32(b, uint32(-int32(errno)))
		b = AppendMessage(b, request, nil)
		if text != "" {
			b = appendAttr(b, ackText, append([]byte(text), 0))
		}
		return b
	})
}

// ackText is the attribute type of the kernel's explanation of an error.
const ackText AttributeType = 1

// maxText bounds what of the kernel's explanation is kept.
const maxText = 256

// parseAck reads the body of a CtlError message, or of a CtlDone one, which has
// no repetition of the request.
func parseAck(h Header, b []byte) (Errno, string, error) {
	c := cursor{b: b}
	errno := -int32(c.u32())
	if c.short {
		if h.Type == CtlDone {
			return 0, "", nil
		}
		return 0, "", &ParseError{Reason: "error message is cut short"}
	}
	if errno < 0 || errno > 4095 {
		return 0, "", &ParseError{Reason: "error number is out of range"}
	}
	if errno == 0 || h.Flags&flagAckTLVs == 0 {
		return Errno(errno), "", nil
	}
	if h.Type == CtlError {
		n := uint64(c.u32())
		if h.Flags&flagCapped != 0 {
			n = headerSize
		}
		n = max(n, 4)
		c.skip(int(min((n+3)&^3-4, uint64(len(c.b)))))
	}
	var text string
	_ = attributes(c.b, func(t AttributeType, v []byte) error { // what is wrong with it does not change the error number
		if t == ackText {
			v, _, _ = bytes.Cut(v, []byte{0})
			text = printable(v[:min(len(v), maxText)])
		}
		return nil
	})
	return Errno(errno), text, nil
}

// printable replaces what would disturb a log.
func printable(b []byte) string {
	return string(bytes.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return '?'
		}
		return r
	}, b))
}
