// Package isakmp is the codec of IKEv1: the ISAKMP header and every payload of
// RFC 2408 and of the IPsec DOI (RFC 2407), the registries of IKE (RFC 2409),
// NAT traversal (RFC 3947 and its drafts), dead peer detection (RFC 3706),
// mode-config and XAuth with Cisco's attributes, and Cisco's fragments. KINK
// (RFC 4430) carries the same payloads. It keeps no state, opens nothing and
// decides nothing; it imports the standard library and the vocabulary of
// package spd.
//
// There are three ways in, from cheap to comfortable.
//
// [ParseHeader] reads the 28 octets that every message starts with, and
// [ParseChain] walks the generic payload headers behind it without looking
// into the payloads: one allocation, for routing and for what is dropped
// anyway. IKEv1 hashes payloads as they came, so a [Chain] also gives the
// octets: [Chain.Body] is what RFC 2409 writes as SAi_b or IDii_b, and
// [Chain.Hashed] separates a leading HASH payload from what it covers.
//
// [Parse] decodes a whole datagram into a [Message], whose payloads are plain
// structs: [SA], [KE], [ID], [CERT], [CR], [HASH], [SIG], [Nonce], [Notify],
// [Delete], [VendorID], [Attributes], [NATD], [NATOA], [Fragment], and
// [Unknown] for what this package has no struct for. An encrypted message has
// its [Message.Ciphertext] instead: after decryption, [ParsePaddedChain] finds
// the payloads before the padding, and [Chain.Payloads] decodes them. Getters
// such as [Payloads.SA] and [Payloads.Notify] find the first payload of a kind;
// [Payloads.Require] and [Payloads.Only] say what an exchange wants.
//
// [Builder] writes a message payload after payload into the caller's buffer,
// linking the chain in place and without allocating; it reserves a HASH payload
// that is filled in when the payloads behind it are there, and pads the message
// so that it can be encrypted where it stands. [Message.AppendBinary] encodes a
// Message in one go.
//
// Decoded payloads alias the datagram: whoever reuses the buffer copies first
// what is to be kept. Nothing here is safe for concurrent modification; a
// decoded message that nobody changes may be read by many goroutines.
//
// Every decoder is a total function: any input yields a value or a
// [*ParseError], in time linear in its length and with memory bounded by it.
// The error tells which payload and octet, and which notify the RFC would have
// as an answer ([ParseError.Notify]).
//
// Messages and payloads print (%v) as one line of a trace. What a peer chose is
// quoted and shortened; keys, hashes, signatures, and XAuth's passwords appear
// as lengths only.
package isakmp
