package names

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// ForwarderConfig configures a [Forwarder].
type ForwarderConfig struct {
	// NameServers are asked in this order.
	NameServers []netip.AddrPort

	// Cache learns the addresses of its names from the answers; nil learns
	// nothing. It does not answer: every question goes to a name server.
	Cache *Cache

	// Clients may ask; nil is this host alone. Others get no answer.
	Clients []netip.Prefix

	Timeout     time.Duration // for one name server to answer; 0 is 2 s
	IdleTimeout time.Duration // for a TCP client to ask, and to take the answer; 0 is 10 s
	MaxInFlight int           // questions at once, those above get no answer; 0 is 256
	MaxConns    int           // TCP clients at once; 0 is 64

	// Dial connects to a name server, over "udp" or "tcp"; nil is a net.Dialer.
	// Each connection must have a port that cannot be guessed.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	Logger *slog.Logger // nil discards
}

// A Forwarder is a DNS server that passes questions on to name servers, and
// their answers back as they are. It is safe for concurrent use.
type Forwarder struct {
	cfg   ForwarderConfig
	log   *slog.Logger
	room  chan struct{}
	conns chan struct{}

	mu       sync.Mutex
	servers  []netip.AddrPort
	stats    ForwarderStats
	inFlight map[flight]bool
}

// flight is a question of a client that is not answered yet.
type flight struct {
	client netip.AddrPort
	id     uint16
	typ    dnsmessage.Type
	name   string
}

// ForwarderStats count what a forwarder has done.
type ForwarderStats struct {
	Queries, Responses uint64 // from and to clients
	Asked, Answered    uint64 // to and from name servers
	Expired            uint64 // questions that no name server has answered
	Duplicates         uint64 // questions that were asked again before they were answered
	Refused            uint64 // from others than the clients
	Dropped            uint64 // above MaxInFlight and MaxConns
	Foreign            uint64 // datagrams in a name server's name that answer nothing
}

// NewForwarder returns a forwarder that serves nothing yet.
func NewForwarder(cfg ForwarderConfig) *Forwarder {
	cfg.Timeout = cmp.Or(cfg.Timeout, 2*time.Second)
	cfg.IdleTimeout = cmp.Or(cfg.IdleTimeout, 10*time.Second)
	cfg.MaxInFlight = cmp.Or(cfg.MaxInFlight, 256)
	cfg.MaxConns = cmp.Or(cfg.MaxConns, 64)
	if cfg.Dial == nil {
		cfg.Dial = dialer
	}
	f := &Forwarder{cfg: cfg, log: cfg.Logger, room: make(chan struct{}, cfg.MaxInFlight), conns: make(chan struct{}, cfg.MaxConns),
		servers: slices.Clone(cfg.NameServers), inFlight: map[flight]bool{}}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	return f
}

// Stats returns the counters.
func (f *Forwarder) Stats() ForwarderStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stats
}

func (f *Forwarder) count(add func(*ForwarderStats)) {
	f.mu.Lock()
	add(&f.stats)
	f.mu.Unlock()
}

// allowed reports whether an address may ask.
func (f *Forwarder) allowed(addr net.Addr) (netip.AddrPort, bool) {
	var a netip.AddrPort
	switch addr := addr.(type) {
	case *net.UDPAddr:
		a = addr.AddrPort()
	case *net.TCPAddr:
		a = addr.AddrPort()
	}
	ip := a.Addr().Unmap().WithZone("")
	ok := ip.IsLoopback()
	if f.cfg.Clients != nil {
		ok = slices.ContainsFunc(f.cfg.Clients, func(p netip.Prefix) bool { return p.Contains(ip) })
	}
	if !ok {
		f.count(func(s *ForwarderStats) { s.Refused++ })
	}
	return a, ok
}

// ServePacket serves questions over UDP until ctx ends, and closes conn. conn
// must answer from the address that was asked: it is bound to one.
func (f *Forwarder) ServePacket(ctx context.Context, conn net.PacketConn) error {
	var serving sync.WaitGroup
	defer serving.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer conn.Close()
	buf := make([]byte, 1<<16)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			continue // such as an ICMP error of an earlier answer
		}
		client, ok := f.allowed(from)
		if !ok {
			continue
		}
		f.count(func(s *ForwarderStats) { s.Queries++ })
		q, code, ok := parseQuery(buf[:n])
		if !ok {
			if code != dnsmessage.RCodeSuccess {
				f.sendTo(conn, from, q.appendError(nil, code, false))
			}
			continue
		}
		key := flight{client, q.id, q.Type, strings.ToLower(q.Name.String())}
		if !f.begin(key) {
			continue
		}
		query := slices.Clone(buf[:n])
		serving.Go(func() {
			defer f.end(key)
			answer, err := f.exchange(ctx, "udp", &q, query)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				answer = q.appendError(nil, dnsmessage.RCodeServerFailure, false)
			case len(answer) > q.udp:
				answer = q.appendError(nil, dnsmessage.RCodeSuccess, true)
			}
			f.sendTo(conn, from, answer)
		})
	}
}

func (f *Forwarder) sendTo(conn net.PacketConn, to net.Addr, b []byte) {
	if _, err := conn.WriteTo(b, to); err == nil {
		f.count(func(s *ForwarderStats) { s.Responses++ })
	}
}

// begin takes room for a question, unless it is being answered already or there
// is none.
func (f *Forwarder) begin(key flight) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.inFlight[key] {
		f.stats.Duplicates++
		return false
	}
	select {
	case f.room <- struct{}{}:
	default:
		f.stats.Dropped++
		return false
	}
	f.inFlight[key] = true
	return true
}

func (f *Forwarder) end(key flight) {
	f.mu.Lock()
	delete(f.inFlight, key)
	f.mu.Unlock()
	<-f.room
}

// ServeStream serves questions over TCP until ctx ends, and closes l.
func (f *Forwarder) ServeStream(ctx context.Context, l net.Listener) error {
	var serving sync.WaitGroup
	defer serving.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	defer l.Close()
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			select { // such as no file descriptors left
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		_, ok := f.allowed(conn.RemoteAddr())
		if ok {
			select {
			case f.conns <- struct{}{}:
			default:
				ok = false
				f.count(func(s *ForwarderStats) { s.Dropped++ })
			}
		}
		if !ok {
			conn.Close()
			continue
		}
		serving.Go(func() {
			defer func() { <-f.conns }()
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			f.serveStream(ctx, conn)
		})
	}
}

// serveStream serves one client, one question after the other.
func (f *Forwarder) serveStream(ctx context.Context, conn net.Conn) {
	for {
		if conn.SetDeadline(time.Now().Add(f.cfg.IdleTimeout)) != nil {
			return
		}
		query, err := readStream(conn)
		if err != nil {
			return
		}
		f.count(func(s *ForwarderStats) { s.Queries++ })
		q, code, ok := parseQuery(query)
		var answer []byte
		switch {
		case !ok && code == dnsmessage.RCodeSuccess:
			return
		case !ok:
			answer = q.appendError(nil, code, false)
		default:
			select {
			case f.room <- struct{}{}:
			case <-ctx.Done():
				return
			}
			answer, err = f.exchange(ctx, "tcp", &q, query)
			<-f.room
			if err != nil {
				answer = q.appendError(nil, dnsmessage.RCodeServerFailure, false)
			}
		}
		b := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(answer)), uint16(len(answer)))
		if conn.SetDeadline(time.Now().Add(f.cfg.IdleTimeout)) != nil {
			return
		}
		if _, err := conn.Write(append(b, answer...)); err != nil {
			return
		}
		f.count(func(s *ForwarderStats) { s.Responses++ })
	}
}
