package main

import (
	"testing"

	"github.com/racoon3/racoon/examples/internal/mantest"
)

func TestManPage(t *testing.T) {
	mantest.Page{Name: "spmdctl", Usage: usage, Words: []string{"ns add", "ns delete", "ns list", "policy add", "policy delete", "policy show", "migrate", "fqdn add", "fqdn delete", "fqdn list", "fqdn query", "slid", "status", "interactive"}}.Check(t)
}
