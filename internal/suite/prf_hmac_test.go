package suite

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
	"testing"

	"github.com/stretchr/testify/require"
)

// The memory of one key serves the next; nothing of the former may show.
func TestPRFHMACAfterOtherKeys(t *testing.T) {
	for i, h := range []func() hash.Hash{md5.New, sha1.New, sha256.New, sha512.New384, sha512.New} {
		newHash := prfHMACOf(h)
		for n := range 300 {
			key, text := fill(n, byte(n)), fill(3*n%257, byte(i))
			want := hmac.New(h, key)
			want.Write(text)
			m := newHash(key).(*prfHMAC)
			for range 2 {
				m.Reset()
				m.Write(text)
				require.Equal(t, want.Sum(nil), m.Sum(nil), "key of %d octets", n)
			}
			m.Write([]byte("left over"))
			m.wipe()
			require.NotContains(t, fmt.Sprintf("%x", m.ipad), "36")
		}
	}
}

func TestPRFKeyAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("pools drop at random under the race detector")
	}
	p := prf(t, prfHMACSHA256)
	key, out := make([]byte, 32), make([]byte, 0, 32)
	require.LessOrEqual(t, testing.AllocsPerRun(50, func() {
		k := p.Keyed(key)
		k.Sum(out, key)
		k.Wipe()
	}), 2.0)
}
