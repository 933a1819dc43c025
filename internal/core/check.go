package core

import (
	"fmt"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// CheckChildren checks the Children of a peer. The error names the field.
func CheckChildren(children []*ike.ChildConfig) error {
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
		if err := checkChild(c); err != nil {
			return fmt.Errorf("Children[%d] %q: %w", i, c.Name, err)
		}
	}
	return nil
}

// checkChild checks a Child's proposals, selectors and times.
func checkChild(c *ike.ChildConfig) error {
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
		if err := CheckGroups(p); err != nil {
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

// CheckGroups checks that every group of a proposal is one that we have.
func CheckGroups(p spd.Proposal) error {
	for _, g := range spd.KEGroups([]spd.Proposal{p}) {
		if _, ok := dh.ByID(dh.ID(g)); !ok && dh.ID(g) != dh.None {
			return fmt.Errorf("key exchange %v is not implemented", dh.ID(g))
		}
	}
	return nil
}
