package pcap

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// file returns a classic capture with one packet.
func file(order binary.AppendByteOrder, magic uint32, link LinkType, packet []byte) []byte {
	b := order.AppendUint32(nil, magic)
	b = order.AppendUint16(b, 2)
	b = order.AppendUint16(b, 4)
	b = append(b, make([]byte, 8)...)
	b = order.AppendUint32(b, 65535)
	b = order.AppendUint32(b, uint32(link))
	b = order.AppendUint32(b, 1000)
	b = order.AppendUint32(b, 7)
	b = order.AppendUint32(b, uint32(len(packet)))
	b = order.AppendUint32(b, uint32(len(packet)))
	return append(b, packet...)
}

// A UDP datagram "abc" from 10.1.0.1:500 to 10.1.0.2:4500.
const ipv4 = "4500001f00004000401100000a0100010a01000201f41194000b0000616263"

// The same over IPv6 with a destination options header.
const ipv6 = "60000000001" + "33c40" + "fd000000000000000000000000000001" + "fd000000000000000000000000000002" +
	"1100010400000000" + "01f41194000b0000616263"

func octets(t *testing.T, s string) []byte {
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

func TestLinkTypesAndByteOrders(t *testing.T) {
	for _, c := range []struct {
		name   string
		link   LinkType
		prefix string
	}{
		{"raw", LinkRaw, ""},
		{"null", LinkNull, "02000000"},
		{"loop", LinkLoop, "00000002"},
		{"ethernet", LinkEthernet, "0000000000000000000000000800"},
		{"vlan", LinkEthernet, "000000000000000000000000810000050800"},
		{"sll", LinkSLL, "00000000000000000000000000000800"},
		{"sll2", LinkSLL2, "0800000000000000000000000000000000000000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, packet := range []string{ipv4, ipv6} {
				data := octets(t, c.prefix+packet)
				for _, f := range [][]byte{
					file(binary.LittleEndian, 0xa1b2c3d4, c.link, data),
					file(binary.BigEndian, 0xa1b2c3d4, c.link, data),
				} {
					packets, err := Parse(f)
					require.NoError(t, err)
					require.Len(t, packets, 1)
					require.Equal(t, time.Unix(1000, 7000).UTC(), packets[0].Time)
					d, ok := packets[0].UDP()
					require.True(t, ok)
					require.Equal(t, "abc", string(d.Payload))
					require.False(t, d.Cut)
					require.Equal(t, uint16(500), d.Src.Port())
					require.Equal(t, uint16(4500), d.Dst.Port())
				}
			}
		})
	}
}

func TestAddressesPaddingAndNanoseconds(t *testing.T) {
	// Ethernet pads short frames; the padding is no part of the packet.
	data := append(octets(t, "0000000000000000000000000800"+ipv4), 0xee, 0xee)
	packets, err := Parse(file(binary.LittleEndian, 0xa1b23c4d, LinkEthernet, data))
	require.NoError(t, err)
	require.Equal(t, time.Unix(1000, 7).UTC(), packets[0].Time)
	d, ok := packets[0].UDP()
	require.True(t, ok)
	require.Equal(t, netip.MustParseAddrPort("10.1.0.1:500"), d.Src)
	require.Equal(t, "abc", string(d.Payload))
	ip, ok := packets[0].IP()
	require.True(t, ok)
	require.Len(t, ip.Payload, 11)
}

func TestTruncatedFilesAreErrors(t *testing.T) {
	whole := file(binary.LittleEndian, 0xa1b2c3d4, LinkRaw, octets(t, ipv4))
	for n := range len(whole) {
		packets, err := Parse(whole[:n])
		if n == 24 { // a capture without packets
			require.NoError(t, err)
			require.Empty(t, packets)
			continue
		}
		require.ErrorIs(t, err, ErrFormat, "%d octets", n)
	}
}

func TestReferenceCaptures(t *testing.T) {
	root := os.Getenv("RACOON_REFERENCE")
	if root == "" {
		t.Skip("RACOON_REFERENCE is not set")
	}
	// Packet counts as tshark gives them.
	for name, want := range map[string]int{
		"captures/tcpdump/ikev2four.pcap":                      21,
		"captures/tcpdump/ISAKMP_sa_setup.pcap":                9,
		"captures/tcpdump/OSPFv3_with_AH.pcap":                 61,
		"captures/tcpdump/isakmp4500.pcap":                     35,
		"captures/tcpdump/ikev2pI2-segfault.pcapng":            1,
		"captures/tcpdump/isakmp-no-none-np.pcapng":            1,
		"captures/libreswan/klips-02-east-west-transport.pcap": 2,
	} {
		packets, err := ReadFile(filepath.Join(root, name))
		require.NoError(t, err, name)
		require.Len(t, packets, want, name)
		ip := 0
		for _, p := range packets {
			if _, ok := p.IP(); ok {
				ip++
			}
		}
		require.Positive(t, ip, name)
	}
}

func FuzzParse(f *testing.F) {
	four, _ := hex.DecodeString(ipv4)
	six, _ := hex.DecodeString(ipv6)
	f.Add(file(binary.LittleEndian, 0xa1b2c3d4, LinkRaw, four))
	f.Add(file(binary.BigEndian, 0xa1b2c3d4, LinkRaw, six))
	f.Fuzz(func(t *testing.T, b []byte) {
		packets, _ := Parse(b)
		for range UDP(packets) {
		}
	})
}
