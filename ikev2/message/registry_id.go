package message

// IDType is an identification type: IANA "IKEv2 Identification Payload ID
// Types".
type IDType uint8

// String returns the IANA name, such as "ID_FQDN".
func (t IDType) String() string { return nameOf(iDTypeNames[:], int(t), "IDType") }

// Values.
const (
	IDIPv4Addr   IDType = 1  // 4 octets
	IDFQDN       IDType = 2  // ASCII, without a trailing zero
	IDRFC822Addr IDType = 3  // mail address
	IDIPv6Addr   IDType = 5  // 16 octets
	IDDERASN1DN  IDType = 9  // DER of a Distinguished Name
	IDDERASN1GN  IDType = 10 // DER of a GeneralName
	IDKeyID      IDType = 11 // opaque
	IDFCName     IDType = 12 // RFC 4595
	IDNull       IDType = 13 // RFC 7619
)

var iDTypeNames = [...]string{
	IDIPv4Addr:   "ID_IPV4_ADDR",
	IDFQDN:       "ID_FQDN",
	IDRFC822Addr: "ID_RFC822_ADDR",
	IDIPv6Addr:   "ID_IPV6_ADDR",
	IDDERASN1DN:  "ID_DER_ASN1_DN",
	IDDERASN1GN:  "ID_DER_ASN1_GN",
	IDKeyID:      "ID_KEY_ID",
	IDFCName:     "ID_FC_NAME",
	IDNull:       "ID_NULL",
}
