package control_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/control"
	"github.com/racoon3/racoon/internal/control/controltest"
	"github.com/racoon3/racoon/internal/testhost"
)

// patience is how long a test waits for what has to come.
const patience = testhost.Patience

// impatient has the daemon cut callers off soon. Whoever is to be answered with
// it has to try again when the machine stalls.
func impatient(p *controltest.Pair) { p.Client.Daemon.Limits.Request = 200 * time.Millisecond }

// narrow has the daemon take little from callers, in its own time.
func narrow(p *controltest.Pair) {
	p.Client.Daemon.Limits = control.Limits{Request: patience, Connections: 16, Body: 4096}
}

func dial(t *testing.T, path string) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", path)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// answers wants the daemon to serve others.
func answers(t *testing.T, path string) {
	t.Helper()
	require.Eventually(t, func() bool {
		c := control.NewClient(path)
		defer c.Close()
		_, err := c.Status(t.Context())
		return err == nil
	}, patience, 5*time.Millisecond)
}

// response reads an HTTP response.
func response(t *testing.T, c net.Conn) (int, string) {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	b, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(b)
}

// TestC26_HostileRequests: what is no request is refused within bounds, and the
// daemon serves on.
func TestC26_HostileRequests(t *testing.T) {
	p := controltest.New(t, narrow)
	post := func(path, body string) string {
		return fmt.Sprintf("POST /v1/%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
	}
	for name, c := range map[string]struct {
		send   string
		status int
		says   string
	}{
		"garbage":                  {"\x00\x01\x02\x03 racoon admin protocol\r\n\r\n", 400, ""},
		"old admin protocol":       {"\x08\x00\x01\x80\x00\x00\x00\x00\r\n\r\n", 400, ""},
		"body too long":            {post("delete", `{"peer":"`+strings.Repeat("x", 5000)+`"}`), 413, "too long"},
		"spaces behind, too long":  {post("delete", `{"peer":"x"}`+strings.Repeat(" ", 5000)), 413, "too long"},
		"announced body too long":  {"POST /v1/delete HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n" + strings.Repeat("{", 5000), 413, ""},
		"negative length":          {"POST /v1/delete HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400, ""},
		"header too long":          {"GET /v1/status HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("y", 20000) + "\r\n\r\n", 431, ""},
		"no JSON":                  {post("delete", "peer=gw"), 400, "bad-request"},
		"array":                    {post("delete", `["gw"]`), 400, "bad-request"},
		"wrong type":               {post("delete", `{"peer":7}`), 400, "bad-request"},
		"unknown field":            {post("delete", `{"peer":"gw","force":true}`), 400, "force"},
		"two objects":              {post("delete", `{"peer":"gw"}{"peer":"gw"}`), 400, "follows"},
		"deep nesting":             {post("delete", strings.Repeat(`{"peer":`, 500)), 400, "bad-request"},
		"NUL octets":               {post("delete", "{\"peer\":\"gw\x00\"}"), 400, "bad-request"},
		"wrong method":             {"DELETE /v1/sessions HTTP/1.1\r\nHost: x\r\n\r\n", 404, "not-found"},
		"path climbs":              {"GET /v1/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 307, ""},
		"password is no base64":    {post("establish", `{"peer":"gw","password":"%%%"}`), 400, "bad-request"},
		"Content-Length and chunk": {"POST /v1/delete HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, ""},
	} {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, p.Client.Path)
			go conn.Write([]byte(c.send))
			status, body := response(t, conn)
			require.Equal(t, c.status, status, body)
			require.Contains(t, body, c.says)
			require.Less(t, len(body), 2000)
		})
	}
	answers(t, p.Client.Path)
}

// TestC26_SlowCallers: who sends or reads slowly is cut off.
func TestC26_SlowCallers(t *testing.T) {
	p := controltest.New(t, impatient)
	for _, begin := range []string{"", "GET /v1/st", "POST /v1/delete HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"} {
		c := dial(t, p.Client.Path)
		io.WriteString(c, begin)
		_, err := io.Copy(io.Discard, c) // until the daemon closes
		require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "%q", begin)
	}
	answers(t, p.Client.Path)
}

// TestC26_ManyConnections: of 1000 connections that say nothing the daemon keeps
// as many as it may, and turns the others away; it answers again when they are
// gone.
func TestC26_ManyConnections(t *testing.T) {
	p := controltest.New(t, narrow)
	said := make(chan string, 1000)
	var all []net.Conn
	for range cap(said) {
		c := dial(t, p.Client.Path)
		c.SetDeadline(time.Time{})
		all = append(all, c)
		go func() {
			b, _ := io.ReadAll(c)
			said <- string(b)
		}()
	}
	next := func() string {
		select {
		case s := <-said:
			return s
		case <-time.After(patience / 2): // before the daemon's own limit
			t.Fatal("connections above the limit stay")
			return ""
		}
	}
	// 16 are kept, and the last 16 have the time to ask in order to be refused.
	for range len(all) - 2*16 {
		require.Empty(t, next())
	}
	require.Empty(t, said)
	io.WriteString(all[len(all)-1], "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
	require.Contains(t, next(), "503 ")
	for _, c := range all {
		c.Close()
	}
	answers(t, p.Client.Path)
}

// A client sees the refusal as such, also one who takes his time.
func TestTooManyConnectionsIsTold(t *testing.T) {
	p := controltest.New(t, func(p *controltest.Pair) {
		p.Client.Daemon.Limits = control.Limits{Connections: 1, Request: patience}
	})
	defer dial(t, p.Client.Path).Close() // the first that is accepted
	for range 20 {
		c := control.NewClient(p.Client.Path)
		_, err := c.Status(testContext(t))
		c.Close()
		refused(t, err, control.CodeBusy, "too many connections")
	}
	// What comes before the request is no response to it.
	slow := dial(t, p.Client.Path)
	slow.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	_, err := slow.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	slow.SetReadDeadline(time.Now().Add(patience))
	io.WriteString(slow, "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
	status, body := response(t, slow)
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, body, control.CodeBusy)
}

// TestC23_TenThousandCalls: many callers at once, some of whom go away in the
// middle, one that does not read, and sessions that come and go under them.
// Nothing hangs: the pair shuts down afterwards, which the clean-up of the test
// checks.
func TestC23_TenThousandCalls(t *testing.T) {
	p := controltest.New(t, func(p *controltest.Pair) {
		p.Client.Daemon.Limits = control.Limits{Request: patience, Delete: 2 * time.Second}
	})
	total := 10_000
	if testing.Short() {
		total = 1000
	}
	ctx := t.Context()

	// One follows the events and never reads.
	blocked := dial(t, p.Client.Path)
	io.WriteString(blocked, "GET /v1/events?follow HTTP/1.1\r\nHost: x\r\n\r\n")

	const callers = 20
	var wg sync.WaitGroup
	var mu sync.Mutex
	outcomes := map[string]int{}
	for i := range callers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(i)))
			c := control.NewClient(p.Client.Path)
			defer c.Close()
			for range total / callers {
				one, cancel := context.WithTimeout(ctx, patience)
				if rng.IntN(4) == 0 { // goes away
					cancel()
					one, cancel = context.WithTimeout(ctx, time.Duration(rng.IntN(2000))*time.Microsecond)
				}
				var err error
				switch n := rng.IntN(100); {
				case n < 4:
					_, err = c.Establish(one, control.EstablishRequest{Peer: "gw", Wait: rng.IntN(2) == 0})
				case n < 6:
					_, err = c.Delete(one, control.Select{Peer: "gw"})
				case n < 8:
					_, err = c.Flush(one, "esp")
				case n < 10:
					_, err = c.Rekey(one, control.RekeyRequest{Select: control.Select{Peer: "gw"}})
				case n < 12:
					_, err = c.Rekey(one, control.RekeyRequest{Select: control.Select{Child: "net"}})
				case n < 13:
					_, err = p.Gateway.Control.Flush(one, "isakmp")
				case n < 14:
					_, err = c.Reload(one)
				case n < 40:
					_, err = c.Sessions(one, control.Select{}, true)
				case n < 60:
					_, err = c.Schedule(one)
				case n < 80:
					_, err = c.Stats(one)
				default:
					_, err = c.Status(one)
				}
				gone := one.Err() != nil
				cancel()
				kind := "ok"
				if err != nil {
					kind = "other: " + err.Error()
					if gone {
						kind = "gone"
					} else if e, ok := err.(*control.Error); ok {
						kind = e.Code
					}
				}
				mu.Lock()
				outcomes[kind]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Log(outcomes)
	require.Greater(t, outcomes["ok"], total/2)
	for kind, n := range outcomes {
		require.NotContains(t, kind, "other", "%d times", n)
	}
	answers(t, p.Client.Path)
	blocked.Close()
}

// TestC23_BlockedReader: a follower that does not read loses events, and his
// connection; the daemon waits for nobody.
func TestC23_BlockedReader(t *testing.T) {
	p := controltest.New(t)
	// The events are given out by another Daemon for the same Manager, which is
	// impatient with its callers.
	d := &control.Daemon{Manager: p.Client.Manager, Limits: control.Limits{Request: 200 * time.Millisecond}}
	path := controltest.Serve(t, d)
	ctx := testContext(t)
	var c net.Conn
	for first := make([]byte, 1); first[0] == 0; c.Read(first) { // again, if it was cut off before it was served
		c = dial(t, path)
		io.WriteString(c, "GET /v1/events?follow HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	for range 400 { // of six events
		_, err := p.Client.Control.Establish(ctx, control.EstablishRequest{Peer: "gw", Wait: true})
		require.NoError(t, err)
		_, err = p.Client.Control.Delete(ctx, control.Select{Peer: "gw"})
		require.NoError(t, err)
	}
	got, err := io.Copy(io.Discard, c) // ends, although the daemon does not
	require.NoError(t, err)
	t.Logf("%d octets had been sent", got)
	var n int
	require.NoError(t, p.Client.Control.Events(ctx, 10_000, false, func(control.Event) error { n++; return nil }))
	require.Equal(t, 512, n, "a bounded backlog")
}
