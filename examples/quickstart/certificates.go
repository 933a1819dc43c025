package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"time"

	"github.com/racoon3/racoon/ike"
)

// authority is a certification authority that lives as long as the program.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(name string) (*authority, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	cert, key, err := certify(template, nil)
	return &authority{cert, key}, err
}

// trust accepts who has a certificate of this authority.
func (a *authority) trust() *ike.Trust { return &ike.Trust{Roots: []*x509.Certificate{a.cert}} }

// issue makes a key and a certificate for it.
func (a *authority) issue(template *x509.Certificate) (*ike.Credential, error) {
	template.KeyUsage = x509.KeyUsageDigitalSignature
	cert, key, err := certify(template, a)
	return &ike.Credential{Certificates: []*x509.Certificate{cert}, Signer: key}, err
}

// certify makes a P-256 key and has issuer sign a certificate for it; without
// an issuer it signs its own.
func certify(template *x509.Certificate, issuer *authority) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, err
	}
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-time.Minute)
	template.NotAfter = time.Now().Add(time.Hour)
	if issuer == nil {
		issuer = &authority{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer.cert, key.Public(), issuer.key)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}
