// Package secret holds octets that must not be printed: keys, passwords and
// shared secrets.
package secret

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
)

// Bytes is a secret octet string. It prints as its length in every fmt verb
// and in slog, compares in constant time, and can be wiped. It is a plain
// slice otherwise: copying it shares the octets.
type Bytes []byte

// Redacted is what stands for the octets wherever a secret is printed.
const redacted = "[%d secret octets]"

// Format implements [fmt.Formatter] for every verb.
func (b Bytes) Format(f fmt.State, _ rune) { fmt.Fprintf(f, redacted, len(b)) }

// String implements [fmt.Stringer].
func (b Bytes) String() string { return fmt.Sprintf(redacted, len(b)) }

// GoString implements [fmt.GoStringer].
func (b Bytes) GoString() string { return b.String() }

// LogValue implements [slog.LogValuer].
func (b Bytes) LogValue() slog.Value { return slog.StringValue(b.String()) }

// MarshalText implements [encoding.TextMarshaler], so that JSON and its like
// show no octet either.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// Equal reports whether both hold the same octets, in time that depends on
// the lengths only.
func (b Bytes) Equal(o []byte) bool { return subtle.ConstantTimeCompare(b, o) == 1 }

// Wipe overwrites the octets with zeros.
func (b Bytes) Wipe() { clear(b) }

// Clone returns a copy that shares nothing with b; nil stays nil.
func (b Bytes) Clone() Bytes {
	if b == nil {
		return nil
	}
	return append(make(Bytes, 0, len(b)), b...)
}
