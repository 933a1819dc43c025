package vpn_test

import (
	"bufio"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fullTunnel is a network whose client can send everything through the gateway.
func fullTunnel(t *testing.T) *network {
	n := newNetwork(t)
	n.client.IP("route add default via " + n.gateway.Outer.String())
	n.remember()
	return n
}

// TestSignals: however a program is told to end, it takes everything back.
func TestSignals(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT} {
		t.Run(s.String(), func(t *testing.T) {
			n := fullTunnel(t)
			gateway := n.startGateway("-pool", "10.98.0.0/24")
			client := n.startClient()
			require.Equal(t, 1, client.Log.Count("the gateway gives"), "one line for one session")
			client.Stop(s)
			gateway.Await("session down", 1)
			gateway.Stop(s)
			n.restored()
		})
	}
}

// TestSignalAtAnyTime: on the way up too, and twice.
func TestSignalAtAnyTime(t *testing.T) {
	n := fullTunnel(t)
	gateway := n.startGateway("-pool", "10.98.0.0/24")
	for after := time.Duration(0); after < 400*time.Millisecond; after += 40 * time.Millisecond {
		p := start(t, n.client.Namespace, "vpnclient", "-server", n.gateway.Outer.String(), "-id", "alice@lab", "-remote-id", "gw.lab", "-psk-file", n.psk)
		p.Await("listening", 1) // before, there is nothing to take back, and the shell's own process takes the signal
		time.Sleep(after)
		p.Signal(syscall.SIGTERM)
		_ = p.Cmd.Process.Signal(syscall.SIGTERM)
		require.Equal(t, 0, p.Wait(), p.Log.String())
		require.Equal(t, n.beforeClient, state(n.client.Namespace))
	}
	gateway.Stop(syscall.SIGTERM)
	n.restored()
}

// TestLogReaderGone: nobody reads the log any more, as with "vpnclient 2>&1 |
// head". The tunnel lives on, and its end takes everything back.
func TestLogReaderGone(t *testing.T) {
	n := fullTunnel(t)
	gateway := n.startGateway("-pool", "10.98.0.0/24")
	dir, err := binaries()
	require.NoError(t, err)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	cmd := exec.Command("nsenter", "--net="+n.client.Path(), filepath.Join(dir, "vpnclient"),
		"-server", n.gateway.Outer.String(), "-id", "alice@lab", "-remote-id", "gw.lab", "-psk-file", n.psk)
	cmd.Stdout, cmd.Stderr = w, w
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(t, cmd.Start())
	w.Close()
	defer cmd.Process.Kill()
	for lines := bufio.NewScanner(r); lines.Scan() && !strings.Contains(lines.Text(), "tunnel is ready"); {
	}
	require.NoError(t, r.Close())

	gateway.Stop(syscall.SIGTERM) // the client logs that
	gateway = n.startGateway("-pool", "10.98.0.0/24")
	gateway.Await("child up", 1)
	ping(t, n.client.Namespace, netip.MustParseAddr("10.98.0.1"), n.gateway.Outer)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait())
	gateway.Await("session down", 1)
	gateway.Stop(syscall.SIGTERM)
	n.restored()
}
