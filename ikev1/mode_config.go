package ikev1

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
)

// Mode config (draft-dukes-ike-mode-cfg-02): what a client asks its gateway
// for, and what that tells it. Cisco's Unity attributes have no document; their
// forms are those that vpnc and ipsec-tools' racoon exchange with Cisco's own.

// Bounds of what a gateway may say.
const (
	maxConfig   = 64   // values of one kind
	maxBanner   = 4096 // octets of it, and of a list of names
	maxFirewall = 256
)

// unityAttributes are those of Unity that a client asks for, which a gateway
// that does not know them would not understand.
var unityAttributes = []isakmp.ConfigAttributeType{
	isakmp.AttrUnityBanner, isakmp.AttrUnitySavePassword, isakmp.AttrUnityDefaultDomain, isakmp.AttrUnitySplitDNS, isakmp.AttrUnitySplitInclude,
	isakmp.AttrUnityLocalLAN, isakmp.AttrUnityPFS, isakmp.AttrUnityBackupServers, isakmp.AttrUnityNATTPort, isakmp.AttrUnityFirewallType,
	isakmp.AttrUnityDDNSHostname,
}

// supportedAttributes is the answer to SUPPORTED_ATTRIBUTES.
var supportedAttributes = append([]isakmp.ConfigAttributeType{
	isakmp.AttrInternalIP4Address, isakmp.AttrInternalIP4Netmask, isakmp.AttrInternalIP4DNS, isakmp.AttrInternalIP4NBNS,
	isakmp.AttrInternalAddressExpiry, isakmp.AttrInternalIP4DHCP, isakmp.AttrApplicationVersion, isakmp.AttrInternalIP6Address,
	isakmp.AttrInternalIP6Netmask, isakmp.AttrInternalIP6DNS, isakmp.AttrInternalIP6DHCP, isakmp.AttrInternalIP4Subnet,
	isakmp.AttrSupportedAttributes, isakmp.AttrInternalIP6Subnet,
}, unityAttributes...)

// configRequest is what a client asks for; had are the addresses that it has
// from before.
func configRequest(r *ike.ConfigRequest, had *ike.NetworkConfig, unity bool) (out []isakmp.ConfigAttribute) {
	var want4, want6 []byte
	want := slices.Clone(r.Want)
	if had != nil {
		for _, p := range had.Addresses {
			want = append(want, p.Addr())
		}
	}
	for _, a := range want { // the last of each family
		if a = a.Unmap(); a.Is4() {
			want4 = isakmp.AppendAddrValue(nil, a)
		} else if a.Is6() {
			want6 = isakmp.AppendAddrValue(nil, a)
		}
	}
	ask := func(types ...isakmp.ConfigAttributeType) {
		for _, t := range types {
			out = append(out, emptyAttribute(t))
		}
	}
	if r.IPv4 {
		out = append(out, isakmp.ConfigAttribute{Type: isakmp.AttrInternalIP4Address, Data: want4})
		ask(isakmp.AttrInternalIP4Netmask)
		if r.DNS {
			ask(isakmp.AttrInternalIP4DNS, isakmp.AttrInternalIP4NBNS)
		}
		ask(isakmp.AttrInternalIP4DHCP, isakmp.AttrInternalIP4Subnet)
	}
	if r.IPv6 {
		out = append(out, isakmp.ConfigAttribute{Type: isakmp.AttrInternalIP6Address, Data: want6})
		ask(isakmp.AttrInternalIP6Netmask)
		if r.DNS {
			ask(isakmp.AttrInternalIP6DNS)
		}
		ask(isakmp.AttrInternalIP6DHCP, isakmp.AttrInternalIP6Subnet)
	}
	ask(isakmp.AttrInternalAddressExpiry)
	out = append(out, textAttribute(isakmp.AttrApplicationVersion, r.Version, maxText))
	if unity {
		for _, t := range unityAttributes {
			if r.Domains || t != isakmp.AttrUnityDefaultDomain && t != isakmp.AttrUnitySplitDNS {
				ask(t)
			}
		}
	}
	return out
}

// networkConfig reads what a gateway says, and which attributes of it were
// understood. Values that make no sense are left out.
func networkConfig(attributes []isakmp.ConfigAttribute) (c *ike.NetworkConfig, understood []isakmp.ConfigAttributeType) {
	c = new(ike.NetworkConfig)
	bits4, bits6 := 32, 128
	for i := range attributes {
		a := &attributes[i]
		if n, err := a.Netmask(); err == nil && n > 0 {
			switch a.Type {
			case isakmp.AttrInternalIP4Netmask:
				bits4 = n
			case isakmp.AttrInternalIP6Netmask:
				bits6 = n
			}
		}
	}
	for i := range attributes {
		a := &attributes[i]
		if !a.Basic && len(a.Data) == 0 || !takeAttribute(c, a, bits4, bits6) {
			continue
		}
		if !slices.Contains(understood, a.Type) {
			understood = append(understood, a.Type)
		}
	}
	return c, understood
}

// takeAttribute takes one attribute, and reports whether it could.
func takeAttribute(c *ike.NetworkConfig, a *isakmp.ConfigAttribute, bits4, bits6 int) bool {
	switch a.Type {
	case isakmp.AttrInternalIP4Netmask, isakmp.AttrInternalIP6Netmask:
		_, err := a.Netmask()
		return err == nil
	case isakmp.AttrInternalIP4Address:
		v, err := a.Addr()
		return err == nil && addHost(&c.Addresses, v, bits4)
	case isakmp.AttrInternalIP6Address:
		if b := a.Data; len(b) == 17 && b[16] <= 128 { // as in IKEv2, with the prefix length
			return addHost(&c.Addresses, netip.AddrFrom16([16]byte(b)), int(b[16]))
		}
		v, err := a.Addr()
		return err == nil && addHost(&c.Addresses, v, bits6)
	case isakmp.AttrInternalIP4DNS, isakmp.AttrInternalIP6DNS:
		return addServer(&c.DNS, a)
	case isakmp.AttrInternalIP4NBNS, isakmp.AttrInternalIP6NBNS:
		return addServer(&c.NBNS, a)
	case isakmp.AttrInternalIP4DHCP, isakmp.AttrInternalIP6DHCP:
		return addServer(&c.DHCP, a)
	case isakmp.AttrInternalIP4Subnet, isakmp.AttrInternalIP6Subnet:
		p, err := a.Prefix()
		return err == nil && addNetworks(&c.Subnets, p)
	case isakmp.AttrInternalAddressExpiry:
		d, err := a.AddressExpiry()
		c.Expiry = d
		return err == nil
	case isakmp.AttrApplicationVersion:
		c.Application = textOf(a.Data, maxText, false)
		return !a.Basic
	}
	return takeUnity(c, a)
}

// takeUnity takes an attribute of Unity.
func takeUnity(c *ike.NetworkConfig, a *isakmp.ConfigAttribute) bool {
	switch a.Type {
	case isakmp.AttrUnitySplitInclude, isakmp.AttrUnityLocalLAN:
		if len(a.Data) > 2*maxConfig*14 {
			return false
		}
		all, err := a.UnityNetworks()
		to := &c.Subnets
		if a.Type == isakmp.AttrUnityLocalLAN {
			to = &c.LocalLANExclude
		}
		return err == nil && addNetworks(to, all...)
	case isakmp.AttrUnitySavePassword, isakmp.AttrUnityPFS, isakmp.AttrUnityNATTPort:
		n, ok := a.Uint()
		switch {
		case !ok || n > 0xffff:
			return false
		case a.Type == isakmp.AttrUnitySavePassword:
			c.SavePassword = n == 1
		case a.Type == isakmp.AttrUnityPFS: // some send the group
			c.PFS = n != 0
		default:
			c.UDPPort = uint16(n)
		}
		return true
	}
	if a.Basic {
		return false
	}
	switch a.Type {
	case isakmp.AttrUnityBanner:
		c.Banner = textOf(a.Data, maxBanner, true)
	case isakmp.AttrUnityDefaultDomain, isakmp.AttrCheckPointDefaultDomain:
		d, err := a.Domain()
		c.DefaultDomain = d
		return err == nil
	case isakmp.AttrUnityDDNSHostname:
		d, err := a.Domain()
		c.DDNSHostname = d
		return err == nil
	case isakmp.AttrUnitySplitDNS:
		if len(a.Data) > maxBanner {
			return false
		}
		for d, err := range a.Domains() {
			if err != nil {
				return false
			}
			if len(c.Domains) < maxConfig && !slices.Contains(c.Domains, d) {
				c.Domains = append(c.Domains, d)
			}
		}
	case isakmp.AttrUnityBackupServers:
		servers := backupServers(a.Data)
		c.BackupServers = append(c.BackupServers, servers[:min(len(servers), maxConfig-len(c.BackupServers))]...)
		return len(servers) > 0
	case isakmp.AttrUnityFirewallType:
		c.Firewall = slices.Clone(a.Data[:min(len(a.Data), maxFirewall)])
	default:
		return false
	}
	return true
}

// backupServers reads UNITY_BACKUP_SERVERS: names and addresses as text, or
// IPv4 addresses in four octets.
func backupServers(b []byte) (out []string) {
	text := strings.FieldsFunc(string(b[:min(len(b), maxBanner)]), func(r rune) bool { return r == ',' || r == ' ' || r == 0 })
	for _, s := range text {
		a := isakmp.ConfigAttribute{Type: isakmp.AttrUnityBackupServers, Data: []byte(s)}
		d, err := a.Domain()
		if ip, bad := netip.ParseAddr(s); bad == nil {
			d, err = ip.WithZone("").String(), nil
		}
		if err != nil {
			out = nil
			break
		}
		out = append(out, d)
	}
	if out == nil && len(b)%4 == 0 {
		for ; len(b) > 0 && len(out) < maxConfig; b = b[4:] {
			out = append(out, netip.AddrFrom4([4]byte(b)).String())
		}
	}
	return out
}

func usable(a netip.Addr) bool { return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() }

func addHost(to *[]netip.Prefix, a netip.Addr, bits int) bool {
	p := netip.PrefixFrom(a, bits)
	if !usable(a) || !p.IsValid() || len(*to) >= maxConfig {
		return false
	}
	*to = append(*to, p)
	return true
}

func addServer(to *[]netip.Addr, a *isakmp.ConfigAttribute) bool {
	v, err := a.Addr()
	if err != nil || !usable(v) || len(*to) >= maxConfig {
		return false
	}
	if !slices.Contains(*to, v) {
		*to = append(*to, v)
	}
	return true
}

func addNetworks(to *[]netip.Prefix, all ...netip.Prefix) bool {
	for _, p := range all {
		if p = p.Masked(); !slices.Contains(*to, p) && len(*to) < maxConfig {
			*to = append(*to, p)
		}
	}
	return true
}

// configAttributes is what a gateway tells a client: addresses and servers, and
// of the rest what asked reports true for.
func configAttributes(c *ike.NetworkConfig, asked func(t isakmp.ConfigAttributeType) bool) (out []isakmp.ConfigAttribute) {
	if c == nil {
		c = new(ike.NetworkConfig)
	}
	always := func(t isakmp.ConfigAttributeType, v []byte) {
		out = append(out, isakmp.ConfigAttribute{Type: t, Data: v})
	}
	add := func(t isakmp.ConfigAttributeType, v []byte) {
		if len(v) > 0 && asked(t) {
			always(t, v)
		}
	}
	for _, p := range c.Addresses {
		address, netmask, size := isakmp.AttrInternalIP4Address, isakmp.AttrInternalIP4Netmask, 32
		if !p.Addr().Is4() {
			address, netmask, size = isakmp.AttrInternalIP6Address, isakmp.AttrInternalIP6Netmask, 128
		}
		always(address, isakmp.AppendAddrValue(nil, p.Addr()))
		add(netmask, isakmp.AppendNetmaskValue(nil, p.Bits(), size))
	}
	if c.Expiry > 0 {
		always(isakmp.AttrInternalAddressExpiry, isakmp.AppendAddressExpiryValue(nil, c.Expiry))
	}
	for _, kind := range [...]struct {
		addrs  []netip.Addr
		v4, v6 isakmp.ConfigAttributeType
		always bool
	}{
		{c.DNS, isakmp.AttrInternalIP4DNS, isakmp.AttrInternalIP6DNS, true},
		{c.NBNS, isakmp.AttrInternalIP4NBNS, isakmp.AttrInternalIP6NBNS, true},
		{c.DHCP, isakmp.AttrInternalIP4DHCP, isakmp.AttrInternalIP6DHCP, false},
	} {
		for _, a := range kind.addrs {
			t := kind.v4
			if !a.Is4() {
				t = kind.v6
			}
			if kind.always || asked(t) {
				always(t, isakmp.AppendAddrValue(nil, a))
			}
		}
	}
	for _, p := range c.Subnets {
		t := isakmp.AttrInternalIP4Subnet
		if !p.Addr().Is4() {
			t = isakmp.AttrInternalIP6Subnet
		}
		add(t, isakmp.AppendPrefixValue(nil, p))
	}
	add(isakmp.AttrApplicationVersion, []byte(c.Application))
	add(isakmp.AttrUnityBanner, []byte(c.Banner[:min(len(c.Banner), maxBanner)]))
	add(isakmp.AttrUnityDefaultDomain, []byte(c.DefaultDomain))
	add(isakmp.AttrUnitySplitDNS, []byte(strings.Join(c.Domains, ",")))
	add(isakmp.AttrUnitySplitInclude, unityNetworks(c.Subnets))
	add(isakmp.AttrUnityLocalLAN, unityNetworks(c.LocalLANExclude))
	for _, flag := range [...]struct {
		t isakmp.ConfigAttributeType
		v uint16
	}{{isakmp.AttrUnitySavePassword, flagOf(c.SavePassword)}, {isakmp.AttrUnityPFS, flagOf(c.PFS)}, {isakmp.AttrUnityNATTPort, c.UDPPort}} {
		if flag.v != 0 && asked(flag.t) {
			out = append(out, basicAttribute(flag.t, flag.v))
		}
	}
	add(isakmp.AttrUnityBackupServers, []byte(strings.Join(c.BackupServers, ",")))
	add(isakmp.AttrUnityFirewallType, c.Firewall)
	add(isakmp.AttrUnityDDNSHostname, []byte(c.DDNSHostname))
	return out
}

func flagOf(b bool) uint16 {
	if b {
		return 1
	}
	return 0
}

// unityNetworks is a list of networks; Unity knows IPv4 only.
func unityNetworks(all []netip.Prefix) (b []byte) {
	for _, p := range all {
		if p.Addr().Is4() {
			b = isakmp.AppendUnityNetworkValue(b, p)
		}
	}
	return b
}
