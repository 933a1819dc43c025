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
	s.peer, s.Name, s.RemoteID, s.why = nil, "", ike.Identity{}, ""
}
