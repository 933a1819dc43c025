// Package trust decides whether a peer's certificates or raw public key prove
// the identity it claims: it builds a path to a root (RFC 5280), looks at
// purposes, revocation lists and limits, and matches the identity with the
// certificate's names (RFC 4945).
//
// Everything a peer sends is bounded before it is worked on. Time is a
// parameter; nothing here reads a clock, a file or the network. Verifying
// takes milliseconds, so it runs in a job.
package trust
