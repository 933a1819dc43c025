package kink

import (
	"math"
	"sync"
	"time"

	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/message"
)

// Epochs are since when SA information has been kept, as each peer is told with
// every message (RFC 4430 3.7). It is the time at which the program started,
// unless an association with the peer has ended without the peer's consent: it
// may hold Child SAs that are no longer here, and a new epoch says so.
//
// All endpoints of a program share one. It is safe for concurrent use.
type Epochs struct {
	mu      sync.Mutex
	started message.Epoch
	lost    map[krb.Principal]message.Epoch
}

// NewEpochs returns the epochs of a program that started then.
func NewEpochs(started time.Time) *Epochs {
	return &Epochs{started: epochOf(started), lost: make(map[krb.Principal]message.Epoch)}
}

func epochOf(t time.Time) message.Epoch { return message.Epoch(t.Unix() & math.MaxUint32) }

// of is the epoch that a peer is told.
func (x *Epochs) of(peer krb.Principal) message.Epoch {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e, ok := x.lost[peer]; ok {
		return e
	}
	return x.started
}

const (
	// manyEpochs is when those of peers are forgotten with whom nothing has gone
	// wrong for oldEpoch: no Child SA lives that long.
	manyEpochs = 4096
	oldEpoch   = 7 * 24 * time.Hour
)

// lose begins another epoch for a peer.
func (x *Epochs) lose(now time.Time, peer krb.Principal) {
	x.mu.Lock()
	defer x.mu.Unlock()
	last := x.started
	if e, ok := x.lost[peer]; ok {
		last = e
	}
	if len(x.lost) >= manyEpochs {
		old := epochOf(now.Add(-oldEpoch))
		for p, e := range x.lost {
			if e < old {
				delete(x.lost, p)
			}
		}
	}
	x.lost[peer] = max(epochOf(now), last+1)
}

// A peerEpoch is what a session knows of its peer's.
type peerEpoch struct {
	epoch message.Epoch
	known bool
	at    time.Time // when it was learnt
	stamp krb.Stamp // of the peer's message that it came with, if it was a command
}

// former reports whether a command comes from before the epoch that is known: it
// has been on its way while the peer lost its SAs, or somebody has kept it.
func (p *peerEpoch) former(r *request) bool {
	return p.known && r.epoch < p.epoch && p.stamp != 0 && r.from.Stamp < p.stamp
}

// formerAnswer is the same for an answer to a command that was first sent then.
func (p *peerEpoch) formerAnswer(epoch message.Epoch, begun time.Time) bool {
	return p.known && epoch < p.epoch && p.at.After(begun)
}

// learn notes the epoch. It reports whether it has changed.
func (p *peerEpoch) learn(now time.Time, epoch message.Epoch, stamp krb.Stamp) (changed bool) {
	changed = p.known && p.epoch != epoch
	if changed || !p.known {
		p.at, p.stamp = now, stamp
	}
	p.epoch, p.known = epoch, true
	return changed
}
