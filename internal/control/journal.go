package control

import (
	"sync"

	"github.com/racoon3/racoon/ike"
)

const (
	// backlog is how many events are kept for those who ask later.
	backlog = 512
	// maxFollowers is how many may read the events as they come; further ones
	// are refused.
	maxFollowers = 16
	// followerQueue is how many events wait for a follower that does not read,
	// before further ones are lost for him.
	followerQueue = 1024
)

// A journal keeps the last events, and gives new ones to whoever follows.
type journal struct {
	mu        sync.Mutex
	ring      [backlog]Event
	seq       uint64 // of the last one
	followers map[*follower]bool
	closed    bool
}

// A follower reads the events as they come.
type follower struct {
	ch   chan Event // closed at the end
	lost uint64
}

func (j *journal) add(ev ike.Event) {
	e := describeEvent(ev)
	if e.Type == "" {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seq++
	e.Seq = j.seq
	j.ring[j.seq%backlog] = e
	for f := range j.followers {
		f.send(e)
	}
}

// send is called with the journal locked, and nobody else sends.
func (f *follower) send(e Event) {
	room := cap(f.ch) - len(f.ch)
	switch {
	case f.lost > 0 && room >= 2:
		f.ch <- Event{Time: e.Time, Type: EventLost, Count: f.lost}
		f.lost = 0
		f.ch <- e
	case f.lost == 0 && room >= 1:
		f.ch <- e
	default:
		f.lost++
	}
}

// last returns the last n events at most, oldest first.
func (j *journal) last(n int) []Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lastLocked(n)
}

func (j *journal) lastLocked(n int) []Event {
	n = min(n, backlog, int(min(j.seq, backlog)))
	out := make([]Event, 0, n)
	for seq := j.seq - uint64(n) + 1; seq <= j.seq; seq++ {
		out = append(out, j.ring[seq%backlog])
	}
	return out
}

// follow returns the last n events and a follower of those that come after
// them; nil if there are too many.
func (j *journal) follow(n int) ([]Event, *follower) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.followers) >= maxFollowers {
		return nil, nil
	}
	f := &follower{ch: make(chan Event, followerQueue)}
	if j.closed {
		close(f.ch)
		return j.lastLocked(n), f
	}
	if j.followers == nil {
		j.followers = make(map[*follower]bool)
	}
	j.followers[f] = true
	return j.lastLocked(n), f
}

func (j *journal) unfollow(f *follower) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.followers, f)
}

// close ends all followers.
func (j *journal) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	for f := range j.followers {
		close(f.ch)
	}
	clear(j.followers)
}
