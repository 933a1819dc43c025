package xfrm

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/racoon3/racoon/spd"
)

// datagramSize is room for what the kernel sends at once: at most 32 KiB in a
// dump.
const datagramSize = 64 << 10

// defaultTimeout bounds a request whose context does not. The kernel answers
// at once, unless it has to load a module first.
const defaultTimeout = 20 * time.Second

// A Client makes requests to XFRM. It is safe for concurrent use: requests are
// made one after the other, since that is how the kernel takes them, and dumps
// beside them on sockets of their own.
//
// A request whose context ends, or whose answer is lost, fails with an error
// that wraps [ErrNoAnswer]: it may have been carried out. The kernel's refusal
// is an *[Error].
type Client struct {
	dial    Dialer
	lock    chan struct{} // holds a token while a request runs
	conn    Conn          // nil: to be opened
	seq     uint32
	out, in []byte
	closed  bool
	timeout time.Duration
}

// NewClient returns a Client that opens its sockets by dial, see
// [SystemDialer].
func NewClient(dial Dialer) (*Client, error) {
	conn, err := dial(ProtocolXFRM, 0)
	if err != nil {
		return nil, err
	}
	return &Client{dial: dial, conn: conn, lock: make(chan struct{}, 1), seq: rand.Uint32(), timeout: defaultTimeout,
		out: make([]byte, 0, 4096), in: make([]byte, datagramSize)}, nil
}

// Close closes the socket. Requests fail from then on.
func (c *Client) Close() error {
	c.lock <- struct{}{}
	defer func() { <-c.lock }()
	c.closed = true
	if c.conn == nil {
		return nil
	}
	conn := c.conn
	c.conn = nil
	return conn.Close()
}

// describe names what a request is about, for errors.
func describe(m Message) string {
	sa := func(k SAKey) string { return fmt.Sprintf("protocol %d SPI %#x to %v", k.Proto, k.SPI, k.Dst) }
	policy := func(d Direction, s *Selector) string { return fmt.Sprintf("%v %v", d, s) }
	switch m := m.(type) {
	case *NewSA:
		return sa(m.Key())
	case *UpdSA:
		return sa(m.Key())
	case *DelSA:
		return sa(m.Key)
	case *GetSA:
		return sa(m.Key)
	case *NewAE:
		return sa(m.Key)
	case *GetAE:
		return sa(m.Key)
	case *AllocSPI:
		return fmt.Sprintf("protocol %d to %v", m.Proto, m.Dst)
	case *NewPolicy:
		return policy(m.Dir, &m.Selector)
	case *UpdPolicy:
		return policy(m.Dir, &m.Selector)
	case *DelPolicy:
		return policy(m.Key.Dir, &m.Key.Selector)
	case *GetPolicy:
		return policy(m.Key.Dir, &m.Key.Selector)
	case *Migrate:
		return policy(m.Key.Dir, &m.Key.Selector)
	}
	return ""
}

// Do makes a request that is acknowledged: all but those with an answer of
// their own, for which there is [Client.Ask], and dumps. Flags are added to
// FlagRequest and FlagAck.
func (c *Client) Do(ctx context.Context, m Message, flags uint16) error {
	_, err := c.request(ctx, m, FlagRequest|FlagAck|flags, false)
	return err
}

// Ask makes a request that is answered with a message: GETSA, GETPOLICY,
// GETAE, ALLOCSPI, GETSADINFO, GETSPDINFO and GETDEFAULT. The message is the
// caller's; it may hold keys.
func (c *Client) Ask(ctx context.Context, m Message) (Message, error) {
	return c.request(ctx, m, FlagRequest, true)
}

func (c *Client) request(ctx context.Context, m Message, flags uint16, answer bool) (Message, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	select {
	case c.lock <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("xfrm: %v: %w", m.MessageType(), ctx.Err())
	}
	defer func() { <-c.lock }()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("xfrm: %v: %w", m.MessageType(), err)
	}
	if c.closed {
		return nil, spd.ErrClosed
	}
	if c.conn == nil {
		conn, err := c.dial(ProtocolXFRM, 0)
		if err != nil {
			return nil, err
		}
		c.conn = conn
	}
	r, err := c.roundTrip(ctx, m, flags, answer)
	if ke := (*Error)(nil); err != nil && !errors.As(err, &ke) {
		// A late answer must not be taken for the next one's.
		_ = c.conn.Close()
		c.conn = nil
		err = fmt.Errorf("xfrm: %v %s: %w: %w", m.MessageType(), describe(m), ErrNoAnswer, err)
	}
	return r, err
}

// strayDatagrams bounds how many datagrams that are no answer are passed over.
const strayDatagrams = 64

func (c *Client) roundTrip(ctx context.Context, m Message, flags uint16, answer bool) (Message, error) {
	c.seq++
	c.out = AppendMessage(c.out[:0], Header{Type: uint16(m.MessageType()), Flags: flags, Seq: c.seq}, m.Append)
	err := c.conn.Send(c.out)
	clear(c.out) // there may be keys in it
	if err != nil {
		return nil, err
	}
	for range strayDatagrams {
		n, err := c.conn.Receive(ctx, c.in)
		if err != nil {
			return nil, err
		}
		r, done, err := c.answer(c.in[:n], m, answer)
		clear(c.in[:n])
		if done || err != nil {
			return r, err
		}
	}
	return nil, errors.New("too many messages that are no answer")
}

// answer looks for the answer to a request in a datagram.
func (c *Client) answer(datagram []byte, m Message, wanted bool) (r Message, done bool, err error) {
	for h, body := range Messages(datagram) {
		if body.Err != nil {
			return nil, false, body.Err
		}
		if h.Seq != c.seq {
			continue
		}
		switch {
		case h.Type == CtlError:
			errno, text, err := parseAck(h, body.Data)
			if err != nil {
				return nil, false, err
			}
			if errno != 0 {
				return nil, true, &Error{Op: m.MessageType().String(), What: describe(m), Errno: errno, Text: text}
			}
			if !wanted {
				return nil, true, nil
			}
		case wanted && h.Type >= uint16(firstMessage):
			r, err := Parse(MessageType(h.Type), body.Data)
			return r, err == nil, err
		}
	}
	return nil, false, nil
}

// Dump makes a request with the dump flag, on a socket of its own, and yields
// the answers as they come. What follows an error is nothing.
func (c *Client) Dump(ctx context.Context, m Message) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		conn, err := c.dial(ProtocolXFRM, 0)
		if err != nil {
			yield(nil, err)
			return
		}
		defer func() { _ = conn.Close() }()
		const seq = 1
		if err := conn.Send(AppendMessage(nil, Header{Type: uint16(m.MessageType()), Flags: FlagRequest | FlagDump, Seq: seq}, m.Append)); err != nil {
			yield(nil, err)
			return
		}
		in := make([]byte, datagramSize)
		defer clear(in)
		for {
			n, err := conn.Receive(ctx, in)
			if err != nil {
				yield(nil, fmt.Errorf("xfrm: dump: %w", err))
				return
			}
			for h, body := range Messages(in[:n]) {
				if body.Err != nil {
					yield(nil, body.Err)
					return
				}
				if h.Seq != seq {
					continue
				}
				switch h.Type {
				case CtlDone, CtlError:
					errno, text, err := parseAck(h, body.Data)
					if err == nil && errno != 0 {
						err = &Error{Op: m.MessageType().String(), What: "dump", Errno: errno, Text: text}
					}
					if err != nil {
						yield(nil, err)
					}
					return
				default:
					r, err := Parse(MessageType(h.Type), body.Data)
					if !yield(r, err) || err != nil {
						return
					}
				}
			}
		}
	}
}
