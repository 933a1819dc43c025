package offload_test

import (
	"encoding/binary"
	"fmt"

	"github.com/racoon3/racoon/esp/internal/offload"
)

// segment is a TCP segment of a flow.
func segment(seq uint32, payload string) []byte {
	b := make([]byte, 40, 40+len(payload))
	b[0], b[8], b[9] = 0x45, 64, 6 // IPv4, TTL, TCP
	binary.BigEndian.PutUint16(b[2:], uint16(40+len(payload)))
	copy(b[12:], []byte{10, 1, 0, 1, 10, 2, 0, 1})
	binary.BigEndian.PutUint32(b[24:], seq)
	b[32], b[33] = 5<<4, 0x10 // the header's length, ACK
	binary.BigEndian.PutUint16(b[10:], ^offload.Fold(offload.Sum(0, b[:20])))
	return append(b, payload...)
}

// Segments that follow each other become one packet.
func ExampleMerger() {
	var m offload.Merger
	m.Add(segment(1000, "packets "))
	m.Add(segment(1008, "in order"))
	m.Add(segment(9000, "another one"))
	for _, g := range m.Groups() {
		fmt.Println(len(g.Tails)+1, "segments,", g.Len(), "octets")
	}
	// Output:
	// 2 segments, 56 octets
	// 1 segments, 51 octets
}

// The sum of RFC 1071, section 3.
func ExampleSum() {
	fmt.Printf("%04x\n", offload.Fold(offload.Sum(0, []byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7})))
	// Output:
	// ddf2
}
