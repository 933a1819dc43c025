package message

// PPKIDType is the type of a postquantum preshared key's name: IANA "IKEv2
// Post-quantum Preshared Key ID Types" (RFC 8784).
type PPKIDType uint8

// String returns the IANA name, such as "PPK_ID_FIXED".
func (t PPKIDType) String() string { return nameOf(pPKIDTypeNames[:], int(t), "PPKIDType") }

// Values.
const (
	PPKIDOpaque PPKIDType = 1
	PPKIDFixed  PPKIDType = 2
)

var pPKIDTypeNames = [...]string{
	PPKIDOpaque: "PPK_ID_OPAQUE",
	PPKIDFixed:  "PPK_ID_FIXED",
}
