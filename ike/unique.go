package ike

// UniquePolicy says what happens when an identity connects again while it has
// a session.
type UniquePolicy uint8

// Unique policies.
const (
	UniqueReplace UniquePolicy = iota // the new session replaces the old one
	UniqueKeep                        // the new session is refused
	UniqueNever                       // several sessions, INITIAL_CONTACT is ignored
	UniqueNo                          // several sessions, unless INITIAL_CONTACT is sent
)
