package spd

import "fmt"

// TransformType is the kind of an algorithm in a proposal: IANA "Transform
// Type Values" of IKEv2 (RFC 7296 3.3.2, RFC 9370 for the additional key
// exchanges).
type TransformType uint8

// Transform types.
const (
	TransformENCR   TransformType = 1  // encryption algorithm
	TransformPRF    TransformType = 2  // pseudorandom function
	TransformINTEG  TransformType = 3  // integrity algorithm
	TransformKE     TransformType = 4  // key exchange method (Diffie-Hellman group)
	TransformESN    TransformType = 5  // sequence numbers
	TransformADDKE1 TransformType = 6  // first additional key exchange (RFC 9370)
	TransformADDKE7 TransformType = 12 // seventh additional key exchange
)

func (t TransformType) String() string {
	switch t {
	case TransformENCR:
		return "ENCR"
	case TransformPRF:
		return "PRF"
	case TransformINTEG:
		return "INTEG"
	case TransformKE:
		return "KE"
	case TransformESN:
		return "ESN"
	}
	if t >= TransformADDKE1 && t <= TransformADDKE7 {
		return fmt.Sprintf("ADDKE%d", t-TransformADDKE1+1)
	}
	return fmt.Sprintf("TransformType(%d)", uint8(t))
}

// Encryption algorithms: IANA "Transform Type 1 - Encryption Algorithm
// Transform IDs".
const (
	Encr3DES             uint16 = 3  // RFC 2451
	EncrCAST             uint16 = 6  // RFC 2451; for IKEv1
	EncrBlowfish         uint16 = 7  // RFC 2451; for IKEv1
	EncrNULL             uint16 = 11 // RFC 2410
	EncrAESCBC           uint16 = 12 // RFC 3602
	EncrAESCTR           uint16 = 13 // RFC 3686, RFC 5930
	EncrAESCCM8          uint16 = 14 // RFC 4309, RFC 5282
	EncrAESCCM12         uint16 = 15
	EncrAESCCM16         uint16 = 16
	EncrAESGCM8          uint16 = 18 // RFC 4106, RFC 5282
	EncrAESGCM12         uint16 = 19
	EncrAESGCM16         uint16 = 20
	EncrNULLAESGMAC      uint16 = 21 // RFC 4543
	EncrCamelliaCBC      uint16 = 23 // RFC 5529
	EncrChaCha20Poly1305 uint16 = 28 // RFC 7634
)

// Pseudorandom functions: IANA "Transform Type 2".
const (
	PRFHMACMD5    uint16 = 1 // RFC 2104
	PRFHMACSHA1   uint16 = 2
	PRFAES128XCBC uint16 = 4 // RFC 4434
	PRFHMACSHA256 uint16 = 5 // RFC 4868
	PRFHMACSHA384 uint16 = 6
	PRFHMACSHA512 uint16 = 7
	PRFAES128CMAC uint16 = 8 // RFC 4615
)

// Integrity algorithms: IANA "Transform Type 3".
const (
	IntegNone           uint16 = 0
	IntegHMACMD5_96     uint16 = 1 // RFC 2403
	IntegHMACSHA1_96    uint16 = 2 // RFC 2404
	IntegAESXCBC96      uint16 = 5 // RFC 3566
	IntegAESCMAC96      uint16 = 8 // RFC 4494
	IntegAES128GMAC     uint16 = 9 // RFC 4543, AH only
	IntegAES192GMAC     uint16 = 10
	IntegAES256GMAC     uint16 = 11
	IntegHMACSHA256_128 uint16 = 12 // RFC 4868
	IntegHMACSHA384_192 uint16 = 13
	IntegHMACSHA512_256 uint16 = 14
)

// Sequence numbers: IANA "Transform Type 5".
const (
	ESNNone     uint16 = 0 // 32-bit sequence numbers
	ESNExtended uint16 = 1 // 64-bit sequence numbers (RFC 4303 2.2.1)
)

// A Transform is one algorithm of a proposal.
type Transform struct {
	Type   TransformType
	ID     uint16 // IANA number within the type
	KeyLen uint16 // Key Length attribute in bits; 0 where the algorithm has one length or the attribute is absent
}

// Protocol is a security protocol by its IPsec DOI number (RFC 2407 4.4.1);
// IKEv2 uses the same numbers for the first three (RFC 7296 3.3.1).
type Protocol uint8

// Security protocols.
const (
	ProtoIKE    Protocol = 1
	ProtoAH     Protocol = 2
	ProtoESP    Protocol = 3
	ProtoIPComp Protocol = 4 // IKEv2 negotiates it by notify, not by a proposal (RFC 7296 2.22)
)

func (p Protocol) String() string {
	switch p {
	case ProtoIKE:
		return "IKE"
	case ProtoAH:
		return "AH"
	case ProtoESP:
		return "ESP"
	case ProtoIPComp:
		return "IPCOMP"
	}
	return fmt.Sprintf("Protocol(%d)", uint8(p))
}
