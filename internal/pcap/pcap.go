// Package pcap reads capture files in tests: classic pcap and pcapng, down to
// the IP packet and the UDP datagram. It is a total function of the file's
// octets and meant for files of a size that memory holds.
//
//	packets, err := pcap.ReadFile("testdata/ikev2-psk.pcap")
//	for d := range pcap.UDP(packets) {
//		// d.Src, d.Dst, d.Payload
//	}
package pcap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"
)

// LinkType says what a packet begins with (tcpdump.org's LINKTYPE_ values).
type LinkType uint32

// Link types that [Packet.IP] understands.
const (
	LinkNull     LinkType = 0   // BSD loopback, host byte order
	LinkEthernet LinkType = 1   // with or without VLAN tags
	LinkRaw12    LinkType = 12  // LINKTYPE_RAW as some systems write it
	LinkRaw      LinkType = 101 // an IP packet
	LinkLoop     LinkType = 108 // OpenBSD loopback, network byte order
	LinkSLL      LinkType = 113 // Linux "any"
	LinkIPv4     LinkType = 228
	LinkIPv6     LinkType = 229
	LinkSLL2     LinkType = 276 // Linux "any", version 2
)

// A Packet is one captured packet.
type Packet struct {
	Time     time.Time
	LinkType LinkType
	Length   int    // on the wire; Data is shorter if the capture cut it
	Data     []byte // with the link layer's header
}

// ErrFormat is wrapped by errors about files that are not captures.
var ErrFormat = errors.New("pcap: not a capture file")

// ReadFile reads a capture file.
func ReadFile(name string) ([]Packet, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	packets, err := Parse(b)
	if err != nil {
		return packets, fmt.Errorf("%s: %w", name, err)
	}
	return packets, nil
}

// Parse reads a capture file's octets. Packets alias b. Those before a fault
// are returned with the error.
func Parse(b []byte) ([]Packet, error) {
	if len(b) < 4 {
		return nil, fmt.Errorf("%w: %d octets", ErrFormat, len(b))
	}
	if binary.LittleEndian.Uint32(b) == ngSectionHeader {
		return parseNG(b)
	}
	return parseClassic(b)
}

func parseClassic(b []byte) ([]Packet, error) {
	var order binary.ByteOrder = binary.LittleEndian
	unit := time.Microsecond
	switch magic := binary.LittleEndian.Uint32(b); magic {
	case 0xa1b2c3d4:
	case 0xa1b23c4d:
		unit = time.Nanosecond
	case 0xd4c3b2a1:
		order = binary.BigEndian
	case 0x4d3cb2a1:
		order, unit = binary.BigEndian, time.Nanosecond
	default:
		return nil, fmt.Errorf("%w: magic %08x", ErrFormat, magic)
	}
	if len(b) < 24 {
		return nil, fmt.Errorf("%w: header is cut short", ErrFormat)
	}
	link := LinkType(order.Uint32(b[20:]) & 0x0fffffff)
	var packets []Packet
	for b = b[24:]; len(b) > 0; {
		if len(b) < 16 {
			return packets, fmt.Errorf("%w: packet header %d is cut short", ErrFormat, len(packets))
		}
		n := order.Uint32(b[8:])
		if uint64(n) > uint64(len(b)-16) {
			return packets, fmt.Errorf("%w: packet %d is cut short", ErrFormat, len(packets))
		}
		end := 16 + int(n)
		packets = append(packets, Packet{
			Time:     time.Unix(int64(order.Uint32(b)), int64(order.Uint32(b[4:]))*int64(unit)).UTC(),
			LinkType: link,
			Length:   int(order.Uint32(b[12:])),
			Data:     b[16:end:end],
		})
		b = b[end:]
	}
	return packets, nil
}

// Block types of pcapng.
const (
	ngSectionHeader  = 0x0a0d0d0a
	ngInterface      = 1
	ngSimplePacket   = 3
	ngEnhancedPacket = 6
)

// parseNG reads pcapng. Times are taken as microseconds, the default; options
// are skipped.
func parseNG(b []byte) ([]Packet, error) {
	var packets []Packet
	var order binary.ByteOrder = binary.LittleEndian
	var links []LinkType
	for len(b) > 0 {
		bad := func() ([]Packet, error) {
			return packets, fmt.Errorf("%w: block after packet %d is malformed", ErrFormat, len(packets))
		}
		if len(b) < 12 {
			return bad()
		}
		kind := order.Uint32(b)
		if kind == ngSectionHeader {
			order, links = binary.LittleEndian, nil
			if binary.LittleEndian.Uint32(b[8:]) != 0x1a2b3c4d {
				order = binary.BigEndian
			}
		}
		n := order.Uint32(b[4:])
		if n < 12 || n%4 != 0 || uint64(n) > uint64(len(b)) {
			return bad()
		}
		body := b[8 : n-4]
		b = b[n:]
		switch kind {
		case ngInterface:
			if len(body) < 8 {
				return bad()
			}
			links = append(links, LinkType(order.Uint16(body)))
		case ngEnhancedPacket:
			if len(body) < 20 {
				return bad()
			}
			i, size := order.Uint32(body), order.Uint32(body[12:])
			if uint64(i) >= uint64(len(links)) || uint64(size) > uint64(len(body)-20) {
				return bad()
			}
			us := uint64(order.Uint32(body[4:]))<<32 | uint64(order.Uint32(body[8:]))
			packets = append(packets, Packet{
				Time: time.UnixMicro(int64(us)).UTC(), LinkType: links[i],
				Length: int(order.Uint32(body[16:])), Data: body[20 : 20+size : 20+size],
			})
		case ngSimplePacket:
			if len(body) < 4 || len(links) == 0 {
				return bad()
			}
			size := order.Uint32(body)
			kept := min(uint64(size), uint64(len(body)-4))
			packets = append(packets, Packet{LinkType: links[0], Length: int(size), Data: body[4 : 4+kept : 4+kept]})
		}
	}
	return packets, nil
}
