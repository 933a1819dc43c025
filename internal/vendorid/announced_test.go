package vendorid

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/racoon3/racoon/natt"
	"github.com/stretchr/testify/require"
)

// TestAnnounced has the vendor IDs of real clients.
func TestAnnounced(t *testing.T) {
	for _, c := range []struct {
		client    string
		ids       []string
		has       []Extension
		natt      natt.Variant
		fragments Fragments
		method    Extension
	}{
		{"vpnc", []string{"09002689dfd6b712", "12f5f28c457168a9702d9fe274cc0100", "4a131c81070358455c5728f20e95452f", "90cb80913ebb696e086381b5ec427b1f", "cd60464335df21f87cfdb2fc68b6a448", "afcad71368a1f1c96b8696fc77570100"},
			[]Extension{XAuth, Unity, NATT, DPD}, natt.RFC3947, 0, XAuth},
		{"Windows XP", []string{"1e2b516905991c7d7c96fcbfb587e46100000004", "4048b7d56ebce88525e7de7f00d6c2d3", "90cb80913ebb696e086381b5ec427b1f", "26244d38eddb61b3172a36e3d0cfb819", "621b04bb09882ac1e15935fefa24aeee"},
			[]Extension{Fragmentation, NATT, InitialContact, GSSAPI}, natt.Draft02Newline, FragmentsMain, GSSAPI},
		{"racoon", []string{"4a131c81070358455c5728f20e95452f", "4048b7d56ebce88525e7de7f00d6c2d3c0000000", "afcad71368a1f1c96b8696fc77570100"},
			[]Extension{NATT, Fragmentation, DPD}, natt.RFC3947, FragmentsMain | FragmentsBase, NoExtension},
		{"both", []string{"621b04bb09882ac1e15935fefa24aeee", "09002689dfd6b712"}, []Extension{GSSAPI, XAuth}, natt.NoVariant, 0, XAuth},
		{"unknown", []string{"", "00", "ffffffffffffffffffffffffffffffff"}, nil, natt.NoVariant, 0, NoExtension},
		{"capabilities nobody knows", []string{"4048b7d56ebce88525e7de7f00d6c2d300000001"}, []Extension{Fragmentation}, natt.NoVariant, 0, NoExtension},
	} {
		var a Announced
		for _, id := range c.ids {
			a.Add(octets(t, id))
		}
		for x := NoExtension; x <= NATT; x++ {
			require.Equal(t, slices.Contains(c.has, x), a.Has(x), "%s %d", c.client, x)
		}
		require.Equal(t, c.natt, a.NATT(natt.Variant.Valid), c.client)
		require.Equal(t, natt.NoVariant, a.NATT(func(v natt.Variant) bool { return !v.Floats() }), c.client)
		if c.client == "vpnc" {
			require.Equal(t, natt.Draft02Newline, a.NATT(func(v natt.Variant) bool { return v != natt.RFC3947 }))
			require.Equal(t, natt.Draft02, a.NATT(func(v natt.Variant) bool { return v <= natt.Draft02 }))
		}
		require.Equal(t, c.fragments, a.Fragmentation(), c.client)
		require.Equal(t, c.method, a.Method65001(), c.client)
	}
	require.Equal(t, "4048b7d56ebce88525e7de7f00d6c2d3c0000000", hex.EncodeToString((FragmentsMain | FragmentsBase).Append(nil)))
	require.Equal(t, Fragmentation.Append(nil), FragmentsMain.Append(nil))
}

// A23: no number of vendor IDs takes memory.
func TestA23_ManyVendorIDs(t *testing.T) {
	ids := make([][]byte, 1000)
	for i := range ids {
		ids[i] = append([]byte(unity), byte(i), byte(i>>8))
	}
	var a Announced
	require.Zero(t, testing.AllocsPerRun(10, func() {
		for _, id := range ids {
			a.Add(id)
		}
	}))
	require.True(t, a.Has(Unity))
	s := Names(slices.Values(ids))
	require.Less(t, len(s), 24*128)
	require.True(t, strings.HasSuffix(s, "Cisco Unity 1700 and 976 more"), s)
	long := slices.Repeat([][]byte{make([]byte, 60_000)}, 1000)
	require.Less(t, len(Names(slices.Values(long))), 128, "each is named once")
	require.Empty(t, Names(slices.Values([][]byte(nil))))
}

func TestFingerprints(t *testing.T) {
	n := 0
	for line := range strings.Lines(fingerprints) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		digits, name, _ := strings.Cut(line, " ")
		id := octets(t, digits)
		require.GreaterOrEqual(t, len(id), 4)
		i, ok := Lookup(id)
		require.True(t, ok)
		require.Equal(t, name, i.Name, digits)
		n++
	}
	require.Greater(t, n, 40)
}

// TestKnownVendorIDs looks up what others have collected, where that list is there.
func TestKnownVendorIDs(t *testing.T) {
	root := os.Getenv("RACOON_REFERENCE")
	if root == "" {
		t.Skip("RACOON_REFERENCE is not set")
	}
	b, err := os.ReadFile(filepath.Join(root, "vendor-ids.tsv"))
	if os.IsNotExist(err) {
		b, err = os.ReadFile(filepath.Join(root, "..", "vendor-ids.tsv"))
	}
	require.NoError(t, err)
	known, unknown := 0, []string{}
	for line := range strings.Lines(string(b)) {
		f := strings.Split(line, "\t")
		if len(f) < 3 || f[0] == "" || strings.HasPrefix(f[0], "#") || f[1] == "regex" {
			continue
		}
		if _, ok := Lookup(octets(t, f[0])); ok {
			known++
		} else {
			unknown = append(unknown, f[2])
		}
	}
	require.Greater(t, known, 500)
	require.Less(t, len(unknown), 20, "%q", unknown)
	t.Logf("%d known, not %q", known, unknown)
}
