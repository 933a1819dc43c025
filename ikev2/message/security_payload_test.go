package message_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/spd"
)

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
		"one port":             {"01000000 07 06 0010 0050 0050 0a000001 0a0000ff", true, true},
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
			texts = append(texts, fmt.Sprintf("%v", p), p.String())
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
