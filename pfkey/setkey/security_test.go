package setkey

import (
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// again is a text many times over, without being in memory at once.
type again struct {
	text string
	left int
	rest string
}

func (a *again) Read(b []byte) (int, error) {
	if a.rest == "" {
		if a.left == 0 {
			return 0, io.EOF
		}
		a.left--
		a.rest = a.text
	}
	n := copy(b, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// TestC24_SetkeyInput: a million lines, NUL octets, huge numbers and very long
// lines are statements or errors with their place, in bounded memory. The
// language has no include and nothing that nests.
func TestC24_SetkeyInput(t *testing.T) {
	lines := []struct {
		name, text string
		times      int
		statements int
		errors     int
		want       string // of the first error
	}{
		{"a million statements", "flush;\n", 1e6, 1e6, 0, ""},
		{"a million empty ones", ";\n", 1e6, 0, 0, ""},
		{"a million comments", "# x\n", 1e6, 0, 0, ""},
		{"a million mistakes", "flus;\n", 1e5, 0, 1e5, `f:1:1: "flus": `},
		{"one statement of a million lines", "flush\n", 1e6, 0, 1, "the file ends within a statement"},
		{"a comment within a statement that never ends", "flush # x\n", 1e5, 0, 1, "the file ends within a statement"},
		{"a string that never ends", "\"\"\"", 1e6 + 1, 0, 1, "a string without its closing quote"},
	}
	for _, test := range lines {
		t.Run(test.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			p := NewParser("f", &again{text: test.text, left: test.times})
			statements, wrong := 0, 0
			var first error
			for {
				_, err := p.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err == nil {
					statements++
					continue
				}
				require.ErrorIs(t, err, ErrSyntax)
				require.Less(t, len(err.Error()), 200)
				if wrong++; first == nil {
					first = err
				}
			}
			runtime.ReadMemStats(&after)
			require.Equal(t, test.statements, statements)
			require.Equal(t, test.errors, wrong)
			if test.errors > 0 {
				require.ErrorContains(t, first, test.want)
			}
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(400<<20), "octets allocated in all")
		})
	}

	long := strings.Repeat("x", 60<<10)
	nines := strings.Repeat("9", 60<<10)
	zeros := strings.Repeat("0", 50<<10)
	for name, test := range map[string]struct{ text, want string }{
		"a file of mistakes":            {strings.Repeat("flus;\n", 1e5), `f:20:1: "flus"`},
		"a statement of a million":      {"add " + strings.Repeat("x", 1e6) + ";", "f:1:1: a statement of more than 64 KiB"},
		"a line of blanks":              {strings.Repeat(" ", 1e6) + "flush;", "f:1:1: a statement of more than 64 KiB"},
		"NUL as a statement":            {"\x00;", `f:1:1: "\x00"`},
		"NUL after a word":              {"flush\x00;", `f:1:6: "\x00"`},
		"NUL in a word":                 {"flu\x00sh;", `f:1:1: "flu"`},
		"NUL in an address":             {"spdadd 10.0.0.1\x00 10.0.0.2 any -P in none;", `f:1:16: "\x00"`},
		"NUL in a policy":               {"spdadd 10.0.0.1 10.0.0.2 any -P in none\x00;", `f:1:`},
		"a thousand NULs":               {strings.Repeat("\x00", 1000) + "\n;", `f:1:1: "\x00"`},
		"an SPI of two words":           {"add 10.0.0.1 10.0.0.2 esp 0x100000000 -E null;", "f:1:27: "},
		"an SPI of 60,000 digits":       {"add 10.0.0.1 10.0.0.2 esp " + nines + " -E null;", "f:1:27: "},
		"a negative SPI":                {"add 10.0.0.1 10.0.0.2 esp -1 -E null;", "f:1:27: "},
		"a reqid of 60,000 digits":      {"add 10.0.0.1 10.0.0.2 esp 1000 -u " + nines + " -E null;", "f:1:35: "},
		"a replay window beyond":        {"add 10.0.0.1 10.0.0.2 esp 1000 -r 4294967296 -E null;", "f:1:35: "},
		"a lifetime beyond":             {"add 10.0.0.1 10.0.0.2 esp 1000 -lh 18446744073709551616 -E null;", "f:1:36: "},
		"a prefix beyond":               {"spdadd 10.0.0.0/33 10.0.0.2 any -P in none;", "f:1:"},
		"a prefix of 60,000 digits":     {"spdadd 10.0.0.0/" + nines + " 10.0.0.2 any -P in none;", "f:1:"},
		"a port beyond":                 {"spdadd 10.0.0.1[65536] 10.0.0.2 tcp -P in none;", "f:1:"},
		"a protocol beyond":             {"spdadd 10.0.0.1 10.0.0.2 256 -P in none;", "f:1:26: "},
		"a priority beyond":             {"spdadd 10.0.0.1 10.0.0.2 any -P in prio high " + nines + " none;", "f:1:"},
		"a key of 25,000 octets":        {"add 10.0.0.1 10.0.0.2 esp 1000 -E aes-cbc 0x" + zeros + ";", "f:1:"},
		"a key of an odd digit":         {"add 10.0.0.1 10.0.0.2 esp 1000 -E aes-cbc 0x0;", "f:1:"},
		"a key in quotes, far too long": {"add 10.0.0.1 10.0.0.2 esp 1000 -E aes-cbc \"" + long + "\";", "f:1:"},
		"a verb of 60,000 octets":       {long + ";", "f:1:1: "},
		"an algorithm of 60,000":        {"add 10.0.0.1 10.0.0.2 esp 1000 -E " + long + " 0x00;", "f:1:35: "},
		"rules by the thousand":         {"spdadd 10.0.0.1 10.0.0.2 any -P in ipsec" + strings.Repeat(" esp/transport//use", 3000) + ";", "more than 16 rules"},
		"brackets by the thousand":      {"spdadd 10.0.0.1" + strings.Repeat("[", 60000) + " 10.0.0.2 any -P in none;", "f:1:"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("f", []byte(test.text))
			require.ErrorIs(t, err, ErrSyntax)
			require.ErrorContains(t, err, test.want)
			require.Less(t, len(err.Error()), 200*maxErrors, "what is long is shortened")
			require.NotContains(t, err.Error(), "\x00")
			require.NotContains(t, err.Error(), strings.Repeat("0", 50), "a key")
		})
	}
}
