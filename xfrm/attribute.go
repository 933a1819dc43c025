package xfrm

import "encoding/binary"

// AttributeType is the type of a netlink attribute of an XFRM message (enum
// xfrm_attr_type_t).
type AttributeType uint16

// Attribute types.
const (
	AttrAuth           AttributeType = 1  // integrity algorithm with its default truncation
	AttrCrypt          AttributeType = 2  // encryption algorithm
	AttrComp           AttributeType = 3  // compression algorithm
	AttrEncap          AttributeType = 4  // ESP in UDP or TCP
	AttrTemplate       AttributeType = 5  // templates of a policy
	AttrSA             AttributeType = 6  // the SA that was deleted
	AttrPolicy         AttributeType = 7  // the policy that was deleted
	AttrSecCtx         AttributeType = 8  // security label
	AttrUsage          AttributeType = 9  // LTIME_VAL: current lifetime
	AttrReplay         AttributeType = 10 // replay state, 32 packets
	AttrReplayThresh   AttributeType = 11
	AttrTimerThresh    AttributeType = 12
	AttrSrcAddr        AttributeType = 13
	AttrCoAddr         AttributeType = 14 // care-of address of a mobile node
	AttrLastUsed       AttributeType = 15
	AttrPolicyType     AttributeType = 16
	AttrMigrate        AttributeType = 17
	AttrAEAD           AttributeType = 18
	AttrKMAddress      AttributeType = 19
	AttrAuthTrunc      AttributeType = 20 // integrity algorithm with its truncation
	AttrMark           AttributeType = 21
	AttrTFCPad         AttributeType = 22
	AttrReplayESN      AttributeType = 23 // replay state, any window
	AttrExtraFlags     AttributeType = 24
	AttrProto          AttributeType = 25
	AttrAddressFilter  AttributeType = 26
	AttrPad            AttributeType = 27
	AttrOffload        AttributeType = 28
	AttrSetMark        AttributeType = 29
	AttrSetMarkMask    AttributeType = 30
	AttrInterfaceID    AttributeType = 31
	AttrMappingThresh  AttributeType = 32 // seconds between MAPPING messages
	AttrSADirection    AttributeType = 33
	AttrNATKeepalive   AttributeType = 34 // seconds between keepalives that the kernel sends
	AttrCPU            AttributeType = 35
	AttrIPTFSDropTime  AttributeType = 36 // IP-TFS (RFC 9347), kept as unknown
	AttrIPTFSReorder   AttributeType = 37
	AttrIPTFSDontFrag  AttributeType = 38
	AttrIPTFSInitDelay AttributeType = 39
	AttrIPTFSMaxQueue  AttributeType = 40
	AttrIPTFSPktSize   AttributeType = 41
)

// An Attribute is one that this package has no field for. In a parsed message
// its value shares memory with the input.
type Attribute struct {
	Type  AttributeType
	Value []byte
}

const attributeHeader = 4

// beginAttribute appends the header of an attribute whose value the caller
// appends next; endAttribute completes it.
func beginAttribute(b []byte, t AttributeType) (_ []byte, start int) {
	return append16(append16(b, 0), uint16(t)), len(b)
}

func endAttribute(b []byte, start int) []byte {
	n := len(b) - start
	binary.NativeEndian.PutUint16(b[start:], uint16(n))
	return pad(b, -n&3)
}

func appendAttr(b []byte, t AttributeType, value []byte) []byte {
	b, at := beginAttribute(b, t)
	return endAttribute(append(b, value...), at)
}

func appendAttr8(b []byte, t AttributeType, v uint8) []byte {
	b, at := beginAttribute(b, t)
	return endAttribute(append(b, v), at)
}

func appendAttr32(b []byte, t AttributeType, v uint32) []byte {
	b, at := beginAttribute(b, t)
	return endAttribute(append32(b, v), at)
}

func appendAttr64(b []byte, t AttributeType, v uint64) []byte {
	b, at := beginAttribute(b, t)
	return endAttribute(append64(b, v), at)
}

func appendUnknown(b []byte, as []Attribute) []byte {
	for _, a := range as {
		b = appendAttr(b, a.Type, a.Value)
	}
	return b
}

// maxUnknown is how many attributes without a field a message may have: the
// kernel has some forty types.
const maxUnknown = 64

// keepUnknown adds an attribute without a field.
func keepUnknown(as []Attribute, t AttributeType, v []byte) ([]Attribute, error) {
	if len(as) >= maxUnknown {
		return as, syntaxError(t, "too many unknown attributes")
	}
	return append(as, Attribute{t, v}), nil
}

// attributes calls f with each attribute of b until it returns an error.
// Nested and byte order flags are masked off, as the kernel does.
func attributes(b []byte, f func(t AttributeType, v []byte) error) error {
	for len(b) > 0 {
		if len(b) < attributeHeader {
			// Trailing padding of a message, which netlink allows.
			return nil
		}
		n := int(binary.NativeEndian.Uint16(b))
		t := AttributeType(binary.NativeEndian.Uint16(b[2:]) & 0x3fff)
		if n < attributeHeader || n > len(b) {
			return syntaxError(t, "attribute length is wrong")
		}
		if err := f(t, b[attributeHeader:n:n]); err != nil {
			return err
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return nil
}

// value reads an attribute that has a fixed layout.
func value(t AttributeType, v []byte, f func(c *cursor)) error {
	c := cursor{b: v}
	f(&c)
	if c.short {
		return syntaxError(t, "attribute is cut short")
	}
	return nil
}

func value32(t AttributeType, v []byte, p *uint32) error {
	if len(v) < 4 {
		return syntaxError(t, "attribute is cut short")
	}
	*p = binary.NativeEndian.Uint32(v)
	return nil
}
