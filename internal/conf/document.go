package conf

import (
	"bytes"
	"errors"
	"slices"
	"sort"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// place is where something is written.
type place struct {
	file         string
	line, column int
}

// kind of a value.
type kind uint8

const (
	kindTable kind = iota
	kindArray
	kindString
	kindBool
	kindInteger
	kindFloat
	kindDate
)

func (k kind) String() string {
	return [...]string{"a table", "a list", "a string", "true or false", "an integer", "a number with a fraction", "a date"}[k]
}

// value is a node of the tree of a file.
type value struct {
	place
	kind  kind
	text  string // of a string its content, of other scalars as written
	list  []*value
	table *table
}

// table is a table and its keys in the order of the file.
type table struct {
	place  // of its header or its first key
	keys   []string
	at     map[string]place // of the keys
	values map[string]*value

	origin origin
}

// origin is how a table came to be, which decides who may add to it (TOML 1.0,
// "Table").
type origin uint8

const (
	implicit origin = iota // part of another's header
	header                 // by a header of its own
	dotted                 // by a dotted key
	inline                 // { }
)

func newTable(p place, o origin) *table {
	return &table{place: p, at: make(map[string]place), values: make(map[string]*value), origin: o}
}

func (t *table) get(key string) *value {
	if t == nil {
		return nil
	}
	return t.values[key]
}

func (t *table) set(key string, p place, v *value) {
	if _, ok := t.values[key]; !ok {
		t.keys = append(t.keys, key)
	}
	t.at[key], t.values[key] = p, v
}

// sub returns the table of that key, or nil.
func (t *table) sub(key string) *table {
	if v := t.get(key); v != nil && v.kind == kindTable {
		return v.table
	}
	return nil
}

// maxFile bounds a file, in octets.
const maxFile = 4 << 20

// maxDepth bounds how deep lists and tables are nested: the language needs five.
const maxDepth = 16

// maxSyntaxErrors bounds how often reading goes on after an error of syntax.
const maxSyntaxErrors = 20

// parseDocument reads a file into a tree. What is wrong with its syntax is
// reported, and the rest read nevertheless as far as that makes sense.
func parseDocument(name string, data []byte, r *report) *table {
	root := newTable(place{name, 1, 1}, header)
	if len(data) > maxFile {
		r.at(place{file: name}, "", "split it and use include", "is longer than %d octets", maxFile)
		return root
	}
	data = bytes.Clone(data)
	data = data[:len(data):len(data)]
	d := &document{name: name, report: r}
	for i, c := range data {
		if c == '\n' {
			d.lines = append(d.lines, i)
		}
	}
	before, last := len(r.errors), 0
	for range maxSyntaxErrors {
		offset, message := d.syntaxError(data)
		if message == "" {
			break
		}
		p := d.place(offset)
		if last > 0 && p.line <= last+1 {
			break // what follows is a consequence
		}
		last = p.line
		r.at(p, "", syntaxHint(data, offset), "%s", message)
		first, end := d.line(p.line, len(data))
		for i := first; i < end; i++ {
			data[i] = ' '
		}
	}
	if len(r.errors) > before {
		if _, message := d.syntaxError(data); message != "" {
			return root
		}
	}
	d.build(root, data)
	if len(r.errors) == before {
		d.confirm(data)
	}
	return root
}

type document struct {
	name   string
	lines  []int // offsets of the newlines
	report *report
}

func (d *document) place(offset int) place {
	i := sort.SearchInts(d.lines, offset)
	column := offset + 1
	if i > 0 {
		column = offset - d.lines[i-1]
	}
	return place{d.name, i + 1, column}
}

// line returns where a line begins and ends.
func (d *document) line(n, size int) (first, end int) {
	if n > 1 {
		first = d.lines[n-2] + 1
	}
	if n-1 < len(d.lines) {
		return first, d.lines[n-1]
	}
	return first, size
}

func (d *document) syntaxError(data []byte) (offset int, message string) {
	var p unstable.Parser
	p.Reset(data)
	for p.NextExpression() {
	}
	err := p.Error()
	if err == nil {
		return 0, ""
	}
	var pe *unstable.ParserError
	if errors.As(err, &pe) {
		if n := cap(data) - cap(pe.Highlight); pe.Highlight != nil && n >= 0 && n <= len(data) {
			offset = n
		}
		return offset, "syntax: " + pe.Message
	}
	return 0, "syntax: " + err.Error()
}

// syntaxHint knows the mistakes that people make who write TOML for the first
// time.
func syntaxHint(data []byte, offset int) string {
	line := data[bytes.LastIndexByte(data[:min(offset, len(data))], '\n')+1:]
	if i := bytes.IndexByte(line, '\n'); i >= 0 {
		line = line[:i]
	}
	text := string(bytes.TrimSpace(line))
	key, val, ok := strings.Cut(text, "=")
	val = strings.TrimSpace(val)
	switch {
	case strings.HasSuffix(text, "{") && !ok:
		return "sections are written [peer.NAME], without braces"
	case strings.HasSuffix(text, ";"):
		return "lines do not end in a semicolon"
	case strings.HasPrefix(text, "[") && !strings.Contains(text, "]"):
		return "a section header ends in ]"
	case !ok && text != "" && !strings.HasPrefix(text, "["):
		return "write key = value"
	case ok && val != "" && !strings.ContainsAny(val[:1], `"'[{0123456789+-`) && val != "true" && val != "false":
		if word := strings.Fields(val)[0]; slices.Contains([]string{"yes", "on", "enable", "True"}, word) {
			return "write " + strings.TrimSpace(key) + " = true"
		} else if slices.Contains([]string{"no", "off", "disable", "False"}, word) {
			return "write " + strings.TrimSpace(key) + " = false"
		}
		return "strings have quotes: " + strings.TrimSpace(key) + ` = "` + clip(strings.TrimSpace(strings.SplitN(val, "#", 2)[0])) + `"`
	case ok && strings.HasPrefix(val, `"`) && strings.Count(val, `"`) == 1:
		return "the string has no closing quote"
	case ok && strings.HasPrefix(val, "[") && !strings.Contains(val, "]"):
		return "the list has no closing ]"
	case ok && len(val) > 0 && val[0] >= '0' && val[0] <= '9':
		return "addresses, times and sizes have quotes: " + strings.TrimSpace(key) + ` = "` + clip(val) + `"`
	}
	return ""
}

// build makes the tree.
func (d *document) build(root *table, data []byte) {
	var p unstable.Parser
	p.Reset(data)
	current, path := root, []string(nil)
	for p.NextExpression() {
		e := p.Expression()
		switch e.Kind {
		case unstable.KeyValue:
			if current != nil {
				d.keyValue(current, path, e, 0)
			}
		case unstable.Table:
			current, path = d.header(root, e)
		case unstable.ArrayTable:
			key := e.Key()
			key.Next()
			at := d.place(int(key.Node().Raw.Offset))
			d.report.at(at, string(key.Node().Data), "give it a name: [peer.NAME]", "is a list of tables ([[ ]]), which this language does not have")
			current = nil
		}
	}
}

// header finds or makes the table of a header; nil if that is an error.
func (d *document) header(root *table, e *unstable.Node) (t *table, path []string) {
	t = root
	for it := e.Key(); it.Next(); {
		n := it.Node()
		key, p := string(n.Data), d.place(int(n.Raw.Offset))
		path = append(path, key)
		if len(path) > maxDepth {
			d.report.at(p, joinKey(path...), "", "is nested too deep")
			return nil, nil
		}
		v := t.get(key)
		switch {
		case v == nil:
			v = &value{place: p, kind: kindTable, table: newTable(p, implicit)}
			t.set(key, p, v)
		case v.kind != kindTable || v.table.origin == inline:
			d.report.at(p, joinKey(path...), "", "is a key with a value already, at line %d", t.at[key].line)
			return nil, nil
		}
		t = v.table
		if it.IsLast() {
			if t.origin != implicit {
				d.report.at(p, joinKey(path...), "join them, or give one another name", "is there twice, first at line %d", t.line)
				return nil, nil
			}
			t.origin, t.place = header, p
		}
	}
	return t, path
}

// keyValue adds one key, which may be dotted, to a table.
func (d *document) keyValue(t *table, path []string, e *unstable.Node, depth int) {
	path = slices.Clip(path)
	for it := e.Key(); it.Next(); {
		n := it.Node()
		key, p := string(n.Data), d.place(int(n.Raw.Offset))
		path = append(path, key)
		v := t.get(key)
		if it.IsLast() {
			if v != nil {
				d.report.at(p, joinKey(path...), "remove one of them", "is there twice, first at line %d", t.at[key].line)
				return
			}
			t.set(key, p, d.value(e.Value(), path, p, depth+1))
			return
		}
		switch {
		case len(path) > maxDepth:
			d.report.at(p, joinKey(path...), "", "is nested too deep")
			return
		case v == nil:
			v = &value{place: p, kind: kindTable, table: newTable(p, dotted)}
			t.set(key, p, v)
		case v.kind != kindTable || v.table.origin == inline || v.table.origin == header:
			d.report.at(p, joinKey(path...), "put the key there", "is there already, at line %d", t.at[key].line)
			return
		}
		t = v.table
	}
}

func (d *document) value(n *unstable.Node, path []string, p place, depth int) *value {
	if n.Raw.Length > 0 {
		p = d.place(int(n.Raw.Offset))
	}
	v := &value{place: p, text: string(n.Data)}
	if depth > maxDepth {
		d.report.at(p, joinKey(path...), "", "is nested too deep")
		v.kind = kindDate // nothing that is looked into
		return v
	}
	switch n.Kind {
	case unstable.String:
		v.kind = kindString
	case unstable.Bool:
		v.kind = kindBool
	case unstable.Integer:
		v.kind = kindInteger
	case unstable.Float:
		v.kind = kindFloat
	case unstable.Array:
		v.kind = kindArray
		for it := n.Children(); it.Next(); {
			v.list = append(v.list, d.value(it.Node(), path, p, depth+1))
		}
	case unstable.InlineTable:
		v.kind, v.table = kindTable, newTable(p, dotted) // open while it is read
		for it := n.Children(); it.Next(); {
			d.keyValue(v.table, path, it.Node(), depth)
		}
		v.table.origin = inline
	default:
		v.kind = kindDate
	}
	return v
}

// confirm has go-toml itself decide whether the file is TOML: rules that the
// tree does not need are rules nevertheless.
func (d *document) confirm(data []byte) {
	var all map[string]any
	err := toml.Unmarshal(data, &all)
	var de *toml.DecodeError
	switch {
	case err == nil:
	case errors.As(err, &de):
		line, column := de.Position()
		d.report.at(place{d.name, max(line, 1), max(column, 1)}, strings.Join(de.Key(), "."), "", "syntax: %s", strings.TrimPrefix(de.Error(), "toml: "))
	default:
		d.report.at(place{file: d.name}, "", "", "syntax: %v", err)
	}
}

// joinKey joins the parts of a key, with quotes where they are needed.
func joinKey(parts ...string) string {
	var b strings.Builder
	for i, p := range parts {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(quoteKey(p))
	}
	return b.String()
}

// quoteKey is a part of a key as errors show it.
func quoteKey(p string) string { return exactKey(clip(p)) }

// exactKey is a part of a key as a file has it, however long.
func exactKey(p string) string {
	bare := p != ""
	for _, c := range []byte(p) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			bare = false
		}
	}
	if bare {
		return p
	}
	return tomlString(p)
}
