// Package spmif is the service of a policy daemon for the programs beside it:
// racoon2's spmd interface, a protocol of lines over a Unix socket, as its
// programs speak it.
//
// Racoon2's key management daemons use it, spmdctl, and whatever program dials
// it. The iked and kinkd of this module do not: they take their policies from
// the configuration file.
//
// A [Server] serves it; what the commands do is behind [Policies], [Names] and
// [NameServers]. A [Client] uses it:
//
//	c, err := spmif.Dial(ctx, spmif.DefaultPath, password)
//	name, err := c.Selector(ctx, 17) // which policy is the kernel's number 17?
//
// Who may use it is decided twice. The socket has an owner, a group and
// permissions, and a process that does not fit them by the credentials that the
// system vouches for is turned away ([Listen]). And where a password is
// configured, a client has to answer a challenge with it (LOGIN), as those of
// racoon2 do. That login hashes with SHA-1, once; it does not replace the first
// measure.
//
// The protocol is described in docs/spmif.md.
package spmif
