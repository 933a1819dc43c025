package xfrm

import (
	"bytes"

	"github.com/racoon3/racoon/spd"
)

// An Algorithm is one of an SA's with its key (struct xfrm_algo, xfrm_algo_auth
// and xfrm_algo_aead). The zero value stands for none.
type Algorithm struct {
	// Name is the kernel's: "cbc(aes)", "hmac(sha256)", "rfc4106(gcm(aes))".
	// At most 63 octets.
	Name string
	Key  spd.Key // with the salt after the key, where there is one
	// ICVBits is the length of the integrity check value for AEAD and
	// integrity algorithms. For the latter 0 leaves it to the kernel, whose
	// HMAC-SHA-256 has 96 bits against RFC 4868.
	ICVBits uint32
}

const algorithmName = 64

func appendName(b []byte, name string) []byte {
	name = name[:min(len(name), algorithmName-1)]
	return pad(append(b, name...), algorithmName-len(name))
}

// appendAlgorithm appends a xfrm_algo (68 octets and the key), or with an ICV
// length a xfrm_algo_auth or xfrm_algo_aead (72 octets and the key).
func appendAlgorithm(b []byte, t AttributeType, a *Algorithm, icv bool) []byte {
	b, at := beginAttribute(b, t)
	b = appendName(b, a.Name)
	b = append32(b, uint32(len(a.Key))*8)
	if icv {
		b = append32(b, a.ICVBits)
	}
	return endAttribute(append(b, a.Key...), at)
}

// parseAlgorithm copies the key: it belongs to the message then.
func parseAlgorithm(t AttributeType, v []byte, icv bool) (a Algorithm, err error) {
	c := cursor{b: v}
	name := c.take(algorithmName)
	bits := c.u32()
	if icv {
		a.ICVBits = c.u32()
	}
	n := (uint64(bits) + 7) / 8
	if c.short || n > uint64(len(c.b)) {
		return Algorithm{}, syntaxError(t, "algorithm is cut short")
	}
	if i := bytes.IndexByte(name, 0); i >= 0 {
		name = name[:i]
	} else {
		return Algorithm{}, syntaxError(t, "algorithm name has no end")
	}
	a.Name = intern(name)
	if n > 0 {
		a.Key = spd.Key(bytes.Clone(c.b[:n]))
	}
	return a, nil
}

// intern returns a known name without allocating it anew.
func intern(name []byte) string {
	if s, ok := names[string(name)]; ok {
		return s
	}
	return string(name)
}
