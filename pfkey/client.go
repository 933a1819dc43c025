package pfkey

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"time"
)

// A Conn carries PF_KEY messages: each Read returns one whole message, each
// Write takes one. A kernel's socket is one (see [OpenSocket]), and a fake
// kernel of package pfkeytest. An error of Write that is, or wraps, an [Errno]
// or a syscall.Errno is the kernel's answer to the request. An error of Read
// that is ENOBUFS says that messages were lost; any other ends the Conn. Close
// makes a Read return that waits.
type Conn = io.ReadWriteCloser

// Errors of a [Client].
var (
	// ErrClosed: the client was closed.
	ErrClosed = errors.New("pfkey: client is closed")
	// ErrNoAnswer: the kernel has not answered in time. Whether it did what was
	// asked is not known.
	ErrNoAnswer = errors.New("pfkey: no answer from the kernel")
	// ErrIncomplete: a part of a dump was lost.
	ErrIncomplete = errors.New("pfkey: dump is incomplete")
)

// DefaultTimeout is how long a request waits for its answer unless told
// otherwise: most kernels answer at once, unless they have to load a module
// first.
const DefaultTimeout = 10 * time.Second

// registerTimeout is the least that REGISTER has: Linux loads modules to find
// out what there is.
const registerTimeout = 30 * time.Second

// ClientConfig configures a [Client]. All of it may be left out.
type ClientConfig struct {
	Dialect *Dialect // nil for the running system's
	// PID names the writer of requests; 0 for this process's. Some kernels
	// refuse any other.
	PID uint32
	// Timeout bounds the wait for each answer, beside the request's context; 0
	// for [DefaultTimeout]. REGISTER has 30 seconds at least.
	Timeout time.Duration
	// Notifications is how many notifications are kept for the reader; 0 for
	// 1024.
	Notifications int
	// Broadcasts asks for what other programs do too, as far as the kernel
	// tells: the answers to their requests.
	Broadcasts bool
	// FirstSeq is the sequence number of the first request, 0 for a random one.
	FirstSeq uint32
}

// A Notification is a message that nobody has asked for: ACQUIRE, EXPIRE,
// X_NAT_T_NEW_MAPPING, X_MIGRATE, X_SPDEXPIRE, a REGISTER with changed
// algorithms, or with ClientConfig.Broadcasts anything.
type Notification struct {
	Message *Message // nil if Lost is above 0

	// Lost is how many notifications there was no room for, or 1 if the kernel
	// has said that it lost some. The reader resynchronises with dumps.
	Lost uint64
}

// A Client makes requests of a kernel and matches the answers to them. It is
// safe for concurrent use. Messages of other programs do not disturb it, and
// requests that never get an answer end by their context or the time-out.
//
// With promiscuous reception on, use another Client for requests.
type Client struct {
	d       *Dialect
	conn    Conn
	cfg     ClientConfig
	notes   notes
	dumping chan struct{} // a token: one DUMP and one SPDDUMP at a time

	writing sync.Mutex
	buf     []byte // of the message that is being written

	mu         sync.Mutex
	seq        uint32
	calls      map[callKey]*call
	registered map[SAType]*Message
	err        error         // why the client has ended
	done       chan struct{} // closed when the reader has ended
}

type callKey struct {
	typ MsgType
	seq uint32 // 0 for dumps: their answers have numbers of their own
}

// NewClient returns a client over conn, which it owns from then on, and begins
// to read. Close ends it.
func NewClient(conn Conn, cfg ClientConfig) (*Client, error) {
	if cfg.Dialect == nil {
		cfg.Dialect = Default()
	}
	if cfg.Dialect == nil {
		_ = conn.Close()
		return nil, errNoPFKey
	}
	if cfg.PID == 0 {
		cfg.PID = uint32(os.Getpid())
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.Notifications <= 0 {
		cfg.Notifications = 1024
	}
	if cfg.FirstSeq == 0 {
		cfg.FirstSeq = rand.Uint32N(1<<30) + 1
	}
	c := &Client{
		d: cfg.Dialect, conn: conn, cfg: cfg, seq: cfg.FirstSeq - 1,
		calls: map[callKey]*call{}, registered: map[SAType]*Message{}, done: make(chan struct{}), dumping: make(chan struct{}, 1),
	}
	c.notes.init(cfg.Notifications)
	go c.read()
	return c, nil
}

// Dialect returns the client's dialect.
func (c *Client) Dialect() *Dialect { return c.d }

// Notifications returns the channel of what the kernel tells by itself; it is
// the same each time, and closed when the client ends.
func (c *Client) Notifications() <-chan Notification { return c.notes.ch }

// Err returns why the client has ended, nil while it works.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close ends the client and its connection. Requests that wait fail with
// [ErrClosed].
func (c *Client) Close() error {
	c.end(ErrClosed)
	err := c.conn.Close()
	<-c.done
	return err
}

// end fails all requests, now and later.
func (c *Client) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	for _, call := range c.calls {
		call.fail(err)
	}
	clear(c.calls)
}

// readBuffer is more than any kernel writes: a Linux ACQUIRE with all its
// combinations has some KiB.
const readBuffer = 1 << 17

func (c *Client) read() {
	defer close(c.done)
	defer c.notes.close()
	b := make([]byte, readBuffer)
	for {
		n, err := c.conn.Read(b)
		switch {
		case err == nil:
			c.handle(b[:n])
			clear(b[:n]) // dumps and other programs' answers carry keys
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, ENOBUFS) || errors.Is(err, syscall.ENOBUFS):
			c.lost()
		default:
			c.end(fmt.Errorf("pfkey: read: %w", err))
			_ = c.conn.Close()
			return
		}
	}
}

// lost handles what a full socket has done: any answer may be missing. Dumps
// are spoilt; requests wait on, for theirs may come.
func (c *Client) lost() {
	c.mu.Lock()
	for k, call := range c.calls {
		if call.dump != nil {
			delete(c.calls, k)
			call.fail(ErrIncomplete)
		}
	}
	c.mu.Unlock()
	c.notes.lose(1)
}

// handle gives a message to whom it belongs.
func (c *Client) handle(b []byte) {
	h, err := c.d.ParseHeader(b)
	if err != nil || h.Version != version {
		return // no kernel writes that; a request that waits for it times out
	}
	if h.PID == c.cfg.PID {
		k := callKey{h.Type, h.Seq}
		if isDump(h.Type) {
			k.seq = 0
		}
		c.mu.Lock()
		call := c.calls[k]
		if call != nil && call.take(c.d, h, b) {
			delete(c.calls, k)
		}
		c.mu.Unlock()
		if call != nil || !c.cfg.Broadcasts && h.Type != MsgPromisc {
			return
		}
	}
	if h.Type == MsgMigrate && h.PID == 0 && h.Errno == 0 && c.migrated(b) {
		return
	}
	if h.PID != 0 && !c.cfg.Broadcasts && h.Type != MsgRegister && h.Type != MsgMigrate && h.Type != MsgPromisc {
		return
	}
	m, err := c.d.Parse(append([]byte(nil), b...))
	if err != nil {
		return
	}
	c.notes.add(Notification{Message: m})
}

// migrated takes a message that tells everybody of a migration for the answer to
// the request that asked for it: Linux gives no other, and tells with a PID and
// sequence number of 0.
func (c *Client) migrated(b []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, call := range c.calls {
		if k.typ != MsgMigrate || call.migration == nil {
			continue
		}
		m, err := c.d.Parse(append([]byte(nil), b...))
		if err != nil || !sameMigration(m, call.migration) {
			continue
		}
		call.reply <- reply{m: m}
		delete(c.calls, k)
		return true
	}
	return false
}

func isDump(t MsgType) bool { return t == MsgDump || t == MsgSPDDump }

// A call is a request that waits for its answer.
type call struct {
	reply chan reply // has room for one
	dump  *dumpQueue // instead, for dumps

	migration *Message // the request, if it is X_MIGRATE
}

type reply struct {
	m   *Message
	err error
}

// take takes a message and reports whether it was the last one.
func (k *call) take(d *Dialect, h Header, b []byte) (last bool) {
	if k.dump != nil {
		return k.dump.take(d, h, b)
	}
	m, err := d.Parse(append([]byte(nil), b...))
	if err == nil && m.Errno != 0 {
		err = d.kernelError(m.Type, m.Errno)
	}
	k.reply <- reply{m, err}
	return true
}

func (k *call) fail(err error) {
	if k.dump != nil {
		k.dump.fail(err)
		return
	}
	k.reply <- reply{err: err}
}

// Do makes a request and returns the answer. The message's Seq and PID are
// filled in; a Seq that is not 0 is kept. An answer with an error is a
// [*KernelError], beside the answer itself. It serves every request but dumps.
func (c *Client) Do(ctx context.Context, m *Message) (*Message, error) {
	if isDump(m.Type) {
		return nil, fmt.Errorf("%w: %v has many answers", ErrMessage, m.Type)
	}
	k := &call{reply: make(chan reply, 1)}
	timeout := c.cfg.Timeout
	if m.Type == MsgRegister {
		timeout = max(timeout, registerTimeout)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("%w: %v", ErrNoAnswer, m.Type))
	defer cancel()
	key, err := c.begin(k, m)
	if err != nil {
		return nil, err
	}
	if err := c.write(ctx, m); err != nil {
		c.forget(key)
		return nil, err
	}
	select {
	case r := <-k.reply:
		return r.m, r.err
	case <-ctx.Done():
		c.forget(key)
		select {
		case r := <-k.reply: // it came at the same time
			return r.m, r.err
		default:
		}
		return nil, context.Cause(ctx)
	}
}

// begin gives the message its number and notes that its answer is awaited.
func (c *Client) begin(k *call, m *Message) (callKey, error) {
	m.PID = c.cfg.PID
	if m.Type == MsgMigrate {
		k.migration = m
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return callKey{}, c.err
	}
	if m.Seq == 0 || c.calls[callKey{m.Type, m.Seq}] != nil {
		for {
			if c.seq++; c.seq == 0 {
				c.seq = 1
			}
			if m.Seq = c.seq; c.calls[callKey{m.Type, m.Seq}] == nil {
				break
			}
		}
	}
	key := callKey{m.Type, m.Seq}
	if k.dump != nil {
		key.seq = 0
	}
	c.calls[key] = k
	return key, nil
}

func (c *Client) forget(key callKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.calls, key)
}

// Send writes a message and waits for no answer: what answers an ACQUIRE has
// none. Seq is kept, PID filled in.
func (c *Client) Send(ctx context.Context, m *Message) error {
	if err := c.Err(); err != nil {
		return err
	}
	m.PID = c.cfg.PID
	return c.write(ctx, m)
}

// write writes a message. A kernel that has no buffers is asked again until
// ctx ends.
func (c *Client) write(ctx context.Context, m *Message) error {
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		err := c.writeOnce(m)
		if err == nil || !errors.Is(err, ENOBUFS) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		case <-time.After(wait):
		}
	}
}

func (c *Client) writeOnce(m *Message) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	b, err := c.d.Append(c.buf[:0], m)
	if err != nil {
		return err
	}
	if c.d.maxRequest > 0 && len(b) > c.d.maxRequest {
		err = fmt.Errorf("%w: %v of %d octets, %s takes %d", ErrMessage, m.Type, len(b), c.d, c.d.maxRequest)
	} else {
		_, err = c.conn.Write(b)
	}
	clear(b)
	c.buf = b
	if err == nil {
		return nil
	}
	var code syscall.Errno
	var e Errno
	switch {
	case errors.Is(err, ErrMessage):
		return err
	case errors.As(err, &e):
		return &KernelError{Type: m.Type, Errno: e, Code: c.d.Code(e)}
	case errors.As(err, &code) && code < 256:
		return c.d.kernelError(m.Type, uint8(code))
	}
	if ended := c.Err(); ended != nil {
		return ended
	}
	return fmt.Errorf("pfkey: write: %w", err)
}
