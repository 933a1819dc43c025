package getopt

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	for line, want := range map[string]struct {
		options []Option
		rest    []string
	}{
		"-ab x y":     {[]Option{{'a', ""}, {'b', "x"}}, []string{"y"}},
		"-abx -a":     {[]Option{{'a', ""}, {'b', "x"}, {'a', ""}}, nil},
		"-b -a -- -a": {[]Option{{'b', "-a"}}, []string{"-a"}},
		"- -a":        {nil, []string{"-", "-a"}},
		"x -a":        {nil, []string{"x", "-a"}},
	} {
		options, rest, err := Parse(strings.Fields(line), "ab:")
		require.NoError(t, err, line)
		require.Equal(t, want.options, options, line)
		require.Equal(t, strings.Join(want.rest, " "), strings.Join(rest, " "), line)
	}
	for line, want := range map[string]string{"-c": "no option -c", "-a:": "no option -:", "-ab": "-b without its argument"} {
		_, _, err := Parse(strings.Fields(line), "ab:")
		require.EqualError(t, err, want)
	}
}
