//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"github.com/racoon3/racoon/internal/control"
	"github.com/racoon3/racoon/internal/daemon"
	"github.com/racoon3/racoon/internal/testhost"
	"github.com/racoon3/racoon/internal/testpki"
)

// runAs in the environment makes the test binary one of the programs.
const runAs = "RACOON_RUN_AS"

func TestMain(m *testing.M) {
	switch os.Getenv(runAs) {
	case "iked":
		os.Exit(daemon.Main(daemon.Program{Name: "iked"}))
	case "racoonctl":
		main()
	}
	os.Exit(m.Run())
}

func programCommand(t *testing.T, name string, args ...string) *exec.Cmd {
	self, err := os.Executable()
	require.NoError(t, err)
	c := exec.Command(self, args...)
	c.Env = append(os.Environ(), runAs+"="+name)
	return c
}

// site is an iked as a process with a folder of its files.
type site struct {
	t   *testing.T
	dir string
	log *testhost.Log
	*testhost.Process
}

func newSite(t *testing.T) *site {
	dir := testhost.Dir(t)
	return &site{t: t, dir: dir, log: testhost.NewLog(t, "iked in %s", dir)}
}

func (s *site) file(name string, content []byte) {
	require.NoError(s.t, os.WriteFile(filepath.Join(s.dir, name), content, 0o600))
}

func (s *site) start() {
	s.t.Helper()
	cmd := programCommand(s.t, "iked", "-c", filepath.Join(s.dir, "racoon.toml"), "-state", filepath.Join(s.dir, "state"), "-s", filepath.Join(s.dir, "socket"))
	s.Process = testhost.Start(s.t, cmd, s.log)
	s.Await("msg=ready", 1)
	s.Await("control socket", 1)
}

func (s *site) command(args ...string) *exec.Cmd {
	return programCommand(s.t, "racoonctl", append([]string{"-s", filepath.Join(s.dir, "socket")}, args...)...)
}

// ctl runs racoonctl to its end.
func (s *site) ctl(status int, args ...string) string {
	s.t.Helper()
	var out, errs bytes.Buffer
	c := s.command(args...)
	c.Stdout, c.Stderr = &out, &errs
	_ = c.Run()
	require.Equal(s.t, status, c.ProcessState.ExitCode(), "%q: %s%s", args, &out, &errs)
	if status != exitOK {
		return errs.String()
	}
	return out.String()
}

// TestProcesses goes through all commands with racoonctl and two ikeds as processes:
// a gateway, and a client with three peers. One peer is authenticated by
// certificates (IKEv2), one has users who log in (IKEv1), one never answers.
func TestProcesses(t *testing.T) {
	client, gateway := newSite(t), newSite(t)
	nobody, err := net.ListenPacket("udp4", "127.0.0.1:0") // takes what it gets and says nothing
	require.NoError(t, err)
	defer func() { _ = nobody.Close() }()
	ports := testhost.Ports(t, 4)
	const top = "[daemon]\nlisten = [\"127.0.0.1:%d\"]\nlisten-natt = [\"127.0.0.1:%d\"]\n[dataplane]\nkind = \"none\"\n"
	ca := testpki.NewCA(t, "ctl")
	for s, name := range map[*site]string{client: "a.example", gateway: "b.example"} {
		own := ca.Leaf(t, name)
		s.file("own.pem", own.PEM())
		s.file("own.key", own.KeyPEM(t))
		s.file("ca.pem", ca.PEM())
		s.file("psk", []byte("a secret of both\n"))
	}
	hash, err := bcrypt.GenerateFromPassword([]byte("open sesame"), bcrypt.MinCost)
	require.NoError(t, err)
	gateway.file("users", []byte("alice:"+string(hash)+":staff\n"))
	client.file("password", []byte("open sesame\n"))
	client.file("wrong", []byte("open barley\n"))
	config := fmt.Sprintf(top+`
[peer.gw]
remote = "127.0.0.1:%[3]d"
remote-natt-port = %[4]d
remote-id = "b.example"
certificate = "own.pem"
key = "own.key"
ca = "ca.pem"
[peer.gw.child.net]
local = "10.1.0.0/16"
remote = "10.2.0.0/16"
[peer.gw.child.web]
local = "10.1.0.0/16"
remote = "10.3.0.0/16[tcp/80]"
[peer.vpn]
versions = ["ikev1"]
remote = "127.0.0.1:%[3]d"
remote-natt-port = %[4]d
local-id = "keyid:staff"
remote-id = "b.example"
psk-file = "psk"
ikev1.methods = ["xauth-psk"]
ikev1.modes = ["aggressive"]
[peer.vpn.child.net]
local = "10.9.0.0/16"
remote = "10.2.0.0/16"
[peer.silent]
remote = "127.0.0.1:%[5]d"
psk-file = "psk"
remote-id = "nobody.example"
[peer.silent.child.net]
local = "10.1.0.0/16"
remote = "10.4.0.0/16"
[policy.telnet]
action = "discard"
remote = "any[tcp/23]"
`, ports[0], ports[1], ports[2], ports[3], nobody.LocalAddr().(*net.UDPAddr).Port)
	client.file("racoon.toml", []byte(config))
	gateway.file("racoon.toml", fmt.Appendf(nil, top+`
[peer.clients]
remote-id = "a.example"
certificate = "own.pem"
key = "own.key"
ca = "ca.pem"
[peer.clients.child.net]
local = "10.2.0.0/16"
remote = "10.1.0.0/16"
[peer.clients.child.web]
local = "10.3.0.0/16[tcp/80]"
remote = "10.1.0.0/16"
[peer.users]
versions = ["ikev1"]
local-id = "b.example"
remote-id = "keyid:staff"
psk-file = "psk"
users = "staff"
ikev1.modes = ["aggressive"]
[peer.users.child.net]
local = "10.2.0.0/16"
remote = "10.9.0.0/16"
[users.staff]
file = "users"
`, ports[2], ports[3]))
	gateway.start()
	client.start()
	ctl := func(args ...string) string { t.Helper(); return client.ctl(exitOK, args...) }

	// events -f is a process that runs all the time.
	following := client.command("events", "-f", "--json")
	r, err := following.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, following.Start())
	followed := make(chan []byte, 1)
	go func() { b, _ := io.ReadAll(r); followed <- b }()

	require.Contains(t, ctl("status"), "3 peers, 0 sessions")
	require.Contains(t, ctl("vpn-connect", "gw"), "connected to gw (127.0.0.1:")
	require.Contains(t, ctl("show-sa", "isakmp"), "127.0.0.1")
	require.Contains(t, ctl("-l", "show-sa"), "b.example")
	for _, what := range []string{"esp", "ipsec"} {
		require.Contains(t, ctl("show-sa", what), "10.1.0.0/16 > 10.2.0.0/16")
	}
	require.Equal(t, 1, strings.Count(ctl("show-sa", "ah"), "\n"))
	var sas struct{ SAs []control.ChildSA }
	require.NoError(t, json.Unmarshal([]byte(ctl("--json", "show-sa", "esp")), &sas))
	require.Len(t, sas.SAs, 2)
	require.Contains(t, ctl("show-schedule"), "liveness")
	require.Contains(t, ctl("sessions", "-stats"), "b.example")
	require.Contains(t, ctl("peers"), "silent")
	require.Contains(t, client.ctl(exitRefused, "policies"), "data plane does not tell", "that of a kernel does: TestIkedKernel")
	require.Regexp(t, `(?m)^ike\.established +1$`, ctl("stats"))
	for _, command := range []string{"get-cert", "get-sa-cert"} {
		block, _ := pem.Decode([]byte(ctl(command, "peer", "gw")))
		require.NotNil(t, block)
		require.Equal(t, string(block.Bytes), ctl(command, "-der", "peer", "gw"))
	}
	require.Equal(t, "rekeyed 1 session, 0 Child SAs\n", ctl("rekey", "peer", "gw"))
	require.Equal(t, "rekeyed 0 sessions, 1 Child SA\n", ctl("rekey", "child", "net"))
	require.Equal(t, "deleted 0 sessions, 1 Child SA\n", ctl("delete-sa", "esp", "inet", "10.1.0.0/16/0", "10.2.0.0/16/0", "any"))
	require.Contains(t, ctl("establish-sa", "-w", "esp", "inet", "10.1.0.7/32/0", "10.2.0.0/16/0", "any"), "net: 10.1.0.0/16 === 10.2.0.0/16")
	require.Equal(t, "deleted 0 sessions, 2 Child SAs\n", ctl("flush-sa", "ipsec"))
	require.Equal(t, "deleted 1 session, 0 Child SAs\n", ctl("vpn-disconnect", "gw"))

	// A user logs in; the gateway logs her out.
	require.Contains(t, client.ctl(exitRefused, "vpn-connect", "vpn"), "racoonctl vpn-connect -u")
	client.ctl(exitRefused, "establish-sa", "-w", "-n", "vpn", "-u", "alice", "-password-file", filepath.Join(client.dir, "wrong"))
	require.Contains(t, ctl("establish-sa", "-w", "-n", "vpn", "-u", "alice", "-password-file", filepath.Join(client.dir, "password")), "connected to vpn")
	require.Contains(t, gateway.ctl(exitOK, "sessions", "user", "alice"), "alice")
	require.Equal(t, "deleted 1 session, 0 Child SAs\n", gateway.ctl(exitOK, "logout-user", "alice"))
	client.Await("session down\" peer=vpn", 1)
	require.NotContains(t, client.log.String()+gateway.log.String(), "open sesame")

	// A call that gets no answer is ended by somebody else.
	calling := client.command("vpn-connect", "silent")
	var said bytes.Buffer
	calling.Stderr = &said
	require.NoError(t, calling.Start())
	require.Eventually(t, func() bool { return strings.Contains(ctl("status", "--json"), `"calls": 1`) }, testhost.Patience, 20*time.Millisecond)
	require.Contains(t, ctl("vpn-disconnect", "silent"), "gave up 1 call")
	require.Error(t, calling.Wait())
	require.Equal(t, exitRefused, calling.ProcessState.ExitCode())
	require.Contains(t, said.String(), "given up")

	require.Equal(t, "info\n", ctl("log-level"))
	require.Equal(t, "debug\n", ctl("log-level", "debug"))
	require.Equal(t, "nothing has changed\n", ctl("reload-config"))
	client.file("racoon.toml", []byte(strings.Replace(config, "[peer.gw]\n", "[peer.gw]\ntiming.rekey = \"1h\"\n", 1)))
	require.Contains(t, ctl("reload-config"), "gw ")
	client.file("racoon.toml", []byte(config+"nonsense = 1\n"))
	require.Contains(t, client.ctl(exitRefused, "reload-config"), "nonsense")

	// The events so far; those that were followed are the same ones.
	var kept []control.Event
	d := json.NewDecoder(strings.NewReader(ctl("events", "--json")))
	for d.More() {
		var e control.Event
		require.NoError(t, d.Decode(&e))
		kept = append(kept, e)
	}
	types := map[string]int{}
	for _, e := range kept {
		types[e.Type]++
	}
	require.Equal(t, 2, types["session-up"])
	require.Equal(t, 2, types["session-down"])
	require.GreaterOrEqual(t, types["child-up"], 4)
	require.Equal(t, 1, types["child-rekeyed"])
	require.Equal(t, 1, types["session-rekeyed"])
	require.Positive(t, types["session-failed"])

	for _, shell := range []string{"bash", "zsh", "fish"} {
		require.Contains(t, ctl("completion", shell), "vpn-disconnect")
	}
	client.ctl(exitUsage, "frobnicate")
	client.Stop(syscall.SIGTERM)
	gateway.Stop(syscall.SIGTERM)
	client.ctl(exitNoDaemon, "status")
	require.NoError(t, following.Wait(), "the daemon's end is the end of its events")
	seen := 0
	d = json.NewDecoder(bytes.NewReader(<-followed))
	for d.More() {
		var e control.Event
		require.NoError(t, d.Decode(&e))
		seen++
	}
	require.GreaterOrEqual(t, seen, len(kept))
}
