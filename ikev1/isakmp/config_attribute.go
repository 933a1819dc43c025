package isakmp

import (
	"encoding/binary"
	"fmt"
	"iter"
	"net/netip"
	"strconv"
	"time"

	"github.com/racoon3/racoon/internal/trace"
)

// A ConfigAttribute is one attribute of an [Attributes] payload. An empty Data
// asks for the attribute. Methods decode values, and functions called
// Append...Value encode them.
type ConfigAttribute struct {
	Type  ConfigAttributeType // 15 bits
	Basic bool                // type and value without a length (AF bit)
	Value uint16              // the value if Basic
	Data  []byte              // the value if not
}

func (a *ConfigAttribute) attribute() Attribute {
	return Attribute{uint16(a.Type), a.Basic, a.Value, a.Data}
}

// Uint returns the value as a number; see [Attribute.Uint].
func (a *ConfigAttribute) Uint() (v uint64, ok bool) {
	x := a.attribute()
	return x.Uint()
}

func (a *ConfigAttribute) valueError() error {
	return syntaxError(PayloadAttributes, 0, a.Type.String()+" of "+strconv.Itoa(len(a.Data))+" octets")
}

// Addr decodes an attribute that is one address: the INTERNAL_IP4 and
// INTERNAL_IP6 ADDRESS, DNS, NBNS and DHCP attributes.
func (a *ConfigAttribute) Addr() (netip.Addr, error) {
	want := 4
	switch a.Type {
	case AttrInternalIP6Address, AttrInternalIP6DNS, AttrInternalIP6NBNS, AttrInternalIP6DHCP:
		want = 16
	}
	if len(a.Data) != want {
		return netip.Addr{}, a.valueError()
	}
	ip, _ := netip.AddrFromSlice(a.Data)
	return ip, nil
}

// Netmask decodes INTERNAL_IP4_NETMASK and INTERNAL_IP6_NETMASK as a prefix
// length.
func (a *ConfigAttribute) Netmask() (int, error) {
	want := 4
	if a.Type == AttrInternalIP6Netmask {
		want = 16
	}
	if len(a.Data) != want {
		return 0, a.valueError()
	}
	n, ok := maskBits(a.Data)
	if !ok {
		return 0, syntaxError(PayloadAttributes, 0, "netmask with a hole")
	}
	return n, nil
}

// Prefix decodes INTERNAL_IP4_SUBNET (address and netmask) and
// INTERNAL_IP6_SUBNET (address and prefix length). Host bits are kept.
func (a *ConfigAttribute) Prefix() (netip.Prefix, error) {
	b := a.Data
	switch {
	case a.Type == AttrInternalIP4Subnet && len(b) == 8:
		n, ok := maskBits(b[4:])
		if !ok {
			return netip.Prefix{}, syntaxError(PayloadAttributes, 0, "netmask with a hole")
		}
		return netip.PrefixFrom(netip.AddrFrom4([4]byte(b)), n), nil
	case a.Type == AttrInternalIP6Subnet && len(b) == 17 && b[16] <= 128:
		return netip.PrefixFrom(netip.AddrFrom16([16]byte(b)), int(b[16])), nil
	}
	return netip.Prefix{}, a.valueError()
}

// AddressExpiry decodes INTERNAL_ADDRESS_EXPIRY.
func (a *ConfigAttribute) AddressExpiry() (time.Duration, error) {
	if a.Basic || len(a.Data) != 4 {
		return 0, a.valueError()
	}
	return time.Duration(binary.BigEndian.Uint32(a.Data)) * time.Second, nil
}

// SupportedAttributes decodes SUPPORTED_ATTRIBUTES.
func (a *ConfigAttribute) SupportedAttributes() ([]ConfigAttributeType, error) {
	if len(a.Data)%2 != 0 {
		return nil, a.valueError()
	}
	out := make([]ConfigAttributeType, 0, len(a.Data)/2)
	for b := a.Data; len(b) > 0; b = b[2:] {
		out = append(out, ConfigAttributeType(binary.BigEndian.Uint16(b)&^0x8000))
	}
	return out, nil
}

// unityNetworkLen is the length of one network of UNITY_SPLIT_INCLUDE: address,
// netmask, and six octets of protocol and ports that are always zero.
const unityNetworkLen = 14

// UnityNetworks decodes UNITY_SPLIT_INCLUDE and UNITY_SPLIT_EXCLUDE (local
// LAN): IPv4 networks. Host bits are kept.
func (a *ConfigAttribute) UnityNetworks() ([]netip.Prefix, error) {
	if a.Basic || len(a.Data)%unityNetworkLen != 0 {
		return nil, a.valueError()
	}
	out := make([]netip.Prefix, 0, len(a.Data)/unityNetworkLen)
	for b := a.Data; len(b) > 0; b = b[unityNetworkLen:] {
		n, ok := maskBits(b[4:8])
		if !ok {
			return nil, syntaxError(PayloadAttributes, len(a.Data)-len(b)+4, "netmask with a hole")
		}
		out = append(out, netip.PrefixFrom(netip.AddrFrom4([4]byte(b)), n))
	}
	return out, nil
}

// Domain decodes UNITY_DEF_DOMAIN: a domain name. Names with any other octet
// than letters, digits, hyphens, underscores and dots are refused, so that one
// may be handed to a resolver's configuration. A trailing dot or zero is left
// out.
func (a *ConfigAttribute) Domain() (string, error) {
	if s, ok := domain(a.Data); ok {
		return s, nil
	}
	return "", a.valueError()
}

// Domains decodes UNITY_SPLIT_DOMAIN: domain names, separated by commas. Each
// is checked as [ConfigAttribute.Domain] does; a bad one is an error and ends
// the iteration.
func (a *ConfigAttribute) Domains() iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for b := a.Data; len(b) > 0; {
			n := 0
			for n < len(b) && b[n] != ',' {
				n++
			}
			s, ok := domain(b[:n])
			if !ok {
				yield("", a.valueError())
				return
			}
			if !yield(s, nil) {
				return
			}
			b = b[min(n+1, len(b)):]
		}
	}
}

// domain checks a domain name; ipsec-tools' servers send it with its closing
// zero.
func domain(b []byte) (string, bool) {
	if n := len(b); n > 1 && b[n-1] == 0 {
		b = b[:n-1]
	}
	if n := len(b); n > 1 && b[n-1] == '.' {
		b = b[:n-1]
	}
	if len(b) == 0 || len(b) > 253 {
		return "", false
	}
	label := 0
	for i, c := range b {
		switch {
		case c == '.' && label > 0 && i < len(b)-1:
			label = 0
			continue
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-' && label > 0, c == '_':
			if label++; label <= 63 {
				continue
			}
		}
		return "", false
	}
	return string(b), true
}

// AppendAddrValue appends the value of an attribute that is one address.
func AppendAddrValue(dst []byte, a netip.Addr) []byte {
	if a.Is4() {
		b := a.As4()
		return append(dst, b[:]...)
	}
	b := a.As16()
	return append(dst, b[:]...)
}

// AppendNetmaskValue appends the value of INTERNAL_IP4_NETMASK (size 32) or
// INTERNAL_IP6_NETMASK (size 128) for a prefix length.
func AppendNetmaskValue(dst []byte, n, size int) []byte { return appendMask(dst, n, size) }

// AppendPrefixValue appends the value of INTERNAL_IP4_SUBNET for an IPv4
// prefix, of INTERNAL_IP6_SUBNET for an IPv6 one.
func AppendPrefixValue(dst []byte, p netip.Prefix) []byte {
	dst = AppendAddrValue(dst, p.Addr())
	if p.Addr().Is4() {
		return appendMask(dst, p.Bits(), 32)
	}
	return append(dst, byte(p.Bits()))
}

// AppendUnityNetworkValue appends one IPv4 network of UNITY_SPLIT_INCLUDE or
// UNITY_SPLIT_EXCLUDE.
func AppendUnityNetworkValue(dst []byte, p netip.Prefix) []byte {
	dst = appendMask(AppendAddrValue(dst, p.Addr()), p.Bits(), 32)
	return append(dst, 0, 0, 0, 0, 0, 0)
}

// AppendAddressExpiryValue appends the value of INTERNAL_ADDRESS_EXPIRY, whole
// seconds.
func AppendAddressExpiryValue(dst []byte, d time.Duration) []byte {
	s := min(max(d/time.Second, 0), 1<<32-1)
	return binary.BigEndian.AppendUint32(dst, uint32(s))
}

// AppendSupportedAttributesValue appends the value of SUPPORTED_ATTRIBUTES.
func AppendSupportedAttributesValue(dst []byte, types ...ConfigAttributeType) []byte {
	for _, t := range types {
		dst = binary.BigEndian.AppendUint16(dst, uint16(t)&^0x8000)
	}
	return dst
}

// String returns the attribute as a trace shows it.
func (a ConfigAttribute) String() string { return string(a.appendText(nil)) }

// GoString is String: %#v shows no more than %v.
func (a ConfigAttribute) GoString() string { return a.String() }

func (a *ConfigAttribute) appendText(b []byte) []byte {
	b = append(b, a.Type.String()...)
	if !a.Basic && len(a.Data) == 0 {
		return b
	}
	b = append(b, '=')
	var v any
	var err error
	switch a.Type {
	case AttrXAuthType, AttrXAuthStatus, AttrUnitySavePassword, AttrUnityNATTPort, AttrUnityPFS:
		n, ok := a.Uint()
		switch {
		case !ok || n > 0xffff:
			err = a.valueError()
		case a.Type == AttrXAuthType:
			v = XAuthType(n)
		case a.Type == AttrXAuthStatus && n <= 1:
			v = [...]string{"FAIL", "OK"}[n]
		default:
			v = n
		}
	case AttrInternalIP4Address, AttrInternalIP4DNS, AttrInternalIP4NBNS, AttrInternalIP4DHCP,
		AttrInternalIP6Address, AttrInternalIP6DNS, AttrInternalIP6NBNS, AttrInternalIP6DHCP:
		v, err = a.Addr()
	case AttrInternalIP4Netmask, AttrInternalIP6Netmask:
		var n int
		n, err = a.Netmask()
		v = "/" + strconv.Itoa(n)
	case AttrInternalIP4Subnet:
		v, err = a.Prefix()
	case AttrInternalAddressExpiry:
		v, err = a.AddressExpiry()
	case AttrSupportedAttributes: // Check Point's user name has the same number
		if len(a.Data) > 128 {
			return trace.AppendOctets(b, len(a.Data))
		}
		v, err = a.SupportedAttributes()
	case AttrUnitySplitInclude, AttrUnityLocalLAN:
		if len(a.Data) > 32*unityNetworkLen {
			return trace.AppendOctets(b, len(a.Data))
		}
		v, err = a.UnityNetworks()
	case AttrApplicationVersion, AttrXAuthUserName, AttrXAuthMessage, AttrXAuthDomain,
		AttrUnityBanner, AttrUnityDefaultDomain, AttrUnitySplitDNS, AttrUnityDDNSHostname, AttrCheckPointDefaultDomain:
		return trace.AppendQuoted(b, a.Data)
	default: // may be a password
		if a.Basic {
			return trace.AppendOctets(b, 2)
		}
		return trace.AppendOctets(b, len(a.Data))
	}
	if err != nil {
		return trace.AppendOctets(append(b, "malformed "...), len(a.Data))
	}
	return fmt.Append(b, v)
}
