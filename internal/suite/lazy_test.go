package suite

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestLazyCipher: it is the same cipher, only later; several goroutines may
// find it not made yet.
func TestLazyCipher(t *testing.T) {
	for _, c := range combinations() {
		ek, ik := c.keys()
		z, err := NewLazyCipher(c.encr, c.bits, c.integ, ek, ik)
		require.NoError(t, err)
		clear(ek) // the keys were copied
		clear(ik)
		eager := c.cipher(t)
		require.Equal(t, fmt.Sprint(eager), fmt.Sprint(z))
		aad, iv, plain := fill(8, 201), fill(z.IVSize(), 77), fill(16*z.BlockSize(), 5)
		want := append(bytes.Clone(plain), make([]byte, z.ICVSize())...)
		require.NoError(t, eager.Seal(want, iv, aad, nil))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				got := append(bytes.Clone(plain), make([]byte, z.ICVSize())...)
				if err := z.Seal(got, iv, aad, nil); err != nil || !bytes.Equal(want, got) {
					t.Error(c, err)
				}
				if err := z.Open(got, iv, aad, nil); err != nil || !bytes.Equal(plain, got[:len(plain)]) {
					t.Error(c, err)
				}
			})
		}
		wg.Wait()
		require.Nil(t, z.mode.(*lazy).keys, "the mode has them")
		z.Wipe()
		require.ErrorIs(t, z.Open(want, iv, aad, nil), ErrAuthentication)
	}
	_, err := NewLazyCipher(encrAESGCM16, 128, integNone, make([]byte, 19), nil)
	require.ErrorIs(t, err, ErrKeyLength, "at once, not at the first packet")

	z, err := NewLazyCipher(encrAESGCM16, 128, integNone, fill(20, 1), nil)
	require.NoError(t, err)
	keys := z.mode.(*lazy).keys
	z.Wipe()
	require.Equal(t, make([]byte, 20), keys, "unused, it still forgets them")
}
