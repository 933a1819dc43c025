package daemon

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/conf"
	"github.com/racoon3/racoon/internal/control"
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

// TestCaptureOrders: what the control socket may have written: new files of plain
// names in the folder of the configuration, and nothing else.
func TestCaptureOrders(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(dir, "outside")
	require.NoError(t, os.WriteFile(outside, []byte("precious"), 0o644))
	folder := filepath.Join(dir, "captures")
	require.NoError(t, os.Mkdir(folder, 0o700))
	c := &capture{log: slog.New(slog.DiscardHandler), peerOf: func(ike.SessionID) string { return "office" }}
	require.NoError(t, c.configure(conf.Capture{MaxSize: 1 << 20}))
	_, err := c.StartCapture("one", nil)
	require.ErrorContains(t, err, "directory")
	set := conf.Capture{MaxSize: 1 << 20, Directory: folder}
	require.NoError(t, c.configure(set))

	require.NoError(t, os.Symlink(outside, filepath.Join(folder, "link")))
	require.NoError(t, os.Symlink(filepath.Join(dir, "new"), filepath.Join(folder, "dangling")))
	for _, name := range []string{"", ".", "..", "../outside", "/etc/passwd", "a/b", ".hidden", "-x", "a b", "a\x00b", "ä", strings.Repeat("a", 129), "link", "dangling"} {
		_, err := c.StartCapture(name, nil)
		require.Error(t, err, name)
	}
	require.Equal(t, control.Capture{}, c.Capture())
	require.NoFileExists(t, filepath.Join(dir, "new"))
	b, err := os.ReadFile(outside)
	require.NoError(t, err)
	require.Equal(t, "precious", string(b))
	require.NoError(t, os.Chmod(folder, 0o770))
	_, err = c.StartCapture("one", nil)
	require.ErrorContains(t, err, "by others")
	require.NoError(t, os.Chmod(folder, 0o755))

	got, err := c.StartCapture("one.pcapng", []string{"office"})
	require.NoError(t, err)
	file := filepath.Join(folder, "one.pcapng")
	require.Equal(t, file, got.File)
	require.EqualValues(t, 1<<20, got.Most)
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
	_, err = c.StartCapture("two", nil)
	require.ErrorContains(t, err, "already")
	require.NoError(t, c.configure(set), "a reload that changes nothing of it lets it go on")
	c.trace(ike.TraceRecord{Time: time.Now(), Path: path("192.0.2.1:500", "192.0.2.2:500"), Message: []byte("said in secret")})
	got = c.StopCapture()
	require.Equal(t, file, got.File)
	packets, err := pcap.ReadFile(file)
	require.NoError(t, err)
	require.Len(t, packets, 1)
	info, err = os.Stat(file)
	require.NoError(t, err)
	require.EqualValues(t, info.Size(), got.Octets)
	require.Equal(t, control.Capture{}, c.StopCapture(), "twice is no error")
	_, err = c.StartCapture("one.pcapng", nil)
	require.ErrorContains(t, err, "never takes the place")

	// One that the configuration has begun can be ended; a reload without a change
	// does not begin it again, as it would lose what it has.
	set.File = filepath.Join(dir, "configured")
	require.NoError(t, c.configure(set))
	require.Equal(t, set.File, c.StopCapture().File)
	require.NoError(t, c.configure(set))
	require.Equal(t, control.Capture{}, c.Capture())
	set.File = ""
	require.NoError(t, c.configure(set))
	_, err = c.StartCapture("three", nil)
	require.NoError(t, err)
	c.close()
}
