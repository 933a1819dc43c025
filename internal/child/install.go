package child

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// Add puts a new, larval SA into the set. Old is the SA it will replace, or
// nil; the successor continues its ID, ReqID and counters.
func (s *Set) Add(info ike.ChildInfo, cfg *Config, initiator bool, old *SA) *SA {
	a := &SA{Info: info, Config: cfg, Initiator: initiator, set: s}
	if old != nil {
		a.Info.ID, a.Info.ReqID, a.total = old.Info.ID, old.Info.ReqID, old.counts()
	}
	a.soft.Owner, a.hard.Owner = a.softExpired, a.hardExpired
	s.sas = append(s.sas, a)
	return a
}

// Install installs the inbound bundle and, unless outbound is nil, the
// outbound one, and sets the policies. All or nothing: when it fails,
// everything that was installed is removed again, the SA leaves the set, and
// done gets the error.
//
// The inbound policies of a new Child SA come first: the peer may send as soon as
// it has the keys, and where another Child SA's policies have the same packets, as
// while a session authenticates again, they would refuse what comes by this SA.
//
// With hold, the outbound bundle is kept until Activate: the responder of a
// rekey does not send on the new SA before the peer is ready (RFC 7296 2.8).
func (s *Set) Install(now time.Time, a *SA, in, out *spd.Bundle, hold bool, done func(now time.Time, err error)) {
	a.in, a.out = sadIDs(in, spd.In), sadIDs(out, spd.Out)
	plane, policies := s.plane, s.policies(a)
	owner := spd.Owner(a.Info.ID)
	outNow := out
	if hold {
		outNow, a.pending = nil, out
	}
	inIDs, outIDs := a.in, a.out
	var first []spd.Policy
	if !a.Config.NoPolicies && s.alone(a) {
		first = slices.DeleteFunc(slices.Clone(policies), func(p spd.Policy) bool { return p.Direction == spd.Out })
	}
	installed := func(v any) {
		wipe(in)
		wipe(out)
		s.removeNow(a, nil)
	}
	s.host.Job(ike.JobInstall, uint64(a.Info.ID), func(ctx context.Context) (_ any, err error) {
		var guarded bool
		defer func() {
			if err != nil && guarded {
				_ = plane.SetPolicies(ctx, owner, nil)
			}
		}()
		if len(first) > 0 {
			err = plane.SetPolicies(ctx, owner, first)
		}
		if guarded = err == nil && len(first) > 0; err == nil {
			err = plane.InstallInbound(ctx, in)
		}
		if err != nil {
			for _, id := range inIDs {
				_ = plane.ReleaseSPI(ctx, id) // the TTL ends what this cannot
			}
			return nil, err
		}
		if outNow != nil {
			if err := plane.InstallOutbound(ctx, outNow); err != nil {
				rollback(ctx, plane, inIDs)
				return nil, err
			}
		}
		if !a.Config.NoPolicies {
			if err := plane.SetPolicies(ctx, owner, policies); err != nil {
				if outNow != nil {
					rollback(ctx, plane, outIDs)
				}
				rollback(ctx, plane, inIDs)
				return nil, err
			}
		}
		return a, nil
	}, func(now time.Time, _ any, err error) {
		wipe(in)
		if !hold || err != nil {
			wipe(out)
		}
		if err != nil {
			a.in, a.out, a.pending = nil, nil, nil
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
		if hold {
			a.State = InboundOnly
		}
		s.startLifetime(now, a)
		done(now, nil)
	}, installed)
}

// alone reports whether an SA has no predecessor, whose policies serve it too.
func (s *Set) alone(a *SA) bool {
	return !slices.ContainsFunc(s.sas, func(b *SA) bool { return b != a && b.Info.ID == a.Info.ID })
}

var errRemoved = errors.New("deleted while it was installed")

// Activate installs the outbound side of an InboundOnly SA: the peer has shown
// that it uses the new SA, or has deleted the old one.
func (s *Set) Activate(now time.Time, a *SA) {
	if a.State != InboundOnly || a.pending == nil {
		return
	}
	out, plane := a.pending, s.plane
	a.pending = nil
	a.State = Mature
	s.host.Job(ike.JobInstall, uint64(a.Info.ID), func(ctx context.Context) (any, error) {
		return nil, plane.InstallOutbound(ctx, out)
	}, func(now time.Time, _ any, err error) {
		wipe(out)
		if err != nil && a.State < Deleting {
			s.host.Emit(ike.Warning{EventHeader: s.host.EventHeader(now), Err: err})
			s.host.StartDelete(now, a, ike.DownFailed)
		}
	}, func(any) { wipe(out); s.removeNow(a, nil) })
}

// Replace records that next has taken over from old: old waits for its Delete,
// sends no more, and still receives.
func (s *Set) Replace(now time.Time, old, next *SA) {
	old.Successor, old.replaced = next, now
	if old.State < Replaced {
		old.State = Replaced
	}
	s.host.StopTimer(&old.soft)
	next.total = old.counts()
	next.total.ending = false
}

// startLifetime arms the soft and the hard timer.
func (s *Set) startLifetime(now time.Time, a *SA) {
	if a.Config.Rekey > 0 && !a.Config.NoRekey {
		s.host.SetTimer(&a.soft, now.Add(s.host.Jitter(a.Config.Rekey, a.Config.Jitter)))
	}
	if a.Config.Lifetime > 0 {
		s.host.SetTimer(&a.hard, now.Add(a.Config.Lifetime))
	}
}

// policies are those of the SA's selectors: each pair of a local and a remote
// one, outbound and inbound. While an SA is being replaced by one with other
// selectors, both have theirs.
func (s *Set) policies(a *SA) []spd.Policy {
	p := make([]spd.Policy, 0, 2*len(a.Info.LocalTS)*len(a.Info.RemoteTS))
	for _, b := range s.sas {
		if b.Info.ID == a.Info.ID && (b == a || b.State == Mature || b.State == Replaced) {
			p = s.appendPolicies(p, b)
		}
	}
	return p
}

// ends are the outer addresses of a. One that sends no more, or not yet, has
// those of its relatives: all go the same way.
func (s *Set) ends(a *SA) (local, remote netip.Addr) {
	take := func(b *SA) {
		if len(b.in) > 0 {
			local = b.in[0].Dst
		}
		if len(b.out) > 0 {
			remote = b.out[0].Dst
		}
	}
	for _, b := range s.sas {
		if b.Info.ID == a.Info.ID {
			take(b)
		}
	}
	take(a)
	return local, remote
}

func (s *Set) appendPolicies(dst []spd.Policy, a *SA) []spd.Policy {
	local, remote := s.ends(a)
	for _, l := range a.Info.LocalTS {
		for _, r := range a.Info.RemoteTS {
			if l.First.Is4() != r.First.Is4() || l.Protocol != r.Protocol && l.Protocol != 0 && r.Protocol != 0 {
				continue
			}
			out := spd.Policy{Direction: spd.Out, Selector: spd.Selector{Local: l, Remote: r}, Action: spd.ActionProtect,
				Priority: a.Config.Priority, ReqID: a.Info.ReqID, Protocol: a.Info.Protocol, Mode: a.Info.Mode, Local: local, Remote: remote}
			out.InterfaceID = a.Config.InterfaceID
			in := out
			in.Direction = spd.In
			out.Mark, in.Mark = a.Config.MarkOut, a.Config.MarkIn
			if !s.silent {
				dst = append(dst, out)
			}
			dst = append(dst, in)
		}
	}
	return dst
}

func sadIDs(b *spd.Bundle, dir spd.Direction) []spd.SAID {
	if b == nil {
		return nil
	}
	dst := b.Local.Addr()
	mark := b.Options.MarkIn
	if dir == spd.Out {
		dst, mark = b.Remote.Addr(), b.Options.MarkOut
	}
	ids := make([]spd.SAID, len(b.SAs))
	for i, sa := range b.SAs {
		ids[i] = spd.SAID{Direction: dir, Protocol: sa.Protocol, SPI: sa.SPI, Dst: dst, Mark: mark}
	}
	return ids
}

func wipe(b *spd.Bundle) {
	if b == nil {
		return
	}
	for i := range b.SAs {
		b.SAs[i].EncrKey.Wipe()
		b.SAs[i].IntegKey.Wipe()
	}
}

func rollback(ctx context.Context, plane spd.DataPlane, ids []spd.SAID) {
	for _, id := range ids {
		_, _ = plane.Remove(ctx, id) // what is not there need not go
	}
}
