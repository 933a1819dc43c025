package esp

import "encoding/binary"

const (
	ipv4DF        = 0x4000
	ipv4MF        = 0x2000
	ipv4MinMTU    = 68
	ipv6MinMTU    = 1280
	maxFragmentID = 0x1fff
)

// dontFragment reports whether an IP packet must not be fragmented on its way:
// an IPv6 packet never.
func dontFragment(header []byte) bool {
	return header[0]>>4 != 4 || binary.BigEndian.Uint16(header[6:])&ipv4DF != 0
}

// fragmentIPv4 cuts an IPv4 packet into fragments of at most mtu octets (RFC
// 791 section 3.2), in buffers of the batch's own, and hands each to yield. The
// packet may be a fragment itself.
func fragmentIPv4(b *Batch, p Packet, mtu int, yield func(Packet)) {
	packet := p.Bytes()
	size := int(packet[0]&0xf) * 4
	header, data := packet[:size], packet[size:]
	offset := binary.BigEndian.Uint16(header[6:]) & 0x1fff
	more := binary.BigEndian.Uint16(header[6:]) & ipv4MF
	for first := true; len(data) > 0; first = false {
		if !first {
			header = laterOptions(header)
		}
		room := (max(mtu, ipv4MinMTU) - len(header)) &^ 7
		n := len(data)
		if len(header)+n > mtu {
			n = min(n, room)
		}
		f := b.packet(len(header)+n, 0)
		out := f.Bytes()
		copy(out, header)
		copy(out[len(header):], data[:n])
		data = data[n:]

		flags := offset | ipv4MF
		if len(data) == 0 {
			flags = offset | more
		}
		offset += uint16(n / 8)
		out[0] = 0x40 | byte(len(header)/4)
		binary.BigEndian.PutUint16(out[2:], uint16(len(out)))
		binary.BigEndian.PutUint16(out[6:], flags)
		setIPv4Checksum(out[:len(header)])
		yield(f)
	}
}

// laterOptions returns the header of fragments other than the first: of the
// options, those that are to be copied (RFC 791 section 3.1).
func laterOptions(header []byte) []byte {
	if len(header) == ipv4HeaderSize {
		return header
	}
	out := append(make([]byte, 0, len(header)), header[:ipv4HeaderSize]...)
	for opts := header[ipv4HeaderSize:]; len(opts) > 0 && opts[0] != 0; {
		n := 1
		if opts[0] != 1 {
			if len(opts) < 2 || opts[1] < 2 || int(opts[1]) > len(opts) {
				break
			}
			n = int(opts[1])
		}
		if opts[0]&0x80 != 0 {
			out = append(out, opts[:n]...)
		}
		opts = opts[n:]
	}
	for len(out)%4 != 0 {
		out = append(out, 0)
	}
	return out
}
