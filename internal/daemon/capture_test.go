package daemon

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/conf"
	"github.com/racoon3/racoon/internal/pcap"
	"github.com/racoon3/racoon/internal/testhost"
)

func path(local, remote string) ike.Path {
	return ike.Path{Local: netip.MustParseAddrPort(local), Remote: netip.MustParseAddrPort(remote)}
}

// TestCapture: messages as packets that programs recognise, those of the chosen
// peers, up to the size; begun, changed and ended at run time.
func TestCapture(t *testing.T) {
	dir := t.TempDir()
	c := &capture{log: slog.New(slog.DiscardHandler), peerOf: func(id ike.SessionID) string {
		return map[ike.SessionID]string{1: "office", 2: "other"}[id]
	}}
	at := time.Date(2026, 11, 22, 1, 2, 3, 456789000, time.UTC)
	record := ike.TraceRecord{Time: at, Session: 1, Path: path("192.0.2.1:500", "192.0.2.2:500"), Outbound: true, Message: []byte("first message")}
	c.trace(record) // to nobody

	file := filepath.Join(dir, "c.pcapng")
	require.NoError(t, c.set(conf.Capture{File: file, MaxSize: 1 << 20}))
	c.trace(record)
	natt := ike.TraceRecord{Time: at.Add(time.Second), Session: 2, Path: path("192.0.2.1:4500", "192.0.2.2:4500"), Message: []byte("second")}
	c.trace(natt)
	six := ike.TraceRecord{Time: at, Path: path("[2001:db8::1]:500", "[2001:db8::2]:500"), Message: []byte("third")}
	c.trace(six)
	require.NoError(t, c.set(conf.Capture{File: file, MaxSize: 1 << 20, Peers: []string{"office"}})) // goes on
	c.trace(natt)
	c.trace(record)
	c.close()
	c.trace(record)

	packets, err := pcap.ReadFile(file)
	require.NoError(t, err)
	var got []pcap.Datagram
	for d := range pcap.UDP(packets) {
		got = append(got, d)
	}
	require.Len(t, got, 4)
	require.Equal(t, pcap.Datagram{Time: at, Src: record.Path.Local, Dst: record.Path.Remote, Payload: []byte("first message")}, normal(got[0]))
	require.Equal(t, pcap.Datagram{Time: natt.Time, Src: natt.Path.Remote, Dst: natt.Path.Local, Payload: []byte("\x00\x00\x00\x00second")}, normal(got[1]))
	require.Equal(t, pcap.Datagram{Time: at, Src: six.Path.Remote, Dst: six.Path.Local, Payload: []byte("third")}, normal(got[2]))
	require.Equal(t, normal(got[0]), normal(got[3]))
	require.Zero(t, ^sum16(packets[0].Data[:20]), "the checksum of the IP header")

	// The size is a bound; what is there is made anew and not written through.
	victim := filepath.Join(dir, "victim")
	require.NoError(t, os.WriteFile(victim, []byte("precious"), 0o644))
	require.NoError(t, os.Remove(file))
	if os.Symlink(victim, file) != nil {
		testhost.Missing(t, "no links here")
	}
	require.NoError(t, c.set(conf.Capture{File: file, MaxSize: 64 << 10}))
	big := record
	big.Message = bytes.Repeat([]byte{1}, 30000)
	for range 5 {
		c.trace(big)
	}
	c.close()
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.LessOrEqual(t, info.Size(), int64(64<<10))
	packets, err = pcap.ReadFile(file)
	require.NoError(t, err)
	require.Len(t, packets, 2)
	b, err := os.ReadFile(victim)
	require.NoError(t, err)
	require.Equal(t, "precious", string(b))

	require.ErrorContains(t, c.set(conf.Capture{File: filepath.Join(dir, "no", "where")}), "capture")
	// More than a datagram can hold, and a path that is not known yet.
	huge := ike.TraceRecord{Time: time.Time{}, Message: make([]byte, 70000)}
	require.Less(t, len(appendPacket(nil, &huge)), 1<<16)
}

func normal(d pcap.Datagram) pcap.Datagram {
	d.Time = d.Time.UTC()
	d.Cut = false
	return d
}
