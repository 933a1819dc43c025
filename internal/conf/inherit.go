package conf

import (
	"slices"
	"strings"
)

// inherit gives peers what they inherit: from [defaults], and from the peer or
// template that inherits names.
func (l *loader) inherit(root *table) {
	defaults, peers, templates := root.sub("defaults"), root.sub("peer"), root.sub("template")
	h := &heritage{loader: l, peers: peers, templates: templates, done: make(map[*table]*table)}
	if defaults != nil {
		if v := defaults.get("inherits"); v != nil {
			l.at(v.place, "defaults.inherits", "remove it", "cannot be used here: all peers inherit from [defaults]")
			delete(defaults.values, "inherits")
			defaults.keys = slices.DeleteFunc(defaults.keys, func(k string) bool { return k == "inherits" })
		}
	}
	general, child := newTable(place{}, implicit), defaults.sub("child")
	if defaults != nil {
		for _, k := range defaults.keys {
			if k != "child" {
				general.set(k, defaults.at[k], defaults.values[k])
			}
		}
	}
	for _, group := range []struct {
		section string
		tables  *table
	}{{"template", templates}, {"peer", peers}} {
		if group.tables == nil {
			continue
		}
		for _, name := range group.tables.keys {
			if v := group.tables.values[name]; v.kind == kindTable {
				h.resolve(group.section, name, v.table, nil)
			}
		}
	}
	if peers == nil {
		return
	}
	for _, name := range peers.keys {
		v := peers.values[name]
		if v.kind != kindTable {
			continue
		}
		own := h.done[v.table]
		t := overlay(general, own)
		t.place = v.table.place
		if children := t.sub("child"); children != nil && child != nil {
			all := newTable(children.place, children.origin)
			for _, k := range children.keys {
				c := *children.values[k]
				if c.kind == kindTable {
					c.table = overlay(child, c.table)
				}
				all.set(k, children.at[k], &c)
			}
			t.set("child", t.at["child"], &value{place: children.place, kind: kindTable, table: all})
		}
		peers.values[name] = &value{place: v.place, kind: kindTable, table: t}
	}
}

// maxHeritage bounds from how many others a peer inherits.
const maxHeritage = 16

type heritage struct {
	*loader
	peers, templates *table
	done             map[*table]*table
}

// resolve returns a peer's table with what it inherits by name.
func (h *heritage) resolve(section, name string, t *table, stack []string) *table {
	if r, ok := h.done[t]; ok {
		return r
	}
	v := t.get("inherits")
	if v == nil || v.kind != kindString || v.text == "" {
		h.done[t] = t
		return t
	}
	key := joinKey(section, name, "inherits")
	id := section + "." + name
	if len(stack) == maxHeritage {
		h.at(v.place, key, "inherit from a nearer one", "is the end of a line of more than %d", maxHeritage)
		return t
	}
	if slices.Contains(stack, id) {
		h.at(v.place, key, "break the circle", "leads back to itself: %s", strings.Join(append(stack, id), ", "))
		return t
	}
	of, from := "template", h.templates.sub(v.text)
	if from == nil {
		of, from = "peer", h.peers.sub(v.text)
	}
	if from == nil {
		var known []string
		for _, g := range []*table{h.templates, h.peers} {
			if g != nil {
				known = append(known, g.keys...)
			}
		}
		hint := "define [template." + quoteKey(v.text) + "]"
		if n := nearest(v.text, slices.DeleteFunc(known, func(k string) bool { return k == name })); n != "" {
			hint = `did you mean "` + n + `"?`
		}
		h.at(v.place, key, hint, "there is neither a template nor a peer %q", clip(v.text))
		h.done[t] = t
		return t
	}
	r := overlay(h.resolve(of, v.text, from, append(stack, id)), t)
	h.done[t] = r
	return r
}

// overlay returns base with what top has: tables key by key, everything else
// replaced. Neither is changed.
func overlay(base, top *table) *table {
	out := newTable(top.place, top.origin)
	for _, k := range base.keys {
		if k != "inherits" {
			out.set(k, base.at[k], base.values[k])
		}
	}
	for _, k := range top.keys {
		v := top.values[k]
		if b := base.get(k); b != nil && b.kind == kindTable && v.kind == kindTable && k != "inherits" {
			v = &value{place: v.place, kind: kindTable, table: overlay(b.table, v.table)}
		}
		out.set(k, top.at[k], v)
	}
	return out
}
