package main

import (
	"flag"
	"fmt"
	"slices"
	"strings"
)

// A mode is one of the things that the program can do.
type mode struct {
	flag  string // that chooses it; empty for handshakes
	flags string // that have an effect
}

const (
	identityFlags   = " psk cert key ca id remote-id proposals esp childless ikev1 aggressive local-ts remote-ts "
	generatorFlags  = " target marker proposals sources n rate time json "
	handshakeFlags  = generatorFlags + identityFlags + "local-net concurrency workers ike-rekeys child-rekeys timeout hold churn leave"
	floodFlags      = generatorFlags + "ports cookies"
	responderFlags  = identityFlags + "listen marker workers time plane half-open cookie-threshold half-open-per-ip json"
	certificateFlag = "key-type"
)

var modes = []mode{{"", handshakeFlags}, {"flood", floodFlags}, {"responder", responderFlags}, {"make-pki", certificateFlag}}

func (m *mode) has(name string) bool {
	return name == m.flag || slices.Contains(strings.Fields(m.flags), name)
}

// modeOf returns what the flags ask for. Those that would have no effect are an
// error, since whoever gave them expects one.
func modeOf(f *flag.FlagSet) (string, error) {
	m := &modes[0]
	for i := range modes[1:] {
		v := f.Lookup(modes[1+i].flag).Value.String()
		if v == "" || v == "false" {
			continue
		}
		if m != &modes[0] {
			return "", fmt.Errorf("-responder, -flood and -make-pki exclude each other; use one of them, or none for handshakes")
		}
		m = &modes[1+i]
	}
	var err error
	f.Visit(func(f *flag.Flag) {
		if err != nil || m.has(f.Name) || f.Value.String() == "false" {
			return
		}
		if m.flag != "" {
			err = fmt.Errorf("-%s: has no effect with -%s; leave it out", f.Name, m.flag)
			return
		}
		for i := range modes[1:] {
			if modes[1+i].has(f.Name) {
				err = fmt.Errorf("-%s: has no effect without -%s; leave it out", f.Name, modes[1+i].flag)
				return
			}
		}
	})
	return m.flag, err
}
