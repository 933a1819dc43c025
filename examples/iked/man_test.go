package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/examples/internal/mantest"
	"github.com/racoon3/racoon/internal/daemon"
)

func TestManPage(t *testing.T) {
	var usage, errs bytes.Buffer
	require.Zero(t, daemon.Program{Name: "iked"}.Run(t.Context(), []string{"-h"}, daemon.Env{}, &usage, &errs))
	mantest.Page{Name: "iked", Usage: usage.String() + errs.String(), Words: []string{"SIGHUP", "SIGTERM", "SIGUSR1", "EXIT STATUS"}}.Check(t)
	// Kinkd has iked's flags, to which its page refers for most of them.
	mantest.Page{Name: "kinkd", Usage: usage.String() + errs.String(), Partial: true, Words: []string{"iked(8)"}}.Check(t)
}
