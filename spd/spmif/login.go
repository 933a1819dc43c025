package spmif

import (
	"crypto/rand"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/hex"
	"strings"

	"github.com/racoon3/racoon/internal/secret"
)

// Password is the content of a password file. It prints as its length only.
type Password = secret.Bytes

// challengeLen is the length of a challenge and of a response, in hexadecimal
// digits: those of a SHA-1 hash.
const challengeLen = 2 * sha1.Size

// newChallenge returns what a server greets with.
func newChallenge() string {
	var b [sha1.Size]byte
	_, _ = rand.Read(b[:]) // never fails
	return strings.ToUpper(hex.EncodeToString(b[:]))
}

// Response answers a challenge: the hash of its text and of the password's
// octets in upper-case hexadecimal digits. All of the password file counts, its
// last newline too.
func Response(challenge string, password Password) string {
	buf := make([]byte, 0, len(challenge)+2*len(password))
	buf = append(buf, challenge...)
	const digits = "0123456789ABCDEF"
	for _, c := range password {
		buf = append(buf, digits[c>>4], digits[c&15])
	}
	sum := sha1.Sum(buf)
	clear(buf)
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// rightResponse compares in constant time.
func rightResponse(challenge string, password Password, response string) bool {
	want := Response(challenge, password)
	return subtle.ConstantTimeCompare([]byte(want), []byte(response)) == 1
}
