package ikev1

import (
	"crypto/rand"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/spd"
)

func TestRouter(t *testing.T) {
	r, err := NewRouter(rand.Reader)
	require.NoError(t, err)
	e, err := NewEndpoint(Config{Rand: rand.Reader, DataPlane: spd.NewMemory(spd.MemoryConfig{}), Tag: 0x85, Router: r})
	require.NoError(t, err)
	ours, err := e.newCookie()
	require.NoError(t, err)
	header := func(i, p isakmp.Cookie) []byte {
		b, err := isakmp.Header{CookieI: i, CookieR: p, Version: isakmp.Version1, Exchange: isakmp.ExchangeQuickMode, Length: isakmp.HeaderLen}.AppendBinary(nil)
		require.NoError(t, err)
		return b
	}
	for name, c := range map[string]struct {
		b           []byte
		tag         uint8
		initial, ok bool
	}{
		"we began":    {header(ours, 0x1122334455667788), 0x85, false, true},
		"the peer":    {header(0x1122334455667788, ours), 0x85, false, true},
		"first":       {header(0x1122334455667788, 0), 0, true, true},
		"not ours":    {header(0x1122334455667788, 0x99), 0, false, false},
		"short":       {header(ours, 1)[:27], 0, false, false},
		"a bit wrong": {header(ours^1, 1), 0, false, false},
	} {
		tag, initial, ok := r.Route(c.b)
		require.Equal(t, c.ok, ok, name)
		require.Equal(t, c.initial, initial, name)
		if ok && !initial {
			require.Equal(t, c.tag, tag, name)
		}
	}
}
