//go:build linux

package lab

import (
	"bytes"
	_ "embed" // for the script
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

//go:embed kernel_qemu_init.sh
var qemuInit string

const qemuProgram = "qemu-system-x86_64"

// qemuModules are what the kernel needs to mount its root, in that order.
var qemuModules = []string{"virtio_pci", "9pnet_virtio", "9p", "overlay"}

// qemuFile names a file of the kernel that .ci/install-peers.sh unpacks.
func qemuFile(name string) string { return filepath.Join(cacheDir(), "linux", name) }

// bootQEMU boots Debian's kernel in an emulated PC, whose root is the host's
// file system over 9P. The output comes through a file.
func bootQEMU(t *testing.T, o KernelOptions, state string) (output, log string) {
	t.Helper()
	kernels, err := filepath.Glob(qemuFile("boot/vmlinuz-*"))
	if err != nil || len(kernels) != 1 {
		t.Fatalf("lab: no kernel, or several, in %s", qemuFile("boot"))
	}
	modules := modulesDir(t, qemuFile("lib/modules"))
	initramfs := filepath.Join(state, "initramfs")
	writeFile(t, initramfs, string(makeInitramfs(t, modules)), 0o600)
	qemu, err := program(qemuProgram)
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	share := func(path, tag, more string) string {
		return fmt.Sprintf("local,path=%s,mount_tag=%s,security_model=none,multidevs=remap%s", strings.ReplaceAll(path, ",", ",,"), tag, more)
	}
	var console bytes.Buffer
	cmd := exec.Command(qemu, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-accel", qemuAccelerator(), "-cpu", "max", "-smp", "1", "-m", fmt.Sprint(o.MemoryMB),
		"-kernel", kernels[0], "-initrd", initramfs, "-serial", "stdio",
		// What only takes time, an emulated PC can do without: half of it goes
		// into checks of the clock and of the algorithms.
		"-append", "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable no_timer_check cryptomgr.notests random.trust_cpu=on -- "+state+" "+modules,
		"-virtfs", share("/", "root", ",readonly=on"), "-virtfs", share(state, "state", ""))
	cmd.Stdout, cmd.Stderr = &console, &console
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("lab: %v", err)
	}
	defer killAfter(cmd, kernelTimeout+time.Minute)()
	_ = cmd.Wait()
	b, _ := os.ReadFile(filepath.Join(state, "output"))
	return string(b), console.String()
}

// qemuAccelerator is the processor's own virtualisation where it has it. (A
// /dev/kvm without it belongs to something else.)
func qemuAccelerator() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	if flags := strings.Fields(string(b)); (slices.Contains(flags, "vmx") || slices.Contains(flags, "svm")) && unix.Access("/dev/kvm", unix.W_OK) == nil {
		return "kvm"
	}
	return "tcg"
}

// makeInitramfs makes the first root: a shell, the script that mounts the real
// one, and the modules for that, in the order in which they are loaded.
func makeInitramfs(t *testing.T, modules string) []byte {
	t.Helper()
	read := func(path string) []byte {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatalf("lab: %v", err)
		}
		return b
	}
	needs := make(map[string][]string) // by path: what a module needs, the first to be loaded last
	paths := make(map[string]string)   // by name
	for line := range strings.Lines(string(read(filepath.Join(modules, "modules.dep")))) {
		path, list, _ := strings.Cut(line, ":")
		needs[path] = strings.Fields(list)
		paths[strings.TrimSuffix(filepath.Base(path), ".ko")] = path
	}
	var order []string
	for _, name := range qemuModules {
		path, ok := paths[name]
		if !ok {
			t.Fatalf("lab: no module %s in %s", name, modules)
		}
		for _, p := range slices.Backward(append([]string{path}, needs[path]...)) {
			if !slices.Contains(order, p) {
				order = append(order, p)
			}
		}
	}
	var c cpio
	c.add("bin", 0o40755, nil)
	c.add("modules", 0o40755, nil)
	c.add("proc", 0o40755, nil)
	c.add("root", 0o40755, nil)
	c.add("bin/busybox", 0o100755, read(qemuFile("bin/busybox")))
	c.add("init", 0o100755, []byte(qemuInit))
	for i, p := range order {
		c.add(fmt.Sprintf("modules/%02d.ko", i), 0o100644, read(filepath.Join(modules, p)))
	}
	c.add("TRAILER!!!", 0, nil)
	return c.Bytes()
}

// cpio is an archive as the kernel takes it (initramfs buffer format, "newc").
type cpio struct {
	bytes.Buffer
	entries int
}

func (c *cpio) add(name string, mode int, content []byte) {
	c.entries++
	fmt.Fprint(c, "070701")
	// inode, mode, owner, group, links, time, size, device, device of a device
	// file, length of the name, checksum.
	for _, n := range []int{c.entries, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0} {
		fmt.Fprintf(c, "%08x", n)
	}
	c.WriteString(name + "\x00")
	c.pad()
	c.Write(content)
	c.pad()
}

func (c *cpio) pad() { c.Write(make([]byte, -c.Len()&3)) }
