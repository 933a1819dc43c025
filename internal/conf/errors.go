package conf

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrConfig is what every error of this package matches.
var ErrConfig = errors.New("invalid configuration")

// An Error says what is wrong, where, and what to do about it.
type Error struct {
	File   string
	Line   int // from 1; 0 is the file as a whole
	Column int // from 1, in octets
	Key    string
	// Message continues a sentence that begins with the key: "is unknown".
	Message string
	// Suggestion is what to write instead, "" if the message says it.
	Suggestion string
	// Err is the reason below, if there is one.
	Err error
}

// Error returns "file:line:column: key: message; suggestion".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	if e.Key != "" {
		b.WriteString(": " + e.Key)
	}
	b.WriteString(": " + e.Message)
	if e.Suggestion != "" {
		b.WriteString("; " + e.Suggestion)
	}
	return b.String()
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }

// Is makes errors.Is(err, ErrConfig) true.
func (e *Error) Is(target error) bool { return target == ErrConfig }

// Errors are all that is wrong, in the order of the files.
type Errors []*Error

// Error returns one error a line.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the errors.
func (es Errors) Unwrap() []error {
	all := make([]error, len(es))
	for i, e := range es {
		all[i] = e
	}
	return all
}

// Is makes errors.Is(err, ErrConfig) true.
func (es Errors) Is(target error) bool { return target == ErrConfig }

// maxErrors bounds what is reported: nobody reads more.
const maxErrors = 200

// A report collects errors and warnings.
type report struct {
	errors, warnings Errors
	seen             map[string]bool // places and messages: what is inherited is said once
}

func (r *report) add(e *Error) {
	if len(r.errors) >= maxErrors {
		return
	}
	id := fmt.Sprintf("%s:%d:%d:%s", e.File, e.Line, e.Column, e.Message)
	if r.seen[id] {
		return
	}
	if r.seen == nil {
		r.seen = make(map[string]bool)
	}
	r.seen[id] = true
	r.errors = append(r.errors, e)
}

func (r *report) at(p place, key, suggestion, format string, args ...any) {
	r.add(newError(p, key, suggestion, format, args...))
}

func newError(p place, key, suggestion, format string, args ...any) *Error {
	return &Error{File: p.file, Line: p.line, Column: p.column, Key: key, Message: fmt.Sprintf(format, args...), Suggestion: suggestion}
}

// err returns the errors as one, nil if there are none. files is the order to
// report them in.
func (r *report) err(files []string) error {
	if len(r.errors) == 0 {
		return nil
	}
	sortByPlace(r.errors, files)
	return r.errors
}

func sortByPlace(es Errors, files []string) {
	slices.SortStableFunc(es, func(a, b *Error) int {
		if a.File != b.File {
			return slices.Index(files, a.File) - slices.Index(files, b.File)
		}
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
}

// clip bounds what an error repeats of the file.
func clip(s string) string {
	const most = 60
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

// list joins words: "a, b or c".
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

func quoteAll(words []string) []string {
	q := make([]string, len(words))
	for i, w := range words {
		q[i] = fmt.Sprintf("%q", w)
	}
	return q
}

// nearest returns the candidate that was perhaps meant, "" if none is near.
func nearest(word string, candidates []string) string {
	best, least := "", len(word)/2+1
	for _, c := range candidates {
		if d := distance(strings.ToLower(strings.ReplaceAll(word, "_", "-")), c, least); d < least {
			best, least = c, d
		}
	}
	return best
}

// distance is how many letters have to be changed, added, taken away or
// exchanged with their neighbour (Damerau-Levenshtein), or limit if that is
// less.
func distance(a, b string, limit int) int {
	if len(a) > 64 || len(b) > 64 || max(len(a)-len(b), len(b)-len(a)) >= limit {
		return limit
	}
	var two, prev, row []int
	for i := 0; i <= len(a); i++ {
		two, prev, row = prev, row, make([]int, len(b)+1)
		for j := range row {
			switch {
			case i == 0:
				row[j] = j
				continue
			case j == 0:
				row[j] = i
				continue
			}
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], two[j-2]+1)
			}
		}
	}
	return min(row[len(b)], limit)
}
