//go:build unix

package daemon

import (
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/testhost"
)

// TestNotify: a service manager is told when the daemon is ready, that it is
// alive, when it reloads and whether that has worked, and that it ends.
func TestNotify(t *testing.T) {
	p := testhost.Ports(t, 2)
	config := "[daemon]\nlisten = [\"127.0.0.1:" + strconv.Itoa(p[0]) + "\"]\nlisten-natt = []\n[dataplane]\nkind = \"none\"\n[control]\nsocket = \"\"\n"
	d := newInstance(t, config)
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: d.path("notify"), Net: "unixgram"})
	require.NoError(t, err)
	defer c.Close()
	d.env["NOTIFY_SOCKET"] = d.path("notify")
	d.env["WATCHDOG_USEC"] = strconv.Itoa(20000)
	told := func(want string) string {
		t.Helper()
		b := make([]byte, 4096)
		for {
			require.NoError(t, c.SetReadDeadline(time.Now().Add(testhost.Patience)))
			n, err := c.Read(b)
			require.NoError(t, err, want)
			if strings.Contains(string(b[:n]), want) {
				return string(b[:n])
			}
		}
	}
	d.start()
	told("READY=1")
	told("STATUS=0 peers, 0 sessions")
	told("WATCHDOG=1")
	d.reload <- syscall.SIGHUP
	require.Contains(t, told("RELOADING=1"), "MONOTONIC_USEC=")
	told("READY=1")
	d.configure(config + "nonsense = 1\n")
	d.reload <- syscall.SIGHUP
	told("RELOADING=1")
	require.Contains(t, told("READY=1"), "was not reloaded")
	d.terminate <- syscall.SIGTERM
	told("STOPPING=1")
	require.Zero(t, d.wait())
}

// The watchdog of another process is not this one's.
func TestNotifyOfAnother(t *testing.T) {
	env := map[string]string{"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1", "NOTIFY_SOCKET": "@abstract"}
	n := newNotifier(func(k string) string { return env[k] }, nil)
	require.Zero(t, n.every)
	require.Equal(t, "\x00abstract", n.socket)
	delete(env, "WATCHDOG_PID")
	require.Equal(t, 500*time.Millisecond, newNotifier(func(k string) string { return env[k] }, nil).every)
}
