package isakmp

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"strconv"
	"unicode"
	"unicode/utf8"
)

const (
	maxQuoted = 128 // octets of a peer's text in a trace
	maxHex    = 32  // octets of a peer's data in a trace
)

// appendQuoted appends text that a peer chose as a Go string literal, so that
// it can neither end a line, nor steer a terminal, nor look like more than one
// field; a long one is cut.
func appendQuoted[T string | []byte](b []byte, text T) []byte {
	cut := len(text) - maxQuoted
	if cut <= 0 {
		return strconv.AppendQuote(b, string(text))
	}
	b = strconv.AppendQuote(b, string(text[:maxQuoted]))
	return appendMore(b, cut)
}

// appendHex appends data in hexadecimal, cut if it is long, "-" if empty.
func appendHex(b, data []byte) []byte {
	if len(data) == 0 {
		return append(b, '-')
	}
	if cut := len(data) - maxHex; cut > 0 {
		return appendMore(hex.AppendEncode(b, data[:maxHex]), cut)
	}
	return hex.AppendEncode(b, data)
}

func appendMore(b []byte, n int) []byte {
	b = append(b, "...+"...)
	return strconv.AppendInt(b, int64(n), 10)
}

func appendOctets(b []byte, n int) []byte { return appendCount(b, n, "octet", "octets") }

func appendCount(b []byte, n int, one, many string) []byte {
	b = append(strconv.AppendInt(b, int64(n), 10), ' ')
	if n == 1 {
		return append(b, one...)
	}
	return append(b, many...)
}

// printable reports whether data reads as text.
func printable(data []byte) bool {
	if len(data) == 0 {
		return false
	}
	for len(data) > 0 {
		r, n := utf8.DecodeRune(data)
		if r == utf8.RuneError && n <= 1 || !unicode.IsPrint(r) {
			return false
		}
		data = data[n:]
	}
	return true
}

// appendDN appends the text of a DER Distinguished Name, quoted, or hexadecimal
// digits if it is none.
func appendDN(b, der []byte) []byte {
	var dn pkix.RDNSequence
	if rest, err := asn1.Unmarshal(der, &dn); err == nil && len(rest) == 0 {
		return appendQuoted(b, dn.String())
	}
	return appendHex(b, der)
}
