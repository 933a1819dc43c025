package spd

import "fmt"

// ruleReqIDs are the ReqIDs of the rules of a [Database]. A rule without one
// gets that which its name has had.
type ruleReqIDs struct {
	first, last, next uint32
	uses              map[uint32]int
	named             map[string]namedReqID
}

type namedReqID struct {
	id   uint32
	uses int
}

func newRuleReqIDs(first, last uint32) ruleReqIDs {
	return ruleReqIDs{first: first, last: last, next: first, uses: map[uint32]int{}, named: map[string]namedReqID{}}
}

// take notes that a rule uses an ID; give takes that back.
func (t *ruleReqIDs) take(name string, id uint32) {
	if id == 0 {
		return
	}
	t.uses[id]++
	n := t.named[name]
	if n.uses == 0 {
		n.id = id
	}
	if n.id == id {
		n.uses++
		t.named[name] = n
	}
}

func (t *ruleReqIDs) give(name string, id uint32) {
	if id == 0 {
		return
	}
	if t.uses[id]--; t.uses[id] <= 0 {
		delete(t.uses, id)
	}
	if n := t.named[name]; n.id == id {
		if n.uses--; n.uses > 0 {
			t.named[name] = n
		} else {
			delete(t.named, name)
		}
	}
}

func (t *ruleReqIDs) giveAll(rules []Rule) {
	for i := range rules {
		t.give(rules[i].Name, rules[i].ReqID)
	}
}

// choose returns the ID for a rule of a name.
func (t *ruleReqIDs) choose(name string) (uint32, error) {
	if n := t.named[name]; n.uses > 0 {
		return n.id, nil
	}
	for range t.last - t.first + 1 {
		id := t.next
		if t.next++; t.next > t.last || t.next < t.first {
			t.next = t.first
		}
		if t.uses[id] == 0 {
			return id, nil
		}
	}
	return 0, fmt.Errorf("no ReqID from %d to %d is free", t.first, t.last)
}
