package message_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/spd"
)

// The IKE_AUTH request that racoon2's iked sent, built from its payloads and
// encrypted with the key and IV of its log, is what was on the wire, but for
// the padding (iked's is random) and the ICV.
func TestBuilderMakesTheCapturedMessage(t *testing.T) {
	wire := racoon2(t)[2]
	_, ps, _, _ := opened(t, "ikev2-psk.b.decrypted.pcap", 3)
	h, err := message.ParseHeader(wire)
	require.NoError(t, err)
	block, err := aes.NewCipher(unhex("fff74e45b3596809ec8130820a639ba6"))
	require.NoError(t, err)

	b := message.NewBuilder(nil, message.Header{SPIi: h.SPIi, SPIr: h.SPIr, Exchange: h.Exchange, Flags: h.Flags, MessageID: h.MessageID})
	b.BeginSK(16)
	for _, p := range ps {
		b.Add(p)
	}
	s, err := b.Seal(16, 12)
	require.NoError(t, err)
	require.Len(t, s.Message, len(wire))
	copy(s.IV, unhex("08b7be252e57228a1bfbf0ac7515c306"))
	copy(s.Plaintext[len(s.Plaintext)-12:], unhex("0b0a09080706050403020 10b")) // iked's padding
	cipher.NewCBCEncrypter(block, s.IV).CryptBlocks(s.Plaintext, s.Plaintext)
	require.Equal(t, wire[:len(wire)-12], s.Authenticated())

	// And back.
	m, err := message.Parse(bytes.Clone(wire))
	require.NoError(t, err)
	in, err := message.OpenLayout(wire, m.SK().Body, 16, 12)
	require.NoError(t, err)
	require.Equal(t, s.IV, in.IV)
	require.Equal(t, s.AAD, in.AAD)
	cipher.NewCBCDecrypter(block, in.IV).CryptBlocks(in.Plaintext, in.Plaintext)
	inner, err := message.Unpad(in.Plaintext)
	require.NoError(t, err)
	again, err := message.ParsePayloads(m.SK().First, inner)
	require.NoError(t, err)
	require.Equal(t, ps.String(), again.String())
}

func TestBuilderSealsForAEAD(t *testing.T) {
	block, _ := aes.NewCipher(make([]byte, 16))
	aead, _ := cipher.NewGCM(block)
	nonce := make([]byte, 12)
	for _, fragment := range []bool{false, true} {
		b := message.NewBuilder([]byte("before"), message.Header{SPIi: 1, SPIr: 2, Exchange: message.ExchangeInformational})
		aadLen := message.HeaderLen + 4
		if fragment {
			chain := message.NewChainBuilder(nil)
			chain.Add(&message.Delete{Protocol: 1})
			inner, err := chain.Finish()
			require.NoError(t, err)
			b.BeginSKF(1, 2, chain.First(), 8)
			b.Append(inner...)
			aadLen += 4
		} else {
			b.BeginSK(8)
			b.Add(&message.Delete{Protocol: 1})
		}
		s, err := b.Seal(1, aead.Overhead())
		require.NoError(t, err)
		require.Len(t, s.AAD, aadLen)
		require.Len(t, s.IV, 8)
		require.Equal(t, unhex("00000008 01000000 00"), s.Plaintext) // Delete, pad length 0
		sealed := aead.Seal(s.Plaintext[:0], nonce, s.Plaintext, s.AAD)
		require.Same(t, &s.Plaintext[0], &sealed[0], "in place")
		require.Equal(t, s.ICV, sealed[len(s.Plaintext):])

		out, err := b.Finish()
		require.NoError(t, err)
		require.Equal(t, "before"+string(s.Message), string(out))
		m, err := message.Parse(s.Message)
		require.NoError(t, err)
		var body []byte
		if fragment {
			require.Equal(t, "SKF(1 of 2 33 octets)", m.Payloads.String())
			require.Equal(t, message.PayloadDelete, m.SKF().First)
			body = m.SKF().Body
		} else {
			require.Equal(t, message.PayloadDelete, m.SK().First)
			body = m.SK().Body
		}
		in, err := message.OpenLayout(s.Message, body, 8, 16)
		require.NoError(t, err)
		text, err := aead.Open(in.Plaintext[:0], nonce, in.Ciphertext(), in.AAD)
		require.NoError(t, err)
		inner, err := message.Unpad(text)
		require.NoError(t, err)
		ps, err := message.ParsePayloads(message.PayloadDelete, inner)
		require.NoError(t, err)
		require.Equal(t, "D(IKE)", ps.String())
	}
}

// Whatever the content's length, content, padding and pad length are whole
// blocks, with less than a block of padding.
func TestSealPadding(t *testing.T) {
	for _, block := range []int{1, 4, 8, 16, 256} {
		for n := range 40 {
			b := message.NewBuilder(nil, message.Header{})
			b.BeginSKF(2, 2, message.PayloadDelete, 8)
			b.Append(bytes.Repeat([]byte{0xaa}, n)...)
			s, err := b.Seal(block, 12)
			require.NoError(t, err)
			require.Zero(t, len(s.Plaintext)%block)
			inner, err := message.Unpad(s.Plaintext)
			require.NoError(t, err)
			require.Len(t, inner, n)
			require.Less(t, len(s.Plaintext)-n, block+1)
			m, err := message.Parse(s.Message)
			require.NoError(t, err)
			require.Equal(t, message.PayloadNone, m.SKF().First, "fragment 2 names no payload")
		}
	}
	for _, plaintext := range []string{"", "01", "ff", "0000000003" + "05"} {
		inner, err := message.Unpad(unhex(plaintext))
		if plaintext == "000000000305" {
			require.NoError(t, err)
			require.Empty(t, inner)
			continue
		}
		require.ErrorIs(t, err, message.ErrSyntax, plaintext)
	}
	_, err := message.Unpad(unhex("0000000006"))
	require.ErrorIs(t, err, message.ErrSyntax)
}

func TestBuilderEmptySK(t *testing.T) {
	b := message.NewBuilder(nil, message.Header{Exchange: message.ExchangeInformational})
	b.BeginSK(16)
	s, err := b.Seal(16, 12)
	require.NoError(t, err)
	m, err := message.Parse(s.Message)
	require.NoError(t, err)
	require.Equal(t, message.PayloadNone, m.SK().First)
	require.Equal(t, message.PayloadSK, b.First())
	inner, err := message.Unpad(s.Plaintext)
	require.NoError(t, err)
	ps, err := message.ParsePayloads(m.SK().First, inner)
	require.NoError(t, err)
	require.Empty(t, ps)
}

func TestBuilderBeginPayload(t *testing.T) {
	b := message.NewBuilder(nil, message.Header{SPIi: 0x0102030405060708, Exchange: message.ExchangeIKESAInit, Flags: message.FlagInitiator})
	b.BeginPayload(message.PayloadVendorID, true)
	b.Append([]byte("abc")...)
	b.EndPayload()
	b.Add(&message.Notify{Type: message.NotifyUseTransportMode})
	out, err := b.Finish()
	require.NoError(t, err)
	require.Equal(t, unhex("0102030405060708 0000000000000000 2b 20 22 08 00000000 0000002b 29800007 616263 00000008 00004007"), out)
	require.Equal(t, len(out), b.Len())
}

func TestBuilderRefuses(t *testing.T) {
	long := make([]byte, 70000)
	for name, f := range map[string]func(b *message.Builder){
		"nil payload":             func(b *message.Builder) { b.Add(nil) },
		"payload type 0":          func(b *message.Builder) { b.Add(&message.Unknown{}) },
		"payload of 70000 octets": func(b *message.Builder) { b.Add(&message.VendorID{ID: long}) },
		"no proposals":            func(b *message.Builder) { b.Add(&message.SA{}) },
		"SPI of 256 octets":       func(b *message.Builder) { b.Add(&message.SA{Proposals: []message.Proposal{{SPI: long[:256]}}}) },
		"256 transforms": func(b *message.Builder) {
			b.Add(&message.SA{Proposals: []message.Proposal{{Transforms: make([]message.Transform, 256)}}})
		},
		"256 proposals":            func(b *message.Builder) { b.Add(&message.SA{Proposals: make([]message.Proposal, 256)}) },
		"long transform attribute": func(b *message.Builder) { b.Add(sa(message.Attribute{Type: 1, Value: long})) },
		"short attribute of 3":     func(b *message.Builder) { b.Add(sa(message.Attribute{Type: 1, Short: true, Value: long[:3]})) },
		"attribute type 0x8000":    func(b *message.Builder) { b.Add(sa(message.Attribute{Type: 0x8000})) },
		"empty KE":                 func(b *message.Builder) { b.Add(&message.KE{Group: 14}) },
		"short nonce":              func(b *message.Builder) { b.Add(&message.Nonce{Data: long[:15]}) },
		"IPv4 identity of 5":       func(b *message.Builder) { b.Add(&message.ID{Type: message.IDIPv4Addr, Data: long[:5]}) },
		"notify SPI of 256":        func(b *message.Builder) { b.Add(&message.Notify{SPI: long[:256]}) },
		"delete of odd SPIs":       func(b *message.Builder) { b.Add(&message.Delete{SPISize: 4, SPIs: long[:5]}) },
		"no selectors":             func(b *message.Builder) { b.Add(&message.TS{}) },
		"256 selectors":            func(b *message.Builder) { b.Add(&message.TS{Selectors: make([]message.TrafficSelector, 256)}) },
		"selector without address": func(b *message.Builder) {
			b.Add(&message.TS{Selectors: []message.TrafficSelector{{Type: message.TSIPv4AddrRange}}})
		},
		"selector of two families": func(b *message.Builder) {
			b.Add(&message.TS{Selectors: []message.TrafficSelector{{Type: message.TSIPv6AddrRange, TrafficSelector: spd.TrafficSelector{First: addr("fd00::"), Last: addr("10.0.0.1")}}}})
		},
		"BeginSK in a chain's payload": func(b *message.Builder) {
			b.BeginPayload(message.PayloadCERT, false)
			b.BeginSK(8)
		},
		"BeginSK after SK": func(b *message.Builder) {
			b.Add(&message.SK{})
			b.BeginSK(8)
		},
		"payload after a chain": func(b *message.Builder) {
			b.AddChain(message.PayloadNonce, []byte{0, 0, 0, 4})
			b.Add(&message.VendorID{})
		},
		"SK after a chain": func(b *message.Builder) {
			b.AddChain(message.PayloadNonce, []byte{0, 0, 0, 4})
			b.BeginSK(8)
			b.Seal(1, 16)
		},
		"two chains": func(b *message.Builder) {
			b.AddChain(message.PayloadNonce, []byte{0, 0, 0, 4})
			b.AddChain(message.PayloadNonce, []byte{0, 0, 0, 4})
		},
		"chain in a payload": func(b *message.Builder) {
			b.BeginPayload(message.PayloadCERT, false)
			b.AddChain(message.PayloadNonce, []byte{0, 0, 0, 4})
		},
		"long config value": func(b *message.Builder) {
			b.Add(&message.CP{Attributes: []message.ConfigAttribute{{Type: 1, Value: long}}})
		},
		"config type 0x8000": func(b *message.Builder) { b.Add(&message.CP{Attributes: []message.ConfigAttribute{{Type: 0x8000}}}) },
		"EAP length":         func(b *message.Builder) { b.Add(&message.EAP{Message: []byte{1, 1, 0, 9, 1}}) },
		"fragment 0":         func(b *message.Builder) { b.Add(&message.SKF{Number: 0, Total: 1}) },
		"begin fragment 3 of 2": func(b *message.Builder) {
			b.BeginSKF(3, 2, 0, 8)
			b.Seal(1, 16)
		},
		"payload in payload": func(b *message.Builder) {
			b.BeginPayload(message.PayloadCERT, false)
			b.Add(&message.VendorID{})
		},
		"not ended":    func(b *message.Builder) { b.BeginPayload(message.PayloadCERT, false) },
		"not begun":    func(b *message.Builder) { b.EndPayload() },
		"not sealed":   func(b *message.Builder) { b.BeginSK(8) },
		"seal without": func(b *message.Builder) { b.Seal(1, 16) },
		"seal twice": func(b *message.Builder) {
			b.BeginSK(8)
			b.Seal(1, 16)
			b.Seal(1, 16)
		},
		"block 0": func(b *message.Builder) {
			b.BeginSK(8)
			b.Seal(0, 16)
		},
		"negative IV": func(b *message.Builder) {
			b.BeginSK(-1)
			b.Seal(1, 16)
		},
		"negative ICV": func(b *message.Builder) {
			b.BeginSK(8)
			b.Seal(1, -16)
		},
		"SK in SK": func(b *message.Builder) {
			b.BeginSK(8)
			b.BeginSK(8)
		},
		"after SK": func(b *message.Builder) {
			b.BeginSK(8)
			b.Seal(1, 16)
			b.Add(&message.VendorID{})
		},
		"after a ready SK": func(b *message.Builder) {
			b.Add(&message.SK{})
			b.Add(&message.VendorID{})
		},
		"SK too long": func(b *message.Builder) {
			b.BeginSK(8)
			b.Add(&message.VendorID{ID: long[:40000]})
			b.Add(&message.VendorID{ID: long[:40000]})
			b.Seal(1, 16)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dst := []byte("kept")
			b := message.NewBuilder(dst, message.Header{})
			f(&b)
			b.Add(&message.Notify{})
			out, err := b.Finish()
			require.ErrorIs(t, err, message.ErrEncode)
			require.Equal(t, "kept", string(out))
		})
	}
	m := message.Message{Payloads: message.Payloads{&message.KE{}}}
	out, err := m.AppendBinary([]byte("kept"))
	require.ErrorIs(t, err, message.ErrEncode)
	require.Equal(t, "kept", string(out))
}

func sa(a message.Attribute) *message.SA {
	return &message.SA{Proposals: []message.Proposal{{Transforms: []message.Transform{{Attributes: []message.Attribute{a}}}}}}
}

// The largest that the wire's length octets can say.
func TestBuilderLimits(t *testing.T) {
	long := make([]byte, 70000)
	selector := message.NewTrafficSelector(spd.TrafficSelector{First: addr("10.0.0.1"), Last: addr("10.0.0.1"), Ports: spd.AnyPort})
	ts := &message.TS{}
	for range 255 {
		ts.Selectors = append(ts.Selectors, selector)
	}
	for _, p := range []message.Payload{
		&message.SA{Proposals: []message.Proposal{{SPI: long[:255], Transforms: make([]message.Transform, 255)}}},
		&message.Notify{SPI: long[:255]},
		&message.Delete{SPISize: 1, SPIs: long[:65000]},
		&message.VendorID{ID: long[:65531]},
		&message.Unknown{Type: 200, Body: long[:65531]},
		ts,
	} {
		b := message.NewBuilder([]byte("before"), message.Header{})
		b.Add(p)
		n := b.Len()
		out, err := b.Finish()
		require.NoError(t, err)
		require.Len(t, out, 6+n)
		m, err := message.Parse(out[6:])
		require.NoError(t, err)
		require.Equal(t, p.String(), m.Payloads[0].String())
	}
	b := message.NewBuilder(nil, message.Header{})
	b.Add(&message.VendorID{ID: long[:65532]})
	_, err := b.Finish()
	require.ErrorIs(t, err, message.ErrEncode)
	c := message.NewChainBuilder(nil)
	c.BeginSK(8)
	_, err = c.Finish()
	require.ErrorIs(t, err, message.ErrEncode)
}

// What the builder leaves for others to fill is zero, whatever the buffer held.
func TestBuilderIgnoresOldContent(t *testing.T) {
	dirty := bytes.Repeat([]byte{0xff}, 500)
	build := func(dst []byte) []byte {
		b := message.NewBuilder(dst, message.Header{})
		b.Add(&message.TS{Selectors: []message.TrafficSelector{{Type: 200}}})
		b.BeginSKF(1, 1, message.PayloadDelete, 8)
		b.Append(1, 2, 3)
		s, err := b.Seal(16, 16)
		require.NoError(t, err)
		return s.Message
	}
	require.Equal(t, build(nil), build(dirty[:0]))
	require.Equal(t, make([]byte, 8), build(dirty[:0])[message.HeaderLen+12+8:][:8])
}

// A chain that was written before gives the same message as its payloads.
func TestAddChain(t *testing.T) {
	payloads := []message.Payload{&message.Nonce{Data: make([]byte, 32)}, &message.VendorID{ID: []byte("v")}}
	inner := message.NewChainBuilder(nil)
	one, two := message.NewBuilder(nil, message.Header{}), message.NewBuilder(nil, message.Header{})
	one.BeginSK(8)
	two.BeginSK(8)
	two.AddChain(message.PayloadNone, nil)
	for _, p := range payloads {
		inner.Add(p)
		one.Add(p)
	}
	chain, err := inner.Finish()
	require.NoError(t, err)
	two.AddChain(inner.First(), chain)
	want, err := one.Seal(16, 16)
	require.NoError(t, err)
	got, err := two.Seal(16, 16)
	require.NoError(t, err)
	require.Equal(t, want, got)
}
