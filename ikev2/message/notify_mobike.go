package message

import (
	"encoding/binary"
	"net/netip"
)

// AdditionalAddress decodes ADDITIONAL_IP4_ADDRESS and ADDITIONAL_IP6_ADDRESS
// (RFC 4555 4.2.2).
func (p *Notify) AdditionalAddress() (netip.Addr, error) {
	n := 4
	if p.Type == NotifyAdditionalIP6Address {
		n = 16
	}
	d, err := p.sized(n)
	if err != nil {
		return netip.Addr{}, err
	}
	a, _ := netip.AddrFromSlice(d)
	return a, nil
}

// AppendAddressData appends the data of ADDITIONAL_IP4_ADDRESS or
// ADDITIONAL_IP6_ADDRESS: the 4 or 16 octets of the address.
func AppendAddressData(dst []byte, a netip.Addr) []byte {
	switch {
	case a.Is4():
		b := a.As4()
		return append(dst, b[:]...)
	case a.Is6():
		b := a.As16()
		return append(dst, b[:]...)
	}
	return dst
}

// NoNATs decodes NO_NATS_ALLOWED (RFC 4555 4.2.6): the addresses and ports
// from and to which the sender sent the message.
func (p *Notify) NoNATs() (src, dst netip.AddrPort, err error) {
	n := 4
	if len(p.Data) == 36 {
		n = 16
	}
	d, err := p.sized(2*n + 4)
	if err != nil {
		return src, dst, err
	}
	s, _ := netip.AddrFromSlice(d[:n])
	t, _ := netip.AddrFromSlice(d[n : 2*n])
	return netip.AddrPortFrom(s, binary.BigEndian.Uint16(d[2*n:])),
		netip.AddrPortFrom(t, binary.BigEndian.Uint16(d[2*n+2:])), nil
}

// AppendNoNATsData appends the data of NO_NATS_ALLOWED. Both addresses are of
// the same family.
func AppendNoNATsData(dst []byte, from, to netip.AddrPort) []byte {
	dst = AppendAddressData(dst, from.Addr())
	dst = AppendAddressData(dst, to.Addr())
	dst = binary.BigEndian.AppendUint16(dst, from.Port())
	return binary.BigEndian.AppendUint16(dst, to.Port())
}
