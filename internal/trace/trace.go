// Package trace writes what a peer has sent into the text of a trace or a log:
// bounded, and so that it can do no harm there. The codecs share it.
//
// All functions append to a buffer and allocate nothing but its growth.
package trace

import (
	"encoding/hex"
	"strconv"
	"unicode"
	"unicode/utf8"
)

const (
	maxQuoted = 128 // octets of a peer's text
	maxHex    = 32  // octets of a peer's data
)

// AppendQuoted appends text that a peer chose as a Go string literal, so that
// it can neither end a line, nor steer a terminal, nor look like more than one
// field; a long one is cut.
func AppendQuoted[T string | []byte](b []byte, text T) []byte {
	cut := len(text) - maxQuoted
	if cut <= 0 {
		return strconv.AppendQuote(b, string(text))
	}
	b = strconv.AppendQuote(b, string(text[:maxQuoted]))
	return appendMore(b, cut)
}

// AppendHex appends data in hexadecimal, cut if it is long, "-" if empty.
func AppendHex(b, data []byte) []byte {
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

// AppendOctets appends "1 octet", "2 octets".
func AppendOctets(b []byte, n int) []byte { return AppendCount(b, n, "octet", "octets") }

// AppendCount appends a number of things.
func AppendCount(b []byte, n int, one, many string) []byte {
	b = append(strconv.AppendInt(b, int64(n), 10), ' ')
	if n == 1 {
		return append(b, one...)
	}
	return append(b, many...)
}

// Printable reports whether data reads as text.
func Printable(data []byte) bool {
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
