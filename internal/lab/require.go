//go:build linux

package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/racoon3/racoon/internal/testhost"
)

// A Need is something that a test needs of the machine; see [Require].
type Need string

// What a test can need. Each but UML, QEMU and the KDCs includes root's rights.
const (
	Root        Need = "root"       // namespaces and TUN devices; the programs ip and ping
	StrongSwan  Need = "strongSwan" // charon with its userspace ESP, and swanctl
	Libreswan   Need = "libreswan"  // pluto, unpacked by .ci/install-peers.sh, and a C compiler
	OpenIKED    Need = "OpenIKED"   // iked and ikectl, and a C compiler
	VPNC        Need = "vpnc"       // the Cisco client
	IKEScanner  Need = "ike-scan"
	XL2TPD      Need = "xl2tpd"       // and pppd
	WireGuardGo Need = "wireguard-go" // the go command, which builds it
	Iperf3      Need = "iperf3"
	UML         Need = "User Mode Linux" // for InKernel; on some processors also a C compiler
	QEMU        Need = "QEMU"            // for InKernel, with Debian's kernel, unpacked by .ci/install-peers.sh
	MITKDC      Need = "MIT krb5"        // KDC and its tools; without root's rights
	HeimdalKDC  Need = "Heimdal"         // KDC and its tools, unpacked by .ci/install-peers.sh; without root's rights
)

// programs are the programs and files of each need.
var programs = map[Need][]string{
	Root:        {"ip", "ping", "/dev/net/tun"},
	StrongSwan:  {"/usr/lib/ipsec/charon", "swanctl", "/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so"},
	Libreswan:   {"cc", "openssl", "certutil", "pk12util"}, // and pluto
	OpenIKED:    {"cc", "iked", "ikectl"},
	VPNC:        {"vpnc"},
	IKEScanner:  {"ike-scan"},
	XL2TPD:      {"xl2tpd", "pppd"},
	WireGuardGo: {"go"},
	Iperf3:      {"iperf3"},
	MITKDC:      {"krb5kdc", "kdb5_util", "kadmin.local", "kinit", "kvno"},
	QEMU:        {qemuProgram, "modprobe", "ip"}, // and the kernel
	UML:         {umlProgram, umlModules, "modprobe", "ip"},
}

// installHint is how to get everything.
const installHint = "on Debian 12 run .ci/install-peers.sh as root, then the tests as root"

// Require skips the test when the machine lacks something of needs, saying what
// and how to get it. With RACOON_REQUIRE_PEERS=1 in the environment, as where
// everything is supposed to be installed, the test fails instead.
func Require(t testing.TB, needs ...Need) {
	t.Helper()
	var missing []string
	for _, n := range needs {
		missing = append(missing, lacks(n)...)
		if n != Root && n != MITKDC && n != HeimdalKDC {
			missing = append(missing, lacks(Root)...)
		}
	}
	require(t, missing)
}

// requirePrograms is Require for single programs.
func requirePrograms(t testing.TB, names ...string) {
	t.Helper()
	var missing []string
	for _, name := range names {
		if _, err := program(name); err != nil {
			missing = append(missing, name)
		}
	}
	require(t, missing)
}

func require(t testing.TB, missing []string) {
	t.Helper()
	if len(missing) == 0 {
		return
	}
	slices.Sort(missing)
	missing = slices.Compact(missing)
	testhost.Missing(t, "missing: %s; %s", strings.Join(missing, ", "), installHint)
}

func lacks(n Need) (missing []string) {
	if n == Root && os.Geteuid() != 0 {
		missing = append(missing, "root's rights")
	}
	if n == Libreswan {
		if _, err := os.Stat(filepath.Join(libreswanRoot(), "usr/libexec/ipsec/pluto")); err != nil {
			missing = append(missing, "libreswan in "+libreswanRoot())
		}
	}
	if n == HeimdalKDC {
		for _, p := range []string{heimdalKDC, heimdalKadmin} {
			if _, err := os.Stat(filepath.Join(heimdalRoot(), p)); err != nil {
				missing = append(missing, "Heimdal in "+heimdalRoot())
			}
		}
	}
	if n == QEMU {
		if _, err := os.Stat(qemuFile("bin/busybox")); err != nil {
			missing = append(missing, "a kernel for QEMU in "+qemuFile(""))
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
