package isakmp_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/spd"
)

// Each payload in the octets of its RFC's figure, both ways, and as a trace
// shows it.
func TestLayouts(t *testing.T) {
	for _, c := range []struct {
		p           isakmp.Payload
		t           isakmp.PayloadType
		body, trace string
	}{
		{&isakmp.SA{DOI: 1, Situation: 1, Proposals: []isakmp.Proposal{
			{Num: 1, Protocol: spd.ProtoAH, SPI: unhex("11111111"), Transforms: []isakmp.Transform{{Num: 1, ID: 3, Attributes: []isakmp.Attribute{isakmp.Basic(isakmp.Phase2AuthAlgorithm, uint16(2))}}, {Num: 2, ID: 2}}},
			{Num: 1, Protocol: spd.ProtoESP, SPI: unhex("22222222"), Transforms: []isakmp.Transform{{Num: 1, ID: 3, Attributes: []isakmp.Attribute{isakmp.Variable(isakmp.Phase2LifeDuration, unhex("0001"))}}}},
		}}, 1, // RFC 2408 3.4 to 3.6
			`00000001 00000001
			02 00 0020 01 02 04 02 11111111  03 00 000c 01 03 0000 80050002  00 00 0008 02 02 0000
			00 00 001a 01 03 04 01 22222222  00 00 000e 01 03 0000 00020002 0001`,
			`SA(#1 AH SPI 11111111 T1 AH_SHA(HMAC-SHA) T2 AH_MD5; #1 ESP SPI 22222222 T1 ESP_3DES(1))`},
		{&isakmp.KE{Data: unhex("0102")}, 4, `0102`, `KE(2 octets)`},                                                                                                                           // RFC 2408 3.7
		{&isakmp.ID{Type: 1, Protocol: 17, Port: 500, Data: unhex("0a000001")}, 5, `01 11 01f4 0a000001`, `ID(ID_IPV4_ADDR 10.0.0.1 proto 17 port 500)`},                                       // RFC 2407 4.6.2
		{&isakmp.CERT{Encoding: 4, Data: unhex("3000")}, 6, `04 3000`, `CERT(X.509 Certificate - Signature 2 octets)`},                                                                         // RFC 2408 3.9
		{&isakmp.CR{Encoding: 4, Authority: unhex("300f 310d 300b 0603550403 0c04 54657374")}, 7, `04 300f 310d 300b 0603550403 0c04 54657374`, `CR(X.509 Certificate - Signature "CN=Test")`}, // 3.10
		{&isakmp.CR{Encoding: 1, Authority: []byte{}}, 7, `01`, `CR(PKCS #7 wrapped X.509 certificate -)`},
		{&isakmp.HASH{Data: unhex("0102")}, 8, `0102`, `HASH(2 octets)`},                                                                                                                          // 3.11
		{&isakmp.SIG{Data: unhex("01")}, 9, `01`, `SIG(1 octet)`},                                                                                                                                 // 3.12
		{&isakmp.Nonce{Data: unhex("0102030405060708")}, 10, `0102030405060708`, `NONCE(8 octets)`},                                                                                               // 3.13
		{&isakmp.Notify{DOI: 1, Protocol: spd.ProtoESP, Type: 14, SPI: unhex("11111111"), Data: unhex("ff")}, 11, `00000001 03 04 000e 11111111 ff`, `N(NO-PROPOSAL-CHOSEN ESP SPI 11111111 ff)`}, // 3.14
		{&isakmp.Delete{DOI: 1, Protocol: spd.ProtoESP, SPISize: 4, SPIs: unhex("1111111122222222")}, 12, `00000001 03 04 0002 11111111 22222222`, `D(ESP 11111111 22222222)`},                    // 3.15
		{&isakmp.Delete{DOI: 0, Protocol: spd.ProtoIKE, SPISize: 16, SPIs: isakmp.AppendCookies(nil, 1, 2)}, 12, `00000000 01 10 0001 0000000000000001 0000000000000002`, `D(ISAKMP DOI ISAKMP 00000000000000010000000000000002)`},
		{&isakmp.VendorID{ID: unhex("abcd")}, 13, `abcd`, `VID(abcd)`}, // 3.16
		{&isakmp.VendorID{ID: []byte("text")}, 13, `74657874`, `VID("text")`},
		{&isakmp.Attributes{Type: 3, Identifier: 7, Attributes: []isakmp.ConfigAttribute{{Type: 16527, Basic: true, Value: 1}, {Type: 1, Data: unhex("0a000001")}, {Type: 2}}},
			14, `03 00 0007 c08f0001 0001 0004 0a000001 0002 0000`, `ATTR(ISAKMP_CFG_SET 7 XAUTH_STATUS=OK INTERNAL_IP4_ADDRESS=10.0.0.1 INTERNAL_IP4_NETMASK)`}, // mode-cfg 3.2
		{&isakmp.NATD{Type: 20, Hash: unhex("abcd")}, 20, `abcd`, `NAT-D(abcd)`}, // RFC 3947 3.2
		{&isakmp.NATD{Type: 130, Hash: unhex("abcd")}, 130, `abcd`, `NAT-D(130)(abcd)`},
		{&isakmp.NATOA{Type: 21, Addr: addr("10.0.0.1")}, 21, `01 000000 0a000001`, `NAT-OA(10.0.0.1)`}, // RFC 3947 5.2
		{&isakmp.NATOA{Type: 131, Addr: addr("fd00::1")}, 131, `05 000000 fd00 0000000000000000000000000001`, `NAT-OA(131)(fd00::1)`},
		{&isakmp.Fragment{ID: 1, Index: 2, Flags: 1, Data: unhex("ff")}, 132, `0001 02 01 ff`, `FRAG(2 last of 1 1 octet)`},
		{&isakmp.Unknown{Type: 18, Body: unhex("00000001")}, 18, `00000001`, `SEQ(00000001)`},
	} {
		require.Equal(t, c.t, c.p.PayloadType())
		require.Equal(t, unhex(c.body), c.p.AppendBody([]byte{}), "%v", c.t)
		require.Equal(t, c.trace, c.p.String())
		b := datagram(raw{t: c.t, body: unhex(c.body)})
		m, err := isakmp.Parse(b)
		require.NoError(t, err, "%v", c.t)
		require.Equal(t, c.p, m.Payloads[0])
		require.Equal(t, 1, m.Count(c.t))
		requireSame(t, m, b)
		one, err := isakmp.ParsePayload(m.Chain[0])
		require.NoError(t, err)
		require.Equal(t, c.p, one)
	}
	// RFC 2408 3.1.
	h := isakmp.Header{CookieI: 0x0102030405060708, CookieR: 0x1112131415161718, NextPayload: 8, Version: 0x10, Exchange: 32, Flags: 3, MessageID: 0x21222324, Length: 28}
	b, err := h.AppendBinary([]byte{0xff})
	require.NoError(t, err)
	require.Equal(t, unhex("ff 0102030405060708 1112131415161718 08 10 20 03 21222324 0000001c"), b)
	got, err := isakmp.ParseHeader(b[1:])
	require.NoError(t, err)
	require.Equal(t, h, got)
	b, err = h.CookieI.AppendBinary(nil)
	require.NoError(t, err)
	require.Equal(t, unhex("0102030405060708"), b)
}

func TestGetters(t *testing.T) {
	n := func(ty byte) raw {
		return raw{t: isakmp.PayloadNotify, body: []byte{0, 0, 0, 1, 1, 0, pick[byte](ty >= 64, ty, 0), pick(ty >= 64, 0, ty)}}
	}
	m, err := isakmp.Parse(datagram(n(64), n(14), n(16), raw{t: isakmp.PayloadCR, body: []byte{4}}, raw{t: isakmp.PayloadCERT, body: []byte{4}}, raw{t: isakmp.PayloadCERT, body: []byte{1}}))
	require.NoError(t, err)
	require.Equal(t, isakmp.NotifyNoProposalChosen, m.ErrorNotify().Type)
	require.True(t, m.HasNotify(isakmp.NotifyConnected))
	require.False(t, m.HasNotify(isakmp.NotifyInitialContact))
	for c := range m.CRs() {
		require.Equal(t, isakmp.CertX509Signature, c.Encoding)
	}
	var encodings []isakmp.CertEncoding
	for c := range m.CERTs() {
		encodings = append(encodings, c.Encoding)
	}
	require.Equal(t, []isakmp.CertEncoding{isakmp.CertX509Signature, isakmp.CertPKCS7}, encodings)
	for range m.Notifies() {
		break
	}
	require.NoError(t, m.Only(isakmp.PayloadNotify, isakmp.PayloadCR, isakmp.PayloadCERT))
	require.ErrorIs(t, m.Only(isakmp.PayloadNotify), isakmp.ErrUnexpectedPayload)
	_, err = isakmp.ParsePayloads(isakmp.PayloadNonce, unhex("00 00 0005"))
	require.Error(t, err)
	_, err = isakmp.ParsePayload(isakmp.RawPayload{Type: isakmp.PayloadNonce, Body: []byte{1}})
	require.ErrorIs(t, err, isakmp.ErrSyntax)
}
