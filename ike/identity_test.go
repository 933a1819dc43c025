package ike

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func mustID(t testing.TB, s string) Identity {
	t.Helper()
	id, err := ParseIdentity(s)
	require.NoError(t, err, s)
	return id
}

func unhex(s string) string {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestParseIdentity(t *testing.T) {
	for _, v := range []struct {
		in   string
		want Identity
		out  string // String, if not in
	}{
		{"gw.example.org", Identity{IDFQDN, "gw.example.org"}, ""},
		{"@gw", Identity{IDFQDN, "gw"}, "gw"},
		{"fqdn:gw", Identity{IDFQDN, "gw"}, "gw"},
		{"fqdn:10.0.0.1", Identity{IDFQDN, "10.0.0.1"}, ""},
		{"fqdn:*.lab", Identity{IDFQDN, "*.lab"}, ""},
		{"fqdn:0x676f", Identity{IDFQDN, "go"}, "go"},
		{"user@example.org", Identity{IDRFC822Addr, "user@example.org"}, ""},
		{"email:user", Identity{IDRFC822Addr, "user"}, ""},
		{"userfqdn:a@b", Identity{IDRFC822Addr, "a@b"}, "a@b"},
		{"10.0.0.1", Identity{IDIPv4Addr, "\x0a\x00\x00\x01"}, ""},
		{"ipv4:10.0.0.1", Identity{IDIPv4Addr, "\x0a\x00\x00\x01"}, "10.0.0.1"},
		{"2001:db8::1", Identity{IDIPv6Addr, unhex("20010db8000000000000000000000001")}, ""},
		{"fc::1", Identity{IDIPv6Addr, unhex("00fc0000000000000000000000000001")}, ""},
		{"::ffff:10.0.0.1", Identity{IDIPv4Addr, "\x0a\x00\x00\x01"}, "10.0.0.1"},
		{"10.0.0.0/24", Identity{IDIPv4Subnet, unhex("0a000000ffffff00")}, ""},
		{"10.0.0.9/0", Identity{IDIPv4Subnet, unhex("0000000000000000")}, "0.0.0.0/0"},
		{"2001:db8::/33", Identity{IDIPv6Subnet, unhex("20010db8000000000000000000000000 ffffffff800000000000000000000000")}, ""},
		{"10.0.0.1-10.0.0.9", Identity{IDIPv4Range, unhex("0a0000010a000009")}, ""},
		{"keyid:group", Identity{IDKeyID, "group"}, ""},
		{"keyid:0x00ff", Identity{IDKeyID, "\x00\xff"}, ""},
		{"keyid:0x30783031", Identity{IDKeyID, "0x01"}, ""},
		{"fc:0x0102030405060708", Identity{IDFCName, "\x01\x02\x03\x04\x05\x06\x07\x08"}, ""},
		{"gn:0x820378797a", Identity{IDDERASN1GN, "\x82\x03xyz"}, ""},
		{"%null", Identity{Type: IDNull}, ""},
		// RFC 4514 section 4 writes these the other way round.
		{"C=CH, CN=gw", Identity{IDDERASN1DN, unhex("301a 310b3009 0603550406 13024348 310b3009 0603550403 13026777")}, ""},
		{"/C=CH/CN=gw", mustDN(t, "C=CH, CN=gw"), "C=CH, CN=gw"},
		{"C=CH,CN=gw", mustDN(t, "C=CH, CN=gw"), "C=CH, CN=gw"},
		{"rfc4514:CN=gw,C=CH", mustDN(t, "C=CH, CN=gw"), "C=CH, CN=gw"},
		{`O=Sue\, Grabbit and Runn, CN=L. Eagle`, mustDN(t, `O="Sue, Grabbit and Runn", CN=L. Eagle`), ""},
		{`CN=Before\0DAfter`, Identity{IDDERASN1DN, unhex("3017 3115 3013 0603550403 0c0c 4265666f72650d4166746572")}, ""},
		{`CN=Lu\C4\8Di\C4\87`, mustDN(t, "CN=Lučić"), "CN=Lučić"},
		{"1.3.6.1.4.1.1466.0=#04024869", Identity{IDDERASN1DN, unhex("3014 3112 3010 06082b06010401 8b3a00 0404 0402 4869")}, "skip"},
		{"E=a@b.c, CN=x", mustDN(t, "emailAddress=a@b.c, CN=x"), ""},
		{"DC=example, DC=org", Identity{IDDERASN1DN, unhex("302b 3117 3015 060a 0992268993f22c640119 1607 6578616d706c65 3110 3013")}, "skip"},
	} {
		if v.out == "skip" {
			id := mustID(t, v.in)
			require.Equal(t, v.in, id.String())
			continue
		}
		id, err := ParseIdentity(v.in)
		require.NoError(t, err, v.in)
		require.Equal(t, v.want, id, v.in)
		require.NoError(t, id.Validate())
		want := v.out
		if want == "" {
			want = v.in
		}
		require.Equal(t, want, id.String())
	}
}

func mustDN(t testing.TB, s string) Identity {
	t.Helper()
	der, err := encodeDN(s, false)
	require.NoError(t, err)
	return Identity{IDDERASN1DN, der}
}

func TestParseIdentityRefuses(t *testing.T) {
	for in, says := range map[string]string{
		"":                                   "empty",
		"@":                                  "empty FQDN",
		"fqdn:":                              "empty FQDN",
		"keyid:":                             "empty KEY_ID",
		"keyid:0xf":                          "not hexadecimal",
		"fe80::1%eth0":                       "no zone",
		"ipv4:2001:db8::1":                   "not an address of that family",
		"ipv4:name":                          "not an address",
		"10.0.0.9-10.0.0.1":                  "ends before it begins",
		"gw\x00.evil.org":                    "control character at octet 2",
		"gw\nFAKE LOG LINE":                  "neither an address",
		"fqdn:gw\nFAKE LOG LINE":             "control character",
		"gw\x1b[2J":                          "control character",
		"fqdn:\xff\xfe":                      "not text",
		"a\u202eb":                           "control character",
		"a b":                                "neither an address",
		"*.example.org":                      "pattern",
		"CN=*":                               "wildcard",
		"CN":                                 "",
		"CN=a, X=b":                          `unknown attribute type "X"`,
		"CN=a,":                              "no = after",
		"CN=a, O":                            "no = after",
		`CN=a\`:                              `ends in \`,
		`CN="a`:                              "does not end",
		`CN="a" b`:                           "follows a quoted",
		"CN=#zz":                             "not hexadecimal",
		"CN=#0c05":                           "truncated",
		`CN=a\00b`:                           "NUL",
		"fc:0x01":                            "want 8",
		"gn:name":                            "GeneralName",
		"gn:0x0c0161":                        "not one of a GeneralName",
		"dn:0x30":                            "truncated",
		"dn:0x3000":                          "is empty",
		strings.Repeat("a", 5000):            "at most 4096",
		strings.Repeat("CN=a,", 70) + "CN=a": "too many attributes",
	} {
		if in == "CN" {
			continue // a host name
		}
		_, err := ParseIdentity(in)
		require.ErrorIs(t, err, ErrIdentity, in)
		require.ErrorContains(t, err, says, in)
		require.Less(t, len(err.Error()), 600, "an error is fit for a log")
		require.NotContains(t, err.Error(), "\n")
		require.NotContains(t, err.Error(), "\x1b")
	}
}

// What a peer may put into an identification payload.
func TestA24_IdentificationPayload(t *testing.T) {
	dn := mustDN(t, "C=CH, O=lab, CN=gw").Data
	for name, id := range map[string]Identity{
		"reserved type":           {0, "a"},
		"unknown type":            {14, "a"},
		"private type":            {201, "a"},
		"empty FQDN":              {IDFQDN, ""},
		"empty mail":              {IDRFC822Addr, ""},
		"empty DN":                {IDDERASN1DN, ""},
		"empty KEY_ID":            {IDKeyID, ""},
		"empty address":           {IDIPv4Addr, ""},
		"IPv4 of 3":               {IDIPv4Addr, "\x0a\x00\x00"},
		"IPv4 of 5":               {IDIPv4Addr, "\x0a\x00\x00\x01\x00"},
		"IPv6 of 4":               {IDIPv6Addr, "\x0a\x00\x00\x01"},
		"IPv6 of 17":              {IDIPv6Addr, strings.Repeat("\x00", 17)},
		"subnet of 4":             {IDIPv4Subnet, "\x0a\x00\x00\x01"},
		"subnet with holes":       {IDIPv4Subnet, "\x0a\x00\x00\x01\xff\x00\xff\x00"},
		"range backwards":         {IDIPv4Range, "\x0a\x00\x00\x02\x0a\x00\x00\x01"},
		"NULL with data":          {IDNull, "a"},
		"NUL in FQDN":             {IDFQDN, "gw\x00.evil"},
		"NUL at the end":          {IDFQDN, "gw\x00"},
		"newline":                 {IDFQDN, "gw\nroot logged in"},
		"CR in mail":              {IDRFC822Addr, "a\r@b"},
		"escape sequence":         {IDRFC822Addr, "a@b\x1b[31m"},
		"right to left":           {IDFQDN, "gro.\u202eelpmaxe"},
		"not UTF-8":               {IDFQDN, "\xc3\x28"},
		"64 KiB":                  {IDKeyID, strings.Repeat("A", 65527)},
		"64 KiB of name":          {IDFQDN, strings.Repeat("%n", 32000)},
		"DN not DER":              {IDDERASN1DN, "CN=gw"},
		"DN with trailing octets": {IDDERASN1DN, dn + "\x00"},
		"DN with indefinite form": {IDDERASN1DN, "\x30\x80" + dn[2:] + "\x00\x00"},
		"DN with NUL in value":    {IDDERASN1DN, unhex("300f310d300b06035504030c0467770041")},
		"DN with broken UTF-8":    {IDDERASN1DN, unhex("300d310b300906035504030c02c328")},
		"DN with a huge length":   {IDDERASN1DN, unhex("3084ffffffff00")},
		"DN, empty RDN":           {IDDERASN1DN, unhex("30023100")},
		"DN, BMPString of 3":      {IDDERASN1DN, unhex("300e310c300a06035504031e03006100")},
		"GN, wrong tag":           {IDDERASN1GN, "\x0c\x01a"},
		"GN, trailing octets":     {IDDERASN1GN, "\x82\x01a\x00"},
		"FC_NAME of 3":            {IDFCName, "abc"},
	} {
		err := id.Validate()
		require.ErrorIs(t, err, ErrIdentity, name)
		requireHarmless(t, id.String())
		requireHarmless(t, err.Error())
		require.Less(t, len(err.Error()), 400, name)
	}
	for i := range len(dn) {
		require.Error(t, Identity{IDDERASN1DN, dn[:i]}.Validate(), "DN cut after %d octets", i)
	}
	// Odd, but an identity: shown so that nothing acts on it.
	for _, v := range []struct{ id Identity }{
		{Identity{IDFQDN, "%s%n%x%d"}}, {Identity{IDFQDN, "$(reboot)"}}, {Identity{IDFQDN, "`id`;rm -rf /"}}, {Identity{IDFQDN, "../../etc/passwd"}},
		{Identity{IDKeyID, "\x00\x01\n\xff"}}, {Identity{IDRFC822Addr, "a b@c"}}, {Identity{IDFQDN, "grüße.example"}},
	} {
		require.NoError(t, v.id.Validate())
		requireHarmless(t, v.id.String())
		require.Equal(t, v.id, mustID(t, v.id.String()), "%s", v.id)
	}
	var log bytes.Buffer
	evil := Identity{IDDERASN1DN, unhex("3017 3115 3013 0603550403 0c0c 4265666f72650a4166746572")}
	require.NoError(t, evil.Validate())
	slog.New(slog.NewTextHandler(&log, nil)).Info("peer", "id", evil)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("peer", "id", evil)
	fmt.Fprintf(&log, "%v %+v %s", evil, evil, evil)
	require.Equal(t, 2, strings.Count(log.String(), "\n"), "one line a record: %q", log.String())
	require.Equal(t, 5, strings.Count(log.String(), "Before"))
}

// requireHarmless: one line, no control characters, and bounded.
func requireHarmless(t testing.TB, s string) {
	t.Helper()
	require.True(t, utf8.ValidString(s), "%q", s)
	require.Equal(t, -1, strings.IndexFunc(s, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }), "%q", s)
	require.LessOrEqual(t, len(s), 4*MaxIdentitySize, "%q", s)
}

func TestIdentityEqual(t *testing.T) {
	for _, v := range []struct {
		a, b string
		want bool
	}{
		{"gw.example.org", "GW.Example.ORG", true},
		{"gw.example.org", "gw.example.net", false},
		{"fqdn:k.example", "fqdn:\u212a.example", false}, // KELVIN SIGN folds to k in Unicode
		{"User@example.org", "User@EXAMPLE.org", true},
		{"User@example.org", "user@example.org", false},
		{"fqdn:a@b", "a@b", false},
		{"keyid:Group", "keyid:group", false},
		{"fqdn:10.0.0.1", "10.0.0.1", false},
		{"C=CH, O=lab, CN=gw", "C=ch, O=LAB, CN=GW", true},
		{"C=CH, O=lab, CN=gw", "CN=gw, O=lab, C=CH", false},
		{"C=CH, O=lab, CN=gw", "rfc4514:CN=gw, O=lab, C=CH", true},
		{"C=CH, O=lab", "C=CH, O=lab, CN=gw", false},
		{"O=my  lab", "O=My Lab", true},
		{"O=mylab", "O=My Lab", false},
		{"OU=lab", "O=lab", false},
		{"CN=a+OU=b", "OU=b+CN=a", true},
		{"CN=a+OU=b", "CN=a, OU=b", false},
		{"dn:0x300d310b300906035504030c026777", "CN=gw", true},     // UTF8String, PrintableString
		{"dn:0x300f310d300b06035504031e0400670077", "CN=GW", true}, // BMPString
		{"dn:0x300d310b3009060355040304026777", "CN=gw", false},    // OCTET STRING
		{"dn:0x300d310b300906035504031402e477", "CN=äw", true},     // T61String read as Latin-1
		{"dn:0x300d310b300906035504031402e477", "CN=Äw", true},
	} {
		a, b := mustID(t, v.a), mustID(t, v.b)
		require.Equal(t, v.want, a.Equal(b), "%s = %s", v.a, v.b)
		require.Equal(t, v.want, b.Equal(a), "%s = %s", v.b, v.a)
		require.True(t, a.Equal(a))
	}
	broken := Identity{IDDERASN1DN, "\x30\x05"}
	require.False(t, broken.Equal(mustID(t, "CN=gw")))
	require.True(t, broken.Equal(broken))
}

func TestIdentityText(t *testing.T) {
	b, err := json.Marshal(map[string]any{"id": mustID(t, "CN=gw"), "p": mustPattern(t, "*.lab")})
	require.NoError(t, err)
	require.JSONEq(t, `{"id":"CN=gw","p":"*.lab"}`, string(b))
	var c struct {
		ID Identity
		P  IdentityPattern
	}
	require.NoError(t, json.Unmarshal([]byte(`{"ID":"10.0.0.1","P":"*@lab"}`), &c))
	require.Equal(t, mustID(t, "10.0.0.1"), c.ID)
	require.True(t, c.P.Match(mustID(t, "a@lab")))
	require.Error(t, json.Unmarshal([]byte(`{"ID":""}`), &c))
	require.Equal(t, "%none", Identity{}.String())
	require.Equal(t, "FQDN", IDFQDN.String())
	require.Equal(t, "ID_200", IDType(200).String())
	require.Equal(t, "ID_200:0x6162", Identity{200, "ab"}.String())
	require.Equal(t, "10.0.0.1", AddrIdentity(netip.MustParseAddr("::ffff:10.0.0.1")).String())
	mapped := Identity{IDIPv6Addr, unhex("00000000000000000000ffff0a000001")}
	require.Equal(t, mapped, mustID(t, mapped.String()))
}

func TestRepairDN(t *testing.T) {
	require.Equal(t, mustID(t, "C=CH, CN=gw"), RepairDN(Identity{IDFQDN, "C=CH, CN=gw"}))
	for _, id := range []Identity{{IDFQDN, "gw.example"}, {IDFQDN, "CN=a, X=b"}, {IDKeyID, "CN=a"}, {}} {
		require.Equal(t, id, RepairDN(id))
	}
}

func TestDNWithin(t *testing.T) {
	dn := func(s string) string { return mustID(t, s).Data }
	require.True(t, DNWithin(dn("C=CH, O=lab, CN=gw"), dn("C=ch, O=LAB")))
	require.True(t, DNWithin(dn("C=CH, O=lab"), dn("C=CH, O=lab")))
	require.True(t, DNWithin(dn("C=CH"), "\x30\x00"))
	require.False(t, DNWithin(dn("C=CH, O=other, CN=gw"), dn("C=CH, O=lab")))
	require.False(t, DNWithin(dn("C=CH"), dn("C=CH, O=lab")))
	require.False(t, DNWithin("junk", dn("C=CH")))
	require.False(t, DNWithin(dn("C=CH"), "junk"))
}

func mustPattern(t testing.TB, s string) IdentityPattern {
	t.Helper()
	p, err := ParseIdentityPattern(s)
	require.NoError(t, err, s)
	return p
}

func TestIdentityPattern(t *testing.T) {
	for _, v := range []struct {
		pattern string
		match   []string
		not     []string
	}{
		{"*", []string{"a", "10.0.0.1", "keyid:0x00", "CN=a"}, nil},
		{"%any", []string{"a", "a@b"}, nil},
		{"gw.lab", []string{"gw.lab", "GW.lab"}, []string{"agw.lab", "gw.labs", "gw@lab", "keyid:gw.lab"}},
		{"*.lab", []string{"a.lab", "a.b.LAB"}, []string{"lab", "fqdn:.lab", "alab", "a.lab.org", "a@x.lab"}},
		{"*@example.org", []string{"a@example.org", "A@Example.ORG"}, []string{"email:@example.org", "a@b@example.org", "a@sub.example.org", "fqdn:a@example.org"}},
		{"fqdn:*", []string{"a", "b.c"}, []string{"a@b", "10.0.0.1"}},
		{"keyid:*", []string{"keyid:a"}, []string{"a"}},
		{"dn:*", []string{"CN=a"}, []string{"a"}},
		{"ipv4:*", []string{"10.0.0.1"}, []string{"::1", "10.0.0.0/8"}},
		{"10.0.0.0/8", []string{"10.1.2.3", "10.0.0.0/8"}, []string{"11.0.0.1", "10.0.0.0/9", "::1"}},
		{"2001:db8::/32", []string{"2001:db8::1"}, []string{"2001:db9::1"}},
		{"C=CH, O=lab, CN=*", []string{"C=CH, O=lab, CN=a", "C=ch, O=LAB, CN=x y"},
			[]string{"C=CH, O=lab", "C=CH, O=other, CN=a", "C=CH, O=lab, OU=a", "C=CH, O=lab, CN=a, CN=b", "O=lab, C=CH, CN=a", "a"}},
		{"dn:C=CH, CN=*", []string{"C=CH, CN=a"}, []string{"CN=a, C=CH"}},
		{"rfc4514:CN=*,C=CH", []string{"C=CH, CN=a"}, []string{"CN=a, C=CH"}},
		{"/C=*/CN=a", []string{"C=CH, CN=a"}, []string{"C=CH, CN=b"}},
		{"CN=*+OU=b", []string{"CN=x+OU=b", "OU=b+CN=x"}, []string{"CN=x+OU=c", "CN=x"}},
		{"OU=*+OU=b, CN=a", []string{"OU=b+OU=z, CN=a", "OU=a+OU=b, CN=a"}, []string{"OU=c+OU=d, CN=a"}},
		{"O=#0c036c6162, CN=*", []string{"O=LAB, CN=x"}, []string{"O=la, CN=x"}},
		{`CN=\*`, []string{`CN=\*`}, []string{"CN=a"}},
		{"C=CH, CN=a", []string{"C=CH, CN=A"}, []string{"C=CH, CN=b"}},
		{"keyid:0x00ff", []string{"keyid:0x00ff"}, []string{"keyid:0x00fe"}},
	} {
		p := mustPattern(t, v.pattern)
		again := mustPattern(t, p.String())
		require.Equal(t, p, again, "%s prints as %s", v.pattern, p)
		for _, s := range v.match {
			require.True(t, p.Match(mustID(t, s)), "%s, %s", v.pattern, s)
		}
		for _, s := range v.not {
			require.False(t, p.Match(mustID(t, s)), "%s, %s", v.pattern, s)
		}
	}
	for _, s := range []string{"", "**.lab", "*", "*lab", "a*", "*.", "*@", "*@a@b", "*.a*", "*.a\n", "fqdn:*@a", "email:*.a", "CN=*, X=*", "CN=*, O=#0c"} {
		if s == "*" {
			continue
		}
		_, err := ParseIdentityPattern(s)
		require.ErrorIs(t, err, ErrIdentity, "%q", s)
	}
	var zero IdentityPattern
	require.True(t, zero.Any())
	require.Equal(t, "%any", zero.String())
	id, ok := mustPattern(t, "gw.lab").IsExact()
	require.True(t, ok)
	require.Equal(t, mustID(t, "gw.lab"), id)
	_, ok = mustPattern(t, "*.lab").IsExact()
	require.False(t, ok)
}

func TestSpecificity(t *testing.T) {
	for _, chain := range [][]string{
		{"*", "fqdn:*", "*.lab", "*.site.lab", "gw.site.lab"},
		{"*", "ipv4:*", "10.0.0.0/8", "10.1.0.0/16", "10.1.1.1"},
		{"*", "dn:*", "C=*, CN=*", "C=CH, CN=*", "C=CH, CN=a"},
	} {
		for i := 1; i < len(chain); i++ {
			require.Greater(t, mustPattern(t, chain[i]).Specificity(), mustPattern(t, chain[i-1]).Specificity(), "%v", chain[i-1:i+1])
		}
	}
}

func FuzzParseIdentity(f *testing.F) {
	for _, s := range []string{"gw.lab", "@a", "a@b", "10.0.0.1", "10.0.0.0/8", "::1-::2", `C=CH, O="a, b"+OU=\#x, CN=\C3\A9`, "/C=CH/CN=a", "rfc4514:CN=a,C=CH",
		"keyid:0x00", "dn:0x3000", "1.2.3=#0c0161", "%null", "fc:0x0102030405060708", "CN=*", "*.lab", "gn:0x820161", "CN=a\\"} {
		f.Add(s, uint8(9))
	}
	f.Add(unhex("300e310c300a06035504031e03006100"), uint8(9))
	f.Fuzz(func(t *testing.T, s string, typ uint8) {
		check := func(id Identity) {
			requireHarmless(t, id.String())
			if id.Validate() != nil {
				return
			}
			back, err := ParseIdentity(id.String())
			require.NoError(t, err, "%q", id.String())
			require.True(t, back.Equal(id), "%q: %x, %x", id.String(), id.Data, back.Data)
			require.True(t, ExactIdentity(id).Match(back))
		}
		if id, err := ParseIdentity(s); err == nil {
			require.NoError(t, id.Validate())
			check(id)
		} else {
			requireHarmless(t, err.Error())
		}
		// The same octets, straight from a payload.
		check(Identity{IDType(typ), s})
		check(RepairDN(Identity{IDFQDN, s}))
		if p, err := ParseIdentityPattern(s); err == nil {
			q, err := ParseIdentityPattern(p.String())
			require.NoError(t, err, "%q", p.String())
			require.Equal(t, p.Specificity(), q.Specificity(), "%q", p.String())
			p.Match(Identity{IDType(typ), s})
		}
	})
}
