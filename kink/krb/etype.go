package krb

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"  //nolint:gosec // DES3, off by default
	"crypto/sha1" //nolint:gosec // RFC 3961
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"slices"
	"strconv"
)

// EType is a Kerberos encryption type: IANA "Kerberos Encryption Type Numbers".
type EType int32

// Encryption types. DES3 is deprecated (RFC 8429) and off unless it is named.
const (
	DES3SHA1     EType = 16 // RFC 3961, des3-cbc-sha1-kd
	AES128SHA1   EType = 17 // RFC 3962, aes128-cts-hmac-sha1-96
	AES256SHA1   EType = 18 // RFC 3962, aes256-cts-hmac-sha1-96
	AES128SHA256 EType = 19 // RFC 8009, aes128-cts-hmac-sha256-128
	AES256SHA384 EType = 20 // RFC 8009, aes256-cts-hmac-sha384-192
)

// DefaultETypes returns the encryption types that are used unless configured
// otherwise, the preferred one first.
func DefaultETypes() []EType { return []EType{AES256SHA384, AES128SHA256, AES256SHA1, AES128SHA1} }

// profile is what RFC 3961 calls an encryption algorithm profile, with its
// required checksum mechanism.
type profile struct {
	name    string
	keyLen  int // octets of a key
	block   int // octets of a cipher block, and of the confounder
	macLen  int // octets of the truncated HMAC, in ciphertexts and checksums
	macKey  int // octets of Ki and Kc
	cksum   int32
	newHash func() hash.Hash
	sha2    bool // RFC 8009; else RFC 3961's simplified profile
	cts     bool
}

var profiles = map[EType]*profile{
	DES3SHA1:     {"des3-cbc-sha1", 24, des.BlockSize, 20, 24, 12, sha1.New, false, false},
	AES128SHA1:   {"aes128-cts-hmac-sha1-96", 16, aes.BlockSize, 12, 16, 15, sha1.New, false, true},
	AES256SHA1:   {"aes256-cts-hmac-sha1-96", 32, aes.BlockSize, 12, 32, 16, sha1.New, false, true},
	AES128SHA256: {"aes128-cts-hmac-sha256-128", 16, aes.BlockSize, 16, 16, 19, sha256.New, true, true},
	AES256SHA384: {"aes256-cts-hmac-sha384-192", 32, aes.BlockSize, 24, 24, 20, sha512.New384, true, true},
}

// Supported reports whether this package has the encryption type.
func (e EType) Supported() bool { return profiles[e] != nil }

// String returns the name that MIT krb5 gives the encryption type.
func (e EType) String() string {
	if p := profiles[e]; p != nil {
		return p.name
	}
	return "etype " + strconv.Itoa(int(e))
}

// ParseEType returns the encryption type of a name such as
// "aes256-cts-hmac-sha1-96", or of its short form in krb5.conf, such as
// "aes256-sha2".
func ParseEType(name string) (EType, bool) {
	for e, p := range profiles {
		if p.name == name {
			return e, true
		}
	}
	e, ok := etypeAliases[name]
	return e, ok
}

var etypeAliases = map[string]EType{
	"des3-hmac-sha1": DES3SHA1, "des3-cbc-sha1-kd": DES3SHA1,
	"aes128-cts": AES128SHA1, "aes256-cts": AES256SHA1, "aes128-sha1": AES128SHA1, "aes256-sha1": AES256SHA1,
	"aes128-sha2": AES128SHA256, "aes256-sha2": AES256SHA384,
}

func (p *profile) newBlock(key []byte) cipher.Block {
	var b cipher.Block
	var err error
	if p.keyLen == 24 {
		b, err = des.NewTripleDESCipher(key) //nolint:gosec // DES3, off by default
	} else {
		b, err = aes.NewCipher(key)
	}
	if err != nil {
		panic("krb: " + err.Error()) // the length was checked
	}
	return b
}

func allowed(list []EType, e EType) bool {
	if list == nil {
		return e.Supported() && e != DES3SHA1
	}
	return e.Supported() && slices.Contains(list, e)
}
