package pfkey

import (
	"encoding/binary"
	"net/netip"
)

// A SockAddr is a socket address inside a message.
type SockAddr struct {
	Addr  netip.Addr // IPv4 or IPv6; invalid for none
	Port  uint16
	Scope uint32 // interface of a link-local IPv6 address
}

const (
	familyIP4  = 2
	sockaddrIn = 16
	sockaddr6  = 28
)

// size returns the octets of the sockaddr.
func (a *SockAddr) size() int {
	if a.Addr.Is4() {
		return sockaddrIn
	}
	return sockaddr6
}

const errNoAddress parseError = "no IPv4 or IPv6 address"

// appendSockAddr appends the sockaddr without padding.
func (d *Dialect) appendSockAddr(b []byte, a *SockAddr) ([]byte, error) {
	family := d.familyIP6
	switch {
	case a.Addr.Is4():
		family = familyIP4
	case !a.Addr.Is6() || a.Addr.Is4In6():
		return b, errNoAddress
	}
	if d.saLen {
		b = append(b, byte(a.size()), family)
	} else {
		b = d.order.AppendUint16(b, uint16(family))
	}
	b = binary.BigEndian.AppendUint16(b, a.Port)
	if a.Addr.Is4() {
		ip := a.Addr.As4()
		b = append(b, ip[:]...)
		return append(b, 0, 0, 0, 0, 0, 0, 0, 0), nil
	}
	ip := a.Addr.As16()
	b = append(b, 0, 0, 0, 0) // flow information
	b = append(b, ip[:]...)
	return d.order.AppendUint32(b, a.Scope), nil
}

// parseSockAddr decodes the sockaddr at the begin of b and returns its size. An
// address of another family than IPv4 and IPv6 is returned as none, with the
// size 0.
func (d *Dialect) parseSockAddr(b []byte) (SockAddr, int, error) {
	if len(b) < 4 {
		return SockAddr{}, 0, errShort
	}
	family := uint8(0)
	if d.saLen {
		family = b[1]
	} else if f := d.order.Uint16(b); f < 256 {
		family = uint8(f)
	}
	n := 0
	switch family {
	case familyIP4:
		n = sockaddrIn
	case d.familyIP6:
		n = sockaddr6
	default:
		return SockAddr{}, 0, nil
	}
	if len(b) < n || d.saLen && int(b[0]) != n {
		return SockAddr{}, 0, parseError("length of an address")
	}
	a := SockAddr{Port: binary.BigEndian.Uint16(b[2:])}
	if n == sockaddrIn {
		a.Addr = netip.AddrFrom4([4]byte(b[4:8]))
		return a, n, nil
	}
	a.Addr, a.Scope = netip.AddrFrom16([16]byte(b[8:24])), d.order.Uint32(b[24:])
	if a.Addr.Is4In6() {
		return SockAddr{}, 0, parseError("IPv4-mapped address")
	}
	return a, n, nil
}

// ProtoAny is the protocol number in addresses that stands for any protocol.
const ProtoAny uint8 = 255

// Address is one of the extensions that hold an address (RFC 2367 2.3.3).
// Protocol and prefix length are of a selector; those of an SA are 255 and all
// bits. OpenBSD has neither.
type Address struct {
	Type      ExtType
	Proto     uint8 // upper-layer protocol, ProtoAny for any
	PrefixLen uint8
	SockAddr

	// Raw is the sockaddr if it is of another family; then Addr is not valid.
	Raw []byte
}

// Ext implements [Extension].
func (e *Address) Ext() ExtType { return e.Type }

func (e *Address) appendBody(d *Dialect, b []byte) ([]byte, error) {
	if d.plainAddress {
		b = append(b, 0, 0, 0, 0)
	} else {
		b = append(b, e.Proto, e.PrefixLen, 0, 0)
	}
	if !e.Addr.IsValid() && len(e.Raw) > 0 {
		return append(b, e.Raw...), nil
	}
	return d.appendSockAddr(b, &e.SockAddr)
}

func (d *Dialect) parseAddress(t ExtType, b []byte) (Extension, error) {
	if err := need(b, 8+8); err != nil {
		return nil, err
	}
	e := &Address{Type: t}
	if !d.plainAddress {
		e.Proto, e.PrefixLen = b[4], b[5]
	}
	var n int
	var err error
	if e.SockAddr, n, err = d.parseSockAddr(b[8:]); err != nil {
		return nil, err
	}
	if n == 0 {
		e.Raw = b[8:]
	} else if int(e.PrefixLen) > e.Addr.BitLen() {
		return nil, parseError("prefix length")
	}
	return e, nil
}

// Prefix returns the address with its prefix length, host bits cleared; it is
// not valid without an address.
func (e *Address) Prefix() netip.Prefix {
	return netip.PrefixFrom(e.Addr, int(e.PrefixLen)).Masked()
}
