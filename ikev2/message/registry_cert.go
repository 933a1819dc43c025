package message

// CertEncoding is a certificate encoding: IANA "IKEv2 Certificate Encodings".
type CertEncoding uint8

// String returns the IANA name.
func (t CertEncoding) String() string { return nameOf(certEncodingNames[:], int(t), "CertEncoding") }

// Values.
const (
	CertPKCS7         CertEncoding = 1  // undefined by any RFC
	CertPGP           CertEncoding = 2  // undefined by any RFC
	CertDNSSigned     CertEncoding = 3  // undefined by any RFC
	CertX509Signature CertEncoding = 4  // DER
	CertKerberosToken CertEncoding = 6  // undefined by any RFC
	CertCRL           CertEncoding = 7  // DER
	CertARL           CertEncoding = 8  // DER
	CertSPKI          CertEncoding = 9  // undefined by any RFC
	CertX509Attribute CertEncoding = 10 // undefined by any RFC
	CertRawRSA        CertEncoding = 11 // deprecated by RFC 7670
	CertHashURL       CertEncoding = 12 // RFC 7296 3.6
	CertHashURLBundle CertEncoding = 13 // RFC 7296 3.6
	CertOCSP          CertEncoding = 14 // RFC 4806
	CertRawPublicKey  CertEncoding = 15 // RFC 7670: DER SubjectPublicKeyInfo
)

var certEncodingNames = [...]string{
	CertPKCS7:         "PKCS #7 wrapped X.509 certificate",
	CertPGP:           "PGP Certificate",
	CertDNSSigned:     "DNS Signed Key",
	CertX509Signature: "X.509 Certificate - Signature",
	CertKerberosToken: "Kerberos Token",
	CertCRL:           "Certificate Revocation List (CRL)",
	CertARL:           "Authority Revocation List (ARL)",
	CertSPKI:          "SPKI Certificate",
	CertX509Attribute: "X.509 Certificate - Attribute",
	CertRawRSA:        "Raw RSA Key",
	CertHashURL:       "Hash and URL of X.509 certificate",
	CertHashURLBundle: "Hash and URL of X.509 bundle",
	CertOCSP:          "OCSP Content",
	CertRawPublicKey:  "Raw Public Key",
}
