package conf

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestC24_ConfigurationInput: recursion, a million lines, NUL octets, huge
// numbers, very long lines and include circles give errors with their place, in
// bounded memory and number.
func TestC24_ConfigurationInput(t *testing.T) {
	const office = "[peer.office]\nremote = \"192.0.2.2\"\npsk-file = \"x\"\n"
	long := strings.Repeat("x", 1<<20)
	circle := memoryFiles{
		"/etc/a.toml": "include = \"b.toml\"\n",
		"/etc/b.toml": "include = \"a.toml\"\n",
	}
	wide := memoryFiles{}
	for i := range maxIncludes + 100 {
		wide[fmt.Sprintf("/etc/conf.d/%04d.toml", i)] = "[macros]\n" + fmt.Sprintf("m%d = \"x\"\n", i)
	}
	for name, test := range map[string]struct {
		text  string
		files memoryFiles
		want  string // "" for a configuration
	}{
		"a million empty lines":      {text: strings.Repeat("\n", 1e6) + office},
		"and a mistake behind them":  {text: strings.Repeat("\n", 1e6) + office + "remte = 1\n", want: "/etc/racoon.toml:1000004:1: peer.office.remte: is unknown"},
		"a million comments":         {text: strings.Repeat("#x\n", 1e6) + office},
		"more than a file may have":  {text: strings.Repeat("# xxx\n", 1e6) + office, want: "is longer than 4194304 octets"},
		"200,000 keys":               {text: strings.Repeat("a=1\n", 2e5), want: "/etc/racoon.toml:2:1: a: is there twice"},
		"a million mistakes":         {text: strings.Repeat("=\n\n", 1e6), want: "/etc/racoon.toml:1:1: syntax: "},
		"NUL in a string":            {text: "[daemon]\nlog-file = \"a\x00b\"\n", want: "/etc/racoon.toml:2:"},
		"NUL as an escape":           {text: "[daemon]\nlog-file = \"a\\u0000b\"\n", want: "/etc/racoon.toml:2:"},
		"NUL in a key":               {text: "[daemon]\nlog\x00file = \"a\"\n", want: "/etc/racoon.toml:2:"},
		"NUL in a comment":           {text: "# \x00\n" + office, want: "/etc/racoon.toml:1:"},
		"NULs alone":                 {text: strings.Repeat("\x00", 1e6), want: "/etc/racoon.toml:1:"},
		"a number of 20 digits":      {text: "[daemon]\nworkers = 99999999999999999999\n", want: "/etc/racoon.toml:2:"},
		"a number of a million":      {text: "[daemon]\nworkers = " + strings.Repeat("9", 1e6) + "\n", want: "/etc/racoon.toml:2:"},
		"the largest number":         {text: "[daemon]\nworkers = 9223372036854775807\n", want: "/etc/racoon.toml:2:"},
		"the smallest number":        {text: "[daemon]\nworkers = -9223372036854775808\n", want: "/etc/racoon.toml:2:"},
		"a size that overflows":      {text: "[peer.a.child.c]\nrekey-bytes = \"99999999999999999999GiB\"\n", want: "/etc/racoon.toml:2:"},
		"a size that just overflows": {text: "[peer.a.child.c]\nrekey-bytes = \"17179869184GiB\"\n", want: "/etc/racoon.toml:2:"},
		"a time that overflows":      {text: "[peer.a.child.c]\nrekey = \"9999999999999d\"\n", want: "/etc/racoon.toml:2:"},
		"a port that is none":        {text: "[peer.a.child.c]\nlocal = \"10.0.0.1[tcp/99999999999]\"\n", want: "/etc/racoon.toml:2:"},
		"a long key":                 {text: long + " = 1\n", want: "/etc/racoon.toml:1:1: "},
		"a long name":                {text: "[peer." + long + "]\n", want: "/etc/racoon.toml:1:"},
		"a long value":               {text: "[daemon]\nlog-level = \"" + long + "\"\n", want: "/etc/racoon.toml:2:"},
		"a long line of nothing":     {text: strings.Repeat(" ", 1<<20) + "x\n", want: "/etc/racoon.toml:1:"},
		"a long comment":             {text: "#" + long + "\n" + office},
		"lists in lists":             {text: "include = " + strings.Repeat("[", 1e5) + "\n", want: "/etc/racoon.toml:1:"},
		"lists in lists that end":    {text: "include = " + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + "\n", want: "/etc/racoon.toml:1:"},
		"tables in tables":           {text: "[" + strings.Repeat("a.", 1e5) + "a]\n", want: "/etc/racoon.toml:1:"},
		"inline tables in tables":    {text: "a = " + strings.Repeat("{a=", 1000) + "1" + strings.Repeat("}", 1000) + "\n", want: "/etc/racoon.toml:1:"},
		"a template of itself":       {text: "[template.a]\ninherits = \"b\"\n[template.b]\ninherits = \"a\"\n[peer.p]\ninherits = \"a\"\n", want: "/etc/racoon.toml:"},
		"a macro of itself":          {text: "[macros]\na = \"${b}\"\nb = \"${a}\"\n[daemon]\nlog-file = \"${a}\"\n", want: "is defined by itself"},
		"it includes itself":         {text: "include = \"racoon.toml\"\n", want: "/etc/racoon.toml:1:11: include: /etc/racoon.toml is part of the configuration already"},
		"a circle of includes":       {text: "include = \"a.toml\"\n", files: circle, want: "/etc/b.toml:1:11: include: /etc/a.toml is part of the configuration already"},
		"too many includes":          {text: "include = \"conf.d/*.toml\"\n", files: wide, want: "/etc/racoon.toml:1:11: include: there are more than 1000 files"},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			c, err := Parse("/etc/racoon.toml", []byte(test.text), WithHost(testHost{}), WithFiles(test.files))
			runtime.ReadMemStats(&after)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(400<<20), "octets allocated in all")
			if test.want == "" {
				require.NoError(t, err)
				require.NotNil(t, c.Peer("office"))
				return
			}
			require.Nil(t, c)
			require.ErrorIs(t, err, ErrConfig)
			require.Contains(t, err.Error(), test.want)
			require.Less(t, len(err.Error()), 64<<10, "what is long is shortened")
			require.NotContains(t, err.Error(), "\x00")
		})
	}
}

// TestLongNames: errors shorten a name, the effective configuration does not.
func TestLongNames(t *testing.T) {
	name := strings.Repeat("site.", 12) + "home" // the longest that there are
	c, err := Parse("/etc/racoon.toml", []byte("[peer.\""+name+"\"]\nremote = \"192.0.2.2\"\npsk-file = \"x\"\n"), WithHost(testHost{}))
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, c.WriteEffective(&b))
	again, err := Parse("/etc/racoon.toml", b.Bytes(), WithHost(testHost{}))
	require.NoError(t, err)
	require.NotNil(t, again.Peer(name))
}
