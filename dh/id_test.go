package dh

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestIDs(t *testing.T) {
	var ids []ID
	for g := range Groups() {
		id := g.ID()
		ids = append(ids, id)
		same, ok := ByID(id)
		require.True(t, ok)
		require.Equal(t, g, same)
		for _, name := range []string{id.String(), strings.ToUpper(id.String()), " " + id.String() + "\n"} {
			got, err := ParseID(name)
			require.NoError(t, err)
			require.Equal(t, id, got)
		}
		text, err := id.MarshalText()
		require.NoError(t, err)
		var back ID
		require.NoError(t, back.UnmarshalText(text))
		require.Equal(t, id, back)
		require.NotZero(t, id.Strength())
	}
	// The numbers of the IANA registry, in order.
	require.Equal(t, []ID{1, 2, 5, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 31, 36, 37}, ids)
	require.Len(t, registry, len(ids))

	n := 0
	for range Groups() {
		if n++; n == 2 {
			break
		}
	}
	require.Equal(t, 2, n)
}

func TestParseID(t *testing.T) {
	for name, want := range map[string]ID{
		"none": None, "0": None, "14": MODP2048, "group14": MODP2048, "DH14": MODP2048, "modp2048": MODP2048,
		"p256": ECP256, "secp384r1": ECP384, "Curve25519": Curve25519, "ml-kem-768": MLKEM768, "modp2048s256": MODP2048Sub256,
	} {
		got, err := ParseID(name)
		require.NoError(t, err, name)
		require.Equal(t, want, got, name)
	}
	for _, name := range []string{"", "modp", "3", "-14", "65550", "2048", "modp2048 modp3072", "dh", "dh1 group1"} {
		_, err := ParseID(name)
		var e *UnknownGroupError
		require.ErrorAs(t, err, &e, name)
		require.Equal(t, name, e.Name)
		require.ErrorContains(t, err, "modp3072", "the error lists what can be written")
	}
}

func TestGrades(t *testing.T) {
	legacy, weak := []ID{2, 5}, []ID{1, 22, 23, 24}
	for g := range Groups() {
		want := Sound
		if slices.Contains(legacy, g.ID()) {
			want = Legacy
		} else if slices.Contains(weak, g.ID()) {
			want = Weak
		}
		require.Equal(t, want, g.ID().Grade(), "%v", g.ID())
	}
	require.Equal(t, "sound legacy weak dh.Grade(9)", strings.Join([]string{Sound.String(), Legacy.String(), Weak.String(), Grade(9).String()}, " "))
}
