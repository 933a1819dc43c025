package statefile_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/spd/statefile"
)

func stored(t testing.TB, name, remote string, reqID uint32) spd.StoredPolicy {
	local, err := spd.ParseTrafficSelector("10.1.0.0/16[udp/500-600]")
	require.NoError(t, err)
	rem, err := spd.ParseTrafficSelector(remote)
	require.NoError(t, err)
	return spd.StoredPolicy{Name: name, Generated: reqID%2 == 0, Policy: spd.Policy{
		Direction: spd.Out, Selector: spd.Selector{Local: local, Remote: rem}, Action: spd.ActionTrap, Priority: 1000, ReqID: reqID,
		Protocol: spd.ProtoAH, Inner: [2]spd.Protocol{spd.ProtoIPComp, spd.ProtoESP}, Mode: spd.ModeTransport,
		Local: netip.MustParseAddr("192.0.2.1"), Mark: spd.Mark{Value: 1, Mask: 3}, InterfaceID: 4, OptionalInbound: true,
	}}
}

func load(t testing.TB, path string) []spd.StoredPolicy {
	s, err := statefile.Open(path)
	require.NoError(t, err)
	defer s.Close()
	list, err := s.Load()
	require.NoError(t, err)
	return list
}

func TestSurvives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policies")
	s, err := statefile.Open(path)
	require.NoError(t, err)
	a, b := stored(t, "a\nb \"x\"", "10.2.0.0/16[udp]", 1), stored(t, "b", "10.3.0.1-10.3.0.9[udp/53]", 2)
	require.NoError(t, s.Add([]spd.StoredPolicy{a, b}))
	require.ElementsMatch(t, []spd.StoredPolicy{a, b}, load(t, path), "without Close, as after a crash")

	s, err = statefile.Open(path)
	require.NoError(t, err)
	require.NoError(t, s.Remove([]spd.Policy{a.Policy}))
	require.NoError(t, s.Remove([]spd.Policy{a.Policy}), "is no error")
	require.Equal(t, []spd.StoredPolicy{b}, load(t, path))
}

// A line that a crash has cut short is of a policy that was not installed.
func TestCutLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policies")
	s, err := statefile.Open(path)
	require.NoError(t, err)
	a, b := stored(t, "a", "10.2.0.0/16[udp]", 1), stored(t, "b", "10.3.0.0/16[udp]", 2)
	require.NoError(t, s.Add([]spd.StoredPolicy{a, b}))
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	one := strings.Index(string(whole[1:]), "\n+") + 1
	one += strings.Index(string(whole[one+1:]), "\n") + 2 // the end of the first policy
	for cut := one; cut < len(whole); cut++ {
		require.NoError(t, os.WriteFile(path, whole[:cut], 0o600))
		require.Equal(t, []spd.StoredPolicy{a}, load(t, path), "cut at %d of %d", cut, len(whole))
	}
}

func TestJournalIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policies")
	s, err := statefile.Open(path)
	require.NoError(t, err)
	a := stored(t, "a", "10.2.0.0/16[udp]", 1)
	for range 5000 {
		require.NoError(t, s.Add([]spd.StoredPolicy{a}))
		require.NoError(t, s.Remove([]spd.Policy{a.Policy}))
	}
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Less(t, info.Size(), int64(500<<10), "10,000 lines would be 3 MB")
	require.Empty(t, load(t, path))
}

// C26: files of other users, and what is no such file.
func TestC26_StateFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "policies")
	for name, content := range map[string]string{
		"another file": "root:x:0:0\n", "binary": "\x00\x01\n", "no sign": "racoon policies 1\n?{}\n", "not JSON": "racoon policies 1\n+{\n",
		"an invalid policy": "racoon policies 1\n+{\"local\":\"x\",\"remote\":\"10.0.0.0/8\"}\n", "a long line": "racoon policies 1\n+" + strings.Repeat("x", 100<<10) + "\n",
	} {
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		_, err := statefile.Open(path)
		require.ErrorIs(t, err, statefile.ErrFormat, name)
		now, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, content, string(now), "%s is left as it is", name)
	}
	require.NoError(t, os.Remove(path))
	s, err := statefile.Open(path)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.Error(t, s.Add([]spd.StoredPolicy{stored(t, "a", "10.2.0.0/16[udp]", 1)}), "closed")
	if runtime.GOOS == "windows" {
		return
	}
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.NoError(t, os.Chmod(path, 0o662))
	_, err = statefile.Open(path)
	require.ErrorContains(t, err, "others may write it")
	require.NoError(t, os.Chmod(path, 0o600))
	link := filepath.Join(dir, "link")
	require.NoError(t, os.Symlink(path, link))
	_, err = statefile.Open(link)
	require.ErrorContains(t, err, "not a regular file")
}

func FuzzOpen(f *testing.F) {
	path := filepath.Join(f.TempDir(), "seed")
	s, err := statefile.Open(path)
	require.NoError(f, err)
	require.NoError(f, s.Add([]spd.StoredPolicy{stored(f, "a", "10.2.0.0/16[udp]", 1)}))
	require.NoError(f, s.Close())
	seed, err := os.ReadFile(path)
	require.NoError(f, err)
	f.Add(seed)
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "policies")
		require.NoError(t, os.WriteFile(path, content, 0o600))
		s, err := statefile.Open(path)
		if err != nil {
			return
		}
		defer s.Close()
		list, err := s.Load()
		require.NoError(t, err)
		require.ElementsMatch(t, list, load(t, path), "what is written anew is the same")
	})
}
