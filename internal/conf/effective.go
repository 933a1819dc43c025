package conf

import (
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// WriteEffective writes the configuration as it is in effect: one file,
// without macros and inheritance, with all defaults. There are no secrets in a
// configuration, only the names of their files. Reading the result gives the
// same configuration.
func (c *Config) WriteEffective(w io.Writer) error {
	e := &writer{}
	e.section("", reflect.ValueOf(c).Elem())
	_, err := io.WriteString(w, e.String())
	return err
}

type writer struct {
	strings.Builder
}

// What does not apply is left out: written out it would be an error.

// ikeKeys are the keys of a peer that IKE alone knows.
var ikeKeys = []string{
	"versions", "remote-natt-port", "local-id", "remote-id", "psk-file", "psk-format", "certificate", "key", "ca", "local-auth", "remote-auth",
	"trust", "signature", "proposals", "pool", "require-address", "request-address", "request", "users", "user-kind", "user-name", "user-password-file",
	"unique", "nat-traversal", "fragmentation", "fragment-size", "childless", "make-before-break", "always-send-cert", "ikev1", "quirks",
}

func (p *Peer) omits(key string) bool {
	if p.Protocol == "kink" {
		return slices.Contains(ikeKeys, key)
	}
	switch key {
	case "kink":
		return true
	case "ikev1":
		return !p.speaks("ikev1")
	case "request":
		return !p.RequestAddress
	case "trust":
		return !p.trusts()
	case "signature":
		return !p.speaks("ikev2") || !p.trusts() && !p.signs()
	case "user-kind":
		return p.Users == "" && p.UserName == ""
	}
	return false
}

func (p *Policy) omits(key string) bool {
	switch key {
	case "mode", "bundle", "local-address", "remote-address", "reqid":
		return p.Action != "protect" || p.Peer != ""
	case "peer", "child", "level":
		return p.Action != "protect"
	}
	return false
}

func (i *Interface) omits(key string) bool {
	return i.Kind != "xfrm" && (key == "interface-id" || key == "external")
}

func (s *Secrets) omits(key string) bool { return key == "key-format" && s.KeyDirectory == "" }

func (p *DataPlane) omits(key string) bool {
	return slices.Contains([]string{"xfrm", "pfkey", "userspace"}, key) && p.Kind != "auto" && p.Kind != key
}

// section writes the keys of a section and then what is below it.
func (e *writer) section(path string, v reflect.Value) {
	fs := fieldsOf(v.Type())
	if o, ok := v.Addr().Interface().(interface{ omits(key string) bool }); ok {
		fs = slices.DeleteFunc(fs, func(f field) bool { return o.omits(f.key) })
	}
	headed := path == ""
	for _, f := range fs {
		text, ok := tomlValue(&f, v.FieldByIndex(f.index))
		if !ok {
			continue
		}
		if !headed {
			e.header(path)
			headed = true
		}
		fmt.Fprintf(e, "%s = %s\n", f.key, text)
	}
	if !headed && strings.Count(path, ".") > 0 && v.FieldByName("Name").IsValid() {
		e.header(path) // it is there, though all is left out
	}
	for _, f := range fs {
		at, fv := f.key, v.FieldByIndex(f.index)
		if path != "" {
			at = path + "." + f.key
		}
		switch {
		case path == "" && slices.Contains([]string{"include", "macros", "defaults", "template"}, f.key):
		case f.typ == reflect.TypeFor[Mark]():
		case f.typ.Kind() == reflect.Struct:
			e.section(at, fv)
		case f.typ.Kind() == reflect.Map:
			e.lists(at, fv.Interface().(map[string][]string))
		case f.typ.Kind() == reflect.Slice && f.typ.Elem().Kind() == reflect.Pointer:
			for i := range fv.Len() {
				e.section(at+"."+exactKey(fv.Index(i).Elem().FieldByName("Name").String()), fv.Index(i).Elem())
			}
		}
	}
}

func (e *writer) header(path string) {
	if e.Len() > 0 {
		e.WriteByte('\n')
	}
	fmt.Fprintf(e, "[%s]\n", path)
}

func (e *writer) lists(path string, m map[string][]string) {
	if len(m) == 0 {
		return
	}
	e.header(path)
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		fmt.Fprintf(e, "%s = %s\n", exactKey(n), tomlList(m[n]))
	}
}

// tomlValue writes a value; it reports false for what is not a value, or not
// there.
func tomlValue(f *field, v reflect.Value) (string, bool) {
	if f.key == "include" || f.key == "inherits" {
		return "", false
	}
	_, always := f.tag.Lookup("default")
	_, computed := f.tag.Lookup("computed")
	always = always || computed
	switch x := v.Interface().(type) {
	case Duration:
		if x == Never && f.tag.Get("off") != "" {
			return tomlString(f.tag.Get("off")), true
		}
		return tomlString(x.String()), (always || x != 0) && x >= 0 && !(computed && x == 0)
	case Size:
		return tomlString(x.String()), always || x != 0
	case Mark:
		return tomlString(x.String()), x.Mask != 0
	case string:
		return tomlString(x), x != "" || always && !computed
	case []string:
		return tomlList(x), len(x) > 0 || always && x != nil
	case bool:
		return strconv.FormatBool(x), always || x
	case int:
		return strconv.Itoa(x), always || x != 0
	case uint64:
		return strconv.FormatUint(x, 10), always || x != 0
	case uint32:
		if x > 0xffff {
			return fmt.Sprintf("%#x", x), true
		}
		return strconv.FormatUint(uint64(x), 10), always || x != 0
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64), always || x != 0
	}
	return "", false
}

func tomlList(list []string) string {
	q := make([]string, len(list))
	for i, s := range list {
		q[i] = tomlString(s)
	}
	return "[" + strings.Join(q, ", ") + "]"
}

// tomlString writes a basic string, with $${ for ${.
func tomlString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	s = strings.ReplaceAll(s, "${", "$${")
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		s = s[n:]
	}
	b.WriteByte('"')
	return b.String()
}
