package message_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev2/message"
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

// raw is a payload of a hand-made message: type and body.
type raw struct {
	t    message.PayloadType
	crit bool
	body []byte
}

// datagram makes a message of raw payloads, without any help of the encoder.
func datagram(ps ...raw) []byte {
	b := unhex("0102030405060708 0000000000000000 00 20 22 08 00000000 00000000")
	link := 16
	for _, p := range ps {
		b[link] = byte(p.t)
		link = len(b)
		flags := byte(0)
		if p.crit {
			flags = 0x80
		}
		n := 4 + len(p.body)
		b = append(b, 0, flags, byte(n>>8), byte(n))
		b = append(b, p.body...)
	}
	binary.BigEndian.PutUint32(b[24:], uint32(len(b)))
	return b
}

// requireKind requires a ParseError of a kind that is answered with a notify.
func requireKind(t *testing.T, err, kind error, answer message.NotifyType) *message.ParseError {
	t.Helper()
	var pe *message.ParseError
	require.ErrorAs(t, err, &pe)
	require.ErrorIs(t, err, kind)
	require.Equal(t, answer, pe.Notify())
	return pe
}

func requireSyntax(t *testing.T, b []byte) *message.ParseError {
	t.Helper()
	m, err := message.Parse(b)
	require.Nil(t, m)
	pe := requireKind(t, err, message.ErrSyntax, message.NotifyInvalidSyntax)
	require.LessOrEqual(t, pe.Offset, len(b))
	return pe
}

func TestA01_HeaderAndLength(t *testing.T) {
	whole := racoon2(t)[0]
	for n := range len(whole) {
		m, err := message.Parse(whole[:n])
		require.Nil(t, m)
		kind := message.ErrLength
		if n < message.HeaderLen {
			kind = message.ErrTruncated
		}
		requireKind(t, err, kind, 0) // dropped without an answer
	}
	_, err := message.Parse(append(bytes.Clone(whole), 0))
	requireKind(t, err, message.ErrLength, 0)
	for _, length := range []uint32{0, 27, uint32(len(whole)) - 1, uint32(len(whole)) + 1, 1 << 31, 1<<32 - 1} {
		b := bytes.Clone(whole)
		binary.BigEndian.PutUint32(b[24:], length)
		_, err := message.Parse(b)
		requireKind(t, err, message.ErrLength, 0)
	}
	// Header only is a message without payloads.
	m, err := message.Parse(datagram())
	require.NoError(t, err)
	require.Empty(t, m.Payloads)
	// Octets behind the last payload, with a length that covers them.
	b := append(datagram(raw{t: message.PayloadVendorID, body: []byte("x")}), 1, 2, 3)
	binary.BigEndian.PutUint32(b[24:], uint32(len(b)))
	require.Contains(t, requireSyntax(t, b).Error(), "3 octets after the last payload")
	// Payloads without a first type.
	b[16] = 0
	requireSyntax(t, b)
}

func TestA01_NoAllocationForRubbish(t *testing.T) {
	// A refused header costs its error and no more, whatever the length field.
	b := datagram()
	binary.BigEndian.PutUint32(b[24:], 1<<32-1)
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { message.Parse(b) }), 5.0)
}

func TestA02_MajorVersion(t *testing.T) {
	for major := range 16 {
		for minor := range 16 {
			b := datagram()
			b[17] = byte(major<<4 | minor)
			h, err := message.ParseHeader(b)
			require.Equal(t, message.SPI(0x0102030405060708), h.SPIi, "the header is there to be answered")
			switch {
			case major == 2:
				require.NoError(t, err)
			case major > 2:
				requireKind(t, err, message.ErrMajorVersion, message.NotifyInvalidMajorVersion)
			default:
				requireKind(t, err, message.ErrMajorVersion, 0)
			}
			m, perr := message.Parse(b)
			require.Equal(t, err == nil, perr == nil)
			require.Equal(t, err == nil, m != nil)
		}
	}
}

func TestA03_GenericPayloadLength(t *testing.T) {
	for n := range 4 {
		b := datagram(raw{t: message.PayloadVendorID}, raw{t: message.PayloadNonce, body: make([]byte, 32)})
		binary.BigEndian.PutUint16(b[30:], uint16(n))
		require.Equal(t, message.PayloadVendorID, requireSyntax(t, b).Payload)
		_, err := message.ParseChain(message.PayloadVendorID, b[28:])
		requireKind(t, err, message.ErrSyntax, message.NotifyInvalidSyntax)
	}
	// A chain that would come back to itself does not: payloads follow one
	// another in the octets.
	b := bytes.Repeat([]byte{byte(message.PayloadVendorID), 0, 0, 4}, 1000)
	_, err := message.ParseChain(message.PayloadVendorID, b)
	requireKind(t, err, message.ErrTooManyPayloads, message.NotifyInvalidSyntax)
	// Cut short within the generic header.
	for n := 1; n < 4; n++ {
		_, err := message.ParseChain(message.PayloadVendorID, make([]byte, n))
		requireKind(t, err, message.ErrSyntax, message.NotifyInvalidSyntax)
	}
}

func TestA04_PayloadLengthPastTheEnd(t *testing.T) {
	for _, n := range []uint16{5, 6, 1000, 0x7fff, 0x8000, 0xfffc, 0xffff} {
		b := datagram(raw{t: message.PayloadVendorID})
		binary.BigEndian.PutUint16(b[30:], n)
		requireSyntax(t, b)
	}
	// Inner lengths: SPI sizes, attributes, selectors, all past their end.
	for name, r := range map[string]raw{
		"notify SPI":   {t: message.PayloadNotify, body: unhex("03 ff 4009 00000001")},
		"delete count": {t: message.PayloadDelete, body: unhex("03 04 ffff 00000001")},
		"proposal SPI": {t: message.PayloadSA, body: unhex("00000010 01 03 ff 00 0000000000000000")},
		"transform":    {t: message.PayloadSA, body: unhex("00000010 01 03 00 01 0000ffff 01000014")},
		"attribute":    {t: message.PayloadSA, body: unhex("00000014 01 03 00 01 0000000c 01000014 000effff")},
		"selector":     {t: message.PayloadTSi, body: unhex("01000000 0700ffff 0000ffff 0a000001 0a000002")},
		"config":       {t: message.PayloadCP, body: unhex("01000000 0001ffff 0a000001")},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, r.t, requireSyntax(t, datagram(r)).Payload) })
	}
}

// mandatory are the payloads of an IKE_SA_INIT and an IKE_AUTH request.
func mandatory() []raw {
	sa := unhex("0000002c 01010004 0300000c0100000c800e0080 0300000802000002 0300000803000002 000000080400000e")
	ts := unhex("01000000 07000010 0000ffff 0a000001 0a000002")
	return []raw{
		{t: message.PayloadSA, body: sa},
		{t: message.PayloadKE, body: unhex("000e0000 0102")},
		{t: message.PayloadNonce, body: make([]byte, 32)},
		{t: message.PayloadIDi, body: unhex("02000000 61")},
		{t: message.PayloadIDr, body: unhex("02000000 62")},
		{t: message.PayloadAUTH, body: unhex("02000000 63")},
		{t: message.PayloadTSi, body: ts},
		{t: message.PayloadTSr, body: ts},
		{t: message.PayloadEAP, body: unhex("03010004")},
	}
}

func TestA05_MissingAndDuplicatePayloads(t *testing.T) {
	all := mandatory()
	var types []message.PayloadType
	for _, r := range all {
		types = append(types, r.t)
	}
	m, err := message.Parse(datagram(all...))
	require.NoError(t, err)
	require.NoError(t, m.Require(types...))
	for i, r := range all {
		t.Run(r.t.String(), func(t *testing.T) {
			without := append(append([]raw(nil), all[:i]...), all[i+1:]...)
			m, err := message.Parse(datagram(without...))
			require.NoError(t, err)
			pe := requireKind(t, m.Require(types...), message.ErrMissingPayload, message.NotifyInvalidSyntax)
			require.Equal(t, r.t, pe.Payload)
			got := map[message.PayloadType]bool{
				message.PayloadSA: m.SA() == nil, message.PayloadKE: m.KE() == nil, message.PayloadNonce: m.Nonce() == nil,
				message.PayloadIDi: m.IDi() == nil, message.PayloadIDr: m.IDr() == nil, message.PayloadAUTH: m.AUTH() == nil,
				message.PayloadTSi: m.TSi() == nil, message.PayloadTSr: m.TSr() == nil, message.PayloadEAP: m.EAP() == nil,
			}
			for ty, missing := range got {
				require.Equal(t, ty == r.t, missing, "getter of %v", ty)
			}

			_, err = message.Parse(datagram(append(append([]raw(nil), all...), r)...))
			pe = requireKind(t, err, message.ErrDuplicatePayload, message.NotifyInvalidSyntax)
			require.Equal(t, r.t, pe.Payload)
		})
	}
}

func TestA06_UnknownPayloads(t *testing.T) {
	nonce := raw{t: message.PayloadNonce, body: make([]byte, 16)}
	for ty := 1; ty < 256; ty++ {
		pt := message.PayloadType(ty)
		if pt >= message.PayloadSA && pt <= message.PayloadEAP || pt == message.PayloadSKF {
			continue // known
		}
		// Clear critical bit: skipped, kept and shown.
		b := datagram(raw{t: pt, body: []byte{0xab, 0xcd}}, nonce)
		m, err := message.Parse(b)
		require.NoError(t, err)
		require.NotNil(t, m.Nonce())
		require.Equal(t, &message.Unknown{Type: pt, Body: []byte{0xab, 0xcd}}, m.Payloads[0])
		require.Contains(t, m.String(), pt.String()+"(abcd)")
		requireSame(t, m, b)
		// Set: refused by type, yet decoded to be shown.
		m, err = message.Parse(datagram(nonce, raw{t: pt, crit: true}))
		pe := requireKind(t, err, message.ErrUnsupportedCritical, message.NotifyUnsupportedCriticalPayload)
		require.Equal(t, []byte{byte(ty)}, pe.AppendNotifyData(nil))
		require.Len(t, m.Payloads, 2)
		// The same inside SK.
		inner := datagram(nonce, raw{t: pt, crit: true})
		ps, err := message.ParsePayloads(message.PayloadNonce, inner[28:])
		requireKind(t, err, message.ErrUnsupportedCritical, message.NotifyUnsupportedCriticalPayload)
		require.Len(t, ps, 2)
	}
	// The critical bit of a known payload means nothing.
	m, err := message.Parse(datagram(raw{t: nonce.t, crit: true, body: nonce.body}))
	require.NoError(t, err)
	require.True(t, m.Nonce().Critical)
	// A syntax error elsewhere outweighs it.
	_, err = message.Parse(datagram(raw{t: 200, crit: true}, raw{t: message.PayloadNonce}))
	requireKind(t, err, message.ErrSyntax, message.NotifyInvalidSyntax)

	many := make([]raw, message.MaxPayloads)
	for i := range many {
		many[i] = raw{t: 200}
	}
	m, err = message.Parse(datagram(many...))
	require.NoError(t, err)
	require.Len(t, m.Payloads, message.MaxPayloads)
	_, err = message.Parse(datagram(append(many, raw{t: 200})...))
	requireKind(t, err, message.ErrTooManyPayloads, message.NotifyInvalidSyntax)
}

func TestA06_NothingFollowsAnEncryptedPayload(t *testing.T) {
	for _, sk := range []raw{{t: message.PayloadSK, body: make([]byte, 40)}, {t: message.PayloadSKF, body: append(unhex("00010001"), make([]byte, 40)...)}} {
		b := datagram(sk, raw{t: message.PayloadNonce, body: make([]byte, 16)})
		requireSyntax(t, b)
		_, err := message.ParseChain(sk.t, b[28:])
		requireKind(t, err, message.ErrSyntax, message.NotifyInvalidSyntax)
	}
}

func TestA07_IKEv1PayloadsInVersion2(t *testing.T) {
	// ISAKMP's SA (1), KE (4), ID (5), CERT (6), HASH (8), NONCE (10), N (11),
	// D (12) and VID (13) with bodies that IKEv2 would understand.
	bodies := mandatory()
	for ty := 1; ty <= 32; ty++ {
		for _, r := range bodies {
			m, err := message.Parse(datagram(raw{t: message.PayloadType(ty), body: r.body}))
			require.NoError(t, err)
			require.IsType(t, &message.Unknown{}, m.Payloads[0])
			require.Error(t, m.Require(r.t))
		}
	}
	// And an IKEv1 message is refused by its version.
	b := datagram(bodies[0])
	b[17] = 0x10
	_, err := message.Parse(b)
	requireKind(t, err, message.ErrMajorVersion, 0)
}

// proposal makes a proposal substructure of IKE.
func proposal(num byte, last bool, transforms ...[]byte) []byte {
	p := []byte{2, 0, 0, 0, num, 1, 0, byte(len(transforms))}
	if last {
		p[0] = 0
	}
	for i, t := range transforms {
		t = bytes.Clone(t)
		t[0] = 3
		if i == len(transforms)-1 {
			t[0] = 0
		}
		p = append(p, t...)
	}
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	return p
}

// transform makes a transform substructure.
func transform(ty byte, id uint16, attributes ...byte) []byte {
	t := append([]byte{0, 0, 0, 0, ty, 0, byte(id >> 8), byte(id)}, attributes...)
	binary.BigEndian.PutUint16(t[2:], uint16(len(t)))
	return t
}

func parseSA(t *testing.T, body []byte) (*message.SA, error) {
	b := datagram(raw{t: message.PayloadSA, body: body})
	m, err := message.Parse(b)
	if err != nil {
		requireKind(t, err, message.ErrSyntax, message.NotifyInvalidSyntax)
		return nil, err
	}
	requireSame(t, m, b)
	return m.SA(), nil
}

func TestA08_SAPayload(t *testing.T) {
	encr := transform(1, 12, 0x80, 14, 0, 128)
	t.Run("no proposals", func(t *testing.T) {
		_, err := parseSA(t, nil)
		require.Error(t, err)
	})
	t.Run("no transforms", func(t *testing.T) {
		sa, err := parseSA(t, proposal(1, true))
		require.NoError(t, err) // the core chooses none of it
		require.Empty(t, sa.Proposals[0].Transforms)
	})
	t.Run("255 and 256 proposals", func(t *testing.T) {
		var body []byte
		for i := 1; i < 255; i++ {
			body = append(body, proposal(byte(i), false, encr)...)
		}
		sa, err := parseSA(t, append(bytes.Clone(body), proposal(255, true, encr)...))
		require.NoError(t, err)
		require.Len(t, sa.Proposals, 255)
		body = append(body, proposal(255, false, encr)...)
		_, err = parseSA(t, append(body, proposal(0, true, encr)...))
		require.Error(t, err)
	})
	t.Run("transform count lies", func(t *testing.T) {
		for _, n := range []byte{0, 1, 3, 255} {
			p := proposal(1, true, encr, encr)
			p[7] = n
			_, err := parseSA(t, p)
			require.ErrorContains(t, err, "transforms, has 2")
		}
	})
	t.Run("duplicate transforms are kept", func(t *testing.T) {
		sa, err := parseSA(t, proposal(1, true, encr, encr))
		require.NoError(t, err)
		require.Len(t, sa.Proposals[0].Transforms, 2)
	})
	t.Run("255 transforms", func(t *testing.T) {
		var ts [][]byte
		for range 255 {
			ts = append(ts, encr)
		}
		sa, err := parseSA(t, proposal(1, true, ts...))
		require.NoError(t, err)
		require.Len(t, sa.Proposals[0].Transforms, 255)
	})
	t.Run("unknown transform type", func(t *testing.T) {
		sa, err := parseSA(t, proposal(1, true, transform(241, 7)))
		require.NoError(t, err)
		require.Equal(t, spd.TransformType(241), sa.Proposals[0].Transforms[0].Type)
	})
	t.Run("attribute cut short", func(t *testing.T) {
		for _, a := range [][]byte{{0x80}, {0x80, 14}, {0x80, 14, 0}, {0, 14, 0, 1}, {0, 14, 0, 5, 1, 2, 3, 4}} {
			_, err := parseSA(t, proposal(1, true, transform(1, 12, a...)))
			require.Error(t, err, "%x", a)
		}
	})
	t.Run("key length", func(t *testing.T) {
		for _, c := range []struct {
			name       string
			attributes []byte
			keyLen     uint16
			others     int
		}{
			{"absent", nil, 0, 0},
			{"128", unhex("800e0080"), 128, 0},
			{"odd", unhex("800e0081"), 129, 0},
			{"zero", unhex("800e0000"), 0, 1},
			{"twice", unhex("800e0080 800e0100"), 128, 1},
			{"long form", unhex("000e0002 0080"), 0, 1},
			{"unknown before", unhex("80110001 800e0080"), 0, 2},
			{"unknown after", unhex("800e0080 00110003 010203"), 128, 1},
		} {
			sa, err := parseSA(t, proposal(1, true, transform(1, 12, c.attributes...)))
			require.NoError(t, err, c.name)
			tr := sa.Proposals[0].Transforms[0]
			require.Equal(t, c.keyLen, tr.KeyLen, c.name)
			require.Len(t, tr.Attributes, c.others, c.name) // not empty: unacceptable
		}
	})
	t.Run("last substruc", func(t *testing.T) {
		good := append(proposal(1, false, encr), proposal(2, true, encr)...)
		_, err := parseSA(t, good)
		require.NoError(t, err)
		for _, at := range []int{0, 8, 20, 28} { // both proposals, both transforms
			for _, v := range []byte{0, 1, 2, 3, 255} {
				if v == good[at] {
					continue
				}
				b := bytes.Clone(good)
				b[at] = v
				_, err := parseSA(t, b)
				require.Error(t, err, "octet %d = %d", at, v)
			}
		}
	})
	t.Run("memory is bounded by the datagram", func(t *testing.T) {
		var body []byte
		for i := range 254 {
			body = append(body, proposal(byte(i+1), false, encr, encr, encr, encr, encr, encr, encr, encr, encr, encr, encr, encr, encr, encr, encr, encr, encr, encr, encr, encr)...)
		}
		b := datagram(raw{t: message.PayloadSA, body: append(body, proposal(255, true, encr)...)})
		require.LessOrEqual(t, testing.AllocsPerRun(10, func() { message.Parse(b) }), 5.0)
		require.LessOrEqual(t, allocated(func() { message.Parse(b) }), uint64(8*len(b)))
	})
}

// allocated returns how many octets f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestA10_EmptyKeyExchange(t *testing.T) {
	for _, body := range []string{"", "00", "000e", "000e00", "000e0000"} {
		requireSyntax(t, datagram(raw{t: message.PayloadKE, body: unhex(body)}))
	}
}

func TestA13_PrivateGroupNumber(t *testing.T) {
	for _, group := range []uint16{0, 1024, 1025, 32768, 65535} {
		body := append(binary.BigEndian.AppendUint16(nil, group), 0, 0, 1)
		b := datagram(raw{t: message.PayloadKE, body: body})
		m, err := message.Parse(b)
		require.NoError(t, err)
		require.Equal(t, group, m.KE().Group)
		require.Contains(t, m.String(), "KE(KE")
		requireSame(t, m, b)
	}
}

func TestA15_NonceLength(t *testing.T) {
	for n := range 400 {
		b := datagram(raw{t: message.PayloadNonce, body: make([]byte, n)})
		m, err := message.Parse(b)
		if n < 16 || n > 256 {
			requireKind(t, err, message.ErrSyntax, message.NotifyInvalidSyntax)
			continue
		}
		require.NoError(t, err)
		require.Len(t, m.Nonce().Data, n) // zeros are for the core to refuse
	}
	bl := message.NewBuilder(nil, message.Header{})
	bl.Add(&message.Nonce{Data: make([]byte, 15)})
	_, err := bl.Finish()
	require.ErrorIs(t, err, message.ErrEncode)
}

func TestA23_VendorIDs(t *testing.T) {
	for _, id := range [][]byte{nil, make([]byte, 1), bytes.Repeat([]byte("x"), 60000)} {
		b := datagram(raw{t: message.PayloadVendorID, body: id})
		m, err := message.Parse(b)
		require.NoError(t, err)
		requireSame(t, m, b)
		require.Less(t, len(m.String()), 1000)
	}
	many := make([]raw, 1000)
	for i := range many {
		many[i] = raw{t: message.PayloadVendorID, body: []byte{byte(i)}}
	}
	b := datagram(many...)
	_, err := message.Parse(b)
	requireKind(t, err, message.ErrTooManyPayloads, message.NotifyInvalidSyntax)
	require.LessOrEqual(t, allocated(func() { message.Parse(b) }), uint64(4096), "refused before anything is decoded")
	// A hundred cost one slice.
	b = datagram(many[:100]...)
	require.LessOrEqual(t, testing.AllocsPerRun(10, func() { message.Parse(b) }), 3.0)
}

func TestA24_IdentityPayload(t *testing.T) {
	for _, body := range []string{
		"", "02", "020000", // cut short
		"02000000", "03000000", "09000000", "0a000000", // nothing said
		"01000000 0a0000", "01000000 0a00000101", "01000000", // IPv4 of 3, 5, 0
		"05000000 0a000001", "05000000", // IPv6 of 4, 0
	} {
		for _, ty := range []message.PayloadType{message.PayloadIDi, message.PayloadIDr} {
			require.Equal(t, ty, requireSyntax(t, datagram(raw{t: ty, body: unhex(body)})).Payload)
		}
	}
	for name, c := range map[string]struct {
		body []byte
		want string
	}{
		"unknown type":     {unhex("c8000000 0102"), `IDi(IDType(200) 0102)`},
		"null":             {unhex("0d000000"), `IDi(ID_NULL -)`},
		"truncated DN":     {unhex("09000000 3010"), `IDi(ID_DER_ASN1_DN 3010)`},
		"DN and more":      {append(unhex("09000000"), unhex("3000 ff")...), `IDi(ID_DER_ASN1_DN 3000ff)`},
		"newline":          {append(unhex("02000000"), "a\nb\r\x00"...), `IDi(ID_FQDN "a\nb\r\x00")`},
		"terminal":         {append(unhex("03000000"), "\x1b[2J@\x7f"...), `IDi(ID_RFC822_ADDR "\x1b[2J@\x7f")`},
		"format and shell": {append(unhex("02000000"), "%n%s;`rm`$(x)\"' |"...), "IDi(ID_FQDN \"%n%s;`rm`$(x)\\\"' |\")"},
		"bidi override":    {append(unhex("02000000"), "a\u202eb\u2028"...), `IDi(ID_FQDN "a\u202eb\u2028")`},
		"bad UTF-8":        {append(unhex("02000000"), 0xff, 0xfe), `IDi(ID_FQDN "\xff\xfe")`},
		"key ID":           {append(unhex("0b000000"), "group1"...), `IDi(ID_KEY_ID "group1")`},
		"binary key ID":    {unhex("0b000000 00ff"), `IDi(ID_KEY_ID 00ff)`},
	} {
		t.Run(name, func(t *testing.T) {
			b := datagram(raw{t: message.PayloadIDi, body: c.body})
			m, err := message.Parse(b)
			require.NoError(t, err)
			require.Equal(t, c.want, m.IDi().String())
			requireSame(t, m, b)
		})
	}
	big := append(unhex("02000000"), bytes.Repeat([]byte{'\n'}, 64000)...)
	m, err := message.Parse(datagram(raw{t: message.PayloadIDi, body: big}))
	require.NoError(t, err)
	require.Less(t, len(m.String()), 1000)
	// The reserved octets belong to what is signed (RFC 7296 2.15).
	body := unhex("02010203 61")
	m, err = message.Parse(datagram(raw{t: message.PayloadIDi, body: body}))
	require.NoError(t, err)
	require.Equal(t, body, m.IDi().AppendBody(nil))
}

func TestA25_FragmentFields(t *testing.T) {
	skf := func(next byte, number, total uint16, rest int) []byte {
		body := binary.BigEndian.AppendUint16(nil, number)
		body = binary.BigEndian.AppendUint16(body, total)
		b := datagram(raw{t: message.PayloadSKF, body: append(body, make([]byte, rest)...)})
		b[28] = next
		return b
	}
	for _, c := range []struct {
		next          byte
		number, total uint16
		ok            bool
	}{
		{35, 1, 1, true}, {35, 1, 2, true}, {0, 2, 2, true}, {35, 1, 65535, true}, {0, 65535, 65535, true},
		{0, 0, 0, false}, {0, 0, 1, false}, {0, 1, 0, false}, {0, 2, 1, false}, {0, 65535, 1, false},
		{35, 2, 2, false}, // only the first names an inner payload
	} {
		b := skf(c.next, c.number, c.total, 40)
		m, err := message.Parse(b)
		if !c.ok {
			requireKind(t, err, message.ErrSyntax, message.NotifyInvalidSyntax)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, c.number, m.SKF().Number)
		require.Equal(t, c.total, m.SKF().Total)
		require.Equal(t, message.PayloadType(c.next), m.SKF().First)
		requireSame(t, m, b)
		// A huge total costs nothing: it is a number.
		require.LessOrEqual(t, allocated(func() { message.Parse(b) }), uint64(4096))
	}
	for n := range 4 {
		b := datagram(raw{t: message.PayloadSKF, body: make([]byte, n)})
		require.Equal(t, message.PayloadSKF, requireSyntax(t, b).Payload)
	}
	// Payloads in clear beside a fragment decode; whether they count is for
	// the core, which sees them apart from the fragment.
	b := datagram(raw{t: message.PayloadVendorID, body: []byte("v")}, raw{t: message.PayloadSKF, body: append(unhex("00010002"), make([]byte, 30)...)})
	m, err := message.Parse(b)
	require.NoError(t, err)
	require.Len(t, m.Payloads, 2)
	// An SKF inside SK is no error of the chain; its content stays shut.
	ps, err := message.ParsePayloads(message.PayloadSKF, append(unhex("00000028 00010001"), make([]byte, 32)...))
	require.NoError(t, err)
	require.NotNil(t, ps.SKF())
	require.Len(t, ps, 1)
	// Bodies too short for IV, ICV and pad length.
	for n := range 29 {
		b := skf(35, 1, 1, n)
		m, err := message.Parse(b)
		require.NoError(t, err)
		_, err = message.OpenLayout(b, m.SKF().Body, 16, 12)
		requireKind(t, err, message.ErrSyntax, message.NotifyInvalidSyntax)
	}
}

// The rows on decoding only part of what a peer may do wrong; this walks all
// single-octet changes and truncations of real messages.
func TestA_EveryOctetChanged(t *testing.T) {
	var seeds [][]byte
	seeds = append(seeds, racoon2(t)[0], datagram(mandatory()...))
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, seed := range seeds {
		for i := range seed {
			for _, v := range []byte{0, 1, 3, 4, 0x7f, 0x80, 0xff, byte(rnd.Uint32())} {
				b := bytes.Clone(seed)
				b[i] = v
				m, err := message.Parse(b)
				var pe *message.ParseError
				if err != nil {
					require.ErrorAs(t, err, &pe)
					require.NotContains(t, err.Error(), "\n")
					continue
				}
				_ = m.String()
				out, err := m.AppendBinary(nil)
				require.NoError(t, err)
				require.Len(t, out, len(b))
			}
		}
	}
}

func TestC05_NotifyAndDeleteProtocols(t *testing.T) {
	for _, c := range []struct {
		body string
		ok   bool
	}{
		{"03 04 4009 01020304", true},
		{"02 04 4009 01020304", true},
		{"00 04 4009 01020304", false},
		{"01 08 4009 0102030405060708", false},
		{"03 00 4009", false},
		{"03 08 4009 0102030405060708", false},
		{"c8 04 4009 01020304", false},
	} {
		m, err := message.Parse(datagram(raw{t: message.PayloadNotify, body: unhex(c.body)}))
		require.NoError(t, err)
		spi, ok := m.Notify(message.NotifyRekeySA).ESPSPI()
		require.Equal(t, c.ok, ok, c.body)
		if ok {
			require.Equal(t, spd.SPI(0x01020304), spi)
		}
	}
}

func TestC08_DeleteCounts(t *testing.T) {
	for body, want := range map[string]int{
		"01 00 0000":                   0,
		"01 00 0001":                   0, // some count the IKE SA
		"03 04 0001 00000001":          1,
		"03 04 0002 00000001 00000002": 2,
		"03 04 0002 00000001":          -1,
		"03 04 0001 00000001 00000002": -1,
		"03 04 0000 00000001":          -1,
		"03 00 0001 00000001":          -1,
		"03 08 0001 0000000100000002":  1,
		"03 ff ffff 00000001":          -1,
		"03":                           -1,
	} {
		b := datagram(raw{t: message.PayloadDelete, body: unhex(body)})
		if want < 0 {
			requireSyntax(t, b)
			continue
		}
		m, err := message.Parse(b)
		require.NoError(t, err, body)
		for d := range m.Deletes() {
			require.Equal(t, want, d.Len())
			n := 0
			for spi := range d.All() {
				require.Len(t, spi, int(d.SPISize))
				n++
			}
			require.Equal(t, want, n)
		}
	}
}

func TestC06_TrafficSelectors(t *testing.T) {
	ts4 := "07 06 0010 0000 ffff 0a000001 0a0000ff"
	for name, c := range map[string]struct {
		body  string
		ok    bool
		valid bool
	}{
		"one":                  {"01000000" + ts4, true, true},
		"none":                 {"00000000", false, false},
		"count too high":       {"02000000" + ts4, false, false},
		"count too low":        {"01000000" + ts4 + ts4, false, false},
		"255 said":             {"ff000000" + ts4, false, false},
		"start above end":      {"01000000 07 06 0010 0000 ffff 0a0000ff 0a000001", true, false},
		"ports reversed":       {"01000000 07 06 0010 0002 0001 0a000001 0a0000ff", true, false},
		"opaque ports":         {"01000000 07 06 0010 ffff 0000 0a000001 0a0000ff", true, true},
		"length 15":            {"01000000 07 06 000f 0000 ffff 0a000001 0a0000", false, false},
		"IPv4 of IPv6 length":  {"01000000 07 06 0028 0000 ffff" + strings.Repeat("00", 32), false, false},
		"IPv6 of IPv4 length":  {"01000000 08 06 0010 0000 ffff 0a000001 0a0000ff", false, false},
		"length 0":             {"01000000 07 06 0000 0000 ffff 0a000001 0a0000ff", false, false},
		"length 3":             {"01000000 07 06 0003 0000 ffff 0a000001 0a0000ff", false, false},
		"cut":                  {"01000000 07 06 00", false, false},
		"unknown type":         {"01000000 f1 06 0008 01020304", true, false},
		"empty unknown type":   {"01000000 0a 00 0004", true, false},
		"Fibre Channel":        {"01000000 09 01 0018" + strings.Repeat("ab", 20), true, false},
		"IPv6":                 {"01000000 08 00 0028 0000 ffff" + strings.Repeat("00", 16) + strings.Repeat("ff", 16), true, true},
		"IPv4-mapped IPv6":     {"01000000 08 00 0028 0000 ffff" + "00000000000000000000ffff0a000001" + "00000000000000000000ffff0a000002", true, true},
		"unknown, then a good": {"02000000 f1 06 0004" + ts4, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, ty := range []message.PayloadType{message.PayloadTSi, message.PayloadTSr} {
				b := datagram(raw{t: ty, body: unhex(c.body)})
				m, err := message.Parse(b)
				if !c.ok {
					require.Equal(t, ty, requireSyntax(t, b).Payload)
					continue
				}
				require.NoError(t, err)
				requireSame(t, m, b)
				ts := m.TSi()
				if ty == message.PayloadTSr {
					ts = m.TSr()
				}
				require.Equal(t, c.valid, ts.Selectors[0].Valid())
			}
		})
	}
	var many strings.Builder
	many.WriteString("ff000000")
	for range 255 {
		many.WriteString(ts4)
	}
	m, err := message.Parse(datagram(raw{t: message.PayloadTSi, body: unhex(many.String())}))
	require.NoError(t, err)
	require.Len(t, m.TSi().Selectors, 255)
}

func TestC15_ConfigurationPayload(t *testing.T) {
	for body, ok := range map[string]bool{
		"": false, "01": false, "010000": false, "01000000": true,
		"01000000 0001 0000": true, "01000000 0001 0004 0a000001": true, "01000000 0001 0003 0a0000": true,
		"01000000 0001 00": false, "01000000 0001 0001": false, "01000000 0001 ffff 00": false,
	} {
		b := datagram(raw{t: message.PayloadCP, body: unhex(body)})
		if !ok {
			require.Equal(t, message.PayloadCP, requireSyntax(t, b).Payload)
			continue
		}
		m, err := message.Parse(b)
		require.NoError(t, err, body)
		requireSame(t, m, b)
	}
	// Values of the wrong length decode as attributes, and fail as values.
	for _, n := range []int{0, 3, 5, 17, 300} {
		a := message.ConfigAttribute{Type: message.AttrInternalIP4Address, Value: make([]byte, n)}
		_, err := a.Addr()
		require.ErrorIs(t, err, message.ErrSyntax)
		require.NotPanics(t, func() { _ = a.String() })
	}
	body := unhex("01000000")
	for range message.MaxConfigAttributes {
		body = append(body, 0, 1, 0, 0)
	}
	_, err := message.Parse(datagram(raw{t: message.PayloadCP, body: body}))
	require.NoError(t, err)
	requireSyntax(t, datagram(raw{t: message.PayloadCP, body: append(body, 0, 1, 0, 0)}))
}

func TestB09_EAPLength(t *testing.T) {
	for body, ok := range map[string]bool{
		"": false, "01": false, "010100": false,
		"01010005 01": true, "02010006 0161": true, "03010004": true, "04010004": true,
		"01010004": false, "02010004": false, // no type
		"01010006 01": false, "01010004 01": false, "01010000 01": false, "0101ffff 01": false,
		"03010005 00": false, "04010006 0000": false,
		"09010004": true, // unknown code: for the method's state machine
	} {
		b := datagram(raw{t: message.PayloadEAP, body: unhex(body)})
		if !ok {
			require.Equal(t, message.PayloadEAP, requireSyntax(t, b).Payload, body)
			continue
		}
		m, err := message.Parse(b)
		require.NoError(t, err, body)
		requireSame(t, m, b)
	}
}

func TestC25_TraceHidesSecretsAndEscapes(t *testing.T) {
	secret := []byte("s3cr3t-s3cr3t-s3cr3t")
	hexed := hex.EncodeToString(secret)[:16]
	m := message.Message{Header: message.Header{Exchange: message.ExchangeIKEAuth}}
	m.Payloads = message.Payloads{
		&message.AUTH{Method: message.AuthSharedKey, Data: secret},
		&message.KE{Group: 31, Data: secret},
		&message.Nonce{Data: secret},
		&message.EAP{Message: append([]byte{2, 1, 0, 25, 26}, secret...)},
		&message.CP{Type: message.ConfigReply, Attributes: []message.ConfigAttribute{{Type: 16522, Value: secret}}},
		&message.Notify{Type: message.NotifyTicketLTOpaque, Data: append(make([]byte, 4), secret...)},
		&message.Notify{Type: message.NotifyTicketOpaque, Data: secret},
		&message.Notify{Type: message.NotifyNoPPKAuth, Data: secret},
		&message.CERT{Encoding: message.CertX509Signature, Data: secret},
		&message.SK{Body: secret},
	}
	texts := []string{m.String(), m.Payloads.String()}
	for _, format := range []string{"%v", "%+v", "%s", "%#v", "%q"} {
		texts = append(texts, fmt.Sprintf(format, m), fmt.Sprintf(format, &m), fmt.Sprintf(format, m.Payloads))
		for _, p := range m.Payloads {
			texts = append(texts, fmt.Sprintf("%v", p), fmt.Sprintf("%s", p))
		}
	}
	texts = append(texts, fmt.Sprintf("%#v", *m.AUTH()), fmt.Sprintf("%#v", *m.EAP()), fmt.Sprintf("%#v", *m.CP()),
		m.LogValue().String(), m.Payloads.LogValue().String(), m.AUTH().LogValue().String(), m.EAP().LogValue().String(), m.CP().LogValue().String())
	for _, s := range texts {
		require.NotContains(t, s, "s3cr3t")
		require.NotContains(t, s, hexed)
		require.NotContains(t, s, fmt.Sprint(secret[0], " ", secret[1]))
	}

	evil := "a\nlevel=ERROR msg=\"x\"\x1b[31m\u202e%s\x00"
	m.Payloads = message.Payloads{
		&message.ID{Type: message.IDFQDN, Data: []byte(evil)},
		&message.ID{Type: message.IDDERASN1DN, Responder: true, Data: dn(evil)},
		&message.VendorID{ID: []byte(evil)},
		&message.VendorID{ID: []byte("printable %d\u202e")},
		&message.Notify{Type: 40999, Data: []byte(evil)},
		&message.Notify{Type: message.NotifyPPKIdentity, Data: append([]byte{2}, evil...)},
		&message.Notify{Type: message.NotifyRedirect, Data: append([]byte{3, byte(len(evil))}, evil...)},
		&message.CP{Attributes: []message.ConfigAttribute{{Type: message.AttrApplicationVersion, Value: []byte(evil)}, {Type: message.AttrInternalDNSDomain, Value: []byte(evil)}}},
		&message.Unknown{Type: 99, Body: []byte(evil)},
	}
	s := m.String()
	for _, c := range s {
		require.True(t, c >= 0x20 && c < 0x7f, "%q in %s", c, s)
	}
	require.Contains(t, s, `\nlevel=ERROR`)
}

// dn returns the DER of a distinguished name with one common name.
func dn(cn string) []byte {
	value := append([]byte{0x0c, byte(len(cn))}, cn...)
	atv := append([]byte{0x30, byte(5 + len(value)), 6, 3, 0x55, 4, 3}, value...)
	set := append([]byte{0x31, byte(len(atv))}, atv...)
	return append([]byte{0x30, byte(len(set))}, set...)
}
