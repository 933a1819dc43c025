package statefile_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd/statefile"
)

func TestDisplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "displaced")
	d, err := statefile.OpenDisplaced(path)
	require.NoError(t, err)
	require.NoFileExists(t, path)
	require.NoError(t, d.Put("a", []byte("1")))
	require.NoError(t, d.Put("b", []byte("2")))
	require.NoError(t, d.Put("b", []byte("3")))
	require.NoError(t, d.Remove("a"))

	d, err = statefile.OpenDisplaced(path) // the next life
	require.NoError(t, err)
	m, err := d.Load()
	require.NoError(t, err)
	require.Equal(t, map[string][]byte{"b": []byte("3")}, m)

	require.NoError(t, os.WriteFile(path, []byte(`{"format":"another"}`), 0o600))
	_, err = statefile.OpenDisplaced(path)
	require.ErrorIs(t, err, statefile.ErrFormat)
	require.NoError(t, os.Chmod(path, 0o666))
	_, err = statefile.OpenDisplaced(path)
	require.Error(t, err)
}
