//go:build linux

package lab

import (
	"bytes"
	_ "embed" // for the shim
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

//go:embed shims/xsave.c
var kernelXSave string

const (
	umlModules = "/usr/lib/uml/modules"
	umlProgram = "linux.uml"
)

// bootUML boots User Mode Linux, whose root is the host's file system. The
// output comes through a terminal that is tied to a pipe.
func bootUML(t *testing.T, o KernelOptions, state string) (output, log string) {
	t.Helper()
	uml, err := program(umlProgram)
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	defer func() { _ = r.Close() }()
	var console bytes.Buffer
	cmd := exec.Command(uml, fmt.Sprintf("mem=%dM", o.MemoryMB), "quiet",
		"uml_dir="+filepath.Join(state, "uml"), "umid=lab", "rootfstype=hostfs", "rootflags=/", "ro",
		"con=null", "con0=null,fd:1", "con1=null,fd:3", "ssl=null",
		"init=/bin/sh", "--", filepath.Join(state, "init"), state, modulesDir(t, umlModules))
	cmd.Stdout, cmd.Stderr = &console, &console
	cmd.ExtraFiles = []*os.File{w}
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + memoryDir(state)}
	if cpuHasAMX() {
		requirePrograms(t, "cc")
		cmd.Env = append(cmd.Env, "LD_PRELOAD="+buildShim(t, "kernel-xsave", kernelXSave))
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	cmd.WaitDelay = 5 * time.Second
	err = cmd.Start()
	_ = w.Close()
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	defer killAfter(cmd, kernelTimeout+time.Minute)()
	out := make(chan []byte)
	go func() {
		b, _ := io.ReadAll(r)
		out <- b
	}()
	_ = cmd.Wait()
	// The kernel's helper processes hold the pipe open.
	_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	return string(<-out), console.String()
}

// memoryDir is where UML keeps its memory: a file that it maps executable, so
// /dev/shm where that may be.
func memoryDir(otherwise string) string {
	var fs unix.Statfs_t
	if err := unix.Statfs("/dev/shm", &fs); err != nil || fs.Flags&unix.ST_NOEXEC != 0 || fs.Type != unix.TMPFS_MAGIC {
		return otherwise
	}
	return "/dev/shm"
}

func cpuHasAMX() bool {
	b, _ := os.ReadFile("/proc/cpuinfo")
	return strings.Contains(string(b), "amx_tile")
}
