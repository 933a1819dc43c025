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
// integrity, an order of transforms other than IPComp, ESP, AH, and selectors
// or addresses that do not fit together.
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
	for _, a := range []struct {
		name string
		addr netip.AddrPort
	}{{"Local", b.Local}, {"Remote", b.Remote}} {
		if !a.addr.Addr().IsValid() || a.addr.Addr().Is4In6() {
			return fail("%s: %v is no IPv4 or IPv6 address", a.name, a.addr.Addr())
		}
		if b.UDPEncap && a.addr.Port() == 0 {
			return fail("%s: UDPEncap without a port", a.name)
		}
	}
	if b.Local.Addr().Is4() != b.Remote.Addr().Is4() {
		return fail("Local %v and Remote %v are of different families", b.Local.Addr(), b.Remote.Addr())
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
	return nil
}

// Check returns nil if a data plane with these capabilities can install the
// bundle, else an error that wraps [ErrUnsupported] and says what it lacks.
func (c *Capabilities) Check(b *Bundle) error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s: %s", ErrUnsupported, c.Name, fmt.Sprintf(format, args...))
	}
	if len(b.SAs) > 1 && !c.Bundles {
		return fail("more than one transform")
	}
	for i := range b.SAs {
		sa := &b.SAs[i]
		switch {
		case sa.Mode == ModeTunnel && !c.Tunnel || sa.Mode == ModeTransport && !c.Transport:
			return fail("%v mode", sa.Mode)
		case sa.ESN && !c.ESN:
			return fail("64-bit sequence numbers")
		case c.MaxReplay > 0 && sa.ReplayWindow > c.MaxReplay:
			return fail("a replay window of %d, above %d", sa.ReplayWindow, c.MaxReplay)
		case sa.Protocol == ProtoIPComp:
			if !slices.Contains(c.IPComp, uint8(sa.Encryption.ID)) {
				return fail("IPComp transform %d", sa.Encryption.ID)
			}
			continue
		case sa.Protocol == ProtoESP && !c.Supports(ProtoESP, sa.Encryption):
			return fail("%v for ESP", sa.Encryption)
		case sa.Integrity.KeymatLen() > 0 && !c.Supports(sa.Protocol, sa.Integrity):
			return fail("%v for %v", sa.Integrity, sa.Protocol)
		}
	}
	is4 := b.Local.Addr().Is4()
	switch {
	case b.UDPEncap && is4 && !c.UDPEncap || b.UDPEncap && !is4 && !c.UDPEncap6:
		return fail("ESP in UDP")
	case !b.UDPEncap && !c.RawESP && slices.ContainsFunc(b.SAs, func(s SA) bool { return s.Protocol == ProtoESP }):
		return fail("ESP that is not in UDP")
	case !c.Marks && (b.Options.MarkIn.Mask != 0 || b.Options.MarkOut.Mask != 0 || b.Options.OutputMark.Mask != 0):
		return fail("marks")
	}
	return nil
}
