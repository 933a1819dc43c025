package conf

import (
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// sources says for a pointer to each struct of a Config where it is written.
type sources map[any]source

type source struct {
	table *table
	path  []string
}

// decoder turns the tree into structs.
type decoder struct {
	*report
	sources sources
	fields  map[reflect.Type][]field
	bare    bool // without defaults
	abs     bool // file names are made absolute
}

// field is a key of a section.
type field struct {
	key   string
	index []int
	typ   reflect.Type
	tag   reflect.StructTag
	enum  []string
}

// fieldsOf returns the keys of a struct, those of embedded ones included. An
// outer key hides an inner one.
func fieldsOf(t reflect.Type) []field {
	var fs []field
	for i := range t.NumField() {
		sf := t.Field(i)
		key := sf.Tag.Get("toml")
		switch {
		case sf.Anonymous:
			for _, f := range fieldsOf(sf.Type) {
				f.index = append([]int{i}, f.index...)
				fs = append(fs, f)
			}
		case key != "" && key != "-":
			f := field{key: key, index: []int{i}, typ: sf.Type, tag: sf.Tag}
			if e := sf.Tag.Get("enum"); e != "" {
				f.enum = strings.Split(e, "|")
			}
			fs = append(fs, f)
		}
	}
	return slices.DeleteFunc(fs, func(f field) bool {
		return slices.ContainsFunc(fs, func(g field) bool { return g.key == f.key && len(g.index) < len(f.index) })
	})
}

// fieldsOf is the same, remembered.
func (d *decoder) fieldsOf(t reflect.Type) []field {
	fs, ok := d.fields[t]
	if !ok {
		fs = fieldsOf(t)
		if d.fields == nil {
			d.fields = make(map[reflect.Type][]field)
		}
		d.fields[t] = fs
	}
	return fs
}

func (d *decoder) decode(root *table, c *Config) {
	d.structure(root, nil, reflect.ValueOf(c).Elem())
}

// structure decodes a section.
func (d *decoder) structure(t *table, path []string, v reflect.Value) {
	d.source(t, path, v)
	fs := d.fieldsOf(v.Type())
	for _, key := range t.keys {
		i := slices.IndexFunc(fs, func(f field) bool { return f.key == key })
		if i < 0 {
			d.unknown(t.at[key], path, key, fs)
		}
	}
	for _, f := range fs {
		target, in, at := v.FieldByIndex(f.index), t.get(f.key), append(slices.Clip(path), f.key)
		bare := d.bare
		if v.Type() == reflect.TypeFor[Defaults]() || f.typ == reflect.TypeFor[Defaults]() || len(path) == 0 && f.key == "template" {
			d.bare = true // they are not used by themselves
		}
		switch {
		case in != nil:
			d.value(in, at, &f, target)
		case f.typ.Kind() == reflect.Struct && f.typ != reflect.TypeFor[Mark]():
			d.structure(newTable(t.place, implicit), at, target)
		case !d.bare:
			setDefault(&f, target)
		}
		d.bare = bare
	}
}

// source remembers where a struct is written, and those embedded in it.
func (d *decoder) source(t *table, path []string, v reflect.Value) {
	d.sources[v.Addr().Interface()] = source{t, path}
	for i := range v.NumField() {
		if v.Type().Field(i).Anonymous {
			d.source(t, path, v.Field(i))
		}
	}
}

// setDefault sets a field to its default, which is known to be right.
func setDefault(f *field, v reflect.Value) {
	text, ok := f.tag.Lookup("default")
	if !ok {
		return
	}
	in := &value{kind: kindString, text: text}
	switch {
	case f.typ.Kind() == reflect.Slice:
		in.kind, in.text = kindArray, ""
		for s := range strings.SplitSeq(text, ",") {
			in.list = append(in.list, &value{kind: kindString, text: s})
		}
	case f.typ == reflect.TypeFor[Duration](), f.typ == reflect.TypeFor[Size](), f.typ == reflect.TypeFor[Mark](), f.typ.Kind() == reflect.String:
	case f.typ.Kind() == reflect.Bool:
		in.kind = kindBool
	case f.typ.Kind() == reflect.Float64:
		in.kind = kindFloat
	default:
		in.kind = kindInteger
	}
	d := &decoder{report: new(report), bare: true}
	g := *f
	if in.text != "" { // "" is no file
		g.tag = reflect.StructTag(strings.ReplaceAll(string(f.tag), `path:`, `was:`))
	}
	d.value(in, nil, &g, v)
}

func (d *decoder) value(in *value, path []string, f *field, v reflect.Value) {
	key := joinKey(path...)
	switch {
	case f.typ == reflect.TypeFor[Duration]():
		d.duration(in, key, f, v)
	case f.typ == reflect.TypeFor[Size]():
		d.size(in, key, f, v)
	case f.typ == reflect.TypeFor[Mark]():
		d.mark(in, key, v)
	case f.typ.Kind() == reflect.Struct:
		if in.kind != kindTable {
			d.wrongType(in, key, f, "a table", "write it as a section: ["+key+"]")
			return
		}
		d.structure(in.table, path, v)
	case f.typ.Kind() == reflect.Map:
		d.lists(in, path, f, v)
	case f.typ == reflect.TypeFor[[]string]():
		v.Set(reflect.ValueOf(d.strings(in, key, f)))
	case f.typ.Kind() == reflect.Slice:
		d.named(in, path, v)
	case f.typ.Kind() == reflect.String:
		if in.kind != kindString {
			hint := "write it with quotes: " + f.key + ` = "` + clip(in.text) + `"`
			if in.kind == kindArray {
				hint = "write one value"
			} else if in.kind == kindTable {
				hint = "write " + f.key + ` = "..."`
			}
			d.wrongType(in, key, f, "a string", hint)
			return
		}
		v.SetString(d.text(in, key, f))
	case f.typ.Kind() == reflect.Bool:
		if in.kind != kindBool {
			hint := "write " + f.key + " = true or " + f.key + " = false"
			switch {
			case slices.Contains([]string{"yes", "on", "true", "enable"}, in.text):
				hint = "write " + f.key + " = true"
			case slices.Contains([]string{"no", "off", "false", "disable"}, in.text):
				hint = "write " + f.key + " = false"
			}
			d.wrongType(in, key, f, "true or false", hint)
			return
		}
		v.SetBool(in.text == "true")
	case f.typ.Kind() == reflect.Float64:
		d.float(in, key, f, v)
	default:
		d.integer(in, key, f, v)
	}
}

func (d *decoder) wrongType(in *value, key string, f *field, want, hint string) {
	if in.kind == kindArray && in.text != "" { // of macros
		told := slices.ContainsFunc(d.errors, func(e *Error) bool { return e.Line == in.line && e.Column == in.column && e.File == in.file })
		if !told {
			d.at(in.place, key, "take one address family (interface4, interface6), or write it out", "stands for %d values where one is needed: %q", len(in.list), clip(in.text))
		}
		return
	}
	d.at(in.place, key, hint, "is %v where %s is needed", in.kind, want)
}

// text reads a string of a field: words, file names, anything.
func (d *decoder) text(in *value, key string, f *field) string {
	s := in.text
	switch {
	case !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f }):
		d.at(in.place, key, "remove them", "has control characters")
	case f.enum != nil && s != "" && !slices.Contains(f.enum, s):
		hint := ""
		if n := nearest(s, f.enum); n != "" {
			hint = fmt.Sprintf("did you mean %q?", n)
		}
		if n := synonyms[s]; slices.Contains(f.enum, n) {
			hint = fmt.Sprintf("write %q", n)
		}
		d.at(in.place, key, hint, "is %q, but can be %s only", clip(s), list(quoteAll(f.enum)))
	case s != "" && f.tag.Get("path") != "":
		s = relativeTo(in.file, s)
		if a, err := filepath.Abs(s); err == nil && d.abs {
			s = a
		}
	}
	return s
}

// strings reads a list of strings, or one string.
func (d *decoder) strings(in *value, key string, f *field) []string {
	items := in.list
	switch in.kind {
	case kindArray:
	case kindString:
		if in.text == "" {
			return []string{}
		}
		items = []*value{in}
	default:
		hint := "write " + f.key + ` = ["..."]`
		if in.kind != kindTable {
			hint = "write " + f.key + ` = ["` + clip(in.text) + `"]`
		}
		d.wrongType(in, key, f, "a list of strings", hint)
		return nil
	}
	out := make([]string, 0, len(items))
	for i, item := range items {
		at := key
		if in.kind == kindArray {
			at = fmt.Sprintf("%s[%d]", key, i)
		}
		if item.kind != kindString {
			d.at(item.place, at, "write it with quotes", "is %v where a string is needed", item.kind)
			continue
		}
		s := d.text(item, at, f)
		switch {
		case s == "":
			d.at(item.place, at, "remove it, or write []", "is empty")
		case slices.Contains(out, s):
			d.at(item.place, at, "remove one of them", "is there twice: %q", clip(s))
		default:
			out = append(out, s)
		}
	}
	return out
}

// lists reads a map of lists.
func (d *decoder) lists(in *value, path []string, f *field, v reflect.Value) {
	if in.kind != kindTable {
		d.wrongType(in, joinKey(path...), f, "a table", "write it as a section: ["+joinKey(path...)+"]")
		return
	}
	m := make(map[string][]string, len(in.table.keys))
	for _, name := range in.table.keys {
		m[name] = d.strings(in.table.values[name], joinKey(append(slices.Clip(path), name)...), f)
	}
	v.Set(reflect.ValueOf(m))
}

// named reads sections that have a name.
func (d *decoder) named(in *value, path []string, v reflect.Value) {
	section := joinKey(path...)
	if in.kind != kindTable {
		d.at(in.place, section, "write ["+section+".NAME]", "is %v where sections with a name are needed", in.kind)
		return
	}
	for _, name := range in.table.keys {
		item, at := in.table.values[name], append(slices.Clip(path), name)
		if item.kind != kindTable {
			hint := "write it under [" + section + ".NAME]"
			d.at(in.table.at[name], joinKey(at...), hint, "is %v where a section is needed", item.kind)
			continue
		}
		if !validName(name) {
			d.at(in.table.at[name], joinKey(at...), "use letters, digits and . _ - @ + : (it is used in logs, files and scripts)", "has a name that cannot be used")
		}
		p := reflect.New(v.Type().Elem().Elem())
		p.Elem().FieldByName("Name").SetString(name)
		d.structure(item.table, at, p.Elem())
		v.Set(reflect.Append(v, p))
	}
}

func validName(s string) bool {
	for i, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_':
		case i > 0 && strings.IndexByte(".-@+:", c) >= 0:
		default:
			return false
		}
	}
	return s != "" && len(s) <= 64
}

func (d *decoder) duration(in *value, key string, f *field, v reflect.Value) {
	off := f.tag.Get("off")
	if in.kind != kindString {
		hint := `write "30s", "10m", "8h" or "1d"`
		if in.kind == kindInteger {
			hint = `write the unit: "` + in.text + `s"`
		}
		d.wrongType(in, key, f, "a time span", hint)
		return
	}
	if off != "" && (in.text == "never" || in.text == "off") {
		v.Set(reflect.ValueOf(Never))
		return
	}
	t, err := ParseDuration(in.text)
	if err != nil {
		hint := `write "30s", "10m", "8h" or "1d"`
		if off != "" {
			hint = fmt.Sprintf(`write "30s", "10m", "8h", "1d" or %q`, off)
		} else if in.text == "never" || in.text == "off" {
			hint = "it cannot be switched off"
		}
		d.at(in.place, key, hint, "is %q, which is not a time span", clip(in.text))
		return
	}
	if !d.inRange(in, key, f, float64(t), func(s string) float64 { t, _ := ParseDuration(s); return float64(t) }) {
		return
	}
	v.Set(reflect.ValueOf(t))
}

func (d *decoder) size(in *value, key string, f *field, v reflect.Value) {
	if in.kind != kindString {
		hint := `write "512KiB", "4GiB" or "1500B"`
		if in.kind == kindInteger {
			hint = `write the unit: "` + in.text + `B"`
		}
		d.wrongType(in, key, f, "a size", hint)
		return
	}
	s, err := ParseSize(in.text)
	if err != nil {
		hint := `write "512KiB", "4GiB" or "1500B"`
		if n, ok := strings.CutSuffix(strings.ToUpper(in.text), "B"); ok && n != "" && strings.ContainsRune("KMGT", rune(n[len(n)-1])) {
			hint = fmt.Sprintf("write \"%s%ciB\", which is a power of 1024", strings.TrimSpace(n[:len(n)-1]), n[len(n)-1])
		}
		d.at(in.place, key, hint, "is %q, which is not a size", clip(in.text))
		return
	}
	if !d.inRange(in, key, f, float64(s), func(s string) float64 { n, _ := ParseSize(s); return float64(n) }) {
		return
	}
	v.Set(reflect.ValueOf(s))
}

func (d *decoder) mark(in *value, key string, v reflect.Value) {
	if in.kind != kindString {
		d.at(in.place, key, `write "0x10" or "0x10/0xff"`, "is %v where a mark is needed", in.kind)
		return
	}
	if in.text == "" {
		return
	}
	m, err := ParseMark(in.text)
	if err != nil {
		d.at(in.place, key, `write "0x10" or "0x10/0xff"`, "%q %v", clip(in.text), err)
		return
	}
	v.Set(reflect.ValueOf(m))
}

func (d *decoder) float(in *value, key string, f *field, v reflect.Value) {
	if in.kind != kindFloat && in.kind != kindInteger {
		d.wrongType(in, key, f, "a number", "write it without quotes")
		return
	}
	n, err := strconv.ParseFloat(strings.ReplaceAll(in.text, "_", ""), 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		d.at(in.place, key, "", "is %q, which is not a number", clip(in.text))
		return
	}
	if d.inRange(in, key, f, n, parseFloat) {
		v.SetFloat(n)
	}
}

func parseFloat(s string) float64 { n, _ := strconv.ParseFloat(s, 64); return n }

func (d *decoder) integer(in *value, key string, f *field, v reflect.Value) {
	if in.kind != kindInteger {
		d.wrongType(in, key, f, "an integer", "write it without quotes")
		return
	}
	bits := f.typ.Bits()
	if f.typ.Kind() == reflect.Int {
		bits = 32
	}
	text := strings.TrimPrefix(strings.ReplaceAll(in.text, "_", ""), "+")
	if n, err := strconv.ParseUint(text, 0, 64); err == nil && (f.typ.Kind() == reflect.Uint32 || f.typ.Kind() == reflect.Uint64) && n <= math.MaxUint64>>(64-bits) {
		if d.inRange(in, key, f, float64(n), parseNumber) {
			v.SetUint(n)
		}
		return
	}
	n, err := strconv.ParseInt(text, 0, bits)
	if err != nil || f.typ.Kind() != reflect.Int {
		hint := fmt.Sprintf("use %s to %d", f.tag.Get("min"), uint64(math.MaxUint64)>>(64-bits))
		if f.tag.Get("min") == "" {
			hint = fmt.Sprintf("use 0 to %d", uint64(math.MaxUint64)>>(64-bits))
		}
		if f.typ.Kind() == reflect.Int {
			hint = "use a smaller number"
		}
		d.at(in.place, key, hint, "is %s, which is out of range", clip(in.text))
		return
	}
	if d.inRange(in, key, f, float64(n), parseNumber) {
		v.SetInt(n)
	}
}

func parseNumber(s string) float64 { n, _ := strconv.ParseInt(s, 0, 64); return float64(n) }

// inRange checks min and max of a field.
func (d *decoder) inRange(in *value, key string, f *field, n float64, parse func(string) float64) bool {
	least, most := f.tag.Get("min"), f.tag.Get("max")
	switch {
	case (least == "" || n >= parse(least)) && (most == "" || n <= parse(most)):
		return true
	case most == "":
		d.at(in.place, key, fmt.Sprintf("use %s or more", least), "is %s, which is too little", clip(in.text))
	case least == "":
		d.at(in.place, key, fmt.Sprintf("use %s at most", most), "is %s, which is too much", clip(in.text))
	default:
		d.at(in.place, key, fmt.Sprintf("use %s to %s", least, most), "is %s, which is out of range", clip(in.text))
	}
	return false
}

// child decodes a Child SA that has no section of its own.
func (d *decoder) child(t *table, path []string, ch *Child) {
	d.structure(t, path, reflect.ValueOf(ch).Elem())
}
