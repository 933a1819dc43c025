package message

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"strconv"
	"time"

	"github.com/racoon3/racoon/internal/trace"
)

func (a *ConfigAttribute) valueError() error {
	return syntaxError(PayloadCP, 0, a.Type.String()+" of "+strconv.Itoa(len(a.Value))+" octets")
}

// Addr decodes an attribute that is one address: the INTERNAL_IP4 and
// INTERNAL_IP6 ADDRESS, DNS, NBNS and DHCP attributes, the P-CSCF ones. Of
// INTERNAL_IP6_ADDRESS it leaves the prefix length out.
func (a *ConfigAttribute) Addr() (netip.Addr, error) {
	b := a.Value
	if a.Type == AttrInternalIP6Address && len(b) == 17 {
		b = b[:16]
	}
	want := 4
	switch a.Type {
	case AttrInternalIP6Address, AttrInternalIP6DNS, AttrInternalIP6NBNS, AttrInternalIP6DHCP, AttrPCSCFIP6Address:
		want = 16
	}
	if len(b) != want {
		return netip.Addr{}, a.valueError()
	}
	ip, _ := netip.AddrFromSlice(b)
	return ip, nil
}

// Netmask decodes INTERNAL_IP4_NETMASK as a prefix length.
func (a *ConfigAttribute) Netmask() (int, error) {
	if len(a.Value) != 4 {
		return 0, a.valueError()
	}
	return maskBits(a.Value)
}

func maskBits(b []byte) (int, error) {
	m := binary.BigEndian.Uint32(b)
	n := bits.LeadingZeros32(^m)
	if n < 32 && m<<n != 0 {
		return 0, syntaxError(PayloadCP, 0, "netmask with a hole")
	}
	return n, nil
}

// Prefix decodes an attribute that is an address with a prefix length or
// netmask: INTERNAL_IP6_ADDRESS, INTERNAL_IP4_SUBNET, INTERNAL_IP6_SUBNET,
// INTERNAL_IP6_PREFIX. Host bits are kept.
func (a *ConfigAttribute) Prefix() (netip.Prefix, error) {
	b := a.Value
	if a.Type == AttrInternalIP4Subnet {
		if len(b) != 8 {
			return netip.Prefix{}, a.valueError()
		}
		n, err := maskBits(b[4:])
		if err != nil {
			return netip.Prefix{}, err
		}
		return netip.PrefixFrom(netip.AddrFrom4([4]byte(b)), n), nil
	}
	if len(b) != 17 || b[16] > 128 {
		return netip.Prefix{}, a.valueError()
	}
	return netip.PrefixFrom(netip.AddrFrom16([16]byte(b)), int(b[16])), nil
}

// AddressExpiry decodes INTERNAL_ADDRESS_EXPIRY, which RFC 7296 has dropped but
// some peers still send.
func (a *ConfigAttribute) AddressExpiry() (time.Duration, error) {
	if len(a.Value) != 4 {
		return 0, a.valueError()
	}
	return time.Duration(binary.BigEndian.Uint32(a.Value)) * time.Second, nil
}

// HomePrefix decodes MIP6_HOME_PREFIX (RFC 5026 8.2): a prefix from which a
// mobile node makes its home address, and its lifetime.
func (a *ConfigAttribute) HomePrefix() (netip.Prefix, time.Duration, error) {
	b := a.Value
	if len(b) != 21 || b[20] > 128 {
		return netip.Prefix{}, 0, a.valueError()
	}
	return netip.PrefixFrom(netip.AddrFrom16([16]byte(b[4:])), int(b[20])),
		time.Duration(binary.BigEndian.Uint32(b)) * time.Second, nil
}

// SupportedAttributes decodes SUPPORTED_ATTRIBUTES (RFC 7296 3.15.1).
func (a *ConfigAttribute) SupportedAttributes() ([]ConfigAttributeType, error) {
	if len(a.Value)%2 != 0 {
		return nil, a.valueError()
	}
	out := make([]ConfigAttributeType, 0, len(a.Value)/2)
	for b := a.Value; len(b) > 0; b = b[2:] {
		out = append(out, ConfigAttributeType(binary.BigEndian.Uint16(b)&^0x8000))
	}
	return out, nil
}

// DNSDomain decodes INTERNAL_DNS_DOMAIN (RFC 8598 4.1): a domain name in
// presentation format, A-labels only. Names with any other octet than letters,
// digits, hyphens, underscores and dots are refused, so that one may be handed
// to a resolver's configuration. The name has no trailing dot.
func (a *ConfigAttribute) DNSDomain() (string, error) {
	b := a.Value
	if n := len(b); n > 1 && b[n-1] == '.' {
		b = b[:n-1]
	}
	if len(b) == 0 || len(b) > 253 {
		return "", a.valueError()
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
		return "", syntaxError(PayloadCP, i, "not a domain name")
	}
	return string(b), nil
}

// A TrustAnchor is the value of INTERNAL_DNSSEC_TA (RFC 8598 4.2): a DS record
// for the INTERNAL_DNS_DOMAIN before it.
type TrustAnchor struct {
	KeyTag     uint16
	Algorithm  uint8  // IANA "DNS Security Algorithm Numbers"
	DigestType uint8  // IANA "Digest Algorithms" for DS records
	Digest     []byte // as RFC 8598 says, in presentation format
}

// TrustAnchor decodes INTERNAL_DNSSEC_TA.
func (a *ConfigAttribute) TrustAnchor() (TrustAnchor, error) {
	b := a.Value
	if len(b) < 5 {
		return TrustAnchor{}, a.valueError()
	}
	return TrustAnchor{KeyTag: binary.BigEndian.Uint16(b), Algorithm: b[2], DigestType: b[3], Digest: b[4:]}, nil
}

// AppendAddrValue appends the value of an attribute that is one address.
// INTERNAL_IP6_ADDRESS wants AppendPrefixValue.
func AppendAddrValue(dst []byte, a netip.Addr) []byte { return AppendAddressData(dst, a) }

// AppendNetmaskValue appends the value of INTERNAL_IP4_NETMASK for a prefix
// length of 0 to 32.
func AppendNetmaskValue(dst []byte, n int) []byte {
	return binary.BigEndian.AppendUint32(dst, ^uint32(0)<<(32-min(max(n, 0), 32)))
}

// AppendPrefixValue appends the value of INTERNAL_IP4_SUBNET (address and
// netmask) for an IPv4 prefix, and of INTERNAL_IP6_ADDRESS, INTERNAL_IP6_SUBNET
// or INTERNAL_IP6_PREFIX (address and prefix length) for an IPv6 one.
func AppendPrefixValue(dst []byte, p netip.Prefix) []byte {
	dst = AppendAddressData(dst, p.Addr())
	if p.Addr().Is4() {
		return AppendNetmaskValue(dst, p.Bits())
	}
	return append(dst, byte(p.Bits()))
}

// AppendAddressExpiryValue appends the value of INTERNAL_ADDRESS_EXPIRY.
func AppendAddressExpiryValue(dst []byte, d time.Duration) []byte { return appendSeconds(dst, d) }

// AppendHomePrefixValue appends the value of MIP6_HOME_PREFIX for an IPv6
// prefix.
func AppendHomePrefixValue(dst []byte, p netip.Prefix, lifetime time.Duration) []byte {
	return AppendPrefixValue(appendSeconds(dst, lifetime), p)
}

// AppendSupportedAttributesValue appends the value of SUPPORTED_ATTRIBUTES.
func AppendSupportedAttributesValue(dst []byte, types ...ConfigAttributeType) []byte {
	for _, t := range types {
		dst = binary.BigEndian.AppendUint16(dst, uint16(t)&^0x8000)
	}
	return dst
}

// AppendTrustAnchorValue appends the value of INTERNAL_DNSSEC_TA.
func AppendTrustAnchorValue(dst []byte, t TrustAnchor) []byte {
	dst = append(dst, byte(t.KeyTag>>8), byte(t.KeyTag), t.Algorithm, t.DigestType)
	return append(dst, t.Digest...)
}

// String returns the attribute as a trace shows it.
func (a ConfigAttribute) String() string { return string(a.appendText(nil)) }

// GoString is String: %#v shows no more than %v.
func (a ConfigAttribute) GoString() string { return a.String() }

func (a *ConfigAttribute) appendText(b []byte) []byte {
	b = append(b, a.Type.String()...)
	if len(a.Value) == 0 {
		return b
	}
	b = append(b, '=')
	var v any
	var err error
	switch a.Type {
	case AttrInternalIP4Address, AttrInternalIP4DNS, AttrInternalIP4NBNS, AttrInternalIP4DHCP,
		AttrInternalIP6DNS, AttrInternalIP6NBNS, AttrInternalIP6DHCP, AttrPCSCFIP4Address, AttrPCSCFIP6Address:
		v, err = a.Addr()
	case AttrInternalIP4Netmask:
		var n int
		n, err = a.Netmask()
		v = "/" + strconv.Itoa(n)
	case AttrInternalIP6Address, AttrInternalIP4Subnet, AttrInternalIP6Subnet, AttrInternalIP6Prefix:
		v, err = a.Prefix()
	case AttrInternalAddressExpiry:
		v, err = a.AddressExpiry()
	case AttrMIP6HomePrefix:
		p, d, e := a.HomePrefix()
		v, err = p.String()+" for "+d.String(), e
	case AttrSupportedAttributes:
		if len(a.Value) > 128 {
			return trace.AppendOctets(b, len(a.Value))
		}
		v, err = a.SupportedAttributes()
	case AttrInternalDNSSECTA:
		t, e := a.TrustAnchor()
		v, err = fmt.Sprintf("key tag %d algorithm %d digest type %d", t.KeyTag, t.Algorithm, t.DigestType), e
	case AttrApplicationVersion, AttrInternalDNSDomain:
		return trace.AppendQuoted(b, a.Value)
	default:
		return trace.AppendOctets(b, len(a.Value))
	}
	if err != nil {
		return trace.AppendOctets(append(b, "malformed "...), len(a.Value))
	}
	return fmt.Append(b, v)
}
