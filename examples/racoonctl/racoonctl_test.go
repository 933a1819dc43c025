package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/control"
	"github.com/racoon3/racoon/internal/control/controltest"
	"github.com/racoon3/racoon/internal/testhost"
)

// ctl runs racoonctl against a host.
func ctl(t *testing.T, h *controltest.Host, stdin string, args ...string) (status int, out, errs string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testhost.Patience)
	defer cancel()
	var o, e bytes.Buffer
	status = run(ctx, append([]string{"-s", h.Path}, args...), strings.NewReader(stdin), &o, &e)
	return status, o.String(), e.String()
}

// ok wants a command to go well.
func ok(t *testing.T, h *controltest.Host, args ...string) string {
	t.Helper()
	status, out, errs := ctl(t, h, "", args...)
	require.Zero(t, status, "%q: %s", args, errs)
	require.Empty(t, errs)
	return out
}

// jsonOf runs a command with --json.
func jsonOf[T any](t *testing.T, h *controltest.Host, args ...string) (v T) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(ok(t, h, append(args, "--json")...)))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&v))
	return v
}

// TestEveryCommand goes through the life of a session with all commands, in
// the spelling of ipsec-tools.
func TestEveryCommand(t *testing.T) {
	p := controltest.New(t, controltest.Certificates(t))
	c, g := p.Client, p.Gateway

	out := ok(t, c, "status")
	require.Contains(t, out, "iked 1.2.3, process ")
	require.Contains(t, out, "1 peer, 0 sessions")
	require.Equal(t, "iked", jsonOf[control.Status](t, c, "st").Daemon)
	require.Equal(t, "Destination  Cookies  Created\n", ok(t, c, "show-sa"))

	out = ok(t, c, "vpn-connect", "127.0.0.1")
	require.Contains(t, out, "connected to gw (127.0.0.1:")
	require.Contains(t, out, "net: 10.1.0.0/24 === 10.2.0.0/16\n")

	s := jsonOf[struct{ Sessions []control.Session }](t, c, "sessions").Sessions[0]
	cookies := s.LocalSPI + ":" + s.RemoteSPI
	require.Contains(t, ok(t, c, "show-sa", "isakmp"), s.Remote+"  "+cookies+"  ")
	require.Contains(t, ok(t, g, "ss", "isakmp"), cookies, "the initiator's comes first on both sides")
	out = ok(t, c, "-l", "show-sa")
	require.Contains(t, out, "IKEv2")
	require.Contains(t, out, "gw.example.org")
	require.Equal(t, out, ok(t, c, "show-sa", "-l", "isakmp"), "options may stand anywhere")
	out = ok(t, c, "show-sa", "esp")
	require.Contains(t, out, "10.1.0.0/24 > 10.2.0.0/16")
	require.Contains(t, out, "10.3.0.0/16[tcp/80] > 10.1.0.0/24")
	require.Equal(t, 5, strings.Count(out, "\n"))
	require.Equal(t, out, ok(t, c, "show-sa", "ipsec"))
	require.Equal(t, 1, strings.Count(ok(t, c, "show-sa", "ah"), "\n"))
	require.Contains(t, ok(t, c, "sessions"), "gw.example.org")
	require.Contains(t, ok(t, c, "sessions", "-stats", "peer", "gw"), "Received")
	out = ok(t, c, "-l", "sessions")
	require.Contains(t, out, "session "+s.ID+" with gw: IKEv2, established")
	require.Contains(t, out, "10.1.0.0/24 === 10.3.0.0/16[tcp/80]")
	require.Contains(t, out, "rekey in")
	require.Equal(t, 1, strings.Count(ok(t, c, "sessions", "peer", "other"), "\n"))

	out = ok(t, c, "show-schedule")
	require.Contains(t, out, "liveness")
	require.Contains(t, out, "web")
	require.NotEmpty(t, jsonOf[struct{ Schedule []control.Due }](t, c, "sc").Schedule)
	require.Contains(t, ok(t, c, "peers"), "10.1.0.0/24 === 10.2.0.0/16")
	require.Contains(t, ok(t, c, "policies"), "protect")
	require.Equal(t, "out", jsonOf[struct{ Policies []control.Policy }](t, c, "policies").Policies[2].Direction)
	require.Regexp(t, `(?m)^ike\.established +1$`, ok(t, c, "stats"))
	require.Equal(t, 1, jsonOf[control.Stats](t, c, "stats").Sessions)

	for _, args := range [][]string{{"get-sa-cert", "inet", "127.0.0.1", "127.0.0.1"}, {"gc", "127.0.0.1", "127.0.0.1"}, {"get-cert", "peer", "gw"}, {"get-cert", "isakmp", "inet", "any", "127.0.0.1"}} {
		out = ok(t, c, args...)
		require.Contains(t, out, "# subject CN=gw.example.org")
		block, _ := pem.Decode([]byte(out[strings.Index(out, "-----BEGIN"):]))
		require.Equal(t, string(block.Bytes), ok(t, c, append(args, "-der")...))
	}

	require.Equal(t, "rekeyed 1 session, 0 Child SAs\n", ok(t, c, "rekey", "peer", "gw"))
	require.Equal(t, "rekeyed 0 sessions, 1 Child SA\n", ok(t, c, "rekey", "child", "net"))
	require.Equal(t, control.Done{Children: 1}, jsonOf[control.Done](t, c, "rekey", "child", "web"))
	require.Equal(t, "deleted 0 sessions, 1 Child SA\n", ok(t, c, "delete-sa", "esp", "inet", "10.1.0.0/24/0", "10.2.0.0/16/0", "any"))
	require.Contains(t, ok(t, c, "establish-sa", "-w", "esp", "inet", "10.1.0.7/32/0", "10.2.0.0/16/0", "any"), "net: 10.1.0.0/24 === 10.2.0.0/16")
	require.Equal(t, "deleted 0 sessions, 1 Child SA\n", ok(t, c, "ds", "esp", "inet", "10.1.0.0/24", "10.3.0.9/32/80", "tcp"))
	require.Equal(t, "deleted 0 sessions, 1 Child SA\n", ok(t, c, "flush-sa", "ipsec"))
	require.Equal(t, "deleted 1 session, 0 Child SAs\n", ok(t, c, "delete-sa", "isakmp", "inet", "127.0.0.1", "127.0.0.1"))

	require.Empty(t, ok(t, c, "establish-sa", "-n", "gw"))
	require.Eventually(t, func() bool { return strings.Contains(ok(t, c, "status"), "1 session,") }, testhost.Patience, time.Millisecond)
	// The order of before may not have ended yet, although its session is up.
	require.Regexp(t, `^deleted 1 session, 0 Child SAs\n(gave up 1 call\n)?$`, ok(t, c, "vpn-disconnect", "gw"))
	require.Contains(t, ok(t, c, "es", "-w", "isakmp", "inet", "127.0.0.1", "127.0.0.1"), "connected to gw")
	require.Equal(t, "deleted 1 session, 0 Child SAs\n", ok(t, c, "vd", "127.0.0.1"))
	require.Contains(t, ok(t, c, "vc", "gw"), "connected to gw")
	require.Equal(t, "deleted 1 session, 0 Child SAs\n", ok(t, c, "flush-sa"))

	out = ok(t, c, "events")
	require.Contains(t, out, "session-up peer=gw")
	require.Contains(t, out, "identity=gw.example.org")
	require.Contains(t, out, "child-down")
	require.Equal(t, 2, strings.Count(ok(t, c, "events", "-n", "2"), "\n"))
	for line := range strings.Lines(ok(t, c, "events", "--json")) {
		var e control.Event
		require.NoError(t, json.Unmarshal([]byte(line), &e))
	}

	require.Equal(t, "info\n", ok(t, c, "log-level"))
	require.Equal(t, "debug\n", ok(t, c, "log-level", "debug"))
	require.Equal(t, slog.LevelDebug, c.Daemon.LogLevel.Level())
	require.Equal(t, "nothing has changed\n", ok(t, c, "reload-config"))
	c.Config.Peers = append([]racoon.Peer(nil), c.Config.Peers...)
	c.Config.Peers[0].Children = c.Config.Peers[0].Children[:1]
	require.Equal(t, "gw web: deletes (0 sessions)\n", ok(t, c, "rc"))
	c.Config.Peers[0].Timing.Rekey = time.Hour
	require.Equal(t, "at the next rekey", jsonOf[control.Reloaded](t, c, "rc").Changes[0].Effect)
}

func TestLogIn(t *testing.T) {
	p := controltest.New(t, controltest.User, func(p *controltest.Pair) {
		p.Client.Config.Peers[0].RequestAddress = true
		p.Gateway.Config.Peers[0].Assign = banner{}
	})
	file := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(file, []byte(controltest.Password+"\n"), 0o600))

	status, _, errs := ctl(t, p.Client, "wrong\n", "vpn-connect", "-u", "alice", "-password-file", "-", "gw")
	require.Equal(t, exitRefused, status, errs)
	require.NotContains(t, errs, "wrong\"")
	status, _, _ = ctl(t, p.Client, "", "vpn-connect", "gw")
	require.Equal(t, exitRefused, status)

	out := ok(t, p.Client, "vpn-connect", "-u", "alice", "-password-file", file, "gw")
	require.Contains(t, out, "address 10.1.0.9/32\n")
	require.Regexp(t, `(?m)^\| Welcome[^\x1b]+\[2J\n\| second line$`, out, "a banner cannot command the terminal")
	require.Contains(t, ok(t, p.Gateway, "sessions"), "alice")
	require.Contains(t, ok(t, p.Gateway, "sessions", "user", "alice", "-l"), "alice staff")
	require.Equal(t, "deleted 1 session, 0 Child SAs\n", ok(t, p.Gateway, "logout-user", "alice"))
	status, _, errs = ctl(t, p.Gateway, "", "lu", "alice")
	require.Equal(t, exitRefused, status)
	require.Equal(t, "racoonctl: user \"alice\" has no session\n", errs)
}

// banner assigns an address and a hostile banner.
type banner struct{}

func (banner) Assign(context.Context, ike.AddressRequest) (*ike.NetworkConfig, error) {
	c := controltest.Network("10.1.0.9/32")
	c.Banner = "Welcome\x1b[2J\nsecond line"
	return c, nil
}

func (banner) Release(context.Context, ike.AddressRequest, *ike.NetworkConfig) {}

func TestShowEventFollows(t *testing.T) {
	p := controltest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"-s", p.Client.Path, "show-event"}, nil, w, w)
		w.Close()
	}()
	ok(t, p.Client, "establish-sa", "-n", "gw")
	r.SetReadDeadline(time.Now().Add(testhost.Patience))
	var seen string
	for b := make([]byte, 4096); !strings.Contains(seen, "session-up") || !strings.Contains(seen, "child-up"); {
		n, err := r.Read(b)
		require.NoError(t, err)
		seen += string(b[:n])
	}
	cancel()
	require.Equal(t, exitOK, <-ended)
}

// TestDisconnectWhileConnecting: vpn-disconnect ends an attempt that somebody
// else's vpn-connect waits for.
func TestDisconnectWhileConnecting(t *testing.T) {
	p := controltest.New(t, controltest.Silent(t))
	type result struct {
		status int
		errs   string
	}
	ended := make(chan result, 1)
	go func() {
		status, _, errs := ctl(t, p.Client, "", "vpn-connect", "gw")
		ended <- result{status, errs}
	}()
	require.Eventually(t, func() bool { return jsonOf[control.Status](t, p.Client, "status").Calls == 1 }, testhost.Patience, time.Millisecond)
	require.Equal(t, "deleted 0 sessions, 0 Child SAs\ngave up 1 call\n", ok(t, p.Client, "vpn-disconnect", "127.0.0.1"))
	r := <-ended
	require.Equal(t, exitRefused, r.status)
	require.Contains(t, r.errs, "the call was given up")
	status, _, errs := ctl(t, p.Client, "", "vpn-disconnect", "gw")
	require.Equal(t, exitRefused, status)
	require.Contains(t, errs, "no session")
}

func TestExitStatus(t *testing.T) {
	p := controltest.New(t)
	for _, c := range []struct {
		args   string
		status int
		says   string
	}{
		{"", exitUsage, "a command is missing"},
		{"frobnicate", exitUsage, `"frobnicate" is no command`},
		{"-z status", exitUsage, "not defined: -z"},
		{"status now", exitUsage, "unexpected now"},
		{"show-sa carp", exitUsage, "isakmp, esp, ah and ipsec"},
		{"flush-sa carp", exitUsage, "cannot be flushed"},
		{"delete-sa", exitUsage, "which SAs"},
		{"delete-sa isakmp", exitUsage, "inet or inet6 is missing"},
		{"delete-sa isakmp inet 192.0.2.1", exitUsage, "a source and a destination"},
		{"delete-sa isakmp inet 192.0.2.1 2001:db8::1", exitUsage, "not of the family"},
		{"delete-sa isakmp inet any any", exitUsage, "flush-sa deletes all"},
		{"delete-sa esp inet 10.0.0.0/8/0 10.1.0.0/16/0 ospf", exitUsage, "icmp, tcp, udp, gre, any"},
		{"delete-sa esp inet 10.0.0.0/33/0 10.1.0.0/16/0 any", exitUsage, "no length of a prefix"},
		{"delete-sa esp inet 10.0.0.1/8/0 10.1.0.0/16/0 any", exitUsage, "write 10.0.0.0/8"},
		{"delete-sa esp inet 10.0.0.0/8/80 10.1.0.0/16/0 any", exitUsage, "a port goes with tcp and udp"},
		{"delete-sa esp inet 10.0.0.0/8/99999 10.1.0.0/16/0 tcp", exitUsage, "no port"},
		{"delete-sa esp inet 10.0.0.0/8/0/0 10.1.0.0/16/0 tcp", exitUsage, "not of the form"},
		{"delete-sa peer", exitUsage, "one word is to follow peer"},
		{"delete-sa carp inet 192.0.2.1 192.0.2.2", exitUsage, "no kind of SA"},
		{"establish-sa", exitUsage, "what to establish"},
		{"establish-sa spi 1234", exitUsage, "cannot be established"},
		{"establish-sa -n gw -password-file x", exitUsage, "goes with -u"},
		{"establish-sa -n gw -u alice -password-file /none", exitUsage, "password:"},
		{"vpn-connect", exitUsage, "one gateway"},
		{"vpn-disconnect", exitUsage, "one gateway"},
		{"logout-user", exitUsage, "one user"},
		{"events -n -1", exitUsage, "negative"},
		{"completion ksh", exitUsage, "bash, zsh and fish"},
		{"help carp", exitUsage, "no command"},
		{"log-level loud", exitRefused, "error, warn, info and debug"},
		{"delete-sa peer gw", exitRefused, "no session"},
		{"delete-sa spi zz", exitRefused, "hexadecimal"},
		{"establish-sa -w -n nobody", exitRefused, "no such peer"},
		{"vpn-connect 192.0.2.77", exitRefused, "no configured peer is to be called at 192.0.2.77"},
		{"get-cert peer gw", exitRefused, "no session"},
		{"rekey peer gw", exitRefused, "no session"},
		{"-s /none/socket status", exitNoDaemon, "no daemon answers"},
	} {
		status, out, errs := ctl(t, p.Client, "", strings.Fields(c.args)...)
		require.Equal(t, c.status, status, "%s: %s", c.args, errs)
		require.Contains(t, errs, c.says, c.args)
		require.Empty(t, out, c.args)
	}
	status, out, _ := ctl(t, p.Client, "", "--json", "delete-sa", "peer", "gw")
	require.Equal(t, exitRefused, status)
	require.JSONEq(t, `{"code":"not-found","error":"no session or Child SA is like that"}`, out)
	require.Contains(t, ok(t, p.Client, "help"), "vpn-disconnect, vd")
	require.Contains(t, ok(t, p.Client, "help", "es"), "-password-file file")
	require.Contains(t, ok(t, p.Client, "rekey", "-h"), "-reauth")
	require.Contains(t, ok(t, p.Client, "-h"), "usage: racoonctl")
}

// The words of SAs become what the daemon takes.
func TestSAOptions(t *testing.T) {
	p := &program{ctx: t.Context()}
	for in, want := range map[string]control.Select{
		"isakmp inet 192.0.2.1 192.0.2.2":                  {Local: "192.0.2.1", Remote: "192.0.2.2"},
		"isakmp inet any 192.0.2.2":                        {Remote: "192.0.2.2"},
		"isakmp inet6 2001:db8::1 2001:db8::2":             {Local: "2001:db8::1", Remote: "2001:db8::2"},
		"esp inet 10.1.0.0/24/0 10.2.0.0/16/443 tcp":       {Protocol: "esp", Source: "10.1.0.0/24[tcp]", Destination: "10.2.0.0/16[tcp/443]"},
		"ah inet6 2001:db8::/32/any 2001:db8:1::1 icmp":    {Protocol: "ah", Source: "2001:db8::/32[icmp6]", Destination: "2001:db8:1::1[icmp6]"},
		"esp inet 10.1.0.0/24 10.2.0.0/16":                 {Protocol: "esp", Source: "10.1.0.0/24", Destination: "10.2.0.0/16"},
		"esp inet 192.0.2.1/32/1701 192.0.2.2/32/1701 udp": {Protocol: "esp", Source: "192.0.2.1/32[udp/1701]", Destination: "192.0.2.2/32[udp/1701]"},
		"esp inet 192.0.2.1/32/0 192.0.2.2/32/0 gre":       {Protocol: "esp", Source: "192.0.2.1/32[gre]", Destination: "192.0.2.2/32[gre]"},
		"peer office":    {Peer: "office"},
		"spi 0xc0000001": {SPI: "0xc0000001"},
		"child net":      {Child: "net"},
		"session 7":      {Session: "7"},
		"user alice":     {User: "alice"},
	} {
		got, err := p.parseSelect(strings.Fields(in))
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
		require.NoError(t, got.Check(), in)
	}
}

// TestC25_TerminalIsSafe: what a peer says cannot command the terminal, nor look
// like another line.
func TestC25_TerminalIsSafe(t *testing.T) {
	for in, want := range map[string]string{
		"plain é 日本":        "plain é 日本",
		"\x1b[2J":           `\x1b[2J`,
		"a\nroot b":         `a\nroot b`,
		"a\rb\tc\x7f\u009b": `a\rb\tc\x7f\u009b`,
		"\u202egpj":         `\u202egpj`,
		"\xff\xfe":          `\xff\xfe`,
		"\ufffd":            "\ufffd",
	} {
		require.Equal(t, want, clean(in))
	}
	tb := table{head: []string{"A", "B"}}
	tb.add("x\ny", "\x1b]0;z\x07")
	tb.add("", 7)
	var b bytes.Buffer
	tb.print(&b)
	require.Equal(t, "A     B\nx\\ny  \\x1b]0;z\\a\n-     7\n", b.String())
}

func TestCompletion(t *testing.T) {
	p := controltest.New(t)
	for _, shell := range []string{"bash", "zsh", "fish"} {
		out := ok(t, p.Client, "completion", shell)
		for _, c := range commands() {
			require.Contains(t, out, c.name, shell)
		}
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		testhost.Missing(t, "no bash here")
	}
	// A racoonctl that says what ours says of the peers.
	dir := t.TempDir()
	peers := filepath.Join(dir, "peers.json")
	require.NoError(t, os.WriteFile(peers, []byte(ok(t, p.Client, "-json", "peers")), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "racoonctl"), []byte("#!/bin/sh\ncat "+peers+"\n"), 0o755))
	complete := func(line string) []string {
		words := strings.Split(line, " ")
		script := ok(t, p.Client, "completion", "bash") + "\nCOMP_WORDS=(" + strings.Join(words, " ") + ` "")` + "\nCOMP_CWORD=" + string(rune('0'+len(words))) + "\n_racoonctl\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n"
		c := exec.Command(bash, "-c", script)
		c.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
		out, err := c.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return strings.Fields(string(out))
	}
	require.Contains(t, complete("racoonctl"), "show-sa")
	require.Contains(t, complete("racoonctl -l"), "vpn-connect")
	require.Subset(t, complete("racoonctl show-sa"), []string{"isakmp", "esp", "ah", "ipsec"})
	require.Contains(t, complete("racoonctl vd"), "gw")
	require.NotContains(t, complete("racoonctl vd"), "net", "a Child SA is no gateway")
	require.Contains(t, complete("racoonctl log-level"), "debug")
}
