// Package kink is KINK (RFC 4430), the Kerberized Internet Negotiation of Keys, as
// a state machine without I/O: an [Endpoint] holds any number of associations, in
// both roles, and is driven as package ike says.
//
// KINK makes Child SAs in one round trip without any public-key operation: both
// sides are principals of Kerberos, and the session key of a ticket protects the
// messages and makes the keys. Nothing is kept between transactions but the SAs
// and the peer's epoch, by which it shows that it has not lost them.
//
//	CREATE  with AP-REQ and Quick Mode payloads  ->  REPLY with AP-REP
//	DELETE, STATUS                               ->  REPLY
//	GETTGT  before user-to-user authentication   ->  REPLY with a ticket-granting ticket
//
// A program uses it through package racoon, by a peer whose Versions are
// racoon.KINK. Here it is for tests, tools, and programs with a driver of their
// own:
//
//	e, err := kink.NewEndpoint(kink.Config{Rand: rand.Reader, DataPlane: plane, Kerberos: kerberos, Started: now})
//	e.SetPeers(peers)
//	e.Initiate(now, kink.Initiation{Peer: peer, Path: path})
//	for { /* PollTransmit, PollJob, PollEvent, PollTimeout; HandleDatagram, HandleResult, HandleTimeout */ }
//
// Package kink/krb is the Kerberos that it needs, kink/krb/kdc gets tickets from a
// KDC, and kink/message is the codec.
package kink
