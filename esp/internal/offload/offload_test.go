package offload

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// plainSum is RFC 1071 as it is written, apart from the package's own.
func plainSum(parts ...[]byte) uint16 {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	if len(all)%2 == 1 {
		all = append(all, 0)
	}
	var s uint32
	for i := 0; i < len(all); i += 2 {
		s += uint32(all[i])<<8 | uint32(all[i+1])
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

func pseudo(p []byte, upper int, proto byte) []byte {
	addresses := p[12:20]
	if p[0]>>4 == 6 {
		addresses = p[8:40]
	}
	n := len(p) - upper
	return append(bytes.Clone(addresses), 0, proto, byte(n>>8), byte(n))
}

// valid sees that a packet's lengths and checksums are right.
func valid(t testing.TB, p []byte) {
	t.Helper()
	upper := 40
	proto := p[6]
	if p[0]>>4 == 4 {
		upper, proto = 20, p[9]
		require.EqualValues(t, 0xffff, plainSum(p[:20]), "header checksum")
		require.EqualValues(t, len(p), binary.BigEndian.Uint16(p[2:]))
	} else {
		require.EqualValues(t, len(p)-40, binary.BigEndian.Uint16(p[4:]))
	}
	require.EqualValues(t, 0xffff, plainSum(pseudo(p, upper, proto), p[upper:]), "transport checksum")
	if proto == protoUDP {
		require.NotZero(t, binary.BigEndian.Uint16(p[upper+6:]))
		require.EqualValues(t, len(p)-upper, binary.BigEndian.Uint16(p[upper+4:]))
	}
}

type header struct {
	v6    bool
	proto byte
	flags byte
	opts  int
	seq   uint32
	port  uint16
}

// bytes returns the headers, with lengths and checksums missing.
func (h header) bytes() (b []byte, upper int) {
	if h.v6 {
		b = append(b, 0x6a, 0xbc, 0xde, 0xf0, 0, 0, h.proto, 63)
		for i := range 32 {
			b = append(b, byte(i+1))
		}
	} else {
		b = append(b, 0x45, 0x02, 0, 0, 0xff, 0xfe, 0x40, 0, 63, h.proto, 0, 0, 10, 1, 0, 1, 10, 2, 0, 1)
	}
	upper = len(b)
	b = binary.BigEndian.AppendUint16(b, h.port)
	b = append(b, 0, 80)
	if h.proto == protoUDP {
		return append(b, 0, 0, 0, 0), upper
	}
	b = binary.BigEndian.AppendUint32(b, h.seq)
	b = append(b, 1, 2, 3, 4, byte(20+h.opts)<<2, h.flags, 0x12, 0x34, 0, 0, 0, 0)
	return append(b, bytes.Repeat([]byte{1}, h.opts)...), upper
}

// cut returns the segments of a payload.
func cut(t testing.TB, h header, payload []byte, size int) (list [][]byte) {
	b, upper := h.bytes()
	var s Segmenter
	require.NoError(t, s.Reset(b, upper, h.proto))
	for {
		n := min(size, len(payload))
		p := make([]byte, s.HeaderSize()+n)
		copy(p[s.HeaderSize():], payload[:n])
		payload = payload[n:]
		s.Finish(p, len(payload) > 0)
		list = append(list, p)
		if len(payload) == 0 {
			return list
		}
	}
}

func payload(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

func TestSum(t *testing.T) {
	// The example of RFC 1071 section 3.
	require.EqualValues(t, 0xddf2, Fold(Sum(0, []byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7})))
	for n := range 300 {
		b := payload(n)
		require.Equal(t, plainSum(b), Fold(Sum(0, b)), "%d octets", n)
	}
	require.EqualValues(t, 0xffff, Fold(Sum(0, bytes.Repeat([]byte{0xff}, 4096))))
	// Sums continue where an even number of octets ended.
	b := payload(1000)
	require.Equal(t, plainSum(b), Fold(Sum(Sum(0, b[:222]), b[222:])))
}

func TestSegments(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, opts := range []int{0, 12} {
			for _, n := range []int{1, 999, 1000, 1001, 5000, 64000} {
				h := header{v6: v6, proto: protoTCP, flags: tcpACK | tcpPSH | tcpFIN | tcpCWR, opts: opts, seq: 0xfffff000}
				data := payload(n)
				list := cut(t, h, data, 1000)
				require.Len(t, list, (n+999)/1000)
				_, upper := h.bytes()
				var got []byte
				for i, p := range list {
					valid(t, p)
					q := p[upper:]
					require.Equal(t, h.seq+uint32(len(got)), binary.BigEndian.Uint32(q[4:]), "sequence numbers go on, and wrap")
					require.Equal(t, i == 0, q[13]&tcpCWR != 0, "CWR only in the first")
					require.Equal(t, i == len(list)-1, q[13]&tcpFIN != 0, "FIN only in the last")
					require.Equal(t, i == len(list)-1, q[13]&tcpPSH != 0, "PSH only in the last")
					if !v6 {
						require.Equal(t, uint16(0xfffe+i), binary.BigEndian.Uint16(p[4:]), "IP ID")
					}
					got = append(got, q[20+opts:]...)
				}
				require.Equal(t, data, got)
			}
		}
		for _, p := range cut(t, header{v6: v6, proto: protoUDP, port: 9}, payload(3333), 500) {
			valid(t, p)
		}
	}
}

func TestSegmenterRefuses(t *testing.T) {
	tcp, upper := header{proto: protoTCP}.bytes()
	udp, _ := header{proto: protoUDP}.bytes()
	short := bytes.Clone(tcp)
	short[upper+12] = 4 << 4
	for name, test := range map[string]struct {
		b     []byte
		upper int
		proto uint8
	}{
		"nothing":                    {nil, 0, protoTCP},
		"no IP header":               {tcp, 0, protoTCP},
		"another IP header length":   {tcp, 24, protoTCP},
		"cut TCP header":             {tcp[:39], 20, protoTCP},
		"TCP header says it is less": {short, 20, protoTCP},
		"octets behind UDP":          {append(udp, 0), 20, protoUDP},
		"another protocol":           {tcp, 20, 50},
		"too large":                  {make([]byte, MaxHeader+1), 20, protoTCP},
	} {
		require.ErrorIs(t, new(Segmenter).Reset(test.b, test.upper, test.proto), ErrMalformed, name)
	}
}

func TestCompleteChecksum(t *testing.T) {
	p := cut(t, header{proto: protoUDP}, payload(99), 1000)[0]
	want := bytes.Clone(p)
	binary.BigEndian.PutUint16(p[26:], plainSum(pseudo(p, 20, protoUDP)))
	require.NoError(t, CompleteChecksum(p, 20, 6))
	require.Equal(t, want, p)
	require.ErrorIs(t, CompleteChecksum(p, 20, len(p)-21), ErrMalformed)
	require.ErrorIs(t, CompleteChecksum(p, -1, 6), ErrMalformed)
}

// merged returns the packets that the groups stand for, finished.
func merged(m *Merger) (list [][]byte) {
	for i := range m.Groups() {
		g := &m.Groups()[i]
		if len(g.Tails) > 0 {
			g.Finish()
			if m.Verify {
				// What the interface does.
				b := slices.Concat(append([][]byte{g.Head}, g.Tails...)...)
				CompleteChecksum(b, g.Upper, 16)
				list = append(list, b)
				continue
			}
		}
		list = append(list, slices.Concat(append([][]byte{g.Head}, g.Tails...)...))
	}
	return list
}

func TestMergeUndoesCutting(t *testing.T) {
	for _, verify := range []bool{false, true} {
		for _, v6 := range []bool{false, true} {
			for _, size := range []int{1000, 1001} { // odd ones shift the checksum's words
				for _, n := range []int{size, size + 1, 5*size - 3, 60 * size} {
					t.Run(fmt.Sprintf("verify=%v/v6=%v/%d/%d", verify, v6, size, n), func(t *testing.T) {
						h := header{v6: v6, proto: protoTCP, flags: tcpACK | tcpPSH, opts: 12, seq: 0xfffffff0}
						whole := cut(t, h, payload(n), n)
						m := Merger{Verify: verify}
						for range 2 { // a merger is used again
							m.Reset()
							for _, p := range cut(t, h, payload(n), size) {
								m.Add(p)
							}
							got := merged(&m)
							require.Len(t, got, 1)
							valid(t, got[0])
							require.Equal(t, whole, got)
							if g := m.Groups()[0]; n > size {
								require.Equal(t, size, g.Size)
							}
						}
					})
				}
			}
		}
	}
}

// A corrupt segment stays recognizable: apart from the others when checksums
// are verified, else the merged packet is wrong.
func TestMergeOfCorruptSegment(t *testing.T) {
	for _, verify := range []bool{false, true} {
		for bad := range 4 {
			list := cut(t, header{proto: protoTCP, flags: tcpACK}, payload(4000), 1000)
			list[bad][700] ^= 4
			m := Merger{Verify: verify}
			for _, p := range list {
				m.Add(p)
			}
			wrong := 0
			for _, p := range merged(&m) {
				if plainSum(pseudo(p, 20, protoTCP), p[20:]) != 0xffff {
					wrong++
					if verify {
						require.Len(t, p, 1040)
					}
				}
			}
			require.Equal(t, 1, wrong, "verify=%v, segment %d", verify, bad)
		}
	}
}

// What makes a difference to the receiver is not merged, and the segments of a
// flow keep their order.
func TestMergeKeepsDifferences(t *testing.T) {
	fix := func(p []byte) {
		upper := 20
		if p[0]>>4 == 6 {
			upper = 40
		} else {
			setIPv4Checksum(p[:20])
		}
		setChecksum(p[:upper], p[upper:], protoTCP, 16)
	}
	for _, v6 := range []bool{false, true} {
		up := 20
		if v6 {
			up = 40
		}
		changes := map[string]func(p []byte){
			"sequence number": func(p []byte) { p[up+7]++ },
			"acknowledgment":  func(p []byte) { p[up+11]++ },
			"window":          func(p []byte) { p[up+15]++ },
			"FIN":             func(p []byte) { p[up+13] |= tcpFIN },
			"RST":             func(p []byte) { p[up+13] |= 4 },
			"ECE":             func(p []byte) { p[up+13] |= 0x40 },
			"CWR":             func(p []byte) { p[up+13] |= tcpCWR },
			"reserved bit":    func(p []byte) { p[up+12] |= 1 },
			"urgent pointer":  func(p []byte) { p[up+19]++ },
			"option":          func(p []byte) { p[up+20]++ },
		}
		if v6 {
			changes["traffic class"] = func(p []byte) { p[1] ^= 0x10 }
			changes["flow label"] = func(p []byte) { p[3]++ }
			changes["hop limit"] = func(p []byte) { p[7]-- }
		} else {
			changes["TOS"] = func(p []byte) { p[1] ^= 1 }
			changes["TTL"] = func(p []byte) { p[8]-- }
			changes["DF"] = func(p []byte) { p[6] ^= 0x40 }
			changes["fragment"] = func(p []byte) { p[6] |= 0x20 }
			changes["header checksum"] = nil
		}
		for name, change := range changes {
			list := cut(t, header{v6: v6, proto: protoTCP, flags: tcpACK, opts: 12}, payload(3000), 1000)
			if change == nil {
				list[1][11]++
			} else {
				change(list[1])
				fix(list[1])
			}
			want := [][]byte{bytes.Clone(list[0]), bytes.Clone(list[1]), bytes.Clone(list[2])}
			for _, verify := range []bool{false, true} {
				m := Merger{Verify: verify}
				for _, p := range list {
					m.Add(p)
				}
				require.Equal(t, want, merged(&m), "%s, v6=%v", name, v6)
			}
		}
	}
}

func TestMergeEndsAtShortOrPushed(t *testing.T) {
	h := header{proto: protoTCP, flags: tcpACK | tcpPSH}
	m := Merger{Verify: true}
	var sizes []int
	for range 2 {
		for _, p := range cut(t, h, payload(2000), 1000) { // PSH on the second
			m.Add(p)
		}
		h.seq += 2000
	}
	h.flags = tcpACK
	for _, p := range cut(t, h, payload(1500), 1000) { // the second is short
		m.Add(p)
	}
	h.seq += 1500
	m.Add(cut(t, h, payload(500), 500)[0])
	m.Add(cut(t, h, nil, 500)[0]) // nothing but an acknowledgment
	m.Add([]byte{0x45})           // not anything
	for _, p := range merged(&m) {
		sizes = append(sizes, len(p))
	}
	require.Equal(t, []int{2040, 2040, 1540, 540, 40, 1}, sizes)
}

func TestMergeFlowsSideBySide(t *testing.T) {
	const flows = openGroups + 3
	m := Merger{Verify: true}
	var lists [flows][][]byte
	for f := range flows {
		lists[f] = cut(t, header{proto: protoTCP, flags: tcpACK, port: uint16(f)}, payload(10000), 1000)
	}
	for i := range 10 {
		for f := range openGroups {
			m.Add(lists[f][i])
		}
	}
	require.Len(t, m.Groups(), openGroups)
	// More flows than can be open: less is merged, but nothing lost.
	m.Reset()
	n := 0
	for i := range 10 {
		for f := range flows {
			m.Add(lists[f][i])
		}
	}
	for i := range m.Groups() {
		n += 1 + len(m.Groups()[i].Tails)
	}
	require.Equal(t, 10*flows, n)
}

func TestMergeAllocatesNothing(t *testing.T) {
	list := cut(t, header{proto: protoTCP, flags: tcpACK}, payload(40000), 1000)
	var m Merger
	m.Verify = true
	require.Zero(t, testing.AllocsPerRun(100, func() {
		m.Reset()
		for _, p := range list {
			m.Add(p)
		}
	}))
	require.Len(t, m.Groups(), 1)
}

// Whatever the packets are: all their octets come out again, in order.
func FuzzMerge(f *testing.F) {
	for _, p := range cut(f, header{proto: protoTCP, flags: tcpACK}, payload(100), 50) {
		f.Add(append(append([]byte{byte(len(p))}, p...), p...))
	}
	for _, p := range cut(f, header{v6: true, proto: protoTCP, flags: tcpACK}, payload(100), 50) {
		f.Add(append([]byte{byte(len(p))}, p...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var m Merger
		m.Verify = len(data)%2 == 0
		packets, octets := 0, 0
		for len(data) > 1 {
			n := min(int(data[0]), len(data)-1)
			if n == 0 {
				break
			}
			m.Add(data[1 : 1+n : 1+n])
			packets++
			octets += n
			data = data[1+n:]
		}
		for i := range m.Groups() {
			g := &m.Groups()[i]
			packets--
			octets -= g.Len()
			for range g.Tails {
				packets--
				octets -= g.Header
			}
			if len(g.Tails) > 0 {
				g.Finish()
			}
		}
		if packets != 0 || octets != 0 {
			t.Fatalf("%d packets and %d octets are missing", packets, octets)
		}
	})
}

func BenchmarkSum(b *testing.B) {
	p := payload(1400)
	b.SetBytes(1400)
	b.ReportAllocs()
	for b.Loop() {
		Sum(0, p)
	}
}

func BenchmarkMerge(b *testing.B) {
	list := cut(b, header{proto: protoTCP, flags: tcpACK}, payload(45*1400), 1400)
	var m Merger
	m.Verify = true
	b.SetBytes(45 * 1400)
	b.ReportAllocs()
	for b.Loop() {
		m.Reset()
		for _, p := range list {
			m.Add(p)
		}
	}
}
