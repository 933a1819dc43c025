package daemon

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"

	"github.com/racoon3/racoon"
)

// questions asks peers for a sign of life when somebody wants to know.
type questions struct {
	m      *racoon.Manager
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelFunc
	busy   sync.Mutex // while peers without a session are being asked
	wg     sync.WaitGroup
}

// questionsAtOnce is how many peers without a session are asked at the same time.
const questionsAtOnce = 32

func newQuestions(ctx context.Context, m *racoon.Manager, log *slog.Logger) *questions {
	q := &questions{m: m, log: log}
	q.ctx, q.cancel = context.WithCancel(ctx)
	return q
}

func (q *questions) end() {
	q.cancel()
	q.wg.Wait()
}

// ask asks every peer that there is a session with: what does not answer ends as
// it does when the daemon asks by itself. With KINK, which needs no session for
// it, every peer that can be called is asked; one question at a time.
func (q *questions) ask() {
	q.wg.Go(func() {
		sessions, up := 0, make(map[string]bool)
		for s := range q.m.Sessions() {
			if !s.Up() {
				continue
			}
			err := s.CheckLiveness(q.ctx)
			switch {
			case err == nil:
				sessions++
				up[s.Peer()] = true
			case !errors.Is(err, racoon.ErrSessionEnded):
				q.log.Warn("cannot ask a peer for a sign of life", "peer", s.Peer(), "err", err)
			}
		}
		peers, err := q.m.PeerStatus(q.ctx)
		if err != nil {
			return // told to end
		}
		peers = slices.DeleteFunc(peers, func(p racoon.PeerStatus) bool {
			return p.Remote == "" || up[p.Name] || !slices.Contains(p.Versions, racoon.KINK)
		})
		if !q.busy.TryLock() {
			q.log.Info("peers are asked for a sign of life; those without a session are being asked already", "sessions", sessions)
			return
		}
		defer q.busy.Unlock()
		q.log.Info("peers are asked for a sign of life", "sessions", sessions, "without-session", len(peers))
		var asked sync.WaitGroup
		limit := make(chan struct{}, questionsAtOnce)
		for _, p := range peers {
			limit <- struct{}{}
			asked.Go(func() {
				defer func() { <-limit }()
				if err := q.m.Ask(q.ctx, p.Name); err != nil && q.ctx.Err() == nil {
					q.log.Warn("the peer gives no sign of life", "peer", p.Name, "err", err)
				}
			})
		}
		asked.Wait()
	})
}
