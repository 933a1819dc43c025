package message_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/internal/pcap"
)

// datagrams returns the IKE messages of a capture, without non-ESP marker.
func datagrams(t testing.TB, name string) [][]byte {
	packets, err := pcap.ReadFile(name)
	require.NoError(t, err)
	var out [][]byte
	for d := range pcap.UDP(packets) {
		switch {
		case d.Src.Port() == 500 || d.Dst.Port() == 500:
			out = append(out, d.Payload)
		case (d.Src.Port() == 4500 || d.Dst.Port() == 4500) && bytes.HasPrefix(d.Payload, make([]byte, 4)):
			out = append(out, d.Payload[4:])
		}
	}
	return out
}

// racoon2 returns the messages of the session in testdata.
func racoon2(t testing.TB) [][]byte {
	b := datagrams(t, "testdata/racoon2/ikev2-psk.pcap")
	require.Len(t, b, 6)
	return b
}

// opened returns message i of what iked logged as decrypted: the header and the
// payloads that were inside of SK.
func opened(t testing.TB, name string, i int) (message.Header, message.Payloads, []byte, message.PayloadType) {
	b := datagrams(t, filepath.Join("testdata/racoon2", name))[i]
	require.Equal(t, byte(message.PayloadSK), b[16])
	require.Equal(t, uint16(4), binary.BigEndian.Uint16(b[30:]))
	h, err := message.ParseHeader(b)
	require.NoError(t, err)
	first, inner := message.PayloadType(b[28]), b[32:]
	ps, err := message.ParsePayloads(first, inner)
	require.NoError(t, err)
	return h, ps, inner, first
}

func TestCaptureDecodesToWhatTheLogSays(t *testing.T) {
	b := racoon2(t)
	m, err := message.Parse(b[0])
	require.NoError(t, err)
	require.Equal(t, message.SPI(0x00a30687602cb0db), m.Header.SPIi)
	require.Equal(t, message.ExchangeIKESAInit, m.Header.Exchange)
	require.True(t, m.Header.FromInitiator())
	require.False(t, m.Header.IsResponse())
	require.Equal(t, `00a30687602cb0db:0000000000000000 IKE_SA_INIT request 0 from initiator: `+
		`SA(#1 IKE ENCR_AES_CBC-128 PRF_HMAC_SHA1 AUTH_HMAC_SHA1_96 MODP_2048) KE(MODP_2048 256 octets) Nonce(32 octets) `+
		`N(NAT_DETECTION_SOURCE_IP 9a810de60e62eae09e4cf7ec6f9b29a4b17632f7) `+
		`N(NAT_DETECTION_DESTINATION_IP 6cdf9624dc69335a1ab0c936d2df25295b657906)`, m.String())

	// The encrypted ones, as iked decrypted them; note that its log of the
	// a side holds what a received and what it sent.
	_, ps, _, _ := opened(t, "ikev2-psk.b.decrypted.pcap", 3)
	require.Equal(t, `IDi(ID_IPV4_ADDR 10.1.0.1) N(INITIAL_CONTACT) AUTH(Shared Key Message Integrity Code 20 octets) `+
		`N(USE_TRANSPORT_MODE) SA(#1 ESP SPI 0c8c9798 ENCR_AES_CBC-128 AUTH_HMAC_SHA1_96 NO_ESN) `+
		`TSi(10.1.0.1/32 proto 1) TSr(10.1.0.2/32 proto 1)`, ps.String())
	require.NoError(t, ps.Require(message.PayloadIDi, message.PayloadAUTH, message.PayloadSA, message.PayloadTSi, message.PayloadTSr))
	require.ErrorIs(t, ps.Require(message.PayloadIDi, message.PayloadIDr), message.ErrMissingPayload)

	_, ps, _, _ = opened(t, "ikev2-psk.b.decrypted.pcap", 5)
	require.Equal(t, `D(IKE)`, ps.String())
}

func TestCaptureDecryptedPayloadsReencode(t *testing.T) {
	for name, n := range map[string][]int{"ikev2-psk.a.decrypted.pcap": {3}, "ikev2-psk.b.decrypted.pcap": {3, 5}} {
		for _, i := range n {
			_, ps, inner, first := opened(t, name, i)
			b := message.NewChainBuilder(nil)
			for _, p := range ps {
				b.Add(p)
			}
			out, err := b.Finish()
			require.NoError(t, err)
			require.Equal(t, inner, out)
			require.Equal(t, first, b.First())
		}
	}
}

// requireSame re-encodes a message and requires the octets it came from.
func requireSame(t *testing.T, m *message.Message, b []byte) {
	t.Helper()
	out, err := m.AppendBinary([]byte("prefix"))
	require.NoError(t, err)
	require.Equal(t, append([]byte("prefix"), b...), out)
	c, err := message.ParseChain(m.Header.NextPayload, b[message.HeaderLen:])
	require.NoError(t, err)
	require.Len(t, c, len(m.Payloads))
}

func TestCaptureReencodes(t *testing.T) {
	for _, b := range racoon2(t) {
		m, err := message.Parse(b)
		require.NoError(t, err)
		requireSame(t, m, b)
	}
}

// Other projects' captures are not in the repository; RACOON_REFERENCE names
// the folder that has them.
func TestReferenceCapturesReencode(t *testing.T) {
	root := os.Getenv("RACOON_REFERENCE")
	if root == "" {
		t.Skip("RACOON_REFERENCE is not set")
	}
	var decoded, refused int
	check := func(name string, b []byte) {
		if h, _ := message.ParseHeader(b); h.Version != 0 && h.Version.Major() != 2 {
			return // IKEv1
		}
		m, err := message.Parse(b)
		if err != nil {
			var pe *message.ParseError
			require.ErrorAs(t, err, &pe, name)
			refused++
			// What the captures' names announce as broken, and nothing else.
			broken := strings.Contains(name, "segfault") || strings.Contains(name, "oobr") || strings.Contains(name, "ikev2-id-") ||
				strings.Contains(name, "ikeinit-sunrise-sunset-via-east") || strings.Contains(name, "natt-response") || len(b) == 0
			require.True(t, broken, "%s: %v", name, err)
			return
		}
		decoded++
		requireSame(t, m, b)
		require.NotContains(t, m.String(), "\n")
	}
	files, _ := filepath.Glob(filepath.Join(root, "captures/*/*.pcap*"))
	require.NotEmpty(t, files)
	for _, f := range files {
		for _, b := range datagrams(t, f) {
			check(f, b)
		}
	}
	raw, _ := filepath.Glob(filepath.Join(root, "captures/ike-scan/*.dat"))
	require.NotEmpty(t, raw)
	for _, f := range raw {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		check(f, b)
	}
	require.GreaterOrEqual(t, decoded, 43)
	require.GreaterOrEqual(t, refused, 5)
}
