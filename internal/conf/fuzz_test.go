package conf

import (
	"bytes"
	"os"
	"testing"

	"github.com/pelletier/go-toml/v2"
	"github.com/stretchr/testify/require"
)

// FuzzParse: whatever a file says, reading it ends, with a configuration or with
// errors that have a place. What is read can be written, and read again as the
// same. The tree and go-toml agree on what TOML is.
func FuzzParse(f *testing.F) {
	for _, name := range samples(f) {
		text, err := os.ReadFile(name)
		require.NoError(f, err)
		f.Add(text)
	}
	f.Add([]byte(sound))
	f.Add([]byte("a.b = 1\n[a]\nc = {d = 2, e.f = [1, {g = 3}]}\n[a.b]\n"))
	f.Add([]byte("[macros]\nx = [\"${x}\"]\ny = \"${x}${x}\"\n[peer.\"${y}\"]\ninherits = \"${y}\"\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var r report
		parseDocument("f", text, &r)
		var all map[string]any
		if err := toml.Unmarshal(text, &all); err != nil && len(r.errors) == 0 {
			t.Fatalf("go-toml refuses it: %v", err)
		}

		c, err := Parse("/f.toml", text, WithHost(testHost{}), WithFiles(memoryFiles{"/conf.d/x.toml": "[daemon]\nworkers = 1\n"}))
		if err != nil {
			es, ok := err.(Errors)
			require.True(t, ok)
			require.NotEmpty(t, es)
			for _, e := range es {
				require.NotEmpty(t, e.Message)
				require.NotEmpty(t, e.File)
				require.LessOrEqual(t, e.Line, bytes.Count(text, []byte("\n"))+1)
			}
			return
		}
		var first, second bytes.Buffer
		require.NoError(t, c.WriteEffective(&first))
		again, err := Parse("/f.toml", first.Bytes(), WithHost(testHost{}), WithFiles(memoryFiles{}))
		require.NoError(t, err, "%s", first.String())
		require.NoError(t, again.WriteEffective(&second))
		if first.String() != second.String() {
			require.Equal(t, first.String(), second.String())
		}
		for _, rule := range c.Rules(nil) {
			if _, err := rule.Policies(); err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
		}
	})
}
