package coretest

import (
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/core"
)

// Initiate begins a session.
func (s *Sim[E, P]) Initiate(n *Node[E, P]) {
	n.Net.Do(func(now time.Time) {
		if err := s.Protocol.Initiate(n, now); err != nil {
			s.Failf("%s: Initiate: %v", n.Name, err)
		}
	})
}

// onlyFirst: the second node has no way to begin, or none to reach the first by.
func (s *Sim[E, P]) onlyFirst() bool { return s.OnlyFirst || s.NAT }

// Command gives one of the commands that a Profile names, to either node.
func (s *Sim[E, P]) Command(what string) {
	n := s.A
	if s.W.Chance(0.5) {
		n = s.B
	}
	s.W.Tracef("%s: command %s", n.Name, what)
	// then gives another command to the other side, before the messages of the
	// first can have arrived.
	then := func(f func(n *Node[E, P])) { s.W.After(s.W.Between(0, s.W.Faults.Latency), func() { f(n.Other()) }) }
	switch what {
	case "initiate":
		if s.onlyFirst() {
			n = s.A
		}
		if s.Protocol.MayInitiate(n) {
			s.Initiate(n)
		}
	case "rekey child":
		s.rekeyChild(n)
	case "rekey child both":
		s.rekeyChild(n)
		then(s.rekeyChild)
	case "rekey IKE":
		s.rekeyIKE(n)
	case "rekey IKE both":
		s.rekeyIKE(n)
		then(s.rekeyIKE)
	case "rekey child and IKE":
		s.rekeyChild(n)
		then(s.rekeyIKE)
	case "rekey and delete child":
		s.rekeyChild(n)
		then(s.deleteChild)
	case "rekey IKE and delete":
		s.rekeyIKE(n)
		then(s.deleteAny)
	case "create child":
		if x := s.pick(n); x != nil {
			s.do(n, x.ID, "create Child", func(now time.Time) error { return n.Core.CreateChild(now, x.ID, "net2", 0, nil) })
		}
	case "delete child":
		s.deleteChild(n)
	case "delete child both":
		s.deleteChild(n)
		then(s.deleteChild)
	case "delete":
		s.deleteAny(n)
	case "delete both":
		s.deleteAny(n)
		then(s.deleteAny)
	case "liveness":
		if x := s.pick(n); x != nil {
			s.do(n, x.ID, "liveness", func(now time.Time) error { return n.Core.CheckLiveness(now, x.ID) })
		}
	case "partition":
		s.W.Partition(s.A.Net, s.B.Net, s.W.Between(time.Second, 150*time.Second))
	case "clock":
		n.Net.JumpClock(s.W.Between(-5*time.Second, 30*time.Second))
	case "restart":
		n.boot()
		n.Net.Restart(n)
	case "rebind":
		s.A.Net.Rebind()
	default:
		panic("no command " + what)
	}
}

func (s *Sim[E, P]) do(n *Node[E, P], id ike.SessionID, what string, f func(now time.Time) error) {
	s.Visit(s.Protocol.State(n.Core, id), "command: "+what)
	n.Net.Do(func(now time.Time) {
		if err := f(now); err != nil {
			s.Failf("%s: %s: %v", n.Name, what, err)
		}
	})
}

// pick returns one of the sessions that take commands.
func (s *Sim[E, P]) pick(n *Node[E, P]) *core.Session {
	up := n.Up()
	if len(up) == 0 {
		return nil
	}
	return up[s.W.Rand().IntN(len(up))]
}

// pickChild returns one of the Child SAs that a program would know of.
func (s *Sim[E, P]) pickChild(n *Node[E, P]) (ike.SessionID, ike.ChildID, bool) {
	x := s.pick(n)
	if x == nil {
		return 0, 0, false
	}
	var known []ike.ChildID
	for _, c := range x.Children.All() {
		if _, told := n.children[c.Info.ID]; told {
			known = append(known, c.Info.ID)
		}
	}
	if len(known) == 0 {
		return 0, 0, false
	}
	return x.ID, known[s.W.Rand().IntN(len(known))], true
}

func (s *Sim[E, P]) rekeyChild(n *Node[E, P]) {
	if x, c, ok := s.pickChild(n); ok {
		s.do(n, x, "rekey Child", func(now time.Time) error { return n.Core.RekeyChild(now, x, c) })
	}
}

func (s *Sim[E, P]) deleteChild(n *Node[E, P]) {
	if x, c, ok := s.pickChild(n); ok {
		s.do(n, x, "delete Child", func(now time.Time) error { return n.Core.DeleteChild(now, x, c) })
	}
}

func (s *Sim[E, P]) rekeyIKE(n *Node[E, P]) {
	if x := s.pick(n); x != nil && (!s.OnlyFirst || n == s.A) {
		s.do(n, x.ID, "rekey IKE", func(now time.Time) error { return n.Core.RekeyIKE(now, x.ID) })
	}
}

func (s *Sim[E, P]) deleteAny(n *Node[E, P]) {
	if x := s.pick(n); x != nil {
		s.Delete(n, x.ID)
	}
}

// Delete ends a session.
func (s *Sim[E, P]) Delete(n *Node[E, P], id ike.SessionID) {
	s.do(n, id, "delete", func(now time.Time) error { return n.Core.Delete(now, id, ike.DownLocal) })
}
