package dh

import (
	"fmt"
	"strconv"
	"strings"
)

// ID is the number of a key-exchange group: IANA's "Transform Type 4 - Key Exchange Method Transform IDs" of IKEv2, which are also
// the "Group Description" numbers of IKEv1 as far as that goes.
type ID uint16

// The groups of this package.
const (
	None           ID = 0  // no key exchange
	MODP768        ID = 1  // RFC 2409 6.1
	MODP1024       ID = 2  // RFC 2409 6.2
	MODP1536       ID = 5  // RFC 3526 2
	MODP2048       ID = 14 // RFC 3526 3
	MODP3072       ID = 15 // RFC 3526 4
	MODP4096       ID = 16 // RFC 3526 5
	MODP6144       ID = 17 // RFC 3526 6
	MODP8192       ID = 18 // RFC 3526 7
	ECP256         ID = 19 // RFC 5903
	ECP384         ID = 20 // RFC 5903
	ECP521         ID = 21 // RFC 5903
	MODP1024Sub160 ID = 22 // RFC 5114 2.1
	MODP2048Sub224 ID = 23 // RFC 5114 2.2
	MODP2048Sub256 ID = 24 // RFC 5114 2.3
	Curve25519     ID = 31 // RFC 8031
	MLKEM768       ID = 36 // draft-ietf-ipsecme-ikev2-mlkem
	MLKEM1024      ID = 37 // draft-ietf-ipsecme-ikev2-mlkem
)

// Grade says how a group may come into use.
type Grade uint8

const (
	// Sound groups may be offered and accepted without being asked for.
	Sound Grade = iota
	// Legacy groups (MODP 2 and 5) are off by default: they are for peers that have nothing better (RFC 8247 2.4: SHOULD
	// NOT).
	Legacy
	// Weak groups (MODP 1 and 22 to 24) are used only where the configuration names them: 1 and 22 can be
	// broken (RFC 8247 2.4: MUST NOT), and the origin of the parameters of 22 to 24 cannot be verified.
	Weak
)

func (g Grade) String() string {
	switch g {
	case Sound:
		return "sound"
	case Legacy:
		return "legacy"
	case Weak:
		return "weak"
	}
	return "dh.Grade(" + strconv.Itoa(int(g)) + ")"
}

// attributes is what can be said of a group without computing.
type attributes struct {
	id       ID
	name     string
	aliases  string // separated by blanks
	grade    Grade
	strength int // estimate in bits; see ID.Strength
}

var registry = [...]attributes{
	{MODP768, "modp768", "dh1 group1", Weak, 64},
	{MODP1024, "modp1024", "dh2 group2", Legacy, 77},
	{MODP1536, "modp1536", "dh5 group5", Legacy, 90},
	{MODP2048, "modp2048", "dh14 group14", Sound, 110},
	{MODP3072, "modp3072", "dh15 group15", Sound, 130},
	{MODP4096, "modp4096", "dh16 group16", Sound, 150},
	{MODP6144, "modp6144", "dh17 group17", Sound, 170},
	{MODP8192, "modp8192", "dh18 group18", Sound, 190},
	{ECP256, "ecp256", "dh19 group19 p256 secp256r1", Sound, 128},
	{ECP384, "ecp384", "dh20 group20 p384 secp384r1", Sound, 192},
	{ECP521, "ecp521", "dh21 group21 p521 secp521r1", Sound, 256},
	{MODP1024Sub160, "modp1024s160", "dh22 group22", Weak, 77},
	{MODP2048Sub224, "modp2048s224", "dh23 group23", Weak, 110},
	{MODP2048Sub256, "modp2048s256", "dh24 group24", Weak, 110},
	{Curve25519, "x25519", "dh31 group31 curve25519", Sound, 128},
	{MLKEM768, "mlkem768", "ml-kem-768", Sound, 192},
	{MLKEM1024, "mlkem1024", "ml-kem-1024", Sound, 256},
}

func (id ID) attributes() *attributes {
	for i := range registry {
		if registry[i].id == id {
			return &registry[i]
		}
	}
	return nil
}

// String returns the name ParseID reads: "modp2048", "ecp256", "x25519", "mlkem768", "none"; a group unknown here
// is "group(1025)".
func (id ID) String() string {
	if id == None {
		return "none"
	}
	if a := id.attributes(); a != nil {
		return a.name
	}
	return "group(" + strconv.Itoa(int(id)) + ")"
}

// Grade says how the group may come into use. An unknown group is Weak.
func (id ID) Grade() Grade {
	if a := id.attributes(); a != nil {
		return a.grade
	}
	return Weak
}

// Strength is an estimate, in bits, of the work needed to break the group by classical means: the lower column of
// RFC 3526 section 8 for MODP, half the order for curves, and the security category for ML-KEM. 0 for an unknown group.
// A group should not be weaker than the cipher whose key it makes.
func (id ID) Strength() int {
	if a := id.attributes(); a != nil {
		return a.strength
	}
	return 0
}

// KEM reports whether the group is a key encapsulation mechanism: the responder's KE payload depends on the initiator's,
// and has another size.
func (id ID) KEM() bool { return id == MLKEM768 || id == MLKEM1024 }

// MarshalText writes the name of the group.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what ParseID reads.
func (id *ID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseID(string(text))
	return err
}

// ParseID returns the group of a name, in any case: the one String writes, the usual "dh14" or "group14", a curve's
// own name ("p256", "curve25519"), "none", or a bare number. The error is an *UnknownGroupError.
func ParseID(name string) (ID, error) {
	s := strings.ToLower(strings.TrimSpace(name))
	if s == "none" || s == "0" {
		return None, nil
	}
	n, numErr := strconv.ParseUint(s, 10, 16)
	for i := range registry {
		a := &registry[i]
		if s == a.name || numErr == nil && ID(n) == a.id {
			return a.id, nil
		}
		for alias := range strings.FieldsSeq(a.aliases) {
			if s == alias {
				return a.id, nil
			}
		}
	}
	return None, &UnknownGroupError{Name: name}
}

// UnknownGroupError is returned by ParseID.
type UnknownGroupError struct {
	Name string // what was to be read
}

func (e *UnknownGroupError) Error() string {
	var names []string
	for i := range registry {
		names = append(names, registry[i].name)
	}
	return fmt.Sprintf("dh: unknown key exchange group %q; known are %s", e.Name, strings.Join(names, ", "))
}
