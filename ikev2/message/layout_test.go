package message_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/spd"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// Every payload against its figure in the RFC, written out by hand.
func TestPayloadLayouts(t *testing.T) {
	range4 := spd.TrafficSelector{First: addr("10.0.0.0"), Last: addr("10.0.0.255"), Ports: spd.PortRange{First: 80, Last: 443}, Protocol: 6}
	range6 := spd.TrafficSelector{First: addr("fd00::1"), Last: addr("fd00::3"), Ports: spd.OpaquePort}
	for _, c := range []struct {
		payload message.Payload
		typ     message.PayloadType
		body    string
		text    string
	}{
		{&message.SA{Proposals: []message.Proposal{
			{Num: 1, Protocol: spd.ProtoESP, SPI: unhex("01020304"), Transforms: []message.Transform{
				{Transform: spd.Transform{Type: spd.TransformENCR, ID: spd.EncrAESCBC, KeyLen: 256}},
				{Transform: spd.Transform{Type: spd.TransformINTEG, ID: spd.IntegHMACSHA256_128}},
				{Transform: spd.Transform{Type: spd.TransformESN, ID: spd.ESNExtended}}}},
			{Num: 2, Protocol: spd.ProtoIKE, SPI: unhex("0102030405060708"), Transforms: []message.Transform{
				{Transform: spd.Transform{Type: spd.TransformADDKE1, ID: spd.KEMLKEM768}},
				{Transform: spd.Transform{Type: spd.TransformINTEG, ID: spd.IntegNone}},
				{Transform: spd.Transform{Type: spd.TransformENCR, ID: 1234},
					Attributes: []message.Attribute{{Type: 15, Short: true, Value: unhex("0007")}, {Type: 16, Value: unhex("aabbcc")}}}}}}},
			message.PayloadSA,
			`02 00 0028 01 03 04 03 01020304  03 00 000c 01 00 000c 800e 0100  03 00 0008 03 00 000c  00 00 0008 05 00 0001
			 00 00 0033 02 01 08 03 0102030405060708  03 00 0008 06 00 0024  03 00 0008 03 00 0000  00 00 0013 01 00 04d2 800f 0007 0010 0003 aabbcc`,
			`SA(#1 ESP SPI 01020304 ENCR_AES_CBC-256 AUTH_HMAC_SHA2_256_128 ESN; #2 IKE SPI 0102030405060708 ADDKE1:ML_KEM_768 INTEG:NONE ENCR(1234)[attribute 15 0007][attribute 16 aabbcc])`},
		{&message.KE{Group: spd.KECurve25519, Data: unhex("aabb")}, message.PayloadKE, `001f 0000 aabb`, `KE(CURVE25519 2 octets)`},
		{&message.ID{Type: message.IDIPv6Addr, Data: unhex("fd000000000000000000000000000001")}, message.PayloadIDi,
			`05 000000 fd000000000000000000000000000001`, `IDi(ID_IPV6_ADDR fd00::1)`},
		{&message.ID{Responder: true, Type: message.IDRFC822Addr, Reserved: [3]byte{1, 2, 3}, Data: []byte("a@b")}, message.PayloadIDr,
			`03 010203 614062`, `IDr(ID_RFC822_ADDR "a@b")`},
		{&message.ID{Type: message.IDDERASN1DN, Data: dn("east")}, message.PayloadIDi,
			`09 000000 300f310d300b06035504030c0465617374`, `IDi(ID_DER_ASN1_DN "CN=east")`},
		{&message.CERT{Encoding: message.CertX509Signature, Data: unhex("3000")}, message.PayloadCERT, `04 3000`, `CERT(X.509 Certificate - Signature 2 octets)`},
		{&message.CERTREQ{Encoding: message.CertX509Signature, Authority: make([]byte, 40)}, message.PayloadCERTREQ,
			`04` + strings.Repeat("00", 40), `CERTREQ(X.509 Certificate - Signature 2 hashes)`},
		{&message.CERTREQ{Encoding: message.CertOCSP, Authority: []byte{}}, message.PayloadCERTREQ, `0e`, `CERTREQ(OCSP Content 0 octets)`},
		{&message.AUTH{Method: message.AuthSharedKey, Data: unhex("01")}, message.PayloadAUTH, `02 000000 01`, `AUTH(Shared Key Message Integrity Code 1 octet)`},
		{&message.Nonce{Data: make([]byte, 16)}, message.PayloadNonce, strings.Repeat("00", 16), `Nonce(16 octets)`},
		{&message.Notify{Protocol: spd.ProtoESP, Type: message.NotifyRekeySA, SPI: unhex("01020304")}, message.PayloadNotify,
			`03 04 4009 01020304`, `N(REKEY_SA ESP SPI 01020304)`},
		{&message.Notify{Type: message.NotifyCookie, Data: unhex("aabb")}, message.PayloadNotify, `00 00 4006 aabb`, `N(COOKIE aabb)`},
		{&message.Delete{Protocol: spd.ProtoIKE, SPIs: []byte{}}, message.PayloadDelete, `01 00 0000`, `D(IKE)`},
		{&message.Delete{Protocol: spd.ProtoESP, SPISize: 4, SPIs: unhex("0102030405060708")}, message.PayloadDelete,
			`03 04 0002 01020304 05060708`, `D(ESP 01020304 05060708)`},
		{&message.VendorID{ID: []byte("strongSwan")}, message.PayloadVendorID, `7374726f6e675377616e`, `V("strongSwan")`},
		{&message.VendorID{ID: unhex("4048b7d56ebce885")}, message.PayloadVendorID, `4048b7d56ebce885`, `V(4048b7d56ebce885)`},
		{&message.TS{Selectors: []message.TrafficSelector{message.NewTrafficSelector(range4), message.NewTrafficSelector(range6), {Type: 200, Raw: unhex("0102")}}},
			message.PayloadTSi,
			`03 000000  07 06 0010 0050 01bb 0a000000 0a0000ff
			 08 00 0028 ffff 0000 fd000000000000000000000000000001 fd000000000000000000000000000003  c8 00 0006 0102`,
			`TSi(10.0.0.0/24 proto 6 port 80-443, fd00::1-fd00::3 port opaque, TSType(200) 0102)`},
		{&message.TS{Responder: true, Selectors: []message.TrafficSelector{message.NewTrafficSelector(spd.TrafficSelector{First: addr("0.0.0.0"), Last: addr("255.255.255.255"), Ports: spd.AnyPort})}},
			message.PayloadTSr, `01 000000 07 00 0010 0000 ffff 00000000 ffffffff`, `TSr(0.0.0.0/0)`},
		{&message.SK{Body: unhex("010203")}, message.PayloadSK, `010203`, `SK(3 octets)`},
		{&message.SKF{First: message.PayloadIDi, Number: 1, Total: 3, Body: unhex("aa")}, message.PayloadSKF, `0001 0003 aa`, `SKF(1 of 3 1 octet)`},
		{&message.CP{Type: message.ConfigRequest, Attributes: []message.ConfigAttribute{{Type: message.AttrInternalIP4Address}, {Type: message.AttrInternalIP4DNS, Value: unhex("0a000001")}}},
			message.PayloadCP, `01 000000  0001 0000  0003 0004 0a000001`, `CP(CFG_REQUEST INTERNAL_IP4_ADDRESS INTERNAL_IP4_DNS=10.0.0.1)`},
		{&message.EAP{Message: unhex("0102000501")}, message.PayloadEAP, `01 02 0005 01`, `EAP(Request 2 Identity 5 octets)`},
		{&message.EAP{Message: unhex("03020004")}, message.PayloadEAP, `03 02 0004`, `EAP(Success 2 4 octets)`},
		{&message.Unknown{Type: message.PayloadPS, Body: unhex("aabb")}, message.PayloadPS, `aabb`, `PS(aabb)`},
	} {
		t.Run(c.text, func(t *testing.T) {
			body := unhex(c.body)
			require.Equal(t, c.typ, c.payload.PayloadType())
			require.Equal(t, body, c.payload.AppendBody(nil))
			require.Equal(t, c.text, c.payload.String())
			b := datagram(raw{t: c.typ, body: body})
			if f, ok := c.payload.(*message.SKF); ok {
				b[message.HeaderLen] = byte(f.First)
			}
			m, err := message.Parse(b)
			require.NoError(t, err)
			require.Equal(t, message.Payloads{c.payload}, m.Payloads)
			requireSame(t, m, b)
		})
	}
}

func TestNotifyData(t *testing.T) {
	n := func(ty message.NotifyType, data string) *message.Notify {
		return &message.Notify{Type: ty, Data: unhex(data)}
	}
	for _, c := range []struct {
		n    *message.Notify
		get  func(n *message.Notify) (any, error)
		want any // nil: an error
		data []byte
		text string
	}{
		{n(message.NotifyUnsupportedCriticalPayload, "36"), func(n *message.Notify) (any, error) { return n.UnsupportedPayload() }, message.PayloadPS, nil, "N(UNSUPPORTED_CRITICAL_PAYLOAD PS)"},
		{n(message.NotifyUnsupportedCriticalPayload, ""), func(n *message.Notify) (any, error) { return n.UnsupportedPayload() }, nil, nil, "N(UNSUPPORTED_CRITICAL_PAYLOAD)"},
		{n(message.NotifyInvalidMessageID, "00000007"), func(n *message.Notify) (any, error) { return n.InvalidMessageID() }, uint32(7), nil, "N(INVALID_MESSAGE_ID 7)"},
		{n(message.NotifyInvalidKEPayload, "000e"), func(n *message.Notify) (any, error) { return n.InvalidKEGroup() }, uint16(14), message.AppendInvalidKEGroupData(nil, 14), "N(INVALID_KE_PAYLOAD MODP_2048)"},
		{n(message.NotifyInvalidKEPayload, "0e"), func(n *message.Notify) (any, error) { return n.InvalidKEGroup() }, nil, nil, "N(INVALID_KE_PAYLOAD malformed 0e)"},
		{n(message.NotifySetWindowSize, "00000010"), func(n *message.Notify) (any, error) { return n.WindowSize() }, uint32(16), message.AppendWindowSizeData(nil, 16), "N(SET_WINDOW_SIZE 16)"},
		{n(message.NotifySetWindowSize, "00000000"), func(n *message.Notify) (any, error) { return n.WindowSize() }, nil, nil, "N(SET_WINDOW_SIZE malformed 00000000)"},
		{n(message.NotifyCookie, "01"), func(n *message.Notify) (any, error) { return n.Cookie() }, unhex("01"), nil, "N(COOKIE 01)"},
		{n(message.NotifyCookie, ""), func(n *message.Notify) (any, error) { return n.Cookie() }, nil, nil, "N(COOKIE)"},
		{n(message.NotifyCookie, strings.Repeat("00", 64)), func(n *message.Notify) (any, error) { return n.Cookie() }, make([]byte, 64), nil, ""},
		{n(message.NotifyCookie, strings.Repeat("00", 65)), func(n *message.Notify) (any, error) { return n.Cookie() }, nil, nil, ""},
		{n(message.NotifyCookie2, "00000000000000"), func(n *message.Notify) (any, error) { return n.Cookie() }, nil, nil, ""},
		{n(message.NotifyCookie2, "0000000000000001"), func(n *message.Notify) (any, error) { return n.Cookie() }, unhex("0000000000000001"), nil, "N(COOKIE2 0000000000000001)"},
		{n(message.NotifyNATDetectionSourceIP, strings.Repeat("ab", 20)), func(n *message.Notify) (any, error) { return n.NATDetectionHash() }, [20]byte(unhex(strings.Repeat("ab", 20))), nil, ""},
		{n(message.NotifyNATDetectionSourceIP, strings.Repeat("ab", 19)), func(n *message.Notify) (any, error) { return n.NATDetectionHash() }, nil, nil, ""},
		{n(message.NotifySignatureHashAlgorithms, "0002 0003 0005"), func(n *message.Notify) (any, error) { return n.HashAlgorithms() },
			[]message.HashAlgorithm{message.HashSHA256, message.HashSHA384, message.HashIdentity},
			message.AppendHashAlgorithmsData(nil, message.HashSHA256, message.HashSHA384, message.HashIdentity), "N(SIGNATURE_HASH_ALGORITHMS [SHA2-256 SHA2-384 Identity])"},
		{n(message.NotifySignatureHashAlgorithms, "000200"), func(n *message.Notify) (any, error) { return n.HashAlgorithms() }, nil, nil, ""},
		{n(message.NotifySecurePasswordMethods, "0001"), func(n *message.Notify) (any, error) { return n.SecurePasswordMethods() }, []uint16{1}, nil, ""},
		{n(message.NotifyAuthLifetime, "00000e10"), func(n *message.Notify) (any, error) { return n.AuthLifetime() }, time.Hour, message.AppendAuthLifetimeData(nil, time.Hour), "N(AUTH_LIFETIME 1h0m0s)"},
		{n(message.NotifyAuthLifetime, "ffffffff"), func(n *message.Notify) (any, error) { return n.AuthLifetime() }, time.Duration(1<<32-1) * time.Second, message.AppendAuthLifetimeData(nil, 1<<62), ""},
		{n(message.NotifyIPCompSupported, "1234 02"), func(n *message.Notify) (any, error) { c, tr, err := n.IPComp(); return [2]int{int(c), int(tr)}, err }, [2]int{0x1234, 2}, message.AppendIPCompData(nil, 0x1234, 2), "N(IPCOMP_SUPPORTED CPI 1234 transform 2)"},
		{n(message.NotifyIPCompSupported, "1234"), func(n *message.Notify) (any, error) { c, _, err := n.IPComp(); return c, err }, nil, nil, ""},
		{n(message.NotifyAdditionalIP4Address, "0a000001"), func(n *message.Notify) (any, error) { return n.AdditionalAddress() }, addr("10.0.0.1"), message.AppendAddressData(nil, addr("10.0.0.1")), "N(ADDITIONAL_IP4_ADDRESS 10.0.0.1)"},
		{n(message.NotifyAdditionalIP6Address, "0a000001"), func(n *message.Notify) (any, error) { return n.AdditionalAddress() }, nil, nil, ""},
		{n(message.NotifyAdditionalIP6Address, "fd000000000000000000000000000001"), func(n *message.Notify) (any, error) { return n.AdditionalAddress() }, addr("fd00::1"), message.AppendAddressData(nil, addr("fd00::1")), "N(ADDITIONAL_IP6_ADDRESS fd00::1)"},
		{n(message.NotifyNoNATsAllowed, "0a000001 0a000002 01f4 1194"), func(n *message.Notify) (any, error) { a, b, err := n.NoNATs(); return []netip.AddrPort{a, b}, err },
			[]netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:500"), netip.MustParseAddrPort("10.0.0.2:4500")},
			message.AppendNoNATsData(nil, netip.MustParseAddrPort("10.0.0.1:500"), netip.MustParseAddrPort("10.0.0.2:4500")), "N(NO_NATS_ALLOWED 10.0.0.1:500 to 10.0.0.2:4500)"},
		{n(message.NotifyNoNATsAllowed, strings.Repeat("00", 16)), func(n *message.Notify) (any, error) { a, _, err := n.NoNATs(); return a, err }, nil, nil, ""},
		{n(message.NotifyRedirect, "01 04 0a000001"+strings.Repeat("11", 16)), func(n *message.Notify) (any, error) { return n.Redirect() },
			message.Redirect{Type: message.GatewayIPv4, Addr: addr("10.0.0.1"), Nonce: unhex(strings.Repeat("11", 16))},
			message.AppendRedirectData(nil, message.Redirect{Type: message.GatewayIPv4, Addr: addr("10.0.0.1"), Nonce: unhex(strings.Repeat("11", 16))}), "N(REDIRECT 10.0.0.1)"},
		{n(message.NotifyRedirect, "03 02 6162"), func(n *message.Notify) (any, error) { return n.Redirect() },
			message.Redirect{Type: message.GatewayFQDN, FQDN: []byte("ab")}, message.AppendRedirectData(nil, message.Redirect{Type: message.GatewayFQDN, FQDN: []byte("ab")}), `N(REDIRECT "ab")`},
		{n(message.NotifyRedirectedFrom, "03 02 6162"), func(n *message.Notify) (any, error) { return n.Redirect() }, nil, nil, ""},
		{n(message.NotifyRedirect, "01 05 0a00000101"), func(n *message.Notify) (any, error) { return n.Redirect() }, nil, nil, ""},
		{n(message.NotifyRedirect, "02 04 0a000001"), func(n *message.Notify) (any, error) { return n.Redirect() }, nil, nil, ""},
		{n(message.NotifyRedirect, "01 05 0a000001"), func(n *message.Notify) (any, error) { return n.Redirect() }, nil, nil, ""},
		{n(message.NotifyRedirect, "01 04 0a000001 00"), func(n *message.Notify) (any, error) { return n.Redirect() }, nil, nil, ""}, // nonce of 1
		{n(message.NotifyRedirect, "09 01 00"), func(n *message.Notify) (any, error) { return n.Redirect() }, nil, nil, ""},
		{n(message.NotifyTicketLTOpaque, "0000003c aabb"), func(n *message.Notify) (any, error) { tk, l, err := n.Ticket(); return []any{tk, l}, err },
			[]any{unhex("aabb"), time.Minute}, message.AppendTicketData(nil, unhex("aabb"), time.Minute), "N(TICKET_LT_OPAQUE 2 octets for 1m0s)"},
		{n(message.NotifyTicketLTOpaque, "0000003c"), func(n *message.Notify) (any, error) { tk, _, err := n.Ticket(); return tk, err }, nil, nil, ""},
		{n(message.NotifyPPKIdentity, "02 6b31"), func(n *message.Notify) (any, error) { ty, id, err := n.PPKIdentity(); return []any{ty, id}, err },
			[]any{message.PPKIDFixed, []byte("k1")}, message.AppendPPKIdentityData(nil, message.PPKIDFixed, []byte("k1")), `N(PPK_IDENTITY PPK_ID_FIXED "k1")`},
		{n(message.NotifyPPKIdentity, "02"), func(n *message.Notify) (any, error) { ty, _, err := n.PPKIdentity(); return ty, err }, nil, nil, ""},
		{n(message.NotifyPuzzle, "0005 10"), func(n *message.Notify) (any, error) { return n.Puzzle() }, message.Puzzle{PRF: 5, Difficulty: 16}, message.AppendPuzzleData(nil, message.Puzzle{PRF: 5, Difficulty: 16}), "N(PUZZLE PRF_HMAC_SHA2_256 16)"},
		{n(message.NotifyIKEv2MessageIDSync, "01020304 00000005 00000006"), func(n *message.Notify) (any, error) { return n.MessageIDSync() },
			message.MessageIDSync{Nonce: [4]byte{1, 2, 3, 4}, Send: 5, Receive: 6}, message.AppendMessageIDSyncData(nil, message.MessageIDSync{Nonce: [4]byte{1, 2, 3, 4}, Send: 5, Receive: 6}), ""},
		{n(message.NotifyQuickCrashDetection, strings.Repeat("00", 15)), func(n *message.Notify) (any, error) { return n.CrashDetectionToken() }, nil, nil, ""},
		{n(message.NotifyQuickCrashDetection, strings.Repeat("00", 16)), func(n *message.Notify) (any, error) { return n.CrashDetectionToken() }, make([]byte, 16), nil, ""},
	} {
		t.Run(c.n.String(), func(t *testing.T) {
			got, err := c.get(c.n)
			if c.want == nil {
				var pe *message.ParseError
				require.ErrorAs(t, err, &pe)
				require.Equal(t, message.NotifyInvalidSyntax, pe.Notify())
			} else {
				require.NoError(t, err)
				require.Equal(t, c.want, got)
			}
			if c.data != nil {
				require.Equal(t, c.n.Data, c.data)
			}
			if c.text != "" {
				require.Equal(t, c.text, c.n.String())
			}
		})
	}
}

func TestConfigValues(t *testing.T) {
	p := netip.MustParsePrefix
	home, homeLife := p("fd00:1::/64"), 90*time.Second
	for _, c := range []struct {
		typ   message.ConfigAttributeType
		value string
		get   func(a *message.ConfigAttribute) (any, error)
		want  any // nil: an error
		made  []byte
		text  string
	}{
		{message.AttrInternalIP4Address, "0a000001", func(a *message.ConfigAttribute) (any, error) { return a.Addr() }, addr("10.0.0.1"), message.AppendAddrValue(nil, addr("10.0.0.1")), "INTERNAL_IP4_ADDRESS=10.0.0.1"},
		{message.AttrInternalIP6Address, "fd000000000000000000000000000001 40", func(a *message.ConfigAttribute) (any, error) { return a.Addr() }, addr("fd00::1"), nil, "INTERNAL_IP6_ADDRESS=fd00::1/64"},
		{message.AttrInternalIP6Address, "fd000000000000000000000000000001 40", func(a *message.ConfigAttribute) (any, error) { return a.Prefix() }, p("fd00::1/64"), message.AppendPrefixValue(nil, p("fd00::1/64")), ""},
		{message.AttrInternalIP6Address, "fd000000000000000000000000000001 81", func(a *message.ConfigAttribute) (any, error) { return a.Prefix() }, nil, nil, "INTERNAL_IP6_ADDRESS=malformed 17 octets"},
		{message.AttrInternalIP6DNS, "fd000000000000000000000000000001", func(a *message.ConfigAttribute) (any, error) { return a.Addr() }, addr("fd00::1"), message.AppendAddrValue(nil, addr("fd00::1")), "INTERNAL_IP6_DNS=fd00::1"},
		{message.AttrInternalIP6DNS, "0a000001", func(a *message.ConfigAttribute) (any, error) { return a.Addr() }, nil, nil, ""},
		{message.AttrInternalIP4Netmask, "ffffff00", func(a *message.ConfigAttribute) (any, error) { return a.Netmask() }, 24, message.AppendNetmaskValue(nil, 24), "INTERNAL_IP4_NETMASK=/24"},
		{message.AttrInternalIP4Netmask, "00000000", func(a *message.ConfigAttribute) (any, error) { return a.Netmask() }, 0, message.AppendNetmaskValue(nil, 0), ""},
		{message.AttrInternalIP4Netmask, "ffffffff", func(a *message.ConfigAttribute) (any, error) { return a.Netmask() }, 32, message.AppendNetmaskValue(nil, 32), ""},
		{message.AttrInternalIP4Netmask, "ff00ff00", func(a *message.ConfigAttribute) (any, error) { return a.Netmask() }, nil, nil, ""},
		{message.AttrInternalIP4Subnet, "0a010000 ffff0000", func(a *message.ConfigAttribute) (any, error) { return a.Prefix() }, p("10.1.0.0/16"), message.AppendPrefixValue(nil, p("10.1.0.0/16")), "INTERNAL_IP4_SUBNET=10.1.0.0/16"},
		{message.AttrInternalIP4Subnet, "0a010000 10", func(a *message.ConfigAttribute) (any, error) { return a.Prefix() }, nil, nil, ""},
		{message.AttrInternalIP6Subnet, "fd000000000000000000000000000000 08", func(a *message.ConfigAttribute) (any, error) { return a.Prefix() }, p("fd00::/8"), message.AppendPrefixValue(nil, p("fd00::/8")), ""},
		{message.AttrInternalAddressExpiry, "00000e10", func(a *message.ConfigAttribute) (any, error) { return a.AddressExpiry() }, time.Hour, message.AppendAddressExpiryValue(nil, time.Hour), ""},
		{message.AttrMIP6HomePrefix, "0000005a fd000001000000000000000000000000 40", func(a *message.ConfigAttribute) (any, error) {
			px, l, err := a.HomePrefix()
			return []any{px, l}, err
		}, []any{home, homeLife}, message.AppendHomePrefixValue(nil, home, homeLife), "MIP6_HOME_PREFIX=fd00:1::/64 for 1m30s"},
		{message.AttrSupportedAttributes, "0001 0003", func(a *message.ConfigAttribute) (any, error) { return a.SupportedAttributes() },
			[]message.ConfigAttributeType{message.AttrInternalIP4Address, message.AttrInternalIP4DNS},
			message.AppendSupportedAttributesValue(nil, message.AttrInternalIP4Address, message.AttrInternalIP4DNS), "SUPPORTED_ATTRIBUTES=[INTERNAL_IP4_ADDRESS INTERNAL_IP4_DNS]"},
		{message.AttrSupportedAttributes, "000100", func(a *message.ConfigAttribute) (any, error) { return a.SupportedAttributes() }, nil, nil, ""},
		{message.AttrInternalDNSSECTA, "aabb 08 02 4142", func(a *message.ConfigAttribute) (any, error) { return a.TrustAnchor() },
			message.TrustAnchor{KeyTag: 0xaabb, Algorithm: 8, DigestType: 2, Digest: []byte("AB")}, message.AppendTrustAnchorValue(nil, message.TrustAnchor{KeyTag: 0xaabb, Algorithm: 8, DigestType: 2, Digest: []byte("AB")}), ""},
		{message.AttrInternalDNSSECTA, "aabb 08 02", func(a *message.ConfigAttribute) (any, error) { return a.TrustAnchor() }, nil, nil, ""},
	} {
		a := &message.ConfigAttribute{Type: c.typ, Value: unhex(c.value)}
		t.Run(a.String(), func(t *testing.T) {
			got, err := c.get(a)
			if c.want == nil {
				require.ErrorIs(t, err, message.ErrSyntax)
			} else {
				require.NoError(t, err)
				require.Equal(t, c.want, got)
			}
			if c.made != nil {
				require.Equal(t, a.Value, c.made)
			}
			if c.text != "" {
				require.Equal(t, c.text, a.String())
			}
		})
	}
	for name, ok := range map[string]bool{
		"example.com": true, "AZaz09-.EXAMPLE": true, "example.com.": true, "xn--bcher-kva.example": true, "_srv.example": true, "com": true, "10.in-addr.arpa": true,
		"": false, ".": false, "a..b": false, ".a": false, "-a": false, "a b": false, "a\x00b": false, "a\nnameserver 1.2.3.4": false, "bücher.example": false,
		strings.Repeat("a", 63) + ".b": true, strings.Repeat("a", 64) + ".b": false, strings.Repeat("a.", 127) + "b": false,
	} {
		a := message.ConfigAttribute{Type: message.AttrInternalDNSDomain, Value: []byte(name)}
		got, err := a.DNSDomain()
		require.Equal(t, ok, err == nil, "%q", name)
		if ok {
			require.Equal(t, strings.TrimSuffix(name, "."), got)
		}
	}
}

func TestDigitalSignature(t *testing.T) {
	// RFC 7427 appendix A.3.2: ecdsa-with-SHA256.
	alg := unhex("300a06082a8648ce3d040302")
	data := message.AppendDigitalSignature(nil, alg, []byte("signature"))
	require.Equal(t, append([]byte{12}, append(alg, "signature"...)...), data)
	a, s, err := message.ParseDigitalSignature(data)
	require.NoError(t, err)
	require.Equal(t, alg, a)
	require.Equal(t, "signature", string(s))
	for _, bad := range []string{"", "00", "00aa", "01", "01aa", "0530", "ff00"} {
		_, _, err := message.ParseDigitalSignature(unhex(bad))
		require.ErrorIs(t, err, message.ErrSyntax, bad)
	}
}

func TestGetters(t *testing.T) {
	m := saInit()
	require.Same(t, m.Payloads[0], m.SA())
	require.Same(t, m.Payloads[3], m.Notify(message.NotifyNATDetectionSourceIP))
	require.Nil(t, m.Notify(message.NotifyCookie))
	require.Nil(t, m.ErrorNotify())
	n := 0
	for range m.Notifies() {
		n++
	}
	require.Equal(t, 5, n)
	for v := range m.VendorIDs() {
		require.Len(t, v.ID, 16)
		break
	}
	m.Payloads = append(m.Payloads, &message.Notify{Type: 9999})
	require.Equal(t, message.NotifyType(9999), m.ErrorNotify().Type)

	a := auth()
	require.Same(t, a[0], a.IDi())
	require.Same(t, a[3], a.IDr())
	require.Same(t, a[7], a.TSi())
	require.Same(t, a[8], a.TSr())
	hashes := 0
	for r := range a.CERTREQs() {
		for range r.Hashes() {
			hashes++
		}
	}
	require.Equal(t, 2, hashes)
	require.Nil(t, message.Payloads(nil).SA())
	require.Nil(t, message.Payloads(nil).IDr())
	require.Equal(t, message.AttrInternalIP4DNS, a.CP().First(message.AttrInternalIP4DNS).Type)
	require.Nil(t, a.CP().First(message.AttrInternalIP6DNS))
}

// Decoded payloads share the datagram's octets, up to their end and no
// further: appending to one does not reach into the next.
func TestPayloadsAliasTheDatagramOnly(t *testing.T) {
	b := encoded(t, saInit())
	want := string(b)
	m, err := message.Parse(b)
	require.NoError(t, err)
	_ = append(m.KE().Data, 0xff)
	_ = append(m.Nonce().Data, 0xff)
	_ = append(m.Notify(message.NotifyNATDetectionSourceIP).Data, 0xff)
	require.Equal(t, want, string(b))
	b[len(b)-1] ^= 1
	var last *message.VendorID
	for v := range m.VendorIDs() {
		last = v
	}
	require.Equal(t, byte(1), last.ID[19])
}
