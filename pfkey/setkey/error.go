package setkey

import (
	"errors"
	"fmt"
	"strconv"
)

// ErrSyntax is what errors of parsing wrap.
var ErrSyntax = errors.New("setkey: syntax")

// A SyntaxError tells what is wrong, and where. Keys are never part of it.
type SyntaxError struct {
	Position
	// Token is the word in question as it may be shown, "" at the end of a
	// statement or of the file.
	Token  string
	Reason string // what is wrong, or what was expected
}

// Error returns "file:1:2: "word": expected ...".
func (e *SyntaxError) Error() string {
	if e.Token == "" {
		return fmt.Sprintf("%v: %s", e.Position, e.Reason)
	}
	return fmt.Sprintf("%v: %s: %s", e.Position, e.Token, e.Reason)
}

// Unwrap returns [ErrSyntax].
func (e *SyntaxError) Unwrap() error { return ErrSyntax }

// show is a token as it may be shown: shortened, and without what may be a key.
func (t token) show() string {
	switch t.kind {
	case tokenEnd:
		return "the end of the statement"
	case tokenString:
		return fmt.Sprintf("a string of %d octets", len(t.text))
	}
	const most = 40
	switch {
	case len(t.text) > 12 && isHex(t.text):
		return fmt.Sprintf("a number of %d hexadecimal digits", len(t.text)-2)
	case len(t.text) > most:
		return strconv.Quote(t.text[:most] + "...")
	}
	return strconv.Quote(t.text)
}

// A StatementError is a statement that could not be carried out.
type StatementError struct {
	Position
	Verb Verb
	Err  error
}

func (e *StatementError) Error() string { return fmt.Sprintf("%v: %s: %v", e.Position, e.Verb, e.Err) }

// Unwrap returns why.
func (e *StatementError) Unwrap() error { return e.Err }
