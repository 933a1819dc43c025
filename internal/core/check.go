package core

import (
	"fmt"
	"slices"
	"strings"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// CheckChildren checks the Children of a peer, which may name private groups of
// its besides. The error names the field.
func CheckChildren(children []*ike.ChildConfig, private ...*dh.PrivateGroup) error {
	names := make(map[string]bool)
	for i, c := range children {
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
		if err := checkChild(c, private); err != nil {
			return fmt.Errorf("Children[%d] %q: %w", i, c.Name, err)
		}
	}
	return nil
}

// checkChild checks a Child's proposals, selectors and times.
func checkChild(c *ike.ChildConfig, private []*dh.PrivateGroup) error {
	for i, p := range c.Proposals {
		switch {
		case p.Protocol != spd.ProtoESP && p.Protocol != spd.ProtoAH:
			return fmt.Errorf("Proposals[%d] is for %v, not for ESP or AH", i, p.Protocol)
		case p.Protocol != c.Proposals[0].Protocol:
			return fmt.Errorf("Proposals[%d] is for %v, others for %v; a Child is one or the other", i, p.Protocol, c.Proposals[0].Protocol)
		}
		if err := p.Valid(); err != nil {
			return fmt.Errorf("Proposals[%d]: %w", i, err)
		}
		if err := CheckGroups(p, private...); err != nil {
			return fmt.Errorf("Proposals[%d]: %w", i, err)
		}
	}
	for name, set := range map[string][]spd.TrafficSelector{"Local": c.Local, "Remote": c.Remote} {
		for i, ts := range set {
			if err := ts.Valid(); err != nil {
				return fmt.Errorf("%s[%d]: %w", name, i, err)
			}
		}
	}
	if !(c.Jitter <= 1) {
		return fmt.Errorf("Jitter is %v; it is a fraction, at most 1", c.Jitter)
	}
	return nil
}

// CheckGroups checks that every group of a proposal is one that we have, or a
// private one.
func CheckGroups(p spd.Proposal, private ...*dh.PrivateGroup) error {
	for _, g := range spd.KEGroups([]spd.Proposal{p}) {
		id := dh.ID(g)
		known := slices.ContainsFunc(private, func(p *dh.PrivateGroup) bool { return p.ID() == id })
		if _, ok := dh.ByID(id); ok || known || id == dh.None {
			continue
		}
		if id.Private() {
			return fmt.Errorf("key exchange %v is a private group (IKEv1 has them) that the peer does not have", id)
		}
		return fmt.Errorf("key exchange %v is not supported, but %s", id, groupNames())
	}
	return nil
}

// groupNames are the groups that we have.
func groupNames() string {
	var names []string
	for g := range dh.Groups() {
		names = append(names, g.ID().String())
	}
	return strings.Join(names, ", ")
}
