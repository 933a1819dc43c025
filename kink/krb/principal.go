package krb

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrPrincipal is wrapped by errors about names of principals.
var ErrPrincipal = errors.New("krb: not the name of a principal")

// A Principal is the name of a Kerberos principal. It is comparable; as
// RFC 4120 6.2 wants, the name type does not take part.
type Principal struct {
	// Name holds the components, joined by slashes: "kink/host.example.com". A
	// slash, an at sign or a backslash in a component is escaped by a backslash,
	// as RFC 1964 2.1.3 says.
	Name  string
	Realm string // as it is; never empty in what this package returns
}

// printableName reports whether a name of the wire may be shown as it is: UTF-8
// without control characters (RFC 4120 5.2.1 and 6.1 leave them out).
func printableName(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// maxNameLen bounds names in octets, and maxComponents what they consist of.
const (
	maxNameLen    = 1024
	maxComponents = 16
)

// ServicePrincipal returns the principal of a service on a host: RFC 4430
// 4.2.1's kink/fqdn@REALM for service "kink". The host is converted to lower
// case and loses a dot at its end.
func ServicePrincipal(service, host, realm string) Principal {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return Principal{Name: escape(service) + "/" + escape(host), Realm: realm}
}

// ParsePrincipal reads a name such as "kink/host.example.com@EXAMPLE.COM". The
// realm may be missing, then it is realm. It is also the form of a KINK_TGT_REQ
// payload (RFC 4430 4.2.4).
func ParsePrincipal(text, realm string) (Principal, error) {
	if len(text) > maxNameLen {
		return Principal{}, fmt.Errorf("%w: %d octets", ErrPrincipal, len(text))
	}
	name := text
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' {
			i++
		} else if text[i] == '@' {
			name, realm = text[:i], text[i+1:]
			break
		}
	}
	parts, err := split(name)
	if err != nil || !printableName(strings.Join(parts, "")) {
		return Principal{}, fmt.Errorf("%w: %q", ErrPrincipal, text)
	}
	if strings.Contains(realm, `\`) {
		r, err := split(realm)
		if err != nil || len(r) != 1 {
			return Principal{}, fmt.Errorf("%w: %q", ErrPrincipal, text)
		}
		realm = r[0]
	}
	if realm == "" || !printableName(realm) || strings.Contains(realm, "@") {
		return Principal{}, fmt.Errorf("%w: no realm in %q", ErrPrincipal, text)
	}
	return NewPrincipal(realm, parts...), nil
}

// NewPrincipal returns the principal with the given components.
func NewPrincipal(realm string, components ...string) Principal {
	if !slices.ContainsFunc(components, func(c string) bool { return strings.ContainsAny(c, special) }) {
		return Principal{Name: strings.Join(components, "/"), Realm: realm}
	}
	var b strings.Builder
	for i, c := range components {
		if i > 0 {
			b.WriteByte('/')
		}
		b.WriteString(escape(c))
	}
	return Principal{Name: b.String(), Realm: realm}
}

// Components returns the components of the name without escapes.
func (p Principal) Components() []string {
	c, err := split(p.Name)
	if err != nil {
		return []string{p.Name}
	}
	return c
}

// IsZero reports whether there is no name.
func (p Principal) IsZero() bool { return p == Principal{} }

// String returns "name@REALM", with the escapes of RFC 1964 2.1.3.
func (p Principal) String() string {
	if p.IsZero() {
		return ""
	}
	return p.Name + "@" + escape(p.Realm)
}

func split(name string) ([]string, error) {
	if name != "" && strings.IndexByte(name, '\\') < 0 && strings.Count(name, "/") < maxComponents {
		return strings.Split(name, "/"), nil
	}
	var out []string
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		c := name[i]
		switch c {
		case '/':
			out = append(out, b.String())
			b.Reset()
			continue
		case '\\':
			if i++; i == len(name) {
				return nil, ErrPrincipal
			}
			if c = name[i]; strings.IndexByte("ntb0", c) >= 0 { // control characters
				return nil, ErrPrincipal
			}
		}
		b.WriteByte(c)
	}
	out = append(out, b.String())
	if len(out) > maxComponents || len(out) == 1 && out[0] == "" {
		return nil, ErrPrincipal
	}
	return out, nil
}

// special are the characters that are escaped.
const special = `/@\`

func escape(s string) string {
	if !strings.ContainsAny(s, special) {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if strings.IndexByte(special, s[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
