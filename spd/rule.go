package spd

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// A Rule declares what is to be done with some traffic, in both directions: an
// entry of the SPD as an administrator thinks of it (RFC 4301 4.4.1.2).
// [Rule.Policies] makes the policies of it, a [Database] installs them.
type Rule struct {
	// Name tells rules apart: racoon2's selector index.
	Name string

	// Local and Remote are the traffic. Each of Local with each of Remote is a
	// policy, as far as their families and protocols fit; some must.
	Local, Remote []TrafficSelector

	// Direction restricts the rule to the packets of one direction.
	Direction RuleDirection

	// Action is ActionProtect (ActionTrap means the same), ActionBypass or
	// ActionDiscard, the zero value.
	Action Action

	// Priority orders rules: lower values come first. See [Policy].
	Priority uint32

	// The rest is about protection alone.

	// Protocols are the transforms, in the order in which they apply to an
	// outbound packet: IPComp, ESP, AH, each at most once. None is ESP. In tunnel
	// mode the first is the tunnel.
	Protocols []Protocol
	Mode      Mode
	Level     Level

	// ReqID ties the rule to its SAs. With LevelUnique, 0 lets the [Database]
	// choose one, the same again after a restart.
	ReqID uint32

	// LocalAddr and RemoteAddr are the outer addresses, for tunnel mode.
	LocalAddr, RemoteAddr netip.Addr

	Mark        Mark
	InterfaceID uint32
}

// RuleDirection says for which packets a rule is.
type RuleDirection uint8

// Directions of a rule.
const (
	BothDirections RuleDirection = iota
	OnlyOutbound
	OnlyInbound
	OnlyForward // Linux: what is routed on to another host
)

// Level says how much a rule insists on its SAs.
type Level uint8

// Levels. None lets an outbound packet leave in clear.
const (
	LevelUnique  Level = iota // the SAs of the rule's ReqID and no others
	LevelRequire              // any SA between the addresses
	LevelUse                  // as LevelUnique with a ReqID, else as LevelRequire; an inbound packet may come in clear
)

func (l Level) String() string {
	names := [...]string{"unique", "require", "use"}
	if int(l) < len(names) {
		return names[l]
	}
	return fmt.Sprintf("Level(%d)", uint8(l))
}

// ErrRule is what errors about rules wrap.
var ErrRule = errors.New("spd: invalid rule")

// needsReqID reports whether the rule's policies are those of a ReqID.
func (r *Rule) needsReqID() bool { return r.protects() && r.Level == LevelUnique }

func (r *Rule) protects() bool { return r.Action == ActionProtect || r.Action == ActionTrap }

// Policies returns the policies that are the rule, outbound before inbound. The
// error wraps [ErrRule] and names the field.
func (r *Rule) Policies() ([]Policy, error) {
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("%w %q: %w", ErrRule, r.Name, err)
	}
	base := Policy{Action: r.Action, Priority: r.Priority, Mark: r.Mark, InterfaceID: r.InterfaceID}
	if r.protects() {
		base.ReqID, base.Mode, base.Local, base.Remote = r.ReqID, r.Mode, r.LocalAddr, r.RemoteAddr
		base.Protocol = ProtoESP
		if n := len(r.Protocols); n > 0 {
			base.Protocol = r.Protocols[n-1]
			copy(base.Inner[:], r.Protocols[:n-1])
		}
	}
	var ps []Policy
	for _, l := range r.Local {
		for _, rem := range r.Remote {
			p := base
			p.Selector = Selector{Local: l, Remote: rem}
			if p.Selector.Valid() != nil {
				continue
			}
			if r.Direction == BothDirections || r.Direction == OnlyOutbound {
				p.Direction = Out
				if r.protects() {
					p.Action = ActionTrap
				}
				ps = append(ps, p)
			}
			if r.Direction != OnlyOutbound {
				p.Direction, p.Action = In, base.Action
				if r.Direction == OnlyForward {
					p.Direction = Forward
				}
				if r.protects() {
					p.Action, p.OptionalInbound = ActionProtect, r.Level == LevelUse
				}
				ps = append(ps, p)
			}
		}
	}
	if len(ps) == 0 {
		return nil, fmt.Errorf("%w %q: Local %v and Remote %v: none of one fits one of the other", ErrRule, r.Name, r.Local, r.Remote)
	}
	return ps, nil
}

func (r *Rule) check() error {
	for _, side := range []struct {
		name string
		list []TrafficSelector
	}{{"Local", r.Local}, {"Remote", r.Remote}} {
		if len(side.list) == 0 {
			return fmt.Errorf("%s is empty", side.name)
		}
		for _, ts := range side.list {
			if err := ts.Valid(); err != nil {
				return fmt.Errorf("%s: %w", side.name, err)
			}
		}
	}
	switch {
	case r.Direction > OnlyForward:
		return fmt.Errorf("Direction %d is unknown", r.Direction)
	case r.Action > ActionTrap:
		return fmt.Errorf("Action %d is unknown", r.Action)
	case !r.protects():
		return nil
	case r.Mode > ModeTransport:
		return fmt.Errorf("Mode %d is unknown", r.Mode)
	case r.Level > LevelUse:
		return fmt.Errorf("Level %d is unknown", r.Level)
	case r.Level == LevelRequire && r.ReqID != 0:
		return fmt.Errorf("ReqID %d is for the levels unique and use", r.ReqID)
	case r.Mode == ModeTunnel && r.Direction <= OnlyOutbound && !r.RemoteAddr.IsValid():
		return errors.New("RemoteAddr: tunnel mode needs the other end's address")
	case r.LocalAddr.IsValid() && r.RemoteAddr.IsValid() && r.LocalAddr.Is4() != r.RemoteAddr.Is4():
		return fmt.Errorf("LocalAddr %v and RemoteAddr %v are of different families", r.LocalAddr, r.RemoteAddr)
	}
	order := []Protocol{ProtoIPComp, ProtoESP, ProtoAH}
	for i, p := range r.Protocols {
		at := slices.Index(order, p)
		if at < 0 {
			return fmt.Errorf("Protocols[%d]: %v is not one of IPComp, ESP and AH, once each and in this order", i, p)
		}
		order = order[at+1:]
	}
	return nil
}

func (r *Rule) clone() Rule {
	c := *r
	c.Local, c.Remote, c.Protocols = slices.Clone(r.Local), slices.Clone(r.Remote), slices.Clone(r.Protocols)
	return c
}
