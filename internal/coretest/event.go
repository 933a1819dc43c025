package coretest

import (
	"fmt"
	"time"

	"github.com/racoon3/racoon/ike"
)

// event keeps book of what an endpoint reports, and checks what an event claims.
func (n *Node[E, P]) event(_ time.Time, ev ike.Event) {
	s, id := n.Sim, ev.Header().Session
	s.W.Tracef("%s: %T %x %s", n.Name, ev, id&0xffff, explain(ev))
	steady := s.Steady && s.W.Elapsed() < s.ActiveFor
	switch ev := ev.(type) {
	case ike.SessionUp:
		n.ups[id] = true
		if why := s.Protocol.Distrust(n, id); why != "" {
			s.Failf("%s: %s", n.Name, why)
		}
		s.Protocol.Established(n, id)
	case ike.SessionDown:
		if !n.ups[id] {
			s.Failf("%s: SessionDown for session %x, which was not up", n.Name, id)
		}
		delete(n.ups, id)
		if steady {
			s.Failf("%s: session ended although nothing should end it: %v %v", n.Name, ev.Reason, ev.Err)
		}
	case ike.ChildUp:
		if _, twice := n.children[ev.Child.ID]; twice {
			s.Failf("%s: ChildUp for %q %x, which was up", n.Name, ev.Child.Name, ev.Child.ID)
		}
		n.children[ev.Child.ID] = id
	case ike.ChildRekeyed:
		if _, there := n.children[ev.Child.ID]; !there {
			s.Failf("%s: ChildRekeyed for %q %x, which was not up", n.Name, ev.Child.Name, ev.Child.ID)
		}
	case ike.ChildDown:
		if _, there := n.children[ev.Child.ID]; !there {
			s.Failf("%s: ChildDown for %q %x, which was not up", n.Name, ev.Child.Name, ev.Child.ID)
		}
		delete(n.children, ev.Child.ID)
		if steady {
			s.Failf("%s: Child SA ended although nothing should end it: %v %v", n.Name, ev.Reason, ev.Err)
		}
	}
}

// explain shows the reason that an event carries.
func explain(ev ike.Event) string {
	switch ev := ev.(type) {
	case ike.SessionFailed:
		return fmt.Sprint(ev.Err)
	case ike.SessionDown:
		return fmt.Sprint(ev.Reason, " ", ev.Err)
	case ike.ChildUp:
		return fmt.Sprintf("%x in %08x out %08x", ev.Child.ID&0xffff, ev.Child.In, ev.Child.Out)
	case ike.ChildRekeyed:
		return fmt.Sprintf("%x in %08x out %08x, old in %08x out %08x", ev.Child.ID&0xffff, ev.Child.In, ev.Child.Out, ev.Old.In, ev.Old.Out)
	case ike.ChildFailed:
		return fmt.Sprint(ev.Err)
	case ike.RekeyFailed:
		return fmt.Sprint(ev.Err)
	case ike.ChildDown:
		return fmt.Sprintf("%x in %08x: %v %v", ev.Child.ID&0xffff, ev.Child.In, ev.Reason, ev.Err)
	case ike.Warning:
		return fmt.Sprint(ev.Err)
	}
	return ""
}
