package isakmp_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev1/isakmp"
)

// raw is a payload of a hand-made message: type and body.
type raw struct {
	t    isakmp.PayloadType
	body []byte
}

// datagram makes a message of raw payloads, without any help of the encoder.
func datagram(ps ...raw) []byte {
	b := unhex("0102030405060708 0000000000000000 00 10 02 00 00000000 00000000")
	link := 16
	for _, p := range ps {
		b[link] = byte(p.t)
		link = len(b)
		n := 4 + len(p.body)
		b = append(b, 0, 0, byte(n>>8), byte(n))
		b = append(b, p.body...)
	}
	binary.BigEndian.PutUint32(b[24:], uint32(len(b)))
	return b
}

// requireKind requires a ParseError of a kind that may be answered with a
// notify, 0 for none.
func requireKind(t *testing.T, err, kind error, answer isakmp.NotifyType) *isakmp.ParseError {
	t.Helper()
	var pe *isakmp.ParseError
	require.ErrorAs(t, err, &pe)
	require.ErrorIs(t, err, kind)
	require.Equal(t, answer, pe.Notify())
	return pe
}

func requireSyntax(t *testing.T, b []byte) *isakmp.ParseError {
	t.Helper()
	m, err := isakmp.Parse(b)
	require.Nil(t, m)
	var pe *isakmp.ParseError
	require.ErrorAs(t, err, &pe)
	require.ErrorIs(t, err, isakmp.ErrSyntax)
	require.LessOrEqual(t, pe.Offset, len(b))
	want := isakmp.NotifyPayloadMalformed
	if pe.Payload == isakmp.PayloadSA {
		want = isakmp.NotifyBadProposalSyntax
	}
	require.Equal(t, want, pe.Notify())
	return pe
}

func TestA01_HeaderAndLength(t *testing.T) {
	whole := session(t, "psk-main")[0]
	for n := range len(whole) {
		m, err := isakmp.Parse(whole[:n])
		require.Nil(t, m)
		kind := isakmp.ErrLength
		if n < isakmp.HeaderLen {
			kind = isakmp.ErrTruncated
		}
		requireKind(t, err, kind, 0) // dropped without an answer
	}
	_, err := isakmp.Parse(append(bytes.Clone(whole), 0))
	requireKind(t, err, isakmp.ErrLength, 0)
	for _, length := range []uint32{0, 27, uint32(len(whole)) - 1, uint32(len(whole)) + 1, 1 << 31, 1<<32 - 1} {
		b := bytes.Clone(whole)
		binary.BigEndian.PutUint32(b[24:], length)
		_, err := isakmp.Parse(b)
		requireKind(t, err, isakmp.ErrLength, 0)
	}
	// Header only is a message without payloads.
	m, err := isakmp.Parse(datagram())
	require.NoError(t, err)
	require.Empty(t, m.Payloads)
	// Octets behind the last payload, with a length that covers them: in clear
	// there is no padding.
	b := append(datagram(raw{t: isakmp.PayloadVendorID, body: []byte("x")}), 1, 2, 3)
	binary.BigEndian.PutUint32(b[24:], uint32(len(b)))
	require.Contains(t, requireSyntax(t, b).Error(), "3 octets after the last payload")
	// Payloads without a first type.
	b[16] = 0
	requireSyntax(t, b)
}

func TestA01_NoAllocationForRubbish(t *testing.T) {
	b := datagram()
	binary.BigEndian.PutUint32(b[24:], 1<<32-1)
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { isakmp.Parse(b) }), 5.0)
}

func TestA02_MajorVersion(t *testing.T) {
	for major := range 16 {
		for minor := range 16 {
			b := datagram()
			b[17] = byte(major<<4 | minor)
			h, err := isakmp.ParseHeader(b)
			require.Equal(t, isakmp.Cookie(0x0102030405060708), h.CookieI, "the header is there to be answered")
			if major == 1 {
				require.NoError(t, err)
			} else {
				requireKind(t, err, isakmp.ErrMajorVersion, isakmp.NotifyInvalidMajorVersion)
			}
			m, perr := isakmp.Parse(b)
			require.Equal(t, err == nil, perr == nil)
			require.Equal(t, err == nil, m != nil)
		}
	}
}

func TestA03_GenericPayloadLength(t *testing.T) {
	for n := range 4 {
		b := datagram(raw{t: isakmp.PayloadVendorID}, raw{t: isakmp.PayloadNonce, body: make([]byte, 32)})
		binary.BigEndian.PutUint16(b[30:], uint16(n))
		require.Equal(t, isakmp.PayloadVendorID, requireSyntax(t, b).Payload)
		for _, parse := range []func(isakmp.PayloadType, []byte) (isakmp.Chain, error){isakmp.ParseChain, isakmp.ParsePaddedChain} {
			_, err := parse(isakmp.PayloadVendorID, b[28:])
			requireKind(t, err, isakmp.ErrSyntax, isakmp.NotifyPayloadMalformed)
		}
	}
	// A chain that would come back to itself does not: payloads follow one
	// another in the octets.
	b := bytes.Repeat([]byte{byte(isakmp.PayloadVendorID), 0, 0, 4}, 1000)
	_, err := isakmp.ParseChain(isakmp.PayloadVendorID, b)
	requireKind(t, err, isakmp.ErrTooManyPayloads, isakmp.NotifyPayloadMalformed)
	// Cut short within the generic header.
	for n := 1; n < 4; n++ {
		_, err := isakmp.ParsePaddedChain(isakmp.PayloadVendorID, make([]byte, n))
		requireKind(t, err, isakmp.ErrSyntax, isakmp.NotifyPayloadMalformed)
	}
	// RFC 2408 5.3: the reserved octet is zero. Decryption with a wrong key
	// shows here first.
	b = datagram(raw{t: isakmp.PayloadVendorID})
	b[29] = 1
	require.Contains(t, requireSyntax(t, b).Error(), "reserved")
}

func TestA04_PayloadLengthPastTheEnd(t *testing.T) {
	for _, n := range []uint16{5, 6, 1000, 0x7fff, 0x8000, 0xfffc, 0xffff} {
		b := datagram(raw{t: isakmp.PayloadVendorID})
		binary.BigEndian.PutUint16(b[30:], n)
		requireSyntax(t, b)
	}
	// Inner lengths: SPI sizes, counts, attributes, labels, all past their end.
	sa := "00000001 00000001 "
	for name, r := range map[string]raw{
		"notify SPI":      {t: isakmp.PayloadNotify, body: unhex("00000001 03 ff 6002 00000001")},
		"delete count":    {t: isakmp.PayloadDelete, body: unhex("00000001 03 04 ffff 00000001")},
		"proposal SPI":    {t: isakmp.PayloadSA, body: unhex(sa + "00000010 01 03 ff 00 0000000000000000")},
		"proposal":        {t: isakmp.PayloadSA, body: unhex(sa + "0000ffff 01 03 00 00")},
		"transform":       {t: isakmp.PayloadSA, body: unhex(sa + "00000010 01 03 00 01 0000ffff 01010000")},
		"basic attribute": {t: isakmp.PayloadSA, body: unhex(sa + "00000013 01 03 00 01 0000000b 01010000 800100")},
		"attribute":       {t: isakmp.PayloadSA, body: unhex(sa + "00000014 01 03 00 01 0000000c 01010000 000cffff")},
		"secrecy":         {t: isakmp.PayloadSA, body: unhex("00000001 00000003 00000000 ffff0000 00000000")},
		"category":        {t: isakmp.PayloadSA, body: unhex("00000001 00000003 00000000 00000000 ffff0000")},
		"integrity":       {t: isakmp.PayloadSA, body: unhex("00000001 00000005 00000000 00000000 00210000 00000000")},
		"config":          {t: isakmp.PayloadAttributes, body: unhex("01000000 0001ffff 0a000001")},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, r.t, requireSyntax(t, datagram(r)).Payload) })
	}
}

var someSA = unhex("00000001 00000001 00000024 01010001 0000001c 01010000 80010007 800e0080 80020002 80030001 8004000e")

// mandatory are the payloads that the exchanges need.
func mandatory() []raw {
	return []raw{
		{t: isakmp.PayloadHASH, body: make([]byte, 20)},
		{t: isakmp.PayloadSA, body: someSA},
		{t: isakmp.PayloadKE, body: unhex("0102")},
		{t: isakmp.PayloadNonce, body: make([]byte, 16)},
		{t: isakmp.PayloadID, body: unhex("02000000 61")},
		{t: isakmp.PayloadSIG, body: unhex("63")},
		{t: isakmp.PayloadAttributes, body: unhex("01000000")},
		{t: isakmp.PayloadFragment, body: unhex("00010101 00")},
	}
}

func TestA05_MissingAndDuplicatePayloads(t *testing.T) {
	all := mandatory()
	var types []isakmp.PayloadType
	for _, r := range all {
		types = append(types, r.t)
	}
	m, err := isakmp.Parse(datagram(all...))
	require.NoError(t, err)
	require.NoError(t, m.Require(types...))
	for i, r := range all {
		t.Run(r.t.String(), func(t *testing.T) {
			without := append(append([]raw(nil), all[:i]...), all[i+1:]...)
			m, err := isakmp.Parse(datagram(without...))
			require.NoError(t, err)
			pe := requireKind(t, m.Require(types...), isakmp.ErrMissingPayload, pick(r.t == isakmp.PayloadSA, isakmp.NotifyBadProposalSyntax, isakmp.NotifyPayloadMalformed))
			require.Equal(t, r.t, pe.Payload)
			for ty, missing := range map[isakmp.PayloadType]bool{
				isakmp.PayloadSA: m.SA() == nil, isakmp.PayloadKE: m.KE() == nil, isakmp.PayloadNonce: m.Nonce() == nil,
				isakmp.PayloadID: m.ID() == nil, isakmp.PayloadHASH: m.HASH() == nil, isakmp.PayloadSIG: m.SIG() == nil,
				isakmp.PayloadAttributes: m.Attributes() == nil, isakmp.PayloadFragment: m.Fragment() == nil,
			} {
				require.Equal(t, ty == r.t, missing, "getter of %v", ty)
			}
			require.Zero(t, m.Count(r.t))

			m, err = isakmp.Parse(datagram(append(append([]raw(nil), all...), r)...))
			switch r.t {
			case isakmp.PayloadKE, isakmp.PayloadNonce, isakmp.PayloadHASH, isakmp.PayloadSIG:
				pe = requireKind(t, err, isakmp.ErrDuplicatePayload, isakmp.NotifyPayloadMalformed)
				require.Equal(t, r.t, pe.Payload)
			default: // an exchange may want more than one, and counts
				require.NoError(t, err)
				require.Equal(t, 2, m.Count(r.t))
			}
		})
	}
	// Two identities are Quick Mode's, three are nobody's.
	id := raw{t: isakmp.PayloadID, body: unhex("02000000 61")}
	other := raw{t: isakmp.PayloadID, body: unhex("02000000 62")}
	for n, ids := range [][]raw{nil, {id}, {id, other}, {id, other, id}} {
		m, err := isakmp.Parse(datagram(ids...))
		if n == 3 {
			requireKind(t, err, isakmp.ErrDuplicatePayload, isakmp.NotifyPayloadMalformed)
			continue
		}
		require.NoError(t, err)
		ci, cr := m.ClientIDs()
		if n < 2 {
			require.Nil(t, ci)
			require.Nil(t, cr)
			continue
		}
		require.Equal(t, "a", string(ci.Data))
		require.Equal(t, "b", string(cr.Data))
	}
}

func pick[T any](c bool, a, b T) T {
	if c {
		return a
	}
	return b
}

// known are the payload types with a struct.
func known(t isakmp.PayloadType) bool {
	return t == isakmp.PayloadSA || t >= isakmp.PayloadKE && t <= isakmp.PayloadAttributes ||
		t == isakmp.PayloadNATD || t == isakmp.PayloadNATOA || t >= isakmp.PayloadNATDDraft && t <= isakmp.PayloadFragment
}

func TestA06_UnknownPayloads(t *testing.T) {
	nonce := raw{t: isakmp.PayloadNonce, body: make([]byte, 16)}
	for ty := 1; ty < 256; ty++ {
		pt := isakmp.PayloadType(ty)
		if known(pt) {
			continue
		}
		// Kept and shown; ISAKMP has no critical bit, and Only decides.
		b := datagram(raw{t: pt, body: []byte{0xab, 0xcd}}, nonce)
		m, err := isakmp.Parse(b)
		require.NoError(t, err)
		require.NotNil(t, m.Nonce())
		require.Equal(t, &isakmp.Unknown{Type: pt, Body: []byte{0xab, 0xcd}}, m.Payloads[0])
		require.Contains(t, m.String(), pt.String()+"(abcd)")
		requireSame(t, m, b)
		err = m.Only(isakmp.PayloadNonce)
		if pt >= 128 {
			require.NoError(t, err, "private")
		} else {
			pe := requireKind(t, err, isakmp.ErrUnexpectedPayload, isakmp.NotifyInvalidPayloadType)
			require.Equal(t, pt, pe.Payload)
		}
		require.NoError(t, m.Only(isakmp.PayloadNonce, pt))
	}

	many := make([]raw, isakmp.MaxPayloads)
	for i := range many {
		many[i] = raw{t: 200}
	}
	m, err := isakmp.Parse(datagram(many...))
	require.NoError(t, err)
	require.Len(t, m.Payloads, isakmp.MaxPayloads)
	_, err = isakmp.Parse(datagram(append(many, raw{t: 200})...))
	requireKind(t, err, isakmp.ErrTooManyPayloads, isakmp.NotifyPayloadMalformed)
}

func TestA07_IKEv2PayloadsInVersion1(t *testing.T) {
	for ty := 33; ty <= 54; ty++ {
		for _, r := range mandatory() {
			m, err := isakmp.Parse(datagram(raw{t: isakmp.PayloadType(ty), body: r.body}))
			require.NoError(t, err)
			require.IsType(t, &isakmp.Unknown{}, m.Payloads[0])
			require.Error(t, m.Require(r.t))
			requireKind(t, m.Only(r.t), isakmp.ErrUnexpectedPayload, isakmp.NotifyInvalidPayloadType)
		}
	}
	// And an IKEv2 message is refused by its version.
	b := datagram(mandatory()[1])
	b[17] = 0x20
	_, err := isakmp.Parse(b)
	requireKind(t, err, isakmp.ErrMajorVersion, isakmp.NotifyInvalidMajorVersion)
}

func TestA09_DOIAndSituation(t *testing.T) {
	body := func(doi, situation uint32, rest ...byte) []byte {
		b := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, doi), situation)
		return datagram(raw{t: isakmp.PayloadSA, body: append(append(b, rest...), someSA[8:]...)})
	}
	for _, doi := range []uint32{0, 2, 3, 0x80000000, 0xffffffff} {
		_, err := isakmp.Parse(body(doi, 1))
		requireKind(t, err, isakmp.ErrDOI, isakmp.NotifyDOINotSupported)
	}
	for _, s := range []uint32{0, 8, 9, 0x80000001, 0xffffffff} {
		_, err := isakmp.Parse(body(1, s))
		requireKind(t, err, isakmp.ErrSituation, isakmp.NotifySituationNotSupported)
	}
	// Labels are decoded, so that what is refused can be shown.
	label := unhex("00000007 0003 0000 aabbcc00 0009 0000 80800000")
	for s, rest := range map[isakmp.Situation][]byte{
		3: label, 5: label, 7: append(bytes.Clone(label), label[4:]...), 2: label,
	} {
		b := body(1, uint32(s), rest...)
		m, err := isakmp.Parse(b)
		require.NoError(t, err)
		requireSame(t, m, b)
		l := m.SA().Labels
		require.Equal(t, uint32(7), l.Domain)
		want := isakmp.Label{Level: unhex("aabbcc"), CategoryBits: 9, Categories: unhex("8080")}
		require.Equal(t, pick(s&isakmp.SituationSecrecy != 0, want, isakmp.Label{}), l.Secrecy)
		require.Equal(t, pick(s&isakmp.SituationIntegrity != 0, want, isakmp.Label{}), l.Integrity)
		require.Contains(t, m.String(), "SIT_")
	}
	// GDOI's payloads and the substructures of SA are nothing that an exchange
	// of IKE takes, unless it is told that 15 and 16 are NAT-D and NAT-OA.
	for ty := range isakmp.PayloadType(32) {
		switch {
		case ty != 0 && !known(ty):
			m, err := isakmp.Parse(datagram(raw{t: ty, body: someSA}))
			require.NoError(t, err)
			require.IsType(t, &isakmp.Unknown{}, m.Payloads[0])
			requireKind(t, m.Only(isakmp.PayloadSA), isakmp.ErrUnexpectedPayload, isakmp.NotifyInvalidPayloadType)
		}
	}
}

func TestA10_EmptyKE(t *testing.T) {
	require.Equal(t, isakmp.PayloadKE, requireSyntax(t, datagram(raw{t: isakmp.PayloadKE})).Payload)
	// The group is the SA's: any other length is passed on as it came, leading
	// zeros included, for the group to judge.
	for _, n := range []int{1, 95, 96, 97, 1024, 60000} {
		b := datagram(raw{t: isakmp.PayloadKE, body: make([]byte, n)})
		m, err := isakmp.Parse(b)
		require.NoError(t, err)
		require.Len(t, m.KE().Data, n)
		requireSame(t, m, b)
	}
}

// Every answer that a broken message may get is at most one notification
// without data, which is smaller than what asked for it, but for the header
// alone; and what is not a message gets none.
func TestA18_AnswersToBrokenMessagesAreSmall(t *testing.T) {
	answers := 0
	for i, b := range append(session(t, "psk-main"), datagram(mandatory()...)) {
		for at := range b {
			c := bytes.Clone(b)
			c[at] ^= 0x80
			_, err := isakmp.Parse(c)
			if err == nil {
				continue
			}
			var pe *isakmp.ParseError
			require.ErrorAs(t, err, &pe)
			answer := pe.Notify()
			if at >= 24 && at < 28 {
				require.Zero(t, answer)
			}
			if answer == 0 {
				continue
			}
			answers++
			reply := isakmp.Message{Header: isakmp.Header{CookieI: 1, Exchange: isakmp.ExchangeInformational},
				Payloads: isakmp.Payloads{&isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: 1, Type: answer}}}
			out, err := reply.AppendBinary(nil)
			require.NoError(t, err)
			require.Less(t, len(out), len(b), "message %d octet %d", i, at)
		}
	}
	require.Greater(t, answers, 100)
}

func TestA20_EncryptedBeforeKeys(t *testing.T) {
	// Nothing inside of an encrypted message is taken for payloads, whatever
	// the header says comes first.
	b := datagram(mandatory()...)
	for _, exchange := range []isakmp.ExchangeType{isakmp.ExchangeInformational, isakmp.ExchangeQuickMode, isakmp.ExchangeTransaction} {
		b[18], b[19] = byte(exchange), byte(isakmp.FlagEncryption)
		m, err := isakmp.Parse(b)
		require.NoError(t, err)
		require.True(t, m.Header.Encrypted())
		require.Empty(t, m.Payloads)
		require.Empty(t, m.Chain)
		require.Equal(t, b[28:], m.Ciphertext)
		require.Nil(t, m.SA())
		require.Nil(t, m.Attributes())
		require.Nil(t, m.ErrorNotify())
		require.Error(t, m.Require(isakmp.PayloadHASH))
		out, err := m.AppendBinary(nil)
		require.NoError(t, err)
		require.Equal(t, b, out)
	}
	// And what does not decrypt to payloads is an error, not a panic.
	wrong := readSecrets(t, "psk-main")
	wrong.Key[0] ^= 1
	for _, b := range session(t, "psk-main") {
		m, err := isakmp.Parse(b)
		require.NoError(t, err)
		if m.Header.Encrypted() {
			_, err := isakmp.ParsePaddedChain(m.Header.NextPayload, wrong.open(t, m))
			require.ErrorIs(t, err, isakmp.ErrSyntax)
		}
	}
}

func TestA21_WhatIsLoggedWithoutState(t *testing.T) {
	// Every payload prints by itself, empty or not, without an SA around it.
	for _, p := range []isakmp.Payload{
		&isakmp.SA{}, &isakmp.KE{}, &isakmp.ID{}, &isakmp.CERT{}, &isakmp.CR{}, &isakmp.HASH{}, &isakmp.SIG{}, &isakmp.Nonce{},
		&isakmp.Notify{}, &isakmp.Delete{}, &isakmp.VendorID{}, &isakmp.Attributes{}, &isakmp.NATD{}, &isakmp.NATOA{}, &isakmp.Fragment{}, &isakmp.Unknown{},
		&isakmp.ID{Type: isakmp.IDIPv4Addr}, &isakmp.ID{Type: isakmp.IDIPv6AddrSubnet, Data: []byte{1}}, &isakmp.Notify{Type: isakmp.NotifyRUThere, Data: []byte{1}},
	} {
		require.NotEmpty(t, p.String())
		require.NotContains(t, p.String(), "PANIC")
	}
	for ty := range 256 {
		for n := range 40 {
			m, err := isakmp.Parse(datagram(raw{t: isakmp.PayloadType(ty), body: make([]byte, n)}))
			if err != nil {
				require.NotEmpty(t, err.Error())
				continue
			}
			require.NotContains(t, m.String(), "\n")
		}
	}
}

func TestA23_VendorIDs(t *testing.T) {
	ids := []raw{{body: nil}, {body: []byte{0}}, {body: make([]byte, 60000)}, {body: []byte("\x1b[2J\nok")}}
	for i := range ids {
		ids[i].t = isakmp.PayloadVendorID
	}
	b := datagram(ids...)
	m, err := isakmp.Parse(b)
	require.NoError(t, err)
	requireSame(t, m, b)
	i := 0
	for v := range m.VendorIDs() {
		require.Equal(t, len(ids[i].body), len(v.ID))
		i++
	}
	require.Equal(t, 4, i)
	require.Less(t, len(m.String()), 500)
	require.NoError(t, m.Only(), "anywhere")

	many := make([]raw, 1000)
	for i := range many {
		many[i].t = isakmp.PayloadVendorID
	}
	_, err = isakmp.Parse(datagram(many...))
	requireKind(t, err, isakmp.ErrTooManyPayloads, isakmp.NotifyPayloadMalformed)
	m, err = isakmp.Parse(datagram(many[:isakmp.MaxPayloads]...))
	require.NoError(t, err)
	require.Equal(t, isakmp.MaxPayloads, m.Count(isakmp.PayloadVendorID))
	require.LessOrEqual(t, testing.AllocsPerRun(10, func() { isakmp.Parse(datagram(many[:isakmp.MaxPayloads]...)) }), 30.0)
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
