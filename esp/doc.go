// Package esp is the IP Encapsulating Security Payload (RFC 4303) in user
// space: a data plane for key management without a kernel's help.
//
// It has two layers, and no sockets.
//
//   - [OutboundSA] and [InboundSA] protect and open single packets in place:
//     sequence numbers, ciphers, padding, anti-replay. They are for whoever has
//     keys and packets and wants nothing else.
//   - [Engine] is the whole of RFC 4301's processing around them, and a
//     [github.com/racoon3/racoon/spd.DataPlane]: policies and SAs, tunnel and
//     transport mode, UDP encapsulation (RFC 3948), fragmentation, ICMP errors,
//     lifetimes, acquires and other events. It is fed batches of packets and
//     fills a [Batch] with what is to be sent and delivered.
//
// Transport mode carries whole packets only, as RFC 4303 section 3.3.4 has it:
// fragments are dropped and counted, and so is IPv6 with extension headers that
// belong before ESP. The inner IP header is not carried, since the socket that
// sends makes one: IPv4 options are lost, TTL and identification are new.
//
// Packets live in buffers with room around them, so that they are processed
// where they are; see [Packet], [Headroom] and [Tailroom]. Sealing and opening
// allocate nothing. All of it may be used by any number of goroutines at once:
// packet paths of different SAs share no lock.
package esp
