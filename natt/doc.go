// Package natt is NAT traversal: how IKE finds a NAT between two peers (RFC 7296 2.23, RFC 3947), and how IKE, ESP and
// keepalives share a UDP port afterwards (RFC 3948). Pure functions on octets and addresses, IPv4 and IPv6; no
// sockets, no clock.
//
//	find a NAT       AppendHash makes what to send; a Detector judges what came
//	change ports     Float
//	one UDP port     Classify what came; AppendMarker, AppendKeepalive for what goes
//	the port of IKE  ClassifyIKE what came; AppendNonIKEMarker for ESP, under drafts 00 and 01 of IKEv1
//	keep it open     KeepaliveInterval
//	IKEv1 only       Variant: RFC 3947 and its drafts, by vendor ID
//
// # Finding a NAT
//
// Either side sends hashes of the addresses it sees, keyed by the SPIs of the IKE SA (the cookies, in IKEv1):
//
//	HASH(SPI of the initiator | SPI of the responder | IP address | UDP port)
//
// all in network order. IKEv2 puts them in the notifies NAT_DETECTION_SOURCE_IP and NAT_DETECTION_DESTINATION_IP and uses SHA-1; in the
// first message the responder's SPI is zero. IKEv1 puts them in NAT-D payloads, the destination's first, and uses the hash
// that was negotiated. Whose hash does not match the packet that brought it is behind a NAT.
//
// The hashes prove nothing: they are not authenticated before IKE_AUTH, and whoever can rewrite a packet can hide a NAT or
// feign one. Feigning is even of use, for a path that carries UDP but not ESP: hash the zero netip.AddrPort.
package natt
