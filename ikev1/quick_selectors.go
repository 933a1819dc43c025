package ikev1

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/child"
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

// A fit is how offered selectors go with a Child's.
type fit struct {
	local, remote spd.TrafficSelector   // as they are on this side of a NAT
	served        []spd.TrafficSelector // of the own side, if less than local: what the Child has
	how           fitness
}

// fitness says how well an offer fits.
type fitness uint8

const (
	fitsNot       fitness = iota
	fitsAll               // it asks for everything, of which the Child has a part
	fitsWithin            // it is within the Child's selectors
	fitsExactly           // it is a pair of the Child's selectors
	fitsGenerated         // the policy is generated for it
)

func (f fitness) String() string {
	return [...]string{"selectors do not fit", "a Unity client's selectors are everything", "selectors are within the Child's", "selectors are the Child's",
		"policy generated for the peer's selectors"}[f]
}

// fits says how offered selectors go with a Child's. IKEv1 cannot answer with
// narrower ones, so an offer has to be within the configuration. A Unity client
// asks for everything and keeps to the networks that it was told (split
// include): its SA is installed for all that the Child has. strongSwan's does so
// without the vendor ID.
func (s *session) fits(c *ike.ChildConfig, local, remote spd.TrafficSelector, sa *isakmpSA) (f fit) {
	ownL, ownR := s.OfferedSelectors(c)
	f.local, f.remote, _, _ = s.natSelectors(c.Mode, local, remote)
	switch {
	case slices.Contains(ownL, f.local) && slices.Contains(ownR, f.remote):
		f.how = fitsExactly
	case spd.Covers(ownL, f.local) && spd.Covers(ownR, f.remote):
		f.how = fitsWithin
	case s.Leased != nil && (s.splits || sa.peerVIDs.Has(vendorid.Unity)) && spd.Covers(ownR, f.remote):
		for _, own := range ownL {
			if own.Is4() != f.local.Is4() {
				continue // the other family has an SA of its own
			}
			if !spd.Covers([]spd.TrafficSelector{f.local}, own) {
				return fit{local: f.local, remote: f.remote}
			}
			f.served = append(f.served, own)
		}
		if len(f.served) > 0 {
			f.how = fitsAll
		}
	}
	return f
}

// localTS is the own side of the SA.
func (q *quickMode) localTS() []spd.TrafficSelector {
	if q.served != nil {
		return q.served
	}
	return []spd.TrafficSelector{q.local}
}

// noteServed keeps what was negotiated for an SA that is installed for less, so
// that its rekey asks for the same.
func (s *session) noteServed(q *quickMode) {
	if q.served == nil {
		return
	}
	if s.askedFor == nil {
		s.askedFor = make(map[ike.ChildID]spd.TrafficSelector)
	}
	s.askedFor[q.sa.Info.ID] = q.local
}

// forgetServed: an SA has gone.
func (s *session) forgetServed(a *child.SA) {
	if !slices.ContainsFunc(s.Children.All(), func(o *child.SA) bool { return o != a && o.Info.ID == a.Info.ID }) {
		delete(s.askedFor, a.Info.ID)
	}
}

// negotiatedFor are the selectors that a Child SA was negotiated with.
func (s *session) negotiatedFor(a *child.SA) (local, remote spd.TrafficSelector, served []spd.TrafficSelector) {
	if local, ok := s.askedFor[a.Info.ID]; ok {
		return local, a.Info.RemoteTS[0], a.Info.LocalTS
	}
	return a.Info.LocalTS[0], a.Info.RemoteTS[0], nil
}

// natSelectors has the selectors as they are on this side of a NAT, and what
// the peer calls the two hosts.
func (s *session) natSelectors(mode spd.Mode, local, remote spd.TrafficSelector) (l, r spd.TrafficSelector, originalLocal, originalRemote netip.Addr) {
	ls, rs, originalLocal, originalRemote := s.NATSelectors(mode, []spd.TrafficSelector{local}, []spd.TrafficSelector{remote})
	return ls[0], rs[0], originalLocal, originalRemote
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
		tl, tr, _, _ := q.s.natSelectors(q.cfg.Mode, l, r)
		if tl != q.local || tr != q.remote {
			return fmt.Errorf("peer answered for %v === %v, and we asked for %v === %v", l, r, q.local, q.remote)
		}
	}
	return nil
}

// maxGenerated bounds the Child SAs of a session with selectors that the peer
// has chosen.
const maxGenerated = 32

// generate makes a Child for a client whose selectors no configured one has,
// if the peer's configuration says so. Ours have to be within those of the first
// Child. The client's are its own matter, within reason: it cannot draw traffic
// to itself that is for us, and one that was leased an address has that only.
// The policies live as long as the Child SA.
func (q *quickMode) generate(m *inbound, local, remote spd.TrafficSelector) error {
	s := q.s
	if s.peer.GeneratePolicy == GenerateOff || len(s.peer.Children) == 0 {
		return nil
	}
	c := s.peer.Children[0]
	local, remote, _, _ = s.natSelectors(c.Mode, local, remote)
	ownL, _ := s.OfferedSelectors(c)
	switch {
	case !spd.Covers(ownL, local):
		return fmt.Errorf("generating a policy: %v is not within %v of Child %q", local, ownL, c.Name)
	case slices.ContainsFunc(ownL, func(l spd.TrafficSelector) bool { return overlap(l, remote) }):
		return fmt.Errorf("generating a policy: the peer cannot have %v, which overlaps with our %v", remote, ownL)
	case s.Leased != nil && !slices.ContainsFunc(s.Network.Addresses, func(p netip.Prefix) bool { return remote.First == p.Addr() && remote.Last == p.Addr() }):
		return fmt.Errorf("generating a policy: the peer was leased %v, and asks for %v", s.Network.Addresses, remote)
	case s.generated(q) >= maxGenerated:
		s.ep.Count.Limited++
		return fmt.Errorf("generating a policy: limit of %d is reached", maxGenerated)
	}
	policy, chosen, err := s.chooseAs(q.x.sa, c, m.SA())
	if err != nil {
		return fmt.Errorf("generating a policy like Child %q: %w", c.Name, err)
	}
	q.cfg, q.policy, q.chosen, q.local, q.remote = c, policy, chosen, local, remote
	if s.peer.GeneratePolicy == GenerateUnique {
		q.reqID = s.ep.NewReqID()
	}
	return nil
}

// generated counts the Child SAs whose selectors no Child has, and those about
// to be.
func (s *session) generated(but *quickMode) (n int) {
	is := func(c *ike.ChildConfig, remote []spd.TrafficSelector) bool {
		if c == nil {
			return false
		}
		_, own := s.OfferedSelectors(c)
		return !spd.CoversSet(own, remote)
	}
	for _, a := range s.Children.All() {
		if a.State < child.Replaced && is(s.peer.child(a.Info.Name), a.Info.RemoteTS) {
			n++
		}
	}
	return n + s.underway(but, func(q *quickMode) bool { return is(q.cfg, []spd.TrafficSelector{q.remote}) })
}

// overlap reports whether two selectors share an address.
func overlap(a, b spd.TrafficSelector) bool {
	return a.Is4() == b.Is4() && !a.Last.Less(b.First) && !b.Last.Less(a.First)
}

// natOAs are the original addresses for transport mode behind a NAT (RFC 3947
// 5.2): both, the initiator's first; the drafts up to 04 have the own one only.
func (q *quickMode) natOAs(sa *isakmpSA) []isakmp.Payload {
	s := q.s
	if q.cfg.Mode != spd.ModeTransport || !s.Encap() || sa.variant == natt.NoVariant {
		return nil
	}
	t := isakmp.PayloadType(sa.variant.NATOA())
	own, peer := &isakmp.NATOA{Type: t, Addr: s.LocalAddr()}, &isakmp.NATOA{Type: t, Addr: s.RemoteAddr()}
	switch {
	case sa.variant.OriginalAddresses() == 1:
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
