//go:build unix

package localsocket_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/racoon3/racoon/internal/localsocket"
)

// Who connects is told by the system, not by what it says.
func ExampleListen() {
	dir, err := os.MkdirTemp("", "run")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	l, err := localsocket.Listen(localsocket.ListenConfig{Path: filepath.Join(dir, "control"), Mode: 0o600})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	client, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	conn, caller, err := l.Accept()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	fmt.Println("it is this user:", int(caller.UID) == os.Getuid())
	// Output:
	// it is this user: true
}
