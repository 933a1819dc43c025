package control

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/racoon3/racoon/internal/localsocket"
)

// limited is the listener of the HTTP server: it turns away whoever is not
// admitted, and connections above the limits.
type limited struct {
	*Listener
	limits Limits
	log    *slog.Logger
	self   uint32

	leaving chan struct{} // those who are being turned away

	mu     sync.Mutex
	open   int
	byUID  map[uint32]int
	quiet  time.Time // no refusal is logged before
	hushed int       // that were not logged
}

func newLimited(l *Listener, limits Limits, log *slog.Logger) *limited {
	return &limited{Listener: l, limits: limits, log: log, self: uint32(max(os.Geteuid(), 0)), byUID: make(map[uint32]int), leaving: make(chan struct{}, limits.Connections)}
}

// busyResponse is for connections above the limits.
const busyResponse = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: 63\r\n\r\n" +
	`{"code":"busy","error":"the daemon has too many connections"}` + "\r\n"

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	for {
		c, caller, err := l.Listener.Accept()
		if r := (*localsocket.RefusedError)(nil); errors.As(err, &r) {
			l.refused(r)
			continue
		}
		if err != nil {
			return nil, err
		}
		if !l.add(caller.UID) {
			l.turnAway(c)
			continue
		}
		return &connection{UnixConn: c, caller: caller, limited: l}, nil
	}
}

// turnAway says that there are too many connections. The end of the caller's
// request is waited for, or he might get an error of the system instead: by so
// many at a time that this costs no more than the connections do.
func (l *limited) turnAway(c *net.UnixConn) {
	select {
	case l.leaving <- struct{}{}:
	default:
		c.Close()
		return
	}
	go func() {
		defer func() { <-l.leaving }()
		defer c.Close()
		c.SetDeadline(time.Now().Add(leaveTime))
		if _, err := c.Write([]byte(busyResponse)); err == nil && c.CloseWrite() == nil {
			io.Copy(io.Discard, io.LimitReader(c, l.limits.Body))
		}
	}()
}

// leaveTime is how long a caller who is turned away has to see it.
const leaveTime = 200 * time.Millisecond

// refused logs who was turned away, at most once a second.
func (l *limited) refused(r *localsocket.RefusedError) {
	now := time.Now()
	if now.Before(l.quiet) {
		l.hushed++
		return
	}
	args := []any{"err", r.Err, "others", l.hushed}
	if r.Caller != nil {
		args = append(args, "uid", r.Caller.UID, "pid", r.Caller.PID)
	}
	l.log.Warn("control socket: turned away", args...)
	l.quiet, l.hushed = now.Add(time.Second), 0
}

func (l *limited) add(uid uint32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	limit := l.limits.Connections
	if l.open >= limit || uid != 0 && uid != l.self && l.byUID[uid] >= max(limit*3/4, 1) {
		return false
	}
	l.open++
	l.byUID[uid]++
	return true
}

func (l *limited) remove(uid uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.byUID[uid]--; l.byUID[uid] == 0 {
		delete(l.byUID, uid)
	}
}

// connection is one that counts.
type connection struct {
	*net.UnixConn
	caller  *Caller
	limited *limited
	once    sync.Once
}

// Close implements net.Conn.
func (c *connection) Close() error {
	c.once.Do(func() { c.limited.remove(c.caller.UID) })
	return c.UnixConn.Close()
}
