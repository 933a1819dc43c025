package suite

import (
	"crypto/cipher"
	"fmt"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"
)

// BenchmarkCipher measures Seal and Open of the usual combinations, and in the
// same run the bare AEAD under the combined modes.
func BenchmarkCipher(b *testing.B) {
	chacha, _ := chacha20poly1305.New(make([]byte, 32))
	bare := map[uint16]cipher.AEAD{encrAESGCM16: stdGCM(make([]byte, 16), 16), encrChaCha20Poly1305: chacha}
	for _, c := range []combination{
		{encrAESGCM16, 128, 0}, {encrChaCha20Poly1305, 0, 0}, {encrAESGCM8, 128, 0}, {encrAESCCM16, 128, 0}, {encrNULLAESGMAC, 128, 0},
		{encrAESCBC, 128, integHMACSHA1_96}, {encrAESCBC, 256, integHMACSHA256128}, {encrAESCTR, 128, integHMACSHA1_96}, {encr3DES, 0, integHMACMD5_96},
	} {
		for _, n := range []int{64, 512, 1400, 9000} {
			ci := c.cipher(b)
			size := n / ci.BlockSize() * ci.BlockSize()
			buf, iv, aad := make([]byte, size+ci.ICVSize()), make([]byte, ci.IVSize()), make([]byte, 8)
			open := make([]byte, len(buf))
			_ = ci.Seal(buf, iv, aad, nil)
			sealed := append([]byte(nil), buf...)
			if a := bare[c.encr]; a != nil {
				nonce := make([]byte, 12)
				s := a.Seal(nil, nonce, make([]byte, size), aad)
				b.Run(fmt.Sprintf("%v/%d/bare-seal", c, n), func(b *testing.B) {
					b.ReportAllocs()
					b.SetBytes(int64(n))
					for b.Loop() {
						a.Seal(buf[:0], nonce, buf[:size], aad)
					}
				})
				b.Run(fmt.Sprintf("%v/%d/bare-open", c, n), func(b *testing.B) {
					b.ReportAllocs()
					b.SetBytes(int64(n))
					for b.Loop() {
						copy(open, s)
						if _, err := a.Open(open[:0], nonce, open, aad); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
			b.Run(fmt.Sprintf("%v/%d/seal", c, n), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(n))
				for b.Loop() {
					_ = ci.Seal(buf, iv, aad, nil)
				}
			})
			b.Run(fmt.Sprintf("%v/%d/open", c, n), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(n))
				for b.Loop() {
					copy(open, sealed)
					if err := ci.Open(open, iv, aad, nil); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
