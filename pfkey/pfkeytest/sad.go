package pfkeytest

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/spd"
)

// larvalTime is how long a reserved SPI waits.
const larvalTime = 30 * time.Second

func (k *Kernel) checkType(t pfkey.SAType) bool {
	switch t {
	case pfkey.SATypeAH, pfkey.SATypeESP:
		return true
	case pfkey.SATypeIPComp:
		return !k.is(pfkey.MacOS)
	}
	return false
}

// addresses returns source and destination of an SA message; ok is false if
// one is missing or they do not fit together.
func addresses(m *pfkey.Message) (src, dst netip.Addr, ok bool) {
	s, d := m.Address(pfkey.ExtAddressSrc), m.Address(pfkey.ExtAddressDst)
	if s == nil || d == nil || !s.Addr.IsValid() || !d.Addr.IsValid() || s.Addr.Is4() != d.Addr.Is4() {
		return src, dst, false
	}
	return s.Addr, d.Addr, true
}

func (k *Kernel) getSPI(c *conn, m *pfkey.Message) errno {
	src, dst, ok := addresses(m)
	if !ok || !k.checkType(m.SAType) {
		return pfkey.EINVAL
	}
	first, last := uint32(0x100), uint32(0x0fffffff)
	if m.SAType == pfkey.SATypeIPComp {
		last = 0xefff
	}
	if r, ok := m.Find(pfkey.ExtSPIRange).(*pfkey.SPIRange); ok {
		if r.Min > r.Max {
			return pfkey.EINVAL
		}
		first, last = max(r.Min, 1), r.Max
		if k.linux() && m.SAType == pfkey.SATypeIPComp && last > 0xffff {
			return pfkey.EINVAL
		}
	}
	spi, found := uint32(0), false
	for n := uint64(0); n <= uint64(last-first) && n < 1<<20; n++ {
		k.nextSPI++
		spi = first + uint32(uint64(k.nextSPI)%(uint64(last-first)+1))
		if k.sas[saKey{m.SAType, spd.SPI(spi), dst}] == nil {
			found = true
			break
		}
	}
	if !found {
		switch {
		case k.linux():
			return pfkey.ENOENT
		case k.is(pfkey.FreeBSD):
			return pfkey.EEXIST
		}
		return pfkey.EINVAL
	}
	s := &sa{pid: m.PID, seq: m.Seq, added: k.now}
	s.Type, s.SPI, s.Src, s.Dst, s.State = m.SAType, spd.SPI(spi), src, dst, pfkey.StateLarval
	if x := m.SA2(); x != nil {
		s.Mode, s.ReqID = x.Mode, x.ReqID
	}
	k.put(s)
	if a := k.acquires[m.Seq]; a != nil {
		a.until = k.now.Add(larvalTime)
	}
	if k.linux() {
		c.put(k.encode(k.linuxSA(m.Header, s)))
		return 0
	}
	reply := &pfkey.SA{SPI: s.SPI}
	if !k.is(pfkey.MacOS) {
		// Not cleared by these kernels.
		reply.Replay, reply.Auth, reply.Flags = 2, 128, 0x80
	}
	c.put(k.encode(&pfkey.Message{Header: m.Header, Exts: []pfkey.Extension{reply, m.Address(pfkey.ExtAddressSrc), m.Address(pfkey.ExtAddressDst)}}))
	return 0
}

func (k *Kernel) put(s *sa) {
	k.serial++
	s.serial = k.serial
	k.sas[saKey{s.Type, s.SPI, s.Dst}] = s
}

// entry checks and decodes the SA of an ADD or UPDATE.
func (k *Kernel) entry(m *pfkey.Message) (*sa, errno) {
	if _, _, ok := addresses(m); !ok || !k.checkType(m.SAType) || m.SA() == nil {
		return nil, pfkey.EINVAL
	}
	e, err := k.d.SAEntry(m)
	if err != nil || e.SPI == 0 || e.SPI < 256 && e.Type != pfkey.SATypeIPComp {
		return nil, pfkey.EINVAL
	}
	if (e.Hard == nil) != (e.Soft == nil) {
		return nil, pfkey.EINVAL
	}
	if code := k.checkKeys(m, e); code != 0 {
		return nil, code
	}
	s := &sa{SAEntry: *e, pid: m.PID, seq: m.Seq, added: k.now}
	s.AuthKey, s.EncryptKey = e.AuthKey.Clone(), e.EncryptKey.Clone()
	s.State = pfkey.StateMature
	if k.linux() {
		s.ReplayWindow = min(s.ReplayWindow, 32)
		if s.Mode == pfkey.ModeAny {
			s.Mode = pfkey.ModeTransport
		}
	}
	return s, 0
}

// checkKeys checks algorithms and keys as the kernel would.
func (k *Kernel) checkKeys(m *pfkey.Message, e *pfkey.SAEntry) errno {
	unknown := pfkey.EINVAL
	if k.linux() {
		unknown = pfkey.ENOSYS // and it is what AEADs get
	}
	fits := func(list []pfkey.Alg, id uint8, key spd.Key) bool {
		i := slices.IndexFunc(list, func(a pfkey.Alg) bool { return a.ID == id })
		if i < 0 {
			return false
		}
		bits := len(key) * 8
		return list[i].MaxBits == 0 || bits >= int(list[i].MinBits) && bits <= int(list[i].MaxBits)
	}
	if e.Type == pfkey.SATypeIPComp {
		if e.Encrypt != 2 {
			return unknown
		}
		return 0
	}
	if e.Auth != 0 && !fits(k.auth, e.Auth, e.AuthKey) || e.Auth == 0 && e.Type == pfkey.SATypeAH {
		return unknown
	}
	if e.Type != pfkey.SATypeESP {
		return 0
	}
	if !fits(k.encrypt, e.Encrypt, e.EncryptKey) {
		return unknown
	}
	x := m.Key(pfkey.ExtKeyEncrypt)
	if x == nil || k.is(pfkey.NetBSD) && len(x.Key) == 0 {
		return pfkey.EINVAL
	}
	return 0
}

func (k *Kernel) add(m *pfkey.Message) errno {
	s, e := k.entry(m)
	if e != 0 {
		return e
	}
	if old := k.sas[saKey{s.Type, s.SPI, s.Dst}]; old != nil && (old.State != pfkey.StateLarval || !k.linux()) {
		return pfkey.EEXIST
	}
	k.put(s)
	k.installed(s)
	k.answerSA(m, s)
	return 0
}

func (k *Kernel) missing() errno {
	if k.linux() || k.is(pfkey.FreeBSD) {
		return pfkey.ESRCH
	}
	return pfkey.ENOENT
}

func (k *Kernel) update(m *pfkey.Message) errno {
	key := saKey{typ: m.SAType}
	if x := m.SA(); x != nil {
		key.spi = x.SPI
	}
	_, key.dst, _ = addresses(m)
	old := k.sas[key]
	if old != nil && old.State != pfkey.StateLarval && k.is(pfkey.FreeBSD) {
		return k.updateFreeBSD(m, old)
	}
	s, e := k.entry(m)
	switch {
	case e != 0:
		return e
	case old == nil:
		return k.missing()
	case !k.linux() && old.pid != m.PID:
		return pfkey.EINVAL
	case k.is(pfkey.NetBSD) && (s.ReqID != old.ReqID || old.State == pfkey.StateLarval && s.Encap != nil && !k.firstHead):
		return pfkey.ENOENT // the ports are part of what it looks for
	case k.linux() && old.State != pfkey.StateLarval:
		// The keys stay as they are.
		if (s.Encap == nil) != (old.Encap == nil) {
			return pfkey.EINVAL
		}
		old.Hard, old.Soft, old.Encap = s.Hard, s.Soft, s.Encap
		k.answerSA(m, old)
		return 0
	}
	k.put(s)
	k.installed(s)
	k.answerSA(m, s)
	return 0
}

// updateFreeBSD changes a mature SA.
func (k *Kernel) updateFreeBSD(m *pfkey.Message, s *sa) errno {
	if m.Key(pfkey.ExtKeyAuth) != nil || m.Key(pfkey.ExtKeyEncrypt) != nil {
		return pfkey.EINVAL
	}
	e, err := k.d.SAEntry(m)
	if err != nil || s.pid != m.PID || s.Encap != nil && e.Encap == nil {
		return pfkey.EINVAL
	}
	s.Hard, s.Soft, s.State = e.Hard, e.Soft, pfkey.StateMature
	delete(k.sas, saKey{s.Type, s.SPI, s.Dst})
	if a := m.Address(pfkey.ExtNewAddressSrc); a != nil {
		s.Src = a.Addr
	}
	if a := m.Address(pfkey.ExtNewAddressDst); a != nil {
		s.Dst = a.Addr
	}
	if e.Encap != nil {
		s.Encap = e.Encap
	}
	k.sas[saKey{s.Type, s.SPI, s.Dst}] = s
	k.answerSA(m, s)
	return 0
}

// answerSA answers ADD and UPDATE, to all.
func (k *Kernel) answerSA(m *pfkey.Message, s *sa) {
	if k.linux() {
		k.toAll(k.linuxSA(m.Header, s))
		return
	}
	r := &pfkey.Message{Header: m.Header}
	for _, t := range []pfkey.ExtType{pfkey.ExtSA, pfkey.ExtSA2, pfkey.ExtAddressSrc, pfkey.ExtAddressDst, pfkey.ExtLifetimeHard, pfkey.ExtLifetimeSoft,
		pfkey.ExtIdentitySrc, pfkey.ExtIdentityDst, pfkey.ExtNATTType, pfkey.ExtNATTSPort, pfkey.ExtNATTDPort, pfkey.ExtNATTFrag} {
		if e := m.Find(t); e != nil {
			r.Exts = append(r.Exts, e)
		}
	}
	k.toAll(r)
}

func address(t pfkey.ExtType, a netip.Addr, port uint16) *pfkey.Address {
	return &pfkey.Address{Type: t, Proto: 0, PrefixLen: uint8(a.BitLen()), SockAddr: pfkey.SockAddr{Addr: a, Port: port}}
}

// current is LIFETIME_CURRENT of an SA.
func (k *Kernel) current(s *sa) *pfkey.Lifetime {
	l := &pfkey.Lifetime{Type: pfkey.ExtLifetimeCurrent, Bytes: s.bytes, AddTime: uint64(s.added.Unix())}
	if k.linux() || k.is(pfkey.FreeBSD) {
		l.Allocations = uint32(s.packets)
	}
	if !s.used.IsZero() {
		l.UseTime = uint64(s.used.Unix())
		if k.is(pfkey.MacOS) {
			l.UseTime = uint64(s.last.Unix())
		}
	}
	return l
}

func lifetime(t pfkey.ExtType, l *pfkey.Lifetime) *pfkey.Lifetime {
	e := pfkey.Lifetime{}
	if l != nil {
		e = *l
	}
	e.Type = t
	return &e
}

func (k *Kernel) saExtension(s *sa) *pfkey.SA {
	x := &pfkey.SA{SPI: s.SPI, State: s.State, Auth: s.Auth, Encrypt: s.Encrypt, Flags: s.Flags}
	if k.linux() {
		x.Replay = uint8(min(255, s.ReplayWindow))
	} else {
		x.Replay = uint8(min(255, (s.ReplayWindow+7)/8))
	}
	return x
}

// linuxSA is the form of all of Linux's messages about an SA.
func (k *Kernel) linuxSA(h pfkey.Header, s *sa) *pfkey.Message {
	m := &pfkey.Message{Header: h}
	m.SAType = s.Type
	m.Exts = append(m.Exts, k.saExtension(s), lifetime(pfkey.ExtLifetimeHard, s.Hard), lifetime(pfkey.ExtLifetimeSoft, s.Soft), k.current(s),
		address(pfkey.ExtAddressSrc, s.Src, 0), address(pfkey.ExtAddressDst, s.Dst, 0))
	return k.tail(m, s)
}

// tail adds what comes last: keys, X_SA2 where it stands there, NAT-T.
func (k *Kernel) tail(m *pfkey.Message, s *sa) *pfkey.Message {
	if len(s.AuthKey) > 0 {
		m.Exts = append(m.Exts, &pfkey.Key{Type: pfkey.ExtKeyAuth, Key: s.AuthKey})
	}
	if len(s.EncryptKey) > 0 {
		m.Exts = append(m.Exts, &pfkey.Key{Type: pfkey.ExtKeyEncrypt, Key: s.EncryptKey})
	}
	if k.linux() {
		m.Exts = append(m.Exts, &pfkey.SA2{Mode: s.Mode, ReqID: s.ReqID})
	}
	switch {
	case k.is(pfkey.MacOS):
	case s.Encap != nil:
		m.Exts = append(m.Exts, &pfkey.NATTType{Encap: s.Encap.Type}, &pfkey.NATTPort{Type: pfkey.ExtNATTSPort, Port: s.Encap.SrcPort},
			&pfkey.NATTPort{Type: pfkey.ExtNATTDPort, Port: s.Encap.DstPort})
	case k.is(pfkey.NetBSD):
		m.Exts = append(m.Exts, &pfkey.NATTType{})
	}
	return m
}

// dumpedSA is an SA in answers to GET and DUMP.
func (k *Kernel) dumpedSA(h pfkey.Header, s *sa) *pfkey.Message {
	if k.linux() {
		return k.linuxSA(h, s)
	}
	m := &pfkey.Message{Header: h}
	m.SAType = s.Type
	x := k.saExtension(s)
	var sport, dport uint16
	if s.Encap != nil {
		switch {
		case k.is(pfkey.NetBSD):
			sport, dport = s.Encap.SrcPort, s.Encap.DstPort
		case k.is(pfkey.MacOS):
			x.Long, x.LocalPort, x.PeerPort = true, s.Encap.SrcPort, s.Encap.DstPort
		}
	}
	m.Exts = append(m.Exts, x, &pfkey.SA2{Mode: s.Mode, ReqID: s.ReqID})
	if s.Hard != nil {
		m.Exts = append(m.Exts, lifetime(pfkey.ExtLifetimeHard, s.Hard), lifetime(pfkey.ExtLifetimeSoft, s.Soft))
	}
	if s.State != pfkey.StateLarval {
		m.Exts = append(m.Exts, k.current(s))
	}
	src, dst := address(pfkey.ExtAddressSrc, s.Src, sport), address(pfkey.ExtAddressDst, s.Dst, dport)
	src.Proto, dst.Proto = pfkey.ProtoAny, pfkey.ProtoAny
	m.Exts = append(m.Exts, src, dst)
	return k.tail(m, s)
}

func (k *Kernel) find(m *pfkey.Message) *sa {
	x := m.SA()
	_, dst, ok := addresses(m)
	if x == nil || !ok {
		return nil
	}
	s := k.sas[saKey{m.SAType, x.SPI, dst}]
	if k.firstHead && s != nil {
		for _, first := range k.sorted(s.Type) {
			if first.Src == s.Src && first.Dst == s.Dst {
				if first.ReqID != s.ReqID {
					return nil
				}
				break
			}
		}
	}
	return s
}

func (k *Kernel) delete(m *pfkey.Message) errno {
	src, dst, ok := addresses(m)
	if !ok || !k.checkType(m.SAType) {
		return pfkey.EINVAL
	}
	if m.SA() == nil {
		if k.linux() {
			return pfkey.EINVAL
		}
		for key, s := range k.sas {
			if s.Type == m.SAType && s.Src == src && s.Dst == dst && s.State != pfkey.StateLarval {
				delete(k.sas, key)
			}
		}
		k.toAll(m)
		return 0
	}
	s := k.find(m)
	if s == nil {
		return k.missing()
	}
	delete(k.sas, saKey{s.Type, s.SPI, s.Dst})
	k.toAll(&pfkey.Message{Header: m.Header, Exts: []pfkey.Extension{m.SA(), m.Address(pfkey.ExtAddressSrc), m.Address(pfkey.ExtAddressDst)}})
	return 0
}

func (k *Kernel) get(c *conn, m *pfkey.Message) errno {
	if _, _, ok := addresses(m); !ok || m.SA() == nil || !k.checkType(m.SAType) {
		return pfkey.EINVAL
	}
	s := k.find(m)
	if s == nil {
		return k.missing()
	}
	c.put(k.encode(k.dumpedSA(m.Header, s)))
	return 0
}

// sorted are the SAs of a type, all for unspec, in their order.
func (k *Kernel) sorted(t pfkey.SAType) []*sa {
	list := slices.Collect(maps.Values(k.sas))
	if t != pfkey.SATypeUnspec {
		list = slices.DeleteFunc(list, func(s *sa) bool { return s.Type != t })
	}
	slices.SortFunc(list, func(a, b *sa) int { return cmp.Compare(a.serial, b.serial) })
	return list
}

func (k *Kernel) dump(c *conn, m *pfkey.Message) errno {
	if m.SAType != pfkey.SATypeUnspec && !k.checkType(m.SAType) {
		if k.is(pfkey.NetBSD) {
			return pfkey.EOPNOTSUPP
		}
		return pfkey.EINVAL
	}
	list := k.sorted(m.SAType)
	if f, ok := m.Find(pfkey.ExtFilter).(*pfkey.Filter); ok && k.linux() {
		list = slices.DeleteFunc(list, func(s *sa) bool { return !f.Src.Contains(s.Src) || !f.Dst.Contains(s.Dst) })
	}
	if len(list) == 0 {
		return pfkey.ENOENT
	}
	for i, s := range list {
		h := m.Header
		h.Seq = k.dumpSeq(i, len(list))
		k.putDumped(c, k.dumpedSA(h, s), i)
	}
	return 0
}

// dumpSeq numbers the messages of a dump.
func (k *Kernel) dumpSeq(i, n int) uint32 {
	if !k.linux() {
		return uint32(n - 1 - i)
	}
	if i == n-1 {
		return 0
	}
	return uint32(i + 1)
}

func (k *Kernel) flush(c *conn, m *pfkey.Message) errno {
	if m.SAType != pfkey.SATypeUnspec && !k.checkType(m.SAType) {
		return pfkey.EINVAL
	}
	n := 0
	for key := range k.sas {
		if m.SAType == pfkey.SATypeUnspec || key.typ == m.SAType {
			delete(k.sas, key)
			n++
		}
	}
	if k.linux() {
		c.put(k.encode(&pfkey.Message{Header: m.Header}))
		if n == 0 {
			return 0
		}
	}
	k.toAll(&pfkey.Message{Header: m.Header})
	return 0
}
