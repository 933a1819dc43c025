package pfkey

import (
	"slices"

	"github.com/racoon3/racoon/spd"
)

// An AlgKind is what an algorithm is for.
type AlgKind uint8

// Kinds of algorithms.
const (
	AlgAuth AlgKind = iota
	AlgEncrypt
	AlgCompress
)

// An Algorithm is an algorithm that a system has a number for. That its kernel
// has it too, only REGISTER tells.
type Algorithm struct {
	Kind AlgKind
	ID   uint8  // the system's number
	Name string // as setkey(8) writes it, "hmac-sha2-256"

	// Transform is the IKEv2 transform with KeyLen 0, the zero value if there
	// is none. ICVBits is how long this system's integrity check value is.
	Transform spd.Transform
	ICVBits   int

	// SaltBits is the salt at the end of the key, which the system's key
	// lengths include.
	SaltBits int
}

// algorithmTable are a system's algorithms.
type algorithmTable []Algorithm

const none = -1

// algorithmRows are all algorithms, with the numbers of Linux, FreeBSD, NetBSD,
// macOS and OpenBSD, or none.
var algorithmRows = []struct {
	Algorithm
	ids [5]int
}{
	{auth("hmac-md5", spd.IntegHMACMD5_96, 96), [5]int{2, 2, 2, 1, 2}},
	{auth("hmac-sha1", spd.IntegHMACSHA1_96, 96), [5]int{3, 3, 3, 2, 3}},
	{auth("hmac-sha2-256", spd.IntegHMACSHA256_128, 128), [5]int{5, 5, 5, 6, 5}},
	{auth("hmac-sha2-384", spd.IntegHMACSHA384_192, 192), [5]int{6, 6, 6, 7, 6}},
	{auth("hmac-sha2-512", spd.IntegHMACSHA512_256, 256), [5]int{7, 7, 7, 8, 7}},
	{auth("aes-xcbc-mac", spd.IntegAESXCBC96, 96), [5]int{9, 9, 9, none, none}},
	{auth("hmac-ripemd160", 0, 96), [5]int{8, 8, 8, none, 8}},
	{auth("keyed-md5", 0, 128), [5]int{none, 249, 249, 3, none}},
	{auth("keyed-sha1", 0, 160), [5]int{none, 250, 250, 4, none}},
	{auth("null", 0, 0), [5]int{251, 251, 251, 5, none}},
	{auth("tcp-md5", 0, 128), [5]int{none, 252, 252, none, none}},
	{auth("aes-128-gmac", 0, 128), [5]int{none, 11, 11, none, 9}},
	{auth("aes-192-gmac", 0, 128), [5]int{none, 12, 12, none, 10}},
	{auth("aes-256-gmac", 0, 128), [5]int{none, 13, 13, none, 11}},
	{auth("chacha20-poly1305", 0, 128), [5]int{none, 14, none, none, 12}},
	{auth("hmac-sm3-256", 0, 256), [5]int{10, none, none, none, none}},

	{encrypt("aes-cbc", spd.EncrAESCBC, 0), [5]int{12, 12, 12, 12, 12}},
	{encrypt("aes-gcm-16", spd.EncrAESGCM16, 32), [5]int{20, 20, 20, 13, 20}},
	{encrypt("aes-gcm-12", spd.EncrAESGCM12, 32), [5]int{19, 19, 19, none, 19}},
	{encrypt("aes-gcm-8", spd.EncrAESGCM8, 32), [5]int{18, 18, 18, none, 18}},
	{encrypt("aes-ccm-16", spd.EncrAESCCM16, 24), [5]int{16, none, none, none, none}},
	{encrypt("aes-ccm-12", spd.EncrAESCCM12, 24), [5]int{15, none, none, none, none}},
	{encrypt("aes-ccm-8", spd.EncrAESCCM8, 24), [5]int{14, none, none, none, none}},
	{encrypt("chacha20-poly1305", spd.EncrChaCha20Poly1305, 32), [5]int{none, 15, none, 14, 22}},
	{encrypt("aes-gmac", spd.EncrNULLAESGMAC, 32), [5]int{23, 23, 23, 15, 21}},
	{encrypt("aes-ctr", spd.EncrAESCTR, 32), [5]int{13, 13, 13, none, 13}},
	{encrypt("3des-cbc", spd.Encr3DES, 0), [5]int{3, 3, 3, 2, 3}},
	{encrypt("null", spd.EncrNULL, 0), [5]int{11, 11, 11, 3, 11}},
	{encrypt("des-cbc", 0, 0), [5]int{2, 2, 2, 1, none}},
	{encrypt("cast128-cbc", 0, 0), [5]int{6, 6, 6, 5, 6}},
	{encrypt("blowfish-cbc", 0, 0), [5]int{7, 7, 7, 4, 7}},
	{encrypt("camellia-cbc", spd.EncrCamelliaCBC, 0), [5]int{22, 22, 22, none, none}},
	{encrypt("twofish-cbc", 0, 0), [5]int{253, none, none, none, none}},
	{encrypt("serpent-cbc", 0, 0), [5]int{252, none, none, none, none}},
	{encrypt("skipjack-cbc", 0, 0), [5]int{none, none, 250, none, none}},
	{encrypt("sm4-cbc", 0, 0), [5]int{24, none, none, none, none}},

	{Algorithm{Kind: AlgCompress, Name: "oui"}, [5]int{1, 1, 1, 1, 1}},
	{Algorithm{Kind: AlgCompress, Name: "deflate"}, [5]int{2, 2, 2, 2, 2}},
	{Algorithm{Kind: AlgCompress, Name: "lzs"}, [5]int{3, 3, 3, 3, none}},
	{Algorithm{Kind: AlgCompress, Name: "lzjh"}, [5]int{4, none, none, none, none}},
}

func auth(name string, id uint16, icv int) Algorithm {
	a := Algorithm{Kind: AlgAuth, Name: name, ICVBits: icv}
	if id != 0 {
		a.Transform = spd.Transform{Type: spd.TransformINTEG, ID: id}
	}
	return a
}

func encrypt(name string, id uint16, salt int) Algorithm {
	a := Algorithm{Kind: AlgEncrypt, Name: name, SaltBits: salt}
	if id != 0 {
		a.Transform = spd.Transform{Type: spd.TransformENCR, ID: id}
	}
	return a
}

var (
	linuxAlgorithms   = systemAlgorithms(0)
	freeBSDAlgorithms = systemAlgorithms(1)
	netBSDAlgorithms  = systemAlgorithms(2)
	macOSAlgorithms   = systemAlgorithms(3)
	openBSDAlgorithms = systemAlgorithms(4)
)

func systemAlgorithms(system int) algorithmTable {
	var t algorithmTable
	for _, r := range algorithmRows {
		if r.ids[system] == none {
			continue
		}
		a := r.Algorithm
		a.ID = uint8(r.ids[system])
		switch {
		case system == 0 && a.Transform.ID == spd.IntegHMACSHA256_128 && a.Kind == AlgAuth:
			// RFC 4868 wants 128; PF_KEY cannot ask for them.
			a.ICVBits = 96
		case system == 1 && a.Transform.ID == spd.EncrNULLAESGMAC && a.Kind == AlgEncrypt:
			// FreeBSD 13 takes the salt for a part of this key.
			a.Transform = spd.Transform{}
		}
		t = append(t, a)
	}
	return t
}

// Algorithms returns all algorithms that the system has a number for.
func (d *Dialect) Algorithms() []Algorithm { return slices.Clone(*d.algorithms) }

// algorithmAliases are the other names that setkey(8) takes.
var algorithmAliases = map[string]string{
	"hmac-sha256": "hmac-sha2-256", "hmac-sha384": "hmac-sha2-384", "hmac-sha512": "hmac-sha2-512",
	"rijndael-cbc": "aes-cbc", "aes-gcm": "aes-gcm-16", "aes-gcm16": "aes-gcm-16", "simple": "null",
}

// AlgorithmByName returns an algorithm by its name or one of setkey(8)'s other
// names for it.
func (d *Dialect) AlgorithmByName(kind AlgKind, name string) (Algorithm, bool) {
	if n, ok := algorithmAliases[name]; ok {
		name = n
	}
	for _, a := range *d.algorithms {
		if a.Kind == kind && a.Name == name {
			return a, true
		}
	}
	return Algorithm{}, false
}

// AlgorithmByID returns an algorithm by the system's number.
func (d *Dialect) AlgorithmByID(kind AlgKind, id uint8) (Algorithm, bool) {
	for _, a := range *d.algorithms {
		if a.Kind == kind && a.ID == id {
			return a, true
		}
	}
	return Algorithm{}, false
}

// AlgorithmByTransform returns the algorithm of an IKEv2 transform, whatever
// its key length.
func (d *Dialect) AlgorithmByTransform(t spd.Transform) (Algorithm, bool) {
	t.KeyLen = 0
	for _, a := range *d.algorithms {
		if a.Transform == t && t.ID != 0 {
			return a, true
		}
	}
	return Algorithm{}, false
}
