package conf

import (
	_ "embed"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/racoon3/racoon/spd"
)

// introduction comes before the reference: what the structs do not say.
//
//go:embed introduction.md
var introduction string

// Reference writes the documentation of the configuration file, in Markdown:
// an introduction, then each section with its keys, as the comments of the
// structs say. Keys are commented out and show their defaults, or, where there
// is none, an example.
func Reference(w io.Writer) error {
	var b strings.Builder
	b.WriteString(introduction)
	b.WriteString("\n## Sections\n")
	described := map[reflect.Type]string{}
	walkSections(func(path string, t reflect.Type) {
		if path == "template.NAME" || strings.HasPrefix(path, "template.NAME.") || strings.HasPrefix(path, "defaults.") && path != "defaults.child" {
			return // as those of a peer
		}
		referenceSection(&b, path, t, described)
	})
	_, err := io.WriteString(w, b.String())
	return err
}

// sectionComment is what the struct above says of a section.
func sectionComment(path string) string {
	t, text := reflect.TypeFor[Config](), ""
	for part := range strings.SplitSeq(path, ".") {
		for _, f := range fieldsOf(t) {
			if f.key == part {
				text = comments[commentKey(t, f)]
				t = f.typ
				if t.Kind() == reflect.Slice {
					t = t.Elem().Elem()
				}
				break
			}
		}
	}
	return text
}

// commentKey is the struct and the name of a field, wherever it is embedded.
func commentKey(t reflect.Type, f field) string {
	for _, i := range f.index[:len(f.index)-1] {
		t = t.Field(i).Type
	}
	return t.Name() + "." + t.Field(f.index[len(f.index)-1]).Name
}

func referenceSection(b *strings.Builder, path string, t reflect.Type, described map[reflect.Type]string) {
	title := "[" + path + "]"
	if path == "" {
		title = "At the top of the file"
	}
	fmt.Fprintf(b, "\n### %s\n\n", title)
	if text := sectionComment(path); text != "" {
		b.WriteString(text + "\n\n")
	}
	if path == "defaults" {
		t = reflect.TypeFor[struct{}]()
	} else if first := described[t]; first != "" && path != "" {
		fmt.Fprintf(b, "The keys are those of [%s].\n", first)
		return
	} else if path == "defaults.child" {
		b.WriteString("The keys are those of [peer.NAME.child.NAME].\n")
		return
	}
	described[t] = path
	var body strings.Builder
	if path != "" {
		fmt.Fprintf(&body, "[%s]\n", path)
	}
	n := 0
	for _, f := range fieldsOf(t) {
		line, ok := referenceKey(path, &f)
		if !ok {
			continue
		}
		if c := comments[commentKey(t, f)]; c != "" {
			body.WriteString("\n")
			for _, l := range wrap(c+allowed(&f, c), 88) {
				body.WriteString("# " + l + "\n")
			}
		}
		body.WriteString(line + "\n")
		n++
	}
	if n > 0 {
		b.WriteString("```toml\n" + strings.TrimPrefix(body.String(), "\n") + "```\n")
	}
	for _, f := range fieldsOf(t) {
		if f.typ.Kind() == reflect.Map {
			referenceMap(b, path, t, f)
		}
	}
}

// referenceMap describes a table whose keys are names.
func referenceMap(b *strings.Builder, path string, t reflect.Type, f field) {
	at := f.key
	if path != "" {
		at = path + "." + f.key
	}
	fmt.Fprintf(b, "\n### [%s]\n\n%s\n\n```toml\n[%s]\n#%s = %s\n```\n", at, comments[commentKey(t, f)], at, f.tag.Get("name"), f.tag.Get("example"))
}

// referenceKey writes a key with its default, or an example.
func referenceKey(path string, f *field) (string, bool) {
	if f.typ.Kind() == reflect.Struct && f.typ != reflect.TypeFor[Mark]() || f.typ.Kind() == reflect.Map || f.typ.Kind() == reflect.Slice && f.typ != reflect.TypeFor[[]string]() {
		return "", false
	}
	if def, ok := f.tag.Lookup("default"); ok {
		v := reflect.New(f.typ).Elem()
		setDefault(f, v)
		text, shown := tomlValue(f, v)
		if !shown {
			text = tomlString(def)
		}
		return "#" + f.key + " = " + text, true
	}
	example := f.tag.Get("example")
	note := ""
	switch computed := f.tag.Get("computed"); computed {
	case "":
	case "spd:ike":
		example = tomlList(proposalTexts(spd.DefaultIKEProposals()))
	case "spd:child":
		example = tomlList(defaultChildProposals("esp"))
	default:
		note = "  # default: " + computed
	}
	if example == "" {
		switch {
		case f.enum != nil && f.typ.Kind() == reflect.Slice:
			example = tomlList(f.enum[:1])
		case f.enum != nil:
			example = tomlString(f.enum[0])
		case f.typ.Kind() == reflect.Bool:
			example = "true"
		case f.typ == reflect.TypeFor[Duration]():
			example = `"1h"`
		case f.typ == reflect.TypeFor[[]string]():
			example = "[]"
		default:
			example = `""`
		}
	}
	if note == "" && f.tag.Get("computed") == "" {
		note = "  # example"
	}
	return "#" + f.key + " = " + example + note, true
}

// allowed says what a key may be, beyond its comment.
func allowed(f *field, comment string) string {
	least, most := f.tag.Get("min"), f.tag.Get("max")
	s := ""
	switch {
	case least != "" && most != "":
		s = " From " + least + " to " + most
	case least != "" && least != "0" && least != "0s":
		s = " At least " + least
	case most != "":
		s = " At most " + most
	}
	if off := f.tag.Get("off"); off != "" {
		if s == "" {
			return " Or \"" + off + "\"."
		}
		s += ", or \"" + off + "\""
	}
	if s == "" && slices.ContainsFunc(f.enum, func(w string) bool { return !strings.Contains(comment, w) }) {
		s = " One of " + list(f.enum)
		if f.typ.Kind() == reflect.Slice {
			s = " Any of " + list(f.enum)
		}
	}
	if s == "" {
		return ""
	}
	return s + "."
}

// wrap breaks a text into lines.
func wrap(s string, width int) []string {
	var lines []string
	line := ""
	for _, w := range strings.Fields(s) {
		if line != "" && len(line)+1+len(w) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += w
	}
	return append(lines, line)
}
