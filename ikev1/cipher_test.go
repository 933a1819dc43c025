package ikev1

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/spd"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

// Every cipher that can be used, with a published block: RFC 3602 case 1, RFC
// 2144 B.1, Schneier's test vector for Blowfish and NIST SP 800-67 for 3DES.
func TestCipherVectors(t *testing.T) {
	for _, c := range []struct {
		encr                   spd.Transform
		key, iv, plain, cipher string
	}{
		{aesCBC(128), "06a9214036b8a15b512e03d534120006", "3dafba429d9eb430b422da802c9fac41", hex.EncodeToString([]byte("Single block msg")), "e353779c1079aeb82708942dbe77181a"},
		{spd.Transform{Type: spd.TransformENCR, ID: spd.EncrCAST, KeyLen: 128}, "0123456712345678234567893456789a", "0000000000000000", "0123456789abcdef", "238b4fe5847e44b2"},
		{spd.Transform{Type: spd.TransformENCR, ID: spd.EncrBlowfish, KeyLen: 128}, "f0e1d2c3b4a5968778695a4b3c2d1e0f", "0000000000000000", "fedcba9876543210", "93142887ee3be15c"},
		{spd.Transform{Type: spd.TransformENCR, ID: spd.Encr3DES}, "0123456789abcdef23456789abcdef01456789abcdef0123", "0000000000000000", "5468652071756663", "a826fd8ce53b855f"},
	} {
		m, err := newMessageCipher(c.encr, unhex(t, c.key))
		require.NoError(t, err, c.encr)
		var iv initVector
		copy(iv[:], unhex(t, c.iv))
		buf := unhex(t, c.plain)
		next, err := m.seal(iv, buf)
		require.NoError(t, err)
		require.Equal(t, c.cipher, hex.EncodeToString(buf), c.encr)
		require.Equal(t, buf, next[:m.blockSize()], "the last block is the next vector")
		back, err := m.open(iv, buf)
		require.NoError(t, err)
		require.Equal(t, next, back)
		require.Equal(t, c.plain, hex.EncodeToString(buf))
	}
}

// The chain of one exchange, against the library's own CBC over everything at
// once: the vector of each message is the last block of the one before.
func TestCipherChain(t *testing.T) {
	for _, encr := range []spd.Transform{aesCBC(192), aesCBC(256), {Type: spd.TransformENCR, ID: spd.Encr3DES},
		{Type: spd.TransformENCR, ID: spd.EncrBlowfish, KeyLen: 448}, {Type: spd.TransformENCR, ID: spd.EncrCAST, KeyLen: 128}} {
		key := make([]byte, phase1KeyLen(encr))
		for i := range key {
			key[i] = byte(i)
		}
		m, err := newMessageCipher(encr, key)
		require.NoError(t, err)
		iv := initVector{1, 2, 3, 4, 5, 6, 7, 8}
		var all, sealed []byte
		v := iv
		_, err = m.seal(v, nil)
		require.ErrorIs(t, err, errCiphertext)
		for i := range 5 {
			text := make([]byte, (i+1)*m.blockSize())
			for j := range text {
				text[j] = byte(i + j)
			}
			all = append(all, text...)
			v, err = m.seal(v, text)
			require.NoError(t, err)
			sealed = append(sealed, text...)
		}
		want := append([]byte(nil), all...)
		cipher.NewCBCEncrypter(m.block, iv[:m.blockSize()]).CryptBlocks(want, want)
		require.Equal(t, want, sealed, encr)
	}
}

// What is refused, or opened without being accepted, leaves nothing behind.
func TestCipherOpenHasNoEffect(t *testing.T) {
	m, err := newMessageCipher(aesCBC(128), make([]byte, 16))
	require.NoError(t, err)
	iv := initVector{9}
	good := []byte("0123456789abcdef0123456789ABCDEF")
	_, err = m.seal(iv, good)
	require.NoError(t, err)
	for _, n := range []int{0, 1, 15, 17, 31} {
		_, err := m.open(iv, make([]byte, n))
		require.ErrorIs(t, err, errCiphertext, n)
		_, err = m.seal(iv, make([]byte, n))
		require.ErrorIs(t, err, errCiphertext, n)
	}
	forged := make([]byte, 48)
	_, err = m.open(iv, forged)
	require.NoError(t, err)
	_, err = m.open(iv, good)
	require.NoError(t, err)
	require.Equal(t, "0123456789abcdef0123456789ABCDEF", string(good))
}

// Ciphers by attribute and by transform: what is refused, and what a missing
// Key Length means.
func TestEncryptionAlgorithms(t *testing.T) {
	for attr, usable := range map[isakmp.EncryptionAlgorithm]bool{1: false, 2: false, 3: true, 4: false, 5: true, 6: true, 7: true, 8: true} {
		e := encryptionByAttribute(attr)
		require.NotNil(t, e, attr)
		got, ok := e.transform(0)
		require.Equal(t, usable, ok, attr)
		if ok {
			require.Same(t, e, encryptionByTransform(got))
			require.NotZero(t, phase1KeyLen(got))
			require.NoError(t, spd.Proposal{Protocol: spd.ProtoIKE, Transforms: []spd.Transform{got, {Type: spd.TransformINTEG, ID: spd.IntegHMACSHA1_96},
				{Type: spd.TransformPRF, ID: spd.PRFHMACSHA1}, {Type: spd.TransformKE, ID: spd.KEMODP2048}}}.Valid(), "it can be configured")
		}
	}
	require.Nil(t, encryptionByAttribute(0))
	require.Nil(t, encryptionByAttribute(9))
	blowfish, _ := encryptionByAttribute(3).transform(0)
	require.EqualValues(t, 448, blowfish.KeyLen, "RFC 2409 appendix B: 56 octets")
	des3, ok := encryptionByAttribute(5).transform(192)
	require.True(t, ok)
	require.Zero(t, des3.KeyLen)
	for attr, bits := range map[isakmp.EncryptionAlgorithm]uint16{3: 40, 5: 168, 6: 64, 7: 64} {
		_, ok := encryptionByAttribute(attr).transform(bits)
		require.False(t, ok)
	}
	_, err := newMessageCipher(aesCBC(128), make([]byte, 32))
	require.ErrorContains(t, err, "ENCR_AES_CBC-128 with a key of 32 octets")
}

func TestCipherAllocations(t *testing.T) {
	for _, encr := range []spd.Transform{aesCBC(256), {Type: spd.TransformENCR, ID: spd.Encr3DES}, {Type: spd.TransformENCR, ID: spd.EncrBlowfish, KeyLen: 128},
		{Type: spd.TransformENCR, ID: spd.EncrCAST, KeyLen: 128}} {
		m, err := newMessageCipher(encr, make([]byte, phase1KeyLen(encr)))
		require.NoError(t, err)
		buf := make([]byte, 512)
		var iv initVector
		require.Zero(t, testing.AllocsPerRun(100, func() {
			iv, _ = m.seal(iv, buf)
			iv, _ = m.open(iv, buf)
		}), encr)
	}
}

func BenchmarkMessageCipher(b *testing.B) {
	buf := make([]byte, 512)
	aesBlock, _ := aes.NewCipher(make([]byte, 32))
	desBlock, _ := des.NewTripleDESCipher(make([]byte, 24))
	for _, c := range []struct {
		name string
		encr spd.Transform
		raw  cipher.Block
	}{{"aes256", aesCBC(256), aesBlock}, {"3des", spd.Transform{Type: spd.TransformENCR, ID: spd.Encr3DES}, desBlock}} {
		m, err := newMessageCipher(c.encr, make([]byte, phase1KeyLen(c.encr)))
		require.NoError(b, err)
		b.Run(c.name+"/seal", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(buf)))
			var iv initVector
			for b.Loop() {
				iv, _ = m.seal(iv, buf)
			}
		})
		b.Run(c.name+"/open", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(buf)))
			var iv initVector
			for b.Loop() {
				iv, _ = m.open(iv, buf)
			}
		})
		b.Run(c.name+"/raw-seal", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(buf)))
			raw := cipher.NewCBCEncrypter(c.raw, make([]byte, c.raw.BlockSize()))
			for b.Loop() {
				raw.CryptBlocks(buf, buf)
			}
		})
	}
}
