package ikev2

import (
	"net/netip"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
)

// configRequest asks for addresses and what goes with them (RFC 7296 3.15).
func configRequest(r *ike.ConfigRequest) *message.CP {
	cp := &message.CP{Type: message.ConfigRequest}
	add := func(t message.ConfigAttributeType, v []byte) {
		cp.Attributes = append(cp.Attributes, message.ConfigAttribute{Type: t, Value: v})
	}
	var want4, want6 []byte
	for _, a := range r.Want {
		if a.Is4() {
			want4 = message.AppendAddrValue(nil, a)
		} else {
			want6 = message.AppendPrefixValue(nil, netip.PrefixFrom(a, 128))
		}
	}
	if r.IPv4 {
		add(message.AttrInternalIP4Address, want4)
		add(message.AttrInternalIP4Netmask, nil)
		if r.DNS {
			add(message.AttrInternalIP4DNS, nil)
			add(message.AttrInternalIP4NBNS, nil)
		}
		add(message.AttrInternalIP4Subnet, nil)
		add(message.AttrInternalIP4DHCP, nil)
	}
	if r.IPv6 {
		add(message.AttrInternalIP6Address, want6)
		if r.DNS {
			add(message.AttrInternalIP6DNS, nil)
		}
		add(message.AttrInternalIP6Subnet, nil)
		add(message.AttrInternalIP6DHCP, nil)
		add(message.AttrMIP6HomePrefix, nil)
	}
	if r.Domains {
		add(message.AttrInternalDNSDomain, nil)
	}
	if r.Supported {
		add(message.AttrSupportedAttributes, nil)
	}
	if r.Version != "" {
		add(message.AttrApplicationVersion, []byte(r.Version))
	} else {
		add(message.AttrApplicationVersion, nil)
	}
	return cp
}

// maxConfig bounds how many values of one kind a reply may bring.
const maxConfig = 64

// configReply reads a CFG_REPLY; nil gives an empty configuration. Values that
// make no sense are left out.
func configReply(cp *message.CP) *ike.NetworkConfig {
	c := new(ike.NetworkConfig)
	if cp == nil || cp.Type != message.ConfigReply {
		return c
	}
	mask := 32
	for i := range cp.Attributes {
		if a := &cp.Attributes[i]; a.Type == message.AttrInternalIP4Netmask {
			if n, err := a.Netmask(); err == nil {
				mask = n
			}
		}
	}
	addr := func(a *message.ConfigAttribute, to *[]netip.Addr) {
		if v, err := a.Addr(); err == nil && v.IsValid() && len(*to) < maxConfig {
			*to = append(*to, v)
		}
	}
	prefix := func(p netip.Prefix, err error, to *[]netip.Prefix) {
		if err == nil && p.IsValid() && len(*to) < maxConfig {
			*to = append(*to, p)
		}
	}
	for i := range cp.Attributes {
		a := &cp.Attributes[i]
		if len(a.Value) == 0 {
			continue
		}
		switch a.Type {
		case message.AttrInternalIP4Address:
			v, err := a.Addr()
			prefix(netip.PrefixFrom(v, mask), err, &c.Addresses)
		case message.AttrInternalIP6Address:
			p, err := a.Prefix()
			prefix(p, err, &c.Addresses)
		case message.AttrInternalIP4DNS, message.AttrInternalIP6DNS:
			addr(a, &c.DNS)
		case message.AttrInternalIP4NBNS:
			addr(a, &c.NBNS)
		case message.AttrInternalIP4DHCP, message.AttrInternalIP6DHCP:
			addr(a, &c.DHCP)
		case message.AttrInternalIP4Subnet, message.AttrInternalIP6Subnet:
			p, err := a.Prefix()
			prefix(p, err, &c.Subnets)
		case message.AttrMIP6HomePrefix:
			p, _, err := a.HomePrefix()
			prefix(p, err, &c.HomePrefix)
		case message.AttrInternalDNSDomain:
			if d, err := a.DNSDomain(); err == nil && len(c.Domains) < maxConfig {
				c.Domains = append(c.Domains, d)
			}
		case message.AttrApplicationVersion:
			c.Application = printable(a.Value)
		case message.AttrSupportedAttributes:
			known, err := a.SupportedAttributes()
			if err != nil {
				continue
			}
			for _, t := range known[:min(len(known), maxConfig)] {
				c.Supported = append(c.Supported, uint16(t))
			}
		}
	}
	return c
}

// printable keeps what a peer's text may do to a terminal or a log harmless.
func printable(b []byte) string {
	out := make([]byte, 0, min(len(b), 256))
	for _, o := range b[:min(len(b), 256)] {
		if o < ' ' || o > '~' {
			o = '?'
		}
		out = append(out, o)
	}
	return string(out)
}

// addressRequest is what a client's CFG_REQUEST asks the pool for.
func addressRequest(s *session, cp *message.CP) ike.AddressRequest {
	r := ike.AddressRequest{Session: s.ID, Peer: s.peer.Name, RemoteID: s.RemoteID, Remote: s.Path.Remote}
	for i := range cp.Attributes {
		a := &cp.Attributes[i]
		switch a.Type {
		case message.AttrInternalIP4Address:
			r.IPv4 = true
			if v, err := a.Addr(); err == nil && v.IsValid() && !v.IsUnspecified() && len(r.Want) < maxConfig {
				r.Want = append(r.Want, v)
			}
		case message.AttrInternalIP6Address:
			r.IPv6 = true
			if p, err := a.Prefix(); err == nil && p.IsValid() && !p.Addr().IsUnspecified() && len(r.Want) < maxConfig {
				r.Want = append(r.Want, p.Addr())
			}
		case message.AttrApplicationVersion:
			r.Application = printable(a.Value)
		}
	}
	return r
}

// configAgain answers a CFG_REQUEST in an INFORMATIONAL exchange (RFC 7296 1.4,
// 2.20, 3.15): what the session has got in IKE_AUTH, and what is known of this
// side. Nothing is leased anew. It returns nil if there is nothing to say.
func (s *session) configAgain(request *message.CP) message.Payload {
	if request == nil || request.Type != message.ConfigRequest {
		return nil
	}
	var c ike.NetworkConfig
	if s.Leased != nil && s.Network != nil {
		c = *s.Network
	} else if r := s.peer.Request; r != nil {
		c.Application = r.Version
	}
	cp := configAnswer(&c, request)
	if len(cp.Attributes) == 0 {
		return nil
	}
	return cp
}

// configAnswer is the CFG_REPLY to a client's request. DNS servers, domains
// and subnets go along even if the client did not ask by name: several
// built-in clients use them all the same.
func configAnswer(c *ike.NetworkConfig, request *message.CP) *message.CP {
	cp := &message.CP{Type: message.ConfigReply}
	add := func(t message.ConfigAttributeType, v []byte) {
		cp.Attributes = append(cp.Attributes, message.ConfigAttribute{Type: t, Value: v})
	}
	pick := func(a netip.Addr, v4, v6 message.ConfigAttributeType) {
		t := v4
		if !a.Is4() {
			t = v6
		}
		if t != 0 {
			add(t, message.AppendAddrValue(nil, a))
		}
	}
	for _, p := range c.Addresses {
		if p.Addr().Is4() {
			add(message.AttrInternalIP4Address, message.AppendAddrValue(nil, p.Addr()))
			if p.Bits() < 32 {
				add(message.AttrInternalIP4Netmask, message.AppendNetmaskValue(nil, p.Bits()))
			}
		} else {
			add(message.AttrInternalIP6Address, message.AppendPrefixValue(nil, p))
		}
	}
	for _, a := range c.DNS {
		pick(a, message.AttrInternalIP4DNS, message.AttrInternalIP6DNS)
	}
	for _, a := range c.NBNS {
		pick(a, message.AttrInternalIP4NBNS, 0)
	}
	for _, a := range c.DHCP {
		pick(a, message.AttrInternalIP4DHCP, message.AttrInternalIP6DHCP)
	}
	for _, p := range c.Subnets {
		t := message.AttrInternalIP4Subnet
		if !p.Addr().Is4() {
			t = message.AttrInternalIP6Subnet
		}
		add(t, message.AppendPrefixValue(nil, p))
	}
	for _, d := range c.Domains {
		add(message.AttrInternalDNSDomain, []byte(d))
	}
	for _, p := range c.HomePrefix {
		add(message.AttrMIP6HomePrefix, message.AppendHomePrefixValue(nil, p, 0))
	}
	if request == nil {
		return cp
	}
	if request.First(message.AttrApplicationVersion) != nil && c.Application != "" {
		add(message.AttrApplicationVersion, []byte(c.Application))
	}
	if request.First(message.AttrSupportedAttributes) != nil {
		add(message.AttrSupportedAttributes, message.AppendSupportedAttributesValue(nil,
			message.AttrInternalIP4Address, message.AttrInternalIP4Netmask, message.AttrInternalIP4DNS, message.AttrInternalIP4NBNS,
			message.AttrInternalIP4DHCP, message.AttrApplicationVersion, message.AttrInternalIP6Address, message.AttrInternalIP6DNS,
			message.AttrInternalIP6DHCP, message.AttrInternalIP4Subnet, message.AttrSupportedAttributes, message.AttrInternalIP6Subnet,
			message.AttrMIP6HomePrefix, message.AttrInternalDNSDomain))
	}
	return cp
}
