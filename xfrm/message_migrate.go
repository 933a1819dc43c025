package xfrm

import (
	"net/netip"
)

// Migrate moves a policy's templates and their SAs to other outer addresses
// (mobile IPv6, RFC 5555 and the like): the policy with the key, and all SAs
// whose old addresses, protocol, mode and ReqID are those of an entry.
type Migrate struct {
	Key       PolicyKey
	Entries   []Migration // at most 6
	KMAddress *KMAddress
	Encap     Encap // of the new SAs, if they are to have one
	Unknown   []Attribute
}

// A Migration is one template of a [Migrate] (struct xfrm_user_migrate, 76
// octets).
type Migration struct {
	OldSrc, OldDst, NewSrc, NewDst netip.Addr
	Proto                          uint8
	Mode                           Mode
	ReqID                          uint32
}

const migrationSize = 76

// KMAddress are the addresses by which key management is to talk from now on
// (struct xfrm_user_kmaddress, 40 octets).
type KMAddress struct{ Local, Remote netip.Addr }

// MessageType returns MsgMigrate.
func (*Migrate) MessageType() MessageType { return MsgMigrate }

// Append implements [Message].
func (m *Migrate) Append(b []byte) []byte {
	b = m.Key.appendAttributes(m.Key.append(b))
	if k := m.KMAddress; k != nil {
		var at int
		b, at = beginAttribute(b, AttrKMAddress)
		b = appendAddr(appendAddr(b, k.Local), k.Remote)
		b = endAttribute(pad(append16(pad(b, 4), familyOfAny(k.Local, k.Remote)), 2), at)
	}
	if len(m.Entries) > 0 {
		var at int
		b, at = beginAttribute(b, AttrMigrate)
		for i := range m.Entries[:min(len(m.Entries), maxTemplates)] {
			b = m.Entries[i].append(b)
		}
		b = endAttribute(b, at)
	}
	if m.Encap.Type != 0 {
		b = appendEncap(b, &m.Encap)
	}
	return appendUnknown(b, m.Unknown)
}

func (e *Migration) append(b []byte) []byte {
	b = appendAddr(appendAddr(b, e.OldDst), e.OldSrc)
	b = appendAddr(appendAddr(b, e.NewDst), e.NewSrc)
	b = append(b, e.Proto, uint8(e.Mode), 0, 0)
	b = append32(b, e.ReqID)
	return append16(append16(b, familyOfAny(e.OldDst, e.OldSrc)), familyOfAny(e.NewDst, e.NewSrc))
}

func (m *Migrate) parse(b []byte) error {
	c := cursor{b: b}
	m.Key = c.policyKey()
	if err := c.finish(); err != nil {
		return err
	}
	return attributes(c.b, func(t AttributeType, v []byte) (err error) {
		switch t {
		case AttrMigrate:
			n := len(v) / migrationSize
			if n*migrationSize != len(v) || n > maxTemplates {
				return syntaxError(t, "wrong number of entries")
			}
			m.Entries = nil
			c := cursor{b: v}
			for range n {
				m.Entries = append(m.Entries, c.migration())
			}
		case AttrKMAddress:
			err = value(t, v, func(c *cursor) {
				local, remote := c.addr(), c.addr()
				c.skip(4)
				family := c.u16()
				m.KMAddress = &KMAddress{address(local, family), address(remote, family)}
			})
		case AttrEncap:
			m.Encap, err = parseEncap(v, familyOf(m.Key.Selector.Dst.Addr()))
		default:
			var known bool
			if known, err = m.Key.attribute(t, v); !known {
				m.Unknown, err = keepUnknown(m.Unknown, t, v)
			}
		}
		return err
	})
}

func (c *cursor) migration() (e Migration) {
	oldDst, oldSrc, newDst, newSrc := c.addr(), c.addr(), c.addr(), c.addr()
	e.Proto, e.Mode = c.u8(), Mode(c.u8())
	c.skip(2)
	e.ReqID = c.u32()
	oldFamily, newFamily := c.u16(), c.u16()
	e.OldDst, e.OldSrc = address(oldDst, oldFamily), address(oldSrc, oldFamily)
	e.NewDst, e.NewSrc = address(newDst, newFamily), address(newSrc, newFamily)
	return e
}
