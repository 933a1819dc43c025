package ikev1

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/spd"
)

// accounting is what UserAccounting is told about the session of a user.
type accounting struct {
	to      ike.UserAccounting
	started bool
	timer   child.Timer
	in, out spd.Counters // of the Child SAs that have ended
}

// accountWait is how long the start record waits for the client's addresses.
const accountWait = 10 * time.Second

var errSessionTimeout = errors.New("the user's time is over")

// userUp begins what the session of a user has besides: its time, and the
// accounting.
func (s *session) userUp(now time.Time, sa *isakmpSA) {
	if s.user == nil || s.Dead {
		return
	}
	s.limitUser(now)
	to := ike.Accounting(s.peer.Users)
	if to == nil {
		return
	}
	s.account = &accounting{to: to}
	s.account.timer.Owner = s.startAccounting
	if s.servesConfig(sa) && s.Leased == nil {
		s.ep.SetTimer(&s.account.timer, now.Add(accountWait))
		return
	}
	s.startAccounting(now)
}

// limitUser arms the end of the session that the authenticator wants.
func (s *session) limitUser(now time.Time) {
	if d := s.user.SessionTimeout; d > 0 {
		s.userTimer.Owner = func(now time.Time) { s.delete(now, ike.DownExpired, errSessionTimeout) }
		s.ep.SetTimer(&s.userTimer, now.Add(d))
	}
}

// renewedUser: the user has logged in again, on an ISAKMP SA that takes over.
func (s *session) renewedUser(now time.Time, u *ike.UserAccepted) {
	s.user = u
	s.ep.StopTimer(&s.userTimer)
	s.limitUser(now)
}

// startAccounting sends the start record, once.
func (s *session) startAccounting(now time.Time) {
	a := s.account
	if a == nil || a.started {
		return
	}
	a.started = true
	s.record(now, ike.AccountingRecord{Kind: ike.AccountingStart})
	a.timer.Owner = s.interim
	s.ep.StopTimer(&a.timer)
	if d := s.user.Interim; d > 0 {
		s.ep.SetTimer(&a.timer, now.Add(d))
	}
}

// interim sends the counters of the running session.
func (s *session) interim(now time.Time) {
	a, plane := s.account, s.ep.cfg.DataPlane
	in, out := a.in, a.out
	var inSAs, outSAs []spd.SAID
	counted := make(map[ike.ChildID]bool)
	for _, c := range s.Children.All() {
		if !counted[c.Info.ID] { // SAs of one Child share the sum of those before them
			counted[c.Info.ID] = true
			formerIn, formerOut := c.Counted()
			in, out = in.Add(formerIn), out.Add(formerOut)
		}
		i, o := c.SAIDs()
		inSAs, outSAs = append(inSAs, outermost(i)...), append(outSAs, outermost(o)...)
	}
	s.Job(ike.JobQuery, 0, func(ctx context.Context) (any, error) {
		sum := [2]spd.Counters{in, out}
		for i, ids := range [2][]spd.SAID{inSAs, outSAs} {
			for _, id := range ids {
				if c, err := plane.Query(ctx, id); err == nil {
					sum[i] = sum[i].Add(c)
				}
			}
		}
		return sum, nil
	}, func(now time.Time, v any, _ error) {
		sum, _ := v.([2]spd.Counters)
		s.record(now, ike.AccountingRecord{Kind: ike.AccountingInterim, Duration: now.Sub(s.Established), In: sum[0], Out: sum[1]})
		s.ep.SetTimer(&a.timer, now.Add(s.user.Interim))
	}, nil)
}

// outermost is the SA of a bundle whose counters count.
func outermost(ids []spd.SAID) []spd.SAID { return ids[max(len(ids)-1, 0):] }

// stopAccounting sends the stop record. The counters are final.
func (s *session) stopAccounting(now time.Time, reason ike.DownReason) {
	a := s.account
	if a == nil {
		return
	}
	s.startAccounting(now)
	s.record(now, ike.AccountingRecord{Kind: ike.AccountingStop, Duration: now.Sub(s.Established), In: a.in, Out: a.out, Reason: reason})
	s.ep.StopTimer(&a.timer)
	s.account = nil
}

// record tells it. Records of a session are told in order.
func (s *session) record(now time.Time, r ike.AccountingRecord) {
	to := s.account.to
	r.Time, r.Session, r.Peer, r.Path, r.RemoteID = now, s.ID, s.Name, s.Path, s.RemoteID
	r.User, r.Class, r.Addresses = s.user.User, s.user.Class, s.leasedAddresses()
	const ordered = 1 << 55 // apart from the numbers of Child SAs
	s.Cleanup(ike.JobAccount, uint64(s.ID)|ordered, func(ctx context.Context) (any, error) {
		return nil, to.Account(ctx, r)
	}, func(now time.Time, _ any, err error) {
		if err != nil {
			s.Warn(now, fmt.Errorf("%v record of user %q: %w", r.Kind, textOf([]byte(r.User), maxText, false), err))
		}
	})
}

func (s *session) leasedAddresses() (out []netip.Addr) {
	if s.Network == nil {
		return nil
	}
	for _, p := range s.Network.Addresses {
		out = append(out, p.Addr())
	}
	return out
}

// Emit implements child.Host: what Child SAs have counted when they end goes
// into the accounting.
func (s *session) Emit(e ike.Event) {
	if down, ok := e.(ike.ChildDown); ok && s.account != nil {
		s.account.in, s.account.out = s.account.in.Add(down.In), s.account.out.Add(down.Out)
	}
	s.Session.Emit(e)
}
