package xfrm

import "net/netip"

// socketPolicy is the value of the socket option IP_XFRM_POLICY or
// IPV6_XFRM_POLICY that lets a direction's packets pass in clear: a
// userpolicy_info without templates.
func socketPolicy(dir Direction, family uint16) []byte {
	any4 := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	p := Policy{Dir: dir, Selector: Selector{Src: any4, Dst: any4}}
	if family == familyIPv6 {
		any6 := netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		p.Selector = Selector{Src: any6, Dst: any6}
	}
	return p.appendInfo(nil)
}
