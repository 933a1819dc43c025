package racoon

import (
	"fmt"
	"slices"
	"strings"

	"github.com/racoon3/racoon/spd"
)

type compiledProposals struct {
	proposals []spd.Proposal
	note      string
	err       error
}

func (c *compiler) ikeProposals(cfg *Peer, p *peer) error {
	if len(cfg.Proposals) == 0 {
		p.v2.Proposals = spd.DefaultIKEProposals()
		return nil
	}
	r := c.parseProposals(spd.ProtoIKE, cfg.Proposals)
	p.v2.Proposals = r.proposals
	return r.err
}

// parseProposals parses and restricts a list, once for all peers that have the
// same.
func (c *compiler) parseProposals(proto spd.Protocol, list []string) compiledProposals {
	key := proto.String() + " " + strings.Join(list, ",")
	if r, ok := c.proposals[key]; ok {
		return r
	}
	var r compiledProposals
	for i, s := range list {
		ps, err := spd.ParseProposals(proto, s)
		if err != nil {
			r.err = configError(fmt.Sprintf("Proposals[%d]", i), "%w", err)
			break
		}
		r.proposals = append(r.proposals, ps...)
	}
	if r.err == nil {
		all := r.proposals
		var removed []spd.Removed
		r.proposals, removed = spd.RestrictTo(c.caps, all)
		if len(removed) > 0 {
			r.note = fmt.Sprintf("data plane %q cannot do %s", c.caps.Name, listRemoved(all, removed))
		}
		if len(r.proposals) == 0 {
			r.err = configError("Proposals", "nothing is left of %s: %s; it has %s", list, r.note, listAlgorithms(c.caps, proto))
		}
	}
	c.proposals[key] = r
	return r
}

func listRemoved(all []spd.Proposal, removed []spd.Removed) string {
	var words []string
	for _, r := range removed {
		w := fmt.Sprintf("%v %s", r.Transform.Type, transformWord(all[r.Proposal].Protocol, r.Transform))
		if !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	return strings.Join(words, ", ")
}

func listAlgorithms(caps spd.Capabilities, proto spd.Protocol) string {
	var words []string
	for _, a := range caps.Algorithms {
		if a.Protocol == proto && a.ICVBits == 0 {
			words = append(words, transformWord(proto, a.Transform))
		}
	}
	if len(words) == 0 {
		return "no algorithm for " + proto.String()
	}
	return strings.Join(words, ", ")
}

// transformWord is the word of a proposal that stands for a transform.
func transformWord(proto spd.Protocol, t spd.Transform) string {
	return spd.Proposal{Protocol: proto, Transforms: []spd.Transform{t}}.String()
}
