//go:build linux

package interop_test

import (
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"github.com/racoon3/racoon/internal/control"
	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/internal/testpki"
)

const (
	ikedSecret = "a secret of both sides\n"
	inTUN      = "\n[dataplane]\nkind = \"userspace\"\n"
)

// mirrored is the other side of site-to-site.toml and its like.
func mirrored(t *testing.T, text, remote string) string {
	return strings.NewReplacer("192.0.2.2", remote, "branch.example.org", remote, `local-id = "hq.example.org"`, `local-id = "branch.example.org"`, `remote-id = "branch.example.org"`, `remote-id = "hq.example.org"`,
		"10.1.0.0/16", "10.2.0.0/16", "10.2.0.0/16", "10.1.0.0/16").Replace(text)
}

// siteToSite starts the sample and its mirror image in userspace.
func siteToSite(t *testing.T) (a, b *iked) {
	lab.Require(t, lab.Root)
	sa, sb := lab.NewPair(t)
	a, b = newIked(t, sa), newIked(t, sb)
	text := sample(t, "site-to-site.toml")
	a.file("branch.psk", ikedSecret)
	b.file("branch.psk", ikedSecret)
	a.configure(text+inTUN, "192.0.2.2", sb.Outer.String())
	b.configure(mirrored(t, text, sa.Outer.String())+inTUN, "start = \"always\"", "start = \"trap\"")
	return a, b
}

// TestIkedSiteToSite: the sample and its mirror image; traffic, SIGHUP, an end in
// order that leaves the host as it was.
func TestIkedSiteToSite(t *testing.T) {
	t.Parallel()
	a, b := siteToSite(t)
	sa, sb := a.site, b.site
	before := untouched(sa)
	b.start()
	a.start()
	a.reach(sa.Inner, sb.Inner)
	sniffer := sa.Sniff()
	sb.MustPing(sb.Inner, sa.Inner)
	for _, p := range sniffer.Packets() {
		require.False(t, p.Src.Addr() == sa.Inner || p.Src.Addr() == sb.Inner, "in clear: %v", p)
	}
	c := a.client()
	sas, err := c.SAs(t.Context(), control.Select{}, true)
	require.NoError(t, err)
	require.Len(t, sas, 1)
	require.NotZero(t, sas[0].In.Packets)

	// A broken configuration, a peer more, and that one again less.
	good, err := os.ReadFile(a.path("racoon.toml"))
	require.NoError(t, err)
	a.configure(string(good), "psk-file", "psk-fil")
	a.signal(syscall.SIGHUP)
	a.await("what was before goes on", 1)
	require.Contains(t, a.log(), "peer.branch.psk-fil: is unknown")
	a.configure(string(good) + "\n[peer.other]\nremote = \"10.99.0.77\"\npsk-file = \"branch.psk\"\nlocal-id = \"hq.example.org\"\nstart = \"trap\"\n[peer.other.child.net]\nlocal = \"10.1.0.0/16\"\nremote = \"10.77.0.0/16\"\n")
	a.signal(syscall.SIGHUP)
	a.await("the configuration was reloaded", 1)
	require.Contains(t, sa.Run("ip", "route", "get", "10.77.0.1"), "dev ipsec0")
	a.file("racoon.toml", string(good))
	a.signal(syscall.SIGHUP)
	a.await("the configuration was reloaded", 2)
	_, err = sa.Exec(t.Context(), "ip", "route", "get", "10.77.0.1")
	require.Error(t, err)
	after, err := c.SAs(t.Context(), control.Select{}, false)
	require.NoError(t, err)
	require.Equal(t, sas[0].SPIIn, after[0].SPIIn, "the other peer's was not touched")
	sa.MustPing(sa.Inner, sb.Inner)

	a.stop()
	b.await("session down", 1)
	b.stop()
	require.Equal(t, before, untouched(sa))
}

// TestIkedKilled: without a kernel's IPsec nothing of a killed daemon is left;
// the next one says INITIAL_CONTACT, so that the peer forgets the old session.
func TestIkedKilled(t *testing.T) {
	t.Parallel()
	a, b := siteToSite(t)
	b.start()
	a.start("-p", a.path("pid"))
	a.reach(a.site.Inner, b.site.Inner)
	a.kill()
	a.start("-p", a.path("pid"))
	a.reach(a.site.Inner, b.site.Inner)
	b.await("session down", 1)
	require.Contains(t, b.log(), "reason=replaced")
	sessions, err := b.client().Sessions(t.Context(), control.Select{}, false)
	require.NoError(t, err)
	require.Len(t, sessions, 1)
	a.stop()
}

// pki writes the keys that the samples name.
func pki(t *testing.T, ca *testpki.Cert, d *iked, names ...string) {
	d.file("ca.pem", string(ca.PEM()))
	for _, n := range names {
		c := ca.Host(t, testpki.RSA2048, n+".example.org")
		if n == "alice" {
			c = ca.Host(t, testpki.RSA2048, "alice@example.org")
		}
		d.file(n+".pem", string(c.PEM()))
		d.file(n+".key", string(c.KeyPEM(t)))
	}
}

// withUsers writes the files of users and passwords.
func withUsers(t *testing.T, gateway, client *iked) {
	hash, err := bcrypt.GenerateFromPassword([]byte("open sesame"), bcrypt.MinCost)
	require.NoError(t, err)
	gateway.file("users", "alice:"+string(hash)+":staff\n")
	client.file("alice.password", "open sesame\n")
	client.file("psk.txt", "alice open sesame\n")
	for _, d := range []*iked{gateway, client} {
		d.file("staff.psk", "the key of the group\n")
	}
}

// TestIkedRoadWarriors: each sample of a gateway with that of its client: with
// certificates (IKEv2), group key and user, hybrid, certificates and user (IKEv1).
func TestIkedRoadWarriors(t *testing.T) {
	for _, c := range []struct {
		gateway, client string
		address         string
		replace         []string
	}{
		{gateway: "road-warrior-gateway.toml", client: "road-warrior-client.toml", address: "10.99.0."},
		{gateway: "xauth-gateway.toml", client: "xauth-client.toml", address: "10.98.0.7"},
		{gateway: "hybrid-gateway.toml", client: "hybrid-client.toml", address: "10.99.0."},
		{gateway: "xauth-certificates-gateway.toml", client: "xauth-certificates-client.toml", address: "10.99.0."},
	} {
		t.Run(strings.TrimSuffix(c.gateway, ".toml"), func(t *testing.T) {
			t.Parallel()
			lab.Require(t, lab.Root)
			sa, sb := lab.NewPair(t)
			gateway, client := newIked(t, sb), newIked(t, sa)
			ca := testpki.NewCA(t, "iked")
			pki(t, ca, gateway, "gw", "vpn")
			pki(t, ca, client, "alice")
			withUsers(t, gateway, client)
			// The lab's outer network is 10.99.0.0/24, the network behind the gateway 10.2.0.0/24.
			inLab := strings.NewReplacer("10.99.", "10.98.", "10.1.", "10.2.", "gw.pem", "vpn.pem", "gw.key", "vpn.key", "O=Example", "O=lab").Replace
			gateway.sampleHooks()
			gateway.configure(inLab(sample(t, c.gateway)) + inTUN)
			// The sample scripts are for a kernel's IPsec (TestIkedKernelSamples). Here
			// iked sets address and routes itself, and the scripts write down what they
			// are told.
			client.recordHooks("phase1-up", "phase1-down")
			text := inLab(sample(t, c.client))
			client.configure(text+inTUN, `remote = "vpn.example.org"`, "remote = \""+sb.Outer.String()+"\"\nremote-id = \"vpn.example.org\"")
			gateway.start()
			client.start()
			client.await(`msg="child up"`, 1)
			gateway.await(`msg="child up"`, 1) // a message later, in IKEv1
			sessions, err := gateway.client().Sessions(t.Context(), control.Select{}, false)
			require.NoError(t, err)
			require.Len(t, sessions, 1)
			own := sessions[0].Children[0].RemoteTS[0]
			own, _, _ = strings.Cut(own, "/")
			address, err := netip.ParseAddr(own)
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(own, "10.98.0."), own)
			client.reach(address, sb.Inner)
			sb.MustPing(sb.Inner, address)
			client.stop()
			gateway.await("session down", 1)
			gateway.stop()
			if strings.Contains(text, "phase1-up") {
				racoonsVariables(t, client, gateway)
			}
			if strings.Contains(sample(t, c.gateway), "log-sessions") {
				log := readFile(t, gateway.path("racoon-sessions.log"))
				require.Regexp(t, `^\S+Z session-up peer=roadwarriors id=alice@example.org user=alice address=\S*\n\S+Z session-down .* user=alice address=10.98.0.1/32\n`, log)
			}
		})
	}
}

// racoonsVariables checks what the scripts of xauth-client.toml were told, by
// racoon's names.
func racoonsVariables(t *testing.T, client, gateway *iked) {
	up, down := client.recorded("phase1_up"), client.recorded("phase1_down")
	for name, value := range map[string]string{
		"LOCAL_ADDR": client.site.Outer.String(), "LOCAL_PORT": "4500", "REMOTE_ADDR": gateway.site.Outer.String(), "REMOTE_PORT": "4500", "REMOTE_ID": "vpn.example.org",
		"INTERNAL_ADDR4": "10.98.0.7", "INTERNAL_NETMASK4": "255.255.255.255", "INTERNAL_CIDR4": "32", "INTERNAL_MASK4": "255.255.255.255",
		"INTERNAL_DNS4": "10.2.0.53", "INTERNAL_DNS4_LIST": "10.2.0.53 10.2.0.54", "INTERNAL_WINS4": "10.2.0.54", "INTERNAL_WINS4_LIST": "10.2.0.54",
		"DEFAULT_DOMAIN": "corp.example.org", "INTERNAL_SPLITDNS_DOMAINS": "corp.example.org",
		"SPLIT_INCLUDE": "10.2.0.0/255.255.0.0", "SPLIT_INCLUDE_CIDR": "10.2.0.0/16",
		"RACOON_PEER": "vpn", "RACOON_VERSION": "IKEv1", "RACOON_BANNER": "Authorized use only.",
	} {
		require.Equal(t, value, up[name], name)
		require.Equal(t, value, down[name], name)
	}
	require.Regexp(t, "^[0-9a-f]{16}:[0-9a-f]{16}$", up["IKE_COOKIE"])
	require.Equal(t, up["IKE_COOKIE"], down["IKE_COOKIE"])
	require.Equal(t, "session-up", up["RACOON_EVENT"])
	require.Equal(t, "session-down", down["RACOON_EVENT"])
	for _, secret := range []string{"open sesame", "the key of the group"} {
		require.NotContains(t, up, secret)
	}
}

// TestIkedStrongSwan: the sample for two sites, and strongSwan as the branch.
func TestIkedStrongSwan(t *testing.T) {
	t.Parallel()
	lab.Require(t, lab.Root, lab.StrongSwan)
	sa, sb := lab.NewPair(t)
	swan := lab.StartStrongSwan(t, sb.Namespace, lab.StrongSwanConfig{
		PSK: strings.TrimSpace(ikedSecret),
		Conns: []lab.StrongSwanConn{{
			Local: sb.Outer.String(), LocalID: "branch.example.org", RemoteID: "hq.example.org", Proposals: "aes256gcm16-prfsha384-x25519,aes128gcm16-prfsha256-x25519",
			Children: []lab.StrongSwanChild{{LocalTS: "10.2.0.0/16", RemoteTS: "10.1.0.0/16", Proposals: "aes256gcm16,aes128gcm16"}},
		}},
	})
	a := newIked(t, sa)
	a.file("branch.psk", ikedSecret)
	a.configure(sample(t, "site-to-site.toml")+inTUN, "192.0.2.2", sb.Outer.String())
	a.start()
	a.reach(sa.Inner, sb.Inner)
	_, err := a.client().Rekey(t.Context(), control.RekeyRequest{Select: control.Select{Child: "net"}})
	require.NoError(t, err)
	a.reach(sa.Inner, sb.Inner)
	a.stop()
	swan.WaitSAs(ikedPatience, "none", func(l []lab.StrongSwanSA) bool { return len(l) == 0 })
}

// TestIkedUserspaceSample: the sample with ESP in the daemon: an address on the
// device, and sockets with a mark.
func TestIkedUserspaceSample(t *testing.T) {
	t.Parallel()
	lab.Require(t, lab.Root)
	sa, sb := lab.NewPair(t)
	a, b := newIked(t, sa), newIked(t, sb)
	a.file("branch.psk", ikedSecret)
	b.file("branch.psk", ikedSecret)
	text := sample(t, "userspace.toml")
	b.configure(strings.NewReplacer("10.1.0.1/16", "10.2.0.9/32").Replace(mirrored(t, text, sa.Outer.String())), "start = \"always\"", "start = \"none\"\nremote-id = \"hq.example.org\"")
	a.configure(text, `remote = "branch.example.org"`, "remote = \""+sb.Outer.String()+"\"\nremote-id = \"branch.example.org\"", "10.1.0.1/16", "10.1.0.9/32")
	b.start()
	a.start()
	require.Contains(t, sa.Run("ip", "addr", "show", "vpn0"), "10.1.0.9/32")
	a.reach(netip.MustParseAddr("10.1.0.9"), netip.MustParseAddr("10.2.0.9"))
	a.stop()
	b.stop()
}

// TestIkedCertificates: the sample for sites with certificates, with a macro for
// the own address and revocation lists that must be there. A packet calls the
// branch; once it is on the list, it is refused.
func TestIkedCertificates(t *testing.T) {
	t.Parallel()
	lab.Require(t, lab.Root)
	sa, sb := lab.NewPair(t)
	a, b := newIked(t, sa), newIked(t, sb)
	ca := testpki.NewCA(t, "iked")
	pki(t, ca, a, "hq")
	branch := ca.Host(t, testpki.RSA2048, "zurich.example.org")
	b.file("branch.pem", string(branch.PEM()))
	b.file("branch.key", string(branch.KeyPEM(t)))
	b.file("ca.pem", string(ca.PEM()))
	current := func() string { return string(ca.CRLAt(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour)).Raw) }
	a.file("ca.crl", current())
	text := strings.NewReplacer("10.0.0.0/16", "10.1.0.0/16", "10.0.0.7", "10.1.0.7", "10.1.0.0/16", "10.2.0.0/16", "10.2.0.0/16", "10.7.0.0/16",
		"interface4:eth0", "interface4:"+sa.Device, `remote = "zurich.example.org"`, "remote = \""+sb.Outer.String()+"\"\nremote-id = \"zurich.example.org\"",
		`remote = "geneva.example.org"`, "remote = \"10.99.0.77\"\nremote-id = \"geneva.example.org\"").Replace(sample(t, "site-to-site-certificates.toml"))
	a.configure(text + inTUN)
	b.configure("[peer.hq]\nremote-id = \"hq.example.org\"\ncertificate = \"branch.pem\"\nkey = \"branch.key\"\nca = \"ca.pem\"\n[peer.hq.child.net]\nlocal = \"10.2.0.0/16\"\nremote = \"10.1.0.0/16\"\n" + inTUN)
	b.start()
	a.start()
	require.Contains(t, a.log(), "local="+sa.Outer.String()+":500")
	a.reach(sa.Inner, sb.Inner)

	ca.Revoke(branch, 1)
	a.file("ca.crl", current())
	a.signal(syscall.SIGHUP)
	a.await("the configuration was reloaded", 1)
	a.await("peer=zurich child=\"\" field=Trust effect=\"at reauthentication\" sessions=1", 1)
	_, err := a.client().Delete(t.Context(), control.Select{Peer: "zurich"})
	require.NoError(t, err)
	_, err = a.client().Establish(t.Context(), control.EstablishRequest{Peer: "zurich", Wait: true})
	require.ErrorContains(t, err, "revoked")
	a.stop()
	b.stop()
}
