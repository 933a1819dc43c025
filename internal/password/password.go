package password

import (
	"errors"
	"fmt"
	"strings"
)

// ErrHash is matched by every error of [Parse].
var ErrHash = errors.New("unusable password hash")

// A Hash is a parsed hash of a password. It is immutable. It prints as its kind
// and cost only.
type Hash struct {
	params string
	check  func(password []byte) bool
}

// Params returns the kind and the cost, such as "bcrypt 10": hashes that are
// equal in this take equally long.
func (h *Hash) Params() string { return h.params }

// String implements [fmt.Stringer].
func (h *Hash) String() string { return h.params + " hash" }

// Format implements [fmt.Formatter] for every verb.
func (h *Hash) Format(f fmt.State, _ rune) { fmt.Fprint(f, h.String()) }

// Verify reports whether the hash is of this password. It takes as long as the
// hash asks for, by design: milliseconds up to seconds.
func (h *Hash) Verify(password []byte) bool { return h.check(password) }

// unsupported are the forms that are refused by name.
var unsupported = []struct{ prefix, name string }{
	{"$apr1$", "Apache's MD5 (apr1)"},
	{"$1$", "MD5-crypt"},
	{"$2x$", "bcrypt as a faulty implementation made it"},
	{"$y$", "yescrypt"}, {"$gy$", "gost-yescrypt"}, {"$7$", "scrypt in crypt(3)'s form"},
	{"$argon2d$", "Argon2d"},
	{"$pbkdf2", "PBKDF2"},
	{"{SHA}", "unsalted SHA-1"}, {"{SSHA", "LDAP's salted SHA"}, {"{MD5}", "unsalted MD5"}, {"{SMD5}", "LDAP's salted MD5"},
}

// Parse reads a hash. Its errors do not show the hash.
func Parse(s string) (*Hash, error) {
	for _, u := range unsupported {
		if strings.HasPrefix(s, u.prefix) {
			return nil, hashError("%s is not supported; make a bcrypt hash (htpasswd -B) or a SHA-512 one (openssl passwd -6)", u.name)
		}
	}
	if s != "" && strings.Trim(s, "!*") == "" {
		return nil, hashError("%q stands for a locked account", s)
	}
	if !strings.HasPrefix(s, "$") {
		if len(s) == 13 {
			return nil, hashError("it looks like DES-crypt, which is not supported; make a bcrypt hash (htpasswd -B)")
		}
		return nil, hashError("it is no hash in a known form; is it the password itself?")
	}
	switch kind, rest, _ := strings.Cut(s[1:], "$"); kind {
	case "2a", "2b", "2y":
		return parseBcrypt(s)
	case "5", "6":
		return parseSHACrypt(kind, rest)
	case "argon2id", "argon2i":
		return parseArgon2(kind, rest)
	case "scrypt":
		return parseScrypt(rest)
	}
	return nil, hashError("it is of an unknown kind")
}

func hashError(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrHash}, args...)...)
}
