package isakmp_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/spd"
)

// A message of Quick Mode is laid out, hashed and encrypted where it stands,
// and comes back.
func TestBuilderSealsAndHashes(t *testing.T) {
	h := isakmp.Header{CookieI: 1, CookieR: 2, Exchange: isakmp.ExchangeInformational, MessageID: 0x01020304, Flags: isakmp.FlagCommit}
	b := isakmp.NewBuilder([]byte("before"), h)
	b.ReserveHash(20)
	b.Add(&isakmp.Delete{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoESP, SPISize: 4, SPIs: unhex("c0ffee01")})
	hash, covered := b.Hashed()
	require.Equal(t, make([]byte, 20), hash)
	require.Equal(t, unhex("00000010 00000001 03 04 0001 c0ffee01"), covered)
	copy(hash, bytes.Repeat([]byte{0xaa}, 20))
	s, err := b.Seal(16)
	require.NoError(t, err)
	require.Len(t, s.Message, 28+48)
	require.Equal(t, s.Message[28:], s.Plaintext)
	require.Equal(t, make([]byte, 8), s.Plaintext[40:], "padding")
	out, err := b.Finish()
	require.NoError(t, err)
	require.Equal(t, "before"+string(s.Message), string(out))

	block, err := aes.NewCipher(make([]byte, 16))
	require.NoError(t, err)
	cipher.NewCBCEncrypter(block, make([]byte, 16)).CryptBlocks(s.Plaintext, s.Plaintext)
	m, err := isakmp.Parse(s.Message)
	require.NoError(t, err)
	require.True(t, m.Header.Encrypted())
	require.Equal(t, isakmp.FlagCommit|isakmp.FlagEncryption, m.Header.Flags)
	require.Equal(t, isakmp.PayloadHASH, m.Header.NextPayload)
	cipher.NewCBCDecrypter(block, make([]byte, 16)).CryptBlocks(m.Ciphertext, m.Ciphertext)
	c, err := isakmp.ParsePaddedChain(m.Header.NextPayload, m.Ciphertext)
	require.NoError(t, err)
	got, again, err := c.Hashed(m.Ciphertext)
	require.NoError(t, err)
	require.Equal(t, bytes.Repeat([]byte{0xaa}, 20), got)
	require.Equal(t, unhex("00000010 00000001 03 04 0001 c0ffee01"), again)
}

func TestSealPadding(t *testing.T) {
	for _, block := range []int{1, 8, 16, 256} {
		for n := range 40 {
			b := isakmp.NewBuilder(nil, isakmp.Header{})
			b.Add(&isakmp.VendorID{ID: bytes.Repeat([]byte{0xaa}, n)})
			s, err := b.Seal(block)
			require.NoError(t, err)
			require.Zero(t, len(s.Plaintext)%block)
			require.Less(t, len(s.Plaintext)-n-4, block, "less than a block")
			c, err := isakmp.ParsePaddedChain(isakmp.PayloadVendorID, s.Plaintext)
			require.NoError(t, err)
			require.Equal(t, n+4, c.Len())
			h, err := isakmp.ParseHeader(s.Message)
			require.NoError(t, err)
			require.Equal(t, uint32(28+len(s.Plaintext)), h.Length)
		}
	}
}

func TestBuilderBeginPayload(t *testing.T) {
	b := isakmp.NewBuilder(nil, isakmp.Header{CookieI: 0x0102030405060708, Exchange: isakmp.ExchangeAggressive, Flags: isakmp.FlagAuthOnly})
	b.BeginPayload(isakmp.PayloadVendorID)
	b.Append([]byte("abc")...)
	b.EndPayload()
	b.Add(&isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoIKE, Type: isakmp.NotifyInitialContact})
	out, err := b.Finish()
	require.NoError(t, err)
	require.Equal(t, unhex("0102030405060708 0000000000000000 0d 10 04 04 00000000 0000002f 0b000007 616263 0000000c 00000001 01 00 6002"), out)
	require.Equal(t, len(out), b.Len())
	require.Equal(t, isakmp.PayloadVendorID, b.First())
}

func TestBuilderRefuses(t *testing.T) {
	long := make([]byte, 70000)
	transforms := func(n int) []isakmp.Proposal {
		return []isakmp.Proposal{{Transforms: make([]isakmp.Transform, n)}}
	}
	attribute := func(a ...isakmp.Attribute) *isakmp.SA {
		return &isakmp.SA{Proposals: []isakmp.Proposal{{Transforms: []isakmp.Transform{{Attributes: a}}}}}
	}
	config := func(a ...isakmp.ConfigAttribute) *isakmp.Attributes { return &isakmp.Attributes{Attributes: a} }
	for name, f := range map[string]func(b *isakmp.Builder){
		"nil payload":             func(b *isakmp.Builder) { b.Add(nil) },
		"payload type 0":          func(b *isakmp.Builder) { b.Add(&isakmp.Unknown{}) },
		"payload of 70000 octets": func(b *isakmp.Builder) { b.Add(&isakmp.VendorID{ID: long}) },
		"no proposals":            func(b *isakmp.Builder) { b.Add(&isakmp.SA{}) },
		"256 proposals":           func(b *isakmp.Builder) { b.Add(&isakmp.SA{Proposals: make([]isakmp.Proposal, 256)}) },
		"256 transforms":          func(b *isakmp.Builder) { b.Add(&isakmp.SA{Proposals: transforms(256)}) },
		"SPI of 256 octets":       func(b *isakmp.Builder) { b.Add(&isakmp.SA{Proposals: []isakmp.Proposal{{SPI: long[:256]}}}) },
		"33 attributes":           func(b *isakmp.Builder) { b.Add(attribute(make([]isakmp.Attribute, 33)...)) },
		"long attribute":          func(b *isakmp.Builder) { b.Add(attribute(isakmp.Variable(uint16(1), long))) },
		"two long attributes": func(b *isakmp.Builder) {
			b.Add(attribute(isakmp.Variable(uint16(1), long[:40000]), isakmp.Variable(uint16(1), long[:40000])))
		},
		"attribute type 0x8000": func(b *isakmp.Builder) { b.Add(attribute(isakmp.Variable(uint16(0x8000), nil))) },
		"basic with octets":     func(b *isakmp.Builder) { b.Add(attribute(isakmp.Attribute{Basic: true, Data: long[:2]})) },
		"variable with a value": func(b *isakmp.Builder) { b.Add(attribute(isakmp.Attribute{Value: 1})) },
		"labels without a bit": func(b *isakmp.Builder) {
			b.Add(&isakmp.SA{Situation: 1, Labels: new(isakmp.Labels), Proposals: transforms(1)})
		},
		"bit without labels": func(b *isakmp.Builder) { b.Add(&isakmp.SA{Situation: 3, Proposals: transforms(1)}) },
		"category bits": func(b *isakmp.Builder) {
			b.Add(&isakmp.SA{Situation: 3, Labels: &isakmp.Labels{Secrecy: isakmp.Label{CategoryBits: 1}}, Proposals: transforms(1)})
		},
		"empty KE":                 func(b *isakmp.Builder) { b.Add(&isakmp.KE{}) },
		"empty HASH":               func(b *isakmp.Builder) { b.Add(&isakmp.HASH{}) },
		"empty SIG":                func(b *isakmp.Builder) { b.Add(&isakmp.SIG{}) },
		"short nonce":              func(b *isakmp.Builder) { b.Add(&isakmp.Nonce{Data: long[:7]}) },
		"long nonce":               func(b *isakmp.Builder) { b.Add(&isakmp.Nonce{Data: long[:257]}) },
		"IPv4 identity of 5":       func(b *isakmp.Builder) { b.Add(&isakmp.ID{Type: isakmp.IDIPv4Addr, Data: long[:5]}) },
		"notify SPI of 256":        func(b *isakmp.Builder) { b.Add(&isakmp.Notify{SPI: long[:256]}) },
		"delete of odd SPIs":       func(b *isakmp.Builder) { b.Add(&isakmp.Delete{SPISize: 4, SPIs: long[:5]}) },
		"delete of size 0":         func(b *isakmp.Builder) { b.Add(&isakmp.Delete{SPIs: long[:4]}) },
		"no original address":      func(b *isakmp.Builder) { b.Add(&isakmp.NATOA{}) },
		"fragment 0":               func(b *isakmp.Builder) { b.Add(&isakmp.Fragment{Data: long[:1]}) },
		"empty fragment":           func(b *isakmp.Builder) { b.Add(&isakmp.Fragment{Index: 1}) },
		"long config value":        func(b *isakmp.Builder) { b.Add(config(isakmp.ConfigAttribute{Data: long})) },
		"config type 0x8000":       func(b *isakmp.Builder) { b.Add(config(isakmp.ConfigAttribute{Type: 0x8000})) },
		"1025 config attributes":   func(b *isakmp.Builder) { b.Add(config(make([]isakmp.ConfigAttribute, 1025)...)) },
		"octets without a payload": func(b *isakmp.Builder) { b.Append(1) },
		"payload in payload": func(b *isakmp.Builder) {
			b.BeginPayload(isakmp.PayloadCERT)
			b.Add(&isakmp.VendorID{})
		},
		"not ended":       func(b *isakmp.Builder) { b.BeginPayload(isakmp.PayloadCERT) },
		"not begun":       func(b *isakmp.Builder) { b.EndPayload() },
		"no hash":         func(b *isakmp.Builder) { b.Hashed() },
		"hash of nothing": func(b *isakmp.Builder) { b.ReserveHash(0) },
		"hash twice": func(b *isakmp.Builder) {
			b.ReserveHash(20)
			b.ReserveHash(20)
		},
		"hash after the seal": func(b *isakmp.Builder) {
			b.ReserveHash(20)
			b.Seal(8)
			b.Hashed()
		},
		"seal twice": func(b *isakmp.Builder) {
			b.Seal(8)
			b.Seal(8)
		},
		"block 0":   func(b *isakmp.Builder) { b.Seal(0) },
		"block 257": func(b *isakmp.Builder) { b.Seal(257) },
		"after the padding": func(b *isakmp.Builder) {
			b.Seal(8)
			b.Add(&isakmp.VendorID{})
		},
		"seal in a payload": func(b *isakmp.Builder) {
			b.BeginPayload(isakmp.PayloadCERT)
			b.Seal(8)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := isakmp.NewBuilder([]byte("kept"), isakmp.Header{})
			f(&b)
			b.Add(&isakmp.Notify{})
			out, err := b.Finish()
			require.ErrorIs(t, err, isakmp.ErrEncode)
			require.Equal(t, "kept", string(out))
		})
	}
	m := isakmp.Message{Payloads: isakmp.Payloads{&isakmp.KE{}}}
	out, err := m.AppendBinary([]byte("kept"))
	require.ErrorIs(t, err, isakmp.ErrEncode)
	require.Equal(t, "kept", string(out))
	c := isakmp.NewChainBuilder(nil)
	_, err = c.Seal(8)
	require.ErrorIs(t, err, isakmp.ErrEncode)
}

// The largest that the wire's length octets can say.
func TestBuilderLimits(t *testing.T) {
	long := make([]byte, 70000)
	for _, p := range []isakmp.Payload{
		&isakmp.SA{DOI: isakmp.DOIIPsec, Situation: 1, Proposals: []isakmp.Proposal{{SPI: long[:255], Transforms: make([]isakmp.Transform, 255)}}},
		&isakmp.SA{DOI: isakmp.DOIIPsec, Situation: 1, Proposals: []isakmp.Proposal{{Transforms: []isakmp.Transform{{Attributes: []isakmp.Attribute{isakmp.Variable(uint16(0x7fff), long[:65000])}}}}}},
		&isakmp.Notify{SPI: long[:255]},
		&isakmp.Delete{SPISize: 1, SPIs: long[:65000]},
		&isakmp.Nonce{Data: long[:8]},
		&isakmp.Nonce{Data: long[:256]},
		&isakmp.VendorID{ID: long[:65531]},
		&isakmp.Unknown{Type: 200, Body: long[:65531]},
		&isakmp.Fragment{ID: 65535, Index: 255, Flags: 255, Data: long[:65000]},
		&isakmp.NATD{Type: isakmp.PayloadNATDDraft, Hash: long[:64]},
		&isakmp.NATOA{Type: isakmp.PayloadNATOADraft, Addr: addr("::ffff:10.0.0.1")},
		&isakmp.Attributes{Attributes: make([]isakmp.ConfigAttribute, isakmp.MaxConfigAttributes)},
	} {
		b := isakmp.NewBuilder([]byte("before"), isakmp.Header{})
		b.Add(p)
		n := b.Len()
		out, err := b.Finish()
		require.NoError(t, err)
		require.Len(t, out, 6+n)
		m, err := isakmp.Parse(out[6:])
		require.NoError(t, err, "%T", p)
		require.Equal(t, p.String(), m.Payloads[0].String())
		requireSame(t, m, out[6:])
	}
	b := isakmp.NewBuilder(nil, isakmp.Header{})
	b.Add(&isakmp.VendorID{ID: long[:65532]})
	_, err := b.Finish()
	require.ErrorIs(t, err, isakmp.ErrEncode)
}

// What the builder leaves for others to fill is zero, whatever the buffer held.
func TestBuilderIgnoresOldContent(t *testing.T) {
	dirty := bytes.Repeat([]byte{0xff}, 500)
	build := func(dst []byte) []byte {
		b := isakmp.NewBuilder(dst, isakmp.Header{})
		b.ReserveHash(20)
		b.Add(&isakmp.SA{DOI: 1, Situation: 3, Labels: &isakmp.Labels{Secrecy: isakmp.Label{Level: []byte{1}}}, Proposals: []isakmp.Proposal{{Transforms: []isakmp.Transform{{}}}}})
		s, err := b.Seal(16)
		require.NoError(t, err)
		return s.Message
	}
	require.Equal(t, build(nil), build(dirty[:0]))
}

// The number of a NAT payload is the caller's choice, on the way out and in.
func TestNATPayloadNumbers(t *testing.T) {
	hash := bytes.Repeat([]byte{0x5a}, 16)
	for _, n := range []struct{ d, oa isakmp.PayloadType }{
		{0, 0}, {isakmp.PayloadNATD, isakmp.PayloadNATOA},
		{isakmp.PayloadNATDDraft, isakmp.PayloadNATOADraft}, {isakmp.PayloadNATDDraft04, isakmp.PayloadNATOADraft04},
	} {
		b := isakmp.NewBuilder(nil, isakmp.Header{})
		b.Add(&isakmp.NATD{Type: n.d, Hash: hash})
		b.Add(&isakmp.NATOA{Type: n.oa, Addr: addr("10.0.0.1")})
		out, err := b.Finish()
		require.NoError(t, err)
		d, oa := pick(n.d == 0, isakmp.PayloadNATD, n.d), pick(n.oa == 0, isakmp.PayloadNATOA, n.oa)
		require.Equal(t, byte(d), out[16])
		require.Equal(t, byte(oa), out[28])
		m, err := isakmp.Parse(out)
		require.NoError(t, err)
		requireSame(t, m, out)
		for h := range m.NATDs(d) {
			require.Equal(t, hash, h)
		}
		got, count, err := m.NATOAs(oa)
		require.NoError(t, err)
		require.Equal(t, 1, count)
		require.Equal(t, addr("10.0.0.1"), got[0].Addr)
	}
}

// A fragment is in clear, although its header says encrypted: it is a copy of
// the header of the message that was cut.
func TestFragmentOfAnEncryptedMessage(t *testing.T) {
	whole := session(t, "psk-main")[4]
	h, err := isakmp.ParseHeader(whole)
	require.NoError(t, err)
	var joined []byte
	for i, cut := range [][]byte{whole[:40], whole[40:]} {
		f := &isakmp.Fragment{ID: 1, Index: uint8(i + 1), Flags: uint8(i), Data: cut}
		b := isakmp.NewBuilder(nil, h)
		b.Add(f)
		out, err := b.Finish()
		require.NoError(t, err)
		require.Equal(t, unhex("84"), out[16:17])
		require.Equal(t, append([]byte{0, 0, 0, byte(8 + len(cut)), 0, 1, byte(i + 1), byte(i)}, cut...), out[28:])
		require.Len(t, out, isakmp.HeaderLen+isakmp.FragmentLen+len(cut))
		m, err := isakmp.Parse(out)
		require.NoError(t, err)
		require.False(t, m.Header.Encrypted())
		requireSame(t, m, out)
		require.Equal(t, f, m.Fragment())
		require.Equal(t, i == 1, m.Fragment().Last())
		joined = append(joined, m.Fragment().Data...)
	}
	require.Equal(t, whole, joined)
	for _, body := range []string{"", "000101", "00010001 aa", "00010101"} {
		requireSyntax(t, datagram(raw{t: isakmp.PayloadFragment, body: unhex(body)}))
	}
}
