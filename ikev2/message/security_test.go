package message_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math"
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
	t.Run("an octet too many", func(t *testing.T) {
		_, err := parseSA(t, append(proposal(1, true, encr), 0))
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
	least := uint64(math.MaxUint64)
	for range 5 { // others may allocate meanwhile
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}
