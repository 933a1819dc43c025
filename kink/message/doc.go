// Package message is the codec of KINK (RFC 4430): the header, all payloads,
// their alignment, and where checksum and encryption go. It keeps no state,
// opens nothing, decides nothing and knows no cryptography: a [Key], such as
// the one of package kink/krb, does that. What a KINK_ISAKMP payload carries is
// decoded by package ikev1/isakmp.
//
// [Parse] decodes a datagram into a [Message], whose payloads are plain
// structs: [APReq], [APRep], [KRBError], [TGTReq], [TGTRep], [ISAKMP],
// [Encrypt], [Error], and [Unknown]. The key of a message is in the ticket that
// it carries, so the rest comes in steps:
//
//	m, err := message.Parse(datagram)
//	// m.APReq().Data -> the session key and who the peer is
//	err = m.Verify(key)         // the checksum over the whole message
//	ps, err := m.Open(key)      // the payloads in clear and those in KINK_ENCRYPT
//	err = ps.Check(m.Header)    // what RFC 4430 6 wants in such a message
//	qm, err := ps.ISAKMP().Payloads()
//
// [Builder] writes a message payload after payload into the caller's buffer,
// aligning and linking them in place and without allocating, encrypts the end
// of it and appends the checksum. [Message.AppendBinary] encodes a Message in
// one go.
//
// Decoded payloads alias the datagram: whoever reuses the buffer copies first
// what is to be kept. Nothing here is safe for concurrent modification.
//
// Every decoder is a total function: any input yields a value or a
// [*ParseError], in time linear in its length and with memory bounded by it.
// The error tells which payload and octet, and which KINK_ERROR the RFC would
// have as an answer ([ParseError.Code]).
//
// Messages and payloads print (%v) as one line of a trace, in which tickets,
// authenticators, checksums and what is encrypted appear as lengths only.
package message
