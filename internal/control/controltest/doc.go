// Package controltest runs a pair of daemons behind control sockets, for tests
// of what talks to daemons.
package controltest
