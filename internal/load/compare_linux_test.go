package load_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/internal/load"
	"github.com/racoon3/racoon/internal/testpki"
)

// scenario is what is negotiated in a comparison.
type scenario struct {
	name      string
	proposals string // IKE
	rsa       bool   // certificates with RSA-2048 keys, else PSK
	ikev1     bool   // Main Mode and Quick Mode
}

var scenarios = []scenario{
	{name: "PSK-x25519", proposals: "aes128gcm16-prfsha256-x25519"},
	{name: "RSA2048-x25519", proposals: "aes128gcm16-prfsha256-x25519", rsa: true},
	{name: "PSK-modp2048", proposals: "aes128-sha256-modp2048"},
	{name: "IKEv1-PSK-modp2048", proposals: "aes128-sha256-modp2048", ikev1: true},
	{name: "IKEv1-PSK-ecp256", proposals: "aes128-sha256-ecp256", ikev1: true},
}

const (
	compareESP     = "aes128gcm16"
	compareClients = "172.16.0.0/12" // one address each
	comparePSK     = "a secret of both sides"
	warmUp         = 20 // handshakes before it is measured, for what is loaded once
)

// BenchmarkResponder puts our gateway and strongSwan under the same load, one
// after the other, each on one processor of its own, and reports processor
// time per handshake (with one Child SA), memory per session, and the rate at
// which one processor answers. An operation is a handshake:
//
//	go test -run '^$' -bench Responder -benchtime 2000x -count 5 ./internal/load
//
// Data planes: null does nothing; esp is our userspace ESP; libipsec is
// strongSwan's kernel-libipsec, its userspace ESP, without routes. Childless
// are IKE SAs without a Child SA (RFC 6023), which need none: strongSwan has no
// data plane that does nothing, but so its key management can be seen alone.
func BenchmarkResponder(b *testing.B) {
	for _, s := range scenarios {
		b.Run(s.name, func(b *testing.B) {
			if !s.ikev1 { // where a Child SA is never part of the handshake
				b.Run("racoon-childless", func(b *testing.B) { compare(b, s, "null", true) })
				b.Run("strongSwan-childless", func(b *testing.B) { compare(b, s, "", true) })
			}
			b.Run("racoon-null", func(b *testing.B) { compare(b, s, "null", false) })
			b.Run("racoon-esp", func(b *testing.B) { compare(b, s, "esp", false) })
			b.Run("strongSwan-libipsec", func(b *testing.B) { compare(b, s, "", false) })
		})
	}
}

// compare measures our gateway with the given data plane, or strongSwan.
func compare(b *testing.B, s scenario, plane string, childless bool) {
	if plane == "" {
		lab.Require(b, lab.StrongSwan)
	} else {
		lab.Require(b, lab.Root)
	}
	first, last := processors(b)
	client, gateway := lab.NewPair(b)
	program := buildIkeload(b)
	dir := b.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(b, os.WriteFile(path, []byte(content), 0o600))
		return path
	}

	// Both responders and the generator have the same settings.
	auth := map[string][]string{"client": {"-psk", comparePSK, "-id", "user%d@lab"}, "gateway": {"-psk", comparePSK, "-id", "gw.lab"}}
	swan := lab.StrongSwanConfig{
		Charon: "install_routes = no\ncookie_threshold = 1000000\nblock_threshold = 1000000\nfilelog {\n log {\n default = -1\n flush_line = no\n }\n}",
		Conns: []lab.StrongSwanConn{{
			Local: gateway.Outer.String(), LocalID: "gw.lab", RemoteID: "%any", Proposals: s.proposals, Extra: "unique = never",
			Children: []lab.StrongSwanChild{{LocalTS: gateway.InnerNet.String(), RemoteTS: compareClients, Proposals: compareESP}},
		}},
	}
	if s.rsa {
		ca := testpki.NewIssuer(b, testpki.RSA2048, 0)
		root := file("ca.pem", string(ca.RootPEM()))
		for side, name := range map[string]string{"client": "client.lab", "gateway": "gw.lab"} {
			cert := ca.Host(b, testpki.RSA2048, name)
			auth[side] = []string{"-ca", root, "-cert", file(side+".pem", string(cert.PEM())+string(cert.KeyPEM(b)))}
			if side == "gateway" {
				swan.Certs, swan.CAs = []*testpki.Cert{cert}, []*testpki.Cert{ca}
			}
		}
	} else {
		swan.PSK = comparePSK
	}

	version := fmt.Sprintf("-ikev1=%v", s.ikev1)
	if s.ikev1 {
		swan.Conns[0].Version = 1
	}
	var pid int
	target := gateway.Outer.String() + ":4500"
	on(b, last, func() {
		if plane == "" {
			pid = lab.StartStrongSwan(b, gateway.Namespace, swan).Pid()
			return
		}
		args := append(auth["gateway"], "-responder", version, fmt.Sprintf("-childless=%v", childless), "-listen", target, "-plane", plane, "-proposals", s.proposals, "-esp", compareESP,
			"-local-ts", gateway.InnerNet.String(), "-remote-ts", compareClients)
		pid = start(b, gateway.Namespace, program, args...)
	})
	generate := func(n int, net string) (r load.Report) {
		args := append([]string{"-c", fmt.Sprint(first), program, version, fmt.Sprintf("-childless=%v", childless)}, auth["client"]...)
		args = append(args, "-target", target, "-n", fmt.Sprint(n), "-leave", "-json", "-time", "5m", "-proposals", s.proposals, "-esp", compareESP,
			"-local-net", net, "-remote-ts", gateway.InnerNet.String())
		ctx, cancel := context.WithTimeout(b.Context(), 10*time.Minute)
		defer cancel()
		out, err := client.Exec(ctx, "taskset", args...)
		require.NoError(b, err)
		require.NoError(b, json.Unmarshal([]byte(out), &r), "%s", out)
		require.Equal(b, n, r.Established, "%+v", r)
		require.Empty(b, r.Failures)
		return r
	}
	generate(warmUp, "172.16.0.0/16")

	n := max(b.N, warmUp)
	cpu, rss := cpuTime(b, pid), resident(b, pid)
	b.ResetTimer()
	r := generate(n, "172.17.0.0/16")
	b.StopTimer()
	cpu, rss = cpuTime(b, pid)-cpu, resident(b, pid)-rss
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(cpu.Seconds()*1000/float64(n), "cpu-ms/handshake")
	b.ReportMetric(float64(rss)/1024/float64(n), "KiB/session")
	b.ReportMetric(r.Rate, "handshakes/s")
	b.ReportMetric(r.Latency.P50, "p50-ms")
}

// processors returns the first and the last processor that this process may
// use; on a machine with one they are the same.
func processors(b *testing.B) (first, last int) {
	var set unix.CPUSet
	require.NoError(b, unix.SchedGetaffinity(0, &set))
	first = -1
	for i := range 1024 {
		if set.IsSet(i) {
			if first < 0 {
				first = i
			}
			last = i
		}
	}
	return first, last
}

// on runs f on one processor; what f starts stays there.
func on(b *testing.B, cpu int, f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var old, set unix.CPUSet
	require.NoError(b, unix.SchedGetaffinity(0, &old))
	set.Set(cpu)
	require.NoError(b, unix.SchedSetaffinity(0, &set))
	defer func() { require.NoError(b, unix.SchedSetaffinity(0, &old)) }()
	f()
}

func buildIkeload(b *testing.B) string {
	program := filepath.Join(b.TempDir(), "ikeload")
	out, err := exec.Command("go", "build", "-o", program, "github.com/racoon3/racoon/examples/ikeload").CombinedOutput()
	require.NoError(b, err, "%s", out)
	return program
}

// start runs a responder in a namespace until the benchmark ends.
func start(b *testing.B, ns *lab.Namespace, program string, args ...string) (pid int) {
	cmd := exec.Command(program, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	stderr, err := cmd.StderrPipe()
	require.NoError(b, err)
	ns.Do(func() { err = cmd.Start() })
	require.NoError(b, err)
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line := make([]byte, 200)
	n, err := stderr.Read(line)
	require.NoError(b, err)
	require.True(b, strings.HasPrefix(string(line[:n]), "listening on "), "%s", line[:n])
	return cmd.Process.Pid
}

// cpuTime is the processor time of another process, user and system, by its
// CPU clock (clock_getcpuclockid(3)).
func cpuTime(b *testing.B, pid int) time.Duration {
	var ts unix.Timespec
	require.NoError(b, unix.ClockGettime(int32(^pid<<3|2), &ts))
	return time.Duration(ts.Nano())
}

// resident is what of a process is in memory, in octets.
func resident(b *testing.B, pid int) int64 {
	s, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	require.NoError(b, err)
	var total, rss int64
	_, err = fmt.Sscan(string(s), &total, &rss)
	require.NoError(b, err)
	return rss * int64(os.Getpagesize())
}
