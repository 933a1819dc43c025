package spd

import (
	"errors"
	"fmt"
	"net/netip"
)

// Action is what a policy does with a packet (RFC 4301 4.4.1).
type Action uint8

// Actions. Discard is the zero value, so that a forgotten action never leaks.
const (
	ActionDiscard Action = iota
	ActionBypass
	ActionProtect // send through the Child SA of ReqID; without one the packet waits (AcquireEvent) or is dropped
	ActionTrap    // as ActionProtect, where there is perhaps no SA yet: without one raise an AcquireEvent, hold the packet, never send it in clear
)

func (a Action) String() string {
	switch a {
	case ActionDiscard:
		return "discard"
	case ActionBypass:
		return "bypass"
	case ActionProtect:
		return "protect"
	case ActionTrap:
		return "trap"
	}
	return "unknown"
}

// A Policy is an entry of the SPD. It is a plain value: equal fields are the
// same policy.
type Policy struct {
	Direction Direction
	Selector  Selector
	Action    Action

	// Priority orders policies: lower values are looked up first, as on
	// Linux. Equal priorities: the more specific selector first (the longer
	// prefix lengths, of both sides together, then fewer ports, then one with
	// a protocol), then the order of installation.
	Priority uint32

	ReqID uint32 // ActionProtect and ActionTrap: the Child SA's

	// Template of the SA, for data planes that keep it with the policy.
	Protocol        Protocol
	Inner           [2]Protocol // of a bundle: what applies before Protocol, in this order; 0 for none
	Mode            Mode        // of the first transform; the others of a bundle are in transport mode
	Local, Remote   netip.Addr  // outer addresses in tunnel mode
	Mark            Mark
	InterfaceID     uint32
	OptionalInbound bool // inbound: packets in clear are accepted too (PF_KEY level "use")
}

// ErrPolicy is what errors about policies wrap.
var ErrPolicy = errors.New("spd: invalid policy")

// Valid returns nil if the policy can be installed, else an error that wraps
// [ErrPolicy] and names the field.
func (p *Policy) Valid() error {
	if err := p.Selector.Valid(); err != nil {
		return fmt.Errorf("%w: Selector: %w", ErrPolicy, err)
	}
	switch {
	case p.Direction > Forward:
		return fmt.Errorf("%w: Direction %d is unknown", ErrPolicy, p.Direction)
	case p.Action > ActionTrap:
		return fmt.Errorf("%w: Action %d is unknown", ErrPolicy, p.Action)
	}
	return nil
}

// String returns the policy on one line, for logs.
func (p Policy) String() string {
	s := fmt.Sprintf("%v %v %v priority %d", p.Direction, p.Selector, p.Action, p.Priority)
	if p.Action == ActionProtect || p.Action == ActionTrap {
		s += fmt.Sprintf(" reqid %d %v %v", p.ReqID, p.Protocol, p.Mode)
	}
	return s
}
