package krb

import (
	"crypto/pbkdf2"
	"fmt"
)

// maxIterations bounds what a KDC may make us compute for a password.
const maxIterations = 1 << 20

// StringToKey derives a key from a password (RFC 3961 6.3.1, 3962 4, 8009 4).
// iterations 0 stands for the encryption type's default; it has no meaning for
// DES3. More than a million are an error: who asks for them may be anybody.
func StringToKey(e EType, password string, salt []byte, iterations uint32) (*Key, error) {
	p := profiles[e]
	if p == nil {
		return nil, fmt.Errorf("%w %d", ErrEType, int32(e))
	}
	if iterations > maxIterations {
		return nil, fmt.Errorf("krb: %d iterations for a password", iterations)
	}
	label := []byte("kerberos")
	var seed []byte
	var err error
	switch {
	case e == DES3SHA1:
		var folded [21]byte
		nfold(folded[:], append([]byte(password), salt...))
		seed = des3Key(folded[:])
	case p.sha2:
		if iterations == 0 {
			iterations = 32768
		}
		salt = append(append([]byte(p.name), 0), salt...)
		seed, err = pbkdf2.Key(p.newHash, password, salt, int(iterations), p.keyLen)
	default:
		if iterations == 0 {
			iterations = 4096
		}
		seed, err = pbkdf2.Key(p.newHash, password, salt, int(iterations), p.keyLen)
	}
	if err != nil {
		return nil, fmt.Errorf("krb: password: %w", err)
	}
	k, err := NewKey(e, seed)
	if err != nil {
		return nil, err
	}
	defer k.Wipe()
	return NewKey(e, k.derive(label, p.keyLen))
}
