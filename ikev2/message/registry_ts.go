package message

// TSType is a traffic selector type: IANA "IKEv2 Traffic Selector Types".
type TSType uint8

// String returns the IANA name, such as "TS_IPV4_ADDR_RANGE".
func (t TSType) String() string { return nameOf(tSTypeNames[:], int(t), "TSType") }

// Values.
const (
	TSIPv4AddrRange TSType = 7
	TSIPv6AddrRange TSType = 8
	TSFCAddrRange   TSType = 9  // RFC 4595
	TSSecLabel      TSType = 10 // RFC 9478
)

var tSTypeNames = [...]string{
	TSIPv4AddrRange: "TS_IPV4_ADDR_RANGE",
	TSIPv6AddrRange: "TS_IPV6_ADDR_RANGE",
	TSFCAddrRange:   "TS_FC_ADDR_RANGE",
	TSSecLabel:      "TS_SECLABEL",
}
