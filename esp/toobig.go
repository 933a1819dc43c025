package esp

import (
	"encoding/binary"
)

const (
	icmpUnreachable    = 3
	icmpFragNeeded     = 4
	icmpv6PacketTooBig = 2
)

// packetTooBig appends to b.Packets the ICMP error that tells the sender of
// the packet p to send at most mtu octets (RFC 1191, RFC 4443 section 3.2).
// It comes from the packet's destination: the gateway may have no address in
// the inner network, and that one is routed to here. No error answers an error
// or a packet to or from what is not one host.
func packetTooBig(b *Batch, p Packet, f *flow, mtu int) bool {
	if !mayAnswer(f) {
		return false
	}
	packet := p.Bytes()
	if f.Src.Is4() {
		// The IP header and 8 octets suffice, more are allowed up to 576.
		quote := packet[:min(len(packet), 576-ipv4HeaderSize-8)]
		r := b.packet(ipv4HeaderSize+8+len(quote), 0)
		out := r.Bytes()
		clear(out[:ipv4HeaderSize+8])
		putIPv4Header(out, len(out), protoICMP, 0, false)
		copy(out[12:], packet[16:20])
		copy(out[16:], packet[12:16])
		setIPv4Checksum(out[:ipv4HeaderSize])
		icmp := out[ipv4HeaderSize:]
		icmp[0], icmp[1] = icmpUnreachable, icmpFragNeeded
		binary.BigEndian.PutUint16(icmp[6:], uint16(min(mtu, 0xffff)))
		copy(icmp[8:], quote)
		binary.BigEndian.PutUint16(icmp[2:], ^fold(sum(0, icmp)))
		b.Packets = append(b.Packets, r)
		return true
	}
	quote := packet[:min(len(packet), ipv6MinMTU-ipv6HeaderSize-8)]
	r := b.packet(ipv6HeaderSize+8+len(quote), 0)
	out := r.Bytes()
	clear(out[:ipv6HeaderSize+8])
	putIPv6Header(out, len(out)-ipv6HeaderSize, protoICMPv6, 0)
	copy(out[8:], packet[24:40])
	copy(out[24:], packet[8:24])
	icmp := out[ipv6HeaderSize:]
	icmp[0] = icmpv6PacketTooBig
	binary.BigEndian.PutUint32(icmp[4:], uint32(mtu))
	copy(icmp[8:], quote)
	check := sum(sum(uint64(len(icmp))+protoICMPv6, out[8:40]), icmp)
	binary.BigEndian.PutUint16(icmp[2:], ^fold(check))
	b.Packets = append(b.Packets, r)
	return true
}

// mayAnswer reports whether an ICMP error may be sent about a packet (RFC 1122
// section 3.2.2, RFC 4443 section 2.4).
func mayAnswer(f *flow) bool {
	if f.Src.IsUnspecified() || f.Src.IsMulticast() || f.Src.IsLoopback() {
		return false
	}
	if f.Opaque && f.fragment {
		return false // not the first fragment
	}
	kind := f.SrcPort >> 8
	switch f.Protocol {
	case protoICMP:
		return f.Dst.Is4() && !f.Dst.IsMulticast() && (kind == 0 || kind == 8 || kind > 12 && kind < 19)
	case protoICMPv6:
		return kind >= 128
	}
	return f.Src.Is6() || !f.Dst.IsMulticast()
}
