//go:build linux

package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A Need is something that a test needs of the machine; see [Require].
type Need string

// What a test can need. Each but Root stands for root as well.
const (
	Root       Need = "root"       // namespaces, TUN devices and the programs ip and ping
	StrongSwan Need = "strongSwan" // charon and swanctl with kernel-libipsec
	Libreswan  Need = "libreswan"  // pluto, unpacked by .ci/install-peers.sh, and a C compiler
	OpenIKED   Need = "OpenIKED"   // iked and ikectl, and a C compiler
	Iperf3     Need = "iperf3"
	UML        Need = "UML"      // User Mode Linux, see InKernel
	GoTool     Need = "go"       // the go command, to build programs
	Tcpdump    Need = "tcpdump"  // for captures of what peers said
	OpenSSL    Need = "openssl"  // PKCS #12 files for libreswan
	CCompiler  Need = "compiler" // cc, for the preloaded shims
	Kmod       Need = "kmod"     // modprobe inside the lab kernel
	CPUPinning Need = "2 CPUs"   // at least two processors
	TUN        Need = "TUN"      // /dev/net/tun
)

var programs = map[Need][]string{
	Root:       {"ip", "ping"},
	StrongSwan: {"/usr/lib/ipsec/charon", "swanctl", "/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so"},
	OpenIKED:   {"iked", "ikectl"},
	Iperf3:     {"iperf3"},
	UML:        {"linux.uml", "/usr/lib/uml/modules"},
	GoTool:     {"go"},
	Tcpdump:    {"tcpdump"},
	OpenSSL:    {"openssl"},
	CCompiler:  {"cc"},
	Kmod:       {"modprobe"},
	TUN:        {"/dev/net/tun"},
}

var includes = map[Need][]Need{
	Root:       nil,
	StrongSwan: {Root, TUN},
	Libreswan:  {Root, CCompiler, OpenSSL},
	OpenIKED:   {Root, CCompiler},
	Iperf3:     {Root},
	UML:        {CCompiler, Kmod},
}

// installHint is how to get everything.
const installHint = "on Debian 12 run .ci/install-peers.sh as root, then the tests as root"

// Require skips the test when the machine lacks something of needs, saying what
// and how to get it. With RACOON_REQUIRE_PEERS=1 in the environment, as where
// everything is supposed to be installed, the test fails instead.
func Require(t testing.TB, needs ...Need) {
	t.Helper()
	var missing []string
	seen := map[Need]bool{}
	for len(needs) > 0 {
		n := needs[0]
		needs = needs[1:]
		if !seen[n] {
			seen[n] = true
			needs = append(needs, includes[n]...)
			missing = append(missing, lacks(n)...)
		}
	}
	if len(missing) == 0 {
		return
	}
	msg := fmt.Sprintf("missing: %s; %s", strings.Join(missing, ", "), installHint)
	if os.Getenv("RACOON_REQUIRE_PEERS") == "1" {
		t.Fatal(msg)
	}
	t.Skip(msg)
}

func lacks(n Need) (missing []string) {
	if n == Root && os.Geteuid() != 0 {
		missing = append(missing, "root's rights")
	}
	if n == Libreswan {
		if _, err := os.Stat(filepath.Join(libreswanRoot(), "usr/libexec/ipsec/pluto")); err != nil {
			missing = append(missing, "libreswan in "+libreswanRoot())
		}
		if _, err := program("certutil"); err != nil {
			missing = append(missing, "certutil")
		}
	}
	for _, p := range programs[n] {
		if _, err := program(p); err != nil {
			missing = append(missing, p)
		}
	}
	return missing
}

// program finds a program by its name or path, also where root's PATH would
// have it but the user's does not.
func program(name string) (string, error) {
	if filepath.IsAbs(name) {
		_, err := os.Stat(name)
		return name, err
	}
	if p, err := exec.LookPath(name); err == nil {
		return p, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("no program %s", name)
}

// cacheDir is where downloaded and compiled files are kept between runs:
// RACOON_LAB_CACHE, or the folder racoon-lab in the user's cache folder.
func cacheDir() string {
	if d := os.Getenv("RACOON_LAB_CACHE"); d != "" {
		return d
	}
	d, err := os.UserCacheDir()
	if err != nil {
		d = os.TempDir()
	}
	return filepath.Join(d, "racoon-lab")
}
