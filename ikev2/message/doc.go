// Package message is the IKEv2 codec: the header and every payload of RFC
// 7296, the fragments of RFC 7383, and the notifies and attributes of their
// extensions. It keeps no state, opens nothing and decides nothing; it imports
// the standard library and the vocabulary of package spd.
//
// There are three ways in, from cheap to comfortable.
//
// [ParseHeader] reads the 28 octets that every message starts with, and
// [ParseChain] walks the generic payload headers behind it without looking
// into the payloads: one allocation, for routing and for what is dropped
// anyway.
//
// [Parse] decodes a whole datagram into a [Message], whose payloads are plain
// structs: [SA], [KE], [ID], [CERT], [CERTREQ], [AUTH], [Nonce], [Notify],
// [Delete], [VendorID], [TS], [SK], [SKF], [CP], [EAP], and [Unknown] for what
// this package has no struct for. [ParsePayloads] does the same for the chain
// inside a decrypted SK payload. Getters such as [Payloads.SA] and
// [Payloads.Notify] find the first payload of a kind.
//
// [Builder] writes a message payload after payload into the caller's buffer,
// linking the chain in place and without allocating; it also lays out an SK or
// SKF payload ([Sealed]) so that it can be encrypted where it stands.
// [Message.AppendBinary] encodes a Message in one go.
//
// Decoded payloads alias the datagram: whoever reuses the buffer copies first
// what is to be kept. Nothing here is safe for concurrent modification; a
// decoded message that nobody changes may be read by many goroutines.
//
// Every decoder is a total function: any input yields a value or a
// [*ParseError], in time linear in its length and with memory bounded by it.
// The error tells which payload and octet, and which notify the RFC wants as
// an answer ([ParseError.Notify]).
//
// Messages and payloads print (%v) as one line of a trace. What a peer chose is
// quoted and shortened; keys, authentication data, EAP and configuration
// secrets appear as lengths only.
package message
