package ike

import (
	"encoding/hex"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// String returns the identity as [ParseIdentity] takes it, with a prefix where
// the type would not be seen. It is safe in a log and on a terminal: an
// identity that has octets other than printable ones is shown in hexadecimal,
// inside a distinguished name such characters are escaped, and what is longer
// than [MaxIdentitySize] is cut. A malformed one prints as its type and octets.
//
// Parsing the text of a valid identity gives an [Identity.Equal] one back.
func (id Identity) String() string {
	switch id.Type {
	case 0:
		if id.Data == "" {
			return "%none"
		}
	case IDNull:
		if id.Data == "" {
			return "%null"
		}
	case IDIPv4Addr, IDIPv6Addr:
		if a, ok := id.Addr(); ok {
			if a.Is4In6() { // would be read as IPv4 otherwise
				return "ipv6:" + a.String()
			}
			return a.String()
		}
	case IDIPv4Subnet, IDIPv6Subnet:
		if p, ok := id.prefix(); ok {
			return p.String()
		}
	case IDIPv4Range, IDIPv6Range:
		if lo, hi, ok := id.addrRange(); ok {
			return lo.String() + "-" + hi.String()
		}
	case IDDERASN1DN:
		if dn, err := parseDN(id.Data); err == nil {
			text := dn.text()
			if looksLikeDN(text) && !hasIDPrefix(text) {
				return text
			}
			return "dn:" + text
		}
	case IDFQDN, IDRFC822Addr, IDKeyID, IDPrincipal:
		return id.nameText()
	}
	if id.Type == IDDERASN1GN || id.Type == IDFCName || id.Type == IDDERASN1DN {
		return idTypePrefix(id.Type) + hexText(id.Data)
	}
	return fmt.Sprintf("%s:%s", id.Type, hexText(id.Data))
}

// nameText prints the types that hold text.
func (id Identity) nameText() string {
	if len(id.Data) > MaxIdentitySize || id.Data == "" || !printable(id.Data) || strings.HasPrefix(id.Data, "0x") {
		return idTypePrefix(id.Type) + hexText(id.Data)
	}
	if id.Type != IDKeyID && id.Type != IDPrincipal {
		if back, reason := parseIdentity(id.Data); reason == "" && back == id && !looksLikePattern(id.Data) {
			return id.Data
		}
	}
	return idTypePrefix(id.Type) + id.Data
}

// MarshalText implements [encoding.TextMarshaler]; JSON and slog use it.
func (id Identity) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (id *Identity) UnmarshalText(b []byte) (err error) {
	*id, err = ParseIdentity(string(b))
	return err
}

func hasIDPrefix(s string) bool {
	_, _, _, ok := cutIDPrefix(s)
	return ok
}

// idTypePrefix is the prefix that names a type without any doubt.
func idTypePrefix(t IDType) string {
	switch t {
	case IDFQDN:
		return "fqdn:"
	case IDRFC822Addr:
		return "email:"
	case IDDERASN1DN:
		return "dn:"
	case IDDERASN1GN:
		return "gn:"
	case IDKeyID:
		return "keyid:"
	case IDFCName:
		return "fc:"
	case IDPrincipal:
		return "krb5:"
	}
	return t.String() + ":"
}

func hexText(s string) string {
	const most = MaxIdentitySize
	if len(s) > most {
		return "0x" + hex.EncodeToString([]byte(s[:16])) + fmt.Sprintf("...(%d octets)", len(s))
	}
	return "0x" + hex.EncodeToString([]byte(s))
}

// isControl reports characters that could move a cursor, end a line or turn
// the direction of writing in a log: no identity needs them.
func isControl(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' || r == utf8.RuneError
}

// printable reports whether s can be shown as it is, on one line.
func printable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if isControl(r) || !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}
