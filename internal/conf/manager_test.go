package conf

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1"
	"github.com/racoon3/racoon/ikev2"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/internal/testpki"
	"github.com/racoon3/racoon/kink"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/spd"
)

// inDir writes files, for their owner alone, and loads racoon.toml of them.
func inDir(t testing.TB, files map[string]string) (*Config, string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	c, err := Load(filepath.Join(dir, "racoon.toml"), WithHost(testHost{}))
	require.NoError(t, err)
	return c, dir
}

// TestManagerFields: everything of a peer arrives.
func TestManagerFields(t *testing.T) {
	c, _ := inDir(t, map[string]string{"a.psk": "secret\n", "racoon.toml": `
[daemon]
listen = ["192.0.2.1:501", "192.0.2.1:4500"]
listen-natt = [":10000"]
workers = 3
event-buffer = 7
vendor-ids = ["text", "0x0102ff"]
[daemon.limits]
half-open = 11
cookie-threshold = 0
[peer.a]
versions = ["ikev1", "ikev2"]
remote = "192.0.2.2:1500"
remote-natt-port = 14500
remote-addresses = ["192.0.2.0/24"]
local-address = "192.0.2.1"
local-id = "a@example.org"
remote-id = "*.example.org"
psk-file = "a.psk"
proposals = ["aes256-sha256-modp2048"]
start = "always"
dead-action = "trap"
close-action = "clear"
backoff = "3s"
backoff-max = "4s"
unique = "never"
nat-traversal = "force"
fragmentation = "force"
fragment-size = 1000
childless = true
always-send-cert = true
make-before-break = true
[peer.a.signature]
remote-hashes = ["sha1"]
rsa-padding = "pkcs1"
bare-digital-signature = true
[peer.a.timing]
liveness = "off"
on-demand = true
rekey = "never"
reauth = "5h"
keepalive = "off"
retransmit-tries = 9
[peer.a.ikev1]
modes = ["aggressive", "main", "base"]
proposal-check = "exact"
volume = "1GiB"
generate-policy = "unique"
no-initial-contact = true
[peer.a.quirks]
one-pair-per-child = true
rekey-group-first = "modp2048"
[peer.a.child.net]
local = "10.1.0.0/16"
remote = "10.2.0.0/16"
protocol = "ah"
proposals = ["sha256-esn"]
start = "trap"
rekey = "never"
rekey-bytes = "1KiB"
lifetime-packets = 5
replay-window = 128
reqid = 12
priority = 13
tfc-padding = 99
df = "clear"
no-ecn = true
mark-out = "0x5/0xf"
interface-id = 77
security-context = "ctx"
`})
	cfg, err := c.Manager()
	require.NoError(t, err)
	require.Equal(t, []racoon.Listen{{Address: "192.0.2.1:501"}, {Address: "192.0.2.1:4500", NATT: true}, {Address: ":10000", NATT: true}}, cfg.Listen)
	require.Equal(t, 3, cfg.Workers)
	require.Equal(t, 7, cfg.EventBuffer)
	require.Equal(t, [][]byte{[]byte("text"), {1, 2, 0xff}}, cfg.VendorIDs)
	require.Equal(t, ike.Limits{HalfOpen: 11, CookieThreshold: -1, HalfOpenPerIP: 50, Children: 64, Queue: 64, Events: 65536}, cfg.Limits)

	require.Len(t, cfg.Peers, 1)
	p := cfg.Peers[0]
	require.Equal(t, ike.Secret("secret"), p.PSK)
	hashes := []message.HashAlgorithm{message.HashSHA256, message.HashSHA384, message.HashSHA512, message.HashIdentity}
	want := racoon.Peer{
		Name: "a", Remote: "192.0.2.2:1500", RemoteNATT: 14500, RemoteAddrs: []string{"192.0.2.0/24"}, LocalAddr: "192.0.2.1",
		LocalID: "a@example.org", RemoteID: "*.example.org", PSK: p.PSK,
		LocalSignature:  ikev2.SignatureOptions{Hashes: hashes, RSAPadding: ikev2.RSAPKCS1},
		RemoteSignature: ikev2.SignatureOptions{Hashes: []message.HashAlgorithm{message.HashSHA1}, MinRSABits: 2048, BareDigitalSignature: true},
		Proposals:       []string{"aes256-sha256-modp2048"}, Start: racoon.StartAlways, DeadAction: racoon.ActionTrap, CloseAction: racoon.ActionClear,
		Backoff: 3 * time.Second, BackoffMax: 4 * time.Second, Versions: []racoon.Version{racoon.IKEv1, racoon.IKEv2},
		IKEv1: racoon.IKEv1Options{
			Modes: []ikev1.Mode{ikev1.AggressiveMode, ikev1.MainMode, ikev1.BaseMode}, Check: ike.CheckExact, Volume: 1 << 30,
			GeneratePolicy: ikev1.GenerateUnique, Fragmentation: ikev1.FragmentForce, NoInitialContact: true, Signature: ikev1.SignatureOptions{MinRSABits: 2048},
		},
		Timing: ike.Timing{
			RetransmitBase: time.Second, RetransmitFactor: 1.8, RetransmitMax: 30 * time.Second, RetransmitTries: 9, RetransmitJitter: 0.1,
			Liveness: -1, OnDemand: true, HalfOpen: 30 * time.Second, Rekey: -1, Reauth: 5 * time.Hour, Jitter: 0.1, Keepalive: -1, DeleteWait: 30 * time.Second,
		},
		Unique: ike.UniqueNever, ForceEncap: true, FragmentSize: 1000, Childless: true, AlwaysSendCert: true, MakeBeforeBreak: true,
		Quirks: ikev2.Quirks{OnePairPerChild: true, RekeyGroupFirst: spd.KEMODP2048},
		Children: []racoon.Child{{
			Name: "net", Local: []string{"10.1.0.0/16"}, Remote: []string{"10.2.0.0/16"}, Protocol: spd.ProtoAH, Proposals: []string{"sha256-esn"},
			Start: racoon.StartTrap, Rekey: -1, Volume: spd.Lifetime{SoftBytes: 1024, HardPackets: 5}, ReplayWindow: 128, ReqID: 12, Priority: 13,
			Options: spd.Options{TFCPadding: 99, DF: spd.DFClear, NoECN: true, MarkOut: spd.Mark{Value: 5, Mask: 15}, InterfaceID: 77, SecurityCtx: "ctx"},
		}},
	}
	require.Equal(t, want, p)
}

// TestSecrets reads keys in all forms.
func TestSecrets(t *testing.T) {
	const peers = `
[peer.text]
remote = "192.0.2.2"
psk-file = "text.psk"
[peer.hex]
remote = "192.0.2.3"
psk-file = "hex.psk"
[peer.raw]
remote = "192.0.2.4"
psk-file = "text.psk"
psk-format = "raw"
[peer.table]
remote = "192.0.2.5"
psk-file = "table.txt"
psk-format = "table"
[peer.dir]
remote = "192.0.2.6"
[peer.general]
remote = "192.0.2.7"
[secrets]
psk-file = "psk.txt"
key-directory = "psk"
`
	c, _ := inDir(t, map[string]string{
		"racoon.toml": peers, "text.psk": "a secret\r\n", "hex.psk": "0x00ff\n", "table.txt": "192.0.2.5 of the table\n",
		"psk/dir.psk": "of racoon2\n", "psk.txt": "192.0.2.7 of racoon\n",
	})
	cfg, err := c.Manager()
	require.NoError(t, err)
	require.Equal(t, "a secret", string(cfg.Peers[0].PSK))
	require.Equal(t, "\x00\xff", string(cfg.Peers[1].PSK))
	require.Equal(t, "a secret\r\n", string(cfg.Peers[2].PSK))
	for i, want := range map[int]string{3: "of the table", 5: "of racoon"} {
		require.Nil(t, cfg.Peers[i].PSK)
		id, err := ike.ParseIdentity(cfg.Peers[i].Remote)
		require.NoError(t, err)
		cred, err := cfg.Peers[i].Credentials(context.Background(), ike.Identity{}, id)
		require.NoError(t, err)
		require.Equal(t, want, string(cred.PSK))
		require.Equal(t, ikev2.AuthPSK, cfg.Peers[i].LocalAuth)
		require.Equal(t, []ikev2.AuthMethod{ikev2.AuthPSK}, cfg.Peers[i].RemoteAuth)
	}
	require.Equal(t, "of racoon2\n", string(cfg.Peers[4].PSK))
}

// TestFileErrors: all that is wrong with files, each at its key; no secret is
// shown.
func TestFileErrors(t *testing.T) {
	c, _ := inDir(t, map[string]string{
		"racoon.toml": `
[peer.gone]
remote = "192.0.2.2"
psk-file = "gone.psk"
[peer.lines]
remote = "192.0.2.3"
psk-file = "lines.psk"
[peer.empty]
remote = "192.0.2.4"
psk-file = "empty.psk"
[peer.cert]
remote = "192.0.2.5"
certificate = "hunter2.pem"
key = "hunter2.pem"
ca = "gone.pem"
[peer.login]
versions = ["ikev1"]
remote = "192.0.2.6"
psk-file = "lines.psk"
psk-format = "raw"
users = "staff"
[users.staff]
file = "lines.psk"
`, "lines.psk": "hunter2\nhunter3\n", "empty.psk": "\n", "hunter2.pem": "hunter2",
	})
	_, err := c.Manager()
	require.ErrorIs(t, err, ErrConfig)
	var got []string
	for _, e := range err.(Errors) {
		got = append(got, strings.TrimPrefix(e.Error(), e.File)[1:])
	}
	for i, want := range []string{
		"4:12: peer.gone.psk-file: ", "7:12: peer.lines.psk-file: ", "10:12: peer.empty.psk-file: ", "14:7: peer.cert.key: ", "15:6: peer.cert.ca: ", "23:8: users.staff.file: ",
	} {
		require.True(t, strings.HasPrefix(got[i], want), got[i])
	}
	require.ErrorContains(t, err, `psk-format = "raw"`)
	require.ErrorContains(t, err, "no such file")
	require.NotContains(t, strings.ReplaceAll(err.Error(), "hunter2.pem", ""), "hunter")
	require.True(t, errors.Is(err, os.ErrNotExist))
}

func TestC26_SecretPermissions(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no permission bits")
	}
	ca := testpki.NewCA(t, "conf")
	host := ca.Host(t, testpki.P256, "gw.example.org")
	files := map[string]string{
		"a.psk": "secret\n", "psk.txt": "* secret\n", "users": "alice:{PLAIN}x\n", "gw.pem": string(host.PEM()), "gw.key": string(host.KeyPEM(t)), "ca.pem": string(ca.PEM()),
		"alice.password": "x\n",
	}
	const text = `
[peer.psk]
remote = "192.0.2.2"
psk-file = "a.psk"
[peer.table]
remote = "192.0.2.3"
[peer.cert]
remote = "192.0.2.4"
certificate = "gw.pem"
key = "gw.key"
ca = "ca.pem"
[peer.users]
versions = ["ikev1"]
remote-id = "*"
psk-file = "a.psk"
users = "staff"
[peer.user]
versions = ["ikev1"]
remote = "192.0.2.5"
psk-file = "a.psk"
user-name = "alice"
user-password-file = "alice.password"
[users.staff]
file = "users"
[secrets]
psk-file = "psk.txt"
`
	for name, key := range map[string]string{"a.psk": "psk-file", "psk.txt": "secrets.psk-file", "gw.key": "peer.cert.key", "users": "users.staff.file", "alice.password": "user-password-file"} {
		for _, mode := range []os.FileMode{0o604, 0o644, 0o602} {
			files["racoon.toml"] = text
			c, dir := inDir(t, files)
			require.NoError(t, os.Chmod(filepath.Join(dir, name), mode))
			_, err := c.Manager()
			require.ErrorIs(t, err, ike.ErrFilePermissions, "%s %o", name, mode)
			require.Contains(t, err.(Errors)[0].Key, key)
			require.ErrorContains(t, err, "chmod")
			require.ErrorContains(t, err, "insecure-permissions = true")

			files["racoon.toml"] = text + "insecure-permissions = true\n"
			c, dir = inDir(t, files)
			require.NoError(t, os.Chmod(filepath.Join(dir, name), mode))
			_, err = c.Manager()
			require.NoError(t, err, "%s %o", name, mode)
		}
	}
	files["racoon.toml"] = text
	c, dir := inDir(t, files)
	require.Empty(t, c.Warnings)
	require.NoError(t, os.Chmod(c.File, 0o664))
	writable, err := Load(c.File)
	require.NoError(t, err)
	require.Len(t, writable.Warnings, 1)
	require.ErrorContains(t, writable.Warnings, "chmod go-w")

	require.NoError(t, os.Chmod(filepath.Join(dir, "gw.key"), 0o640))
	_, err = c.Manager()
	require.ErrorIs(t, err, ike.ErrFilePermissions)
}

// TestStore: a reload of what has not changed changes nothing; what has changed
// does.
func TestStore(t *testing.T) {
	ca := testpki.NewCA(t, "conf")
	host := ca.Host(t, testpki.P256, "gw.example.org")
	const text = `
[peer.clients]
remote-id = "*"
certificate = "gw.pem"
key = "gw.key"
ca = "ca.pem"
pool = "clients"
[peer.gateway]
remote = "192.0.2.9"
certificate = "gw.pem"
key = "gw.key"
ca = "ca.pem"
request-address = true
[pool.clients]
addresses = "10.99.0.0/24"
`
	c, dir := inDir(t, map[string]string{"gw.pem": string(host.PEM()), "gw.key": string(host.KeyPEM(t)), "ca.pem": string(ca.PEM()), "racoon.toml": text})
	plane := spd.NewMemory(spd.MemoryConfig{})
	defer plane.Close()
	var s Store
	load := func(text string) racoon.Config {
		t.Helper()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "racoon.toml"), []byte(text), 0o600))
		c, err := Load(filepath.Join(dir, "racoon.toml"))
		require.NoError(t, err)
		cfg, err := s.Manager(c)
		require.NoError(t, err)
		cfg.DataPlane = plane
		return cfg
	}
	first := load(text)
	m, err := racoon.NewManager(first)
	require.NoError(t, err)
	defer m.Shutdown(context.Background())

	changes, err := m.Reload(t.Context(), load(text))
	require.NoError(t, err)
	require.Empty(t, changes)

	changes, err = m.Reload(t.Context(), load(strings.Replace(text, "10.99.0.0/24", "10.98.0.0/24", 1)))
	require.NoError(t, err)
	require.Len(t, changes, 1)
	require.Equal(t, "clients Assign", changes[0].Peer+" "+changes[0].Field)

	// A configuration that cannot be used leaves the store as it was.
	before := load(text)
	require.NoError(t, os.Rename(filepath.Join(dir, "gw.key"), filepath.Join(dir, "away.key")))
	_, err = s.Manager(c)
	require.Error(t, err)
	require.NoError(t, os.Rename(filepath.Join(dir, "away.key"), filepath.Join(dir, "gw.key")))
	after := load(text)
	require.Same(t, before.Peers[0].Assign, after.Peers[0].Assign)
	require.Same(t, before.Peers[0].Credential, after.Peers[0].Credential)

	// Other keys are another credential, though the configuration is the same.
	other := ca.Host(t, testpki.P256, "gw2.example.org")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "gw.pem"), other.PEM(), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "gw.key"), other.KeyPEM(t), 0o600))
	rotated := load(text)
	require.NotSame(t, after.Peers[0].Credential, rotated.Peers[0].Credential)
	require.Same(t, after.Peers[0].Trust, rotated.Peers[0].Trust)
	require.Same(t, rotated.Peers[0].Credential, rotated.Peers[1].Credential)
}

// TestKINKFields: everything of a KINK peer arrives, and what KINK needs is kept
// through reloads.
func TestKINKFields(t *testing.T) {
	const text = `
[kink]
principal = "kink/alpha.example.org"
realm = "EXAMPLE.ORG"
keytab = "alpha.keytab"
krb5-conf = ""
enctypes = ["aes256-sha1"]
clock-skew = "1m"
listen = ["192.0.2.1"]
[kink.kdcs]
"EXAMPLE.ORG" = ["kdc.example.org:88"]
[peer.beta]
protocol = "kink"
remote = "192.0.2.2:911"
local-address = "192.0.2.1"
start = "always"
[peer.beta.kink]
principal = "kink/beta.example.org"
proposal-check = "strict"
named-address = true
contribute-nonce = true
user-to-user = "request"
tickets = "ignored"
racoon2 = true
[peer.beta.child.hosts]
mode = "transport"
outer-ah = ["sha256"]
`
	c, _ := inDir(t, map[string]string{"racoon.toml": text})
	var s Store
	cfg, err := s.Manager(c, "kink")
	require.NoError(t, err, "the keytab may come later")
	require.Equal(t, []racoon.Listen{{Address: "192.0.2.1:910", KINK: true}}, cfg.Listen)
	require.Equal(t, "kink/alpha.example.org@EXAMPLE.ORG", cfg.KINK.Kerberos.Principal().String())
	require.Equal(t, []krb.EType{krb.AES256SHA1}, cfg.KINK.ETypes)
	require.Equal(t, time.Minute, cfg.KINK.Skew)
	require.Len(t, cfg.Peers, 1)
	require.Equal(t, racoon.KINKOptions{
		Principal: "kink/beta.example.org@EXAMPLE.ORG", Check: ike.CheckStrict, NamedAddress: true, ContributeNonce: true, UserToUser: kink.UserToUserRequest, Tickets: kink.TicketIgnored, Racoon2: true,
	}, cfg.Peers[0].KINK)
	require.Equal(t, []racoon.Version{racoon.KINK}, cfg.Peers[0].Versions)
	require.Equal(t, []string{"sha256"}, cfg.Peers[0].Children[0].OuterAH)
	require.Equal(t, "192.0.2.2:911", cfg.Peers[0].Remote)

	again, err := s.Manager(c, "kink")
	require.NoError(t, err)
	require.Same(t, cfg.KINK.Kerberos, again.KINK.Kerberos)

	all, err := c.Manager()
	require.NoError(t, err)
	require.Equal(t, []racoon.Listen{{Address: ":500"}, {Address: ":4500", NATT: true}, {Address: "192.0.2.1:910", KINK: true}}, all.Listen)
	plane := spd.NewMemory(spd.MemoryConfig{})
	defer plane.Close()
	all.DataPlane = plane
	m, err := racoon.NewManager(all)
	require.NoError(t, err)
	require.NoError(t, m.Shutdown(t.Context()))

	if runtime.GOOS != "windows" {
		require.NoError(t, os.WriteFile(c.Kink.Keytab, []byte("x"), 0o644))
		_, err = c.Manager()
		require.ErrorIs(t, err, ike.ErrFilePermissions)
		require.ErrorContains(t, err, "kink.keytab")
	}
}
