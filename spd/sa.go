package spd

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/racoon3/racoon/internal/secret"
)

// Key is key material. It prints as its length only, and is wiped with Wipe.
type Key = secret.Bytes

// SPI is a security parameter index in host order; 0 to 255 are reserved
// (RFC 4303 2.1). For IPComp it holds the 16-bit CPI (RFC 3173).
type SPI uint32

// Mode is how a transform wraps a packet.
type Mode uint8

// Modes (RFC 4301 4.1).
const (
	ModeTunnel Mode = iota
	ModeTransport
)

func (m Mode) String() string {
	if m == ModeTransport {
		return "transport"
	}
	return "tunnel"
}

// Direction is the direction of a packet, an SA or a policy seen from this
// host.
type Direction uint8

// Directions. Forward is Linux's: packets that leave the tunnel and are
// routed on to another host.
const (
	In Direction = iota
	Out
	Forward
)

func (d Direction) String() string {
	switch d {
	case In:
		return "in"
	case Out:
		return "out"
	}
	return "fwd"
}

// An SA is one direction of one transform of a Child SA: what a data plane
// needs to protect or unprotect packets with one SPI. Once installed its keys
// never change.
type SA struct {
	Protocol Protocol // ProtoESP, ProtoAH or ProtoIPComp
	SPI      SPI      // chosen by the receiver: ours if inbound, the peer's if outbound
	Mode     Mode

	// Encryption and Integrity are IKEv2 transforms. Integrity is the zero
	// value with combined-mode ciphers; Encryption is the zero value for AH.
	// For IPComp, Encryption.ID is the IPComp transform ID (RFC 2407 4.4.5).
	Encryption, Integrity Transform
	EncrKey, IntegKey     Key // in KEYMAT form: AEAD keys end in their salt (RFC 4106 8.1)

	ESN          bool // 64-bit sequence numbers
	ReplayWindow int  // packets; 0 is the data plane's default, negative turns the check off (manual keys)
}

// A Bundle is one direction of a Child SA: its transforms in the order in
// which they apply to an outbound packet (IPComp, then ESP, then AH), with
// what they have in common.
type Bundle struct {
	SAs []SA // at least one; the last is outermost

	// ReqID ties the bundle to its policies: an outbound packet whose policy
	// has this ReqID is sent through the outbound bundle that was installed
	// last with it. It stays the same through rekeys.
	ReqID uint32

	// Local and Remote are the outer addresses of the tunnel, or the hosts'
	// own in transport mode. The ports count with UDPEncap only.
	Local, Remote netip.AddrPort
	UDPEncap      bool   // ESP in UDP (RFC 3948)
	NonIKE        bool   // with UDPEncap: behind the non-IKE marker, eight zero octets, on the port of plain IKE (draft-ietf-ipsec-udp-encaps-00, -01)
	Interface     uint32 // interface index for link-local addresses, 0 for none

	// LocalTS and RemoteTS are the negotiated traffic selectors. Inbound
	// packets that fall outside are dropped (RFC 4301 5.2). A data plane may
	// keep the slices: once installed they must not be changed.
	LocalTS, RemoteTS []TrafficSelector

	// OriginalLocal and OriginalRemote are the addresses with which the peer
	// computed its transport checksums: the one by which it knows this host,
	// and its own as it sees it. Transport mode corrects the checksums by them
	// (RFC 3948 3.1.2, RFC 7296 2.23.1). Invalid when there is no NAT.
	OriginalLocal, OriginalRemote netip.Addr

	Lifetime Lifetime
	Options  Options
}

// Lifetime bounds the use of an SA by volume, and as a backstop by time.
// Zero fields are unlimited. Reaching a soft limit raises one ExpireEvent and
// goes on; reaching a hard one stops the SA.
type Lifetime struct {
	SoftBytes, HardBytes     uint64 // octets of the packets before encryption
	SoftPackets, HardPackets uint64
	HardTime                 time.Duration // since installation; the core's own timers come earlier
}

// Valid returns nil if the limits can be kept, else an error that wraps
// [ErrBundle] and names the field: a soft limit above its hard one would never
// be reached, and the SA would end without a rekey.
func (l *Lifetime) Valid() error {
	switch {
	case l.HardBytes > 0 && l.SoftBytes > l.HardBytes:
		return fmt.Errorf("%w: SoftBytes %d is above HardBytes %d", ErrBundle, l.SoftBytes, l.HardBytes)
	case l.HardPackets > 0 && l.SoftPackets > l.HardPackets:
		return fmt.Errorf("%w: SoftPackets %d is above HardPackets %d", ErrBundle, l.SoftPackets, l.HardPackets)
	case l.HardTime < 0:
		return fmt.Errorf("%w: HardTime %v is negative; 0 means no limit", ErrBundle, l.HardTime)
	}
	return nil
}

// An SAID names an installed SA, as the IP header's destination, the protocol
// and the SPI do on the wire (RFC 4301 4.1).
type SAID struct {
	Direction Direction
	Protocol  Protocol
	SPI       SPI
	Dst       netip.Addr // the outer destination: ours if inbound
	Mark      Mark
}

// Counters are what a data plane has counted on one SA since installation.
type Counters struct {
	Bytes, Packets uint64    // of packets that passed all checks, before encryption or after decryption
	LastUsed       time.Time // zero if never

	ReplayDrops   uint64 // replayed or outside the window (RFC 4303 3.4.3)
	AuthDrops     uint64 // integrity check failed
	SelectorDrops uint64 // selectors did not match after decryption
	OtherDrops    uint64 // malformed, expired, sequence exhausted
}

// Add returns the sum of both; LastUsed is the later one.
func (c Counters) Add(o Counters) Counters {
	c.Bytes += o.Bytes
	c.Packets += o.Packets
	c.ReplayDrops += o.ReplayDrops
	c.AuthDrops += o.AuthDrops
	c.SelectorDrops += o.SelectorDrops
	c.OtherDrops += o.OtherDrops
	if o.LastUsed.After(c.LastUsed) {
		c.LastUsed = o.LastUsed
	}
	return c
}
