package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/internal/testpki"
)

// TestBadFlags: an error names the flag and the fix.
func TestBadFlags(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	psk, empty, garbage := file("psk", "secret\n"), file("empty", "\n"), file("garbage", "no PEM")
	ca := file("ca", string(testpki.NewCA(t, "Test CA").RootPEM()))
	good := []string{"-server", "vpn.example.org", "-id", "alice@example.org", "-psk-file", psk}
	with := func(args ...string) []string { return slices.Concat(good, args) }
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{}, "-server: is missing; say where"},
		{[]string{"-server", "vpn example"}, "-cert: is missing; give -psk-file, or all of -cert, -key and -ca"},
		{with("-server", "vpn example"), `-server: "vpn example" is not a host name`},
		{with("-server", "vpn.example.org:0"), "-server: "},
		{with("-natt-port", "70000"), "-natt-port: 70000 is not a port; use 1 to 65535"},
		{with("-id", ""), "-id: is missing; with a pre-shared key"},
		{with("-id", "ipv4:alice"), "-id: "},
		{with("-remote-id", "ipv4:gw"), "-remote-id: "},
		{with("-psk-file", filepath.Join(dir, "none")), "-psk-file: open "},
		{with("-psk-file", empty), "-psk-file: " + empty + " is empty; put the key or password into it"},
		{with("-ca", "x"), "-ca: cannot be combined with -psk-file"},
		{[]string{"-server", "a", "-cert", "x", "-key", "y"}, "-ca: is missing"},
		{[]string{"-server", "a", "-cert", garbage, "-key", garbage, "-ca", garbage}, "-cert, -key: "},
		{with("-remote-subnet", "10.0.0.1/8"), "-remote-subnet: \"10.0.0.1/8\" has bits after the prefix length; write 10.0.0.0/8"},
		{with("-remote-subnet", "inside"), "-remote-subnet: \"inside\" is not a network; write it like 10.1.0.0/24"},
		{with("-remote-subnet", "10.1.0.0/16,10.1.0.0/16"), "-remote-subnet: 10.1.0.0/16 is there twice"},
		{with("-local-subnet", "10.1.0.0/16", "-remote-subnet", "10.1.0.0/16"), "-local-subnet: 10.1.0.0/16 is in -remote-subnet too"},
		{with("-local-subnet", "10.1.0.0/16", "-remote-subnet", "2001:db8::/32"), "-remote-subnet: no selector fits"},
		{with("-escape", "tunnel"), "-escape: \"tunnel\" is unknown; use auto, mark or host"},
		{with("-tun", "a name that is far too long"), "-tun: "},
		{with("-mtu", "100"), "-mtu: 100 is out of range; use 1280 to 65535"},
		{with("-mtu", "many"), "-mtu"},
		{with("-ike", "3"), "-ike: \"3\" is no version; use 2, 1 or 2,1"},
		{with("-mode", "aggressive"), "-mode: aggressive is an exchange of IKEv1; allow that with -ike 1"},
		{with("-ike", "1", "-mode", "quick"), "-mode: \"quick\" is unknown; use main, aggressive or base"},
		{with("-ike", "1", "-mode", "main,main"), "-mode: main is there twice"},
		{with("-ike", "1", "-hybrid"), "-hybrid: cannot be combined with -psk-file"},
		{[]string{"-server", "a", "-id", "carol", "-ike", "1", "-hybrid", "-ca", ca}, "-hybrid: this side proves nothing but its user; give -user and -password-file"},
		{with("-hybrid"), "-hybrid: is of IKEv1; say -ike 1"},
		{with("-user", "carol"), "-password-file: is missing"},
		{with("-user", "carol", "-password-file", "x"), "-user: users log in with IKEv1 only; say -ike 1"},
		{with("extra"), `unexpected "extra"; everything is said with flags`},
		{with("-nonsense"), "-nonsense"},
	} {
		_, err := parse(c.args, io.Discard)
		require.ErrorContains(t, err, "wrong use (-h lists the flags): ", "%q", c.args)
		require.ErrorContains(t, err, c.want)
	}
}

func TestFlags(t *testing.T) {
	psk := filepath.Join(t.TempDir(), "psk")
	require.NoError(t, os.WriteFile(psk, []byte("secret\n"), 0o600))
	o, err := parse([]string{"-server", "vpn.example.org", "-id", "alice@example.org", "-psk-file", psk}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, "secret", string(o.peer.PSK))
	require.True(t, o.peer.RequestAddress)
	require.Equal(t, []racoon.Child{{Name: "net", Remote: []string{"0.0.0.0/0", "::/0"}}}, o.peer.Children)

	o, err = parse([]string{"-server", "gw.example.org", "-id", "b.example.org", "-psk-file", psk, "-local-subnet", "10.2.0.0/16", "-remote-subnet", "10.1.0.0/16", "-remote-subnet", "10.3.0.0/16"}, io.Discard)
	require.NoError(t, err)
	require.False(t, o.peer.RequestAddress)
	require.Equal(t, []racoon.Child{{Name: "net", Local: []string{"10.2.0.0/16"}, Remote: []string{"10.1.0.0/16", "10.3.0.0/16"}}}, o.peer.Children)
}
