// Package ikev2 is the Internet Key Exchange version 2 (RFC 7296) as a state
// machine without I/O: an [Endpoint] holds any number of IKE SAs in both roles,
// and whoever drives it owns the sockets, the clock and the goroutines. Most
// programs want the Manager of the module's root package, which does that.
//
// What it speaks, beside RFC 7296: fragmentation (RFC 7383), signature
// authentication (RFC 7427, 8420, 7670), childless initiation (RFC 6023), AEAD
// ciphers (RFC 5282, 7634), Curve25519 (RFC 8031), and the codes for what is
// still to come (package message).
//
// # Reading the code
//
// A datagram enters in receive.go and is taken to its exchange:
// init_initiator.go and init_responder.go (IKE_SA_INIT), auth_initiator.go and
// auth_responder.go (IKE_AUTH), create_child.go and rekey_ike.go
// (CREATE_CHILD_SA), informational.go. window.go has message IDs,
// retransmission and the response cache; protect.go and fragment.go the SK and
// SKF payloads; keymat.go the key derivation; child_exchange.go and
// child_responder.go the negotiation of a Child SA, wherever it happens. What
// an exchange leaves behind is a session (session.go) with its IKE SAs (sa.go).
//
// # States
//
//	INIT -> AUTH -> ESTABLISHED -> REKEYED  -> gone   (the peer deletes it)
//	                           \-> DELETING -> gone   (we do)
//
// ESTABLISHED is reached by authentication only, or by a rekey of an
// established SA. Package ike tells how a core is driven.
package ikev2
