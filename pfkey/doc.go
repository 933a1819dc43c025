// Package pfkey speaks PF_KEYv2, the socket between key management and a
// kernel's IPsec: RFC 2367 with the extensions of KAME and its descendants, on
// Linux, FreeBSD, NetBSD and macOS. It has four layers, each of use alone.
//
// # The codec
//
// [Dialect.Parse] decodes a message into a [Message] whose extensions are plain
// structs, and [Dialect.Append] encodes one, into the caller's buffer and without
// allocating. A [Dialect] is what one system makes of PF_KEY: its numbers,
// layouts and habits. [Linux], [FreeBSD], [NetBSD], [MacOS] and [OpenBSD] are
// run-time values that work on every system, in its byte order; [Default] is
// the running one's. [SAEntry] and [PolicyEntry] are an SA and a policy on a level
// above that of extensions; algorithms have the system's own numbers there, which
// [Dialect.AlgorithmByName] and its like translate.
//
// Decoders are total functions: any octets are a message or a [*ParseError]. What
// they return refers to the octets that they were given. Keys are in types that
// print as their length.
//
// # The client
//
// A [Client] makes requests over a [Conn], which carries whole messages:
// [OpenSocket] is the kernel's, package pfkeytest has kernels in memory. It finds
// the answer to each request by type, sequence number and PID among everything
// that a kernel tells everybody, takes errors of write() and of messages for the
// same, and gives up after a time, since some requests never get an answer.
// Dumps are streamed. What the kernel tells by itself comes as a
// [Notification].
//
//	conn, err := pfkey.OpenSocket()
//	client, err := pfkey.NewClient(conn, pfkey.ClientConfig{})
//	for sa, err := range client.Dump(ctx, pfkey.SATypeESP) {
//		...
//	}
//
// # The data plane
//
// A [DataPlane] is a client as key management wants it, spd.DataPlane.
// Its capabilities are what the kernel has and PF_KEY can carry: on Linux that is
// no AEAD, and no HMAC-SHA2-256, which the kernel would cut to 96 bits where RFC
// 4868 has 128. Proposals are built from them, so that neither is negotiated; a
// peer that insists on it gets no proposal chosen, and the reason is told. On Linux
// package xfrm is the better choice.
//
// NetBSD, in a version between 7 and 9, began to look for the SA of a GET or DELETE
// among those of one request ID only, of all between two hosts. [Client.Get] and
// [Client.Delete] find the others all the same, by a dump; what is deleted so ends
// within seconds, and at once cannot be used any more. SAs of a program that has
// died end by their hard limits there.
//
// # Socket policies
//
// [Dialect.SetSocketPolicy] gives a socket a policy of its own (IP_IPSEC_POLICY),
// and package pfkey/policy reads policies in the language of libipsec and
// setkey(8).
//
// # OpenBSD
//
// OpenBSD has the codec alone. It has flows in place of an SPD, no request IDs,
// and a dump through sysctl: a data plane for it would share little with the others.
//
// # Where the facts come from
//
// RFC 2367; the header files and, where it was read, the source of Linux 6.1,
// FreeBSD 13, NetBSD 10, xnu 11417 and OpenBSD 7.5; a Linux 6.1 kernel, in which
// the tests run; and recordings of a NetBSD kernel, in testdata. FreeBSD, macOS and
// OpenBSD have not been tried.
package pfkey
