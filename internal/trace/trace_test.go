package trace_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/trace"
)

func TestAppendQuoted(t *testing.T) {
	for in, want := range map[string]string{
		"":                              `""`,
		"alice":                         `"alice"`,
		"a\nb \"c\" \x1b[31m\u202e":     `"a\nb \"c\" \x1b[31m\u202e"`,
		"\xff":                          `"\xff"`,
		strings.Repeat("x", 128):        `"` + strings.Repeat("x", 128) + `"`,
		strings.Repeat("x", 128) + "yz": `"` + strings.Repeat("x", 128) + `"...+2`,
	} {
		require.Equal(t, want, string(trace.AppendQuoted(nil, in)))
		require.Equal(t, "a "+want, string(trace.AppendQuoted([]byte("a "), []byte(in))))
	}
}

func TestAppendHex(t *testing.T) {
	require.Equal(t, "-", string(trace.AppendHex(nil, nil)))
	require.Equal(t, "00ff", string(trace.AppendHex(nil, []byte{0, 255})))
	require.Equal(t, strings.Repeat("00", 32)+"...+968", string(trace.AppendHex(nil, make([]byte, 1000))))
}

func TestAppendOctets(t *testing.T) {
	require.Equal(t, "0 octets, 1 octet, 2 mice", string(trace.AppendCount(append(trace.AppendOctets(
		append(trace.AppendOctets(nil, 0), ", "...), 1), ", "...), 2, "mouse", "mice")))
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]bool{"": false, "strongSwan 5": true, "é": true, "a\x00": false, "\xff": false, "a\u202eb": false} {
		require.Equal(t, want, trace.Printable([]byte(in)), in)
	}
}
