package kink

import (
	"hash/maphash"
	"time"
)

// maxPast bounds the CREATEs that are remembered after their answers are
// forgotten. Beyond it they are not.
const maxPast = 1 << 16

// A past knows which CREATEs were served a while ago. What was sent again under
// another authenticator may be held back on its way until the answer is forgotten,
// and must not make SAs then that its sender does not know of: an XID is good for
// one transaction, as long as any of its authenticators is.
type past struct {
	seed  maphash.Seed
	until map[uint64]int64 // by hash of the key, in Unix seconds
	swept time.Time
}

func newPast() past { return past{seed: maphash.MakeSeed(), until: map[uint64]int64{}} }

// add remembers a CREATE for a while.
func (p *past) add(now time.Time, k servedKey, d time.Duration) {
	if since := now.Sub(p.swept); since < 0 || since >= d/2 {
		p.swept = now
		for h, until := range p.until {
			if until < now.Unix() {
				delete(p.until, h)
			}
		}
	}
	if len(p.until) < maxPast {
		p.until[maphash.Comparable(p.seed, k)] = now.Add(d).Unix()
	}
}

// has reports whether a CREATE was served, and is remembered.
func (p *past) has(now time.Time, k servedKey) bool {
	return p.until[maphash.Comparable(p.seed, k)] >= now.Unix()
}
