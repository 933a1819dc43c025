package control

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
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

	leaving []*net.UnixConn // the last ones that were turned away; only Accept's

	mu     sync.Mutex
	open   int
	byUID  map[uint32]int
	quiet  time.Time // no refusal is logged before
	hushed int       // that were not logged
}

func newLimited(l *Listener, limits Limits, log *slog.Logger) *limited {
	return &limited{Listener: l, limits: limits, log: log, self: uint32(max(os.Geteuid(), 0)), byUID: make(map[uint32]int)}
}

// busyResponse is for connections above the limits.
const busyResponse = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: 63\r\n\r\n" +
	`{"code":"busy","error":"the daemon has too many connections"}` + "\r\n"

// Accept implements net.Listener. It has one caller, the HTTP server.
func (l *limited) Accept() (net.Conn, error) {
	for {
		c, caller, err := l.Listener.Accept()
		if r := (*localsocket.RefusedError)(nil); errors.As(err, &r) {
			l.refused(r)
			continue
		}
		if err != nil {
			for _, c := range l.leaving {
				c.Close()
			}
			l.leaving = nil
			return nil, err
		}
		if !l.add(caller.UID) {
			l.turnAway(c)
			continue
		}
		return &connection{UnixConn: c, caller: caller, limited: l}, nil
	}
}

// turnAway says that there are too many connections, once the caller has asked
// something: an HTTP client takes a response that comes before its request for a
// failure of the connection. Then the end of the request is waited for, or the
// caller might get an error of the system instead. About as many are being told
// at a time as may be connected; a further one takes the place of the first.
func (l *limited) turnAway(c *net.UnixConn) {
	if len(l.leaving) >= max(l.limits.Connections, minLeaving) {
		l.leaving[0].Close() // which is nothing new for most
		l.leaving = slices.Delete(l.leaving, 0, 1)
	}
	l.leaving = append(l.leaving, c)
	go func() {
		defer c.Close()
		c.SetDeadline(time.Now().Add(l.limits.Request))
		if _, err := c.Read(make([]byte, 1)); err != nil {
			return
		}
		if _, err := c.Write([]byte(busyResponse)); err == nil && c.CloseWrite() == nil {
			io.Copy(io.Discard, io.LimitReader(c, l.limits.Body))
		}
	}()
}

// minLeaving is how many who are turned away are told so, however few may be
// connected.
const minLeaving = 16

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
