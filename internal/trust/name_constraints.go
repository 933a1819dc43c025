package trust

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"slices"

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
// 5280 4.2.1.10), which crypto/x509 does not know; it has applied all others.
func checkDirectoryNames(chain []*x509.Certificate) error {
	for i := len(chain) - 1; i > 0; i-- {
		limits, err := directoryConstraints(chain[i])
		if err != nil {
			return fail(ErrMalformed, i, chain[i], err, "")
		}
		if len(limits.permitted)+len(limits.excluded) == 0 {
			continue
		}
		for j := range i {
			c := chain[j]
			if string(c.RawSubject) == emptyName {
				continue
			}
			if ike.DNIdentity(c.RawSubject).Validate() != nil || anyWithin(limits.excluded, c.RawSubject) ||
				len(limits.permitted) > 0 && !anyWithin(limits.permitted, c.RawSubject) {
				return fail(ErrNoPath, j, c, nil, "its subject is outside the name constraints of %s", subject(chain[i]))
			}
		}
	}
	return nil
}

const emptyName = "\x30\x00"

func anyWithin(bases []string, rawSubject []byte) bool {
	for _, b := range bases {
		if ike.DNWithin(string(rawSubject), b) {
			return true
		}
	}
	return false
}

// directoryLimits are the subtrees of distinguished names, DER Names.
type directoryLimits struct {
	permitted, excluded []string
	other               bool // there are kinds of names that nobody here looks at
}

var errNameConstraints = errors.New("its name constraints cannot be read")

func directoryConstraints(c *x509.Certificate) (d directoryLimits, err error) {
	for _, e := range c.Extensions {
		if !e.Id.Equal(oidNameConstraints) {
			continue
		}
		in := cryptobyte.String(e.Value)
		var seq cryptobyte.String
		if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !in.Empty() {
			return d, errNameConstraints
		}
		for n, list := range []*[]string{&d.permitted, &d.excluded} {
			var trees cryptobyte.String
			var present bool
			if !seq.ReadOptionalASN1(&trees, &present, cbasn1.Tag(n).Constructed().ContextSpecific()) {
				return d, errNameConstraints
			}
			for !trees.Empty() {
				var tree, base cryptobyte.String
				var tag cbasn1.Tag
				if !trees.ReadASN1(&tree, cbasn1.SEQUENCE) || !tree.ReadAnyASN1(&base, &tag) {
					return d, errNameConstraints
				}
				switch tag {
				case cbasn1.Tag(4).Constructed().ContextSpecific():
					*list = append(*list, string(base))
				case cbasn1.Tag(1).ContextSpecific(), cbasn1.Tag(2).ContextSpecific(),
					cbasn1.Tag(6).ContextSpecific(), cbasn1.Tag(7).ContextSpecific(): // mail, DNS, URI, address: crypto/x509
				default:
					d.other = true
				}
			}
		}
	}
	return d, nil
}

// withDirectoryNames takes name constraints off the list of critical
// extensions that crypto/x509 does not handle, if distinguished names are the
// only reason: checkDirectoryNames handles those. The certificate is copied,
// not changed.
func withDirectoryNames(c *x509.Certificate) *x509.Certificate {
	i := slices.IndexFunc(c.UnhandledCriticalExtensions, oidNameConstraints.Equal)
	if i < 0 {
		return c
	}
	if d, err := directoryConstraints(c); err != nil || d.other {
		return c
	}
	handled := *c
	handled.UnhandledCriticalExtensions = slices.Delete(slices.Clone(c.UnhandledCriticalExtensions), i, i+1)
	return &handled
}
