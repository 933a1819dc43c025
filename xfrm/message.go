package xfrm

import (
	"errors"
	"fmt"
)

// ErrSyntax is what errors of [Parse] match.
var ErrSyntax = errors.New("xfrm: malformed message")

// MessageType is the type of an XFRM message.
type MessageType uint16

// Message types.
const (
	MsgNewSA       MessageType = 0x10
	MsgDelSA       MessageType = 0x11
	MsgGetSA       MessageType = 0x12
	MsgNewPolicy   MessageType = 0x13
	MsgDelPolicy   MessageType = 0x14
	MsgGetPolicy   MessageType = 0x15
	MsgAllocSPI    MessageType = 0x16
	MsgAcquire     MessageType = 0x17
	MsgExpire      MessageType = 0x18
	MsgUpdPolicy   MessageType = 0x19
	MsgUpdSA       MessageType = 0x1a
	MsgPolExpire   MessageType = 0x1b
	MsgFlushSA     MessageType = 0x1c
	MsgFlushPolicy MessageType = 0x1d
	MsgNewAE       MessageType = 0x1e
	MsgGetAE       MessageType = 0x1f
	MsgReport      MessageType = 0x20
	MsgMigrate     MessageType = 0x21
	MsgNewSADInfo  MessageType = 0x22
	MsgGetSADInfo  MessageType = 0x23
	MsgNewSPDInfo  MessageType = 0x24
	MsgGetSPDInfo  MessageType = 0x25
	MsgMapping     MessageType = 0x26
	MsgSetDefault  MessageType = 0x27
	MsgGetDefault  MessageType = 0x28
	firstMessage               = MsgNewSA
	lastKnownPlus1             = MsgGetDefault + 1
)

var messageNames = [...]string{"NEWSA", "DELSA", "GETSA", "NEWPOLICY", "DELPOLICY", "GETPOLICY", "ALLOCSPI",
	"ACQUIRE", "EXPIRE", "UPDPOLICY", "UPDSA", "POLEXPIRE", "FLUSHSA", "FLUSHPOLICY", "NEWAE", "GETAE", "REPORT",
	"MIGRATE", "NEWSADINFO", "GETSADINFO", "NEWSPDINFO", "GETSPDINFO", "MAPPING", "SETDEFAULT", "GETDEFAULT"}

// String is the name in the kernel's header, without its prefix: "NEWSA".
func (t MessageType) String() string {
	if t >= firstMessage && t < lastKnownPlus1 {
		return messageNames[t-firstMessage]
	}
	return fmt.Sprintf("MessageType(%#x)", uint16(t))
}

// A Message is the body of an XFRM message: what follows the netlink header.
// It is one of the types of this package, such as *[NewSA] and *[Acquire].
type Message interface {
	MessageType() MessageType
	// Append appends the message in the kernel's layout and byte order. It
	// allocates nothing if b has room.
	Append(b []byte) []byte
}

// parser is what every Message can do.
type parser interface {
	Message
	parse(b []byte) error
}

// Parse reads the body of a message. Whatever the input, it does not panic,
// and allocates at most a small multiple of its size. Attributes that this
// package does not know are kept, and share memory with b; nothing else does.
// An error is a *[ParseError].
func Parse(t MessageType, b []byte) (Message, error) {
	m := newMessage(t)
	if m == nil {
		return nil, &ParseError{Message: t, Reason: "unknown message type"}
	}
	return m, parseInto(m, b)
}

func parseInto(m parser, b []byte) error {
	err := m.parse(b)
	if pe := (*ParseError)(nil); errors.As(err, &pe) {
		pe.Message = m.MessageType()
	}
	return err
}

func newMessage(t MessageType) parser {
	switch t {
	case MsgNewSA:
		return new(NewSA)
	case MsgDelSA:
		return new(DelSA)
	case MsgGetSA:
		return new(GetSA)
	case MsgNewPolicy:
		return new(NewPolicy)
	case MsgDelPolicy:
		return new(DelPolicy)
	case MsgGetPolicy:
		return new(GetPolicy)
	case MsgAllocSPI:
		return new(AllocSPI)
	case MsgAcquire:
		return new(Acquire)
	case MsgExpire:
		return new(Expire)
	case MsgUpdPolicy:
		return new(UpdPolicy)
	case MsgUpdSA:
		return new(UpdSA)
	case MsgPolExpire:
		return new(PolExpire)
	case MsgFlushSA:
		return new(FlushSA)
	case MsgFlushPolicy:
		return new(FlushPolicy)
	case MsgNewAE:
		return new(NewAE)
	case MsgGetAE:
		return new(GetAE)
	case MsgReport:
		return new(Report)
	case MsgMigrate:
		return new(Migrate)
	case MsgNewSADInfo:
		return new(NewSADInfo)
	case MsgGetSADInfo:
		return new(GetSADInfo)
	case MsgNewSPDInfo:
		return new(NewSPDInfo)
	case MsgGetSPDInfo:
		return new(GetSPDInfo)
	case MsgMapping:
		return new(Mapping)
	case MsgSetDefault:
		return new(SetDefault)
	case MsgGetDefault:
		return new(GetDefault)
	}
	return nil
}

// finish turns what a cursor has met into an error.
func (c *cursor) finish() error {
	if c.short {
		return syntaxError(0, "message is cut short")
	}
	return nil
}
