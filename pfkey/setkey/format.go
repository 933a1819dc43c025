package setkey

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/pfkey/policy"
)

// Format prints a statement so that [Parse] reads it again, with its keys.
func Format(s Statement) string {
	b := &strings.Builder{}
	b.WriteString(string(s.What()))
	switch s := s.(type) {
	case *SAStatement:
		s.format(b)
	case *PolicyStatement:
		s.format(b)
	case *Command:
		if s.Proto != ProtoAny {
			b.WriteString(" " + string(s.Proto))
		}
	}
	b.WriteString(" ;")
	return b.String()
}

func (l Lookup) format(b *strings.Builder) {
	for _, f := range [...]struct {
		on   bool
		text string
	}{{l.IPv4, " -4"}, {l.IPv6, " -6"}, {l.Numeric, " -n"}} {
		if f.on {
			b.WriteString(f.text)
		}
	}
}

func formatPort(b *strings.Builder, port string) {
	if port != "" {
		b.WriteString("[" + port + "]")
	}
}

func (c *Context) format(b *strings.Builder) {
	if c != nil {
		fmt.Fprintf(b, ` -ctx %d %d "%s"`, c.DOI, c.Alg, c.Label)
	}
}

func (s *SAStatement) format(b *strings.Builder) {
	s.Lookup.format(b)
	for _, h := range [...]Host{s.Src, s.Dst} {
		b.WriteString(" " + h.Name)
		formatPort(b, h.Port)
	}
	if s.Proto != ProtoAny {
		b.WriteString(" " + string(s.Proto))
	}
	if s.Original != "" {
		b.WriteString(" " + s.Original)
	}
	if s.Verb == VerbDeleteAll {
		return
	}
	fmt.Fprintf(b, " 0x%x", s.SPI)
	if s.Mode != pfkey.ModeAny {
		b.WriteString(" -m " + s.Mode.String())
	}
	number := func(option string, n uint64) {
		if n != 0 {
			b.WriteString(" " + option + " " + strconv.FormatUint(n, 10))
		}
	}
	number("-u", uint64(s.ReqID))
	number("-r", uint64(s.Replay))
	if s.Padding != PadDefault {
		b.WriteString(" -f " + string(s.Padding))
	}
	if s.NoCyclic {
		b.WriteString(" -f nocyclic-seq")
	}
	number("-lh", s.Hard.Seconds)
	number("-ls", s.Soft.Seconds)
	number("-bh", s.Hard.Bytes)
	number("-bs", s.Soft.Bytes)
	s.Context.format(b)
	s.Encrypt.format(b, "-E")
	s.Auth.format(b, "-A")
	if s.Compress != "" {
		b.WriteString(" -C " + s.Compress)
	}
	if s.RawCPI {
		b.WriteString(" -R")
	}
}

func (a Algorithm) format(b *strings.Builder, option string) {
	if a.Name == "" {
		return
	}
	b.WriteString(" " + option + " " + a.Name)
	if len(a.Key) > 0 {
		b.WriteString(" 0x" + hex.EncodeToString(a.Key))
	}
}

func (s *PolicyStatement) format(b *strings.Builder) {
	if s.Tag != "" {
		fmt.Fprintf(b, ` tagged "%s" -P %s`, s.Tag, policy.String(&s.Policy))
		return
	}
	s.Lookup.format(b)
	for _, r := range [...]Range{s.Src, s.Dst} {
		b.WriteString(" " + r.Name)
		if r.Bits >= 0 {
			fmt.Fprintf(b, "/%d", r.Bits)
		}
		formatPort(b, r.Port)
	}
	b.WriteString(" " + upperName(s.Proto))
	if d := s.Detail; d != nil {
		b.WriteString(" " + d.text(s.Proto))
	}
	s.Context.format(b)
	b.WriteString(" -P ")
	if s.OnlyDirection {
		b.WriteString(s.Policy.Dir.String())
	} else {
		b.WriteString(policy.String(&s.Policy))
	}
}

func upperName(n uint8) string {
	for _, u := range uppers {
		if u.n == n {
			return u.name
		}
	}
	return strconv.Itoa(int(n))
}

func (d *Detail) text(proto uint8) string {
	if proto == protoGRE {
		return strconv.FormatUint(uint64(d.Type)<<16|uint64(d.Code), 10)
	}
	return fmt.Sprintf("%d,%d", d.Type, d.Code)
}
