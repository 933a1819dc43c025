// Package control is how a running daemon is asked and told things: a server
// with an HTTP and JSON interface on a Unix socket, and its client. docs/control.md
// describes the interface; racoonctl is a user of the client.
//
// A daemon makes a [Daemon] before its Manager, because two of the Manager's
// callbacks come from it, and serves it beside the Manager:
//
//	d := &control.Daemon{Name: "iked", Version: version, LogLevel: level, Logger: log, Reload: reload}
//	cfg.Authorize = d.Authorize(nil)              // remembers the peers' certificates
//	cfg.Peers[i].UserPrompt = d.UserPrompt(nil)   // racoonctl establish-sa -u
//	d.Manager, err = racoon.NewManager(cfg)
//	l, err := control.Listen(control.ListenConfig{Path: "/run/racoon/racoon.sock", Mode: 0o600})
//	err = d.Serve(ctx, l)
//
// Who may connect is decided twice: by the permissions of the socket, which has
// them from its first moment on, and by the credentials that the system tells
// of the process at the other end. Whoever is admitted may do everything.
package control
