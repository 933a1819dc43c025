package kink

import (
	"fmt"

	"github.com/racoon3/racoon/ikev1/isakmp"
)

// misread reports a choice that racoon2's kinkd takes for its first one: it finds
// the answer among its transforms by algorithm alone. So it keeps the inbound SA of
// its first key length, and nothing that is sent with another one arrives.
func (c *creation) misread(offer *isakmp.SA) error {
	if !c.s.peer.Racoon2 || c.optimistic(offer) {
		return nil
	}
	first := &offer.Proposals[0]
	for _, p := range c.answerSA(offer).Proposals {
		if p.Num != first.Num || p.Protocol != first.Protocol {
			continue
		}
		a, b := &first.Transforms[0], &p.Transforms[0]
		if a.Num != b.Num && a.ID == b.ID && authOf(a) == authOf(b) {
			return fmt.Errorf("the peer offers %v after another key length, and racoon2 would keep the keys of that: let it offer %[1]v alone, or first", c.chosen.Proposal)
		}
	}
	return nil
}

// authOf is the integrity algorithm of a transform, 0 if it has none.
func authOf(t *isakmp.Transform) uint64 {
	for i := range t.Attributes {
		if a := &t.Attributes[i]; a.Type == uint16(isakmp.Phase2AuthAlgorithm) {
			v, _ := a.Uint()
			return v
		}
	}
	return 0
}
