package vendorid

import (
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/racoon3/racoon/natt"
)

// Extension is something a peer announces by vendor ID and by nothing else.
type Extension uint8

const (
	// NoExtension: the vendor ID names a product, or something this package only knows by name.
	NoExtension Extension = iota
	// DPD is dead peer detection for IKEv1 (RFC 3706).
	DPD
	// XAuth is extended authentication (draft-beaulieu-ike-xauth-02).
	XAuth
	// Unity is Cisco's set of configuration attributes.
	Unity
	// Fragmentation is that of IKEv1 (payload type 132); four octets of capabilities may follow.
	Fragmentation
	// GSSAPI is Kerberos in IKEv1 (draft-ietf-ipsec-isakmp-gss-auth), as opposed to XAuth with the same numbers.
	GSSAPI
	// InitialContact says that the peer does INITIAL_CONTACT although it does not send it yet (Microsoft).
	InitialContact
	// NATT is NAT traversal for IKEv1; see natt.VariantOf.
	NATT
)

// Append appends the vendor ID that announces x, as this side would send it. NoExtension has none, and those of NAT traversal
// are package natt's to choose.
func (x Extension) Append(dst []byte) []byte {
	switch x {
	case DPD:
		return append(dst, dpd+"\x01\x00"...) // version 1.0
	case XAuth:
		return append(dst, xauth...)
	case Unity:
		return append(dst, unity+"\x01\x00"...)
	case Fragmentation:
		return append(append(dst, fragmentation...), 0x80, 0, 0, 0) // as strongSwan sends it
	case GSSAPI:
		return append(dst, md5Of("GSSAPI")...)
	case InitialContact:
		return append(dst, md5Of("Vid-Initial-Contact")...)
	}
	return dst
}

// Info is what is known of a vendor ID.
type Info struct {
	Name      string
	Extension Extension
	// Rest is what follows the part that is known: octets of version or capability. It is part of the vendor ID, not a copy.
	Rest []byte
}

// Lookup returns what is known of a vendor ID, and false if it is not known.
func Lookup(id []byte) (Info, bool) {
	t := table()
	if e, ok := t.whole[string(id)]; ok {
		return Info{Name: e.name, Extension: e.extension}, true
	}
	for _, p := range t.prefixes {
		if len(id) >= len(p.id) && string(id[:len(p.id)]) == p.id && (p.length == 0 || len(id) == p.length) {
			return Info{Name: p.name, Extension: p.extension, Rest: id[len(p.id):]}, true
		}
	}
	return Info{}, false
}

// describeMax is how many octets of an unknown vendor ID are shown.
const describeMax = 32

// Describe names a vendor ID for a log: by the table with what follows in hexadecimal, else as quoted text if it is printable
// ASCII, else in hexadecimal. The result is short and has no control characters, whatever the peer sent.
func Describe(id []byte) string {
	if i, ok := Lookup(id); ok {
		if rest := printable(i.Rest); rest != "" {
			return i.Name + " " + rest
		}
		return i.Name
	}
	if len(id) == 0 {
		return "empty"
	}
	return printable(id)
}

func printable(b []byte) string {
	more := ""
	if len(b) > describeMax {
		b, more = b[:describeMax], "..."
	}
	if len(b) == 0 {
		return ""
	}
	for _, c := range b {
		if c < ' ' || c > '~' {
			return hex.EncodeToString(b) + more
		}
	}
	return strconv.Quote(string(b)) + more
}

type entry struct {
	id        string
	name      string
	extension Extension
	length    int // of the whole vendor ID, 0 for any
}

type index struct {
	whole    map[string]entry
	prefixes []entry // the longest first
}

// table is made at the first use, since it takes some hundred hashes.
var table = sync.OnceValue(func() *index {
	t := &index{whole: make(map[string]entry)}
	add := func(e entry) {
		if _, ok := t.whole[e.id]; !ok {
			t.whole[e.id] = e
		}
	}
	for v := range natt.Variants() {
		add(entry{id: string(v.AppendVendorID(nil)), name: "NAT traversal (" + v.String() + ")", extension: NATT})
	}
	for _, e := range texts {
		name := e.name
		if name == "" {
			name = e.id
		}
		add(entry{id: md5Of(e.id), name: name, extension: e.extension})
	}
	for version := range strings.FieldsSeq(strongSwanVersions) {
		add(entry{id: md5Of("strongSwan " + version), name: "strongSwan " + version})
	}
	for version := range strings.FieldsSeq(sshVersions) {
		name := "SSH Communications Security IPSEC Express version " + version
		id := name
		if version < "2" {
			id = strings.Replace(id, "SSH", "Ssh", 1)
		}
		add(entry{id: md5Of(id), name: name})
	}
	for version, name := range windowsVersions {
		if name == "" {
			continue
		}
		add(entry{id: windows + string(binary.BigEndian.AppendUint32(nil, uint32(version))), name: name})
	}
	for _, e := range plain {
		add(e)
	}
	t.prefixes = slices.Clone(prefixes)
	for line := range strings.Lines(fingerprints) {
		if digits, name, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			id, err := hex.DecodeString(digits)
			if err != nil {
				continue // a test looks for these
			}
			t.prefixes = append(t.prefixes, entry{id: string(id), name: name})
		}
	}
	slices.SortStableFunc(t.prefixes, func(a, b entry) int { return len(b.id) - len(a.id) })
	return t
})

func md5Of(text string) string {
	sum := md5.Sum([]byte(text))
	return string(sum[:])
}
