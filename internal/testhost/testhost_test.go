package testhost_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/testhost"
)

// asProgram in the environment makes the test binary a program that says what its
// value is and waits for the end of its input.
const asProgram = "RACOON_TESTHOST_SAYS"

func TestMain(m *testing.M) {
	if says := os.Getenv(asProgram); says != "" {
		fmt.Println(says)
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(3)
	}
	os.Exit(m.Run())
}

func TestProcess(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), asProgram+"=ready")
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	var log testhost.Log
	p := testhost.Start(t, cmd, &log)
	p.Await("ready", 1)
	require.NoError(t, in.Close())
	require.Equal(t, 3, p.Wait())
	require.Equal(t, "ready\n", log.String())
	p.Kill() // harmless after the end
}

// ended is a test that takes the end of another one down.
type ended struct {
	testing.TB
	failed, skipped bool
	said            string
}

func (e *ended) Helper() {}
func (e *ended) Fatal(args ...any) {
	e.failed, e.said = true, fmt.Sprint(args...)
	panic(e)
}
func (e *ended) Fatalf(format string, args ...any) { e.Fatal(fmt.Sprintf(format, args...)) }
func (e *ended) Skip(args ...any) {
	e.skipped, e.said = true, fmt.Sprint(args...)
	panic(e)
}

func (e *ended) by(f func()) {
	defer func() { _ = recover() }()
	f()
}

// Whoever writes no more is not waited for.
func TestAwaitEnd(t *testing.T) {
	var log testhost.Log
	fmt.Fprintln(&log, "once")
	done := make(chan struct{})
	close(done)
	log.Await(t, "once", 1, done)
	e := new(ended)
	e.by(func() { log.Await(e, "once", 2, done) })
	require.True(t, e.failed)
	require.Contains(t, e.said, "once\n", "the log is told")
}

func TestMissing(t *testing.T) {
	e := new(ended)
	t.Setenv("RACOON_REQUIRE_PEERS", "")
	e.by(func() { testhost.Missing(e, "no %s here", "man(1)") })
	require.True(t, e.skipped)
	require.Equal(t, "no man(1) here", e.said)
	t.Setenv("RACOON_REQUIRE_PEERS", "1")
	e = new(ended)
	e.by(func() { testhost.Missing(e, "no %s here", "man(1)") })
	require.True(t, e.failed)
}

func TestDirAndPorts(t *testing.T) {
	var dir string
	t.Run("dir", func(t *testing.T) {
		dir = testhost.Dir(t)
		require.DirExists(t, dir)
	})
	require.NoDirExists(t, dir)
	ports := testhost.Ports(t, 3)
	require.Len(t, ports, 3)
	require.NotEqual(t, ports[0], ports[1])
	require.False(t, strings.Contains(fmt.Sprint(ports), " 0"))
}
