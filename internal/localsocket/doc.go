// Package localsocket makes Unix sockets for the local control of a daemon:
// with owner, group and permissions that hold from the first moment, and with
// the credentials of who connects, which the system vouches for.
package localsocket
