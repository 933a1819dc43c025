package spmif

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Code is the number of a reply; its first digit is 2 if the request has
// succeeded.
type Code int

// Codes.
const (
	CodeReady          Code = 220 // the greeting, with a challenge
	CodeOK             Code = 250
	CodeNone           Code = 251 // there is nothing to list
	CodeSyntax         Code = 500
	CodeNotCached      Code = 501 // FQDN QUERY: the address has no name
	CodeNotImplemented Code = 502
	CodeFailed         Code = 550
	CodeExists         Code = 551 // NS ADD: it is there; NS DELETE, SLID: it is not
)

// A Reply is the answer to a request: a code and at least one line.
type Reply struct {
	Code  Code
	Lines []string
}

// Append appends the reply as it is sent. Characters that would break a line
// become question marks.
func (r Reply) Append(b []byte) []byte {
	for i, l := range r.Lines {
		b = strconv.AppendInt(b, int64(r.Code), 10)
		if i < len(r.Lines)-1 {
			b = append(b, '-')
		} else {
			b = append(b, ' ')
		}
		for _, c := range []byte(l) {
			if c < ' ' || c >= 0x7f {
				c = '?'
			}
			b = append(b, c)
		}
		b = append(b, '\r', '\n')
	}
	return b
}

// ErrProtocol says that the other side does not speak the protocol.
var ErrProtocol = errors.New("spmif: protocol error")

// parseReplyLine reads one line of a reply, without its end.
func parseReplyLine(line string) (code Code, text string, more bool, err error) {
	if len(line) < 4 || line[3] != ' ' && line[3] != '-' {
		return 0, "", false, fmt.Errorf("%w: a reply of %d octets", ErrProtocol, len(line))
	}
	for _, c := range []byte(line[:3]) {
		if c < '0' || c > '9' {
			return 0, "", false, fmt.Errorf("%w: a reply without a code", ErrProtocol)
		}
		code = code*10 + Code(c-'0')
	}
	return code, line[4:], line[3] == '-', nil
}

// notFound is what says that a request of CodeFailed was for something that is
// not there.
const notFound = "Operation Failed, selector not found"

// A ReplyError is a request that the server has refused.
type ReplyError struct {
	Request Request
	Reply   Reply
}

func (e *ReplyError) Error() string {
	return fmt.Sprintf("spmif: %v: %d %s", e.Request, e.Reply.Code, strings.Join(e.Reply.Lines, "; "))
}

// Is makes errors.Is find what the code means.
func (e *ReplyError) Is(target error) bool {
	switch target {
	case ErrNotFound:
		return e.Reply.Code == CodeNotCached || e.Reply.Code == CodeExists && e.Request.Verb != VerbNSAdd ||
			e.Reply.Code == CodeFailed && e.Reply.Lines[0] == notFound
	case ErrExists:
		return e.Reply.Code == CodeExists && e.Request.Verb == VerbNSAdd
	}
	return false
}
