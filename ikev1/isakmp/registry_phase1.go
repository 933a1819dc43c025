package isakmp

// KeyIKE is the only transform of protocol ISAKMP (RFC 2407 4.4.2).
const KeyIKE uint8 = 1

// Phase1Attribute is an attribute class of a phase 1 transform: RFC 2409
// Appendix A, IANA "IPSEC Registry: IKE Attributes".
type Phase1Attribute uint16

// String returns the name, such as "Encryption-Algorithm".
func (t Phase1Attribute) String() string {
	return nameIn(phase1AttributeNames, t, "Phase1Attribute")
}

// Values.
const (
	Phase1EncryptionAlgorithm Phase1Attribute = 1  // basic, EncryptionAlgorithm
	Phase1HashAlgorithm       Phase1Attribute = 2  // basic, HashAlgorithm
	Phase1AuthMethod          Phase1Attribute = 3  // basic, AuthMethod
	Phase1Group               Phase1Attribute = 4  // basic, Group
	Phase1GroupType           Phase1Attribute = 5  // basic, GroupType
	Phase1GroupPrime          Phase1Attribute = 6  // variable
	Phase1GroupGeneratorOne   Phase1Attribute = 7  // variable
	Phase1GroupGeneratorTwo   Phase1Attribute = 8  // variable
	Phase1GroupCurveA         Phase1Attribute = 9  // variable
	Phase1GroupCurveB         Phase1Attribute = 10 // variable
	Phase1LifeType            Phase1Attribute = 11 // basic, LifeType; of the Life-Duration that follows
	Phase1LifeDuration        Phase1Attribute = 12 // either form
	Phase1PRF                 Phase1Attribute = 13 // basic; no value is assigned
	Phase1KeyLength           Phase1Attribute = 14 // basic, in bits
	Phase1FieldSize           Phase1Attribute = 15 // basic, in bits
	Phase1GroupOrder          Phase1Attribute = 16 // variable
	Phase1BlockSize           Phase1Attribute = 17
	Phase1AsymmetricAlgorithm Phase1Attribute = 20    // of a Chinese profile
	Phase1GSSIdentityName     Phase1Attribute = 16384 // private, variable: draft-ietf-ipsec-isakmp-gss-auth, with AuthGSSAPI
)

var phase1AttributeNames = map[Phase1Attribute]string{
	Phase1EncryptionAlgorithm: "Encryption-Algorithm",
	Phase1HashAlgorithm:       "Hash-Algorithm",
	Phase1AuthMethod:          "Authentication-Method",
	Phase1Group:               "Group-Description",
	Phase1GroupType:           "Group-Type",
	Phase1GroupPrime:          "Group-Prime",
	Phase1GroupGeneratorOne:   "Group-Generator-One",
	Phase1GroupGeneratorTwo:   "Group-Generator-Two",
	Phase1GroupCurveA:         "Group-Curve-A",
	Phase1GroupCurveB:         "Group-Curve-B",
	Phase1LifeType:            "Life-Type",
	Phase1LifeDuration:        "Life-Duration",
	Phase1PRF:                 "PRF",
	Phase1KeyLength:           "Key-Length",
	Phase1FieldSize:           "Field-Size",
	Phase1GroupOrder:          "Group-Order",
	Phase1BlockSize:           "Block-Size",
	Phase1AsymmetricAlgorithm: "Asymmetric-Cryptographic-Algorithm-Type",
	Phase1GSSIdentityName:     "GSS-Identity-Name",
}

// EncryptionAlgorithm is an encryption algorithm of phase 1: RFC 2409 Appendix
// A, IANA "Encryption Algorithm".
type EncryptionAlgorithm uint16

// String returns the name, such as "AES-CBC".
func (t EncryptionAlgorithm) String() string {
	return nameIn(encryptionNames, t, "EncryptionAlgorithm")
}

// Values.
const (
	EncryptionDESCBC      EncryptionAlgorithm = 1
	EncryptionIDEACBC     EncryptionAlgorithm = 2
	EncryptionBlowfishCBC EncryptionAlgorithm = 3
	EncryptionRC5CBC      EncryptionAlgorithm = 4
	Encryption3DESCBC     EncryptionAlgorithm = 5
	EncryptionCASTCBC     EncryptionAlgorithm = 6
	EncryptionAESCBC      EncryptionAlgorithm = 7
	EncryptionCamelliaCBC EncryptionAlgorithm = 8 // RFC 4312
	EncryptionSM1CBC      EncryptionAlgorithm = 128
	EncryptionSM4CBC      EncryptionAlgorithm = 129 // 127 before
)

var encryptionNames = map[EncryptionAlgorithm]string{
	EncryptionDESCBC:      "DES-CBC",
	EncryptionIDEACBC:     "IDEA-CBC",
	EncryptionBlowfishCBC: "BLOWFISH-CBC",
	EncryptionRC5CBC:      "RC5-R16-B64-CBC",
	Encryption3DESCBC:     "3DES-CBC",
	EncryptionCASTCBC:     "CAST-CBC",
	EncryptionAESCBC:      "AES-CBC",
	EncryptionCamelliaCBC: "CAMELLIA-CBC",
	127:                   "SM4-CBC (DEPRECATED)",
	EncryptionSM1CBC:      "SM1-CBC",
	EncryptionSM4CBC:      "SM4-CBC",
}

// HashAlgorithm is a hash algorithm of phase 1: RFC 2409 Appendix A, IANA
// "Hash Algorithm".
type HashAlgorithm uint16

// String returns the name, such as "SHA2-256".
func (t HashAlgorithm) String() string { return nameIn(hashNames, t, "HashAlgorithm") }

// Values.
const (
	HashMD5    HashAlgorithm = 1
	HashSHA    HashAlgorithm = 2 // SHA-1
	HashTiger  HashAlgorithm = 3
	HashSHA256 HashAlgorithm = 4
	HashSHA384 HashAlgorithm = 5
	HashSHA512 HashAlgorithm = 6
	HashSM3    HashAlgorithm = 20
)

var hashNames = map[HashAlgorithm]string{
	HashMD5: "MD5", HashSHA: "SHA", HashTiger: "TIGER",
	HashSHA256: "SHA2-256", HashSHA384: "SHA2-384", HashSHA512: "SHA2-512", HashSM3: "SM3",
}

// AuthMethod is an authentication method of phase 1: RFC 2409 Appendix A, IANA
// "IPSEC Authentication Methods", and private numbers.
type AuthMethod uint16

// String returns the name, such as "Pre-shared key".
func (t AuthMethod) String() string { return nameIn(authMethodNames, t, "AuthMethod") }

// Values. In draft-ietf-ipsec-isakmp-hybrid-auth and draft-beaulieu-ike-xauth
// "Init" means that the initiator of phase 1 is the client, which is the side
// that XAuth authenticates, and "Resp" that the responder is.
const (
	AuthPreSharedKey      AuthMethod = 1
	AuthDSSSignature      AuthMethod = 2
	AuthRSASignature      AuthMethod = 3
	AuthRSAEncryption     AuthMethod = 4
	AuthRevisedEncryption AuthMethod = 5
	AuthECDSA256          AuthMethod = 9  // RFC 4754
	AuthECDSA384          AuthMethod = 10 // RFC 4754
	AuthECDSA521          AuthMethod = 11 // RFC 4754

	AuthHybridInitRSA AuthMethod = 64221 // draft-ietf-ipsec-isakmp-hybrid-auth, Check Point's numbers
	AuthHybridRespRSA AuthMethod = 64222
	AuthHybridInitDSS AuthMethod = 64223
	AuthHybridRespDSS AuthMethod = 64224

	AuthXAuthInitPreShared         AuthMethod = 65001 // draft-beaulieu-ike-xauth; also AuthGSSAPI, the vendor ID tells which
	AuthXAuthRespPreShared         AuthMethod = 65002
	AuthXAuthInitDSS               AuthMethod = 65003
	AuthXAuthRespDSS               AuthMethod = 65004
	AuthXAuthInitRSA               AuthMethod = 65005
	AuthXAuthRespRSA               AuthMethod = 65006
	AuthXAuthInitRSAEncryption     AuthMethod = 65007
	AuthXAuthRespRSAEncryption     AuthMethod = 65008
	AuthXAuthInitRevisedEncryption AuthMethod = 65009
	AuthXAuthRespRevisedEncryption AuthMethod = 65010

	AuthGSSAPI AuthMethod = 65001 // draft-ietf-ipsec-isakmp-gss-auth
)

var authMethodNames = map[AuthMethod]string{
	AuthPreSharedKey:      "Pre-shared key",
	AuthDSSSignature:      "DSS signatures",
	AuthRSASignature:      "RSA signatures",
	AuthRSAEncryption:     "Encryption with RSA",
	AuthRevisedEncryption: "Revised encryption with RSA",
	6:                     "Reserved (was Encryption with El-Gamal)",
	7:                     "Reserved (was Revised encryption with El-Gamal)",
	8:                     "Reserved (was ECDSA signatures)",
	AuthECDSA256:          "ECDSA with SHA-256 on the P-256 curve",
	AuthECDSA384:          "ECDSA with SHA-384 on the P-384 curve",
	AuthECDSA521:          "ECDSA with SHA-512 on the P-521 curve",

	AuthHybridInitRSA: "HybridInitRSA",
	AuthHybridRespRSA: "HybridRespRSA",
	AuthHybridInitDSS: "HybridInitDSS",
	AuthHybridRespDSS: "HybridRespDSS",

	AuthXAuthInitPreShared:         "XAUTHInitPreShared",
	AuthXAuthRespPreShared:         "XAUTHRespPreShared",
	AuthXAuthInitDSS:               "XAUTHInitDSS",
	AuthXAuthRespDSS:               "XAUTHRespDSS",
	AuthXAuthInitRSA:               "XAUTHInitRSA",
	AuthXAuthRespRSA:               "XAUTHRespRSA",
	AuthXAuthInitRSAEncryption:     "XAUTHInitRSAEncryption",
	AuthXAuthRespRSAEncryption:     "XAUTHRespRSAEncryption",
	AuthXAuthInitRevisedEncryption: "XAUTHInitRSARevisedEncryption",
	AuthXAuthRespRevisedEncryption: "XAUTHRespRSARevisedEncryption",
}

// GroupType is a type of a private group: RFC 2409 Appendix A.
type GroupType uint16

// String returns the name.
func (t GroupType) String() string { return nameOf(groupTypeNames[:], int(t), "GroupType") }

// Values.
const (
	GroupMODP GroupType = 1
	GroupECP  GroupType = 2
	GroupEC2N GroupType = 3
)

var groupTypeNames = [...]string{GroupMODP: "MODP", GroupECP: "ECP", GroupEC2N: "EC2N"}

// LifeType is a unit of a lifetime: RFC 2409 Appendix A for phase 1, RFC 2407
// 4.5 for Quick Mode, with the same numbers.
type LifeType uint16

// String returns the name.
func (t LifeType) String() string { return nameOf(lifeTypeNames[:], int(t), "LifeType") }

// Values.
const (
	LifeSeconds   LifeType = 1
	LifeKilobytes LifeType = 2
)

var lifeTypeNames = [...]string{LifeSeconds: "seconds", LifeKilobytes: "kilobytes"}
