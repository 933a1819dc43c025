package spmif

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/racoon3/racoon/spd"
)

// Bounds of what a client takes from a server.
const (
	maxReplyLine  = 1024
	maxReplyLines = 1 << 20
)

// A Client is a connection to the policy service. It is safe for concurrent
// use; requests wait for each other. A request whose context ends before its
// reply has come ends the connection, because nothing in the protocol says
// which reply is which.
type Client struct {
	mu   sync.Mutex
	conn net.Conn
	r    *bufio.Reader
	err  error
}

// Dial connects to a socket, "" for DefaultPath, and logs in if there is a
// password. A server that wants none takes any.
func Dial(ctx context.Context, path string, password Password) (*Client, error) {
	if path == "" {
		path = DefaultPath
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("spmif: %w", err)
	}
	return NewClient(ctx, conn, password)
}

// NewClient is Dial over a connection that is there already. After an error it
// is closed.
func NewClient(ctx context.Context, conn net.Conn, password Password) (*Client, error) {
	c := &Client{conn: conn, r: bufio.NewReaderSize(conn, maxReplyLine)}
	greeting, err := c.exchange(ctx, "")
	if err == nil && greeting.Code != CodeReady {
		err = fmt.Errorf("spmif: the server refuses: %d %s", greeting.Code, greeting.Lines[0])
	}
	if err == nil && password != nil {
		_, err = c.do(ctx, Request{Verb: VerbLogin, Response: Response(greeting.Lines[0], password)})
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return c, nil
}

// exchange sends a line, unless it is empty, and reads a reply.
func (c *Client) exchange(ctx context.Context, line string) (Reply, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return Reply{}, c.err
	}
	r, err := c.exchangeLocked(ctx, line)
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		c.err = fmt.Errorf("spmif: the connection is no longer used: %w", err)
		_ = c.conn.Close()
	}
	return r, err
}

func (c *Client) exchangeLocked(ctx context.Context, line string) (r Reply, err error) {
	if err := ctx.Err(); err != nil {
		return r, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if line != "" {
		if _, err := c.conn.Write(append([]byte(line), '\r', '\n')); err != nil {
			return r, err
		}
	}
	// racoon2's spmd marks the only line of these as if another one followed.
	alone := strings.HasPrefix(line, "FQDN ADD ") || strings.HasPrefix(line, "FQDN DELETE ")
	for {
		b, err := c.r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return r, fmt.Errorf("%w: a line of more than %d octets", ErrProtocol, maxReplyLine)
		}
		if err != nil {
			return r, err
		}
		code, text, more, err := parseReplyLine(strings.TrimSuffix(string(b[:len(b)-1]), "\r"))
		if err != nil {
			return r, err
		}
		if len(r.Lines) > 0 && code != r.Code || len(r.Lines) == maxReplyLines {
			return r, fmt.Errorf("%w: a reply of several codes, or without end", ErrProtocol)
		}
		r.Code = code
		r.Lines = append(r.Lines, text)
		if !more || alone {
			return r, nil
		}
	}
}

// Do makes a request as a line, without its end, and returns the reply whatever
// its code.
func (c *Client) Do(ctx context.Context, line string) (Reply, error) {
	if line == "" || len(line) > MaxLine-2 || strings.ContainsAny(line, "\r\n\x00") {
		return Reply{}, fmt.Errorf("spmif: not a line of 1 to %d octets", MaxLine-2)
	}
	return c.exchange(ctx, line)
}

func (c *Client) do(ctx context.Context, r Request) (Reply, error) {
	line := r.String()
	if r.Verb == VerbLogin {
		line = "LOGIN " + r.Response
	}
	if again, _, ok := ParseRequest(line); !ok || again != r {
		return Reply{}, fmt.Errorf("spmif: %q cannot be said in the protocol", line)
	}
	reply, err := c.Do(ctx, line)
	if err == nil && reply.Code/100 != 2 {
		err = &ReplyError{r, reply}
	}
	return reply, err
}

// AddPolicy installs the policies of a selector of the server's configuration
// for these packets, between these outer addresses in tunnel mode. A lifetime
// of 0 is for good; it has whole seconds.
func (c *Client) AddPolicy(ctx context.Context, selector string, lifetime time.Duration, src, dst netip.Prefix, tunnel AddrPair) error {
	r := tunnel.request(VerbPolicyAdd, selector, src, dst)
	r.Lifetime = lifetime
	_, err := c.do(ctx, r)
	return err
}

// AddrPair are outer addresses, of the sender and of the receiver. The zero
// value is transport mode.
type AddrPair struct{ Src, Dst netip.Addr }

func (a AddrPair) request(v Verb, name string, src, dst netip.Prefix) Request {
	r := Request{Verb: v, Name: name, Src: src.Masked(), Dst: dst.Masked(), SASrc: a.Src, SADst: a.Dst}
	if a == (AddrPair{}) {
		r.Mode = spd.ModeTransport
	}
	return r
}

// DeletePolicy takes AddPolicy back.
func (c *Client) DeletePolicy(ctx context.Context, selector string, src, dst netip.Prefix, tunnel AddrPair) error {
	_, err := c.do(ctx, tunnel.request(VerbPolicyDelete, selector, src, dst))
	return err
}

// DeletePolicies takes all AddPolicy of a selector back, those of other clients
// too. racoon2's own daemon does not have it, though its tool asks for it.
func (c *Client) DeletePolicies(ctx context.Context, selector string) error {
	_, err := c.do(ctx, Request{Verb: VerbPolicyDelete, Name: selector, Whole: true})
	return err
}

// Policies lists what the server has installed.
func (c *Client) Policies(ctx context.Context) ([]PolicyID, error) {
	reply, err := c.do(ctx, Request{Verb: VerbPolicyDump})
	if err != nil || reply.Code == CodeNone {
		return nil, err
	}
	list := make([]PolicyID, 0, len(reply.Lines))
	for _, l := range reply.Lines {
		name, number, ok := strings.Cut(l, " ")
		id, err := strconv.ParseUint(number, 10, 32)
		if !ok || err != nil {
			return nil, fmt.Errorf("%w: POLICY DUMP", ErrProtocol)
		}
		list = append(list, PolicyID{name, uint32(id)})
	}
	return list, nil
}

// Selector returns the name of the selector whose policy has a number in the
// kernel, such as that of an ACQUIRE; ErrNotFound if there is none.
func (c *Client) Selector(ctx context.Context, id uint32) (string, error) {
	reply, err := c.do(ctx, Request{Verb: VerbSLID, ID: id})
	if err != nil {
		return "", err
	}
	return reply.Lines[0], nil
}

// Migrate gives the policies of a selector other outer addresses.
func (c *Client) Migrate(ctx context.Context, selector string, from, to AddrPair) error {
	_, err := c.do(ctx, Request{Verb: VerbMigrate, Name: selector, SASrc: from.Src, SADst: from.Dst, NewSrc: to.Src, NewDst: to.Dst})
	return err
}

// RegisterName makes the server learn the addresses of a domain name, and
// DeregisterName ends that.
func (c *Client) RegisterName(ctx context.Context, name string) error {
	_, err := c.do(ctx, Request{Verb: VerbFQDNAdd, Name: withDot(name)})
	return err
}

// DeregisterName takes RegisterName back.
func (c *Client) DeregisterName(ctx context.Context, name string) error {
	_, err := c.do(ctx, Request{Verb: VerbFQDNDelete, Name: withDot(name)})
	return err
}

func withDot(name string) string { return strings.TrimSuffix(name, ".") + "." }

// RegisteredNames lists the names that the server follows.
func (c *Client) RegisteredNames(ctx context.Context) ([]string, error) {
	reply, err := c.do(ctx, Request{Verb: VerbFQDNList})
	if err != nil || reply.Code == CodeNone {
		return nil, err
	}
	return reply.Lines, nil
}

// NamesOf returns the names of an address, the best first; ErrNotFound if the
// server knows none.
func (c *Client) NamesOf(ctx context.Context, addr netip.Addr) ([]string, error) {
	reply, err := c.do(ctx, Request{Verb: VerbFQDNQuery, Addr: addr.Unmap()})
	if err != nil {
		return nil, err
	}
	return reply.Lines, nil
}

// NameServers lists those that the server's forwarder asks, the one in use
// first.
func (c *Client) NameServers(ctx context.Context) ([]netip.Addr, error) {
	reply, err := c.do(ctx, Request{Verb: VerbNSList})
	if err != nil || reply.Code == CodeNone {
		return nil, err
	}
	var list []netip.Addr
	for _, l := range reply.Lines {
		a, err := netip.ParseAddr(l)
		if err != nil {
			return nil, fmt.Errorf("%w: NS LIST", ErrProtocol)
		}
		list = append(list, a)
	}
	return list, nil
}

// AddNameServer adds one and uses it; ErrExists if it is there.
func (c *Client) AddNameServer(ctx context.Context, addr netip.Addr) error {
	_, err := c.do(ctx, Request{Verb: VerbNSAdd, Addr: addr.Unmap()})
	return err
}

// DeleteNameServer deletes one; ErrNotFound if it is not there.
func (c *Client) DeleteNameServer(ctx context.Context, addr netip.Addr) error {
	_, err := c.do(ctx, Request{Verb: VerbNSDelete, Addr: addr.Unmap()})
	return err
}

// UseNameServer makes one that is there the first.
func (c *Client) UseNameServer(ctx context.Context, addr netip.Addr) error {
	_, err := c.do(ctx, Request{Verb: VerbNSChange, Addr: addr.Unmap()})
	return err
}

// Stats returns the server's counters.
func (c *Client) Stats(ctx context.Context) (Stats, error) {
	var st Stats
	reply, err := c.do(ctx, Request{Verb: VerbStat})
	if err != nil {
		return st, err
	}
	fields := st.fields()
	for i, l := range reply.Lines {
		_, number, ok := strings.Cut(l, " = ")
		n, err := strconv.ParseUint(number, 10, 64)
		if !ok || err != nil || i >= len(fields) {
			return Stats{}, fmt.Errorf("%w: STAT", ErrProtocol)
		}
		*fields[i] = n
	}
	return st, nil
}

// Quit takes leave, so that the client's policies stay, and closes.
func (c *Client) Quit(ctx context.Context) error {
	_, err := c.do(ctx, Request{Verb: VerbQuit})
	return errors.Join(err, c.Close())
}

// Close closes the connection without a word, as a crash does.
func (c *Client) Close() error { return c.conn.Close() }
