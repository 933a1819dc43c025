// Package ikev1 is the Internet Key Exchange version 1 (RFC 2407, 2408, 2409) as
// a state machine without I/O: an [Endpoint] holds any number of ISAKMP SAs in
// both roles, and whoever drives it owns the sockets, the clock and the
// goroutines. Most programs want the Manager of the module's root package, which
// does that. It is here for peers that speak nothing newer; between two that do,
// package ikev2 is better in every respect.
//
// What it speaks:
//
//   - phase 1: Main Mode, Aggressive Mode, and Base Mode as racoon had it; with
//     pre-shared keys, RSA, DSS and ECDSA signatures (RFC 4754), certificates and
//     bare keys, hybrid authentication, and XAuth with each ([AuthMethod]). RSA
//     encryption is left out on purpose: what it leaks about padding breaks it.
//   - phase 2: Quick Mode with and without PFS, for ESP, AH and IPComp alone or
//     together, in tunnel and transport mode
//   - New Group Mode, for groups that both sides have in their configuration; what
//     the wire says is only compared with it
//   - Transaction exchanges: XAuth and mode config, client and gateway, push and
//     pull, with the attributes of Cisco's Unity clients
//   - NAT traversal (RFC 3947 and its drafts), dead peer detection (RFC 3706),
//     Cisco's fragmentation
//
// # A first session
//
// A [Peer] says who the other side is and what may be negotiated. Its Modes and
// Methods are never guessed: a responder takes part in Aggressive Mode with a
// pre-shared key, which lets anybody try passwords offline, only if both are
// named ([Peer.Warnings] says so too). NewEndpoint makes a core, SetPeers gives it
// its peers, Initiate begins; then it is driven as package ike tells. The example
// of Endpoint shows all of it.
//
// # What is different from IKEv2
//
// Informational messages are not answered: a Delete may be lost, and each side
// may hold an SA that the other has forgotten, until dead peer detection, a rekey
// or the lifetime ends it. Child SAs outlive the ISAKMP SA that made them. There
// is no rekey of the ISAKMP SA: RekeyIKE is a new phase 1, authentication
// included, that joins the session. Nothing says which Child SA replaces which;
// the rules for that are at the top of quick_rekey.go.
//
// # With ipsec-tools' racoon
//
// What its version 0.9.1 was seen to do that a configuration has to know. In Main
// Mode with a pre-shared key it takes addresses as identities only; leave
// LocalAuth.ID empty there. Of NAT traversal it speaks RFC 3947 and drafts 02 and
// 03; messages of drafts 04 to 08 it announces and then drops, and with drafts 00
// and 01 the SAs come up and its kernel passes no packets. DSS signatures it
// refuses, and as a client with XAuth and a pre-shared key it fails in Base Mode.
// Its "racoonctl delete-sa isakmp" and "vpn-disconnect" remove its Child SAs and
// tell of the ISAKMP SA alone: unless it was a client with a leased address, they
// stay here until their lifetime ends or it calls again.
//
// # Reading the code
//
// A datagram enters in receive.go; fragment.go puts it together if it comes in
// pieces. Without an SA it is a first_message.go. Phase 1 is phase1.go with
// main_mode.go, aggressive_mode.go and base_mode.go, whose tops show the
// messages; phase1_transform.go negotiates, phase1_keys.go and keymat.go derive
// keys, auth.go and signature.go prove and check identities, and establish.go is
// the only way out. What follows are exchanges side by side (exchange.go, with
// protect.go for encryption and HASH): quick_mode.go and quick_responder.go with
// the negotiation of package internal/quickmode, informational.go and dpd.go,
// transaction.go with xauth*.go and mode_config*.go, new_group.go. What stays is a session
// (session.go) with its ISAKMP SAs (isakmp_sa.go).
//
// # States of an ISAKMP SA
//
//	PHASE1 -> XAUTH -> ESTABLISHED -> DEAD
//	      \----------/
//
// ESTABLISHED, or XAUTH if a user has to log in first, is reached by
// authentication only. No Child SA is negotiated before ESTABLISHED.
package ikev1
