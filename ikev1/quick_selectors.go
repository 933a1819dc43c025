package ikev1

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/vendorid"
	"github.com/racoon3/racoon/natt"
	"github.com/racoon3/racoon/spd"
)

var errNoSelectors = errors.New("no common traffic")

// pairs are the pairs of a Child's selectors: IKEv1 has one pair for each
// Child SA.
func (s *session) pairs(c *ike.ChildConfig) (all []spd.Selector) {
	local, remote := s.OfferedSelectors(c)
	for _, l := range local {
		for _, r := range remote {
			if l.Is4() == r.Is4() {
				all = append(all, spd.Selector{Local: l, Remote: r})
			}
		}
	}
	return all
}

// offeredSelectors are those that the initiator's IDs say; without IDs the two
// hosts themselves (RFC 2409 5.5).
func (q *quickMode) offeredSelectors() (local, remote spd.TrafficSelector, err error) {
	s := q.s
	if q.idci == nil || q.idcr == nil {
		if q.idci != nil || q.idcr != nil {
			return local, remote, errors.New("one ID payload, where both or none have to be")
		}
		return spd.FromAddr(s.LocalAddr()), spd.FromAddr(s.RemoteAddr()), nil
	}
	if remote, err = q.idci.TrafficSelector(); err != nil {
		return local, remote, fmt.Errorf("IDci %v: %w", q.idci, err)
	}
	if local, err = q.idcr.TrafficSelector(); err != nil {
		return local, remote, fmt.Errorf("IDcr %v: %w", q.idcr, err)
	}
	return local, remote, nil
}

// fits reports whether offered selectors are a Child's, and whether they are
// exactly its own. IKEv1 cannot answer with narrower ones, so an offer has to
// be within the configuration. A Unity client asks for everything and keeps to
// the networks that it was told (split include): its SA is installed for what
// the Child has.
func (s *session) fits(c *ike.ChildConfig, local, remote spd.TrafficSelector, sa *isakmpSA) (l, r spd.TrafficSelector, exact, ok bool) {
	ownL, ownR := s.OfferedSelectors(c)
	y := quickMode{s: s, cfg: c}
	local, remote = y.natSelectors(c.Mode, local, remote)
	for _, ol := range ownL {
		for _, or := range ownR {
			if ol == local && or == remote {
				return local, remote, true, true
			}
		}
	}
	if spd.Covers(ownL, local) && spd.Covers(ownR, remote) {
		return local, remote, false, true
	}
	if s.Leased != nil && sa.peerVIDs.Has(vendorid.Unity) && len(ownL) == 1 && spd.Covers([]spd.TrafficSelector{local}, ownL[0]) && spd.Covers(ownR, remote) {
		return ownL[0], remote, false, true
	}
	return local, remote, false, false
}

// natSelectors replaces the hosts' addresses in transport mode by those that
// the packets will have on this side of the NAT, and keeps the originals for
// the checksums (RFC 3947 5.2, 5.3).
func (q *quickMode) natSelectors(mode spd.Mode, local, remote spd.TrafficSelector) (l, r spd.TrafficSelector) {
	s := q.s
	if mode != spd.ModeTransport || !s.NATLocal && !s.NATRemote {
		return local, remote
	}
	swap := func(ts spd.TrafficSelector, nat bool, to netip.Addr, original *netip.Addr) spd.TrafficSelector {
		if ts.First != ts.Last {
			return ts
		}
		if !original.IsValid() {
			*original = ts.First
		}
		if nat && ts.First.Is4() == to.Is4() {
			ts.First, ts.Last = to, to
		}
		return ts
	}
	return swap(local, s.NATLocal, s.LocalAddr(), &q.originalLocal), swap(remote, s.NATRemote, s.RemoteAddr(), &q.originalRemote)
}

// takeAnsweredIDs compares the IDs of the answer with those that were sent.
func (q *quickMode) takeAnsweredIDs(ci, cr *isakmp.ID) error {
	l, err := ci.TrafficSelector()
	if err != nil {
		return fmt.Errorf("answered IDci %v: %w", ci, err)
	}
	r, err := cr.TrafficSelector()
	if err != nil {
		return fmt.Errorf("answered IDcr %v: %w", cr, err)
	}
	if l != q.local || r != q.remote {
		// In transport mode behind a NAT a peer may name the addresses that it
		// sees.
		tl, tr := q.natSelectors(q.cfg.Mode, l, r)
		if tl != q.local || tr != q.remote {
			return fmt.Errorf("peer answered for %v === %v, and we asked for %v === %v", l, r, q.local, q.remote)
		}
	}
	return nil
}

// generate makes a Child for a client whose selectors no configured one has,
// if the peer's configuration says so: those of the client are its own matter,
// ours have to be within those of the first Child.
func (q *quickMode) generate(m *inbound, local, remote spd.TrafficSelector) bool {
	s := q.s
	if s.peer.GeneratePolicy == GenerateOff || len(s.peer.Children) == 0 {
		return false
	}
	c := s.peer.Children[0]
	ownL, _ := s.OfferedSelectors(c)
	if !spd.Covers(ownL, local) {
		return false
	}
	policy := s.policyOf(q.x.sa, c)
	policy.optionalKE = voluntaryGroups
	chosen, err := policy.choose(m.SA())
	if err != nil {
		return false
	}
	q.cfg, q.policy, q.chosen, q.local, q.remote = c, policy, chosen, local, remote
	if s.peer.GeneratePolicy == GenerateUnique {
		q.reqID = s.ep.NewReqID()
	}
	return true
}

// natOAs are the original addresses for transport mode behind a NAT (RFC 3947
// 5.2): both, the initiator's first; the drafts before 03 have the own one
// only.
func (q *quickMode) natOAs(sa *isakmpSA) []isakmp.Payload {
	s := q.s
	if q.cfg.Mode != spd.ModeTransport || !s.Encap() || sa.variant == natt.NoVariant {
		return nil
	}
	t := isakmp.PayloadType(sa.variant.NATOA())
	own, peer := &isakmp.NATOA{Type: t, Addr: s.LocalAddr()}, &isakmp.NATOA{Type: t, Addr: s.RemoteAddr()}
	switch {
	case sa.variant < natt.Draft03:
		return []isakmp.Payload{own}
	case q.initiator:
		return []isakmp.Payload{own, peer}
	}
	return []isakmp.Payload{peer, own}
}

// noteNATOAs keeps what the peer calls the two hosts.
func (q *quickMode) noteNATOAs(sa *isakmpSA, m *inbound) {
	if sa.variant == natt.NoVariant {
		return
	}
	oas, n, err := m.NATOAs(isakmp.PayloadType(sa.variant.NATOA()))
	if err != nil || n == 0 {
		return
	}
	switch {
	case n == 1:
		q.originalRemote = oas[0].Addr
	case q.initiator:
		q.originalLocal, q.originalRemote = oas[0].Addr, oas[1].Addr
	default:
		q.originalRemote, q.originalLocal = oas[0].Addr, oas[1].Addr
	}
}
