package xfrm

import (
	"encoding/binary"
	"net/netip"
)

// The kernel talks in its own byte order, but for SPIs, ports and addresses.
func append16(b []byte, v uint16) []byte { return binary.NativeEndian.AppendUint16(b, v) }
func append32(b []byte, v uint32) []byte { return binary.NativeEndian.AppendUint32(b, v) }
func append64(b []byte, v uint64) []byte { return binary.NativeEndian.AppendUint64(b, v) }

func appendPort(b []byte, v uint16) []byte { return binary.BigEndian.AppendUint16(b, v) }
func appendSPI(b []byte, v uint32) []byte  { return binary.BigEndian.AppendUint32(b, v) }

var zeros [64]byte

func pad(b []byte, n int) []byte { return append(b, zeros[:n]...) }

// appendAddr appends an xfrm_address_t: 16 octets, of which IPv4 uses the
// first four. Which it is, a family field elsewhere says.
func appendAddr(b []byte, a netip.Addr) []byte {
	switch {
	case a.Is4():
		v := a.As4()
		return pad(append(b, v[:]...), 12)
	case a.Is6():
		v := a.As16()
		return append(b, v[:]...)
	}
	return pad(b, 16)
}

// Address families as Linux numbers them, on every system.
const (
	familyUnspec uint16 = 0
	familyIPv4   uint16 = 2
	familyIPv6   uint16 = 10
)

func familyOf(a netip.Addr) uint16 {
	switch {
	case a.Is4():
		return familyIPv4
	case a.Is6():
		return familyIPv6
	}
	return familyUnspec
}

// familyOfAny is the family of the first valid address.
func familyOfAny(as ...netip.Addr) uint16 {
	for _, a := range as {
		if a.IsValid() {
			return familyOf(a)
		}
	}
	return familyUnspec
}

// address interprets an xfrm_address_t by its family; of an unknown family it
// is invalid.
func address(raw [16]byte, family uint16) netip.Addr {
	switch family {
	case familyIPv4:
		return netip.AddrFrom4([4]byte(raw[:4]))
	case familyIPv6:
		return netip.AddrFrom16(raw)
	}
	return netip.Addr{}
}

// A cursor reads fixed fields. After the end of the input it returns zeros, and
// short is set.
type cursor struct {
	b     []byte
	short bool
}

func (c *cursor) take(n int) []byte {
	if len(c.b) < n {
		c.b, c.short = nil, true
		return zeros[:n]
	}
	v := c.b[:n]
	c.b = c.b[n:]
	return v
}

func (c *cursor) skip(n int)   { c.take(n) }
func (c *cursor) u8() uint8    { return c.take(1)[0] }
func (c *cursor) u16() uint16  { return binary.NativeEndian.Uint16(c.take(2)) }
func (c *cursor) u32() uint32  { return binary.NativeEndian.Uint32(c.take(4)) }
func (c *cursor) u64() uint64  { return binary.NativeEndian.Uint64(c.take(8)) }
func (c *cursor) port() uint16 { return binary.BigEndian.Uint16(c.take(2)) }
func (c *cursor) spi() uint32  { return binary.BigEndian.Uint32(c.take(4)) }

func (c *cursor) addr() [16]byte { return [16]byte(c.take(16)) }
