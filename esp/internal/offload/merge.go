package offload

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// A Merger puts together TCP segments that follow each other, as generic
// receive offload does. Packets of one flow keep their order. It refers to the
// packets until the next Reset.
type Merger struct {
	// Verify has the checksums verified before segments are put together, and
	// the merged packet's left to the interface, which believes that it is
	// right. Otherwise it is computed from those of the segments, so that it is
	// wrong if one of them is.
	Verify bool

	groups []Group
	open   [openGroups]int // which groups may grow
	opened int
	next   int // of open to be replaced
}

// openGroups is how many flows of one batch are merged at a time.
const openGroups = 16

// maxMerged is the longest packet: what an IPv4 header can say.
const maxMerged = 0xffff

// A Group is one packet, or the segments of one TCP flow.
type Group struct {
	Head  []byte   // the first packet
	Tails [][]byte // the payload of those that follow

	// With Tails:
	Size   int // octets of payload of each segment but the last, which may have less
	Upper  int // where TCP begins in Head
	Header int // where its payload begins

	total   int // octets of the merged packet
	push    bool
	checked bool // Head's checksums have been looked at
	closed  bool
	verify  bool
	sum     uint32 // of the payload, by the segments' checksums
}

// Len returns the length of the merged packet.
func (g *Group) Len() int { return g.total }

// Reset forgets all packets.
func (m *Merger) Reset() {
	for i := range m.groups {
		g := &m.groups[i]
		clear(g.Tails)
		*g = Group{Tails: g.Tails[:0]}
	}
	m.groups = m.groups[:0]
	m.opened, m.next = 0, 0
}

// Groups returns what the packets have become. Those with Tails are to be
// finished before use.
func (m *Merger) Groups() []Group { return m.groups }

// Add takes the next packet, a well-formed IP packet without anything behind
// it.
func (m *Merger) Add(packet []byte) {
	upper, header, ok := segment(packet)
	if !ok {
		m.add(packet)
		return
	}
	g, at := m.find(packet, upper)
	if g != nil {
		if g.extend(packet, upper, header) {
			return
		}
		// What follows must not overtake this packet.
		g.closed = true
	}
	i := m.add(packet)
	n := &m.groups[i]
	n.Upper, n.Header, n.Size, n.verify = upper, header, len(packet)-header, m.Verify
	if n.Size == 0 || packet[upper+13] != tcpACK {
		// It begins nothing, but comes between what is before and after.
		n.closed = true
	}
	switch {
	case g != nil:
		m.open[at] = i
	case m.opened < openGroups:
		m.open[m.opened] = i
		m.opened++
	default:
		m.open[m.next] = i
		m.next = (m.next + 1) % openGroups
	}
}

func (m *Merger) add(packet []byte) int {
	if n := len(m.groups); n < cap(m.groups) {
		m.groups = m.groups[:n+1]
	} else {
		m.groups = append(m.groups, Group{})
	}
	g := &m.groups[len(m.groups)-1]
	g.Head, g.total = packet, len(packet)
	return len(m.groups) - 1
}

// segment tells whether packet is a TCP segment in a plain IP packet, and
// where TCP and its payload begin.
func segment(p []byte) (upper, header int, ok bool) {
	if len(p) < ipv4Header+20 {
		return 0, 0, false
	}
	switch p[0] {
	case 0x45:
		if p[9] != protoTCP || binary.BigEndian.Uint16(p[6:])&0x3fff != 0 {
			return 0, 0, false
		}
		upper = ipv4Header
	default:
		if p[0]>>4 != 6 || len(p) < ipv6Header+20 || p[6] != protoTCP {
			return 0, 0, false
		}
		upper = ipv6Header
	}
	header = upper + int(p[upper+12]>>4)*4
	return upper, header, header >= upper+20 && header <= len(p)
}

// find returns the latest group of a packet's flow. (Addresses and ports stand
// next to each other.)
func (m *Merger) find(p []byte, upper int) (*Group, int) {
	from := 12
	if upper == ipv6Header {
		from = 8
	}
	key := p[from : upper+4]
	for i := m.opened - 1; i >= 0; i-- {
		g := &m.groups[m.open[i]]
		if g.Upper == upper && bytes.Equal(key, g.Head[from:upper+4]) {
			return g, i
		}
	}
	return nil, 0
}

// extend appends a segment of the group's flow, if it is the next one and
// differs in nothing that would be lost.
func (g *Group) extend(p []byte, upper, header int) bool {
	n := len(p) - header
	if g.closed || header != g.Header || n == 0 || n > g.Size || g.total+n > maxMerged {
		return false
	}
	h, q := g.Head[upper:header], p[upper:header]
	if binary.BigEndian.Uint32(q[4:]) != binary.BigEndian.Uint32(h[4:])+uint32(g.total-header) ||
		q[13]&^tcpPSH != tcpACK ||
		!bytes.Equal(q[8:13], h[8:13]) || // acknowledgment, length of the header
		!bytes.Equal(q[14:16], h[14:16]) || // window
		!bytes.Equal(q[18:], h[18:]) { // options
		return false
	}
	if upper == ipv4Header {
		// Service, lifetime, DF.
		if p[1] != g.Head[1] || p[8] != g.Head[8] || (p[6]^g.Head[6])&0x40 != 0 {
			return false
		}
	} else if !bytes.Equal(p[:4], g.Head[:4]) || p[7] != g.Head[7] {
		return false
	}
	if !g.checked {
		if !g.take(g.Head) {
			g.closed = true
			return false
		}
		g.checked = true
	}
	if !g.take(p) {
		return false
	}
	g.Tails = append(g.Tails, p[header:])
	g.total += n
	if q[13]&tcpPSH != 0 {
		g.push = true
	}
	if g.push || n < g.Size {
		g.closed = true
	}
	return true
}

// take looks at the checksums of a segment, which begins at the group's end.
func (g *Group) take(p []byte) bool {
	if g.Upper == ipv4Header && Fold(Sum(0, p[:ipv4Header])) != 0xffff {
		return false
	}
	s := pseudoHeader(p, protoTCP, len(p)-g.Upper)
	if g.verify {
		return Fold(Sum(s, p[g.Upper:])) == 0xffff
	}
	// All together would be zero: so this is what the payload must be.
	payload := ^Fold(Sum(s, p[g.Upper:g.Header]))
	if g.checked && (g.total-g.Header)%2 == 1 {
		payload = bits.ReverseBytes16(payload)
	}
	g.sum += uint32(payload)
	return true
}

// Finish makes Head's headers those of the merged packet. With Verify, its TCP
// checksum is that of the pseudo-header, which an interface completes.
func (g *Group) Finish() {
	if g.Upper == ipv4Header {
		binary.BigEndian.PutUint16(g.Head[2:], uint16(g.total))
		setIPv4Checksum(g.Head[:ipv4Header])
	} else {
		binary.BigEndian.PutUint16(g.Head[4:], uint16(g.total-ipv6Header))
	}
	t := g.Head[g.Upper:g.Header]
	if g.push {
		t[13] |= tcpPSH
	}
	s := pseudoHeader(g.Head, protoTCP, g.total-g.Upper)
	if g.verify {
		binary.BigEndian.PutUint16(t[16:], Fold(s))
		return
	}
	t[16], t[17] = 0, 0
	sum := uint32(Fold(Sum(s, t))) + g.sum
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(t[16:], ^uint16(sum))
}
