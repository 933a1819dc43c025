package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"github.com/racoon3/racoon"
)

func (s *server) delete(ctx context.Context, q *Select) (any, error) {
	if s.Manager == nil {
		return nil, unsupported("sessions")
	}
	if q.empty() {
		return nil, badRequest("it is not said what to delete; a flush deletes everything")
	}
	sel, err := q.parse()
	if err != nil {
		return nil, err
	}
	calls := s.giveUp(ctx, sel)
	list := s.choose(sel)
	if len(list) == 0 && calls == 0 {
		return nil, notFound("no session or Child SA is like that")
	}
	return s.deleteAll(ctx, list, calls), nil
}

// giveUp ends the calls under way that are meant, so that what they have brought
// up until then is there to be deleted.
func (s *server) giveUp(ctx context.Context, q *selection) int {
	ctx, cancel := context.WithTimeout(ctx, s.limits.Delete)
	defer cancel()
	return s.calls.giveUp(ctx, q)
}

func (s *server) flush(ctx context.Context, q *FlushRequest) (any, error) {
	if s.Manager == nil {
		return nil, unsupported("sessions")
	}
	var list []chosen
	calls := 0
	switch q.What {
	case "isakmp":
		calls = s.giveUp(ctx, &selection{})
		list = s.choose(&selection{})
	case "esp", "ah":
		list = s.choose(&selection{Select: Select{Protocol: q.What}})
	case "ipsec":
		list = append(s.choose(&selection{Select: Select{Protocol: "esp"}}), s.choose(&selection{Select: Select{Protocol: "ah"}})...)
	default:
		return nil, badRequest("%q cannot be flushed; isakmp, esp, ah and ipsec can", q.What)
	}
	return s.deleteAll(ctx, list, calls), nil
}

func (s *server) logout(ctx context.Context, q *LogoutRequest) (any, error) {
	if s.Manager == nil {
		return nil, unsupported("sessions")
	}
	if q.User == "" {
		return nil, badRequest("it is not said which user")
	}
	user := &selection{Select: Select{User: q.User}}
	calls := s.giveUp(ctx, user)
	list := s.choose(user)
	if len(list) == 0 && calls == 0 {
		return nil, notFound("user %q has no session", q.User)
	}
	return s.deleteAll(ctx, list, calls), nil
}

// deleteAll deletes sessions, or the Child SAs of them that are chosen. All
// peers are told before any is waited for, and those that do not answer are not
// waited for long.
func (s *server) deleteAll(ctx context.Context, list []chosen, calls int) *Done {
	wait, cancel := context.WithTimeout(ctx, s.limits.Delete)
	defer cancel()
	done := &Done{Calls: calls}
	var whole []*racoon.Session
	var parts []func() error
	for _, c := range list {
		if len(c.children) == 0 {
			if err := c.session.BeginDelete(ctx); err != nil {
				done.fail(c.session, err)
				continue
			}
			s.users.forget(c.session.Peer())
			whole = append(whole, c.session)
			continue
		}
		for _, ch := range c.children {
			parts = append(parts, func() error { return named(c.session, c.session.DeleteChild(wait, ch.ID)) })
		}
	}
	errs := concurrently(parts)
	for _, session := range whole {
		select {
		case <-session.Done():
			done.Sessions++
		case <-wait.Done():
			done.Sessions++
			done.Pending++
		}
	}
	for _, err := range errs {
		switch {
		case err == nil, errors.Is(err, racoon.ErrSessionEnded):
			done.Children++
		case errors.Is(err, context.DeadlineExceeded):
			done.Children++
			done.Pending++
		default:
			done.addError(err)
		}
	}
	return done
}

func (s *server) rekey(ctx context.Context, q *RekeyRequest) (any, error) {
	if s.Manager == nil {
		return nil, unsupported("sessions")
	}
	if q.empty() {
		return nil, badRequest("it is not said what to rekey")
	}
	sel, err := q.parse()
	if err != nil {
		return nil, err
	}
	list := s.choose(sel)
	if len(list) == 0 {
		return nil, notFound("no session or Child SA is like that")
	}
	if q.Reauthenticate && sel.ofChildren() {
		return nil, badRequest("a Child SA cannot be reauthenticated; its session can")
	}
	done := new(Done)
	var work []func() error
	for _, c := range list {
		switch {
		case q.Reauthenticate:
			work = append(work, func() error { return named(c.session, c.session.Reauthenticate(ctx)) })
		case len(c.children) == 0:
			work = append(work, func() error { return named(c.session, c.session.Rekey(ctx)) })
		}
		if len(c.children) == 0 {
			done.Sessions++
			continue
		}
		for _, ch := range c.children {
			done.Children++
			work = append(work, func() error { return named(c.session, c.session.RekeyChild(ctx, ch.ID)) })
		}
	}
	errs := errors.Join(concurrently(work)...)
	if errs != nil && len(work) == 1 {
		return nil, errs
	}
	if list, ok := errs.(interface{ Unwrap() []error }); ok {
		for _, err := range list.Unwrap() {
			done.addError(err)
		}
	}
	return done, nil
}

func named(s *racoon.Session, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("peer %q session %d: %w", s.Peer(), uint64(s.ID()), err)
}

func (d *Done) fail(s *racoon.Session, err error) { d.addError(named(s, err)) }

// addError keeps the first errors.
func (d *Done) addError(err error) {
	if len(d.Errors) < 64 {
		d.Errors = append(d.Errors, err.Error())
	}
}

// concurrently runs functions, at most 64 at a time, and returns their errors.
func concurrently(work []func() error) []error {
	errs := make([]error, len(work))
	var wg sync.WaitGroup
	slots := make(chan struct{}, 64)
	for i, f := range work {
		slots <- struct{}{}
		wg.Go(func() {
			errs[i] = f()
			<-slots
		})
	}
	wg.Wait()
	return errs
}

func (s *server) reload(ctx context.Context, _ *struct{}) (any, error) {
	if s.Reload == nil {
		return nil, unsupported("reload")
	}
	changes, err := s.Reload(ctx)
	if err != nil {
		return nil, err
	}
	return describeChanges(changes), nil
}

func (s *server) logLevel(*http.Request) (any, error) {
	if s.LogLevel == nil {
		return nil, unsupported("log level that can change")
	}
	return LogLevel{levelText(s.LogLevel.Level())}, nil
}

func (s *server) setLogLevel(_ context.Context, q *LogLevel) (any, error) {
	if s.LogLevel == nil {
		return nil, unsupported("log level that can change")
	}
	var l slog.Level
	if err := l.UnmarshalText([]byte(q.Level)); err != nil {
		return nil, badRequest("level: %q is none of error, warn, info and debug", q.Level)
	}
	s.LogLevel.Set(l)
	return LogLevel{levelText(l)}, nil
}

func levelText(l slog.Level) string { return strings.ToLower(l.String()) }
