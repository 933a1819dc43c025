package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/racoon3/racoon/pfkey"
)

// Priorities by name. Lower numbers are looked at first; "+ 5" is five numbers
// lower, "- 5" five higher.
const (
	PriorityHigh    uint32 = 0x40000000
	PriorityDefault uint32 = 0x80000000 // of text that names none
	PriorityLow     uint32 = 0xc0000000

	maxOffsetUp   = 0x3fffffff
	maxOffsetDown = 0x40000000
)

// maxRules is how many rules the largest kernel takes.
const maxRules = 16

// MaxReqID is the largest number of "unique:".
const MaxReqID = 32767

// ErrSyntax is what errors of Parse wrap.
var ErrSyntax = errors.New("policy: syntax")

// A SyntaxError tells what is wrong, and where.
type SyntaxError struct {
	Column int // in octets, from 1
	Reason string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%v: column %d: %s", ErrSyntax, e.Column, e.Reason)
}

// Unwrap returns [ErrSyntax].
func (e *SyntaxError) Unwrap() error { return ErrSyntax }

// parser goes over the words of a policy.
type parser struct {
	text string
	at   int
}

func (p *parser) fail(at int, format string, args ...any) error {
	return &SyntaxError{Column: at + 1, Reason: fmt.Sprintf(format, args...)}
}

// word returns the next word and where it begins; it is empty at the end.
func (p *parser) word() (w string, at int) {
	for p.at < len(p.text) && isSpace(p.text[p.at]) {
		p.at++
	}
	at = p.at
	for p.at < len(p.text) && !isSpace(p.text[p.at]) {
		p.at++
	}
	return p.text[at:p.at], at
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// Parse reads a policy.
func Parse(text string) (*pfkey.Policy, error) {
	p := &parser{text: text}
	r := &pfkey.Policy{Priority: PriorityDefault}
	w, at := p.word()
	switch w {
	case "in":
		r.Dir = pfkey.DirIn
	case "out":
		r.Dir = pfkey.DirOut
	case "fwd":
		r.Dir = pfkey.DirForward
	case "":
		return nil, p.fail(at, "no direction: in, out or fwd")
	default:
		return nil, p.fail(at, "%s is no direction: in, out or fwd", quote(w))
	}
	w, at = p.word()
	if w == "priority" || w == "prio" {
		var err error
		if r.Priority, err = p.priority(); err != nil {
			return nil, err
		}
		w, at = p.word()
	}
	switch w {
	case "discard":
		r.Type = pfkey.PolicyDiscard
	case "none":
		r.Type = pfkey.PolicyNone
	case "entrust":
		r.Type = pfkey.PolicyEntrust
	case "bypass":
		r.Type = pfkey.PolicyBypass
	case "ipsec":
		r.Type = pfkey.PolicyIPsec
	case "":
		return nil, p.fail(at, "nothing to do: discard, none, ipsec, entrust or bypass")
	default:
		return nil, p.fail(at, "%s is not discard, none, ipsec, entrust or bypass", quote(w))
	}
	for {
		w, at = p.word()
		switch {
		case w == "" && r.Type == pfkey.PolicyIPsec && len(r.Requests) == 0:
			return nil, p.fail(at, "ipsec without a rule, such as esp/transport//require")
		case w == "":
			return r, nil
		case r.Type != pfkey.PolicyIPsec:
			return nil, p.fail(at, "%s after %v", quote(w), r.Type)
		case len(r.Requests) == maxRules:
			return nil, p.fail(at, "more than %d rules", maxRules)
		}
		rule, err := p.rule(w, at)
		if err != nil {
			return nil, err
		}
		r.Requests = append(r.Requests, rule)
	}
}

// priority reads what follows the word: a name and perhaps an offset, or an
// offset from the default. Between the parts there may be spaces.
func (p *parser) priority() (uint32, error) {
	w, at := p.word()
	base, named := PriorityDefault, true
	switch {
	case strings.HasPrefix(w, "low"):
		base, p.at = PriorityLow, at+len("low")
	case strings.HasPrefix(w, "def"):
		p.at = at + len("def")
	case strings.HasPrefix(w, "high"):
		base, p.at = PriorityHigh, at+len("high")
	default:
		named, p.at = false, at
	}
	back := p.at
	sign, glued := byte('+'), named && back < len(p.text) && !isSpace(p.text[back])
	w, at = p.word()
	signed := w != "" && (w[0] == '+' || w[0] == '-')
	switch {
	case signed:
		sign, p.at = w[0], at+1
		w, at = p.word()
	case glued:
		return 0, p.fail(back, "%s is no offset: + or - and a number", quote(w))
	case named:
		p.at = back
		return base, nil
	}
	n, err := strconv.ParseUint(w, 10, 32)
	limit := uint64(maxOffsetUp)
	switch {
	case sign == '-' && named:
		limit = maxOffsetDown - 1
	case sign == '-':
		limit = maxOffsetDown
	}
	switch {
	case (err != nil || n > limit) && !named && !signed:
		return 0, p.fail(at, "%s is no priority: low, def, high, or a number from -%d to %d", quote(w), maxOffsetDown, maxOffsetUp)
	case err != nil || n > limit:
		return 0, p.fail(at, "%s is no offset: 0 to %d", quote(w), limit)
	case sign == '+':
		return base - uint32(n), nil
	}
	return base + uint32(n), nil
}

var protocols = map[string]uint16{"esp": pfkey.IPProtoESP, "ah": pfkey.IPProtoAH, "ipcomp": pfkey.IPProtoIPComp, "tcp": pfkey.IPProtoTCP}

var modes = map[string]pfkey.Mode{"transport": pfkey.ModeTransport, "tunnel": pfkey.ModeTunnel, "any": pfkey.ModeAny}

var levels = map[string]pfkey.Level{"default": pfkey.LevelDefault, "use": pfkey.LevelUse, "require": pfkey.LevelRequire, "unique": pfkey.LevelUnique}

func (p *parser) rule(w string, at int) (r pfkey.Request, err error) {
	var part [4]string
	var begin [4]int
	n := 0
	for rest, off := w, at; ; n++ {
		if n == len(part) {
			return r, p.fail(off, "too many parts; a rule is protocol/mode/source-destination/level")
		}
		head, tail, more := strings.Cut(rest, "/")
		part[n], begin[n] = head, off
		if !more {
			n++
			break
		}
		off += len(head) + 1
		rest = tail
	}
	proto, ok := protocols[part[0]]
	if !ok {
		return r, p.fail(begin[0], "%s is no protocol: esp, ah, ipcomp or tcp", quote(part[0]))
	}
	r.Proto = proto
	if n < 2 || part[1] == "" {
		return r, p.fail(begin[0]+len(part[0]), "a rule without a mode: transport, tunnel or any")
	}
	if r.Mode, ok = modes[part[1]]; !ok {
		return r, p.fail(begin[1], "%s is no mode: transport, tunnel or any", quote(part[1]))
	}
	if part[2] != "" {
		if r.Src, r.Dst, err = p.ends(part[2], begin[2]); err != nil {
			return r, err
		}
	} else if r.Mode == pfkey.ModeTunnel {
		return r, p.fail(begin[1], "a tunnel without its ends, such as tunnel/192.0.2.1-192.0.2.2")
	}
	if part[3] == "" {
		return r, nil // level default
	}
	name, number, numbered := strings.Cut(part[3], ":")
	if r.Level, ok = levels[name]; !ok || numbered && name != "unique" {
		return r, p.fail(begin[3], "%s is no level: default, use, require, unique or unique:number", quote(part[3]))
	}
	if numbered {
		id, err := strconv.ParseUint(number, 10, 16)
		if err != nil || id < 1 || id > MaxReqID {
			return r, p.fail(begin[3]+len(name)+1, "%s is no number from 1 to %d", quote(number), MaxReqID)
		}
		r.ReqID = uint32(id)
	}
	return r, nil
}

// ends reads source and destination of a tunnel.
func (p *parser) ends(s string, at int) (src, dst pfkey.SockAddr, err error) {
	from, to, ok := strings.Cut(s, "-")
	if !ok {
		return src, dst, p.fail(at, "%s: source and destination are separated by '-'", quote(s))
	}
	if src, err = p.end(from, at); err != nil {
		return src, dst, err
	}
	if dst, err = p.end(to, at+len(from)+1); err != nil {
		return src, dst, err
	}
	if src.Addr.Is4() != dst.Addr.Is4() {
		return src, dst, p.fail(at, "%s: addresses of different families", quote(s))
	}
	return src, dst, nil
}

func (p *parser) end(s string, at int) (a pfkey.SockAddr, err error) {
	text := s
	if i := strings.IndexByte(s, '['); i >= 0 {
		number := s[i+1:]
		text = s[:i]
		if !strings.HasSuffix(number, "]") {
			return a, p.fail(at+i, "'[' without ']'")
		}
		number = number[:len(number)-1]
		if number != "any" {
			port, err := strconv.ParseUint(number, 10, 16)
			if err != nil {
				return a, p.fail(at+i+1, "%s is no port", quote(number))
			}
			a.Port = uint16(port)
		}
	}
	if a.Addr, err = netip.ParseAddr(text); err != nil || a.Addr.Zone() != "" || a.Addr.Is4In6() {
		return a, p.fail(at, "%s is no IPv4 or IPv6 address", quote(text))
	}
	return a, nil
}

// quote shows a word of hostile text.
func quote(s string) string {
	const most = 40
	if len(s) > most {
		s = s[:most] + "..."
	}
	return strconv.Quote(s)
}

// String prints a policy as Parse reads it. A priority of 0, which kernels
// without priorities show, and the default one are left out.
func String(p *pfkey.Policy) string {
	b := &strings.Builder{}
	b.WriteString(p.Dir.String())
	writePriority(b, p.Priority)
	b.WriteByte(' ')
	b.WriteString(p.Type.String())
	if p.Type != pfkey.PolicyIPsec {
		return b.String()
	}
	for i := range p.Requests {
		b.WriteByte(' ')
		writeRule(b, &p.Requests[i])
	}
	return b.String()
}

func writePriority(b *strings.Builder, n uint32) {
	switch n {
	case 0, PriorityDefault:
		return
	}
	name, base := "def", PriorityDefault
	switch {
	case n < PriorityDefault-maxOffsetUp:
		name, base = "high", PriorityHigh
	case n >= PriorityDefault+maxOffsetDown:
		name, base = "low", PriorityLow
	}
	fmt.Fprintf(b, " prio %s", name)
	switch {
	case n < base:
		fmt.Fprintf(b, " + %d", base-n)
	case n > base:
		fmt.Fprintf(b, " - %d", n-base)
	}
}

func writeRule(b *strings.Builder, r *pfkey.Request) {
	proto := strconv.Itoa(int(r.Proto))
	for name, n := range protocols {
		if n == r.Proto {
			proto = name
		}
	}
	fmt.Fprintf(b, "%s/%v/", proto, r.Mode)
	if r.Src.Addr.IsValid() && r.Dst.Addr.IsValid() {
		writeEnd(b, &r.Src)
		b.WriteByte('-')
		writeEnd(b, &r.Dst)
	}
	fmt.Fprintf(b, "/%v", r.Level)
	if r.Level == pfkey.LevelUnique && r.ReqID != 0 {
		fmt.Fprintf(b, ":%d", r.ReqID)
	}
}

func writeEnd(b *strings.Builder, a *pfkey.SockAddr) {
	b.WriteString(a.Addr.String())
	if a.Port != 0 {
		fmt.Fprintf(b, "[%d]", a.Port)
	}
}
