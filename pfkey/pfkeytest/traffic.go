package pfkeytest

import (
	"net/netip"
	"slices"
	"time"

	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/spd"
)

// A Verdict is what would happen to a packet.
type Verdict uint8

// Verdicts.
const (
	Clear   Verdict = iota // it passes in clear
	Protect                // it goes through SAs, or came through the SAs it had to
	Drop                   // a policy discards it, or it lacks the SA that a policy wants
	Waits                  // it waits for an SA; an ACQUIRE was sent unless one was before
)

func (v Verdict) String() string { return [...]string{"clear", "protect", "drop", "waits"}[v] }

type acquire struct {
	typ    pfkey.SAType
	policy uint32
	src    netip.Addr
	dst    netip.Addr
	until  time.Time
}

// acquireTime is how long a packet waits for an SA.
const acquireTime = 30 * time.Second

func (p *policy) matches(f *spd.Flow) bool {
	return p.Src.Contains(f.Src) && p.Dst.Contains(f.Dst) && (p.Proto == 0 || p.Proto == f.Protocol) &&
		(p.SrcPort == 0 || p.SrcPort == f.SrcPort) && (p.DstPort == 0 || p.DstPort == f.DstPort)
}

// Packet tells what happens to a packet of n octets. An outbound packet is
// looked up in the SPD and counted on the SAs that carry it; via are those.
func (k *Kernel) Packet(f spd.Flow, n int) (v Verdict, via []pfkey.SAKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.lookup(pfkey.DirOut, &f)
	switch {
	case p == nil || p.Policy.Type == pfkey.PolicyNone:
		return Clear, nil
	case p.Policy.Type != pfkey.PolicyIPsec:
		return Drop, nil
	}
	for _, r := range p.Policy.Requests {
		src, dst := f.Src, f.Dst
		if r.Mode == pfkey.ModeTunnel {
			src, dst = r.Src.Addr, r.Dst.Addr
		}
		s := k.usable(typeOf(r.Proto), src, dst, &r)
		if s == nil {
			if r.Level == pfkey.LevelUse {
				continue
			}
			k.acquire(p, typeOf(r.Proto), src, dst)
			return Waits, nil
		}
		k.use(s, n)
		via = append(via, s.Key())
	}
	if len(via) == 0 {
		return Clear, nil
	}
	return Protect, via
}

// Receive tells what the inbound policies (DirIn, or DirForward for a packet
// that is routed on) say to a packet which came through the SAs via, none for
// one in clear.
func (k *Kernel) Receive(dir pfkey.Dir, f spd.Flow, via ...pfkey.SAKey) Verdict {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.lookup(dir, &f)
	switch {
	case p == nil:
		return Clear
	case p.Policy.Type == pfkey.PolicyNone:
		return Clear
	case p.Policy.Type != pfkey.PolicyIPsec:
		return Drop
	}
	for _, r := range p.Policy.Requests {
		ok := slices.ContainsFunc(via, func(key pfkey.SAKey) bool {
			s := k.sas[saKey{key.Type, key.SPI, key.Dst}]
			return s != nil && s.Type == typeOf(r.Proto) && s.Mode == r.Mode && (r.Level != pfkey.LevelUnique || s.ReqID == r.ReqID) &&
				(r.Mode != pfkey.ModeTunnel || s.Src == r.Src.Addr && s.Dst == r.Dst.Addr)
		})
		if !ok && r.Level != pfkey.LevelUse {
			return Drop
		}
	}
	return Protect
}

// CountInbound counts a packet of n octets on an SA, as one that came in.
func (k *Kernel) CountInbound(key pfkey.SAKey, n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s := k.sas[saKey{key.Type, key.SPI, key.Dst}]; s != nil {
		k.use(s, n)
	}
}

func (k *Kernel) lookup(dir pfkey.Dir, f *spd.Flow) *policy {
	for _, p := range k.sortedPolicies() {
		if p.Policy.Dir == dir && p.matches(f) {
			return p
		}
	}
	return nil
}

// usable returns the newest SA that fits a request.
func (k *Kernel) usable(t pfkey.SAType, src, dst netip.Addr, r *pfkey.Request) (best *sa) {
	for _, s := range k.sas {
		if s.Type != t || s.Src != src || s.Dst != dst || s.Mode != r.Mode || s.State == pfkey.StateLarval ||
			r.Level == pfkey.LevelUnique && s.ReqID != r.ReqID {
			continue
		}
		if best == nil || s.serial > best.serial {
			best = s
		}
	}
	return best
}

func (k *Kernel) acquire(p *policy, t pfkey.SAType, src, dst netip.Addr) {
	for _, a := range k.acquires {
		if a.typ == t && a.src == src && a.dst == dst && a.policy == p.Policy.ID && k.now.Before(a.until) {
			return // once is enough
		}
	}
	k.nextAcq++
	k.acquires[k.nextAcq] = &acquire{t, p.Policy.ID, src, dst, k.now.Add(acquireTime)}
	proto := pfkey.ProtoAny
	if k.linux() {
		proto = 0
	}
	one := func(t pfkey.ExtType, a netip.Addr) *pfkey.Address {
		return &pfkey.Address{Type: t, Proto: proto, PrefixLen: uint8(a.BitLen()), SockAddr: pfkey.SockAddr{Addr: a}}
	}
	m := &pfkey.Message{Header: pfkey.Header{Type: pfkey.MsgAcquire, SAType: t, Seq: k.nextAcq}, Exts: []pfkey.Extension{
		one(pfkey.ExtAddressSrc, src), one(pfkey.ExtAddressDst, dst),
		&pfkey.Policy{Type: pfkey.PolicyIPsec, Dir: p.Policy.Dir, ID: p.Policy.ID, Priority: p.Policy.Priority},
	}}
	if k.is(pfkey.FreeBSD) && len(p.Policy.Requests) > 0 && p.Policy.Requests[0].ReqID != 0 {
		m.Exts = append(m.Exts, &pfkey.SA2{Mode: p.Policy.Requests[0].Mode, ReqID: p.Policy.Requests[0].ReqID})
	}
	prop := &pfkey.Proposal{Replay: 32}
	if !k.linux() {
		for _, e := range k.encrypt {
			prop.Combs = append(prop.Combs, pfkey.Comb{Encrypt: e.ID, EncryptMinBits: e.MinBits, EncryptMaxBits: e.MaxBits, HardAddTime: 86400})
		}
	}
	m.Exts = append(m.Exts, prop)
	k.toRegistered(t, m)
}

// installed ends the wait of packets for an SA.
func (k *Kernel) installed(s *sa) {
	for seq, a := range k.acquires {
		if a.typ == s.Type && a.src == s.Src && a.dst == s.Dst {
			delete(k.acquires, seq)
		}
	}
}

// answerAcquire takes the word that there will be no SA. There is no answer.
func (k *Kernel) answerAcquire(m *pfkey.Message) errno {
	if m.Errno != 0 && k.acquires[m.Seq] != nil {
		delete(k.acquires, m.Seq)
		k.refused = append(k.refused, m.Seq)
	}
	return noAnswer
}

// Acquires returns the sequence numbers of the ACQUIREs that are open, and of
// those that were refused.
func (k *Kernel) Acquires() (open, refused []uint32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for seq := range k.acquires {
		open = append(open, seq)
	}
	slices.Sort(open)
	return open, slices.Clone(k.refused)
}

// use counts a packet on an SA and looks at its limits.
func (k *Kernel) use(s *sa, n int) {
	if s.used.IsZero() {
		s.used = k.now
	}
	s.last = k.now
	s.bytes += uint64(n)
	s.packets++
	k.check(s)
}

func (k *Kernel) over(s *sa, l *pfkey.Lifetime) bool {
	if l == nil {
		return false
	}
	age := uint64(k.now.Sub(s.added) / time.Second)
	return l.Bytes > 0 && s.bytes >= l.Bytes || l.AddTime > 0 && age >= l.AddTime ||
		l.Allocations > 0 && s.packets >= uint64(l.Allocations) && (k.linux() || k.is(pfkey.FreeBSD)) ||
		l.UseTime > 0 && !s.used.IsZero() && uint64(k.now.Sub(s.used)/time.Second) >= l.UseTime
}

func (k *Kernel) check(s *sa) {
	kame := k.is(pfkey.NetBSD) || k.is(pfkey.MacOS)
	switch {
	case k.over(s, s.Hard) && (!kame || s.softTold):
		delete(k.sas, saKey{s.Type, s.SPI, s.Dst})
		if !kame {
			k.expire(s, s.Hard, pfkey.ExtLifetimeHard)
		}
	case k.over(s, s.Soft) && !s.softTold:
		if k.is(pfkey.NetBSD) && s.used.IsZero() {
			delete(k.sas, saKey{s.Type, s.SPI, s.Dst}) // an SA that nobody uses ends early
			return
		}
		s.softTold, s.State = true, pfkey.StateDying
		k.expire(s, s.Soft, pfkey.ExtLifetimeSoft)
	}
}

func (k *Kernel) expire(s *sa, l *pfkey.Lifetime, t pfkey.ExtType) {
	m := &pfkey.Message{Header: pfkey.Header{Type: pfkey.MsgExpire, SAType: s.Type}}
	src, dst := address(pfkey.ExtAddressSrc, s.Src, 0), address(pfkey.ExtAddressDst, s.Dst, 0)
	if k.linux() {
		m.Exts = append(m.Exts, k.saExtension(s), lifetime(t, l), k.current(s), src, dst, &pfkey.SA2{Mode: s.Mode, ReqID: s.ReqID})
	} else {
		m.Seq = s.seq
		if k.is(pfkey.NetBSD) && s.Encap != nil {
			src.Port, dst.Port = s.Encap.SrcPort, s.Encap.DstPort
		}
		m.Exts = append(m.Exts, k.saExtension(s), &pfkey.SA2{Mode: s.Mode, ReqID: s.ReqID}, k.current(s), lifetime(t, l), src, dst)
	}
	k.toRegistered(s.Type, m)
}

// Advance lets time pass: SAs reach their limits, larval ones and waiting
// packets end.
func (k *Kernel) Advance(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.now = k.now.Add(d)
	for _, s := range k.sorted(pfkey.SATypeUnspec) {
		if s.State == pfkey.StateLarval {
			if k.now.Sub(s.added) >= larvalTime {
				delete(k.sas, saKey{s.Type, s.SPI, s.Dst})
			}
			continue
		}
		k.check(s)
	}
	for seq, a := range k.acquires {
		if !k.now.Before(a.until) {
			delete(k.acquires, seq)
		}
	}
}

// NewMapping tells of a packet that came on an SA from another address or
// port: only Linux does.
func (k *Kernel) NewMapping(key pfkey.SAKey, from netip.AddrPort) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.sas[saKey{key.Type, key.SPI, key.Dst}]
	if s == nil || s.Encap == nil || !k.linux() {
		return
	}
	m := &pfkey.Message{Header: pfkey.Header{Type: pfkey.MsgNATTNewMapping, SAType: s.Type}, Exts: []pfkey.Extension{
		&pfkey.SA{SPI: s.SPI}, address(pfkey.ExtAddressSrc, s.Src, 0), &pfkey.NATTPort{Type: pfkey.ExtNATTSPort, Port: s.Encap.SrcPort},
		address(pfkey.ExtAddressDst, from.Addr(), 0), &pfkey.NATTPort{Type: pfkey.ExtNATTDPort, Port: from.Port()},
	}}
	k.toRegistered(s.Type, m)
}
