package xfrm

// NewPolicy installs a policy. It is also how the kernel tells of one.
type NewPolicy struct{ Policy }

// UpdPolicy installs a policy, in place of the one with the same key if there
// is one: in one step, so that no packet meets none.
type UpdPolicy struct{ Policy }

// DelPolicy removes a policy. In the kernel's notification Policy is what was
// removed.
type DelPolicy struct {
	Key    PolicyKey
	Policy *Policy
}

// GetPolicy asks for one policy. With the dump flag and the body of
// [DumpPolicy] it asks for all.
type GetPolicy struct {
	Key     PolicyKey
	Unknown []Attribute
}

// DumpPolicy asks for all policies. It is a [GetPolicy] with the dump flag.
type DumpPolicy struct{}

// FlushPolicy removes all policies of a type.
type FlushPolicy struct{ Type uint8 }

// PolExpire says that a policy has reached a limit.
type PolExpire struct {
	Policy
	Hard bool
}

// SetDefault sets what happens to packets that no policy matches, by
// direction; DefaultUnspec leaves a direction as it is.
type SetDefault struct{ In, Forward, Out Default }

// GetDefault asks for, and answers, what happens to packets that no policy
// matches.
type GetDefault struct{ In, Forward, Out Default }

// Default is the action of [SetDefault].
type Default uint8

// Default actions.
const (
	DefaultUnspec Default = 0
	DefaultBlock  Default = 1
	DefaultAccept Default = 2
)

// MessageType returns MsgNewPolicy.
func (*NewPolicy) MessageType() MessageType { return MsgNewPolicy }

// MessageType returns MsgUpdPolicy.
func (*UpdPolicy) MessageType() MessageType { return MsgUpdPolicy }

// MessageType returns MsgDelPolicy.
func (*DelPolicy) MessageType() MessageType { return MsgDelPolicy }

// MessageType returns MsgGetPolicy.
func (*GetPolicy) MessageType() MessageType { return MsgGetPolicy }

// MessageType returns MsgGetPolicy.
func (*DumpPolicy) MessageType() MessageType { return MsgGetPolicy }

// MessageType returns MsgFlushPolicy.
func (*FlushPolicy) MessageType() MessageType { return MsgFlushPolicy }

// MessageType returns MsgPolExpire.
func (*PolExpire) MessageType() MessageType { return MsgPolExpire }

// MessageType returns MsgSetDefault.
func (*SetDefault) MessageType() MessageType { return MsgSetDefault }

// MessageType returns MsgGetDefault.
func (*GetDefault) MessageType() MessageType { return MsgGetDefault }

func (p *Policy) appendAll(b []byte) []byte { return p.appendAttributes(p.appendInfo(b)) }

func (p *Policy) parseAll(b []byte) error {
	c := cursor{b: b}
	p.readInfo(&c)
	if err := c.finish(); err != nil {
		return err
	}
	return attributes(c.b, p.attribute)
}

// Append implements [Message].
func (m *NewPolicy) Append(b []byte) []byte { return m.appendAll(b) }
func (m *NewPolicy) parse(b []byte) error   { return m.parseAll(b) }

// Append implements [Message].
func (m *UpdPolicy) Append(b []byte) []byte { return m.appendAll(b) }
func (m *UpdPolicy) parse(b []byte) error   { return m.parseAll(b) }

// Append implements [Message].
func (m *PolExpire) Append(b []byte) []byte {
	b = append(m.appendInfo(b), flag(m.Hard))
	return m.appendAttributes(pad(b, hardPadding))
}

func (m *PolExpire) parse(b []byte) error {
	c := cursor{b: b}
	m.readInfo(&c)
	m.Hard = c.u8() != 0
	c.skip(hardPadding)
	if err := c.finish(); err != nil {
		return err
	}
	return attributes(c.b, m.attribute)
}

// Append implements [Message].
func (m *DelPolicy) Append(b []byte) []byte {
	b = m.Key.append(b)
	if m.Policy == nil {
		return m.Key.appendAttributes(b)
	}
	b, at := beginAttribute(b, AttrPolicy)
	b = endAttribute(m.Policy.appendInfo(b), at)
	return m.Policy.appendAttributes(b)
}

func (m *DelPolicy) parse(b []byte) error {
	c := cursor{b: b}
	m.Key = c.policyKey()
	if err := c.finish(); err != nil {
		return err
	}
	return attributes(c.b, func(t AttributeType, v []byte) error {
		if t == AttrPolicy && m.Policy == nil {
			p := new(Policy)
			if err := value(t, v, p.readInfo); err != nil {
				return err
			}
			p.Type, p.Mark, p.InterfaceID, p.SecCtx = m.Key.Type, m.Key.Mark, m.Key.InterfaceID, m.Key.SecCtx
			m.Policy = p
			return nil
		}
		if _, err := m.Key.attribute(t, v); err != nil || m.Policy == nil {
			return err
		}
		return m.Policy.attribute(t, v)
	})
}

// Append implements [Message].
func (m *GetPolicy) Append(b []byte) []byte {
	return appendUnknown(m.Key.appendAttributes(m.Key.append(b)), m.Unknown)
}

func (m *GetPolicy) parse(b []byte) error {
	c := cursor{b: b}
	m.Key = c.policyKey()
	if err := c.finish(); err != nil {
		return err
	}
	return attributes(c.b, func(t AttributeType, v []byte) error {
		known, err := m.Key.attribute(t, v)
		if !known {
			m.Unknown, err = keepUnknown(m.Unknown, t, v)
		}
		return err
	})
}

// Append implements [Message].
func (m *DumpPolicy) Append(b []byte) []byte { return b }

// Append implements [Message].
func (m *FlushPolicy) Append(b []byte) []byte { return appendPolicyType(b, m.Type) }

func (m *FlushPolicy) parse(b []byte) error {
	return attributes(b, func(t AttributeType, v []byte) error {
		if t == AttrPolicyType {
			return value(t, v, func(c *cursor) { m.Type = c.u8() })
		}
		return nil
	})
}

// Append implements [Message].
func (m *SetDefault) Append(b []byte) []byte {
	return append(b, uint8(m.In), uint8(m.Forward), uint8(m.Out))
}

func (m *SetDefault) parse(b []byte) error {
	c := cursor{b: b}
	m.In, m.Forward, m.Out = Default(c.u8()), Default(c.u8()), Default(c.u8())
	return c.finish()
}

// Append implements [Message].
func (m *GetDefault) Append(b []byte) []byte { return (*SetDefault)(m).Append(b) }
func (m *GetDefault) parse(b []byte) error   { return (*SetDefault)(m).parse(b) }
