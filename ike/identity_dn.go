package ike

import (
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// A distinguished name is a sequence of relative distinguished names, each a
// set of attributes, nearly always of one (X.501, RFC 5280 4.1.2.4).
type distinguishedName []rdn

type rdn []dnAttribute

type dnAttribute struct {
	oid  string // dotted
	tag  cbasn1.Tag
	text string // the value as UTF-8, if it is a string
	der  string // the value's whole encoding
	str  bool   // it is a string of a known type
	wild bool   // in a pattern: any value
}

const (
	maxRDNs          = 64
	maxRDNAttributes = 8
)

// Errors of the distinguished name reader; each is a reason in an
// IdentityError.
var (
	errDNTruncated = errors.New("the distinguished name is truncated or not DER")
	errDNTrailing  = errors.New("octets follow the distinguished name")
	errDNEmpty     = errors.New("the distinguished name is empty")
	errDNLarge     = errors.New("the distinguished name has too many attributes")
	errDNText      = errors.New("the distinguished name has a value that is not text of its type")
)

const (
	tagBMPString       = cbasn1.Tag(30)
	tagUniversalString = cbasn1.Tag(28)
	tagNumericString   = cbasn1.Tag(18)
	tagT61String       = cbasn1.T61String
)

// parseDN reads a DER Name. It is total, and bounded by maxRDNs.
func parseDN(der string) (distinguishedName, error) {
	in := cryptobyte.String(der)
	var seq cryptobyte.String
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) {
		return nil, errDNTruncated
	}
	if !in.Empty() {
		return nil, errDNTrailing
	}
	var dn distinguishedName
	for !seq.Empty() {
		var set cryptobyte.String
		if !seq.ReadASN1(&set, cbasn1.SET) || set.Empty() {
			return nil, errDNTruncated
		}
		if len(dn) == maxRDNs {
			return nil, errDNLarge
		}
		var r rdn
		for !set.Empty() {
			if len(r) == maxRDNAttributes {
				return nil, errDNLarge
			}
			var pair, value cryptobyte.String
			var oid asn1.ObjectIdentifier
			var tag cbasn1.Tag
			if !set.ReadASN1(&pair, cbasn1.SEQUENCE) || !pair.ReadASN1ObjectIdentifier(&oid) ||
				!pair.ReadAnyASN1Element(&value, &tag) || !pair.Empty() {
				return nil, errDNTruncated
			}
			a := dnAttribute{oid: oid.String(), tag: tag, der: string(value)}
			if !value.ReadASN1(&value, tag) {
				return nil, errDNTruncated
			}
			var err error
			if a.text, a.str, err = dnString(tag, value); err != nil {
				return nil, err
			}
			r = append(r, a)
		}
		dn = append(dn, r)
	}
	if len(dn) == 0 {
		return nil, errDNEmpty
	}
	return dn, nil
}

// dnString decodes the string types that RFC 5280 allows in a name. A type
// that is not a string is no error: it is compared octet by octet.
func dnString(tag cbasn1.Tag, b []byte) (string, bool, error) {
	switch tag {
	case cbasn1.UTF8String:
		if !utf8.Valid(b) {
			return "", false, errDNText
		}
		return checkDNText(string(b))
	case cbasn1.PrintableString, cbasn1.IA5String, tagNumericString:
		for _, c := range b {
			if c >= 0x80 {
				return "", false, errDNText
			}
		}
		return checkDNText(string(b))
	case tagT61String: // read as Latin-1, as everybody does
		r := make([]rune, len(b))
		for i, c := range b {
			r[i] = rune(c)
		}
		return checkDNText(string(r))
	case tagBMPString:
		if len(b)%2 != 0 {
			return "", false, errDNText
		}
		u := make([]uint16, len(b)/2)
		for i := range u {
			u[i] = uint16(b[2*i])<<8 | uint16(b[2*i+1])
		}
		return checkDNText(string(utf16.Decode(u)))
	case tagUniversalString:
		if len(b)%4 != 0 {
			return "", false, errDNText
		}
		r := make([]rune, len(b)/4)
		for i := range r {
			r[i] = rune(b[4*i])<<24 | rune(b[4*i+1])<<16 | rune(b[4*i+2])<<8 | rune(b[4*i+3])
		}
		return checkDNText(string(r))
	}
	return "", false, nil
}

// checkDNText refuses NUL: a comparison that stops there would take
// "gw\x00.evil" for "gw".
func checkDNText(s string) (string, bool, error) {
	if strings.IndexByte(s, 0) >= 0 {
		return "", false, errors.New("the distinguished name has a NUL in a value")
	}
	return s, true, nil
}

// canonical is the form in which string values compare (RFC 5280 7.1):
// lower case, blanks at the ends dropped and inner ones counted as one.
func (a dnAttribute) canonical() string {
	if !a.str {
		return a.der
	}
	return strings.ToLower(strings.Join(strings.Fields(a.text), " "))
}

func (a dnAttribute) equal(b dnAttribute) bool {
	return a.oid == b.oid && a.str == b.str && a.canonical() == b.canonical()
}

// equal compares sets regardless of order: DER sorts them by their encoding,
// which depends on the string type.
func (r rdn) equal(o rdn) bool {
	return r.match(o, dnAttribute.equal)
}

// match pairs each attribute of r with another one of o.
func (r rdn) match(o rdn, eq func(pattern, value dnAttribute) bool) bool {
	if len(r) != len(o) {
		return false
	}
	var used [maxRDNAttributes]bool
next:
	for _, a := range r {
		for i, b := range o {
			if i < len(used) && !used[i] && eq(a, b) {
				used[i] = true
				continue next
			}
		}
		return false
	}
	return true
}

func (dn distinguishedName) equal(o distinguishedName) bool {
	return slices.EqualFunc(dn, o, rdn.equal)
}

// dnNames are the short names of attribute types: RFC 4514 3 first, then what
// certificates commonly hold.
var dnNames = []struct{ oid, name string }{
	{"2.5.4.3", "CN"}, {"2.5.4.7", "L"}, {"2.5.4.8", "ST"}, {"2.5.4.10", "O"}, {"2.5.4.11", "OU"},
	{"2.5.4.6", "C"}, {"2.5.4.9", "STREET"}, {"0.9.2342.19200300.100.1.25", "DC"}, {"0.9.2342.19200300.100.1.1", "UID"},
	{"1.2.840.113549.1.9.1", "E"}, {"2.5.4.4", "SN"}, {"2.5.4.5", "serialNumber"}, {"2.5.4.12", "T"}, {"2.5.4.13", "D"},
	{"2.5.4.41", "N"}, {"2.5.4.42", "G"}, {"2.5.4.43", "I"}, {"2.5.4.46", "dnQualifier"}, {"2.5.4.45", "x500UniqueIdentifier"},
	{"2.5.4.65", "pseudonym"}, {"2.5.4.17", "postalCode"}, {"2.5.4.97", "organizationIdentifier"},
	{"1.2.840.113549.1.9.2", "unstructuredName"}, {"1.2.840.113549.1.9.8", "unstructuredAddress"},
	// Further spellings, for reading only.
	{"1.2.840.113549.1.9.1", "emailAddress"}, {"1.2.840.113549.1.9.1", "Email"}, {"2.5.4.8", "S"},
	{"2.5.4.4", "surname"}, {"2.5.4.42", "GN"}, {"2.5.4.42", "givenName"}, {"2.5.4.12", "title"},
	{"0.9.2342.19200300.100.1.1", "userId"}, {"2.5.4.43", "initials"},
}

func dnNameOf(oid string) string {
	for _, n := range dnNames {
		if n.oid == oid {
			return n.name
		}
	}
	return oid
}

func dnOIDOf(name string) string {
	for _, n := range dnNames {
		if strings.EqualFold(n.name, name) {
			return n.oid
		}
	}
	return ""
}

// text writes the name in the order of its encoding, escaped as RFC 4514 2.4
// says.
func (dn distinguishedName) text() string {
	var b strings.Builder
	for i, r := range dn {
		if i > 0 {
			b.WriteString(", ")
		}
		for j, a := range r {
			if j > 0 {
				b.WriteByte('+')
			}
			b.WriteString(dnNameOf(a.oid))
			b.WriteByte('=')
			if a.str {
				writeDNValue(&b, a.text)
			} else {
				b.WriteByte('#')
				b.WriteString(hex.EncodeToString([]byte(a.der)))
			}
		}
	}
	return b.String()
}

func writeDNValue(b *strings.Builder, s string) {
	for i, r := range s {
		first, last := i == 0, i+utf8.RuneLen(r) == len(s)
		switch {
		case strings.ContainsRune(`,+"\<>;=/*`, r), r == '#' && first, r == ' ' && (first || last):
			b.WriteByte('\\')
			b.WriteRune(r)
		case r != ' ' && (isControl(r) || !printable(string(r))):
			for _, c := range []byte(string(r)) {
				fmt.Fprintf(b, `\%02X`, c)
			}
		default:
			b.WriteRune(r)
		}
	}
}

// looksLikeDN tells a distinguished name from other identities by its first
// attribute: "/C=" or "CN=".
func looksLikeDN(s string) bool {
	s = strings.TrimPrefix(s, "/")
	name, _, ok := strings.Cut(s, "=")
	name = strings.TrimSpace(name)
	return ok && (dnOIDOf(name) != "" || isDottedOID(name))
}

func isDottedOID(s string) bool {
	_, err := parseOID(s)
	return err == nil
}

func parseOID(s string) (asn1.ObjectIdentifier, error) {
	if len(s) > 128 {
		return nil, errors.New("object identifier too long")
	}
	s = strings.TrimPrefix(strings.TrimPrefix(s, "OID."), "oid.")
	var oid asn1.ObjectIdentifier
	for part := range strings.SplitSeq(s, ".") {
		n := 0
		if part == "" || len(part) > 9 || len(part) > 1 && part[0] == '0' {
			return nil, errors.New("not an object identifier")
		}
		for _, c := range []byte(part) {
			if c < '0' || c > '9' {
				return nil, errors.New("not an object identifier")
			}
			n = n*10 + int(c-'0')
		}
		oid = append(oid, n)
	}
	if len(oid) < 2 || oid[0] > 2 || oid[0] < 2 && oid[1] >= 40 {
		return nil, errors.New("not an object identifier")
	}
	return oid, nil
}

// dnTerm is one attribute of a written name: its value is text, DER (the #
// form), or the wildcard *.
type dnTerm struct {
	oid  asn1.ObjectIdentifier
	text string
	der  string
	any  bool
}

// splitDN reads the written form into RDNs of terms, in the written order.
func splitDN(s string) ([][]dnTerm, error) {
	sep := byte(',')
	if strings.HasPrefix(s, "/") {
		sep, s = '/', s[1:]
	}
	var rdns [][]dnTerm
	var current []dnTerm
	for {
		term, end, rest, err := readDNTerm(s, sep)
		if err != nil {
			return nil, err
		}
		if current = append(current, term); len(current) > maxRDNAttributes {
			return nil, errDNLarge
		}
		if end != '+' {
			rdns, current = append(rdns, current), nil
			if len(rdns) > maxRDNs {
				return nil, errDNLarge
			}
		}
		if end == 0 {
			return rdns, nil
		}
		s = rest
	}
}

// readDNTerm reads "type=value" up to the separator, "+" or the end (0).
func readDNTerm(s string, sep byte) (t dnTerm, end byte, rest string, err error) {
	name, s, ok := strings.Cut(s, "=")
	name = strings.TrimSpace(name)
	if !ok {
		return t, 0, "", fmt.Errorf("%q has no = after an attribute type", shorten(name))
	}
	oid := dnOIDOf(name)
	if oid == "" {
		oid = name
	}
	if t.oid, err = parseOID(oid); err != nil {
		return t, 0, "", fmt.Errorf("unknown attribute type %q", shorten(name))
	}
	s = strings.TrimLeft(s, " ")
	var b strings.Builder
	escaped := 0 // length of b up to the last escaped octet: blanks there stay
	special := false
	i := 0
	quoted := strings.HasPrefix(s, `"`)
	if quoted {
		i++
	}
scan:
	for ; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\':
			if i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]) {
				v, _ := hex.DecodeString(s[i+1 : i+3])
				b.WriteByte(v[0])
				i += 2
			} else if i+1 < len(s) {
				i++
				b.WriteByte(s[i])
			} else {
				return t, 0, "", errors.New(`the name ends in \`)
			}
			special, escaped = true, b.Len()
		case quoted && c == '"':
			special, escaped = true, b.Len()
			i++
			for i < len(s) && s[i] == ' ' {
				i++
			}
			if i < len(s) && s[i] != sep && s[i] != '+' && s[i] != ';' {
				return t, 0, "", errors.New("text follows a quoted value")
			}
			quoted = false
			break scan
		case !quoted && (c == sep || c == '+' || c == ';' && sep == ','):
			break scan
		default:
			b.WriteByte(c)
		}
	}
	if quoted {
		return t, 0, "", errors.New("a quoted value does not end")
	}
	if i < len(s) {
		end, rest = s[i], s[i+1:]
	}
	t.text = b.String()
	t.text = t.text[:escaped] + strings.TrimRight(t.text[escaped:], " ")
	switch {
	case !special && t.text == "*":
		t.any = true
	case !special && strings.HasPrefix(t.text, "#"):
		der, err := hex.DecodeString(t.text[1:])
		if err != nil {
			return t, 0, "", errors.New("what follows # is not hexadecimal")
		}
		t.der, t.text = string(der), ""
	case !utf8.ValidString(t.text):
		return t, 0, "", errors.New("a value is not UTF-8")
	}
	return t, end, rest, nil
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// encodeDN encodes the written form. reverse is for the order of RFC 4514.
func encodeDN(s string, reverse bool) (string, error) {
	rdns, err := splitDN(s)
	if err != nil {
		return "", err
	}
	if reverse {
		slices.Reverse(rdns)
	}
	for _, r := range rdns {
		for _, t := range r {
			if t.any {
				return "", errors.New(`a wildcard, where one identity is wanted (write \* for the character)`)
			}
		}
	}
	return encodeRDNs(rdns)
}

func encodeRDNs(rdns [][]dnTerm) (string, error) {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, r := range rdns {
			// DER sorts the elements of a SET OF by their encoding.
			elements := make([]string, len(r))
			for i, t := range r {
				var e cryptobyte.Builder
				e.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(t.oid)
					if t.der != "" {
						b.AddBytes([]byte(t.der))
						return
					}
					b.AddASN1(dnStringTag(t.oid, t.text), func(b *cryptobyte.Builder) { b.AddBytes([]byte(t.text)) })
				})
				der, err := e.Bytes()
				if err != nil {
					b.SetError(err)
					return
				}
				elements[i] = string(der)
			}
			slices.Sort(elements)
			b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) {
				for _, e := range elements {
					b.AddBytes([]byte(e))
				}
			})
		}
	})
	der, err := b.Bytes()
	return string(der), err
}

var (
	oidEmailAddress = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}
	oidDC           = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}
)

// dnStringTag chooses the string type of RFC 5280 4.1.2.4 and 4.1.2.6.
func dnStringTag(oid asn1.ObjectIdentifier, s string) cbasn1.Tag {
	ascii := true
	fits := true
	for _, r := range s {
		ascii = ascii && r < 0x80
		fits = fits && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(" '()+,-./:=?", r))
	}
	switch {
	case ascii && (oid.Equal(oidEmailAddress) || oid.Equal(oidDC)):
		return cbasn1.IA5String
	case fits:
		return cbasn1.PrintableString
	}
	return cbasn1.UTF8String
}

// checkGeneralName checks that der is exactly one element with one of the
// nine context tags of GeneralName (RFC 5280 4.2.1.6).
func checkGeneralName(der string) error {
	in := cryptobyte.String(der)
	var v cryptobyte.String
	var tag cbasn1.Tag
	if !in.ReadAnyASN1(&v, &tag) || !in.Empty() {
		return errors.New("the GeneralName is truncated or not DER")
	}
	if tag&0xc0 != 0x80 || tag&0x1f > 8 {
		return fmt.Errorf("tag %#x is not one of a GeneralName", uint8(tag))
	}
	return nil
}

// DNWithin reports whether the distinguished name der lies in the subtree
// below base (RFC 5280 4.2.1.10): its first RDNs equal those of base. Both are
// DER; an empty base holds every name, a malformed one holds none, and nothing
// holds a malformed or empty name. It compares as [Identity.Equal] does.
func DNWithin(der, base string) bool {
	if base == "\x30\x00" {
		return true
	}
	dn, err1 := parseDN(der)
	b, err2 := parseDN(base)
	return err1 == nil && err2 == nil && len(b) <= len(dn) && dn[:len(b)].equal(b)
}
