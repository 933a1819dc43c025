package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/control"
	"github.com/racoon3/racoon/internal/control/controltest"
)

// fakeRecorder pretends to write captures.
type fakeRecorder struct{ now control.Capture }

func (f *fakeRecorder) Capture() control.Capture { return f.now }

func (f *fakeRecorder) StartCapture(name string, peers []string) (control.Capture, error) {
	if f.now.File != "" {
		return control.Capture{}, control.NewConflict("already")
	}
	f.now = control.Capture{File: "/captures/" + name, Peers: peers, Most: 1000}
	return f.now, nil
}

func (f *fakeRecorder) StopCapture() control.Capture {
	was := f.now
	if f.now = (control.Capture{}); was.File != "" {
		was.Octets, was.Lost, was.Error = 1, 2, "max-size is reached"
	}
	return was
}

func TestCapture(t *testing.T) {
	p := controltest.New(t, func(p *controltest.Pair) { p.Client.Daemon.Recorder = new(fakeRecorder) })
	c := p.Client
	nowhere := "decrypted messages are written nowhere\n"
	require.Equal(t, nowhere, ok(t, c, "capture"))
	require.Equal(t, nowhere, ok(t, c, "capture", "stop"))
	require.Equal(t, "decrypted messages are written to /captures/a.pcapng (0 octets of gw)\n", ok(t, c, "capture", "start", "a.pcapng", "peer", "gw"))
	require.Equal(t, control.Capture{File: "/captures/a.pcapng", Peers: []string{"gw"}, Most: 1000}, jsonOf[control.Capture](t, c, "capture"))
	require.Equal(t, "ended: /captures/a.pcapng (1 octet of gw)\n2 messages are missing\nit has ended: max-size is reached\n", ok(t, c, "capture", "stop"))
	require.Equal(t, "decrypted messages are written to /captures/b (0 octets)\n", ok(t, c, "capture", "start", "b"))
	for _, w := range []struct {
		args   string
		status int
		says   string
	}{
		{"capture start c", exitRefused, "already"},
		{"capture start c peer nobody", exitRefused, `no peer "nobody"`},
		{"capture start", exitUsage, "what the file is to be called"},
		{"capture start c gw", exitUsage, "peer and the name of one"},
		{"capture start c peer", exitUsage, "peer and the name of one"},
		{"capture stop b", exitUsage, "b"},
		{"capture begin", exitUsage, "neither start nor stop"},
	} {
		status, _, errs := ctl(t, c, "", strings.Fields(w.args)...)
		require.Equal(t, w.status, status, w.args)
		require.Contains(t, errs, w.says, w.args)
	}
	status, _, errs := ctl(t, p.Gateway, "", "capture")
	require.Equal(t, exitRefused, status)
	require.Contains(t, errs, "no capture")
}
