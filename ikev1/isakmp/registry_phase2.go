package isakmp

// Phase2Attribute is an attribute class of a Quick Mode transform: RFC 2407
// 4.5, IANA "IPSEC Security Association Attributes".
type Phase2Attribute uint16

// String returns the name, such as "SA-Life-Type".
func (t Phase2Attribute) String() string {
	return nameIn(phase2AttributeNames, t, "Phase2Attribute")
}

// Values.
const (
	Phase2LifeType            Phase2Attribute = 1  // basic, LifeType; of the SA-Life-Duration that follows
	Phase2LifeDuration        Phase2Attribute = 2  // either form
	Phase2Group               Phase2Attribute = 3  // basic, Group: with PFS
	Phase2EncapsulationMode   Phase2Attribute = 4  // basic, EncapsulationMode
	Phase2AuthAlgorithm       Phase2Attribute = 5  // basic, AuthAlgorithm
	Phase2KeyLength           Phase2Attribute = 6  // basic, in bits
	Phase2KeyRounds           Phase2Attribute = 7  // basic
	Phase2CompressDictSize    Phase2Attribute = 8  // basic, logarithm
	Phase2CompressPrivateAlg  Phase2Attribute = 9  // variable
	Phase2ECNTunnel           Phase2Attribute = 10 // basic, 1 allowed, 2 forbidden (RFC 3168)
	Phase2ESN                 Phase2Attribute = 11 // basic, 1 means 64-bit sequence numbers (RFC 4304)
	Phase2AuthKeyLength       Phase2Attribute = 12
	Phase2SignatureEncoding   Phase2Attribute = 13    // RFC 4359
	Phase2AddressPreservation Phase2Attribute = 14    // RFC 6407
	Phase2SADirection         Phase2Attribute = 15    // RFC 6407
	Phase2SecurityContext     Phase2Attribute = 32001 // private: SELinux label
)

var phase2AttributeNames = map[Phase2Attribute]string{
	Phase2LifeType:            "SA-Life-Type",
	Phase2LifeDuration:        "SA-Life-Duration",
	Phase2Group:               "Group-Description",
	Phase2EncapsulationMode:   "Encapsulation-Mode",
	Phase2AuthAlgorithm:       "Authentication-Algorithm",
	Phase2KeyLength:           "Key-Length",
	Phase2KeyRounds:           "Key-Rounds",
	Phase2CompressDictSize:    "Compress-Dictionary-Size",
	Phase2CompressPrivateAlg:  "Compress-Private-Algorithm",
	Phase2ECNTunnel:           "ECN Tunnel",
	Phase2ESN:                 "Extended (64-bit) Sequence Number",
	Phase2AuthKeyLength:       "Authentication Key Length",
	Phase2SignatureEncoding:   "Signature Encoding Algorithm",
	Phase2AddressPreservation: "Address Preservation",
	Phase2SADirection:         "SA Direction",
	Phase2SecurityContext:     "Security-Context",
}

// AHTransform is a transform of AH: RFC 2407 4.4.3, IANA "IPSEC AH Transform
// Identifiers". Its Authentication-Algorithm attribute must fit it.
type AHTransform uint8

// String returns the name with its protocol, such as "AH_SHA".
func (t AHTransform) String() string { return nameOf(ahNames[:], int(t), "AHTransform") }

// Values.
const (
	AHMD5        AHTransform = 2
	AHSHA        AHTransform = 3
	AHDES        AHTransform = 4
	AHSHA256     AHTransform = 5
	AHSHA384     AHTransform = 6
	AHSHA512     AHTransform = 7
	AHRIPEMD     AHTransform = 8
	AHAESXCBCMAC AHTransform = 9
	AHRSA        AHTransform = 10
	AHAES128GMAC AHTransform = 11
	AHAES192GMAC AHTransform = 12
	AHAES256GMAC AHTransform = 13
)

var ahNames = [...]string{
	AHMD5: "AH_MD5", AHSHA: "AH_SHA", AHDES: "AH_DES",
	AHSHA256: "AH_SHA2-256", AHSHA384: "AH_SHA2-384", AHSHA512: "AH_SHA2-512",
	AHRIPEMD: "AH_RIPEMD", AHAESXCBCMAC: "AH_AES-XCBC-MAC", AHRSA: "AH_RSA",
	AHAES128GMAC: "AH_AES-128-GMAC", AHAES192GMAC: "AH_AES-192-GMAC", AHAES256GMAC: "AH_AES-256-GMAC",
}

// ESPTransform is a transform of ESP: RFC 2407 4.4.4, IANA "IPSEC ESP
// Transform Identifiers".
type ESPTransform uint8

// String returns the name with its protocol, such as "ESP_AES".
func (t ESPTransform) String() string { return nameIn(espNames, t, "ESPTransform") }

// Values.
const (
	ESPDESIV64         ESPTransform = 1
	ESPDES             ESPTransform = 2
	ESP3DES            ESPTransform = 3
	ESPRC5             ESPTransform = 4
	ESPIDEA            ESPTransform = 5
	ESPCAST            ESPTransform = 6
	ESPBlowfish        ESPTransform = 7
	ESP3IDEA           ESPTransform = 8
	ESPDESIV32         ESPTransform = 9
	ESPRC4             ESPTransform = 10
	ESPNull            ESPTransform = 11
	ESPAES             ESPTransform = 12 // CBC (RFC 3602)
	ESPAESCTR          ESPTransform = 13 // RFC 3686
	ESPAESCCM8         ESPTransform = 14 // RFC 4309, ICV of 8 octets
	ESPAESCCM12        ESPTransform = 15
	ESPAESCCM16        ESPTransform = 16
	ESPAESGCM8         ESPTransform = 18 // RFC 4106, ICV of 8 octets
	ESPAESGCM12        ESPTransform = 19
	ESPAESGCM16        ESPTransform = 20
	ESPSEEDCBC         ESPTransform = 21 // RFC 4196
	ESPCamellia        ESPTransform = 22 // RFC 4312
	ESPNullAuthAESGMAC ESPTransform = 23 // RFC 4543

	// Private numbers that ipsec-tools and KAME kernels use.
	ESPKAMENull ESPTransform = 251
	ESPSerpent  ESPTransform = 252
	ESPTwofish  ESPTransform = 253
)

var espNames = map[ESPTransform]string{
	ESPDESIV64: "ESP_DES-IV64", ESPDES: "ESP_DES", ESP3DES: "ESP_3DES", ESPRC5: "ESP_RC5", ESPIDEA: "ESP_IDEA",
	ESPCAST: "ESP_CAST", ESPBlowfish: "ESP_BLOWFISH", ESP3IDEA: "ESP_3IDEA", ESPDESIV32: "ESP_DES-IV32",
	ESPRC4: "ESP_RC4", ESPNull: "ESP_NULL", ESPAES: "ESP_AES", ESPAESCTR: "ESP_AES-CTR",
	ESPAESCCM8: "ESP_AES-CCM_8", ESPAESCCM12: "ESP_AES-CCM_12", ESPAESCCM16: "ESP_AES-CCM_16",
	ESPAESGCM8: "ESP_AES-GCM_8", ESPAESGCM12: "ESP_AES-GCM_12", ESPAESGCM16: "ESP_AES-GCM_16",
	ESPSEEDCBC: "ESP_SEED-CBC", ESPCamellia: "ESP_CAMELLIA", ESPNullAuthAESGMAC: "ESP_NULL-AUTH-AES-GMAC",
	24: "ESP_CAMELLIA-CTR", 25: "ESP_CAMELLIA-CCM_8", 26: "ESP_CAMELLIA-CCM_12", 27: "ESP_CAMELLIA-CCM_16",
	249: "ESP_MARS", 250: "ESP_RC6", ESPKAMENull: "ESP_KAME-NULL", ESPSerpent: "ESP_SERPENT", ESPTwofish: "ESP_TWOFISH",
}

// IPCompTransform is a transform of IPComp: RFC 2407 4.4.5, IANA "IPSEC
// IPCOMP Transform Identifiers".
type IPCompTransform uint8

// String returns the name with its protocol, such as "IPCOMP_DEFLATE".
func (t IPCompTransform) String() string { return nameOf(ipcompNames[:], int(t), "IPCompTransform") }

// Values.
const (
	IPCompOUI     IPCompTransform = 1
	IPCompDeflate IPCompTransform = 2
	IPCompLZS     IPCompTransform = 3
	IPCompLZJH    IPCompTransform = 4
)

var ipcompNames = [...]string{IPCompOUI: "IPCOMP_OUI", IPCompDeflate: "IPCOMP_DEFLATE", IPCompLZS: "IPCOMP_LZS", IPCompLZJH: "IPCOMP_LZJH"}

// EncapsulationMode is a mode of an IPsec SA: RFC 2407 4.5, RFC 3947 5.1.
type EncapsulationMode uint16

// String returns the name, such as "Tunnel".
func (t EncapsulationMode) String() string { return nameIn(encapsulationNames, t, "EncapsulationMode") }

// Values.
const (
	EncapsulationTunnel            EncapsulationMode = 1
	EncapsulationTransport         EncapsulationMode = 2
	EncapsulationUDPTunnel         EncapsulationMode = 3     // RFC 3947
	EncapsulationUDPTransport      EncapsulationMode = 4     // RFC 3947
	EncapsulationCheckPointUDP     EncapsulationMode = 61440 // Check Point
	EncapsulationUDPTunnelDraft    EncapsulationMode = 61443 // draft-ietf-ipsec-nat-t-ike-00 to 03
	EncapsulationUDPTransportDraft EncapsulationMode = 61444 // draft-ietf-ipsec-nat-t-ike-00 to 03
)

var encapsulationNames = map[EncapsulationMode]string{
	EncapsulationTunnel:            "Tunnel",
	EncapsulationTransport:         "Transport",
	EncapsulationUDPTunnel:         "UDP-Encapsulated-Tunnel",
	EncapsulationUDPTransport:      "UDP-Encapsulated-Transport",
	EncapsulationCheckPointUDP:     "Check Point IPSec UDP Encapsulation",
	EncapsulationUDPTunnelDraft:    "UDP-Encapsulated-Tunnel (draft)",
	EncapsulationUDPTransportDraft: "UDP-Encapsulated-Transport (draft)",
}

// AuthAlgorithm is an integrity algorithm of an IPsec SA: RFC 2407 4.5, IANA
// "IPSEC Security Association Authentication Algorithm".
type AuthAlgorithm uint16

// String returns the name, such as "HMAC-SHA".
func (t AuthAlgorithm) String() string { return nameIn(authAlgorithmNames, t, "AuthAlgorithm") }

// Values.
const (
	AuthAlgorithmHMACMD5    AuthAlgorithm = 1
	AuthAlgorithmHMACSHA    AuthAlgorithm = 2 // SHA-1
	AuthAlgorithmDESMAC     AuthAlgorithm = 3
	AuthAlgorithmKPDK       AuthAlgorithm = 4
	AuthAlgorithmHMACSHA256 AuthAlgorithm = 5
	AuthAlgorithmHMACSHA384 AuthAlgorithm = 6
	AuthAlgorithmHMACSHA512 AuthAlgorithm = 7
	AuthAlgorithmHMACRIPEMD AuthAlgorithm = 8
	AuthAlgorithmAESXCBCMAC AuthAlgorithm = 9
	AuthAlgorithmSigRSA     AuthAlgorithm = 10
	AuthAlgorithmAES128GMAC AuthAlgorithm = 11
	AuthAlgorithmAES192GMAC AuthAlgorithm = 12
	AuthAlgorithmAES256GMAC AuthAlgorithm = 13

	AuthAlgorithmKAMENull AuthAlgorithm = 251 // private, of KAME
)

var authAlgorithmNames = map[AuthAlgorithm]string{
	AuthAlgorithmHMACMD5: "HMAC-MD5", AuthAlgorithmHMACSHA: "HMAC-SHA", AuthAlgorithmDESMAC: "DES-MAC", AuthAlgorithmKPDK: "KPDK",
	AuthAlgorithmHMACSHA256: "HMAC-SHA2-256", AuthAlgorithmHMACSHA384: "HMAC-SHA2-384", AuthAlgorithmHMACSHA512: "HMAC-SHA2-512",
	AuthAlgorithmHMACRIPEMD: "HMAC-RIPEMD", AuthAlgorithmAESXCBCMAC: "AES-XCBC-MAC", AuthAlgorithmSigRSA: "SIG-RSA",
	AuthAlgorithmAES128GMAC: "AES-128-GMAC", AuthAlgorithmAES192GMAC: "AES-192-GMAC", AuthAlgorithmAES256GMAC: "AES-256-GMAC",
	250: "AES-CMAC-96", AuthAlgorithmKAMENull: "KAME-NULL", 252: "HMAC-SHA2-256-TRUNCBUG",
}
