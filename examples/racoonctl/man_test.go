package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/examples/internal/mantest"
)

func TestManPage(t *testing.T) {
	var help strings.Builder
	var words []string
	show := func(args ...string) {
		var out, errs bytes.Buffer
		require.Zero(t, run(t.Context(), args, nil, &out, &errs), errs.String())
		help.WriteString(out.String())
	}
	show("-h")
	for _, c := range commands() {
		show("help", c.name)
		words = append(words, c.name)
		if c.short != "" {
			words = append(words, c.short)
		}
	}
	mantest.Page{Name: "racoonctl", Usage: help.String(), Hidden: []string{"h"}, Words: words}.Check(t)
}
