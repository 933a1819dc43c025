package pfkey

import "encoding/binary"

// NATTESPinUDP is the encapsulation of RFC 3948, in [NATTType] and for the
// socket option UDP_ENCAP.
const NATTESPinUDP uint8 = 2

// NATTNonIKE is the encapsulation of draft-ietf-ipsec-udp-encaps-00 and -01, with
// the non-IKE marker on the port of IKE; older Linux has it, for [NATTType] and the
// socket option.
const NATTNonIKE uint8 = 1

// NATTType is the X_NAT_T_TYPE extension: how an SA's packets are
// encapsulated. NetBSD shows it with 0, none, in every SA.
type NATTType struct{ Encap uint8 }

// Ext implements [Extension].
func (*NATTType) Ext() ExtType { return ExtNATTType }

func (e *NATTType) appendBody(_ *Dialect, b []byte) ([]byte, error) {
	return append(b, e.Encap, 0, 0, 0), nil
}

func (d *Dialect) parseNATTType(b []byte) (Extension, error) {
	if err := need(b, 8); err != nil {
		return nil, err
	}
	return &NATTType{Encap: b[4]}, nil
}

// NATTPort is the X_NAT_T_SPORT or X_NAT_T_DPORT extension, the UDP port on
// the side of the SA's source or destination, or OpenBSD's X_UDPENCAP, the
// peer's.
type NATTPort struct {
	Type ExtType
	Port uint16
}

// Ext implements [Extension].
func (e *NATTPort) Ext() ExtType { return e.Type }

func (e *NATTPort) appendBody(_ *Dialect, b []byte) ([]byte, error) {
	return append(binary.BigEndian.AppendUint16(b, e.Port), 0, 0), nil
}

func (d *Dialect) parseNATTPort(t ExtType, b []byte) (Extension, error) {
	if err := need(b, 8); err != nil {
		return nil, err
	}
	return &NATTPort{Type: t, Port: binary.BigEndian.Uint16(b[4:])}, nil
}

// NATTFrag is the X_NAT_T_FRAG extension: packets above this size are
// fragmented before ESP.
type NATTFrag struct{ Size uint16 }

// Ext implements [Extension].
func (*NATTFrag) Ext() ExtType { return ExtNATTFrag }

func (e *NATTFrag) appendBody(d *Dialect, b []byte) ([]byte, error) {
	return append(d.order.AppendUint16(b, e.Size), 0, 0), nil
}

func (d *Dialect) parseNATTFrag(b []byte) (Extension, error) {
	if err := need(b, 8); err != nil {
		return nil, err
	}
	return &NATTFrag{Size: d.order.Uint16(b[4:])}, nil
}

// SAReplay is FreeBSD's X_SA_REPLAY extension: the replay window in packets.
type SAReplay struct{ Window uint32 }

// Ext implements [Extension].
func (*SAReplay) Ext() ExtType { return ExtSAReplay }

func (e *SAReplay) appendBody(d *Dialect, b []byte) ([]byte, error) {
	return d.order.AppendUint32(b, e.Window), nil
}

func (d *Dialect) parseSAReplay(b []byte) (Extension, error) {
	if err := need(b, 8); err != nil {
		return nil, err
	}
	return &SAReplay{Window: d.order.Uint32(b[4:])}, nil
}
