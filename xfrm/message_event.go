package xfrm

import "net/netip"

// Acquire says that a packet waits for an SA (struct xfrm_user_acquire, 280
// octets): the kernel has made an SA without an SPI with the sequence number
// Seq, and does not ask again while it lives.
type Acquire struct {
	Src, Dst netip.Addr // the SA's that is wanted
	Proto    uint8
	SPI      uint32
	Packet   Selector // the packet's own flow
	Policy   Policy
	Auth     uint32 // masks of algorithms by their PF_KEY numbers
	Crypt    uint32
	Comp     uint32
	Seq      uint32
	CPU      uint32 // that has met the packet, plus one; since Linux 6.13
}

// MessageType returns MsgAcquire.
func (*Acquire) MessageType() MessageType { return MsgAcquire }

// Append implements [Message].
func (m *Acquire) Append(b []byte) []byte {
	b = appendSPI(appendAddr(b, m.Dst), m.SPI)
	b = append(b, m.Proto, 0, 0, 0)
	b = appendAddr(b, m.Src)
	b = m.Packet.append(b)
	b = m.Policy.appendInfo(b)
	b = append32(append32(append32(append32(b, m.Auth), m.Crypt), m.Comp), m.Seq)
	b = m.Policy.appendAttributes(b)
	if m.CPU != 0 {
		b = appendAttr32(b, AttrCPU, m.CPU-1)
	}
	return b
}

func (m *Acquire) parse(b []byte) error {
	c := cursor{b: b}
	dst := c.addr()
	m.SPI, m.Proto = c.spi(), c.u8()
	c.skip(3)
	src := c.addr()
	m.Packet = c.selector()
	m.Policy.readInfo(&c)
	m.Auth, m.Crypt, m.Comp, m.Seq = c.u32(), c.u32(), c.u32(), c.u32()
	if err := c.finish(); err != nil {
		return err
	}
	if err := attributes(c.b, func(t AttributeType, v []byte) (err error) {
		if t == AttrCPU {
			m.CPU, err = parseCPU(v)
			return err
		}
		return m.Policy.attribute(t, v)
	}); err != nil {
		return err
	}
	// The message does not say of which family the outer addresses are: the
	// template does, and without one they are the packet's.
	family := familyOfAny(m.Packet.Dst.Addr(), m.Packet.Src.Addr(), m.Policy.Selector.Dst.Addr())
	for i := range m.Policy.Templates {
		t := &m.Policy.Templates[i]
		if t.Proto == m.Proto && t.Mode != ModeTransport {
			if f := familyOfAny(t.Dst, t.Src); f != familyUnspec {
				family = f
			}
			break
		}
	}
	m.Dst, m.Src = address(dst, family), address(src, family)
	return nil
}

// Mapping says that ESP in UDP came from another address or port than the SA's
// (struct xfrm_user_mapping, 64 octets).
type Mapping struct {
	Key              SAKey
	ReqID            uint32
	OldSrc, NewSrc   netip.Addr
	OldPort, NewPort uint16
}

// MessageType returns MsgMapping.
func (*Mapping) MessageType() MessageType { return MsgMapping }

// Append implements [Message].
func (m *Mapping) Append(b []byte) []byte {
	b = append32(m.Key.append(b), m.ReqID)
	b = appendAddr(appendAddr(b, m.OldSrc), m.NewSrc)
	return m.Key.Mark.append(appendPort(appendPort(b, m.OldPort), m.NewPort))
}

func (m *Mapping) parse(b []byte) error {
	c := cursor{b: b}
	m.Key = c.saKey()
	m.ReqID = c.u32()
	family := familyOf(m.Key.Dst)
	m.OldSrc, m.NewSrc = address(c.addr(), family), address(c.addr(), family)
	m.OldPort, m.NewPort = c.port(), c.port()
	if err := c.finish(); err != nil {
		return err
	}
	return attributes(c.b, func(t AttributeType, v []byte) (err error) {
		if t == AttrMark {
			m.Key.Mark, err = parseMark(v)
		}
		return err
	})
}

// Report says that a packet came through an SA that is not for it (struct
// xfrm_user_report, 60 octets): mobile IPv6's route optimization.
type Report struct {
	Proto  uint8
	Packet Selector
	CoAddr netip.Addr
}

// MessageType returns MsgReport.
func (*Report) MessageType() MessageType { return MsgReport }

// Append implements [Message].
func (m *Report) Append(b []byte) []byte {
	b = m.Packet.append(append(b, m.Proto, 0, 0, 0))
	if m.CoAddr.IsValid() {
		var at int
		b, at = beginAttribute(b, AttrCoAddr)
		b = endAttribute(appendAddr(b, m.CoAddr), at)
	}
	return b
}

func (m *Report) parse(b []byte) error {
	c := cursor{b: b}
	m.Proto = c.u8()
	c.skip(3)
	m.Packet = c.selector()
	if err := c.finish(); err != nil {
		return err
	}
	return attributes(c.b, func(t AttributeType, v []byte) error {
		if t == AttrCoAddr {
			return value(t, v, func(c *cursor) { m.CoAddr = address(c.addr(), familyOf(m.Packet.Dst.Addr())) })
		}
		return nil
	})
}
