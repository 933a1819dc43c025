package spd

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"
)

// A DataPlane enforces policies and transforms packets: userspace ESP
// (package esp), a kernel through PF_KEY or XFRM, or Memory for tests.
//
// Key management calls it from several goroutines at once, but orders the
// calls that concern one Child SA: a bundle's InstallInbound returns before
// its InstallOutbound or Remove begins. Every call may block and honours its
// context; none is made from a protocol core's own goroutine.
//
// Keys of an installed SA are immutable. Whoever installs the same key again
// (a kernel that forgot it) must carry its sequence number and replay state,
// or AEAD nonces repeat.
type DataPlane interface {
	// Capabilities tells what the data plane can do. Proposals are built from
	// it, so that nothing is negotiated which cannot be installed.
	Capabilities() Capabilities

	// AllocSPI reserves an inbound SPI (a larval SA). It is called once per
	// transform of a bundle. InstallInbound makes it mature; ReleaseSPI or
	// the request's TTL gives it back.
	AllocSPI(ctx context.Context, r SPIRequest) (SPI, error)
	ReleaseSPI(ctx context.Context, id SAID) error

	// InstallInbound and InstallOutbound install one direction of a Child SA,
	// all transforms or none. InstallOutbound makes the bundle the one that
	// its ReqID's policies send through; earlier bundles of the ReqID stay
	// installed until they are removed, so that there is never a moment
	// without one. A data plane that looks at the bundles' selectors takes the
	// latest one that has room for the packet. The data plane keeps no reference
	// to b's keys. What is wrong with b itself is ErrBundle (see Bundle.Valid),
	// what the data plane cannot do ErrUnsupported (see Capabilities.Check).
	InstallInbound(ctx context.Context, b *Bundle) error
	InstallOutbound(ctx context.Context, b *Bundle) error

	// Remove removes one SA and returns its final counters. ErrNotFound if it
	// is not there (any more).
	Remove(ctx context.Context, id SAID) (Counters, error)
	// Query returns the counters of one SA.
	Query(ctx context.Context, id SAID) (Counters, error)
	// MovePeer changes the outer addresses of an SA whose peer (or whose own
	// host) has moved: NAT mapping change or MOBIKE. The SA's Dst changes with
	// it: from then on its SAID has the new one (Local if inbound, Remote if
	// outbound).
	MovePeer(ctx context.Context, id SAID, to Endpoints) error

	// SetPolicies replaces the policies of one owner; nil removes them all.
	// Equal policies of several owners are one, counted by reference; changes
	// are applied as a difference, without a moment in which a packet that
	// both the old and the new set protect goes unprotected. An error, which
	// wraps ErrPolicy or ErrUnsupported (see Capabilities.CheckPolicy), changes
	// nothing.
	SetPolicies(ctx context.Context, owner Owner, policies []Policy) error

	// AcquireDone answers an AcquireEvent: nil when an SA is installed, else
	// why there will be none (RFC 2367 3.1.6). Packets held for it are sent or
	// dropped.
	AcquireDone(ctx context.Context, id AcquireID, err error) error

	// PrepareSocket is called for each IKE socket before it is used, so that a
	// kernel lets IKE bypass its policies and takes ESP from the NAT-T port.
	// natt says that the socket carries UDP-encapsulated ESP.
	PrepareSocket(conn net.PacketConn, natt bool) error

	// Events returns the channel of what happens; it is the same channel each
	// time, bounded, and closed by Close. A full channel loses events: then an
	// OverflowEvent follows, and the reader resynchronises with Query.
	Events() <-chan Event

	// Close releases the data plane. SAs and policies that it set are removed.
	Close() error
}

// NonIKESocket is implemented by a data plane that has [Capabilities].NonIKE.
type NonIKESocket interface {
	// PrepareNonIKE is called for a socket without the non-ESP marker, after
	// PrepareSocket, when a peer may send ESP in UDP to it behind the non-IKE
	// marker, so that a kernel takes that. It may be called again.
	PrepareNonIKE(conn net.PacketConn) error
}

// Owner identifies who set policies: a configured peer's Child or a Child SA.
type Owner uint64

// AcquireID identifies a packet flow that waits for an SA.
type AcquireID uint64

// Endpoints are the outer addresses of an SA, seen from this host.
type Endpoints struct {
	Local, Remote netip.AddrPort
	UDPEncap      bool
	NonIKE        bool // with UDPEncap: as [Bundle] has it
}

// SPIRequest asks for an inbound SPI.
type SPIRequest struct {
	Protocol Protocol
	Local    netip.Addr // destination of the inbound SA: our outer address
	Remote   netip.Addr
	ReqID    uint32
	Mark     Mark
	Acquire  AcquireID     // the acquire it answers, 0 for none
	TTL      time.Duration // the reservation ends by itself after this time; 0 for the data plane's default
}

// Capabilities describes a data plane.
type Capabilities struct {
	Name       string // "esp", "xfrm", "pfkey", "memory": for logs
	Algorithms []Algorithm
	ESN        bool
	Tunnel     bool
	Transport  bool
	UDPEncap   bool // ESP in UDP, IPv4
	UDPEncap6  bool // ESP in UDP, IPv6
	NonIKE     bool // ESP in UDP behind the non-IKE marker; the data plane is a [NonIKESocket]
	RawESP     bool // ESP as IP protocol 50
	Bundles    bool // more than one transform per Child SA
	IPComp     []uint8
	MaxReplay  int  // largest replay window in packets
	Volume     bool // volume lifetimes raise ExpireEvents
	TrapPolicy bool // ActionTrap raises AcquireEvents

	// What of Options and policies it has.
	Marks, InterfaceIDs, Offload, SecurityLabels, PerCPU bool
}

// An Algorithm is a transform that a data plane can install.
type Algorithm struct {
	Protocol Protocol
	Transform
	// ICVBits is the length of the integrity check value this data plane uses
	// for an integrity transform; 0 means the IKEv2 transform's own length.
	// Where the two differ the peers would drop every packet, so such a
	// transform is not offered.
	ICVBits int
}

// Supports reports whether the data plane can install transform t for
// protocol p. A KeyLen of 0 in the capability matches any length.
func (c *Capabilities) Supports(p Protocol, t Transform) bool {
	switch t.Type {
	case TransformESN:
		return t.ID == ESNNone || (t.ID == ESNExtended && c.ESN)
	case TransformKE:
		return true
	case TransformINTEG:
		if t.ID == IntegNone {
			return true
		}
	}
	for _, a := range c.Algorithms {
		if a.Protocol == p && a.Type == t.Type && a.ID == t.ID && (a.KeyLen == 0 || a.KeyLen == t.KeyLen) && a.ICVBits == 0 {
			return true
		}
	}
	return false
}

// An Event is what a data plane reports: one of the *Event types of this
// package.
type Event interface{ dataPlaneEvent() }

// AcquireEvent: a packet matched an ActionTrap (or an ActionProtect without
// an SA). It is answered with AcquireDone.
type AcquireEvent struct {
	ID     AcquireID
	Policy Policy
	// Packet is the packet's own flow, single addresses, protocol and ports,
	// as far as the data plane tells; invalid addresses where it does not.
	Packet Selector
}

// ExpireEvent: a lifetime was reached. Hard: the SA no longer works.
type ExpireEvent struct {
	ID   SAID
	Hard bool
	// Exhausted: the sequence number space is (soft: nearly) used up.
	Exhausted bool
	Counters  Counters
}

// MappingEvent: an authenticated packet arrived from another address or port
// than the SA's remote one: a NAT has a new mapping.
type MappingEvent struct {
	ID       SAID
	Old, New netip.AddrPort
}

// FirstPacketEvent: the first packet of an inbound SA passed all checks; the
// peer uses it, so the old one may go (RFC 7296 2.8).
type FirstPacketEvent struct{ ID SAID }

// PeerErrorEvent: a packet could not be handled: no SA for its SPI (RFC 4303
// 3.4.2), or an ICMP error from the path.
type PeerErrorEvent struct {
	SPI    SPI
	Remote netip.AddrPort
	Err    error
}

// OverflowEvent: events were lost.
type OverflowEvent struct{ Lost uint64 }

func (AcquireEvent) dataPlaneEvent()     {}
func (ExpireEvent) dataPlaneEvent()      {}
func (MappingEvent) dataPlaneEvent()     {}
func (FirstPacketEvent) dataPlaneEvent() {}
func (PeerErrorEvent) dataPlaneEvent()   {}
func (OverflowEvent) dataPlaneEvent()    {}

// Errors of data planes.
var (
	ErrNotFound     = errors.New("spd: no such SA")
	ErrExists       = errors.New("spd: SA exists already")
	ErrUnsupported  = errors.New("spd: not supported by this data plane")
	ErrClosed       = errors.New("spd: data plane is closed")
	ErrSPIExhausted = errors.New("spd: no free SPI")
)
