package daemon

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/racoon3/racoon/internal/conf"
	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/spd/statefile"
)

// policies are those of [policy.NAME], which stand whether a peer is up or not.
type policies struct {
	log   *slog.Logger
	db    *spd.Database
	store *statefile.File // nil: nothing is remembered
}

// newPolicies takes up those that a predecessor has left, and installs those of
// the configuration.
func newPolicies(ctx context.Context, cfg *conf.Config, p *plane, state, name string, log *slog.Logger) (_ *policies, err error) {
	s := &policies{log: log}
	dc := spd.DatabaseConfig{DataPlane: p.DataPlane, Logger: log}
	if p.kernel != nil {
		dc.DataPlane = p.kernel
	}
	if p.remembered != nil {
		if err := os.MkdirAll(state, 0o755); err != nil {
			return nil, err
		}
		if s.store, err = statefile.Open(filepath.Join(state, name+".rules")); err != nil {
			return nil, err
		}
		dc.Store = s.store
	}
	s.db = spd.NewDatabase(dc)
	if s.store != nil {
		if _, err = s.db.Restore(ctx); err != nil {
			return nil, errors.Join(err, s.close(ctx))
		}
	}
	if err = s.declare(ctx, cfg); err == nil && s.store != nil {
		err = s.db.DropOrphans(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.close(ctx))
	}
	return s, nil
}

// declare installs the policies of a configuration in the place of those
// before. After an error those before stand.
func (s *policies) declare(ctx context.Context, cfg *conf.Config) error {
	if s == nil {
		return nil
	}
	rules := cfg.Rules(nil)
	there := make(map[string]bool, len(rules))
	for i := range rules {
		there[rules[i].Name] = true
	}
	for _, p := range cfg.Policies {
		if p.Install && !there[p.Name] {
			s.log.Warn("the policy selects by host names, which spmd follows; it is not installed", "policy", p.Name)
		}
	}
	return s.db.Declare(ctx, rules)
}

// unique returns the policies that want SAs of their own ReqID.
func (s *policies) unique() (list []spd.Policy) {
	if s == nil {
		return nil
	}
	for _, r := range s.db.Rules() {
		if r.ReqID == 0 {
			continue
		}
		ps, _ := r.Policies() // they are installed
		list = append(list, ps...)
	}
	return list
}

func (s *policies) close(ctx context.Context) error {
	if s == nil {
		return nil
	}
	err := s.db.Close(ctx, false)
	if s.store != nil {
		err = errors.Join(err, s.store.Close())
	}
	return err
}
