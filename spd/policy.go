package spd

import "net/netip"

// Action is what a policy does with a packet (RFC 4301 4.4.1).
type Action uint8

// Actions. Discard is the zero value, so that a forgotten action never leaks.
const (
	ActionDiscard Action = iota
	ActionBypass
	ActionProtect // send through the Child SA of ReqID; without one the packet waits (AcquireEvent) or is dropped
	ActionTrap    // as ActionProtect without an SA: raise an AcquireEvent, hold the packet, never send it in clear
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
	// Linux. Equal priorities: the more specific selector first (longer
	// prefixes, then ports, then protocol), then the order of installation.
	Priority uint32

	ReqID uint32 // ActionProtect and ActionTrap: the Child SA's

	// Template of the SA, for data planes that keep it with the policy.
	Protocol        Protocol
	Mode            Mode
	Local, Remote   netip.Addr // outer addresses in tunnel mode
	Mark            Mark
	InterfaceID     uint32
	OptionalInbound bool // inbound: packets in clear are accepted too (PF_KEY level "use")
}
