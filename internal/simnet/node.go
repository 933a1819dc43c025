package simnet

import (
	"net/netip"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/schedule"
	"github.com/racoon3/racoon/spd"
)

// A Core is what a World drives: the shape of ikev1, ikev2 and kink.
type Core interface {
	HandleDatagram(now time.Time, path ike.Path, b []byte)
	HandleTimeout(now time.Time)
	HandleResult(now time.Time, r ike.Result)
	HandleDataPlane(now time.Time, ev spd.Event)
	PollTransmit() (ike.Transmit, bool)
	PollTimeout() (time.Time, bool)
	PollJob() (ike.Job, bool)
	PollEvent() (ike.Event, bool)
}

// NodeConfig describes a node.
type NodeConfig struct {
	Name string
	Core Core
	// Addr is the node's address: it gets what is sent to it, whatever the
	// port.
	Addr netip.Addr
	// NAT, if valid, is the address that the node's datagrams come from; ports
	// are translated, and change with Rebind.
	NAT netip.Addr
	// DataPlane returns what the node's data plane has to report; nil: nothing.
	DataPlane func() []spd.Event
	// Event takes the core's events; nil: they are dropped.
	Event func(now time.Time, ev ike.Event)
}

// A Node is a core in a World, with its address and its clock.
type Node struct {
	Name string

	w     *World
	cfg   NodeConfig
	skew  time.Duration // of its clock
	life  int           // counts restarts: what was meant for an earlier core is dropped
	timer schedule.Timer[func()]
	nat   *nat

	orders map[uint64]*order
	newest map[*Node]time.Time // when the newest datagram that came from a node was sent
	stats  NodeStats
}

func (n *Node) lastSent(from *Node) time.Time { return n.newest[from] }

// NodeStats counts what went in and out of a node.
type NodeStats struct {
	Sent, Received       int // datagrams
	Jobs, JobsFailed     int
	Timeouts, DataEvents int
	Events               int
	PendingJobs          int // now: handed out, and the result not yet delivered
}

// AddNode puts a node into the world.
func (w *World) AddNode(cfg NodeConfig) *Node {
	n := &Node{Name: cfg.Name, w: w, cfg: cfg, orders: map[uint64]*order{}, newest: map[*Node]time.Time{}}
	if cfg.NAT.IsValid() {
		n.nat = newNAT(cfg.NAT)
	}
	n.timer.Owner = n.timeout
	w.nodes = append(w.nodes, n)
	return n
}

// Now returns the time on the node's clock.
func (n *Node) Now() time.Time { return n.w.now.Add(n.skew) }

// Stats returns the node's counters.
func (n *Node) Stats() NodeStats { return n.stats }

// JumpClock sets the node's clock forward, or back.
func (n *Node) JumpClock(by time.Duration) {
	n.skew += by
	fault := ClockForward
	if by < 0 {
		fault = ClockBack
	}
	n.w.fired(fault, "%s: clock by %v", n.Name, by)
	n.arm()
}

// Restart replaces the core by one that knows nothing of the old: the old
// one's jobs are forgotten. Datagrams on their way still arrive.
func (n *Node) Restart(c Core) {
	n.cfg.Core = c
	n.life++
	n.orders = map[uint64]*order{}
	n.stats.PendingJobs = 0
	n.w.fired(Restarted, "%s: restarts", n.Name)
	n.arm()
}

// Do runs a command of the test on the node's core, at the node's time, and
// then takes out what it has to say.
func (n *Node) Do(f func(now time.Time)) {
	f(n.Now())
	n.w.settle()
}

// drain takes everything out of the core and reports whether there was
// anything.
func (n *Node) drain() bool {
	busy := false
	c := n.cfg.Core
	for {
		j, ok := c.PollJob()
		if !ok {
			break
		}
		busy = true
		n.startJob(j)
	}
	for {
		tx, ok := c.PollTransmit()
		if !ok {
			break
		}
		busy = true
		n.stats.Sent++
		if !tx.Keepalive {
			n.w.send(n, tx)
		}
	}
	for {
		ev, ok := c.PollEvent()
		if !ok {
			break
		}
		busy = true
		n.stats.Events++
		n.w.note("%s: event %T", n.Name, ev)
		if n.cfg.Event != nil {
			n.cfg.Event(n.Now(), ev)
		}
	}
	if n.cfg.DataPlane != nil {
		for _, ev := range n.cfg.DataPlane() {
			busy = true
			n.stats.DataEvents++
			n.w.note("%s: data plane %T", n.Name, ev)
			c.HandleDataPlane(n.Now(), ev)
		}
	}
	return busy
}

func (n *Node) timeout() {
	n.stats.Timeouts++
	n.w.note("%s: timeout", n.Name)
	n.cfg.Core.HandleTimeout(n.Now())
}

// arm sets the node's timer to what its core waits for.
func (n *Node) arm() {
	at, ok := n.cfg.Core.PollTimeout()
	if !ok {
		n.w.queue.Stop(&n.timer)
		return
	}
	at = at.Add(-n.skew)
	if at.Before(n.w.now) {
		at = n.w.now
	}
	n.w.queue.Set(&n.timer, at)
}
