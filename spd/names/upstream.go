package names

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// maxForeign is how many datagrams that do not answer a question are passed
// over before the forwarder takes it that somebody guesses, and asks over TCP,
// where one cannot (RFC 5452 9.2).
const maxForeign = 16

var (
	errForeign   = errors.New("names: answers that nobody has asked for")
	errNoServers = errors.New("names: there is no name server to ask")
)

// ErrLastServer says that the last name server cannot be deleted.
var ErrLastServer = errors.New("names: it is the last name server")

// NameServers returns the servers that are asked, the first one first.
func (f *Forwarder) NameServers() []netip.AddrPort {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.servers)
}

// AddNameServer adds a server, and asks it first from now on. It reports
// whether it was there.
func (f *Forwarder) AddNameServer(s netip.AddrPort) (before bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if slices.Contains(f.servers, s) {
		return true
	}
	f.servers = slices.Insert(f.servers, 0, s)
	return false
}

// DeleteNameServer deletes a server, and reports whether it was there. The last
// one stays: ErrLastServer.
func (f *Forwarder) DeleteNameServer(s netip.AddrPort) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.Index(f.servers, s)
	if i < 0 {
		return false, nil
	}
	if len(f.servers) == 1 {
		return true, ErrLastServer
	}
	f.servers = slices.Delete(f.servers, i, i+1)
	return true, nil
}

// UseNameServer makes one of the servers the first, and reports whether it is
// one of them.
func (f *Forwarder) UseNameServer(s netip.AddrPort) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.Index(f.servers, s)
	if i < 0 {
		return false
	}
	f.servers = slices.Insert(slices.Delete(f.servers, i, i+1), 0, s)
	return true
}

// exchange asks the servers one after the other, until one answers. query is
// not changed; the answer has its ID.
func (f *Forwarder) exchange(ctx context.Context, network string, q *question, query []byte) ([]byte, error) {
	servers := f.NameServers()
	err := errNoServers
	for _, s := range servers {
		var answer []byte
		if answer, err = f.ask(ctx, network, s, q, query); err == nil {
			binary.BigEndian.PutUint16(answer, q.id)
			f.learn(answer)
			return answer, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		f.log.Debug("names: a name server does not answer", "server", s, "err", err)
	}
	f.count(func(s *ForwarderStats) { s.Expired++ })
	return nil, err
}

func (f *Forwarder) ask(ctx context.Context, network string, server netip.AddrPort, q *question, query []byte) ([]byte, error) {
	answer, err := f.askOnce(ctx, network, server, q, query)
	if errors.Is(err, errForeign) && network == "udp" {
		f.log.Warn("names: somebody sends answers in the name of a name server", "server", server)
		answer, err = f.askOnce(ctx, "tcp", server, q, query)
	}
	return answer, err
}

// askOnce asks one server, over a socket of its own: the system gives each
// another port, and takes datagrams from the server alone.
func (f *Forwarder) askOnce(ctx context.Context, network string, server netip.AddrPort, q *question, query []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Timeout)
	defer cancel()
	conn, err := f.cfg.Dial(ctx, network, server.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()

	prefix := 0
	if network == "tcp" {
		prefix = 2
	}
	b := make([]byte, prefix+len(query))
	copy(b[prefix:], query)
	var id [2]byte
	_, _ = rand.Read(id[:]) // never fails
	copy(b[prefix:], id[:])
	if prefix > 0 {
		binary.BigEndian.PutUint16(b, uint16(len(query)))
	}
	f.count(func(s *ForwarderStats) { s.Asked++ })
	if _, err := conn.Write(b); err != nil {
		return nil, err
	}
	want := binary.BigEndian.Uint16(id[:])
	if prefix > 0 {
		answer, err := readStream(conn)
		if err == nil && !q.answers(answer, want) {
			err = errForeign
		}
		if err != nil {
			return nil, err
		}
		f.count(func(s *ForwarderStats) { s.Answered++ })
		return answer, nil
	}
	buf := make([]byte, 1<<16)
	for range maxForeign {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		if q.answers(buf[:n], want) {
			f.count(func(s *ForwarderStats) { s.Answered++ })
			return slices.Clone(buf[:n]), nil
		}
		f.count(func(s *ForwarderStats) { s.Foreign++ })
	}
	return nil, errForeign
}

// readStream reads a message with its length (RFC 1035 4.2.2).
func readStream(r io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(length[:]))
	if n < headerLen {
		return nil, fmt.Errorf("names: a message of %d octets", n)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}

func (f *Forwarder) learn(answer []byte) {
	if f.cfg.Cache == nil {
		return
	}
	// No addresses of one family say nothing of the other.
	if name, answers, ok := addresses(answer); ok && len(answers) > 0 {
		f.cfg.Cache.Learn(name, answers)
	}
}

// lookup asks one question of the forwarder's own.
func (f *Forwarder) lookup(ctx context.Context, name string, typ dnsmessage.Type) ([]byte, error) {
	n, err := dnsmessage.NewName(name)
	if err != nil {
		return nil, ErrName
	}
	q := question{Question: dnsmessage.Question{Name: n, Type: typ, Class: dnsmessage.ClassINET}}
	m := dnsmessage.Message{Header: dnsmessage.Header{RecursionDesired: true}, Questions: []dnsmessage.Question{q.Question}}
	query, err := m.Pack()
	if err != nil {
		return nil, ErrName
	}
	answer, err := f.exchange(ctx, "udp", &q, query)
	if err == nil && truncated(answer) {
		answer, err = f.exchange(ctx, "tcp", &q, query)
	}
	if err != nil {
		return nil, err
	}
	switch code := dnsmessage.RCode(answer[3] & 15); code {
	case dnsmessage.RCodeSuccess:
		return answer, nil
	case dnsmessage.RCodeNameError:
		return nil, ErrNoName
	default:
		return nil, fmt.Errorf("names: %s: the name server says %v", name, code)
	}
}

// LookupAddrs implements [Resolver].
func (f *Forwarder) LookupAddrs(ctx context.Context, name string) ([]Answer, error) {
	if name = Canonical(name); name == "" {
		return nil, ErrName
	}
	var r []Answer
	for _, typ := range []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA} {
		b, err := f.lookup(ctx, name, typ)
		if err != nil {
			return nil, err // half an answer would say that the other half is gone
		}
		_, answers, ok := addresses(b)
		if !ok {
			return nil, fmt.Errorf("names: %s: an answer that cannot be read", name)
		}
		r = append(r, answers...)
	}
	if len(r) == 0 {
		return nil, ErrNoName
	}
	return r, nil
}

// LookupNames implements [Resolver].
func (f *Forwarder) LookupNames(ctx context.Context, addr netip.Addr) ([]string, error) {
	b, err := f.lookup(ctx, reverseName(addr), dnsmessage.TypePTR)
	if err != nil {
		return nil, err
	}
	if r := pointers(b); len(r) > 0 {
		return r, nil
	}
	return nil, ErrNoName
}

// reverseName is the name of an address in in-addr.arpa (RFC 1035 3.5) or
// ip6.arpa (RFC 3596 2.5).
func reverseName(addr netip.Addr) string {
	addr = addr.Unmap()
	raw := addr.AsSlice()
	var b []byte
	for _, c := range slices.Backward(raw) {
		if addr.Is4() {
			b = append(strconv.AppendUint(b, uint64(c), 10), '.')
		} else {
			const digits = "0123456789abcdef"
			b = append(b, digits[c&15], '.', digits[c>>4], '.')
		}
	}
	if addr.Is4() {
		return string(b) + "in-addr.arpa."
	}
	return string(b) + "ip6.arpa."
}

var _ Resolver = (*Forwarder)(nil)

func dialer(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, addr)
}
