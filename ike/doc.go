// Package ike is the vocabulary that the three protocol cores (ikev1, ikev2,
// kink) share, and that a program must be able to name when it drives a core
// itself or uses the Manager: Path and Transmit, Job and Result, Identity,
// Credential, Event.
//
// # Driving a core
//
// A core is sans-IO: it opens no socket, starts no goroutine, reads no clock
// and takes randomness only from the reader it was given. Its driver feeds it
// and then drains it:
//
//	core.HandleDatagram(now, path, packet)   // feed: one of the Handle methods
//	for j, ok := core.PollJob(); ok; ...     // slow work: run it anywhere, then
//	    core.HandleResult(now, result)       //   give the result back
//	for t, ok := core.PollTransmit(); ok; ...// datagrams to send
//	for e, ok := core.PollEvent(); ok; ...   // facts to tell
//	core.PollTimeout()                       // when to call HandleTimeout next
//
// A core is used by one goroutine at a time.
//
// # Decisions
//
// What a program has a say in are functions and interfaces that cores call from
// jobs, with all the facts: [CredentialSource] finds keys ([LoadPSKFile],
// [LoadCredential]), [Authorize] decides about a peer, [UserAuthenticator] about
// its user ([LoadUserFile], [NewMemoryUsers]), [AddressAssigner] about addresses,
// and [UserPrompter] answers for the user of this side.
package ike
