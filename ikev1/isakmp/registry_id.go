package isakmp

// IDType is an identification type: RFC 2407 4.6.2.1, IANA "IPSEC
// Identification Type".
type IDType uint8

// String returns the name, such as "ID_FQDN".
func (t IDType) String() string { return nameOf(idTypeNames[:], int(t), "IDType") }

// Values.
const (
	IDIPv4Addr       IDType = 1  // 4 octets
	IDFQDN           IDType = 2  // without a trailing zero
	IDUserFQDN       IDType = 3  // mail address
	IDIPv4AddrSubnet IDType = 4  // address and netmask
	IDIPv6Addr       IDType = 5  // 16 octets
	IDIPv6AddrSubnet IDType = 6  // address and netmask
	IDIPv4AddrRange  IDType = 7  // first and last address
	IDIPv6AddrRange  IDType = 8  // first and last address
	IDDERASN1DN      IDType = 9  // DER of a Distinguished Name
	IDDERASN1GN      IDType = 10 // DER of a GeneralName
	IDKeyID          IDType = 11 // opaque
	IDList           IDType = 12 // RFC 3554
)

var idTypeNames = [...]string{
	IDIPv4Addr:       "ID_IPV4_ADDR",
	IDFQDN:           "ID_FQDN",
	IDUserFQDN:       "ID_USER_FQDN",
	IDIPv4AddrSubnet: "ID_IPV4_ADDR_SUBNET",
	IDIPv6Addr:       "ID_IPV6_ADDR",
	IDIPv6AddrSubnet: "ID_IPV6_ADDR_SUBNET",
	IDIPv4AddrRange:  "ID_IPV4_ADDR_RANGE",
	IDIPv6AddrRange:  "ID_IPV6_ADDR_RANGE",
	IDDERASN1DN:      "ID_DER_ASN1_DN",
	IDDERASN1GN:      "ID_DER_ASN1_GN",
	IDKeyID:          "ID_KEY_ID",
	IDList:           "ID_LIST",
}
