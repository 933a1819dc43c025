package setkey

import (
	"context"
	"errors"
	"iter"
	"net/netip"

	"github.com/racoon3/racoon/pfkey"
)

// An SA is one as a [Kernel] takes and gives it.
type SA struct {
	Proto    Protocol
	Src, Dst netip.Addr // may have zones
	SPI      uint32
	Mode     pfkey.Mode
	ReqID    uint32
	Replay   uint32 // window, in the kernel's unit
	Padding  Padding
	NoCyclic bool

	Encrypt, Auth Algorithm
	Compress      string
	RawCPI        bool

	Hard, Soft Lifetime
	Context    *Context

	SrcPort, DstPort uint16     // of esp-udp
	Original         netip.Addr // of esp-udp: NAT-OA, or invalid

	// What only a kernel knows.
	State    pfkey.SAState
	Current  *Lifetime // nil if not known; times are seconds since 1970
	Sequence uint32
	Flags    uint32
	Origin   Origin
}

// Lifetime is a limit or what was used of it; 0 is no limit.
type Lifetime struct{ Allocations, Bytes, AddTime, UseTime uint64 }

// Origin is the part of an answer that is not about the SA or policy itself.
type Origin struct {
	Seq, PID uint32
	Refs     uint16
}

// A Policy is one as a [Kernel] takes and gives it.
type Policy struct {
	Src, Dst         netip.Prefix // invalid in a policy of a socket
	SrcPort, DstPort uint16       // 0 for any; or a [Detail]
	Proto            uint8        // pfkey.ProtoAny for any
	Policy           pfkey.Policy
	Context          *Context
	Tag              string

	// What only a kernel knows.
	Socket  bool      // it belongs to a socket
	Hard    *Lifetime // nil if not known
	Current *Lifetime // nil if not known; UseTime is the last use
	Origin  Origin
}

// A Kernel has an SAD and an SPD. Errors are those of its client.
type Kernel interface {
	Add(ctx context.Context, sa *SA) error
	Update(ctx context.Context, sa *SA) error
	// GetSPI makes a larval SA, with an SPI of the kernel's choice if sa has
	// none.
	GetSPI(ctx context.Context, sa *SA) (spi uint32, err error)
	Get(ctx context.Context, sa *SA) (*SA, error)
	Delete(ctx context.Context, sa *SA) error
	// Dump yields the SAs of a protocol, ProtoAny for all. One is valid until
	// the next only.
	Dump(ctx context.Context, p Protocol) iter.Seq2[*SA, error]
	Flush(ctx context.Context, p Protocol) error

	// AddPolicy adds a policy, and with update takes it in place of one with the
	// same selector and direction.
	AddPolicy(ctx context.Context, p *Policy, update bool) error
	// DeletePolicy deletes a policy by its selector and direction.
	DeletePolicy(ctx context.Context, p *Policy) error
	DumpPolicies(ctx context.Context) iter.Seq2[*Policy, error]
	FlushPolicies(ctx context.Context) error

	// HasForward reports whether forwarded packets have policies of their own.
	HasForward() bool
}

// ErrNotFound is what errors about an SA or policy that is not there wrap.
var ErrNotFound = errors.New("no such entry")

// ErrUnsupported is what errors about something that a kernel does not have wrap.
var ErrUnsupported = errors.New("not supported")

// family is a protocol as kernels name SAs: without its variants.
func (p Protocol) family() Protocol {
	switch p {
	case ProtoESPOld, ProtoESPUDP:
		return ProtoESP
	case ProtoAHOld:
		return ProtoAH
	}
	return p
}

// Wipe overwrites the keys.
func (sa *SA) Wipe() {
	sa.Encrypt.Key.Wipe()
	sa.Auth.Key.Wipe()
}
