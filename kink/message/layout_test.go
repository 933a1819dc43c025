package message_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/kink/message"
	"github.com/racoon3/racoon/spd"
)

// unhex decodes hexadecimal with white space.
func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic(err)
	}
	return b
}

// testKey is a Key without secrets: encryption adds one to every octet and puts
// a CRC behind, the checksum is a CRC.
type testKey struct{ pad int }

func sum(b ...[]byte) []byte {
	h := crc32.NewIEEE()
	for _, x := range b {
		_, _ = h.Write(x)
	}
	return h.Sum(nil)
}

func (k testKey) Seal(b []byte, off int) ([]byte, error) {
	b = append(b, bytes.Repeat([]byte{0xee}, k.pad)...)
	for i := range b[off:] {
		b[off+i]++
	}
	return append(b, sum(b[off:])...), nil
}

func (k testKey) Open(c []byte) ([]byte, error) {
	n := len(c) - 4
	if n < 2 || !bytes.Equal(sum(c[:n]), c[n:]) {
		return nil, errors.New("wrong")
	}
	out := bytes.Clone(c[2:n])
	for i := range out {
		out[i]--
	}
	return out, nil
}

func (k testKey) AppendChecksum(dst, header, rest []byte) ([]byte, error) {
	return append(dst, sum(header, rest)...), nil
}

func (k testKey) VerifyChecksum(header, rest, s []byte) bool {
	return bytes.Equal(sum(header, rest), s)
}

// Each payload in the octets of its figure in RFC 4430 4.2, both ways, and as a
// trace shows it.
func TestLayouts(t *testing.T) {
	for _, c := range []struct {
		p           message.Payload
		t           message.PayloadType
		body, trace string
	}{
		{&message.APReq{Epoch: 0x7fffffff, Data: unhex("6e01")}, 1, "7fffffff 6e01", "KINK_AP_REQ(epoch 2038-01-19T03:14:07Z 2 octets)"},
		{&message.APRep{Epoch: 1, Data: unhex("6f")}, 2, "00000001 6f", "KINK_AP_REP(epoch 1970-01-01T00:00:01Z 1 octet)"},
		{&message.KRBError{Data: unhex("7e0101")}, 3, "7e0101", "KINK_KRB_ERROR(3 octets)"},
		{&message.TGTReq{Principal: []byte("kink/b@R\n")}, 4, hex.EncodeToString([]byte("kink/b@R\n")), `KINK_TGT_REQ("kink/b@R\n")`},
		{&message.TGTRep{TGT: unhex("61")}, 5, "61", "KINK_TGT_REP(1 octet)"},
		{&message.ISAKMP{First: 10, Version: 0x10, Chain: unhex("0000000c 0102030405060708")}, 6, "0a 10 0000 0000000c 0102030405060708", "KINK_ISAKMP(NONCE(8 octets))"},
		{&message.ISAKMP{First: 10, Version: 0x20, Chain: []byte{}}, 6, "0a 20 0000", "KINK_ISAKMP(kink: KINK_ISAKMP payload at octet 0: unsupported Quick Mode version: version 2.0)"},
		{&message.Encrypt{Ciphertext: unhex("0102")}, 7, "0102", "KINK_ENCRYPT(2 octets)"},
		{&message.Error{Code: message.U2UDenied}, 8, "00000007", "KINK_ERROR(KINK_U2UDENIED)"},
		{&message.Error{Code: 4000000000}, 8, "ee6b2800", "KINK_ERROR(ErrorCode(4000000000))"},
		{&message.Unknown{Type: 200, Body: unhex("ff")}, 200, "ff", "PayloadType(200)(1 octet)"},
	} {
		require.Equal(t, c.t, c.p.PayloadType())
		body := unhex(c.body)
		require.Equal(t, body, c.p.AppendBody(nil))
		require.Equal(t, c.trace, c.p.String())
		require.Equal(t, c.trace, fmt.Sprint(c.p))

		n := 4 + len(body)
		want := append([]byte{3, 0x10, 0, byte(16 + n), 0, 0, 0, 1, 0, 0, 0, 9, byte(c.t), 0, 0, 0, 0, 0, 0, byte(n)}, body...)
		m := &message.Message{Header: message.Header{Type: message.Reply, XID: 9}, Payloads: message.Payloads{c.p}}
		got, err := m.AppendBinary([]byte("before"))
		require.NoError(t, err)
		require.Equal(t, append([]byte("before"), want...), got)
		padded := append(bytes.Clone(want), make([]byte, (4-n%4)%4)...)
		padded[3] = byte(len(padded))
		for _, wire := range [][]byte{want, padded} { // either end is right where no checksum follows, and kept
			back, err := message.Parse(wire)
			require.NoError(t, err)
			require.Equal(t, m.Payloads, back.Payloads)
			require.Equal(t, message.Header{Type: message.Reply, Version: 1, DOI: 1, XID: 9}, back.Header)
			got, err := back.AppendBinary(nil)
			require.NoError(t, err)
			require.Equal(t, wire, got)
		}
		m.Checksum = []byte{1, 2, 3, 4}
		got, err = m.AppendBinary(nil)
		require.NoError(t, err)
		require.Len(t, got, len(padded)+4, "a checksum is aligned")
	}
}

// The whole of figure 5: header fields, alignment between payloads, ACKREQ,
// octets behind the message, and what is reserved.
func TestMessageLayout(t *testing.T) {
	b := unhex(`03 1f 0028 00000001 cafebabe 02 ff 0004
		08 77 0009 00000007 01 99 8877
		00 00 0008 00000006
		a1a2a3a4`)
	m, err := message.Parse(append(b, "behind"...))
	require.NoError(t, err)
	require.Equal(t, message.Header{Type: message.Reply, Version: 1, DOI: 1, XID: 0xcafebabe, AckReq: true}, m.Header)
	require.Equal(t, message.Payloads{&message.APRep{Epoch: 7, Data: []byte{1}}, &message.Error{Code: message.BadQMVers}}, m.Payloads)
	require.Equal(t, unhex("a1a2a3a4"), m.Checksum)
	require.Equal(t, `REPLY cafebabe ACKREQ: KINK_AP_REP(epoch 1970-01-01T00:00:07Z 1 octet) KINK_ERROR(KINK_BADQMVERS)`, m.String())
	out, err := m.AppendBinary(nil)
	require.NoError(t, err)
	require.Equal(t, unhex(`03 10 0028 00000001 cafebabe 02 80 0004
		08 00 0009 00000007 01 00 0000
		00 00 0008 00000006
		a1a2a3a4`), out)
	h, err := message.ParseHeader(b)
	require.NoError(t, err)
	require.Equal(t, m.Header, h)
}

// RFC 4430 4: the checksum is over the message with the length as if there were
// none, and CksumLen zero.
func TestChecksumCoverage(t *testing.T) {
	b := message.NewBuilder(nil, message.Header{Type: message.Status, XID: 5})
	b.Add(&message.APReq{Epoch: 1, Data: []byte{1}})
	got, err := b.Sign(testKey{})
	require.NoError(t, err)
	covered := unhex("06 10 001c 00000001 00000005 01 00 0000  00 00 0009 00000001 01 000000")
	want := bytes.Clone(covered)
	want[3], want[15] = 32, 4
	require.Equal(t, append(want, sum(covered)...), got)

	m, err := message.Parse(got)
	require.NoError(t, err)
	require.NoError(t, m.Verify(testKey{}))
	for i := range got {
		bad := bytes.Clone(got)
		bad[i] ^= 0x40
		if m, err := message.Parse(bad); err == nil {
			require.Error(t, m.Verify(testKey{}), "octet %d", i)
		}
	}
	clear, err := m.AppendBinary(nil)
	require.NoError(t, err)
	require.Equal(t, got, clear)
	m.Checksum = nil
	require.ErrorIs(t, m.Verify(testKey{}), message.ErrNoChecksum)
	require.ErrorIs(t, (&message.Message{Checksum: []byte{1}}).Verify(testKey{}), message.ErrNoChecksum)
}

// create is a CREATE with two SAs, as the RFC's 6.3 has it.
func create(buf []byte, k message.Key) ([]byte, error) {
	b := message.NewBuilder(buf, message.Header{Type: message.Create, XID: 1})
	b.Add(&message.APReq{Epoch: 1, Data: apReq})
	b.BeginEncrypt(confounder)
	for spi := range byte(2) {
		q := b.BeginISAKMP()
		sa := isakmp.SA{DOI: 1, Situation: 1, Proposals: proposals[spi : spi+1]}
		q.Add(&sa)
		q.Add(&isakmp.Nonce{Data: apReq})
		b.EndISAKMP(&q)
	}
	b.EndEncrypt(k)
	return b.Sign(k)
}

var (
	apReq      = []byte("a pretended AP-REQ")
	confounder = []byte{7, 7}
	proposals  = []isakmp.Proposal{
		{Num: 1, Protocol: spd.ProtoESP, SPI: unhex("11111111"), Transforms: []isakmp.Transform{{Num: 1, ID: 12}}},
		{Num: 1, Protocol: spd.ProtoESP, SPI: unhex("22222222"), Transforms: []isakmp.Transform{{Num: 1, ID: 12}}},
	}
)

func TestEncrypt(t *testing.T) {
	for _, pad := range []int{0, 1, 7} { // of the cipher, which is not the message's
		k := testKey{pad}
		b, err := create(nil, k)
		require.NoError(t, err)
		m, err := message.Parse(b)
		require.NoError(t, err)
		require.NoError(t, m.Verify(k))
		require.Len(t, m.Payloads, 2)
		ps, err := m.Open(k)
		require.NoError(t, err)
		require.Len(t, ps, 3)
		require.Len(t, m.Payloads, 2)
		require.NoError(t, ps.Check(m.Header))
		require.Error(t, m.Payloads.Check(m.Header), "what is encrypted is not decrypted yet")
		var spis []string
		for p := range ps.ISAKMPs() {
			qm, err := p.Payloads()
			require.NoError(t, err)
			spis = append(spis, hex.EncodeToString(qm.SA().Proposals[0].SPI))
		}
		require.Equal(t, []string{"11111111", "22222222"}, spis)
		out, err := m.AppendBinary(nil)
		require.NoError(t, err)
		require.Equal(t, b, out)
	}
	// Without KINK_ENCRYPT, what is there is all.
	m := &message.Message{Payloads: message.Payloads{&message.Error{Code: 1}}}
	ps, err := m.Open(testKey{})
	require.NoError(t, err)
	require.Equal(t, m.Payloads, ps)
}

// What is encrypted ends with its last payload, as racoon2 has it.
func TestEncryptWithoutPadding(t *testing.T) {
	b := message.NewBuilder(nil, message.Header{Type: message.Reply})
	b.Add(&message.APRep{Epoch: 1, Data: unhex("6f")})
	b.BeginEncrypt(nil)
	b.Add(&message.KRBError{Data: unhex("7e0102")})
	b.EndEncrypt(textKey{})
	wire, err := b.Sign(textKey{})
	require.NoError(t, err)
	require.Equal(t, unhex("0310 0030 00000001 00000000 02 00 0004  07000009 00000001 6f000000  0000000f 03000000 00000007 7e0102 00 00000000"), wire)
}

// textKey leaves the text as it is.
type textKey struct{ nullKey }

func (textKey) Seal(b []byte, _ int) ([]byte, error) { return b, nil }

func TestEncodeWithoutAllocating(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	k := message.Key(nullKey{})
	buf := make([]byte, 0, 1500)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if _, err := create(buf, k); err != nil {
			t.Fatal(err)
		}
	}))
	b, err := create(nil, k)
	require.NoError(t, err)
	m, err := message.Parse(b)
	require.NoError(t, err)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if _, err := m.AppendBinary(buf); err != nil {
			t.Fatal(err)
		}
	}))
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { _, _ = message.Parse(b) }), 5.0)
}

// nullKey protects nothing and allocates nothing.
type nullKey struct{}

func (nullKey) Seal(b []byte, _ int) ([]byte, error)            { return append(b, 0, 0, 0, 0), nil }
func (nullKey) Open(c []byte) ([]byte, error)                   { return c, nil }
func (nullKey) AppendChecksum(dst, _, _ []byte) ([]byte, error) { return append(dst, 0, 0, 0, 0), nil }
func (nullKey) VerifyChecksum(_, _, _ []byte) bool              { return true }

// The Builder refuses what has no wire form and calls out of order, and gives
// back what it was given.
func TestBuilderRefuses(t *testing.T) {
	h := message.Header{Type: message.Create}
	for name, f := range map[string]func(b *message.Builder){
		"nil payload":      func(b *message.Builder) { b.Add(nil) },
		"type 0":           func(b *message.Builder) { b.Add(&message.Unknown{}) },
		"too long payload": func(b *message.Builder) { b.Add(&message.KRBError{Data: make([]byte, 65532)}) },
		"too long message": func(b *message.Builder) {
			b.Add(&message.KRBError{Data: make([]byte, 40000)})
			b.Add(&message.TGTRep{TGT: make([]byte, 40000)})
		},
		"after KINK_ENCRYPT":     func(b *message.Builder) { b.Add(&message.Encrypt{Ciphertext: []byte{1}}); b.Add(&message.Error{}) },
		"encrypted twice":        func(b *message.Builder) { b.BeginEncrypt(nil); b.BeginEncrypt(nil) },
		"encryption not ended":   func(b *message.Builder) { b.BeginEncrypt(nil) },
		"encryption not begun":   func(b *message.Builder) { b.EndEncrypt(testKey{}) },
		"encryption ended twice": func(b *message.Builder) { b.BeginEncrypt(nil); b.EndEncrypt(testKey{}); b.EndEncrypt(testKey{}) },
		"ISAKMP not ended":       func(b *message.Builder) { b.BeginISAKMP() },
		"ISAKMP not begun":       func(b *message.Builder) { q := isakmp.NewChainBuilder(nil); b.EndISAKMP(&q) },
		"payload in ISAKMP":      func(b *message.Builder) { b.BeginISAKMP(); b.Add(&message.Error{}) },
		"bad Quick Mode": func(b *message.Builder) {
			q := b.BeginISAKMP()
			q.Add(nil)
			b.EndISAKMP(&q)
		},
	} {
		b := message.NewBuilder([]byte("x"), h)
		f(&b)
		out, err := b.Finish()
		require.ErrorIs(t, err, message.ErrEncode, name)
		require.Equal(t, []byte("x"), out, name)
		out, err = b.Sign(testKey{})
		require.ErrorIs(t, err, message.ErrEncode, name)
		require.Equal(t, []byte("x"), out, name)
	}
	_, err := message.NewISAKMP(&isakmp.Unknown{})
	require.Error(t, err)
	p, err := message.NewISAKMP(&isakmp.Nonce{Data: make([]byte, 8)})
	require.NoError(t, err)
	require.Equal(t, isakmp.PayloadNonce, p.First)
}
