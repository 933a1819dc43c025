package main

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/spmdaemon"
	"github.com/racoon3/racoon/internal/testhost"
	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/spd/names"
	"github.com/racoon3/racoon/spd/spmif"
)

// daemon runs a policy daemon and returns how to talk to it.
func daemon(t *testing.T, password string) (plane *spd.Memory, try func(stdin string, args ...string) (int, string)) {
	t.Helper()
	dir := t.TempDir()
	socket, file := filepath.Join(dir, "spmif"), filepath.Join(dir, "pwd")
	require.NoError(t, os.WriteFile(file, []byte(password), 0o600))
	l, err := spmif.Listen(spmif.ListenConfig{Path: socket})
	if errors.Is(err, spmif.ErrUnsupported) {
		testhost.Missing(t, "%v", err)
	}
	require.NoError(t, err)
	ts := func(s string) []spd.TrafficSelector {
		return []spd.TrafficSelector{spd.FromPrefix(netip.MustParsePrefix(s))}
	}
	rule := spd.Rule{Name: "site", Local: ts("10.1.0.0/16"), Remote: ts("10.2.0.0/16"), Action: spd.ActionProtect,
		LocalAddr: netip.MustParseAddr("192.0.2.1"), RemoteAddr: netip.MustParseAddr("192.0.2.2")}
	plane = spd.NewMemory(spd.MemoryConfig{})
	ready, done := make(chan struct{}), make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	d := spmdaemon.New(spmdaemon.Options{DataPlane: plane, Listener: l, Password: spmif.Password(password), Ready: func() { close(ready) },
		Resolver:  names.Hosts{"www.example.": {netip.MustParseAddr("192.0.2.80")}},
		Forwarder: &names.ForwarderConfig{NameServers: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.53:53")}},
		Policies: spmdaemon.Policies{
			Rules: func(func(string) []netip.Addr) ([]spd.Rule, []string) { return []spd.Rule{rule}, nil },
			Rule:  func(name string) (spd.Rule, bool) { return rule, name == "site" },
		}})
	go func() { done <- d.Run(ctx) }()
	<-ready
	t.Cleanup(func() { cancel(); <-done })
	return plane, func(stdin string, args ...string) (int, string) {
		var b bytes.Buffer
		code := run(t.Context(), append([]string{"-s", socket, "-p", file}, args...), strings.NewReader(stdin), &b, &b)
		return code, b.String()
	}
}

func TestCommands(t *testing.T) {
	plane, try := daemon(t, "secret\n")
	for _, x := range []struct {
		args string
		out  string // a part of it
		code int
	}{
		{"ns list", "192.0.2.53\n", 0},
		{"NS Add 2001:db8::53", "", 0},
		{"ns list", "2001:db8::53\n192.0.2.53\n", 0},
		{"ns add 192.0.2.53", "", 0},
		{"ns list", "192.0.2.53\n2001:db8::53\n", 0},
		{"ns delete 192.0.2.53", "", 0},
		{"ns delete 192.0.2.53", "551 Does Not Exist", failed},
		{"policy show", "selector=site spid=", 0},
		{"policy add site 3600 tunnel 10.1.0.0/16 10.9.0.1 192.0.2.1 192.0.2.9", "", 0},
		{"policy add nobody 0 transport 10.1.0.1 10.9.0.1", "selector not found", failed},
		{"migrate site 192.0.2.1 192.0.2.9 192.0.2.1 192.0.2.8", "", 0},
		{"policy delete site tunnel 10.1.0.0/16 10.9.0.1 192.0.2.1 192.0.2.8", "", 0},
		{"policy add site 0 tunnel 10.1.0.0/16 0.0.0.0 192.0.2.1 192.0.2.9", "", 0},
		{"policy delete site", "", 0},
		{"policy delete site", "selector not found", failed},
		{"fqdn add www.example", "", 0},
		{"fqdn list", "www.example.\n", 0},
		{"fqdn query 192.0.2.80", "www.example.\n", 0},
		{"fqdn query 192.0.2.81", "501 Not Cached", failed},
		{"fqdn delete www.example", "", 0},
		{"slid 99999", "551 No Such SPID", failed},
		{"status", "CACHE TOTAL FQDN = ", 0},
		{"-d status", "> STAT\n< 250-DNS QUERY = 0\n", 0},
		{"", "usage:", misuse},
		{"policy", "usage:", misuse},
		{"ns add x", "not an IP address", misuse},
		{"ns list x", "too much", misuse},
		{"policy add site x transport 10.0.0.1 10.0.0.2", "not a lifetime", misuse},
		{"policy add site 1 tunnel 10.0.0.1 10.0.0.2", "tunnel four", misuse},
		{"policy add site 1 transport x 10.0.0.2", "neither an IP address nor a prefix", misuse},
		{"migrate site", "four addresses", misuse},
		{"slid x", "wants a number", misuse},
		{"-x", "no option", misuse},
	} {
		code, out := try("", strings.Fields(x.args)...)
		require.Equal(t, x.code, code, "%s: %s", x.args, out)
		require.Contains(t, out, x.out, x.args)
		require.NotContains(t, out, "secret")
	}
	require.Len(t, plane.Policies(), 2)
	code, out := try("POLICY DUMP\n\nSTAT\nquit\nnever said\n", "interactive")
	require.Zero(t, code, out)
	require.Contains(t, out, "250 BYE\r\n")
	require.NotContains(t, out, "never")
	_, out = try("", "-d", "status")
	require.Contains(t, out, "> LOGIN (response)\n")
}
