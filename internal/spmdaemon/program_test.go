package spmdaemon

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/racoon3/racoon/internal/conf"
	"github.com/racoon3/racoon/internal/testhost"
	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/spd/spmif"
)

// keptKernel is a kernel that outlives the daemon.
type keptKernel struct{ *spd.Memory }

func (keptKernel) Close() error { return nil }

// lab is a directory with a configuration.
type lab struct {
	dir    string
	kernel keptKernel
	log    *testhost.Log
	reload chan os.Signal
}

func newLab(t *testing.T, config string) *lab {
	l := &lab{dir: t.TempDir(), kernel: keptKernel{spd.NewMemory(spd.MemoryConfig{})}, reload: make(chan os.Signal, 1)}
	require.NoError(t, os.WriteFile(l.path("spmd.pwd"), []byte("secret\n"), 0o600))
	l.configure(t, config)
	return l
}

func (l *lab) path(name string) string { return filepath.Join(l.dir, name) }

func (l *lab) configure(t *testing.T, config string) {
	t.Helper()
	require.NoError(t, os.WriteFile(l.path("racoon.toml"), []byte(strings.ReplaceAll(config, "DIR", l.dir)), 0o600))
}

// start runs the daemon until stop, which returns its exit status.
func (l *lab) start(t *testing.T, args ...string) (stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l.log = &testhost.Log{}
	done := make(chan int, 1)
	args = append([]string{"-c", l.path("racoon.toml"), "-state", l.path("state"), "-p", l.path("pid")}, args...)
	go func() {
		done <- runProgram(ctx, args, l.reload, l.log, l.log, func(context.Context, *conf.Config, arguments, *slog.Logger) (spd.DataPlane, error) {
			return l.kernel, nil
		})
	}()
	t.Cleanup(cancel)
	l.logs(t, "spmd is ready")
	return func() int { cancel(); return <-done }
}

func (l *lab) logs(t *testing.T, what string) {
	t.Helper()
	l.log.Await(t, what, 1, nil)
}

const config = `
[spmd]
socket = "DIR/spmif"
password-file = "DIR/spmd.pwd"
[spmd.names]
hosts-file = ""
[spmd.names.static]
"printer.example" = ["192.0.2.99"]

[policy.printer]
action = "bypass"
local = "10.1.0.0/16"
remote = "printer.example[tcp/631]"

[policy.site]
action = "protect"
local = "10.1.0.0/16"
remote = "10.2.0.0/16"
local-address = "192.0.2.1"
remote-address = "192.0.2.2"

[policy.rw]
install = false
action = "protect"
local = "10.1.0.0/16"
remote = "any"
local-address = "192.0.2.1"
remote-address = "192.0.2.2"
`

func skipWithoutSocket(t *testing.T) {
	l, err := spmif.Listen(spmif.ListenConfig{Path: filepath.Join(t.TempDir(), "s")})
	if errors.Is(err, spmif.ErrUnsupported) {
		testhost.Missing(t, "%v", err)
	}
	require.NoError(t, err)
	require.NoError(t, l.Close())
}

func TestDaemon(t *testing.T) {
	skipWithoutSocket(t)
	l := newLab(t, config)
	stop := l.start(t)
	require.Len(t, l.kernel.Policies(), 4)
	ctx := t.Context()
	_, err := spmif.Dial(ctx, l.path("spmif"), spmif.Password("wrong"))
	require.Error(t, err)
	c, err := spmif.Dial(ctx, l.path("spmif"), spmif.Password("secret\n"))
	require.NoError(t, err)
	require.NoError(t, c.AddPolicy(ctx, "rw", time.Hour, netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("10.3.0.7/32"),
		spmif.AddrPair{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("198.51.100.9")}))
	require.Len(t, l.kernel.Policies(), 6)
	names, err := c.NamesOf(ctx, netip.MustParseAddr("192.0.2.99"))
	require.NoError(t, err)
	require.Equal(t, []string{"printer.example."}, names)

	// Reload: one policy less; then a configuration that is wrong.
	l.configure(t, strings.Replace(config, "[policy.site]", "[policy.site]\ninstall = false", 1))
	l.reload <- nil
	l.logs(t, "loaded anew")
	require.Len(t, l.kernel.Policies(), 4)
	l.configure(t, strings.Replace(config, "bypass", "byepass", 1))
	l.reload <- nil
	l.logs(t, "is not used")
	require.Contains(t, l.log.String(), "byepass")
	require.Len(t, l.kernel.Policies(), 4)
	require.NoError(t, c.Quit(ctx))

	require.Zero(t, stop(), l.log)
	require.Empty(t, l.kernel.Policies())
	for _, f := range []string{"spmif", "pid"} {
		_, err := os.Stat(l.path(f))
		require.ErrorIs(t, err, os.ErrNotExist, f)
	}
}

// A second daemon does not take the first one's policies for a dead one's.
func TestC21_SecondDaemon(t *testing.T) {
	skipWithoutSocket(t)
	l := newLab(t, config)
	stop := l.start(t)
	calls := l.kernel.Calls(spd.OpSetPolicies)
	state, err := os.ReadFile(l.path("state"))
	require.NoError(t, err)
	other := &lab{kernel: l.kernel, dir: t.TempDir()}
	other.configure(t, "[spmd]\nsocket = \"\"\n")
	var out testhost.Log
	code := runProgram(t.Context(), []string{"-c", other.path("racoon.toml"), "-state", l.path("state")}, nil, &out, &out,
		func(context.Context, *conf.Config, arguments, *slog.Logger) (spd.DataPlane, error) {
			return l.kernel, nil
		})
	require.Equal(t, failed, code)
	require.Contains(t, out.String(), "runs already")
	require.Equal(t, calls, l.kernel.Calls(spd.OpSetPolicies))
	after, err := os.ReadFile(l.path("state"))
	require.NoError(t, err)
	require.Equal(t, string(state), string(after))
	require.Zero(t, stop())
}

// The daemon is replaced by another version: no policy is ever away.
func TestRestartKeeps(t *testing.T) {
	skipWithoutSocket(t)
	l := newLab(t, config)
	require.Zero(t, l.start(t, "-keep")())
	require.Len(t, l.kernel.Policies(), 4)
	l.kernel.Crash()
	before, calls := l.kernel.Policies(), l.kernel.Calls(spd.OpSetPolicies)
	stop := l.start(t)
	l.logs(t, "policies of the last life were found")
	require.Equal(t, before, l.kernel.Policies())
	require.Equal(t, calls+1, l.kernel.Calls(spd.OpSetPolicies))
	require.Zero(t, stop())
	require.Empty(t, l.kernel.Policies())
}

func TestForwarderInTheDaemon(t *testing.T) {
	u, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	at := u.LocalAddr().String()
	u.Close()
	up, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer up.Close()
	go func() {
		b := make([]byte, 4096)
		for {
			n, from, err := up.ReadFrom(b)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(b[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response, m.Additionals = true, nil
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, Type: q.Type, TTL: 60}, Body: &dnsmessage.AResource{A: [4]byte{192, 0, 2, 80}}}}
			}
			out, _ := m.Pack()
			_, _ = up.WriteTo(out, from)
		}
	}()
	l := newLab(t, `
[spmd]
socket = ""
[spmd.dns]
listen = ["`+at+`"]
upstream = ["`+up.LocalAddr().String()+`"]
[policy.www]
action = "discard"
local = "10.1.0.0/16"
remote = "www.example.org[tcp/80]"
`)
	stop := l.start(t)
	require.Len(t, l.kernel.Policies(), 2, "the name was asked for before the start was over")
	require.Equal(t, netip.MustParseAddr("192.0.2.80"), l.kernel.Policies()[0].Selector.Remote.First)
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, at)
	}}
	addrs, err := r.LookupNetIP(t.Context(), "ip4", "other.example.org.")
	require.NoError(t, err)
	require.Len(t, addrs, 1)
	require.Zero(t, stop())
}

func TestCommandLine(t *testing.T) {
	never := func(context.Context, *conf.Config, arguments, *slog.Logger) (spd.DataPlane, error) {
		return nil, errors.New("must not be opened")
	}
	try := func(args ...string) (int, string) {
		var b bytes.Buffer
		return runProgram(t.Context(), args, nil, &b, &b, never), b.String()
	}
	l := newLab(t, config)
	code, out := try("-check", "-f", l.path("racoon.toml"))
	require.Zero(t, code, out)
	require.Contains(t, out, "[policy.site]")
	code, out = try("-c", l.path("nothing"))
	require.Equal(t, failed, code)
	require.Contains(t, out, "nothing")
	code, out = try("-c", l.path("racoon.toml"))
	require.Equal(t, failed, code)
	require.Contains(t, out, "the data plane: must not be opened")
	code, _ = try("-unknown")
	require.Equal(t, misuse, code)
	code, _ = try("word")
	require.Equal(t, misuse, code)
	code, out = try("-V")
	require.Zero(t, code)
	require.Contains(t, out, "spmd ")
	code, out = try("-k")
	require.Equal(t, failed, code)
	require.Contains(t, out, "-p")
	require.NoError(t, os.WriteFile(l.path("pid"), []byte("1\n"), 0o600))
	code, out = try("-k", "-p", l.path("pid"))
	require.Equal(t, failed, code)
	require.Contains(t, out, "holds no process ID")
	code, _ = try("-h")
	require.Zero(t, code)

	_, err := openDataPlane(t.Context(), &conf.Config{DataPlane: conf.DataPlane{Kind: "userspace"}}, arguments{}, nil)
	require.ErrorContains(t, err, "has no policies that this program could install")
}
