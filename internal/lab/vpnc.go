//go:build linux

package lab

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/racoon3/racoon/internal/testpki"
)

// VPNCConfig is what [StartVPNC] starts. Empty fields are left out of vpnc.conf.
type VPNCConfig struct {
	Gateway        string // address
	Group, Secret  string // the identity (KEY_ID) and its pre-shared key
	User, Password string // for XAuth

	// CA makes it hybrid authentication: the gateway's certificate, which must end
	// in CA's root, and XAuth. The secret is not used then, but vpnc wants one.
	CA *testpki.Cert

	DH   string // of phase 1: dh2 (vpnc's default), dh5, dh14 ...
	PFS  string // nopfs, dh14 ..., or server (vpnc's default): as the gateway says by mode-config
	NATT string // natt (vpnc's default), force-natt, none, cisco-udp

	Target string // the remote network it asks for in Quick Mode; 0.0.0.0/0.0.0.0 if empty

	Weak  bool   // also 3DES and MD5
	Extra string // more lines
	Debug int    // 2 if 0: messages and payloads; 3 with contents, 99 with secrets
}

// A CiscoClient is a running vpnc, an open Cisco client with an ESP of its own over a TUN
// device: it needs no IPsec of the kernel.
type CiscoClient struct {
	*Process
	t testing.TB
}

// vpncScript is what vpnc runs to set up the interface: it tells what it was
// called with in a file, and changes nothing but the namespace's addresses and
// routes. (The usual one writes to /etc/resolv.conf.)
const vpncScript = `#!/bin/sh -e
case $reason in
connect)
	ip link set dev "$TUNDEV" up mtu "${INTERNAL_IP4_MTU:-1390}"
	ip addr add "$INTERNAL_IP4_ADDRESS/32" dev "$TUNDEV"
	route() { ip route add "$1" dev "$TUNDEV" src "$INTERNAL_IP4_ADDRESS"; }
	[ "${CISCO_SPLIT_INC:-0}" != 0 ] || route default
	i=0
	while [ $i -lt "${CISCO_SPLIT_INC:-0}" ]; do
		eval "route \$CISCO_SPLIT_INC_${i}_ADDR/\$CISCO_SPLIT_INC_${i}_MASKLEN"
		i=$((i+1))
	done
	;;
disconnect)
	ip addr flush dev "$TUNDEV"
	;;
esac
env -0 >"$LAB_VPNC/env.new"
mv "$LAB_VPNC/env.new" "$LAB_VPNC/$reason"
`

// StartVPNC starts vpnc in ns and does not wait until it is connected; see
// [CiscoClient.Connected]. Stop lets it say goodbye to the gateway.
func StartVPNC(t testing.TB, ns *Namespace, c VPNCConfig) *CiscoClient {
	t.Helper()
	dir := tempDir(t)
	script, conf := filepath.Join(dir, "script"), filepath.Join(dir, "vpnc.conf")
	writeFile(t, script, vpncScript, 0o755)
	if c.CA != nil {
		writeFile(t, filepath.Join(dir, "ca.pem"), string(c.CA.RootPEM()), 0o644)
	}
	writeFile(t, conf, c.conf(dir, script), 0o600)
	vpnc, err := program("vpnc")
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	return &CiscoClient{t: t, Process: startProcess(t, ns, "vpnc", dir,
		fmt.Sprintf("exec stdbuf -oL %s --no-detach --non-inter --pid-file %s/pid %s", vpnc, dir, conf), "LAB_VPNC="+dir)}
}

// conf is the text of vpnc.conf.
func (c *VPNCConfig) conf(dir, script string) string {
	s := &strings.Builder{}
	set := func(key, value string) {
		if value != "" {
			fmt.Fprintf(s, "%s %s\n", key, value)
		}
	}
	set("IPSec gateway", c.Gateway)
	set("IPSec ID", c.Group)
	set("IPSec secret", or(c.Secret, "unused"))
	set("Xauth username", c.User)
	set("Xauth password", c.Password)
	if c.CA != nil {
		set("IKE Authmode", "hybrid")
		set("CA-File", filepath.Join(dir, "ca.pem"))
	}
	set("IKE DH Group", c.DH)
	set("Perfect Forward Secrecy", c.PFS)
	set("NAT Traversal Mode", c.NATT)
	set("IPSEC target network", c.Target)
	set("Script", script)
	set("Interface name", "vpnc0")
	debug := c.Debug
	if debug == 0 {
		debug = 2
	}
	set("Debug", strconv.Itoa(debug))
	if c.Weak {
		s.WriteString("Enable weak encryption\nEnable weak authentication\n")
	}
	s.WriteString(c.Extra + "\n")
	return s.String()
}

// VPNCSettings is what the gateway has told vpnc by mode-config.
type VPNCSettings struct {
	Address  netip.Addr
	Netmask  string
	DNS      []string
	WINS     []string
	Banner   string
	Domain   string         // the default one
	SplitDNS []string       // domains
	Split    []netip.Prefix // networks behind the gateway
	Exclude  []netip.Prefix // networks that are not to go there
	Env      map[string]string
}

// Connected waits until vpnc is connected and has set up its interface vpnc0
// with the address and with routes: to the networks of Split or for everything.
// The error tells what vpnc said when it has given up.
func (v *CiscoClient) Connected(timeout time.Duration) (VPNCSettings, error) {
	var b []byte
	if !v.wait(timeout, func() (ok bool) {
		var err error
		b, err = os.ReadFile(filepath.Join(v.dir, "connect"))
		return err == nil && strings.Contains(v.Log(), "VPNC started") // the script comes before Quick Mode
	}) {
		return VPNCSettings{}, fmt.Errorf("vpnc in %s is not connected after %v at most:\n%s", v.ns.Name, timeout, tail(v.Log(), 15))
	}
	env := map[string]string{}
	for variable := range strings.SplitSeq(string(b), "\x00") {
		if key, value, ok := strings.Cut(variable, "="); ok {
			env[key] = value
		}
	}
	s := VPNCSettings{
		Netmask: env["INTERNAL_IP4_NETMASK"],
		DNS:     strings.Fields(env["INTERNAL_IP4_DNS"]), WINS: strings.Fields(env["INTERNAL_IP4_NBNS"]),
		Banner: env["CISCO_BANNER"], Domain: env["CISCO_DEF_DOMAIN"],
		SplitDNS: strings.FieldsFunc(env["CISCO_SPLIT_DNS"], func(r rune) bool { return r == ',' || r == ' ' }),
		Split:    vpncNetworks(env, "CISCO_SPLIT_INC"), Exclude: vpncNetworks(env, "CISCO_SPLIT_EXC"),
		Env: env,
	}
	var err error
	if s.Address, err = netip.ParseAddr(env["INTERNAL_IP4_ADDRESS"]); err != nil {
		return s, fmt.Errorf("vpnc in %s has no address: %w", v.ns.Name, err)
	}
	return s, nil
}

// vpncNetworks reads a list of networks, which vpnc gives as a number of them and
// variables for each.
func vpncNetworks(env map[string]string, name string) (nets []netip.Prefix) {
	n, _ := strconv.Atoi(env[name])
	for i := range n {
		at := fmt.Sprintf("%s_%d_", name, i)
		a, err := netip.ParseAddr(env[at+"ADDR"])
		mask := net.ParseIP(env[at+"MASK"]).To4()
		if err == nil && mask != nil {
			ones, _ := net.IPMask(mask).Size()
			nets = append(nets, netip.PrefixFrom(a, ones))
		}
	}
	return nets
}
