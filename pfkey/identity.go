package pfkey

import "bytes"

// IdentityType is the kind of an identity (RFC 2367 2.3.5).
type IdentityType uint16

// Identity types.
const (
	IdentityPrefix   IdentityType = 1
	IdentityFQDN     IdentityType = 2
	IdentityUserFQDN IdentityType = 3
	IdentityASN1DN   IdentityType = 4 // OpenBSD; an address on FreeBSD, NetBSD and macOS
)

// Identity is one of the identity extensions (RFC 2367 2.3.5).
type Identity struct {
	Type   ExtType
	Kind   IdentityType
	UserID uint64
	Name   []byte // without the NUL octets at its end
}

// Ext implements [Extension].
func (e *Identity) Ext() ExtType { return e.Type }

func (e *Identity) appendBody(d *Dialect, b []byte) ([]byte, error) {
	b = d.order.AppendUint16(b, uint16(e.Kind))
	b = append(b, 0, 0)
	b = d.order.AppendUint64(b, e.UserID)
	if len(e.Name) == 0 {
		return b, nil
	}
	return append(append(b, e.Name...), 0), nil
}

func (d *Dialect) parseIdentity(t ExtType, b []byte) (Extension, error) {
	if err := need(b, 16); err != nil {
		return nil, err
	}
	return &Identity{Type: t, Kind: IdentityType(d.order.Uint16(b[4:])), UserID: d.order.Uint64(b[8:]), Name: bytes.TrimRight(b[16:], "\x00")}, nil
}

// Sensitivity is the SENSITIVITY extension (RFC 2367 2.3.6).
type Sensitivity struct {
	DPD               uint32 // protection domain
	Level, IntegLevel uint8
	Bitmap, Integ     []byte // multiples of 8 octets
}

// Ext implements [Extension].
func (*Sensitivity) Ext() ExtType { return ExtSensitivity }

func (e *Sensitivity) appendBody(d *Dialect, b []byte) ([]byte, error) {
	if len(e.Bitmap)%8 != 0 || len(e.Integ)%8 != 0 || len(e.Bitmap) > 255*8 || len(e.Integ) > 255*8 {
		return b, parseError("length of a bitmap")
	}
	b = d.order.AppendUint32(b, e.DPD)
	b = append(b, e.Level, byte(len(e.Bitmap)/8), e.IntegLevel, byte(len(e.Integ)/8), 0, 0, 0, 0)
	return append(append(b, e.Bitmap...), e.Integ...), nil
}

func (d *Dialect) parseSensitivity(b []byte) (Extension, error) {
	if err := need(b, 16); err != nil {
		return nil, err
	}
	n, m := int(b[9])*8, int(b[11])*8
	if err := need(b, 16+n+m); err != nil {
		return nil, err
	}
	return &Sensitivity{DPD: d.order.Uint32(b[4:]), Level: b[8], IntegLevel: b[10], Bitmap: b[16 : 16+n], Integ: b[16+n : 16+n+m]}, nil
}
