//go:build linux

package lab

import (
	"crypto/sha256"
	_ "embed" // for the script
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

//go:embed kernel_init.sh
var kernelInit string

// kernelModules are loaded at the start, where the kernel has them. Crypto
// algorithms and the rest load on demand.
const kernelModules = "af_key xfrm_user esp4 esp6 ah4 ah6 ipcomp ipcomp6 xfrm4_tunnel xfrm6_tunnel ip_vti ip6_vti tun veth dummy udp_tunnel ip6_udp_tunnel"

const envInside = "RACOON_LAB_KERNEL"

// kernelTimeout ends a test in a kernel that hangs. What works does not come near
// it on the slowest machine.
const kernelTimeout = 20 * time.Minute

// KernelOptions are for [InKernel]; zero values serve.
type KernelOptions struct {
	MemoryMB int      // 512 if 0; files that the test writes are in there too
	Modules  []string // to load besides those for IPsec
	Env      []string // NAME=value, for the test inside

	// QEMU boots Debian's kernel in an emulated PC. It has what User Mode Linux
	// lacks, such as XFRM interfaces, and is several times slower.
	QEMU bool
}

// InKernel runs the test in a Linux kernel of its own, which has ESP, AH, IPComp,
// XFRM, PF_KEY, TUN and veth whatever the host's kernel has:
//
//	func TestSomething(t *testing.T) {
//		if !lab.InKernel(t, lab.KernelOptions{}) {
//			return
//		}
//		// the test, as root in a kernel that is all its own
//	}
//
// Outside, it boots User Mode Linux or QEMU, ordinary processes that need no
// privilege, runs this test of this test binary in there again, takes over its
// output and result, and returns false. Inside it returns true.
//
// The test inside sees the host's files and its working folder, but what it
// writes is gone afterwards. It has no network but what it makes itself. Timings
// there mean nothing, and there is one processor. A test binary with the race
// detector cannot run in there, so one without is built, with the go command.
func InKernel(t *testing.T, o KernelOptions) bool {
	t.Helper()
	if os.Getenv(envInside) == "1" {
		return true
	}
	if o.QEMU {
		Require(t, QEMU)
	} else {
		Require(t, UML)
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	if raceDetector {
		requirePrograms(t, "go")
		if binary, err = withoutRace(); err != nil {
			t.Fatalf("lab: %v", err)
		}
	}
	if o.MemoryMB == 0 {
		o.MemoryMB = 512
	}
	var run []string
	for part := range strings.SplitSeq(t.Name(), "/") {
		run = append(run, "^"+regexp.QuoteMeta(part)+"$")
	}
	// Subtests inside that the command line names.
	if f := flag.Lookup("test.run"); f != nil {
		if parts := strings.Split(f.Value.String(), "/"); len(parts) > len(run) {
			run = append(run, parts[len(run):]...)
		}
	}
	out, status := runKernel(t, o, binary, "-test.run="+strings.Join(run, "/"), "-test.v", "-test.count=1", "-test.timeout="+kernelTimeout.String())
	switch {
	case status != "0":
		t.Errorf("in the kernel (status %s):\n%s", status, out)
	case strings.Contains(out, "--- SKIP: "+t.Name()+" "):
		t.Skipf("in the kernel:\n%s", out)
	case !strings.Contains(out, "--- PASS: "+t.Name()+" "):
		t.Errorf("in the kernel the test did not run:\n%s", out)
	default:
		t.Logf("in the kernel:\n%s", out)
	}
	return false
}

// ipsecAlgorithms are modules of what the kernel's IPsec can use.
const ipsecAlgorithms = "authenc authencesn blowfish_generic camellia_generic cast5_generic cbc ccm chacha20poly1305 chacha_generic cmac ctr deflate des_generic drbg ecb " +
	"echainiv gcm ghash-generic hmac jitterentropy_rng poly1305_generic rmd160 seqiv serpent_generic sha512_generic twofish_generic xcbc"

// LoadAlgorithms loads all algorithms of IPsec into the kernel of [InKernel], and
// makes it live with the modules that it has then. Otherwise each look for an
// algorithm that it has not starts a program, which takes long in there: seconds
// for each socket of PF_KEY.
func LoadAlgorithms(t testing.TB) {
	t.Helper()
	if !InsideKernel() {
		t.Fatal("lab: not in a kernel of the lab")
	}
	_ = exec.Command("modprobe", append([]string{"-q", "-a"}, strings.Fields(ipsecAlgorithms)...)...).Run() // what is built in is no module
	if err := os.WriteFile("/proc/sys/kernel/modprobe", []byte("\n"), 0); err != nil {
		t.Fatalf("lab: %v", err)
	}
}

// InsideKernel tells whether this process runs in the kernel of [InKernel].
func InsideKernel() bool { return os.Getenv(envInside) == "1" }

// runKernel boots a kernel, which carries out the command in the folder state and
// leaves its exit status there, and returns what it wrote and the status.
func runKernel(t *testing.T, o KernelOptions, command ...string) (output, status string) {
	t.Helper()
	state := tempDir(t)
	modules := kernelModules
	boot := bootUML
	if o.QEMU {
		modules += " xfrm_interface"
		boot = bootQEMU
	}
	writeFile(t, filepath.Join(state, "init"), kernelInit, 0o755)
	writeFile(t, filepath.Join(state, "modules"), strings.Join(append(strings.Fields(modules), o.Modules...), " ")+"\n", 0o644)
	writeFile(t, filepath.Join(state, "command"), shellScript(append(append(os.Environ(), o.Env...), envInside+"=1", "TMPDIR=/tmp"), command), 0o644)
	output, log := boot(t, o, state)
	b, err := os.ReadFile(filepath.Join(state, "status"))
	if err != nil {
		t.Fatalf("lab: the kernel ended without a result; its log:\n%s\noutput:\n%s", tail(log, 60), tail(output, 60))
	}
	return output, strings.TrimSpace(string(b))
}

// modulesDir is the one folder of a kernel's modules in dir.
func modulesDir(t *testing.T, dir string) string {
	t.Helper()
	modules, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(modules) != 1 {
		t.Fatalf("lab: no modules, or those of several kernels, in %s", dir)
	}
	return modules[0]
}

// killAfter ends the process group of a kernel that hangs: the test inside has
// a time limit of its own. What it returns stops that.
func killAfter(cmd *exec.Cmd, d time.Duration) func() bool {
	return time.AfterFunc(d, func() { _ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }).Stop
}

// shellScript sets the environment and the working folder and becomes command.
func shellScript(env, command []string) string {
	name := regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	s := &strings.Builder{}
	for _, e := range env {
		if k, v, _ := strings.Cut(e, "="); name.MatchString(k) && k != "PWD" {
			fmt.Fprintf(s, "export %s=%s\n", k, shellQuote(v))
		}
	}
	wd, _ := os.Getwd()
	fmt.Fprintf(s, "cd %s\nexec", shellQuote(wd))
	for _, c := range command {
		fmt.Fprintf(s, " %s", shellQuote(c))
	}
	return s.String() + "\n"
}

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// withoutRace builds this package's tests without the race detector. Tests run
// in the folder of their package.
var withoutRace = sync.OnceValues(func() (string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	out := filepath.Join(cacheDir(), fmt.Sprintf("norace-%x.test", sha256.Sum256([]byte(wd)))[:23]+".test")
	args := []string{"test", "-c", "-o", out}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "-tags" {
				args = append(args, "-tags="+s.Value)
			}
		}
	}
	cmd := exec.Command("go", append(args, ".")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if msg, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the test without the race detector: %w\n%s", err, msg)
	}
	return out, nil
})
