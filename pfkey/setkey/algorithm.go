package setkey

import (
	"fmt"
	"slices"
	"strings"

	"github.com/racoon3/racoon/pfkey"
)

// lengths are the octets that an algorithm's key may have.
type lengths struct {
	exact    []int
	min, max int // if exact is empty
}

func exactly(n ...int) lengths     { return lengths{exact: n} }
func between(min, max int) lengths { return lengths{min: min, max: max} }
func (l lengths) none() bool       { return l.max == 0 && len(l.exact) == 0 }
func (l lengths) fits(n int) bool {
	return slices.Contains(l.exact, n) || len(l.exact) == 0 && n >= l.min && n <= l.max
}
func (l lengths) join(s []string, or string) string {
	if len(s) < 2 {
		return strings.Join(s, "")
	}
	return strings.Join(s[:len(s)-1], ", ") + or + s[len(s)-1]
}

func (l lengths) String() string {
	if len(l.exact) == 0 {
		return fmt.Sprintf("%d to %d", l.min, l.max)
	}
	s := make([]string, len(l.exact))
	for i, n := range l.exact {
		s[i] = fmt.Sprint(n)
	}
	return l.join(s, " or ")
}

// An algorithm is one that the language has a name for.
type algorithm struct {
	kind  pfkey.AlgKind
	names []string // the first is how it is printed
	keys  lengths
	as    string // what pfkey calls it, "" for its first name
	aead  bool   // it needs no integrity algorithm
	old   oldUse
}

// oldUse says which of ESP and old ESP (RFC 1827) an algorithm is for.
type oldUse uint8

const (
	oldOrNew oldUse = iota
	newOnly
	oldOnly
)

// algorithms are those of ipsec-tools' setkey, then what systems have besides.
var algorithms = []algorithm{
	{kind: pfkey.AlgAuth, names: []string{"hmac-md5"}, keys: exactly(16)},
	{kind: pfkey.AlgAuth, names: []string{"hmac-sha1"}, keys: exactly(20)},
	{kind: pfkey.AlgAuth, names: []string{"keyed-md5"}, keys: exactly(16)},
	{kind: pfkey.AlgAuth, names: []string{"keyed-sha1"}, keys: exactly(20)},
	{kind: pfkey.AlgAuth, names: []string{"hmac-sha256", "hmac-sha2-256"}, keys: exactly(32), as: "hmac-sha2-256"},
	{kind: pfkey.AlgAuth, names: []string{"hmac-sha384", "hmac-sha2-384"}, keys: exactly(48), as: "hmac-sha2-384"},
	{kind: pfkey.AlgAuth, names: []string{"hmac-sha512", "hmac-sha2-512"}, keys: exactly(64), as: "hmac-sha2-512"},
	{kind: pfkey.AlgAuth, names: []string{"hmac-ripemd160"}, keys: exactly(20)},
	{kind: pfkey.AlgAuth, names: []string{"aes-xcbc-mac"}, keys: exactly(16)},
	{kind: pfkey.AlgAuth, names: []string{"tcp-md5"}, keys: between(1, 80)},
	{kind: pfkey.AlgAuth, names: []string{"null"}},
	{kind: pfkey.AlgAuth, names: []string{"aes-cmac"}, keys: exactly(16)},
	{kind: pfkey.AlgAuth, names: []string{"hmac-sm3-256"}, keys: exactly(32)},

	{kind: pfkey.AlgEncrypt, names: []string{"des-cbc"}, keys: exactly(8)},
	{kind: pfkey.AlgEncrypt, names: []string{"3des-cbc"}, keys: exactly(24)},
	{kind: pfkey.AlgEncrypt, names: []string{"null"}},
	{kind: pfkey.AlgEncrypt, names: []string{"simple"}, as: "null"},
	{kind: pfkey.AlgEncrypt, names: []string{"blowfish-cbc"}, keys: between(5, 56)},
	{kind: pfkey.AlgEncrypt, names: []string{"cast128-cbc"}, keys: between(5, 16)},
	{kind: pfkey.AlgEncrypt, names: []string{"des-deriv"}, keys: exactly(8), as: "des-cbc", old: newOnly},
	{kind: pfkey.AlgEncrypt, names: []string{"des-32iv"}, keys: exactly(8), as: "des-cbc", old: oldOnly},
	{kind: pfkey.AlgEncrypt, names: []string{"twofish-cbc"}, keys: exactly(16, 24, 32)},
	{kind: pfkey.AlgEncrypt, names: []string{"aes-cbc", "rijndael-cbc"}, keys: exactly(16, 24, 32)},
	{kind: pfkey.AlgEncrypt, names: []string{"aes-ctr"}, keys: exactly(20, 28, 36)},
	{kind: pfkey.AlgEncrypt, names: []string{"camellia-cbc"}, keys: exactly(16, 24, 32)},
	{kind: pfkey.AlgEncrypt, names: []string{"serpent-cbc"}, keys: exactly(16, 24, 32)},
	{kind: pfkey.AlgEncrypt, names: []string{"skipjack-cbc"}, keys: exactly(10)},
	{kind: pfkey.AlgEncrypt, names: []string{"sm4-cbc"}, keys: exactly(16)},
	{kind: pfkey.AlgEncrypt, names: []string{"aes-gcm-16", "aes-gcm", "aes-gcm16"}, keys: exactly(20, 28, 36), aead: true},
	{kind: pfkey.AlgEncrypt, names: []string{"aes-gcm-12"}, keys: exactly(20, 28, 36), aead: true},
	{kind: pfkey.AlgEncrypt, names: []string{"aes-gcm-8"}, keys: exactly(20, 28, 36), aead: true},
	{kind: pfkey.AlgEncrypt, names: []string{"aes-ccm-16"}, keys: exactly(19, 27, 35), aead: true},
	{kind: pfkey.AlgEncrypt, names: []string{"aes-ccm-12"}, keys: exactly(19, 27, 35), aead: true},
	{kind: pfkey.AlgEncrypt, names: []string{"aes-ccm-8"}, keys: exactly(19, 27, 35), aead: true},
	{kind: pfkey.AlgEncrypt, names: []string{"aes-gmac"}, keys: exactly(20, 28, 36), aead: true},
	{kind: pfkey.AlgEncrypt, names: []string{"chacha20-poly1305"}, keys: exactly(36), aead: true},

	{kind: pfkey.AlgCompress, names: []string{"deflate"}},
	{kind: pfkey.AlgCompress, names: []string{"oui"}},
	{kind: pfkey.AlgCompress, names: []string{"lzs"}},
}

func algorithmNamed(kind pfkey.AlgKind, name string) *algorithm {
	for i := range algorithms {
		if a := &algorithms[i]; a.kind == kind && slices.Contains(a.names, name) {
			return a
		}
	}
	return nil
}

// names lists the algorithms of a kind for errors.
func namesOf(kind pfkey.AlgKind) string {
	var s []string
	for _, a := range algorithms {
		if a.kind == kind {
			s = append(s, a.names[0])
		}
	}
	return lengths{}.join(s, " or ")
}

// printed returns how setkey prints an algorithm that pfkey has a name for.
func printed(kind pfkey.AlgKind, name string) string {
	for _, a := range algorithms {
		if a.kind == kind && (a.as == name || slices.Contains(a.names, name)) {
			return a.names[0]
		}
	}
	return name
}

// CheckKey checks the length of an algorithm's key, of those that -E and -A have.
func CheckKey(kind pfkey.AlgKind, a Algorithm) error {
	x := algorithmNamed(kind, a.Name)
	switch {
	case x == nil:
		return fmt.Errorf("no algorithm %q", a.Name)
	case x.keys.none() && len(a.Key) > 0:
		return fmt.Errorf("%s takes no key", a.Name)
	case !x.keys.none() && !x.keys.fits(len(a.Key)):
		return fmt.Errorf("%s takes a key of %v octets, not %d", a.Name, x.keys, len(a.Key))
	}
	return nil
}
