//go:build linux

package lab

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/racoon3/racoon/internal/testpki"
)

// StrongSwanConfig is what [StartStrongSwan] starts. Its zero value is one
// connection named "lab" with one child named "net"; see [StrongSwanConn].
type StrongSwanConfig struct {
	Conns []StrongSwanConn

	PSK     string            // the secret for everybody
	Secrets map[string]string // secrets by identity, besides or instead of PSK
	EAP     map[string]string // passwords by EAP and XAuth user name

	Certs []*testpki.Cert // own certificates and keys; with their intermediate CAs
	CAs   []*testpki.Cert // their roots are trusted
	Pools []StrongSwanPool
	Files map[string]string // more files for swanctl's folder, by path: pubkey/a.pem, x509crl/ca.crl ...

	// Kernel uses the kernel's ESP instead of the userspace one
	// (kernel-libipsec), which knows nothing but ESP in UDP. That needs a kernel
	// with ESP: see InKernel.
	Kernel bool

	// CiscoUnity: it is a gateway or client of that kind, and sends that vendor ID.
	// A gateway's children are the split-include networks; the other attributes
	// are a pool's, by number: 28672 is the banner, 28674 the default domain.
	CiscoUnity bool

	// DemandCookies makes the daemon answer each IKE_SA_INIT with a COOKIE
	// notify first, for 10 seconds after its start and after each
	// [Charon.DemandCookies].
	DemandCookies bool

	Charon   string // lines for the section charon of strongswan.conf
	Swanctl  string // lines for the top level of swanctl.conf
	Plugins  string // plugins to load besides the usual ones
	LogLevel int    // 0 for the default (1); 2 shows parsed payloads, 3 the octets
}

// StrongSwanConn is an IKE connection. Empty fields are left out of the
// configuration unless they say otherwise.
type StrongSwanConn struct {
	Name    string // "lab" if empty
	Version int    // 2 if 0

	Local, Remote     string // addresses; Remote: %any if empty
	LocalID, RemoteID string
	LocalAuth         string        // "psk" if empty and there are no certificates, else "pubkey"; as swanctl.conf has it: pubkey-sha256, eap-mschapv2 ...
	RemoteAuth        string        // like LocalAuth
	LocalCert         *testpki.Cert // which of Certs to use; not needed when there is one

	Proposals     string // such as aes128gcm16-prfsha256-x25519,aes128-sha256-modp2048
	Encap         bool   // force UDP encapsulation; always on with userspace ESP
	Fragmentation string // yes, accept, force, no
	MOBIKE        bool   // off if false
	VirtualIPs    string // addresses to ask for: 0.0.0.0, ::
	Pools         string // pools to give addresses from

	DPDDelay, RekeyTime, ReauthTime, OverTime time.Duration // RekeyTime < 0: never

	// For IKEv1. Hybrid authentication is LocalAuth "pubkey" and RemoteAuth "xauth"
	// at the gateway, and the reverse with XAuthUser at the client.
	Aggressive   bool
	XAuthUser    string // we are the user, with the password in EAP
	XAuthClients bool   // the peers prove a user of EAP besides themselves
	PushConfig   bool   // mode-config: the gateway sets, otherwise the client asks
	SendCert     string // always: also unasked
	DPDTimeout   time.Duration

	Extra, LocalExtra, RemoteExtra string // more lines for the sections
	More                           string // more subsections, such as remote-2 { ... }

	Children []StrongSwanChild // one with only its defaults if empty
}

// StrongSwanChild is a Child SA's configuration.
type StrongSwanChild struct {
	Name              string // "net" if empty
	LocalTS, RemoteTS string // "dynamic" if empty, as swanctl has it
	Proposals         string // such as aes128gcm16-x25519,aes128-sha256
	Mode              string // tunnel, transport
	StartAction       string // none, start, trap
	CloseAction       string
	DPDAction         string
	RekeyTime         time.Duration // < 0: never
	LifeTime          time.Duration
	RekeyBytes        int64
	Extra             string // more lines
}

// StrongSwanPool is an address pool.
type StrongSwanPool struct {
	Name, Addrs string
	Extra       string // attributes: dns = 10.2.0.53
}

// settings writes lines of the form "key = value", leaving out empty values.
type settings struct{ strings.Builder }

func (s *settings) open(section string) { fmt.Fprintf(s, "%s {\n", section) }
func (s *settings) close()              { s.WriteString("}\n") }
func (s *settings) raw(lines string)    { s.WriteString(lines + "\n") }
func (s *settings) set(key, value string) {
	if value != "" {
		fmt.Fprintf(s, "%s = %s\n", key, value)
	}
}

func (s *settings) seconds(key string, d time.Duration) {
	switch {
	case d < 0:
		s.set(key, "0s")
	case d > 0:
		s.set(key, fmt.Sprintf("%ds", max(1, int(d.Seconds()))))
	}
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// swanctlConf is the text of swanctl.conf.
func (c *StrongSwanConfig) swanctlConf() string {
	s := &settings{}
	conns := c.Conns
	if len(conns) == 0 {
		conns = []StrongSwanConn{{}}
	}
	s.open("connections")
	for _, conn := range conns {
		c.writeConn(s, conn)
	}
	if c.DemandCookies {
		s.raw(halfOpenConn)
	}
	s.close()

	s.open("secrets")
	if c.PSK != "" {
		s.raw("ike-all {\n secret = " + quote(c.PSK) + "\n}")
	}
	i := 0
	for _, kind := range []string{"ike", "eap", "xauth"} {
		secrets := c.Secrets
		if kind != "ike" {
			secrets = c.EAP
		}
		for id, secret := range secrets {
			s.raw(fmt.Sprintf("%s-%d {\n id = %s\n secret = %s\n}", kind, i, quote(id), quote(secret)))
			i++
		}
	}
	s.close()

	if len(c.Pools) > 0 {
		s.open("pools")
		for _, p := range c.Pools {
			s.open(p.Name)
			s.set("addrs", p.Addrs)
			s.raw(p.Extra)
			s.close()
		}
		s.close()
	}
	s.raw(c.Swanctl)
	return s.String()
}

func quote(s string) string { return `"` + s + `"` }

func (c *StrongSwanConfig) writeConn(s *settings, conn StrongSwanConn) {
	auth := "psk"
	if len(c.Certs) > 0 || len(c.CAs) > 0 {
		auth = "pubkey"
	}
	s.open(or(conn.Name, "lab"))
	version := conn.Version
	if version == 0 {
		version = 2
	}
	s.set("version", fmt.Sprint(version))
	s.set("local_addrs", conn.Local)
	s.set("remote_addrs", or(conn.Remote, "%any"))
	s.set("proposals", conn.Proposals)
	s.set("encap", yesNo(conn.Encap || !c.Kernel))
	s.set("mobike", yesNo(conn.MOBIKE))
	s.set("fragmentation", conn.Fragmentation)
	s.set("vips", conn.VirtualIPs)
	s.set("pools", conn.Pools)
	s.seconds("dpd_delay", conn.DPDDelay)
	s.seconds("rekey_time", conn.RekeyTime)
	s.seconds("reauth_time", conn.ReauthTime)
	s.seconds("over_time", conn.OverTime)
	if conn.Aggressive {
		s.set("aggressive", "yes")
	}
	if conn.PushConfig {
		s.set("pull", "no")
	}
	s.set("send_cert", conn.SendCert)
	s.seconds("dpd_timeout", conn.DPDTimeout)
	s.raw(conn.Extra)

	s.open("local")
	s.set("auth", or(conn.LocalAuth, auth))
	s.set("id", conn.LocalID)
	cert := conn.LocalCert
	if cert == nil && len(c.Certs) == 1 {
		cert = c.Certs[0]
	}
	if cert != nil && strings.HasPrefix(or(conn.LocalAuth, auth), "pubkey") {
		s.set("certs", certFile(cert))
	}
	s.raw(conn.LocalExtra)
	if conn.XAuthUser != "" && conn.LocalAuth != "xauth" {
		s.close()
		s.open("local-xauth")
		s.set("auth", "xauth")
	}
	s.set("xauth_id", conn.XAuthUser)
	s.close()
	s.open("remote")
	s.set("auth", or(conn.RemoteAuth, auth))
	s.set("id", conn.RemoteID)
	s.raw(conn.RemoteExtra)
	s.close()
	if conn.XAuthClients {
		s.open("remote-xauth")
		s.set("auth", "xauth")
		s.close()
	}
	s.raw(conn.More)

	children := conn.Children
	if len(children) == 0 {
		children = []StrongSwanChild{{}}
	}
	s.open("children")
	for _, ch := range children {
		s.open(or(ch.Name, "net"))
		s.set("local_ts", ch.LocalTS)
		s.set("remote_ts", ch.RemoteTS)
		s.set("esp_proposals", ch.Proposals)
		s.set("mode", ch.Mode)
		s.set("start_action", ch.StartAction)
		s.set("close_action", ch.CloseAction)
		s.set("dpd_action", ch.DPDAction)
		s.seconds("rekey_time", ch.RekeyTime)
		s.seconds("life_time", ch.LifeTime)
		if ch.RekeyBytes > 0 {
			s.set("rekey_bytes", fmt.Sprint(ch.RekeyBytes))
		}
		s.raw(ch.Extra)
		s.close()
	}
	s.close()
	s.close()
}

// The names of strongSwan's plugins in an order that works: kernel-libipsec
// must come before kernel-netlink, which then does addresses and routes only.
const strongSwanPlugins = "random nonce x509 revocation constraints pubkey pkcs1 pkcs8 pem openssl gmp curve25519 " +
	"aes sha1 sha2 md5 hmac kdf gcm ccm ctr cmac xcbc chapoly fips-prf drbg"

// strongswanConf is the text of strongswan.conf.
func (c *StrongSwanConfig) strongswanConf(dir string) string {
	s := &settings{}
	s.open("charon")
	kernel := "kernel-libipsec kernel-netlink"
	if c.Kernel {
		kernel = "kernel-netlink"
	}
	s.set("load", strings.Join([]string{strongSwanPlugins, kernel, "socket-default vici updown eap-identity",
		"eap-md5 eap-mschapv2 eap-gtc eap-tls xauth-generic unity counters attr", c.Plugins}, " "))
	if c.CiscoUnity {
		s.set("cisco_unity", "yes")
	}
	s.set("i_dont_care_about_security_and_use_aggressive_mode_psk", "yes")
	s.raw("plugins {\n vici {\n socket = unix://" + filepath.Join(dir, "vici") + "\n }\n}")
	s.raw(fmt.Sprintf("filelog {\n log {\n path = %s\n default = %d\n flush_line = yes\n time_format = %%H:%%M:%%S\n time_add_ms = yes\n }\n}",
		filepath.Join(dir, "log"), max(c.LogLevel, 1)))
	if c.DemandCookies {
		s.set("cookie_threshold", "1")
	}
	s.raw(c.Charon)
	s.close()
	s.raw("swanctl {\n load = pem pkcs1 pkcs8 x509 pubkey openssl random\n}")
	return s.String()
}
