package control

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// A Daemon is what the control socket speaks for. What is nil is answered with
// CodeUnsupported. The fields are set before Serve and not changed; the methods
// may be called by several goroutines at once. It must not be copied.
type Daemon struct {
	Name, Version string
	Manager       *racoon.Manager

	// Reload reads the configuration again and gives it to the Manager.
	Reload func(ctx context.Context) ([]racoon.Change, error)
	// Policies lists the policies that are in force, by whomever.
	Policies func(ctx context.Context) ([]spd.Policy, error)
	// Recorder writes decrypted messages to files.
	Recorder Recorder
	// LogLevel is the level of the daemon's log.
	LogLevel *slog.LevelVar
	// Logger gets who has ordered what; nil discards it.
	Logger *slog.Logger
	// Limits bound what callers can make the daemon do; zero fields have
	// defaults.
	Limits Limits

	users        users
	calls        calls
	certificates certificates
	journal      journal
	started      time.Time
}

// Limits bound what callers can make the daemon do.
type Limits struct {
	// Connections at a time, default 64. One user other than root and the
	// daemon's own has three quarters of them at most.
	Connections int
	// Body of a request in octets, default 64 KiB.
	Body int64
	// Request is how long a request may take to arrive, and a response to be
	// read, default 10 s.
	Request time.Duration
	// Operation is how long an order is waited for, default 2 min.
	Operation time.Duration
	// Delete is how long it is waited for a peer to answer a Delete, default 5 s.
	// It goes on without being waited for.
	Delete time.Duration
}

func (l Limits) withDefaults() Limits {
	def := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	if l.Connections <= 0 {
		l.Connections = 64
	}
	if l.Body <= 0 {
		l.Body = 64 << 10
	}
	def(&l.Request, 10*time.Second)
	def(&l.Operation, 2*time.Minute)
	def(&l.Delete, 5*time.Second)
	return l
}

// Authorize returns an Authorize callback for the Manager's configuration that
// remembers the certificates of the peers that next admits, for as long as their
// sessions live. nil admits them all.
func (d *Daemon) Authorize(next ike.Authorize) ike.Authorize {
	return func(ctx context.Context, r ike.AuthorizeRequest) error {
		if next != nil {
			if err := next(ctx, r); err != nil {
				return err
			}
		}
		d.certificates.put(r.Session, r.Certificates, time.Now())
		return nil
	}
}

// UserPrompt returns a UserPrompt for the configuration of a peer, which
// answers the gateway with what a caller has given with EstablishRequest.User
// and Password. With none it asks fallback; if that is nil too, the login fails
// and says so.
func (d *Daemon) UserPrompt(fallback ike.UserPrompter) ike.UserPrompter {
	return func(ctx context.Context, r ike.PromptRequest) (ike.UserAnswers, error) {
		return d.users.answer(ctx, r, fallback)
	}
}

// watch follows the events until ctx ends.
func (d *Daemon) watch(events <-chan ike.Event) {
	for ev := range events {
		switch ev := ev.(type) {
		case ike.SessionDown:
			d.certificates.remove(ev.Session)
			switch ev.Reason {
			case ike.DownReauth, ike.DownReplaced, ike.DownDead, ike.DownExpired:
				// It comes back by itself, perhaps.
			default:
				d.users.forget(ev.Peer)
			}
		case ike.SessionFailed:
			d.certificates.remove(ev.Session)
		}
		d.journal.add(ev)
	}
	d.journal.close()
}

// certificates are those of the peers' sessions.
type certificates struct {
	mu    sync.Mutex
	chain map[ike.SessionID]proof
}

type proof struct {
	chain [][]byte
	at    time.Time
}

// proofTime is how long a handshake may take after its authorization.
const proofTime = time.Minute

func (c *certificates) put(id ike.SessionID, chain [][]byte, now time.Time) {
	if len(chain) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.chain == nil {
		c.chain = make(map[ike.SessionID]proof)
	}
	kept := make([][]byte, len(chain))
	for i, der := range chain {
		kept[i] = append([]byte(nil), der...) // not the message around it
	}
	c.chain[id] = proof{kept, now}
}

func (c *certificates) remove(id ike.SessionID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.chain, id)
}

func (c *certificates) get(id ike.SessionID) [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.chain[id].chain
}

// prune forgets the sessions that are not there: their end was not told, because
// they never came up or the event was lost.
func (c *certificates) prune(now time.Time, there func(ike.SessionID) bool) {
	c.mu.Lock()
	var old []ike.SessionID
	for id, p := range c.chain {
		if now.Sub(p.at) > proofTime {
			old = append(old, id)
		}
	}
	c.mu.Unlock()
	for _, id := range old {
		if !there(id) {
			c.remove(id)
		}
	}
}
