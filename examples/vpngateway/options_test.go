package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
)

// TestBadFlags: an error names the flag and the fix. What vpnclient has too is
// tested there.
func TestBadFlags(t *testing.T) {
	psk := filepath.Join(t.TempDir(), "psk")
	require.NoError(t, os.WriteFile(psk, []byte("secret\n"), 0o600))
	base := []string{"-id", "gw.example.org", "-psk-file", psk}
	with := func(args ...string) []string { return slices.Concat(base, args) }
	pool := func(args ...string) []string { return with(slices.Concat([]string{"-pool", "10.99.0.0/24"}, args)...) }
	for _, c := range []struct {
		args []string
		want string
	}{
		{base, "-pool: is missing; say where clients' addresses come from, such as -pool 10.99.0.0/24"},
		{pool("-remote-subnet", "10.2.0.0/16"), "-remote-subnet: cannot be combined with -pool"},
		{with("-remote-subnet", "0.0.0.0/0"), "-remote-subnet: 0.0.0.0/0 would lead everything into the tunnel"},
		{with("-remote-subnet", "10.2.0.0/16", "-dns", "10.1.0.53"), "-dns: is for clients that get an address; give -pool too"},
		{pool("-dns", "10.1.0.53,ns"), `-dns: "ns" is not an IP address`},
		{pool("-listen", "eth0"), `-listen: "eth0" is not an IP address; leave it out`},
		{with("-pool", "10.99.0.5/24"), "-pool: \"10.99.0.5/24\" has bits after the prefix length; write 10.99.0.0/24"},
		{with("-pool", "10.99.0.0/24", "-pool", "nets"), "-pool: \"nets\" is not a network"},
		{pool("-local-subnet", "10.1.0.0/33"), "-local-subnet: "},
		{[]string{"-pool", "10.99.0.0/24", "-psk-file", psk}, "-id: is missing"},
		{pool("-remote-id", "ipv4:x"), "-remote-id: "},
		{pool("-mtu", "70000"), "-mtu: 70000 is out of range"},
		{pool("-cisco-udp", "4500"), "-cisco-udp: 4500 is no port for it; use 10000 as Cisco did"},
		{with("-remote-subnet", "10.2.0.0/16", "-cisco-udp", "10000"), "-cisco-udp: is told to clients that get an address"},
		{pool("-users", psk), "-users: users log in with IKEv1 only; say -ike 1"},
		{pool("-banner", "hello"), "-banner: is shown by clients with IKEv1 only; say -ike 1"},
		{with("-remote-subnet", "10.2.0.0/16", "-ike", "1", "-banner", "hello"), "-banner: is told to clients that get an address"},
		{pool("-cisco-udp", "10000"), "-cisco-udp: is for clients with IKEv1 only; say -ike 1"},
		{pool("-ike", "1", "-hybrid"), "-hybrid: cannot be combined with -psk-file"},
		{pool("-proposals", "aes512"), "-proposals: "},
		{pool("more"), `unexpected "more"`},
	} {
		_, err := parse(c.args, io.Discard)
		require.ErrorContains(t, err, "wrong use (-h lists the flags): ", "%q", c.args)
		require.ErrorContains(t, err, c.want)
	}
	o, err := parse(pool("-listen", "2001:db8::1"), io.Discard)
	require.NoError(t, err)
	require.Equal(t, "[2001:db8::1]:4500", o.listen[1].Address)
	require.NotNil(t, o.peer.Assign)
	o, err = parse(pool("-ike", "1", "-cisco-udp", "10000"), io.Discard)
	require.NoError(t, err)
	require.Equal(t, racoon.Listen{Address: ":10000", NATT: true}, o.listen[2])
}
