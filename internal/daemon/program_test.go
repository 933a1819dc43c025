package daemon

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/conf"
	"github.com/racoon3/racoon/internal/testhost"
)

// try runs a program that ends by itself.
func try(t *testing.T, args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = Program{Name: "iked"}.Run(t.Context(), args, Env{}, &out, &err)
	return code, out.String(), err.String()
}

// TestCheckSamples: -check prints what is in effect of each sample: no key file
// that they name is here, and no privilege is needed. What it prints is a
// configuration itself, with the same effect.
func TestCheckSamples(t *testing.T) {
	all, err := filepath.Glob("../../examples/conf/*.toml")
	require.NoError(t, err)
	require.NotEmpty(t, all)
	for _, f := range all {
		text, err := os.ReadFile(f)
		require.NoError(t, err)
		// The interface is the one that every machine has.
		text = []byte(strings.ReplaceAll(string(text), "${interface4:eth0}", "192.0.2.1"))
		at := filepath.Join(t.TempDir(), filepath.Base(f))
		require.NoError(t, os.WriteFile(at, text, 0o600))
		code, out, errs := try(t, "-check", "-c", at)
		require.Zero(t, code, errs)
		require.NotEmpty(t, out)
		again := filepath.Join(t.TempDir(), "again.toml")
		require.NoError(t, os.WriteFile(again, []byte(out), 0o600))
		code, second, errs := try(t, "-check", "-f", again)
		require.Zero(t, code, errs)
		require.Equal(t, out, second, f)
	}
}

// TestCheckErrors: all errors, each with file, line, key and what is wrong.
func TestCheckErrors(t *testing.T) {
	at := filepath.Join(t.TempDir(), "racoon.toml")
	require.NoError(t, os.WriteFile(at, []byte("[daemon]\nlog-leve = \"info\"\n[peer.a]\nremote = \"192.0.2.1\"\nstart = \"now\"\npsk-file = \"psk\"\n"), 0o600))
	code, out, errs := try(t, "-check", "-c", at)
	require.Equal(t, exitFailed, code)
	require.Empty(t, out)
	lines := strings.Split(strings.TrimSpace(errs), "\n")
	require.Len(t, lines, 2)
	require.Contains(t, lines[0], at+":2:1: daemon.log-leve: is unknown")
	require.Contains(t, lines[1], at+":5:9: peer.a.start: ")

	// The key is read when the daemon starts, before anything is opened.
	require.NoError(t, os.WriteFile(at, []byte("[peer.a]\nremote = \"192.0.2.1\"\npsk-file = \"psk\"\n"), 0o600))
	code, _, errs = try(t, "-check", "-c", at)
	require.Zero(t, code, errs)
	code, _, errs = try(t, "-c", at)
	require.Equal(t, exitFailed, code)
	require.Contains(t, errs, at+":3:12: peer.a.psk-file: ")
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"-V"}, 0, "iked "},
		{[]string{"-h"}, 0, "configuration file"},
		{[]string{"-unknown"}, exitMisuse, "-unknown"},
		{[]string{"word"}, exitMisuse, `"word" is not an option`},
		{[]string{"-log-level", "loud"}, exitMisuse, "debug, info, warn and error"},
		{[]string{"-log-format", "xml"}, exitMisuse, "neither text nor json"},
		{[]string{"-c", "/nowhere/racoon.toml"}, exitFailed, "/nowhere/racoon.toml: cannot be read"},
	} {
		code, out, errs := try(t, c.args...)
		require.Equal(t, c.code, code, c.args)
		require.Contains(t, out+errs, c.says)
	}
	// What options say is in effect.
	at := filepath.Join(t.TempDir(), "racoon.toml")
	require.NoError(t, os.WriteFile(at, []byte("[daemon]\nlog-level = \"warn\"\n"), 0o600))
	code, out, errs := try(t, "-check", "-c", at, "-log-level", "error", "-log-format", "json", "-p", "/run/p", "-s", "/run/s", "-P", "/run/c")
	require.Zero(t, code, errs)
	for _, line := range []string{`log-level = "error"`, `log-format = "json"`, `pid-file = "/run/p"`, `socket = "/run/s"`, `file = "/run/c"`} {
		require.Contains(t, out, line)
	}
}

// TestPrivilegesAreNotIgnored: a configuration that wants the daemon to give up
// its privileges does not run with them.
func TestPrivilegesAreNotIgnored(t *testing.T) {
	at := filepath.Join(t.TempDir(), "racoon.toml")
	require.NoError(t, os.WriteFile(at, []byte("[daemon]\nuser = \"nobody\"\n[dataplane]\nkind = \"none\"\n"), 0o600))
	code, _, errs := try(t, "-c", at)
	require.Equal(t, exitFailed, code)
	require.Contains(t, errs, "user, group and chroot")
}

// TestProtocols: what a program serves, and where it listens therefore.
func TestProtocols(t *testing.T) {
	cfg := func(protocols ...string) *conf.Config {
		c := new(conf.Config)
		for _, p := range protocols {
			c.Peers = append(c.Peers, &conf.Peer{Protocol: p})
		}
		return c
	}
	iked, kinkd := Program{Name: "iked"}, Program{Name: "kinkd", Protocols: []string{"kink"}}
	require.Equal(t, []string{"ike"}, iked.protocols(cfg()))
	require.Equal(t, []string{"ike"}, iked.protocols(cfg("ike", "ike")))
	require.Equal(t, []string{"kink"}, iked.protocols(cfg("kink")))
	require.Equal(t, []string{"kink", "ike"}, iked.protocols(cfg("kink", "ike")))
	require.Equal(t, []string{"kink"}, kinkd.protocols(cfg("ike", "kink")))
}

// TestLogFile: the log is JSON in a file, which a reload opens again after it was
// moved away.
func TestLogFile(t *testing.T) {
	p := testhost.Ports(t, 2)
	d := newInstance(t, "[daemon]\nlog-file = \"DIR/log\"\nlog-format = \"json\"\nlisten = [\"127.0.0.1:"+strconv.Itoa(p[0])+"\"]\nlisten-natt = []\n[dataplane]\nkind = \"none\"\n[control]\nsocket = \"\"\n")
	d.run(t.Context(), []string{"-c", d.path("racoon.toml")}, Env{Reload: d.reload, Terminate: d.terminate})
	says := func(file, text string) {
		t.Helper()
		require.Eventually(t, func() bool {
			b, _ := os.ReadFile(d.path(file))
			return strings.Contains(string(b), text)
		}, testhost.Patience, 5*time.Millisecond)
	}
	says("log", `"msg":"ready"`)
	require.NoError(t, os.Rename(d.path("log"), d.path("log.0")))
	d.reload <- syscall.SIGHUP
	says("log", "the configuration was reloaded")
	require.Zero(t, d.stop())
	b, err := os.ReadFile(d.path("log"))
	require.NoError(t, err)
	for line := range strings.Lines(string(b)) {
		require.True(t, json.Valid([]byte(line)), line)
	}
	require.Empty(t, d.log.String())
}
