package control

import (
	"context"
	"errors"
	"sync"

	"github.com/racoon3/racoon"
)

// errGivenUp is why an order to establish something ends before its time.
var errGivenUp = errors.New("the call was given up, as ordered through the control socket")

// calls are the orders to establish something that are under way.
type calls struct {
	mu  sync.Mutex
	all map[*call]struct{}
}

type call struct {
	peer   *racoon.PeerStatus
	user   string
	cancel context.CancelCauseFunc
	done   chan struct{}
}

// begin returns the context of a call, and what ends it.
func (c *calls) begin(ctx context.Context, peer *racoon.PeerStatus, user string) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	x := &call{peer: peer, user: user, cancel: cancel, done: make(chan struct{})}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all = make(map[*call]struct{})
	}
	c.all[x] = struct{}{}
	return ctx, func() {
		c.mu.Lock()
		delete(c.all, x)
		c.mu.Unlock()
		cancel(nil)
		close(x.done)
	}
}

// giveUp ends the calls that a selection means, waits until they have ended, and
// returns how many they were. A selection of something that only sessions and
// Child SAs have means none.
func (c *calls) giveUp(ctx context.Context, q *selection) int {
	if q.Session != "" || q.hasSPI || q.ofChildren() {
		return 0
	}
	var list []*call
	c.mu.Lock()
	for x := range c.all {
		if q.meansCall(x) {
			list = append(list, x)
		}
	}
	c.mu.Unlock()
	for _, x := range list {
		x.cancel(errGivenUp)
	}
	for _, x := range list {
		select {
		case <-x.done:
		case <-ctx.Done():
		}
	}
	return len(list)
}

func (q *selection) meansCall(x *call) bool {
	return (q.Peer == "" || q.Peer == x.peer.Name) && (q.Remote == "" || isRemote(x.peer, q.remote)) &&
		(q.Local == "" || x.peer.Local == q.local.addr) && (q.User == "" || q.User == x.user)
}
