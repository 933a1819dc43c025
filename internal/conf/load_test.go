package conf

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/testhost"
)

func parse(t testing.TB, text string, opts ...Option) *Config {
	t.Helper()
	c, err := Parse("/etc/racoon/racoon.toml", []byte(text), append([]Option{WithHost(testHost{}), WithFiles(memoryFiles{})}, opts...)...)
	require.NoError(t, err)
	return c
}

func TestMacros(t *testing.T) {
	c := parse(t, `
[macros]
site = "zurich"
name = "${site}.example.org"
nets = ["10.1.0.0/16", "10.2.0.0/16"]
ports = ["80", "443"]
[daemon]
listen = ["${interface4:eth0}", "[${interface6:eth0}]:501", "${interface:eth1}"]
[peer.office]
remote = "${name}"
local-id = "${hostname}"
remote-id = "keyid:$${site}"
psk-file = "${site}.psk"
[peer.office.child.net]
local = ["${nets}", "10.9.0.0/16"]
remote = "10.3.0.0/24[tcp/${ports}]"
security-context = "${env:SITE}"
`)
	require.Equal(t, []string{"192.0.2.1:500", "[2001:db8::1]:501", "10.1.0.1:500", "10.1.0.2:500"}, c.Daemon.Listen)
	require.Equal(t, []string{"192.0.2.1:4500", "[2001:db8::1]:4500", "10.1.0.1:4500", "10.1.0.2:4500"}, c.Daemon.ListenNATT)
	p := c.Peer("office")
	require.Equal(t, "zurich.example.org", p.Remote)
	require.Equal(t, "gw.example.org", p.LocalID)
	require.Equal(t, "keyid:${site}", p.RemoteID)
	require.Equal(t, "/etc/racoon/zurich.psk", p.PSKFile)
	require.Equal(t, []string{"10.1.0.0/16", "10.2.0.0/16", "10.9.0.0/16"}, p.Children[0].Local)
	require.Equal(t, []string{"10.3.0.0/24[tcp/80]", "10.3.0.0/24[tcp/443]"}, p.Children[0].Remote)
	require.Equal(t, "of the environment", p.Children[0].SecurityContext)
}

// TestMacrosAreBounded: a few lines do not become gigabytes.
func TestMacrosAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("[macros]\nm0 = [\"" + strings.Repeat("a", 20) + "\", \"b\"]\n")
	for i := 1; i < 9; i++ {
		fmt.Fprintf(&b, "m%d = [%s]\n", i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("\"${m%d}${m%d}\", ", i-1, i-1), 8), ", "))
	}
	b.WriteString("[daemon]\nvendor-ids = [\"${m8}\"]\n")
	start := time.Now()
	_, err := Parse("racoon.toml", []byte(b.String()))
	require.ErrorContains(t, err, "macros make it too long")
	require.Less(t, time.Since(start), testhost.Patience)
}

func TestIncludes(t *testing.T) {
	files := memoryFiles{
		"/etc/racoon/conf.d/a.toml":      "[peer.a]\nremote = \"192.0.2.2\"\npsk-file = \"a.psk\"\n[daemon]\nlog-level = \"debug\"\n",
		"/etc/racoon/conf.d/b.toml":      "include = \"more/c.toml\"\n[peer.b]\nremote = \"192.0.2.3\"\npsk-file = \"../b.psk\"\n",
		"/etc/racoon/conf.d/more/c.toml": "[pool.c]\naddresses = \"10.99.0.0/24\"\n[peer.a.child.net]\nlocal = \"10.1.0.0/16\"\nremote = \"10.2.0.0/16\"\n",
	}
	c := parse(t, "include = [\"conf.d/*.toml\", \"none.d/*.toml\"]\n[daemon]\nworkers = 2\n", WithFiles(files))
	require.Equal(t, []string{"/etc/racoon/racoon.toml", "/etc/racoon/conf.d/a.toml", "/etc/racoon/conf.d/b.toml", "/etc/racoon/conf.d/more/c.toml"}, c.Files)
	require.Equal(t, "/etc/racoon/conf.d/a.psk", c.Peer("a").PSKFile, "relative to the file that says it")
	require.Equal(t, "/etc/racoon/b.psk", c.Peer("b").PSKFile)
	require.Equal(t, "net", c.Peer("a").Children[0].Name)
	require.Equal(t, 2, c.Daemon.Workers)
	require.Equal(t, "debug", c.Daemon.LogLevel)
	require.NotNil(t, c.Pool("c"))

	for name, test := range map[string]struct{ file, want string }{
		"a key twice":   {"[daemon]\nworkers = 3\n", "x.toml:2:1: daemon.workers: is there twice, first at /etc/racoon/racoon.toml:3"},
		"a peer twice":  {"[peer.office]\nremote = \"192.0.2.9\"\n", "x.toml:1:7: peer.office: is there twice, first at /etc/racoon/racoon.toml:4"},
		"a circle":      {"include = \"racoon.toml\"\n", "x.toml:1:11: include: /etc/racoon/racoon.toml is part of the configuration already"},
		"its own error": {"[peer.x]\nremte = 1\n", "x.toml:2:1: peer.x.remte: is unknown"},
	} {
		_, err := Parse("/etc/racoon/racoon.toml", []byte("include = \"x.toml\"\n[daemon]\nworkers = 2\n[peer.office]\nremote = \"192.0.2.2\"\npsk-file = \"x\"\n"),
			WithFiles(memoryFiles{"/etc/racoon/x.toml": test.file}))
		require.ErrorContains(t, err, test.want, name)
	}

	deep := memoryFiles{}
	for i := range 20 {
		deep[fmt.Sprintf("/etc/racoon/%d.toml", i)] = fmt.Sprintf("include = \"%d.toml\"\n", i+1)
	}
	_, err := Parse("/etc/racoon/racoon.toml", []byte("include = \"0.toml\"\n"), WithFiles(deep))
	require.ErrorContains(t, err, "more than 10 deep")
}

func TestInheritance(t *testing.T) {
	c := parse(t, `
[defaults]
local-id = "hq.example.org"
psk-file = "all.psk"
timing.liveness = "10s"
ikev1.modes = ["aggressive"]
[defaults.child]
rekey = "30m"
mark-in = "0x1"

[template.base]
start = "trap"
timing.rekey = "2h"
proposals = ["aes256gcm16-prfsha256-x25519"]
[template.base.child.net]
local = "10.1.0.0/16"
remote = "10.9.0.0/16"
[template.branch]
inherits = "base"
psk-file = "branch.psk"

[peer.zurich]
inherits = "branch"
remote = "192.0.2.2"
timing.rekey = "3h"
[peer.zurich.child.net]
remote = "10.2.0.0/16"
[peer.zurich.child.other]
local = "10.1.0.7"
remote = "10.3.0.7"
rekey = "10m"

[peer.geneva]
inherits = "zurich"
remote = "192.0.2.3"
start = "none"
proposals = []
`)
	require.Len(t, c.Peers, 2)
	z, g := c.Peer("zurich"), c.Peer("geneva")
	require.Equal(t, "hq.example.org", z.LocalID)
	require.Equal(t, "/etc/racoon/branch.psk", z.PSKFile, "the template is nearer than the defaults")
	require.Equal(t, "trap", z.Start)
	require.Equal(t, Duration(3*time.Hour), z.Timing.Rekey)
	require.Equal(t, Duration(3*time.Hour+18*time.Minute), z.Timing.Lifetime)
	require.Equal(t, Duration(10*time.Second), z.Timing.Liveness)
	require.Len(t, z.Children, 2)
	require.Equal(t, "net", z.Children[0].Name)
	require.Equal(t, []string{"10.1.0.0/16"}, z.Children[0].Local)
	require.Equal(t, []string{"10.2.0.0/16"}, z.Children[0].Remote)
	require.Equal(t, Duration(30*time.Minute), z.Children[0].Rekey)
	require.Equal(t, "0x1", z.Children[0].MarkIn.String())
	require.Equal(t, Duration(10*time.Minute), z.Children[1].Rekey)

	require.Equal(t, "none", g.Start)
	require.Equal(t, z.Children[1].Local, g.Children[1].Local)
	require.Len(t, z.Proposals, 1)
	require.Len(t, g.Proposals, 2, "taken back: the default")
	require.Equal(t, "192.0.2.3", g.Remote)

	// What is wrong in a template is said once, where it is written.
	_, err := Parse("racoon.toml", []byte(`
[template.branch]
psk-file = "x"
start = "allways"
[peer.a]
inherits = "branch"
remote = "192.0.2.2"
[peer.b]
inherits = "branch"
remote = "192.0.2.3"
`))
	require.Len(t, err.(Errors), 1)
	require.ErrorContains(t, err, "racoon.toml:4:9: template.branch.start")
}

// TestSyntaxErrors: reading goes on after one, as far as that makes sense.
func TestSyntaxErrors(t *testing.T) {
	_, err := Parse("racoon.toml", []byte("[daemon]\nworkers = yes\nlog-level = \"info\"\n[peer.x]\nremote = 192.0.2.1\nremte = 1\nlist = [\"a\",\n\"b\"\nremote-id = \"x\"\n"))
	var lines []int
	for _, e := range err.(Errors) {
		lines = append(lines, e.Line)
	}
	require.Equal(t, []int{2, 5, 9}, lines[:3], "%v", err)
	for _, text := range []string{"", "\n", "# nothing\n", "\ufeff", "a", "=", "[", "]]", "\x00", "a = \"\\u0000\"", "a.b = 1\na = 2\n", "[a]\n[a.b]\n[a]\n", strings.Repeat("[", 20000), "a = " + strings.Repeat("[", 20000)} {
		_, err := Parse("racoon.toml", []byte(text), WithFiles(memoryFiles{}))
		if err != nil {
			require.ErrorIs(t, err, ErrConfig)
			require.NotEmpty(t, err.(Errors)[0].Error())
		}
	}
}

func TestErrorsAreTyped(t *testing.T) {
	_, err := Load("/does/not/exist.toml")
	require.ErrorIs(t, err, ErrConfig)
	require.ErrorContains(t, err, "/does/not/exist.toml: cannot be read: no such file")
	e := Errors{{File: "f", Message: "m", Err: strings.NewReader("").UnreadByte()}}
	require.Len(t, e.Unwrap(), 1)
}

// What only Linux can set is not set on another kernel in silence.
func TestWarnsOfLinuxSettings(t *testing.T) {
	c := parse(t, "[dataplane]\nkind = \"pfkey\"\nhold-packets = true\nacquire-timeout = \"10s\"\npfkey.dialect = \"netbsd\"\n")
	require.Len(t, c.Warnings, 2)
	require.ErrorContains(t, c.Warnings, "dataplane.hold-packets: has no effect with dialect = \"netbsd\"")
	require.ErrorContains(t, c.Warnings, "dataplane.acquire-timeout: has no effect")
	require.Empty(t, parse(t, "[dataplane]\nkind = \"pfkey\"\nhold-packets = true\npfkey.dialect = \"linux\"\n").Warnings)
}

func TestWarnings(t *testing.T) {
	c := parse(t, `
[secrets]
insecure-permissions = true
[control]
mode = "0666"
[peer.old]
remote = "192.0.2.2"
psk-file = "old.psk"
versions = ["ikev1"]
proposals = ["3des-md5-modp1024"]
ikev1.modes = ["aggressive"]
[pool.unused]
addresses = "10.99.0.0/24"
`)
	var all []string
	for _, w := range c.Warnings {
		all = append(all, fmt.Sprintf("%d %s", w.Line, w.Key))
	}
	require.Equal(t, []string{"3 secrets.insecure-permissions", "5 control.mode", "10 peer.old.proposals", "10 peer.old.proposals", "10 peer.old.proposals", "10 peer.old.proposals", "11 peer.old.ikev1.modes", "13 pool.unused.addresses"}, all)
	require.Contains(t, c.Warnings.Error(), "names the weak ENCR_3DES")
}

func TestValues(t *testing.T) {
	for s, want := range map[string]time.Duration{"30s": 30 * time.Second, "1d": 24 * time.Hour, "1d12h": 36 * time.Hour, "1h30m": 90 * time.Minute, "1.5s": 1500 * time.Millisecond, "0s": 0, "7d": 168 * time.Hour} {
		d, err := ParseDuration(s)
		require.NoError(t, err, s)
		require.Equal(t, want, d.D(), s)
		again, err := ParseDuration(d.String())
		require.NoError(t, err, d.String())
		require.Equal(t, d, again)
	}
	for _, s := range []string{"", "1", "d", "-1s", "1d-1h", "x", "1w", "99999999d", "1dd"} {
		_, err := ParseDuration(s)
		require.Error(t, err, s)
	}
	for s, want := range map[string]uint64{"0B": 0, "1500B": 1500, "4KiB": 4096, "4GiB": 4 << 30, "1 MiB": 1 << 20, "16777215TiB": 16777215 << 40} {
		n, err := ParseSize(s)
		require.NoError(t, err, s)
		require.Equal(t, want, uint64(n), s)
		again, err := ParseSize(n.String())
		require.NoError(t, err)
		require.Equal(t, n, again)
	}
	for _, s := range []string{"", "B", "1", "1KB", "-1B", "16777216TiB", "1.5GiB"} {
		_, err := ParseSize(s)
		require.Error(t, err, s)
	}
	for s, want := range map[string]Mark{"1": {1, 0xffffffff}, "0x10/0xff": {0x10, 0xff}} {
		m, err := ParseMark(s)
		require.NoError(t, err, s)
		require.Equal(t, want, m)
		again, err := ParseMark(m.String())
		require.NoError(t, err)
		require.Equal(t, m, again)
	}
}
