package conf

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Bounds of what macros make of a file, so that a few lines cannot stand for
// gigabytes.
const (
	maxMacroDepth = 10
	maxMacroList  = 1024    // values of one string
	maxExpanded   = 1 << 20 // octets of all strings
)

// Words that ask the host. A name follows those with a colon.
var hostMacros = []string{"hostname", "address", "address4", "address6", "interface:", "interface4:", "interface6:", "link-local:", "env:"}

type expander struct {
	*loader
	macros *table
	done   map[string][]string
	octets int
}

// expandMacros replaces the macros in all strings of the tree.
func (l *loader) expandMacros(root *table) {
	x := &expander{loader: l, macros: root.sub("macros"), done: make(map[string][]string)}
	if x.macros != nil {
		for _, name := range x.macros.keys {
			if strings.ContainsAny(name, ":{}$") || slices.Contains(hostMacros, name) {
				l.at(x.macros.at[name], joinKey("macros", name), "give it another name", "cannot be the name of a macro, since ${%s} has a meaning already", name)
			}
		}
	}
	x.table(root, nil)
}

// expandOne expands a string outside of a tree; the macros are those of the
// host.
func (l *loader) expandOne(v *value, key string, macros *table) string {
	x := &expander{loader: l, macros: macros, done: make(map[string][]string)}
	out := x.expand(v.place, key, v.text, nil)
	if len(out) != 1 {
		return ""
	}
	return out[0]
}

func (x *expander) table(t *table, path []string) {
	for _, key := range t.keys {
		x.value(t.values[key], append(slices.Clip(path), key))
	}
}

func (x *expander) value(v *value, path []string) {
	switch v.kind {
	case kindTable:
		x.table(v.table, path)
	case kindString:
		if !strings.Contains(v.text, "${") {
			return
		}
		out := x.expand(v.place, joinKey(path...), v.text, nil)
		if len(out) == 1 {
			v.text = out[0]
			return
		}
		v.kind = kindArray // the decoder knows where that may be
		for _, s := range out {
			v.list = append(v.list, &value{place: v.place, kind: kindString, text: s})
		}
	case kindArray:
		var out []*value
		for i, item := range v.list {
			x.value(item, append(slices.Clip(path[:len(path)-1]), fmt.Sprintf("%s[%d]", path[len(path)-1], i)))
			if item.kind == kindArray && item.text != "" {
				out = append(out, item.list...)
			} else {
				out = append(out, item)
			}
		}
		v.list = out
	}
}

// expand returns what a string stands for. What cannot be expanded is
// reported, and stands for itself.
func (x *expander) expand(p place, key, s string, stack []string) []string {
	if x.octets > maxExpanded {
		return nil // said already
	}
	out := []string{""}
	for {
		before, rest, ok := strings.Cut(s, "${")
		if escaped := strings.HasSuffix(before, "$"); escaped && ok {
			before, s = before[:len(before)-1]+"${", rest
			out = x.product(p, key, out, []string{before})
			continue
		}
		out = x.product(p, key, out, []string{before})
		if !ok {
			return out
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			x.at(p, key, "write ${NAME}, or $${ for the characters ${", "has ${ without }")
			return out
		}
		out = x.product(p, key, out, x.lookup(p, key, name, stack))
		s = after
	}
}

func (x *expander) product(p place, key string, a, b []string) []string {
	if len(b) == 1 && b[0] == "" {
		return a
	}
	n := len(a) * len(b)
	size := 0
	for _, s := range a {
		size += len(s) * len(b)
	}
	for _, s := range b {
		size += len(s) * len(a)
	}
	if x.octets += size; n > maxMacroList || x.octets > maxExpanded {
		x.at(p, key, "", "macros make it too long")
		return nil
	}
	out := make([]string, 0, n)
	for _, s := range a {
		for _, t := range b {
			out = append(out, s+t)
		}
	}
	return out
}

// lookup returns the values of a macro, none if it has none.
func (x *expander) lookup(p place, key, name string, stack []string) []string {
	if v := x.macros.get(name); v != nil {
		return x.own(p, key, name, v, stack)
	}
	word, arg, hasArg := strings.Cut(name, ":")
	if hasArg {
		word += ":"
	}
	if !slices.Contains(hostMacros, word) || hasArg && arg == "" {
		known := slices.Clone(hostMacros)
		if x.macros != nil {
			known = append(known, x.macros.keys...)
		}
		hint := "define it in [macros]"
		if n := nearest(word, known); n != "" {
			hint = fmt.Sprintf("did you mean ${%s}?", n)
			if strings.HasSuffix(n, ":") {
				hint = fmt.Sprintf("did you mean ${%s%s}?", n, clip(cmp.Or(arg, "eth0")))
			}
		}
		x.at(p, key, hint, "names the macro ${%s}, which is not defined", clip(name))
		return nil
	}
	if r, ok := x.done[name]; ok {
		return r
	}
	r, err := x.ask(word, arg)
	if err != nil {
		x.at(p, key, "", "${%s}: %v", clip(name), err)
	}
	x.done[name] = r
	return r
}

// own expands a macro of the file.
func (x *expander) own(p place, key, name string, v *value, stack []string) []string {
	if slices.Contains(stack, name) || len(stack) == maxMacroDepth {
		x.at(v.place, joinKey("macros", name), "", "is defined by itself: %s", strings.Join(append(stack, name), ", "))
		return nil
	}
	items := v.list
	if v.kind == kindString {
		items = []*value{v}
	}
	if len(items) == 0 && v.kind != kindArray {
		return nil // reported by the decoder
	}
	var out []string
	for _, item := range items {
		if item.kind == kindString {
			out = append(out, x.expand(p, key, item.text, append(slices.Clip(stack), name))...)
		}
	}
	return out
}

// ask asks the host.
func (x *expander) ask(word, arg string) ([]string, error) {
	switch word {
	case "hostname":
		h, err := x.host.Hostname()
		return []string{h}, err
	case "env:":
		s, ok := x.host.Getenv(arg)
		if !ok {
			return nil, fmt.Errorf("the environment has no %s", arg)
		}
		return []string{s}, nil
	}
	addrs, err := x.host.Addresses(arg)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, a := range addrs {
		if wants(word, a) {
			out = append(out, a.String())
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("there is no such address here")
	}
	return out, nil
}

func wants(word string, a netip.Addr) bool {
	local := a.Is6() && a.IsLinkLocalUnicast()
	switch word {
	case "address4", "interface4:":
		return a.Is4()
	case "address6", "interface6:":
		return a.Is6() && !local
	case "link-local:":
		return local
	}
	return !local
}
