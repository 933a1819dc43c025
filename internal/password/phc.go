package password

import (
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/scrypt"
)

// Bounds of what one check may take.
const (
	maxMemory = 1 << 30 // octets
	maxPasses = 64
	maxLanes  = 64
	maxOctets = 128 // of salt and sum
)

// parseArgon2 reads v=19$m=65536,t=3,p=4$salt$sum.
func parseArgon2(kind, s string) (*Hash, error) {
	version, s, _ := strings.Cut(s, "$")
	if version != "v=19" {
		return nil, hashError("%s: only version 19 (v=19) is supported", kind)
	}
	n, salt, sum, err := phc(kind, s, "m", "t", "p")
	if err != nil {
		return nil, err
	}
	memory, passes, lanes := n[0], n[1], n[2]
	if lanes < 1 || lanes > maxLanes || passes < 1 || passes > maxPasses || memory < 8*lanes || memory > maxMemory/1024 {
		return nil, hashError("%s: p must be 1 to %d, t 1 to %d, m 8 for each lane to %d", kind, maxLanes, maxPasses, maxMemory/1024)
	}
	derive := argon2.IDKey
	if kind == "argon2i" {
		derive = argon2.Key
	}
	return &Hash{fmt.Sprintf("%s m=%d,t=%d,p=%d", kind, memory, passes, lanes), func(password []byte) bool {
		got := derive(password, salt, uint32(passes), uint32(memory), uint8(lanes), uint32(len(sum)))
		return subtle.ConstantTimeCompare(got, sum) == 1
	}}, nil
}

// parseScrypt reads ln=16,r=8,p=1$salt$sum.
func parseScrypt(s string) (*Hash, error) {
	n, salt, sum, err := phc("scrypt", s, "ln", "r", "p")
	if err != nil {
		return nil, err
	}
	ln, r, p := n[0], n[1], n[2]
	if ln < 1 || ln > 24 || r < 1 || r > 64 || p < 1 || p > maxLanes || 128*r<<ln > maxMemory {
		return nil, hashError("scrypt: it asks for more than %d MiB, or has a parameter outside ln 1 to 24, r 1 to 64, p 1 to %d", maxMemory>>20, maxLanes)
	}
	return &Hash{fmt.Sprintf("scrypt ln=%d,r=%d,p=%d", ln, r, p), func(password []byte) bool {
		got, err := scrypt.Key(password, salt, 1<<ln, int(r), int(p), len(sum))
		return err == nil && subtle.ConstantTimeCompare(got, sum) == 1
	}}, nil
}

// phc reads the rest of a PHC string: three numbers by name, salt and sum.
func phc(kind, s string, names ...string) (numbers [3]uint64, salt, sum []byte, err error) {
	parts := strings.Split(s, "$")
	if len(parts) != 3 {
		return numbers, nil, nil, hashError("%s: it is malformed or cut off", kind)
	}
	params := strings.Split(parts[0], ",")
	if len(params) != len(names) {
		return numbers, nil, nil, hashError("%s: its parameters must be %s", kind, strings.Join(names, ", "))
	}
	for i, name := range names {
		v, ok := strings.CutPrefix(params[i], name+"=")
		if numbers[i], err = strconv.ParseUint(v, 10, 32); !ok || err != nil {
			return numbers, nil, nil, hashError("%s: parameter %d must be %s and a number", kind, i+1, name)
		}
	}
	if salt, err = base64.RawStdEncoding.DecodeString(parts[1]); err == nil {
		sum, err = base64.RawStdEncoding.DecodeString(parts[2])
	}
	if err != nil || len(salt) > maxOctets || len(sum) < 12 || len(sum) > maxOctets {
		return numbers, nil, nil, hashError("%s: salt and sum must be base64 without padding, the sum of 12 to %d octets", kind, maxOctets)
	}
	return numbers, salt, sum, nil
}
