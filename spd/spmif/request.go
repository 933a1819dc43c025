package spmif

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/racoon3/racoon/spd"
)

// Verb is what a request asks for.
type Verb uint8

// Verbs.
const (
	VerbNone Verb = iota
	VerbLogin
	VerbNSList
	VerbNSAdd
	VerbNSDelete
	VerbNSChange
	VerbFQDNList
	VerbFQDNAdd
	VerbFQDNDelete
	VerbFQDNQuery
	VerbPolicyAdd
	VerbPolicyDelete
	VerbPolicyDump
	VerbSLID
	VerbMigrate
	VerbStat
	VerbQuit
)

// A Request is a command line.
type Request struct {
	Verb Verb

	Response string     // LOGIN
	Name     string     // of a selector, or a domain name with its last dot
	Addr     netip.Addr // NS, FQDN QUERY
	ID       uint32     // SLID: the kernel's number of a policy

	Lifetime time.Duration // POLICY ADD: 0 is for good
	Mode     spd.Mode
	// Whole: POLICY DELETE with the name alone; the rest is not set.
	Whole    bool
	Src, Dst netip.Prefix // POLICY ADD, DELETE: the packets' own
	// SASrc and SADst are the outer addresses: of POLICY ADD and DELETE in tunnel
	// mode; for MIGRATE those before.
	SASrc, SADst   netip.Addr
	NewSrc, NewDst netip.Addr // MIGRATE
}

// MaxLine is the longest line, with its end, in octets.
const MaxLine = 512

// maxWords is more than any command has.
const maxWords = 10

// maxName is the longest domain name, and selector name, in octets.
const maxName = 255

// maxLifetime is the longest lifetime that is taken, in seconds: some 68 years.
const maxLifetime = 1<<31 - 1

var (
	syntaxError    = Reply{CodeSyntax, []string{"Syntax Error"}}
	notImplemented = Reply{CodeNotImplemented, []string{"Command not implemented"}}
	failed         = Reply{CodeFailed, []string{"Operation Failed"}}
)

// ParseRequest reads a line without its end. If it is no command the verb is
// VerbNone, or what of it was understood, and ok is false: the reply says why.
// Command words are in any case. It never fails otherwise, whatever the line
// holds.
func ParseRequest(line string) (r Request, why Reply, ok bool) {
	if len(line) > MaxLine {
		return r, syntaxError, false
	}
	for i := range len(line) {
		if c := line[i]; c < ' ' && c != '\t' || c >= 0x7f {
			return r, syntaxError, false
		}
	}
	words := strings.Fields(line)
	if len(words) == 0 || len(words) > maxWords {
		return r, syntaxError, false
	}
	p := parser{args: words[1:], why: syntaxError}
	switch strings.ToUpper(words[0]) {
	case "LOGIN":
		p.r.Verb, p.ok = VerbLogin, len(p.args) == 1
		if p.ok {
			p.r.Response = p.args[0]
		}
	case "NS":
		p.ns()
	case "FQDN":
		p.fqdn()
	case "POLICY":
		p.policy()
	case "SLID":
		p.slid()
	case "MIGRATE":
		p.migrate()
	case "STAT":
		p.r.Verb, p.ok = VerbStat, len(p.args) == 0
	case "QUIT", "EXIT":
		p.r.Verb, p.ok = VerbQuit, true
	default:
		return r, notImplemented, false
	}
	if p.ok {
		p.why = Reply{}
	}
	return p.r, p.why, p.ok
}

// parser reads the words of a command. Without ok, why tells the error.
type parser struct {
	args []string
	r    Request
	why  Reply
	ok   bool
}

// sub is the second command word, in upper case.
func (p *parser) sub(verbs map[string]Verb, args int) bool {
	if len(p.args) == 0 {
		return false
	}
	p.r.Verb = verbs[strings.ToUpper(p.args[0])]
	p.args = p.args[1:]
	return p.r.Verb != VerbNone && (args < 0 || len(p.args) == args)
}

func (p *parser) ns() {
	if len(p.args) == 1 {
		p.ok = p.sub(map[string]Verb{"LIST": VerbNSList}, 0)
	} else if p.sub(map[string]Verb{"ADD": VerbNSAdd, "DELETE": VerbNSDelete, "CHANGE": VerbNSChange}, 1) {
		p.r.Addr, p.ok = p.addr(p.args[0])
	}
}

func (p *parser) fqdn() {
	switch {
	case len(p.args) == 1:
		p.ok = p.sub(map[string]Verb{"LIST": VerbFQDNList}, 0)
	case !p.sub(map[string]Verb{"ADD": VerbFQDNAdd, "DELETE": VerbFQDNDelete, "DEL": VerbFQDNDelete, "QUERY": VerbFQDNQuery}, 1):
	case p.r.Verb == VerbFQDNQuery:
		p.r.Addr, p.ok = p.addr(p.args[0])
	default:
		p.r.Name = p.args[0]
		if !strings.HasSuffix(p.r.Name, ".") {
			p.r.Name += "."
		}
		p.ok = len(p.r.Name) <= maxName && p.r.Name != "."
	}
}

func (p *parser) slid() {
	p.r.Verb = VerbSLID
	if len(p.args) == 1 {
		id, err := strconv.ParseUint(p.args[0], 10, 32)
		p.r.ID, p.ok = uint32(id), err == nil
	}
}

func (p *parser) migrate() {
	p.r.Verb = VerbMigrate
	if len(p.args) != 5 || len(p.args[0]) > maxName {
		return
	}
	p.r.Name = p.args[0]
	p.ok = true
	for i, to := range []*netip.Addr{&p.r.SASrc, &p.r.SADst, &p.r.NewSrc, &p.r.NewDst} {
		if *to, p.ok = p.addr(p.args[i+1]); !p.ok {
			return
		}
	}
}

func (p *parser) policy() {
	if !p.sub(map[string]Verb{"ADD": VerbPolicyAdd, "DELETE": VerbPolicyDelete, "DUMP": VerbPolicyDump}, -1) {
		return
	}
	if p.r.Verb == VerbPolicyDump {
		p.ok = len(p.args) == 0
		return
	}
	if len(p.args) == 0 || len(p.args[0]) > maxName {
		return
	}
	p.r.Name = p.args[0]
	p.args = p.args[1:]
	if p.r.Verb == VerbPolicyAdd {
		if len(p.args) == 0 {
			return
		}
		s, err := strconv.ParseUint(p.args[0], 10, 64)
		if err != nil || s > maxLifetime {
			return
		}
		p.r.Lifetime = time.Duration(s) * time.Second
		p.args = p.args[1:]
	} else if len(p.args) == 0 {
		p.r.Whole, p.ok = true, true
		return
	}
	if len(p.args) != 3 && len(p.args) != 5 {
		return
	}
	switch strings.ToUpper(p.args[0]) {
	case "TUNNEL":
		p.r.Mode = spd.ModeTunnel
		if len(p.args) != 5 {
			return
		}
	case "TRANSPORT":
		p.r.Mode = spd.ModeTransport
	default:
		return
	}
	if p.r.Src, p.ok = p.prefix(p.args[1]); !p.ok {
		return
	}
	if p.r.Dst, p.ok = p.prefix(p.args[2]); !p.ok {
		return
	}
	if p.r.Src.Addr().Is4() != p.r.Dst.Addr().Is4() {
		p.ok, p.why = false, failed
		return
	}
	if p.r.Mode == spd.ModeTunnel {
		if p.r.SASrc, p.ok = p.addr(p.args[3]); !p.ok {
			return
		}
		p.r.SADst, p.ok = p.addr(p.args[4])
	}
}

// addr reads a numeric address. What is none is a failed operation, not a
// syntax error, as in racoon2.
func (p *parser) addr(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		p.why = failed
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}

// prefix reads an address with an optional prefix length. Without one, or with
// 0, the unspecified address is everything and another one a host: so racoon2's
// clients mean it.
func (p *parser) prefix(s string) (netip.Prefix, bool) {
	host, length, has := strings.Cut(s, "/")
	bits := 0
	if has {
		var err error
		if bits, err = strconv.Atoi(length); err != nil {
			return netip.Prefix{}, false
		}
	}
	a, ok := p.addr(host)
	if !ok {
		return netip.Prefix{}, false
	}
	if bits < 0 || bits > a.BitLen() {
		p.why = failed
		return netip.Prefix{}, false
	}
	if bits == 0 && !a.IsUnspecified() {
		bits = a.BitLen()
	}
	return netip.PrefixFrom(a, bits).Masked(), true
}

// String is the command line, without its end; a response is not shown.
func (r Request) String() string {
	addrs := func(s string, as ...netip.Addr) string {
		for _, a := range as {
			s += " " + a.String()
		}
		return s
	}
	switch r.Verb {
	case VerbLogin:
		return "LOGIN <response>"
	case VerbNSList:
		return "NS LIST"
	case VerbNSAdd:
		return addrs("NS ADD", r.Addr)
	case VerbNSDelete:
		return addrs("NS DELETE", r.Addr)
	case VerbNSChange:
		return addrs("NS CHANGE", r.Addr)
	case VerbFQDNList:
		return "FQDN LIST"
	case VerbFQDNAdd:
		return "FQDN ADD " + r.Name
	case VerbFQDNDelete:
		return "FQDN DELETE " + r.Name
	case VerbFQDNQuery:
		return addrs("FQDN QUERY", r.Addr)
	case VerbPolicyDump:
		return "POLICY DUMP"
	case VerbSLID:
		return "SLID " + strconv.FormatUint(uint64(r.ID), 10)
	case VerbMigrate:
		return addrs("MIGRATE "+r.Name, r.SASrc, r.SADst, r.NewSrc, r.NewDst)
	case VerbStat:
		return "STAT"
	case VerbQuit:
		return "QUIT"
	case VerbPolicyAdd, VerbPolicyDelete:
		s := "POLICY DELETE " + r.Name
		if r.Whole {
			return s
		}
		if r.Verb == VerbPolicyAdd {
			s = "POLICY ADD " + r.Name + " " + strconv.FormatInt(int64(r.Lifetime/time.Second), 10)
		}
		s += " " + r.Mode.String() + " " + r.Src.String() + " " + r.Dst.String()
		if r.Mode == spd.ModeTunnel {
			s = addrs(s, r.SASrc, r.SADst)
		}
		return s
	}
	return ""
}
