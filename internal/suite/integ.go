package suite

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"sync"
)

// Transform numbers of the integrity algorithms (IKEv2 transform type 3).
const (
	integNone          = 0
	integHMACMD5_96    = 1
	integHMACSHA1_96   = 2
	integAESXCBC_96    = 5
	integAESCMAC_96    = 8
	integAES128GMAC    = 9
	integAES192GMAC    = 10
	integAES256GMAC    = 11
	integHMACSHA256128 = 12
	integHMACSHA384192 = 13
	integHMACSHA512256 = 14
)

// INTEG describes an integrity algorithm.
type INTEG struct {
	ID      uint16
	Name    string
	KeySize int // octets of keying material, GMAC's salt included
	ICVSize int // octets on the wire (for GMAC without the IV, RFC 4543 section 3)
	IVSize  int // octets of explicit IV: 8 for GMAC in AH, else 0
	Weak    bool

	newHash func(key []byte) hash.Hash // nil for GMAC
}

var integs = [...]INTEG{
	{ID: integHMACMD5_96, Name: "AUTH_HMAC_MD5_96", KeySize: md5.Size, ICVSize: 12, Weak: true, newHash: hmacOf(md5.New)},
	{ID: integHMACSHA1_96, Name: "AUTH_HMAC_SHA1_96", KeySize: sha1.Size, ICVSize: 12, newHash: hmacOf(sha1.New)},
	{ID: integAESXCBC_96, Name: "AUTH_AES_XCBC_96", KeySize: 16, ICVSize: 12, newHash: newXCBC},
	{ID: integAESCMAC_96, Name: "AUTH_AES_CMAC_96", KeySize: 16, ICVSize: 12, newHash: newCMAC},
	{ID: integAES128GMAC, Name: "AUTH_AES_128_GMAC", KeySize: 16 + saltSize, ICVSize: 16, IVSize: 8},
	{ID: integAES192GMAC, Name: "AUTH_AES_192_GMAC", KeySize: 24 + saltSize, ICVSize: 16, IVSize: 8},
	{ID: integAES256GMAC, Name: "AUTH_AES_256_GMAC", KeySize: 32 + saltSize, ICVSize: 16, IVSize: 8},
	{ID: integHMACSHA256128, Name: "AUTH_HMAC_SHA2_256_128", KeySize: sha256.Size, ICVSize: 16, newHash: hmacOf(sha256.New)},
	{ID: integHMACSHA384192, Name: "AUTH_HMAC_SHA2_384_192", KeySize: sha512.Size384, ICVSize: 24, newHash: hmacOf(sha512.New384)},
	{ID: integHMACSHA512256, Name: "AUTH_HMAC_SHA2_512_256", KeySize: sha512.Size, ICVSize: 32, newHash: hmacOf(sha512.New)},
}

// INTEGByID returns the integrity algorithm with the IKEv2 transform number
// id. NONE (0) is not one.
func INTEGByID(id uint16) (INTEG, bool) {
	if in := integByID(id); in != nil {
		return *in, true
	}
	return INTEG{}, false
}

func integByID(id uint16) *INTEG {
	for i := range integs {
		if integs[i].ID == id {
			return &integs[i]
		}
	}
	return nil
}

// mac computes a truncated keyed hash. The hash states it works on come from a
// pool, so that any number of goroutines may use one mac.
type mac struct {
	size int
	pool sync.Pool // of *macState
}

type macState struct {
	hash hash.Hash
	sum  [maxPRFSize]byte
}

func newMAC(in *INTEG, key []byte) *mac {
	m := &mac{size: in.ICVSize}
	newHash := in.newHash
	m.pool.New = func() any { return &macState{hash: newHash(key)} }
	return m
}

// seal writes the ICV over aad | iv | text | tail to icv.
func (m *mac) seal(icv, aad, iv, text, tail []byte) {
	s := m.pool.Get().(*macState)
	copy(icv, s.over(aad, iv, text, tail))
	m.pool.Put(s)
}

// open compares the ICV over aad | iv | text | tail with icv in constant time.
func (m *mac) open(icv, aad, iv, text, tail []byte) bool {
	s := m.pool.Get().(*macState)
	ok := hmac.Equal(s.over(aad, iv, text, tail)[:m.size], icv)
	clear(s.sum[:])
	m.pool.Put(s)
	return ok
}

func (s *macState) over(aad, iv, text, tail []byte) []byte {
	s.hash.Reset()
	s.hash.Write(aad)
	s.hash.Write(iv)
	s.hash.Write(text)
	if len(tail) > 0 {
		s.hash.Write(tail)
	}
	return s.hash.Sum(s.sum[:0])
}
