package ikev1

import (
	"net/netip"
	"time"
)

// In Aggressive and Base Mode the answer to a first message may be several times
// as long as that: it has the certificates of a responder that signs. The first
// message may have come from an invented address. So what its owner can be sent
// that way is bounded: by the half-open SAs of an address and of all together,
// and by a budget for each network. In Main Mode the answer is short.

const (
	// freeReply is how many times as long as the request an answer may be without
	// costing anything (as in RFC 9000 8.1).
	freeReply = 3
	// replyBurst and replyRate are a network's budget: octets at once, and in each
	// second.
	replyBurst = 16 << 10
	replyRate  = 2 << 10
	// maxBudgets bounds how many networks are kept account of. Beyond it, no other
	// is answered for a while.
	maxBudgets = 4096
)

// replyBudgets are those of the networks that have spent something.
type replyBudgets struct {
	of     map[netip.Prefix]replyBudget
	tidied time.Time
}

type replyBudget struct {
	spent int // octets, at that time
	at    time.Time
}

func (b replyBudget) left(now time.Time) int {
	back := max(now.Sub(b.at), 0)
	if back > time.Minute { // enough for any debt
		return replyBurst
	}
	return min(replyBurst, replyBurst-b.spent+int(back*replyRate/time.Second))
}

// networkOf is what has one budget: addresses that one attacker may well have,
// or one victim.
func networkOf(remote netip.AddrPort) netip.Prefix {
	a, bits := remote.Addr().Unmap().WithZone(""), 24
	if a.Is6() {
		bits = 48
	}
	p, _ := a.Prefix(bits)
	return p
}

// affords reports whether a network may be sent another long answer.
func (e *Endpoint) affords(now time.Time, remote netip.AddrPort) bool {
	b, ok := e.budgets.of[networkOf(remote)]
	if ok && b.left(now) > 0 || !ok && e.budgets.hasRoom(now) {
		return true
	}
	e.Count.Limited++
	return false
}

// hasRoom reports whether there can be another network's budget, and forgets
// those that are whole again, now and then.
func (r *replyBudgets) hasRoom(now time.Time) bool {
	if len(r.of) >= maxBudgets && now.Sub(r.tidied) >= time.Second {
		r.tidied = now
		for p, b := range r.of {
			if b.left(now) == replyBurst {
				delete(r.of, p)
			}
		}
	}
	return len(r.of) < maxBudgets
}

// chargeReply notes what the answer to a first message costs.
func (sa *isakmpSA) chargeReply(now time.Time) {
	e, p := sa.ep, sa.p1
	if p == nil {
		return // it has failed
	}
	cost := -freeReply * p.asked
	for _, packet := range p.sent {
		cost += len(packet)
	}
	if cost <= 0 {
		return
	}
	if e.budgets.of == nil {
		e.budgets.of = make(map[netip.Prefix]replyBudget)
	}
	n := networkOf(sa.s.Path.Remote)
	spent := replyBurst - e.budgets.of[n].left(now) // of a new one, 0
	e.budgets.of[n] = replyBudget{spent: spent + cost, at: now}
}
