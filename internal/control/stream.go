package control

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// events answers with lines of JSON: the last events, and with follow those
// that come, until the caller goes.
func (s *server) events(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	n := backlog
	if v := q.Get("backlog"); v != "" {
		var err error
		if n, err = strconv.Atoi(v); err != nil || n < 0 {
			s.respond(w, r, func() (any, error) { return nil, badRequest("backlog: %q is no number of events", v) })
			return
		}
	}
	if s.Manager == nil {
		s.respond(w, r, func() (any, error) { return nil, unsupported("events") })
		return
	}
	var past []Event
	var f *follower
	if q.Has("follow") {
		if past, f = s.journal.follow(n); f == nil {
			s.respond(w, r, func() (any, error) {
				return nil, &Error{Status: http.StatusServiceUnavailable, Code: CodeBusy, Message: "too many callers follow the events"}
			})
			return
		}
		defer s.journal.unfollow(f)
	} else {
		past = s.journal.last(n)
	}
	unlimited(w)
	rc := http.NewResponseController(w)
	w.Header().Set("Content-Type", "application/x-ndjson")
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	send := func(events ...Event) bool {
		rc.SetWriteDeadline(time.Now().Add(s.limits.Request))
		for _, e := range events {
			if enc.Encode(e) != nil {
				return false
			}
		}
		return rc.Flush() == nil
	}
	if !send(past...) || f == nil {
		return
	}
	// The end of the response has as long as an event, however long ago the last
	// one was: without it the caller would think that the daemon has crashed.
	defer func() { rc.SetWriteDeadline(time.Now().Add(s.limits.Request)) }()
	for {
		select {
		case e, ok := <-f.ch:
			if !ok || !send(e) {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}
