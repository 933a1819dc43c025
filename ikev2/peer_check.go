package ikev2

import (
	"fmt"
	"time"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/spd"
)

// check checks what the core relies on: times that make progress.
func (t *Timing) check() error {
	for _, f := range []struct {
		name  string
		value time.Duration
	}{{"RetransmitBase", t.RetransmitBase}, {"RetransmitMax", t.RetransmitMax}, {"HalfOpen", t.HalfOpen}, {"DeleteWait", t.DeleteWait}} {
		if f.value < 0 {
			return fmt.Errorf("Timing.%s is %v; it cannot be negative (0 takes the default)", f.name, f.value)
		}
	}
	if f := t.RetransmitFactor; f != 0 && !(f >= 1) {
		return fmt.Errorf("Timing.RetransmitFactor is %v; it has to be 1 or more (0 takes the default)", f)
	}
	if j := t.RetransmitJitter; !(j <= 1) {
		return fmt.Errorf("Timing.RetransmitJitter is %v; it is a fraction, at most 1", j)
	}
	if j := t.Jitter; !(j <= 1) {
		return fmt.Errorf("Timing.Jitter is %v; it is a fraction, at most 1", j)
	}
	return nil
}

// check checks a Child's proposals and times.
func (c *Child) check() error {
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
		if err := checkGroups(p); err != nil {
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

// checkGroups checks that every group of a proposal is one that we have.
func checkGroups(p spd.Proposal) error {
	for _, g := range spd.KEGroups([]spd.Proposal{p}) {
		if _, ok := dh.ByID(dh.ID(g)); !ok && dh.ID(g) != dh.None {
			return fmt.Errorf("key exchange %v is not implemented", dh.ID(g))
		}
	}
	return nil
}
