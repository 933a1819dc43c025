package spmif

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// ServerConfig configures a [Server].
type ServerConfig struct {
	Policies    Policies    // nil: policy operations fail
	Names       Names       // nil: FQDN operations fail
	NameServers NameServers // nil: there is no forwarder
	Stats       func() Stats

	// Password is what clients log in with. nil asks for none: who may connect
	// to the socket may use it, and any LOGIN succeeds.
	Password Password

	MaxClients   int           // at once, logged in or not; 0 is 64
	LoginTimeout time.Duration // for the login, and for each line once it has begun; 0 is 10 s
	WriteTimeout time.Duration // for a client to take a reply; 0 is 10 s
	Timeout      time.Duration // for each request to be carried out; 0 is 30 s

	Logger *slog.Logger // nil discards
}

// A Server serves the policy service. Requests of one client are served one
// after the other; a client that does not read or write holds up nobody else.
type Server struct {
	cfg  ServerConfig
	log  *slog.Logger
	room chan struct{}

	mu   sync.Mutex
	next ClientID
}

// NewServer returns a server.
func NewServer(cfg ServerConfig) *Server {
	cfg.MaxClients = cmp.Or(cfg.MaxClients, 64)
	cfg.LoginTimeout = cmp.Or(cfg.LoginTimeout, 10*time.Second)
	cfg.WriteTimeout = cmp.Or(cfg.WriteTimeout, 10*time.Second)
	cfg.Timeout = cmp.Or(cfg.Timeout, 30*time.Second)
	cfg.Password = cfg.Password.Clone()
	s := &Server{cfg: cfg, log: cfg.Logger, room: make(chan struct{}, cfg.MaxClients)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s
}

// Serve serves connections until ctx ends, and closes the listener. It returns
// when all clients are gone.
func (s *Server) Serve(ctx context.Context, l *Listener) error {
	var clients sync.WaitGroup
	defer clients.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	defer l.Close()
	for {
		conn, peer, err := l.accept()
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if _, refused := errors.AsType[*RefusedError](err); refused {
				s.log.Warn("spmif: a connection was refused", "err", err)
				continue
			}
			if t, ok := errors.AsType[net.Error](err); ok && t.Timeout() {
				continue
			}
			return fmt.Errorf("spmif: %w", err)
		}
		clients.Go(func() { s.ServeConn(ctx, conn, peer) })
	}
}

// ServeConn serves one connection, and closes it. The caller has decided that
// the peer may use the service.
func (s *Server) ServeConn(ctx context.Context, conn net.Conn, peer Peer) {
	defer conn.Close()
	select {
	case s.room <- struct{}{}:
		defer func() { <-s.room }()
	default:
		// The first line tells, as where a login fails.
		_ = conn.SetWriteDeadline(time.Now().Add(s.cfg.WriteTimeout))
		_, _ = conn.Write(Reply{CodeFailed, []string{"Too many clients"}}.Append(nil))
		s.log.Warn("spmif: too many clients", "max", s.cfg.MaxClients)
		return
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	s.mu.Lock()
	s.next++
	c := &connection{s: s, conn: conn, r: bufio.NewReaderSize(conn, MaxLine), id: s.next, in: s.cfg.Password == nil, challenge: newChallenge(),
		log: s.log.With("client", s.next, "uid", peer.UID, "pid", peer.PID)}
	s.mu.Unlock()
	c.serve(ctx)
}

// A connection is a client.
type connection struct {
	s         *Server
	conn      net.Conn
	r         *bufio.Reader
	log       *slog.Logger
	id        ClientID
	challenge string // empty once it has been answered
	in        bool
	out       []byte
}

func (c *connection) serve(ctx context.Context) {
	if c.reply(Reply{CodeReady, []string{c.challenge}}) != nil {
		return
	}
	began := time.Now()
	orderly := false
	defer func() {
		if c.in && c.s.cfg.Policies != nil {
			c.s.cfg.Policies.ClientGone(c.id, orderly)
		}
	}()
	for {
		deadline := time.Time{}
		if !c.in {
			deadline = began.Add(c.s.cfg.LoginTimeout)
		}
		line, err := c.readLine(deadline)
		if errors.Is(err, bufio.ErrBufferFull) {
			_ = c.reply(syntaxError)
			return
		}
		if err != nil {
			return
		}
		r, why, ok := ParseRequest(line)
		// Without a login nobody learns what else there is.
		switch {
		case ok && r.Verb == VerbQuit:
			orderly = true
			_ = c.reply(Reply{CodeOK, []string{"BYE"}})
			return
		case r.Verb == VerbLogin:
			if !c.login(r, ok) {
				return
			}
			continue
		case !c.in && r.Verb != VerbNone:
			why, ok = Reply{CodeFailed, []string{"need login"}}, false
		}
		if ok {
			c.log.Debug("spmif: request", "request", r.String())
			rctx, cancel := context.WithTimeout(ctx, c.s.cfg.Timeout)
			why = c.s.carryOut(rctx, c, &r)
			cancel()
		}
		if c.reply(why) != nil {
			return
		}
	}
}

// readLine reads a line. The deadline is for its begin; once it has begun it
// has to end soon.
func (c *connection) readLine(deadline time.Time) (string, error) {
	if err := c.conn.SetReadDeadline(deadline); err != nil {
		return "", err
	}
	if c.r.Buffered() == 0 {
		if _, err := c.r.Peek(1); err != nil {
			return "", err
		}
	}
	if deadline.IsZero() {
		deadline = time.Now().Add(c.s.cfg.LoginTimeout)
	}
	if err := c.conn.SetReadDeadline(deadline); err != nil {
		return "", err
	}
	b, err := c.r.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(string(b[:len(b)-1]), "\r"), nil
}

func (c *connection) reply(r Reply) error {
	c.out = r.Append(c.out[:0])
	if err := c.conn.SetWriteDeadline(time.Now().Add(c.s.cfg.WriteTimeout)); err != nil {
		return err
	}
	_, err := c.conn.Write(c.out)
	if cap(c.out) > 1<<16 {
		c.out = nil
	}
	return err
}

// login serves LOGIN and reports whether the connection goes on: there is one
// try for each.
func (c *connection) login(r Request, ok bool) bool {
	if c.s.cfg.Password != nil && (!ok || c.in || c.challenge == "" || !rightResponse(c.challenge, c.s.cfg.Password, r.Response)) {
		c.log.Warn("spmif: a login has failed")
		_ = c.reply(Reply{CodeFailed, []string{"FAILED"}})
		return false
	}
	c.in, c.challenge = true, ""
	return c.reply(Reply{CodeOK, []string{"OK"}}) == nil
}

// carryOut does what a request asks for.
func (s *Server) carryOut(ctx context.Context, c *connection, r *Request) Reply {
	switch r.Verb {
	case VerbNSList, VerbNSAdd, VerbNSDelete, VerbNSChange:
		return s.nameServer(c, r)
	case VerbFQDNList, VerbFQDNAdd, VerbFQDNDelete, VerbFQDNQuery:
		return s.name(c, r)
	case VerbStat:
		return s.stat()
	}
	return s.policy(ctx, c, r)
}

func (s *Server) nameServer(c *connection, r *Request) Reply {
	ns := s.cfg.NameServers
	if ns == nil {
		if r.Verb == VerbNSList {
			return Reply{CodeNone, []string{"No Name Server(resolver off?)"}}
		}
		return Reply{CodeFailed, []string{"Operation Failed(resolver off?)"}}
	}
	var err error
	var done string
	switch r.Verb {
	case VerbNSList:
		if list := addrStrings(ns.List()); len(list) > 0 {
			return Reply{CodeOK, list}
		}
		return Reply{CodeNone, []string{"No Name Server"}}
	case VerbNSAdd:
		err, done = ns.Add(r.Addr), " Added"
	case VerbNSDelete:
		err, done = ns.Delete(r.Addr), " Deleted"
	case VerbNSChange:
		err, done = ns.Use(r.Addr), " changed."
	}
	switch {
	case err == nil:
		return Reply{CodeOK, []string{r.Addr.String() + done}}
	case errors.Is(err, ErrExists):
		return Reply{CodeExists, []string{r.Addr.String() + " Already Exists"}}
	case errors.Is(err, ErrNotFound) && r.Verb == VerbNSDelete:
		return Reply{CodeExists, []string{"Does Not Exist"}}
	}
	return c.failure(r, err)
}

func addrStrings(list []netip.Addr) []string {
	var r []string
	for _, a := range list {
		r = append(r, a.String())
	}
	return r
}

// Bounds of a reply to FQDN QUERY: racoon2's clients have no room for more.
const (
	maxQueryLines  = 10
	maxQueryOctets = 1000
)

func (s *Server) name(c *connection, r *Request) Reply {
	n := s.cfg.Names
	if n == nil {
		if r.Verb == VerbFQDNList {
			return Reply{CodeNone, []string{"No FQDN Registered"}}
		}
		return failed
	}
	switch r.Verb {
	case VerbFQDNList:
		if list := n.Registered(); len(list) > 0 {
			return Reply{CodeOK, list}
		}
		return Reply{CodeNone, []string{"No FQDN Registered"}}
	case VerbFQDNQuery:
		var lines []string
		octets := 0
		for _, name := range n.NamesOf(r.Addr) {
			if octets += len(name) + 6; octets > maxQueryOctets || len(lines) == maxQueryLines {
				break
			}
			lines = append(lines, name)
		}
		if len(lines) == 0 {
			return Reply{CodeNotCached, []string{"Not Cached"}}
		}
		return Reply{CodeOK, lines}
	case VerbFQDNAdd:
		err := n.Register(r.Name)
		if errors.Is(err, ErrExists) {
			return Reply{CodeFailed, []string{"FQDN Already Registered"}}
		}
		if err != nil {
			return c.failure(r, err)
		}
		return Reply{CodeOK, []string{"FQDN Registered"}}
	}
	err := n.Deregister(r.Name)
	if errors.Is(err, ErrNotFound) {
		return Reply{CodeFailed, []string{"No such a FQDN exists"}}
	}
	if err != nil {
		return c.failure(r, err)
	}
	return Reply{CodeOK, []string{"FQDN Deregistered"}}
}

func (s *Server) stat() Reply {
	var st Stats
	if s.cfg.Stats != nil {
		st = s.cfg.Stats()
	}
	r := Reply{Code: CodeOK}
	for i, v := range st.fields() {
		r.Lines = append(r.Lines, fmt.Sprintf("%s = %d", statNames[i], *v))
	}
	return r
}

func (s *Server) policy(ctx context.Context, c *connection, r *Request) Reply {
	p := s.cfg.Policies
	if p == nil {
		if r.Verb == VerbPolicyDump {
			return Reply{CodeNone, []string{"NO Policy Exists"}}
		}
		return failed
	}
	var err error
	switch r.Verb {
	case VerbPolicyAdd:
		var out, in string
		if out, in, err = p.AddPolicy(ctx, c.id, r); err == nil {
			return Reply{CodeOK, []string{"Policy Added " + out + " and " + in}}
		}
	case VerbPolicyDelete:
		if err = p.DeletePolicy(ctx, c.id, r); err == nil {
			return Reply{CodeOK, []string{"Policy Deleted"}}
		}
	case VerbPolicyDump:
		var list []PolicyID
		if list, err = p.ListPolicies(ctx); err == nil {
			reply := Reply{Code: CodeOK}
			for _, e := range list {
				reply.Lines = append(reply.Lines, fmt.Sprintf("%s %d", e.Name, e.ID))
			}
			if len(list) == 0 {
				reply = Reply{CodeNone, []string{"NO Policy Exists"}}
			}
			return reply
		}
	case VerbSLID:
		var name string
		if name, err = p.SelectorOf(ctx, r.ID); err == nil {
			return Reply{CodeOK, []string{name}}
		}
		if errors.Is(err, ErrNotFound) {
			return Reply{CodeExists, []string{fmt.Sprintf("No Such SPID(%d)", r.ID)}}
		}
	case VerbMigrate:
		if err = p.Migrate(ctx, r); err == nil {
			return Reply{CodeOK, []string{"Migrate " + r.Name}}
		}
	}
	if errors.Is(err, ErrNotFound) {
		return Reply{CodeFailed, []string{notFound}}
	}
	return c.failure(r, err)
}

// failure logs what the client is not told.
func (c *connection) failure(r *Request, err error) Reply {
	c.log.Error("spmif: a request has failed", "request", r.String(), "err", err)
	return failed
}
