package spd

import (
	"context"
	"net/netip"
)

// AddrPair are the outer addresses of a tunnel.
type AddrPair struct{ Local, Remote netip.Addr }

// A ruleMove says where the declared rule of a name is, instead of where it was
// declared.
type ruleMove struct {
	name         string
	declared, is AddrPair
}

// where puts declared rules where they have been moved to, and returns the moves
// that are still of use.
func (db *Database) where(rules []Rule) ([]Rule, []ruleMove) {
	if len(db.moves) == 0 {
		return rules, nil
	}
	rules = cloneRules(rules)
	var moves []ruleMove
	for _, m := range db.moves {
		for i := range rules {
			if r := &rules[i]; r.Name == m.name && r.protects() && r.outer() == m.declared {
				r.LocalAddr, r.RemoteAddr = m.is.Local, m.is.Remote
				moves = append(moves, m)
				break
			}
		}
	}
	return rules, moves
}

func (r *Rule) outer() AddrPair { return AddrPair{r.LocalAddr, r.RemoteAddr} }

// moved notes that a declared rule is somewhere else.
func (db *Database) moved(name string, from, to AddrPair) {
	for i := range db.moves {
		m := &db.moves[i]
		if m.name != name || m.is != from {
			continue
		}
		if m.is = to; to == m.declared {
			db.moves = append(db.moves[:i:i], db.moves[i+1:]...)
		}
		return
	}
	db.moves = append(db.moves, ruleMove{name, from, to})
}

// Move changes the outer addresses of the rules of a name, declared or
// generated, that have others: a mobile host has moved (PF_KEY's and XFRM's
// MIGRATE). The SAs are moved by who has negotiated them, see
// [DataPlane.MovePeer]. A declared rule stays there when it is declared again as
// it was, until it is moved again or declared with other addresses.
func (db *Database) Move(ctx context.Context, name string, from, to AddrPair) (moved int, err error) {
	if err := db.lock(ctx); err != nil {
		return 0, err
	}
	defer db.unlock()
	move := func(rules []Rule) ([]Rule, int) {
		rules, n := cloneRules(rules), 0
		for i := range rules {
			if r := &rules[i]; r.Name == name && r.protects() && r.outer() == from {
				r.LocalAddr, r.RemoteAddr = to.Local, to.Remote
				n++
			}
		}
		return rules, n
	}
	var undo []func()
	for _, g := range db.generated {
		rules, n := move(g.rules)
		if n == 0 {
			continue
		}
		before := g.rules
		if err = db.setGenerated(ctx, g, rules); err != nil {
			break
		}
		moved += n
		undo = append(undo, func() { _ = db.setGenerated(context.WithoutCancel(ctx), g, before) })
	}
	if rules, n := move(db.declared); err == nil && n > 0 {
		if err = db.declare(ctx, rules, nil); err == nil && from != to {
			db.moved(name, from, to)
		}
		moved += n
	}
	if err != nil {
		for _, f := range undo {
			f()
		}
		return 0, err
	}
	return moved, nil
}
