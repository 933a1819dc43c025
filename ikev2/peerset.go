package ikev2

import (
	"fmt"
	"slices"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/core"
	"github.com/racoon3/racoon/spd"
)

// A PeerSet is an immutable, indexed set of configured peers, shared by all
// endpoints of a program.
type PeerSet struct {
	index core.Index[*Peer]
	// anyProposals is the union of the proposals of those that may come from
	// anywhere.
	anyProposals []spd.Proposal
}

// NewPeerSet checks and indexes peers. The error names the peer and the field.
func NewPeerSet(peers []*Peer) (*PeerSet, error) {
	for i, p := range peers {
		if p.timing == nil {
			t := p.Timing.WithDefaults()
			p.timing = &t
		}
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("ikev2: peer %d %q: %w", i, p.Name, err)
		}
	}
	x, err := core.NewIndex(peers, func(p *Peer) core.Facts {
		return core.Facts{Name: p.Name, RemoteAddrs: p.RemoteAddrs, LocalAddrs: p.LocalAddrs, LocalID: p.Local.ID, RemoteID: p.Remote.ID}
	})
	if err != nil {
		return nil, fmt.Errorf("ikev2: %w", err)
	}
	return &PeerSet{index: x, anyProposals: unionProposals(x.Any())}, nil
}

func (p *Peer) check() error {
	switch {
	case p.Name == "":
		return fmt.Errorf("Name is empty")
	case len(p.Proposals) == 0:
		return fmt.Errorf("Proposals is empty; spd.DefaultIKEProposals gives today's good ones")
	case p.Local.Method == 0:
		return fmt.Errorf("Local.Method is not set; use AuthPSK or AuthSignature")
	case p.Local.Method == AuthEAP:
		return fmt.Errorf("Local.Method: EAP is not available")
	case p.Local.Credential == nil:
		return fmt.Errorf("Local.Credential is nil")
	case len(p.Remote.Methods) == 0:
		return fmt.Errorf("Remote.Methods is empty; list AuthPSK or AuthSignature")
	}
	for _, m := range p.Remote.Methods {
		switch {
		case m == AuthPSK && p.Remote.Credential == nil:
			return fmt.Errorf("Remote.Credential is nil, but Remote.Methods has AuthPSK")
		case m == AuthSignature && p.Remote.Trust == nil:
			return fmt.Errorf("Remote.Trust is nil, but Remote.Methods has AuthSignature")
		case m == AuthEAP:
			return fmt.Errorf("Remote.Methods: EAP is not available")
		}
	}
	for i, pr := range p.Proposals {
		if pr.Protocol != spd.ProtoIKE {
			return fmt.Errorf("Proposals[%d] is for %v, not for IKE", i, pr.Protocol)
		}
		if err := pr.Valid(); err != nil {
			return fmt.Errorf("Proposals[%d]: %w", i, err)
		}
		if err := checkAlgorithms(pr); err != nil {
			return fmt.Errorf("Proposals[%d]: %w", i, err)
		}
		if err := core.CheckGroups(pr); err != nil {
			return fmt.Errorf("Proposals[%d]: %w", i, err)
		}
	}
	if err := p.Timing.Validate(); err != nil {
		return err
	}
	if err := p.checkAuth(); err != nil {
		return err
	}
	return core.CheckChildren(p.Children)
}

// checkAuth checks what the authentication rests on.
func (p *Peer) checkAuth() error {
	if err := p.Local.Signature.validate(); err != nil {
		return fmt.Errorf("Local.Signature: %w", err)
	}
	if err := p.Remote.Signature.validate(); err != nil {
		return fmt.Errorf("Remote.Signature: %w", err)
	}
	if t := p.Remote.Trust; t != nil && slices.Contains(p.Remote.Methods, AuthSignature) {
		if err := t.Validate(); err != nil {
			return fmt.Errorf("Remote.Trust: %w", err)
		}
	}
	return nil
}

// child returns the configured Child of that name.
func (p *Peer) child(name string) *ike.ChildConfig {
	for _, c := range p.Children {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Peer returns the peer of that name, or nil.
func (ps *PeerSet) Peer(name string) *Peer { return ps.index.ByName(name) }

// Len returns the number of peers.
func (ps *PeerSet) Len() int { return len(ps.index.All()) }

// candidates returns the peers that a path may belong to, and the union of
// their proposals.
func (ps *PeerSet) candidates(path ike.Path) ([]*Peer, []spd.Proposal) {
	found, any := ps.index.Candidates(path)
	if any {
		return found, ps.anyProposals
	}
	return found, unionProposals(found)
}

func unionProposals(peers []*Peer) []spd.Proposal {
	if len(peers) == 1 {
		return peers[0].Proposals
	}
	var all []spd.Proposal
	seen := make(map[string]bool)
	for _, p := range peers {
		for _, pr := range p.Proposals {
			if s := pr.String(); !seen[s] {
				seen[s] = true
				all = append(all, pr)
			}
		}
	}
	return all
}
