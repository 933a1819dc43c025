// Package spmdaemon is the policy daemon: it installs the policies of a
// configuration, follows the addresses of the names in them, serves the policy
// service (package spmif), and forwards DNS questions (package names). [Main]
// is the program spmd.
package spmdaemon
