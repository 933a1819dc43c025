package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/lab"
)

// runSetkey in the environment makes the test binary the program.
const runSetkey = "RACOON_RUN_SETKEY"

func TestMain(m *testing.M) {
	if os.Getenv(runSetkey) != "" {
		main()
	}
	os.Exit(m.Run())
}

// process is setkey as a process of its own in a namespace.
func process(t *testing.T, ns *lab.Namespace, stdin string, args ...string) (status int, out string) {
	t.Helper()
	c := command(t, ns, args...)
	c.Stdin = strings.NewReader(stdin)
	b, err := c.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil {
		require.ErrorAs(t, err, &exit, "%s", b)
	}
	return c.ProcessState.ExitCode(), string(b)
}

func command(t *testing.T, ns *lab.Namespace, args ...string) *exec.Cmd {
	self, err := os.Executable()
	require.NoError(t, err)
	c := exec.Command("nsenter", append([]string{"--net=" + ns.Path(), self}, args...)...)
	c.Env = append(os.Environ(), runSetkey+"=1")
	return c
}

// TestKernelProcess goes through the language and the options of setkey(8) with
// the program in a kernel, and has ip(8) say what came of it.
func TestKernelProcess(t *testing.T) {
	if !inKernel(t) {
		return
	}
	lab.LoadAlgorithms(t)
	ns := lab.NewNamespace(t, "process")
	dir := t.TempDir()
	ok := func(stdin string, args ...string) string {
		t.Helper()
		status, out := process(t, ns, stdin, args...)
		require.Zero(t, status, out)
		return out
	}
	states := func() string { return ns.Run("ip", "-s", "xfrm", "state") }
	policies := func() string { return ns.Run("ip", "xfrm", "policy", "list", "nosock") }

	for _, x := range []string{"", "X"} {
		// -f file: comments, quoted and hexadecimal keys, every extension, include of
		// nothing; -n changes nothing, -nv prints what it would do.
		text := `# a comment
add -4 10.0.0.1 10.0.0.2 esp 0x1000 -m tunnel -u 9 -r 32 -lh 3600 -ls 3000 -bh 2000000 -bs 1000000
	-E aes-cbc "0123456789abcdef" -A hmac-sha1 0x000102030405060708090a0b0c0d0e0f10111213;	# two lines
add -6n fd00::1 fd00::2 ah 4097 -m transport -A hmac-md5 "sixteen octets !";
add 10.0.0.1[4500] 10.0.0.2[4501] esp-udp 0x1002 -f zero-pad -E 3des-cbc "0123456789abcdef01234567" -A hmac-sha1 "twenty octets are it";
add 10.0.0.1 10.0.0.2 esp 0x1003 -f nocyclic-seq -E null -A hmac-sha256 "this is a key of thirty-two oct.";
add 10.0.0.1 10.0.0.2 ipcomp 0x1004 -C deflate;
spdadd -n 10.0.1.0/24[any] 10.0.2.0/24[53] udp -P out prio low ipsec esp/tunnel/10.0.0.1-10.0.0.2/unique:9;
spdadd 10.0.2.0/24 10.0.1.0/24 any -P in ipsec esp/tunnel/10.0.0.2-10.0.0.1/require;
exit;
add 10.0.0.1 10.0.0.2 esp 0x1fff -E null -A hmac-sha1 "twenty octets are it";
`
		file := filepath.Join(dir, "setkey.conf"+x)
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		require.Contains(t, ok("", "-"+x+"nvf", file), "add -4 10.0.0.1 10.0.0.2 esp 0x1000")
		require.Empty(t, states())
		ok("", "-"+x+"f", file)
		s := states()
		require.Equal(t, 5, len(ipStates(ns)), s)
		for _, want := range []string{
			"proto esp spi 0x00001000(4096) reqid 9(0x00000009) mode tunnel", "replay-window 32", "auth-trunc hmac(sha1) 0x000102030405060708090a0b0c0d0e0f10111213 (160 bits) 96",
			"enc cbc(aes) 0x30313233343536373839616263646566 (128 bits)", "limit: soft 1000000(bytes), hard 2000000(bytes)", "expire add: soft 3000(sec), hard 3600(sec)",
			"proto ah spi 0x00001001(4097)", "encap type espinudp sport 4500 dport 4501", "proto comp spi 0x00001004(4100)",
		} {
			require.Contains(t, s, want)
		}
		p := policies()
		require.Contains(t, p, "src 10.0.1.0/24 dst 10.0.2.0/24 proto udp dport 53")
		require.Equal(t, 3, strings.Count(p, "tmpl "), "the fwd twin of -r, the default")

		// -D with -p, -a, -N, -P and -l.
		require.Contains(t, ok("", "-"+x+"D"), "10.0.0.1 10.0.0.2 \n\tesp mode=tunnel spi=4096(0x00001000) reqid=9(0x00000009)")
		require.Contains(t, ok("", "-"+x+"Dp"), "10.0.0.1[4500] 10.0.0.2[4501]")
		require.Equal(t, 5, strings.Count(ok("", "-"+x+"Da"), "state="))
		require.Contains(t, ok("", "-"+x+"DPN"), "esp/tunnel/10.0.0.1-10.0.0.2/unique:9")
		watched(t, command(t, ns, "-"+x+"lD"), func(seen string) bool { return strings.Count(seen, "esp M 00001000 ") == 2 })

		// get, update of a larval SA, delete, deleteall, flush and dump of a protocol.
		require.Contains(t, ok("get 10.0.0.1 10.0.0.2 esp 0x1000;", "-"+x+"c"), "spi=4096(0x00001000)")
		require.Contains(t, ok("getspi 10.0.0.1 10.0.0.2 esp 0x2000; dump esp;", "-"+x+"c"), "state=larval")
		ok("update 10.0.0.1 10.0.0.2 esp 0x2000 -E aes-cbc \"0123456789abcdef\" -A hmac-sha1 \"twenty octets are it\";", "-"+x+"c")
		require.Contains(t, states(), "spi 0x00002000")
		ok("delete 10.0.0.1 10.0.0.2 esp 0x2000;", "-"+x+"c")
		require.NotContains(t, states(), "spi 0x00002000")
		require.NotContains(t, ok("dump ah;", "-"+x+"c"), "spi=4096")
		ok("flush ah;", "-"+x+"c")
		require.NotContains(t, states(), "proto ah")
		ok("deleteall 10.0.0.1 10.0.0.2 esp;", "-"+x+"c")
		require.Len(t, ipStates(ns), 1, "IPComp is left")
		status, out := process(t, ns, "delete 10.0.0.1 10.0.0.2 esp 0x2000;", "-"+x+"c")
		require.Equal(t, failed, status)
		require.Contains(t, out, "<stdin>:1:1: delete: no such entry")
		ok("", "-"+x+"F")
		require.Empty(t, ipStates(ns))

		// spdupdate, spddelete, spddump, spdflush; -k has no twin.
		ok("spdupdate 10.0.2.0/24 10.0.1.0/24 any -P in discard;", "-"+x+"c")
		require.Contains(t, policies(), "dir in action block")
		require.Contains(t, ok("spddump;", "-"+x+"c"), "in prio def discard")
		ok("spddelete 10.0.1.0/24 10.0.2.0/24[53] udp -P out;", "-"+x+"c")
		require.NotContains(t, policies(), "dir out")
		ok("spdflush;", "-"+x+"c")
		require.Empty(t, policies())
		ok("spdadd ::1 ::2 any -P in ipsec esp/transport//require;", "-"+x+"kc")
		require.NotContains(t, policies(), "dir fwd", "-k")
		ok("", "-"+x+"FP")
		require.Empty(t, policies())
		ok("spdadd ::1 ::2 any -P in ipsec esp/transport//require;", "-"+x+"rc")
		require.Contains(t, policies(), "dir fwd", "-r")
		ok("", "-"+x+"PF")

		// What Linux does not have is said, with the place.
		for statement, want := range map[string]string{
			"add 10.0.0.1 10.0.0.2 tcp 0x1000 -A tcp-md5 \"secret\";":                        "TCP-MD5|XFRM has no SAs for tcp",
			"spdadd tagged \"voip\" -P out none;":                                            "tag",
			"add 10.0.0.1 10.0.0.2 esp 0x1000 -E aes-cbc \"short\";":                         "^<stdin>:1:",
			"spdadd 10.0.0.1 10.0.0.2 any -P out ipsec esp/tunnel/10.0.0.1-fd00::1/require;": "^<stdin>:1:",
		} {
			status, out := process(t, ns, statement, "-"+x+"c")
			require.Equal(t, failed, status, statement)
			require.Regexp(t, want, out, statement)
		}
	}

	// -v and -h (-H) show the messages of PF_KEY and their octets; -x those of others.
	out := ok("add 10.0.0.1 10.0.0.2 esp 0x1000 -E aes-cbc \"0123456789abcdef\" -A hmac-sha1 \"twenty octets are it\";", "-vHc")
	require.Contains(t, out, "sadb_msg{ version=2 type=3 errno=0 satype=3")
	require.Contains(t, out, "00000000: 02 03 00 03 ")
	require.Regexp(t, regexp.MustCompile(`(?s)type=10 .*type=10 `), ok("", "-vhD"))
	ok("", "-F")
	begun := false
	watched(t, command(t, ns, "-x"), func(seen string) bool {
		if !begun && strings.Contains(seen, "type=11") {
			begun = true
			ok("add 10.0.0.1 10.0.0.2 ah 0x1000 -A hmac-md5 \"sixteen octets !\";", "-c")
		}
		return strings.Contains(seen, "sadb_sa{ spi=4096 ")
	})
}

// watched runs a program that has no end until done is content with its output, and
// has it end in order.
func watched(t *testing.T, c *exec.Cmd, done func(seen string) bool) {
	t.Helper()
	r, err := c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	kill := time.AfterFunc(3*time.Minute, func() { _ = c.Process.Kill() })
	defer kill.Stop()
	seen, b := "", make([]byte, 1<<16)
	for !done(seen) {
		n, err := r.Read(b)
		require.NoError(t, err, seen)
		seen += string(b[:n])
	}
	require.NoError(t, c.Process.Signal(syscall.SIGTERM))
	_, _ = io.Copy(io.Discard, r)
	require.NoError(t, c.Wait())
}
