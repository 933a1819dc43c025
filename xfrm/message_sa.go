package xfrm

import "net/netip"

// NewSA installs an SA. It is also how the kernel tells of one: the answer to
// [GetSA] and [AllocSPI], and a notification.
type NewSA struct{ SA }

// UpdSA makes an SA mature whose SPI is reserved, or changes limits and
// encapsulation of one that is: never its keys or addresses.
type UpdSA struct{ SA }

// DelSA removes an SA. In the kernel's notification SA is its last state.
type DelSA struct {
	Key SAKey
	Src netip.Addr // where there is no SPI, as in mobile IPv6
	SA  *SA
}

// GetSA asks for one SA, or with the dump flag, see [DumpSA], for all.
type GetSA struct {
	Key     SAKey
	Src     netip.Addr
	Unknown []Attribute
}

// DumpSA asks for all SAs that match. It is a [GetSA] with the dump flag,
// without the fixed part.
type DumpSA struct {
	Proto  uint8 // 0 for all
	Filter *AddressFilter
}

// An AddressFilter chooses SAs by their addresses (struct xfrm_address_filter,
// 36 octets). An invalid prefix matches any.
type AddressFilter struct{ Src, Dst netip.Prefix }

// AllocSPI reserves an inbound SPI between Min and Max: the kernel makes an SA
// without keys, which it drops after the time of net.core.xfrm_acq_expires. The
// answer is a [NewSA].
type AllocSPI struct {
	SA
	Min, Max uint32
}

// FlushSA removes all SAs of a protocol; 0 and ProtoAny mean all of them.
type FlushSA struct{ Proto uint8 }

// Expire says that an SA has reached a limit. If it is a hard one, the kernel
// has removed it.
type Expire struct {
	SA
	Hard bool
}

// MessageType returns MsgNewSA.
func (*NewSA) MessageType() MessageType { return MsgNewSA }

// MessageType returns MsgUpdSA.
func (*UpdSA) MessageType() MessageType { return MsgUpdSA }

// MessageType returns MsgDelSA.
func (*DelSA) MessageType() MessageType { return MsgDelSA }

// MessageType returns MsgGetSA.
func (*GetSA) MessageType() MessageType { return MsgGetSA }

// MessageType returns MsgGetSA.
func (*DumpSA) MessageType() MessageType { return MsgGetSA }

// MessageType returns MsgAllocSPI.
func (*AllocSPI) MessageType() MessageType { return MsgAllocSPI }

// MessageType returns MsgFlushSA.
func (*FlushSA) MessageType() MessageType { return MsgFlushSA }

// MessageType returns MsgExpire.
func (*Expire) MessageType() MessageType { return MsgExpire }

func (s *SA) appendAll(b []byte) []byte { return s.appendAttributes(s.appendInfo(b)) }

func (s *SA) parseAll(b []byte) error {
	c := cursor{b: b}
	s.readInfo(&c)
	if err := c.finish(); err != nil {
		return err
	}
	return attributes(c.b, s.attribute)
}

// Append implements [Message].
func (m *NewSA) Append(b []byte) []byte { return m.appendAll(b) }
func (m *NewSA) parse(b []byte) error   { return m.parseAll(b) }
func (m *UpdSA) parse(b []byte) error   { return m.parseAll(b) }

// Append implements [Message].
func (m *UpdSA) Append(b []byte) []byte { return m.appendAll(b) }

// Append implements [Message].
func (m *AllocSPI) Append(b []byte) []byte {
	b = m.appendInfo(b)
	b = append32(append32(b, m.Min), m.Max)
	return m.appendAttributes(b)
}

func (m *AllocSPI) parse(b []byte) error {
	c := cursor{b: b}
	m.readInfo(&c)
	m.Min, m.Max = c.u32(), c.u32()
	if err := c.finish(); err != nil {
		return err
	}
	return attributes(c.b, m.attribute)
}

// Append implements [Message].
func (m *Expire) Append(b []byte) []byte {
	b = append(m.appendInfo(b), flag(m.Hard))
	return m.appendAttributes(pad(b, hardPadding))
}

func (m *Expire) parse(b []byte) error {
	c := cursor{b: b}
	m.readInfo(&c)
	m.Hard = c.u8() != 0
	c.skip(hardPadding)
	if err := c.finish(); err != nil {
		return err
	}
	return attributes(c.b, m.attribute)
}

func flag(v bool) uint8 {
	if v {
		return 1
	}
	return 0
}

// Append implements [Message].
func (m *DelSA) Append(b []byte) []byte {
	b = m.Key.append(b)
	b = m.Key.Mark.append(b)
	b = appendSrc(b, m.Src)
	if m.SA != nil {
		var at int
		b, at = beginAttribute(b, AttrSA)
		b = endAttribute(m.SA.appendInfo(b), at)
		rest := *m.SA
		rest.Mark = Mark{} // it is the key's
		b = rest.appendAttributes(b)
	}
	return b
}

func appendSrc(b []byte, src netip.Addr) []byte {
	if !src.IsValid() {
		return b
	}
	b, at := beginAttribute(b, AttrSrcAddr)
	return endAttribute(appendAddr(b, src), at)
}

func (m *DelSA) parse(b []byte) error {
	c := cursor{b: b}
	m.Key = c.saKey()
	if err := c.finish(); err != nil {
		return err
	}
	// The attributes of the SA stand beside the one with its fixed part, which
	// comes first.
	return attributes(c.b, func(t AttributeType, v []byte) (err error) {
		switch {
		case t == AttrSA:
			sa := new(SA)
			if err := value(t, v, sa.readInfo); err != nil {
				return err
			}
			if m.SA == nil {
				m.SA = sa
				m.SA.Mark = m.Key.Mark
			}
		case t == AttrMark:
			if m.Key.Mark, err = parseMark(v); m.SA != nil {
				m.SA.Mark = m.Key.Mark
			}
		case m.SA != nil:
			err = m.SA.attribute(t, v)
		case t == AttrSrcAddr:
			err = value(t, v, func(c *cursor) { m.Src = address(c.addr(), familyOf(m.Key.Dst)) })
		}
		return err
	})
}

// Append implements [Message].
func (m *GetSA) Append(b []byte) []byte {
	b = m.Key.append(b)
	b = m.Key.Mark.append(b)
	return appendUnknown(appendSrc(b, m.Src), m.Unknown)
}

func (m *GetSA) parse(b []byte) error {
	c := cursor{b: b}
	m.Key = c.saKey()
	if err := c.finish(); err != nil {
		return err
	}
	return attributes(c.b, func(t AttributeType, v []byte) (err error) {
		switch t {
		case AttrMark:
			m.Key.Mark, err = parseMark(v)
		case AttrSrcAddr:
			err = value(t, v, func(c *cursor) { m.Src = address(c.addr(), familyOf(m.Key.Dst)) })
		default:
			m.Unknown, err = keepUnknown(m.Unknown, t, v)
		}
		return err
	})
}

// Append implements [Message].
func (m *DumpSA) Append(b []byte) []byte {
	if m.Proto != 0 {
		b = appendAttr8(b, AttrProto, m.Proto)
	}
	if f := m.Filter; f != nil {
		var at int
		b, at = beginAttribute(b, AttrAddressFilter)
		b = appendAddr(appendAddr(b, f.Src.Addr()), f.Dst.Addr())
		b = append16(b, familyOfAny(f.Src.Addr(), f.Dst.Addr()))
		b = endAttribute(append(b, prefixBits(f.Src), prefixBits(f.Dst)), at)
	}
	return b
}

// ParseDumpSA reads the body of a GETSA request that has the dump flag.
func ParseDumpSA(b []byte) (*DumpSA, error) {
	m := new(DumpSA)
	return m, parseInto(m, b)
}

func (m *DumpSA) parse(b []byte) error {
	return attributes(b, func(t AttributeType, v []byte) error {
		switch t {
		case AttrProto:
			return value(t, v, func(c *cursor) { m.Proto = c.u8() })
		case AttrAddressFilter:
			return value(t, v, func(c *cursor) {
				src, dst := c.addr(), c.addr()
				family := c.u16()
				m.Filter = &AddressFilter{Src: prefix(address(src, family), int(c.u8())), Dst: prefix(address(dst, family), int(c.u8()))}
			})
		}
		return nil
	})
}

// Append implements [Message].
func (m *FlushSA) Append(b []byte) []byte { return append(b, m.Proto) }

func (m *FlushSA) parse(b []byte) error {
	c := cursor{b: b}
	m.Proto = c.u8()
	return c.finish()
}
