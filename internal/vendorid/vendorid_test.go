package vendorid

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/racoon3/racoon/natt"
	"github.com/stretchr/testify/require"
)

func octets(t *testing.T, s string) []byte {
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

// TestOnTheWire has vendor IDs as they are sent.
func TestOnTheWire(t *testing.T) {
	for _, c := range []struct {
		id, name  string
		extension Extension
		rest      string
	}{
		{"afcad71368a1f1c96b8696fc77570100", "dead peer detection", DPD, "0100"},
		{"12f5f28c457168a9702d9fe274cc0100", "Cisco Unity", Unity, "0100"},
		{"09002689dfd6b712", "XAuth", XAuth, ""},
		{"09002689dfd6b71280a224dec33b81e5", "XAuth", XAuth, ""},
		{"4048b7d56ebce88525e7de7f00d6c2d3", "IKEv1 fragmentation", Fragmentation, ""},
		{"4048b7d56ebce88525e7de7f00d6c2d380000000", "IKEv1 fragmentation", Fragmentation, "80000000"},
		{"4048b7d56ebce88525e7de7f00d6c2d3c0000000", "IKEv1 fragmentation", Fragmentation, "c0000000"},
		{"4a131c81070358455c5728f20e95452f", "NAT traversal (RFC 3947)", NATT, ""},
		{"90cb80913ebb696e086381b5ec427b1f", `NAT traversal (draft-ietf-ipsec-nat-t-ike-02\n)`, NATT, ""},
		{"4df37928e9fc4fd1b3262170d515c662", "NAT traversal (draft-ietf-ipsec-nat-t-ike, Apple)", NoExtension, ""},
		{"882fe56d6fd20dbc2251613b2ebe5beb", "strongSwan", NoExtension, ""},
		{"e154b11a96ee2b44d4954843cd3a40a3", "strongSwan 5.0.0", NoExtension, ""},
		{"9e10a0d4205edc6c90bd5381a53c2d2b", "strongSwan 5.1.1", NoExtension, ""},
		{"85b6cbec480d5c8cd9882c825ac2c244", "strongSwan 2.2.0", NoExtension, ""},
		{"7003cbc1097dbe9c2600ba6983bc8b35", "KAME/racoon", NoExtension, ""},
		{"20a3622c1cea7ce37bee3ca484425276", "ipsec-tools racoon", NoExtension, ""},
		{"1e2b516905991c7d7c96fcbfb587e46100000009", "Windows 8, 10 or Server 2012 R2", NoExtension, ""},
		{"1e2b516905991c7d7c96fcbfb587e46100000002", "Windows 2000", NoExtension, ""},
		{"1e2b516905991c7d7c96fcbfb587e46100000063", "Windows", NoExtension, "00000063"},
		{"1e2b516905991c7d7c96fcbfb587e461", "Windows", NoExtension, ""},
		{"621b04bb09882ac1e15935fefa24aeee", "GSSAPI (Microsoft)", GSSAPI, ""},
		{"b46d8914f3aaa3f2fedeb7c7db2943ca", "A GSS-API Authentication Method for IKE", GSSAPI, ""},
		{"26244d38eddb61b3172a36e3d0cfb819", "Microsoft Initial-Contact", InitialContact, ""},
		{"fb1de3cdf341b7ea16b7e5be0855f120", "Microsoft Negotiation Discovery", NoExtension, ""},
		{"1f07f70eaa6514d3b0fa96542a500407", "Cisco VPN concentrator", NoExtension, "500407"},
		{"8299031757a36082c6a621de00000000", "FortiGate", NoExtension, "00000000"},
		{"434953434f2d44454c4554452d524541534f4e", "Cisco delete reason", NoExtension, ""},
		{"4f454576724f6b6f6f4b4b4b", "FreeS/WAN, Openswan or Libreswan before 3.6", NoExtension, "4576724f6b6f6f4b4b4b"},
		{"4f53577e7b6566787577466d", "Openswan", NoExtension, "7e7b6566787577466d"},
		{"4f452d4c696272657377616e2d342e3135", "Libreswan", NoExtension, "342e3135"},
		{"4f70656e494b45442d372e34", "OpenIKED", NoExtension, "372e34"},
	} {
		i, ok := Lookup(octets(t, c.id))
		require.True(t, ok, c.name)
		require.Equal(t, c.name, i.Name)
		require.Equal(t, c.extension, i.Extension, c.name)
		require.Equal(t, c.rest, hex.EncodeToString(i.Rest), c.name)
	}
	for _, id := range []string{
		"", "af", "afcad71368a1f1c96b8696fc7757", "afcad71368a1f1c96b8696fc7757010000", // DPD has two octets of version
		"09002689dfd6b71200", "4048b7d56ebce88525e7de7f00d6c2d38000", "4f45", "00112233445566778899aabbccddeeff",
	} {
		_, ok := Lookup(octets(t, id))
		require.False(t, ok, id)
	}
}

func TestEveryEntryIsFound(t *testing.T) {
	tab := table()
	require.Greater(t, len(tab.whole), 150)
	for id, e := range tab.whole {
		i, ok := Lookup([]byte(id))
		require.True(t, ok)
		require.Equal(t, e.name, i.Name)
		require.NotEmpty(t, i.Name)
	}
	for _, p := range prefixes {
		id := []byte(p.id)
		for len(id) < p.length {
			id = append(id, 0xee)
		}
		i, ok := Lookup(id)
		require.True(t, ok)
		require.Equal(t, p.name, i.Name)
	}
	for _, e := range prefixes {
		require.NotContains(t, e.name, "\n")
	}
}

func TestAppend(t *testing.T) {
	for x, want := range map[Extension]string{
		DPD:            "afcad71368a1f1c96b8696fc77570100",
		XAuth:          "09002689dfd6b712",
		Unity:          "12f5f28c457168a9702d9fe274cc0100",
		Fragmentation:  "4048b7d56ebce88525e7de7f00d6c2d380000000",
		GSSAPI:         "621b04bb09882ac1e15935fefa24aeee",
		InitialContact: "26244d38eddb61b3172a36e3d0cfb819",
		NoExtension:    "",
		NATT:           "",
	} {
		id := x.Append([]byte("x"))
		require.Equal(t, want, hex.EncodeToString(id[1:]))
		if want != "" {
			i, ok := Lookup(id[1:])
			require.True(t, ok)
			require.Equal(t, x, i.Extension)
		}
	}
	for v := range natt.Variants() {
		i, ok := Lookup(v.AppendVendorID(nil))
		require.True(t, ok)
		require.Equal(t, NATT, i.Extension)
	}
}

func TestDescribe(t *testing.T) {
	for id, want := range map[string]string{
		"":                          "empty",
		"\x01\x02\xff":              "0102ff",
		"hello":                     `"hello"`,
		`say "hi"`:                  `"say \"hi\""`,
		"two\nlines":                "74776f0a6c696e6573",
		dpd + "\x01\x00":            "dead peer detection 0100",
		"OE-Libreswan-4.15":         `Libreswan "4.15"`,
		strings.Repeat("a", 32):     `"` + strings.Repeat("a", 32) + `"`,
		strings.Repeat("a", 60_000): `"` + strings.Repeat("a", 32) + `"...`,
		strings.Repeat("\x00", 100): strings.Repeat("00", 32) + "...",
	} {
		require.Equal(t, want, Describe([]byte(id)))
	}
}

// TestC25_LogInjection: nothing a peer puts into a vendor ID reaches a log as it is.
func TestC25_LogInjection(t *testing.T) {
	for _, prefix := range []string{"", "OE-Libreswan-", "OpenIKED-", "Mac OSX 10.x", windows} {
		for c := range 256 {
			s := Describe(append([]byte(prefix), bytes.Repeat([]byte{byte(c)}, 9)...))
			require.Less(t, len(s), 128)
			for _, r := range s {
				require.True(t, r >= ' ' && r <= '~', "%q", s)
			}
		}
	}
}

func TestLookupAllocatesNothing(t *testing.T) {
	known, unknown := DPD.Append(nil), bytes.Repeat([]byte{7}, 60_000)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		Lookup(known)
		Lookup(unknown)
	}))
}

func BenchmarkLookup(b *testing.B) {
	known, unknown := Fragmentation.Append(nil), bytes.Repeat([]byte{7}, 20)
	b.ReportAllocs()
	for b.Loop() {
		Lookup(known)
		Lookup(unknown)
	}
}

func FuzzDescribe(f *testing.F) {
	f.Add([]byte(dpd))
	f.Add([]byte("OE-Libreswan-4.15"))
	f.Fuzz(func(t *testing.T, id []byte) {
		if s := Describe(id); s == "" || len(s) > 256 {
			t.Fatalf("%q", s)
		}
	})
}
