// Package mantest compares a program's manual page in docs/man with what the
// program says of itself.
package mantest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/testhost"
)

// A Page is a manual page, and what it is compared with.
type Page struct {
	Name  string // of the file in docs/man, without .8
	Usage string // what -h prints
	// Bundled says that flags are letters and -ab means -a -b.
	Bundled bool
	// Partial pages refer to another one for flags that they do not have.
	Partial bool
	// Hidden are flags that Usage does not list, because each program has them.
	Hidden []string
	// Words must be on the page too: commands and the like.
	Words []string
}

// Faults are what the source of the page says of flags, and the program does not,
// or the other way round.
func (p Page) Faults(source string) (faults []string) {
	says, has := p.flags(usageFlag, p.Usage), p.flags(pageFlag, macroLines(source))
	if len(says) == 0 {
		faults = append(faults, "the program has no flags")
	}
	for _, f := range says {
		if !p.Partial && !slices.Contains(has, f) {
			faults = append(faults, fmt.Sprintf("%s.8 does not know the flag -%s", p.Name, f))
		}
	}
	for _, f := range has {
		if !slices.Contains(says, f) && !slices.Contains(p.Hidden, f) {
			faults = append(faults, fmt.Sprintf("%s.8 has the flag -%s, and the program has not", p.Name, f))
		}
	}
	return faults
}

// Check fails the test if the page has faults or cannot be shown. Tests run in a
// folder of examples.
func (p Page) Check(t *testing.T) {
	t.Helper()
	file := filepath.Join("..", "..", "docs", "man", p.Name+".8")
	source, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Empty(t, p.Faults(string(source)))

	if _, err := exec.LookPath("man"); err != nil {
		testhost.Missing(t, "no man(1) here to show the page")
	}
	var errs bytes.Buffer
	man := exec.Command("man", "--warnings", "-l", file)
	man.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MAN_DISABLE_SECCOMP=1", "MANPAGER=cat", "MANWIDTH=100", "MAN_KEEP_FORMATTING=")
	man.Stderr = &errs
	out, err := man.Output()
	require.NoError(t, err, errs.String())
	require.Empty(t, errs.String(), "groff has found fault with %s", file)
	text := strings.Join(strings.Fields(strings.ReplaceAll(string(out), "\u2010", "-")), " ")
	require.Contains(t, text, "NAME "+strings.TrimSuffix(p.Name, ".8"))
	for _, w := range p.Words {
		require.Contains(t, text, w, "%s.8 does not say", p.Name)
	}
}

// In usage texts a flag begins a line or stands behind a bracket, a bar or a
// space; in pages it follows Fl.
var (
	usageFlag = regexp.MustCompile(`(?:^|[\s\[|(])-(-?[A-Za-z][A-Za-z-]*|\?)`)
	pageFlag  = regexp.MustCompile(`Fl (-?[A-Za-z][A-Za-z-]*|\\&\?)`)
)

func (p Page) flags(pattern *regexp.Regexp, text string) (all []string) {
	for _, m := range pattern.FindAllStringSubmatch(text, -1) {
		name := strings.TrimPrefix(m[1], `\&`)
		if strings.HasPrefix(name, "-") { // --json is -json
			all = append(all, name[1:])
			continue
		}
		if !p.Bundled {
			all = append(all, name)
			continue
		}
		for _, letter := range name {
			all = append(all, string(letter))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// macroLines are the lines that call macros.
func macroLines(source string) string {
	var b strings.Builder
	for line := range strings.Lines(source) {
		if strings.HasPrefix(line, ".") {
			b.WriteString(line)
		}
	}
	return b.String()
}
