package conf

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// sound is a configuration without a mistake; seeded ones are put into it.
const sound = `[daemon]
listen = [":500"]
#daemon

[secrets]
#secrets

[peer.office]
remote = "192.0.2.2"
local-id = "hq.example.org"
remote-id = "office.example.org"
psk-file = "office.psk"
#peer

[peer.office.child.net]
local = "10.1.0.0/16"
remote = "10.2.0.0/16"
#child

[peer.clients]
remote-id = "*"
certificate = "gw.pem"
key = "gw.key"
ca = "ca.pem"
pool = "clients"
#clients

[pool.clients]
addresses = "10.99.0.0/24"
#pool

#end
`

// A mistake is put in place of a line of sound. The error has to be at that
// line (plus line), for that key, and to say what is wrong and what to do.
type mistake struct {
	name  string
	line  string // of sound, which is replaced
	with  string
	plus  int // the error's line is so many after the first of with
	key   string
	words []string // of the error
}

var mistakes = []mistake{
	// syntax
	{"no quotes", "#peer", `start = always`, 0, "", []string{`strings have quotes: start = "always"`}},
	{"racoon's boolean", "#peer", `childless = yes`, 0, "", []string{"childless = true"}},
	{"racoon's braces", "#end", `remote anonymous {`, 0, "", []string{"sections are written [peer.NAME]"}},
	{"racoon's semicolon", "#peer", `start = "always";`, 0, "", []string{"do not end in a semicolon"}},
	{"unclosed string", "#peer", `start = "always`, 0, "", []string{"no closing quote"}},
	{"unclosed header", "#end", `[peer.x`, 0, "", []string{"a section header ends in ]"}},
	{"bare address", "#peer", `local-address = 192.0.2.1`, 0, "", []string{`quotes: local-address = "192.0.2.1"`}},
	{"key twice", "#peer", `remote = "192.0.2.3"`, 0, "peer.office.remote", []string{"is there twice, first at line 9", "remove one"}},
	{"section twice", "#end", "[peer.office]\nstart = \"trap\"", 0, "peer.office", []string{"is there twice, first at line 8"}},
	{"list of tables", "#end", "[[peer]]\nname = \"x\"", 0, "peer", []string{"[peer.NAME]"}},

	// unknown keys
	{"misspelt key", "#peer", `remote-adresses = ["192.0.2.0/24"]`, 0, "peer.office.remote-adresses", []string{"unknown", `did you mean "remote-addresses"?`}},
	{"underscore", "#peer", `remote_natt_port = 4501`, 0, "peer.office.remote_natt_port", []string{`did you mean "remote-natt-port"?`}},
	{"racoon's key", "#peer", `my_identifier = "fqdn"`, 0, "peer.office.my_identifier", []string{"is written local-id"}},
	{"racoon2's key", "#peer", `kmp_enc_alg = "aes"`, 0, "peer.office.kmp_enc_alg", []string{"is written proposals"}},
	{"ipsec.conf's key", "#peer", `rightsubnet = "10.2.0.0/16"`, 0, "peer.office.rightsubnet", []string{"remote of the Child SA"}},
	{"other section's key", "#daemon", `reqid = 7`, 0, "daemon.reqid", []string{"belongs into [peer.NAME.child.NAME]"}},
	{"inline secret", "#peer", `psk = "hunter2"`, 0, "peer.office.psk", []string{"psk-file", "kept in files"}},
	{"misspelt section", "#end", "[pools.x]\naddresses = \"10.98.0.0/24\"", 0, "pools", []string{"[pool.NAME]"}},
	{"misspelt subsection", "#end", "[peer.office.timming]\nrekey = \"1h\"", 0, "peer.office.timming", []string{`did you mean "timing"?`}},

	// types
	{"number for string", "#peer", `local-address = 5`, 0, "peer.office.local-address", []string{"an integer where a string is needed", "quotes"}},
	{"string for number", "#daemon", `workers = "4"`, 0, "daemon.workers", []string{"a string where an integer is needed", "without quotes"}},
	{"string for boolean", "#peer", `childless = "yes"`, 0, "peer.office.childless", []string{"true or false", "childless = true"}},
	{"number for list", "#peer", `remote-addresses = 4`, 0, "peer.office.remote-addresses", []string{"a list of strings"}},
	{"number in list", "#peer", `proposals = ["aes256-sha256-modp2048", 14]`, 0, "peer.office.proposals[1]", []string{"an integer where a string is needed"}},
	{"value for section", "#peer", `timing = "1h"`, 0, "peer.office.timing", []string{"a table is needed", "[peer.office.timing]"}},
	{"time without unit", "#child", `rekey = 3600`, 0, "peer.office.child.net.rekey", []string{`write the unit: "3600s"`}},
	{"no time", "#child", `rekey = "8 hours"`, 0, "peer.office.child.net.rekey", []string{"is not a time span", `"8h"`}},
	{"cannot be off", "#end", "[hooks]\ntimeout = \"never\"", 1, "hooks.timeout", []string{"it cannot be switched off"}},
	{"racoon's size", "#child", `rekey-bytes = "4GB"`, 0, "peer.office.child.net.rekey-bytes", []string{"is not a size", `"4GiB"`}},
	{"size without unit", "#child", `rekey-bytes = 4294967296`, 0, "peer.office.child.net.rekey-bytes", []string{`"4294967296B"`}},
	{"out of range", "#daemon", `workers = 1000`, 0, "daemon.workers", []string{"out of range", "use 0 to 64"}},
	{"too little", "#end", "[peer.office.timing]\nliveness = \"1ms\"", 1, "peer.office.timing.liveness", []string{"too little", "1s or more"}},
	{"misspelt word", "#peer", `start = "allways"`, 0, "peer.office.start", []string{`"none", "trap" or "always"`, `did you mean "always"?`}},
	{"other program's word", "#peer", `versions = ["v2"]`, 0, "peer.office.versions[0]", []string{`write "ikev2"`}},
	{"word twice", "#peer", `versions = ["ikev2", "ikev2"]`, 0, "peer.office.versions[1]", []string{"is there twice"}},
	{"no mark", "#child", `mark-in = "0x1ff/0xff"`, 0, "peer.office.child.net.mark-in", []string{"bits outside its mask", `"0x10/0xff"`}},
	{"bad name", "#end", "[pool.\"../x\"]\naddresses = \"10.98.0.0/24\"", 0, `pool."../x"`, []string{"cannot be used", "use letters, digits"}},

	// macros, includes and inheritance
	{"unknown macro", "#peer", `local-address = "${wan}"`, 0, "peer.office.local-address", []string{"${wan}", "define it in [macros]"}},
	{"misspelt macro", "#peer", `local-address = "${interface5:eth1}"`, 0, "peer.office.local-address", []string{"did you mean ${interface:eth1}?"}},
	{"unclosed macro", "#peer", `local-address = "${wan"`, 0, "peer.office.local-address", []string{"without }"}},
	{"no such interface", "#peer", `local-address = "${interface4:eth9}"`, 0, "peer.office.local-address", []string{"no such interface", "eth0"}},
	{"several addresses", "#peer", `local-address = "${interface:eth0}"`, 0, "peer.office.local-address", []string{"stands for 2 values where one is needed", "interface4"}},
	{"macro of itself", "#end", "[macros]\na = \"x${a}\"", 1, "macros.a", []string{"is defined by itself"}},
	{"file that is not there", "[daemon]", "include = [\"gone.toml\"]\n[daemon]", 0, "include[0]", []string{"gone.toml cannot be read", "create it"}},
	{"heir of nobody", "#peer", `inherits = "clint"`, 0, "peer.office.inherits", []string{`neither a template nor a peer "clint"`, `did you mean "clients"?`}},
	{"circle", "#peer", "inherits = \"office\"", 0, "peer.office.inherits", []string{"leads back to itself"}},

	// the daemon
	{"name to listen on", "#daemon", `listen-natt = ["gw.example.org:4500"]`, 0, "daemon.listen-natt[0]", []string{"not an IP address", "names are not looked up"}},
	{"port", "#daemon", `listen-natt = ["192.0.2.1:99999"]`, 0, "daemon.listen-natt[0]", []string{`"99999", which is not a port`}},
	{"socket twice", "#daemon", `listen-natt = [":500"]`, 0, "daemon.listen-natt[0]", []string{"is in listen too"}},
	{"group alone", "#daemon", `group = "racoon"`, 0, "daemon.group", []string{"without user"}},
	{"mode", "#end", "[control]\nmode = \"rw-------\"", 1, "control.mode", []string{"octal", `"0600"`}},
	{"interface without number", "#end", "[interface.ipsec0]\nmtu = 1400", 0, "interface.ipsec0.interface-id", []string{"is missing", "interface-id = 1"}},
	{"same interface number", "#end", "[interface.a]\ninterface-id = 1\n[interface.b]\ninterface-id = 1", 3, "interface.b.interface-id", []string{"[interface.a]", "another number"}},
	{"interface without xfrm", "#end", "[dataplane]\nkind = \"pfkey\"\n[interface.a]\ninterface-id = 1", 2, "interface.a.kind", []string{"needs the data plane xfrm"}},
	{"capture of nobody", "#end", "[capture]\npeers = [\"offce\"]", 1, "capture.peers[0]", []string{`did you mean "office"?`}},

	// who is who
	{"no authentication", `psk-file = "office.psk"`, `start = "trap"`, -4, "peer.office.psk-file", []string{"neither side has anything to prove its identity with", "certificate, key and ca"}},
	{"key and certificate", "#clients", `psk-file = "x.psk"`, 0, "peer.clients.psk-file", []string{"both sides would sign", "remove it"}},
	{"certificate without key", `key = "gw.key"`, `start = "none"`, -1, "peer.clients.certificate", []string{"write key"}},
	{"certificate without authority", `ca = "ca.pem"`, `start = "none"`, -4, "peer.clients.ca", []string{"nothing says how the peer proves its identity", `ca = ["ca.pem"]`}},
	{"authority without certificate", "#end", "[peer.x]\nremote = \"192.0.2.9\"\nca = \"ca.pem\"", 0, "peer.x.key", []string{"this side has nothing to prove its identity with"}},
	{"signature without key", "#peer", `local-auth = "signature"`, 0, "peer.office.local-auth", []string{"no key to sign with"}},
	{"nobody's identity", `remote-id = "*"`, `start = "none"`, -1, "peer.clients.remote-id", []string{"nothing says who the peer must be", `"*"`}},
	{"bad identity", `local-id = "hq.example.org"`, `local-id = "C=CH, CN"`, 0, "peer.office.local-id", []string{"not an identity"}},
	{"trust without authority", "#end", "[peer.office.trust]\nrevocation = \"strict\"", 1, "peer.office.trust.revocation", []string{"no certificate of the peer is accepted"}},
	{"twins", "#end", "[peer.twin]\nremote = \"192.0.2.2\"\nlocal-id = \"hq.example.org\"\nremote-id = \"office.example.org\"\npsk-file = \"twin.psk\"", 3, "peer.twin.remote-id", []string{"twin of [peer.office]"}},

	// peers
	{"remote is a network", `remote = "192.0.2.2"`, `remote = "192.0.2.0/24"`, 0, "peer.office.remote", []string{"is a network", "remote-addresses"}},
	{"mistyped address", `remote = "192.0.2.2"`, `remote = "192.0.2.256"`, 0, "peer.office.remote", []string{"neither a host name nor an address"}},
	{"other family", "#peer", `local-address = "2001:db8::1"`, 0, "peer.office.local-address", []string{"cannot be reached", "same family"}},
	{"bits beyond the length", "#peer", `remote-addresses = ["192.0.2.1/24"]`, 0, "peer.office.remote-addresses[0]", []string{`"192.0.2.0/24" for the network`}},
	{"start without remote", "#clients", `start = "always"`, 0, "peer.clients.start", []string{"nothing says where the peer is"}},
	{"restart without remote", "#clients", `dead-action = "restart"`, 0, "peer.clients.dead-action", []string{"cannot be called", "clear"}},
	{"unknown algorithm", "#peer", `proposals = ["aes257-sha256-modp2048"]`, 0, "peer.office.proposals[0]", []string{`unknown algorithm "aes257"`, `did you mean "aes256"`}},
	{"algorithm of ESP", "#peer", `proposals = ["aes256gcm16-esn"]`, 0, "peer.office.proposals[0]", []string{`"esn" cannot be used`}},
	{"no group", "#peer", `proposals = ["aes256-sha256"]`, 0, "peer.office.proposals[0]", []string{"key exchange"}},
	{"IKEv1 option", "#end", "[peer.office.ikev1]\nmodes = [\"aggressive\"]", 1, "peer.office.ikev1.modes", []string{"has no effect", `add "ikev1" to versions`}},
	{"users with IKEv2", "#clients", "users = \"staff\"\n[users.staff]\nfile = \"users\"", 0, "peer.clients.users", []string{`versions = ["ikev1"]`}},
	{"users that are not there", "#clients", `users = "staff"`, 0, "peer.clients.users", []string{"names [users.staff], which is not there"}},
	{"pool that is not there", `pool = "clients"`, `pool = "client"`, 0, "peer.clients.pool", []string{"names [pool.client]", `did you mean "clients"?`}},
	{"gateway and client", "#clients", `request-address = true`, 0, "peer.clients.request-address", []string{"is what a client does", "remove one"}},
	{"password without user", "#peer", `user-password-file = "p"`, 0, "peer.office.user-password-file", []string{"without user-name"}},
	{"lifetime before rekey", "#end", "[peer.office.timing]\nrekey = \"8h\"\nlifetime = \"4h\"", 2, "peer.office.timing.lifetime", []string{"before it gets new keys", "longer than rekey"}},
	{"backoff", "#peer", `backoff = "10m"`, 0, "peer.office.backoff", []string{"less than backoff-max"}},
	{"forced fragments", "#peer", `fragmentation = "force"`, 0, "peer.office.fragmentation", []string{"IKEv1 alone", `"on"`}},

	{"cipher that IKEv1 lacks", "#peer", "versions = [\"ikev1\"]\nproposals = [\"aes256gcm16-prfsha256-modp2048\"]", 1, "peer.office.proposals", []string{"no cipher that IKEv1 has", "AES-CBC"}},
	{"method without key", "#peer", "versions = [\"ikev1\"]\nikev1.methods = [\"rsa\"]", 1, "peer.office.ikev1.methods[0]", []string{"no key to sign with", "certificate and key"}},
	{"method of nobody", "#peer", "versions = [\"ikev1\"]\nstart = \"trap\"\nikev1.methods = [\"xauth-psk\"]", 2, "peer.office.ikev1.methods[0]", []string{"nobody logs in", "user-name"}},

	// Child SAs
	{"mixed families", `remote = "10.2.0.0/16"`, `remote = "2001:db8:2::/48"`, 0, "peer.office.child.net.remote", []string{"address family", "same address family"}},
	{"mixed protocols", "#child", "[peer.office.child.two]\nlocal = \"10.1.0.0/16[udp]\"\nremote = \"10.2.0.0/16[tcp]\"", 2, "peer.office.child.two.remote", []string{"protocol"}},
	{"no selector", `local = "10.1.0.0/16"`, `local = "10.1.0.0/33"`, 0, "peer.office.child.net.local", []string{"not a traffic selector"}},
	{"name as selector", `local = "10.1.0.0/16"`, `local = ["www.example.org"]`, 0, "peer.office.child.net.local[0]", []string{"names are for [policy.NAME]"}},
	{"transport of networks", "#child", `mode = "transport"`, -2, "peer.office.child.net.local", []string{"transport mode is between two hosts", `mode = "tunnel"`}},
	{"trap for anything", "#child", "start = \"trap\"\n[peer.office.child.other]\nstart = \"trap\"", 2, "peer.office.child.other.start", []string{"has to name addresses"}},
	{"lifetime of a Child SA", "#child", "lifetime = \"30m\"", 0, "peer.office.child.net.lifetime", []string{"before it gets new keys"}},
	{"volume", "#child", "rekey-bytes = \"5GiB\"\nlifetime-bytes = \"4GiB\"", 1, "peer.office.child.net.lifetime-bytes", []string{"larger than rekey-bytes"}},
	{"algorithm of IKE", "#child", `proposals = ["aes256gcm16-prfsha256"]`, 0, "peer.office.child.net.proposals[0]", []string{`"prfsha256" cannot be used`}},
	{"AH with a cipher", "#child", "protocol = \"ah\"\nproposals = [\"aes256-sha256\"]", 1, "peer.office.child.net.proposals[0]", []string{`"aes256" cannot be used in AH`}},
	{"AH around ESP with IKEv2", "#child", `outer-ah = ["sha256"]`, 0, "peer.office.child.net.outer-ah", []string{`versions = ["ikev1"]`}},
	{"reqid twice", "#child", "reqid = 7\n[peer.office.child.two]\nlocal = \"10.1.0.0/16\"\nremote = \"10.3.0.0/16\"\nreqid = 7", 4, "peer.office.child.two.reqid", []string{"[peer.office.child.net]", "another number"}},
	{"unknown interface", "#child", `interface = "ipsec0"`, 0, "peer.office.child.net.interface", []string{"define [interface.ipsec0]"}},
	{"mark without xfrm", "#child", "mark-in = \"0x1\"\n[dataplane]\nkind = \"userspace\"", 0, "peer.office.child.net.mark-in", []string{"needs the data plane xfrm"}},

	// pools, policies, spmd, KINK
	{"pools overlap", "#end", "[pool.more]\naddresses = [\"10.99.0.128/25\"]", 1, "pool.more.addresses[0]", []string{"overlaps 10.99.0.0/24 of [pool.clients]"}},
	{"pool without addresses", "#end", "[pool.more]\ndns = \"10.1.0.53\"", 0, "pool.more.addresses", []string{"is missing"}},
	{"pool with bits", `addresses = "10.99.0.0/24"`, `addresses = "10.99.0.1/24"`, 0, "pool.clients.addresses", []string{"10.99.0.0/24"}},
	{"name server", "#pool", `dns = ["10.1.0.53", "ns.example.org"]`, 0, "pool.clients.dns[1]", []string{"not an IP address"}},
	{"port of nobody", "#pool", `udp-port = 10000`, 0, "pool.clients.udp-port", []string{"nobody listens", "listen-natt"}},
	{"policy without action", "#end", "[policy.x]\nremote = \"192.0.2.9\"", 0, "policy.x.action", []string{"is missing", `"bypass"`}},
	{"policy of nobody", "#end", "[policy.x]\naction = \"protect\"\npeer = \"offise\"", 2, "policy.x.peer", []string{`did you mean "office"?`}},
	{"bypass with a peer", "#end", "[policy.x]\naction = \"bypass\"\npeer = \"office\"", 2, "policy.x.peer", []string{"has no effect", `action = "protect"`}},
	{"tunnel without ends", "#end", "[policy.x]\naction = \"protect\"", 0, "policy.x.local-address", []string{"a tunnel has two ends"}},
	{"policy of two families", "#end", "[policy.x]\naction = \"discard\"\nlocal = \"10.0.0.0/8\"\nremote = \"2001:db8::/32\"", 3, "policy.x.remote", []string{"address family"}},
	{"bundle", "#end", "[policy.x]\naction = \"protect\"\nmode = \"transport\"\nbundle = [\"ah\", \"esp\"]", 3, "policy.x.bundle[1]", []string{`"ah" inside "esp"`, `["ipcomp", "esp", "ah"]`}},
	{"forwarder to nobody", "#end", "[spmd.dns]\nlisten = \"127.0.0.1\"", 0, "spmd.dns.upstream", []string{"nobody to ask"}},
	{"forwarder to itself", "#end", "[spmd.dns]\nlisten = \"127.0.0.1\"\nupstream = \"127.0.0.1:53\"", 1, "spmd.dns.listen", []string{"ask itself"}},
	{"KINK with a key", "#end", "[peer.k]\nprotocol = \"kink\"\nremote = \"k.example.org\"\npsk-file = \"k.psk\"", 3, "peer.k.psk-file", []string{"belongs to IKE", `protocol = "ike"`}},
	{"KINK without principal", "#end", "[peer.k]\nprotocol = \"kink\"\nremote = \"192.0.2.8\"", 2, "peer.k.remote", []string{"principal cannot be told", "[peer.k.kink]"}},
	{"bad principal", "#end", "[kink]\nprincipal = \"kink/@\"", 1, "kink.principal", []string{"not a principal", "kink/gw.example.org@EXAMPLE.ORG"}},
	{"principal without KINK", "#end", "[peer.office.kink]\nprincipal = \"kink/x@Y\"", 1, "peer.office.kink.principal", []string{`protocol = "kink"`}},
}

// seed puts a mistake into the sound configuration and returns the line where
// it should be found.
func seed(t *testing.T, m mistake) (text string, line int) {
	t.Helper()
	lines := strings.Split(sound, "\n")
	for i, l := range lines {
		if l == m.line {
			line = i + 1
			lines[i] = m.with
			break
		}
	}
	require.NotZero(t, line, "no line %q", m.line)
	return strings.Join(lines, "\n"), line + m.plus
}

func TestSoundConfiguration(t *testing.T) {
	c, err := Parse("/etc/racoon/racoon.toml", []byte(sound), WithHost(testHost{}), WithFiles(memoryFiles{}))
	require.NoError(t, err)
	require.Empty(t, c.Warnings)
}

func TestMistakes(t *testing.T) {
	require.GreaterOrEqual(t, len(mistakes), 100)
	seen := map[string]bool{}
	for _, m := range mistakes {
		require.False(t, seen[m.name], m.name)
		seen[m.name] = true
		t.Run(m.name, func(t *testing.T) {
			text, line := seed(t, m)
			_, err := Parse("/etc/racoon/racoon.toml", []byte(text), WithHost(testHost{}), WithFiles(memoryFiles{}))
			require.ErrorIs(t, err, ErrConfig)
			all := err.(Errors)
			e := all[0]
			for _, other := range all { // a mistake may have consequences, at other places
				if other.Line == line && other.Key == m.key {
					e = other
					break
				}
			}
			require.Equal(t, "/etc/racoon/racoon.toml", e.File, "%v", err)
			require.Equal(t, fmt.Sprintf("line %d, %s", line, m.key), fmt.Sprintf("line %d, %s", e.Line, e.Key), "%v", err)
			require.NotZero(t, e.Column)
			for _, w := range m.words {
				require.Contains(t, e.Error(), w)
			}
			require.LessOrEqual(t, len(all), 2, "one mistake, one error: %v", err)
			require.NotContains(t, e.Error(), "racoon.IKE", "the words of the file, not of Go")
		})
	}
}

// TestAllMistakesAtOnce: one run tells them all, in the order of the file.
func TestAllMistakesAtOnce(t *testing.T) {
	text := sound
	for _, r := range [][2]string{
		{"#daemon", `workers = 1000`}, {"#secrets", `key-format = "raw"`}, {"#peer", "remte = \"x\"\nstart = \"allways\""},
		{`remote = "10.2.0.0/16"`, `remote = "2001:db8:2::/48"`}, {"#pool", `dns = "ns"`}, {"#end", "[policy.x]\n"},
	} {
		text = strings.Replace(text, r[0], r[1], 1)
	}
	_, err := Parse("racoon.toml", []byte(text), WithHost(testHost{}))
	var keys []string
	for _, e := range err.(Errors) {
		keys = append(keys, fmt.Sprintf("%d %s", e.Line, e.Key))
	}
	require.Equal(t, []string{
		"3 daemon.workers", "6 secrets.key-format", "13 peer.office.remte", "14 peer.office.start",
		"18 peer.office.child.net.remote", "31 pool.clients.dns", "33 policy.x.action",
	}, keys)
}
