package ikev1

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
)

// identityOf is the identity in an ID payload of phase 1.
func identityOf(id *isakmp.ID) ike.Identity {
	return ike.Identity{Type: ike.IDType(id.Type), Data: string(id.Data)}
}

func idPayload(id ike.Identity) *isakmp.ID {
	return &isakmp.ID{Type: isakmp.IDType(id.Type), Data: []byte(id.Data)}
}

// ownIdentity finds the own identity: the configured one, else what the
// certificate says, else the address.
func ownIdentity(ctx context.Context, local LocalAuth, signs bool, addr, remote ike.Identity) (ike.Identity, *ike.Credential, error) {
	id := local.ID
	if !signs {
		if id.IsZero() {
			id = addr
		}
		return id, nil, nil
	}
	cred, err := local.Credential(ctx, local.ID, remote)
	switch {
	case err != nil:
		return id, nil, fmt.Errorf("own credential: %w", err)
	case cred.Signer == nil:
		return id, nil, errors.New("own credential has no private key to sign with")
	}
	if id.IsZero() {
		id = addr
		if ids := cred.Identities(); len(ids) > 0 {
			id = ids[0]
		}
	}
	return id, cred, nil
}

// own finds the own identity before it is proved, for the modes that say it
// first. With several methods it must not depend on which one will be chosen:
// unless each of them signs, a certificate has no say.
func (sa *isakmpSA) own(peer *Peer, done func(now time.Time, id *isakmp.ID, err error)) {
	s, initiator := sa.s, sa.initiator
	local, remote := peer.Local, sa.expected(peer)
	addr := ike.AddrIdentity(s.LocalAddr())
	methods := sa.p1.policy.methods
	if !initiator {
		methods = []AuthMethod{sa.negotiated.method}
	}
	signs := !slices.ContainsFunc(methods, func(m AuthMethod) bool { return !m.Signs(initiator) })
	s.Job(ike.JobCredential, 0, func(ctx context.Context) (any, error) {
		id, _, err := ownIdentity(ctx, local, signs, addr, remote)
		return id, err
	}, func(now time.Time, v any, err error) {
		if err != nil {
			done(now, nil, err)
			return
		}
		s.LocalID = v.(ike.Identity)
		id := idPayload(s.LocalID)
		sa.setOwnID(id.AppendBody(nil))
		done(now, id, nil)
	}, nil)
}

func (sa *isakmpSA) setOwnID(body []byte) {
	if sa.initiator {
		sa.p1.hashed.idi = body
	} else {
		sa.p1.hashed.idr = body
	}
}

func (sa *isakmpSA) setPeerID(body []byte) {
	if sa.initiator {
		sa.p1.hashed.idr = body
	} else {
		sa.p1.hashed.idi = body
	}
}

// expected is the peer's identity as far as it is known.
func (sa *isakmpSA) expected(peer *Peer) ike.Identity {
	if !sa.s.RemoteID.IsZero() {
		return sa.s.RemoteID
	}
	id, _ := peer.Remote.ID.IsExact()
	return id
}

// candidates are the peers that the other side may be.
func (sa *isakmpSA) candidates() []*Peer {
	if sa.s.peer != nil {
		return []*Peer{sa.s.peer}
	}
	return sa.p1.possible
}

// identify takes the peer's ID payload, which is still to be proved: an
// initiator checks that it is who it wants to talk to, a responder in Main Mode
// decides which configured peer it is.
func (sa *isakmpSA) identify(m *inbound) error {
	s := sa.s
	id := identityOf(m.ID())
	if err := sa.identifyAs(id); err != nil {
		if !s.Up && s.RemoteID.IsZero() {
			s.RemoteID = id // for the explanation
		}
		return &AuthError{ID: id, Err: err}
	}
	sa.setPeerID(m.keep(isakmp.PayloadID))
	return nil
}

func (sa *isakmpSA) identifyAs(id ike.Identity) error {
	s := sa.s
	if err := id.Validate(); err != nil {
		return err
	}
	if sa.initiator {
		switch {
		case !s.peer.Remote.ID.Match(id):
			return fmt.Errorf("the peer is %v, expected %v", id, s.peer.Remote.ID)
		case s.Up && id != s.RemoteID:
			return fmt.Errorf("the peer is %v, and was %v before", id, s.RemoteID)
		}
		s.RemoteID = id
		return nil
	}
	peer, err := sa.choosePeer(id)
	if err != nil {
		return err
	}
	s.RemoteID = id
	s.setPeer(peer)
	return nil
}

// forgetPeer undoes identify in a half-open responder.
func (s *session) forgetPeer() {
	s.peer, s.Name, s.RemoteID = nil, "", ike.Identity{}
}

// choosePeer decides which of the possible peers a Main Mode initiator is, when
// it has said its identity: one that has it, that has the pre-shared key in use,
// and that allows what has been negotiated without knowing.
func (sa *isakmpSA) choosePeer(id ike.Identity) (*Peer, error) {
	p := sa.p1
	var first error
	for _, peer := range sa.ep.byIdentity(sa.s.Path, p.possible, id) {
		policy, negotiated := peer.policy(false), sa.negotiated
		policy.gssapi = p.policy.gssapi
		err := policy.allows(&negotiated)
		switch {
		case len(p.keyed) > 0 && !slices.Contains(p.keyed[0].peers, peer):
			err = fmt.Errorf("the identity %v belongs to peer %q, and the pre-shared key to %q", id, peer.Name, p.keyed[0].peers[0].Name)
		case err != nil:
			err = fmt.Errorf("the identity %v belongs to peer %q, which does not allow what was negotiated before it was known: %w", id, peer.Name, err)
		default:
			sa.negotiated = negotiated
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
