package isakmp_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev1/isakmp"
)

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// everyConfig returns an attribute of each kind with a value.
func everyConfig() []isakmp.ConfigAttribute {
	v := func(t isakmp.ConfigAttributeType, data []byte) isakmp.ConfigAttribute {
		return isakmp.ConfigAttribute{Type: t, Data: data}
	}
	basic := func(t isakmp.ConfigAttributeType, value uint16) isakmp.ConfigAttribute {
		return isakmp.ConfigAttribute{Type: t, Basic: true, Value: value}
	}
	return []isakmp.ConfigAttribute{
		v(isakmp.AttrInternalIP4Address, isakmp.AppendAddrValue(nil, addr("10.9.0.7"))),
		v(isakmp.AttrInternalIP4Netmask, isakmp.AppendNetmaskValue(nil, 20, 32)),
		v(isakmp.AttrInternalIP6Netmask, isakmp.AppendNetmaskValue(nil, 57, 128)),
		v(isakmp.AttrInternalIP6DNS, isakmp.AppendAddrValue(nil, addr("fd00::1"))),
		v(isakmp.AttrInternalAddressExpiry, isakmp.AppendAddressExpiryValue(nil, time.Hour)),
		v(isakmp.AttrApplicationVersion, []byte("racoon / IPsec-tools")),
		v(isakmp.AttrInternalIP4Subnet, isakmp.AppendPrefixValue(nil, prefix("10.1.0.0/16"))),
		v(isakmp.AttrInternalIP6Subnet, isakmp.AppendPrefixValue(nil, prefix("fd00::/48"))),
		v(isakmp.AttrSupportedAttributes, isakmp.AppendSupportedAttributesValue(nil, isakmp.AttrInternalIP4DNS, isakmp.AttrUnityBanner)),
		basic(isakmp.AttrXAuthType, uint16(isakmp.XAuthGeneric)),
		basic(isakmp.AttrXAuthStatus, isakmp.XAuthStatusOK),
		v(isakmp.AttrXAuthUserName, []byte("alice")),
		v(isakmp.AttrXAuthUserPassword, []byte("secret")),
		v(isakmp.AttrXAuthPasscode, []byte("secret")),
		v(isakmp.AttrXAuthMessage, []byte("Next code,\nplease")),
		v(isakmp.AttrXAuthNextPIN, []byte("secret")),
		v(isakmp.AttrXAuthAnswer, []byte("secret")),
		v(isakmp.AttrUnityBanner, []byte("Welcome")),
		basic(isakmp.AttrUnitySavePassword, 1),
		v(isakmp.AttrUnityDefaultDomain, []byte("corp.example")),
		v(isakmp.AttrUnitySplitDNS, []byte("a.example,b.example")),
		v(isakmp.AttrUnitySplitInclude, isakmp.AppendUnityNetworkValue(isakmp.AppendUnityNetworkValue(nil, prefix("10.1.0.0/16")), prefix("10.2.3.0/24"))),
		v(isakmp.AttrUnityLocalLAN, isakmp.AppendUnityNetworkValue(nil, prefix("192.168.0.0/24"))),
		basic(isakmp.AttrUnityNATTPort, 10000),
		v(isakmp.AttrCheckPointXAuthUserPassword, []byte("secret of 17 oct.")),
		v(isakmp.AttrCheckPointXAuthPasscode, []byte("secret")),
		v(12345, []byte("secret")),
		basic(12345, 7),
		v(isakmp.AttrInternalIP4DNS, nil),
	}
}

func TestConfigAttributes(t *testing.T) {
	p := isakmp.Attributes{Type: isakmp.ConfigSet, Identifier: 0xbeef, Attributes: everyConfig()}
	b := datagram(raw{t: isakmp.PayloadAttributes, body: p.AppendBody(nil)})
	m, err := isakmp.Parse(b)
	require.NoError(t, err)
	requireSame(t, m, b)
	require.Equal(t, &p, m.Attributes())
	require.Equal(t, `ATTR(ISAKMP_CFG_SET 48879 INTERNAL_IP4_ADDRESS=10.9.0.7 INTERNAL_IP4_NETMASK=/20 INTERNAL_IP6_NETMASK=/57 `+
		`INTERNAL_IP6_DNS=fd00::1 INTERNAL_ADDRESS_EXPIRY=1h0m0s APPLICATION_VERSION="racoon / IPsec-tools" `+
		`INTERNAL_IP4_SUBNET=10.1.0.0/16 INTERNAL_IP6_SUBNET=17 octets SUPPORTED_ATTRIBUTES=[INTERNAL_IP4_DNS UNITY_BANNER] `+
		`XAUTH_TYPE=Generic XAUTH_STATUS=OK XAUTH_USER_NAME="alice" XAUTH_USER_PASSWORD=6 octets XAUTH_PASSCODE=6 octets `+
		`XAUTH_MESSAGE="Next code,\nplease" XAUTH_NEXT_PIN=6 octets XAUTH_ANSWER=6 octets `+
		`UNITY_BANNER="Welcome" UNITY_SAVE_PASSWD=1 UNITY_DEF_DOMAIN="corp.example" UNITY_SPLIT_DOMAIN="a.example,b.example" `+
		`UNITY_SPLIT_INCLUDE=[10.1.0.0/16 10.2.3.0/24] UNITY_SPLIT_EXCLUDE=[192.168.0.0/24] UNITY_NATT_PORT=10000 `+
		`INTERNAL_IP6_SUBNET=17 octets ConfigAttributeType(16)=6 octets ConfigAttributeType(12345)=6 octets ConfigAttributeType(12345)=2 octets `+
		`INTERNAL_IP4_DNS)`, m.Attributes().String())

	first := func(t isakmp.ConfigAttributeType) *isakmp.ConfigAttribute { return m.Attributes().First(t) }
	a, err := first(isakmp.AttrInternalIP6DNS).Addr()
	require.NoError(t, err)
	require.Equal(t, addr("fd00::1"), a)
	n, err := first(isakmp.AttrInternalIP6Netmask).Netmask()
	require.NoError(t, err)
	require.Equal(t, 57, n)
	px, err := first(isakmp.AttrInternalIP6Subnet).Prefix()
	require.NoError(t, err)
	require.Equal(t, prefix("fd00::/48"), px)
	networks, err := first(isakmp.AttrUnitySplitInclude).UnityNetworks()
	require.NoError(t, err)
	require.Equal(t, []netip.Prefix{prefix("10.1.0.0/16"), prefix("10.2.3.0/24")}, networks)
	d, err := first(isakmp.AttrInternalAddressExpiry).AddressExpiry()
	require.NoError(t, err)
	require.Equal(t, time.Hour, d)
	s, err := first(isakmp.AttrUnityDefaultDomain).Domain()
	require.NoError(t, err)
	require.Equal(t, "corp.example", s)
	require.Nil(t, first(isakmp.AttrXAuthChallenge))
}

// No form of printing shows a password.
func TestSecretsDoNotPrint(t *testing.T) {
	m := isakmp.Message{Payloads: isakmp.Payloads{&isakmp.Attributes{Attributes: everyConfig()}, &isakmp.HASH{Data: []byte("secret")}, &isakmp.SIG{Data: []byte("secret")}}}
	p := m.Payloads[0].(*isakmp.Attributes)
	for _, v := range []any{m, &m, m.Payloads, p, *p, p.Attributes, p.Attributes[12], *m.HASH(), m.HASH(), m.SIG(), *m.SIG(),
		m.LogValue(), m.Payloads.LogValue(), p.LogValue(), m.HASH().LogValue(), m.SIG().LogValue()} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
			s := fmt.Sprintf(format, v)
			require.NotContains(t, s, "secret", "%T", v)
			require.NotContains(t, s, "115, 101", "%T", v)
			require.NotContains(t, s, "0x73, 0x65", "%T", v)
		}
	}
}

func TestConfigAttributesMalformed(t *testing.T) {
	for _, size := range []int{0, 1, 3, 5, 7, 9, 13, 15, 18} {
		for ty := range isakmp.ConfigAttributeType(16) {
			a := isakmp.ConfigAttribute{Type: ty, Data: make([]byte, size)}
			_, err := a.Addr()
			require.Error(t, err)
			_, err = a.Netmask()
			require.Error(t, err)
			_, err = a.Prefix()
			require.Error(t, err)
			_, err = a.AddressExpiry()
			require.Error(t, err)
			if size > 0 {
				_, err = a.UnityNetworks()
				require.Error(t, err)
			}
			if _, err = a.SupportedAttributes(); size%2 == 1 {
				require.Error(t, err)
			}
		}
	}
	hole := isakmp.ConfigAttribute{Type: isakmp.AttrInternalIP4Netmask, Data: unhex("ff00ff00")}
	_, err := hole.Netmask()
	require.ErrorContains(t, err, "hole")
	hole = isakmp.ConfigAttribute{Type: isakmp.AttrInternalIP4Subnet, Data: unhex("0a000000 ff01ff00")}
	_, err = hole.Prefix()
	require.ErrorContains(t, err, "hole")
	hole = isakmp.ConfigAttribute{Type: isakmp.AttrUnitySplitInclude, Data: unhex("0a000000 00ffffff 000000000000")}
	_, err = hole.UnityNetworks()
	require.ErrorContains(t, err, "hole")
	long := isakmp.ConfigAttribute{Type: isakmp.AttrInternalIP6Subnet, Data: append(make([]byte, 16), 129)}
	_, err = long.Prefix()
	require.Error(t, err)
	// A basic attribute has no octets to be taken for an address.
	basic := isakmp.ConfigAttribute{Type: isakmp.AttrInternalIP4Address, Basic: true, Value: 0x0a00}
	_, err = basic.Addr()
	require.Error(t, err)
}

func TestConfigAttributesAreBounded(t *testing.T) {
	body := func(n int) []byte { return append(unhex("01000000"), bytes.Repeat(unhex("00010000"), n)...) }
	m, err := isakmp.Parse(datagram(raw{t: isakmp.PayloadAttributes, body: body(isakmp.MaxConfigAttributes)}))
	require.NoError(t, err)
	require.Len(t, m.Attributes().Attributes, isakmp.MaxConfigAttributes)
	requireSyntax(t, datagram(raw{t: isakmp.PayloadAttributes, body: body(isakmp.MaxConfigAttributes + 1)}))
}

func TestUnityDomains(t *testing.T) {
	collect := func(data string) (got []string, err error) {
		a := isakmp.ConfigAttribute{Type: isakmp.AttrUnitySplitDNS, Data: []byte(data)}
		for s, err := range a.Domains() {
			if err != nil {
				return got, err
			}
			got = append(got, s)
		}
		return got, nil
	}
	for data, want := range map[string][]string{
		"":                             nil,
		"a.example":                    {"a.example"},
		"a.example,b.example.":         {"a.example", "b.example"},
		"a.example\x00,b.example\x00":  {"a.example", "b.example"}, // as ipsec-tools' racoon sends it
		"_srv.x-1.example":             {"_srv.x-1.example"},
		strings.Repeat("a", 63) + ".b": {strings.Repeat("a", 63) + ".b"},
	} {
		got, err := collect(data)
		require.NoError(t, err, "%q", data)
		require.Equal(t, want, got, "%q", data)
	}
	for _, data := range []string{",", "a,,b", ".", "a..b", "-a", "a b", "a;reboot", "a\nnameserver 1.2.3.4", "$(x)", "\x00", strings.Repeat("a", 64), strings.Repeat("a.", 127) + "ab", "ä.example"} {
		_, err := collect(data)
		require.Error(t, err, "%q", data)
	}
	got, err := collect("good.example,bad domain,other.example")
	require.Error(t, err)
	require.Equal(t, []string{"good.example"}, got)
	require.Equal(t, unhex("0a010000 ffff0000 000000000000"), isakmp.AppendUnityNetworkValue(nil, prefix("10.1.0.0/16")))
	require.Equal(t, bytes.Repeat([]byte{0xff}, 4), isakmp.AppendAddressExpiryValue(nil, 1<<62))
	require.Equal(t, make([]byte, 4), isakmp.AppendAddressExpiryValue(nil, -time.Hour))
}
