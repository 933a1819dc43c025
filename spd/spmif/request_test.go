package spmif

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd"
)

func TestParseRequest(t *testing.T) {
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	for line, want := range map[string]Request{
		"LOGIN ABC":                    {Verb: VerbLogin, Response: "ABC"},
		"  ns\tlist  ":                 {Verb: VerbNSList},
		"NS ADD 192.0.2.1":             {Verb: VerbNSAdd, Addr: addr("192.0.2.1")},
		"Ns Delete 2001:db8::1":        {Verb: VerbNSDelete, Addr: addr("2001:db8::1")},
		"NS CHANGE ::ffff:192.0.2.1":   {Verb: VerbNSChange, Addr: addr("192.0.2.1")},
		"FQDN LIST":                    {Verb: VerbFQDNList},
		"FQDN ADD www.example.org":     {Verb: VerbFQDNAdd, Name: "www.example.org."},
		"FQDN DEL www.example.org.":    {Verb: VerbFQDNDelete, Name: "www.example.org."},
		"FQDN DELETE www.example.org.": {Verb: VerbFQDNDelete, Name: "www.example.org."},
		"FQDN QUERY 192.0.2.1":         {Verb: VerbFQDNQuery, Addr: addr("192.0.2.1")},
		"POLICY DUMP":                  {Verb: VerbPolicyDump},
		"POLICY DELETE sel":            {Verb: VerbPolicyDelete, Name: "sel", Whole: true},
		"SLID 4294967295":              {Verb: VerbSLID, ID: 1<<32 - 1},
		"STAT":                         {Verb: VerbStat},
		"EXIT":                         {Verb: VerbQuit},
		"quit":                         {Verb: VerbQuit},
		"MIGRATE s 10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4": {Verb: VerbMigrate, Name: "s", SASrc: addr("10.0.0.1"), SADst: addr("10.0.0.2"), NewSrc: addr("10.0.0.3"), NewDst: addr("10.0.0.4")},
		// As racoon2's iked writes it, and spmdctl.
		"POLICY ADD s 0 transport 10.0.0.1/32 10.0.0.2/32": {Verb: VerbPolicyAdd, Name: "s", Mode: spd.ModeTransport, Src: prefix("10.0.0.1/32"), Dst: prefix("10.0.0.2/32")},
		"POLICY ADD s 60 TRANSPORT 10.0.0.1 0.0.0.0":       {Verb: VerbPolicyAdd, Name: "s", Lifetime: time.Minute, Mode: spd.ModeTransport, Src: prefix("10.0.0.1/32"), Dst: prefix("0.0.0.0/0")},
		"POLICY ADD s 60 tunnel 10.1.0.0/16 10.2.3.4/16 192.0.2.1 192.0.2.2": {Verb: VerbPolicyAdd, Name: "s", Lifetime: time.Minute, Src: prefix("10.1.0.0/16"),
			Dst: prefix("10.2.0.0/16"), SASrc: addr("192.0.2.1"), SADst: addr("192.0.2.2")},
		"POLICY DELETE s tunnel 10.1.0.0/0 ::/0 192.0.2.1 192.0.2.2": {},
		"POLICY DELETE s tunnel ::1 ::/0 2001:db8::1 2001:db8::2":    {Verb: VerbPolicyDelete, Name: "s", Src: prefix("::1/128"), Dst: prefix("::/0"), SASrc: addr("2001:db8::1"), SADst: addr("2001:db8::2")},
	} {
		r, why, ok := ParseRequest(line)
		if want == (Request{}) {
			require.False(t, ok, line)
			continue
		}
		require.True(t, ok, "%s: %v", line, why)
		require.Equal(t, want, r, line)
		if r.Verb != VerbLogin {
			again, _, ok := ParseRequest(r.String())
			require.True(t, ok, r.String())
			require.Equal(t, r, again)
		}
	}
}

// C26: lines that no client writes.
func TestC26_RequestLines(t *testing.T) {
	for line, code := range map[string]Code{
		"":                                     CodeSyntax,
		"   ":                                  CodeSyntax,
		"HELO":                                 CodeNotImplemented,
		"QUITX":                                CodeNotImplemented,
		"NS":                                   CodeSyntax,
		"NS LIST x":                            CodeSyntax,
		"NS ADD":                               CodeSyntax,
		"NS ADD www.example.org":               CodeFailed,
		"NS ADD fe80::1%eth0":                  CodeFailed,
		"FQDN ADD .":                           CodeSyntax,
		"FQDN ADD " + strings.Repeat("a", 256): CodeSyntax,
		"FQDN QUERY x":                         CodeFailed,
		"POLICY":                               CodeSyntax,
		"POLICY DUMP x":                        CodeSyntax,
		"POLICY ADD s x transport 10.0.0.1 10.0.0.2":          CodeSyntax,
		"POLICY ADD s -1 transport 10.0.0.1 10.0.0.2":         CodeSyntax,
		"POLICY ADD s 99999999999999999999 transport ::1 ::2": CodeSyntax,
		"POLICY ADD s 18446744073709551615 transport ::1 ::2": CodeSyntax,
		"POLICY ADD s 1 tunnel 10.0.0.1 10.0.0.2":             CodeSyntax,
		"POLICY ADD s 1 both 10.0.0.1 10.0.0.2":               CodeSyntax,
		"POLICY ADD s 1 transport 10.0.0.1/x 10.0.0.2":        CodeSyntax,
		"POLICY ADD s 1 transport 10.0.0.1/33 10.0.0.2":       CodeFailed,
		"POLICY ADD s 1 transport 10.0.0.1/-1 10.0.0.2":       CodeFailed,
		"POLICY ADD s 1 transport 10.0.0.1 ::1":               CodeFailed,
		"POLICY ADD s 1 tunnel 10.0.0.1 10.0.0.2 x y":         CodeFailed,
		"POLICY ADD s 1 tunnel 1 2 3 4 5 6 7 8 9":             CodeSyntax,
		"SLID":                         CodeSyntax,
		"SLID 4294967296":              CodeSyntax,
		"MIGRATE s 10.0.0.1":           CodeSyntax,
		"MIGRATE s 1 2 3 4":            CodeFailed,
		"STAT x":                       CodeSyntax,
		"LOGIN":                        CodeSyntax,
		"STAT\x00":                     CodeSyntax,
		"STAT\r":                       CodeSyntax,
		"FQDN ADD caf\u00e9":           CodeSyntax,
		strings.Repeat("x", MaxLine+1): CodeSyntax,
	} {
		_, why, ok := ParseRequest(line)
		require.False(t, ok, "%q", line)
		require.Equal(t, code, why.Code, "%q", line)
	}
}

// The hash is from sha1sum.
func TestResponse(t *testing.T) {
	challenge := strings.Repeat("A", 40)
	require.Equal(t, "5021D20B3F0ED35A23572A1109C7EFB626D23C31", Response(challenge, Password("secret\n")))
	require.True(t, rightResponse(challenge, Password("secret\n"), "5021D20B3F0ED35A23572A1109C7EFB626D23C31"))
	// What racoon2's spmd and iked logged of a login, with a password made up for it.
	require.Equal(t, "EDD43EB8A7B6C4F017A441C5FAB01BBB6C9FCA56", Response("A6F03798CD6877218E457423896E623443923E86", Password("spmdpw\n")))
	for _, r := range []string{"", "5021D20B3F0ED35A23572A1109C7EFB626D23C31"[:39], "5021D20B3F0ED35A23572A1109C7EFB626D23C310", strings.ToLower("5021D20B3F0ED35A23572A1109C7EFB626D23C31")} {
		require.False(t, rightResponse(challenge, Password("secret\n"), r), r)
	}
	require.NotEqual(t, newChallenge(), newChallenge())
	require.Len(t, newChallenge(), challengeLen)
}

func TestReplyAppend(t *testing.T) {
	require.Equal(t, "250-a\r\n250 b\r\n", string(Reply{CodeOK, []string{"a", "b"}}.Append(nil)))
	require.Equal(t, "250 a??b\r\n", string(Reply{CodeOK, []string{"a\r\nb"}}.Append(nil)), "nothing makes a line of its own")
}

func FuzzParseRequest(f *testing.F) {
	for _, s := range []string{"LOGIN A", "NS ADD ::1", "FQDN QUERY 10.0.0.1", "POLICY ADD s 60 tunnel 10.1.0.0/16 10.2.0.0/16 192.0.2.1 192.0.2.2",
		"POLICY DELETE s", "SLID 1", "MIGRATE s ::1 ::2 ::3 ::4", "\x00", "POLICY ADD s 1 transport 0.0.0.0/0 0/0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		r, why, ok := ParseRequest(line)
		if !ok {
			require.GreaterOrEqual(t, why.Code, CodeSyntax)
			require.Len(t, why.Lines, 1)
			return
		}
		if r.Verb == VerbLogin {
			return
		}
		again, _, ok := ParseRequest(r.String())
		require.True(t, ok, "%q", r.String())
		require.Equal(t, r, again)
	})
}

func FuzzParseReplyLine(f *testing.F) {
	f.Add("250 OK")
	f.Add("250-")
	f.Fuzz(func(t *testing.T, line string) {
		code, _, _, err := parseReplyLine(line)
		if err == nil {
			require.LessOrEqual(t, code, Code(999))
		}
	})
}
