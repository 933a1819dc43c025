package pump

import (
	"encoding/binary"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/racoon3/racoon/esp"
	"github.com/racoon3/racoon/esp/internal/offload"
	"github.com/racoon3/racoon/spd"
)

// fakeTUN is a socket pair that keeps packets apart as a TUN device with
// IFF_VNET_HDR does: ours as the pump has it, theirs for the kernel's part.
func fakeTUN(t testing.TB) (inner *vnetInner, theirs *os.File) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	require.NoError(t, err)
	for _, fd := range fds {
		// Beyond the system's limit only with root's rights; less will do too.
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 4<<20) != nil {
			require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 4<<20))
		}
	}
	ours := os.NewFile(uintptr(fds[0]), "ours")
	theirs = os.NewFile(uintptr(fds[1]), "theirs")
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	raw, err := ours.SyscallConn()
	require.NoError(t, err)
	return &vnetInner{raw}, theirs
}

func vnet(flags, kind byte, size, start, offset int) []byte {
	h := make([]byte, vnetHeader)
	h[0], h[1] = flags, kind
	binary.NativeEndian.PutUint16(h[4:], uint16(size))
	binary.NativeEndian.PutUint16(h[6:], uint16(start))
	binary.NativeEndian.PutUint16(h[8:], uint16(offset))
	return h
}

// tcpHeader is an IPv4 and TCP header from 10.1.0.1 to 10.2.0.1.
func tcpHeader(seq uint32) []byte {
	h := []byte{
		0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 1, 0, 1, 10, 2, 0, 1,
		0, 99, 0, 80, 0, 0, 0, 0, 1, 2, 3, 4, 5 << 4, 0x10, 1, 0, 0, 0, 0, 0,
	}
	binary.BigEndian.PutUint32(h[24:], seq)
	return h
}

func segments(t testing.TB, seq uint32, data []byte, size int) (list [][]byte) {
	var s offload.Segmenter
	require.NoError(t, s.Reset(tcpHeader(seq), 20, unix.IPPROTO_TCP))
	for part := range slices.Chunk(data, size) {
		p := append(make([]byte, 40), part...)
		s.Finish(p, true)
		list = append(list, p)
	}
	return list
}

func data(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * i >> 5)
	}
	return b
}

// A large packet of the device comes as segments, several reads make one
// batch, and what does not fit comes with the next.
func TestDeviceCutsLargePackets(t *testing.T) {
	inner, theirs := fakeTUN(t)
	src := inner.newSource()
	payload := data(60000)
	large := append(append(vnet(unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, unix.VIRTIO_NET_HDR_GSO_TCPV4, 300, 20, 16), tcpHeader(7)...), payload...)
	small := append(vnet(0, 0, 0, 0, 0), segments(t, 1, payload[:10], 10)[0]...)
	for _, p := range [][]byte{small, small, large, small} {
		_, err := theirs.Write(p)
		require.NoError(t, err)
	}
	want := append([][]byte{small[vnetHeader:], small[vnetHeader:]}, segments(t, 7, payload, 300)...)
	want = append(want, small[vnetHeader:])
	var got [][]byte
	for len(got) < len(want) {
		list, more, err := src.read()
		require.NoError(t, err)
		require.LessOrEqual(t, len(list), slots)
		require.Equal(t, len(list) == slots, more)
		for _, p := range list {
			require.GreaterOrEqual(t, p.Start, esp.Headroom)
			require.GreaterOrEqual(t, len(p.Buf)-p.End, esp.Tailroom)
			got = append(got, slices.Clone(p.Bytes()))
		}
	}
	require.Equal(t, want, got)
}

// Checksums that the kernel leaves to the device are completed.
func TestDeviceCompletesChecksums(t *testing.T) {
	inner, theirs := fakeTUN(t)
	want := segments(t, 1, data(100), 100)[0]
	p := slices.Clone(want)
	binary.BigEndian.PutUint16(p[36:], offload.Fold(offload.Sum(0, append(slices.Clone(p[12:20]), 0, 6, 0, byte(len(p)-20)))))
	_, err := theirs.Write(append(vnet(unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, 0, 0, 20, 16), p...))
	require.NoError(t, err)
	list, _, err := inner.newSource().read()
	require.NoError(t, err)
	require.Equal(t, want, list[0].Bytes())
}

func TestDeviceRefusesNonsense(t *testing.T) {
	inner, theirs := fakeTUN(t)
	src := inner.newSource()
	tcp := tcpHeader(1)
	for name, p := range map[string][]byte{
		"a header alone":            vnet(0, 0, 0, 0, 0),
		"half a header":             {0, 0, 0},
		"checksum outside":          append(vnet(unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, 0, 0, 30, 16), tcp...),
		"segments of nothing":       append(vnet(1, unix.VIRTIO_NET_HDR_GSO_TCPV4, 0, 20, 16), tcp...),
		"TCP header behind the end": append(vnet(1, unix.VIRTIO_NET_HDR_GSO_TCPV4, 100, 30, 16), tcp...),
		"unknown kind":              append(vnet(1, 99, 100, 20, 16), tcp...),
		"UDP cut short":             append(vnet(1, unix.VIRTIO_NET_HDR_GSO_UDP_L4, 100, 36, 6), tcp...),
	} {
		_, err := theirs.Write(p)
		require.NoError(t, err)
		_, _, err = src.read()
		require.Error(t, err, name)
	}
}

// Segments leave for the device as one large packet.
func TestDeviceMergesSegments(t *testing.T) {
	inner, theirs := fakeTUN(t)
	payload := data(50000)
	var list []esp.Packet
	for _, p := range segments(t, 3, payload, 1400) {
		list = append(list, esp.Packet{Buf: p, End: len(p)})
	}
	n, err := inner.newSink().write(list)
	require.NoError(t, err)
	require.Equal(t, len(list), n)
	buf := make([]byte, 1<<16)
	k, err := theirs.Read(buf)
	require.NoError(t, err)
	h := vnet(unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, unix.VIRTIO_NET_HDR_GSO_TCPV4, 1400, 20, 16)
	binary.NativeEndian.PutUint16(h[2:], 40)
	require.Equal(t, h, buf[:vnetHeader])
	require.Equal(t, payload, buf[vnetHeader+40:k])
	require.EqualValues(t, 50040, binary.BigEndian.Uint16(buf[vnetHeader+2:]))
}

type discard struct{ n int }

func (d *discard) WriteESP(_, _ netip.AddrPort, _ byte, packets [][]byte) (int, error) {
	d.n += len(packets)
	return len(packets), nil
}

// Nothing is allocated for packets, from the device to the socket and back.
func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's pools forget")
	}
	inner, theirs := fakeTUN(t)
	out, in := engines(t)
	defer out.Close()
	defer in.Close()

	p := &Pump{engine: out, inner: inner, parallel: 1}
	p.writers.Store(&writers{udp: new(discard)})
	src, snd := inner.newSource(), &sender{sink: inner.newSink()}
	large := append(append(vnet(1, unix.VIRTIO_NET_HDR_GSO_TCPV4, 1380, 20, 16), tcpHeader(7)...), data(60000)...)
	pass := func() {
		if _, err := theirs.Write(large); err != nil {
			t.Fatal(err)
		}
		list, _, err := src.read()
		if err != nil {
			t.Fatal(err)
		}
		snd.batch.Reset()
		p.engine.Outbound(&snd.batch, list...)
		p.send(snd, 0)
	}
	pass() // pools fill
	require.Zero(t, testing.AllocsPerRun(100, pass), "outbound")
	require.EqualValues(t, 102*44, p.stats.sent.Load())

	q := &Pump{engine: in, inner: inner, parallel: 1}
	q.pool.New = func() any { return &receiver{sink: inner.newSink()} }
	local, remote := netip.MustParseAddrPort("192.0.2.2:4500"), netip.MustParseAddrPort("192.0.2.1:4500")
	// Other packets each time: their numbers count.
	const runs = 101
	var flights [runs + 1][][]byte
	for i := range flights {
		snd.batch.Reset()
		if _, err := theirs.Write(large); err != nil {
			t.Fatal(err)
		}
		list, _, err := src.read()
		require.NoError(t, err)
		out.Outbound(&snd.batch, list...)
		for _, d := range snd.batch.Datagrams {
			flights[i] = append(flights[i], slices.Clone(d.Bytes()))
		}
	}
	buf := make([]byte, 1<<17)
	i := 0
	deliver := func() {
		q.HandleESP(local, remote, 0, flights[i])
		i++
		if _, err := theirs.Read(buf); err != nil {
			t.Fatal(err)
		}
	}
	deliver()
	require.Zero(t, testing.AllocsPerRun(runs-1, deliver), "inbound")
	require.EqualValues(t, (runs+1)*44, q.stats.toDevice.Load())
}

// engines returns both ends of an SA.
func engines(t testing.TB) (out, in *esp.Engine) {
	out, in = esp.New(esp.Config{}), esp.New(esp.Config{})
	from, to := spd.FromPrefix(netip.MustParsePrefix("10.1.0.0/16")), spd.FromPrefix(netip.MustParsePrefix("10.2.0.0/16"))
	b := spd.Bundle{
		SAs: []spd.SA{{
			Protocol: spd.ProtoESP, SPI: 0x1001, EncrKey: make([]byte, 20),
			Encryption: spd.Transform{Type: spd.TransformENCR, ID: spd.EncrAESGCM16, KeyLen: 128},
		}},
		ReqID: 1, UDPEncap: true, Local: netip.MustParseAddrPort("192.0.2.1:4500"), Remote: netip.MustParseAddrPort("192.0.2.2:4500"),
		LocalTS: []spd.TrafficSelector{from}, RemoteTS: []spd.TrafficSelector{to},
	}
	r := b
	r.Local, r.Remote, r.LocalTS, r.RemoteTS = b.Remote, b.Local, b.RemoteTS, b.LocalTS
	require.NoError(t, out.InstallOutbound(t.Context(), &b))
	require.NoError(t, in.InstallInbound(t.Context(), &r))
	require.NoError(t, out.SetPolicies(t.Context(), 1, []spd.Policy{{
		Direction: spd.Out, Selector: spd.Selector{Local: from, Remote: to}, Action: spd.ActionProtect, ReqID: 1,
	}}))
	return out, in
}
