package krb_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/kink/krb"
)

func TestPrincipal(t *testing.T) {
	for text, want := range map[string]krb.Principal{
		"kink/a.example.com@EXAMPLE.COM": {Name: "kink/a.example.com", Realm: "EXAMPLE.COM"},
		"kink/a.example.com":             {Name: "kink/a.example.com", Realm: "LOCAL"},
		"user":                           {Name: "user", Realm: "LOCAL"},
		`a\/b/c\@d@R`:                    {Name: `a\/b/c\@d`, Realm: "R"},
		`\a@R`:                           {Name: "a", Realm: "R"}, // an escape that is not needed
		"a/@R":                           {Name: "a/", Realm: "R"},
		"ü/x@R":                          {Name: "ü/x", Realm: "R"},
	} {
		p, err := krb.ParsePrincipal(text, "LOCAL")
		require.NoError(t, err, text)
		require.Equal(t, want, p)
		again, err := krb.ParsePrincipal(p.String(), "")
		require.NoError(t, err, text)
		require.Equal(t, p, again)
		require.Equal(t, p, krb.NewPrincipal(p.Realm, p.Components()...))
	}
	for _, text := range []string{"", "@R", "a@", "a@R@S", `a\`, "a\nb@R", `a\n@R`, "a@\x1b[2J", "\xff@R", strings.Repeat("a", 2000) + "@R", strings.Repeat("a/", 20) + "a@R"} {
		_, err := krb.ParsePrincipal(text, "")
		require.ErrorIs(t, err, krb.ErrPrincipal, "%q", text)
		require.NotContains(t, err.Error(), "\x1b")
	}
	require.Equal(t, []string{"a/b", "c@d"}, krb.Principal{Name: `a\/b/c\@d`, Realm: "R"}.Components())
	require.Equal(t, "kink/host.example.com@R", krb.ServicePrincipal("kink", "Host.Example.COM.", "R").String())
	require.Equal(t, "", krb.Principal{}.String())
	require.True(t, krb.Principal{}.IsZero())
}

func TestEType(t *testing.T) {
	for _, e := range append(krb.DefaultETypes(), krb.DES3SHA1) {
		got, ok := krb.ParseEType(e.String())
		require.True(t, ok && e.Supported())
		require.Equal(t, e, got)
	}
	e, ok := krb.ParseEType("aes256-sha2")
	require.True(t, ok)
	require.Equal(t, krb.AES256SHA384, e)
	_, ok = krb.ParseEType("arcfour-hmac")
	require.False(t, ok)
	require.False(t, krb.EType(23).Supported())
	require.Equal(t, "etype 23", krb.EType(23).String())
	require.NotContains(t, krb.DefaultETypes(), krb.DES3SHA1)
	require.Equal(t, "KRB_AP_ERR_TKT_EXPIRED", krb.APErrTktExpired.Error())
}
