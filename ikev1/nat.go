package ikev1

import (
	"net/netip"
	"slices"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/natt"
)

// announcesNATT reports whether a variant is announced to the peer.
func (p *Peer) announcesNATT(v natt.Variant) bool {
	if p.NATT != nil || p.NoNATT {
		return p.takesNATT(v)
	}
	switch v {
	case natt.RFC3947, natt.Draft03, natt.Draft02Newline, natt.Draft02:
		return true
	}
	return false
}

// takesNATT reports whether a variant that the peer announces may be used.
func (p *Peer) takesNATT(v natt.Variant) bool {
	switch {
	case p.NoNATT:
		return false
	case p.NATT != nil:
		return slices.Contains(p.NATT, v)
	}
	return v.Floats()
}

// placeFor reports whether a variant may be used where a session is: those that
// do not float have IKE on a socket without the non-ESP marker.
func (s *session) placeFor(v natt.Variant) bool {
	if v.Floats() {
		return true
	}
	if f := s.ep.cfg.NATTSocket; f != nil {
		return !f(s.Path.Local)
	}
	return s.Path.Local.Port() != natt.PortNATT
}

// natPayloads are the NAT-D payloads: the hash of the peer's address first,
// then that of the own one (RFC 3947 3.2). With ForceEncap, of any peer that it
// may be, the own is of an address that nobody has, so that the peer sees a NAT
// too.
func (sa *isakmpSA) natPayloads() []isakmp.Payload {
	if sa.variant == natt.NoVariant {
		return nil
	}
	s := sa.s
	source := s.Path.Local
	if slices.ContainsFunc(sa.candidates(), func(p *Peer) bool { return p.ForceEncap }) {
		sa.feigned = true
		source = netip.AddrPortFrom(netip.AddrFrom4([4]byte{}), 0)
	}
	i, r := sa.cookiePair()
	t, h := isakmp.PayloadType(sa.variant.NATD()), sa.negotiated.hash.hash
	return []isakmp.Payload{
		&isakmp.NATD{Type: t, Hash: natt.AppendHash(nil, h, uint64(i), uint64(r), s.Path.Remote)},
		&isakmp.NATD{Type: t, Hash: natt.AppendHash(nil, h, uint64(i), uint64(r), source)},
	}
}

// detectNAT compares the NAT-D payloads of a message with where it came from.
func (sa *isakmpSA) detectNAT(path ike.Path, m *inbound) {
	if sa.variant == natt.NoVariant {
		return
	}
	i, r := sa.cookiePair()
	d := natt.NewDetector(sa.negotiated.hash.hash, uint64(i), uint64(r), path.Local, path.Remote)
	n := 0
	for hash := range m.NATDs(isakmp.PayloadType(sa.variant.NATD())) {
		if n == 0 {
			d.Destination(hash)
		} else if n <= natt.MaxHashes {
			d.Source(hash)
		}
		n++
	}
	if n == 0 {
		return
	}
	sa.nat = d.Result()
}

// floatInitiator goes on from the NAT-T port when there is a NAT (RFC 3947 4).
func (sa *isakmpSA) floatInitiator() {
	s := sa.s
	if sa.variant.Floats() && (sa.nat.Found() || s.peer.ForceEncap) && sa.p1.float.Remote.IsValid() {
		s.Path = sa.p1.float
	}
}

// floatTo follows an initiator to the NAT-T port: its proof came from there.
func (sa *isakmpSA) floatTo(path ike.Path) {
	if s := sa.s; !sa.initiator && !s.Up && sa.variant.Floats() {
		s.Path = path
	}
}
