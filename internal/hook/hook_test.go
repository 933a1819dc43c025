//go:build unix

package hook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/control/controltest"
	"github.com/racoon3/racoon/internal/testhost"
	"github.com/racoon3/racoon/spd"
)

// script writes a program and returns its path.
func script(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755))
	path := filepath.Join(dir, "hook")
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755))
	return path
}

// recorder is a script that writes its argument and environment to a directory,
// a file for each run.
func recorder(t *testing.T) (path, dir string) {
	dir = t.TempDir()
	return script(t, fmt.Sprintf(`f=$(mktemp %s/t.XXXXXX); { echo "arg=$1"; echo "args=$#"; env; } > $f; mv $f $f.done`+"\n", dir)), dir
}

// recorded returns the runs, by the first argument.
func recorded(t *testing.T, dir string) map[string][]map[string]string {
	t.Helper()
	files, err := filepath.Glob(dir + "/*.done")
	require.NoError(t, err)
	out := map[string][]map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		m := map[string]string{}
		for line := range strings.Lines(string(b)) {
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			m[name] = value
		}
		require.Equal(t, "1", m["args"])
		delete(m, "args")
		for _, shell := range []string{"PWD", "SHLVL", "_", "OLDPWD"} { // the shell's own
			delete(m, shell)
		}
		out[m["arg"]] = append(out[m["arg"]], m)
	}
	return out
}

func all(path string) map[Event]string {
	m := map[Event]string{}
	for e := range names {
		m[e] = path
	}
	return m
}

// run runs hooks for events to the end.
func run(t *testing.T, cfg Config, events ...ike.Event) {
	t.Helper()
	r, err := New(cfg)
	require.NoError(t, err)
	ch := make(chan ike.Event, len(events))
	for _, ev := range events {
		ch <- ev
	}
	close(ch)
	ctx, cancel := context.WithTimeout(t.Context(), testhost.Patience)
	defer cancel()
	require.NoError(t, r.Run(ctx, ch))
}

func identity(t *testing.T, s string) ike.Identity {
	t.Helper()
	id, err := ike.ParseIdentity(s)
	require.NoError(t, err)
	return id
}

const (
	v2Session ike.SessionID = 1<<56 | 5
	v1Session ike.SessionID = 0x81<<56 | 6
)

func header(id ike.SessionID) ike.EventHeader {
	return ike.EventHeader{Time: time.Now(), Session: id, Peer: "office", Path: ike.Path{
		Local: netip.MustParseAddrPort("192.0.2.1:4500"), Remote: netip.MustParseAddrPort("198.51.100.2:61000")}}
}

func info(t *testing.T) ike.SessionInfo {
	return ike.SessionInfo{Initiator: true, LocalID: identity(t, "alice@example.org"), RemoteID: identity(t, "gw.example.org"),
		LocalSPI: 0x1122334455667788, RemoteSPI: 0x99aabbccddeeff00, User: "alice", Config: &ike.NetworkConfig{
			Addresses: []netip.Prefix{netip.MustParsePrefix("10.9.0.7/24"), netip.MustParsePrefix("2001:db8::7/64")},
			DNS:       []netip.Addr{netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("10.9.0.2"), netip.MustParseAddr("2001:db8::1")},
			NBNS:      []netip.Addr{netip.MustParseAddr("10.9.0.3")},
			Subnets:   []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16"), netip.MustParsePrefix("10.3.4.0/22")},
			Domains:   []string{"corp.example", "lab.example"}, DefaultDomain: "example.org", LocalLANExclude: []netip.Prefix{netip.MustParsePrefix("192.168.0.0/24")},
			Banner: "Welcome to the office", Application: "gateway 7"}}
}

func childInfo(t *testing.T) ike.ChildInfo {
	from, err := spd.ParseTrafficSelector("10.9.0.7")
	require.NoError(t, err)
	to, err := spd.ParseTrafficSelector("10.2.0.0/16[tcp/443]")
	require.NoError(t, err)
	from.Protocol = 6
	return ike.ChildInfo{ID: 9, Name: "net", Protocol: spd.ProtoESP, ChildSPIs: ike.ChildSPIs{In: 0xc0000001, Out: 0xc0ffee}, ReqID: 7,
		LocalTS: []spd.TrafficSelector{from}, RemoteTS: []spd.TrafficSelector{to}, UDPEncap: true}
}

// TestRacoonEnvironment: a script that was written for racoon finds what it
// knows, under the names it knows.
func TestRacoonEnvironment(t *testing.T) {
	path, dir := recorder(t)
	h := header(v1Session)
	run(t, Config{Scripts: all(path), Style: StyleRacoon}, ike.SessionUp{EventHeader: h, Info: info(t)}, ike.SessionDown{EventHeader: h, Reason: ike.DownDead})
	got := recorded(t, dir)
	require.Len(t, got, 2)
	up := got["phase1_up"][0]
	for name, want := range map[string]string{
		"LOCAL_ADDR": "192.0.2.1", "LOCAL_PORT": "4500", "REMOTE_ADDR": "198.51.100.2", "REMOTE_PORT": "61000", "REMOTE_ID": "gw.example.org",
		"IKE_COOKIE": "1122334455667788:99aabbccddeeff00", "INTERNAL_ADDR4": "10.9.0.7", "INTERNAL_MASK4": "255.255.255.0",
		"INTERNAL_NETMASK4": "255.255.255.0", "INTERNAL_CIDR4": "24", "INTERNAL_DNS4": "10.9.0.1", "INTERNAL_DNS4_LIST": "10.9.0.1 10.9.0.2",
		"INTERNAL_WINS4": "10.9.0.3", "INTERNAL_WINS4_LIST": "10.9.0.3", "DEFAULT_DOMAIN": "example.org",
		"SPLIT_INCLUDE": "10.2.0.0/255.255.0.0 10.3.4.0/255.255.252.0", "SPLIT_INCLUDE_CIDR": "10.2.0.0/16 10.3.4.0/22",
		"SPLIT_LOCAL": "192.168.0.0/255.255.255.0", "SPLIT_LOCAL_CIDR": "192.168.0.0/24", "INTERNAL_SPLITDNS_DOMAINS": "corp.example lab.example",
		"RACOON_EVENT": "session-up", "RACOON_VERSION": "IKEv1", "RACOON_BANNER": "Welcome to the office", "RACOON_PEER": "office",
		"RACOON_ADDRESSES": "10.9.0.7/24 2001:db8::7/64", "RACOON_REMOTE_ID_TYPE": "FQDN", "RACOON_REMOTE_ID_HEX": "67772e6578616d706c652e6f7267",
		"PATH": defaultPath,
	} {
		require.Equal(t, want, up[name], name)
	}
	require.NotContains(t, up, "XAUTH_USER", "that is the server's")
	dead := got["phase1_dead"][0]
	require.Equal(t, "dead peer", dead["RACOON_REASON"])
	require.Equal(t, "10.9.0.7", dead["INTERNAL_ADDR4"], "so that it can be taken away")

	// The server's side.
	path, dir = recorder(t)
	i := info(t)
	i.Initiator = false
	run(t, Config{Scripts: all(path), Style: StyleRacoon}, ike.SessionUp{EventHeader: h, Info: i})
	up = recorded(t, dir)["phase1_up"][0]
	require.Equal(t, "alice", up["XAUTH_USER"])
	require.Equal(t, "99aabbccddeeff00:1122334455667788", up["IKE_COOKIE"])
}

func TestRacoon2Environment(t *testing.T) {
	path, dir := recorder(t)
	h, c := header(v2Session), childInfo(t)
	old := h.Path
	old.Remote = netip.MustParseAddrPort("203.0.113.9:4500")
	renewed := c
	renewed.In, renewed.RemoteTS = 0xc0000002, append(slices.Clone(c.RemoteTS), spd.FromAddr(netip.MustParseAddr("10.3.0.1")))
	run(t, Config{Scripts: all(path), Style: StyleRacoon2},
		ike.SessionUp{EventHeader: h, Info: info(t)}, ike.ChildUp{EventHeader: h, Child: c}, ike.SessionRekeyed{EventHeader: h, LocalSPI: 1, RemoteSPI: 2},
		ike.ChildRekeyed{EventHeader: h, Child: renewed, Old: c.ChildSPIs}, ike.SessionMoved{EventHeader: h, Old: old},
		ike.ChildDown{EventHeader: h, Child: c, In: spd.Counters{Bytes: 1400, Packets: 1}}, ike.SessionDown{EventHeader: h, Reason: ike.DownRemote})
	got := recorded(t, dir)
	for _, name := range []string{"ike_sa_up", "child_up", "ike_sa_rekey", "child_rekey", "migration", "child_down", "ike_sa_down"} {
		require.Len(t, got[name], 1, name)
	}
	up := got["child_up"][0]
	for name, want := range map[string]string{
		"SELECTOR_INDEX": "net", "IPSEC_MODE": "tunnel", "LOCAL_NET_ADDR": "10.9.0.7", "LOCAL_NET_PREFIXLEN": "32", "LOCAL_NET_PORT": "0",
		"REMOTE_NET_ADDR": "10.2.0.0", "REMOTE_NET_PREFIXLEN": "16", "REMOTE_NET_PORT": "443", "UPPER_LAYER_PROTOCOL": "tcp",
		"INTERNAL_ADDR4": "10.9.0.7", "INTERNAL_ADDR6": "2001:db8::7", "INTERNAL_DNS4": "10.9.0.1 10.9.0.2", "INTERNAL_DNS6": "2001:db8::1",
		"INTERNAL_WINS4": "10.9.0.3", "APPLICATION_VERSION": "gateway 7", "RACOON_SPI_IN": "c0000001", "RACOON_LOCAL_ADDR": "192.0.2.1",
	} {
		require.Equal(t, want, up[name], name)
	}
	require.NotContains(t, up, "SELECTOR2_INDEX")
	require.Equal(t, "net", got["child_rekey"][0]["SELECTOR2_INDEX"], "the second of two selectors")
	require.Equal(t, "c0000001", got["child_rekey"][0]["RACOON_OLD_SPI_IN"])
	require.Equal(t, "c0000002", got["child_rekey"][0]["RACOON_SPI_IN"])
	require.Equal(t, "0000000000000001", got["ike_sa_rekey"][0]["RACOON_LOCAL_SPI"])
	moved := got["migration"][0]
	require.Equal(t, []string{"192.0.2.1", "203.0.113.9", "192.0.2.1", "198.51.100.2"}, []string{moved["OLD_SRC"], moved["OLD_DST"], moved["NEW_SRC"], moved["NEW_DST"]})
	require.Equal(t, "1400", got["child_down"][0]["RACOON_BYTES_IN"])

	// With IKEv1 they are phases, and the gateway is told what it has leased.
	path, dir = recorder(t)
	h, i := header(v1Session), info(t)
	i.Initiator = false
	run(t, Config{Scripts: all(path), Style: StyleRacoon2}, ike.SessionUp{EventHeader: h, Info: i}, ike.ChildUp{EventHeader: h, Child: c},
		ike.SessionDown{EventHeader: h, Reason: ike.DownDead})
	got = recorded(t, dir)
	require.Contains(t, got, "phase1_up")
	require.Contains(t, got, "phase1_down", "racoon2 knows no dead ones")
	require.Equal(t, "10.9.0.7", got["phase2_up"][0]["INTERNAL4_ADDR"])
	require.Equal(t, "2001:db8::7", got["phase2_up"][0]["INTERNAL6_ADDR"])
}

// TestEnvironmentIsMadeFromScratch: nothing of the daemon's reaches a script.
func TestEnvironmentIsMadeFromScratch(t *testing.T) {
	t.Setenv("RACOON_TEST_SECRET", "hunter2")
	t.Setenv("LD_PRELOAD_X", "evil.so")
	path, dir := recorder(t)
	run(t, Config{Scripts: all(path)}, ike.SessionUp{EventHeader: header(v2Session), Info: info(t)})
	env := recorded(t, dir)["session-up"][0]
	for name := range env {
		require.True(t, strings.HasPrefix(name, "RACOON_") || name == "PATH" || name == "LC_ALL" || name == "arg", name)
	}
	require.NotContains(t, env, "RACOON_TEST_SECRET")
}

// hostile are texts that a peer may have chosen.
var hostile = []string{
	"$(touch %s)", "`touch %s`", "x; touch %s", "x\ntouch %s", "x && touch %s", "x | touch %s", "' ; touch %s ; '", `" ; touch %s ; "`,
	"x\x00LD_PRELOAD=%s", "x\nLD_PRELOAD=%s", "-rf %s", "a -o %s", "*", "?", "~root", "../../%s", "/etc/passwd", "%%n%%s%%x", "${IFS}touch${IFS}%s",
	"\x1b]0;title\x07", "\xff\xfe", "x\r\ny", "()  { :; }; touch %s", "\u202egpj.exe", "{a,b}", "[a]", "<(touch %s)", "> %s", "!!", "#x", "\\$(touch %s)", "=cmd|x", "hex:41",
}

// TestC25_HostileTextInHooks: whatever a peer calls itself, a careless script
// that evaluates its environment runs nothing of the peer's, gets no variable
// of the peer's, and different texts stay different.
func TestC25_HostileTextInHooks(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	recordDir := t.TempDir()
	// As careless as can be: unquoted, evaluated twice.
	path := script(t, fmt.Sprintf(`
f=$(mktemp %s/t.XXXXXX); { echo "arg=$1"; echo "args=$#"; env; } > $f; mv $f $f.done
for v in $(env | sed 's/=.*//'); do
	case $v in *ID|*USER|*BANNER|*APPLICATION|*VERSION|*DOMAIN*|*PEER|*GROUPS|*ERROR|*INDEX|*CHILD)
		eval "eval echo \$$v" >/dev/null
		eval "x=\$$v"; set -- $x; for w; do case $w in -*) touch %s;; esac; done
	esac
done
true
`, recordDir, mark))
	var events []ike.Event
	for n, style := range hostile {
		text := strings.ReplaceAll(style, "%s", mark)
		h := header(v2Session + ike.SessionID(n))
		i := info(t)
		i.RemoteID = ike.Identity{Type: ike.IDKeyID, Data: text}
		i.User, i.Groups = text, []string{text, "staff"}
		i.Config.Banner, i.Config.Application, i.Config.DefaultDomain, i.Config.Domains = text, text, text, []string{text, "good.example"}
		c := childInfo(t)
		c.Name = text
		events = append(events, ike.SessionUp{EventHeader: h, Info: i}, ike.ChildDown{EventHeader: h, Child: c, Err: errors.New(text)})
	}
	for _, style := range []Style{StyleNative, StyleRacoon, StyleRacoon2} {
		run(t, Config{Scripts: all(path), Style: style}, events...)
	}
	_, err := os.Lstat(mark)
	require.ErrorIs(t, err, os.ErrNotExist, "a peer has run something")
	runs := recorded(t, recordDir)
	n := 0
	for _, l := range runs {
		for _, env := range l {
			n++
			require.NotContains(t, env, "LD_PRELOAD")
			require.NotContains(t, env, "DEFAULT_DOMAIN")
			for name, value := range env {
				require.False(t, strings.ContainsAny(value, "$`;&|<>()*?!\\'\"~{}#%\r\n\t\x1b\x00"), "%s=%q", name, value)
				require.NotContains(t, value, "..", name)
			}
			if d, ok := env["RACOON_DOMAINS"]; ok {
				require.Equal(t, "good.example", d)
			}
		}
	}
	require.Equal(t, 3*len(events), n)
}

func TestSafe(t *testing.T) {
	for _, s := range []string{"", "gw.example.org", "alice@example.org", "C=CH, O=Example Ltd, CN=gw-1", "10.0.0.0/8", "2001:db8::1", "a+b", "a_b"} {
		require.Equal(t, s, safe(s))
	}
	seen := map[string]string{}
	for _, s := range append([]string{" a", "a ", "a  b", "a -b", "-a", "/a", "a..b", "é", "hex:", strings.Repeat("a", maxText+1)}, hostile...) {
		got := safe(s)
		require.True(t, strings.HasPrefix(got, hexMark), "%q", s)
		require.Empty(t, seen[got], "%q and %q look the same", s, seen[got])
		seen[got] = s
		require.LessOrEqual(t, len(got), len(hexMark)+2*maxText)
	}
	require.Equal(t, "a hex:622063 d", safeAll([]string{"a", "b c", "d", ""}))
	require.LessOrEqual(t, len(safeAll(make2(10000))), maxList)
	for s, want := range map[string]bool{"example.org": true, "example.org.": true, "_ldap._tcp.example": true, "x": true, "": false, ".": false, "a..b": false,
		"-a.example": false, "a-.example": false, "a b": false, "a;b": false, strings.Repeat("a.", 126) + "a": true, strings.Repeat("a", 64): false,
		strings.Repeat("a.", 128): false} {
		require.Equal(t, want, isDomain(s), "%q", s)
	}
}

func make2(n int) []string {
	l := make([]string, n)
	for i := range l {
		l[i] = fmt.Sprint("group-", i)
	}
	return l
}

// TestTimeLimit: a script that does not end is killed with what it has started.
func TestTimeLimit(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	path := script(t, fmt.Sprintf("trap '' TERM INT\nsleep 300 & echo $! >> %[1]s\necho $$ >> %[1]s\necho begun\nwhile :; do sleep 300; done\n", pids))
	log := new(testhost.Log)
	start := time.Now()
	run(t, Config{Scripts: all(path), Timeout: 5 * time.Second, Logger: slog.New(slog.NewTextHandler(log, nil))},
		ike.SessionUp{EventHeader: header(v2Session), Info: info(t)})
	require.Less(t, time.Since(start), testhost.Patience)
	require.Contains(t, log.String(), "ran for too long")
	require.Contains(t, log.String(), "line=begun")
	b, err := os.ReadFile(pids)
	require.NoError(t, err)
	require.Len(t, strings.Fields(string(b)), 2)
	for _, pid := range strings.Fields(string(b)) {
		require.Eventually(t, func() bool { return gone(pid) }, testhost.Patience, time.Millisecond, "process %s lives", pid)
	}
}

// gone reports whether a process has ended; one that nobody has waited for yet
// has.
func gone(pid string) bool {
	out, err := exec.Command("ps", "-o", "stat=", "-p", pid).Output()
	return err != nil || strings.HasPrefix(strings.TrimSpace(string(out)), "Z") || strings.TrimSpace(string(out)) == ""
}

// What a script has started and let go is not waited for.
func TestBackgroundProcessIsNotWaitedFor(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pid")
	path := script(t, "sleep 300 &\necho $! > "+pids+"\n")
	start := time.Now()
	run(t, Config{Scripts: all(path)}, ike.SessionUp{EventHeader: header(v2Session), Info: info(t)})
	require.Less(t, time.Since(start), testhost.Patience)
	b, err := os.ReadFile(pids)
	require.NoError(t, err)
	var pid int
	fmt.Sscan(string(b), &pid)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
}

func TestOutputIsBoundedAndLogged(t *testing.T) {
	log := new(testhost.Log)
	path := script(t, "echo first; echo second >&2; i=0; while [ $i -lt 2000 ]; do echo 0123456789; i=$((i+1)); done; exit 3\n")
	run(t, Config{Scripts: all(path), Logger: slog.New(slog.NewTextHandler(log, nil))}, ike.SessionUp{EventHeader: header(v2Session), Info: info(t)})
	require.Contains(t, log.String(), "line=first")
	require.Contains(t, log.String(), "line=second")
	require.Contains(t, log.String(), "octets-lost=")
	require.Contains(t, log.String(), `err="exit status 3"`)
	require.Less(t, len(log.String()), 200*1024)
}

// TestOrder: the scripts of a session run in order and alone, those of several
// beside each other, as many as may.
func TestOrder(t *testing.T) {
	dir := t.TempDir()
	// Two sessions' scripts can only end if they run at one time.
	path := script(t, fmt.Sprintf(`cd %s; echo "$1 $RACOON_SESSION" >> log
case $1 in session-up) touch up.$RACOON_SESSION; n=0
while [ $(ls up.* | wc -l) -lt 2 ] && [ $n -lt 6000 ]; do sleep 0.01; n=$((n+1)); done
[ $n -lt 6000 ] && echo "together" >> log;; esac
`, dir))
	var events []ike.Event
	for _, id := range []ike.SessionID{v2Session, v1Session} {
		h := header(id)
		events = append(events, ike.SessionUp{EventHeader: h, Info: info(t)}, ike.ChildUp{EventHeader: h, Child: childInfo(t)},
			ike.ChildDown{EventHeader: h, Child: childInfo(t)}, ike.SessionDown{EventHeader: h})
	}
	run(t, Config{Scripts: all(path), Parallel: 2}, events...)
	b, err := os.ReadFile(dir + "/log")
	require.NoError(t, err)
	require.Equal(t, 2, strings.Count(string(b), "together"))
	for _, id := range []ike.SessionID{v2Session, v1Session} {
		var order []string
		for line := range strings.Lines(string(b)) {
			if name, of, _ := strings.Cut(strings.TrimSpace(line), " "); of == fmt.Sprint(uint64(id)) {
				order = append(order, name)
			}
		}
		require.Equal(t, []string{"session-up", "child-up", "child-down", "session-down"}, order)
	}
}

func TestQueueIsBounded(t *testing.T) {
	dir := t.TempDir()
	path := script(t, fmt.Sprintf("while [ ! -e %s/go ]; do sleep 0.01; done; echo x >> %s/log\n", dir, dir))
	log := new(testhost.Log)
	r, err := New(Config{Scripts: all(path), Parallel: 1, Queue: 3, Logger: slog.New(slog.NewTextHandler(log, nil))})
	require.NoError(t, err)
	ch := make(chan ike.Event)
	var wg sync.WaitGroup
	wg.Go(func() { require.NoError(t, r.Run(t.Context(), ch)) })
	for range 10 {
		ch <- ike.SessionUp{EventHeader: header(v2Session), Info: info(t)}
	}
	close(ch)
	require.NoError(t, os.WriteFile(dir+"/go", nil, 0o600))
	wg.Wait()
	b, err := os.ReadFile(dir + "/log")
	require.NoError(t, err)
	require.Equal(t, 4, strings.Count(string(b), "x"), "one that runs and three that wait")
	require.Contains(t, log.String(), "too many scripts wait")
}

func TestEndOfContextKills(t *testing.T) {
	path := script(t, "while :; do sleep 300; done\n")
	r, err := New(Config{Scripts: all(path)})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ch := make(chan ike.Event, 1)
	ch <- ike.SessionUp{EventHeader: header(v2Session), Info: info(t)}
	time.AfterFunc(200*time.Millisecond, cancel)
	start := time.Now()
	require.ErrorIs(t, r.Run(ctx, ch), context.Canceled)
	require.Less(t, time.Since(start), testhost.Patience)
}

func TestLostEvents(t *testing.T) {
	path, _ := recorder(t)
	r, err := New(Config{Scripts: map[Event]string{ChildUp: path}, Known: func(id ike.SessionID) bool { return id == v1Session }})
	require.NoError(t, err)
	for _, id := range []ike.SessionID{v1Session, v2Session} {
		r.handle(t.Context(), ike.SessionUp{EventHeader: header(id), Info: info(t)})
	}
	require.Len(t, r.sessions, 2)
	r.handle(t.Context(), racoon.EventsLost{Count: 3})
	require.Len(t, r.sessions, 1)
	r.handle(t.Context(), ike.SessionDown{EventHeader: header(v1Session)})
	require.Empty(t, r.sessions)
}

func TestScriptsOfPeers(t *testing.T) {
	path, dir := recorder(t)
	h := header(v2Session)
	other := h
	other.Peer, other.Session = "other", v2Session+1
	run(t, Config{ScriptOf: func(peer string, e Event) string {
		if peer == "office" && e == SessionDown {
			return path
		}
		return ""
	}}, ike.SessionUp{EventHeader: h, Info: info(t)}, ike.SessionDown{EventHeader: h, Reason: ike.DownDead}, ike.SessionDown{EventHeader: other})
	got := recorded(t, dir)
	require.Len(t, got, 1)
	require.Len(t, got["session-down"], 1)
}

// TestC26_ScriptsOfOthers: a script that somebody else could change is not run.
func TestC26_ScriptsOfOthers(t *testing.T) {
	path := script(t, "true\n")
	require.NoError(t, Check(path))
	for want, f := range map[string]func(path string) string{
		"can be changed by others": func(p string) string { require.NoError(t, os.Chmod(p, 0o777)); return p },
		"is not a program":         func(p string) string { require.NoError(t, os.Chmod(p, 0o644)); return p },
		"is not an absolute path":  func(p string) string { return "hook.sh" },
		"no such file":             func(p string) string { return p + ".none" },
		"mode 0777":                func(p string) string { require.NoError(t, os.Chmod(filepath.Dir(p), 0o777)); return p },
	} {
		p := script(t, "true\n")
		_, err := New(Config{Scripts: map[Event]string{SessionUp: f(p)}})
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "session-up")
	}
	if os.Geteuid() == 0 {
		p := script(t, "true\n")
		require.NoError(t, os.Chown(p, 4711, 0))
		require.ErrorContains(t, Check(p), "belongs to user 4711")
	}
	_, err := New(Config{Scripts: map[Event]string{"phase1_up": path}})
	require.ErrorContains(t, err, "is no event")

	// Changed while the daemon runs.
	log := new(testhost.Log)
	path, dir := recorder(t)
	r, err := New(Config{Scripts: all(path), Logger: slog.New(slog.NewTextHandler(log, nil))})
	require.NoError(t, err)
	require.NoError(t, os.Chmod(path, 0o777))
	ch := make(chan ike.Event, 1)
	ch <- ike.SessionUp{EventHeader: header(v2Session), Info: info(t)}
	close(ch)
	require.NoError(t, r.Run(t.Context(), ch))
	require.Empty(t, recorded(t, dir))
	require.Contains(t, log.String(), "hook cannot be run")
}

// TestHooksOfAManager: the scripts run for what really happens.
func TestHooksOfAManager(t *testing.T) {
	path, dir := recorder(t)
	p := controltest.New(t)
	r, err := New(Config{Scripts: all(path)})
	require.NoError(t, err)
	ran := make(chan error, 1)
	events := p.Client.Manager.Subscribe(context.Background())
	go func() { ran <- r.Run(context.Background(), events) }()
	ctx, cancel := context.WithTimeout(t.Context(), testhost.Patience)
	defer cancel()
	s, err := p.Client.Manager.Initiate(ctx, "gw")
	require.NoError(t, err)
	require.NoError(t, s.RekeyChild(ctx, s.ChildSAs()[0].ID))
	require.NoError(t, s.Rekey(ctx))
	require.NoError(t, p.Client.Manager.Shutdown(ctx))
	require.NoError(t, <-ran, "it ends with the Manager, when all scripts have run")
	got := recorded(t, dir)
	for name, n := range map[string]int{"session-up": 1, "child-up": 2, "child-rekey": 1, "session-rekey": 1, "child-down": 2, "session-down": 1} {
		require.Len(t, got[name], n, name)
	}
	require.Equal(t, "gw.example.org", got["child-down"][0]["RACOON_REMOTE_ID"])
	require.Equal(t, "shutdown", got["session-down"][0]["RACOON_REASON"])
}
