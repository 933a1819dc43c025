package esp

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd"
)

// TestFragmentBeforeEncapsulation: packets beyond the size that is configured
// for the peer are fragmented inside the tunnel.
func TestFragmentBeforeEncapsulation(t *testing.T) {
	p := newPair(t, inUDP, options(func(o *spd.Options) { o.Fragment = 552 }))
	for _, n := range []int{0, 524, 525, 552, 1000, 1100, 5000, 60000} {
		packet := udp("10.1.0.1:1", "10.2.0.2:2", n)
		ds := p.a.send(packet)
		got := p.b.receive(ds...)
		require.Len(t, got, len(ds))
		if len(packet) <= 552 {
			require.Equal(t, [][]byte{packet}, got)
			continue
		}
		data := make([]byte, 0, len(packet))
		for i, f := range got {
			require.LessOrEqual(t, len(f), 552)
			requireChecksums(t, f)
			field := binary.BigEndian.Uint16(f[6:])
			require.Equal(t, len(data), int(field&0x1fff)*8)
			require.Equal(t, i < len(got)-1, field&0x2000 != 0, "more fragments")
			require.Equal(t, packet[4:6], f[4:6], "one identification")
			data = append(data, f[20:]...)
		}
		require.Equal(t, packet[20:], data)
	}
	require.Empty(t, p.a.send(withDF(udp("10.1.0.1:1", "10.2.0.2:2", 1000))), "DF is obeyed")
	require.Len(t, p.a.batch.Packets, 1)
}

// TestFragmentOptionsAndFragments: a fragment is fragmented again in place of
// its own, and only options that say so are copied (RFC 791 3.1).
func TestFragmentOptionsAndFragments(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 50)
	opts := []byte{0x83, 3, 4, 7, 4, 5, 1, 0} // loose source route (copied), record route (not), no operation, end
	h := []byte{0x47, 0, 0, 0, 1, 2, 0x20, 100, 63, protoUDP, 0, 0, 10, 1, 0, 1, 10, 2, 0, 2}
	h = append(h, opts...)
	packet := append(h, data...)
	binary.BigEndian.PutUint16(packet[2:], uint16(len(packet)))
	binary.BigEndian.PutUint16(packet[10:], checksum(packet[:28]))
	var b Batch
	var got []byte
	n := 0
	fragmentIPv4(&b, roomy(packet), 300, func(p Packet) {
		f := p.Bytes()
		size := int(f[0]&15) * 4
		require.Zero(t, checksum(f[:size]))
		field := binary.BigEndian.Uint16(f[6:])
		require.Equal(t, 100+len(got)/8, int(field&0x1fff))
		require.NotZero(t, field&0x2000, "the packet itself had more fragments")
		if n == 0 {
			require.Equal(t, opts, f[20:size])
		} else {
			require.Equal(t, []byte{0x83, 3, 4, 0}, f[20:size])
		}
		got = append(got, f[size:]...)
		n++
	})
	require.Equal(t, data, got)
	require.Equal(t, 3, n)
}
