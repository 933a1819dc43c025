//go:build linux

package lab

import (
	"context"
	_ "embed" // for the shim
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/racoon3/racoon/internal/testhost"
	"github.com/racoon3/racoon/internal/testpki"
)

//go:embed shims/xfrm.c
var xfrmShim string

// libreswanRoot is where .ci/install-peers.sh unpacks libreswan, which cannot be
// installed beside strongSwan.
func libreswanRoot() string { return filepath.Join(cacheDir(), "libreswan") }

// LibreswanConfig is what [StartLibreswan] starts: one connection, "lab", whose
// left side is the local one. Empty fields are left out of ipsec.conf.
type LibreswanConfig struct {
	IKEv1 bool // else IKEv2

	Local, Remote       string // addresses; Remote: %any if empty
	LocalID, RemoteID   string // such as @a.lab
	LocalNet, RemoteNet string // traffic selectors, such as 10.1.0.0/24

	PSK  string
	Auth string // authby: secret if empty and PSK is set, else rsasig for RSA keys or ecdsa for others
	Cert *testpki.Cert
	CA   *testpki.Cert // its root is trusted

	IKE, ESP string // proposals, such as aes_gcm128-sha2_256-dh31 and aes_gcm128
	Encap    bool   // force UDP encapsulation

	// For IKEv1. With XAuth and mode-config the gateway's Remote is %any and it
	// gives addresses from Pool; Secrets of a client has a line such as
	// @carol : XAUTH "password".
	Aggressive   bool
	XAuthUser    string            // we are this user
	XAuthClients map[string]string // the peers are: users and passwords
	Pool         string            // such as 10.3.0.1-10.3.0.200
	PushConfig   bool              // mode-config: the gateway sets, otherwise the client asks

	// Lifetime and IKELifetime are those of the SAs, which are rekeyed 12 seconds
	// before. In IKEv1 that is the only way to have them rekeyed; a further
	// [Pluto.Initiate] makes a Child SA besides the one that there is.
	Lifetime, IKELifetime time.Duration

	// Kernel uses the kernel's ESP: see InKernel. Otherwise no packet flows and
	// [Pluto.InstalledSAs] shows what was negotiated. A client with an address
	// of the gateway's then gives it to itself, and a route to the networks behind
	// the gateway; other routes are the test's: [Site.RouteTo].
	Kernel bool

	Conn, Setup string // more lines for the sections conn and config setup
	Secrets     string // more lines for ipsec.secrets
}

// A Pluto is a running libreswan.
type Pluto struct {
	*Process
	t testing.TB
}

// StartLibreswan starts pluto in ns with the connection added, not initiated.
func StartLibreswan(t testing.TB, ns *Namespace, c LibreswanConfig) *Pluto {
	t.Helper()
	dir := tempDir(t)
	p := &Pluto{t: t}
	if err := os.MkdirAll(filepath.Join(dir, "ipsec.d"), 0o755); err != nil {
		t.Fatalf("lab: %v", err)
	}
	if err := os.CopyFS(filepath.Join(dir, "ipsec.d/policies"), os.DirFS(filepath.Join(libreswanRoot(), "etc/ipsec.d/policies"))); err != nil {
		t.Fatalf("lab: %v", err)
	}
	writeNSS(t, dir, c)
	secrets := c.Secrets
	if c.PSK != "" {
		secrets += "\n: PSK " + quote(c.PSK)
	}
	writeFile(t, filepath.Join(dir, "ipsec.secrets"), secrets+"\n", 0o600)
	if c.XAuthClients != nil {
		writeFile(t, filepath.Join(dir, "ipsec.d/passwd"), c.passwd(t), 0o600)
	}
	conf, updown := filepath.Join(dir, "ipsec.conf"), "%disabled"
	if c.Kernel && c.XAuthUser != "" {
		updown = filepath.Join(dir, "updown")
		writeFile(t, updown, clientUpdown, 0o755)
	}
	writeFile(t, conf, c.ipsecConf(updown), 0o644)

	env := []string{"LAB_SA_LOG=" + filepath.Join(dir, "sa")}
	preload := ""
	if !c.Kernel {
		preload = "LD_PRELOAD=" + buildShim(t, "xfrm", xfrmShim)
	}
	// It wants its programs in the place they are made for, and /run/pluto.
	p.Process = startProcess(t, ns, "libreswan", dir, strings.Join([]string{
		"mount -t tmpfs tmpfs /usr/libexec", "mkdir /usr/libexec/ipsec",
		"mount --bind " + filepath.Join(libreswanRoot(), "usr/libexec/ipsec") + " /usr/libexec/ipsec",
		"mount -t tmpfs tmpfs /run", "mkdir /run/pluto",
		"exec env " + preload + " /usr/libexec/ipsec/pluto --nofork --stderrlog --use-xfrm --no-dnssec --nhelpers 1" +
			" --config " + conf + " --rundir " + dir + " --ipsecdir " + filepath.Join(dir, "ipsec.d") +
			" --nssdir " + filepath.Join(dir, "nss") + " --secretsfile " + filepath.Join(dir, "ipsec.secrets"),
	}, "\n"), env...)
	p.awaitFile(filepath.Join(dir, "pluto.ctl"))
	// (The socket is there a moment before pluto listens on it.)
	if !p.wait(testhost.Patience, func() bool { _, err := p.Whack(t.Context(), "--listen"); return err == nil }) {
		p.must("--listen")
	}
	p.program("addconn", "--config", conf, "--ctlsocket", filepath.Join(dir, "pluto.ctl"), "lab")
	p.WaitLog(`"lab": added`, testhost.Patience)
	return p
}

// clientUpdown is what pluto runs when a client's connection comes up: its own
// script does more than a namespace needs, and would find strongSwan's.
const clientUpdown = `#!/bin/sh
set -e
case $PLUTO_VERB in
route-client)
	ip address replace "$PLUTO_MY_SOURCEIP/32" dev lo
	ip route replace "$PLUTO_PEER_CLIENT" via "$PLUTO_PEER" src "$PLUTO_MY_SOURCEIP"
	;;
esac
`

// ipsecConf is the text of ipsec.conf.
func (c *LibreswanConfig) ipsecConf(updown string) string {
	s := &strings.Builder{}
	set := func(key, value string) {
		if value != "" {
			fmt.Fprintf(s, "  %s=%s\n", key, value)
		}
	}
	lines := func(text string) {
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" {
				fmt.Fprintf(s, "  %s\n", line)
			}
		}
	}
	s.WriteString("config setup\n")
	set("ikev1-policy", "accept")
	lines(c.Setup)
	s.WriteString("conn lab\n")
	set("ikev2", map[bool]string{false: "insist", true: "never"}[c.IKEv1])
	set("left", c.Local)
	set("right", or(c.Remote, "%any"))
	set("leftid", c.LocalID)
	set("rightid", c.RemoteID)
	set("leftsubnet", c.LocalNet)
	set("rightsubnet", c.RemoteNet)
	auth := c.Auth
	switch {
	case auth != "":
	case c.PSK != "":
		auth = "secret"
	case c.Cert != nil && c.Cert.PublicKeyAlgorithm.String() != "RSA":
		auth = "ecdsa"
	default:
		auth = "rsasig"
	}
	set("authby", auth)
	if c.Cert != nil {
		set("leftcert", "host")
		set("rightca", "%same")
	}
	set("ike", c.IKE)
	set("phase2alg", c.ESP)
	set("encapsulation", yesNo(c.Encap))
	set("leftupdown", updown)
	set("auto", "ignore")
	if c.Lifetime > 0 || c.IKELifetime > 0 {
		for key, d := range map[string]time.Duration{"salifetime": c.Lifetime, "ikelifetime": c.IKELifetime} {
			if d > 0 {
				set(key, fmt.Sprintf("%ds", int(d.Seconds())))
			}
		}
		set("rekeymargin", "12s")
		set("rekeyfuzz", "0%")
	}
	c.writeIKEv1(set)
	lines(c.Conn)
	return s.String()
}

// writeIKEv1 sets what only IKEv1 has.
func (c *LibreswanConfig) writeIKEv1(set func(key, value string)) {
	if c.Aggressive {
		set("aggressive", "yes")
	}
	if c.XAuthUser == "" && c.XAuthClients == nil {
		return
	}
	client, server := "left", "right"
	if c.XAuthClients != nil {
		client, server = server, client
		set("xauthby", "file")
		set("rightaddresspool", c.Pool)
	}
	set(client+"xauthclient", "yes")
	set(server+"xauthserver", "yes")
	set(client+"modecfgclient", "yes")
	set(server+"modecfgserver", "yes")
	set("leftxauthusername", c.XAuthUser)
	set("modecfgpull", yesNo(!c.PushConfig))
}

// passwd is the file of XAuth users: crypt(3) hashes.
func (c *LibreswanConfig) passwd(t testing.TB) string {
	s := &strings.Builder{}
	for user, password := range c.XAuthClients {
		hash, err := exec.Command("openssl", "passwd", "-5", password).Output()
		if err != nil {
			t.Fatalf("lab: openssl passwd: %v", err)
		}
		fmt.Fprintf(s, "%s:%s:lab\n", user, strings.TrimSpace(string(hash)))
	}
	return s.String()
}

// writeNSS makes the NSS database with the certificate, as "host", and the CA.
func writeNSS(t testing.TB, dir string, c LibreswanConfig) {
	t.Helper()
	db := "sql:" + filepath.Join(dir, "nss")
	if err := os.Mkdir(filepath.Join(dir, "nss"), 0o700); err != nil {
		t.Fatalf("lab: %v", err)
	}
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("lab: %s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
	}
	run("certutil", "-N", "-d", db, "--empty-password")
	if c.CA != nil {
		ca := filepath.Join(dir, "ca.pem")
		writeFile(t, ca, string(c.CA.RootPEM()), 0o644)
		run("certutil", "-A", "-d", db, "-n", "ca", "-t", "CT,,", "-a", "-i", ca)
	}
	if c.Cert != nil {
		cert, key, p12 := filepath.Join(dir, "host.pem"), filepath.Join(dir, "host.key"), filepath.Join(dir, "host.p12")
		writeFile(t, cert, string(c.Cert.PEM()), 0o644)
		writeFile(t, key, string(c.Cert.KeyPEM(t)), 0o600)
		run("openssl", "pkcs12", "-export", "-in", cert, "-inkey", key, "-name", "host", "-passout", "pass:x", "-out", p12)
		run("pk12util", "-i", p12, "-d", db, "-W", "x", "-K", "")
	}
}

// Whack runs whack, libreswan's control program, and returns what it printed.
// --initiate and the like print the progress and wait for its end.
func (p *Pluto) Whack(ctx context.Context, args ...string) (string, error) {
	return p.ns.Exec(ctx, filepath.Join(libreswanRoot(), "usr/libexec/ipsec/whack"), append([]string{"--rundir", p.dir}, args...)...)
}

func (p *Pluto) program(name string, args ...string) string {
	p.t.Helper()
	return p.ns.Run(filepath.Join(libreswanRoot(), "usr/libexec/ipsec", name), args...)
}

func (p *Pluto) must(args ...string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testhost.Patience)
	defer cancel()
	out, err := p.Whack(ctx, args...)
	if err != nil {
		p.t.Fatalf("lab: %v", err)
	}
	return out
}

// childUp is how whack says that a Child SA, or IKEv1's IPsec SA, is there: its
// exit status does not tell.
var childUp = regexp.MustCompile(`(?i)established (child|ipsec) sa|ipsec sa established`)

// Initiate brings the connection up and waits until it is.
func (p *Pluto) Initiate() error {
	ctx, cancel := context.WithTimeout(context.Background(), testhost.Patience)
	defer cancel()
	out, err := p.Whack(ctx, "--initiate", "--name", "lab")
	if err == nil && !childUp.MatchString(out) {
		err = fmt.Errorf("libreswan in %s: no Child SA:\n%s", p.ns.Name, out)
	}
	return err
}

// RekeyChild rekeys the Child SA; of IKEv2 only.
func (p *Pluto) RekeyChild() { p.t.Helper(); p.rekey("--rekey-ipsec") }

// RekeyIKE rekeys the IKE SA; of IKEv2 only.
func (p *Pluto) RekeyIKE() { p.t.Helper(); p.rekey("--rekey-ike") }

func (p *Pluto) rekey(what string) {
	p.t.Helper()
	if out := p.must(what, "--name", "lab"); strings.Contains(out, "cannot") {
		p.t.Fatalf("lab: libreswan in %s: %s", p.ns.Name, out)
	}
}

// Terminate deletes the connection's SAs.
func (p *Pluto) Terminate() { p.t.Helper(); p.must("--terminate", "--name", "lab") }

// InstalledSAs are the SAs that pluto gave to the pretended kernel.
func (p *Pluto) InstalledSAs() []InstalledSA { return readSALog(filepath.Join(p.dir, "sa")) }

// WaitInstalledSAs waits until n SAs are installed that are not deleted.
func (p *Pluto) WaitInstalledSAs(n int, timeout time.Duration) []InstalledSA {
	p.t.Helper()
	return waitInstalledSAs(p.Process, n, timeout, p.InstalledSAs)
}

func waitInstalledSAs(p *Process, n int, timeout time.Duration, all func() []InstalledSA) (live []InstalledSA) {
	p.ns.t.Helper()
	if !p.wait(timeout, func() bool {
		live = nil
		for _, sa := range all() {
			if !sa.Deleted {
				live = append(live, sa)
			}
		}
		return len(live) == n
	}) {
		p.ns.t.Fatalf("lab: %s in %s has %d SAs after %v, not %d: %+v", p.name, p.ns.Name, len(live), timeout, n, live)
	}
	return live
}
