package message

import (
	"encoding/binary"
	"strconv"

	"github.com/racoon3/racoon/internal/trace"
)

// SK is the Encrypted payload (RFC 7296 3.14). It is the last of its message.
type SK struct {
	Critical bool
	First    PayloadType // type of the first payload inside, PayloadNone if there is none
	Body     []byte      // IV, ciphertext with padding and pad length, ICV
}

// PayloadType returns PayloadSK.
func (SK) PayloadType() PayloadType { return PayloadSK }

// AppendBody appends the payload without its generic header.
func (p SK) AppendBody(dst []byte) []byte { return append(dst, p.Body...) }

func (*SK) fault() string { return "" }

// String returns the payload as a trace shows it.
func (p SK) String() string { return string(p.appendText(nil)) }

func (p SK) appendText(b []byte) []byte {
	return append(trace.AppendOctets(append(b, "SK("...), len(p.Body)), ')')
}

// SKF is the Encrypted Fragment payload (RFC 7383 2.5). It is the last of its
// message.
type SKF struct {
	Critical      bool
	First         PayloadType // in fragment 1: type of the first payload inside; else PayloadNone
	Number, Total uint16      // fragment Number of Total, 1 <= Number <= Total
	Body          []byte      // IV, ciphertext with padding and pad length, ICV
}

// PayloadType returns PayloadSKF.
func (SKF) PayloadType() PayloadType { return PayloadSKF }

func (p *SKF) parse(b []byte) *ParseError {
	if len(b) < 4 {
		return syntaxError(PayloadSKF, len(b), "fragment is cut short")
	}
	p.Number, p.Total, p.Body = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), b[4:]
	if f := p.fault(); f != "" {
		return syntaxError(PayloadSKF, 0, f)
	}
	return nil
}

// fault applies RFC 7383 2.5 and 2.6: numbers start at 1, Number is at most
// Total, and only the first fragment names an inner payload.
func (p *SKF) fault() string {
	if p.Number == 0 || p.Number > p.Total {
		return "fragment " + strconv.Itoa(int(p.Number)) + " of " + strconv.Itoa(int(p.Total))
	}
	if p.Number > 1 && p.First != PayloadNone {
		return "next payload in fragment " + strconv.Itoa(int(p.Number))
	}
	return ""
}

// AppendBody appends the payload without its generic header.
func (p SKF) AppendBody(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, p.Number)
	dst = binary.BigEndian.AppendUint16(dst, p.Total)
	return append(dst, p.Body...)
}

// String returns the payload as a trace shows it.
func (p SKF) String() string { return string(p.appendText(nil)) }

func (p SKF) appendText(b []byte) []byte {
	b = append(b, "SKF("...)
	b = strconv.AppendUint(b, uint64(p.Number), 10)
	b = append(b, " of "...)
	b = strconv.AppendUint(b, uint64(p.Total), 10)
	return append(trace.AppendOctets(append(b, ' '), len(p.Body)), ')')
}
