package natt

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestA34_Classify(t *testing.T) {
	header := bytes.Repeat([]byte{0x5a}, 28)
	esp := []byte{1, 2, 3, 4, 0, 0, 0, 1}
	long := append([]byte{0, 0, 1, 0}, bytes.Repeat([]byte{0}, 1396)...)
	marked := append(AppendMarker(nil), header...)
	for name, c := range map[string]struct {
		datagram []byte
		kind     Kind
		payload  []byte
	}{
		"empty":                             {nil, Invalid, nil},
		"keepalive":                         {[]byte{0xff}, Keepalive, nil},
		"one other octet":                   {[]byte{0xfe}, Invalid, nil},
		"two octets of keepalive":           {[]byte{0xff, 0xff}, Invalid, nil},
		"half a marker":                     {[]byte{0, 0}, Invalid, nil},
		"marker alone":                      {[]byte{0, 0, 0, 0}, Invalid, nil},
		"marker and half an IKE header":     {marked[:4+14], Invalid, nil},
		"marker and IKE header less 1":      {marked[:4+27], Invalid, nil},
		"marker and IKE header":             {marked, IKE, header},
		"two markers (non-IKE of drafts)":   {append(AppendMarker(nil), marked...), IKE, marked},
		"SPI alone":                         {[]byte{1, 2, 3, 4}, Invalid, nil},
		"ESP shorter than its header":       {[]byte{1, 2, 3, 4, 0, 0, 0}, Invalid, nil},
		"ESP header":                        {[]byte{1, 2, 3, 4, 0, 0, 0, 1}, ESP, []byte{1, 2, 3, 4, 0, 0, 0, 1}},
		"ESP, first octets of the SPI zero": {[]byte{0, 0, 0, 4, 0, 0, 0, 1}, ESP, []byte{0, 0, 0, 4, 0, 0, 0, 1}},
		"IKE without marker looks like ESP": {header, ESP, header},
	} {
		kind, payload := Classify(c.datagram)
		require.Equal(t, c.kind, kind, name)
		require.Equal(t, c.payload, payload, name)
	}
	for name, c := range map[string]struct {
		datagram []byte
		kind     Kind
		payload  []byte
	}{
		"empty":         {nil, Invalid, nil},
		"keepalive":     {[]byte{0xff}, Keepalive, nil},
		"short":         {header[:27], Invalid, nil},
		"IKE":           {header, IKE, header},
		"marker on 500": {marked, IKE, marked}, // an SPI of zeros, for the message parser to refuse
		"ESP short":     {[]byte{1, 2, 3, 4, 0, 0, 0, 1}, Invalid, nil},

		"non-IKE marker":                {append(AppendNonIKEMarker(nil), esp...), ESP, esp},
		"non-IKE marker before a long":  {append(AppendNonIKEMarker(nil), long...), ESP, long},
		"non-IKE marker and half":       {append(AppendNonIKEMarker(nil), esp[:7]...), Invalid, nil},
		"non-IKE marker and no SPI":     {make([]byte, 16), Invalid, nil},
		"IKE with a cookie of 0, twice": {make([]byte, 28), Invalid, nil},
		"seven zero octets":             {append(make([]byte, 7), header...), IKE, append(make([]byte, 7), header...)},
	} {
		kind, payload := ClassifyIKE(c.datagram)
		require.Equal(t, c.kind, kind, name)
		require.Equal(t, c.payload, payload, name)
	}
	kind, _ := Classify(AppendKeepalive(nil))
	require.Equal(t, Keepalive, kind)
}

func TestClassifyAllocatesNothing(t *testing.T) {
	datagrams := [][]byte{nil, {0xff}, make([]byte, 64), bytes.Repeat([]byte{1}, 1400)}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		for _, d := range datagrams {
			Classify(d)
			ClassifyIKE(d)
		}
	}))
}

// TestRecordedDatagrams counts what is in captures of others: of an IKEv1 exchange that floats through a NAT, and
// of ESP in UDP.
func TestRecordedDatagrams(t *testing.T) {
	for file, want := range map[string]map[Kind]int{
		"isakmp4500.pcap":          {IKE: 15, ESP: 8, Keepalive: 4},
		"espudp1.pcap":             {ESP: 8},
		"isakmp-3948-oobr-2.pcap":  nil, // malformed: whatever it is, no panic
		"isakmp-rfc3948-oobr.pcap": nil,
		"esp_truncated.pcap":       nil,
	} {
		got := map[Kind]int{}
		for _, d := range capture(t, file) {
			kind, payload := Classify(d.payload)
			if d.src == PortIKE && d.dst == PortIKE {
				kind, payload = ClassifyIKE(d.payload)
			}
			if kind == IKE {
				require.Contains(t, []byte{0x10, 0x20}, payload[17], "the version")
			}
			got[kind]++
		}
		if want != nil {
			require.Equal(t, want, got, file)
		}
	}
}

// TestRecordedNAT judges the NAT-D payloads of an initiator behind a NAT, RFC 3947 with MD5.
func TestRecordedNAT(t *testing.T) {
	results := []Detection{}
	for _, d := range capture(t, "isakmp4500.pcap") {
		m := d.payload
		if d.src != PortIKE || len(m) < 28 || m[17] != 0x10 || m[19]&1 != 0 {
			continue
		}
		det := NewDetector(MD5, binary.BigEndian.Uint64(m), binary.BigEndian.Uint64(m[8:]), d.local(), d.remote())
		n := 0
		for next, rest := m[16], m[28:]; next != 0 && len(rest) >= 4; {
			length := int(binary.BigEndian.Uint16(rest[2:]))
			require.LessOrEqual(t, length, len(rest))
			if next == RFC3947.NATD() {
				if n++; n == 1 {
					det.Destination(rest[4:length])
				} else {
					det.Source(rest[4:length])
				}
			}
			next, rest = rest[0], rest[length:]
		}
		if n > 0 {
			results = append(results, det.Result())
		}
	}
	require.Equal(t, []Detection{{Supported: true, RemoteNAT: true}, {Supported: true}}, results)
}

type datagram struct {
	ip       [2][4]byte
	src, dst uint16
	payload  []byte
}

func (d datagram) remote() netip.AddrPort { return netip.AddrPortFrom(netip.AddrFrom4(d.ip[0]), d.src) }
func (d datagram) local() netip.AddrPort  { return netip.AddrPortFrom(netip.AddrFrom4(d.ip[1]), d.dst) }

// capture returns the UDP datagrams over IPv4 of a file of the folder RACOON_REFERENCE names.
func capture(t *testing.T, name string) (all []datagram) {
	t.Helper()
	root := os.Getenv("RACOON_REFERENCE")
	if root == "" {
		t.Skip("RACOON_REFERENCE is not set")
	}
	if _, err := os.Stat(filepath.Join(root, "captures")); err == nil {
		root = filepath.Join(root, "captures")
	}
	b, err := os.ReadFile(filepath.Join(root, "tcpdump", name))
	require.NoError(t, err)
	var order binary.ByteOrder = binary.LittleEndian
	if binary.BigEndian.Uint32(b) == 0xa1b2c3d4 {
		order = binary.BigEndian
	}
	link := map[uint32]int{0: 4, 1: 14, 101: 0, 113: 16}[order.Uint32(b[20:])&0xffff]
	for b = b[24:]; len(b) >= 16; {
		n := int(order.Uint32(b[8:]))
		p := b[16:min(16+n, len(b))]
		b = b[min(16+n, len(b)):]
		if len(p) < link+28 || p[link]>>4 != 4 || p[link+9] != 17 {
			continue
		}
		ip := p[link:]
		udp := ip[int(ip[0]&15)*4:]
		if len(udp) < 8 {
			continue
		}
		end := min(max(int(binary.BigEndian.Uint16(udp[4:])), 8), len(udp))
		all = append(all, datagram{
			ip:  [2][4]byte{[4]byte(ip[12:]), [4]byte(ip[16:])},
			src: binary.BigEndian.Uint16(udp), dst: binary.BigEndian.Uint16(udp[2:]), payload: udp[8:end],
		})
	}
	require.NotEmpty(t, all, name)
	return all
}

func BenchmarkClassify(b *testing.B) {
	d := bytes.Repeat([]byte{1}, 1400)
	b.ReportAllocs()
	for b.Loop() {
		if kind, _ := Classify(d); kind != ESP {
			b.Fatal(kind)
		}
	}
}

func FuzzClassify(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0xff})
	f.Add(make([]byte, 32))
	f.Add(bytes.Repeat([]byte{1}, 32))
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0, 1})
	f.Add(append(make([]byte, 8), 1, 2, 3, 4, 0, 0, 0, 1))
	f.Fuzz(func(t *testing.T, d []byte) {
		before := bytes.Clone(d)
		kind, payload := Classify(d)
		switch kind {
		case IKE:
			require.Equal(t, d, append(AppendMarker(nil), payload...))
			require.GreaterOrEqual(t, len(payload), ikeHeader)
		case ESP:
			require.Equal(t, d, payload)
			require.NotZero(t, binary.BigEndian.Uint32(payload))
		case Keepalive:
			require.Equal(t, AppendKeepalive(nil), d)
		case Invalid:
			require.Less(t, len(d), MarkerSize+ikeHeader)
		}
		if kind == Keepalive || kind == Invalid {
			require.Nil(t, payload)
		}
		kind, payload = ClassifyIKE(d)
		marked := len(d) >= 8 && binary.BigEndian.Uint64(d) == 0
		switch kind {
		case IKE:
			require.False(t, marked && len(d) >= 16)
			require.GreaterOrEqual(t, len(d), ikeHeader)
			require.Equal(t, d, payload)
		case ESP:
			require.Equal(t, d, append(AppendNonIKEMarker(nil), payload...))
			require.GreaterOrEqual(t, len(payload), espHeader)
			require.NotZero(t, binary.BigEndian.Uint32(payload))
		case Keepalive:
			require.Equal(t, AppendKeepalive(nil), d)
		case Invalid:
			require.True(t, marked || len(d) < ikeHeader)
		}
		require.Equal(t, before, d)
	})
}
