package ike

import (
	"encoding/hex"
	"net/netip"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// IdentityPattern says which identities a peer may have. The zero pattern
// matches any.
type IdentityPattern struct {
	kind  patternKind
	exact Identity // patternExact
	t     IDType   // patternType, patternSuffix
	text  string   // patternSuffix: what follows the *, in lower case for FQDN
	net   netip.Prefix
	dn    string // patternDN: the written form, which keeps the pattern comparable
}

type patternKind uint8

const (
	patternAny    patternKind = iota
	patternType               // any identity of a type
	patternNet                // an address within a prefix
	patternSuffix             // *.example.org, *@example.org
	patternDN                 // a distinguished name with wildcard values
	patternExact
)

// looksLikePattern reports whether ParseIdentityPattern would take s for
// something other than an exact identity.
func looksLikePattern(s string) bool {
	return s == "%any" || strings.HasPrefix(s, "*")
}

// ParseIdentityPattern parses a pattern:
//
//	*, %any                   any identity
//	fqdn:*, keyid:*, dn:* ... any identity of the type
//	*.example.org             host names below example.org, at any depth
//	*@example.org             mail addresses at this host
//	10.0.0.0/8                addresses within, and this subnet itself
//	C=CH, O=lab, CN=*         distinguished names with these attributes, in this
//	                          order, where * stands for any one value
//	anything else             exactly that identity, see ParseIdentity
//
// Matching follows the rules of [Identity.Equal]: host names and distinguished
// names regardless of case.
func ParseIdentityPattern(s string) (IdentityPattern, error) {
	fail := func(reason string) (IdentityPattern, error) {
		return IdentityPattern{}, &IdentityError{Input: s, Reason: reason}
	}
	if s == "*" || s == "%any" {
		return IdentityPattern{}, nil
	}
	name, t, rest, prefixed := cutIDPrefix(s)
	if prefixed && rest == "*" {
		return IdentityPattern{kind: patternType, t: t}, nil
	}
	if !prefixed {
		if p, err := netip.ParsePrefix(s); err == nil {
			return IdentityPattern{kind: patternNet, net: p.Masked()}, nil
		}
		t = 0
		rest = s
	}
	if suffix, ok := strings.CutPrefix(rest, "*"); ok && (t == 0 || t == IDFQDN || t == IDRFC822Addr) {
		return parseSuffixPattern(s, t, suffix)
	}
	if t == IDDERASN1DN && !strings.HasPrefix(rest, "0x") || t == 0 && looksLikeDN(rest) {
		rdns, err := splitDN(rest)
		if err != nil {
			return fail(err.Error())
		}
		wild := false
		for _, r := range rdns {
			for _, term := range r {
				wild = wild || term.any
			}
		}
		if wild {
			der, err := encodeRDNs(rdns)
			if err == nil {
				_, err = parseDN(der)
			}
			if err != nil {
				return fail(err.Error())
			}
			return IdentityPattern{kind: patternDN, dn: dnPattern(rdns, name == "rfc4514")}, nil
		}
	}
	id, err := ParseIdentity(s)
	if err != nil {
		return IdentityPattern{}, err
	}
	return ExactIdentity(id), nil
}

func parseSuffixPattern(s string, t IDType, suffix string) (IdentityPattern, error) {
	fail := func(reason string) (IdentityPattern, error) {
		return IdentityPattern{}, &IdentityError{Input: s, Reason: reason}
	}
	if strings.ContainsAny(suffix, "*%") || !printable(suffix) {
		return fail("one * is possible, at the beginning")
	}
	switch {
	case len(suffix) > 1 && suffix[0] == '@' && t != IDFQDN && !strings.Contains(suffix[1:], "@"):
		t = IDRFC822Addr
	case len(suffix) > 1 && suffix[0] == '.' && t != IDRFC822Addr && !strings.Contains(suffix, "@"):
		t = IDFQDN
	default:
		return fail("a * is followed by .domain or @domain")
	}
	return IdentityPattern{kind: patternSuffix, t: t, text: lowerASCIIString(suffix)}, nil
}

func lowerASCIIString(s string) string {
	b := []byte(s)
	for i, c := range b {
		b[i] = lowerASCII(c)
	}
	return string(b)
}

// ExactIdentity returns the pattern that only id matches.
func ExactIdentity(id Identity) IdentityPattern {
	return IdentityPattern{kind: patternExact, exact: id}
}

// Match reports whether id fits the pattern.
func (p IdentityPattern) Match(id Identity) bool {
	switch p.kind {
	case patternAny:
		return true
	case patternExact:
		return p.exact.Equal(id)
	case patternType:
		return id.Type == p.t
	case patternNet:
		if a, ok := id.Addr(); ok {
			return p.net.Contains(a)
		}
		q, ok := id.prefix()
		return ok && q.Masked() == p.net
	case patternSuffix:
		// The * stands for at least one octet; "x@" alone has none.
		i := len(id.Data) - len(p.text)
		if id.Type != p.t || i <= 0 || !equalFoldASCII(id.Data[i:], p.text) {
			return false
		}
		return p.t != IDRFC822Addr || !strings.Contains(id.Data[:i], "@")
	case patternDN:
		return id.Type == IDDERASN1DN && matchDNPattern(p.dn, id.Data)
	}
	return false
}

// dnPattern writes a pattern in its normal form: encoding order, RFC 4514
// escapes, * for a wildcard.
func dnPattern(rdns [][]dnTerm, reverse bool) string {
	var b strings.Builder
	for i := range rdns {
		r := rdns[i]
		if reverse {
			r = rdns[len(rdns)-1-i]
		}
		if i > 0 {
			b.WriteString(", ")
		}
		for j, t := range r {
			if j > 0 {
				b.WriteByte('+')
			}
			b.WriteString(dnNameOf(t.oid.String()))
			b.WriteByte('=')
			switch {
			case t.any:
				b.WriteByte('*')
			case t.der != "":
				b.WriteByte('#')
				b.WriteString(hex.EncodeToString([]byte(t.der)))
			default:
				writeDNValue(&b, t.text)
			}
		}
	}
	return b.String()
}

// attribute is the term in the form that attributes of a name have.
func (t dnTerm) attribute() dnAttribute {
	a := dnAttribute{oid: t.oid.String(), text: t.text, str: true, wild: t.any}
	if t.der != "" {
		der := cryptobyte.String(t.der)
		var value cryptobyte.String
		var tag cbasn1.Tag
		if der.ReadAnyASN1(&value, &tag) {
			a.text, a.str, _ = dnString(tag, value)
		}
		a.der = t.der
	}
	return a
}

func matchDNPattern(pattern, der string) bool {
	dn, err := parseDN(der)
	if err != nil {
		return false
	}
	want, err := splitDN(pattern)
	if err != nil || len(want) != len(dn) {
		return false
	}
	for i, terms := range want {
		// Exact values first, so that a wildcard beside them in a multi-valued
		// RDN takes what they leave.
		r := make(rdn, 0, len(terms))
		for _, wild := range []bool{false, true} {
			for _, t := range terms {
				if t.any == wild {
					r = append(r, t.attribute())
				}
			}
		}
		if !r.match(dn[i], func(p, v dnAttribute) bool {
			return p.oid == v.oid && (p.wild || p.equal(v))
		}) {
			return false
		}
	}
	return true
}

// String returns the pattern as [ParseIdentityPattern] takes it.
func (p IdentityPattern) String() string {
	switch p.kind {
	case patternExact:
		text := p.exact.String()
		if _, t, rest, ok := cutIDPrefix(text); ok && strings.HasPrefix(rest, "*") && t == p.exact.Type {
			return idTypePrefix(t) + hexText(p.exact.Data) // a name that has a real *
		}
		return text
	case patternType:
		return idTypePatternPrefix(p.t) + "*"
	case patternNet:
		return p.net.String()
	case patternSuffix:
		return "*" + p.text
	case patternDN:
		return p.dn
	}
	return "%any"
}

func idTypePatternPrefix(t IDType) string {
	switch t {
	case IDIPv4Addr:
		return "ipv4:"
	case IDIPv6Addr:
		return "ipv6:"
	}
	return idTypePrefix(t)
}

// IsExact returns the only identity that matches, if there is one.
func (p IdentityPattern) IsExact() (Identity, bool) { return p.exact, p.kind == patternExact }

// Any reports whether every identity matches.
func (p IdentityPattern) Any() bool { return p.kind == patternAny }

// Specificity orders patterns: of two that match, the one with the larger
// number says more about the identity. An exact pattern is above all others,
// any identity is 0.
func (p IdentityPattern) Specificity() int {
	switch p.kind {
	case patternType:
		return 1
	case patternNet:
		return 2 + p.net.Bits()
	case patternSuffix:
		return 2 + len(p.text)
	case patternDN:
		n := 2
		if rdns, err := splitDN(p.dn); err == nil {
			for _, r := range rdns {
				for _, t := range r {
					n += 2
					if !t.any {
						n += 64
					}
				}
			}
		}
		return n
	case patternExact:
		return 1 << 20
	}
	return 0
}

// MarshalText implements [encoding.TextMarshaler].
func (p IdentityPattern) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (p *IdentityPattern) UnmarshalText(b []byte) (err error) {
	*p, err = ParseIdentityPattern(string(b))
	return err
}
