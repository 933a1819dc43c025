package message_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/spd"
)

// A trace is a log line: whatever a datagram holds, it stays one, of bounded
// length.
func TestTraceIsBounded(t *testing.T) {
	transforms := make([]message.Transform, 255)
	for i := range transforms {
		for range 15 {
			transforms[i].Attributes = append(transforms[i].Attributes, message.Attribute{Type: 20, Short: true, Value: []byte{1, 2}})
		}
	}
	big := []message.Payload{
		&message.SA{Proposals: []message.Proposal{{Transforms: transforms}, {Transforms: transforms}, {Transforms: transforms}}},
		&message.TS{Selectors: make([]message.TrafficSelector, 255)},
		&message.CP{Attributes: make([]message.ConfigAttribute, message.MaxConfigAttributes)},
		&message.Delete{Protocol: spd.ProtoESP, SPISize: 4, SPIs: make([]byte, 60000)},
		&message.VendorID{ID: bytes.Repeat([]byte{'a'}, 60000)},
		&message.VendorID{ID: bytes.Repeat([]byte{0}, 60000)},
		&message.Unknown{Type: 99, Body: make([]byte, 60000)},
		&message.Notify{Type: message.NotifySignatureHashAlgorithms, Data: make([]byte, 60000)},
		&message.CP{Attributes: []message.ConfigAttribute{{Type: message.AttrSupportedAttributes, Value: make([]byte, 60000)}}},
		&message.CP{Attributes: []message.ConfigAttribute{{Type: message.AttrApplicationVersion, Value: make([]byte, 60000)}}},
	}
	for _, p := range big {
		require.Less(t, len(p.String()), 64<<10, "%T", p)
	}
	var m message.Message
	for range message.MaxPayloads {
		m.Payloads = append(m.Payloads, big...)
	}
	require.Less(t, len(m.String()), 64<<10)
	require.Equal(t, "D(ESP 00000000"+string(bytes.Repeat([]byte(" 00000000"), 31))+" ... 14968 more)", big[3].String())
}

func TestTraceHeader(t *testing.T) {
	h := message.Header{SPIi: 1, SPIr: 2, Version: 0x23, Exchange: 240, Flags: message.FlagResponse, MessageID: 4294967295}
	require.Equal(t, "0000000000000001:0000000000000002 ExchangeType(240) response 4294967295 from responder version 2.3", h.String())
}

func TestChainAccessors(t *testing.T) {
	b := datagram(raw{t: message.PayloadVendorID, body: []byte("v")}, raw{t: message.PayloadSK, crit: true, body: []byte("x")})
	b[33] = byte(message.PayloadIDi) // what is inside
	c, err := message.ParseChain(message.PayloadVendorID, b[message.HeaderLen:])
	require.NoError(t, err)
	require.Equal(t, &message.RawPayload{Type: message.PayloadVendorID, Next: message.PayloadSK, Body: []byte("v")}, c.First(message.PayloadVendorID))
	require.Equal(t, &message.RawPayload{Type: message.PayloadSK, Next: message.PayloadIDi, Critical: true, Offset: 5, Body: []byte("x")}, c.Encrypted())
	require.Nil(t, c.First(message.PayloadNonce))
	require.Nil(t, c[:1].Encrypted())
	require.Nil(t, message.Chain(nil).Encrypted())
	c, err = message.ParseChain(message.PayloadNone, nil)
	require.NoError(t, err)
	require.Empty(t, c)
}

func TestShortBodies(t *testing.T) {
	for ty, least := range map[message.PayloadType]int{
		message.PayloadCERT: 1, message.PayloadCERTREQ: 1, message.PayloadAUTH: 4, message.PayloadNotify: 4,
		message.PayloadDelete: 4, message.PayloadKE: 5, message.PayloadCP: 4,
	} {
		for n := range least {
			require.Equal(t, ty, requireSyntax(t, datagram(raw{t: ty, body: make([]byte, n)})).Payload)
		}
		_, err := message.Parse(datagram(raw{t: ty, body: make([]byte, least)}))
		require.NoError(t, err)
	}
}

func TestDeleteSPIs(t *testing.T) {
	d := message.Delete{Protocol: spd.ProtoESP, SPISize: 4, SPIs: unhex("0000000100000002")}
	var got []spd.SPI
	for s := range d.ESPSPIs() {
		got = append(got, s)
	}
	require.Equal(t, []spd.SPI{1, 2}, got)
	d.SPISize = 8
	for range d.ESPSPIs() {
		t.Fatal("an SPI of eight octets is none of ESP")
	}
}

func TestTransformAttributesAreBounded(t *testing.T) {
	attrs := func(n int) []byte { return bytes.Repeat(unhex("80110001"), n) }
	_, err := parseSA(t, proposal(1, true, transform(1, 12, attrs(16)...)))
	require.NoError(t, err)
	_, err = parseSA(t, proposal(1, true, transform(1, 12, attrs(17)...)))
	require.Error(t, err)
	_, err = parseSA(t, proposal(1, true, transform(1, 12, append(unhex("800e0080"), attrs(15)...)...)))
	require.NoError(t, err)
}

// Offsets point into what the caller gave.
func TestErrorOffsets(t *testing.T) {
	b := datagram(raw{t: message.PayloadVendorID, body: []byte("v")}, raw{t: message.PayloadDelete, body: unhex("03 04 0002 00000001")})
	var pe *message.ParseError
	_, err := message.Parse(b)
	require.ErrorAs(t, err, &pe)
	require.Equal(t, 28+5+4+2, pe.Offset) // the count
	_, err = message.ParsePayloads(message.PayloadVendorID, b[28:])
	require.ErrorAs(t, err, &pe)
	require.Equal(t, 5+4+2, pe.Offset)
	require.Equal(t, "message: D payload at octet 11: invalid syntax: 2 SPIs of 4 octets in 4", err.Error())
}
