package daemon

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// A notifier tells systemd how the daemon is: sd_notify(3). Without
// NOTIFY_SOCKET in the environment it tells nobody.
type notifier struct {
	socket string
	every  time.Duration // of the watchdog, 0 for none
	log    *slog.Logger
}

func newNotifier(getenv func(string) string, log *slog.Logger) *notifier {
	n := &notifier{socket: getenv("NOTIFY_SOCKET"), log: log}
	if strings.HasPrefix(n.socket, "@") {
		n.socket = "\x00" + n.socket[1:] // in the abstract namespace of Linux
	}
	if pid := getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return n
	}
	// Twice as often as it has to be.
	if us, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64); err == nil && us > 0 && us < int64(24*time.Hour/time.Microsecond) {
		n.every = max(time.Duration(us)*time.Microsecond/2, time.Millisecond)
	}
	return n
}

// tell sends lines such as "READY=1".
func (n *notifier) tell(lines ...string) {
	if n.socket == "" {
		return
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err == nil {
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		_, err = c.Write([]byte(strings.Join(lines, "\n")))
		_ = c.Close()
	}
	if err != nil {
		n.log.Debug("the service manager cannot be told", "err", err)
	}
}

// status tells what an operator sees in "systemctl status".
func (n *notifier) status(format string, args ...any) {
	n.tell("STATUS=" + strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " "))
}

// reloading tells that a reload begins; ready tells that it is over.
func (n *notifier) reloading() {
	n.tell("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(monotonic(), 10))
}

func (n *notifier) ready() { n.tell("READY=1") }

func (n *notifier) stopping() { n.tell("STOPPING=1", "STATUS=shutting down") }
