package pfkey

import (
	"bytes"
)

// FlowType is what an OpenBSD flow does, in a [Protocol] of ExtFlowType.
type FlowType uint8

// Flow types of OpenBSD.
const (
	FlowUse     FlowType = 1
	FlowAcquire FlowType = 2
	FlowRequire FlowType = 3
	FlowBypass  FlowType = 4
	FlowDeny    FlowType = 5
	FlowDontAcq FlowType = 6
)

// Protocol is one of OpenBSD's X_PROTOCOL, X_FLOW_TYPE and X_SATYPE2
// extensions.
type Protocol struct {
	Type  ExtType
	Proto uint8 // IP protocol, [FlowType] or SA type
	Dir   uint8 // 1 in, 2 out
	Flags uint8 // 1: static policy
}

// Ext implements [Extension].
func (e *Protocol) Ext() ExtType { return e.Type }

func (e *Protocol) appendBody(_ *Dialect, b []byte) ([]byte, error) {
	return append(b, e.Proto, e.Dir, e.Flags, 0), nil
}

func (d *Dialect) parseProtocol(t ExtType, b []byte) (Extension, error) {
	if err := need(b, 8); err != nil {
		return nil, err
	}
	return &Protocol{Type: t, Proto: b[4], Dir: b[5], Flags: b[6]}, nil
}

// Number is an extension of OpenBSD that holds one number: X_POLICY (a
// sequence number), X_TAP (a unit) or X_MTU.
type Number struct {
	Type  ExtType
	Value uint32
}

// Ext implements [Extension].
func (e *Number) Ext() ExtType { return e.Type }

func (e *Number) appendBody(d *Dialect, b []byte) ([]byte, error) {
	return d.order.AppendUint32(b, e.Value), nil
}

func (d *Dialect) parseNumber(t ExtType, b []byte) (Extension, error) {
	if err := need(b, 8); err != nil {
		return nil, err
	}
	return &Number{Type: t, Value: d.order.Uint32(b[4:])}, nil
}

// Tag is OpenBSD's X_TAG extension: a pf tag.
type Tag struct{ Name string }

// Ext implements [Extension].
func (*Tag) Ext() ExtType { return ExtTag }

func (e *Tag) appendBody(d *Dialect, b []byte) ([]byte, error) {
	b = d.order.AppendUint32(b, uint32(len(e.Name)+1))
	return append(append(b, e.Name...), 0), nil
}

func (d *Dialect) parseTag(b []byte) (Extension, error) {
	if err := need(b, 8); err != nil {
		return nil, err
	}
	n := d.order.Uint32(b[4:])
	if int64(n) > int64(len(b)-8) {
		return nil, errShort
	}
	name, _, _ := bytes.Cut(b[8:8+n], []byte{0})
	return &Tag{Name: string(name)}, nil
}

// ReplayCounter is OpenBSD's X_REPLAY extension: the last sequence number, not
// the window.
type ReplayCounter struct{ Count uint64 }

// Ext implements [Extension].
func (*ReplayCounter) Ext() ExtType { return ExtReplay }

func (e *ReplayCounter) appendBody(d *Dialect, b []byte) ([]byte, error) {
	return d.order.AppendUint64(append(b, 0, 0, 0, 0), e.Count), nil
}

func (d *Dialect) parseReplayCounter(b []byte) (Extension, error) {
	if err := need(b, 16); err != nil {
		return nil, err
	}
	return &ReplayCounter{Count: d.order.Uint64(b[8:])}, nil
}

// Counter is OpenBSD's X_COUNTER extension.
type Counter struct {
	InPackets, OutPackets             uint64
	InBytes, OutBytes                 uint64
	InDrops, OutDrops                 uint64
	InDecompressed, OutBeforeCompress uint64 // octets
}

// Ext implements [Extension].
func (*Counter) Ext() ExtType { return ExtCounter }

func (e *Counter) appendBody(d *Dialect, b []byte) ([]byte, error) {
	b = append(b, 0, 0, 0, 0)
	for _, v := range [...]uint64{e.InPackets, e.OutPackets, e.InBytes, e.OutBytes, e.InDrops, e.OutDrops, e.InDecompressed, e.OutBeforeCompress} {
		b = d.order.AppendUint64(b, v)
	}
	return b, nil
}

func (d *Dialect) parseCounter(b []byte) (Extension, error) {
	if err := need(b, 72); err != nil {
		return nil, err
	}
	v := func(i int) uint64 { return d.order.Uint64(b[8+8*i:]) }
	return &Counter{v(0), v(1), v(2), v(3), v(4), v(5), v(6), v(7)}, nil
}

// RDomain is OpenBSD's X_RDOMAIN extension.
type RDomain struct{ Inner, Outer uint16 }

// Ext implements [Extension].
func (*RDomain) Ext() ExtType { return ExtRDomain }

func (e *RDomain) appendBody(d *Dialect, b []byte) ([]byte, error) {
	return d.order.AppendUint16(d.order.AppendUint16(b, e.Inner), e.Outer), nil
}

func (d *Dialect) parseRDomain(b []byte) (Extension, error) {
	if err := need(b, 8); err != nil {
		return nil, err
	}
	return &RDomain{Inner: d.order.Uint16(b[4:]), Outer: d.order.Uint16(b[6:])}, nil
}

// Iface is OpenBSD's X_IFACE extension: the sec interface of an SA.
type Iface struct {
	Unit uint32
	Dir  uint8
}

// Ext implements [Extension].
func (*Iface) Ext() ExtType { return ExtIface }

func (e *Iface) appendBody(d *Dialect, b []byte) ([]byte, error) {
	b = d.order.AppendUint32(b, e.Unit)
	return append(b, e.Dir, 0, 0, 0, 0, 0, 0, 0), nil
}

func (d *Dialect) parseIface(b []byte) (Extension, error) {
	if err := need(b, 16); err != nil {
		return nil, err
	}
	return &Iface{Unit: d.order.Uint32(b[4:]), Dir: b[8]}, nil
}
