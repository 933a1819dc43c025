package isakmp_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/spd"
)

func der(t testing.TB, name string) []byte {
	b, err := os.ReadFile(filepath.Join("testdata/pkcs7", name+".der"))
	require.NoError(t, err)
	return b
}

func TestA28_PKCS7(t *testing.T) {
	ee, ca, crl := der(t, "ee"), der(t, "ca"), der(t, "crl")
	wrapped := func(b []byte) *isakmp.CERT { return &isakmp.CERT{Encoding: isakmp.CertPKCS7, Data: b} }

	got, err := wrapped(der(t, "certs-crl")).Certificates()
	require.NoError(t, err)
	require.Equal(t, [][]byte{ee, ca}, got)
	got, err = wrapped(der(t, "certs-crl")).RevocationLists()
	require.NoError(t, err)
	require.Equal(t, [][]byte{crl}, got)
	got, err = wrapped(der(t, "signed")).Certificates()
	require.NoError(t, err)
	require.ElementsMatch(t, [][]byte{ee, ca}, got)
	got, err = wrapped(der(t, "signed")).RevocationLists()
	require.NoError(t, err)
	require.Empty(t, got)

	// Encrypted content, with and without its octets, indefinite length, a
	// bare certificate, nothing.
	enveloped := der(t, "enveloped")
	for name, b := range map[string][]byte{
		"enveloped": enveloped, "indefinite length": der(t, "ber"), "certificate": ee, "empty": nil,
		"empty sequence": unhex("3000"), "type only": unhex("300b 06092a864886f70d010702"),
		"empty content":  unhex("300d 06092a864886f70d010702 a000"),
		"empty signed":   unhex("300f 06092a864886f70d010702 a002 3000"),
		"encrypted data": unhex("300d 06092a864886f70d010706 a000"),
	} {
		_, err := wrapped(b).Certificates()
		var pe *isakmp.ParseError
		require.ErrorAs(t, err, &pe, name)
		require.ErrorIs(t, err, isakmp.ErrSyntax, name)
		require.Equal(t, isakmp.PayloadCERT, pe.Payload)
	}
	// Cut anywhere, with an octet more, and with any octet changed: an error or
	// certificates out of the payload, never a panic.
	whole := der(t, "certs-crl")
	for n := range whole {
		_, err := wrapped(whole[:n]).Certificates()
		require.Error(t, err, "%d octets", n)
	}
	_, err = wrapped(append(bytes.Clone(whole), 0)).Certificates()
	require.ErrorContains(t, err, "octets after the end")
	for i := range whole {
		for _, v := range []byte{0x00, 0x80, 0xff, whole[i] ^ 1} {
			b := bytes.Clone(whole)
			b[i] = v
			got, err := wrapped(b).Certificates()
			if err == nil {
				for _, c := range got {
					require.True(t, bytes.Contains(b, c))
				}
			}
		}
	}
	// More certificates than anybody needs.
	set := bytes.Repeat(unhex("3003020101"), isakmp.MaxCertificates)
	signed := func(set []byte) []byte {
		s := append(unhex("020101 3100 300b06092a864886f70d010701"), tlv(0xa0, set)...)
		return tlv(0x30, append(unhex("06092a864886f70d010702"), tlv(0xa0, tlv(0x30, append(s, 0x31, 0)))...))
	}
	got, err = wrapped(signed(set)).Certificates()
	require.NoError(t, err)
	require.Len(t, got, isakmp.MaxCertificates)
	_, err = wrapped(signed(append(set, unhex("3003020101")...))).Certificates()
	require.ErrorContains(t, err, "more than 32")
	// Octets inside of SignedData, behind what belongs there.
	inner := append(unhex("020101 3100 300b06092a864886f70d010701 3100"), 5, 0)
	_, err = wrapped(tlv(0x30, append(unhex("06092a864886f70d010702"), tlv(0xa0, tlv(0x30, inner))...))).Certificates()
	require.ErrorIs(t, err, isakmp.ErrSyntax)

	// The other encodings: the certificate itself, or none.
	for e := range 256 {
		c := isakmp.CERT{Encoding: isakmp.CertEncoding(e), Data: ee}
		got, err := c.Certificates()
		lists, lerr := c.RevocationLists()
		switch c.Encoding {
		case isakmp.CertPKCS7:
			require.Error(t, err)
			require.Error(t, lerr)
			continue
		case isakmp.CertX509Signature, isakmp.CertX509KeyExchange:
			require.Equal(t, [][]byte{ee}, got)
			require.Empty(t, lists)
		case isakmp.CertCRL, isakmp.CertARL:
			require.Empty(t, got)
			require.Equal(t, [][]byte{ee}, lists)
		default:
			require.Empty(t, got)
			require.Empty(t, lists)
		}
		require.NoError(t, err)
		require.NoError(t, lerr)
	}
}

// tlv makes a DER value with a length of two octets where it is needed.
func tlv(tag byte, content []byte) []byte {
	b := []byte{tag}
	switch n := len(content); {
	case n < 0x80:
		b = append(b, byte(n))
	case n < 0x100:
		b = append(b, 0x81, byte(n))
	default:
		b = append(b, 0x82, byte(n>>8), byte(n))
	}
	return append(b, content...)
}

// Nothing is kept of a message that is dropped, and one costs a small multiple
// of its length.
func TestA31_Memory(t *testing.T) {
	messages := [][]byte{datagram(mandatory()...), datagram(raw{t: isakmp.PayloadAttributes, body: append(unhex("01000000"), bytes.Repeat(unhex("80010001"), isakmp.MaxConfigAttributes)...)})}
	messages = append(messages, session(t, "psk-main")[:4]...)
	var many []raw
	for range isakmp.MaxPayloads {
		many = append(many, raw{t: isakmp.PayloadNATD})
	}
	messages = append(messages, datagram(many...))
	for i, b := range messages {
		require.LessOrEqual(t, allocated(func() { isakmp.Parse(b) }), uint64(32*len(b)+2048), "message %d", i)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 100_000 {
		b := messages[i%len(messages)]
		at := i % len(b)
		b[at] ^= byte(i)
		isakmp.Parse(b)
		b[at] ^= byte(i)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(1<<20))
}

func TestA32_NATDiscovery(t *testing.T) {
	for _, ty := range []isakmp.PayloadType{isakmp.PayloadNATD, isakmp.PayloadNATDDraft, isakmp.PayloadNATDDraft04} {
		for _, n := range []int{0, 1, 2, 3, 64, isakmp.MaxPayloads} {
			var ps []raw
			for i := range n {
				ps = append(ps, raw{t: ty, body: make([]byte, i%40)}) // any length: the hash is not known here
			}
			b := datagram(ps...)
			m, err := isakmp.Parse(b)
			require.NoError(t, err)
			requireSame(t, m, b)
			i := 0
			for h := range m.NATDs(ty) {
				require.Len(t, h, i%40)
				i++
			}
			require.Equal(t, n, i)
			for range m.NATDs(isakmp.PayloadVendorID) {
				t.Fatal("no NAT-D")
			}
		}
		_, err := isakmp.Parse(datagram(slices.Repeat([]raw{{t: ty}}, isakmp.MaxPayloads+1)...))
		requireKind(t, err, isakmp.ErrTooManyPayloads, isakmp.NotifyPayloadMalformed)
	}
	// Original addresses.
	good := []raw{{body: unhex("01000000 0a000001")}, {body: unhex("05000000 fd000000000000000000000000000001")}, {body: unhex("01000000 0a000003")}}
	bad := []string{"", "01000000", "01000000 0a0000", "01000000 0a00000100", "05000000 0a000001", "02000000 0a000001", "01000000 fd000000000000000000000000000001"}
	for _, ty := range []isakmp.PayloadType{isakmp.PayloadNATOA, isakmp.PayloadNATOADraft, isakmp.PayloadNATOADraft04} {
		for i := range good {
			good[i].t = ty
		}
		m, err := isakmp.Parse(datagram(good...))
		require.NoError(t, err)
		oas, n, err := m.NATOAs(ty)
		require.NoError(t, err)
		require.Equal(t, 2, n)
		require.Equal(t, [2]isakmp.NATOA{{Type: ty, Addr: netip.MustParseAddr("10.0.0.1")}, {Type: ty, Addr: netip.MustParseAddr("fd00::1")}}, oas)
		for _, s := range bad {
			m, err := isakmp.Parse(datagram(raw{t: ty, body: unhex(s)}))
			if err == nil { // 16: not known to be an address before the caller says so
				require.Equal(t, isakmp.PayloadNATOADraft04, ty)
				_, _, err = m.NATOAs(ty)
			}
			requireKind(t, err, isakmp.ErrSyntax, isakmp.NotifyPayloadMalformed)
		}
	}
}

func TestC04_HashPayload(t *testing.T) {
	hash := raw{t: isakmp.PayloadHASH, body: make([]byte, 20)}
	n := raw{t: isakmp.PayloadNotify, body: unhex("00000001 01 00 6002")}
	split := func(padding int, ps ...raw) (mac, covered []byte, err error) {
		b := append(datagram(ps...)[28:], make([]byte, padding)...)
		first := isakmp.PayloadNone
		if len(ps) > 0 {
			first = ps[0].t
		}
		c, err := isakmp.ParsePaddedChain(first, b)
		require.NoError(t, err)
		require.Equal(t, len(b)-padding, c.Len())
		return c.Hashed(b)
	}
	// Omitted, or not in front.
	for _, ps := range [][]raw{nil, {n}, {n, hash}} {
		_, _, err := split(3, ps...)
		requireKind(t, err, isakmp.ErrMissingPayload, isakmp.NotifyPayloadMalformed)
	}
	// Twice: which one was meant?
	for _, ps := range [][]raw{{hash, hash}, {hash, n, hash}} {
		_, _, err := split(0, ps...)
		requireKind(t, err, isakmp.ErrDuplicatePayload, isakmp.NotifyPayloadMalformed)
	}
	// All payloads behind it are covered, padding is not.
	for padding := range 20 {
		mac, covered, err := split(padding, hash, n, n)
		require.NoError(t, err)
		require.Equal(t, hash.body, mac)
		require.Equal(t, datagram(n, n)[28:], covered)
		_, covered, err = split(padding, hash)
		require.NoError(t, err)
		require.Empty(t, covered)
	}
	// An empty hash compares with nothing.
	require.Equal(t, isakmp.PayloadHASH, requireSyntax(t, datagram(raw{t: isakmp.PayloadHASH})).Payload)
	require.Equal(t, isakmp.PayloadSIG, requireSyntax(t, datagram(raw{t: isakmp.PayloadSIG})).Payload)
}

func TestC05_ProtocolsAndSPISizes(t *testing.T) {
	for proto := range 256 {
		for _, size := range []int{0, 1, 2, 3, 4, 5, 8, 15, 16, 17, 255} {
			p := spd.Protocol(proto)
			spi := bytes.Repeat([]byte{0x11}, size)
			ipsec := size == 4 && (p == spd.ProtoAH || p == spd.ProtoESP || p == spd.ProtoIPComp) || size == 2 && p == spd.ProtoIPComp
			ike := size == 16 && p == spd.ProtoIKE

			b := datagram(raw{t: isakmp.PayloadNotify, body: append([]byte{0, 0, 0, 1, byte(proto), byte(size), 0x60, 2}, spi...)})
			m, err := isakmp.Parse(b)
			require.NoError(t, err)
			requireSame(t, m, b)
			n := m.Notify(isakmp.NotifyInitialContact)
			_, ok := n.IPsecSPI()
			require.Equal(t, ipsec, ok, "%d %d", proto, size)
			_, _, ok = n.Cookies()
			require.Equal(t, ike, ok, "%d %d", proto, size)

			b = datagram(raw{t: isakmp.PayloadDelete, body: append([]byte{0, 0, 0, 1, byte(proto), byte(size), 0, byte(pick(size > 0, 1, 0))}, spi...)})
			m, err = isakmp.Parse(b)
			require.NoError(t, err)
			requireSame(t, m, b)
			for d := range m.Deletes() {
				found := 0
				for range d.IPsecSPIs() {
					found++
				}
				require.Equal(t, pick(ipsec, 1, 0), found)
				_, _, ok := d.Cookies()
				require.Equal(t, ike, ok)
			}
		}
	}
}

func TestC07_QuickModeIdentities(t *testing.T) {
	// A name where an address is expected is no selector, nor is a mask with a
	// hole or a reversed range.
	for name, id := range map[string]isakmp.ID{
		"FQDN":           {Type: isakmp.IDFQDN, Data: []byte("10.0")},
		"user":           {Type: isakmp.IDUserFQDN, Data: unhex("0a000001")},
		"DN":             {Type: isakmp.IDDERASN1DN, Data: unhex("0a000001")},
		"key ID":         {Type: isakmp.IDKeyID, Data: unhex("0a000001")},
		"list":           {Type: isakmp.IDList, Data: unhex("0a000001")},
		"unknown":        {Type: 99, Data: unhex("0a000001")},
		"none":           {},
		"hole":           {Type: isakmp.IDIPv4AddrSubnet, Data: unhex("0a000000 ff00ff00")},
		"hole in octet":  {Type: isakmp.IDIPv4AddrSubnet, Data: unhex("0a000000 ffa00000")},
		"reversed mask":  {Type: isakmp.IDIPv4AddrSubnet, Data: unhex("0a000000 000000ff")},
		"reversed range": {Type: isakmp.IDIPv4AddrRange, Data: unhex("0a000002 0a000001")},
		"reversed v6":    {Type: isakmp.IDIPv6AddrRange, Data: append(bytes.Repeat([]byte{2}, 16), bytes.Repeat([]byte{1}, 16)...)},
		"short":          {Type: isakmp.IDIPv4AddrRange, Data: unhex("0a000002")},
	} {
		_, err := id.TrafficSelector()
		var pe *isakmp.ParseError
		require.ErrorAs(t, err, &pe, name)
		require.Equal(t, isakmp.PayloadID, pe.Payload)
		_, _, err = id.Range()
		require.ErrorAs(t, err, &pe, name)
	}
	// A key length of zero (AES-GMAC) is there to be refused, not left out.
	a := isakmp.Basic(isakmp.Phase2KeyLength, uint16(0))
	sa, err := parseSA(t, proposal(1, true, transform(1, byte(isakmp.ESPNullAuthAESGMAC), isakmp.AppendAttributes(nil, a)...)))
	require.NoError(t, err)
	got := sa.Proposals[0].Transforms[0].First(uint16(isakmp.Phase2KeyLength))
	require.Equal(t, &a, got)
	v, ok := got.Uint()
	require.True(t, ok)
	require.Zero(t, v)
}

func TestC08_Deletes(t *testing.T) {
	d := func(proto, size byte, count uint16, spis string) []byte {
		b := []byte{0, 0, 0, 1, proto, size, 0, 0}
		binary.BigEndian.PutUint16(b[6:], count)
		return append(b, unhex(spis)...)
	}
	for name, body := range map[string][]byte{
		"count 2 of 1":       d(3, 4, 2, "00000001"),
		"count 0 of 1":       d(3, 4, 0, "00000001"),
		"count 65535":        d(3, 4, 65535, "00000001"),
		"size 255":           d(3, 255, 1, "00000001"),
		"size 3":             d(3, 3, 1, "00000001"),
		"size 0 with SPI":    d(3, 0, 1, "00000001"),
		"size 0 count 65535": d(1, 0, 65535, ""),
		"no fields":          unhex("00000001 0304"),
	} {
		require.Equal(t, isakmp.PayloadDelete, requireSyntax(t, datagram(raw{t: isakmp.PayloadDelete, body: body})).Payload, name)
	}
	// The same SPI twice in one payload and in two: all are given, in order,
	// for the owner of the SAs to delete each once.
	two := raw{t: isakmp.PayloadDelete, body: d(3, 4, 2, "00000001 00000001")}
	ike := raw{t: isakmp.PayloadDelete, body: d(1, 16, 1, "0102030405060708 1112131415161718")}
	n := raw{t: isakmp.PayloadNotify, body: unhex("00000001 01 00 6002")}
	m, err := isakmp.Parse(datagram(two, ike, two, n))
	require.NoError(t, err)
	var got []spd.SPI
	sas := 0
	for d := range m.Deletes() {
		got = slices.AppendSeq(got, d.IPsecSPIs())
		if i, r, ok := d.Cookies(); ok {
			sas++
			require.Equal(t, isakmp.Cookie(0x0102030405060708), i)
			require.Equal(t, isakmp.Cookie(0x1112131415161718), r)
		}
	}
	require.Equal(t, []spd.SPI{1, 1, 1, 1}, got)
	require.Equal(t, 1, sas)
	require.True(t, m.HasNotify(isakmp.NotifyInitialContact))
	// Two ISAKMP SAs in one payload are not taken for one.
	x := isakmp.Delete{Protocol: spd.ProtoIKE, SPISize: 16, SPIs: make([]byte, 32)}
	_, _, ok := x.Cookies()
	require.False(t, ok)
}
