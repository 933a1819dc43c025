package daemon

import (
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/conf"
	"github.com/racoon3/racoon/internal/hook"
)

var hookStyles = map[string]hook.Style{"native": hook.StyleNative, "racoon": hook.StyleRacoon, "racoon2": hook.StyleRacoon2}

var hookEvents = []hook.Event{hook.SessionUp, hook.SessionDown, hook.SessionDead, hook.SessionRekey, hook.ChildUp, hook.ChildDown, hook.ChildRekey, hook.Migration}

// newHooks returns what runs the scripts of the configuration that is current
// when something happens.
func newHooks(cfg *conf.Config, current *atomic.Pointer[conf.Config], known func(ike.SessionID) bool, log *slog.Logger) (*hook.Runner, error) {
	return hook.New(hook.Config{
		ScriptOf: func(peer string, e hook.Event) string {
			s := current.Load().HooksOf(peer)
			return s.Of(string(e))
		},
		Style: hookStyles[cfg.Hooks.Environment], Timeout: cfg.Hooks.Timeout.D(), Parallel: cfg.Hooks.Parallel, Queue: cfg.Hooks.Queue,
		Known: known, Logger: log,
	})
}

// checkHooks reports the first script that cannot be run.
func checkHooks(cfg *conf.Config) error {
	check := func(where string, s conf.Scripts) error {
		for _, e := range hookEvents {
			if path := s.Of(string(e)); path != "" {
				if err := hook.Check(path); err != nil {
					return fmt.Errorf("%s.%s: %w", where, e, err)
				}
			}
		}
		return nil
	}
	if err := check("hooks", cfg.Hooks.Scripts); err != nil {
		return err
	}
	for _, p := range cfg.Peers {
		if err := check(fmt.Sprintf("peer.%s.hooks", p.Name), p.Hooks); err != nil {
			return err
		}
	}
	return nil
}
