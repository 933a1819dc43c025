package krb

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// ErrSyntax is wrapped by every error about a Kerberos message that cannot be
// decoded.
var ErrSyntax = errors.New("krb: malformed message")

func syntax(what string) error { return fmt.Errorf("%w: %s", ErrSyntax, what) }

// Message types (RFC 4120 7.5.7), which are their application tags too.
const (
	msgTicket        = 1
	msgAuthenticator = 2
	msgEncTicketPart = 3
	msgASReq         = 10
	msgASRep         = 11
	msgTGSReq        = 12
	msgTGSRep        = 13
	msgAPReq         = 14
	msgAPRep         = 15
	msgEncASRepPart  = 25
	msgEncTGSRepPart = 26
	msgEncAPRepPart  = 27
	msgError         = 30
)

const pvno = 5

const (
	generalizedTime = asn1.GeneralizedTime
	generalString   = asn1.GeneralString
	timeLayout      = "20060102150405Z"
)

func application(n uint8) asn1.Tag { return asn1.Tag(0x60 | n) }
func tagged(n uint8) asn1.Tag      { return asn1.Tag(n).ContextSpecific().Constructed() }

// A reader reads the fields of a SEQUENCE. The first fault sticks.
type reader struct {
	s   cryptobyte.String
	bad bool
}

// sequence opens the SEQUENCE inside application tag n, which must be all of
// b.
func sequence(b []byte, n uint8) reader {
	s := cryptobyte.String(b)
	var app, seq cryptobyte.String
	bad := !s.ReadASN1(&app, application(n)) || !s.Empty() || !app.ReadASN1(&seq, asn1.SEQUENCE) || !app.Empty()
	return reader{s: seq, bad: bad}
}

// plain opens a SEQUENCE that must be all of s.
func plain(s cryptobyte.String) reader {
	var seq cryptobyte.String
	bad := !s.ReadASN1(&seq, asn1.SEQUENCE) || !s.Empty()
	return reader{s: seq, bad: bad}
}

// field returns the content of field n.
func (r *reader) field(n uint8) cryptobyte.String {
	var out cryptobyte.String
	if !r.bad && !r.s.ReadASN1(&out, tagged(n)) {
		r.bad = true
	}
	return out
}

// optional returns the content of field n, if it is there.
func (r *reader) optional(n uint8) (out cryptobyte.String, ok bool) {
	if !r.bad && !r.s.ReadOptionalASN1(&out, &ok, tagged(n)) {
		r.bad = true
	}
	return out, ok && !r.bad
}

// has reports whether the next field is n.
func (r *reader) has(n uint8) bool { return !r.bad && r.s.PeekASN1Tag(tagged(n)) }

func (r *reader) check(ok bool) {
	if !ok {
		r.bad = true
	}
}

func (r *reader) int(n uint8) (v int64) {
	f := r.field(n)
	r.check(!r.bad && f.ReadASN1Integer(&v) && f.Empty() && v >= -1<<31 && v < 1<<32)
	return v
}

func (r *reader) optionalInt(n uint8) int64 {
	if !r.has(n) {
		return 0
	}
	return r.int(n)
}

func (r *reader) octets(n uint8) []byte {
	f := r.field(n)
	var out cryptobyte.String
	r.check(!r.bad && f.ReadASN1(&out, asn1.OCTET_STRING) && f.Empty())
	return out
}

// string reads a realm.
func (r *reader) string(n uint8) string {
	f := r.field(n)
	var out cryptobyte.String
	r.check(!r.bad && f.ReadASN1(&out, generalString) && f.Empty() && len(out) <= maxNameLen && printableName(string(out)))
	return string(out)
}

func (r *reader) time(n uint8) time.Time {
	f := r.field(n)
	var out cryptobyte.String
	if r.check(!r.bad && f.ReadASN1(&out, generalizedTime) && f.Empty()); r.bad {
		return time.Time{}
	}
	t, err := time.Parse(timeLayout, string(out))
	r.check(err == nil)
	return t
}

func (r *reader) optionalTime(n uint8) time.Time {
	if !r.has(n) {
		return time.Time{}
	}
	return r.time(n)
}

// flags are the first 32 bits of a BIT STRING, the first one the highest.
func (r *reader) flags(n uint8) Flags {
	f := r.field(n)
	var out cryptobyte.String
	r.check(!r.bad && f.ReadASN1(&out, asn1.BIT_STRING) && f.Empty() && len(out) >= 1 && out[0] < 8)
	var v Flags
	for i := range 4 {
		if i+1 < len(out) {
			v |= Flags(out[i+1]) << (24 - 8*i)
		}
	}
	return v
}

// name reads a PrincipalName.
func (r *reader) name(n uint8) []string {
	parts := r.names(n)
	r.check(len(parts) > 1 || len(parts) == 1 && parts[0] != "")
	return parts
}

// names is name for where it may have no components.
func (r *reader) names(n uint8) []string {
	in := plain(r.field(n))
	in.int(0)
	list := in.field(1)
	var seq cryptobyte.String
	in.check(!in.bad && list.ReadASN1(&seq, asn1.SEQUENCE) && list.Empty())
	var parts []string
	size := 0
	for !in.bad && !seq.Empty() {
		var s cryptobyte.String
		in.check(seq.ReadASN1(&s, generalString))
		size += len(s) + 1
		in.check(len(parts) < maxComponents && size <= maxNameLen && printableName(string(s)))
		parts = append(parts, string(s))
	}
	r.check(!in.bad)
	if r.bad {
		return nil
	}
	return parts
}

// encryptedData is RFC 4120 5.2.9's EncryptedData.
type encryptedData struct {
	etype  EType
	kvno   uint32 // 0: not said
	cipher []byte
}

func (r *reader) encrypted(n uint8) encryptedData { return r.encryptedIn(r.field(n)) }

func (r *reader) encryptedIn(s cryptobyte.String) encryptedData {
	in := plain(s)
	e := encryptedData{etype: EType(in.int(0)), kvno: uint32(in.optionalInt(1)), cipher: in.octets(2)}
	r.check(!in.bad)
	return e
}

// key reads an EncryptionKey. One of a type that this package does not have is
// nil without an error.
func (r *reader) key(n uint8) *Key {
	in := plain(r.field(n))
	e := EType(in.int(0))
	raw := in.octets(1)
	r.check(!in.bad)
	if r.bad || !e.Supported() {
		return nil
	}
	k, err := NewKey(e, raw)
	r.check(err == nil)
	return k
}

// addresses reads HostAddresses; of types other than IPv4 and IPv6 the zero
// address stands for each.
func addresses(s cryptobyte.String) (out []netip.Addr, ok bool) {
	var list cryptobyte.String
	if !s.ReadASN1(&list, asn1.SEQUENCE) || !s.Empty() {
		return nil, false
	}
	for !list.Empty() {
		var one cryptobyte.String
		if len(out) == 64 || !list.ReadASN1Element(&one, asn1.SEQUENCE) {
			return nil, false
		}
		in := plain(one)
		kind, b := in.int(0), in.octets(1)
		if in.bad {
			return nil, false
		}
		a, _ := netip.AddrFromSlice(b)
		if kind == 2 && a.Is4() || kind == 24 && a.Is6() {
			out = append(out, a)
		} else {
			out = append(out, netip.Addr{})
		}
	}
	return out, true
}

// Writers. A cryptobyte.Builder keeps the first error until the end.

func addApplication(b *cryptobyte.Builder, n uint8, f func(b *cryptobyte.Builder)) {
	b.AddASN1(application(n), func(b *cryptobyte.Builder) { b.AddASN1(asn1.SEQUENCE, f) })
}

func addField(b *cryptobyte.Builder, n uint8, f func(b *cryptobyte.Builder)) {
	b.AddASN1(tagged(n), f)
}

func addSequence(b *cryptobyte.Builder, n uint8, f func(b *cryptobyte.Builder)) {
	addField(b, n, func(b *cryptobyte.Builder) { b.AddASN1(asn1.SEQUENCE, f) })
}

func addInt(b *cryptobyte.Builder, n uint8, v int64) {
	addField(b, n, func(b *cryptobyte.Builder) { b.AddASN1Int64(v) })
}

func addOctets(b *cryptobyte.Builder, n uint8, v []byte) {
	addField(b, n, func(b *cryptobyte.Builder) { b.AddASN1OctetString(v) })
}

func addString(b *cryptobyte.Builder, n uint8, v string) {
	addField(b, n, func(b *cryptobyte.Builder) { addGeneralString(b, v) })
}

func addGeneralString(b *cryptobyte.Builder, v string) {
	b.AddASN1(generalString, func(b *cryptobyte.Builder) { b.AddBytes([]byte(v)) })
}

func addTime(b *cryptobyte.Builder, n uint8, t time.Time) {
	addField(b, n, func(b *cryptobyte.Builder) {
		b.AddASN1(generalizedTime, func(b *cryptobyte.Builder) { b.AddBytes(t.UTC().AppendFormat(nil, timeLayout)) })
	})
}

func addFlags(b *cryptobyte.Builder, n uint8, f Flags) {
	addField(b, n, func(b *cryptobyte.Builder) {
		b.AddASN1BitString([]byte{byte(f >> 24), byte(f >> 16), byte(f >> 8), byte(f)})
	})
}

// Name types (RFC 4120 6.2).
const (
	ntPrincipal = 1
	ntSrvInst   = 2
	ntSrvHst    = 3
)

func addName(b *cryptobyte.Builder, n uint8, p Principal) {
	parts := p.Components()
	kind := int64(ntPrincipal)
	if parts[0] == "krbtgt" {
		kind = ntSrvInst
	}
	addTypedName(b, n, kind, parts)
}

func addTypedName(b *cryptobyte.Builder, n uint8, kind int64, parts []string) {
	addSequence(b, n, func(b *cryptobyte.Builder) {
		addInt(b, 0, kind)
		addSequence(b, 1, func(b *cryptobyte.Builder) {
			for _, s := range parts {
				addGeneralString(b, s)
			}
		})
	})
}

func addEncrypted(b *cryptobyte.Builder, n uint8, e encryptedData) {
	addSequence(b, n, func(b *cryptobyte.Builder) {
		addInt(b, 0, int64(e.etype))
		if e.kvno != 0 {
			addInt(b, 1, int64(e.kvno))
		}
		addOctets(b, 2, e.cipher)
	})
}
