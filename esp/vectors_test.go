package esp

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/pcap"
	"github.com/racoon3/racoon/spd"
)

type hexBytes []byte

func (h *hexBytes) UnmarshalText(b []byte) error {
	*h = make([]byte, hex.DecodedLen(len(b)))
	_, err := hex.Decode(*h, b)
	return err
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

func vectors[T any](t testing.TB, path string) []T {
	t.Helper()
	b, err := os.ReadFile("testdata/" + path)
	require.NoError(t, err)
	var f struct{ Vectors []T }
	require.NoError(t, json.Unmarshal(b, &f))
	require.NotEmpty(t, f.Vectors)
	return f.Vectors
}

func encr(id, bits uint16) spd.Transform {
	return spd.Transform{Type: spd.TransformENCR, ID: id, KeyLen: bits}
}

func integ(id uint16) spd.Transform { return spd.Transform{Type: spd.TransformINTEG, ID: id} }

// TestOpenMcGrewESN opens AES-GCM packets with extended sequence numbers,
// 2^64-1 among them.
func TestOpenMcGrewESN(t *testing.T) {
	for i, v := range vectors[struct {
		Key, Salt, IV, SPI, Seq64, Plain, CTag hexBytes
	}](t, "rfc/aes_gcm_esp_mcgrew.json") {
		spi := spd.SPI(binary.BigEndian.Uint32(v.SPI))
		sa, err := NewInboundSA(&spd.SA{
			Protocol: spd.ProtoESP, SPI: spi, ESN: true,
			Encryption: encr(spd.EncrAESGCM16, uint16(len(v.Key)*8)), EncrKey: append(bytes.Clone(v.Key), v.Salt...),
		})
		require.NoError(t, err)
		seq := binary.BigEndian.Uint64(v.Seq64)
		sa.window.Accept(seq - 1) // the half of the number that is not in the packet
		pkt := bytes.Join([][]byte{v.SPI, v.Seq64[4:], v.IV, v.CTag}, nil)
		o, err := sa.Open(bytes.Clone(pkt))
		require.NoError(t, err, i)
		require.Equal(t, seq, o.Seq)
		require.Equal(t, v.Plain[len(v.Plain)-1], o.Next)

		buf := bytes.Clone(pkt)
		sa.window = newWindow(&spd.SA{ESN: true})
		sa.window.Accept(seq - 1)
		o, err = sa.Open(buf)
		require.NoError(t, err)
		pad := int(v.Plain[len(v.Plain)-2])
		require.EqualValues(t, v.Plain[:len(v.Plain)-2-pad], buf[o.Start:o.End])
	}
}

func TestOpenChaCha20RFC7634(t *testing.T) {
	v := vectors[struct {
		Name           string
		Keymat, Packet hexBytes
		Source         hexBytes `json:"source_packet"`
	}](t, "rfc/chacha20poly1305_7634.json")[0]
	require.Equal(t, "ESP", v.Name)
	sa, err := NewInboundSA(&spd.SA{Protocol: spd.ProtoESP, SPI: 0x01020304, Encryption: encr(spd.EncrChaCha20Poly1305, 0), EncrKey: spd.Key(v.Keymat)})
	require.NoError(t, err)
	pkt := v.Packet[20:]
	o, err := sa.Open(pkt)
	require.NoError(t, err)
	require.Equal(t, Opened{Start: 16, End: 16 + len(v.Source), Next: protoIPv4, Seq: 5, Newest: true}, o)
	require.EqualValues(t, v.Source, pkt[o.Start:o.End])
}

// TestRFC3602Packets has the RFC's sample packets, which carry no ICV: the
// encryption alone is compared, made by this package's Seal with the RFC's IV.
func TestRFC3602Packets(t *testing.T) {
	for i, v := range []struct {
		key, iv, payload, sealed string
		spi, seq                 uint32
		next                     uint8
	}{
		{"90d382b410eeba7ad938c46cec1a82bf", "e96e8c08ab465763fd098d45dd3ff893",
			"08000ebda70a00008e9c083db95b070008090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637",
			"f663c25d325c18c6a9453e194e120849a4870b66cc6b9965330013b4898dc856a4699e523a55db080b59ec3a8e4b7e52775b07d1db34ed9c538ab50c551b874aa269add047ad2d5913ac19b7cfbad4a6",
			0x4321, 1, 1},
		{"90d382b410eeba7ad938c46cec1a82bf", "69d08df7d203329db093fc4924e5bd80",
			"0800b5e8a80a0500a69c083d0b660e0077777777777777777777777777777777"[:56],
			"f51995881ec4e0c4488987ce742e8109689bb379d2d750c0d915dca346a89f75",
			0x4321, 8, 1},
		{"0123456789abcdef0123456789abcdef", "f4e765244f6407adf13dc1380f673f37",
			"4500005409040000 4001f988c0a87b03c0a87bc808009f76a90a0100b49c083d02a2040008090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637",
			"773b5241a4c449225e4f3ce5ed611b0c237ca96cf74a93013c1b0ea1a0cf70f8e4ecaec78ac53aad7a0f022b859243c647752e94a859352b8a4d4d2decd136e5c177f132ad3fbfb2201ac9904c74ee0a109e0ca1e4dfe9d5a100b842f1c22f0d",
			0x8765, 2, 4},
		{"0123456789abcdef0123456789abcdef", "85d47224b5f3dd5d2101d4ea8dffab22",
			"45000044090c00004001f990c0a87b03c0a87bc80800d63caa0a0200c69c083da3de0300" + strings.Repeat("ff", 32),
			"15b92683819596a8047232cc00f7048fe45318e11f8a0f62ede3c3fc61203bb50f980a08c9843fd3a1b06d5c07ff9639b7eb7dfb3512e5de435e7207ed971ef3d2726d9b5ef6affc6d17a0decbb13892",
			0x8765, 5, 4},
	} {
		s := &spd.SA{
			Protocol: spd.ProtoESP, SPI: spd.SPI(v.spi), Encryption: encr(spd.EncrAESCBC, 128), EncrKey: unhex(v.key),
			Integrity: integ(spd.IntegHMACSHA1_96), IntegKey: make([]byte, 20),
		}
		out, err := NewOutboundSA(s, bytes.NewReader(make([]byte, 24)))
		require.NoError(t, err)
		out.ivKey = fixedIV(unhex(v.iv))
		out.seq.Store(uint64(v.seq) - 1)
		payload := unhex(v.payload)
		buf := make([]byte, 200)
		copy(buf[40:], payload)
		start, end, err := out.Seal(buf, 40, 40+len(payload), v.next)
		require.NoError(t, err)
		want := bytes.Join([][]byte{binary.BigEndian.AppendUint32(nil, v.spi), binary.BigEndian.AppendUint32(nil, v.seq), unhex(v.iv), unhex(v.sealed)}, nil)
		require.Equal(t, want, buf[start:end-12], "case %d", i+5)

		in, err := NewInboundSA(s)
		require.NoError(t, err)
		o, err := in.Open(buf[start:end])
		require.NoError(t, err)
		require.Equal(t, v.next, o.Next)
		require.Equal(t, payload, buf[start+o.Start:start+o.End])
	}
}

// fixedIV stands in for the block cipher that makes IVs.
type fixedIV []byte

func (f fixedIV) BlockSize() int          { return len(f) }
func (f fixedIV) Encrypt(dst, src []byte) { copy(dst, f) }
func (f fixedIV) Decrypt(dst, src []byte) { copy(dst, f) }

// TestNetBSDCaptures opens what two NetBSD kernels sent each other, in every
// algorithm of theirs that this package has, and then seals each payload again
// and opens that.
func TestNetBSDCaptures(t *testing.T) {
	ciphers := map[string]struct {
		id   uint16
		salt int
	}{"3": {spd.Encr3DES, 0}, "11": {spd.EncrNULL, 0}, "12": {spd.EncrAESCBC, 0}, "13": {spd.EncrAESCTR, 4}, "20": {spd.EncrAESGCM16, 4}, "23": {spd.EncrNULLAESGMAC, 4}}
	integs := map[string]uint16{
		"0": 0, "2": spd.IntegHMACMD5_96, "3": spd.IntegHMACSHA1_96, "5": spd.IntegHMACSHA256_128,
		"6": spd.IntegHMACSHA384_192, "7": spd.IntegHMACSHA512_256, "9": spd.IntegAESXCBC96,
	}
	b, err := os.ReadFile("testdata/netbsd-esp/keys.tsv")
	require.NoError(t, err)
	files := 0
	for line := range strings.Lines(string(b)) {
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		c, ok := ciphers[f[4]]
		if f[3] != "ESP" || !ok || strings.HasPrefix(f[0], "expire") {
			continue // AH, Camellia
		}
		files++
		t.Run(f[0], func(t *testing.T) {
			s := spd.SA{Protocol: spd.ProtoESP, EncrKey: unhex(f[5]), IntegKey: unhex(f[7]), Mode: spd.ModeTransport}
			s.Encryption, s.Integrity = encr(c.id, 0), integ(integs[strings.Fields(f[6])[0]])
			switch c.id {
			case spd.EncrNULL:
				s.EncrKey = nil // NetBSD's PF_KEY wants a dummy
			case spd.Encr3DES:
			default:
				s.Encryption.KeyLen = uint16(len(s.EncrKey)-c.salt) * 8
			}
			if f[1] == "tunnel" {
				s.Mode = spd.ModeTunnel
			}
			sas := map[uint32]*InboundSA{}
			for _, spi := range []uint32{0xa0001, 0xb0001} {
				s.SPI = spd.SPI(spi)
				sas[spi], err = NewInboundSA(&s)
				require.NoError(t, err)
			}
			again, err := NewOutboundSA(&s, bytes.NewReader(make([]byte, 24)))
			require.NoError(t, err)
			s.ReplayWindow = -1
			check, err := NewInboundSA(&s)
			require.NoError(t, err)

			packets, err := pcap.ReadFile("testdata/netbsd-esp/" + f[0])
			require.NoError(t, err)
			n := 0
			for _, p := range packets {
				ip, ok := p.IP()
				if !ok || ip.Protocol != protoESP {
					continue
				}
				n++
				pkt := bytes.Clone(ip.Payload)
				o, err := sas[binary.BigEndian.Uint32(pkt)].Open(pkt)
				require.NoError(t, err, n)
				payload := pkt[o.Start:o.End]
				if s.Mode == spd.ModeTunnel {
					_, ok := ipLength(payload)
					require.True(t, ok)
					require.EqualValues(t, protoIPv4, o.Next)
				} else {
					require.Contains(t, []uint8{protoICMP, protoICMPv6}, o.Next)
				}

				buf := make([]byte, 24+len(payload)+80)
				copy(buf[24:], payload)
				start, end, err := again.Seal(buf, 24, 24+len(payload), o.Next)
				require.NoError(t, err)
				if c.id != spd.EncrAESCTR { // which NetBSD pads to whole blocks
					require.Len(t, ip.Payload, end-start, "the same size as NetBSD's")
				}
				o2, err := check.Open(buf[start:end])
				require.NoError(t, err)
				require.Equal(t, payload, buf[start+o2.Start:start+o2.End])
			}
			require.GreaterOrEqual(t, n, 8, "of %d", len(packets))
		})
	}
	require.Equal(t, 10, files)
}
