package pfkey

import "net/netip"

// SecCtx is Linux's X_SEC_CTX extension: the label of an SA or policy.
type SecCtx struct {
	Alg     uint8 // 1 for SELinux
	DOI     uint8
	Context []byte // with the NUL that SELinux wants at its end
}

// Ext implements [Extension].
func (*SecCtx) Ext() ExtType { return ExtSecCtx }

func (e *SecCtx) appendBody(d *Dialect, b []byte) ([]byte, error) {
	if len(e.Context) > 65535 {
		return b, parseError("long context")
	}
	b = append(b, e.Alg, e.DOI)
	b = d.order.AppendUint16(b, uint16(len(e.Context)))
	return append(b, e.Context...), nil
}

func (d *Dialect) parseSecCtx(b []byte) (Extension, error) {
	if err := need(b, 8); err != nil {
		return nil, err
	}
	n := int(d.order.Uint16(b[6:]))
	if err := need(b, 8+n); err != nil {
		return nil, err
	}
	return &SecCtx{Alg: b[4], DOI: b[5], Context: b[8 : 8+n]}, nil
}

// KMAddress is Linux's X_KMADDRESS extension of X_MIGRATE: where key
// management talks from and to.
type KMAddress struct{ Local, Remote SockAddr }

// Ext implements [Extension].
func (*KMAddress) Ext() ExtType { return ExtKMAddress }

func (e *KMAddress) appendBody(d *Dialect, b []byte) ([]byte, error) {
	b = append(b, 0, 0, 0, 0)
	b, err := d.appendSockAddr(b, &e.Local)
	if err != nil {
		return b, err
	}
	return d.appendSockAddr(b, &e.Remote)
}

func (d *Dialect) parseKMAddress(b []byte) (Extension, error) {
	if err := need(b, 8); err != nil {
		return nil, err
	}
	e := &KMAddress{}
	b = b[8:]
	for _, a := range []*SockAddr{&e.Local, &e.Remote} {
		got, n, err := d.parseSockAddr(b)
		if err != nil {
			return nil, err
		} else if n == 0 {
			return nil, errNoAddress
		}
		*a, b = got, b[n:]
	}
	return e, nil
}

// Filter is Linux's X_FILTER extension of DUMP: only SAs from and to these
// networks.
type Filter struct{ Src, Dst netip.Prefix }

// Ext implements [Extension].
func (*Filter) Ext() ExtType { return ExtFilter }

func (e *Filter) appendBody(d *Dialect, b []byte) ([]byte, error) {
	if !e.Src.IsValid() || !e.Dst.IsValid() || e.Src.Addr().Is4() != e.Dst.Addr().Is4() {
		return b, errNoAddress
	}
	family := uint16(d.familyIP6)
	if e.Src.Addr().Is4() {
		family = familyIP4
	}
	for _, p := range [...]netip.Prefix{e.Src, e.Dst} {
		var a [16]byte
		copy(a[:], p.Addr().AsSlice())
		b = append(b, a[:]...)
	}
	b = d.order.AppendUint16(b, family)
	return append(b, byte(e.Src.Bits()), byte(e.Dst.Bits())), nil
}

func (d *Dialect) parseFilter(b []byte) (Extension, error) {
	if err := need(b, 40); err != nil {
		return nil, err
	}
	src, dst := netip.AddrFrom16([16]byte(b[4:20])), netip.AddrFrom16([16]byte(b[20:36]))
	switch d.order.Uint16(b[36:]) {
	case familyIP4:
		src, dst = netip.AddrFrom4([4]byte(b[4:8])), netip.AddrFrom4([4]byte(b[20:24]))
	case uint16(d.familyIP6):
	default:
		return nil, errNoAddress
	}
	e := &Filter{Src: netip.PrefixFrom(src, int(b[38])), Dst: netip.PrefixFrom(dst, int(b[39]))}
	if !e.Src.IsValid() || !e.Dst.IsValid() {
		return nil, parseError("prefix length")
	}
	return e, nil
}
