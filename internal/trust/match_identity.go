package trust

import (
	"crypto/x509"
	"net/netip"
	"slices"
	"strings"

	"github.com/racoon3/racoon/ike"
)

// matchIdentity looks for the claimed identity in the peer's certificate (RFC
// 4945 3.1, RFC 7296 3.5): names and addresses in the subjectAltName, a
// distinguished name in the subject. constrained says that an authority in the
// path limits names, which does not bind a common name: then none is taken.
func matchIdentity(t *ike.Trust, id ike.Identity, c *x509.Certificate, constrained bool) error {
	if slices.Contains(t.AnyIdentity, id.Type) {
		return nil
	}
	found := false
	switch id.Type {
	case ike.IDFQDN:
		found = matchHost(t, id, c) || len(c.DNSNames) == 0 && matchCN(t, id, c, constrained)
	case ike.IDRFC822Addr:
		found = slices.ContainsFunc(c.EmailAddresses, func(m string) bool {
			return (ike.Identity{Type: ike.IDRFC822Addr, Data: m}).Equal(id)
		}) || len(c.EmailAddresses) == 0 && matchCN(t, id, c, constrained)
	case ike.IDIPv4Addr, ike.IDIPv6Addr:
		found = matchAddr(t, id, c) || len(c.IPAddresses) == 0 && matchCN(t, id, c, constrained)
	case ike.IDDERASN1DN:
		found = ike.DNIdentity(c.RawSubject).Equal(id)
	default:
		return fail(ErrIdentity, 0, c, nil, "an identity of type %v (%s) has no counterpart in a certificate and is not allowed without one", id.Type, id)
	}
	if !found {
		return fail(ErrIdentity, 0, c, nil, "claimed is %s, the certificate has %s", id, names(c))
	}
	return nil
}

// matchHost compares with the DNS names. A wildcard stands for exactly one
// label, the first (RFC 6125 6.4.3); a name in the identity is never a pattern.
func matchHost(t *ike.Trust, id ike.Identity, c *x509.Certificate) bool {
	host := strings.TrimSuffix(id.Data, ".")
	if host == "" || strings.Contains(host, "*") {
		return false
	}
	for _, name := range c.DNSNames {
		if strings.IndexByte(name, 0) >= 0 {
			continue
		}
		name = strings.TrimSuffix(name, ".")
		if sameHost(name, host) {
			return true
		}
		suffix, wild := strings.CutPrefix(name, "*.")
		if !wild || !t.WildcardSANs || !strings.Contains(suffix, ".") || strings.Contains(suffix, "*") {
			continue
		}
		if label, rest, ok := strings.Cut(host, "."); ok && label != "" && sameHost(suffix, rest) {
			return true
		}
	}
	return false
}

func sameHost(a, b string) bool {
	return (ike.Identity{Type: ike.IDFQDN, Data: a}).Equal(ike.Identity{Type: ike.IDFQDN, Data: b})
}

func matchAddr(t *ike.Trust, id ike.Identity, c *x509.Certificate) bool {
	want, ok := id.Addr()
	if !ok {
		return false
	}
	for _, ip := range c.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok && a == want {
			return true
		}
	}
	if t.AddressInDNS {
		for _, name := range c.DNSNames {
			if a, err := netip.ParseAddr(name); err == nil && a == want {
				return true
			}
		}
	}
	return false
}

// matchCN takes the common name for a host, mail address or address, when
// that is configured.
func matchCN(t *ike.Trust, id ike.Identity, c *x509.Certificate, constrained bool) bool {
	if !t.MatchCN || constrained || c.Subject.CommonName == "" || strings.IndexByte(c.Subject.CommonName, 0) >= 0 {
		return false
	}
	if want, ok := id.Addr(); ok {
		a, err := netip.ParseAddr(c.Subject.CommonName)
		return err == nil && a == want
	}
	return (ike.Identity{Type: id.Type, Data: c.Subject.CommonName}).Equal(id)
}

// names lists what a certificate says of its holder, for an explanation.
func names(c *x509.Certificate) string {
	const most = 8
	var list []string
	for _, n := range c.DNSNames {
		list = append(list, (ike.Identity{Type: ike.IDFQDN, Data: n}).String())
	}
	for _, n := range c.IPAddresses {
		if a, ok := netip.AddrFromSlice(n); ok {
			list = append(list, a.String())
		}
	}
	for _, n := range c.EmailAddresses {
		list = append(list, (ike.Identity{Type: ike.IDRFC822Addr, Data: n}).String())
	}
	if dn := ike.DNIdentity(c.RawSubject); dn.Validate() == nil {
		list = append(list, dn.String())
	}
	switch {
	case len(list) == 0:
		return "no name at all"
	case len(list) > most:
		list = append(list[:most], "...")
	}
	return strings.Join(list, ", ")
}
