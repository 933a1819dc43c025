package vendorid

import (
	"encoding/binary"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/racoon3/racoon/natt"
)

// Announced is what a peer's vendor IDs say about its extensions. It is a plain value of a few octets and takes in any number
// of vendor IDs without allocating: those of the messages of one negotiation, one after the other.
type Announced struct {
	extensions    uint16
	fragmentation Fragments
	natt          uint16 // a bit for each variant
}

// Add takes one vendor ID, and returns what it announces.
func (a *Announced) Add(id []byte) Extension {
	i, ok := Lookup(id)
	if !ok || i.Extension == NoExtension {
		return NoExtension
	}
	a.extensions |= 1 << i.Extension
	switch i.Extension {
	case Fragmentation:
		a.fragmentation |= fragmentsOf(i.Rest)
	case NATT:
		if v, ok := natt.VariantOf(id); ok {
			a.natt |= 1 << v
		}
	}
	return i.Extension
}

// Has reports whether the peer has announced x.
func (a Announced) Has(x Extension) bool { return x != NoExtension && a.extensions&(1<<x) != 0 }

// NATT returns the best variant of NAT traversal that the peer has announced and that is allowed, or natt.NoVariant.
func (a Announced) NATT(allowed func(natt.Variant) bool) natt.Variant {
	for v := range natt.Variants() {
		if a.natt&(1<<v) != 0 && allowed(v) {
			return v
		}
	}
	return natt.NoVariant
}

// Fragmentation returns in which exchanges the peer takes fragments.
func (a Announced) Fragmentation() Fragments { return a.fragmentation }

// Method65001 says what a peer means by authentication method 65001, which two extensions have taken for themselves: XAuth, if
// the peer has announced it; else GSSAPI, if it has announced that; else NoExtension, and the configuration has to know.
func (a Announced) Method65001() Extension {
	switch {
	case a.Has(XAuth):
		return XAuth
	case a.Has(GSSAPI):
		return GSSAPI
	}
	return NoExtension
}

// Fragments are the exchanges that fragments are taken in: the capabilities behind the vendor ID of fragmentation.
type Fragments uint32

// Capabilities of fragmentation.
const (
	FragmentsMain Fragments = 0x80000000 // Main and Aggressive Mode, and what follows
	FragmentsBase Fragments = 0x40000000 // Base Mode
)

// fragmentsOf reads the capabilities. Some send none, and mean the first one.
func fragmentsOf(rest []byte) Fragments {
	if len(rest) < 4 {
		return FragmentsMain
	}
	return Fragments(binary.BigEndian.Uint32(rest)) & (FragmentsMain | FragmentsBase)
}

// Append appends the vendor ID that announces fragmentation in these exchanges.
func (f Fragments) Append(dst []byte) []byte {
	return binary.BigEndian.AppendUint32(append(dst, fragmentation...), uint32(f))
}

// maxNames is how many vendor IDs of a message are named. Real peers send up to twenty.
const maxNames = 24

// Names names the vendor IDs of a message for a log, each once, as Describe does. What goes beyond a bound is counted only.
func Names(ids iter.Seq[[]byte]) string {
	var names []string
	more := 0
	for id := range ids {
		if len(names) == maxNames {
			more++
			continue
		}
		if n := Describe(id); !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	s := strings.Join(names, ", ")
	if more > 0 {
		s += " and " + strconv.Itoa(more) + " more"
	}
	return s
}
