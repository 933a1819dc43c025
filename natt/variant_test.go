package natt

import (
	"crypto/md5"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestVendorIDs computes the vendor IDs from the texts, and checks those that are printed: RFC 3947 3.1, and section 3.1 of
// drafts 00, 02 and 03.
func TestVendorIDs(t *testing.T) {
	n := 0
	for v := range Variants() {
		n++
		sum := md5.Sum([]byte(vendorIDs[v].text))
		require.Equal(t, sum[:], v.AppendVendorID(nil), "%v", v)
		got, ok := VariantOf(sum[:])
		require.True(t, ok)
		require.Equal(t, v, got)
		require.NotContains(t, v.String(), "\n")
	}
	require.Equal(t, 11, n)
	for v, printed := range map[Variant]string{
		RFC3947:        "4a131c81070358455c5728f20e95452f",
		Draft00:        "4485152d18b6bbcd0be8a8469579ddcc",
		Draft02Newline: "90cb80913ebb696e086381b5ec427b1f",
		Draft03:        "7d9419a65310ca6f2c179d9215529d56",
	} {
		require.Equal(t, octets(t, printed), v.AppendVendorID(nil))
	}
	for _, bad := range [][]byte{nil, {}, octets(t, "4a131c81070358455c5728f20e954530"), append(RFC3947.AppendVendorID(nil), 0), RFC3947.AppendVendorID(nil)[:15]} {
		_, ok := VariantOf(bad)
		require.False(t, ok)
	}
}

func TestVariantsBestFirst(t *testing.T) {
	all := slices.Collect(Variants())
	require.Equal(t, RFC3947, all[0])
	require.Equal(t, Draft00, all[len(all)-1])
	require.True(t, slices.IsSortedFunc(all, func(a, b Variant) int { return int(b) - int(a) }))
	for v := range Variants() {
		require.Equal(t, RFC3947, v)
		break
	}
}

// TestVariantNumbers has the payload types and modes of RFC 3947 3.2, 5.1 and 5.2 and of the same sections of the drafts.
func TestVariantNumbers(t *testing.T) {
	type numbers struct {
		natd, natoa       uint8
		tunnel, transport Mode
		floats            bool
		originals         int // 4.2 of 00 and 01, 5.2 of the others
	}
	for v, want := range map[Variant]numbers{
		NoVariant:      {0, 0, 1, 2, false, 0},
		Draft00:        {130, 131, 61443, 61444, false, 1},
		Draft01:        {130, 131, 61443, 61444, false, 1},
		Draft02:        {130, 131, 61443, 61444, true, 1},
		Draft02Newline: {130, 131, 61443, 61444, true, 1},
		Draft03:        {130, 131, 61443, 61444, true, 1},
		Draft04:        {15, 16, 3, 4, true, 1},
		Draft05:        {15, 16, 3, 4, true, 2},
		Draft06:        {15, 16, 3, 4, true, 2},
		Draft07:        {15, 16, 3, 4, true, 2},
		Draft08:        {15, 16, 3, 4, true, 2},
		RFC3947:        {20, 21, 3, 4, true, 2},
		RFC3947 + 1:    {0, 0, 1, 2, false, 0},
		255:            {0, 0, 1, 2, false, 0},
	} {
		require.Equal(t, want, numbers{v.NATD(), v.NATOA(), Tunnel.UDP(v), Transport.UDP(v), v.Floats(), v.OriginalAddresses()}, "%v", v)
		for _, m := range []Mode{Tunnel, Transport} {
			plain, udp := m.UDP(v).Plain()
			require.Equal(t, m, plain)
			require.Equal(t, v >= Draft00 && v <= RFC3947, udp)
		}
		require.Equal(t, Mode(61440), Mode(61440).UDP(v))
		require.NotEmpty(t, v.String())
	}
	require.Empty(t, Variant(200).AppendVendorID(nil))
	plain, udp := Mode(61440).Plain()
	require.Equal(t, Mode(61440), plain)
	require.False(t, udp)
	require.Equal(t, "mode 61440", Mode(61440).String())
}

func TestFloat(t *testing.T) {
	for _, c := range [][4]string{
		{"10.0.0.2:500", "203.0.113.1:500", "10.0.0.2:4500", "203.0.113.1:4500"},
		{"[2001:db8::2]:500", "[2001:db8::1]:500", "[2001:db8::2]:4500", "[2001:db8::1]:4500"},
		{"[fe80::2%3]:500", "[fe80::1%3]:500", "[fe80::2%3]:4500", "[fe80::1%3]:4500"},
		{"10.0.0.2:4500", "203.0.113.1:4500", "10.0.0.2:4500", "203.0.113.1:4500"},
		{"10.0.0.2:31337", "203.0.113.1:500", "10.0.0.2:31337", "203.0.113.1:4500"},
		{"10.0.0.2:500", "203.0.113.1:5555", "10.0.0.2:4500", "203.0.113.1:5555"},
	} {
		l, r := Float(netip.MustParseAddrPort(c[0]), netip.MustParseAddrPort(c[1]))
		require.Equal(t, c[2:], []string{l.String(), r.String()})
		l2, r2 := Float(l, r)
		require.Equal(t, []netip.AddrPort{l, r}, []netip.AddrPort{l2, r2}, "twice is as once")
	}
}
