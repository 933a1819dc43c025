package main

import (
	"testing"

	"github.com/racoon3/racoon/examples/internal/mantest"
)

func TestManPage(t *testing.T) {
	mantest.Page{Name: "plainrsa-gen", Usage: usage}.Check(t)
}
