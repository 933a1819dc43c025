package ikev1

import (
	"slices"

	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/vendorid"
	"github.com/racoon3/racoon/natt"
)

// vendorIDs are the own ones: what any of the peers that the other side may be
// is configured for. A responder announces the one kind of NAT traversal that it
// has chosen.
func (sa *isakmpSA) vendorIDs() (out []isakmp.Payload) {
	add := func(id []byte) { out = append(out, &isakmp.VendorID{ID: id}) }
	peers := sa.candidates()
	switch {
	case !sa.initiator && sa.variant != natt.NoVariant:
		add(sa.variant.AppendVendorID(nil))
	case sa.initiator && !peers[0].NoNATT:
		for v := range natt.Variants() {
			if peers[0].announcesNATT(v) && sa.s.placeFor(v) {
				add(v.AppendVendorID(nil))
			}
		}
	}
	if slices.ContainsFunc(peers, func(p *Peer) bool { return slices.ContainsFunc(p.Methods, AuthMethod.XAuth) }) {
		add(vendorid.XAuth.Append(nil))
	}
	if slices.ContainsFunc(peers, func(p *Peer) bool { return p.Request != nil || p.Assign != nil || p.Users != nil }) {
		add(vendorid.Unity.Append(nil))
	}
	add(vendorid.DPD.Append(nil))
	if f := ownFragments(peers); f != 0 {
		add(f.Append(nil))
	}
	for _, v := range sa.ep.cfg.VendorIDs {
		add(v)
	}
	return out
}

// announced takes what the peer announces by vendor IDs.
func (sa *isakmpSA) announced(m isakmp.Payloads) {
	for v := range m.VendorIDs() {
		sa.peerVIDs.Add(v.ID)
		if info, ok := vendorid.Lookup(v.ID); ok && info.Name != "" && len(sa.p1.vendors) < maxVendors && !slices.Contains(sa.p1.vendors, info.Name) {
			sa.p1.vendors = append(sa.p1.vendors, info.Name)
		}
	}
	peers := sa.candidates()
	sa.variant = sa.peerVIDs.NATT(func(v natt.Variant) bool {
		return sa.s.placeFor(v) && slices.ContainsFunc(peers, func(p *Peer) bool { return p.takesNATT(v) })
	})
}

// heard takes what a responder's first message says beside its choice; what a
// message said that was not genuine is forgotten.
func (sa *isakmpSA) heard(m *inbound) {
	p := sa.p1
	sa.peerVIDs, sa.variant, p.vendors = vendorid.Announced{}, natt.NoVariant, nil
	p.certRequested, p.authorities = false, nil
	sa.announced(m.Payloads)
	sa.noteCertRequests(m.Payloads)
}

// maxVendors bounds what a session remembers of a peer's vendor IDs.
const maxVendors = 16

// gssapiOnly reports whether an initiator announces GSSAPI and not XAuth, with
// which it shares the number 65001.
func gssapiOnly(m isakmp.Payloads) bool {
	var a vendorid.Announced
	for v := range m.VendorIDs() {
		a.Add(v.ID)
	}
	return a.Method65001() == vendorid.GSSAPI
}
