package xfrmtest

import (
	"net/netip"

	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/xfrm"
)

// A Verdict is what becomes of a packet.
type Verdict uint8

// Verdicts.
const (
	Clear     Verdict = iota // sent, or taken, as it is
	Protected                // through SAs
	Dropped                  // by a policy, or since what it came through does not fit
	Held                     // dropped, and an SA has been asked for
)

func (v Verdict) String() string { return [...]string{"clear", "protected", "dropped", "held"}[v] }

// Output looks an outbound packet up and counts it. The SAs are those that it
// goes through, the innermost first.
func (k *Kernel) Output(f spd.Flow, size int) (Verdict, []xfrm.SAKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expireLarval()
	return k.output(f, size, true)
}

// LookOut is Output without any effect, for [Kernel].After: a packet that would
// be held is Held, but nothing is asked for.
func (k *Kernel) LookOut(f spd.Flow) Verdict {
	v, _ := k.output(f, 0, false)
	return v
}

func (k *Kernel) output(f spd.Flow, size int, real bool) (Verdict, []xfrm.SAKey) {
	p := k.match(xfrm.DirOut, &f)
	switch {
	case p == nil && k.defaults.Out == xfrm.DefaultBlock:
		return Dropped, nil
	case p == nil:
		return Clear, nil
	case p.Action == xfrm.ActionBlock:
		return Dropped, nil
	case len(p.Templates) == 0:
		return Clear, nil
	}
	var through []*state
	src, dst := f.Src, f.Dst
	for i := range p.Templates {
		t := &p.Templates[i]
		if t.Mode == xfrm.ModeTunnel {
			src, dst = t.Src, t.Dst
		}
		s := k.best(t, src, dst, &f, len(through) == 0, p.InterfaceID)
		if s == nil {
			if t.Optional {
				continue
			}
			if real {
				k.acquire(p, t, src, dst, &f)
			}
			return Held, nil
		}
		through = append(through, s)
	}
	var keys []xfrm.SAKey
	for _, s := range through {
		if real && !k.count(s, size) {
			return Dropped, nil
		}
		if real {
			if s.ReplayESN != nil {
				s.ReplayESN.OutSeq++
			} else {
				if s.Replay == nil {
					s.Replay = new(xfrm.Replay)
				}
				s.Replay.OutSeq++
			}
		}
		keys = append(keys, s.Key())
	}
	return Protected, keys
}

// Input looks an inbound packet up: one that came through these SAs, the
// innermost first, or in clear. Forwarded packets meet the policies for those.
func (k *Kernel) Input(f spd.Flow, forward bool, size int, through ...xfrm.SAKey) Verdict {
	k.mu.Lock()
	defer k.mu.Unlock()
	var sas []*state
	tunnel := false
	for _, key := range through {
		s := k.lookup(key)
		if s == nil || s.larval || s.Selector.Src.IsValid() && !matches(&s.Selector, &f) {
			return Dropped
		}
		tunnel = tunnel || s.Mode == xfrm.ModeTunnel
		sas = append(sas, s)
	}
	for _, s := range sas {
		if !k.count(s, size) {
			return Dropped
		}
		if s.ReplayESN != nil {
			s.ReplayESN.Seq++
		}
		if s.Thresholds != nil && s.Thresholds.Packets > 0 && !s.noticed {
			s.noticed = true
			k.multicast(xfrm.GroupAE, xfrm.Header{}, &xfrm.NewAE{AE: xfrm.AE{Key: s.Key(), Src: s.Src, ReqID: s.ReqID, Flags: xfrm.AEByPackets}})
		}
	}
	dir := xfrm.DirIn
	if forward {
		dir = xfrm.DirForward
	}
	p := k.match(dir, &f)
	switch {
	case p == nil && tunnel:
		return Dropped
	case p == nil || p.Action == xfrm.ActionAllow && len(p.Templates) == 0:
		if len(sas) > 0 {
			return Protected
		}
		return Clear
	case p.Action == xfrm.ActionBlock:
		return Dropped
	}
	next := 0
	for i := range p.Templates {
		t := &p.Templates[i]
		switch {
		case next < len(sas) && accepts(t, sas[next]):
			next++
		case t.Optional:
		default:
			return Dropped
		}
	}
	if len(sas) == 0 {
		return Clear
	}
	return Protected
}

func accepts(t *xfrm.Template, s *state) bool {
	return t.Proto == s.Proto && t.Mode == s.Mode && (t.ReqID == 0 || t.ReqID == s.ReqID) && (t.SPI == 0 || t.SPI == s.SPI) &&
		(t.Mode == xfrm.ModeTransport || !t.Src.IsValid() || t.Src.IsUnspecified() || t.Src == s.Src)
}

func (k *Kernel) match(dir xfrm.Direction, f *spd.Flow) *policy {
	var best *policy
	for _, p := range k.policies {
		if p.Dir == dir && f.Mark&p.Mark.Mask == p.Mark.Value && p.InterfaceID == f.InterfaceID && matches(&p.Selector, f) &&
			(best == nil || p.Priority < best.Priority || p.Priority == best.Priority && p.order < best.order) {
			best = p
		}
	}
	return best
}

func matches(s *xfrm.Selector, f *spd.Flow) bool {
	src, dst := f.SrcPort, f.DstPort
	if f.Protocol == 1 || f.Protocol == 58 {
		src, dst = f.SrcPort>>8, f.SrcPort&255
	}
	return s.Src.Contains(f.Src) && s.Dst.Contains(f.Dst) && (s.Proto == 0 || s.Proto == f.Protocol) &&
		(src^s.SrcPort)&s.SrcPortMask == 0 && (dst^s.DstPort)&s.DstPortMask == 0
}

// best is the SA that a template gets: the newest that fits.
func (k *Kernel) best(t *xfrm.Template, src, dst netip.Addr, f *spd.Flow, inner bool, ifID uint32) *state {
	var best *state
	for _, s := range k.byAddr[pairKey{t.Proto, src, dst}] {
		if s.larval || s.Mode != t.Mode || s.ReqID != t.ReqID && t.ReqID != 0 || s.InterfaceID != ifID {
			continue
		}
		if inner && s.Selector.Src.IsValid() && !matches(&s.Selector, f) {
			continue
		}
		if best == nil || best.dying && !s.dying || best.dying == s.dying && s.Usage.Added >= best.Usage.Added && s.order > best.order {
			best = s
		}
	}
	return best
}

// acquire asks for an SA, unless that has been done.
func (k *Kernel) acquire(p *policy, t *xfrm.Template, src, dst netip.Addr, f *spd.Flow) {
	for _, s := range k.byAddr[pairKey{t.Proto, src, dst}] {
		if s.larval && s.SPI == 0 && s.ReqID == t.ReqID {
			return
		}
	}
	k.seq++
	packet := xfrm.Selector{Src: netip.PrefixFrom(f.Src, f.Src.BitLen()), Dst: netip.PrefixFrom(f.Dst, f.Dst.BitLen()), Proto: f.Protocol}
	switch f.Protocol {
	case 6, 17:
		packet.SrcPort, packet.SrcPortMask, packet.DstPort, packet.DstPortMask = f.SrcPort, 0xffff, f.DstPort, 0xffff
	case 1, 58:
		packet.SrcPort, packet.SrcPortMask, packet.DstPort, packet.DstPortMask = f.SrcPort>>8, 0xffff, f.SrcPort&255, 0xffff
	}
	s := &state{SA: xfrm.SA{Src: src, Dst: dst, Proto: t.Proto, Mode: t.Mode, ReqID: t.ReqID, Seq: k.seq, Selector: packet, InterfaceID: p.InterfaceID}}
	k.makeLarval(s)
	k.insert(s)
	k.multicast(xfrm.GroupAcquire, xfrm.Header{}, &xfrm.Acquire{Src: src, Dst: dst, Proto: t.Proto, Packet: packet, Policy: p.Policy,
		Auth: ^uint32(0), Crypt: ^uint32(0), Comp: ^uint32(0), Seq: k.seq})
}

// count counts a packet on an SA and raises its limits; false: it has none left.
func (k *Kernel) count(s *state, size int) bool {
	u, l := &s.Usage, &s.Limits
	if l.HardBytes > 0 && u.Bytes >= l.HardBytes || l.HardPackets > 0 && u.Packets >= l.HardPackets {
		k.remove(s)
		k.multicast(xfrm.GroupExpire, xfrm.Header{}, expired(s, true))
		return false
	}
	if !s.dying && (l.SoftBytes > 0 && u.Bytes >= l.SoftBytes || l.SoftPackets > 0 && u.Packets >= l.SoftPackets) {
		s.dying = true
		k.multicast(xfrm.GroupExpire, xfrm.Header{}, expired(s, false))
	}
	if u.Used == 0 {
		u.Used = uint64(k.now().Unix())
	}
	u.Bytes += uint64(size)
	u.Packets++
	s.LastUsed = uint64(k.now().Unix())
	return true
}

// Map tells that ESP in UDP came from another address and port than an SA's.
func (k *Kernel) Map(key xfrm.SAKey, from netip.AddrPort) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.lookup(key)
	if s == nil || s.Encap.Type == 0 {
		return false
	}
	k.multicast(xfrm.GroupMapping, xfrm.Header{}, &xfrm.Mapping{Key: s.Key(), ReqID: s.ReqID, OldSrc: s.Src, NewSrc: from.Addr(),
		OldPort: s.Encap.SrcPort, NewPort: from.Port()})
	return true
}
