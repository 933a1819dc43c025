package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
)

// ErrNoDaemon: nobody answers at the socket, or nobody may.
var ErrNoDaemon = errors.New("no daemon answers")

// A Client asks the daemon behind a socket. Its methods may be called by
// several goroutines at once. What the daemon refuses is an [*Error]; where none
// is reached, errors wrap [ErrNoDaemon].
type Client struct {
	http *http.Client
	path string
}

// NewClient returns a client for a socket; "" is DefaultPath. It connects when
// it is used.
func NewClient(path string) *Client {
	if path == "" {
		path = DefaultPath
	}
	c := &Client{path: path}
	c.http = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrNoDaemon, err)
			}
			return conn, nil
		},
		MaxIdleConns: 1, DisableCompression: true,
	}}
	return c
}

// Close closes the connection.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// do sends a request, with body as JSON if it is not nil, and returns the
// response, which is not an error's.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, body any) (*http.Response, error) {
	var b io.Reader
	if body != nil {
		j, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		b = bytes.NewReader(j)
	}
	u := url.URL{Scheme: "http", Host: "racoon", Path: path, RawQuery: query.Encode()}
	r, err := http.NewRequestWithContext(ctx, method, u.String(), b)
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(r)
	if err != nil {
		if e := (*url.Error)(nil); errors.As(err, &e) {
			err = e.Err
		}
		if ctx.Err() == nil && !errors.Is(err, ErrNoDaemon) {
			err = fmt.Errorf("%w: %w", ErrNoDaemon, err)
		}
		return nil, err
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	e := &Error{Status: res.StatusCode}
	if json.Unmarshal(text, e) != nil || e.Message == "" {
		e.Code, e.Message = CodeBadRequest, fmt.Sprintf("the daemon says %s", res.Status)
	}
	return nil, e
}

// Do sends a request and returns the JSON of the response. It is for requests
// that have no method here.
func (c *Client) Do(ctx context.Context, method, path string, query url.Values, body any) (json.RawMessage, error) {
	res, err := c.do(ctx, method, path, query, body)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoDaemon, err)
	}
	return b, nil
}

func ask[T any](ctx context.Context, c *Client, method, path string, query url.Values, body any) (v T, err error) {
	b, err := c.Do(ctx, method, path, query, body)
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return v, fmt.Errorf("%w: what answers at %s is no daemon of ours: %w", ErrNoDaemon, c.path, err)
	}
	return v, nil
}

// query writes a Select as a query string.
func (q *Select) query() url.Values {
	v := url.Values{}
	b, _ := json.Marshal(q)
	var m map[string]string
	json.Unmarshal(b, &m)
	for name, s := range m {
		v.Set(name, s)
	}
	return v
}

// Status asks for the daemon as a whole.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return ask[Status](ctx, c, "GET", "/v1/status", nil, nil)
}

// Sessions asks for the sessions that are meant, with counters if stats is set.
func (c *Client) Sessions(ctx context.Context, q Select, stats bool) ([]Session, error) {
	v := q.query()
	if stats {
		v.Set("stats", "")
	}
	l, err := ask[struct{ Sessions []Session }](ctx, c, "GET", "/v1/sessions", v, nil)
	return l.Sessions, err
}

// SAs asks for the Child SAs that are meant, with counters if stats is set.
func (c *Client) SAs(ctx context.Context, q Select, stats bool) ([]ChildSA, error) {
	v := q.query()
	if stats {
		v.Set("stats", "")
	}
	l, err := ask[struct{ SAs []ChildSA }](ctx, c, "GET", "/v1/sas", v, nil)
	return l.SAs, err
}

// Peers asks for the configured peers.
func (c *Client) Peers(ctx context.Context) ([]Peer, error) {
	l, err := ask[struct{ Peers []Peer }](ctx, c, "GET", "/v1/peers", nil, nil)
	return l.Peers, err
}

// Policies asks for the security policies.
func (c *Client) Policies(ctx context.Context) ([]Policy, error) {
	l, err := ask[struct{ Policies []Policy }](ctx, c, "GET", "/v1/policies", nil, nil)
	return l.Policies, err
}

// Schedule asks for what the daemon will do, soonest first.
func (c *Client) Schedule(ctx context.Context) ([]Due, error) {
	l, err := ask[struct{ Schedule []Due }](ctx, c, "GET", "/v1/schedule", nil, nil)
	return l.Schedule, err
}

// Stats asks for the daemon's counters.
func (c *Client) Stats(ctx context.Context) (Stats, error) {
	return ask[Stats](ctx, c, "GET", "/v1/stats", nil, nil)
}

// Certificate asks for the certificate of a peer.
func (c *Client) Certificate(ctx context.Context, q Select) (Certificate, error) {
	return ask[Certificate](ctx, c, "GET", "/v1/certificate", q.query(), nil)
}

// Events calls f with the last n events and, with follow, with those that come,
// until f returns an error, ctx ends or the daemon does: then it returns nil.
func (c *Client) Events(ctx context.Context, n int, follow bool, f func(Event) error) error {
	v := url.Values{"backlog": {strconv.Itoa(n)}}
	if follow {
		v.Set("follow", "")
	}
	res, err := c.do(ctx, "GET", "/v1/events", v, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	d := json.NewDecoder(res.Body)
	for {
		var e Event
		err := d.Decode(&e)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("%w: %w", ErrNoDaemon, err)
		}
		if err := f(e); err != nil {
			return err
		}
	}
}

// Establish brings up a peer or a Child SA.
func (c *Client) Establish(ctx context.Context, q EstablishRequest) (Established, error) {
	return ask[Established](ctx, c, "POST", "/v1/establish", nil, q)
}

// Delete deletes sessions or Child SAs.
func (c *Client) Delete(ctx context.Context, q Select) (Done, error) {
	return ask[Done](ctx, c, "POST", "/v1/delete", nil, q)
}

// Flush deletes all of a kind: "isakmp", "esp", "ah" or "ipsec".
func (c *Client) Flush(ctx context.Context, what string) (Done, error) {
	return ask[Done](ctx, c, "POST", "/v1/flush", nil, FlushRequest{what})
}

// Logout ends the sessions of a user.
func (c *Client) Logout(ctx context.Context, user string) (Done, error) {
	return ask[Done](ctx, c, "POST", "/v1/logout", nil, LogoutRequest{user})
}

// Rekey gives sessions or Child SAs new keys.
func (c *Client) Rekey(ctx context.Context, q RekeyRequest) (Done, error) {
	return ask[Done](ctx, c, "POST", "/v1/rekey", nil, q)
}

// Reload makes the daemon read its configuration again.
func (c *Client) Reload(ctx context.Context) (Reloaded, error) {
	return ask[Reloaded](ctx, c, "POST", "/v1/reload", nil, nil)
}

// LogLevel asks for the log level.
func (c *Client) LogLevel(ctx context.Context) (LogLevel, error) {
	return ask[LogLevel](ctx, c, "GET", "/v1/log-level", nil, nil)
}

// SetLogLevel sets it.
func (c *Client) SetLogLevel(ctx context.Context, level string) (LogLevel, error) {
	return ask[LogLevel](ctx, c, "PUT", "/v1/log-level", nil, LogLevel{level})
}

// Capture asks what decrypted messages are written to.
func (c *Client) Capture(ctx context.Context) (Capture, error) {
	return ask[Capture](ctx, c, "GET", "/v1/capture", nil, nil)
}

// StartCapture has them written to a new file in the daemon's folder.
func (c *Client) StartCapture(ctx context.Context, q CaptureRequest) (Capture, error) {
	return ask[Capture](ctx, c, "PUT", "/v1/capture", nil, q)
}

// StopCapture ends that, and says what was written.
func (c *Client) StopCapture(ctx context.Context) (Capture, error) {
	return ask[Capture](ctx, c, "DELETE", "/v1/capture", nil, nil)
}
