package setkey

import (
	"errors"
	"strconv"
	"strings"

	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/pfkey/policy"
)

// policyStatement reads what follows spdadd, spdupdate and spddelete.
func (p *parser) policyStatement(verb Verb) (Statement, error) {
	s := &PolicyStatement{Position: p.begin, Verb: verb}
	if p.is("tagged") && verb != VerbSPDDelete {
		p.step()
		if p.tok.kind != tokenString || p.tok.text == "" {
			return nil, p.expected("the tag in quotes")
		}
		s.Tag = p.tok.text
		p.step()
		return s, p.policy(s)
	}
	s.Lookup = p.lookup()
	if err := p.ranges(s); err != nil {
		return nil, err
	}
	if err := p.upper(s); err != nil {
		return nil, err
	}
	if p.is("-ctx") {
		var err error
		p.step()
		if s.Context, err = p.context(); err != nil {
			return nil, err
		}
	}
	return s, p.policy(s)
}

func (p *parser) ranges(s *PolicyStatement) (err error) {
	for _, e := range [...]struct {
		r    *Range
		what string
	}{{&s.Src, "the source"}, {&s.Dst, "the destination"}} {
		at := p.tok
		if e.r.Name, err = p.host(e.what, s.Lookup); err != nil {
			return err
		}
		a, numeric := isNumeric(e.r.Name)
		if numeric && a.Zone() != "" {
			return p.fail(at, "a policy's address has no zone")
		}
		e.r.Bits = -1
		if p.mark("/") {
			most := 128
			if numeric {
				most = a.BitLen()
			}
			n, err := p.number("the prefix length", uint64(most))
			if err != nil {
				return err
			}
			e.r.Bits = int(n)
		}
		if e.r.Port, err = p.port(); err != nil {
			return err
		}
	}
	return nil
}

// uppers are the upper-layer protocols by name: the first name of a number is
// the one that is printed.
var uppers = []struct {
	name string
	n    uint8
}{
	{"any", pfkey.ProtoAny}, {"icmp", 1}, {"igmp", 2}, {"ip4", 4}, {"ipencap", 4}, {"ipv4", 4}, {"tcp", 6}, {"egp", 8}, {"igp", 9}, {"udp", 17},
	{"dccp", 33}, {"ipv6", 41}, {"ip6", 41}, {"rsvp", 46}, {"gre", 47}, {"esp", 50}, {"ah", 51}, {"icmp6", 58}, {"ipv6-icmp", 58}, {"icmpv6", 58},
	{"eigrp", 88}, {"ospf", 89}, {"ospfigp", 89}, {"ipip", 94}, {"etherip", 97}, {"encap", 98}, {"pim", 103}, {"ipcomp", 108}, {"vrrp", 112}, {"carp", 112},
	{"l2tp", 115}, {"isis", 124}, {"sctp", 132}, {"mh", protoMobility}, {"mobility-header", protoMobility}, {"ipv6-mh", protoMobility}, {"udplite", 136},
}

// Upper-layer protocols without ports.
const (
	protoICMP     = 1
	protoGRE      = 47
	protoICMP6    = 58
	protoMobility = 135
)

// upper reads the upper-layer protocol and its details.
func (p *parser) upper(s *PolicyStatement) error {
	const what = "the upper-layer protocol, a name, a number or any"
	t, err := p.word(what)
	if err != nil {
		return err
	}
	n, err := strconv.ParseUint(t.text, 10, 64)
	found := false
	switch {
	case err == nil && n > 255:
		return p.fail(t, "a protocol's number is 255 at most")
	case err == nil:
		s.Proto = uint8(n)
	default:
		for _, u := range uppers {
			if u.name == t.text {
				s.Proto, found = u.n, true
			}
		}
		if !found {
			return p.fail(t, "expected %s", what)
		}
	}
	if s.Proto == 0 {
		s.Proto = pfkey.ProtoAny // as kernels take it
	}
	if p.tok.kind != tokenWord || strings.HasPrefix(p.tok.text, "-") {
		return nil
	}
	d := p.tok
	if s.Detail, err = p.detail(s.Proto, d); err != nil {
		return err
	}
	if s.Src.Port != "" || s.Dst.Port != "" {
		return p.fail(d, "%s has these or ports, not both", t.text)
	}
	p.step()
	return nil
}

// detail reads type,code or a key of GRE.
func (p *parser) detail(proto uint8, t token) (*Detail, error) {
	switch proto {
	case protoICMP, protoICMP6, protoMobility:
		first, second, both := strings.Cut(t.text, ",")
		typ, err := strconv.ParseUint(first, 10, 8)
		var code uint64
		if err == nil && both {
			code, err = strconv.ParseUint(second, 10, 8)
		}
		if err != nil {
			return nil, p.fail(t, "expected type,code, numbers of 255 at most, or -P")
		}
		return &Detail{uint16(typ), uint16(code)}, nil
	case protoGRE:
		parts := strings.Split(t.text, ".")
		if len(parts) == 1 {
			if n, err := strconv.ParseUint(t.text, 10, 32); err == nil {
				return &Detail{uint16(n >> 16), uint16(n)}, nil
			}
		}
		var n uint32
		for _, part := range parts {
			x, err := strconv.ParseUint(part, 10, 8)
			if err != nil || len(parts) != 4 {
				return nil, p.fail(t, "expected the key of gre, a number or four as in 1.2.3.4, or -P")
			}
			n = n<<8 | uint32(x)
		}
		return &Detail{uint16(n >> 16), uint16(n)}, nil
	}
	return nil, p.fail(t, "expected -ctx or -P: only icmp, icmp6, mh and gre have details")
}

// policy reads -P and what follows.
func (p *parser) policy(s *PolicyStatement) error {
	if !p.is("-P") {
		if s.Tag == "" && s.Context == nil {
			return p.expected("-ctx or -P")
		}
		return p.expected("-P")
	}
	base, text := p.off, p.rest()
	if s.Verb == VerbSPDDelete {
		for _, d := range [...]pfkey.Dir{pfkey.DirIn, pfkey.DirOut, pfkey.DirForward} {
			if strings.TrimSpace(text) == d.String() {
				s.Policy.Dir, s.OnlyDirection = d, true
				return nil
			}
		}
	}
	x, err := policy.Parse(text)
	var bad *policy.SyntaxError
	if errors.As(err, &bad) {
		return &SyntaxError{Position: p.locate(base + bad.Column - 1), Reason: bad.Reason}
	} else if err != nil {
		return err
	}
	s.Policy = *x
	return nil
}
