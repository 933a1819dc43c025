package spmif

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// service is a daemon behind the server.
type service struct {
	mu       sync.Mutex
	policies []PolicyID
	names    []string
	servers  []netip.Addr
	seen     []string
	gone     []bool
	err      error
}

func (s *service) note(r *Request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, r.String())
	if s.err != nil {
		return s.err
	}
	if r.Name == "nobody" {
		return ErrNotFound
	}
	return nil
}

func (s *service) AddPolicy(_ context.Context, _ ClientID, r *Request) (string, string, error) {
	return r.Name, r.Name + "_in", s.note(r)
}
func (s *service) DeletePolicy(_ context.Context, _ ClientID, r *Request) error { return s.note(r) }
func (s *service) Migrate(_ context.Context, r *Request) error                  { return s.note(r) }
func (s *service) ListPolicies(context.Context) ([]PolicyID, error)             { return s.policies, s.err }
func (s *service) SelectorOf(_ context.Context, id uint32) (string, error) {
	for _, p := range s.policies {
		if p.ID == id {
			return p.Name, nil
		}
	}
	return "", ErrNotFound
}
func (s *service) ClientGone(_ ClientID, orderly bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = append(s.gone, orderly)
}
func (s *service) Register(name string) error {
	if slices.Contains(s.names, name) {
		return ErrExists
	}
	s.names = append(s.names, name)
	return nil
}
func (s *service) Deregister(name string) error {
	if !slices.Contains(s.names, name) {
		return ErrNotFound
	}
	s.names = slices.DeleteFunc(s.names, func(n string) bool { return n == name })
	return nil
}
func (s *service) Registered() []string { return s.names }
func (s *service) NamesOf(a netip.Addr) []string {
	if a == netip.MustParseAddr("192.0.2.80") {
		return slices.Repeat([]string{"www.example.org."}, 50)
	}
	return nil
}
func (s *service) List() []netip.Addr { return s.servers }
func (s *service) Add(a netip.Addr) error {
	if slices.Contains(s.servers, a) {
		return ErrExists
	}
	s.servers = append([]netip.Addr{a}, s.servers...)
	return nil
}
func (s *service) Delete(a netip.Addr) error {
	if !slices.Contains(s.servers, a) {
		return ErrNotFound
	}
	if len(s.servers) == 1 {
		return errors.New("the last one")
	}
	s.servers = slices.DeleteFunc(s.servers, func(n netip.Addr) bool { return n == a })
	return nil
}
func (s *service) Use(a netip.Addr) error {
	if err := s.Delete(a); err != nil {
		return err
	}
	return s.Add(a)
}

var secretWord = Password("secret\n")

func newService() (*service, ServerConfig) {
	s := &service{}
	return s, ServerConfig{Policies: s, Names: s, NameServers: s, Stats: func() Stats { return Stats{Queries: 1, Mappings: 9} }, Password: secretWord}
}

// connect returns a client's end; the server's ends with the test.
func connect(t *testing.T, s *Server) net.Conn {
	t.Helper()
	here, there := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.ServeConn(t.Context(), there, Peer{})
	}()
	t.Cleanup(func() { here.Close(); <-done })
	return here
}

func say(t *testing.T, c net.Conn, line string) {
	t.Helper()
	_, err := io.WriteString(c, line)
	require.NoError(t, err)
}

// A dialogue as racoon2's programs have it, octet by octet.
func TestDialogue(t *testing.T) {
	s, cfg := newService()
	s.policies = []PolicyID{{"ike_trans_sel_out", 9}, {"ike_trans_sel_in", 16}}
	c := connect(t, NewServer(cfg))
	r := bufio.NewReader(c)
	line := func() string {
		l, err := r.ReadString('\n')
		require.NoError(t, err)
		return l
	}
	greeting := line()
	require.Regexp(t, "^220 [0-9A-F]{40}\r\n$", greeting)
	for _, x := range []struct{ say, want string }{
		{"POLICY DUMP", "550 need login"},
		{"LOGIN " + Response(greeting[4:44], secretWord), "250 OK"},
		{"POLICY DUMP", "250-ike_trans_sel_out 9|250 ike_trans_sel_in 16"},
		{"SLID 16", "250 ike_trans_sel_in"},
		{"SLID 17", "551 No Such SPID(17)"},
		{"POLICY ADD out 3600 tunnel 10.1.0.0/16 10.2.0.0/16 192.0.2.1 192.0.2.2", "250 Policy Added out and out_in"},
		{"POLICY ADD nobody 0 transport ::1/128 ::2/128", "550 Operation Failed, selector not found"},
		{"POLICY DELETE out tunnel 10.1.0.0/16 10.2.0.0/16 192.0.2.1 192.0.2.2", "250 Policy Deleted"},
		{"MIGRATE out 192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.2", "250 Migrate out"},
		{"FQDN LIST", "251 No FQDN Registered"},
		{"FQDN ADD www.example.org.", "250 FQDN Registered"},
		{"FQDN ADD www.example.org", "550 FQDN Already Registered"},
		{"FQDN LIST", "250 www.example.org."},
		{"FQDN QUERY 192.0.2.1", "501 Not Cached"},
		{"FQDN DELETE www.example.org.", "250 FQDN Deregistered"},
		{"FQDN DELETE www.example.org.", "550 No such a FQDN exists"},
		{"NS LIST", "251 No Name Server"},
		{"NS ADD 192.0.2.53", "250 192.0.2.53 Added"},
		{"NS ADD 2001:db8::53", "250 2001:db8::53 Added"},
		{"NS ADD 192.0.2.53", "551 192.0.2.53 Already Exists"},
		{"NS CHANGE 192.0.2.53", "250 192.0.2.53 changed."},
		{"NS LIST", "250-192.0.2.53|250 2001:db8::53"},
		{"NS DELETE 192.0.2.54", "551 Does Not Exist"},
		{"NS DELETE 192.0.2.53", "250 192.0.2.53 Deleted"},
		{"NS DELETE 2001:db8::53", "550 Operation Failed"},
		{"STAT", "250-DNS QUERY = 1|250-DNS RESPONSE = 0|250-DNS QUERY PROXY = 0|250-DNS RESPONSE PROXY = 0|250-DNS EXPIRED QUERY = 0|250-DNS DUP QUERY = 0|" +
			"250-CACHE IP ADDRESS = 0|250-CACHE FQDN = 0|250 CACHE TOTAL FQDN = 9"},
		{"HELP", "502 Command not implemented"},
		{"POLICY", "500 Syntax Error"},
		{"QUIT", "250 BYE"},
	} {
		go io.WriteString(c, x.say+"\r\n")
		for _, want := range strings.Split(x.want, "|") {
			require.Equal(t, want+"\r\n", line(), x.say)
		}
	}
	_, err := r.ReadByte()
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, []bool{true}, s.gone)
}

func TestClient(t *testing.T) {
	s, cfg := newService()
	ctx := t.Context()
	c, err := NewClient(ctx, connect(t, NewServer(cfg)), secretWord)
	require.NoError(t, err)
	src, dst := netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("10.2.0.0/16")
	pair := AddrPair{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
	require.NoError(t, c.AddPolicy(ctx, "a", time.Hour, src, dst, pair))
	require.NoError(t, c.DeletePolicy(ctx, "a", src, dst, AddrPair{}))
	require.NoError(t, c.DeletePolicies(ctx, "a"))
	require.NoError(t, c.Migrate(ctx, "a", pair, AddrPair{pair.Dst, pair.Src}))
	require.Equal(t, []string{"POLICY ADD a 3600 tunnel 10.1.0.0/16 10.2.0.0/16 192.0.2.1 192.0.2.2", "POLICY DELETE a transport 10.1.0.0/16 10.2.0.0/16",
		"POLICY DELETE a", "MIGRATE a 192.0.2.1 192.0.2.2 192.0.2.2 192.0.2.1"}, s.seen)
	require.ErrorContains(t, c.DeletePolicies(ctx, "a b"), "cannot be said", "a name with a space would be two words")
	require.ErrorContains(t, c.DeletePolicies(ctx, "a\r\nQUIT"), "cannot be said")

	list, err := c.Policies(ctx)
	require.NoError(t, err)
	require.Empty(t, list)
	for i := range 1000 {
		s.policies = append(s.policies, PolicyID{fmt.Sprintf("p%d", i), uint32(i)})
	}
	list, err = c.Policies(ctx)
	require.NoError(t, err)
	require.Equal(t, s.policies, list)
	name, err := c.Selector(ctx, 17)
	require.NoError(t, err)
	require.Equal(t, "p17", name)
	_, err = c.Selector(ctx, 1717)
	require.ErrorIs(t, err, ErrNotFound)

	require.NoError(t, c.RegisterName(ctx, "www.example.org"))
	names, err := c.RegisteredNames(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"www.example.org."}, names)
	require.NoError(t, c.DeregisterName(ctx, "www.example.org."))
	names, err = c.NamesOf(ctx, netip.MustParseAddr("192.0.2.80"))
	require.NoError(t, err)
	require.Len(t, names, maxQueryLines, "more would not fit in racoon2's clients")
	_, err = c.NamesOf(ctx, pair.Src)
	require.ErrorIs(t, err, ErrNotFound)

	require.NoError(t, c.AddNameServer(ctx, pair.Src))
	require.ErrorIs(t, c.AddNameServer(ctx, pair.Src), ErrExists)
	require.NoError(t, c.AddNameServer(ctx, pair.Dst))
	require.NoError(t, c.UseNameServer(ctx, pair.Src))
	servers, err := c.NameServers(ctx)
	require.NoError(t, err)
	require.Equal(t, []netip.Addr{pair.Src, pair.Dst}, servers)
	require.NoError(t, c.DeleteNameServer(ctx, pair.Dst))
	require.ErrorIs(t, c.DeleteNameServer(ctx, pair.Dst), ErrNotFound)
	st, err := c.Stats(ctx)
	require.NoError(t, err)
	require.Equal(t, Stats{Queries: 1, Mappings: 9}, st)

	s.err = errors.New("the kernel says no")
	var re *ReplyError
	require.ErrorAs(t, c.AddPolicy(ctx, "a", 0, src, dst, pair), &re)
	require.Equal(t, failed, re.Reply, "the reason is for the log")
	require.NoError(t, c.Quit(ctx))
	require.Error(t, c.RegisterName(ctx, "x"))
}

// racoon2's spmd marks the reply to FQDN ADD and DELETE as if it had a second line,
// which never comes: seen live, a client that waits for it waits for ever.
func TestReplyOfRacoon2WithoutEnd(t *testing.T) {
	here, there := net.Pipe()
	go func() {
		r := bufio.NewReader(there)
		_, _ = io.WriteString(there, "220 x\r\n")
		for _, reply := range []string{"250 OK", "250-FQDN Registered", "250-FQDN Deregistered", "550 No such a FQDN exists", "250-www.example.org.\r\n250 mail.example.org."} {
			_, _ = r.ReadString('\n')
			_, _ = io.WriteString(there, reply+"\r\n")
		}
	}()
	c, err := NewClient(t.Context(), here, Password("secret\n"))
	require.NoError(t, err)
	require.NoError(t, c.RegisterName(t.Context(), "www.example.org"))
	require.NoError(t, c.DeregisterName(t.Context(), "www.example.org"))
	require.Error(t, c.DeregisterName(t.Context(), "www.example.org"))
	names, err := c.RegisteredNames(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"www.example.org.", "mail.example.org."}, names)
}

func TestClientBreaksOffWithItsContext(t *testing.T) {
	here, there := net.Pipe()
	go func() {
		_, _ = io.WriteString(there, "220 x\r\n")
		_, _ = io.Copy(io.Discard, there)
	}()
	c, err := NewClient(t.Context(), here, nil)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err = c.Stats(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = c.Stats(t.Context())
	require.ErrorContains(t, err, "no longer used")
}

func TestC26_ClientRefusesOddServers(t *testing.T) {
	for name, text := range map[string]string{
		"refused": "550 Too many clients\r\n", "short": "22\r\n", "no code": "abc x\r\n", "endless line": "220 " + strings.Repeat("x", 5000),
		"two codes": "220-a\r\n250 b\r\n", "end": "",
	} {
		here, there := net.Pipe()
		go func() {
			_, _ = io.WriteString(there, text)
			there.Close()
		}()
		_, err := NewClient(t.Context(), here, nil)
		require.Error(t, err, name)
	}
}

// C26: who has not logged in gets nothing, and has one try.
func TestC26_Login(t *testing.T) {
	s, cfg := newService()
	server := NewServer(cfg)
	_, err := NewClient(t.Context(), connect(t, server), Password("wrong"))
	var re *ReplyError
	require.ErrorAs(t, err, &re)
	require.NotContains(t, re.Error(), Response("", Password("wrong")))

	for _, first := range []string{"LOGIN", "LOGIN x", "LOGIN " + strings.Repeat("0", 40)} {
		c := connect(t, server)
		r := bufio.NewReader(c)
		greeting, err := r.ReadString('\n')
		require.NoError(t, err)
		say(t, c, first+"\r\n")
		l, err := r.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "550 FAILED\r\n", l)
		_, err = io.WriteString(c, "LOGIN "+Response(greeting[4:44], secretWord)+"\r\n")
		require.Error(t, err, "the connection is over")
	}
	// A recorded response does not serve again.
	c := connect(t, server)
	r := bufio.NewReader(c)
	_, err = r.ReadString('\n')
	require.NoError(t, err)
	say(t, c, "LOGIN "+Response(strings.Repeat("A", 40), secretWord)+"\r\n")
	l, err := r.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "550 FAILED\r\n", l)
	require.Empty(t, s.seen)
	require.Empty(t, s.gone, "who was never in is not told of")

	cfg.Password = nil
	c2, err := NewClient(t.Context(), connect(t, NewServer(cfg)), secretWord)
	require.NoError(t, err, "a server without a password takes any")
	require.NoError(t, c2.Quit(t.Context()))
	c2, err = NewClient(t.Context(), connect(t, NewServer(cfg)), nil)
	require.NoError(t, err)
	require.NoError(t, c2.Quit(t.Context()))
}

// C23: clients that say nothing, stop in a line, or do not read.
func TestC23_SlowClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, cfg := newService()
		cfg.MaxClients = 2
		server := NewServer(cfg)
		began := time.Now()
		silent := connect(t, server)
		_, _ = io.ReadAll(silent) // ends by the server's time limit
		require.Equal(t, 10*time.Second, time.Since(began), "without a login")

		c, err := NewClient(t.Context(), connect(t, server), secretWord)
		require.NoError(t, err)
		time.Sleep(time.Hour)
		_, err = c.Stats(t.Context())
		require.NoError(t, err, "who has logged in may be silent")
		say(t, c.conn, "STA")
		began = time.Now()
		_, err = c.r.ReadByte()
		require.ErrorIs(t, err, io.EOF)
		require.Equal(t, 10*time.Second, time.Since(began), "in a line")

		c, err = NewClient(t.Context(), connect(t, server), secretWord)
		require.NoError(t, err)
		other, err := NewClient(t.Context(), connect(t, server), secretWord)
		require.NoError(t, err)
		say(t, c.conn, "STAT\r\n") // and does not read
		_, err = other.Stats(t.Context())
		require.NoError(t, err, "nobody else waits")
		third := connect(t, server)
		_, err = NewClient(t.Context(), third, secretWord)
		require.ErrorContains(t, err, "Too many clients")
		time.Sleep(11 * time.Second)
		synctest.Wait()
		require.Equal(t, []bool{false, false}, s.gone, "it was put out")
		require.NoError(t, other.Quit(t.Context()))
	})
}

// C26: a line that never ends is refused with little memory.
func TestC26_LongLine(t *testing.T) {
	_, cfg := newService()
	cfg.Password = nil
	c := connect(t, NewServer(cfg))
	r := bufio.NewReader(c)
	_, err := r.ReadString('\n')
	require.NoError(t, err)
	go func() { _, _ = c.Write(bytes.Repeat([]byte("x"), 1<<20)) }()
	l, err := r.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "500 Syntax Error\r\n", l)
	_, err = r.ReadByte()
	require.Error(t, err)
}

// C25: nothing of a login, and no line of a client's own, gets into the log.
func TestC25_Log(t *testing.T) {
	s, cfg := newService()
	var log bytes.Buffer
	cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	here, there := net.Pipe()
	var sent bytes.Buffer
	done := make(chan struct{})
	go func() { NewServer(cfg).ServeConn(t.Context(), there, Peer{}); close(done) }()
	c, err := NewClient(t.Context(), recorder{here, &sent}, secretWord)
	require.NoError(t, err)
	s.err = errors.New("x\nlevel=INFO msg=forged")
	require.Error(t, c.AddPolicy(t.Context(), "a", 0, netip.MustParsePrefix("10.0.0.1/32"), netip.MustParsePrefix("10.0.0.2/32"), AddrPair{}))
	require.NoError(t, c.Quit(t.Context()))
	<-done
	response := strings.Fields(sent.String())[1]
	require.Len(t, response, 40)
	require.NotContains(t, log.String(), response)
	require.NotContains(t, log.String(), "secret")
	require.NotContains(t, log.String(), "\nlevel=INFO msg=forged")
	require.Contains(t, log.String(), "POLICY ADD a 0 transport")
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", cfg.Password, cfg, cfg), "secret\\n")
}

type recorder struct {
	net.Conn
	sent *bytes.Buffer
}

func (r recorder) Write(b []byte) (int, error) { r.sent.Write(b); return r.Conn.Write(b) }
