package suite

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// combination is a cipher and an integrity algorithm that go together.
type combination struct {
	encr  uint16
	bits  uint16
	integ uint16
}

func (c combination) String() string {
	e, _ := ENCRByID(c.encr)
	s := e.Name
	if c.bits != 0 {
		s += fmt.Sprintf("-%d", c.bits)
	}
	if in, ok := INTEGByID(c.integ); ok {
		s += "+" + in.Name
	}
	return s
}

// combinations is every pair the package has.
func combinations() []combination {
	var all []combination
	for _, e := range encrs {
		bits := e.KeyBits
		if bits == nil {
			bits = []uint16{0}
		}
		for _, b := range bits {
			if e.Combined() {
				all = append(all, combination{e.ID, b, integNone})
				continue
			}
			for _, in := range integs {
				if in.newHash != nil {
					all = append(all, combination{e.ID, b, in.ID})
				}
			}
		}
	}
	return all
}

func fill(n int, start byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = start + byte(i)
	}
	return b
}

// keys returns counting keys of the lengths c wants.
func (c combination) keys() (encr, integ []byte) {
	e, _ := ENCRByID(c.encr)
	n, _ := e.KeySize(int(c.bits))
	in, _ := INTEGByID(c.integ)
	return fill(n, 1), fill(in.KeySize, 101)
}

func (c combination) cipher(t testing.TB) *Cipher {
	ek, ik := c.keys()
	ci, err := NewCipher(c.encr, c.bits, c.integ, ek, ik)
	require.NoError(t, err, c)
	clear(ek) // the keys were copied
	clear(ik)
	return ci
}

// TestSealOpen seals and opens with every combination, and sees every single
// flipped bit of what is protected refused.
func TestSealOpen(t *testing.T) {
	for _, c := range combinations() {
		t.Run(c.String(), func(t *testing.T) {
			ci := c.cipher(t)
			aad, tail, iv := fill(8, 201), fill(4, 33), fill(ci.IVSize(), 77)
			if ci.Combined() {
				tail = nil
			}
			for _, blocks := range []int{0, 1, 2, 3, 16, 17, 33, 100} {
				n := blocks * ci.BlockSize()
				plain := fill(n, 5)
				// The packet lies in a larger buffer, whose rest stays as it is.
				room := concat(plain, make([]byte, ci.ICVSize()), fill(40, 9))
				buf := room[:n+ci.ICVSize()]
				require.NoError(t, ci.Seal(buf, iv, aad, tail))
				require.Equal(t, fill(40, 9), room[len(buf):])
				if n >= 8 && c.encr != encrNULL && c.encr != encrNULLAESGMAC {
					require.NotEqual(t, plain, buf[:n])
				}
				sealed := bytes.Clone(buf)
				require.NoError(t, ci.Open(buf, iv, aad, tail))
				require.Equal(t, plain, buf[:n])
				require.Equal(t, fill(40, 9), room[len(buf):])

				for _, part := range []struct {
					name string
					b    []byte
				}{{"text and icv", sealed}, {"iv", iv}, {"aad", aad}, {"tail", tail}} {
					for i := range part.b {
						part.b[i] ^= 1 << (i % 8)
						got := bytes.Clone(sealed)
						require.ErrorIs(t, ci.Open(got, iv, aad, tail), ErrAuthentication, "%s octet %d", part.name, i)
						if n >= 16 && c.encr != encrNULL && c.encr != encrNULLAESGMAC {
							require.NotEqual(t, plain[8:], got[8:n], "no plaintext of a forgery")
						}
						part.b[i] ^= 1 << (i % 8)
					}
				}
			}
		})
	}
}

// TestLengths: texts, buffers and IVs of any wrong length are refused; the SK
// payload shorter than its ICV and the CBC text that is no block multiple are
// classics.
func TestLengths(t *testing.T) {
	for _, c := range combinations() {
		ci := c.cipher(t)
		iv := fill(ci.IVSize(), 0)
		for n := range ci.ICVSize() {
			require.ErrorIs(t, ci.Open(make([]byte, n), iv, nil, nil), ErrLength, c)
			require.ErrorIs(t, ci.Seal(make([]byte, n), iv, nil, nil), ErrLength, c)
		}
		for n := 1; n < ci.BlockSize(); n++ {
			require.ErrorIs(t, ci.Open(make([]byte, ci.ICVSize()+n), iv, nil, nil), ErrLength, c)
			require.ErrorIs(t, ci.Seal(make([]byte, ci.ICVSize()+n), iv, nil, nil), ErrLength, c)
		}
		require.ErrorIs(t, ci.Open(make([]byte, 64+ci.ICVSize()), append(iv, 0), nil, nil), ErrLength, c)
		if len(iv) > 0 {
			require.ErrorIs(t, ci.Open(make([]byte, 64+ci.ICVSize()), iv[1:], nil, nil), ErrLength, c)
		}
	}
}

func TestNewCipherErrors(t *testing.T) {
	k := func(n int) []byte { return make([]byte, n) }
	for _, v := range []struct {
		encr, bits, integ uint16
		ek, ik            []byte
		err               error
	}{
		{0, 0, 0, nil, nil, ErrUnknownAlgorithm},
		{24, 128, integHMACSHA256128, k(16), k(32), ErrUnknownAlgorithm},
		{encrAESCBC, 128, 4, k(16), k(16), ErrUnknownAlgorithm},
		{encrAESCBC, 0, integHMACSHA1_96, k(16), k(20), ErrKeyLength},
		{encrAESCBC, 512, integHMACSHA1_96, k(64), k(20), ErrKeyLength},
		{encrAESCBC, 128, integHMACSHA1_96, k(32), k(20), ErrKeyLength},
		{encrAESCBC, 128, integHMACSHA1_96, k(16), k(16), ErrKeyLength},
		{encrAESGCM16, 128, integNone, k(16), nil, ErrKeyLength}, // the salt is missing
		{encrAESCBC, 128, integNone, k(16), nil, ErrCombination},
		{encrNULL, 0, integNone, nil, nil, ErrCombination},
		{encrAESGCM16, 128, integHMACSHA1_96, k(20), k(20), ErrCombination},
		{encrAESGCM16, 128, integNone, k(20), k(1), ErrCombination},
		{encrNULL, 0, integAES128GMAC, nil, k(20), ErrCombination},
		{encr3DES, 128, integHMACSHA1_96, k(24), k(20), ErrKeyLength},
		{encrChaCha20Poly1305, 128, integNone, k(36), nil, ErrKeyLength},
	} {
		_, err := NewCipher(v.encr, v.bits, v.integ, v.ek, v.ik)
		require.ErrorIs(t, err, v.err, "%+v", v)
	}
	_, err := NewCipher(encr3DES, 192, integHMACSHA1_96, k(24), k(20))
	require.NoError(t, err, "a superfluous Key Length attribute that says the right thing")
}

func TestGCMVectorsMcGrew(t *testing.T) {
	for i, v := range vectors[struct {
		Key, Salt, IV, Plain, CTag, AAD hexBytes
	}](t, "rfc/aes_gcm_esp_mcgrew.json") {
		for id, icv := range map[uint16]int{encrAESGCM8: 8, encrAESGCM12: 12, encrAESGCM16: 16} {
			c, err := NewCipher(id, uint16(len(v.Key)*8), integNone, concat(v.Key, v.Salt), nil)
			require.NoError(t, err)
			want := v.CTag[:len(v.Plain)+icv]
			buf := concat(v.Plain, make([]byte, icv))
			require.NoError(t, c.Seal(buf, v.IV, v.AAD, nil))
			require.EqualValues(t, want, buf, i)
			require.NoError(t, c.Open(buf, v.IV, v.AAD, nil))
			require.EqualValues(t, v.Plain, buf[:len(v.Plain)], i)
		}
	}
}

// TestWycheproofAEAD: every case whose nonce length the algorithm has is sealed
// and opened; the 8 and 12 octet forms of GCM are prefixes of its tag.
func TestWycheproofAEAD(t *testing.T) {
	for _, v := range []struct {
		file   string
		ivBits int
		salt   int
		algs   map[uint16]int // algorithm: ICV octets
	}{
		{"aes_gcm_test.json", 96, 4, map[uint16]int{encrAESGCM8: 8, encrAESGCM12: 12, encrAESGCM16: 16}},
		{"aes_ccm_test.json", 88, 3, map[uint16]int{encrAESCCM16: 16}},
		{"chacha20_poly1305_test.json", 96, 4, map[uint16]int{encrChaCha20Poly1305: 16}},
	} {
		n := 0
		for _, c := range wycheproofCases(t, v.file) {
			if c.ivBits != v.ivBits || c.tagBits != 128 {
				continue
			}
			for id, icv := range v.algs {
				bits := uint16(len(c.Key) * 8)
				ci, err := NewCipher(id, bits, integNone, concat(c.Key, c.IV[:v.salt]), nil)
				require.NoError(t, err)
				sealed := concat(c.CT, c.Tag[:icv])
				buf := bytes.Clone(sealed)
				err = ci.Open(buf, c.IV[v.salt:], c.AAD, nil)
				if c.Result != "valid" {
					want := concat(c.Msg, make([]byte, icv))
					require.NoError(t, ci.Seal(want, c.IV[v.salt:], c.AAD, nil))
					if !bytes.Equal(want, sealed) { // else the flaw is in what was cut off
						require.ErrorIs(t, err, ErrAuthentication, "%s %d", v.file, c.TcID)
					}
					continue
				}
				n++
				require.NoError(t, err, "%s %d", v.file, c.TcID)
				require.EqualValues(t, c.Msg, buf[:len(c.Msg)])
				require.NoError(t, ci.Seal(buf, c.IV[v.salt:], c.AAD, nil))
				require.Equal(t, sealed, buf)
			}
		}
		require.Positive(t, n, v.file)
	}
}

func TestWycheproofGMAC(t *testing.T) {
	n := 0
	for _, c := range wycheproofCases(t, "aes_gmac_test.json") {
		if c.ivBits != 96 {
			continue
		}
		n++
		ci, err := NewCipher(encrNULLAESGMAC, uint16(c.keyBits), integNone, concat(c.Key, c.IV[:4]), nil)
		require.NoError(t, err)
		// GMAC in ESP covers aad | iv | text; the raw case has only a message.
		g := ci.mode.(*gmac)
		nonce := g.nonces.get(c.IV[4:])
		tag := g.gcm.Seal(nil, nonce[:], nil, c.Msg)
		require.Equal(t, c.Result == "valid", bytes.Equal(tag, c.Tag), c.TcID)
	}
	require.Positive(t, n)

	// And where the parts go (RFC 4543 section 3.3).
	c := combination{encrNULLAESGMAC, 128, integNone}
	key, _ := c.keys()
	aad, iv, text := fill(12, 1), fill(8, 2), fill(33, 3)
	buf := concat(text, make([]byte, 16))
	require.NoError(t, c.cipher(t).Seal(buf, iv, aad, nil))
	require.Equal(t, stdGCM(key[:16], 16).Seal(nil, concat(key[16:], iv), nil, concat(aad, iv, text)), buf[len(text):])
	require.Equal(t, text, buf[:len(text)])
}

// TestCCMShortICV has AES-CCM with 8, 12 and 16 octets of ICV as OpenSSL
// computed it for these inputs.
func TestCCMShortICV(t *testing.T) {
	key, nonce, aad := fill(16, 0), fill(11, 0x40), fill(12, 0x80)
	plain := make([]byte, 53)
	for i := range plain {
		plain[i] = byte(i * 7)
	}
	text := "f946e362951d14b9129139f5844ba3ccbc7104bfacee3b23af4575f1f8f91eedd348922569bf290fdee1de728add8faa93700371c3"
	for id, tag := range map[uint16]string{
		encrAESCCM8: "1c50c6127cac65cd", encrAESCCM12: "de32e3015b9e1680ecf6f95e", encrAESCCM16: "207764b244b0ffc60a27dab226050e2a",
	} {
		c, err := NewCipher(id, 128, integNone, concat(key, nonce[:3]), nil)
		require.NoError(t, err)
		buf := concat(plain, make([]byte, len(tag)/2))
		require.NoError(t, c.Seal(buf, nonce[3:], aad, nil))
		require.Equal(t, unhex(text+tag), buf)
	}
}

func TestCBCVectorsRFC3602(t *testing.T) {
	for _, v := range vectors[struct {
		Key, IV, Plaintext, Ciphertext hexBytes
	}](t, "rfc/aes_cbc_3602.json") {
		c, err := NewCipher(encrAESCBC, 128, integHMACSHA1_96, v.Key, make([]byte, 20))
		require.NoError(t, err)
		for range 2 { // the second time with reused modes
			buf := concat(v.Plaintext, make([]byte, 12))
			require.NoError(t, c.Seal(buf, v.IV, nil, nil))
			require.EqualValues(t, v.Ciphertext, buf[:len(v.Plaintext)])
			require.NoError(t, c.Open(buf, v.IV, nil, nil))
			require.EqualValues(t, v.Plaintext, buf[:len(v.Plaintext)])
		}
	}
}

func TestCTRVectorsRFC3686(t *testing.T) {
	for _, v := range vectors[struct {
		Key, IV, Nonce, Plaintext, Ciphertext hexBytes
	}](t, "rfc/aes_ctr_3686.json") {
		c, err := NewCipher(encrAESCTR, uint16(len(v.Key)*8), integHMACSHA1_96, concat(v.Key, v.Nonce), make([]byte, 20))
		require.NoError(t, err)
		buf := concat(v.Plaintext, make([]byte, 12))
		require.NoError(t, c.Seal(buf, v.IV, nil, nil))
		require.EqualValues(t, v.Ciphertext, buf[:len(v.Plaintext)])
	}
}

// TestMACPlacement recomputes the ICV of encrypt-then-MAC with the PRF vectors'
// own function: it covers aad | iv | ciphertext | tail and is truncated.
func TestMACPlacement(t *testing.T) {
	for _, in := range integs {
		if in.newHash == nil {
			continue
		}
		c := combination{encrAESCBC, 128, in.ID}
		_, key := c.keys()
		aad, iv, tail := fill(8, 1), fill(16, 2), fill(4, 3)
		buf := make([]byte, 32+in.ICVSize)
		require.NoError(t, c.cipher(t).Seal(buf, iv, aad, tail))
		h := in.newHash(key)
		h.Write(concat(aad, iv, buf[:32], tail))
		require.Equal(t, h.Sum(nil)[:in.ICVSize], buf[32:], in.Name)
	}
}

func TestHMACTruncationRFC4868(t *testing.T) {
	ids := map[string]uint16{"HMAC-SHA-256-128": integHMACSHA256128, "HMAC-SHA-384-192": integHMACSHA384192, "HMAC-SHA-512-256": integHMACSHA512256}
	n := 0
	for _, v := range vectors[struct {
		Case, Alg      string
		Key, Data, MAC hexBytes
	}](t, "rfc/hmac_4868.json") {
		in, ok := INTEGByID(ids[v.Alg])
		if !ok || len(v.Key) != in.KeySize {
			continue
		}
		n++
		c, err := NewCipher(encrNULL, 0, in.ID, nil, v.Key)
		require.NoError(t, err)
		buf := concat(v.Data, make([]byte, in.ICVSize))
		require.NoError(t, c.Seal(buf, nil, nil, nil))
		m := min(len(v.MAC), in.ICVSize)
		require.EqualValues(t, v.MAC[:m], buf[len(v.Data):][:m], v.Case)
	}
	require.Greater(t, n, 8)
}

func TestXCBC96VectorsRFC3566(t *testing.T) {
	n := 0
	for _, v := range vectors[struct {
		Alg, Msg string
		Key, MAC hexBytes
	}](t, "rfc/xcbc_cmac_prf.json") {
		if v.Alg != "AES-XCBC-MAC" || v.Msg == "00*1000" {
			continue
		}
		n++
		c, err := NewCipher(encrNULL, 0, integAESXCBC_96, nil, v.Key)
		require.NoError(t, err)
		buf := concat(unhex(v.Msg), make([]byte, 12))
		require.NoError(t, c.Seal(buf, nil, nil, nil))
		require.EqualValues(t, v.MAC[:12], buf[len(buf)-12:])
	}
	require.Positive(t, n)
}

// TestChaCha20Poly1305RFC7634 makes the RFC's ESP packet and its IKEv2 message.
func TestChaCha20Poly1305RFC7634(t *testing.T) {
	n := 0
	for _, v := range vectors[struct {
		Name                                            string
		Keymat, IV, Plain, AAD, Ciphertext, Tag, Packet hexBytes
	}](t, "rfc/chacha20poly1305_7634.json") {
		n++
		c, err := NewCipher(encrChaCha20Poly1305, 0, integNone, v.Keymat, nil)
		require.NoError(t, err)
		packet := concat(v.AAD, v.IV, v.Plain, make([]byte, 16))
		text := packet[len(v.AAD)+8:]
		require.NoError(t, c.Seal(text, packet[len(v.AAD):][:8], packet[:len(v.AAD)], nil))
		require.EqualValues(t, concat(v.Ciphertext, v.Tag), text, v.Name)
		require.True(t, bytes.HasSuffix(v.Packet, packet), v.Name)
	}
	require.Equal(t, 2, n)
}

// TestConcurrentUse: one Cipher, many goroutines, all packets right.
func TestConcurrentUse(t *testing.T) {
	for _, c := range []combination{
		{encrAESGCM16, 128, 0}, {encrAESGCM8, 256, 0}, {encrAESCCM8, 128, 0}, {encrChaCha20Poly1305, 0, 0}, {encrNULLAESGMAC, 128, 0},
		{encrAESCBC, 256, integHMACSHA256128}, {encrAESCTR, 128, integAESCMAC_96}, {encr3DES, 0, integAESXCBC_96},
	} {
		ci := c.cipher(t)
		var wg sync.WaitGroup
		errs := make(chan error, 8)
		for g := range 8 {
			wg.Go(func() {
				iv, aad := make([]byte, ci.IVSize()), make([]byte, 8)
				for i := range 50 {
					binary.BigEndian.PutUint64(aad, uint64(g*1000+i))
					copy(iv, aad)
					plain := fill(ci.BlockSize()*(1+i), byte(g))
					buf := concat(plain, make([]byte, ci.ICVSize()))
					if err := ci.Seal(buf, iv, aad, nil); err != nil {
						errs <- err
						return
					}
					if err := ci.Open(buf, iv, aad, nil); err != nil || !bytes.Equal(plain, buf[:len(plain)]) {
						errs <- fmt.Errorf("goroutine %d, packet %d: %w", g, i, err)
						return
					}
				}
			})
		}
		wg.Wait()
		close(errs)
		require.NoError(t, <-errs, c)
	}
}

func TestCipherRedactsAndWipes(t *testing.T) {
	for _, c := range combinations() {
		ci := c.cipher(t)
		s := fmt.Sprintf("%v %+v %#v %s %x", ci, ci, ci, ci, ci)
		require.Contains(t, s, "keys redacted")
		require.NotContains(t, s, "[1 2 3")
		j, err := json.Marshal(ci)
		require.NoError(t, err)
		require.Contains(t, string(j), "keys redacted")

		buf, iv := make([]byte, 48+ci.ICVSize()), make([]byte, ci.IVSize())
		require.NoError(t, ci.Seal(buf, iv, nil, nil))
		ci.Wipe()
		require.ErrorIs(t, ci.Open(bytes.Clone(buf), iv, nil, nil), ErrAuthentication, c)
		require.NoError(t, ci.Seal(buf, iv, nil, nil))
		require.Equal(t, make([]byte, len(buf)), buf, "a wiped cipher sends nothing")
	}
}

func TestCipherAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("sync.Pool drops objects under the race detector")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection would empty the pools
	for _, c := range combinations() {
		ci := c.cipher(t)
		buf, iv, aad, tail := make([]byte, 1408+ci.ICVSize()), make([]byte, ci.IVSize()), make([]byte, 8), make([]byte, 4)
		require.Zero(t, testing.AllocsPerRun(20, func() {
			if ci.Seal(buf, iv, aad, tail) != nil || ci.Open(buf, iv, aad, tail) != nil {
				t.Error("failed")
			}
		}), c)
	}
}

// TestCCMLongAAD is the change of the length's encoding at 0xff00 octets (RFC
// 3610 section 2.2), as OpenSSL has it.
func TestCCMLongAAD(t *testing.T) {
	c, err := NewCipher(encrAESCCM16, 128, integNone, concat(fill(16, 0), fill(3, 0x40)), nil)
	require.NoError(t, err)
	for n, want := range map[int]string{
		0xff00 - 1: "8d249503e37626a1d01c5ebe9b3a536c2f5235f9",
		0xff00:     "8d249503c7b68a0a079af9dd46e07b5387c2665c",
	} {
		buf := concat([]byte("text"), make([]byte, 16))
		require.NoError(t, c.Seal(buf, fill(8, 0x43), make([]byte, n), nil))
		require.Equal(t, unhex(want), buf)
	}
}
