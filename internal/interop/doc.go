// Package interop holds the tests against other implementations: strongSwan,
// libreswan, OpenIKED and vpnc, in both roles where they have them, in network
// namespaces of package lab; and what ike-scan is answered.
// Our side is a [racoon.Manager] with userspace ESP behind a TUN device, as a
// program would have it. Everything is in its test files, which need Linux and
// mostly root; see package lab for what is to be installed.
//
// When a test fails, the logs of both sides are printed. With RACOON_INTEROP_LOG
// set in the environment, ours is printed of tests that pass too, messages and
// all.
//
// [racoon.Manager]: https://pkg.go.dev/github.com/racoon3/racoon#Manager
package interop
