package xfrmtest

import (
	"slices"
	"time"

	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/xfrm"
)

func (k *Kernel) insert(s *state) {
	k.order++
	s.order = k.order
	if s.SPI != 0 {
		k.sas[s.Key()] = s
		k.bySPI[s.SPI] = append(k.bySPI[s.SPI], s)
	}
	if s.larval {
		k.larval[s] = true
	}
	p := pairKey{s.Proto, s.Src, s.Dst}
	k.byAddr[p] = append(k.byAddr[p], s)
}

func (k *Kernel) remove(s *state) {
	if k.sas[s.Key()] == s {
		delete(k.sas, s.Key())
	}
	delete(k.larval, s)
	if rest := slices.DeleteFunc(k.bySPI[s.SPI], func(o *state) bool { return o == s }); len(rest) > 0 {
		k.bySPI[s.SPI] = rest
	} else {
		delete(k.bySPI, s.SPI)
	}
	p := pairKey{s.Proto, s.Src, s.Dst}
	if list := slices.DeleteFunc(k.byAddr[p], func(o *state) bool { return o == s }); len(list) > 0 {
		k.byAddr[p] = list
	} else {
		delete(k.byAddr, p)
	}
}

// lookup finds an SA as the kernel does: its mark must be that of the key under
// the SA's mask.
func (k *Kernel) lookup(key xfrm.SAKey) *state {
	if s := k.sas[key]; s != nil || key.SPI == 0 {
		return s
	}
	value := key.Mark.Value & key.Mark.Mask
	for _, s := range k.bySPI[key.SPI] {
		if s.Proto == key.Proto && s.Dst == key.Dst && value&s.Mark.Mask == s.Mark.Value {
			return s
		}
	}
	return nil
}

// told is an SA as the kernel tells it.
func (k *Kernel) told(s *state) xfrm.SA {
	sa := s.SA
	if k.HideKeys {
		for _, a := range []*xfrm.Algorithm{&sa.AEAD, &sa.Crypt, &sa.Auth} {
			a.Key = make(spd.Key, len(a.Key))
		}
	}
	sa.SetUsage, sa.Thresholds = false, nil
	return sa
}

func (k *Kernel) lacks(a xfrm.Algorithm) bool {
	return a.Name != "" && k.Lacks != nil && k.Lacks(a.Name)
}

// verify checks an SA as the kernel does before it is installed.
func (k *Kernel) verify(sa *xfrm.SA) xfrm.Errno {
	auth := sa.Auth.Name != ""
	switch {
	case !sa.Dst.IsValid() || sa.SPI == 0:
		return xfrm.EINVAL
	case sa.Proto == xfrm.ProtoESP && sa.AEAD.Name != "" == (sa.Crypt.Name != "" || auth):
		return xfrm.EINVAL
	case sa.Proto == xfrm.ProtoAH && (!auth || sa.Crypt.Name != "" || sa.AEAD.Name != ""):
		return xfrm.EINVAL
	case sa.Proto == xfrm.ProtoIPComp && (sa.Comp.Name == "" || sa.SPI > 0xffff):
		return xfrm.EINVAL
	case sa.Flags&xfrm.FlagESN != 0 && (sa.ReplayESN == nil || sa.ReplayESN.Window == 0):
		return xfrm.EINVAL
	case sa.ReplayESN != nil && (sa.ReplayESN.Window > uint32(len(sa.ReplayESN.Bitmap)*32) || sa.ReplayESN.Window > xfrm.MaxReplayWindow):
		return xfrm.EINVAL
	case sa.Mode > xfrm.ModeIPTFS || sa.ReplayWindow > 32:
		return xfrm.EINVAL
	case k.lacks(sa.AEAD) || k.lacks(sa.Crypt) || k.lacks(sa.Auth) || k.lacks(sa.Comp):
		return xfrm.ENOSYS
	}
	for _, a := range []*xfrm.Algorithm{&sa.AEAD, &sa.Crypt, &sa.Auth} {
		if len(a.Key) == 0 && a.Name != "" && a.Name != "ecb(cipher_null)" {
			return xfrm.EINVAL
		}
	}
	return 0
}

func (k *Kernel) newSA(h xfrm.Header, sa *xfrm.SA, update bool) xfrm.Errno {
	if errno := k.verify(sa); errno != 0 {
		return errno
	}
	for _, t := range k.Ignores {
		switch t {
		case xfrm.AttrInterfaceID:
			sa.InterfaceID = 0
		case xfrm.AttrCPU:
			sa.CPU = 0
		case xfrm.AttrSetMark:
			sa.SetMark = xfrm.Mark{}
		case xfrm.AttrSecCtx:
			sa.SecCtx = xfrm.SecCtx{}
		}
	}
	old := k.lookup(sa.Key())
	switch {
	case old != nil && !update:
		return xfrm.EEXIST
	case old == nil && update:
		return xfrm.ESRCH
	case old != nil && !old.larval:
		if (old.Encap.Type != 0) != (sa.Encap.Type != 0) {
			return xfrm.EINVAL
		}
		old.Encap, old.Limits, old.dying = sa.Encap, sa.Limits, false
		return 0
	case old != nil:
		k.remove(old)
	}
	s := &state{SA: *sa}
	if !sa.SetUsage {
		s.Usage = xfrm.Usage{Added: uint64(k.now().Unix())}
	}
	s.Stats = xfrm.Stats{}
	// The acquire that it answers is done.
	for _, o := range k.byAddr[pairKey{s.Proto, s.Src, s.Dst}] {
		if o.larval && o.SPI == 0 && o.ReqID == s.ReqID && o.Mode == s.Mode {
			k.remove(o)
			break
		}
	}
	k.insert(s)
	k.multicast(xfrm.GroupSA, h, &xfrm.NewSA{SA: s.SA})
	return 0
}

func (k *Kernel) allocSPI(m *xfrm.AllocSPI) ([]xfrm.Message, xfrm.Errno) {
	if m.Min > m.Max || m.Proto == xfrm.ProtoIPComp && m.Max > 0xffff || !m.Dst.IsValid() {
		return nil, xfrm.EINVAL
	}
	var s *state
	if m.Seq != 0 {
		for _, o := range k.byAddr[pairKey{m.Proto, m.Src, m.Dst}] {
			if o.larval && o.Seq == m.Seq {
				s = o
			}
		}
	}
	if s == nil {
		s = &state{SA: xfrm.SA{Src: m.Src, Dst: m.Dst, Proto: m.Proto, Mode: m.Mode, ReqID: m.ReqID, Mark: m.Mark, InterfaceID: m.InterfaceID}}
		k.makeLarval(s)
	} else {
		k.remove(s)
	}
	for range 100 {
		s.SPI = randomSPI(m.Min, m.Max)
		if k.lookup(s.Key()) == nil {
			k.insert(s)
			return []xfrm.Message{&xfrm.NewSA{SA: s.SA}}, 0
		}
	}
	return nil, xfrm.ENOENT
}

func (k *Kernel) makeLarval(s *state) {
	ttl := k.AcquireExpires
	if ttl == 0 {
		ttl = 30 * time.Second
	}
	s.larval, s.ends = true, k.now().Add(ttl)
	s.Limits.HardAdd = uint64(ttl / time.Second)
	s.Usage.Added = uint64(k.now().Unix())
}

// expireLarval ends reservations and acquires whose time is over.
func (k *Kernel) expireLarval() {
	now := k.now()
	for s := range k.larval {
		if !now.Before(s.ends) {
			k.remove(s)
			k.multicast(xfrm.GroupExpire, xfrm.Header{}, expired(s, true))
		}
	}
}

// expired is the message about an SA, in which Linux tells little.
func expired(s *state, hard bool) *xfrm.Expire {
	sa := s.SA
	sa.AEAD, sa.Crypt, sa.Auth, sa.Comp = xfrm.Algorithm{}, xfrm.Algorithm{}, xfrm.Algorithm{}, xfrm.Algorithm{}
	sa.Replay, sa.ReplayESN, sa.Thresholds, sa.LastUsed, sa.SetUsage = nil, nil, nil, 0, false
	return &xfrm.Expire{SA: sa, Hard: hard}
}

// Expire ends larval SAs whose time is over, as the kernel's timers do.
func (k *Kernel) Expire() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expireLarval()
}

func (k *Kernel) flushSAs(proto uint8) xfrm.Errno {
	found := false
	for _, list := range k.byAddr {
		for _, s := range slices.Clone(list) {
			if proto == 0 || proto == xfrm.ProtoAny || proto == s.Proto {
				found = true
				k.remove(s)
			}
		}
	}
	if !found {
		return xfrm.ESRCH
	}
	return 0
}

func (k *Kernel) setAE(ae *xfrm.AE) xfrm.Errno {
	s := k.lookup(ae.Key)
	if s == nil {
		return xfrm.ESRCH
	}
	if ae.Replay == nil && ae.ReplayESN == nil && ae.Usage == nil && ae.Thresholds == nil {
		return xfrm.EINVAL
	}
	if ae.Replay != nil {
		s.Replay = ae.Replay
	}
	if ae.ReplayESN != nil {
		s.ReplayESN = ae.ReplayESN
	}
	if ae.Usage != nil {
		s.Usage = *ae.Usage
	}
	if ae.Thresholds != nil {
		s.Thresholds = ae.Thresholds
	}
	return 0
}

func (k *Kernel) getAE(ae *xfrm.AE) ([]xfrm.Message, xfrm.Errno) {
	s := k.lookup(ae.Key)
	if s == nil {
		return nil, xfrm.ESRCH
	}
	usage := s.Usage
	return []xfrm.Message{&xfrm.NewAE{AE: xfrm.AE{Key: s.Key(), Src: s.Src, ReqID: s.ReqID, Flags: ae.Flags | xfrm.AEReplay | xfrm.AEUsage,
		Replay: s.Replay, ReplayESN: s.ReplayESN, Usage: &usage, Thresholds: s.Thresholds}}}, 0
}

func (k *Kernel) migrate(m *xfrm.Migrate) xfrm.Errno {
	p := k.policies[policyKey(m.Key)]
	if p == nil || len(m.Entries) == 0 {
		return xfrm.ENOENT
	}
	moved := false
	p.Templates = slices.Clone(p.Templates)
	for _, e := range m.Entries {
		for i := range p.Templates {
			t := &p.Templates[i]
			if t.Src == e.OldSrc && t.Dst == e.OldDst && t.Proto == e.Proto && t.Mode == e.Mode && t.ReqID == e.ReqID {
				t.Src, t.Dst, moved = e.NewSrc, e.NewDst, true
			}
		}
		for _, s := range slices.Clone(k.byAddr[pairKey{e.Proto, e.OldSrc, e.OldDst}]) {
			if !s.larval && s.Mode == e.Mode && s.ReqID == e.ReqID {
				k.remove(s)
				s.Src, s.Dst = e.NewSrc, e.NewDst
				if m.Encap.Type != 0 {
					s.Encap = m.Encap
				}
				k.insert(s)
			}
		}
	}
	if !moved {
		return xfrm.ENODATA
	}
	return 0
}
