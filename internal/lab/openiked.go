//go:build linux

package lab

import (
	"context"
	_ "embed" // for the shim
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/racoon3/racoon/internal/testhost"
	"github.com/racoon3/racoon/internal/testpki"
)

//go:embed shims/pfkey.c
var pfkeyShim string

// OpenIKEDConfig is what [StartOpenIKED] starts: one policy, "lab".
type OpenIKEDConfig struct {
	Active bool // initiates as soon as it is started; else it waits for the peer

	Local, Remote       string // addresses; Remote: any if empty
	LocalID, RemoteID   string // such as a.lab
	LocalNet, RemoteNet string // traffic selectors

	PSK  string
	Auth string // psk if PSK is set; else rsa, ecdsa256 ... or rfc7427, which is the choice if empty; it has no Ed25519
	Cert *testpki.Cert
	CA   *testpki.Cert // its root is trusted

	IKESA, ChildSA string // transforms; AES-128 with SHA-2 and modp2048, and AES-128 with SHA-1 if empty, as iked's own for PF_KEY go no further

	Policy string // more for the end of the policy
	Extra  string // lines before the policy
}

// An Iked is a running OpenIKED. No packets flow through it: the test plays the
// kernel, and [Iked.InstalledSAs] shows what was negotiated.
type Iked struct {
	*Process
	t     testing.TB
	pfkey *pfkeyServer
}

// StartOpenIKED starts iked in ns.
func StartOpenIKED(t testing.TB, ns *Namespace, c OpenIKEDConfig) *Iked {
	t.Helper()
	dir := tempDir(t)
	etc := filepath.Join(dir, "etc")
	for _, d := range []string{"ca", "certs", "crls", "private", "pubkeys/fqdn", "pubkeys/ipv4", "pubkeys/ipv6", "pubkeys/ufqdn"} {
		if err := os.MkdirAll(filepath.Join(etc, d), 0o755); err != nil {
			t.Fatalf("lab: %v", err)
		}
	}
	key := c.Cert
	if key == nil { // it will not start without one
		key = testpki.NewIssuer(t, testpki.P256, 0).Host(t, testpki.P256, or(c.LocalID, "local"))
	}
	writeFile(t, filepath.Join(etc, "private/local.key"), string(key.KeyPEM(t)), 0o600)
	writeFile(t, filepath.Join(etc, "local.pub"), string(testpki.PublicKeyPEM(t, key.Key.Public())), 0o644)
	if c.Cert != nil {
		writeFile(t, filepath.Join(etc, "certs", c.Cert.Subject.CommonName+".crt"), string(testpki.EncodePEM(c.Cert.Certificate)), 0o644)
	}
	if c.CA != nil {
		writeFile(t, filepath.Join(etc, "ca/ca.crt"), string(c.CA.RootPEM()), 0o644)
	}
	conf := filepath.Join(dir, "iked.conf")
	writeFile(t, conf, c.conf(), 0o600)

	i := &Iked{t: t, pfkey: startPFKeyServer(t, filepath.Join(dir, "pfkey"))}
	i.Process = startProcess(t, ns, "OpenIKED", dir, "mount --bind "+etc+" /etc/iked\n"+
		"exec env LD_PRELOAD="+buildShim(t, "pfkey", pfkeyShim)+" iked -dvv -f "+conf+" -s "+filepath.Join(dir, "ctl"),
		"LAB_PFKEY="+filepath.Join(dir, "pfkey"))
	i.awaitFile(filepath.Join(dir, "ctl"))
	return i
}

// conf is the text of iked.conf.
func (c *OpenIKEDConfig) conf() string {
	auth := c.Auth
	switch {
	case auth != "":
	case c.PSK != "":
		auth = "psk " + quote(c.PSK)
	default:
		auth = "rfc7427"
	}
	words := []string{`ikev2 "lab"`, map[bool]string{false: "passive", true: "active"}[c.Active], "esp",
		"from", c.LocalNet, "to", c.RemoteNet, "local", c.Local, "peer", or(c.Remote, "any"),
		"ikesa", or(c.IKESA, "auth hmac-sha2-256 enc aes-128 group modp2048"),
		"childsa", or(c.ChildSA, "auth hmac-sha1 enc aes-128"), "srcid", c.LocalID}
	if c.RemoteID != "" {
		words = append(words, "dstid", c.RemoteID)
	}
	return fmt.Sprintf("%s\n%s\n", c.Extra, strings.Join(append(words, auth, c.Policy), " "))
}

// Ikectl runs ikectl, OpenIKED's control program: "show", "sa" or "reset", "all".
func (i *Iked) Ikectl(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), testhost.Patience)
	defer cancel()
	ikectl, err := program("ikectl")
	if err != nil {
		return "", err
	}
	return i.ns.Exec(ctx, ikectl, append([]string{"-s", filepath.Join(i.dir, "ctl")}, args...)...)
}

// InstalledSAs are the SAs that iked gave to the pretended kernel. The algorithms
// are PF_KEY's numbers.
func (i *Iked) InstalledSAs() []InstalledSA { return i.pfkey.installed() }

// WaitInstalledSAs waits until n SAs are installed that are not deleted.
func (i *Iked) WaitInstalledSAs(n int, timeout time.Duration) []InstalledSA {
	i.t.Helper()
	return waitInstalledSAs(i.Process, n, timeout, i.InstalledSAs)
}
