package vpn_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/examples/internal/vpn"
)

// The flags of a program, and the peer that they make.
func ExampleNewFlags() {
	dir, err := os.MkdirTemp("", "vpn")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	psk := filepath.Join(dir, "psk")
	if err := os.WriteFile(psk, []byte("correct horse battery staple\n"), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	f := vpn.NewFlags("vpnclient", "", "the gateway's identity")
	server := f.String("server", "", "the gateway's address")
	given := func() error {
		if *server == "" {
			return errors.New("-server is missing")
		}
		return nil
	}
	err = f.Parse([]string{"-server", "192.0.2.1", "-id", "alice@example.org", "-remote-id", "gw.example.org", "-psk-file", psk}, io.Discard, given)
	if err != nil {
		fmt.Println(err)
		return
	}
	p := racoon.Peer{Name: "gateway", Remote: *server}
	err = f.Apply(&p)
	fmt.Println(p.Remote, p.LocalID, p.RemoteID, p.PSK, err)
	fmt.Println("MTU", vpn.MTU(f.MTU, 1500))
	// Output:
	// 192.0.2.1 alice@example.org gw.example.org [28 secret octets] <nil>
	// MTU 1390
}
