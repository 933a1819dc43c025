//go:build linux

package lab

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/racoon3/racoon/internal/testhost"
)

// A Namespace is a Linux network namespace that lives as long as the test.
//
// It has no name in /run/netns: only this process's descriptor and the processes
// in it keep it alive, so a test that panics, runs out of time or is killed
// leaves nothing behind. To look into one while a test hangs:
// nsenter --net=/proc/PID/fd/N, which is what [Namespace.Path] returns.
type Namespace struct {
	Name string // for messages: what the test called it

	t  testing.TB
	fd *os.File
}

// NewNamespace makes a network namespace with its loopback interface up and no
// source address validation. It is closed when t ends. Needs root.
func NewNamespace(t testing.TB, name string) *Namespace {
	t.Helper()
	var fd *os.File
	err := onThread(func() (err error) {
		if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		fd, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	if err != nil {
		t.Fatalf("lab: making the network namespace %s: %v", name, err)
	}
	n := &Namespace{Name: name, t: t, fd: fd}
	t.Cleanup(func() { _ = fd.Close() })
	n.IP("link set lo up")
	// A peer's answer may take a path other than the one its route shows: the
	// inner addresses are reached through a TUN device.
	for _, s := range []string{"ipv4/conf/all/rp_filter=0", "ipv4/conf/default/rp_filter=0",
		"ipv4/ip_forward=1", "ipv6/conf/all/forwarding=1", "ipv6/conf/default/accept_dad=0",
		// So that an unprivileged ping program works too.
		"ipv4/ping_group_range=0 2147483647"} {
		n.Sysctl(s)
	}
	return n
}

// onThread runs f on an OS thread of its own, in whatever namespaces the thread
// has at the time, and afterwards puts the thread back into its network namespace.
func onThread(f func() error) (err error) {
	runtime.LockOSThread()
	old, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer func() {
		defer func() { _ = old.Close() }()
		// A thread that cannot come home stays locked, and the runtime ends it
		// with its goroutine.
		if e := unix.Setns(int(old.Fd()), unix.CLONE_NEWNET); e != nil {
			err = fmt.Errorf("cannot leave the network namespace: %w", e)
			return
		}
		runtime.UnlockOSThread()
	}()
	return f()
}

// Path names the namespace in the file system, for nsenter and ip.
func (n *Namespace) Path() string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.fd.Fd())
}

// Do runs f on the calling goroutine with its OS thread in the namespace: every
// socket and TUN device that f itself makes belongs to the namespace for good,
// also after Do. Goroutines that f starts do not run in the namespace.
func (n *Namespace) Do(f func()) {
	n.t.Helper()
	if err := n.do(func() error { f(); return nil }); err != nil {
		n.t.Fatalf("lab: %s: %v", n.Name, err)
	}
}

func (n *Namespace) do(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(n.fd.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("setns: %w", err)
		}
		return f()
	})
}

// Exec runs a program in the namespace and returns its output and errors together.
// When it fails, err holds the command and its output.
func (n *Namespace) Exec(ctx context.Context, name string, args ...string) (string, error) {
	return n.exec(ctx, nil, "", name, args...)
}

func (n *Namespace) exec(ctx context.Context, env []string, input, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	if input != "" {
		cmd.Stdin = strings.NewReader(input)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env = append(append(os.Environ(), "LC_ALL=C"), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	cmd.WaitDelay = 10 * time.Second // a machine that stalls has not read the output when the program has ended
	if err := n.do(cmd.Start); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return out.String(), fmt.Errorf("in %s: %s: %w\n%s", n.Name, strings.Join(cmd.Args, " "), err, out.String())
	}
	return out.String(), nil
}

// Run is [Namespace.Exec] for what must succeed within [testhost.Patience]:
// otherwise the test ends.
func (n *Namespace) Run(name string, args ...string) string {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testhost.Patience)
	defer cancel()
	out, err := n.Exec(ctx, name, args...)
	if err != nil {
		n.t.Fatalf("lab: %v", err)
	}
	return out
}

// IP runs ip(8) commands in the namespace, in one go, each without the word "ip":
// "link set lo up".
func (n *Namespace) IP(commands ...string) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testhost.Patience)
	defer cancel()
	if _, err := n.exec(ctx, nil, strings.Join(commands, "\n")+"\n", "ip", "-batch", "-"); err != nil {
		n.t.Fatalf("lab: %v\nof:\n%s", err, strings.Join(commands, "\n"))
	}
}

// AwaitAddress waits until IPv6 addresses that were added, without duplicate
// address detection, receive packets: the kernel sees to that in the background,
// when the interface is up and has its cable in.
func (n *Namespace) AwaitAddress(addrs ...netip.Addr) {
	n.t.Helper()
	for end := time.Now().Add(testhost.Patience); ; time.Sleep(2 * time.Millisecond) {
		var routes string
		if err := n.do(func() error {
			b, err := os.ReadFile("/proc/thread-self/net/ipv6_route")
			routes = string(b)
			return err
		}); err != nil {
			n.t.Fatalf("lab: %s: %v", n.Name, err)
		}
		addrs = slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool { return hasLocalRoute(routes, a) })
		if len(addrs) == 0 {
			return
		}
		if time.Now().After(end) {
			n.t.Fatalf("lab: %s: %v is not ready:\n%s", n.Name, addrs, routes)
		}
	}
}

// hasLocalRoute looks into /proc/net/ipv6_route for the route of an own address:
// destination and length, in hexadecimal, come first, flags and device last.
func hasLocalRoute(routes string, a netip.Addr) bool {
	prefix := fmt.Sprintf("%x 80 ", a.AsSlice())
	for line := range strings.Lines(routes) {
		f := strings.Fields(line)
		if !strings.HasPrefix(line, prefix) || len(f) != 10 {
			continue
		}
		if flags, err := strconv.ParseUint(f[8], 16, 32); err == nil && flags&unix.RTF_LOCAL != 0 {
			return true
		}
	}
	return false
}

// Sysctl sets a value below /proc/sys/net, such as "ipv4/ip_forward=0". One that
// the kernel does not have is passed over.
func (n *Namespace) Sysctl(setting string) {
	n.t.Helper()
	name, value, _ := strings.Cut(setting, "=")
	err := n.do(func() error {
		// Through the thread's own view: /proc/sys/net follows the opener.
		return os.WriteFile(filepath.Join("/proc/sys/net", name), []byte(value), 0)
	})
	if err != nil && !os.IsNotExist(err) {
		n.t.Fatalf("lab: %s: %v", n.Name, err)
	}
}

// ListenUDP opens a UDP socket in the namespace. It is closed when the test ends.
func (n *Namespace) ListenUDP(addr netip.AddrPort) *net.UDPConn {
	n.t.Helper()
	var c *net.UDPConn
	err := n.do(func() (err error) {
		c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
		return err
	})
	if err != nil {
		n.t.Fatalf("lab: %s: %v", n.Name, err)
	}
	n.t.Cleanup(func() { _ = c.Close() })
	return c
}

// ListenTCP opens a TCP listener in the namespace. It is closed when the test ends.
func (n *Namespace) ListenTCP(addr netip.AddrPort) *net.TCPListener {
	n.t.Helper()
	var l *net.TCPListener
	err := n.do(func() (err error) {
		l, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(addr))
		return err
	})
	if err != nil {
		n.t.Fatalf("lab: %s: %v", n.Name, err)
	}
	n.t.Cleanup(func() { _ = l.Close() })
	return l
}

// DialTCP connects from the namespace. A zero from lets the system choose.
func (n *Namespace) DialTCP(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{}
	if from.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	var c net.Conn
	err := n.do(func() (err error) {
		c, err = d.DialContext(ctx, "tcp", to.String())
		return err
	})
	return c, err
}
