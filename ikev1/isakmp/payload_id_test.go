package isakmp_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/spd"
)

func TestSelectorIDs(t *testing.T) {
	for text, want := range map[string]struct {
		id   isakmp.IDType
		data string
	}{
		"10.1.0.7":             {isakmp.IDIPv4Addr, "0a010007"},
		"10.1.0.0/16":          {isakmp.IDIPv4AddrSubnet, "0a010000 ffff0000"},
		"0.0.0.0/0":            {isakmp.IDIPv4AddrSubnet, "00000000 00000000"},
		"10.1.0.1-10.1.0.9":    {isakmp.IDIPv4AddrRange, "0a010001 0a010009"},
		"fd00::1":              {isakmp.IDIPv6Addr, "fd000000000000000000000000000001"},
		"fd00::/57":            {isakmp.IDIPv6AddrSubnet, "fd000000000000000000000000000000 ffffffffffffff800000000000000000"},
		"fd00::1-fd00::3":      {isakmp.IDIPv6AddrRange, "fd000000000000000000000000000001 fd000000000000000000000000000003"},
		"10.1.0.0/16[tcp/443]": {isakmp.IDIPv4AddrSubnet, "0a010000 ffff0000"},
		"10.1.0.7[udp]":        {isakmp.IDIPv4Addr, "0a010007"},
	} {
		ts := spd.MustParseTrafficSelector(text)
		id, ok := isakmp.NewSelectorID(ts)
		require.True(t, ok, text)
		require.Equal(t, want.id, id.Type, text)
		require.Equal(t, unhex(want.data), id.Data, text)
		require.Equal(t, ts.Protocol, id.Protocol)
		if ts.Ports != spd.AnyPort {
			require.Equal(t, ts.Ports.First, id.Port)
		}
		b := datagram(raw{t: isakmp.PayloadID, body: id.AppendBody(nil)})
		m, err := isakmp.Parse(b)
		require.NoError(t, err)
		requireSame(t, m, b)
		got, err := m.ID().TrafficSelector()
		require.NoError(t, err)
		require.Equal(t, ts, got)
	}
	for _, ts := range []spd.TrafficSelector{
		{}, {Ports: spd.AnyPort}, spd.MustParseTrafficSelector("10.1.0.0/16[tcp/80-90]"), {First: addr("10.0.0.2"), Last: addr("10.0.0.1"), Ports: spd.AnyPort},
		spd.FromAddr(addr("10.0.0.1")).WithProtocol(17, spd.OpaquePort), spd.FromAddr(addr("10.0.0.1")).WithProtocol(17, spd.PortRange{}),
	} {
		_, ok := isakmp.NewSelectorID(ts)
		require.False(t, ok, "%v", ts)
	}
	port := isakmp.ID{Type: isakmp.IDIPv4Addr, Port: 500, Data: unhex("0a000001")}
	_, err := port.TrafficSelector()
	require.ErrorContains(t, err, "port without a protocol")
	// Host bits of a subnet do not count for the selector, and are not lost.
	host := isakmp.ID{Type: isakmp.IDIPv4AddrSubnet, Data: unhex("0a010203 ffff0000")}
	ts, err := host.TrafficSelector()
	require.NoError(t, err)
	require.Equal(t, spd.MustParseTrafficSelector("10.1.0.0/16"), ts)
	px, err := host.Prefix()
	require.NoError(t, err)
	require.Equal(t, prefix("10.1.2.3/16"), px)
}

func TestIDText(t *testing.T) {
	for want, id := range map[string]isakmp.ID{
		"ID(ID_IPV4_ADDR 10.1.0.1)":                           isakmp.NewAddrID(addr("10.1.0.1")),
		"ID(ID_IPV6_ADDR fd00::1)":                            isakmp.NewAddrID(addr("fd00::1")),
		"ID(ID_IPV4_ADDR_SUBNET 10.1.0.0/16 proto 6 port 80)": {Type: isakmp.IDIPv4AddrSubnet, Protocol: 6, Port: 80, Data: unhex("0a010000 ffff0000")},
		"ID(ID_IPV4_ADDR_SUBNET 10.1.0.0/255.0.255.0)":        {Type: isakmp.IDIPv4AddrSubnet, Data: unhex("0a010000 ff00ff00")},
		"ID(ID_IPV4_ADDR_RANGE 10.1.0.1-10.1.0.9 proto 1)":    {Type: isakmp.IDIPv4AddrRange, Protocol: 1, Data: unhex("0a010001 0a010009")},
		`ID(ID_KEY_ID "vpn group")`:                           {Type: isakmp.IDKeyID, Data: []byte("vpn group")},
		"ID(ID_KEY_ID 00ff)":                                  {Type: isakmp.IDKeyID, Data: unhex("00ff")},
		`ID(ID_USER_FQDN "a@b")`:                              {Type: isakmp.IDUserFQDN, Data: []byte("a@b")},
		"ID(ID_DER_ASN1_GN 8200)":                             {Type: isakmp.IDDERASN1GN, Data: unhex("8200")},
	} {
		require.Equal(t, want, id.String())
	}
}

func TestA24_Identities(t *testing.T) {
	parse := func(body string) (*isakmp.ID, error) {
		b := datagram(raw{t: isakmp.PayloadID, body: []byte(body)})
		m, err := isakmp.Parse(b)
		if err != nil {
			requireKind(t, err, isakmp.ErrSyntax, isakmp.NotifyPayloadMalformed)
			return nil, err
		}
		requireSame(t, m, b)
		return m.ID(), nil
	}
	for n := range 4 {
		_, err := parse("\x01\x00\x00\x00"[:n])
		require.Error(t, err)
	}
	sizes := map[isakmp.IDType]int{
		isakmp.IDIPv4Addr: 4, isakmp.IDIPv4AddrSubnet: 8, isakmp.IDIPv4AddrRange: 8,
		isakmp.IDIPv6Addr: 16, isakmp.IDIPv6AddrSubnet: 32, isakmp.IDIPv6AddrRange: 32,
	}
	for ty, size := range sizes {
		for n := range 40 {
			id, err := parse(string(byte(ty)) + "\x00\x00\x00" + strings.Repeat("\x00", n))
			require.Equal(t, n == size, err == nil, "%v of %d", ty, n)
			if err == nil {
				_, _, err := id.Range()
				require.NoError(t, err)
			}
		}
	}
	for _, ty := range []isakmp.IDType{isakmp.IDFQDN, isakmp.IDUserFQDN, isakmp.IDDERASN1DN, isakmp.IDDERASN1GN, isakmp.IDKeyID} {
		_, err := parse(string(byte(ty)) + "\x00\x00\x00")
		require.Error(t, err, "empty %v", ty)
	}
	// Unknown types are kept for the exchange to refuse, and are no address.
	id, err := parse("\xc8\x11\x01\xf4abcd")
	require.NoError(t, err)
	require.Equal(t, "ID(IDType(200) 61626364 proto 17 port 500)", id.String())
	require.Equal(t, netip.Addr{}, id.Addr())
	// What a person reads is quoted and short, and never more than one line.
	for text, want := range map[string]string{
		"a b":                         `ID(ID_FQDN "a b")`,
		"%s%n$(reboot)`x`;'\"\x00":    `ID(ID_FQDN "%s%n$(reboot)` + "`x`" + `;'\"\x00")`,
		"line\nbreak\r\x1b[31m\u202e": `ID(ID_FQDN "line\nbreak\r\x1b[31m\u202e")`,
	} {
		id, err := parse("\x02\x00\x00\x00" + text)
		require.NoError(t, err)
		require.Equal(t, want, id.String())
		require.Equal(t, text, string(id.Data))
	}
	id, err = parse("\x0b\x00\x00\x00" + strings.Repeat("a", 65000))
	require.NoError(t, err)
	require.Less(t, len(id.String()), 200)
	// A Distinguished Name, whole and cut short.
	dn := unhex("3013 3111 300f 0603550403 0c08 67617465 2e6f7267")
	require.Equal(t, `ID(ID_DER_ASN1_DN "CN=gate.org")`, isakmp.ID{Type: isakmp.IDDERASN1DN, Data: dn}.String())
	for n := 1; n < len(dn); n++ {
		id, err := parse("\x09\x00\x00\x00" + string(dn[:n]))
		require.NoError(t, err)
		require.NotContains(t, id.String(), "CN=")
	}
}
