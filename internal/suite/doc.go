// Package suite holds the symmetric algorithms of IKE and ESP, named by their
// IKEv2 transform numbers: pseudorandom functions (transform type 2),
// encryption algorithms (type 1) and integrity algorithms (type 3).
//
// A protocol asks the tables what an algorithm needs ([PRFByID], [ENCRByID],
// [INTEGByID]), cuts its keying material accordingly, and builds
//
//   - a [KeyedPRF] for SKEYSEED, AUTH and prf+ (RFC 7296 sections 2.13 to 2.18);
//   - a [Cipher] for one direction of an SK payload or of an ESP SA, whether
//     combined-mode or encrypt-then-MAC, with one pair of in-place calls:
//     Seal and Open.
//
// The package never draws randomness: the initialization vector is the
// caller's, and so is the promise not to repeat it.
package suite
