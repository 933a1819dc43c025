//go:build linux

package lab

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/racoon3/racoon/internal/testhost"
	"github.com/racoon3/racoon/internal/testpki"
)

// A Charon is a running charon with its configuration loaded.
type Charon struct {
	*Process
	t testing.TB
}

// StartStrongSwan starts charon in ns and loads the configuration c. Its log is
// printed when the test fails.
func StartStrongSwan(t testing.TB, ns *Namespace, c StrongSwanConfig) *Charon {
	t.Helper()
	dir := tempDir(t)
	for name, content := range c.files(t) {
		writeFile(t, filepath.Join(dir, "swanctl", name), content, 0o600)
	}
	writeFile(t, filepath.Join(dir, "swanctl", "swanctl.conf"), c.swanctlConf(), 0o600)
	writeFile(t, filepath.Join(dir, "strongswan.conf"), c.strongswanConf(dir), 0o644)
	// Its PID file has a fixed name below /run.
	s := &Charon{t: t, Process: startProcess(t, ns, "strongSwan", dir,
		"mount -t tmpfs tmpfs /run; exec /usr/lib/ipsec/charon", "STRONGSWAN_CONF="+filepath.Join(dir, "strongswan.conf"))}
	s.awaitSocket(filepath.Join(dir, "vici"))
	s.must("--load-all", "--file", filepath.Join(dir, "swanctl", "swanctl.conf"))
	if c.DemandCookies {
		s.DemandCookies()
	}
	return s
}

// certFile is the name that a certificate has in swanctl's folders.
func certFile(c *testpki.Cert) string {
	return strings.NewReplacer("/", "_", "*", "_", " ", "_").Replace(c.Subject.CommonName) + ".pem"
}

// files are the certificates and keys, by their place in swanctl's folder.
func (c *StrongSwanConfig) files(t testing.TB) map[string]string {
	f := maps.Clone(c.Files)
	if f == nil {
		f = map[string]string{}
	}
	for _, cert := range c.Certs {
		f["x509/"+certFile(cert)] = string(testpki.EncodePEM(cert.Certificate))
		f["private/"+certFile(cert)] = string(cert.KeyPEM(t))
		for i, ca := range cert.Chain()[1:] {
			f[fmt.Sprintf("x509ca/chain-%d-%s", i, certFile(cert))] = string(testpki.EncodePEM(ca))
		}
	}
	for i, ca := range c.CAs {
		f[fmt.Sprintf("x509ca/root-%d.pem", i)] = string(ca.RootPEM())
	}
	return f
}

// Swanctl runs swanctl with the arguments against this daemon and returns what
// it printed.
func (s *Charon) Swanctl(ctx context.Context, args ...string) (string, error) {
	swanctl, err := program("swanctl")
	if err != nil {
		return "", err
	}
	return s.ns.exec(ctx, []string{"STRONGSWAN_CONF=" + filepath.Join(s.dir, "strongswan.conf"), "SWANCTL_DIR=" + filepath.Join(s.dir, "swanctl")}, "",
		swanctl, append(args, "--uri", "unix://"+filepath.Join(s.dir, "vici"))...)
}

func (s *Charon) must(args ...string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testhost.Patience)
	defer cancel()
	out, err := s.Swanctl(ctx, args...)
	if err != nil {
		s.t.Fatalf("lab: %v", err)
	}
	return out
}

// Initiate brings the child (such as "net") up, and its IKE SA where there is
// none. The error holds what charon said while it tried.
func (s *Charon) Initiate(child string) error {
	ctx, cancel := context.WithTimeout(context.Background(), testhost.Patience)
	defer cancel()
	_, err := s.Swanctl(ctx, "--initiate", "--child", child, "--timeout", strconv.Itoa(int(testhost.Patience.Seconds())-5))
	return err
}

// RekeyChild starts a rekey of the Child SAs of that name and does not wait for
// its end.
func (s *Charon) RekeyChild(name string) { s.t.Helper(); s.must("--rekey", "--child", name) }

// RekeyIKE starts a rekey of the IKE SAs of that name and does not wait for its end.
func (s *Charon) RekeyIKE(name string) { s.t.Helper(); s.must("--rekey", "--ike", name) }

// ReauthIKE starts a reauthentication of the IKE SAs of that name.
func (s *Charon) ReauthIKE(name string) {
	s.t.Helper()
	s.must("--rekey", "--ike", name, "--reauth")
}

// TerminateChild deletes the Child SAs of that name.
func (s *Charon) TerminateChild(name string) {
	s.t.Helper()
	s.must("--terminate", "--child", name)
}

// TerminateIKE deletes the IKE SAs of that name.
func (s *Charon) TerminateIKE(name string) { s.t.Helper(); s.must("--terminate", "--ike", name) }

// A StrongSwanSA is an IKE SA as charon shows it.
type StrongSwanSA struct {
	Name      string // of the connection
	UniqueID  int
	State     string // CONNECTING, ESTABLISHED, REKEYING, DELETING ...
	Initiator bool   // charon is the original initiator

	InitiatorSPI, ResponderSPI uint64
	LocalHost, RemoteHost      netip.AddrPort
	LocalID, RemoteID          string
	LocalVIPs, RemoteVIPs      []string
	Children                   []StrongSwanChildSA

	Fields map[string]string // everything else, such as encr-alg, dh-group, nat-remote
}

// A StrongSwanChildSA is a Child SA as charon shows it.
type StrongSwanChildSA struct {
	Name              string
	UniqueID          int
	State             string // INSTALLED, REKEYING, REKEYED, DELETING ...
	SPIIn, SPIOut     uint32
	BytesIn, BytesOut int64
	PacketsIn         int64
	PacketsOut        int64
	LocalTS, RemoteTS []string
	Fields            map[string]string // everything else, such as encr-alg, mode, encap
}

// SAs lists the IKE SAs.
func (s *Charon) SAs() []StrongSwanSA {
	s.t.Helper()
	return parseSAs(s.must("--list-sas", "--pretty"))
}

// WaitSAs waits until ok is true of the IKE SAs, and returns them; the test ends
// when that takes longer than timeout.
func (s *Charon) WaitSAs(timeout time.Duration, what string, ok func([]StrongSwanSA) bool) []StrongSwanSA {
	s.t.Helper()
	var sas []StrongSwanSA
	if !s.wait(timeout, func() bool { sas = s.SAs(); return ok(sas) }) {
		s.t.Fatalf("lab: strongSwan in %s after %v: not %s: %+v", s.ns.Name, timeout, what, sas)
	}
	return sas
}

// section is a node of swanctl's --pretty output.
type section struct {
	values   map[string]string
	lists    map[string][]string
	sections []namedSection
}

type namedSection struct {
	name string
	section
}

// parsePretty reads the lines of a section up to its closing brace, or to the
// end, and returns the lines behind it.
func parsePretty(lines []string) (sec section, rest []string) {
	sec.values, sec.lists = map[string]string{}, map[string][]string{}
	for len(lines) > 0 {
		line := strings.TrimSpace(lines[0])
		lines = lines[1:]
		if line == "}" {
			break
		}
		if name, ok := strings.CutSuffix(line, " {"); ok {
			child := namedSection{name: name}
			child.section, lines = parsePretty(lines)
			sec.sections = append(sec.sections, child)
			continue
		}
		key, value, ok := strings.Cut(line, " = ")
		if !ok {
			continue
		}
		if value != "[" {
			sec.values[key] = value
			continue
		}
		for len(lines) > 0 {
			item := strings.TrimSpace(lines[0])
			lines = lines[1:]
			if item == "]" {
				break
			}
			sec.lists[key] = append(sec.lists[key], item)
		}
	}
	return sec, lines
}

func (sec *section) child(name string) *section {
	for i := range sec.sections {
		if sec.sections[i].name == name {
			return &sec.sections[i].section
		}
	}
	return &section{}
}

// number takes a number in the given base out of the values; 0 if absent.
func (sec *section) number(key string, base int) uint64 {
	n, _ := strconv.ParseUint(sec.values[key], base, 64)
	return n
}

func (sec *section) addrPort(host, port string) netip.AddrPort {
	a, _ := netip.ParseAddr(sec.values[host])
	return netip.AddrPortFrom(a, uint16(sec.number(port, 10)))
}

func parseSAs(out string) (sas []StrongSwanSA) {
	top, _ := parsePretty(strings.Split(out, "\n"))
	for _, event := range top.sections {
		if event.name != "list-sa event" {
			continue
		}
		for _, ike := range event.sections {
			sa := StrongSwanSA{
				Name: ike.name, UniqueID: int(ike.number("uniqueid", 10)), State: ike.values["state"],
				Initiator:    ike.values["initiator"] == "yes",
				InitiatorSPI: ike.number("initiator-spi", 16), ResponderSPI: ike.number("responder-spi", 16),
				LocalHost: ike.addrPort("local-host", "local-port"), RemoteHost: ike.addrPort("remote-host", "remote-port"),
				LocalID: ike.values["local-id"], RemoteID: ike.values["remote-id"],
				LocalVIPs: ike.lists["local-vips"], RemoteVIPs: ike.lists["remote-vips"],
				Fields: ike.values,
			}
			for _, c := range ike.child("child-sas").sections {
				sa.Children = append(sa.Children, StrongSwanChildSA{
					Name: c.values["name"], UniqueID: int(c.number("uniqueid", 10)), State: c.values["state"],
					SPIIn: uint32(c.number("spi-in", 16)), SPIOut: uint32(c.number("spi-out", 16)),
					BytesIn: int64(c.number("bytes-in", 10)), BytesOut: int64(c.number("bytes-out", 10)),
					PacketsIn: int64(c.number("packets-in", 10)), PacketsOut: int64(c.number("packets-out", 10)),
					LocalTS: c.lists["local-ts"], RemoteTS: c.lists["remote-ts"],
					Fields: c.values,
				})
			}
			sas = append(sas, sa)
		}
	}
	return sas
}
