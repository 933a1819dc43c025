//go:build linux

package lab

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/racoon3/racoon/internal/testhost"
)

// L2TPModules are for [KernelOptions] where [StartXL2TPD] is used in the lab's
// kernel.
var L2TPModules = []string{"ppp_generic", "ppp_async", "l2tp_ppp"}

// XL2TPDConfig is what [StartXL2TPD] starts: a client of Server, or without one
// a server.
type XL2TPDConfig struct {
	Port uint16 // UDP port; 1701 if 0

	Server netip.Addr // to call at once, and again

	Local netip.Addr // a server's own address in the tunnels
	First netip.Addr // the first of those that it gives away
	Last  netip.Addr // the last
}

// StartXL2TPD runs xl2tpd, which runs pppd for each session, without
// authentication: that is IPsec's. The PPP interface's MTU is 1300.
func StartXL2TPD(t testing.TB, ns *Namespace, c XL2TPDConfig) *Process {
	t.Helper()
	Require(t, XL2TPD)
	if _, err := os.Stat("/dev/ppp"); err != nil {
		if err := unix.Mknod("/dev/ppp", unix.S_IFCHR|0o600, int(unix.Mkdev(108, 0))); err != nil {
			t.Fatalf("lab: /dev/ppp: %v", err)
		}
	}
	if c.Port == 0 {
		c.Port = 1701
	}
	dir := tempDir(t)
	writeFile(t, filepath.Join(dir, "ppp"), "debug\nlogfile "+filepath.Join(dir, "ppp.log")+"\nnoauth\nnoccp\nmtu 1300\nmru 1300\n", 0o644)
	s := &strings.Builder{}
	fmt.Fprintf(s, "[global]\nport = %d\nforce userspace = no\n", c.Port)
	if c.Server.IsValid() {
		fmt.Fprintf(s, "[lac lab]\nlns = %v\nautodial = yes\nredial = yes\nredial timeout = 1\nmax redials = 60\n", c.Server)
	} else {
		fmt.Fprintf(s, "[lns default]\nip range = %v-%v\nlocal ip = %v\n", c.First, c.Last, c.Local)
	}
	fmt.Fprintf(s, "require authentication = no\nlength bit = yes\npppoptfile = %s\n", filepath.Join(dir, "ppp"))
	writeFile(t, filepath.Join(dir, "conf"), s.String(), 0o644)
	p := startProcess(t, ns, "xl2tpd", dir, fmt.Sprintf("mkdir -p /run/xl2tpd; exec xl2tpd -D -c %[1]s/conf -p %[1]s/pid -C %[1]s/control", dir))
	p.WaitLog("Listening on IP address", testhost.Patience)
	t.Cleanup(func() {
		if t.Failed() {
			b, _ := os.ReadFile(filepath.Join(dir, "ppp.log"))
			t.Logf("the log of pppd in %s ends:\n%s", ns.Name, tail(string(b), 40))
		}
	})
	return p
}
