package main

import (
	"bytes"
	"context"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/pfkey/pfkeytest"
	"github.com/racoon3/racoon/xfrm"
	"github.com/racoon3/racoon/xfrm/xfrmtest"
)

var now = time.Date(2026, 11, 22, 1, 6, 42, 0, time.UTC)

// testHost is a host with kernels in memory.
type testHost struct {
	host
	pf *pfkeytest.Kernel
	xf *xfrmtest.Kernel
}

func newHost(d *pfkey.Dialect) *testHost {
	h := &testHost{pf: pfkeytest.NewKernel(pfkeytest.Config{Dialect: d, Now: now}), xf: xfrmtest.NewKernel()}
	h.xf.Now = func() time.Time { return now }
	h.host = host{
		pfkey:   func() (pfkey.Conn, error) { return h.pf.Connect(), nil },
		dialect: d,
		xfrm:    func() (xfrm.Dialer, func(), error) { return h.xf.Dial, func() {}, nil },
		now:     func() time.Time { return now }, location: time.UTC, after: time.After,
	}
	return h
}

func (h *testHost) setkey(t *testing.T, stdin string, args ...string) (status int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	status = h.run(t.Context(), args, strings.NewReader(stdin), &o, &e)
	return status, o.String(), e.String()
}

func (h *testHost) must(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	status, out, errs := h.setkey(t, stdin, args...)
	require.Zero(t, status, "%s%s", out, errs)
	require.Empty(t, errs)
	return out
}

const script = `
flush; spdflush;
add 10.0.0.1 10.0.0.2 esp 0x1000 -m tunnel -u 7 -r 32 -lh 1800 -E aes-cbc "0123456789abcdef" -A hmac-sha1 "this is the test key";
add 10.0.0.1 10.0.0.2 ah 0x1001 -A hmac-sha256 0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f;
spdadd 10.0.1.0/24 10.0.2.0/24 any -P out ipsec esp/tunnel/10.0.0.1-10.0.0.2/unique:7;
spdadd 10.0.2.0/24[80] 10.0.1.0/24 tcp -P in prio high ipsec esp/tunnel/10.0.0.2-10.0.0.1/require;
`

// TestBothWays: over PF_KEY and over XFRM the same file makes the same SAs and
// policies, and the same dumps of them.
func TestBothWays(t *testing.T) {
	h := newHost(pfkey.Linux)
	file := filepath.Join(t.TempDir(), "ipsec.conf")
	require.NoError(t, os.WriteFile(file, []byte(script), 0o600))
	require.Empty(t, h.must(t, "", "-f", file))
	require.Empty(t, h.must(t, "", "-Xf"+file))
	require.Len(t, h.pf.SAs(), 2)
	require.Len(t, h.xf.SAs(), 2)
	require.Len(t, h.pf.Policies(), 3, "with the twin for forwarded packets")
	require.Len(t, h.xf.Policies(), 3)

	comparable := func(s string) (entries []string) {
		for _, l := range strings.SplitAfter(s, "\n") {
			switch {
			case strings.HasPrefix(l, "\tsadb_seq=") || strings.HasPrefix(l, "\tspid=") || strings.HasPrefix(l, "\trefcnt="):
			case strings.HasPrefix(l, "\t"):
				entries[len(entries)-1] += l
			default:
				entries = append(entries, l)
			}
		}
		slices.Sort(entries) // each has an order of its own
		return entries
	}
	sad := h.must(t, "", "-D")
	require.Contains(t, sad, "10.0.0.1 10.0.0.2 \n\tesp mode=tunnel spi=4096(0x00001000) reqid=7(0x00000007)\n\tE: aes-cbc  30313233 34353637 38396162 63646566\n")
	require.Equal(t, comparable(sad), comparable(h.must(t, "", "-XD")))
	spd := h.must(t, "", "-DP")
	require.Contains(t, spd, "10.0.2.0/24[80] 10.0.1.0/24[any] tcp\n\tin prio high ipsec\n\tesp/tunnel/10.0.0.2-10.0.0.1/require\n")
	require.Contains(t, spd, "\tfwd prio high ipsec\n")
	require.Equal(t, comparable(spd), comparable(h.must(t, "", "--xfrm", "-PD")))
	require.Contains(t, h.must(t, "", "-DPp"), "esp/tunnel/10.0.0.2[0]-10.0.0.1[0]/require")

	require.Contains(t, h.must(t, "get 10.0.0.1 10.0.0.2 ah 0x1001;", "-Xc"), "\tah mode=transport")
	for _, x := range []string{"", "-X"} {
		require.Empty(t, h.must(t, "delete 10.0.0.1 10.0.0.2 ah 0x1001; deleteall 10.0.0.1 10.0.0.2; spddelete 10.0.1.0/24 10.0.2.0/24 any -P out; spddelete 10.0.2.0/24[80] 10.0.1.0/24 tcp -P in;", strings.Fields(x+" -c")...))
		require.Equal(t, "No SAD entries.\n", h.must(t, "", strings.Fields(x+" -D")...))
		require.Equal(t, "No SPD entries.\n", h.must(t, "", strings.Fields(x+" -DP")...))
		h.must(t, script, strings.Fields(x+" -k -f -")...)
	}
	require.Len(t, h.pf.Policies(), 2, "-k: without the twin")
	require.Len(t, h.xf.Policies(), 2)
	h.must(t, "", "-F")
	h.must(t, "", "-XF")
	h.must(t, "", "-FP")
	h.must(t, "", "-XPF")
	require.Empty(t, h.pf.SAs())
	require.Empty(t, h.xf.SAs())
	require.Empty(t, h.pf.Policies())
	require.Empty(t, h.xf.Policies())
}

// TestXFRM: what only XFRM has.
func TestXFRM(t *testing.T) {
	h := newHost(pfkey.Linux)
	key := "0x" + strings.Repeat("2a", 36)
	out := h.must(t, "add fd00::1 fd00::2 esp 0x1000 -E aes-gcm "+key+"; add fd00::1 fd00::2 esp 0x1001 -r 128 -E chacha20-poly1305 "+key+"; add fd00::1 fd00::2 ah 0x1002 -A aes-cmac \"0123456789abcdef\";"+
		"add 10.0.0.1 10.0.0.2[33000] esp-udp 192.168.1.1 0x1003 -E aes-cbc \"0123456789abcdef\" -A hmac-sha256 "+key[:66]+"; add 10.0.0.1 10.0.0.2 ipcomp 2 -C deflate; dump;", "-Xc")
	sas := h.xf.SAs()
	require.Len(t, sas, 5)
	require.Equal(t, "rfc4106(gcm(aes))", sas[0].AEAD.Name)
	require.EqualValues(t, 128, sas[0].AEAD.ICVBits)
	require.Len(t, sas[0].AEAD.Key, 36)
	require.EqualValues(t, 128, sas[1].ReplayESN.Window)
	require.EqualValues(t, 128, sas[3].Auth.ICVBits, "RFC 4868")
	require.Equal(t, xfrm.Encap{Type: xfrm.EncapUDP, SrcPort: 4500, DstPort: 33000, Original: netip.MustParseAddr("192.168.1.1")}, sas[3].Encap)
	for _, want := range []string{"\tE: aes-gcm-16  2a2a2a2a", "\tE: chacha20-poly1305  2a2a", "replay=128", "\tA: aes-cmac  3031", "10.0.0.1[4500] 10.0.0.2[33000] \n\tesp-udp", "NAT OA=192.168.1.1", "\tC: deflate \tseq="} {
		require.Contains(t, out, want)
	}
	h.must(t, "getspi 10.0.0.1 10.0.0.9 esp 0x2222;", "-Xc")
	require.Contains(t, h.must(t, "get 10.0.0.1 10.0.0.9 esp 0x2222;", "-Xc"), "state=larval")
	h.must(t, "update 10.0.0.1 10.0.0.9 esp 0x2222 -E null;", "-Xc")
	require.Contains(t, h.must(t, "get 10.0.0.1 10.0.0.9 esp 0x2222;", "-Xc"), "\tE: null \n")

	h.must(t, "spdadd ::1 ::1 any -P out ipsec esp/transport//unique ah/transport//unique;spdadd ::1 ::1 tcp -P out ipsec esp/transport//unique;spdadd ::1 ::1 udp -P out discard;", "-Xc")
	spd := h.must(t, "", "-XDP")
	for _, want := range []string{"esp/transport//unique#16384\n\tah/transport//unique#16385\n", "esp/transport//unique#16386", "discard"} {
		require.Contains(t, spd, want)
	}
	for text, want := range map[string]string{
		"add ::1 ::1 tcp 0x1000 -A tcp-md5 \"k\";":                 "XFRM has no SAs for tcp",
		"add ::1 ::1 ah 0x1000 -A keyed-md5 \"0123456789abcdef\";": "XFRM has no keyed-md5",
		"add ::1 ::1 esp 0x1000 -r 5000 -E null;":                  "4096 at most",
		"spdadd ::1 ::1 any -P in bypass;":                         "bypass is for policies of sockets",
		"spdadd ::1 ::1 any -P in ipsec esp/any;":                  "mode any",
		"spdadd tagged \"t\" -P in none;":                          "no policies by tag",
		"get fd00::9 fd00::2 esp 0x1000;":                          "the SA comes from fd00::1",
		"delete fd00::1 fd00::2 esp 0x9999;":                       "no such entry",
	} {
		status, out, errs := h.setkey(t, text, "-Xc")
		require.Equal(t, failed, status, text)
		require.Contains(t, out, want)
		require.Equal(t, "setkey: 1 statements failed\n", errs)
	}
}

// TestMistakes: a file with a mistake changes nothing; standard input goes on.
func TestMistakes(t *testing.T) {
	h := newHost(pfkey.Linux)
	const bad = "spdadd ::1 ::1 any -P out none;\nadd ::1 ::1 esp 0x1000 -E aes-cbc \"short\";\nfrob;"
	status, out, errs := h.setkey(t, bad, "-f", "-")
	require.Equal(t, failed, status)
	require.Empty(t, out)
	require.Contains(t, errs, "<stdin>:2:35: a key of 5 octets: aes-cbc takes 16, 24 or 32 octets\n<stdin>:3:1: \"frob\": expected add")
	require.Empty(t, h.pf.Policies())
	status, out, errs = h.setkey(t, bad, "-c")
	require.Equal(t, failed, status)
	require.Contains(t, out, "<stdin>:2:35")
	require.Equal(t, "setkey: 2 statements failed\n", errs)
	require.Len(t, h.pf.Policies(), 1)

	// After an error of the kernel the rest of the file is carried out.
	status, _, errs = h.setkey(t, "spdadd ::1 ::1 any -P out none; spdadd ::1 ::1 tcp -P out none; exit; spdadd ::1 ::1 udp -P out none;", "-f", "-")
	require.Equal(t, failed, status)
	require.Contains(t, errs, "<stdin>:1:1: spdadd: pfkey: X_SPDADD: ")
	require.Len(t, h.pf.Policies(), 2)
	require.Empty(t, h.must(t, "quit; nonsense", "-c"))

	status, _, errs = h.setkey(t, "", "-f", filepath.Join(t.TempDir(), "none"))
	require.Equal(t, failed, status)
	require.Contains(t, errs, "no such file")
}

func TestNoAction(t *testing.T) {
	h := newHost(pfkey.Linux)
	h.pfkey = func() (pfkey.Conn, error) { panic("no kernel is needed") }
	require.Equal(t, "spdadd ::1 ::1 any -P in none ;\ndump ;\n", h.must(t, "spdadd ::1 ::1 any -P in none; dump;", "-nvc"))
	require.Empty(t, h.must(t, script, "-nf", "-"))
	status, _, _ := h.setkey(t, "frob;", "-nf", "-")
	require.Equal(t, failed, status)
}

func TestOptions(t *testing.T) {
	h := newHost(pfkey.Linux)
	for args, want := range map[string]string{
		"": "nothing to do", "-D -F": "only one of", "-f": "-f without its argument", "-q": "no option -q", "-D x": `"x" is of no use`, "-Xx": "is PF_KEY's", "-DPl": "-l is for SAs",
		"-XDv": "-X has none", "-nD": "-n is for -c and -f",
	} {
		status, _, errs := h.setkey(t, "", strings.Fields(args)...)
		require.Equal(t, misuse, status, args)
		require.Contains(t, errs, want)
		require.Contains(t, errs, "usage: setkey")
	}
	require.Equal(t, usage, h.must(t, "", "-?"))
	require.Contains(t, h.must(t, "", "-V"), "racoon")
	o, err := parseOptions([]string{"-xx", "-h"})
	require.NoError(t, err)
	require.Equal(t, options{mode: modeMonitor, rawTime: true, hex: true}, o)
	o, err = parseOptions([]string{"-aDNPp", "--"})
	require.NoError(t, err)
	require.Equal(t, options{mode: modeDump, all: true, noSockets: true, policies: true, ports: true}, o)
}

// TestLoop: -l dumps every second until it is told to end.
func TestLoop(t *testing.T) {
	h := newHost(pfkey.Linux)
	h.must(t, "add 10.0.0.1 10.0.0.2 esp 0x1000 -lh 90 -E null;", "-c")
	ctx, cancel := context.WithCancel(t.Context())
	ticks := 0
	h.after = func(d time.Duration) <-chan time.Time {
		require.Equal(t, time.Second, d)
		if ticks++; ticks == 3 {
			cancel()
		}
		c := make(chan time.Time, 1)
		if ticks < 3 {
			c <- now
		}
		return c
	}
	var out bytes.Buffer
	require.Zero(t, h.run(ctx, []string{"-lD"}, nil, &out, io.Discard))
	require.Equal(t, strings.Repeat("time p   s spi      ltime   src -> dst\n0642 esp M 00001000   0/90  10.0.0.1 -> 10.0.0.2\n", 3), out.String())
}

// TestVerbose: -v prints the messages of a run, -h their octets.
func TestVerbose(t *testing.T) {
	h := newHost(pfkey.NetBSD)
	out := h.must(t, "add 10.0.0.1 10.0.0.2 esp 0x1000 -E aes-cbc \"0123456789abcdef\";", "-vhc")
	require.Equal(t, 2, strings.Count(out, "sadb_msg{ version=2 type=3 errno=0 satype=3\n"), out)
	require.Contains(t, out, "00000000: 02 03 00 03 ")
	require.Contains(t, out, "sadb_key{ bits=128\n  key= 30313233 34353637 38396162 63646566 }\n")
}

// TestMonitor: -x prints what other programs do.
func TestMonitor(t *testing.T) {
	for _, d := range []*pfkey.Dialect{pfkey.Linux, pfkey.NetBSD} {
		h := newHost(d)
		ctx, cancel := context.WithCancel(t.Context())
		r, w := io.Pipe()
		done := make(chan int, 1)
		go func() {
			done <- h.run(ctx, []string{"-xh"}, nil, w, io.Discard)
			_ = w.Close()
		}()
		seen, b := "", make([]byte, 4096)
		until := func(want string) {
			for !strings.Contains(seen, want) {
				n, err := r.Read(b)
				require.NoError(t, err, seen)
				seen += string(b[:n])
			}
		}
		until("type=11") // it has begun
		other, err := pfkey.NewClient(h.pf.Connect(), pfkey.ClientConfig{Dialect: d, PID: 77})
		require.NoError(t, err)
		require.NoError(t, other.Flush(t.Context(), pfkey.SATypeESP))
		until("01:06:42.000000 \n00000000: 02 09 00 03 ")
		until("sadb_msg{ version=2 type=9 errno=0 satype=3\n")
		until("pid=77\n")
		cancel()
		go func() { _, _ = io.Copy(io.Discard, r) }()
		require.Zero(t, <-done)
		require.NoError(t, other.Close())
	}
	h := newHost(pfkey.Linux)
	p := &program{host: h.host, options: options{rawTime: true}}
	require.Equal(t, "1795309602.000000 ", p.timestamp())
}

// TestMessages: a file of messages is printed as dumps are.
func TestMessages(t *testing.T) {
	h := newHost(pfkey.Linux)
	h.must(t, script, "-c")
	var file []byte
	c, err := pfkey.NewClient(h.pf.Connect(), pfkey.ClientConfig{Dialect: pfkey.Linux})
	require.NoError(t, err)
	defer c.Close()
	for _, typ := range []pfkey.MsgType{pfkey.MsgDump, pfkey.MsgSPDDump} {
		for m, err := range c.Messages(t.Context(), &pfkey.Message{Header: pfkey.Header{Type: typ}}) {
			require.NoError(t, err)
			file, err = pfkey.Linux.Append(file, m)
			require.NoError(t, err)
		}
	}
	name := filepath.Join(t.TempDir(), "messages")
	require.NoError(t, os.WriteFile(name, file, 0o600))
	require.Equal(t, h.must(t, "", "-D")+h.must(t, "", "-DP"), h.must(t, "", name))
	require.Contains(t, h.must(t, "", "-h", name), "00000000: 02 0a ")
	for n := 1; n < len(file); n += 7 {
		require.NoError(t, os.WriteFile(name, file[:n], 0o600))
		status, _, errs := h.setkey(t, "", name)
		require.True(t, status == failed && strings.Contains(errs, "no message of PF_KEY at octet") || status == 0)
	}
}
