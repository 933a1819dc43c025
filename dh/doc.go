// Package dh is the key exchange of IKE: every group that is in use, by its IANA number, behind one interface that
// fits Diffie-Hellman and key encapsulation alike.
//
//	numbers      groups                                 source
//	1, 2         MODP 768 and 1024                      RFC 2409 6.1, 6.2
//	5, 14 to 18  MODP 1536 to 8192                      RFC 3526
//	19, 20, 21   ECP 256, 384, 521                      RFC 5903
//	22, 23, 24   MODP with small subgroups              RFC 5114
//	31           Curve25519                             RFC 8031
//	36, 37       ML-KEM-768, ML-KEM-1024                FIPS 203, draft-ietf-ipsecme-ikev2-mlkem
//
// IKEv1 has private groups besides, whose numbers mean something to two peers only (RFC 2409 5.6): [NewPrivateGroup] makes one.
//
// A group comes from [ByID], a name in a configuration becomes an [ID] by [ParseID]. The initiator calls Generate and
// sends what Public returns; the responder gives that to Respond, which returns its own public value and the
// shared secret; the initiator gives the answer to Finish and has the same secret.
//
// # Randomness
//
// Nothing here draws random numbers: the caller passes a seed of [Group].SeedSize octets, fresh from crypto/rand for each call
// of Generate and Respond. So a protocol core stays deterministic, and the slow part can run elsewhere.
//
// # Security
//
// Public values are tested as RFC 6989 asks before they are used: 0, 1, p-1, p and above, wrong sizes, points off the curve,
// values outside the small subgroup of groups 22 to 24, and Curve25519 values of small order. The error is a [ValueError].
//
// Whatever depends on a secret takes time that does not: MODP through filippo.io/bigmod, the rest through the
// standard library. Private keys never print. Wipe overwrites a MODP exponent; keys inside
// crypto/ecdh and crypto/mlkem can only be dropped.
//
// Some groups should not be used, or not without being asked for: see [Grade]. Groups 36 and 37 need an initiator whose
// peer expects KE payloads of unequal size ([ID.KEM]), which IKEv1 does not provide for.
package dh
