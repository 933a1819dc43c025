package spd

import (
	"context"
	"fmt"
)

// Generated are rules that live as long as what they were generated for: a
// session of a peer whose address was not known before, a client of the policy
// service.
type Generated struct {
	db    *Database
	owner Owner
	rules []Rule
	gone  bool
}

// Generate installs rules until [Generated.Remove]. Other rules may have the
// same name, and the same policies: those stay as long as one of them does.
func (db *Database) Generate(ctx context.Context, rules ...Rule) (*Generated, error) {
	if err := db.lock(ctx); err != nil {
		return nil, err
	}
	defer db.unlock()
	g := &Generated{db: db, owner: db.nextOwner}
	db.nextOwner++
	db.generated[g.owner] = g
	if err := db.setGenerated(ctx, g, rules); err != nil {
		delete(db.generated, g.owner)
		return nil, err
	}
	return g, nil
}

func (db *Database) setGenerated(ctx context.Context, g *Generated, rules []Rule) error {
	compiled, err := db.apply(ctx, g.owner, rules, true)
	if err != nil {
		return err
	}
	db.reqIDs.giveAll(g.rules)
	g.rules = compiled
	return nil
}

// Set replaces the rules, as a difference; an error changes nothing.
func (g *Generated) Set(ctx context.Context, rules ...Rule) error {
	if err := g.db.lock(ctx); err != nil {
		return err
	}
	defer g.db.unlock()
	if g.gone {
		return fmt.Errorf("%w: the rules are removed", ErrClosed)
	}
	return g.db.setGenerated(ctx, g, rules)
}

// Remove ends the rules. After an error they are still there.
func (g *Generated) Remove(ctx context.Context) error {
	if err := g.db.lock(ctx); err != nil {
		return err
	}
	defer g.db.unlock()
	if g.gone {
		return nil
	}
	if err := g.db.setGenerated(ctx, g, nil); err != nil {
		return err
	}
	g.gone = true
	delete(g.db.generated, g.owner)
	return nil
}

// Rules returns the rules, with the ReqIDs that were chosen.
func (g *Generated) Rules() []Rule {
	<-g.db.token
	defer g.db.unlock()
	return cloneRules(g.rules)
}
