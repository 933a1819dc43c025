//go:build linux

package lab

import (
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/racoon3/racoon/internal/testhost"
)

// wireGuardProgram is wireguard-go's own program, built from the module that
// go.mod names.
var wireGuardProgram = sync.OnceValues(func() (string, error) {
	out := filepath.Join(cacheDir(), "wireguard-go")
	cmd := exec.Command("go", "build", "-o", out, "golang.zx2c4.com/wireguard")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if msg, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building wireguard-go: %w\n%s", err, msg)
	}
	return out, nil
})

// StartWireGuardGo joins two sites by a tunnel of wireguard-go, one process each,
// to compare with: 10.4.0.1 at a is at the other end of 10.4.0.2 at b.
func StartWireGuardGo(t testing.TB, a, b *Site, mtu int) (pa, pb *Process) {
	t.Helper()
	prog, err := wireGuardProgram()
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	var keys [2]*ecdh.PrivateKey
	for i := range keys {
		if keys[i], err = ecdh.X25519().GenerateKey(rand.Reader); err != nil {
			t.Fatalf("lab: %v", err)
		}
	}
	var p [2]*Process
	for i, s := range []*Site{a, b} {
		peer := []*Site{b, a}[i]
		p[i] = startProcess(t, s.Namespace, "wireguard-go", tempDir(t), "mount -t tmpfs tmpfs /run; exec "+prog+" -f wg0", "LOG_LEVEL=error")
		// The daemon's own /run.
		control := fmt.Sprintf("/proc/%d/root/run/wireguard/wg0.sock", p[i].Pid())
		p[i].awaitFile(control)
		if err := wireGuardSet(control, fmt.Sprintf("private_key=%x\nlisten_port=51820\npublic_key=%x\nendpoint=%v\nallowed_ip=10.4.0.0/24\n",
			keys[i].Bytes(), keys[1-i].PublicKey().Bytes(), netip.AddrPortFrom(peer.Outer, 51820))); err != nil {
			t.Fatalf("lab: wireguard-go: %v", err)
		}
		s.IP(fmt.Sprintf("addr add 10.4.0.%d/24 dev wg0", i+1), fmt.Sprintf("link set wg0 mtu %d up", mtu))
	}
	return p[0], p[1]
}

// wireGuardSet sends a configuration in wireguard-go's cross-platform protocol.
func wireGuardSet(control, settings string) error {
	c, err := net.Dial("unix", control)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(testhost.Patience))
	if _, err := io.WriteString(c, "set=1\n"+settings+"\n"); err != nil {
		return err
	}
	b := make([]byte, 256)
	n, err := c.Read(b)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(string(b[:n]), "errno=0\n") {
		return fmt.Errorf("answer %q", b[:n])
	}
	return nil
}
