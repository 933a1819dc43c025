package conf

import (
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd"
)

// TestRules: policies of the samples become rules that can be installed, once
// the names in them have addresses.
func TestRules(t *testing.T) {
	c, err := Load(filepath.Join(sampleDir, "spmd.toml"), WithHost(testHost{}))
	require.NoError(t, err)
	require.Equal(t, []string{"www.example.org", "mail.example.org", "printer.example.org"}, c.PolicyNames())

	rules := c.Rules(nil)
	require.Len(t, rules, 1, "those with names wait")
	require.Equal(t, "telnet", rules[0].Name)
	ps, err := rules[0].Policies()
	require.NoError(t, err)
	require.Len(t, ps, 4, "both directions, both families")
	require.Equal(t, spd.ActionDiscard, ps[0].Action)
	require.Equal(t, "0.0.0.0/0 === 0.0.0.0/0[tcp/23]", ps[0].Selector.String())

	known := map[string][]netip.Addr{"mail.example.org": {netip.MustParseAddr("192.0.2.25"), netip.MustParseAddr("2001:db8::25")}}
	rules = c.Rules(func(name string) []netip.Addr { return known[name] })
	require.Len(t, rules, 2)
	ps, err = rules[0].Policies()
	require.NoError(t, err)
	var got []string
	for _, p := range ps {
		require.Equal(t, spd.ModeTransport, p.Mode)
		require.Equal(t, spd.ProtoESP, p.Protocol)
		if p.Direction == spd.Out {
			require.Equal(t, spd.ActionTrap, p.Action)
			got = append(got, p.Selector.Remote.String())
		}
	}
	require.Equal(t, []string{"192.0.2.25[tcp/443]", "2001:db8::25[tcp/443]"}, got)
	require.Equal(t, spd.LevelUnique, rules[0].Level)
}

// TestRuleOfPeer: a policy that names a peer has the mode, the transforms and
// the addresses of its Child SA.
func TestRuleOfPeer(t *testing.T) {
	c, err := Parse("racoon.toml", []byte(`
[peer.branch]
remote = "192.0.2.2"
local-address = "192.0.2.1"
psk-file = "branch.psk"
versions = ["ikev1"]
[peer.branch.child.net]
local = "10.1.0.0/16"
remote = "10.2.0.0/16"
ipcomp = true
outer-ah = "sha256"
reqid = 7
[policy.web]
action = "protect"
peer = "branch"
direction = "out"
remote = "10.2.0.80[tcp/80]"
priority = 9
`))
	require.NoError(t, err)
	rules := c.Rules(nil)
	require.Len(t, rules, 1)
	r := rules[0]
	require.Equal(t, []spd.Protocol{spd.ProtoIPComp, spd.ProtoESP, spd.ProtoAH}, r.Protocols)
	require.Equal(t, spd.OnlyOutbound, r.Direction)
	require.Equal(t, uint32(7), r.ReqID)
	require.Equal(t, uint32(9), r.Priority)
	require.Equal(t, "192.0.2.1 192.0.2.2", r.LocalAddr.String()+" "+r.RemoteAddr.String())
	_, err = r.Policies()
	require.NoError(t, err)
}

func TestParseSelector(t *testing.T) {
	for s, want := range map[string]string{
		"any": "0.0.0.0/0 ::/0 ", "any[udp/53]": "0.0.0.0/0[udp/53] ::/0[udp/53] ", "10.0.0.0/8": "10.0.0.0/8 ",
		"WWW.example.org.[tcp/443]": "0.0.0.0/0[tcp/443] ::/0[tcp/443] www.example.org", "192.0.2.7[icmp/8]": "192.0.2.7[icmp/8] ",
		"2001:db8::1-2001:db8::9": "2001:db8::1-2001:db8::9 ",
	} {
		sels, name, err := ParseSelector(s)
		require.NoError(t, err, s)
		got := ""
		for _, ts := range sels {
			got += ts.String() + " "
		}
		require.Equal(t, want, got+name, s)
	}
	for _, s := range []string{"", "10.0.0.256", "any[foo]", "www.example.org[tcp/x]", "a b", "-x", "10.0.0.0/33"} {
		_, _, err := ParseSelector(s)
		require.Error(t, err, s)
	}
}
