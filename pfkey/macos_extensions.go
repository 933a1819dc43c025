package pfkey

import (
	"bytes"
	"encoding/binary"

	"github.com/racoon3/racoon/spd"
)

// SessionID is macOS's SESSION_ID extension.
type SessionID struct{ ID [2]uint64 }

// Ext implements [Extension].
func (*SessionID) Ext() ExtType { return ExtSessionID }

func (e *SessionID) appendBody(d *Dialect, b []byte) ([]byte, error) {
	b = append(b, 0, 0, 0, 0)
	b = d.order.AppendUint64(b, e.ID[0])
	return d.order.AppendUint64(b, e.ID[1]), nil
}

func (d *Dialect) parseSessionID(b []byte) (Extension, error) {
	if err := need(b, 24); err != nil {
		return nil, err
	}
	return &SessionID{ID: [2]uint64{d.order.Uint64(b[8:]), d.order.Uint64(b[16:])}}, nil
}

// SAStat is macOS's SASTAT extension of GETSASTAT: counters of several SAs.
type SAStat struct {
	Dir     uint32
	Entries []SAStatEntry
}

// A SAStatEntry are the counters of one SA.
type SAStatEntry struct {
	SPI     spd.SPI
	Created uint32 // seconds since 1970
	Current Lifetime
}

const saStatEntrySize = 40

// Ext implements [Extension].
func (*SAStat) Ext() ExtType { return ExtSAStat }

func (e *SAStat) appendBody(d *Dialect, b []byte) ([]byte, error) {
	b = d.order.AppendUint32(b, e.Dir)
	b = append(b, 0, 0, 0, 0)
	b = d.order.AppendUint32(b, uint32(len(e.Entries)))
	for i := range e.Entries {
		s := &e.Entries[i]
		b = binary.BigEndian.AppendUint32(b, uint32(s.SPI))
		b = d.order.AppendUint32(b, s.Created)
		b = append(b, 0, 0, 0, 0) // length and type of the lifetime are not used
		b, _ = s.Current.appendBody(d, b)
	}
	return b, nil
}

func (d *Dialect) parseSAStat(b []byte) (Extension, error) {
	if err := need(b, 16); err != nil {
		return nil, err
	}
	n := d.order.Uint32(b[12:])
	if int64(len(b)-16) < int64(n)*saStatEntrySize {
		return nil, parseError("more entries than there is room for")
	}
	e := &SAStat{Dir: d.order.Uint32(b[4:]), Entries: make([]SAStatEntry, n)}
	for i := range e.Entries {
		x := b[16+i*saStatEntrySize:]
		l, err := d.parseLifetime(ExtLifetimeCurrent, x[8:saStatEntrySize])
		if err != nil {
			return nil, err
		}
		e.Entries[i] = SAStatEntry{SPI: spd.SPI(binary.BigEndian.Uint32(x)), Created: d.order.Uint32(x[4:]), Current: *l.(*Lifetime)}
	}
	return e, nil
}

// IPsecIf is macOS's X_IPSECIF extension: interfaces that a policy is bound to.
type IPsecIf struct {
	Type                      ExtType // 0 stands for ExtIPsecIf
	Internal, Outgoing, IPsec string  // names, at most 24 octets
	Disabled                  bool
}

const ifNameSize = 24

// Ext implements [Extension].
func (e *IPsecIf) Ext() ExtType {
	if e.Type == 0 {
		return ExtIPsecIf
	}
	return e.Type
}

func (e *IPsecIf) appendBody(d *Dialect, b []byte) ([]byte, error) {
	for _, name := range [...]string{e.Internal, e.Outgoing, e.IPsec} {
		if len(name) > ifNameSize {
			return b, parseError("long interface name")
		}
		var f [ifNameSize]byte
		copy(f[:], name)
		b = append(b, f[:]...)
	}
	disabled := uint16(0)
	if e.Disabled {
		disabled = 1
	}
	return append(d.order.AppendUint16(b, disabled), 0, 0), nil
}

func (d *Dialect) parseIPsecIf(t ExtType, b []byte) (Extension, error) {
	if err := need(b, 80); err != nil {
		return nil, err
	}
	name := func(at int) string {
		n, _, _ := bytes.Cut(b[at:at+ifNameSize], []byte{0})
		return string(n)
	}
	return &IPsecIf{Type: t, Internal: name(4), Outgoing: name(28), IPsec: name(52), Disabled: d.order.Uint16(b[76:]) != 0}, nil
}
