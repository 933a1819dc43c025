//go:build linux

package lab

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/racoon3/racoon/internal/testhost"
)

// A Process is a daemon in a namespace. It ends with the test, and with the test
// binary however that ends.
type Process struct {
	ns   *Namespace
	name string
	dir  string // its files
	log  string // the file its output goes to, or writes by itself
	cmd  *exec.Cmd
	done chan struct{}
}

// tempDir is like t.TempDir with a short path, so that Unix sockets fit into it
// (their names have at most 107 octets), outside of /run, which daemons get anew.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "racoon-lab-")
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // some daemons drop privileges
		t.Fatalf("lab: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func writeFile(t testing.TB, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatalf("lab: %v", err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatalf("lab: %v", err)
	}
}

// startProcess runs script, which must end in exec, with /bin/sh in the namespace
// and in a mount namespace of its own, so that it may mount what it likes.
func startProcess(t testing.TB, ns *Namespace, name, dir, script string, env ...string) *Process {
	t.Helper()
	p := &Process{ns: ns, name: name, dir: dir, log: filepath.Join(dir, "log"), done: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o666)
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	defer func() { _ = out.Close() }()
	p.cmd = exec.Command("/bin/sh", "-e", "-c", script)
	p.cmd.Dir = dir
	p.cmd.Env = append(append(os.Environ(), "LC_ALL=C"), env...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{
		Unshareflags: unix.CLONE_NEWNS,
		Setpgid:      true,
		Pdeathsig:    unix.SIGKILL,
	}
	if err := ns.do(p.cmd.Start); err != nil {
		t.Fatalf("lab: starting %s in %s: %v", name, ns.Name, err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("the log of %s in %s ends:\n%s", name, ns.Name, tail(p.Log(), 60))
		}
	})
	return p
}

func tail(s string, lines int) string {
	l := strings.Split(s, "\n")
	return strings.Join(l[max(0, len(l)-lines):], "\n")
}

// Log returns what the process has written so far.
func (p *Process) Log() string {
	b, _ := os.ReadFile(p.log)
	return string(b)
}

// WaitLog waits until the log matches the regular expression pattern and returns
// the first match with its groups. It ends the test when that does not come to
// pass in time.
func (p *Process) WaitLog(pattern string, timeout time.Duration) []string {
	p.ns.t.Helper()
	re := regexp.MustCompile(pattern)
	var m []string
	if !p.wait(timeout, func() bool { m = re.FindStringSubmatch(p.Log()); return m != nil }) {
		p.ns.t.Fatalf("lab: no %q in the log of %s in %s after %v", pattern, p.name, p.ns.Name, timeout)
	}
	return m
}

// wait polls until ok, the timeout or the end of the process.
func (p *Process) wait(timeout time.Duration, ok func() bool) bool {
	for end := time.Now().Add(timeout); ; {
		if ok() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
		select {
		case <-p.done:
			return ok()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// awaitFile waits for the file that tells that the daemon is ready.
func (p *Process) awaitFile(path string) {
	p.ns.t.Helper()
	if !p.wait(testhost.Patience, func() bool { _, err := os.Stat(path); return err == nil }) {
		p.ns.t.Fatalf("lab: %s did not start in %s:\n%s", p.name, p.ns.Name, tail(p.Log(), 40))
	}
}

// awaitSocket waits until the daemon listens on its Unix socket, which is there a
// moment before.
func (p *Process) awaitSocket(path string) {
	p.ns.t.Helper()
	p.awaitFile(path)
	if !p.wait(testhost.Patience, func() bool {
		c, err := net.Dial("unix", path)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}) {
		p.ns.t.Fatalf("lab: %s does not listen in %s:\n%s", p.name, p.ns.Name, tail(p.Log(), 40))
	}
}

// Pid is the process ID.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Stop asks the process to end in order (SIGTERM) and waits until it has; after
// [testhost.Patience] it is killed and the test has failed.
func (p *Process) Stop() {
	p.ns.t.Helper()
	_ = p.cmd.Process.Signal(unix.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(testhost.Patience):
		p.Kill()
		p.ns.t.Errorf("lab: %s in %s did not end when asked", p.name, p.ns.Name)
	}
}

// Kill ends the process and its children at once, without a farewell to its peer.
func (p *Process) Kill() {
	_ = unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL)
	<-p.done
}

// CPU is the processor time that the process has used, user and system.
func (p *Process) CPU() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Pid()))
	if err != nil {
		return 0, err
	}
	// The second field is the name in parentheses; user and system time are the
	// 14th and 15th (proc(5)), in ticks of 10 ms.
	_, rest, _ := strings.Cut(string(b), ") ")
	var user, system int64
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0, fmt.Errorf("cannot read /proc/%d/stat", p.Pid())
	}
	if _, err := fmt.Sscan(f[11]+" "+f[12], &user, &system); err != nil {
		return 0, err
	}
	return time.Duration(user+system) * 10 * time.Millisecond, nil
}

// RSS is the memory of the process that is in RAM, in octets.
func (p *Process) RSS() (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.Pid()))
	if err != nil {
		return 0, err
	}
	var total, resident int64
	if _, err := fmt.Sscan(string(b), &total, &resident); err != nil {
		return 0, err
	}
	return resident * int64(os.Getpagesize()), nil
}
