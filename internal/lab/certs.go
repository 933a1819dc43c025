package lab

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A KeyType is a kind of private key for certificates.
type KeyType string

// The kinds of keys that [NewCA] and [CA.Issue] can make.
const (
	RSA2048   KeyType = "rsa2048"
	RSA3072   KeyType = "rsa3072"
	RSA4096   KeyType = "rsa4096"
	ECDSAP256 KeyType = "ecdsap256"
	ECDSAP384 KeyType = "ecdsap384"
	ECDSAP521 KeyType = "ecdsap521"
	Ed25519   KeyType = "ed25519"
)

// A Cert is a certificate with its key.
type Cert struct {
	Name  string // the common name, and a DNS name of the certificate
	Cert  *x509.Certificate
	Key   crypto.Signer
	Chain []*x509.Certificate // the CAs between this one and the root, nearest first; without the root
}

// A CA is a root certificate authority and the intermediate ones that it was made with.
type CA struct {
	Root *x509.Certificate

	t      testing.TB
	issuer *Cert
	serial atomic.Int64
}

// NewCA makes a root with a key of type kt and below it depth intermediate
// authorities of the same type, the last of which issues.
func NewCA(t testing.TB, kt KeyType, depth int) *CA {
	t.Helper()
	ca := &CA{t: t}
	// (Root and intermediate names differ between CAs, as some peers keep CAs by name.)
	ca.issuer = ca.sign(kt, fmt.Sprintf("lab root %s %s", kt, rand.Text()[:6]), nil)
	ca.Root = ca.issuer.Cert
	for i := range depth {
		ca.issuer = ca.sign(kt, fmt.Sprintf("lab intermediate %d %s", i+1, kt), ca.issuer)
	}
	return ca
}

// Issue makes a certificate with a new key for a host. The name is its common
// name and its DNS subjectAltName (an e-mail address if it contains "@", an IP
// address if it is one). Each edit may change the template before it is signed.
func (ca *CA) Issue(kt KeyType, name string, edit ...func(*x509.Certificate)) *Cert {
	ca.t.Helper()
	return ca.sign(kt, name, ca.issuer, append([]func(*x509.Certificate){func(c *x509.Certificate) {
		c.IsCA = false
		c.KeyUsage = x509.KeyUsageDigitalSignature
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
		switch ip := net.ParseIP(name); {
		case ip != nil:
			c.IPAddresses = []net.IP{ip}
		case strings.Contains(name, "@"):
			c.EmailAddresses = []string{name}
		default:
			c.DNSNames = []string{name}
		}
	}}, edit...)...)
}

func (ca *CA) sign(kt KeyType, name string, issuer *Cert, edit ...func(*x509.Certificate)) *Cert {
	ca.t.Helper()
	key, err := newKey(kt)
	if err != nil {
		ca.t.Fatalf("lab: %v", err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(ca.serial.Add(1)),
		Subject:               pkix.Name{Organization: []string{"lab"}, CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	for _, f := range edit {
		f(template)
	}
	parent := &Cert{Cert: template, Key: key}
	if issuer != nil {
		parent = issuer
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.Cert, key.Public(), parent.Key)
	if err != nil {
		ca.t.Fatalf("lab: certificate for %s: %v", name, err)
	}
	c := &Cert{Name: name, Key: key}
	if c.Cert, err = x509.ParseCertificate(der); err != nil {
		ca.t.Fatalf("lab: certificate for %s: %v", name, err)
	}
	if issuer != nil && issuer.Cert != ca.Root {
		c.Chain = append([]*x509.Certificate{issuer.Cert}, issuer.Chain...)
	}
	return c
}

func newKey(kt KeyType) (crypto.Signer, error) {
	switch kt {
	case RSA2048:
		return rsa.GenerateKey(rand.Reader, 2048)
	case RSA3072:
		return rsa.GenerateKey(rand.Reader, 3072)
	case RSA4096:
		return rsa.GenerateKey(rand.Reader, 4096)
	case ECDSAP256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case ECDSAP384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case ECDSAP521:
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("no key type %q", kt)
}

// CertPEM is the certificate in PEM form.
func (c *Cert) CertPEM() string { return certPEM(c.Cert) }

// KeyPEM is the private key in PKCS #8 PEM form.
func (c *Cert) KeyPEM() string {
	der, err := x509.MarshalPKCS8PrivateKey(c.Key)
	if err != nil {
		panic(err) // all our key types can be marshalled
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// PublicKeyPEM is the public key in PKIX PEM form.
func (c *Cert) PublicKeyPEM() string {
	der, err := x509.MarshalPKIXPublicKey(c.Key.Public())
	if err != nil {
		panic(err) // all our key types can be marshalled
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// RootPEM is the root certificate in PEM form.
func (ca *CA) RootPEM() string { return certPEM(ca.Root) }

func certPEM(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}
