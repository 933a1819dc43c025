//go:build unix

package spmif_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/testhost"
	"github.com/racoon3/racoon/spd/spmif"
)

func TestSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "spmif")
	l, err := spmif.Listen(spmif.ListenConfig{Path: path})
	if errors.Is(err, spmif.ErrUnsupported) {
		testhost.Missing(t, "%v", err)
	}
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, fs.ModeSocket|0o600, info.Mode())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- spmif.NewServer(spmif.ServerConfig{}).Serve(ctx, l) }()
	c, err := spmif.Dial(ctx, path, nil)
	require.NoError(t, err)
	names, err := c.RegisteredNames(ctx)
	require.NoError(t, err)
	require.Empty(t, names)
	cancel() // a client that stays does not hold the server
	require.ErrorIs(t, <-done, context.Canceled)
	_, err = os.Stat(path)
	require.ErrorIs(t, err, fs.ErrNotExist)
}
