// Package camellia is the Camellia block cipher of RFC 3713, for IKEv1 (RFC
// 4312) and ESP.
//
// It looks up tables at places that depend on the key, so its timing can tell
// of the key to whoever shares the processor's caches. It is for peers that
// have nothing better, and is used only where the configuration names it.
package camellia

import (
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"math/bits"
)

// BlockSize is the size of a block in octets.
const BlockSize = 16

// A KeySizeError is a key of neither 16, 24 nor 32 octets.
type KeySizeError int

func (k KeySizeError) Error() string { return fmt.Sprintf("camellia: key of %d octets", int(k)) }

// schedule holds the subkeys in the order in which they are used.
type schedule struct {
	in, out [2]uint64    // kw1 and kw2, kw3 and kw4
	k       [24]uint64   // of the rounds
	ke      [3][2]uint64 // of FL and FLINV, after every sixth round but the last
}

type block struct {
	encrypt, decrypt schedule
	rounds           int // 18 or 24
}

// NewCipher returns the cipher with a key of 16, 24 or 32 octets. It may be
// used by several goroutines at once.
func NewCipher(key []byte) (cipher.Block, error) {
	var l, r u128
	switch len(key) {
	case 16:
		l = load(key)
	case 24:
		l = load(key)
		r[0] = binary.BigEndian.Uint64(key[16:])
		r[1] = ^r[0]
	case 32:
		l, r = load(key), load(key[16:])
	default:
		return nil, KeySizeError(len(key))
	}
	b := new(block)
	b.expand(l, r, len(key) > 16)
	b.reverse()
	return b, nil
}

// u128 is a number of 128 bits, the high half first.
type u128 [2]uint64

func load(b []byte) u128 { return u128{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])} }

// rotate rotates to the left by n bits, 0 to 127.
func (x u128) rotate(n uint) u128 {
	if n >= 64 {
		x[0], x[1] = x[1], x[0]
		n -= 64
	}
	return u128{x[0]<<n | x[1]>>(64-n), x[1]<<n | x[0]>>(64-n)}
}

var sigma = [6]uint64{0xA09E667F3BCC908B, 0xB67AE8584CAA73B2, 0xC6EF372FE94F82BE, 0x54FF53A5F1D36F1C, 0x10E527FADE682D1D, 0xB05688C2B3E6C1FD}

// expand makes the subkeys of encryption (RFC 3713 2.2).
func (b *block) expand(l, r u128, long bool) {
	a := u128{l[0] ^ r[0], l[1] ^ r[1]}
	a[1] ^= f(a[0], sigma[0])
	a[0] ^= f(a[1], sigma[1])
	a[0] ^= l[0]
	a[1] ^= l[1]
	a[1] ^= f(a[0], sigma[2])
	a[0] ^= f(a[1], sigma[3])

	s := &b.encrypt
	put := func(i int, x u128, n uint) {
		x = x.rotate(n)
		s.k[i-1], s.k[i] = x[0], x[1]
	}
	s.in = l
	if !long {
		b.rounds = 18
		put(1, a, 0)
		put(3, l, 15)
		put(5, a, 15)
		s.ke[0] = a.rotate(30)
		put(7, l, 45)
		s.k[8] = a.rotate(45)[0]
		s.k[9] = l.rotate(60)[1]
		put(11, a, 60)
		s.ke[1] = l.rotate(77)
		put(13, l, 94)
		put(15, a, 94)
		put(17, l, 111)
		s.out = a.rotate(111)
		return
	}
	c := u128{a[0] ^ r[0], a[1] ^ r[1]} // KB
	c[1] ^= f(c[0], sigma[4])
	c[0] ^= f(c[1], sigma[5])
	b.rounds = 24
	put(1, c, 0)
	put(3, r, 15)
	put(5, a, 15)
	s.ke[0] = r.rotate(30)
	put(7, c, 30)
	put(9, l, 45)
	put(11, a, 45)
	s.ke[1] = l.rotate(60)
	put(13, r, 60)
	put(15, c, 60)
	put(17, l, 77)
	s.ke[2] = a.rotate(77)
	put(19, r, 94)
	put(21, a, 94)
	put(23, l, 111)
	s.out = c.rotate(111)
}

// reverse makes the subkeys of decryption, which are those of encryption in the
// other order (RFC 3713 2.3.3).
func (b *block) reverse() {
	e, d := &b.encrypt, &b.decrypt
	d.in, d.out = e.out, e.in
	for i := range b.rounds {
		d.k[i] = e.k[b.rounds-1-i]
	}
	layers := b.rounds/6 - 1
	for i := range layers {
		d.ke[i] = [2]uint64{e.ke[layers-1-i][1], e.ke[layers-1-i][0]}
	}
}

// BlockSize implements [cipher.Block].
func (b *block) BlockSize() int { return BlockSize }

// Encrypt implements [cipher.Block].
func (b *block) Encrypt(dst, src []byte) { b.crypt(&b.encrypt, dst, src) }

// Decrypt implements [cipher.Block].
func (b *block) Decrypt(dst, src []byte) { b.crypt(&b.decrypt, dst, src) }

func (b *block) crypt(s *schedule, dst, src []byte) {
	_, _ = src[BlockSize-1], dst[BlockSize-1]
	x := load(src)
	x[0] ^= s.in[0]
	x[1] ^= s.in[1]
	for i := 0; ; i += 6 {
		for j := i; j < i+6; j += 2 {
			x[1] ^= f(x[0], s.k[j])
			x[0] ^= f(x[1], s.k[j+1])
		}
		if i+6 == b.rounds {
			break
		}
		ke := &s.ke[i/6]
		x[0], x[1] = fl(x[0], ke[0]), flInverse(x[1], ke[1])
	}
	binary.BigEndian.PutUint64(dst, x[1]^s.out[0])
	binary.BigEndian.PutUint64(dst[8:], x[0]^s.out[1])
}

// f is the F-function (RFC 3713 2.4.1).
func f(in, k uint64) uint64 {
	x := in ^ k
	return spread[0][byte(x>>56)] ^ spread[1][byte(x>>48)] ^ spread[2][byte(x>>40)] ^ spread[3][byte(x>>32)] ^
		spread[4][byte(x>>24)] ^ spread[5][byte(x>>16)] ^ spread[6][byte(x>>8)] ^ spread[7][byte(x)]
}

// fl and flInverse are the FL- and FLINV-functions (RFC 3713 2.4.2).
func fl(in, k uint64) uint64 {
	l, r := uint32(in>>32), uint32(in)
	r ^= bits.RotateLeft32(l&uint32(k>>32), 1)
	l ^= r | uint32(k)
	return uint64(l)<<32 | uint64(r)
}

func flInverse(in, k uint64) uint64 {
	l, r := uint32(in>>32), uint32(in)
	l ^= r | uint32(k)
	r ^= bits.RotateLeft32(l&uint32(k>>32), 1)
	return uint64(l)<<32 | uint64(r)
}

// spread has for each octet of the F-function's input what it adds to the
// output: its S-box, in the octets of the P-function that take it.
var spread = func() (t [8][256]uint64) {
	// Which of y1 to y8 take t1, ..., t8, as bits from the left.
	takes := [8]byte{0b11101001, 0b01111100, 0b10110110, 0b11010011, 0b01110111, 0b10111011, 0b11011101, 0b11101110}
	box := [8]func(x byte) byte{sbox1, sbox2, sbox3, sbox4, sbox2, sbox3, sbox4, sbox1}
	for i := range t {
		for x := range t[i] {
			for y := range 8 {
				t[i][x] <<= 8
				if takes[i]<<y&0x80 != 0 {
					t[i][x] |= uint64(box[i](byte(x)))
				}
			}
		}
	}
	return t
}()

func sbox1(x byte) byte { return sbox[x] }
func sbox2(x byte) byte { return bits.RotateLeft8(sbox[x], 1) }
func sbox3(x byte) byte { return bits.RotateLeft8(sbox[x], 7) }
func sbox4(x byte) byte { return sbox[bits.RotateLeft8(x, 1)] }

// sbox is SBOX1 of RFC 3713 2.4.1.
var sbox = [256]byte{
	112, 130, 44, 236, 179, 39, 192, 229, 228, 133, 87, 53, 234, 12, 174, 65,
	35, 239, 107, 147, 69, 25, 165, 33, 237, 14, 79, 78, 29, 101, 146, 189,
	134, 184, 175, 143, 124, 235, 31, 206, 62, 48, 220, 95, 94, 197, 11, 26,
	166, 225, 57, 202, 213, 71, 93, 61, 217, 1, 90, 214, 81, 86, 108, 77,
	139, 13, 154, 102, 251, 204, 176, 45, 116, 18, 43, 32, 240, 177, 132, 153,
	223, 76, 203, 194, 52, 126, 118, 5, 109, 183, 169, 49, 209, 23, 4, 215,
	20, 88, 58, 97, 222, 27, 17, 28, 50, 15, 156, 22, 83, 24, 242, 34,
	254, 68, 207, 178, 195, 181, 122, 145, 36, 8, 232, 168, 96, 252, 105, 80,
	170, 208, 160, 125, 161, 137, 98, 151, 84, 91, 30, 149, 224, 255, 100, 210,
	16, 196, 0, 72, 163, 247, 117, 219, 138, 3, 230, 218, 9, 63, 221, 148,
	135, 92, 131, 2, 205, 74, 144, 51, 115, 103, 246, 243, 157, 127, 191, 226,
	82, 155, 216, 38, 200, 55, 198, 59, 129, 150, 111, 75, 19, 190, 99, 46,
	233, 121, 167, 140, 159, 110, 188, 142, 41, 245, 249, 182, 47, 253, 180, 89,
	120, 152, 6, 106, 231, 70, 113, 186, 212, 37, 171, 66, 136, 162, 141, 250,
	114, 7, 185, 85, 248, 238, 172, 10, 54, 73, 42, 104, 60, 56, 241, 164,
	64, 40, 211, 123, 187, 201, 67, 193, 21, 227, 173, 244, 119, 199, 128, 158,
}
