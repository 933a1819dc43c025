package ike

import "errors"

// Errors of commands to a core that concern a session, the same for every
// protocol.
var (
	ErrNoSession = errors.New("no such session")
	ErrNotUp     = errors.New("session is not established")
	ErrNoChild   = errors.New("no such Child SA")
)
