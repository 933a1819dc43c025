package main

import (
	"strings"
	"testing"

	"github.com/racoon3/racoon/examples/internal/mantest"
)

func TestManPage(t *testing.T) {
	mantest.Page{Name: "setkey", Usage: usage, Bundled: true,
		// Statements have letters too.
		Hidden: strings.Split("m u r l b s f c t x E A C P R 4 6 n", " "), Words: []string{
			"-m mode", "-u id", "-r size", "-lh", "-ls", "-bh", "-bs", "-f ", "-ctx", "-E ", "-A ", "-C ", "-P ", "-4", "-6", "-n",
			"add", "update", "get", "getspi", "delete", "deleteall", "flush", "dump", "spdadd", "spdupdate", "spddelete", "spdflush", "spddump", "exit", "tagged",
		}}.Check(t)
}
