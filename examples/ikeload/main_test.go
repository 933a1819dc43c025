package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/load"
	"github.com/racoon3/racoon/internal/testhost"
)

// startResponder runs the command with -responder and returns where it listens
// and a function that ends it and returns its report.
func startResponder(t *testing.T, args ...string) (addr string, finish func() load.ResponderReport) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	var out bytes.Buffer
	done := make(chan error, 1)
	go func() {
		err := run(ctx, append([]string{"-responder", "-listen", "127.0.0.1:0", "-json"}, args...), &out, w)
		w.CloseWithError(err)
		done <- err
	}()
	line := make([]byte, 200)
	n, err := r.Read(line)
	require.NoError(t, err)
	m := regexp.MustCompile(`listening on (\S+),`).FindSubmatch(line[:n])
	require.NotNil(t, m, "%s", line[:n])
	finish = func() (report load.ResponderReport) {
		cancel()
		require.NoError(t, <-done)
		require.NoError(t, json.Unmarshal(out.Bytes(), &report))
		return report
	}
	t.Cleanup(cancel)
	return string(m[1]), finish
}

func ikeload(t *testing.T, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	var out bytes.Buffer
	err := run(ctx, args, &out, io.Discard)
	return out.String(), err
}

func TestCertificates(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	_, err := ikeload(t, "-make-pki", dir)
	require.NoError(t, err)
	file := func(name string) string { return filepath.Join(dir, name+".pem") }
	addr, finish := startResponder(t, "-cert", file("gateway"), "-ca", file("ca"), "-plane", "esp")
	out, err := ikeload(t, "-target", addr, "-cert", file("client"), "-ca", file("ca"), "-remote-id", "gateway.ikeload.test",
		"-n", "10", "-child-rekeys", "1", "-leave")
	require.NoError(t, err)
	require.Contains(t, out, "10 established, 0 failed, of 10")
	require.Contains(t, out, "Child rekeys 10:")
	report := finish()
	require.Equal(t, 10, report.Sessions)
	require.Equal(t, "esp", report.Plane)
}

func TestPSKAndFlood(t *testing.T) {
	addr, finish := startResponder(t, "-psk", "secret", "-id", "gw.example.org", "-cookie-threshold", "20")
	out, err := ikeload(t, "-flood", "-target", addr, "-n", "500", "-rate", "20000", "-json")
	if err != nil && runtime.GOOS != "linux" {
		testhost.Missing(t, "no flood from many addresses on this system: %v", err)
	}
	require.NoError(t, err)
	var flood load.FloodReport
	require.NoError(t, json.Unmarshal([]byte(out), &flood))
	require.Equal(t, 500, flood.Attempts)
	require.Positive(t, flood.Answers["COOKIE"])
	require.Positive(t, flood.Answers["IKE_SA_INIT"])

	out, err = ikeload(t, "-target", addr, "-psk", "secret", "-id", "user%d@example.org", "-n", "10", "-json")
	require.NoError(t, err)
	var r load.Report
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	require.Equal(t, 10, r.Established)
	report := finish()
	require.Equal(t, uint64(10), report.Established)
	require.Greater(t, report.Cookies, uint64(10), "ours were asked for one too")
	require.LessOrEqual(t, report.HalfOpen, 40)
}

// A flag that cannot work is named, with what to do about it.
func TestFlagErrors(t *testing.T) {
	target := []string{"-target", "127.0.0.1:9", "-psk", "s", "-id", "a"}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "-target is missing; name the responder, such as 192.0.2.1:500"},
		{[]string{"x"}, `"x" is not a flag; flags begin with a dash`},
		{[]string{"-target", "gw"}, `-target: "gw" is not an IP address and a port, such as 192.0.2.1:500`},
		{[]string{"-target", "127.0.0.1:0", "-psk", "s", "-id", "a"}, "-target: 127.0.0.1:0 is not an address and a port; use one such as"},
		{target[:2], "-psk is missing, or -cert and -ca: say how"},
		{target[:4], "-id is missing; say who this side is"},
		{[]string{"-target", "127.0.0.1:9", "-psk", "s", "-cert", "c"}, "-psk and -cert exclude each other; use one"},
		{[]string{"-target", "127.0.0.1:9", "-cert", "c"}, "-ca is missing; name the file"},
		{[]string{"-target", "127.0.0.1:9", "-cert", "/nonexistent", "-ca", "c"}, "-cert, -key: /nonexistent: "},
		{append(target, "-n", "0"), "-n: 0 is out of range; use 1 to"},
		{append(target, "-rate", "-2"), "-rate: -2 is out of range; use"},
		{append(target, "-rate", "NaN"), "-rate: NaN is out of range; use"},
		{append(target, "-concurrency", "-1"), "-concurrency: -1 is out of range; use 1 to"},
		{append(target, "-concurrency", "0"), "-concurrency: 0 is out of range; use 1 to"},
		{append(target, "-workers", "257"), "-workers: 257 is out of range; use 1 to 256"},
		{append(target, "-sources", "127"), `-sources: "127" is not a prefix, such as 127.0.0.0/8`},
		{append(target, "-sources", "127.0.0.1/32", "-workers", "2"), "-sources: 127.0.0.1/32 has 1 addresses, 2 are needed; use a shorter prefix"},
		{append(target, "-proposals", "aes256gcm16-x25591"), "-proposals: "},
		{append(target, "-esp", "rot13"), "-esp: "},
		{append(target, "-local-ts", "10.0.0.0/40"), "-local-ts: "},
		{append(target, "-local-net", "10.0.0.1"), `-local-net: "10.0.0.1" is not a prefix, such as 10.0.0.0/8`},
		{append(target, "-local-net", "10.0.0.0/24"), "-local-net: 10.0.0.0/24 has 256 addresses for 1000 handshakes; use a shorter"},
		{append(target, "-leave", "-churn"), "-leave: contradicts"},
		{append(target, "-timeout", "1ms"), "-timeout: 1ms is out of range; use 100ms"},
		{append(target, "-time", "-1s"), "-time: -1s is out of range; use"},
		{[]string{"-flood", "-target", "[::1]:500"}, "-target: [::1]:500 is not an IPv4 address"},
		{[]string{"-flood", "-target", "127.0.0.1:500", "-ports", "-1"}, "-ports: -1 is out of range; use 1 to 1000"},
		{append(target, "-remote-ts", "10.0.0.0/8", "-local-ts", "2001:db8::/32"), "-local-ts: "},
		{append(target, "-n", "x"), "-n: parse error (-h lists the flags)"},
		{append(target, "-ca", "x"), "-psk and -ca exclude each other; use one"},
		{append(target, "-key", "x"), "-cert is missing; -key is the key of a certificate"},
		{append(target, "-plane", "esp"), "-plane: has no effect without -responder; leave it out"},
		{append(target, "-cookies"), "-cookies: has no effect without -flood; leave it out"},
		{append(target, "-sources", "192.0.2.0/24"), "-sources: 192.0.2.0 is no address of this host"},
		{append(target, "-n", "1", "-timeout", "200ms"), "no handshake has succeeded"},
		{[]string{"-flood", "-target", "127.0.0.1:9", "-psk", "s"}, "-psk: has no effect with -flood; leave it out"},
		{[]string{"-flood", "-target", "127.0.0.1:9", "-n", "3", "-sources", "192.0.2.0/24"}, "-sources: nothing could be sent from 192.0.2.0/24: "},
		{[]string{"-responder", "-psk", "s", "-id", "a", "-n", "3"}, "-n: has no effect with -responder; leave it out"},
		{[]string{"-responder", "-psk", "s", "-id", "a%d"}, "-id: "},
		{[]string{"-make-pki", "x", "-target", "127.0.0.1:9"}, "-target: has no effect with -make-pki; leave it out"},
		{[]string{"-flood", "-responder"}, "-responder, -flood and -make-pki exclude each other; use one"},
		{[]string{"-responder", "-psk", "s", "-id", "a", "-plane", "xfrm"}, `-plane: "xfrm" is not a data plane; use one of null, memory, esp`},
		{[]string{"-responder", "-psk", "s", "-id", "a", "-listen", "here"}, `-listen: "here" is not an address and a port`},
		{[]string{"-responder", "-psk", "s", "-id", "a", "-workers", "1000"}, "-workers: 1000 is out of range; use 1 to 64, or 0 for one for each processor"},
		{[]string{"-make-pki", "/nonexistent/x"}, "-make-pki: "},
		{[]string{"-make-pki", "x", "-key-type", "dsa"}, `-key-type: "dsa" is not a type of key; use rsa2048`},
	} {
		t.Run(fmt.Sprint(c.args), func(t *testing.T) {
			_, err := ikeload(t, c.args...)
			require.ErrorContains(t, err, c.want)
		})
	}
}
