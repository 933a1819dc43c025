package esp

import (
	"sync/atomic"
	"time"

	"github.com/racoon3/racoon/spd"
)

// usage counts what passes through one SA and knows when its lifetime ends.
type usage struct {
	life    *spd.Lifetime // shared, see Engine.lifetime
	expires int64         // the hard time in Unix nanoseconds, 0 for none

	packets       atomic.Uint64 // with the bit closed
	bytes         atomic.Uint64
	lastUsed      atomic.Int64
	soft, stopped atomic.Bool // soft limit reached; hard limit reached

	replayDrops, authDrops, selectorDrops, otherDrops atomic.Uint64
}

func (u *usage) init(life *spd.Lifetime, now int64) {
	u.life = life
	if life.HardTime > 0 {
		u.expires = now + int64(life.HardTime)
	}
}

// maxKnownLives bounds Engine.lives: there are few configurations, and many SAs
// of each.
const maxKnownLives = 64

// lifetime returns l, the same for all SAs that have the same. e.mu is held.
func (e *Engine) lifetime(l spd.Lifetime) *spd.Lifetime {
	for _, known := range e.lives {
		if *known == l {
			return known
		}
	}
	if len(e.lives) < maxKnownLives {
		e.lives = append(e.lives, &l)
	}
	return &l
}

// limit is what a packet made an SA reach.
type limit uint8

const (
	withinLimits limit = iota
	softLimit
	hardLimit
)

// live reports whether the SA may be used at the time now. reached says that
// it has just ended, which is reported once.
func (u *usage) live(now int64) (ok bool, reached limit) {
	if u.stopped.Load() {
		return false, withinLimits
	}
	if u.expires != 0 && now >= u.expires {
		return false, u.stop()
	}
	return true, withinLimits
}

// stop ends the SA and returns hardLimit to the one caller who did it.
func (u *usage) stop() limit {
	if u.stopped.CompareAndSwap(false, true) {
		return hardLimit
	}
	return withinLimits
}

// closed is set in the count of packets when the SA is removed, so that the
// last counters are final: who comes later finds it there.
const closed = 1 << 63

// count counts a packet of n octets that passed all checks, and returns which
// limit it was the first to reach. The packet that reaches a hard limit still
// passes, the next does not. It fails if the SA was removed, and the packet
// with it.
func (u *usage) count(n int, now int64) (l limit, ok bool) {
	b := u.bytes.Add(uint64(n))
	p := u.packets.Add(1)
	if p >= closed {
		u.uncount(n)
		return withinLimits, false
	}
	u.lastUsed.Store(now)
	return u.limit(p, b), true
}

// uncount takes a packet back that came to nothing after all.
func (u *usage) uncount(n int) {
	u.bytes.Add(-uint64(n))
	u.packets.Add(^uint64(0))
}

func (u *usage) limit(p, b uint64) limit {
	if reached(p, u.life.HardPackets) || reached(b, u.life.HardBytes) {
		return u.stop()
	}
	if (reached(p, u.life.SoftPackets) || reached(b, u.life.SoftBytes)) && !u.soft.Load() && u.soft.CompareAndSwap(false, true) {
		return softLimit
	}
	return withinLimits
}

func reached(n, limit uint64) bool { return limit != 0 && n >= limit }

// final ends the SA and returns its last counters. Only the octets may have
// those of packets in them that were refused this very moment.
func (u *usage) final() spd.Counters {
	u.stop()
	packets := u.packets.Or(closed)
	c := u.counters()
	c.Packets = packets &^ closed
	return c
}

func (u *usage) counters() spd.Counters {
	c := spd.Counters{
		Packets: u.packets.Load() &^ closed, Bytes: u.bytes.Load(),
		ReplayDrops: u.replayDrops.Load(), AuthDrops: u.authDrops.Load(),
		SelectorDrops: u.selectorDrops.Load(), OtherDrops: u.otherDrops.Load(),
	}
	if t := u.lastUsed.Load(); t != 0 {
		c.LastUsed = time.Unix(0, t)
	}
	return c
}
