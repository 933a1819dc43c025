package pfkey

import (
	"encoding/binary"

	"github.com/racoon3/racoon/spd"
)

// SAState is the state of an SA (RFC 2367 2.3.1).
type SAState uint8

// States of an SA.
const (
	StateLarval SAState = iota // has an SPI and no keys yet
	StateMature
	StateDying // a soft limit was reached
	StateDead
)

func (s SAState) String() string {
	switch s {
	case StateLarval:
		return "larval"
	case StateMature:
		return "mature"
	case StateDying:
		return "dying"
	}
	return "dead"
}

// Flags of an SA. Most are known on some systems only, and one bit means
// different things on different systems.
const (
	FlagESN         uint32 = 0x400      // FreeBSD, OpenBSD: 64-bit sequence numbers
	FlagNoPMTUDisc  uint32 = 0x20000000 // Linux: the outer DF bit is clear
	FlagDecapDSCP   uint32 = 0x40000000 // Linux: the inner header takes the outer DSCP
	FlagNoECN       uint32 = 0x80000000 // Linux: ECN is not propagated
	FlagMacOSNATT   uint32 = 0x2        // macOS: UDP encapsulation, ports in the long form
	FlagKeepalive   uint32 = 0x4        // macOS: NAT keepalives are sent
	FlagRawCPI      uint32 = 0x80       // KAME: the SPI of IPComp is not a well-known CPI
	FlagCyclicSeq   uint32 = 0x40       // KAME: the sequence number may wrap
	FlagUDPEncap    uint32 = 0x200      // OpenBSD
	FlagTunnel      uint32 = 0x4        // OpenBSD
	FlagDerivedIV   uint32 = 0x20       // KAME: old DES
	FlagOldProtocol uint32 = 0x1        // KAME: RFC 1827 ESP, RFC 1826 AH
)

// SA is the SA extension (RFC 2367 2.3.1).
type SA struct {
	Type    ExtType // 0 stands for ExtSA
	SPI     spd.SPI
	Replay  uint8 // window: packets on Linux and OpenBSD, octets of bitmap on the others
	State   SAState
	Auth    uint8 // algorithm, or none; the system's number
	Encrypt uint8 // algorithm, for IPComp the compression; the system's number
	Flags   uint32

	// Long says that the extension has macOS's longer form, sadb_sa_2, with
	// what follows.
	Long              bool
	PeerPort          uint16 // UDP encapsulation with FlagMacOSNATT
	KeepaliveInterval uint16 // seconds
	OffloadInterval   uint16 // seconds
	LocalPort         uint16 // 0 for the system's (net.inet.ipsec.esp_port)
}

// Ext implements [Extension].
func (e *SA) Ext() ExtType {
	if e.Type == 0 {
		return ExtSA
	}
	return e.Type
}

func (e *SA) appendBody(d *Dialect, b []byte) ([]byte, error) {
	b = binary.BigEndian.AppendUint32(b, uint32(e.SPI))
	b = append(b, e.Replay, byte(e.State), e.Auth, e.Encrypt)
	b = d.order.AppendUint32(b, e.Flags)
	if e.Long {
		b = d.order.AppendUint16(b, e.PeerPort)
		b = d.order.AppendUint16(b, e.KeepaliveInterval)
		b = d.order.AppendUint16(b, e.OffloadInterval)
		// Of the two ports the kernel copies this one into the header as it is.
		b = binary.BigEndian.AppendUint16(b, e.LocalPort)
	}
	return b, nil
}

func (d *Dialect) parseSA(t ExtType, b []byte) (Extension, error) {
	if err := need(b, 16); err != nil {
		return nil, err
	}
	e := &SA{
		Type: t, SPI: spd.SPI(binary.BigEndian.Uint32(b[4:])), Replay: b[8], State: SAState(b[9]), Auth: b[10], Encrypt: b[11],
		Flags: d.order.Uint32(b[12:]),
	}
	if d.nattStyle == nattLongSA && len(b) >= 24 {
		e.Long = true
		e.PeerPort, e.KeepaliveInterval = d.order.Uint16(b[16:]), d.order.Uint16(b[18:])
		e.OffloadInterval, e.LocalPort = d.order.Uint16(b[20:]), binary.BigEndian.Uint16(b[22:])
	}
	return e, nil
}

// Mode is how an SA wraps packets.
type Mode uint8

// Modes (ipsec.h).
const (
	ModeAny       Mode = 0 // of a search; in an SA Linux takes it for transport
	ModeTransport Mode = 1
	ModeTunnel    Mode = 2
	ModeBEET      Mode = 3 // Linux; TCP-MD5 on FreeBSD
)

func (m Mode) String() string {
	switch m {
	case ModeAny:
		return "any"
	case ModeTransport:
		return "transport"
	case ModeTunnel:
		return "tunnel"
	case ModeBEET:
		return "beet"
	}
	return "unknown"
}

// SA2 is the X_SA2 extension: what KAME adds to an SA.
type SA2 struct {
	Mode     Mode
	Sequence uint32 // outbound: the last sequence number, where the kernel tells
	ReqID    uint32

	AlwaysExpire bool   // macOS
	Flags        uint16 // macOS
}

// Ext implements [Extension].
func (*SA2) Ext() ExtType { return ExtSA2 }

func (e *SA2) appendBody(d *Dialect, b []byte) ([]byte, error) {
	b = append(b, byte(e.Mode))
	if d.nattStyle == nattLongSA {
		expire := byte(0)
		if e.AlwaysExpire {
			expire = 1
		}
		b = d.order.AppendUint16(append(b, expire), e.Flags)
	} else {
		b = append(b, 0, 0, 0)
	}
	b = d.order.AppendUint32(b, e.Sequence)
	return d.order.AppendUint32(b, e.ReqID), nil
}

func (d *Dialect) parseSA2(b []byte) (Extension, error) {
	if err := need(b, 16); err != nil {
		return nil, err
	}
	e := &SA2{Mode: Mode(b[4]), Sequence: d.order.Uint32(b[8:]), ReqID: d.order.Uint32(b[12:])}
	if d.nattStyle == nattLongSA {
		e.AlwaysExpire, e.Flags = b[5] != 0, d.order.Uint16(b[6:])
	}
	return e, nil
}

// Lifetime is one of the lifetime extensions (RFC 2367 2.3.2). Zero is no
// limit. Times are seconds: in LIFETIME_CURRENT since 1970, else durations.
type Lifetime struct {
	Type        ExtType
	Allocations uint32 // packets on Linux and FreeBSD
	Bytes       uint64
	AddTime     uint64 // since or until: creation
	UseTime     uint64 // since or until: first use, on macOS the last
}

// Ext implements [Extension].
func (e *Lifetime) Ext() ExtType { return e.Type }

func (e *Lifetime) appendBody(d *Dialect, b []byte) ([]byte, error) {
	b = d.order.AppendUint32(b, e.Allocations)
	b = d.order.AppendUint64(b, e.Bytes)
	b = d.order.AppendUint64(b, e.AddTime)
	return d.order.AppendUint64(b, e.UseTime), nil
}

func (d *Dialect) parseLifetime(t ExtType, b []byte) (Extension, error) {
	if err := need(b, 32); err != nil {
		return nil, err
	}
	return &Lifetime{Type: t, Allocations: d.order.Uint32(b[4:]), Bytes: d.order.Uint64(b[8:]), AddTime: d.order.Uint64(b[16:]),
		UseTime: d.order.Uint64(b[24:])}, nil
}

// Key is one of the key extensions (RFC 2367 2.3.4). It prints as its length.
type Key struct {
	Type ExtType
	Bits uint16 // 0 stands for the length of Key
	Key  spd.Key
}

// Ext implements [Extension].
func (e *Key) Ext() ExtType { return e.Type }

func (e *Key) appendBody(d *Dialect, b []byte) ([]byte, error) {
	bits := int(e.Bits)
	if bits == 0 {
		bits = len(e.Key) * 8
	}
	if bits > 65535 || (bits+7)/8 != len(e.Key) {
		return b, parseError("bits and octets of the key do not agree")
	}
	b = d.order.AppendUint16(b, uint16(bits))
	b = append(b, 0, 0)
	return append(b, e.Key...), nil
}

func (d *Dialect) parseKey(t ExtType, b []byte) (Extension, error) {
	if err := need(b, 8); err != nil {
		return nil, err
	}
	bits := d.order.Uint16(b[4:])
	n := (int(bits) + 7) / 8
	if err := need(b, 8+n); err != nil {
		return nil, err
	}
	return &Key{Type: t, Bits: bits, Key: spd.Key(b[8 : 8+n : 8+n])}, nil
}
