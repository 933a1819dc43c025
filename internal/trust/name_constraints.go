package trust

import (
	"crypto/x509"
	"encoding/asn1"

	"github.com/racoon3/racoon/ike"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

var oidNameConstraints = asn1.ObjectIdentifier{2, 5, 29, 30}

// hasNameConstraints reports whether an authority in the path limits names.
func hasNameConstraints(chain []*x509.Certificate) bool {
	for _, c := range chain[1:] {
		for _, e := range c.Extensions {
			if e.Id.Equal(oidNameConstraints) {
				return true
			}
		}
	}
	return false
}

// checkDirectoryNames applies name constraints on distinguished names (RFC
// 5280 4.2.1.10), which crypto/x509 does not know. It refuses a path where
// such a constraint is critical by itself; one that is not must not be passed
// over either, since a DER_ASN1_DN identity would then escape it.
func checkDirectoryNames(chain []*x509.Certificate) error {
	for i := len(chain) - 1; i > 0; i-- {
		permitted, excluded, ok := directoryConstraints(chain[i])
		if !ok {
			return fail(ErrMalformed, i, chain[i], nil, "its name constraints cannot be read")
		}
		for j := range i {
			c := chain[j]
			if len(permitted) > 0 && !anyPrefix(permitted, c.RawSubject) || anyPrefix(excluded, c.RawSubject) {
				return fail(ErrNoPath, j, c, nil, "its subject is outside the name constraints of %s", subject(chain[i]))
			}
		}
	}
	return nil
}

func anyPrefix(bases []string, rawSubject []byte) bool {
	for _, b := range bases {
		if ike.DNWithin(string(rawSubject), b) {
			return true
		}
	}
	return false
}

// directoryConstraints returns the permitted and excluded names, DER Names.
func directoryConstraints(c *x509.Certificate) (permitted, excluded []string, ok bool) {
	for _, e := range c.Extensions {
		if !e.Id.Equal(oidNameConstraints) {
			continue
		}
		in := cryptobyte.String(e.Value)
		var seq cryptobyte.String
		if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !in.Empty() {
			return nil, nil, false
		}
		for n, list := range []*[]string{&permitted, &excluded} {
			var trees cryptobyte.String
			var present bool
			if !seq.ReadOptionalASN1(&trees, &present, cbasn1.Tag(n).Constructed().ContextSpecific()) {
				return nil, nil, false
			}
			for !trees.Empty() {
				var tree, base cryptobyte.String
				var tag cbasn1.Tag
				if !trees.ReadASN1(&tree, cbasn1.SEQUENCE) || !tree.ReadAnyASN1(&base, &tag) {
					return nil, nil, false
				}
				if tag == cbasn1.Tag(4).Constructed().ContextSpecific() {
					*list = append(*list, string(base))
				}
			}
		}
	}
	return permitted, excluded, true
}
