package xfrm

import "net/netip"

// AEFlags say what an [NewAE] is about.
type AEFlags uint32

// Flags of NewAE and GetAE.
const (
	AEReplayThreshold AEFlags = 1  // get or set Thresholds.Packets
	AEReplay          AEFlags = 2  // the replay state
	AEUsage           AEFlags = 4  // the usage
	AETimerThreshold  AEFlags = 8  // get or set Thresholds.Time
	AEByPackets       AEFlags = 16 // an event: so many packets
	AEByTime          AEFlags = 32 // an event: so much time
	AEByUpdate        AEFlags = 64 // an event: somebody has set it
)

// An AE is the part of an SA that changes with its packets (struct
// xfrm_aevent_id, 48 octets, and attributes). It exists so that another host
// can take over.
type AE struct {
	Key        SAKey
	Src        netip.Addr
	Flags      AEFlags
	ReqID      uint32
	Replay     *Replay
	ReplayESN  *ReplayESN
	Usage      *Usage
	Thresholds *Thresholds // as far as Flags say
	Unknown    []Attribute
}

// NewAE sets the changing part of an SA. It is also the kernel's answer to
// [GetAE], and what it tells at the thresholds. Setting needs the replace flag.
type NewAE struct{ AE }

// GetAE asks for the changing part of an SA.
type GetAE struct{ AE }

// MessageType returns MsgNewAE.
func (*NewAE) MessageType() MessageType { return MsgNewAE }

// MessageType returns MsgGetAE.
func (*GetAE) MessageType() MessageType { return MsgGetAE }

// Append implements [Message].
func (m *AE) Append(b []byte) []byte {
	b = appendAddr(m.Key.append(b), m.Src)
	b = append32(append32(b, uint32(m.Flags)), m.ReqID)
	b = m.Key.Mark.append(b)
	b = appendReplay(b, m.Replay, m.ReplayESN)
	if m.Usage != nil {
		var at int
		b, at = beginAttribute(b, AttrUsage)
		b = endAttribute(m.Usage.append(b), at)
	}
	if t := m.Thresholds; t != nil {
		if m.Flags&AEReplayThreshold != 0 {
			b = appendAttr32(b, AttrReplayThresh, t.Packets)
		}
		if m.Flags&AETimerThreshold != 0 {
			b = appendAttr32(b, AttrTimerThresh, t.Time)
		}
	}
	return appendUnknown(b, m.Unknown)
}

func (m *AE) parse(b []byte) error {
	c := cursor{b: b}
	m.Key = c.saKey()
	m.Src = address(c.addr(), familyOf(m.Key.Dst))
	m.Flags, m.ReqID = AEFlags(c.u32()), c.u32()
	if err := c.finish(); err != nil {
		return err
	}
	thresholds := func() *Thresholds {
		if m.Thresholds == nil {
			m.Thresholds = new(Thresholds)
		}
		return m.Thresholds
	}
	return attributes(c.b, func(t AttributeType, v []byte) (err error) {
		switch t {
		case AttrMark:
			m.Key.Mark, err = parseMark(v)
		case AttrReplay:
			m.Replay, err = parseReplay(v)
		case AttrReplayESN:
			m.ReplayESN, err = parseReplayESN(v)
		case AttrUsage:
			m.Usage = new(Usage)
			err = value(t, v, func(c *cursor) { *m.Usage = c.usage() })
		case AttrReplayThresh:
			m.Flags |= AEReplayThreshold
			err = value32(t, v, &thresholds().Packets)
		case AttrTimerThresh:
			m.Flags |= AETimerThreshold
			err = value32(t, v, &thresholds().Time)
		case AttrPad:
		default:
			m.Unknown, err = keepUnknown(m.Unknown, t, v)
		}
		return err
	})
}
