package testpki_test

import (
	"crypto/x509"
	"fmt"
	"testing"
	"time"

	"github.com/racoon3/racoon/internal/testpki"
)

// An authority, one below it, a gateway's certificate, and its revocation.
func ExampleNewCA() {
	t := new(testing.T) // in a test, its own
	root := testpki.NewCA(t, "root")
	sub := root.Issue(t, testpki.Spec{Subject: "sub", CA: true})
	gw := sub.Leaf(t, "gw.example.org")

	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(gw.Root())
	between.AddCert(sub.Certificate)
	chains, err := gw.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: testpki.Now, DNSName: "gw.example.org"})
	for _, c := range chains[0] {
		fmt.Println(c.Subject)
	}
	fmt.Println(err, len(gw.Chain()), "to send")

	sub.Revoke(gw, 1)
	crl := sub.CRL(t)
	fmt.Println(len(crl.RevokedCertificateEntries), "revoked; next list in", crl.NextUpdate.Sub(testpki.Now).Round(time.Hour))
	// Output:
	// CN=gw.example.org,O=lab,C=CH
	// CN=sub,O=lab,C=CH
	// CN=root,O=lab,C=CH
	// <nil> 2 to send
	// 1 revoked; next list in 24h0m0s
}
