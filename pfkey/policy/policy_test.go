package policy

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/pfkey"
)

func TestParse(t *testing.T) {
	addr := func(s string) pfkey.SockAddr { return pfkey.SockAddr{Addr: netip.MustParseAddr(s)} }
	for _, x := range []struct {
		text, again string
		want        pfkey.Policy
	}{
		{"in bypass", "", pfkey.Policy{Type: pfkey.PolicyBypass, Dir: pfkey.DirIn, Priority: PriorityDefault}},
		{"out entrust", "", pfkey.Policy{Type: pfkey.PolicyEntrust, Dir: pfkey.DirOut, Priority: PriorityDefault}},
		{" fwd\tdiscard\n", "fwd discard", pfkey.Policy{Type: pfkey.PolicyDiscard, Dir: pfkey.DirForward, Priority: PriorityDefault}},
		{"in none", "", pfkey.Policy{Type: pfkey.PolicyNone, Dir: pfkey.DirIn, Priority: PriorityDefault}},
		{"out ipsec esp/transport//require", "", pfkey.Policy{Type: pfkey.PolicyIPsec, Dir: pfkey.DirOut, Priority: PriorityDefault,
			Requests: []pfkey.Request{{Proto: 50, Mode: pfkey.ModeTransport, Level: pfkey.LevelRequire}}}},
		{"out ipsec esp/tunnel/10.0.0.1-10.0.0.2/require", "", pfkey.Policy{Type: pfkey.PolicyIPsec, Dir: pfkey.DirOut, Priority: PriorityDefault,
			Requests: []pfkey.Request{{Proto: 50, Mode: pfkey.ModeTunnel, Level: pfkey.LevelRequire, Src: addr("10.0.0.1"), Dst: addr("10.0.0.2")}}}},
		{"out ipsec ipcomp/transport//use esp/tunnel/fd00::1-fd00::2/unique:7 ah/transport", "out ipsec ipcomp/transport//use esp/tunnel/fd00::1-fd00::2/unique:7 ah/transport//default",
			pfkey.Policy{Type: pfkey.PolicyIPsec, Dir: pfkey.DirOut, Priority: PriorityDefault, Requests: []pfkey.Request{
				{Proto: 108, Mode: pfkey.ModeTransport, Level: pfkey.LevelUse},
				{Proto: 50, Mode: pfkey.ModeTunnel, Level: pfkey.LevelUnique, ReqID: 7, Src: addr("fd00::1"), Dst: addr("fd00::2")},
				{Proto: 51, Mode: pfkey.ModeTransport}}}},
		{"in ipsec esp/tunnel/10.0.0.1[4500]-10.0.0.2[any]/unique", "in ipsec esp/tunnel/10.0.0.1[4500]-10.0.0.2/unique",
			pfkey.Policy{Type: pfkey.PolicyIPsec, Dir: pfkey.DirIn, Priority: PriorityDefault, Requests: []pfkey.Request{{Proto: 50, Mode: pfkey.ModeTunnel,
				Level: pfkey.LevelUnique, Src: pfkey.SockAddr{Addr: netip.MustParseAddr("10.0.0.1"), Port: 4500}, Dst: addr("10.0.0.2")}}}},
		{"out prio high + 10 none", "", pfkey.Policy{Type: pfkey.PolicyNone, Dir: pfkey.DirOut, Priority: 0x40000000 - 10}},
		{"out priority low -5 none", "out prio low - 5 none", pfkey.Policy{Type: pfkey.PolicyNone, Dir: pfkey.DirOut, Priority: 0xc0000005}},
		{"out priority 100 none", "out prio def + 100 none", pfkey.Policy{Type: pfkey.PolicyNone, Dir: pfkey.DirOut, Priority: 0x80000000 - 100}},
		{"out priority -100 none", "out prio def - 100 none", pfkey.Policy{Type: pfkey.PolicyNone, Dir: pfkey.DirOut, Priority: 0x80000000 + 100}},
		{"out prio - 5 none", "out prio def - 5 none", pfkey.Policy{Type: pfkey.PolicyNone, Dir: pfkey.DirOut, Priority: 0x80000005}},
		{"out prio high+10 none", "out prio high + 10 none", pfkey.Policy{Type: pfkey.PolicyNone, Dir: pfkey.DirOut, Priority: 0x40000000 - 10}},
		{"out prio def+ 10 none", "out prio def + 10 none", pfkey.Policy{Type: pfkey.PolicyNone, Dir: pfkey.DirOut, Priority: 0x80000000 - 10}},
		{"out prio high none", "", pfkey.Policy{Type: pfkey.PolicyNone, Dir: pfkey.DirOut, Priority: 0x40000000}},
		{"in ipsec tcp/transport", "in ipsec tcp/transport//default", pfkey.Policy{Type: pfkey.PolicyIPsec, Dir: pfkey.DirIn, Priority: PriorityDefault,
			Requests: []pfkey.Request{{Proto: 6, Mode: pfkey.ModeTransport}}}},
	} {
		p, err := Parse(x.text)
		require.NoError(t, err, x.text)
		require.Equal(t, &x.want, p, x.text)
		if x.again == "" {
			x.again = x.text
		}
		require.Equal(t, x.again, String(p))
	}
}

// TestErrors: each mistake is told with its column.
func TestErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                                      "column 1: no direction",
		"up none":                               `column 1: "up" is no direction`,
		"in":                                    "column 3: nothing to do",
		"in allow":                              `column 4: "allow" is not`,
		"in none esp":                           `column 9: "esp" after none`,
		"out ipsec":                             "column 10: ipsec without a rule",
		"out ipsec gre/transport":               `column 11: "gre" is no protocol`,
		"out ipsec esp":                         "column 14: a rule without a mode",
		"out ipsec esp/":                        "column 14: a rule without a mode",
		"out ipsec esp/fast":                    `column 15: "fast" is no mode`,
		"out ipsec esp/tunnel//require":         "column 15: a tunnel without its ends",
		"out ipsec esp/tunnel/10.0.0.1/require": "column 22: \"10.0.0.1\": source and destination",
		"out ipsec esp/tunnel/10.0.0.1-x/require":        `column 31: "x" is no IPv4`,
		"out ipsec esp/tunnel/10.0.0.1-fd00::1/use":      "column 22: \"10.0.0.1-fd00::1\": addresses of different families",
		"out ipsec esp/tunnel/10.0.0.1[5-10.0.0.2":       "column 30: '[' without ']'",
		"out ipsec esp/tunnel/10.0.0.1[x]-10.0.0.2":      `column 31: "x" is no port`,
		"out ipsec esp/transport//must":                  `column 26: "must" is no level`,
		"out ipsec esp/transport//require:5":             `column 26: "require:5" is no level`,
		"out ipsec esp/transport//unique:0":              `column 33: "0" is no number`,
		"out ipsec esp/transport//unique:40000":          `column 33: "40000" is no number`,
		"out ipsec esp/transport//use/x":                 "column 30: too many parts",
		"out prio none":                                  `column 10: "none" is no priority`,
		"out prio 99999999999 none":                      `column 10: "99999999999" is no priority`,
		"out prio high + none":                           `column 17: "none" is no offset`,
		"out ipsec" + strings.Repeat(" ah/any//use", 17): "more than 16 rules",
		"in \x00\x1b[31m":                                `"\x00\x1b[31m" is not`,
	} {
		_, err := Parse(text)
		require.ErrorIs(t, err, ErrSyntax, text)
		require.Contains(t, err.Error(), want, text)
		var s *SyntaxError
		require.True(t, errors.As(err, &s))
		require.LessOrEqual(t, s.Column, len(text)+1)
	}
}

// TestC24_HostileText: a million lines, NUL octets and huge numbers give an
// error with its place, soon.
func TestC24_HostileText(t *testing.T) {
	for text, want := range map[string]string{
		"out ipsec" + strings.Repeat("\nesp/transport//use", 1e6):     "more than 16 rules",
		"out prio " + strings.Repeat("9", 1e6) + " none":              "is no priority",
		"out ipsec esp/transport//unique:" + strings.Repeat("9", 1e6): "is no number",
		"in none\x00":             `"none\x00" is not`,
		strings.Repeat("\n", 1e6): "no direction",
		"out ipsec esp/tunnel/" + strings.Repeat("[", 1e6) + "-1.2.3.4":  "without ']'",
		"out ipsec " + strings.Repeat("/", 1e6):                          "too many parts",
		"out ipsec esp/tunnel/" + strings.Repeat("1.", 1e6) + "-1.2.3.4": "is no IPv4",
		"out ipsec esp/transport//require\x1b[2J\r\nin bypass":           `"require\x1b[2J" is no level`,
	} {
		_, err := Parse(text)
		require.ErrorIs(t, err, ErrSyntax)
		require.Contains(t, err.Error(), want)
		require.Less(t, len(err.Error()), 200)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("out prio high + 10 ipsec ipcomp/transport//use esp/tunnel/192.0.2.1-198.51.100.1/unique:7")
	f.Add("in bypass")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text)
		if err != nil {
			require.ErrorIs(t, err, ErrSyntax)
			return
		}
		q, err := Parse(String(p))
		require.NoError(t, err, String(p))
		require.Equal(t, p, q)
		for _, d := range []*pfkey.Dialect{pfkey.Linux, pfkey.NetBSD} {
			b, err := d.AppendPolicy(nil, p)
			require.NoError(t, err)
			r, err := d.ParsePolicy(b)
			require.NoError(t, err)
			if d.HasPriority() {
				require.Equal(t, p, r)
			}
		}
	})
}
