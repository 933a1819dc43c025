package isakmp_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/spd"
)

// A trace is a log line: whatever a datagram holds, it stays one, of bounded
// length.
func TestTraceIsBounded(t *testing.T) {
	attrs := make([]isakmp.Attribute, isakmp.MaxAttributes)
	for i := range attrs {
		attrs[i] = isakmp.Variable(uint16(100), make([]byte, 40))
	}
	transforms := make([]isakmp.Transform, 255)
	for i := range transforms {
		transforms[i].Attributes = attrs
	}
	big := []isakmp.Payload{
		&isakmp.SA{Proposals: []isakmp.Proposal{{Transforms: transforms}, {Transforms: transforms}, {Transforms: transforms}}},
		&isakmp.Attributes{Attributes: make([]isakmp.ConfigAttribute, isakmp.MaxConfigAttributes)},
		&isakmp.Delete{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoESP, SPISize: 4, SPIs: make([]byte, 60000)},
		&isakmp.VendorID{ID: bytes.Repeat([]byte{'a'}, 60000)},
		&isakmp.VendorID{ID: bytes.Repeat([]byte{0}, 60000)},
		&isakmp.ID{Type: isakmp.IDDERASN1DN, Data: make([]byte, 60000)},
		&isakmp.CR{Authority: make([]byte, 60000)},
		&isakmp.NATD{Hash: make([]byte, 60000)},
		&isakmp.Unknown{Type: 99, Body: make([]byte, 60000)},
		&isakmp.Notify{Type: isakmp.NotifyNoProposalChosen, Data: bytes.Repeat([]byte{'a'}, 60000)},
		&isakmp.Attributes{Attributes: []isakmp.ConfigAttribute{{Type: isakmp.AttrSupportedAttributes, Data: make([]byte, 60000)}}},
		&isakmp.Attributes{Attributes: []isakmp.ConfigAttribute{{Type: isakmp.AttrUnitySplitInclude, Data: make([]byte, 14*4000)}}},
		&isakmp.Attributes{Attributes: []isakmp.ConfigAttribute{{Type: isakmp.AttrUnityBanner, Data: make([]byte, 60000)}}},
	}
	for _, p := range big {
		require.Less(t, len(p.String()), 64<<10, "%T", p)
	}
	var m isakmp.Message
	for range isakmp.MaxPayloads {
		m.Payloads = append(m.Payloads, big...)
	}
	require.Less(t, len(m.String()), 64<<10)
	require.Equal(t, "D(ESP 00000000"+string(bytes.Repeat([]byte(" 00000000"), 31))+" ... 14968 more)", big[2].String())
}

func TestTraceHeader(t *testing.T) {
	h := isakmp.Header{CookieI: 1, CookieR: 2, Version: 0x13, Exchange: 240, Flags: 7, MessageID: 0xdeadbeef}
	require.Equal(t, "0000000000000001:0000000000000002 ExchangeType(240) deadbeef encrypted commit authentication only version 1.3", h.String())
	h.NextPayload = isakmp.PayloadFragment
	require.False(t, h.Encrypted())
}

func TestTraceSA(t *testing.T) {
	sa := isakmp.SA{DOI: isakmp.DOIIPsec, Situation: isakmp.SituationIdentityOnly, Proposals: []isakmp.Proposal{
		{Num: 1, Protocol: spd.ProtoIPComp, SPI: unhex("1234"), Transforms: []isakmp.Transform{{Num: 1, ID: uint8(isakmp.IPCompDeflate)}}},
		{Num: 1, Protocol: spd.ProtoAH, SPI: unhex("00000001"), Transforms: []isakmp.Transform{{Num: 1, ID: uint8(isakmp.AHSHA), Attributes: []isakmp.Attribute{
			isakmp.Basic(isakmp.Phase2AuthAlgorithm, isakmp.AuthAlgorithmHMACSHA), isakmp.Basic(isakmp.Phase2EncapsulationMode, isakmp.EncapsulationUDPTransportDraft),
			isakmp.Basic(isakmp.Phase2ESN, uint16(1)), isakmp.Basic(isakmp.Phase2LifeType, isakmp.LifeKilobytes), isakmp.Variable(isakmp.Phase2LifeDuration, unhex("00465000")),
			isakmp.Basic(isakmp.Phase2LifeDuration, uint16(9)), isakmp.Variable(isakmp.Phase2Group, unhex("00112233445566778899")), isakmp.Basic(uint16(99), uint16(1)),
		}}}},
		{Num: 2, Protocol: spd.ProtoIKE, Transforms: []isakmp.Transform{{Num: 1, ID: isakmp.KeyIKE, Attributes: []isakmp.Attribute{
			isakmp.Basic(isakmp.Phase1EncryptionAlgorithm, isakmp.Encryption3DESCBC), isakmp.Basic(isakmp.Phase1HashAlgorithm, uint16(99)),
			isakmp.Basic(isakmp.Phase1AuthMethod, isakmp.AuthXAuthInitPreShared), isakmp.Variable(isakmp.Phase1GroupPrime, unhex("ff01")),
			isakmp.Basic(isakmp.Phase1GroupType, isakmp.GroupMODP), isakmp.Basic(isakmp.Phase1LifeType, uint16(7)),
		}}, {Num: 2, ID: 9}}},
		{Num: 3, Protocol: 200, Transforms: []isakmp.Transform{{Num: 1, ID: 1}}},
	}}
	require.Equal(t, "SA(#1 IPCOMP SPI 1234 T1 IPCOMP_DEFLATE; "+
		"#1 AH SPI 00000001 T1 AH_SHA(HMAC-SHA, UDP-Encapsulated-Transport (draft), Extended (64-bit) Sequence Number=1, "+
		"4608000 kilobytes, 9, Group-Description=00112233445566778899, Phase2Attribute(99)=1); "+
		"#2 ISAKMP T1 KEY_IKE(3DES-CBC, HashAlgorithm(99), XAUTHInitPreShared, Group-Prime=65281, MODP) T2 Transform(9); "+
		"#3 Protocol(200) T1 Transform(1))", sa.String())
}

func TestChainAccessors(t *testing.T) {
	b := datagram(raw{t: isakmp.PayloadVendorID, body: []byte("v")}, raw{t: isakmp.PayloadSA, body: []byte("s")}, raw{t: isakmp.PayloadSA, body: []byte("t")})
	c, err := isakmp.ParseChain(isakmp.PayloadVendorID, b[isakmp.HeaderLen:])
	require.NoError(t, err)
	require.Equal(t, &isakmp.RawPayload{Type: isakmp.PayloadSA, Next: isakmp.PayloadSA, Offset: 5, Body: []byte("s")}, c.First(isakmp.PayloadSA))
	require.Equal(t, []byte("s"), c.Body(isakmp.PayloadSA))
	require.Nil(t, c.Body(isakmp.PayloadKE))
	require.Nil(t, c.First(isakmp.PayloadKE))
	require.Equal(t, 15, c.Len())
	c, err = isakmp.ParsePaddedChain(isakmp.PayloadNone, make([]byte, 16))
	require.NoError(t, err)
	require.Zero(t, c.Len())
	// The chain of a parsed message has the offsets of the datagram, and the
	// octets that RFC 2409 hashes.
	whole := session(t, "psk-main")[0]
	m, err := isakmp.Parse(whole)
	require.NoError(t, err)
	require.Equal(t, isakmp.HeaderLen, m.Chain[0].Offset)
	require.Equal(t, len(whole), m.Chain.Len())
	require.Equal(t, m.SA().AppendBody(nil), m.Chain.Body(isakmp.PayloadSA))
}

func TestShortBodies(t *testing.T) {
	for ty, least := range map[isakmp.PayloadType]int{
		isakmp.PayloadCERT: 1, isakmp.PayloadCR: 1, isakmp.PayloadHASH: 1, isakmp.PayloadSIG: 1, isakmp.PayloadKE: 1,
		isakmp.PayloadNotify: 8, isakmp.PayloadDelete: 8, isakmp.PayloadAttributes: 4, isakmp.PayloadNonce: 8, isakmp.PayloadID: 4,
	} {
		for n := range least {
			require.Equal(t, ty, requireSyntax(t, datagram(raw{t: ty, body: make([]byte, n)})).Payload)
		}
		_, err := isakmp.Parse(datagram(raw{t: ty, body: make([]byte, least)}))
		require.NoError(t, err)
	}
	for n := range 8 {
		requireSyntax(t, datagram(raw{t: isakmp.PayloadSA, body: someSA[:n]}))
	}
	requireSyntax(t, datagram(raw{t: isakmp.PayloadNonce, body: make([]byte, 257)}))
}

// Offsets point into what the caller gave.
func TestErrorOffsets(t *testing.T) {
	b := datagram(raw{t: isakmp.PayloadVendorID, body: []byte("v")}, raw{t: isakmp.PayloadDelete, body: unhex("00000001 03 04 0002 00000001")})
	var pe *isakmp.ParseError
	_, err := isakmp.Parse(b)
	require.ErrorAs(t, err, &pe)
	require.Equal(t, 28+5+4+6, pe.Offset) // the count
	_, err = isakmp.ParsePayloads(isakmp.PayloadVendorID, b[28:])
	require.ErrorAs(t, err, &pe)
	require.Equal(t, 5+4+6, pe.Offset)
	require.Equal(t, "isakmp: D payload at octet 15: malformed payload: 2 SPIs of 4 octets in 4", err.Error())
	_, err = isakmp.Parse(b[:3])
	require.Equal(t, "isakmp: header at octet 3: shorter than an ISAKMP header: datagram of 3 octets", err.Error())
}
