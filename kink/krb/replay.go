package krb

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// ErrReplayCacheFull means that an authenticator could not be remembered, so
// that it cannot be accepted either.
var ErrReplayCacheFull = errors.New("krb: replay cache is full")

// A ReplayCache remembers which authenticators were accepted (RFC 4120 3.2.3),
// for one endpoint or for several that share their keys. Its memory is bounded
// twice: each client has a share, and there is a total. A client that exceeds
// its share makes room by what is oldest, and from then on authenticators up to
// that time are refused to it: what cannot be told from a replay is one. When
// the total is reached, new authenticators are refused.
//
// It is safe for concurrent use.
type ReplayCache struct {
	mu      sync.Mutex
	skew    time.Duration
	total   int
	share   int
	n       int
	next    time.Time // when to look for what can be forgotten
	unknown Stamp     // what is up to here may have been forgotten
	clients map[Principal]*replayClient
}

type replayClient struct {
	floor Stamp // nothing up to here is accepted
	seen  []replayEntry
}

type replayEntry struct {
	stamp Stamp
	hash  [16]byte // of the encrypted authenticator
}

// Bounds of a ReplayCache whose fields are zero.
const (
	defaultReplayTotal = 1 << 18
	defaultReplayShare = 1 << 12
)

// NewReplayCache returns a cache for an acceptor that allows clocks to differ
// by skew: what is older than that need not be remembered. It holds at most
// total authenticators, share of one client; zero means 262,144 and 4,096. An
// entry takes about 24 octets.
func NewReplayCache(skew time.Duration, total, share int) *ReplayCache {
	if total <= 0 {
		total = defaultReplayTotal
	}
	if share <= 0 {
		share = min(defaultReplayShare, total)
	}
	return &ReplayCache{skew: skew, total: total, share: share, clients: map[Principal]*replayClient{}}
}

// SetSkew changes by how much clocks may differ. A larger one counts from now on:
// of authenticators that are older than the one before nothing is known, so they
// are refused as replays.
func (c *ReplayCache) SetSkew(now time.Time, skew time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if skew > c.skew {
		c.unknown = max(c.unknown, StampOf(now.Add(-c.skew)))
	}
	c.skew = skew
}

// Len returns how many authenticators are remembered.
func (c *ReplayCache) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// Remember remembers an authenticator that was accepted, for who wants to do so
// only when the whole message has proved to be genuine: then [Acceptor] is used
// without the cache. The error is an [*Error] with APErrRepeat, or
// [ErrReplayCacheFull].
func (c *ReplayCache) Remember(now time.Time, a *Accepted) error {
	err := c.check(now, a.Client, a.Stamp, a.authenticator)
	if errors.Is(err, APErrRepeat) {
		return &Error{Code: APErrRepeat, Reason: fmt.Sprintf("authenticator of %v at %v", a.Client, a.Stamp)}
	}
	return err
}

func hashOf(encrypted []byte) [16]byte {
	sum := sha256.Sum256(encrypted)
	return [16]byte(sum[:16])
}

// check remembers an authenticator. The error is [APErrRepeat] or
// [ErrReplayCacheFull]. A time may be used twice by different authenticators:
// clients on several hosts may share a principal.
func (c *ReplayCache) check(now time.Time, client Principal, s Stamp, hash [16]byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(now)
	e := replayEntry{stamp: s, hash: hash}
	p := c.clients[client]
	if p == nil {
		p = &replayClient{}
	}
	if s <= max(p.floor, c.unknown) {
		return APErrRepeat
	}
	i, _ := slices.BinarySearchFunc(p.seen, s, func(e replayEntry, s Stamp) int { return cmp.Compare(e.stamp, s) })
	for j := i; j < len(p.seen) && p.seen[j].stamp == s; j++ {
		if p.seen[j].hash == e.hash {
			return APErrRepeat
		}
	}
	if len(p.seen) >= c.share {
		p.floor = p.seen[0].stamp
		if s <= p.floor {
			return APErrRepeat
		}
		p.seen = slices.Delete(p.seen, 0, 1)
		c.n--
		i--
	}
	if c.n >= c.total {
		return ErrReplayCacheFull
	}
	p.seen = slices.Insert(p.seen, i, e)
	c.clients[client] = p
	c.n++
	return nil
}

// forget drops what is too old to be accepted anyway.
func (c *ReplayCache) forget(now time.Time) {
	if now.Before(c.next) && c.next.Sub(now) <= 2*c.skew {
		return
	}
	c.next = now.Add(c.skew / 4)
	old := StampOf(now.Add(-c.skew))
	for name, p := range c.clients {
		i, _ := slices.BinarySearchFunc(p.seen, old, func(e replayEntry, s Stamp) int { return cmp.Compare(e.stamp, s) })
		c.n -= i
		if i == len(p.seen) && p.floor < old {
			delete(c.clients, name)
			continue
		}
		p.seen = slices.Delete(p.seen, 0, i)
	}
}
