package main

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/examples/internal/mantest"
)

func TestManPage(t *testing.T) {
	usage, err := exec.Command("go", "run", ".", "-h").CombinedOutput()
	require.NoError(t, err, "%s", usage)
	mantest.Page{Name: "spmd", Usage: string(usage), Words: []string{"SIGHUP"}}.Check(t)
}
