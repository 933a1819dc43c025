package ikev2

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// A PeerSet is an immutable, indexed set of configured peers, shared by all
// endpoints of a program.
type PeerSet struct {
	peers  []*Peer
	byName map[string]*Peer
	byAddr map[netip.Addr][]*Peer // peers with single addresses only
	byNet  []*Peer                // peers with prefixes
	any    []*Peer                // peers that may come from anywhere
	byID   map[ike.Identity][]*Peer
	// anyProposals is the union of the proposals of any.
	anyProposals []spd.Proposal
}

// NewPeerSet checks and indexes peers. The error names the peer and the field.
func NewPeerSet(peers []*Peer) (*PeerSet, error) {
	ps := &PeerSet{
		peers:  slices.Clone(peers),
		byName: make(map[string]*Peer, len(peers)),
		byAddr: make(map[netip.Addr][]*Peer),
		byID:   make(map[ike.Identity][]*Peer),
	}
	for i, p := range peers {
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("ikev2: peer %d %q: %w", i, p.Name, err)
		}
		if ps.byName[p.Name] != nil {
			return nil, fmt.Errorf("ikev2: two peers have the name %q", p.Name)
		}
		ps.byName[p.Name] = p
		if id, exact := p.Remote.ID.IsExact(); exact {
			ps.byID[id] = append(ps.byID[id], p)
		}
		switch {
		case len(p.RemoteAddrs) == 0:
			ps.any = append(ps.any, p)
		case slices.ContainsFunc(p.RemoteAddrs, func(n netip.Prefix) bool { return !n.IsSingleIP() }):
			ps.byNet = append(ps.byNet, p)
		default:
			for _, n := range p.RemoteAddrs {
				ps.byAddr[n.Addr()] = append(ps.byAddr[n.Addr()], p)
			}
		}
	}
	ps.anyProposals = unionProposals(ps.any)
	return ps, nil
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
		if err := checkGroups(pr); err != nil {
			return fmt.Errorf("Proposals[%d]: %w", i, err)
		}
	}
	if err := p.Timing.check(); err != nil {
		return err
	}
	if err := p.checkAuth(); err != nil {
		return err
	}
	names := make(map[string]bool)
	for i, c := range p.Children {
		if c.Name == "" || names[c.Name] {
			return fmt.Errorf("Children[%d].Name %q is empty or used twice", i, c.Name)
		}
		names[c.Name] = true
		if len(c.Proposals) == 0 {
			return fmt.Errorf("Children[%d] %q: Proposals is empty; spd.DefaultESPProposals gives today's good ones", i, c.Name)
		}
		if len(c.Local) == 0 && !c.LocalDynamic || len(c.Remote) == 0 && !c.RemoteDynamic {
			return fmt.Errorf("Children[%d] %q: Local and Remote need at least one traffic selector each, or Dynamic", i, c.Name)
		}
		if err := c.check(); err != nil {
			return fmt.Errorf("Children[%d] %q: %w", i, c.Name, err)
		}
	}
	return nil
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
func (p *Peer) child(name string) *Child {
	for _, c := range p.Children {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Peer returns the peer of that name, or nil.
func (ps *PeerSet) Peer(name string) *Peer { return ps.byName[name] }

// Len returns the number of peers.
func (ps *PeerSet) Len() int { return len(ps.peers) }

// candidates returns the peers that a path may belong to, those with the
// narrower addresses first, and the union of their proposals.
func (ps *PeerSet) candidates(path ike.Path) ([]*Peer, []spd.Proposal) {
	remote := path.Remote.Addr().Unmap()
	var found []*Peer
	for _, p := range ps.byAddr[remote] {
		if p.servedOn(path) {
			found = append(found, p)
		}
	}
	for _, p := range ps.byNet {
		if containsAddr(p.RemoteAddrs, remote) && p.servedOn(path) {
			found = append(found, p)
		}
	}
	if len(found) == 0 && !slices.ContainsFunc(ps.any, func(p *Peer) bool { return len(p.LocalAddrs) > 0 }) {
		return ps.any, ps.anyProposals
	}
	for _, p := range ps.any {
		if p.servedOn(path) {
			found = append(found, p)
		}
	}
	return found, unionProposals(found)
}

func (p *Peer) servedOn(path ike.Path) bool {
	return len(p.LocalAddrs) == 0 || containsAddr(p.LocalAddrs, path.Local.Addr().Unmap())
}

func containsAddr(nets []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(nets, func(n netip.Prefix) bool { return n.Contains(a) })
}

// choose returns the peer that an initiator with this identity is, among those
// possible by its address: exact identities before patterns, narrower patterns
// first, then the order of configuration. The error says why each failed.
func (ps *PeerSet) choose(path ike.Path, remote ike.Identity, local *ike.Identity) (*Peer, error) {
	possible, _ := ps.candidates(path)
	if len(possible) == 0 {
		return nil, fmt.Errorf("no peer is configured for the address %v", path.Remote.Addr())
	}
	ours := func(p *Peer) bool {
		return local == nil || p.Local.ID.IsZero() || p.Local.ID.Equal(*local)
	}
	for _, p := range ps.byID[remote] {
		if ours(p) && slices.Contains(possible, p) {
			return p, nil
		}
	}
	var best *Peer
	idMatched := false
	for _, p := range possible {
		if !p.Remote.ID.Match(remote) {
			continue
		}
		idMatched = true
		if ours(p) && (best == nil || p.Remote.ID.Specificity() > best.Remote.ID.Specificity()) {
			best = p
		}
	}
	switch {
	case best != nil:
		return best, nil
	case idMatched:
		return nil, fmt.Errorf("peer identity %v is configured, but not with the own identity %v that it asks for", remote, local)
	case len(possible) == 1:
		return nil, fmt.Errorf("peer identity %v does not match %v of peer %q, the only one for address %v",
			remote, possible[0].Remote.ID, possible[0].Name, path.Remote.Addr())
	}
	return nil, fmt.Errorf("peer identity %v matches none of the %d peers possible at address %v", remote, len(possible), path.Remote.Addr())
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
