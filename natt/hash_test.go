package natt

import (
	"crypto"
	"crypto/sha1"
	_ "crypto/sha3"
	"encoding/hex"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func octets(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

// TestRecordedHashes holds the hashes that racoon (IKEv1, SHA-1 negotiated) and racoon2 (IKEv2) sent to each other between
// 10.1.0.1 and 10.1.0.2, port 500.
func TestRecordedHashes(t *testing.T) {
	a, b := netip.MustParseAddrPort("10.1.0.1:500"), netip.MustParseAddrPort("10.1.0.2:500")
	for _, c := range []struct {
		spiI, spiR uint64
		addr       netip.AddrPort
		want       string
	}{
		{0x90bcd6936f9c768c, 0x3d3cc5f8bcf23bd4, b, "617fa7a41be6208ccaca3ac3105f3ad46d2560eb"},
		{0x90bcd6936f9c768c, 0x3d3cc5f8bcf23bd4, a, "14fb47dbd855f04bc6bd3124b88ea0345b10414e"},
		{0x00a30687602cb0db, 0, a, "9a810de60e62eae09e4cf7ec6f9b29a4b17632f7"},
		{0x00a30687602cb0db, 0, b, "6cdf9624dc69335a1ab0c936d2df25295b657906"},
		{0x00a30687602cb0db, 0x10b440f313f58b13, b, "b3500c381751a19894f9552941d6fdb0f0c1f350"},
		{0x00a30687602cb0db, 0x10b440f313f58b13, a, "b9737c39ff37be276507233981013b92685419c7"},
	} {
		require.Equal(t, octets(t, c.want), AppendHash(nil, SHA1, c.spiI, c.spiR, c.addr))
	}
}

// TestHashInput spells out what is hashed, for each kind of address and each function.
func TestHashInput(t *testing.T) {
	const spis = "0102030405060708" + "1112131415161718"
	for addr, tail := range map[string]string{
		"192.0.2.1:4500":             "c0000201" + "1194",
		"[2001:db8::1]:500":          "20010db8000000000000000000000001" + "01f4",
		"[fe80::1%eth0]:500":         "fe800000000000000000000000000001" + "01f4",
		"[::ffff:192.0.2.1]:4500":    "c0000201" + "1194",
		"[64:ff9b::192.0.2.1]:65535": "0064ff9b0000000000000000c0000201" + "ffff",
		"":                           "00000000" + "0000",
	} {
		var a netip.AddrPort
		if addr != "" {
			a = netip.MustParseAddrPort(addr)
		}
		in := octets(t, spis+tail)
		for _, h := range []Hash{MD5, SHA1, SHA256, SHA384, SHA512} {
			sum := h.New()
			sum.Write(in)
			got := AppendHash([]byte("before"), h, 0x0102030405060708, 0x1112131415161718, a)
			require.Equal(t, append([]byte("before"), sum.Sum(nil)...), got, "%s %v", addr, h)
		}
	}
	for _, h := range []Hash{0, crypto.SHA224, crypto.SHA3_256, 999} {
		require.Equal(t, []byte("x"), AppendHash([]byte("x"), h, 1, 2, netip.AddrPort{}))
	}
}

func TestHashAllocatesNothing(t *testing.T) {
	addrs := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:500"), netip.MustParseAddrPort("[2001:db8::1]:500")}
	buf := make([]byte, 0, maxHash)
	for _, h := range []Hash{MD5, SHA1, SHA256, SHA384, SHA512} {
		for _, a := range addrs {
			require.Zero(t, testing.AllocsPerRun(100, func() { buf = AppendHash(buf[:0], h, 1, 2, a) }), "%v %v", h, a)
		}
	}
}

func BenchmarkAppendHash(b *testing.B) {
	addr := netip.MustParseAddrPort("[2001:db8::1]:500")
	b.Run("AppendHash", func(b *testing.B) {
		var buf [maxHash]byte
		b.ReportAllocs()
		for b.Loop() {
			AppendHash(buf[:0], SHA1, 1, 2, addr)
		}
	})
	b.Run("raw SHA-1", func(b *testing.B) {
		var in [hashInput]byte
		b.ReportAllocs()
		for b.Loop() {
			sha1.Sum(in[:])
		}
	})
}
