package ikev1

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/spd"
)

// again begins anew under the session's ISAKMP SA, if the one that it ran under
// has gone and another one stands.
func (q *quickMode) again(now time.Time, err error) {
	s := q.s
	if s.Dead || s.current == nil || q.retried {
		q.failed(now, err)
		return
	}
	q.retried = true
	q.anew(now, err)
}

// anew begins the same again.
func (q *quickMode) anew(now time.Time, err error) {
	s := q.s
	n := s.newQuickMode(q.cfg)
	n.old, n.pair, n.packet, n.acquire, n.retried, n.attempt = q.old, q.pair, q.packet, q.acquire, q.retried, q.attempt
	q.acquire = 0
	q.give(now, err)
	s.do(now, n.errand())
}

// anotherGroup begins again with the next of the configured groups, if the peer
// has refused this one's proposals.
func (q *quickMode) anotherGroup(now time.Time, err error) bool {
	s := q.s
	var refusal *NotifyError
	if !q.initiator || q.ended || q.sa != nil || s.Dead || s.current == nil || !errors.As(err, &refusal) ||
		refusal.Type != isakmp.NotifyNoProposalChosen && refusal.Type != isakmp.NotifyInvalidKeyInformation && refusal.Type != isakmp.NotifyAttributesNotSupported {
		return false
	}
	groups := groupsOf(q.policy.Proposals)
	if q.attempt++; q.attempt >= len(groups) {
		return false
	}
	s.Warn(now, fmt.Errorf("Child %q: trying %v, since with %v: %w", q.cfg.Name, groups[q.attempt], q.group, err))
	q.anew(now, err)
	return true
}

// groupsOf are the groups of proposals, in order; None is without PFS.
func groupsOf(all []spd.Proposal) (groups []dh.ID) {
	for _, p := range all {
		kes := p.All(spd.TransformKE)
		if len(kes) == 0 {
			kes = []spd.Transform{{Type: spd.TransformKE}}
		}
		for _, t := range kes {
			if g := dh.ID(t.ID); !slices.Contains(groups, g) {
				groups = append(groups, g)
			}
		}
	}
	return groups
}
