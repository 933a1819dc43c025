package examples_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/lab"
)

// TestReadmePrograms: where they may have the ports of IKE, the README's client
// reaches the server behind the README's gateway.
func TestReadmePrograms(t *testing.T) {
	lab.Require(t, lab.Root)
	client, gateway := build(t)
	a, b := lab.NewPair(t)
	hosts := filepath.Join(t.TempDir(), "hosts")
	require.NoError(t, os.WriteFile(hosts, []byte(b.Outer.String()+" vpn.example.org\n"), 0o644))
	command := func(ns *lab.Namespace, program string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), "nsenter", "--net="+ns.Path(), "unshare", "--mount", "sh", "-c",
			`mount --bind "$1" /etc/hosts && exec "$2"`, "sh", hosts, program)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		return cmd
	}
	var log bytes.Buffer
	serving := command(b.Namespace, gateway)
	serving.Stdout, serving.Stderr = &log, &log
	require.NoError(t, serving.Start())
	defer func() {
		serving.Process.Kill()
		serving.Wait()
		if t.Failed() {
			t.Logf("gateway: %s", log.String())
		}
	}()
	var out []byte
	require.Eventually(t, func() bool { // it may not serve yet
		var err error
		out, err = command(a.Namespace, client).CombinedOutput()
		return err == nil
	}, 2*time.Minute, 100*time.Millisecond, "%s", &out)
	require.Equal(t, "hello from behind the gateway", string(out))
}
