package krb

import (
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte/asn1"
)

// A backward writes DER from its end to its beginning, so that every length is
// known when it is written, and nothing is copied or nested. It is for what is in
// every KINK message; what a KDC gets is written with a cryptobyte.Builder. The
// caller knows how much room is needed.
//
//	end := w.at
//	... what is in field 3, the last part first
//	w.field(3, end)
type backward struct {
	b  []byte
	at int // b[at:] is written
}

// newBackward returns one with room for n octets.
func newBackward(n int) backward { return backward{b: make([]byte, n), at: n} }

func (w *backward) written() []byte { return w.b[w.at:] }

func (w *backward) byte(c byte) {
	w.at--
	w.b[w.at] = c
}

func (w *backward) bytes(b []byte) {
	w.at -= len(b)
	copy(w.b[w.at:], b)
}

func (w *backward) string(s string) {
	w.at -= len(s)
	copy(w.b[w.at:], s)
}

// header puts a tag and a length before what was written since end.
func (w *backward) header(tag asn1.Tag, end int) {
	n := end - w.at
	if n < 0x80 {
		w.byte(byte(n))
	} else {
		count := byte(0x80)
		for ; n > 0; n >>= 8 {
			w.byte(byte(n))
			count++
		}
		w.byte(count)
	}
	w.byte(byte(tag))
}

func (w *backward) field(n uint8, end int) { w.header(tagged(n), end) }
func (w *backward) sequence(end int)       { w.header(asn1.SEQUENCE, end) }
func (w *backward) application(n uint8, e int) {
	w.header(asn1.SEQUENCE, e)
	w.header(application(n), e)
}

// int writes a non-negative INTEGER as field n.
func (w *backward) int(n uint8, v int64) {
	end := w.at
	for {
		w.byte(byte(v))
		if v < 0x80 {
			break
		}
		v >>= 8
	}
	w.header(asn1.INTEGER, end)
	w.field(n, end)
}

func (w *backward) octets(n uint8, v []byte) {
	end := w.at
	w.bytes(v)
	w.header(asn1.OCTET_STRING, end)
	w.field(n, end)
}

func (w *backward) flags(n uint8, f Flags) {
	end := w.at
	for ; w.at > end-4; f >>= 8 {
		w.byte(byte(f))
	}
	w.byte(0)
	w.header(asn1.BIT_STRING, end)
	w.field(n, end)
}

func (w *backward) time(n uint8, t time.Time) {
	var b [len(timeLayout)]byte
	end := w.at
	w.bytes(t.UTC().AppendFormat(b[:0], timeLayout))
	w.header(generalizedTime, end)
	w.field(n, end)
}

func (w *backward) generalString(s string) {
	end := w.at
	w.string(s)
	w.header(generalString, end)
}

func (w *backward) realm(n uint8, s string) {
	end := w.at
	w.generalString(s)
	w.field(n, end)
}

// name writes a PrincipalName of a client.
func (w *backward) name(n uint8, p Principal) {
	outer := w.at
	if strings.IndexByte(p.Name, '\\') < 0 {
		for rest, more := p.Name, true; more; {
			i := strings.LastIndexByte(rest, '/')
			w.generalString(rest[i+1:])
			if more = i >= 0; more {
				rest = rest[:i]
			}
		}
	} else {
		parts := p.Components()
		for i := len(parts) - 1; i >= 0; i-- {
			w.generalString(parts[i])
		}
	}
	w.sequence(outer)
	w.field(1, outer)
	w.int(0, ntPrincipal)
	w.sequence(outer)
	w.field(n, outer)
}

// encrypted writes EncryptedData without a key version.
func (w *backward) encrypted(n uint8, e EType, cipher []byte) {
	end := w.at
	w.octets(2, cipher)
	w.int(0, int64(e))
	w.sequence(end)
	w.field(n, end)
}
