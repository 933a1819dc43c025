package control

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
)

// server serves one Daemon.
type server struct {
	*Daemon
	limits Limits
	log    *slog.Logger
	ctx    context.Context // ends with the server
	busy   chan struct{}   // orders that nobody waits for
	wg     sync.WaitGroup
}

// maxUnattended is how many orders may be under way that nobody waits for.
const maxUnattended = 64

// Serve answers callers until ctx ends; then it closes the listener and returns
// nil. It gives those who are being answered a moment. An error is one of the
// listener. Only one Serve may run for a Daemon.
func (d *Daemon) Serve(ctx context.Context, l *Listener) error {
	defer l.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &server{Daemon: d, limits: d.Limits.withDefaults(), log: d.Logger, ctx: ctx, busy: make(chan struct{}, maxUnattended)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	d.started = time.Now()
	if d.Manager != nil {
		events := d.Manager.Subscribe(ctx)
		s.wg.Go(func() { d.watch(events) })
		s.wg.Go(s.pruneEvery)
	}
	h := &http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: s.limits.Request / 2,
		ReadTimeout:       s.limits.Request,
		IdleTimeout:       3 * s.limits.Request,
		MaxHeaderBytes:    8 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, callerKey{}, c.(*connection).caller)
		},
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		<-ctx.Done()
		short, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if h.Shutdown(short) != nil {
			h.Close()
		}
	}()
	s.log.Info("control socket", "path", l.Addr().String())
	err := h.Serve(newLimited(l, s.limits, s.log))
	ended := ctx.Err() != nil
	cancel()
	<-closed
	s.wg.Wait()
	d.users.forgetAll()
	if ended && errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// pruneEvery keeps the certificates of sessions that never came up from
// collecting.
func (s *server) pruneEvery() {
	t := time.NewTicker(proofTime)
	defer t.Stop()
	for {
		select {
		case now := <-t.C:
			s.certificates.prune(now, func(id ike.SessionID) bool { return s.Manager.Session(id) != nil })
		case <-s.ctx.Done():
			return
		}
	}
}

type callerKey struct{}

// routes are the interface.
func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	get := func(path string, f func(r *http.Request) (any, error)) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			s.respond(w, r, func() (any, error) { return f(r) })
		})
	}
	get("/v1/status", s.status)
	get("/v1/sessions", s.sessions)
	get("/v1/sas", s.sas)
	get("/v1/peers", s.peers)
	get("/v1/policies", s.policies)
	get("/v1/schedule", s.schedule)
	get("/v1/stats", s.stats)
	get("/v1/certificate", s.certificate)
	get("/v1/log-level", s.logLevel)
	get("/v1/capture", s.capture)
	mux.HandleFunc("GET /v1/events", s.events)
	order(s, mux, "POST /v1/establish", s.establish)
	order(s, mux, "POST /v1/delete", s.delete)
	order(s, mux, "POST /v1/flush", s.flush)
	order(s, mux, "POST /v1/logout", s.logout)
	order(s, mux, "POST /v1/rekey", s.rekey)
	order(s, mux, "POST /v1/reload", s.reload)
	order(s, mux, "PUT /v1/log-level", s.setLogLevel)
	order(s, mux, "PUT /v1/capture", s.startCapture)
	order(s, mux, "DELETE /v1/capture", s.stopCapture)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.respond(w, r, func() (any, error) {
			return nil, notFound("%s %s is no request of this interface", r.Method, r.URL.Path)
		})
	})
	return mux
}

// order adds a request with a body to a mux.
func order[T any](s *server, mux *http.ServeMux, pattern string, f func(ctx context.Context, q *T) (any, error)) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		s.respond(w, r, func() (any, error) {
			q := new(T)
			if r.ContentLength > s.limits.Body {
				return nil, errTooLong
			}
			if err := decode(http.MaxBytesReader(w, r.Body, s.limits.Body), q); err != nil {
				return nil, err
			}
			unlimited(w)
			if c, ok := r.Context().Value(callerKey{}).(*Caller); ok {
				s.log.Info("ordered through the control socket", "what", strings.TrimPrefix(r.URL.Path, "/v1/"), "uid", c.UID, "pid", c.PID)
			}
			ctx, cancel := context.WithTimeout(r.Context(), s.limits.Operation)
			defer cancel()
			return f(ctx, q)
		})
	})
}

// unlimited lifts the deadline by which the request has to be there: it is, and
// the server now reads only to notice that the caller has gone.
func unlimited(w http.ResponseWriter) { http.NewResponseController(w).SetReadDeadline(time.Time{}) }

// decode reads a body that is one JSON object with known fields. An empty one
// is an empty object.
func decode(body io.Reader, v any) error {
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the JSON object")
			if tooLong := new(http.MaxBytesError); errors.As(more, &tooLong) {
				err = more
			}
		}
	}
	if tooLong := new(http.MaxBytesError); errors.As(err, &tooLong) {
		return errTooLong
	}
	if err != nil {
		return badRequest("the body is not what is expected: %v", err)
	}
	return nil
}

// respond answers with what f returns, as JSON.
func (s *server) respond(w http.ResponseWriter, r *http.Request, f func() (any, error)) {
	if r.Method == http.MethodGet {
		unlimited(w)
	}
	v, err := f()
	status := http.StatusOK
	if err != nil {
		e := errorOf(err)
		v, status = e, e.Status
	}
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.limits.Request))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.Encode(v)
}

// errorOf makes an Error of what has gone wrong.
func errorOf(err error) *Error {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e
	}
	e := &Error{Status: http.StatusUnprocessableEntity, Code: CodeFailed, Message: err.Error()}
	switch {
	case errors.Is(err, racoon.ErrNoPeer), errors.Is(err, racoon.ErrNoChild), errors.Is(err, racoon.ErrSessionEnded):
		e.Status, e.Code = http.StatusNotFound, CodeNotFound
	case errors.Is(err, racoon.ErrBusy), errors.Is(err, racoon.ErrClosed):
		e.Status, e.Code = http.StatusServiceUnavailable, CodeBusy
	case errors.Is(err, context.DeadlineExceeded):
		e.Status, e.Code = http.StatusGatewayTimeout, CodeTimeout
	}
	return e
}
