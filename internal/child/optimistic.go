package child

import (
	"context"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// InstallInbound installs the inbound side of a larval SA before the peer has
// chosen, on the expectation that it takes what was offered first (RFC 4430
// 3.2). Complete follows, or Discard. When it fails, the SA leaves the set.
func (s *Set) InstallInbound(now time.Time, a *SA, in *spd.Bundle, done func(now time.Time, err error)) {
	a.in = sadIDs(in, spd.In)
	plane, ids := s.plane, a.in
	s.host.Job(ike.JobInstall, uint64(a.Info.ID), func(ctx context.Context) (any, error) {
		err := plane.InstallInbound(ctx, in)
		if err != nil {
			for _, id := range ids {
				_ = plane.ReleaseSPI(ctx, id) // the TTL ends what this cannot
			}
		}
		return a, err
	}, func(now time.Time, _ any, err error) {
		wipe(in)
		if err != nil {
			a.in = nil
			s.drop(now, a)
			s.removeNow(a, nil)
		} else if a.State == Gone {
			err = errRemoved
		}
		done(now, err)
	}, func(any) { wipe(in); s.removeNow(a, nil) })
}

// Complete makes an SA mature whose inbound side is installed: with the outbound
// side and the policies, and, unless in is nil, with another inbound side
// instead. Keys are immutable, so the first one is removed. All or nothing: when
// it fails, the SA leaves the set and done gets the error.
func (s *Set) Complete(now time.Time, a *SA, in, out *spd.Bundle, done func(now time.Time, err error)) {
	plane, owner, old := s.plane, spd.Owner(a.Info.ID), a.in
	if in != nil {
		a.in = sadIDs(in, spd.In)
	}
	a.out = sadIDs(out, spd.Out)
	policies, inIDs, outIDs := s.policies(a), a.in, a.out
	s.host.Job(ike.JobInstall, uint64(a.Info.ID), func(ctx context.Context) (any, error) {
		if in != nil {
			rollback(ctx, plane, old)
			if err := plane.InstallInbound(ctx, in); err != nil {
				return nil, err
			}
		}
		err := plane.InstallOutbound(ctx, out)
		if err == nil && !a.Config.NoPolicies {
			if err = plane.SetPolicies(ctx, owner, policies); err != nil {
				rollback(ctx, plane, outIDs)
			}
		}
		if err != nil {
			rollback(ctx, plane, inIDs)
			return nil, err
		}
		return a, nil
	}, func(now time.Time, _ any, err error) {
		wipe(in)
		wipe(out)
		if err != nil {
			a.in, a.out = nil, nil
			s.drop(now, a)
			s.removeNow(a, nil) // policies that a removal meanwhile has set for it
			done(now, err)
			return
		}
		if a.State == Gone { // deleted by the peer meanwhile; its removal follows in order
			done(now, errRemoved)
			return
		}
		a.Info.Installed = now
		a.State = Mature
		s.startLifetime(now, a)
		done(now, nil)
	}, func(any) { wipe(in); wipe(out); s.removeNow(a, nil) })
}
