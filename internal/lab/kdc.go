//go:build linux

package lab

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/racoon3/racoon/internal/testhost"
)

// KDCConfig is what [StartKDC] starts.
type KDCConfig struct {
	Realm  string   // EXAMPLE.COM if empty
	ETypes []string // of all keys, such as aes256-cts-hmac-sha384-192; MIT's default if empty

	Namespace *Namespace // where it runs; nil: here, which needs no root's rights
	Addr      netip.Addr // 127.0.0.1 if not valid

	MaxLife time.Duration // of tickets; 10 hours if 0; MIT only
	Extra   string        // lines for its realm in kdc.conf; MIT only
	Conf    string        // lines for the end of krb5.conf, such as [capaths]

	Heimdal bool // Heimdal's KDC; else MIT's
}

// A KDC is a running KDC with a database of its own. It ends with the test.
type KDC struct {
	t     testing.TB
	conf  KDCConfig
	dir   string
	Realm string
	Addr  netip.AddrPort // UDP and TCP

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{}
}

// StartKDC makes a realm and starts its KDC. [Require] with [MITKDC] or
// [HeimdalKDC] says whether that is possible.
func StartKDC(t testing.TB, c KDCConfig) *KDC {
	t.Helper()
	c.Realm = or(c.Realm, "EXAMPLE.COM")
	if !c.Addr.IsValid() {
		c.Addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	if c.MaxLife <= 0 {
		c.MaxLife = 10 * time.Hour
	}
	k := &KDC{t: t, conf: c, dir: tempDir(t), Realm: c.Realm}
	port := uint16(88)
	if c.Namespace == nil {
		port = freePort(t, c.Addr)
	}
	k.Addr = netip.AddrPortFrom(c.Addr, port)

	if c.Heimdal {
		k.initHeimdal()
	} else {
		k.initMIT()
	}
	k.Start()
	t.Cleanup(func() {
		k.Stop()
		if t.Failed() {
			log, _ := os.ReadFile(k.file("log"))
			t.Logf("the log of the KDC of %s ends:\n%s", k.Realm, tail(string(log), 40))
		}
	})
	return k
}

// initMIT writes the configuration and makes the database.
func (k *KDC) initMIT() {
	k.t.Helper()
	c := k.conf
	enctypes, keys := "", ""
	if len(c.ETypes) > 0 {
		var salted []string
		for _, e := range c.ETypes {
			salted = append(salted, e+":normal")
		}
		enctypes = "permitted_enctypes = " + strings.Join(c.ETypes, " ") + "\n"
		keys = "supported_enctypes = " + strings.Join(salted, " ") + "\nmaster_key_type = " + c.ETypes[0] + "\n"
	}
	writeFile(k.t, k.file("krb5.conf"), fmt.Sprintf(`[libdefaults]
default_realm = %[1]s
dns_lookup_kdc = false
dns_lookup_realm = false
dns_canonicalize_hostname = false
rdns = false
%[2]s[realms]
%[1]s = {
	kdc = %[3]s
}
%[4]s
`, c.Realm, enctypes, k.Addr, c.Conf), 0o644)
	writeFile(k.t, k.file("kdc.conf"), fmt.Sprintf(`[kdcdefaults]
kdc_listen = %[2]s
kdc_tcp_listen = %[2]s
[realms]
%[1]s = {
	database_name = %[3]s/principal
	key_stash_file = %[3]s/stash
	acl_file = %[3]s/acl
	max_life = %[4]ds
	max_renewable_life = 7d
%[5]s%[6]s
}
[logging]
kdc = FILE:%[3]s/log
`, c.Realm, k.Addr, k.dir, int(c.MaxLife.Seconds()), keys, c.Extra), 0o644)
	k.must("kdb5_util", "create", "-s", "-P", "master")
}

func (k *KDC) file(name string) string { return filepath.Join(k.dir, name) }

// freePort returns a port that is free for UDP and TCP at the moment.
func freePort(t testing.TB, a netip.Addr) uint16 {
	t.Helper()
	for range 50 {
		u, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 0)))
		if err != nil {
			t.Fatalf("lab: %v", err)
		}
		port := u.LocalAddr().(*net.UDPAddr).AddrPort().Port()
		l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, port)))
		_ = u.Close()
		if err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("lab: no free port")
	return 0
}

// Env is the environment in which the programs use this realm.
func (k *KDC) Env() []string {
	if k.conf.Heimdal {
		return k.heimdalEnv()
	}
	return append(os.Environ(), "LC_ALL=C", "KRB5_CONFIG="+k.Krb5Conf(), "KRB5_KDC_PROFILE="+k.file("kdc.conf"), "KRB5CCNAME=FILE:"+k.file("ccache"))
}

// Krb5Conf is the path of the krb5.conf of the realm's hosts.
func (k *KDC) Krb5Conf() string { return k.file("krb5.conf") }

func (k *KDC) command(name string, args ...string) *exec.Cmd {
	p, err := program(name)
	if k.conf.Heimdal {
		p, err = program(filepath.Join(heimdalRoot(), name))
	}
	if err != nil {
		k.t.Fatalf("lab: %v", err)
	}
	c := exec.Command(p, args...)
	c.Env = k.Env()
	c.Dir = k.dir
	return c
}

// Run runs one of MIT's programs, or one of Heimdal's by its path, such as
// usr/bin/kinit.heimdal, with its standard input in this realm.
func (k *KDC) Run(stdin string, name string, args ...string) (string, error) {
	k.t.Helper()
	c := k.command(name, args...)
	c.Stdin = strings.NewReader(stdin)
	out, err := c.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("lab: %s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

func (k *KDC) must(name string, args ...string) string {
	k.t.Helper()
	out, err := k.Run("", name, args...)
	if err != nil {
		k.t.Fatal(err)
	}
	return out
}

// Kadmin runs a query of MIT's kadmin.local, such as "getprinc kink/a". It does
// not fail where kadmin.local only writes that something went wrong.
func (k *KDC) Kadmin(query string) string {
	k.t.Helper()
	return k.must("kadmin.local", "-q", query)
}

// AddPrincipal adds principals with random keys.
func (k *KDC) AddPrincipal(names ...string) {
	k.t.Helper()
	if k.conf.Heimdal {
		k.kadminHeimdal(append([]string{"add", "-r", "--use-defaults"}, names...)...)
		return
	}
	for _, n := range names {
		if out := k.Kadmin("addprinc -randkey +requires_preauth " + n); !strings.Contains(out, "created") {
			k.t.Fatalf("lab: %s", out)
		}
	}
}

// Keytab writes the keys of principals into a new keytab, as they are, and
// returns its path.
func (k *KDC) Keytab(names ...string) string {
	k.t.Helper()
	f, err := os.CreateTemp(k.dir, "*.keytab")
	if err != nil {
		k.t.Fatalf("lab: %v", err)
	}
	path := f.Name()
	_ = f.Close()
	_ = os.Remove(path)
	if k.conf.Heimdal {
		k.kadminHeimdal(append([]string{"ext_keytab", "-k", "FILE:" + path}, names...)...)
		return path
	}
	if out := k.Kadmin("ktadd -norandkey -k " + path + " " + strings.Join(names, " ")); !strings.Contains(out, "added to keytab") {
		k.t.Fatalf("lab: %s", out)
	}
	return path
}

// Start starts the KDC, which must not be running.
func (k *KDC) Start() {
	k.t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	name, args := "krb5kdc", []string{"-n"}
	if k.conf.Heimdal {
		name, args = heimdalKDC, k.heimdalArgs()
	}
	c := k.command(name, args...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	start := c.Start
	if k.conf.Namespace != nil {
		start = func() error { return k.conf.Namespace.do(c.Start) }
	}
	if err := start(); err != nil {
		k.t.Fatalf("lab: starting the KDC: %v", err)
	}
	k.cmd, k.done = c, make(chan struct{})
	go func(done chan struct{}) {
		_ = c.Wait()
		close(done)
	}(k.done)
	dial := func() error {
		conn, err := net.DialTimeout("tcp", k.Addr.String(), testhost.Patience)
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	for end := time.Now().Add(testhost.Patience); ; {
		var err error
		if k.conf.Namespace != nil {
			err = k.conf.Namespace.do(dial)
		} else {
			err = dial()
		}
		if err == nil {
			return
		}
		select {
		case <-k.done:
			k.t.Fatalf("lab: the KDC ended at once:\n%s", out.String())
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(end) {
			k.t.Fatalf("lab: the KDC does not listen: %v", err)
		}
	}
}

// Stop ends the KDC; Start starts it again with the same database.
func (k *KDC) Stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.cmd == nil {
		return
	}
	_ = unix.Kill(-k.cmd.Process.Pid, unix.SIGKILL)
	<-k.done
	k.cmd = nil
}
