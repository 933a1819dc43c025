package setkey

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/pfkey/policy"
)

// PrintOptions say how SAs and policies are printed.
type PrintOptions struct {
	Ports     bool           // -p: with the ports of addresses
	Dead      bool           // -a: SAs that are dead too
	Short     bool           // -l: an SA is one line
	NoSockets bool           // -N: without the policies of sockets
	Location  *time.Location // of times; nil for time.Local
}

// timestamp prints a time as setkey does: 20 octets, blank for none.
func (o PrintOptions) timestamp(seconds uint64) string {
	if seconds == 0 || seconds > 1<<40 {
		return "                    "
	}
	l := o.Location
	if l == nil {
		l = time.Local
	}
	return time.Unix(int64(seconds), 0).In(l).Format("Jan _2 15:04:05 2006")
}

// appendHex appends octets in groups of four, 32 in a line.
func appendHex(b []byte, key []byte) []byte {
	for i, c := range key {
		if i != 0 && i%32 == 0 {
			b = append(b, '\n')
		}
		if i%4 == 0 {
			b = append(b, ' ')
		}
		b = fmt.Appendf(b, "%02x", c)
	}
	return b
}

func appendEnd(b []byte, a netip.Addr, withPort bool, port uint16) []byte {
	b = append(b, a.String()...)
	if withPort {
		b = fmt.Appendf(b, "[%d]", port)
	}
	return append(b, ' ')
}

// AppendSA appends an SA as setkey -D prints it, with its keys.
func AppendSA(b []byte, sa *SA, now time.Time, o PrintOptions) []byte {
	if o.Short {
		return appendShort(b, sa, now)
	}
	udp := sa.Proto == ProtoESPUDP
	b = appendEnd(b, sa.Src, o.Ports || udp, sa.SrcPort)
	b = appendEnd(b, sa.Dst, o.Ports || udp, sa.DstPort)
	proto := sa.Proto
	if !udp {
		proto = proto.family()
	}
	b = fmt.Appendf(b, "\n\t%s mode=%s spi=%d(0x%08x) reqid=%d(0x%08x)\n", proto, modeName(sa.Mode), sa.SPI, sa.SPI, sa.ReqID, sa.ReqID)
	if sa.Original.IsValid() {
		b = fmt.Appendf(b, "\tNAT OA=%v\n", sa.Original)
	}
	if sa.Proto == ProtoIPComp {
		// The line goes on with the sequence number: that is setkey's form.
		b = fmt.Appendf(b, "\tC: %s ", sa.Compress)
	}
	for _, a := range [...]struct {
		label string
		alg   Algorithm
	}{{"E", sa.Encrypt}, {"A", sa.Auth}} {
		if a.alg.Name != "" {
			b = fmt.Appendf(b, "\t%s: %s ", a.label, a.alg.Name)
			b = append(appendHex(b, a.alg.Key), '\n')
		}
	}
	b = fmt.Appendf(b, "\tseq=0x%08x replay=%d flags=0x%08x state=%s \n", sa.Sequence, sa.Replay, sa.Flags, sa.State)
	if c := sa.Current; c != nil {
		b = appendLifetimes(b, sa, c, now, o)
	}
	b = appendContext(b, sa.Context)
	return fmt.Appendf(b, "\tsadb_seq=%d pid=%d refcnt=%d\n", sa.Origin.Seq, sa.Origin.PID, sa.Origin.Refs)
}

func modeName(m pfkey.Mode) string {
	if m > pfkey.ModeBEET {
		return fmt.Sprint(uint8(m))
	}
	return m.String()
}

func appendLifetimes(b []byte, sa *SA, c *Lifetime, now time.Time, o PrintOptions) []byte {
	b = fmt.Appendf(b, "\tcreated: %s\tcurrent: %s\n", o.timestamp(c.AddTime), o.timestamp(uint64(now.Unix())))
	b = fmt.Appendf(b, "\tdiff: %d(s)\thard: %d(s)\tsoft: %d(s)\n", age(c, now), sa.Hard.AddTime, sa.Soft.AddTime)
	b = fmt.Appendf(b, "\tlast: %s\thard: %d(s)\tsoft: %d(s)\n", o.timestamp(c.UseTime), sa.Hard.UseTime, sa.Soft.UseTime)
	b = fmt.Appendf(b, "\tcurrent: %d(bytes)\thard: %d(bytes)\tsoft: %d(bytes)\n", c.Bytes, sa.Hard.Bytes, sa.Soft.Bytes)
	return fmt.Appendf(b, "\tallocated: %d\thard: %d\tsoft: %d\n", c.Allocations, sa.Hard.Allocations, sa.Soft.Allocations)
}

// age is how many seconds ago an SA was added.
func age(c *Lifetime, now time.Time) int64 {
	if c.AddTime == 0 {
		return 0
	}
	return now.Unix() - int64(c.AddTime)
}

func appendContext(b []byte, c *Context) []byte {
	if c == nil {
		return b
	}
	b = fmt.Appendf(b, "\tsecurity context doi: %d\n\tsecurity context algorithm: %d\n", c.DOI, c.Alg)
	return fmt.Appendf(b, "\tsecurity context length: %d\n\tsecurity context: %s\n", len(c.Label)+1, c.Label)
}

const shortHeader = "time p   s spi      ltime   src -> dst\n"

// appendShort appends an SA in one line, as -l has it.
func appendShort(b []byte, sa *SA, now time.Time) []byte {
	b = fmt.Appendf(b, "%02d%02d %-3s %c %08x ", now.Minute(), now.Second(), sa.Proto.family(), "LMDd"[min(sa.State, pfkey.StateDead)], sa.SPI)
	switch {
	case sa.Current == nil:
		b = append(b, " ??/???"...)
	default:
		if t := age(sa.Current, now); t >= 1000 {
			b = append(b, "big/"...)
		} else {
			b = fmt.Appendf(b, "%3d/", t)
		}
		if t := sa.Hard.AddTime; t >= 1000 {
			b = append(b, "big"...)
		} else {
			b = fmt.Appendf(b, "%-3d", t)
		}
	}
	side := func(a netip.Addr, port uint16) {
		b = append(b, a.String()...)
		if port != 0 {
			b = fmt.Appendf(b, "[%d]", port)
		}
	}
	b = append(b, ' ')
	side(sa.Src, sa.SrcPort)
	b = append(b, " -> "...)
	side(sa.Dst, sa.DstPort)
	return append(b, '\n')
}

// AppendPolicy appends a policy as setkey -DP prints it.
func AppendPolicy(b []byte, p *Policy, o PrintOptions) []byte {
	switch {
	case p.Socket && p.Src.IsValid():
		b = append(b, "(per-socket policy) "...)
	case p.Tag != "":
		b = fmt.Appendf(b, "tagged \"%s\" ", p.Tag)
	case !p.Src.IsValid() || !p.Dst.IsValid():
		b = append(b, "(no selector, probably per-socket policy) "...)
	default:
		b = appendRange(b, p.Src, p.SrcPort, p.Proto)
		b = appendRange(b, p.Dst, p.DstPort, p.Proto)
		b = append(b, upperName(p.Proto)...)
		if !hasPorts(p.Proto) && (p.SrcPort != 0 || p.DstPort != 0) {
			b = append(b, " "+(&Detail{p.SrcPort, p.DstPort}).text(p.Proto)...)
		}
	}
	b = append(b, "\n\t"...)
	b = appendRules(b, p, o)
	if c := p.Current; c != nil {
		b = fmt.Appendf(b, "\tcreated: %s  lastused: %s\n", o.timestamp(c.AddTime), o.timestamp(c.UseTime))
	}
	if h := p.Hard; h != nil {
		b = fmt.Appendf(b, "\tlifetime: %d(s) validtime: %d(s)\n", h.AddTime, h.UseTime)
	}
	b = appendContext(b, p.Context)
	b = fmt.Appendf(b, "\tspid=%d seq=%d pid=%d\n", p.Policy.ID, p.Origin.Seq, p.Origin.PID)
	return fmt.Appendf(b, "\trefcnt=%d\n", p.Origin.Refs)
}

func hasPorts(proto uint8) bool {
	return proto != protoICMP && proto != protoICMP6 && proto != protoMobility && proto != protoGRE
}

func appendRange(b []byte, p netip.Prefix, port uint16, proto uint8) []byte {
	b = append(b, p.Addr().String()...)
	if p.Bits() != p.Addr().BitLen() {
		b = fmt.Appendf(b, "/%d", p.Bits())
	}
	switch {
	case !hasPorts(proto):
	case port == 0:
		b = append(b, "[any]"...)
	default:
		b = fmt.Appendf(b, "[%d]", port)
	}
	return append(b, ' ')
}

// appendRules appends direction, priority, action and transforms, each on a line.
func appendRules(b []byte, p *Policy, o PrintOptions) []byte {
	b = append(b, dirName(p)...)
	b = appendPriority(b, p.Policy.Priority)
	b = fmt.Appendf(b, " %s\n", p.Policy.Type)
	for i := range p.Policy.Requests {
		r := &p.Policy.Requests[i]
		b = fmt.Appendf(b, "\t%s/%s/", ruleProto(r.Proto), modeName(r.Mode))
		if r.Src.Addr.IsValid() && r.Dst.Addr.IsValid() {
			b = appendTunnel(b, &r.Src, o.Ports)
			b = append(b, '-')
			b = appendTunnel(b, &r.Dst, o.Ports)
		}
		b = fmt.Appendf(b, "/%s", r.Level)
		switch {
		case r.ReqID == 0:
		case r.ReqID > pfkey.MaxReqID: // of the kernel's choice
			b = fmt.Appendf(b, "#%d", r.ReqID)
		default:
			b = fmt.Appendf(b, ":%d", r.ReqID)
		}
		b = append(b, '\n')
	}
	return b
}

func dirName(p *Policy) string {
	// Those of sockets are directions of their own on Linux, 4 and 5.
	switch {
	case p.Socket && p.Policy.Dir == pfkey.DirForward+1:
		return "in(socket)"
	case p.Socket && p.Policy.Dir == pfkey.DirForward+2:
		return "out(socket)"
	}
	return p.Policy.Dir.String()
}

func appendTunnel(b []byte, a *pfkey.SockAddr, withPort bool) []byte {
	b = append(b, a.Addr.String()...)
	if withPort {
		b = fmt.Appendf(b, "[%d]", a.Port)
	}
	return b
}

// appendPriority appends the name that is next to a priority, and the distance.
func appendPriority(b []byte, n uint32) []byte {
	var name string
	var base uint32
	switch {
	case n == 0:
		return b
	case n < policy.PriorityDefault/4*3:
		name, base = "high", policy.PriorityHigh
	case n < policy.PriorityDefault/4*5:
		name, base = "def", policy.PriorityDefault
	default:
		name, base = "low", policy.PriorityLow
	}
	b = append(b, " prio "+name...)
	switch {
	case n < base:
		b = fmt.Appendf(b, " + %d", base-n)
	case n > base:
		b = fmt.Appendf(b, " - %d", n-base)
	}
	return b
}

func ruleProto(n uint16) string {
	switch n {
	case pfkey.IPProtoESP:
		return "esp"
	case pfkey.IPProtoAH:
		return "ah"
	case pfkey.IPProtoIPComp:
		return "ipcomp"
	case pfkey.IPProtoTCP:
		return "tcp"
	}
	return fmt.Sprint(n)
}
