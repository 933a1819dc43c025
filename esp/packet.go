package esp

import (
	"net/netip"
	"slices"
)

// Room that a packet's buffer should have before and after it, so that the
// engine can work in place: outbound for the ESP header, the initialization
// vector and an outer IP and UDP header before, padding and ICV after; inbound
// for the IP header that transport mode restores. With less room, and with
// traffic flow confidentiality padding beyond Tailroom, the engine works on a
// copy.
const (
	Headroom = 80
	Tailroom = maxBlockSize + espTrailerSize + maxICVSize + 14
)

// A Packet is an IP packet, or the payload of a datagram, in a buffer with
// room around it: Buf[Start:End].
type Packet struct {
	Buf        []byte
	Start, End int
}

// Bytes returns the packet.
func (p Packet) Bytes() []byte { return p.Buf[p.Start:p.End:p.End] }

// Len returns the packet's length.
func (p Packet) Len() int { return p.End - p.Start }

// A Datagram is an ESP packet on the outer network: the payload of an IP
// packet of protocol 50, or of a UDP datagram (RFC 3948).
type Datagram struct {
	Packet                       // from the SPI to the ICV, without a marker
	Local, Remote netip.AddrPort // this host and the peer; the ports count with UDPEncap only
	UDPEncap      bool
	// NonIKE says that the non-IKE marker goes before an outbound packet, between
	// UDP and ESP (drafts 00 and 01 of NAT traversal). A racoon.Manager puts it
	// there by itself, by the socket that Local is of.
	NonIKE bool

	// TOS is the outer header's IPv4 TOS or IPv6 traffic class octet: DSCP and
	// ECN. Inbound, 0 if it is not known; a congestion mark is lost then.
	TOS uint8
	// DF is what the outer IPv4 header's "don't fragment" should be; it counts
	// outbound only.
	DF bool
}

// A Batch collects what a call of [Engine.Outbound], [Engine.Inbound] or
// [Engine.Release] makes. It is for one goroutine, which calls Reset between
// uses; the buffers of a batch's own are used again then.
type Batch struct {
	// Datagrams are to be sent to their peers.
	Datagrams []Datagram
	// Packets are for the inner network: opened packets, and ICMP errors for
	// the senders of packets that could not be sent.
	Packets []Packet
	// Bypass are outbound packets that policy lets pass unprotected.
	Bypass []Packet

	spare [][]byte // buffers to be used
	taken [][]byte // buffers that Datagrams and Packets refer to
}

// Reset empties the batch.
func (b *Batch) Reset() {
	b.Datagrams, b.Packets, b.Bypass = b.Datagrams[:0], b.Packets[:0], b.Bypass[:0]
	b.spare = append(b.spare, b.taken...)
	b.taken = b.taken[:0]
}

// batchBuffer is the least size of a batch's own buffers.
const batchBuffer = 2048

// packet returns room for an n-octet packet in a buffer of the batch's own,
// with Headroom and Tailroom and extra octets more of it. The contents are
// undefined.
func (b *Batch) packet(n, extra int) Packet {
	size := max(Headroom+n+extra+Tailroom, batchBuffer)
	var buf []byte
	for i := len(b.spare) - 1; i >= 0; i-- {
		if len(b.spare[i]) >= size {
			buf = b.spare[i]
			b.spare = slices.Delete(b.spare, i, i+1)
			break
		}
	}
	if buf == nil {
		buf = make([]byte, size)
		if last := len(b.spare) - 1; last >= 0 {
			b.spare = b.spare[:last] // a larger one takes its place
		}
	}
	b.taken = append(b.taken, buf)
	return Packet{Buf: buf, Start: Headroom, End: Headroom + n}
}

// copy returns a copy of p in a buffer of the batch's own.
func (b *Batch) copy(p Packet, extra int) Packet {
	c := b.packet(p.Len(), extra)
	copy(c.Bytes(), p.Bytes())
	return c
}
