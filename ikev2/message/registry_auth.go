package message

// AuthMethod is an authentication method: IANA "IKEv2 Authentication Method".
type AuthMethod uint8

// String returns the IANA name.
func (t AuthMethod) String() string { return nameOf(authMethodNames[:], int(t), "AuthMethod") }

// Values.
const (
	AuthRSASignature     AuthMethod = 1 // PKCS#1 v1.5
	AuthSharedKey        AuthMethod = 2
	AuthDSSSignature     AuthMethod = 3
	AuthECDSASHA256P256  AuthMethod = 9  // RFC 4754
	AuthECDSASHA384P384  AuthMethod = 10 // RFC 4754
	AuthECDSASHA512P521  AuthMethod = 11 // RFC 4754
	AuthGSPM             AuthMethod = 12 // RFC 6467
	AuthNull             AuthMethod = 13 // RFC 7619
	AuthDigitalSignature AuthMethod = 14 // RFC 7427
)

var authMethodNames = [...]string{
	AuthRSASignature:     "RSA Digital Signature",
	AuthSharedKey:        "Shared Key Message Integrity Code",
	AuthDSSSignature:     "DSS Digital Signature",
	AuthECDSASHA256P256:  "ECDSA with SHA-256 on the P-256 curve",
	AuthECDSASHA384P384:  "ECDSA with SHA-384 on the P-384 curve",
	AuthECDSASHA512P521:  "ECDSA with SHA-512 on the P-521 curve",
	AuthGSPM:             "Generic Secure Password Authentication Method",
	AuthNull:             "NULL Authentication",
	AuthDigitalSignature: "Digital Signature",
}
