package daemon

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/conf"
	"github.com/racoon3/racoon/natt"
)

// captureQueue is how many messages may wait for the disk before further ones
// are lost.
const captureQueue = 1024

// A capture writes decrypted messages to a file while one is configured. Its
// methods may be called by several goroutines at once.
type capture struct {
	log    *slog.Logger
	peerOf func(ike.SessionID) string

	active     atomic.Bool
	mu         sync.Mutex
	file       *captureFile
	cfg        conf.Capture // what is in effect
	configured conf.Capture // what a configuration said last
}

// configure begins, ends or changes the capture as a configuration says, unless it
// says what one before has said: an order may have ended that, or begun another.
func (c *capture) configure(cfg conf.Capture) error {
	c.mu.Lock()
	same := sameCapture(cfg, c.configured)
	c.configured.Directory = cfg.Directory
	if same {
		c.configured.MaxSize = cfg.MaxSize
	}
	c.mu.Unlock()
	if same {
		return nil
	}
	if err := c.set(cfg); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.configured = cfg
	return nil
}

func sameCapture(a, b conf.Capture) bool {
	return a.File == b.File && slices.Equal(a.Peers, b.Peers) && (a.File == "" || a.MaxSize == b.MaxSize)
}

// set begins, ends or changes the capture. The file is made anew, unless nothing
// has changed.
func (c *capture) set(cfg conf.Capture) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cfg.File == c.cfg.File && cfg.MaxSize == c.cfg.MaxSize && slices.Equal(cfg.Peers, c.cfg.Peers) {
		return nil
	}
	var next *captureFile
	if cfg.File != "" && cfg.File != c.cfg.File {
		var err error
		if next, err = newCaptureFile(cfg.File, c.log); err != nil {
			return fmt.Errorf("the capture: %w", err)
		}
	} else if cfg.File != "" {
		next, c.file = c.file, nil
	}
	c.use(next, cfg)
	return nil
}

// use has messages written to a file, nil for none, from now on. c.mu is held.
func (c *capture) use(next *captureFile, cfg conf.Capture) {
	c.active.Store(false)
	c.file.close()
	if next != nil {
		next.setLimit(uint64(cfg.MaxSize))
	}
	c.file, c.cfg = next, cfg
	c.active.Store(next != nil)
	if next != nil {
		c.log.Warn("decrypted messages are written to a file", "file", cfg.File, "peers", cfg.Peers)
	}
}

// trace is the Manager's Trace.
func (c *capture) trace(t ike.TraceRecord) {
	if !c.active.Load() {
		return
	}
	c.mu.Lock()
	peers := c.cfg.Peers
	c.mu.Unlock()
	if len(peers) > 0 && !slices.Contains(peers, c.peerOf(t.Session)) {
		return
	}
	block := appendTraced(nil, &t)
	c.mu.Lock() // the file is not closed meanwhile
	defer c.mu.Unlock()
	if c.file != nil {
		c.file.put(block)
	}
}

func (c *capture) close() { _ = c.set(conf.Capture{}) }

// A captureFile is a file in pcapng form (draft-ietf-opsawg-pcapng), which a
// goroutine of its own writes.
type captureFile struct {
	log   *slog.Logger
	f     *os.File
	limit atomic.Uint64
	queue chan []byte
	lost  atomic.Uint64
	size  atomic.Uint64 // octets that were written
	ended atomic.Pointer[error]
	done  chan struct{}
}

// newCaptureFile makes the file, readable by its owner alone. What is there is
// not written through: it may be a link, or readable by others.
func newCaptureFile(path string, log *slog.Logger) (*captureFile, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return writeCapture(f, log), nil
}

// writeCapture writes to a file that is new, and closes it at the end.
func writeCapture(f *os.File, log *slog.Logger) *captureFile {
	c := &captureFile{log: log, f: f, queue: make(chan []byte, captureQueue), done: make(chan struct{})}
	go c.write()
	return c
}

func (c *captureFile) setLimit(n uint64) { c.limit.Store(n) }

// put hands over a block; it never waits. It is not called after close.
func (c *captureFile) put(block []byte) {
	select {
	case c.queue <- block:
	default:
		c.lost.Add(1)
	}
}

func (c *captureFile) close() {
	if c == nil {
		return
	}
	close(c.queue)
	<-c.done
}

func (c *captureFile) write() {
	defer close(c.done)
	w := bufio.NewWriter(c.f)
	size := uint64(0)
	var failure error
	put := func(b []byte) {
		if failure != nil {
			return
		}
		if size += uint64(len(b)); size > c.limit.Load() && c.limit.Load() > 0 {
			failure = errors.New("max-size is reached")
		} else {
			_, failure = w.Write(b)
		}
		if failure == nil {
			c.size.Store(size)
		} else {
			c.ended.Store(&failure)
			c.log.Warn("the capture ends", "err", failure)
		}
	}
	put(appendCaptureHeader(nil))
	_ = w.Flush()
	for b := range c.queue {
		put(b)
		if len(c.queue) == 0 {
			_ = w.Flush()
		}
	}
	_ = w.Flush()
	if err := c.f.Close(); err != nil {
		c.log.Warn("the capture's end", "err", err)
	}
	if n := c.lost.Load(); n > 0 {
		c.log.Warn("the capture is not complete", "lost", n)
	}
}

// Numbers of pcapng.
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockPacket    = 6
	byteOrderMagic = 0x1a2b3c4d
	linkTypeRaw    = 101 // packets begin with an IP header
	optFlags       = 2   // of a packet: 1 inbound, 2 outbound
)

// appendBlock appends a block with a body that f appends.
func appendBlock(b []byte, kind uint32, f func(b []byte) []byte) []byte {
	at := len(b)
	b = binary.LittleEndian.AppendUint32(b, kind)
	b = f(binary.LittleEndian.AppendUint32(b, 0))
	for (len(b)-at)%4 != 0 {
		b = append(b, 0)
	}
	n := uint32(len(b) - at + 4)
	binary.LittleEndian.PutUint32(b[at+4:], n)
	return binary.LittleEndian.AppendUint32(b, n)
}

func appendCaptureHeader(b []byte) []byte {
	b = appendBlock(b, blockSection, func(b []byte) []byte {
		b = binary.LittleEndian.AppendUint32(b, byteOrderMagic)
		b = append(b, 1, 0, 0, 0)                              // version 1.0
		return binary.LittleEndian.AppendUint64(b, ^uint64(0)) // length not known
	})
	return appendBlock(b, blockInterface, func(b []byte) []byte {
		b = binary.LittleEndian.AppendUint16(b, linkTypeRaw)
		return append(b, 0, 0, 0, 0, 0, 0) // no limit of a packet's length; times in microseconds
	})
}

// appendTraced appends a message as the packet it would have been in clear.
func appendTraced(b []byte, t *ike.TraceRecord) []byte {
	packet := appendPacket(nil, t)
	return appendBlock(b, blockPacket, func(b []byte) []byte {
		b = binary.LittleEndian.AppendUint32(b, 0)
		at := uint64(t.Time.UnixMicro())
		if t.Time.Before(time.Unix(0, 0)) {
			at = 0
		}
		b = binary.LittleEndian.AppendUint32(b, uint32(at>>32))
		b = binary.LittleEndian.AppendUint32(b, uint32(at))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(packet)))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(packet)))
		b = append(b, packet...)
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
		direction := byte(1)
		if t.Outbound {
			direction = 2
		}
		b = append(b, optFlags, 0, 4, 0, direction, 0, 0, 0)
		return append(b, 0, 0, 0, 0)
	})
}

// appendPacket puts IP and UDP before a message, and on a NAT-T port the
// non-ESP marker (RFC 3948 2.2), so that programs know what it is. A message
// that no UDP datagram can hold is cut.
func appendPacket(b []byte, t *ike.TraceRecord) []byte {
	const udp = 8
	src, dst := t.Path.Remote, t.Path.Local
	if t.Outbound {
		src, dst = dst, src
	}
	payload := t.Message
	var marker []byte
	if src.Port() == natt.PortNATT || dst.Port() == natt.PortNATT {
		marker = make([]byte, 4)
	}
	if most := 0xffff - 40 - udp - len(marker); len(payload) > most {
		payload = payload[:most]
	}
	n := udp + len(marker) + len(payload)
	from, to := src.Addr().Unmap().WithZone(""), dst.Addr().Unmap().WithZone("")
	at := len(b)
	if from.Is4() && to.Is4() {
		b = append(b, 0x45, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(20+n))
		b = append(b, 0, 0, 0, 0, 64, 17, 0, 0)
		b = append(append(b, from.AsSlice()...), to.AsSlice()...)
		binary.BigEndian.PutUint16(b[at+10:], ^sum16(b[at:]))
	} else {
		f, o := from.As16(), to.As16() // an invalid one, of a path not yet known, is ::
		b = append(b, 0x60, 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(n))
		b = append(append(append(b, 17, 64), f[:]...), o[:]...)
	}
	b = binary.BigEndian.AppendUint16(b, src.Port())
	b = binary.BigEndian.AppendUint16(b, dst.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(n))
	b = append(b, 0, 0) // no checksum: the datagram never was
	b = append(b, marker...)
	return append(b, payload...)
}

// sum16 is the sum of the Internet checksum (RFC 1071) of an even number of
// octets.
func sum16(b []byte) uint16 {
	var s uint32
	for i := 0; i+1 < len(b); i += 2 {
		s += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}
