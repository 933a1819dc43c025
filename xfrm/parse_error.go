package xfrm

import "fmt"

// A ParseError says why octets are not a valid message. It wraps [ErrSyntax].
type ParseError struct {
	Message   MessageType   // 0 if it is the netlink framing that is wrong
	Attribute AttributeType // 0 if it is the fixed part
	Reason    string
}

// Error implements error.
func (e *ParseError) Error() string {
	where := "netlink header"
	if e.Message != 0 {
		where = e.Message.String()
	}
	if e.Attribute != 0 {
		where += fmt.Sprintf(" attribute %d", e.Attribute)
	}
	return fmt.Sprintf("xfrm: %s: %s", where, e.Reason)
}

// Is reports whether target is ErrSyntax.
func (e *ParseError) Is(target error) bool { return target == ErrSyntax }

func syntaxError(t AttributeType, reason string) error {
	return &ParseError{Attribute: t, Reason: reason}
}
