package ikev1

import (
	"fmt"
	"slices"

	"github.com/racoon3/racoon/ike"
)

// Which configured peer an initiator is, is decided by its address, then its
// identity, then by what it has offered (Aggressive and Base Mode) or what has
// been negotiated with it (Main Mode, the pre-shared key included); of those that
// are left, the one with the most specific identity, the first in the
// configuration.

// whyPeer tells why a peer was chosen: the one of those with the identity, in
// order, that has the place chosen.
func (e *Endpoint) whyPeer(path ike.Path, fitting []*Peer, chosen int) string {
	p := fitting[chosen]
	why := e.peers.index.Why(p, path)
	for _, o := range fitting[:chosen] {
		why = also(why, fmt.Sprintf("not %q, which does not allow what was offered or its key", o.Name))
	}
	if chosen+1 < len(fitting) {
		o := fitting[chosen+1]
		what := "earlier in the configuration"
		if p.Remote.ID.Specificity() > o.Remote.ID.Specificity() {
			what = "more specific"
		}
		why = also(why, fmt.Sprintf("%s than %q", what, o.Name))
	}
	return why
}

// also joins reasons.
func also(why, more string) string {
	if why == "" {
		return more
	}
	return why + ", " + more
}

// choosePeer decides which of the possible peers a Main Mode initiator is, when
// it has said its identity: one that has it, that has the pre-shared key in use,
// and that allows what has been negotiated without knowing.
func (sa *isakmpSA) choosePeer(id ike.Identity) (*Peer, error) {
	p := sa.p1
	var first error
	fitting := sa.ep.byIdentity(sa.s.Path, p.possible, id)
	for i, peer := range fitting {
		policy, negotiated := peer.policyWith(false, sa.p1.groups), sa.negotiated
		policy.gssapi = p.policy.gssapi
		err := policy.allows(&negotiated)
		switch {
		case len(p.keyed) > 0 && !slices.Contains(p.keyed[0].peers, peer):
			err = fmt.Errorf("the identity %v belongs to peer %q, and the pre-shared key to %q", id, peer.Name, p.keyed[0].peers[0].Name)
		case err != nil:
			err = fmt.Errorf("the identity %v belongs to peer %q, which does not allow what was negotiated before it was known: %w", id, peer.Name, err)
		case (sa.nat.Found() || sa.feigned) && !peer.takesNATT(sa.variant):
			err = fmt.Errorf("the identity %v belongs to peer %q, which does not allow NAT traversal as of %v, and there is a NAT", id, peer.Name, sa.variant)
		default:
			sa.negotiated = negotiated
			sa.s.why = sa.ep.whyPeer(sa.s.Path, fitting, i)
			return peer, nil
		}
		if first == nil {
			first = err
		}
	}
	if first == nil {
		first = sa.ep.unknownIdentity(sa.s.Path, id, sa.mode)
	}
	return nil, first
}

// byIdentity are those of the possible peers that may have an identity, the most
// specific pattern first, otherwise in their order. Whom a peer at the address
// asks for a user does not come in as a less specific one that does not, even if
// it takes another mode for that.
func (e *Endpoint) byIdentity(path ike.Path, possible []*Peer, id ike.Identity) (out []*Peer) {
	all, _ := e.peers.index.Candidates(path)
	asked := -1
	for _, p := range all {
		if p.Users != nil && p.Remote.ID.Match(id) {
			asked = max(asked, p.Remote.ID.Specificity())
		}
	}
	for _, p := range possible {
		if p.Remote.ID.Match(id) && (p.Users != nil || p.Remote.ID.Specificity() >= asked) {
			out = append(out, p)
		}
	}
	slices.SortStableFunc(out, func(a, b *Peer) int { return b.Remote.ID.Specificity() - a.Remote.ID.Specificity() })
	return out
}

// unknownIdentity explains that no peer possible at an address has an identity.
func (e *Endpoint) unknownIdentity(path ike.Path, id ike.Identity, mode Mode) error {
	peer, err := e.peers.index.Choose(path, id, nil)
	if err == nil {
		err = fmt.Errorf("the identity %v belongs to peer %q, which does not accept %v", id, peer.Name, mode)
	}
	return err
}
