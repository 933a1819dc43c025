package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/control"
	"github.com/racoon3/racoon/internal/localsocket"
	"github.com/racoon3/racoon/internal/pcap"
	"github.com/racoon3/racoon/internal/testhost"
)

// instance is a daemon with a directory of its own, in this process.
type instance struct {
	t         *testing.T
	dir       string
	reload    chan os.Signal
	status    chan os.Signal
	terminate chan os.Signal
	env       map[string]string
	log       *testhost.Log
	done      chan struct{} // closed at its end
	code      int           // which it has ended with
}

// newInstance writes a configuration; DIR in it is the directory.
func newInstance(t *testing.T, config string) *instance {
	d := &instance{t: t, dir: testhost.Dir(t), reload: make(chan os.Signal, 1), status: make(chan os.Signal, 1), terminate: make(chan os.Signal, 2), env: map[string]string{}}
	require.NoError(t, os.WriteFile(d.path("psk"), []byte("a secret of both\n"), 0o600))
	d.configure(config)
	return d
}

func (d *instance) path(name string) string { return filepath.Join(d.dir, name) }

func (d *instance) configure(config string) {
	require.NoError(d.t, os.WriteFile(d.path("racoon.toml"), []byte(strings.ReplaceAll(config, "DIR", d.dir)), 0o600))
}

// start runs the daemon until it is ready.
func (d *instance) start(args ...string) {
	d.t.Helper()
	args = append([]string{"-c", d.path("racoon.toml"), "-state", d.path("state")}, args...)
	env := Env{Getenv: func(n string) string { return d.env[n] }, Reload: d.reload, Status: d.status, Terminate: d.terminate}
	ctx, cancel := context.WithCancel(context.Background())
	d.run(ctx, args, env)
	done := d.done
	d.t.Cleanup(func() {
		cancel()
		select {
		case <-done:
		case <-time.After(testhost.Patience):
			d.t.Error("the daemon does not end")
		}
	})
	d.logs("msg=ready", 1)
}

// run runs the daemon beside the test.
func (d *instance) run(ctx context.Context, args []string, env Env) {
	log, done := testhost.NewLog(d.t, "iked in %s", d.dir), make(chan struct{})
	d.log, d.done = log, done
	go func() {
		defer close(done)
		d.code = Program{Name: "iked"}.Run(ctx, args, env, log, log)
	}()
}

// logs waits until the log has a text n times.
func (d *instance) logs(text string, n int) {
	d.t.Helper()
	d.log.Await(d.t, text, n, d.done)
}

func (d *instance) wait() int {
	d.t.Helper()
	select {
	case <-d.done:
		return d.code
	case <-time.After(testhost.Patience):
		require.FailNow(d.t, "the daemon does not end", "%s", d.log)
		return 0
	}
}

func (d *instance) stop() int {
	d.terminate <- syscall.SIGTERM
	return d.wait()
}

const common = `
[daemon]
listen = ["127.0.0.1:%d"]
listen-natt = ["127.0.0.1:%d"]
pid-file = "DIR/pid"
[dataplane]
kind = "none"
[control]
socket = "DIR/control"
`

const callerPeer = `
[peer.office]
remote = "127.0.0.1:%d"
remote-natt-port = %d
local-id = "a.example"
remote-id = "b.example"
psk-file = "psk"
start = "always"
[peer.office.child.net]
local = "10.1.0.0/16"
remote = "10.2.0.0/16"
`

const answererPeer = `
[peer.branch]
local-id = "b.example"
remote-id = "a.example"
psk-file = "psk"
[peer.branch.child.net]
local = "10.2.0.0/16"
remote = "10.1.0.0/16"
`

// pair is a daemon that calls and one that answers.
func pair(t *testing.T) (a, b *instance, configA, configB string) {
	p := testhost.Ports(t, 4)
	configA = fmt.Sprintf(common, p[0], p[1]) + fmt.Sprintf(callerPeer, p[2], p[3])
	configB = fmt.Sprintf(common, p[2], p[3]) + answererPeer
	return newInstance(t, configA), newInstance(t, configB), configA, configB
}

func skipWithoutSockets(t *testing.T) {
	l, err := localsocket.Listen(localsocket.ListenConfig{Path: filepath.Join(t.TempDir(), "s")})
	if errors.Is(err, localsocket.ErrUnsupported) {
		testhost.Missing(t, "%v", err)
	}
	require.NoError(t, err)
	require.NoError(t, l.Close())
}

// TestTwoDaemons: sessions come up as configured; the control socket answers;
// hooks run; what was said in secret is in the capture; both end in order.
func TestTwoDaemons(t *testing.T) {
	skipWithoutSockets(t)
	a, b, configA, _ := pair(t)
	script := func(name string) string {
		path := a.path(name)
		require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\necho \"$1 $RACOON_PEER $RACOON_REMOTE_ID\" >> "+a.path("hooked")+"\n"), 0o700))
		return path
	}
	configA += "[hooks]\nsession-up = \"" + script("up") + "\"\nsession-down = \"" + script("down") + "\"\nchild-up = \"" + script("child") + "\"\n"
	configA += "[capture]\nfile = \"DIR/capture.pcapng\"\n"
	a.configure(configA)
	b.start()
	a.start()
	a.logs(`msg="child up"`, 1)

	c := control.NewClient(a.path("control"))
	defer c.Close()
	st, err := c.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, "iked", st.Daemon)
	require.True(t, st.Serving)
	sessions, err := c.Sessions(t.Context(), control.Select{}, false)
	require.NoError(t, err)
	require.Len(t, sessions, 1)
	require.Equal(t, "b.example", sessions[0].RemoteID)
	require.Len(t, sessions[0].Children, 1)
	_, err = c.Rekey(t.Context(), control.RekeyRequest{Select: control.Select{Child: "net"}})
	require.NoError(t, err)
	a.logs(`child rekeyed`, 1)
	level, err := c.SetLogLevel(t.Context(), "debug")
	require.NoError(t, err)
	require.Equal(t, "debug", level.Level)
	pid, err := os.ReadFile(a.path("pid"))
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintln(os.Getpid()), string(pid))

	a.status <- os.Interrupt
	a.logs(`msg="peers are asked for a sign of life" sessions=1`, 1)

	require.Zero(t, a.stop(), a.log)
	b.logs("session down", 1)
	require.Zero(t, b.stop(), b.log)
	for _, f := range []string{"pid", "control"} {
		_, err := os.Stat(a.path(f))
		require.ErrorIs(t, err, os.ErrNotExist, f)
	}
	if runtime.GOOS != "windows" {
		hooked, err := os.ReadFile(a.path("hooked"))
		require.NoError(t, err)
		require.Equal(t, "session-up office b.example\nchild-up office b.example\nsession-down office b.example\n", string(hooked))
	}
	packets, err := pcap.ReadFile(a.path("capture.pcapng"))
	require.NoError(t, err)
	identity := 0
	for d := range pcap.UDP(packets) {
		require.True(t, d.Src.Addr().IsLoopback() && d.Dst.Addr().IsLoopback())
		if bytes.Contains(d.Payload, []byte("b.example")) {
			identity++
		}
	}
	require.Positive(t, identity, "identities are in IKE_AUTH, which is encrypted on the wire")
	info, err := os.Stat(a.path("capture.pcapng"))
	require.NoError(t, err)
	require.Zero(t, info.Mode().Perm()&0o077)
}

// TestReload: what has not changed is not touched; a broken configuration
// changes nothing and is explained; each change is logged with its effect.
func TestReload(t *testing.T) {
	skipWithoutSockets(t)
	a, b, configA, configB := pair(t)
	b.start()
	a.start()
	a.logs(`msg="child up"`, 1)
	c := control.NewClient(a.path("control"))
	defer c.Close()
	up := func() string {
		sessions, err := c.Sessions(t.Context(), control.Select{}, false)
		require.NoError(t, err)
		require.Len(t, sessions, 1)
		return sessions[0].ID + sessions[0].Children[0].SPIIn
	}
	first := up()

	// A peer more, at both; no session is touched.
	second := strings.NewReplacer("peer.office", "peer.second", "a.example", "a2.example", "10.1.", "10.11.", "10.2.", "10.12.").Replace(configA[strings.Index(configA, "[peer"):])
	secondB := strings.NewReplacer("peer.branch", "peer.second", "a.example", "a2.example", "10.1.", "10.11.", "10.2.", "10.12.").Replace(answererPeer)
	b.configure(configB + secondB)
	b.reload <- syscall.SIGHUP
	b.logs("the configuration was reloaded", 1)
	a.configure(configA + second)
	a.reload <- syscall.SIGHUP
	a.logs(`msg="child up"`, 2)
	a.logs("peer=second", 1)
	sessions, err := c.Sessions(t.Context(), control.Select{Peer: "office"}, false)
	require.NoError(t, err)
	require.Len(t, sessions, 1)
	require.Equal(t, first, sessions[0].ID+sessions[0].Children[0].SPIIn)

	// Not changed at all.
	r, err := c.Reload(t.Context())
	require.NoError(t, err)
	require.Empty(t, r.Changes)

	// Broken in several ways.
	for what, broken := range map[string]string{
		"psk-fil":        strings.Replace(configA, "psk-file", "psk-fil", 1),
		"nowhere":        strings.Replace(configA, `psk-file = "psk"`, `psk-file = "nowhere"`, 1),
		"Listen":         strings.Replace(configA, "listen = [", "listen = [\"127.0.0.1:1\", ", 1),
		"hooks.child-up": configA + "[hooks]\nchild-up = \"DIR/racoon.toml\"\n",
	} {
		a.configure(broken)
		_, err = c.Reload(t.Context())
		require.ErrorContains(t, err, what)
		peers, err := c.Peers(t.Context())
		require.NoError(t, err)
		require.Len(t, peers, 2)
	}
	a.logs("what was before goes on", 4)

	// The second peer goes, and something that needs a restart is said to.
	a.configure(configA + "[dataplane.userspace]\nmtu = 1400\n")
	r, err = c.Reload(t.Context())
	require.NoError(t, err)
	require.Equal(t, []control.Change{{Peer: "second", Effect: "deletes", Sessions: 1}, {Field: "dataplane", Effect: "needs a restart"}}, r.Changes)
	a.logs("session down", 1)
	require.Equal(t, first, up())
	a.logs(`msg=reloaded peer=second child="" field="" effect=deletes sessions=1`, 1)

	// A capture and another level, at run time.
	a.configure(strings.Replace(configA, "[dataplane]", "log-level = \"debug\"\n[dataplane]", 1) + "[capture]\nfile = \"DIR/c\"\npeers = [\"office\"]\n")
	_, err = c.Reload(t.Context())
	require.NoError(t, err)
	level, err := c.LogLevel(t.Context())
	require.NoError(t, err)
	require.Equal(t, "debug", level.Level)
	_, err = c.Rekey(t.Context(), control.RekeyRequest{Select: control.Select{Peer: "office"}})
	require.NoError(t, err)
	a.configure(configA)
	_, err = c.Reload(t.Context())
	require.NoError(t, err)
	packets, err := pcap.ReadFile(a.path("c"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(packets), 2, "the request and the answer")
	require.Zero(t, a.stop())
}

// silencer passes datagrams between one caller and a server until it is silent.
type silencer struct {
	silent atomic.Bool
	port   int
}

func newSilencer(t *testing.T, server int) *silencer {
	s := &silencer{}
	in, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	out, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: server})
	require.NoError(t, err)
	s.port = in.LocalAddr().(*net.UDPAddr).Port
	var caller atomic.Pointer[net.UDPAddr]
	go func() {
		b := make([]byte, 65536)
		for {
			n, from, err := in.ReadFromUDP(b)
			if err != nil {
				return
			}
			caller.Store(from)
			if !s.silent.Load() {
				_, _ = out.Write(b[:n])
			}
		}
	}()
	go func() {
		b := make([]byte, 65536)
		for {
			n, err := out.Read(b)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil && !s.silent.Load() && caller.Load() != nil {
				_, _ = in.WriteToUDP(b[:n], caller.Load())
			}
		}
	}()
	t.Cleanup(func() { in.Close(); out.Close() })
	return s
}

// TestShutdownIsBounded: a peer that does not answer does not hold the daemon
// up, and a second signal ends it at once.
func TestShutdownIsBounded(t *testing.T) {
	for signals, timeout := range map[int]string{1: "300ms", 2: "10m"} {
		p := testhost.Ports(t, 4)
		ike, natt := newSilencer(t, p[2]), newSilencer(t, p[3])
		a := newInstance(t, strings.Replace(fmt.Sprintf(common, p[0], p[1]), "[dataplane]", "shutdown-timeout = \""+timeout+"\"\n[dataplane]", 1)+
			fmt.Sprintf(callerPeer, ike.port, natt.port))
		b := newInstance(t, strings.Replace(fmt.Sprintf(common, p[2], p[3]), "[dataplane]", "shutdown-timeout = \"100ms\"\n[dataplane]", 1)+answererPeer)
		b.start("-s", "none")
		a.start("-s", "none")
		a.logs(`msg="child up"`, 1)
		ike.silent.Store(true)
		natt.silent.Store(true)
		begin := time.Now()
		for range signals {
			a.terminate <- syscall.SIGTERM
		}
		require.Zero(t, a.wait(), a.log)
		require.Less(t, time.Since(begin), testhost.Patience)
		require.Contains(t, a.log.String(), "not all peers have answered")
	}
}
