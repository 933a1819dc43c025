package isakmp

// CertEncoding is a certificate encoding: RFC 2408 3.9.
type CertEncoding uint8

// String returns the name in RFC 2408 3.9.
func (t CertEncoding) String() string { return nameOf(certEncodingNames[:], int(t), "CertEncoding") }

// Values.
const (
	CertNone            CertEncoding = 0
	CertPKCS7           CertEncoding = 1 // a SignedData that carries X.509 certificates
	CertPGP             CertEncoding = 2
	CertDNSSigned       CertEncoding = 3
	CertX509Signature   CertEncoding = 4 // DER
	CertX509KeyExchange CertEncoding = 5 // DER
	CertKerberosTokens  CertEncoding = 6
	CertCRL             CertEncoding = 7  // DER
	CertARL             CertEncoding = 8  // DER
	CertSPKI            CertEncoding = 9  // not looked into
	CertX509Attribute   CertEncoding = 10 // DER
)

var certEncodingNames = [...]string{
	CertNone:            "None",
	CertPKCS7:           "PKCS #7 wrapped X.509 certificate",
	CertPGP:             "PGP Certificate",
	CertDNSSigned:       "DNS Signed Key",
	CertX509Signature:   "X.509 Certificate - Signature",
	CertX509KeyExchange: "X.509 Certificate - Key Exchange",
	CertKerberosTokens:  "Kerberos Tokens",
	CertCRL:             "Certificate Revocation List (CRL)",
	CertARL:             "Authority Revocation List (ARL)",
	CertSPKI:            "SPKI Certificate",
	CertX509Attribute:   "X.509 Certificate - Attribute",
}
