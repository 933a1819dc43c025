//go:build linux

package interop_test

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/control"
	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/internal/testhost"
)

// ikedPatience is for what takes seconds, on a machine that is busy.
const ikedPatience = testhost.Patience

// iked is a daemon with a folder of its files at a site.
type iked struct {
	*testing.T
	site *lab.Site
	dir  string
	name string

	out     *testhost.Log     // of all its lives
	process *testhost.Process // the present one
}

func newIked(t *testing.T, site *lab.Site) *iked {
	d := &iked{T: t, site: site, dir: testhost.Dir(t), name: "iked"}
	d.out = testhost.NewLog(t, "%v", d)
	return d
}

func (d *iked) String() string { return d.name + " at " + d.site.Name }

// log is what it has written, in whole lines.
func (d *iked) log() string { return d.out.Lines() }

func (d *iked) path(name string) string { return filepath.Join(d.dir, name) }

func (d *iked) file(name, content string) {
	d.Helper()
	require.NoError(d, os.MkdirAll(filepath.Dir(d.path(name)), 0o700))
	require.NoError(d, os.WriteFile(d.path(name), []byte(content), 0o600))
}

// script writes a program for a hook.
func (d *iked) script(name, content string) {
	d.Helper()
	d.file(name, content)
	require.NoError(d, os.Chmod(d.path(name), 0o700))
}

// sampleHooks writes the sample hook scripts, which keep their logs in the folder.
func (d *iked) sampleHooks() {
	d.Helper()
	all, err := filepath.Glob(filepath.Join("..", "..", "examples", "conf", "hooks", "*"))
	require.NoError(d, err)
	require.NotEmpty(d, all)
	for _, f := range all {
		d.script("hooks/"+filepath.Base(f), strings.ReplaceAll(readFile(d.T, f), "/var/log/", d.dir+"/"))
	}
}

// recordHooks writes scripts that keep their environment in a file with the name
// of the event.
func (d *iked) recordHooks(names ...string) {
	d.Helper()
	for _, n := range names {
		d.script("hooks/"+n, fmt.Sprintf("#!/bin/sh\nenv >%[1]s/$1.new\nmv %[1]s/$1.new %[1]s/$1.env\n", d.dir))
	}
}

// recorded waits for the environment of a hook.
func (d *iked) recorded(event string) map[string]string {
	d.Helper()
	d.eventually(func() bool { _, err := os.Stat(d.path(event + ".env")); return err == nil }, "the hook of "+event)
	env := make(map[string]string)
	for line := range strings.Lines(readFile(d.T, d.path(event+".env"))) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		env[name] = value
	}
	return env
}

func (d *iked) eventually(ok func() bool, what string) {
	d.Helper()
	for end := time.Now().Add(ikedPatience); !ok(); time.Sleep(20 * time.Millisecond) {
		require.True(d, time.Now().Before(end), "not within %v: %s", ikedPatience, what)
	}
}

// configure writes the configuration: a text with replacements, in pairs.
func (d *iked) configure(text string, replace ...string) {
	d.Helper()
	for i := 0; i < len(replace); i += 2 {
		require.Contains(d, text, replace[i])
		text = strings.ReplaceAll(text, replace[i], replace[i+1])
	}
	d.file("racoon.toml", text)
}

// sample is a configuration of the project's own.
func sample(t *testing.T, name string) string {
	b, err := os.ReadFile(filepath.Join("..", "..", "examples", "conf", name))
	require.NoError(t, err)
	return string(b)
}

func readFile(t *testing.T, path string) string {
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(b)
}

// start starts the daemon and waits until it is ready.
func (d *iked) start(args ...string) {
	d.Helper()
	n := d.out.Count("msg=ready")
	d.launch(append([]string{"-c", d.path("racoon.toml"), "-state", d.path("state"), "-s", d.path("control")}, args...)...)
	d.await("msg=ready", n+1)
}

// launch starts a process of this test binary at the site.
func (d *iked) launch(args ...string) {
	d.Helper()
	self, err := os.Executable()
	require.NoError(d, err)
	cmd := exec.Command("nsenter", append([]string{"--net=" + d.site.Path(), self}, args...)...)
	cmd.Env = append(os.Environ(), runDaemon+"="+d.name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	d.process = testhost.Start(d, cmd, d.out)
}

// await waits until the log has a text n times.
func (d *iked) await(text string, n int) { d.Helper(); d.process.Await(text, n) }

func (d *iked) signal(s os.Signal) { d.Helper(); d.process.Signal(s) }

// stop ends the daemon in order.
func (d *iked) stop() { d.Helper(); d.process.Stop(syscall.SIGTERM) }

// kill ends it without a word.
func (d *iked) kill() { d.process.Kill() }

func (d *iked) client() *control.Client {
	c := control.NewClient(d.path("control"))
	d.Cleanup(c.Close)
	return c
}

// reach sends echo requests until one is answered, such as after a start: then
// several in a row.
func (d *iked) reach(from, to netip.Addr) {
	d.Helper()
	for end := time.Now().Add(ikedPatience); ; {
		if n, err := d.site.Ping(from, to, 1, 56); err == nil && n == 1 {
			break
		}
		require.True(d, time.Now().Before(end), "no answer from %v to %v", to, from)
	}
	d.site.MustPing(from, to)
}

// untouched is what a daemon may change of a host, for comparison.
func untouched(s *lab.Site) string {
	return strings.ReplaceAll(s.Run("ip", "-o", "-4", "addr")+s.Run("ip", "-4", "route")+s.Run("ip", "rule"), "linkdown ", "")
}
