//go:build linux

package interop

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/lab"
)

// The sample hook scripts do what they say, and undo it.
func TestSampleHooks(t *testing.T) {
	lab.Require(t, lab.Root)
	n := lab.NewNamespace(t, "hooks")
	n.IP("link add lan type veth peer name far", "address add 192.0.2.10/24 dev lan", "link set lan up", "link set far up", "route add default via 192.0.2.1")
	// The kernel notices that the cable is in when it comes to it.
	routes := func() string { return strings.ReplaceAll(n.Run("ip", "route"), "linkdown ", "") }
	before := routes()
	hook := func(name string, env ...string) {
		args := append([]string{"-i", "PATH=" + os.Getenv("PATH"), "REMOTE_ADDR=198.51.100.1", "INTERNAL_ADDR4=10.9.0.7"}, env...)
		n.Run("env", append(args, filepath.Join("..", "..", "examples", "conf", "hooks", name))...)
	}
	for _, c := range []struct {
		env    []string
		routes []string
	}{
		{nil, []string{"0.0.0.0/1 via 192.0.2.1 dev lan src 10.9.0.7", "128.0.0.0/1 via 192.0.2.1 dev lan src 10.9.0.7"}},
		{[]string{"SPLIT_INCLUDE_CIDR=10.1.0.0/16 10.2.0.0/16"}, []string{"10.1.0.0/16 via 192.0.2.1 dev lan src 10.9.0.7", "10.2.0.0/16 via 192.0.2.1 dev lan src 10.9.0.7"}},
	} {
		hook("phase1-up", c.env...)
		require.Contains(t, n.Run("ip", "address", "show", "dev", "lan"), "10.9.0.7/32")
		for _, r := range c.routes {
			require.Contains(t, routes(), r)
		}
		hook("phase1-down", c.env...)
		require.NotContains(t, n.Run("ip", "address", "show", "dev", "lan"), "10.9.0.7")
		require.Equal(t, before, routes())
	}

	log := filepath.Join(t.TempDir(), "sessions")
	n.Run("env", "-i", "PATH="+os.Getenv("PATH"), "RACOON_SESSION_LOG="+log, "RACOON_PEER=office", "RACOON_USER=alice",
		filepath.Join("..", "..", "examples", "conf", "hooks", "log-sessions"), "session-up")
	b, err := os.ReadFile(log)
	require.NoError(t, err)
	require.Regexp(t, `^\S+Z session-up peer=office id= user=alice address=\n$`, string(b))
}
