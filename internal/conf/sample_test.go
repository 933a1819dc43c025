package conf

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const samples = "../../examples/conf"

func TestSamplesParse(t *testing.T) {
	all, err := filepath.Glob(filepath.Join(samples, "*.toml"))
	require.NoError(t, err)
	require.Greater(t, len(all), 15)
	for _, f := range all {
		t.Run(filepath.Base(f), func(t *testing.T) {
			c, err := Load(f, WithHost(testHost{}))
			require.NoError(t, err)
			_ = c
			for _, w := range c.Warnings {
				t.Log(w)
			}
		})
	}
	_ = os.Stdout
}
