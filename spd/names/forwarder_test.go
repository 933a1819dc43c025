package names

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/racoon3/racoon/internal/testhost"
)

func query(t testing.TB, id uint16, name string, typ dnsmessage.Type) []byte {
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: typ, Class: dnsmessage.ClassINET}}}
	b, err := m.Pack()
	require.NoError(t, err)
	return b
}

func record(name string, ttl uint32, body dnsmessage.ResourceBody) dnsmessage.Resource {
	r := dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Class: dnsmessage.ClassINET, TTL: ttl}, Body: body}
	switch body.(type) {
	case *dnsmessage.AResource:
		r.Header.Type = dnsmessage.TypeA
	case *dnsmessage.CNAMEResource:
		r.Header.Type = dnsmessage.TypeCNAME
	}
	return r
}

func alias(to string) *dnsmessage.CNAMEResource {
	return &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(to)}
}

// reply is an answer to a query.
func reply(t testing.TB, q []byte, change func(*dnsmessage.Message), records ...dnsmessage.Resource) []byte {
	var m dnsmessage.Message
	require.NoError(t, m.Unpack(q))
	m.Response, m.RecursionAvailable, m.Answers = true, true, records
	if change != nil {
		change(&m)
	}
	b, err := m.Pack()
	require.NoError(t, err)
	return b
}

// server is a name server on the loopback interface, over UDP and TCP.
func server(t testing.TB, answer func(q []byte, network string) [][]byte) netip.AddrPort {
	t.Helper()
	u, l := listen(t)
	at := u.LocalAddr().(*net.UDPAddr).AddrPort()
	t.Cleanup(func() { u.Close(); l.Close() })
	go func() {
		b := make([]byte, 65536)
		for {
			n, from, err := u.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			for _, r := range answer(append([]byte(nil), b[:n]...), "udp") {
				_, _ = u.WriteToUDPAddrPort(r, from)
			}
		}
	}()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if q, err := readStream(c); err == nil {
				for _, r := range answer(q, "tcp") {
					_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(r))), r...))
				}
			}
			c.Close()
		}
	}()
	return at
}

// listen opens sockets for UDP and TCP on a port that is free for both.
func listen(t testing.TB) (*net.UDPConn, net.Listener) {
	t.Helper()
	var err error
	for range 100 {
		var u *net.UDPConn
		u, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		require.NoError(t, err)
		var l net.Listener
		if l, err = net.Listen("tcp4", u.LocalAddr().String()); err == nil {
			return u, l
		}
		u.Close()
	}
	require.NoError(t, err)
	return nil, nil
}

// serve starts a forwarder and returns where it listens.
func serve(t testing.TB, cfg ForwarderConfig) (*Forwarder, string) {
	t.Helper()
	f := NewForwarder(cfg)
	u, l := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{}, 2)
	go func() { _ = f.ServePacket(ctx, u); done <- struct{}{} }()
	go func() { _ = f.ServeStream(ctx, l); done <- struct{}{} }()
	t.Cleanup(func() { cancel(); <-done; <-done })
	return f, u.LocalAddr().String()
}

func dialUDP(t testing.TB, to string) net.Conn {
	c, err := net.Dial("udp4", to)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(testhost.Patience)))
	return c
}

func ask(t testing.TB, c net.Conn, q []byte) []byte {
	t.Helper()
	_, err := c.Write(q)
	require.NoError(t, err)
	b := make([]byte, 65536)
	n, err := c.Read(b)
	require.NoError(t, err)
	return b[:n]
}

func TestForwarderLearns(t *testing.T) {
	up := server(t, func(q []byte, _ string) [][]byte {
		return [][]byte{reply(t, q, nil, record("www.example.", 60, alias("CDN.example.")), record("cdn.example.", 30, &dnsmessage.AResource{A: [4]byte{192, 0, 2, 80}}),
			record("bank.example.", 3600, &dnsmessage.AResource{A: [4]byte{6, 6, 6, 6}}))}
	})
	cache := NewCache(CacheConfig{})
	for _, n := range []string{"www.example", "bank.example", "cdn.example"} {
		_, err := cache.Register(n)
		require.NoError(t, err)
	}
	f, at := serve(t, ForwarderConfig{NameServers: []netip.AddrPort{up}, Cache: cache})
	q := query(t, 0x1234, "WWW.example.", dnsmessage.TypeA)
	c := dialUDP(t, at)
	answer := ask(t, c, q)
	require.Equal(t, []byte{0x12, 0x34}, answer[:2], "the asker's own number")
	require.Equal(t, []string{"www.example."}, cache.Names(addr("192.0.2.80")), "the name that was asked for, not its alias")
	require.Empty(t, cache.Addrs("bank.example"), "nobody has asked for that")

	tcp, err := net.Dial("tcp4", at)
	require.NoError(t, err)
	defer tcp.Close()
	for range 2 {
		_, err = tcp.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(q))), q...))
		require.NoError(t, err)
		again, err := readStream(tcp)
		require.NoError(t, err)
		require.Equal(t, answer, again)
	}
	require.Eventually(t, func() bool { // a response is counted when it has been sent
		return f.Stats() == ForwarderStats{Queries: 3, Responses: 3, Asked: 3, Answered: 3}
	}, testhost.Patience, time.Millisecond)

	list, err := f.LookupAddrs(t.Context(), "www.example")
	require.NoError(t, err)
	require.Equal(t, []Answer{{addr("192.0.2.80"), 30 * time.Second}}, list, "the shortest time of the chain; no IPv6")
}

// Off-path answers: another number, another question, no answer at all. The
// right one comes last, and over TCP once somebody guesses.
func TestForgedAnswers(t *testing.T) {
	evil := func(q []byte, change func(*dnsmessage.Message)) []byte {
		return reply(t, q, change, record("www.example.", 60, &dnsmessage.AResource{A: [4]byte{6, 6, 6, 6}}))
	}
	other := func(m *dnsmessage.Message) { m.Questions[0].Name = dnsmessage.MustNewName("other.example.") }
	for name, flood := range map[string]int{"some": 1, "many": 20} {
		var tcp atomic.Int32
		up := server(t, func(q []byte, network string) (r [][]byte) {
			if network == "udp" {
				for i := range flood {
					r = append(r, evil(q, func(m *dnsmessage.Message) { m.ID += 1 + uint16(i) }), evil(q, other), evil(q, func(m *dnsmessage.Message) { m.Response = false }),
						evil(q, func(m *dnsmessage.Message) { m.Questions[0].Type = dnsmessage.TypeAAAA }), evil(q, func(m *dnsmessage.Message) { m.Questions = nil }), q[:7])
				}
			} else {
				tcp.Add(1)
			}
			return append(r, reply(t, q, nil, record("www.example.", 60, &dnsmessage.AResource{A: [4]byte{192, 0, 2, 80}})))
		})
		cache := NewCache(CacheConfig{LearnAll: true})
		f, at := serve(t, ForwarderConfig{NameServers: []netip.AddrPort{up}, Cache: cache})
		answer := ask(t, dialUDP(t, at), query(t, 7, "www.example.", dnsmessage.TypeA))
		_, list, ok := addresses(answer)
		require.True(t, ok)
		require.Equal(t, addr("192.0.2.80"), list[0].Addr, name)
		require.Empty(t, cache.Names(addr("6.6.6.6")), name)
		require.Equal(t, flood > 1, tcp.Load() == 1, name)
		require.NotZero(t, f.Stats().Foreign)
	}
}

// Numbers and ports differ from question to question.
func TestQuestionsCannotBeGuessed(t *testing.T) {
	ids, ports := map[uint16]bool{}, map[string]bool{}
	var mu sync.Mutex
	up := server(t, func(q []byte, _ string) [][]byte {
		mu.Lock()
		defer mu.Unlock()
		ids[binary.BigEndian.Uint16(q)] = true
		return [][]byte{reply(t, q, nil)}
	})
	f := NewForwarder(ForwarderConfig{NameServers: []netip.AddrPort{up}, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dialer(ctx, network, addr)
		if err == nil {
			ports[c.LocalAddr().String()] = true
		}
		return c, err
	}})
	for range 50 {
		_, err := f.lookup(t.Context(), "www.example.", dnsmessage.TypeA)
		require.NoError(t, err)
	}
	mu.Lock()
	defer mu.Unlock()
	require.Greater(t, len(ids), 45)
	require.Greater(t, len(ports), 25)
}

func TestNameServersChange(t *testing.T) {
	var asked atomic.Int32
	good := server(t, func(q []byte, _ string) [][]byte { asked.Add(1); return [][]byte{reply(t, q, nil)} })
	dead := server(t, func([]byte, string) [][]byte { return nil })
	f := NewForwarder(ForwarderConfig{NameServers: []netip.AddrPort{dead}, Timeout: 50 * time.Millisecond})
	_, err := f.lookup(t.Context(), "www.example.", dnsmessage.TypeA)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	_, err = f.DeleteNameServer(dead)
	require.ErrorIs(t, err, ErrLastServer)
	require.False(t, f.AddNameServer(good))
	require.True(t, f.AddNameServer(good))
	require.Equal(t, []netip.AddrPort{good, dead}, f.NameServers())
	require.True(t, f.UseNameServer(dead))
	for range 100 { // on a busy machine the good one too may be late
		if _, err = f.lookup(t.Context(), "www.example.", dnsmessage.TypeA); err == nil {
			break
		}
	}
	require.NoError(t, err, "the second one, when the first does not answer")
	was, err := f.DeleteNameServer(dead)
	require.NoError(t, err)
	require.True(t, was)
	require.False(t, f.UseNameServer(dead))
	require.Positive(t, asked.Load())
	_, err = NewForwarder(ForwarderConfig{}).lookup(t.Context(), "www.example.", dnsmessage.TypeA)
	require.ErrorIs(t, err, errNoServers)
}

// Who is no client gets no answer, not even an error.
func TestOnlyClientsAreServed(t *testing.T) {
	up := server(t, func(q []byte, _ string) [][]byte { return [][]byte{reply(t, q, nil)} })
	f, at := serve(t, ForwarderConfig{NameServers: []netip.AddrPort{up}, Clients: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	c := dialUDP(t, at)
	_, err := c.Write(query(t, 7, "www.example.", dnsmessage.TypeA))
	require.NoError(t, err)
	tcp, err := net.Dial("tcp4", at)
	require.NoError(t, err)
	defer tcp.Close()
	_, err = tcp.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	require.Eventually(t, func() bool { return f.Stats().Refused == 2 }, testhost.Patience, time.Millisecond)
	require.Zero(t, f.Stats().Asked)

	for ip, want := range map[string]bool{"127.0.0.1": true, "::1": true, "192.0.2.1": false, "10.0.0.1": false} {
		_, ok := NewForwarder(ForwarderConfig{}).allowed(&net.UDPAddr{IP: net.ParseIP(ip), Port: 1})
		require.Equal(t, want, ok, ip)
	}
}

// C27: questions and answers that are no good.
func TestC27_OddMessages(t *testing.T) {
	big := strings.Repeat("x", 255)
	up := server(t, func(q []byte, network string) [][]byte {
		var records []dnsmessage.Resource
		for range 200 {
			r := record("www.example.", 60, &dnsmessage.TXTResource{TXT: []string{big}})
			r.Header.Type = dnsmessage.TypeTXT
			records = append(records, r)
		}
		return [][]byte{reply(t, q, nil, records...)}
	})
	_, at := serve(t, ForwarderConfig{NameServers: []netip.AddrPort{up}})
	c := dialUDP(t, at)
	answer := ask(t, c, query(t, 7, "www.example.", dnsmessage.TypeTXT))
	require.LessOrEqual(t, len(answer), minUDP)
	require.True(t, truncated(answer), "more than the asker takes")

	q := query(t, 7, "www.example.", dnsmessage.TypeA)
	change := func(f func(b []byte)) []byte { b := append([]byte(nil), q...); f(b); return b }
	for name, x := range map[string]struct {
		q    []byte
		code dnsmessage.RCode
	}{
		"another operation": {change(func(b []byte) { b[2] |= 5 << 3 }), dnsmessage.RCodeNotImplemented},
		"two questions":     {change(func(b []byte) { b[5] = 2 }), dnsmessage.RCodeFormatError},
		"no question":       {change(func(b []byte) { b[5] = 0 }), dnsmessage.RCodeFormatError},
		"with an answer":    {change(func(b []byte) { b[7] = 1 }), dnsmessage.RCodeFormatError},
		"cut":               {q[:len(q)-3], dnsmessage.RCodeFormatError},
		"a transfer":        {query(t, 7, "example.", 252), dnsmessage.RCodeRefused},
		"a record missing":  {change(func(b []byte) { b[11] = 1 }), dnsmessage.RCodeFormatError},
	} {
		answer := ask(t, c, x.q)
		require.Equal(t, x.code, dnsmessage.RCode(answer[3]&15), name)
		require.Equal(t, []byte{0, 7}, answer[:2], name)
	}
	for _, b := range [][]byte{nil, {1}, change(func(b []byte) { b[2] |= 0x80 }), make([]byte, 11)} {
		_, code, ok := parseQuery(b)
		require.False(t, ok)
		require.Equal(t, dnsmessage.RCodeSuccess, code, "no answer at all: an answer to an answer would go on for ever")
	}
}

func TestBoundedInFlight(t *testing.T) {
	hold := make(chan struct{})
	up := server(t, func(q []byte, _ string) [][]byte { <-hold; return [][]byte{reply(t, q, nil)} })
	f, at := serve(t, ForwarderConfig{NameServers: []netip.AddrPort{up}, MaxInFlight: 3, Timeout: testhost.Patience})
	c := dialUDP(t, at)
	for i := range 10 {
		_, err := c.Write(query(t, uint16(i/2), "www.example.", dnsmessage.TypeA))
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { s := f.Stats(); return s.Queries == 10 && s.Duplicates == 3 && s.Dropped == 4 }, testhost.Patience, time.Millisecond)
	close(hold)
	b := make([]byte, 512)
	for range 3 {
		_, err := c.Read(b)
		require.NoError(t, err)
	}
}

func TestReverseName(t *testing.T) {
	require.Equal(t, "80.2.0.192.in-addr.arpa.", reverseName(addr("192.0.2.80")))
	require.Equal(t, "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.", reverseName(addr("2001:db8::1")))
	up := server(t, func(q []byte, _ string) [][]byte {
		r := record("80.2.0.192.in-addr.arpa.", 60, &dnsmessage.PTRResource{PTR: dnsmessage.MustNewName("www.example.")})
		r.Header.Type = dnsmessage.TypePTR
		return [][]byte{reply(t, q, nil, r)}
	})
	f := NewForwarder(ForwarderConfig{NameServers: []netip.AddrPort{up}})
	names, err := f.LookupNames(t.Context(), addr("192.0.2.80"))
	require.NoError(t, err)
	require.Equal(t, []string{"www.example."}, names)
}

// An alias that leads in a circle, or nowhere.
func TestAliases(t *testing.T) {
	q := query(t, 1, "a.example.", dnsmessage.TypeA)
	ip := &dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}}
	for want, records := range map[int][]dnsmessage.Resource{
		0: {record("a.example.", 1, alias("b.example.")), record("b.example.", 1, alias("a.example.")), record("c.example.", 1, ip)},
		1: {record("b.example.", 9, ip), record("a.example.", 5, alias("b.example."))},
	} {
		_, list, ok := addresses(reply(t, q, nil, records...))
		require.True(t, ok)
		require.Len(t, list, want)
	}
	_, _, ok := addresses(reply(t, q, func(m *dnsmessage.Message) { m.Truncated = true }, record("a.example.", 1, ip)))
	require.False(t, ok, "not whole")
}

func FuzzMessages(f *testing.F) {
	q := query(f, 1, "www.example.", dnsmessage.TypeA)
	f.Add(q)
	f.Add(reply(f, q, nil, record("www.example.", 1, alias("b.example.")), record("b.example.", 1, &dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}})))
	f.Fuzz(func(t *testing.T, b []byte) {
		if q, _, ok := parseQuery(b); ok {
			require.GreaterOrEqual(t, q.udp, minUDP)
			q.answers(b, q.id)
			require.NotEmpty(t, q.appendError(nil, dnsmessage.RCodeServerFailure, true))
		}
		_, answers, _ := addresses(b)
		require.LessOrEqual(t, len(answers), maxRecords)
		require.LessOrEqual(t, len(pointers(b)), maxRecords)
	})
}
