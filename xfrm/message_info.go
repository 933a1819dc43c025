package xfrm

// Attribute types of the SAD and SPD information messages.
const (
	attrSADCount  AttributeType = 1
	attrSADHash   AttributeType = 2
	attrSPDCount  AttributeType = 1
	attrSPDHash   AttributeType = 2
	attrThreshold AttributeType = 3 // IPv4; 4 is IPv6
)

// GetSADInfo asks how many SAs there are. The answer is a [NewSADInfo].
type GetSADInfo struct{ Flags uint32 }

// NewSADInfo tells how many SAs there are, and the size of the hash table.
type NewSADInfo struct {
	Flags              uint32
	Count              uint32
	Buckets, MaxBucket uint32
}

// GetSPDInfo asks how many policies there are. The answer is a [NewSPDInfo].
type GetSPDInfo struct{ Flags uint32 }

// NewSPDInfo tells how many policies there are, by direction, those of
// sockets apart, and the size of the hash tables. Sent to the kernel, it sets
// the thresholds.
type NewSPDInfo struct {
	Flags                              uint32
	In, Out, Forward                   uint32
	SocketIn, SocketOut, SocketForward uint32
	Buckets, MaxBuckets                uint32
	IPv4Threshold, IPv6Threshold       *HashThreshold
}

// A HashThreshold says from which prefix lengths on policies are hashed by
// their addresses, which makes very many of them fast.
type HashThreshold struct{ Local, Remote uint8 }

// MessageType returns MsgGetSADInfo.
func (*GetSADInfo) MessageType() MessageType { return MsgGetSADInfo }

// MessageType returns MsgNewSADInfo.
func (*NewSADInfo) MessageType() MessageType { return MsgNewSADInfo }

// MessageType returns MsgGetSPDInfo.
func (*GetSPDInfo) MessageType() MessageType { return MsgGetSPDInfo }

// MessageType returns MsgNewSPDInfo.
func (*NewSPDInfo) MessageType() MessageType { return MsgNewSPDInfo }

// Append implements [Message].
func (m *GetSADInfo) Append(b []byte) []byte { return append32(b, m.Flags) }

func (m *GetSADInfo) parse(b []byte) error {
	c := cursor{b: b}
	m.Flags = c.u32()
	return c.finish()
}

// Append implements [Message].
func (m *GetSPDInfo) Append(b []byte) []byte { return append32(b, m.Flags) }

func (m *GetSPDInfo) parse(b []byte) error {
	c := cursor{b: b}
	m.Flags = c.u32()
	return c.finish()
}

// Append implements [Message].
func (m *NewSADInfo) Append(b []byte) []byte {
	b = appendAttr32(append32(b, m.Flags), attrSADCount, m.Count)
	b, at := beginAttribute(b, attrSADHash)
	return endAttribute(append32(append32(b, m.Buckets), m.MaxBucket), at)
}

func (m *NewSADInfo) parse(b []byte) error {
	c := cursor{b: b}
	m.Flags = c.u32()
	if err := c.finish(); err != nil {
		return err
	}
	return attributes(c.b, func(t AttributeType, v []byte) error {
		switch t {
		case attrSADCount:
			return value32(t, v, &m.Count)
		case attrSADHash:
			return value(t, v, func(c *cursor) { m.Buckets, m.MaxBucket = c.u32(), c.u32() })
		}
		return nil
	})
}

// Append implements [Message].
func (m *NewSPDInfo) Append(b []byte) []byte {
	b, at := beginAttribute(append32(b, m.Flags), attrSPDCount)
	for _, v := range [...]uint32{m.In, m.Out, m.Forward, m.SocketIn, m.SocketOut, m.SocketForward} {
		b = append32(b, v)
	}
	b = endAttribute(b, at)
	b, at = beginAttribute(b, attrSPDHash)
	b = endAttribute(append32(append32(b, m.Buckets), m.MaxBuckets), at)
	for i, t := range [...]*HashThreshold{m.IPv4Threshold, m.IPv6Threshold} {
		if t != nil {
			b, at = beginAttribute(b, attrThreshold+AttributeType(i))
			b = endAttribute(append(b, t.Local, t.Remote), at)
		}
	}
	return b
}

func (m *NewSPDInfo) parse(b []byte) error {
	c := cursor{b: b}
	m.Flags = c.u32()
	if err := c.finish(); err != nil {
		return err
	}
	return attributes(c.b, func(t AttributeType, v []byte) error {
		return value(t, v, func(c *cursor) {
			switch t {
			case attrSPDCount:
				for _, p := range [...]*uint32{&m.In, &m.Out, &m.Forward, &m.SocketIn, &m.SocketOut, &m.SocketForward} {
					*p = c.u32()
				}
			case attrSPDHash:
				m.Buckets, m.MaxBuckets = c.u32(), c.u32()
			case attrThreshold:
				m.IPv4Threshold = &HashThreshold{c.u8(), c.u8()}
			case attrThreshold + 1:
				m.IPv6Threshold = &HashThreshold{c.u8(), c.u8()}
			}
		})
	})
}
