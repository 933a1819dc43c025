package ikev1

import (
	"fmt"
	"slices"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
)

// Bounds of what an unauthenticated peer can make us work on (A27).
const (
	maxCerts    = 16
	maxCertSize = 16 << 10
)

// certificates are those in the message, the peer's own first.
func (m *inbound) certificates() (certs [][]byte, err error) {
	for c := range m.CERTs() {
		got, err := c.Certificates()
		if err != nil {
			return nil, err
		}
		for _, der := range got {
			if len(certs) == maxCerts || len(der) > maxCertSize {
				return nil, fmt.Errorf("more than %d certificates, or one larger than %d octets", maxCerts, maxCertSize)
			}
			certs = append(certs, der)
		}
	}
	return certs, nil
}

// certPayloads are the own certificates, the leaf first. Roots that the peer
// asked for it has. A raw key has none: the peer knows it.
func certPayloads(c *ike.Credential, authorities [][]byte) (out []isakmp.Payload) {
	for i, cert := range c.Certificates {
		known := slices.ContainsFunc(authorities, func(dn []byte) bool { return string(dn) == string(cert.RawSubject) })
		if i > 0 && known && string(cert.RawSubject) == string(cert.RawIssuer) {
			continue
		}
		out = append(out, &isakmp.CERT{Encoding: isakmp.CertX509Signature, Data: cert.Raw})
	}
	return out
}

// certRequests ask for the peer's certificate under the CAs that are trusted
// with any of the methods, if it signs: an empty request where there is nothing
// but pinned certificates (RFC 2408 3.10).
func (sa *isakmpSA) certRequests(methods ...AuthMethod) (out []isakmp.Payload) {
	const most = 16
	theirs := !sa.initiator
	if !slices.ContainsFunc(methods, func(m AuthMethod) bool { return m.Signs(theirs) }) {
		return nil
	}
	var seen []string
	anything := false
	for _, p := range sa.candidates() {
		t := p.Remote.Trust
		if t == nil || p.Local.NoCertRequest {
			continue
		}
		for _, root := range t.Roots {
			if dn := string(root.RawSubject); !slices.Contains(seen, dn) && len(out) < most {
				seen = append(seen, dn)
				out = append(out, &isakmp.CR{Encoding: isakmp.CertX509Signature, Authority: root.RawSubject})
			}
		}
		anything = anything || len(t.Roots) == 0 && len(t.Pinned) > 0
	}
	if anything {
		out = append(out, &isakmp.CR{Encoding: isakmp.CertX509Signature})
	}
	return out
}

// noteCertRequests keeps the names of the CAs that the peer trusts, a bounded
// number of bounded size.
func (sa *isakmpSA) noteCertRequests(m isakmp.Payloads) {
	const most, size = 32, 512
	p := sa.p1
	for c := range m.CRs() {
		switch c.Encoding {
		case isakmp.CertX509Signature, isakmp.CertNone, isakmp.CertPKCS7:
			p.certRequested = true
			if n := len(c.Authority); n > 0 && n <= size && len(p.authorities) < most {
				p.authorities = append(p.authorities, slices.Clone(c.Authority))
			}
		}
	}
}
