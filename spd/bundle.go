package spd

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// ErrBundle is what errors about bundles that are wrong in themselves wrap.
var ErrBundle = errors.New("spd: invalid bundle")

// FirstSPI is the lowest SPI that may be used (RFC 4303 2.1), and the lowest
// negotiated CPI (RFC 3173 3.3).
const FirstSPI SPI = 256

// LastCPI is the highest CPI that may be negotiated (RFC 3173 3.3).
const LastCPI SPI = 61439

// ID returns the SAID of the i-th SA of a bundle that is installed for a
// direction.
func (b *Bundle) ID(d Direction, i int) SAID {
	id := SAID{Direction: d, Protocol: b.SAs[i].Protocol, SPI: b.SAs[i].SPI}
	if d == Out {
		id.Dst, id.Mark = b.Remote.Addr(), b.Options.MarkOut
	} else {
		id.Dst, id.Mark = b.Local.Addr(), b.Options.MarkIn
	}
	return id
}

// IDs returns the SAIDs of all SAs of the bundle.
func (b *Bundle) IDs(d Direction) []SAID {
	r := make([]SAID, len(b.SAs))
	for i := range r {
		r[i] = b.ID(d, i)
	}
	return r
}

// Clone returns a copy that shares nothing with b, keys included.
func (b *Bundle) Clone() *Bundle {
	c := *b
	c.SAs = slices.Clone(b.SAs)
	for i := range c.SAs {
		c.SAs[i].EncrKey, c.SAs[i].IntegKey = c.SAs[i].EncrKey.Clone(), c.SAs[i].IntegKey.Clone()
	}
	c.LocalTS, c.RemoteTS = slices.Clone(b.LocalTS), slices.Clone(b.RemoteTS)
	return &c
}

// Wipe overwrites the keys.
func (b *Bundle) Wipe() {
	for i := range b.SAs {
		b.SAs[i].EncrKey.Wipe()
		b.SAs[i].IntegKey.Wipe()
	}
}

// Valid returns nil if the bundle makes sense, whatever the data plane, else
// an error that wraps [ErrBundle] and names the field: SPIs of 0 to 255 are
// refused, as are keys whose length is not the algorithm's, an ESP SA without
// integrity, an order of transforms other than IPComp, ESP, AH, selectors
// or addresses that do not fit together, and limits and options that cannot
// be kept.
func (b *Bundle) Valid() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrBundle, fmt.Sprintf(format, args...))
	}
	if len(b.SAs) == 0 {
		return fail("no SAs")
	}
	order := map[Protocol]int{ProtoIPComp: 1, ProtoESP: 2, ProtoAH: 3}
	last := 0
	for i := range b.SAs {
		sa := &b.SAs[i]
		if order[sa.Protocol] <= last {
			return fail("SAs[%d]: %v does not belong here; the order is IPComp, ESP, AH", i, sa.Protocol)
		}
		last = order[sa.Protocol]
		if sa.Mode > ModeTransport {
			return fail("SAs[%d]: Mode %d is unknown", i, sa.Mode)
		}
		if sa.SPI < FirstSPI {
			return fail("SAs[%d]: SPI %d is reserved (RFC 4303 2.1)", i, sa.SPI)
		}
		encr, integ := sa.Encryption, sa.Integrity
		switch sa.Protocol {
		case ProtoIPComp:
			if sa.SPI > LastCPI {
				return fail("SAs[%d]: CPI %d is above %d", i, sa.SPI, LastCPI)
			}
			continue
		case ProtoAH:
			if encr != (Transform{}) || len(sa.EncrKey) > 0 {
				return fail("SAs[%d]: AH with encryption", i)
			}
			if integ.KeymatLen() == 0 {
				return fail("SAs[%d]: AH without integrity", i)
			}
		case ProtoESP:
			if a := known(TransformENCR, encr.ID); encr.Type != TransformENCR || a == nil {
				return fail("SAs[%d]: %v is no encryption algorithm", i, encr)
			} else if len(a.keyLens) > 0 && !slices.Contains(a.keyLens, encr.KeyLen) {
				return fail("SAs[%d]: %v: key length", i, encr)
			}
			if IsCombinedMode(encr) != (integ.KeymatLen() == 0) {
				return fail("SAs[%d]: %v with integrity algorithm %v", i, encr, integ)
			}
		}
		if len(sa.EncrKey) != encr.KeymatLen() {
			return fail("SAs[%d]: EncrKey has %d octets, %v takes %d", i, len(sa.EncrKey), encr, encr.KeymatLen())
		}
		if len(sa.IntegKey) != integ.KeymatLen() {
			return fail("SAs[%d]: IntegKey has %d octets, %v takes %d", i, len(sa.IntegKey), integ, integ.KeymatLen())
		}
	}
	outer := b.Endpoints()
	if err := outer.Valid(); err != nil {
		return err
	}
	if len(b.LocalTS) == 0 || len(b.RemoteTS) == 0 {
		return fail("LocalTS and RemoteTS must not be empty")
	}
	for _, set := range [][]TrafficSelector{b.LocalTS, b.RemoteTS} {
		for _, ts := range set {
			if err := ts.Valid(); err != nil {
				return fmt.Errorf("%w: %w", ErrBundle, err)
			}
		}
	}
	if err := b.Lifetime.Valid(); err != nil {
		return err
	}
	return b.Options.Valid()
}

// Endpoints returns the outer addresses of the bundle.
func (b *Bundle) Endpoints() Endpoints {
	return Endpoints{Local: b.Local, Remote: b.Remote, UDPEncap: b.UDPEncap, NonIKE: b.NonIKE}
}

// SetEndpoints gives the bundle other outer addresses.
func (b *Bundle) SetEndpoints(to Endpoints) {
	b.Local, b.Remote, b.UDPEncap, b.NonIKE = to.Local, to.Remote, to.UDPEncap, to.NonIKE
}

// Valid returns nil if the endpoints can be those of an SA, else an error that
// wraps [ErrBundle] and names the field.
func (e *Endpoints) Valid() error {
	for _, a := range []struct {
		name string
		addr netip.AddrPort
	}{{"Local", e.Local}, {"Remote", e.Remote}} {
		if !a.addr.Addr().IsValid() || a.addr.Addr().Is4In6() {
			return fmt.Errorf("%w: %s: %v is no IPv4 or IPv6 address", ErrBundle, a.name, a.addr.Addr())
		}
		if e.UDPEncap && a.addr.Port() == 0 {
			return fmt.Errorf("%w: %s: UDPEncap without a port", ErrBundle, a.name)
		}
	}
	if e.NonIKE && !e.UDPEncap {
		return fmt.Errorf("%w: NonIKE without UDPEncap", ErrBundle)
	}
	if e.Local.Addr().Is4() != e.Remote.Addr().Is4() {
		return fmt.Errorf("%w: Local %v and Remote %v are of different families", ErrBundle, e.Local.Addr(), e.Remote.Addr())
	}
	return nil
}

// Check returns nil if a data plane with these capabilities can install the
// bundle, else an error that wraps [ErrUnsupported] and says what it lacks.
func (c *Capabilities) Check(b *Bundle) error {
	if len(b.SAs) > 1 && !c.Bundles {
		return c.lacks("more than one transform")
	}
	for i := range b.SAs {
		sa := &b.SAs[i]
		switch {
		case sa.Mode == ModeTunnel && !c.Tunnel || sa.Mode == ModeTransport && !c.Transport:
			return c.lacks("%v mode", sa.Mode)
		case sa.ESN && !c.ESN:
			return c.lacks("64-bit sequence numbers")
		case c.MaxReplay > 0 && sa.ReplayWindow > c.MaxReplay:
			return c.lacks("a replay window of %d, above %d", sa.ReplayWindow, c.MaxReplay)
		case sa.Protocol == ProtoIPComp:
			if !slices.Contains(c.IPComp, uint8(sa.Encryption.ID)) {
				return c.lacks("IPComp transform %d", sa.Encryption.ID)
			}
			continue
		case sa.Protocol == ProtoESP && !c.Supports(ProtoESP, sa.Encryption):
			return c.lacks("%v for ESP", sa.Encryption)
		case sa.Integrity.KeymatLen() > 0 && !c.Supports(sa.Protocol, sa.Integrity):
			return c.lacks("%v for %v", sa.Integrity, sa.Protocol)
		}
	}
	is4 := b.Local.Addr().Is4()
	switch {
	case b.UDPEncap && is4 && !c.UDPEncap || b.UDPEncap && !is4 && !c.UDPEncap6:
		return c.lacks("ESP in UDP")
	case b.NonIKE && !c.NonIKE:
		return c.lacks("ESP in UDP behind the non-IKE marker, on the port of IKE")
	case !b.UDPEncap && !c.RawESP && slices.ContainsFunc(b.SAs, func(s SA) bool { return s.Protocol == ProtoESP }):
		return c.lacks("ESP that is not in UDP")
	}
	return c.CheckOptions(&b.Options)
}

// CheckOptions returns nil if a data plane with these capabilities has all that
// the options ask for, else an error that wraps [ErrUnsupported] and says what
// it lacks.
func (c *Capabilities) CheckOptions(o *Options) error {
	switch {
	case !c.Marks && (o.MarkIn.Mask != 0 || o.MarkOut.Mask != 0 || o.OutputMark.Mask != 0):
		return c.lacks("marks")
	case !c.InterfaceIDs && o.InterfaceID != 0:
		return c.lacks("interface IDs")
	case !c.Offload && o.Offload != "":
		return c.lacks("offload to %q", o.Offload)
	case !c.SecurityLabels && o.SecurityCtx != "":
		return c.lacks("security labels")
	case !c.PerCPU && o.PerCPU != 0:
		return c.lacks("Child SAs for single CPUs")
	}
	return nil
}

func (c *Capabilities) lacks(format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", ErrUnsupported, c.Name, fmt.Sprintf(format, args...))
}

// CheckPolicy returns nil if a data plane with these capabilities can enforce
// the policy, else an error that wraps [ErrUnsupported] and says what it lacks.
func (c *Capabilities) CheckPolicy(p *Policy) error {
	switch {
	case !c.Marks && p.Mark.Mask != 0:
		return c.lacks("marks")
	case !c.InterfaceIDs && p.InterfaceID != 0:
		return c.lacks("interface IDs")
	case !c.TrapPolicy && p.Action == ActionTrap:
		return c.lacks("trap policies")
	}
	return nil
}
