package pfkey

import (
	"fmt"
	"net/netip"

	"github.com/racoon3/racoon/spd"
)

// An SAEntry is an SA as PF_KEY describes it, of whatever algorithms a system
// has. Numbers of algorithms and flags are the system's own; everything else
// means the same on all of them.
type SAEntry struct {
	Type     SAType
	SPI      spd.SPI // of IPComp the CPI
	Src, Dst netip.Addr
	Scope    uint32 // interface of link-local addresses
	State    SAState
	Mode     Mode
	ReqID    uint32
	Flags    uint32

	// ReplayWindow is in packets. What a system cannot say is rounded up.
	ReplayWindow int

	Auth, Encrypt       uint8 // for IPComp, Encrypt is the compression
	AuthKey, EncryptKey spd.Key

	Hard, Soft *Lifetime // nil for none; the Type is filled in
	Current    *Lifetime

	Encap *Encap // nil for none

	// Proxy is the selector of the SA's inner source, where the kernel heeds it
	// (Linux: its family is that of the packets inside).
	Proxy        netip.Prefix
	SrcID, DstID *Identity
	SecCtx       *SecCtx
	Sensitivity  *Sensitivity
	SequenceOut  uint32 // as the kernel tells, 0 where it does not
	WithoutMode  bool   // without X_SA2, for RFC 2367 alone
	AlwaysExpire bool   // macOS: tell the hard limit
}

// Encap is the UDP encapsulation of an SA.
type Encap struct {
	Type             uint8 // 0 stands for NATTESPinUDP
	SrcPort, DstPort uint16
	// OriginalSrc and OriginalDst are the addresses before translation, with
	// which the transport checksums were computed; invalid if not known.
	OriginalSrc, OriginalDst netip.Addr
	FragmentSize             uint16 // NetBSD: fragment packets above it before ESP
	// Inbound says that the source is the peer: macOS and OpenBSD have to be
	// told the peer's port, the others take both.
	Inbound bool
}

// sides returns the own and the peer's port.
func (e *Encap) sides() (local, peer uint16) {
	if e.Inbound {
		return e.DstPort, e.SrcPort
	}
	return e.SrcPort, e.DstPort
}

func prefixOf(a netip.Addr) uint8 { return uint8(a.BitLen()) }

func saAddress(t ExtType, a netip.Addr, scope uint32, port uint16) *Address {
	if !a.Is6() || !a.IsLinkLocalUnicast() {
		scope = 0
	}
	return &Address{Type: t, Proto: ProtoAny, PrefixLen: prefixOf(a), SockAddr: SockAddr{Addr: a, Port: port, Scope: scope}}
}

// message returns the ADD or UPDATE message of an SA.
func (d *Dialect) saMessage(t MsgType, s *SAEntry) (*Message, error) {
	m := &Message{Header: Header{Type: t, SAType: s.Type}}
	sa := &SA{SPI: s.SPI, State: StateMature, Auth: s.Auth, Encrypt: s.Encrypt, Flags: s.Flags}
	add := func(e Extension) { m.Exts = append(m.Exts, e) }
	add(sa)
	var extra Extension
	switch {
	case s.ReplayWindow < 0:
		return nil, fmt.Errorf("%w: negative replay window", ErrMessage)
	case d.replayInBytes && s.ReplayWindow > 255*8 && d.replayExtension:
		sa.Replay, extra = 255, &SAReplay{Window: uint32(s.ReplayWindow)}
	case d.replayInBytes:
		sa.Replay = uint8(min(255, (s.ReplayWindow+7)/8))
	default:
		sa.Replay = uint8(min(255, s.ReplayWindow))
	}
	for _, l := range []struct {
		t ExtType
		l *Lifetime
	}{{ExtLifetimeHard, s.Hard}, {ExtLifetimeSoft, s.Soft}} {
		// Most kernels want both or none.
		if s.Hard == nil && s.Soft == nil {
			break
		}
		e := Lifetime{}
		if l.l != nil {
			e = *l.l
		}
		e.Type = l.t
		add(&e)
	}
	src, dst := saAddress(ExtAddressSrc, s.Src, s.Scope, 0), saAddress(ExtAddressDst, s.Dst, s.Scope, 0)
	add(src)
	add(dst)
	if s.Proxy.IsValid() {
		add(&Address{Type: ExtAddressProxy, Proto: ProtoAny, PrefixLen: uint8(s.Proxy.Bits()), SockAddr: SockAddr{Addr: s.Proxy.Addr()}})
	}
	if len(s.AuthKey) > 0 {
		add(&Key{Type: ExtKeyAuth, Key: s.AuthKey})
	}
	switch {
	case len(s.EncryptKey) > 0:
		add(&Key{Type: ExtKeyEncrypt, Key: s.EncryptKey})
	case s.Type != SATypeESP:
	case d.nullKey == nullEmpty:
		add(&Key{Type: ExtKeyEncrypt})
	case d.nullKey == nullDummy:
		add(&Key{Type: ExtKeyEncrypt, Key: spd.Key{0}})
	}
	for _, id := range []struct {
		t ExtType
		i *Identity
	}{{ExtIdentitySrc, s.SrcID}, {ExtIdentityDst, s.DstID}} {
		if id.i != nil {
			e := *id.i
			e.Type = id.t
			add(&e)
		}
	}
	if s.Sensitivity != nil {
		add(s.Sensitivity)
	}
	if !s.WithoutMode && d.nattStyle != nattUDPEncap {
		add(&SA2{Mode: s.Mode, ReqID: s.ReqID, AlwaysExpire: s.AlwaysExpire})
	}
	if d.nattStyle == nattUDPEncap && s.Mode == ModeTunnel {
		sa.Flags |= FlagTunnel
	}
	if s.Encap != nil {
		d.addEncap(m, sa, src, dst, s.Encap)
	}
	if s.SecCtx != nil {
		add(s.SecCtx)
	}
	if extra != nil {
		add(extra)
	}
	return m, nil
}

// addEncap puts UDP encapsulation into an ADD or UPDATE message.
func (d *Dialect) addEncap(m *Message, sa *SA, src, dst *Address, e *Encap) {
	switch d.nattStyle {
	case nattLongSA:
		sa.Long = true
		sa.Flags |= FlagMacOSNATT
		sa.LocalPort, sa.PeerPort = e.sides()
		return
	case nattUDPEncap:
		_, peer := e.sides()
		sa.Flags |= FlagUDPEncap
		m.Exts = append(m.Exts, &NATTPort{Type: ExtUDPEncap, Port: peer})
		return
	}
	encap := e.Type
	if encap == 0 {
		encap = NATTESPinUDP
	}
	m.Exts = append(m.Exts, &NATTType{Encap: encap}, &NATTPort{Type: ExtNATTSPort, Port: e.SrcPort}, &NATTPort{Type: ExtNATTDPort, Port: e.DstPort})
	for _, o := range []struct {
		t ExtType
		a netip.Addr
	}{{ExtNATTOAI, e.OriginalSrc}, {ExtNATTOAR, e.OriginalDst}} {
		if o.a.IsValid() && d.KnowsExt(o.t) {
			x := saAddress(o.t, o.a, 0, 0)
			x.Proto = 0
			m.Exts = append(m.Exts, x)
		}
	}
	if e.FragmentSize > 0 && d.KnowsExt(ExtNATTFrag) {
		m.Exts = append(m.Exts, &NATTFrag{Size: e.FragmentSize})
	}
}

// SAEntry returns the SA that a message is about: of GET, DUMP, ADD, UPDATE,
// GETSPI, EXPIRE and the like. Keys are those of m, not copies.
func (d *Dialect) SAEntry(m *Message) (*SAEntry, error) {
	sa, src, dst := m.SA(), m.Address(ExtAddressSrc), m.Address(ExtAddressDst)
	if sa == nil || dst == nil {
		return nil, fmt.Errorf("%w: %v without SA or destination", ErrMessage, m.Type)
	}
	s := &SAEntry{
		Type: m.SAType, SPI: sa.SPI, Dst: dst.Addr, Scope: dst.Scope, State: sa.State, Flags: sa.Flags, Auth: sa.Auth, Encrypt: sa.Encrypt,
		ReplayWindow: int(sa.Replay), WithoutMode: true,
		Hard: m.Lifetime(ExtLifetimeHard), Soft: m.Lifetime(ExtLifetimeSoft), Current: m.Lifetime(ExtLifetimeCurrent),
		SrcID: m.Identity(ExtIdentitySrc), DstID: m.Identity(ExtIdentityDst),
		SecCtx: find[*SecCtx](m, ExtSecCtx), Sensitivity: find[*Sensitivity](m, ExtSensitivity),
	}
	if src != nil {
		s.Src = src.Addr
	}
	if d.replayInBytes {
		s.ReplayWindow *= 8
	}
	if r := find[*SAReplay](m, ExtSAReplay); r != nil {
		s.ReplayWindow = int(r.Window)
	}
	if k := m.Key(ExtKeyAuth); k != nil {
		s.AuthKey = k.Key
	}
	if k := m.Key(ExtKeyEncrypt); k != nil {
		s.EncryptKey = k.Key
	}
	if x := m.SA2(); x != nil {
		s.Mode, s.ReqID, s.SequenceOut, s.AlwaysExpire, s.WithoutMode = x.Mode, x.ReqID, x.Sequence, x.AlwaysExpire, false
	}
	if p := m.Address(ExtAddressProxy); p != nil && p.Addr.IsValid() {
		s.Proxy = p.Prefix()
	}
	switch e := find[*NATTType](m, ExtNATTType); {
	case sa.Long && sa.Flags&FlagMacOSNATT != 0:
		s.Encap = &Encap{Type: NATTESPinUDP, SrcPort: sa.LocalPort, DstPort: sa.PeerPort}
	case e != nil && e.Encap != 0: // NetBSD shows 0 for none
		s.Encap = &Encap{Type: e.Encap, SrcPort: m.port(ExtNATTSPort), DstPort: m.port(ExtNATTDPort)}
		if a := m.Address(ExtNATTOAI); a != nil {
			s.Encap.OriginalSrc = a.Addr
		}
		if a := m.Address(ExtNATTOAR); a != nil {
			s.Encap.OriginalDst = a.Addr
		}
		if f := find[*NATTFrag](m, ExtNATTFrag); f != nil {
			s.Encap.FragmentSize = f.Size
		}
	case d.nattStyle == nattUDPEncap && sa.Flags&FlagUDPEncap != 0:
		s.Encap = &Encap{Type: NATTESPinUDP, DstPort: m.port(ExtUDPEncap)}
	}
	if d.nattStyle == nattUDPEncap {
		s.Mode = ModeTransport
		if sa.Flags&FlagTunnel != 0 {
			s.Mode = ModeTunnel
		}
	}
	return s, nil
}

// Wipe overwrites the keys.
func (s *SAEntry) Wipe() {
	s.AuthKey.Wipe()
	s.EncryptKey.Wipe()
}

// An SAKey names an SA for DELETE, GET and the like.
type SAKey struct {
	Type     SAType
	SPI      spd.SPI
	Src, Dst netip.Addr
	Scope    uint32
}

// Key returns what names the SA.
func (s *SAEntry) Key() SAKey {
	return SAKey{Type: s.Type, SPI: s.SPI, Src: s.Src, Dst: s.Dst, Scope: s.Scope}
}

func (k SAKey) message(t MsgType) *Message {
	m := &Message{Header: Header{Type: t, SAType: k.Type}}
	if k.SPI != 0 {
		m.Exts = append(m.Exts, &SA{SPI: k.SPI, State: StateMature})
	}
	m.Exts = append(m.Exts, saAddress(ExtAddressSrc, k.Src, k.Scope, 0), saAddress(ExtAddressDst, k.Dst, k.Scope, 0))
	return m
}

// A SPIRequest asks for an SPI (GETSPI).
type SPIRequest struct {
	Type     SAType
	Src, Dst netip.Addr
	Scope    uint32
	Mode     Mode
	ReqID    uint32
	Min, Max uint32 // 0, 0 for the system's own range
	// Seq is the sequence number of the ACQUIRE that the SA will answer, 0 for
	// none.
	Seq uint32
}

func (r *SPIRequest) message(d *Dialect) *Message {
	m := &Message{Header: Header{Type: MsgGetSPI, SAType: r.Type, Seq: r.Seq}}
	m.Exts = append(m.Exts, saAddress(ExtAddressSrc, r.Src, r.Scope, 0), saAddress(ExtAddressDst, r.Dst, r.Scope, 0))
	if r.Min != 0 || r.Max != 0 {
		m.Exts = append(m.Exts, &SPIRange{Min: r.Min, Max: r.Max})
	}
	if d.nattStyle != nattUDPEncap && (r.Mode != ModeAny || r.ReqID != 0) {
		m.Exts = append(m.Exts, &SA2{Mode: r.Mode, ReqID: r.ReqID})
	}
	return m
}
