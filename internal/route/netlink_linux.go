package route

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

type operation bool

const (
	add    operation = true
	remove operation = false
)

// flags are those of a request that adds or removes.
func (op operation) flags() netlink.HeaderFlags {
	f := netlink.Request | netlink.Acknowledge
	if op == add {
		f |= netlink.Create | netlink.Excl
	}
	return f
}

func (op operation) pick(added, removed netlink.HeaderType) netlink.HeaderType {
	if op == add {
		return added
	}
	return removed
}

// conn is an rtnetlink socket (rtnetlink(7)).
type conn struct{ *netlink.Conn }

func dial() (*conn, error) {
	c, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{Strict: true})
	if err != nil {
		return nil, err
	}
	return &conn{c}, nil
}

func (c *conn) close() error { return c.Close() }

// request sends a message: header is the fixed part, in its C layout.
func (c *conn) request(t netlink.HeaderType, flags netlink.HeaderFlags, header []byte, attributes func(*netlink.AttributeEncoder)) ([]netlink.Message, error) {
	ae := netlink.NewAttributeEncoder()
	if attributes != nil {
		attributes(ae)
	}
	attrs, err := ae.Encode()
	if err != nil {
		return nil, err
	}
	return c.Execute(netlink.Message{Header: netlink.Header{Type: t, Flags: flags}, Data: append(header, attrs...)})
}

func family(a netip.Addr) byte {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func index(link string) (uint32, error) {
	i, err := net.InterfaceByName(link)
	if err != nil {
		return 0, err
	}
	return uint32(i.Index), nil
}

func (c *conn) setUp(link string, mtu int) error {
	i, err := index(link)
	if err != nil {
		return err
	}
	h := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(h[4:], i)
	binary.NativeEndian.PutUint32(h[8:], unix.IFF_UP)
	binary.NativeEndian.PutUint32(h[12:], unix.IFF_UP) // which flags to change
	_, err = c.request(unix.RTM_NEWLINK, netlink.Request|netlink.Acknowledge, h, func(ae *netlink.AttributeEncoder) {
		if mtu != 0 {
			ae.Uint32(unix.IFLA_MTU, uint32(mtu))
		}
	})
	return err
}

func (c *conn) address(op operation, link string, p netip.Prefix) error {
	i, err := index(link)
	if err != nil {
		return err
	}
	h := make([]byte, unix.SizeofIfAddrmsg)
	h[0], h[1] = family(p.Addr()), byte(p.Bits())
	if p.Addr().Is6() {
		h[2] = unix.IFA_F_NODAD // there is nobody to ask on a tunnel
	}
	binary.NativeEndian.PutUint32(h[4:], i)
	_, err = c.request(op.pick(unix.RTM_NEWADDR, unix.RTM_DELADDR), op.flags(), h, func(ae *netlink.AttributeEncoder) {
		ae.Bytes(unix.IFA_LOCAL, p.Addr().AsSlice())
		ae.Bytes(unix.IFA_ADDRESS, p.Addr().AsSlice())
	})
	return err
}

func (c *conn) route(op operation, r Route) error {
	h := make([]byte, unix.SizeofRtMsg)
	h[0], h[1] = family(r.Dst.Addr()), byte(r.Dst.Bits())
	h[5] = unix.RTPROT_STATIC
	h[7] = unix.RTN_UNICAST
	switch {
	case r.Unreachable:
		h[7] = unix.RTN_UNREACHABLE
	case !r.Gateway.IsValid():
		h[6] = unix.RT_SCOPE_LINK
	}
	var i uint32
	if r.Link != "" {
		var err error
		if i, err = index(r.Link); err != nil {
			return err
		}
	}
	_, err := c.request(op.pick(unix.RTM_NEWROUTE, unix.RTM_DELROUTE), op.flags(), h, func(ae *netlink.AttributeEncoder) {
		ae.Uint32(unix.RTA_TABLE, r.Table)
		ae.Bytes(unix.RTA_DST, r.Dst.Addr().AsSlice())
		if i != 0 {
			ae.Uint32(unix.RTA_OIF, i)
		}
		if r.Gateway.IsValid() {
			ae.Bytes(unix.RTA_GATEWAY, r.Gateway.AsSlice())
		}
		if r.Src.IsValid() {
			ae.Bytes(unix.RTA_PREFSRC, r.Src.AsSlice())
		}
		if r.Metric != 0 {
			ae.Uint32(unix.RTA_PRIORITY, r.Metric)
		}
	})
	return err
}

// rule sends a struct fib_rule_hdr, which has the layout of struct rtmsg.
func (c *conn) rule(op operation, r Rule) error {
	h := make([]byte, unix.SizeofRtMsg)
	h[0] = unix.AF_INET
	if r.IPv6 {
		h[0] = unix.AF_INET6
	}
	h[7] = unix.FR_ACT_TO_TBL
	_, err := c.request(op.pick(unix.RTM_NEWRULE, unix.RTM_DELRULE), op.flags(), h, func(ae *netlink.AttributeEncoder) {
		ae.Uint32(unix.FRA_TABLE, r.Table)
		ae.Uint32(unix.FRA_PRIORITY, r.Priority)
		if r.Mark != 0 {
			ae.Uint32(unix.FRA_FWMARK, r.Mark)
			ae.Uint32(unix.FRA_FWMASK, ^uint32(0))
		}
		if r.NoDefault {
			ae.Uint32(unix.FRA_SUPPRESS_PREFIXLEN, 0)
		}
	})
	return err
}

func (c *conn) lookup(dst netip.Addr) (Route, error) {
	h := make([]byte, unix.SizeofRtMsg)
	h[0], h[1] = family(dst), byte(dst.BitLen())
	ms, err := c.request(unix.RTM_GETROUTE, netlink.Request, h, func(ae *netlink.AttributeEncoder) {
		ae.Bytes(unix.RTA_DST, dst.AsSlice())
		ae.Uint32(unix.RTA_MARK, TunnelMark)
	})
	if err != nil {
		return Route{}, err
	}
	if len(ms) == 0 || len(ms[0].Data) < unix.SizeofRtMsg {
		return Route{}, errors.New("the system's answer is empty")
	}
	ad, err := netlink.NewAttributeDecoder(ms[0].Data[unix.SizeofRtMsg:])
	if err != nil {
		return Route{}, err
	}
	r := Route{Dst: netip.PrefixFrom(dst, dst.BitLen()), Unreachable: ms[0].Data[7] == unix.RTN_UNREACHABLE}
	for ad.Next() {
		switch ad.Type() {
		case unix.RTA_GATEWAY:
			r.Gateway, _ = netip.AddrFromSlice(ad.Bytes())
		case unix.RTA_PREFSRC:
			r.Src, _ = netip.AddrFromSlice(ad.Bytes())
		case unix.RTA_TABLE:
			r.Table = ad.Uint32()
		case unix.RTA_OIF:
			i, err := net.InterfaceByIndex(int(ad.Uint32()))
			if err != nil {
				return Route{}, err
			}
			r.Link = i.Name
		}
	}
	return r, ad.Err()
}

// addressesOf returns the addresses of a device.
func (c *conn) addressesOf(link string) ([]netip.Prefix, error) {
	i, err := index(link)
	if err != nil {
		return nil, err
	}
	h := make([]byte, unix.SizeofIfAddrmsg)
	binary.NativeEndian.PutUint32(h[4:], i)
	ms, err := c.request(unix.RTM_GETADDR, netlink.Request|netlink.Dump, h, nil)
	if err != nil {
		return nil, err
	}
	var out []netip.Prefix
	for _, m := range ms {
		if len(m.Data) < unix.SizeofIfAddrmsg || binary.NativeEndian.Uint32(m.Data[4:]) != i {
			continue
		}
		// IFA_LOCAL is the own address where the device has a peer's too; IPv6 has
		// IFA_ADDRESS alone.
		a, err := addressIn(m.Data[unix.SizeofIfAddrmsg:], unix.IFA_LOCAL, unix.IFA_ADDRESS)
		if err != nil {
			return nil, err
		}
		if a.IsValid() {
			out = append(out, netip.PrefixFrom(a, int(m.Data[1])))
		}
	}
	return out, nil
}

// routesOf returns where the static routes of the main table lead that go to a
// device without a next hop.
func (c *conn) routesOf(link string) ([]netip.Prefix, error) {
	i, err := index(link)
	if err != nil {
		return nil, err
	}
	var out []netip.Prefix
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		h := make([]byte, unix.SizeofRtMsg)
		h[0], h[4], h[5], h[7] = family, unix.RT_TABLE_MAIN, unix.RTPROT_STATIC, unix.RTN_UNICAST
		ms, err := c.request(unix.RTM_GETROUTE, netlink.Request|netlink.Dump, h, func(ae *netlink.AttributeEncoder) { ae.Uint32(unix.RTA_OIF, i) })
		if err != nil {
			return nil, err
		}
		for _, m := range ms {
			// A kernel that does not know how to choose tells all.
			if len(m.Data) < unix.SizeofRtMsg || m.Data[0] != family || !bytes.Equal(m.Data[4:6], h[4:6]) || m.Data[7] != h[7] {
				continue
			}
			attrs := m.Data[unix.SizeofRtMsg:]
			device, hop, err := nextHop(attrs)
			if err != nil {
				return nil, err
			}
			dst, err := addressIn(attrs, unix.RTA_DST)
			if err != nil {
				return nil, err
			}
			if device != i || hop {
				continue
			}
			if !dst.IsValid() {
				if dst = netip.IPv4Unspecified(); family == unix.AF_INET6 {
					dst = netip.IPv6Unspecified()
				}
			}
			out = append(out, netip.PrefixFrom(dst, int(m.Data[1])))
		}
	}
	return out, nil
}

// addressIn returns the address that the first of some attributes holds; an
// invalid one if there is none of them.
func addressIn(attributes []byte, types ...uint16) (netip.Addr, error) {
	found := make([]netip.Addr, len(types))
	ad, err := netlink.NewAttributeDecoder(attributes)
	if err != nil {
		return netip.Addr{}, err
	}
	for ad.Next() {
		if n := slices.Index(types, ad.Type()); n >= 0 {
			found[n], _ = netip.AddrFromSlice(ad.Bytes())
		}
	}
	for _, a := range found {
		if a.IsValid() {
			return a, ad.Err()
		}
	}
	return netip.Addr{}, ad.Err()
}

// nextHop returns a route's device, and whether it has a next hop.
func nextHop(attributes []byte) (device uint32, hop bool, err error) {
	ad, err := netlink.NewAttributeDecoder(attributes)
	if err != nil {
		return 0, false, err
	}
	for ad.Next() {
		switch ad.Type() {
		case unix.RTA_OIF:
			device = ad.Uint32()
		case unix.RTA_GATEWAY, unix.RTA_VIA, unix.RTA_MULTIPATH:
			hop = true
		}
	}
	return device, hop, ad.Err()
}

// gone reports errors for what is not there any more.
func gone(err error) bool {
	for _, e := range []error{unix.ENODEV, unix.ESRCH, unix.ENOENT, unix.EADDRNOTAVAIL, unix.ENXIO} {
		if errors.Is(err, e) {
			return true
		}
	}
	var op *net.OpError
	return errors.As(err, &op) && op.Err != nil && op.Err.Error() == "no such network interface"
}
