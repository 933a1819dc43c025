package setkey

import (
	"fmt"
	"net/netip"

	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/spd"
)

// A Position is a place in a file. Line and Column begin with 1; columns count
// octets.
type Position struct {
	File         string
	Line, Column int
}

// String returns "file:1:2".
func (p Position) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

// A Verb is the word that a statement begins with.
type Verb string

// Verbs. The words quit and bye are read as VerbExit.
const (
	VerbAdd       Verb = "add"
	VerbUpdate    Verb = "update"
	VerbGet       Verb = "get"
	VerbGetSPI    Verb = "getspi"
	VerbDelete    Verb = "delete"
	VerbDeleteAll Verb = "deleteall"
	VerbFlush     Verb = "flush"
	VerbDump      Verb = "dump"
	VerbExit      Verb = "exit"
	VerbSPDAdd    Verb = "spdadd"
	VerbSPDUpdate Verb = "spdupdate"
	VerbSPDDelete Verb = "spddelete"
	VerbSPDFlush  Verb = "spdflush"
	VerbSPDDump   Verb = "spddump"
)

// A Statement is an [*SAStatement], a [*PolicyStatement] or a [*Command].
type Statement interface {
	// Pos returns where the statement begins.
	Pos() Position
	// What returns the statement's verb.
	What() Verb
}

// A Protocol is what an SA is for.
type Protocol string

// Protocols. ProtoESPUDP is ESP in UDP (RFC 3948), ProtoESPOld and ProtoAHOld
// are RFC 1827 and RFC 1826, ProtoTCP is RFC 2385.
const (
	ProtoAny    Protocol = "" // in commands about all SAs
	ProtoESP    Protocol = "esp"
	ProtoAH     Protocol = "ah"
	ProtoESPOld Protocol = "esp-old"
	ProtoAHOld  Protocol = "ah-old"
	ProtoESPUDP Protocol = "esp-udp"
	ProtoIPComp Protocol = "ipcomp"
	ProtoTCP    Protocol = "tcp"
)

// Lookup says how names of hosts are looked up. IPv4 and IPv6 are not both set.
type Lookup struct {
	IPv4, IPv6 bool // -4, -6: addresses of this family only
	Numeric    bool // -n: no names
}

// A Host is a name or an address, perhaps with a port.
type Host struct {
	Name string // an address may have a zone, fe80::1%eth0
	Port string // a number or a service's name; "" for any
}

// Padding is what ESP fills up with, where the kernel knows: on BSD.
type Padding string

// Paddings. PadDefault is the kernel's choice.
const (
	PadDefault Padding = ""
	PadZero    Padding = "zero-pad"
	PadRandom  Padding = "random-pad"
	PadSeq     Padding = "seq-pad"
)

// An Algorithm is an algorithm by its name, with its key: the key's salt or
// nonce is at its end. The zero value stands for none.
type Algorithm struct {
	Name string
	Key  spd.Key
}

// Context is a security label (Linux).
type Context struct {
	DOI, Alg uint8
	Label    string
}

// Limits are those of an SA's lifetime, hard or soft; 0 is no limit.
type Limits struct{ Seconds, Bytes uint64 }

// An SAStatement is add, update, get, getspi, delete or deleteall.
type SAStatement struct {
	Position
	Verb     Verb
	Lookup   Lookup
	Src, Dst Host
	Proto    Protocol
	Original string // of esp-udp: the host's own address behind its NAT (NAT-OA), or ""
	SPI      uint32

	Mode          pfkey.Mode
	ReqID         uint32
	Replay        uint32 // window, in the kernel's unit: packets on Linux, octets of bitmap on BSD
	Padding       Padding
	NoCyclic      bool // the sequence number must not start again
	Hard, Soft    Limits
	Context       *Context
	Encrypt, Auth Algorithm
	Compress      string
	RawCPI        bool // -R: the SPI of IPComp is any CPI, not the algorithm's number
}

// Pos implements [Statement].
func (s *SAStatement) Pos() Position { return s.Position }

// What implements [Statement].
func (s *SAStatement) What() Verb { return s.Verb }

// Wipe overwrites the keys. The statement is of no use afterwards.
func (s *SAStatement) Wipe() {
	s.Encrypt.Key.Wipe()
	s.Auth.Key.Wipe()
}

// A Range is the source or destination of a policy.
type Range struct {
	Host
	Bits int // prefix length, -1 for all bits
}

// A PolicyStatement is spdadd, spdupdate or spddelete.
type PolicyStatement struct {
	Position
	Verb   Verb
	Lookup Lookup

	// Tag names packets instead of the selector (PF tags). It is then all
	// that there is besides Policy.
	Tag string

	Src, Dst Range
	Proto    uint8   // upper-layer protocol, pfkey.ProtoAny for any
	Detail   *Detail // nil for none
	Context  *Context

	// Policy has its direction only if OnlyDirection is set, which spddelete
	// may have.
	Policy        pfkey.Policy
	OnlyDirection bool
}

// Pos implements [Statement].
func (s *PolicyStatement) Pos() Position { return s.Position }

// What implements [Statement].
func (s *PolicyStatement) What() Verb { return s.Verb }

// Detail is what follows an upper-layer protocol without ports: type and code of
// ICMP, ICMPv6 or the mobility header, or the two halves of GRE's key. It is kept
// where the ports would be.
type Detail struct{ Type, Code uint16 }

// A Command is flush, dump, spdflush, spddump or exit.
type Command struct {
	Position
	Verb  Verb
	Proto Protocol // of flush and dump
}

// Pos implements [Statement].
func (c *Command) Pos() Position { return c.Position }

// What implements [Statement].
func (c *Command) What() Verb { return c.Verb }

// isNumeric reports whether a host is an address, perhaps with a zone.
func isNumeric(name string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(name)
	return a, err == nil && !a.Is4In6()
}
