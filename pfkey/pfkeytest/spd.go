package pfkeytest

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/racoon3/racoon/pfkey"
)

// policyKey is what makes a policy one: two with the same selector and
// direction cannot be there at once.
type policyKey struct {
	dir          pfkey.Dir
	src, dst     netip.Prefix
	sport, dport uint16
	proto        uint8
}

type policy struct {
	pfkey.PolicyEntry
	serial uint64
	added  time.Time
}

func keyOf(p *pfkey.PolicyEntry) policyKey {
	return policyKey{p.Policy.Dir, p.Src.Masked(), p.Dst.Masked(), p.SrcPort, p.DstPort, p.Proto}
}

func (k *Kernel) checkPolicy(p *pfkey.PolicyEntry, m *pfkey.Message) errno {
	src, dst := m.Address(pfkey.ExtAddressSrc), m.Address(pfkey.ExtAddressDst)
	switch {
	case src == nil || dst == nil || !p.Src.IsValid() || !p.Dst.IsValid() || p.Src.Addr().Is4() != p.Dst.Addr().Is4() || src.Proto != dst.Proto:
		return pfkey.EINVAL
	case !k.linux() && m.SAType != pfkey.SATypeUnspec:
		return pfkey.EINVAL
	case p.Policy.Dir == pfkey.DirForward && k.is(pfkey.NetBSD):
		return noAnswer
	case p.Policy.Dir != pfkey.DirIn && p.Policy.Dir != pfkey.DirOut && (p.Policy.Dir != pfkey.DirForward || !k.linux()):
		return pfkey.EINVAL
	case p.Policy.Type > pfkey.PolicyIPsec && (p.Policy.Type != pfkey.PolicyGenerate || !k.is(pfkey.MacOS)):
		return pfkey.EINVAL
	}
	return 0
}

func (k *Kernel) spdAdd(m *pfkey.Message) errno {
	e, err := k.d.PolicyEntry(m)
	if err != nil {
		return pfkey.EINVAL
	}
	if code := k.checkPolicy(e, m); code != 0 {
		return code
	}
	limit := 4
	if k.linux() {
		limit = 6
	}
	if e.Policy.Type == pfkey.PolicyIPsec && (len(e.Policy.Requests) == 0 && !k.linux() || len(e.Policy.Requests) > limit) {
		return pfkey.EINVAL
	}
	p := &policy{PolicyEntry: *e, added: k.now}
	p.Policy.Requests = slices.Clone(e.Policy.Requests)
	for i := range p.Policy.Requests {
		r := &p.Policy.Requests[i]
		switch {
		case r.Mode == pfkey.ModeAny || r.Level > pfkey.LevelUnique,
			r.Mode == pfkey.ModeTunnel && (!r.Src.Addr.IsValid() || !r.Dst.Addr.IsValid()),
			r.Mode == pfkey.ModeTunnel && r.Level == pfkey.LevelUse && k.linux() && e.Policy.Dir == pfkey.DirOut:
			return pfkey.EINVAL
		}
		if k.is(pfkey.MacOS) && i > 0 {
			*r = p.Policy.Requests[0] // it reads the first one each time
		}
		if r.Level == pfkey.LevelUnique && (r.ReqID == 0 || r.ReqID > pfkey.MaxReqID) {
			r.ReqID = k.nextReq
			k.nextReq++
		}
	}
	key := keyOf(&p.PolicyEntry)
	if old := k.policies[key]; old != nil {
		if m.Type == pfkey.MsgSPDAdd || m.Type == pfkey.MsgSPDSetIdx && k.linux() {
			return pfkey.EEXIST
		}
		delete(k.byID, old.Policy.ID)
	}
	p.Policy.ID = k.nextID
	if k.linux() {
		p.Policy.ID = k.nextID*8 + uint32(p.Policy.Dir-pfkey.DirIn) // xfrm's index; sockets' have 3 and 4
	}
	k.nextID++
	k.serial++
	p.serial = k.serial
	k.policies[key], k.byID[p.Policy.ID] = p, p
	reply := *m.Policy()
	reply.ID = p.Policy.ID
	if k.linux() {
		k.toAll(k.policyMessage(m.Header, p))
		return 0
	}
	r := &pfkey.Message{Header: m.Header, Exts: []pfkey.Extension{&reply}}
	for _, t := range []pfkey.ExtType{pfkey.ExtLifetimeHard, pfkey.ExtAddressSrc, pfkey.ExtAddressDst} {
		if x := m.Find(t); x != nil {
			r.Exts = append(r.Exts, x)
		}
	}
	k.toAll(r)
	return 0
}

// policyMessage is a policy in answers to SPDGET and SPDDUMP, on Linux in all
// messages.
func (k *Kernel) policyMessage(h pfkey.Header, p *policy) *pfkey.Message {
	proto := p.Proto
	if proto == 0 {
		proto = pfkey.ProtoAny
	}
	x := p.Policy
	m := &pfkey.Message{Header: h, Exts: []pfkey.Extension{
		&pfkey.Address{Type: pfkey.ExtAddressSrc, Proto: proto, PrefixLen: uint8(p.Src.Bits()), SockAddr: pfkey.SockAddr{Addr: p.Src.Addr(), Port: p.SrcPort}},
		&pfkey.Address{Type: pfkey.ExtAddressDst, Proto: proto, PrefixLen: uint8(p.Dst.Bits()), SockAddr: pfkey.SockAddr{Addr: p.Dst.Addr(), Port: p.DstPort}},
	}}
	if k.linux() {
		m.Exts = append(m.Exts, lifetime(pfkey.ExtLifetimeHard, p.Hard), lifetime(pfkey.ExtLifetimeSoft, p.Soft),
			&pfkey.Lifetime{Type: pfkey.ExtLifetimeCurrent, AddTime: uint64(p.added.Unix())})
	}
	m.Exts = append(m.Exts, &x)
	return m
}

func (k *Kernel) missingPolicy() errno {
	if k.linux() || k.is(pfkey.FreeBSD) {
		return pfkey.ENOENT
	}
	return pfkey.EINVAL
}

func (k *Kernel) remove(p *policy) {
	delete(k.policies, keyOf(&p.PolicyEntry))
	delete(k.byID, p.Policy.ID)
}

func (k *Kernel) spdDelete(m *pfkey.Message) errno {
	e, err := k.d.PolicyEntry(m)
	if err != nil || !e.Src.IsValid() || !e.Dst.IsValid() {
		return pfkey.EINVAL
	}
	p := k.policies[keyOf(e)]
	if p == nil {
		return k.missingPolicy()
	}
	k.remove(p)
	if k.linux() {
		k.toAll(k.policyMessage(m.Header, p))
		return 0
	}
	x := *m.Policy()
	x.ID = p.Policy.ID
	k.toAll(&pfkey.Message{Header: m.Header, Exts: []pfkey.Extension{&x, m.Address(pfkey.ExtAddressSrc), m.Address(pfkey.ExtAddressDst)}})
	return 0
}

func (k *Kernel) spdDeleteID(m *pfkey.Message) errno {
	x := m.Policy()
	if x == nil {
		return pfkey.EINVAL
	}
	p := k.byID[x.ID]
	if p == nil || k.linux() && p.Policy.Dir != x.Dir {
		return k.missingPolicy()
	}
	k.remove(p)
	if k.linux() {
		k.toAll(k.policyMessage(m.Header, p))
		return 0
	}
	k.toAll(&pfkey.Message{Header: m.Header, Exts: []pfkey.Extension{x}})
	return 0
}

func (k *Kernel) spdGet(c *conn, m *pfkey.Message) errno {
	x := m.Policy()
	if x == nil {
		return pfkey.EINVAL
	}
	p := k.byID[x.ID]
	if p == nil || k.linux() && p.Policy.Dir != x.Dir {
		return pfkey.ENOENT
	}
	c.put(k.encode(k.policyMessage(m.Header, p)))
	return 0
}

// sortedPolicies are all policies, by direction and in the order in which
// packets meet them.
func (k *Kernel) sortedPolicies() []*policy {
	list := slices.Collect(maps.Values(k.policies))
	slices.SortFunc(list, func(a, b *policy) int {
		byPriority := 0
		if k.d.HasPriority() {
			byPriority = cmp.Compare(a.Policy.Priority, b.Policy.Priority)
		}
		return cmp.Or(cmp.Compare(a.Policy.Dir, b.Policy.Dir), byPriority, cmp.Compare(a.serial, b.serial))
	})
	return list
}

func (k *Kernel) spdDump(c *conn, m *pfkey.Message) errno {
	list := k.sortedPolicies()
	if len(list) == 0 {
		return pfkey.ENOENT
	}
	for i, p := range list {
		h := m.Header
		h.Seq = k.dumpSeq(i, len(list))
		k.putDumped(c, k.policyMessage(h, p), i)
	}
	return 0
}

// migrate is Linux's X_MIGRATE.
func (k *Kernel) migrate(m *pfkey.Message) errno {
	e, err := k.d.PolicyEntry(m)
	if err != nil || !e.Src.IsValid() || len(e.Policy.Requests)%2 != 0 || len(e.Policy.Requests) == 0 {
		return pfkey.EINVAL
	}
	p := k.policies[keyOf(e)]
	if p == nil {
		return pfkey.ENOENT
	}
	moved := 0
	for i := 0; i+1 < len(e.Policy.Requests); i += 2 {
		from, to := e.Policy.Requests[i], e.Policy.Requests[i+1]
		for j := range p.Policy.Requests {
			r := &p.Policy.Requests[j]
			if r.Proto != from.Proto || r.Mode != from.Mode {
				continue
			}
			if r.Mode == pfkey.ModeTunnel {
				if r.Src.Addr != from.Src.Addr || r.Dst.Addr != from.Dst.Addr {
					continue
				}
				r.Src, r.Dst = to.Src, to.Dst
			}
			moved++
		}
		for key, s := range k.sas {
			if s.Src == from.Src.Addr && s.Dst == from.Dst.Addr && s.Mode == from.Mode && (from.ReqID == 0 || s.ReqID == from.ReqID) && protoOf(s.Type) == from.Proto {
				delete(k.sas, key)
				s.Src, s.Dst = to.Src.Addr, to.Dst.Addr
				k.sas[saKey{s.Type, s.SPI, s.Dst}] = s
			}
		}
	}
	if moved == 0 {
		return pfkey.ENODEV
	}
	m.Header.Seq, m.Header.PID, m.Header.SAType = 0, 0, typeOf(e.Policy.Requests[0].Proto)
	k.toAll(m) // there is no answer but this
	return 0
}

// migrateSA is macOS's MIGRATE.
func (k *Kernel) migrateSA(m *pfkey.Message) errno {
	s := k.find(m)
	src, dst := m.Address(pfkey.ExtMigrateSrc), m.Address(pfkey.ExtMigrateDst)
	if src == nil || dst == nil {
		return pfkey.EINVAL
	}
	if s == nil {
		return pfkey.ESRCH
	}
	x := m.SA()
	if !x.Long {
		return pfkey.EINVAL
	}
	delete(k.sas, saKey{s.Type, s.SPI, s.Dst})
	s.Src, s.Dst = src.Addr, dst.Addr
	if x.Flags&pfkey.FlagMacOSNATT != 0 {
		s.Encap = &pfkey.Encap{Type: pfkey.NATTESPinUDP, SrcPort: x.LocalPort, DstPort: x.PeerPort}
	}
	k.sas[saKey{s.Type, s.SPI, s.Dst}] = s
	k.toAll(m)
	return 0
}

func protoOf(t pfkey.SAType) uint16 {
	switch t {
	case pfkey.SATypeAH:
		return pfkey.IPProtoAH
	case pfkey.SATypeIPComp:
		return pfkey.IPProtoIPComp
	}
	return pfkey.IPProtoESP
}

func typeOf(proto uint16) pfkey.SAType {
	switch proto {
	case pfkey.IPProtoAH:
		return pfkey.SATypeAH
	case pfkey.IPProtoIPComp:
		return pfkey.SATypeIPComp
	}
	return pfkey.SATypeESP
}
