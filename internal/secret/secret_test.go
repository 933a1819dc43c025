package secret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNeverPrinted(t *testing.T) {
	s := Bytes("hunter2-hunter2")
	holder := struct{ Key Bytes }{s}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		require.NotContains(t, fmt.Sprintf(verb, holder), "unter2", verb)
		require.NotContains(t, fmt.Sprintf(verb, s), "68756e746572", verb)
		require.NotContains(t, fmt.Sprintf(verb, s), "104 117", verb)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", s, "holder", holder)
	require.NotContains(t, log.String(), "hunter2")
	b, err := json.Marshal(holder)
	require.NoError(t, err)
	require.NotContains(t, string(b), "aHVudGVy", "base64 of the octets")
}

func TestEqualWipeClone(t *testing.T) {
	s := Bytes("key")
	c := s.Clone()
	require.True(t, s.Equal(c))
	require.False(t, s.Equal([]byte("kez")))
	require.False(t, s.Equal([]byte("keyy")))
	s.Wipe()
	require.Equal(t, []byte{0, 0, 0}, []byte(s))
	require.True(t, c.Equal([]byte("key")), "a clone shares nothing")
	require.Nil(t, Bytes(nil).Clone())
}
