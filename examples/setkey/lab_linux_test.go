package main

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/pfkey"
)

var anyPort = netip.MustParseAddrPort("127.0.0.1:0")

// inKernel reports whether the test runs in a kernel of the lab; if not it has
// been run in one when this returns.
func inKernel(t *testing.T) bool {
	if !lab.InKernel(t, lab.KernelOptions{}) {
		return false
	}
	lab.LoadAlgorithms(t) // else the first use of each takes longer than a slow machine has time to answer
	return true
}

// kernelSetkey is setkey in a namespace of the lab.
func kernelSetkey(t *testing.T, ns *lab.Namespace, stdin string, args ...string) (status int, out string) {
	t.Helper()
	var o bytes.Buffer
	ns.Do(func() { status = run(t.Context(), args, strings.NewReader(stdin), &o, &o) })
	return status, o.String()
}

// ipState is an SA as `ip xfrm state` shows it.
type ipState struct {
	src, dst, proto, spi, reqid, mode, replay, auth, enc, comp, encap string
	hardTime, softTime, hardBytes, softBytes                          string
}

func group(pattern, text string) string {
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		return ""
	}
	return strings.Join(m[1:], " ")
}

func ipStates(ns *lab.Namespace) (all []ipState) {
	for _, s := range regexp.MustCompile(`(?m)^src `).Split(ns.Run("ip", "-s", "xfrm", "state"), -1)[1:] {
		if strings.Contains(s, "proto 4 ") {
			continue // IP in IP, which IPComp in tunnel mode makes for itself
		}
		all = append(all, ipState{
			src: group(`^(\S+) dst`, s), dst: group(`dst (\S+)`, s), proto: group(`proto (\S+)`, s), spi: group(`spi (0x\w+)`, s), reqid: group(`reqid (\d+)`, s), mode: group(`mode (\S+)`, s),
			replay: group(`replay-window (\d+)`, s), auth: group(`auth-trunc (\S+) (\S+)`, s), enc: group(`(?:enc|aead) (\S+) (\S*)`, s), comp: group(`\n\tcomp (\S+)`, s),
			encap:    group(`encap type espinudp sport (\d+) dport (\d+)`, s),
			hardTime: group(`expire add: soft \S+, hard (\d+)`, s), softTime: group(`expire add: soft (\d+)`, s),
			hardBytes: group(`limit: soft \S+ hard (\d+|\(INF\))\(?`, s), softBytes: group(`limit: soft (\d+|\(INF\))`, s),
		})
	}
	return all
}

// ipNames are the algorithms as `ip` calls them.
var ipNames = map[string]string{
	"aes-cbc": "cbc(aes)", "3des-cbc": "cbc(des3_ede)", "des-cbc": "cbc(des)", "null": "ecb(cipher_null)", "blowfish-cbc": "cbc(blowfish)", "cast128-cbc": "cbc(cast5)",
	"twofish-cbc": "cbc(twofish)", "serpent-cbc": "cbc(serpent)", "camellia-cbc": "cbc(camellia)", "aes-ctr": "rfc3686(ctr(aes))", "aes-gcm-16": "rfc4106(gcm(aes))", "aes-ccm-16": "rfc4309(ccm(aes))",
	"chacha20-poly1305": "rfc7539esp(chacha20,poly1305)", "aes-gmac": "rfc4543(gcm(aes))",
	"hmac-md5": "hmac(md5)", "hmac-sha1": "hmac(sha1)", "hmac-sha256": "hmac(sha256)", "hmac-sha256-96": "hmac(sha256)", "hmac-sha384": "hmac(sha384)", "hmac-sha512": "hmac(sha512)", "hmac-ripemd160": "hmac(rmd160)",
	"aes-xcbc-mac": "xcbc(aes)", "aes-cmac": "cmac(aes)",
}

// dumpStates reads what setkey -D prints.
func dumpStates(t *testing.T, dump string) (all []ipState) {
	for _, s := range regexp.MustCompile(`(?m)^([^\t ])`).Split(strings.TrimSpace(dump), -1)[1:] {
		// What the split has taken is the first digit of an address.
		s = dump[strings.Index(dump, s)-1:][:len(s)+1]
		x := ipState{src: group(`^([^\s\[]+)`, s), dst: group(`^\S+ ([^\s\[]+)`, s), proto: group(`\n\t(\S+) mode`, s), spi: group(`\((0x\w+)\) reqid`, s), reqid: group(`reqid=(\d+)`, s),
			mode: group(`mode=(\S+)`, s), replay: group(`replay=(\d+)`, s), comp: group(`C: (\S+)`, s), hardTime: group(`diff: .*hard: (\d+)`, s), softTime: group(`diff: .*soft: (\d+)`, s),
			hardBytes: group(`bytes\).*hard: (\d+)\(bytes`, s), softBytes: group(`soft: (\d+)\(bytes`, s)}
		key := func(label string) string {
			m := regexp.MustCompile(`\t` + label + `: (\S+) ([ 0-9a-f\n]*)\n\t`).FindStringSubmatch(s + "\n\t")
			if m == nil || m[1] == "none" {
				return ""
			}
			require.NotEmpty(t, ipNames[m[1]], m[1])
			hex := strings.NewReplacer(" ", "", "\n", "").Replace(m[2])
			if hex != "" {
				hex = "0x" + hex
			}
			return ipNames[m[1]] + " " + hex
		}
		x.enc, x.auth = key("E"), key("A")
		if x.proto == "esp-udp" {
			x.proto, x.encap = "esp", group(`^[^\[]+\[(\d+)\] [^\[]+\[(\d+)\]`, s)
		}
		switch x.proto {
		case "ipcomp":
			x.proto = "comp"
		case "4", "unspec":
			continue // as above
		}
		for _, n := range []*string{&x.hardBytes, &x.softBytes} {
			if *n == "0" {
				*n = "(INF)"
			}
		}
		all = append(all, x)
	}
	return all
}

func sorted(all []ipState) []ipState {
	slices.SortFunc(all, func(a, b ipState) int { return strings.Compare(a.proto+a.spi, b.proto+b.spi) })
	return all
}

func hexKey(n int) string {
	s := "0x"
	for i := range n {
		s += fmt.Sprintf("%02x", i+1)
	}
	return s
}

// TestKernelSAs: SAs of every kind that Linux has, over PF_KEY and over XFRM, seen
// by ip(8) and in setkey's dumps of both, field by field.
func TestKernelSAs(t *testing.T) {
	if !inKernel(t) {
		return
	}
	ns := lab.NewNamespace(t, "setkey")
	var common, only []string
	spi := 0x1000
	add := func(list *[]string, format string, args ...any) {
		spi++
		*list = append(*list, fmt.Sprintf(strings.Replace(format, "SPI", fmt.Sprintf("%#x", spi), 1), args...))
	}
	for _, x := range []struct {
		name string
		key  int
	}{{"aes-cbc", 16}, {"aes-cbc", 24}, {"aes-cbc", 32}, {"3des-cbc", 24}, {"des-cbc", 8}, {"blowfish-cbc", 16}, {"cast128-cbc", 16}, {"twofish-cbc", 32}, {"camellia-cbc", 16}, {"aes-ctr", 20}} {
		add(&common, "add 10.0.0.1 10.0.0.2 esp SPI -m transport -E %s %s -A hmac-sha1 %s;", x.name, hexKey(x.key), hexKey(20))
	}
	for _, x := range []struct {
		name string
		key  int
	}{{"hmac-md5", 16}, {"hmac-sha1", 20}, {"hmac-sha256", 32}, {"hmac-sha384", 48}, {"hmac-sha512", 64}, {"aes-xcbc-mac", 16}} {
		add(&common, "add fd00::1 fd00::2 ah SPI -A %s %s;", x.name, hexKey(x.key))
	}
	add(&common, "add fd00::1 fd00::2 esp SPI -m tunnel -u 77 -r 32 -lh 3600 -ls 3000 -bh 1000000 -bs 900000 -E null -A hmac-sha1 %s;", hexKey(20))
	add(&common, "add 10.0.0.1 10.0.0.2[33000] esp-udp SPI -m tunnel -E aes-cbc %s -A hmac-md5 %s;", hexKey(16), hexKey(16))
	add(&common, "add 10.0.0.1[4501] 10.0.0.2 esp-udp 192.168.0.9 SPI -E aes-cbc %s -A hmac-md5 %s;", hexKey(16), hexKey(16))
	add(&common, "add 10.0.0.1 10.0.0.2 ipcomp SPI -m tunnel -C deflate;")
	for _, x := range []struct {
		name string
		key  int
	}{{"aes-gcm-16", 20}, {"aes-gcm-16", 36}, {"aes-ccm-16", 19}, {"chacha20-poly1305", 36}, {"aes-gmac", 20}} {
		add(&only, "add 10.0.0.1 10.0.0.2 esp SPI -E %s %s;", x.name, hexKey(x.key))
	}
	add(&only, "add fd00::1 fd00::2 ah SPI -r 30 -A aes-cmac %s;", hexKey(16))

	compare := func(n int) {
		t.Helper()
		want := sorted(ipStates(ns))
		require.Len(t, want, n)
		for _, flag := range []string{"-D", "-XD"} {
			status, dump := kernelSetkey(t, ns, "", flag)
			require.Zero(t, status, dump)
			got := sorted(dumpStates(t, dump))
			if flag == "-D" {
				// PF_KEY does not tell AEADs, and of AES-CMAC has no number.
				got, want = without(got), without(slices.Clone(want))
			} else {
				want = sorted(ipStates(ns))
			}
			require.Equal(t, len(want), len(got), dump)
			for i := range want {
				if strings.HasPrefix(want[i].enc, "ecb(cipher_null)") {
					want[i].enc = "ecb(cipher_null) "
				}
				require.Equal(t, want[i], got[i], "%s\n%s", flag, dump)
			}
		}
	}
	for _, flag := range []string{"-c", "-Xc"} {
		for _, statement := range common {
			status, out := kernelSetkey(t, ns, statement, flag)
			require.Zero(t, status, "%s %s: %s", flag, statement, out)
		}
		compare(len(common))
		t.Logf("setkey %s: %d kinds of SAs, each as ip(8) shows it", flag, len(common))
		if flag == "-Xc" {
			for _, statement := range only {
				status, out := kernelSetkey(t, ns, statement, flag)
				require.Zero(t, status, "%s %s: %s", flag, statement, out)
			}
			compare(len(common) + len(only))
			t.Logf("and %d that only XFRM has", len(only))
		}
		status, out := kernelSetkey(t, ns, "get 10.0.0.1 10.0.0.2 esp 0x1001; deleteall fd00::1 fd00::2 ah;", flag)
		require.Zero(t, status, out)
		require.Contains(t, out, "\tE: aes-cbc  01020304 05060708 090a0b0c 0d0e0f10\n")
		require.NotContains(t, ns.Run("ip", "xfrm", "state"), "proto ah")
		status, out = kernelSetkey(t, ns, "", "-F"+strings.Trim(flag, "-c"))
		require.Zero(t, status, out)
		require.Empty(t, ipStates(ns))
	}

	// Without a key the kernel still has to be asked for null; and what it does
	// not have, it says.
	status, out := kernelSetkey(t, ns, "add 10.0.0.1 10.0.0.2 esp 0x1000 -E null;", "-c")
	t.Logf("ESP without integrity: %d %s", status, out)
	status, out = kernelSetkey(t, ns, "add 10.0.0.1 10.0.0.2 tcp 0x1000 -A tcp-md5 \"secret\";", "-c")
	require.Equal(t, failed, status)
	require.Contains(t, out, "Linux has no SAs for TCP-MD5")
	_, _ = kernelSetkey(t, ns, "", "-F")

	status, out = kernelSetkey(t, ns, "getspi 10.0.0.1 10.0.0.2 esp 0x3333; dump;", "-c")
	require.Zero(t, status, out)
	require.Contains(t, out, "spi=13107(0x00003333)")
	require.Contains(t, out, "state=larval")
	status, out = kernelSetkey(t, ns, "update 10.0.0.1 10.0.0.2 esp 0x3333 -E aes-cbc "+hexKey(16)+" -A hmac-sha1 "+hexKey(20)+"; get 10.0.0.1 10.0.0.2 esp 0x3333;", "-Xc")
	require.Zero(t, status, out)
	require.Contains(t, out, "state=mature")
}

// without drops what PF_KEY does not tell.
func without(all []ipState) (left []ipState) {
	for _, s := range all {
		if !strings.HasPrefix(s.enc, "rfc4") && !strings.HasPrefix(s.enc, "rfc7") && !strings.HasPrefix(s.auth, "cmac") && (s.proto != "esp" || s.enc != "") && (s.proto != "ah" || s.auth != "") {
			left = append(left, s)
		}
	}
	return left
}

// ipPolicies are the policies as `ip xfrm policy` shows them: selector, direction,
// priority, action and templates, a line each.
func ipPolicies(ns *lab.Namespace) (all []string) {
	for _, s := range regexp.MustCompile(`(?m)^src `).Split(ns.Run("ip", "xfrm", "policy"), -1)[1:] {
		if strings.Contains(s, "socket ") {
			continue
		}
		head, _, _ := strings.Cut(s, "\n")
		line := strings.TrimSpace("src "+head) + " dir " + group(`dir (\S+)`, s) + " priority " + group(`priority (\d+)`, s)
		if strings.Contains(s, "action block") {
			line += " block"
		}
		for _, tmpl := range regexp.MustCompile(`tmpl `).Split(s, -1)[1:] {
			line += " tmpl " + group(`src (\S+) dst (\S+)`, tmpl) + " " + group(`proto (\S+) reqid (\d+) mode (\S+)`, tmpl)
			if strings.Contains(tmpl, "level use") {
				line += " use"
			}
		}
		all = append(all, line)
	}
	slices.Sort(all)
	return all
}

// TestKernelPolicies: policies with every direction, action, mode and level, seen
// by ip(8) and in setkey's dumps.
func TestKernelPolicies(t *testing.T) {
	if !inKernel(t) {
		return
	}
	ns := lab.NewNamespace(t, "policies")
	text := `
spdadd 10.0.1.0/24 10.0.2.0/24 any -P out ipsec esp/tunnel/192.0.2.1-192.0.2.2/require;
spdadd 10.0.2.0/24 10.0.1.0/24 any -P in ipsec esp/tunnel/192.0.2.2-192.0.2.1/unique:7;
spdadd 10.0.2.0/24 10.0.1.0/24 udp -P fwd prio low discard;
spdadd fd00::1 fd00::2[80] tcp -P out prio high + 5 ipsec ipcomp/transport//use esp/transport//unique:9 ah/transport//default;
spdadd fd00::1[1024] fd00::2 tcp -P out none;
spdadd fd00::1 fd00::2 icmp6 135,0 -P out prio def - 3 none;
spdadd 10.0.0.1 10.0.0.2 gre 1.2.3.4 -P out none;
spdadd fd00:1::/64 fd00:2::/64 47 -P out ipsec ah/transport//require esp/tunnel/fd00::1-fd00::2/require;
spdadd fd00:2::/64 fd00:1::/64 47 -P in ipsec esp/tunnel/fd00::2-fd00::1/use;
`
	want := []string{
		"src 10.0.1.0/24 dst 10.0.2.0/24 dir out priority 2147483648 tmpl 192.0.2.1 192.0.2.2 esp 0 tunnel",
		"src 10.0.2.0/24 dst 10.0.1.0/24 dir in priority 2147483648 tmpl 192.0.2.2 192.0.2.1 esp 7 tunnel",
		"src 10.0.2.0/24 dst 10.0.1.0/24 dir fwd priority 2147483648 tmpl 192.0.2.2 192.0.2.1 esp 7 tunnel",
		"src 10.0.2.0/24 dst 10.0.1.0/24 proto udp dir fwd priority 3221225472 block",
		"src fd00::1/128 dst fd00::2/128 proto tcp dport 80 dir out priority 1073741819 tmpl :: :: comp 0 transport use tmpl :: :: esp 9 transport tmpl :: :: ah 0 transport",
		"src fd00::1/128 dst fd00::2/128 proto tcp sport 1024 dir out priority 2147483648",
		"src fd00::1/128 dst fd00::2/128 proto ipv6-icmp type 135 dir out priority 2147483651",
		"src 10.0.0.1/32 dst 10.0.0.2/32 proto gre key 16909060 dir out priority 2147483648",
		"src fd00:1::/64 dst fd00:2::/64 proto gre dir out priority 2147483648 tmpl :: :: ah 0 transport tmpl fd00::1 fd00::2 esp 0 tunnel",
		"src fd00:2::/64 dst fd00:1::/64 proto gre dir in priority 2147483648 tmpl fd00::2 fd00::1 esp 0 tunnel use",
		"src fd00:2::/64 dst fd00:1::/64 proto gre dir fwd priority 2147483648 tmpl fd00::2 fd00::1 esp 0 tunnel use",
	}
	slices.Sort(want)
	var dumps []string
	for _, x := range []string{"", "X"} {
		status, out := kernelSetkey(t, ns, text, "-"+x+"c")
		require.Zero(t, status, out)
		require.Equal(t, strings.Join(want, "\n"), strings.Join(ipPolicies(ns), "\n"), x)
		for _, y := range []string{"", "X"} {
			status, out := kernelSetkey(t, ns, "", "-DPN"+y)
			require.Zero(t, status, out)
			for _, entry := range []string{
				"10.0.1.0/24[any] 10.0.2.0/24[any] any\n\tout prio def ipsec\n\tesp/tunnel/192.0.2.1-192.0.2.2/require\n",
				"10.0.2.0/24[any] 10.0.1.0/24[any] any\n\tin prio def ipsec\n\tesp/tunnel/192.0.2.2-192.0.2.1/unique:7\n",
				"10.0.2.0/24[any] 10.0.1.0/24[any] any\n\tfwd prio def ipsec\n\tesp/tunnel/192.0.2.2-192.0.2.1/unique:7\n",
				"10.0.2.0/24[any] 10.0.1.0/24[any] udp\n\tfwd prio low discard\n",
				"fd00::1[any] fd00::2[80] tcp\n\tout prio high + 5 ipsec\n\tipcomp/transport//use\n\tesp/transport//unique:9\n\tah/transport//require\n",
				"fd00::1[1024] fd00::2[any] tcp\n\tout prio def none\n", "fd00::1 fd00::2 icmp6 135,0\n\tout prio def - 3 none\n",
				"10.0.0.1 10.0.0.2 gre 16909060\n\tout prio def none\n",
				"fd00:1::/64 fd00:2::/64 gre\n\tout prio def ipsec\n\tah/transport//require\n\tesp/tunnel/fd00::1-fd00::2/require\n",
				"fd00:2::/64 fd00:1::/64 gre\n\tin prio def ipsec\n\tesp/tunnel/fd00::2-fd00::1/use\n",
			} {
				require.Contains(t, out, entry, x+y)
			}
			require.Contains(t, out, "\tcreated: ")
			dumps = append(dumps, entries(out))
		}
		for _, s := range regexp.MustCompile(`spdadd (.*?) -P (\w+)`).FindAllStringSubmatch(text, -1) {
			status, out := kernelSetkey(t, ns, fmt.Sprintf("spddelete %s -P %s;", s[1], s[2]), "-"+x+"c")
			require.Zero(t, status, out)
		}
		require.Empty(t, ipPolicies(ns), "the twins too")
	}
	for _, d := range dumps {
		require.Equal(t, dumps[0], d, "what one way has installed, the other shows")
	}

	// A labelled policy is another one than that without a label.
	const labelled = ` -ctx 1 1 "system_u:object_r:ipsec_spd_t:s0"`
	for _, x := range []string{"-c", "-Xc"} {
		status, out := kernelSetkey(t, ns, "add 10.0.0.1 10.0.0.2 esp 0x1001"+labelled+" -E null -A hmac-sha1 "+hexKey(20)+"; spdadd 10.0.0.1 10.0.0.2 any"+labelled+" -P out none;", x)
		require.Zero(t, status, out)
		require.Equal(t, 1, strings.Count(ns.Run("ip", "xfrm", "state"), "security context system_u:object_r:ipsec_spd_t:s0 \n"))
		require.Equal(t, 1, strings.Count(ns.Run("ip", "xfrm", "policy"), "security context system_u:object_r:ipsec_spd_t:s0 \n"))
		for _, y := range []string{"-D", "-DP", "-DX", "-DPX"} {
			_, out := kernelSetkey(t, ns, "", y)
			require.Contains(t, out, "\tsecurity context length: 33\n\tsecurity context: system_u:object_r:ipsec_spd_t:s0\n", x+y)
		}
		for _, y := range []string{"-c", "-Xc"} {
			status, _ = kernelSetkey(t, ns, "spddelete 10.0.0.1 10.0.0.2 any -P out;", y)
			require.NotZero(t, status, x+y)
		}
		status, out = kernelSetkey(t, ns, "flush; spddelete 10.0.0.1 10.0.0.2 any"+labelled+" -P out;", map[string]string{"-c": "-Xc", "-Xc": "-c"}[x])
		require.Zero(t, status, out)
		require.Empty(t, ipPolicies(ns))
	}

	// The numbers that a kernel chooses.
	for _, x := range []string{"", "X"} {
		status, out := kernelSetkey(t, ns, "spdadd ::1 ::2 any -P in ipsec esp/transport//unique;", "-"+x+"c")
		require.Zero(t, status, out)
		_, out = kernelSetkey(t, ns, "", "-DP"+x)
		require.Regexp(t, `in prio def ipsec\n\tesp/transport//unique#\d{5}`, out)
		require.Contains(t, out, "fwd prio def ipsec\n\tesp/transport//require\n")
		status, out = kernelSetkey(t, ns, "", "-FP"+x)
		require.Zero(t, status, out)
		require.Empty(t, ipPolicies(ns))
	}

	// A socket's policy is shown, unless it is not wanted.
	conn := ns.ListenUDP(anyPort)
	defer conn.Close()
	require.NoError(t, pfkey.Linux.SetSocketPolicy(conn, false, &pfkey.Policy{Type: pfkey.PolicyBypass, Dir: pfkey.DirIn}))
	_, out := kernelSetkey(t, ns, "", "-DP")
	require.Contains(t, out, "(per-socket policy) \n\tin(socket) none\n")
	_, out = kernelSetkey(t, ns, "", "-DPN")
	require.Equal(t, "1 per-socket policy not shown (filtered by -N)\n", out)
}

// entries are a dump's, without what differs from one dump to the next, in order.
func entries(dump string) string {
	dump = regexp.MustCompile(`\t(spid|refcnt|created).*\n`).ReplaceAllString(dump, "")
	var all []string
	for _, l := range strings.SplitAfter(dump, "\n") {
		if strings.HasPrefix(l, "\t") {
			all[len(all)-1] += l
		} else if l != "" {
			all = append(all, l)
		}
	}
	slices.Sort(all)
	return strings.Join(all, "")
}

// TestKernelMonitor: -x prints what another program has the kernel do.
func TestKernelMonitor(t *testing.T) {
	if !inKernel(t) {
		return
	}
	ns := lab.NewNamespace(t, "monitor")
	r, w, err := os.Pipe()
	require.NoError(t, err)
	ctx := t.Context()
	go func() {
		ns.Do(func() { run(ctx, []string{"-x"}, nil, w, io.Discard) })
		_ = w.Close()
	}()
	seen, b := "", make([]byte, 1<<16)
	require.NoError(t, r.SetReadDeadline(time.Now().Add(3*time.Minute)))
	until := func(want string) {
		for !strings.Contains(seen, want) {
			n, err := r.Read(b)
			require.NoError(t, err, seen)
			seen += string(b[:n])
		}
	}
	until("type=11")
	ns.IP("xfrm state add src 10.0.0.1 dst 10.0.0.2 proto esp spi 0x99 mode transport enc cbc(aes) 0x0102030405060708090a0b0c0d0e0f10 auth hmac(sha1) 0x01")
	until("sadb_sa{ spi=153 ")
	status, out := kernelSetkey(t, ns, "spdadd 10.0.0.1 10.0.0.2 any -P out none;", "-c")
	require.Zero(t, status, out)
	until("sadb_x_policy{ type=1 dir=2 ")
}
