package testpki

import (
	"crypto"
	"crypto/dsa" //lint:ignore SA1019 IKEv1 has DSS signatures (RFC 2409 5.1)
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"math/big"
	"testing"

	"github.com/racoon3/racoon/ike"
)

// Parameters of DSA keys with 1024 and 160 bits, made by OpenSSL.
const (
	dsaP = "cb12cc2ded65b58a58d5b860c96636a83c977ffbcb1ce12f8bc9bdf6757035c2" +
		"657046a2e5c8e739eaf26ede509742a3632a885953f99ee990155a33e11c6174" +
		"d3cc9f01a46106d9e651d77bed3056bf1fd2e2a30b01a210d7ea388e534b4b4c" +
		"c7c78006408b45f41854a98d1bf9b1d324c90dc74ade28b7eefdc063027fd37d"
	dsaQ = "d274fdd8b23150254ab7de10799b774d646c39b7"
	dsaG = "909e29c184378b325246407c79dbf6c4f9a97a5a337fb00d42872d6938778604" +
		"642658cc9b452b3e2c16bc49348b301f7da7a4c7f138734f3d0582a356c42657" +
		"ad2c7e3b8fe10cbf57e6132a5590cd1c65e4dacf4a4bb940096418e033edf5ed" +
		"0767b958e1b25ed22ddad4bc3b7984027620dcbb4ccce9fd197e35bd7d4bab39"
)

func newDSAKey() (crypto.Signer, error) {
	k := new(dsa.PrivateKey)
	for _, n := range []struct {
		to  **big.Int
		hex string
	}{{&k.P, dsaP}, {&k.Q, dsaQ}, {&k.G, dsaG}} {
		*n.to, _ = new(big.Int).SetString(n.hex, 16)
	}
	if err := dsa.GenerateKey(k, rand.Reader); err != nil {
		return nil, err
	}
	return ike.NewDSASigner(k)
}

// DSAPublicKeyDER returns the SubjectPublicKeyInfo of a DSA key (RFC 3279
// 2.3.2), which the library reads and does not write.
func DSAPublicKeyDER(k *dsa.PublicKey) ([]byte, error) {
	y, err := asn1.Marshal(k.Y)
	if err != nil {
		return nil, err
	}
	var spki struct {
		Algorithm struct {
			OID        asn1.ObjectIdentifier
			Parameters dsa.Parameters
		}
		Key asn1.BitString
	}
	spki.Algorithm.OID, spki.Algorithm.Parameters = asn1.ObjectIdentifier{1, 2, 840, 10040, 4, 1}, k.Parameters
	spki.Key = asn1.BitString{Bytes: y, BitLength: 8 * len(y)}
	return asn1.Marshal(spki)
}

// createCertificate is x509.CreateCertificate, for DSA keys too: those take the
// place of another key, and the certificate is signed again.
func createCertificate(tb testing.TB, t, parent *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) ([]byte, error) {
	k, ok := public.(*dsa.PublicKey)
	if !ok {
		return x509.CreateCertificate(rand.Reader, t, parent, public, signer)
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, Key(tb, P256, 0).Public(), signer)
	if err != nil {
		return nil, err
	}
	var cert struct {
		TBS       []asn1.RawValue
		Algorithm asn1.RawValue
		Signature asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &cert); err != nil {
		return nil, err
	}
	const spki = 6 // version, serial number, algorithm, issuer, validity, subject
	if cert.TBS[spki].FullBytes, err = DSAPublicKeyDER(k); err != nil {
		return nil, err
	}
	tbs, err := asn1.Marshal(cert.TBS)
	if err != nil {
		return nil, err
	}
	switch t.SignatureAlgorithm {
	case x509.UnknownSignatureAlgorithm, x509.SHA256WithRSA, x509.ECDSAWithSHA256:
	default:
		return nil, errors.New("certificates of DSA keys are signed with SHA-256")
	}
	h := crypto.SHA256.New()
	h.Write(tbs)
	sig, err := signer.Sign(rand.Reader, h.Sum(nil), crypto.SHA256)
	if err != nil {
		return nil, err
	}
	cert.Signature = asn1.BitString{Bytes: sig, BitLength: 8 * len(sig)}
	return asn1.Marshal(cert)
}
