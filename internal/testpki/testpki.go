// Package testpki makes certification authorities, certificates and
// revocation lists in memory, for tests.
//
// Keys come from a cache of the process, since RSA keys are slow to make. The
// validity of everything is centred on [Now], so that tests with a virtual
// clock need not know the date; set [Spec.NotBefore] and [Spec.NotAfter] for
// others. Nothing here is fit for use outside of tests.
package testpki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"hash/fnv"
	"math/big"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Now is the time around which certificates are valid: ten years before and
// after.
var Now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// A KeyType says which kind of key to make.
type KeyType string

// Kinds of keys.
const (
	RSA2048 KeyType = "rsa2048"
	RSA3072 KeyType = "rsa3072"
	RSA4096 KeyType = "rsa4096"
	RSA1024 KeyType = "rsa1024"
	P256    KeyType = "p256"
	P384    KeyType = "p384"
	P521    KeyType = "p521"
	Ed25519 KeyType = "ed25519"
	DSA     KeyType = "dsa" // 1024 and 160 bits, for leaves
)

// Spec describes a certificate. The zero values give a leaf with a P-256 key.
type Spec struct {
	Subject    string   // common name, of the subject "C=CH, O=lab, CN=..."; empty for an empty subject
	RawSubject []byte   // DER Name, instead of Subject
	DNS        []string // subject alternative names
	Emails     []string
	IPs        []string

	Key       KeyType // P256 by default
	KeyNumber int     // another number is another key of the type
	Signer    crypto.Signer

	NotBefore, NotAfter time.Time
	KeyUsage            x509.KeyUsage // digitalSignature by default; -1 for no extension
	EKU                 []asn1.ObjectIdentifier
	EKUCritical         bool
	Extensions          []pkix.Extension

	CA                        bool
	SignatureAlgorithm        x509.SignatureAlgorithm
	PermittedDNS              []string
	ExcludedDNS               []string
	NameConstraintsUncritical bool
}

// Cert is a certificate with its key and what issued it.
type Cert struct {
	*x509.Certificate
	Key    crypto.Signer
	Issuer *Cert // nil for a root

	revoked []x509.RevocationListEntry
	crl     int64
}

var serial atomic.Int64

// NewCA makes a self-signed certification authority with a P-256 key.
func NewCA(tb testing.TB, name string) *Cert {
	tb.Helper()
	return NewRoot(tb, Spec{Subject: name, CA: true, KeyNumber: -1})
}

// NewRoot makes a self-signed certificate.
func NewRoot(tb testing.TB, s Spec) *Cert {
	tb.Helper()
	return issue(tb, s, nil)
}

// Issue makes a certificate that c vouches for.
func (c *Cert) Issue(tb testing.TB, s Spec) *Cert {
	tb.Helper()
	return issue(tb, s, c)
}

// NewIssuer makes a root with a new key of type kt and below it depth
// intermediate authorities of the same type, of which it returns the last. Its
// names differ from those of any other: some programs keep authorities by name.
func NewIssuer(tb testing.TB, kt KeyType, depth int) *Cert {
	tb.Helper()
	name := fmt.Sprintf("%s %s", kt, rand.Text()[:6])
	c := NewRoot(tb, Spec{Subject: "root " + name, CA: true, Key: kt, KeyNumber: -1})
	for i := range depth {
		c = c.Issue(tb, Spec{Subject: fmt.Sprintf("intermediate %d %s", i+1, name), CA: true, Key: kt, KeyNumber: -1})
	}
	return c
}

// Host makes a certificate as other programs expect one of a host or user, with
// a key of type kt. The name is its common name and its subject alternative
// name: an address or an e-mail address if it looks like one, else a DNS name.
// The same name and type give the same key within a process.
func (c *Cert) Host(tb testing.TB, kt KeyType, name string) *Cert {
	tb.Helper()
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	s := Spec{
		Subject: name, Key: kt, KeyNumber: int(h.Sum32()),
		EKU: []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 1}, {1, 3, 6, 1, 5, 5, 7, 3, 2}}, // serverAuth, clientAuth
	}
	switch {
	case net.ParseIP(name) != nil:
		s.IPs = []string{name}
	case strings.Contains(name, "@"):
		s.Emails = []string{name}
	default:
		s.DNS = []string{name}
	}
	return c.Issue(tb, s)
}

// Leaf makes a certificate for a host name, with a key of its own.
func (c *Cert) Leaf(tb testing.TB, host string) *Cert {
	tb.Helper()
	return c.Issue(tb, Spec{Subject: host, DNS: []string{host}, KeyNumber: -1})
}

func issue(tb testing.TB, s Spec, by *Cert) *Cert {
	tb.Helper()
	key := s.Signer
	if key == nil {
		key = Key(tb, s.Key, s.KeyNumber)
	}
	n := serial.Add(1)
	t := &x509.Certificate{
		SerialNumber:                big.NewInt(n),
		RawSubject:                  s.RawSubject,
		DNSNames:                    s.DNS,
		EmailAddresses:              s.Emails,
		NotBefore:                   s.NotBefore,
		NotAfter:                    s.NotAfter,
		KeyUsage:                    s.KeyUsage,
		ExtraExtensions:             s.Extensions,
		SignatureAlgorithm:          s.SignatureAlgorithm,
		PermittedDNSDomains:         s.PermittedDNS,
		ExcludedDNSDomains:          s.ExcludedDNS,
		PermittedDNSDomainsCritical: !s.NameConstraintsUncritical,
		BasicConstraintsValid:       s.CA,
		IsCA:                        s.CA,
	}
	if s.Subject != "" {
		t.Subject = pkix.Name{Country: []string{"CH"}, Organization: []string{"lab"}, CommonName: s.Subject}
	}
	for _, ip := range s.IPs {
		a := net.ParseIP(ip)
		if a == nil {
			tb.Fatalf("testpki: bad address %q", ip)
		}
		t.IPAddresses = append(t.IPAddresses, a)
	}
	if t.NotBefore.IsZero() {
		t.NotBefore = Now.AddDate(-10, 0, 0)
	}
	if t.NotAfter.IsZero() {
		t.NotAfter = Now.AddDate(10, 0, 0)
	}
	switch {
	case s.KeyUsage == -1:
		t.KeyUsage = 0
	case s.KeyUsage == 0 && s.CA:
		t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	case s.KeyUsage == 0:
		t.KeyUsage = x509.KeyUsageDigitalSignature
	}
	if len(s.EKU) > 0 {
		der, err := asn1.Marshal(s.EKU)
		if err != nil {
			tb.Fatalf("testpki: %v", err)
		}
		t.ExtraExtensions = append(t.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: s.EKUCritical, Value: der})
	}
	parent, signer := t, key
	if by != nil {
		parent, signer = by.Certificate, by.Key
	} else {
		spki, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			tb.Fatalf("testpki: %v", err)
		}
		id := sha1.Sum(spki)
		t.SubjectKeyId = id[:]
	}
	der, err := createCertificate(tb, t, parent, key.Public(), signer)
	if err != nil {
		tb.Fatalf("testpki: certificate of %q: %v", s.Subject, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatalf("testpki: certificate of %q: %v", s.Subject, err)
	}
	return &Cert{Certificate: cert, Key: key, Issuer: by}
}

// Chain returns the certificate and its issuers, without the root.
func (c *Cert) Chain() []*x509.Certificate {
	var chain []*x509.Certificate
	for ; c != nil && (c.Issuer != nil || chain == nil); c = c.Issuer {
		chain = append(chain, c.Certificate)
	}
	return chain
}

// DER returns the encoding of Chain.
func (c *Cert) DER() [][]byte {
	var ders [][]byte
	for _, cert := range c.Chain() {
		ders = append(ders, cert.Raw)
	}
	return ders
}

// Root returns the root that the certificate ends in.
func (c *Cert) Root() *x509.Certificate {
	for c.Issuer != nil {
		c = c.Issuer
	}
	return c.Certificate
}

// PEM returns Chain in PEM.
func (c *Cert) PEM() []byte { return EncodePEM(c.Chain()...) }

// RootPEM returns Root in PEM.
func (c *Cert) RootPEM() []byte { return EncodePEM(c.Root()) }

// EncodePEM returns certificates in PEM.
func EncodePEM(certs ...*x509.Certificate) []byte {
	var b bytes.Buffer
	for _, c := range certs {
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	return b.Bytes()
}

// KeyPEM returns the private key as PKCS#8 in PEM.
func (c *Cert) KeyPEM(tb testing.TB) []byte {
	tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.Key)
	if err != nil {
		tb.Fatalf("testpki: %v", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// PublicKeyPEM returns a public key as SubjectPublicKeyInfo in PEM.
func PublicKeyPEM(tb testing.TB, key crypto.PublicKey) []byte {
	tb.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		tb.Fatalf("testpki: %v", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// Revoke puts a certificate on the authority's next lists, an hour before Now.
func (c *Cert) Revoke(victim *Cert, reason int) {
	c.revoked = append(c.revoked, x509.RevocationListEntry{SerialNumber: victim.SerialNumber, RevocationTime: Now.Add(-time.Hour), ReasonCode: reason})
}

// CRL makes the authority's revocation list, valid from two hours before Now
// to a day after.
func (c *Cert) CRL(tb testing.TB) *x509.RevocationList {
	tb.Helper()
	return c.CRLAt(tb, Now.Add(-2*time.Hour), Now.Add(24*time.Hour))
}

// CRLAt makes a revocation list with the given times and extensions.
func (c *Cert) CRLAt(tb testing.TB, thisUpdate, nextUpdate time.Time, extensions ...pkix.Extension) *x509.RevocationList {
	tb.Helper()
	c.crl++
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(c.crl), ThisUpdate: thisUpdate, NextUpdate: nextUpdate,
		RevokedCertificateEntries: c.revoked, ExtraExtensions: extensions,
	}, c.Certificate, c.Key)
	if err != nil {
		tb.Fatalf("testpki: %v", err)
	}
	l, err := x509.ParseRevocationList(der)
	if err != nil {
		tb.Fatalf("testpki: %v", err)
	}
	return l
}

type keyName struct {
	t KeyType
	n int
}

var keys = struct {
	sync.Mutex
	made map[keyName]crypto.Signer
}{made: make(map[keyName]crypto.Signer)}

// Key returns the n-th key of a type; it is the same one at each call in a
// process, except that a negative n makes a new key each time (slow for RSA).
func Key(tb testing.TB, t KeyType, n int) crypto.Signer {
	tb.Helper()
	if t == "" {
		t = P256
	}
	keys.Lock()
	defer keys.Unlock()
	name := keyName{t, n}
	if k := keys.made[name]; k != nil && n >= 0 {
		return k
	}
	k, err := newKey(t)
	if err != nil {
		tb.Fatalf("testpki: %v", err)
	}
	if n >= 0 {
		keys.made[name] = k
	}
	return k
}

func newKey(t KeyType) (crypto.Signer, error) {
	switch t {
	case RSA1024:
		return rsa.GenerateKey(rand.Reader, 1024)
	case RSA2048:
		return rsa.GenerateKey(rand.Reader, 2048)
	case RSA3072:
		return rsa.GenerateKey(rand.Reader, 3072)
	case RSA4096:
		return rsa.GenerateKey(rand.Reader, 4096)
	case P256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case P384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case P521:
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case Ed25519:
		_, k, err := ed25519.GenerateKey(rand.Reader)
		return k, err
	case DSA:
		return newDSAKey()
	}
	return nil, fmt.Errorf("unknown key type %q", t)
}
