package password

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-crypt/x/crypt"
	"golang.org/x/crypto/bcrypt"
)

// maxBcryptCost is some ten seconds of one processor.
const maxBcryptCost = 17

func parseBcrypt(s string) (*Hash, error) {
	cost, err := bcrypt.Cost([]byte(s))
	if err != nil || len(s) != 60 {
		return nil, hashError("bcrypt: it is malformed or cut off")
	}
	if strings.Trim(s[7:], "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return nil, hashError("bcrypt: it has characters that do not belong there")
	}
	if cost > maxBcryptCost {
		return nil, hashError("bcrypt: cost %d, at most %d is accepted", cost, maxBcryptCost)
	}
	hash := []byte(s)
	return &Hash{fmt.Sprintf("bcrypt %d", cost), func(password []byte) bool {
		// htpasswd and crypt(3) look at 72 octets and not at the rest.
		return bcrypt.CompareHashAndPassword(hash, password[:min(len(password), 72)]) == nil
	}}, nil
}

// The rounds of SHA-crypt (https://www.akkadia.org/drepper/SHA-crypt.txt): what
// the text allows goes on for hours.
const (
	minSHARounds     = 1000
	defaultSHARounds = 5000
	maxSHARounds     = 5_000_000
	maxSHASalt       = 16
)

func parseSHACrypt(kind, rest string) (*Hash, error) {
	hash, size := sha512.New, 86
	name := "SHA-512"
	if kind == "5" {
		hash, size, name = sha256.New, 43, "SHA-256"
	}
	rounds := defaultSHARounds
	if n, ok := strings.CutPrefix(rest, "rounds="); ok {
		var number string
		number, rest, _ = strings.Cut(n, "$")
		r, err := strconv.ParseUint(number, 10, 32)
		if err != nil || r < minSHARounds || r > maxSHARounds {
			return nil, hashError("%s-crypt: rounds must be %d to %d", name, minSHARounds, maxSHARounds)
		}
		rounds = int(r)
	}
	salt, sum, ok := strings.Cut(rest, "$")
	if !ok || len(salt) > maxSHASalt || len(sum) != size || strings.Contains(sum, "$") {
		return nil, hashError("%s-crypt: it is malformed or cut off", name)
	}
	return &Hash{fmt.Sprintf("%s-crypt %d", name, rounds), func(password []byte) bool {
		got := crypt.KeySHACrypt(hash, password, []byte(salt), rounds)
		return subtle.ConstantTimeCompare(got, []byte(sum)) == 1
	}}, nil
}
