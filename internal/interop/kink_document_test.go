//go:build linux

package interop

import (
	"bufio"
	"fmt"
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

// TestKINKDocument carries out the commands of docs/kink.md, in a kernel of its own
// where each of the two hosts has its own files.
func TestKINKDocument(t *testing.T) {
	t.Parallel()
	commands := consoleCommands(t, "../../docs/kink.md")
	require.Len(t, commands, 10, "ten commands")
	dir := os.Getenv("RACOON_KINK_DOCUMENT") // with the program; there is no compiling in the lab kernel
	if !lab.InsideKernel() {
		lab.Require(t, lab.UML, lab.MITKDC)
		dir = t.TempDir()
		build := exec.Command("go", "build", "-o", dir, "../../examples/kinkd")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		out, err := build.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	if !lab.InKernel(t, lab.KernelOptions{Env: []string{"RACOON_KINK_DOCUMENT=" + dir}}) {
		return
	}
	a, b := lab.NewPair(t)
	root := t.TempDir()
	hosts := map[string]*shell{}
	for name, at := range map[string]struct {
		site *lab.Site
		addr string
	}{"alpha": {a, "192.0.2.1"}, "beta": {b, "192.0.2.2"}} {
		at.site.IP("addr add " + at.addr + "/24 dev " + at.site.Device)
		hosts[name] = startShell(t, at.site, root, name, dir)
	}
	defer func() {
		if t.Failed() {
			for name, h := range hosts {
				policies, _ := h.run("ip xfrm policy; ip xfrm state", "")
				t.Logf("kinkd of %s:\n%s\n%s", name, h.log(), policies)
			}
		}
	}()
	for _, c := range commands {
		in := ""
		if strings.HasPrefix(c.text, "kdb5_util") {
			in = "a password\na password\n"
		}
		out, err := hosts[c.host].run(c.text, in)
		if strings.HasPrefix(c.text, "ping ") && err != nil { // a reader would try again
			out, err = hosts[c.host].run(c.text, in)
		}
		t.Logf("%s# %s\n%s", c.host, c.text, out)
		require.NoError(t, err, "%s# %s", c.host, c.text)
		switch {
		case strings.HasPrefix(c.text, "cp "): // the reader takes longer to type
			require.Eventually(t, func() bool { return strings.Contains(hosts[c.host].log(), "listening") }, patience, 100*time.Millisecond)
			require.Eventually(t, func() bool {
				out, _ := hosts[c.host].run("ip xfrm policy", "")
				return strings.Contains(out, "dir out") || c.host == "beta"
			},
				patience, 200*time.Millisecond)
		case strings.HasPrefix(c.text, "ping "):
			require.Regexp(t, ` [1-4] received`, out) // not those that have waited too long
		case strings.HasPrefix(c.text, "ip "):
			keys := regexp.MustCompile(`(?m)^\s(?:aead|enc|auth\S*) \S+ (0x[0-9a-f]+)`).FindAllStringSubmatch(out, -1)
			require.Len(t, keys, 2, out)
			require.NotEqual(t, keys[0][1], keys[1][1])
			require.Contains(t, out, "mode transport")
		}
	}
	// What was said was said in ESP, both ways.
	out, err := hosts["alpha"].run("ip -s xfrm state", "")
	require.NoError(t, err)
	require.Len(t, regexp.MustCompile(`[1-9]\d*\(bytes\), [1-9]\d*\(packets\)`).FindAllString(out, -1), 2, out)
	info, err := os.Stat(filepath.Join(root, "beta/etc/racoon/beta.keytab"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

// A consoleCommand is a line of a document that a person is to type at a host.
type consoleCommand struct{ host, text string }

// consoleCommands reads the console blocks of a document: each line is a prompt,
// such as alpha#, and a command.
func consoleCommands(t *testing.T, path string) (all []consoleCommand) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		for line := range strings.Lines(block[1]) {
			host, command, ok := strings.Cut(strings.TrimSpace(line), "# ")
			require.True(t, ok, line)
			all = append(all, consoleCommand{host, command})
		}
	}
	return all
}

// A shell is a person at one of the hosts: a shell in its network, with its own
// /etc, /run and database of the KDC.
type shell struct {
	t    *testing.T
	in   io.Writer
	out  *bufio.Reader
	logs string
	n    int
}

// prelude makes the files of a host its own. $1 is the folder of all hosts' files,
// $2 the host, $3 where kinkd is, $4 where the sample configurations are.
const prelude = `
set -e
h=$1/$2
mkdir -p $h $h/run $h/krb5kdc $h/home $h/var-run
cp -a /etc $h/etc
rm -rf $h/etc/krb5.conf $h/etc/krb5kdc/stash $h/etc/krb5kdc/.k5* $h/etc/racoon $h/etc/krb5.keytab
mkdir -p $h/etc/krb5kdc /var/lib/krb5kdc
printf '127.0.0.1 localhost\n192.0.2.1 alpha.example.org alpha\n192.0.2.2 beta.example.org beta\n' >$h/etc/hosts
mount --make-rprivate /
mount --bind $h/etc /etc
mount --bind $h/run /run
mount --bind $h/krb5kdc /var/lib/krb5kdc
ln -s "$4" $h/home/conf
cp "$3/kinkd" /run/kinkd-program
hostname $2 2>/dev/null || true
cd $h/home
set +e
export LC_ALL=C PATH=/run/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
unset KRB5_CONFIG KRB5CCNAME KRB5_KDC_PROFILE
mkdir -p /run/bin
program() { printf '#!/bin/sh\n%s\n' "$2" >/run/bin/$1; chmod 755 /run/bin/$1; }
program kinkd "exec /run/kinkd-program \"\$@\" >$h/log 2>&1"
program apt-get 'test "$1" = install && shift && dpkg -s "$@" >/dev/null'
program ssh 'test "$1 $2 $3" = "beta mkdir -p" && mkdir -p "'$1'/beta$4"'
program scp 'case $2 in beta:/*) cp -p "$1" "'$1'/beta${2#beta:}";; *) exit 1;; esac'
`

func startShell(t *testing.T, site *lab.Site, root, host, programs string) *shell {
	t.Helper()
	samples, err := filepath.Abs("../../examples/conf")
	require.NoError(t, err)
	cmd := exec.Command("nsenter", "--net="+site.Path(), "unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "sh", "-s", root, host, programs, samples)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	cmd.Stdout, cmd.Stderr = w, w
	require.NoError(t, cmd.Start())
	require.NoError(t, w.Close())
	s := &shell{t: t, in: in, out: bufio.NewReader(r), logs: filepath.Join(root, host, "log")}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = r.Close()
	})
	_, err = s.run(prelude, "")
	require.NoError(t, err)
	return s
}

// run types a command and waits for its end.
func (s *shell) run(command, stdin string) (string, error) {
	s.t.Helper()
	s.n++
	mark := fmt.Sprintf("--- %d ---", s.n)
	input := "</dev/null"
	if stdin != "" {
		input = "<<'EOF'\n" + stdin + "EOF"
	}
	_, err := fmt.Fprintf(s.in, "{ %s\n} %s\necho \"%s $?\"\n", command, input, mark)
	require.NoError(s.t, err)
	var out strings.Builder
	for {
		line, err := s.out.ReadString('\n')
		require.NoError(s.t, err, "%s", out.String())
		if status, ok := strings.CutPrefix(line, mark+" "); ok {
			if status = strings.TrimSpace(status); status != "0" {
				return out.String(), fmt.Errorf("status %s: %s", status, out.String())
			}
			return out.String(), nil
		}
		out.WriteString(line)
	}
}

// log is what kinkd has written.
func (s *shell) log() string {
	b, _ := os.ReadFile(s.logs)
	return string(b)
}
