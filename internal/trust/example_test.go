package trust_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/testpki"
	"github.com/racoon3/racoon/internal/trust"
)

// A peer has sent its certificates and claims to be gw.example.org.
func ExampleVerify() {
	t := new(testing.T) // in a test, its own
	root := testpki.NewCA(t, "root")
	gw := root.Leaf(t, "gw.example.org")
	roots := &ike.Trust{Roots: root.Chain()}

	id, _ := ike.ParseIdentity("gw.example.org")
	v, err := trust.Verify(testpki.Now, roots, id, gw.DER(), nil)
	fmt.Println(v.Leaf.Subject, len(v.Chain), err)

	other, _ := ike.ParseIdentity("vpn.example.org")
	_, err = trust.Verify(testpki.Now, roots, other, gw.DER(), nil)
	fmt.Println(errors.Is(err, trust.ErrIdentity), err)
	_, err = trust.Verify(testpki.Now.AddDate(20, 0, 0), roots, id, gw.DER(), nil)
	fmt.Println(errors.Is(err, trust.ErrNotInterval))
	// Output:
	// CN=gw.example.org,O=lab,C=CH 2 <nil>
	// true identity is not in the certificate: certificate 0 (C=CH, O=lab, CN=gw.example.org): claimed is vpn.example.org, the certificate has gw.example.org, C=CH, O=lab, CN=gw.example.org
	// true
}
