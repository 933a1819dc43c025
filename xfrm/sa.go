package xfrm

import (
	"bytes"
	"net/netip"
)

// Protocol numbers of an SA, as in an IP header, and what means several of
// them.
const (
	ProtoESP    uint8 = 50
	ProtoAH     uint8 = 51
	ProtoIPComp uint8 = 108
	ProtoAny    uint8 = 255 // ESP, AH and IPComp, in FlushSA and ReplayAE
)

// Mode is how an SA wraps packets.
type Mode uint8

// Modes. The last three are for mobile IPv6 and the host identity protocol.
const (
	ModeTransport         Mode = 0
	ModeTunnel            Mode = 1
	ModeRouteOptimization Mode = 2
	ModeInTrigger         Mode = 3
	ModeBEET              Mode = 4
	ModeIPTFS             Mode = 5 // RFC 9347
)

// SAFlags are the flags of an SA.
type SAFlags uint8

// Flags of an SA.
const (
	FlagNoECN        SAFlags = 1 << iota // do not propagate ECN
	FlagDecapDSCP                        // copy DSCP from the outer header
	FlagNoPMTUDisc                       // do not set DF in the outer header
	FlagWildRecv                         // any source address
	FlagICMP                             // also for the payload of ICMP errors
	FlagAnyFamily                        // AF_UNSPEC: the selector has no family
	FlagAlign4                           // pad AH to 32 bits
	FlagESN                              // 64-bit sequence numbers
	ExtraNoDSCP      uint32  = 1         // DONT_ENCAP_DSCP: do not copy DSCP to the outer header
	ExtraOSeqMayWrap uint32  = 2         // outbound numbers may start again
)

// Directions of an SA in SA.Direction.
const (
	SADirIn  uint8 = 1
	SADirOut uint8 = 2
)

// Encap says how ESP is encapsulated (struct xfrm_encap_tmpl, 24 octets).
// Ports are those of the packets: the source's is the sender's.
type Encap struct {
	Type             EncapType
	SrcPort, DstPort uint16
	Original         netip.Addr // address of the other end as it knows itself
}

// EncapType is a kind of encapsulation.
type EncapType uint16

// Encapsulations. The first is that of drafts of RFC 3948.
const (
	EncapUDPNonIKE EncapType = 1
	EncapUDP       EncapType = 2
	EncapTCP       EncapType = 7 // RFC 9329
)

// Mark is a packet mark with its mask (struct xfrm_mark).
type Mark struct{ Value, Mask uint32 }

// Offload moves an SA or a policy to a network device.
type Offload struct {
	Interface int32 // index of the device, 0 for none
	Flags     OffloadFlags
}

// OffloadFlags are the flags of Offload.
type OffloadFlags uint8

// Flags of Offload.
const (
	OffloadInbound OffloadFlags = 2
	OffloadPacket  OffloadFlags = 4 // the whole packet handling, not cryptography alone
)

// SecCtx is a security label (struct xfrm_user_sec_ctx). The zero value stands
// for none.
type SecCtx struct {
	DOI, Algorithm uint8 // both 1 for SELinux; 0 is sent as 1
	Label          string
}

// Stats are the packets that an SA has refused.
type Stats struct {
	Window    uint32 // older than the replay window
	Replay    uint32
	Integrity uint32
}

// Thresholds say when the kernel tells the changing replay state of an SA
// ([NewAE]): after so many packets, or so many tenths of a second. Both 0 turn
// it off; without Thresholds the system's settings count.
type Thresholds struct{ Packets, Time uint32 }

// An SA is a security association of the kernel, which calls it a state
// (struct xfrm_usersa_info, 224 octets, and attributes). What is zero is not
// there: no attribute is sent for it.
type SA struct {
	Selector Selector
	Src, Dst netip.Addr // outer addresses, of one family
	SPI      uint32
	Proto    uint8 // ProtoESP, ...
	Mode     Mode
	Flags    SAFlags
	ReqID    uint32
	Seq      uint32 // of the acquire that it answers

	Limits       Limits
	Usage        Usage
	SetUsage     bool // send Usage, so that a new SA begins with it
	Stats        Stats
	ReplayWindow uint8 // packets, at most 32; with ReplayESN it is not looked at

	AEAD, Crypt, Auth, Comp Algorithm

	Encap      Encap
	Replay     *Replay
	ReplayESN  *ReplayESN
	Thresholds *Thresholds

	CoAddr           netip.Addr
	Mark             Mark   // of the packets that it is for
	SetMark          Mark   // given to packets that it has transformed
	InterfaceID      uint32 // of an XFRM interface
	TFCPad           uint32 // pad to this size
	ExtraFlags       uint32
	Offload          Offload
	SecCtx           SecCtx
	MappingThreshold uint32 // seconds between Mapping messages at least
	Direction        uint8  // SADirIn, SADirOut; since Linux 6.10
	NATKeepalive     uint32 // seconds; since Linux 6.11
	CPU              uint32 // CPU plus one; since Linux 6.13
	LastUsed         uint64 // seconds since 1970, told by the kernel only

	Unknown []Attribute
}

// family is the family of the SA's own addresses.
func (s *SA) family() uint16 { return familyOfAny(s.Dst, s.Src) }

// appendInfo appends the usersa_info.
func (s *SA) appendInfo(b []byte) []byte {
	b = s.Selector.append(b)
	b = appendAddr(b, s.Dst)
	b = append(appendSPI(b, s.SPI), s.Proto, 0, 0, 0)
	b = appendAddr(b, s.Src)
	b = s.Limits.append(b)
	b = s.Usage.append(b)
	b = append32(append32(append32(b, s.Stats.Window), s.Stats.Replay), s.Stats.Integrity)
	b = append32(append32(b, s.Seq), s.ReqID)
	b = append16(b, s.family())
	return pad(append(b, uint8(s.Mode), s.ReplayWindow, uint8(s.Flags)), saPadding)
}

func (s *SA) readInfo(c *cursor) {
	s.Selector = c.selector()
	dst := c.addr()
	s.SPI, s.Proto = c.spi(), c.u8()
	c.skip(3)
	src := c.addr()
	s.Limits, s.Usage = c.limits(), c.usage()
	s.Stats = Stats{c.u32(), c.u32(), c.u32()}
	s.Seq, s.ReqID = c.u32(), c.u32()
	family := c.u16()
	s.Mode, s.ReplayWindow, s.Flags = Mode(c.u8()), c.u8(), SAFlags(c.u8())
	c.skip(saPadding)
	s.Dst, s.Src = address(dst, family), address(src, family)
}

func (s *SA) appendAttributes(b []byte) []byte {
	if s.AEAD.Name != "" {
		b = appendAlgorithm(b, AttrAEAD, &s.AEAD, true)
	}
	if s.Crypt.Name != "" {
		b = appendAlgorithm(b, AttrCrypt, &s.Crypt, false)
	}
	if s.Auth.Name != "" {
		if s.Auth.ICVBits > 0 {
			b = appendAlgorithm(b, AttrAuthTrunc, &s.Auth, true)
		} else {
			b = appendAlgorithm(b, AttrAuth, &s.Auth, false)
		}
	}
	if s.Comp.Name != "" {
		b = appendAlgorithm(b, AttrComp, &s.Comp, false)
	}
	if s.Encap.Type != 0 {
		b = appendEncap(b, &s.Encap)
	}
	b = s.SecCtx.append(b)
	if s.SetUsage {
		var at int
		b, at = beginAttribute(b, AttrUsage)
		b = endAttribute(s.Usage.append(b), at)
	}
	b = appendReplay(b, s.Replay, s.ReplayESN)
	if s.Thresholds != nil {
		b = appendAttr32(b, AttrReplayThresh, s.Thresholds.Packets)
		b = appendAttr32(b, AttrTimerThresh, s.Thresholds.Time)
	}
	if s.CoAddr.IsValid() {
		var at int
		b, at = beginAttribute(b, AttrCoAddr)
		b = endAttribute(appendAddr(b, s.CoAddr), at)
	}
	if s.LastUsed != 0 {
		b = appendAttr64(b, AttrLastUsed, s.LastUsed)
	}
	b = s.Mark.append(b)
	if s.SetMark != (Mark{}) {
		b = appendAttr32(b, AttrSetMark, s.SetMark.Value)
		b = appendAttr32(b, AttrSetMarkMask, s.SetMark.Mask)
	}
	b = appendNonZero(b, AttrInterfaceID, s.InterfaceID)
	b = appendNonZero(b, AttrTFCPad, s.TFCPad)
	b = appendNonZero(b, AttrExtraFlags, s.ExtraFlags)
	b = s.Offload.append(b)
	b = appendNonZero(b, AttrMappingThresh, s.MappingThreshold)
	if s.Direction != 0 {
		b = appendAttr8(b, AttrSADirection, s.Direction)
	}
	b = appendNonZero(b, AttrNATKeepalive, s.NATKeepalive)
	if s.CPU != 0 {
		b = appendAttr32(b, AttrCPU, s.CPU-1)
	}
	return appendUnknown(b, s.Unknown)
}

func appendNonZero(b []byte, t AttributeType, v uint32) []byte {
	if v == 0 {
		return b
	}
	return appendAttr32(b, t, v)
}

func appendEncap(b []byte, e *Encap) []byte {
	b, at := beginAttribute(b, AttrEncap)
	b = appendPort(appendPort(append16(b, uint16(e.Type)), e.SrcPort), e.DstPort)
	return endAttribute(appendAddr(pad(b, 2), e.Original), at)
}

func appendReplay(b []byte, r *Replay, esn *ReplayESN) []byte {
	var at int
	if r != nil {
		b, at = beginAttribute(b, AttrReplay)
		b = endAttribute(r.append(b), at)
	}
	if esn != nil {
		b, at = beginAttribute(b, AttrReplayESN)
		b = endAttribute(esn.append(b), at)
	}
	return b
}

func (m Mark) append(b []byte) []byte {
	if m == (Mark{}) {
		return b
	}
	b, at := beginAttribute(b, AttrMark)
	return endAttribute(append32(append32(b, m.Value), m.Mask), at)
}

func (o Offload) append(b []byte) []byte {
	if o.Interface == 0 {
		return b
	}
	b, at := beginAttribute(b, AttrOffload)
	return endAttribute(pad(append(append32(b, uint32(o.Interface)), uint8(o.Flags)), 3), at)
}

// maxLabel is what the kernel takes (a page, in practice less).
const maxLabel = 4096

func (s *SecCtx) append(b []byte) []byte {
	if s.Label == "" {
		return b
	}
	label := s.Label[:min(len(s.Label), maxLabel)]
	n := len(label) + 1 // the kernel wants the zero octet too
	b, at := beginAttribute(b, AttrSecCtx)
	b = append16(append16(b, uint16(8+n)), uint16(AttrSecCtx))
	b = append(b, max(1, s.Algorithm), max(1, s.DOI))
	b = append16(b, uint16(n))
	return endAttribute(append(append(b, label...), 0), at)
}

func (s *SecCtx) parse(v []byte) error {
	c := cursor{b: v}
	c.skip(4)
	s.Algorithm, s.DOI = c.u8(), c.u8()
	n := int(c.u16())
	if c.short || n > len(c.b) {
		return syntaxError(AttrSecCtx, "label is cut short")
	}
	if n > maxLabel {
		return syntaxError(AttrSecCtx, "label is too long")
	}
	// The kernel adds a zero octet to a label, whether there is one or not.
	s.Label = string(bytes.TrimRight(c.b[:n], "\x00"))
	return nil
}

// attribute reads one attribute; addresses are of the SA's family, which is
// known by then.
func (s *SA) attribute(t AttributeType, v []byte) (err error) {
	switch t {
	case AttrAEAD:
		s.AEAD, err = parseAlgorithm(t, v, true)
	case AttrCrypt:
		s.Crypt, err = parseAlgorithm(t, v, false)
	case AttrComp:
		s.Comp, err = parseAlgorithm(t, v, false)
	case AttrAuth:
		// The kernel tells the truncation in another attribute, which counts.
		if s.Auth.ICVBits == 0 {
			s.Auth, err = parseAlgorithm(t, v, false)
		}
	case AttrAuthTrunc:
		s.Auth, err = parseAlgorithm(t, v, true)
	case AttrEncap:
		s.Encap, err = parseEncap(v, s.family())
	case AttrSecCtx:
		err = s.SecCtx.parse(v)
	case AttrUsage:
		s.SetUsage = true
		err = value(t, v, func(c *cursor) { s.Usage = c.usage() })
	case AttrReplay:
		s.Replay, err = parseReplay(v)
	case AttrReplayESN:
		s.ReplayESN, err = parseReplayESN(v)
	case AttrReplayThresh:
		err = value32(t, v, &s.thresholds().Packets)
	case AttrTimerThresh:
		err = value32(t, v, &s.thresholds().Time)
	case AttrCoAddr:
		err = value(t, v, func(c *cursor) { s.CoAddr = address(c.addr(), s.family()) })
	case AttrLastUsed:
		err = value(t, v, func(c *cursor) { s.LastUsed = c.u64() })
	case AttrMark:
		s.Mark, err = parseMark(v)
	case AttrSetMark:
		err = value32(t, v, &s.SetMark.Value)
	case AttrSetMarkMask:
		err = value32(t, v, &s.SetMark.Mask)
	case AttrInterfaceID:
		err = value32(t, v, &s.InterfaceID)
	case AttrTFCPad:
		err = value32(t, v, &s.TFCPad)
	case AttrExtraFlags:
		err = value32(t, v, &s.ExtraFlags)
	case AttrOffload:
		s.Offload, err = parseOffload(v)
	case AttrMappingThresh:
		err = value32(t, v, &s.MappingThreshold)
	case AttrSADirection:
		err = value(t, v, func(c *cursor) { s.Direction = c.u8() })
	case AttrNATKeepalive:
		err = value32(t, v, &s.NATKeepalive)
	case AttrCPU:
		s.CPU, err = parseCPU(v)
	case AttrPad:
	default:
		s.Unknown, err = keepUnknown(s.Unknown, t, v)
	}
	return err
}

func (s *SA) thresholds() *Thresholds {
	if s.Thresholds == nil {
		s.Thresholds = new(Thresholds)
	}
	return s.Thresholds
}

func parseEncap(v []byte, family uint16) (e Encap, err error) {
	err = value(AttrEncap, v, func(c *cursor) {
		e.Type, e.SrcPort, e.DstPort = EncapType(c.u16()), c.port(), c.port()
		c.skip(2)
		if a := address(c.addr(), family); a.IsValid() && !a.IsUnspecified() {
			e.Original = a
		}
	})
	return e, err
}

func parseReplay(v []byte) (*Replay, error) {
	var r Replay
	err := value(AttrReplay, v, func(c *cursor) { r = Replay{c.u32(), c.u32(), c.u32()} })
	return &r, err
}

func parseMark(v []byte) (m Mark, err error) {
	err = value(AttrMark, v, func(c *cursor) { m = Mark{c.u32(), c.u32()} })
	return m, err
}

func parseOffload(v []byte) (o Offload, err error) {
	err = value(AttrOffload, v, func(c *cursor) { o = Offload{int32(c.u32()), OffloadFlags(c.u8())} })
	return o, err
}

// parseCPU reads a CPU number; the kernel's "none" is all ones, and so becomes
// zero.
func parseCPU(v []byte) (cpu uint32, err error) {
	err = value32(AttrCPU, v, &cpu)
	return cpu + 1, err
}

// Wipe overwrites the SA's keys.
func (s *SA) Wipe() {
	for _, a := range [...]*Algorithm{&s.AEAD, &s.Crypt, &s.Auth, &s.Comp} {
		a.Key.Wipe()
	}
}

// Key returns what names the SA in the kernel.
func (s *SA) Key() SAKey { return SAKey{Dst: s.Dst, SPI: s.SPI, Proto: s.Proto, Mark: s.Mark} }

// An SAKey names an SA (struct xfrm_usersa_id, 24 octets, and the mark): in the
// kernel the mark counts as its mask lets it.
type SAKey struct {
	Dst   netip.Addr
	SPI   uint32
	Proto uint8
	Mark  Mark
}

func (k *SAKey) append(b []byte) []byte {
	b = appendSPI(appendAddr(b, k.Dst), k.SPI)
	return append(append16(b, familyOf(k.Dst)), k.Proto, 0)
}

func (c *cursor) saKey() (k SAKey) {
	dst := c.addr()
	k.SPI = c.spi()
	k.Dst = address(dst, c.u16())
	k.Proto = c.u8()
	c.skip(1)
	return k
}
