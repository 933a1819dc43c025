package message_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/spd"
)

// saInit returns an IKE_SA_INIT request as a current peer sends it: two
// proposals, X25519, NAT detection, fragmentation, hash algorithms, vendor IDs.
func saInit() *message.Message {
	proposal := func(num uint8, ts ...spd.Transform) message.Proposal {
		p := message.Proposal{Num: num, Protocol: spd.ProtoIKE}
		for _, t := range ts {
			p.Transforms = append(p.Transforms, message.Transform{Transform: t})
		}
		return p
	}
	kes := []spd.Transform{{Type: spd.TransformKE, ID: spd.KECurve25519}, {Type: spd.TransformKE, ID: spd.KEECP256}, {Type: spd.TransformKE, ID: spd.KEMODP2048}}
	return &message.Message{
		Header: message.Header{SPIi: 0x1122334455667788, Exchange: message.ExchangeIKESAInit, Flags: message.FlagInitiator},
		Payloads: message.Payloads{
			&message.SA{Proposals: []message.Proposal{
				proposal(1, append([]spd.Transform{
					{Type: spd.TransformENCR, ID: spd.EncrAESGCM16, KeyLen: 256}, {Type: spd.TransformENCR, ID: spd.EncrAESGCM16, KeyLen: 128},
					{Type: spd.TransformPRF, ID: spd.PRFHMACSHA256}, {Type: spd.TransformPRF, ID: spd.PRFHMACSHA384}}, kes...)...),
				proposal(2, append([]spd.Transform{
					{Type: spd.TransformENCR, ID: spd.EncrAESCBC, KeyLen: 256}, {Type: spd.TransformENCR, ID: spd.EncrAESCBC, KeyLen: 128},
					{Type: spd.TransformINTEG, ID: spd.IntegHMACSHA256_128},
					{Type: spd.TransformPRF, ID: spd.PRFHMACSHA256}}, kes...)...),
			}},
			&message.KE{Group: spd.KECurve25519, Data: make([]byte, 32)},
			&message.Nonce{Data: make([]byte, 32)},
			&message.Notify{Type: message.NotifyNATDetectionSourceIP, Data: make([]byte, 20)},
			&message.Notify{Type: message.NotifyNATDetectionDestinationIP, Data: make([]byte, 20)},
			&message.Notify{Type: message.NotifyIKEv2FragmentationSupported},
			&message.Notify{Type: message.NotifySignatureHashAlgorithms, Data: unhex("0002 0003 0004 0005")},
			&message.Notify{Type: message.NotifyRedirectSupported},
			&message.VendorID{ID: make([]byte, 16)},
			&message.VendorID{ID: make([]byte, 20)},
		},
	}
}

// auth returns what is inside the SK payload of an IKE_AUTH request with a
// certificate, about 1575 octets.
func auth() message.Payloads {
	ts := &message.TrafficSelector{Type: message.TSIPv4AddrRange, TrafficSelector: spd.TrafficSelector{First: addr("0.0.0.0"), Last: addr("255.255.255.255"), Ports: spd.AnyPort}}
	ts6 := message.NewTrafficSelector(spd.TrafficSelector{First: addr("::"), Last: addr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), Ports: spd.AnyPort})
	esp := message.Proposal{Num: 1, Protocol: spd.ProtoESP, SPI: unhex("c0ffee01")}
	for _, t := range []spd.Transform{{Type: spd.TransformENCR, ID: spd.EncrAESGCM16, KeyLen: 256}, {Type: spd.TransformENCR, ID: spd.EncrAESGCM16, KeyLen: 128}, {Type: spd.TransformESN, ID: spd.ESNNone}} {
		esp.Transforms = append(esp.Transforms, message.Transform{Transform: t})
	}
	return message.Payloads{
		&message.ID{Type: message.IDFQDN, Data: []byte("client.example.org")},
		&message.CERT{Encoding: message.CertX509Signature, Data: make([]byte, 900)},
		&message.CERTREQ{Encoding: message.CertX509Signature, Authority: make([]byte, 40)},
		&message.ID{Responder: true, Type: message.IDFQDN, Data: []byte("gateway.example.org")},
		&message.AUTH{Method: message.AuthDigitalSignature, Data: make([]byte, 272)},
		&message.CP{Type: message.ConfigRequest, Attributes: []message.ConfigAttribute{{Type: message.AttrInternalIP4Address}, {Type: message.AttrInternalIP4DNS}, {Type: message.AttrInternalIP6Address}}},
		&message.SA{Proposals: []message.Proposal{esp}},
		&message.TS{Selectors: []message.TrafficSelector{*ts, ts6}},
		&message.TS{Responder: true, Selectors: []message.TrafficSelector{*ts, ts6}},
		&message.Notify{Type: message.NotifyMOBIKESupported},
		&message.Notify{Type: message.NotifyInitialContact},
	}
}

func encoded(t testing.TB, m *message.Message) []byte {
	b, err := m.AppendBinary(nil)
	require.NoError(t, err)
	return b
}

func TestAllocations(t *testing.T) {
	m := saInit()
	b := encoded(t, m)
	allocs := func(f func()) float64 { return testing.AllocsPerRun(100, f) }

	require.Zero(t, allocs(func() { message.ParseHeader(b) }), "header")
	require.LessOrEqual(t, allocs(func() { message.ParseChain(message.PayloadSA, b[message.HeaderLen:]) }), 1.0, "chain")
	chain := make(message.Chain, 0, 16)
	require.Zero(t, allocs(func() {
		h, _ := message.ParseHeader(b)
		chain, _ = message.AppendChain(chain[:0], h.NextPayload, b[message.HeaderLen:])
	}), "chain into a slice")
	require.Len(t, chain, 10)
	require.LessOrEqual(t, allocs(func() { message.Parse(b) }), 8.0, "IKE_SA_INIT")

	buf := make([]byte, 0, 2048)
	require.Zero(t, allocs(func() { m.AppendBinary(buf) }), "encode IKE_SA_INIT")
	inner := auth()
	cb := message.NewChainBuilder(nil)
	for _, p := range inner {
		cb.Add(p)
	}
	c, err := cb.Finish()
	require.NoError(t, err)
	require.LessOrEqual(t, allocs(func() { message.ParsePayloads(cb.First(), c) }), 12.0, "IKE_AUTH")

	// A whole encrypted message, its payloads on the stack.
	ts := inner[7].(*message.TS).Selectors
	require.Zero(t, allocs(func() {
		b := message.NewBuilder(buf, message.Header{SPIi: 1, SPIr: 2, Exchange: message.ExchangeIKEAuth, MessageID: 1})
		b.BeginSK(8)
		b.Add(&message.ID{Type: message.IDFQDN, Data: c[:10]})
		b.Add(&message.AUTH{Method: message.AuthSharedKey, Data: c[:32]})
		b.Add(&message.Notify{Type: message.NotifyInitialContact})
		b.Add(&message.TS{Selectors: ts})
		b.Add(&message.TS{Responder: true, Selectors: ts})
		b.BeginPayload(message.PayloadVendorID, false)
		b.Append(c[:16]...)
		b.EndPayload()
		if s, err := b.Seal(1, 16); err != nil || len(s.ICV) != 16 {
			panic("not sealed")
		}
	}), "encode IKE_AUTH")
	require.Zero(t, allocs(func() { message.OpenLayout(b, b[40:], 8, 16) }))
	parsed, _ := message.Parse(b)
	require.Zero(t, allocs(func() {
		if parsed.SA() == nil || parsed.KE() == nil || !parsed.HasNotify(message.NotifyRedirectSupported) || parsed.ErrorNotify() != nil {
			panic("not found")
		}
	}), "getters")
}

func BenchmarkChain(b *testing.B) {
	m := encoded(b, saInit())
	b.ReportAllocs()
	b.SetBytes(int64(len(m)))
	for b.Loop() {
		h, err := message.ParseHeader(m)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := message.ParseChain(h.NextPayload, m[message.HeaderLen:]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	b.Run("IKE_SA_INIT", func(b *testing.B) {
		m := encoded(b, saInit())
		b.ReportAllocs()
		b.SetBytes(int64(len(m)))
		for b.Loop() {
			if _, err := message.Parse(m); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("IKE_AUTH", func(b *testing.B) {
		cb := message.NewChainBuilder(nil)
		for _, p := range auth() {
			cb.Add(p)
		}
		c, err := cb.Finish()
		require.NoError(b, err)
		b.ReportAllocs()
		b.SetBytes(int64(len(c)))
		for b.Loop() {
			if _, err := message.ParsePayloads(cb.First(), c); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	for name, m := range map[string]*message.Message{"IKE_SA_INIT": saInit(), "IKE_AUTH": {Payloads: auth()}} {
		b.Run(name, func(b *testing.B) {
			buf := encoded(b, m)
			b.ReportAllocs()
			b.SetBytes(int64(len(buf)))
			for b.Loop() {
				if _, err := m.AppendBinary(buf[:0]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCopy(b *testing.B) { // the floor of Append: the octets alone
	m := encoded(b, saInit())
	buf := make([]byte, len(m))
	b.ReportAllocs()
	b.SetBytes(int64(len(m)))
	for b.Loop() {
		copy(buf, m)
	}
}
