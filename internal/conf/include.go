package conf

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Glob implements [Files].
func (osFiles) Glob(pattern string) ([]string, error) { return filepath.Glob(pattern) } // sorted

const (
	maxIncludeDepth = 10
	maxIncludes     = 1000
)

// include adds what a file includes to its tree.
func (l *loader) include(root *table, name string, depth int) {
	v := root.get("include")
	if v == nil {
		return
	}
	delete(root.values, "include")
	root.keys = slices.DeleteFunc(root.keys, func(k string) bool { return k == "include" })
	items := []*value{v}
	if v.kind == kindArray {
		items = v.list
	}
	for i, item := range items {
		key := "include"
		if v.kind == kindArray {
			key = fmt.Sprintf("include[%d]", i)
		}
		switch {
		case item.kind != kindString:
			l.at(item.place, key, `write include = ["conf.d/*.toml"]`, "is %v where the name of a file is needed", item.kind)
			continue
		case depth == maxIncludeDepth:
			l.at(item.place, key, "", "files include each other more than %d deep", maxIncludeDepth)
			return
		}
		l.includeFiles(root, name, item, key, depth)
	}
}

func (l *loader) includeFiles(root *table, name string, item *value, key string, depth int) {
	pattern := l.expandOne(item, key, nil)
	if pattern == "" {
		l.at(item.place, key, `write include = ["conf.d/*.toml"]`, "is empty where the name of a file is needed")
		return
	}
	pattern = relativeTo(name, pattern)
	names := []string{pattern}
	if strings.ContainsAny(pattern, "*?[") {
		var err error
		if names, err = l.files.Glob(pattern); err != nil {
			l.at(item.place, key, "", "%q is not a pattern for file names", clip(item.text))
			return
		}
	}
	for _, n := range names {
		if slices.Contains(l.read, n) {
			if len(names) == 1 {
				l.at(item.place, key, "include it once", "%s is part of the configuration already", n)
			}
			continue // a pattern may match the including file
		}
		if len(l.read) == maxIncludes {
			l.at(item.place, key, "", "there are more than %d files", maxIncludes)
			return
		}
		data, err := l.files.ReadFile(n)
		if err != nil {
			l.at(item.place, key, "create it, or remove it from include", "%s cannot be read: %s", n, reason(err))
			continue
		}
		l.read = append(l.read, n)
		t := parseDocument(n, data, &l.report)
		l.include(t, n, depth+1)
		l.join(root, t, nil)
	}
}

// relativeTo resolves a file name against the file that it is written in.
func relativeTo(file, name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(filepath.Dir(file), name)
}

// join adds the keys of another file. Sections may be spread over files, keys
// and named sections may not.
func (l *loader) join(dst, src *table, path []string) {
	for _, key := range src.keys {
		v, old := src.values[key], dst.get(key)
		at := append(slices.Clip(path), key)
		switch {
		case old == nil:
			dst.set(key, src.at[key], v)
		case v.kind == kindTable && old.kind == kindTable && (len(path) == 0 || v.table.origin == implicit || old.table.origin == implicit):
			if v.table.origin != implicit && old.table.origin == implicit {
				old.table.origin, old.table.place = v.table.origin, v.table.place
			}
			l.join(old.table, v.table, at)
		default:
			p := dst.at[key]
			l.report.at(src.at[key], joinKey(at...), "join them, or give one another name", "is there twice, first at %s:%d", p.file, p.line)
		}
	}
}
