package coretest

import (
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/internal/core"
)

// A Protocol is what only the protocol knows of a schedule: E is its Endpoint, P
// its configuration of a peer. There is one for each [Sim], so it may remember
// what it has drawn. [Basics] has the methods that say nothing.
type Protocol[E Core, P any] interface {
	// Peers draws two configurations that fit, with the Children "net" (10.1/16
	// with 10.2/16) and "net2", seen from the first node.
	Peers() (a, b P)
	// Boot makes an endpoint that knows nothing but its node's peer.
	Boot(n *Node[E, P], cfg core.Config) (E, error)
	// Initiate begins a session with the Child "net".
	Initiate(n *Node[E, P], now time.Time) error
	// Patience says how long the two may take to agree once the faults are over.
	Patience() Patience

	// Engine is the shared part of an endpoint, Sessions those of its sessions,
	// oldest first.
	Engine(e E) *core.Core
	Sessions(e E) []*core.Session
	// State names the state that a session is in, with what it is about.
	State(e E, id ike.SessionID) string
	// Timers are those that the endpoint may have set, beside those of package
	// core and of the Child SAs.
	Timers(e E) []*child.Timer

	// Busy says what an endpoint has not finished, beside its jobs and Child SAs,
	// or nothing.
	Busy(e E) string
	// Differ says what of the protocol's own SAs the two ends do not have alike:
	// peers, keys, roles. Both are quiet.
	Differ() string
	// Distrust says why a session that n has just told to be up is not one with
	// its peer, who must have the same keys.
	Distrust(n *Node[E, P], id ike.SessionID) string

	// The rest is in Basics.

	// Usable reports whether a session that is up takes commands.
	Usable(e E, id ike.SessionID) bool
	// MayInitiate reports whether a program would begin another session there.
	MayInitiate(n *Node[E, P]) bool
	// Established is told of each session that has come up, to do what a program
	// does then.
	Established(n *Node[E, P], id ike.SessionID)
	// Receive notes what arrives, in which state; what it returns, if anything,
	// is called after the endpoint has had it.
	Receive(n *Node[E, P], path ike.Path, b []byte) func()
	// Adopt has new timers watched (Node.Watch).
	Adopt(n *Node[E, P])
	// Disorder says what is wrong with what a quiet endpoint holds for itself.
	Disorder(n *Node[E, P]) string
	// Excess says what an endpoint holds too much of.
	Excess(n *Node[E, P]) string
	// Left says what an endpoint holds that should hold nothing.
	Left(e E) string
}

// Patience is how long two endpoints may take to agree.
type Patience struct {
	// First passes in any case: what goes on by itself may go on.
	First time.Duration
	// Quiet is how long they may be busy after that, Differ how long they may
	// disagree although they are quiet; 0 if that does not heal.
	Quiet, Differ time.Duration
}

// Basics are the methods of a Protocol that may be left out.
type Basics[E Core, P any] struct{}

// Usable implements Protocol: all sessions are.
func (Basics[E, P]) Usable(E, ike.SessionID) bool { return true }

// MayInitiate implements Protocol: while there is no session. What the other
// side has, a program does not know.
func (Basics[E, P]) MayInitiate(n *Node[E, P]) bool { return len(n.Sim.Protocol.Sessions(n.Core)) == 0 }

// Established implements Protocol.
func (Basics[E, P]) Established(*Node[E, P], ike.SessionID) {}

// Receive implements Protocol.
func (Basics[E, P]) Receive(*Node[E, P], ike.Path, []byte) func() { return nil }

// Adopt implements Protocol.
func (Basics[E, P]) Adopt(*Node[E, P]) {}

// Disorder implements Protocol.
func (Basics[E, P]) Disorder(*Node[E, P]) string { return "" }

// Excess implements Protocol.
func (Basics[E, P]) Excess(*Node[E, P]) string { return "" }

// Left implements Protocol.
func (Basics[E, P]) Left(E) string { return "" }
