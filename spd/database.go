package spd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
)

// DatabaseConfig configures a [Database].
type DatabaseConfig struct {
	DataPlane DataPlane

	// Store remembers what is installed, for the next start. nil remembers
	// nothing: what a predecessor has left is then replaced where a rule has the
	// same selector, and otherwise stays. It is of use with a [PolicyKeeper] only.
	Store PolicyStore

	// FirstReqID and LastReqID are between which ReqIDs are chosen for rules
	// that have none; 0 means 8192 and 16383, the upper half of what every kernel
	// takes: the Manager of this module begins with the lower one.
	FirstReqID, LastReqID uint32

	// Owner is the first of the numbers by which the data plane knows the
	// database's policies; 0 means one that the Manager of this module does not
	// use.
	Owner Owner

	// Logger is told what nobody waits for an error of. nil discards.
	Logger *slog.Logger
}

// A Database is the SPD as it is declared: rules that stay until they are
// declared otherwise, and generated ones that live as long as what they were
// generated for. It installs their policies on a data plane, every change as a
// difference: what is new first, what is the same untouched, what has the same
// selector replaced in one step, what is not wanted any more last. A change
// that fails is taken back as a whole. So a packet that is protected both
// before and after a change is never sent in clear.
//
// It removes what it has installed and nothing else. Over a restart it knows
// its own by the [PolicyStore] and by what the data plane finds as it would
// install it: see [Database.Restore] and [PolicyKeeper].
//
// It is safe for concurrent use; changes wait for each other.
type Database struct {
	cfg   DatabaseConfig
	log   *slog.Logger
	token chan struct{} // holds one while nobody changes anything

	set       PolicySet // what is installed, as the data plane has been told
	about     map[Policy]StoredPolicy
	declared  []Rule
	generated map[Owner]*Generated
	orphans   []StoredPolicy
	reqIDs    ruleReqIDs
	restored  []Rule // of an earlier life, until they are declared: names and ReqIDs
	moves     []ruleMove
	nextOwner Owner
	names     map[uint32]string // by the kernel's number; nil: not known
	serials   map[Policy]uint32 // instead of the kernel's, where there is none
	serial    uint32
	closed    bool
}

// NewDatabase returns a database without rules.
func NewDatabase(cfg DatabaseConfig) *Database {
	cfg.FirstReqID = cmp.Or(cfg.FirstReqID, 8192)
	cfg.LastReqID = cmp.Or(cfg.LastReqID, 16383)
	cfg.Owner = cmp.Or(cfg.Owner, 0x7f<<56)
	db := &Database{cfg: cfg, log: cfg.Logger, token: make(chan struct{}, 1), about: map[Policy]StoredPolicy{}, generated: map[Owner]*Generated{},
		reqIDs: newRuleReqIDs(cfg.FirstReqID, cfg.LastReqID), nextOwner: cfg.Owner + firstGenerated, serials: map[Policy]uint32{}}
	if db.log == nil {
		db.log = slog.New(slog.DiscardHandler)
	}
	db.token <- struct{}{}
	return db
}

// Owners, from DatabaseConfig.Owner.
const (
	declaredOwner  = iota
	orphanOwner    // generated rules of an earlier life
	firstGenerated // and onwards
)

// ErrDuplicateRule says that two declared rules have one name.
var ErrDuplicateRule = errors.New("another rule has the same name")

func (db *Database) lock(ctx context.Context) error {
	select {
	case <-db.token:
	case <-ctx.Done():
		return ctx.Err()
	}
	if db.closed {
		db.unlock()
		return ErrClosed
	}
	return nil
}

func (db *Database) unlock() { db.token <- struct{}{} }

// Declare replaces the declared rules. Names must differ. The policies of
// declared rules that are named in keep stay as they are installed, for rules
// that cannot be said at the moment: such as those after a restart whose
// selectors are domain names which are not resolved yet.
func (db *Database) Declare(ctx context.Context, rules []Rule, keep ...string) error {
	if err := db.lock(ctx); err != nil {
		return err
	}
	defer db.unlock()
	seen := make(map[string]bool, len(rules))
	for i := range rules {
		if seen[rules[i].Name] {
			return fmt.Errorf("%w %q: %w", ErrRule, rules[i].Name, ErrDuplicateRule)
		}
		seen[rules[i].Name] = true
	}
	rules, moves := db.where(rules)
	if err := db.declare(ctx, rules, keep); err != nil {
		return err
	}
	db.moves = moves
	return nil
}

func (db *Database) declare(ctx context.Context, rules []Rule, keep []string) error {
	var kept []StoredPolicy
	if len(keep) > 0 {
		for _, p := range db.set.Get(db.cfg.Owner + declaredOwner) {
			if s := db.about[p]; slices.Contains(keep, s.Name) {
				kept = append(kept, s)
			}
		}
	}
	compiled, err := db.apply(ctx, db.cfg.Owner+declaredOwner, rules, false, kept...)
	if err != nil {
		return err
	}
	db.reqIDs.giveAll(db.declared)
	db.reqIDs.giveAll(db.restored)
	db.declared, db.restored = compiled, nil
	for _, s := range kept {
		db.reqIDs.take(s.Name, s.ReqID)
		db.restored = append(db.restored, Rule{Name: s.Name, ReqID: s.ReqID})
	}
	return nil
}

// Rules returns the declared rules, with the ReqIDs that were chosen.
func (db *Database) Rules() []Rule {
	<-db.token
	defer db.unlock()
	return cloneRules(db.declared)
}

func cloneRules(rules []Rule) []Rule {
	r := make([]Rule, len(rules))
	for i := range rules {
		r[i] = rules[i].clone()
	}
	return r
}

// apply makes an owner's policies those of rules, and returns the rules with
// their ReqIDs, which they have taken.
func (db *Database) apply(ctx context.Context, owner Owner, rules []Rule, generated bool, more ...StoredPolicy) ([]Rule, error) {
	compiled := cloneRules(rules)
	for i := range compiled {
		db.reqIDs.take(compiled[i].Name, compiled[i].ReqID)
	}
	list, err := db.compile(compiled, generated)
	if err == nil {
		err = db.change(ctx, owner, append(list, more...))
	}
	if err != nil {
		db.reqIDs.giveAll(compiled)
		return nil, err
	}
	return compiled, nil
}

func (db *Database) compile(rules []Rule, generated bool) ([]StoredPolicy, error) {
	list := make([]StoredPolicy, 0, 2*len(rules))
	for i := range rules {
		r := &rules[i]
		if r.needsReqID() && r.ReqID == 0 {
			id, err := db.reqIDs.choose(r.Name)
			if err != nil {
				return nil, fmt.Errorf("%w %q: %w", ErrRule, r.Name, err)
			}
			r.ReqID = id
			db.reqIDs.take(r.Name, id)
		}
		ps, err := r.Policies()
		if err != nil {
			return nil, err
		}
		for _, p := range ps {
			list = append(list, StoredPolicy{Policy: p, Name: r.Name, Generated: generated})
		}
	}
	return list, nil
}

// change replaces an owner's policies in the store and on the data plane.
func (db *Database) change(ctx context.Context, owner Owner, list []StoredPolicy) error {
	policies := make([]Policy, len(list))
	for i := range list {
		policies[i] = list[i].Policy
	}
	c, err := db.set.Set(owner, policies)
	if err != nil {
		return err
	}
	isNew := make(map[Policy]bool, len(c.Add))
	for _, p := range c.Add {
		isNew[p] = true
	}
	added := make([]StoredPolicy, 0, len(c.Add))
	for i := range list {
		if isNew[list[i].Policy] {
			isNew[list[i].Policy] = false // of two rules with the same one it is the first's
			added = append(added, list[i])
		}
	}
	if db.cfg.Store != nil && len(added) > 0 {
		if err := db.cfg.Store.Add(added); err != nil {
			_, _ = db.set.Set(owner, c.Previous)
			return fmt.Errorf("spd: the policy store: %w", err)
		}
	}
	if err := db.cfg.DataPlane.SetPolicies(ctx, owner, policies); err != nil {
		// The store goes on knowing them: perhaps the data plane could not take
		// everything back.
		_, _ = db.set.Set(owner, c.Previous)
		return err
	}
	db.names = nil
	for _, s := range added {
		db.about[s.Policy] = s
		db.serial++
		db.serials[s.Policy] = db.serial
	}
	for _, p := range c.Remove {
		delete(db.about, p)
		delete(db.serials, p)
	}
	db.forget(c.Remove)
	return nil
}

// forget takes policies out of the store. That they stay in there is no harm.
func (db *Database) forget(policies []Policy) {
	if db.cfg.Store == nil || len(policies) == 0 {
		return
	}
	if err := db.cfg.Store.Remove(policies); err != nil {
		db.log.Error("spd: the policy store keeps policies that are removed", "err", err)
	}
}

// Restored is what [Database.Restore] has found.
type Restored struct {
	Declared  int // policies of declared rules that are still installed
	Generated int // of generated ones
	Gone      int // policies that are not installed any more, or by another program
}

// Restore takes up what an earlier life has left, and changes nothing that
// packets meet. It comes first, before the rules are declared: [Database.Declare]
// then replaces what differs and removes what is stale. The policies of
// generated rules stay until [Database.DropOrphans], so that whoever they were
// generated for has time to come back; who generates the same again takes them
// over.
func (db *Database) Restore(ctx context.Context) (Restored, error) {
	if err := db.lock(ctx); err != nil {
		return Restored{}, err
	}
	defer db.unlock()
	if db.set.Len() > 0 || len(db.declared) > 0 {
		return Restored{}, errors.New("spd: Restore comes before any rule")
	}
	if db.cfg.Store == nil {
		return Restored{}, nil
	}
	stored, err := db.cfg.Store.Load()
	if err != nil {
		return Restored{}, fmt.Errorf("spd: the policy store: %w", err)
	}
	keeper, _ := db.cfg.DataPlane.(PolicyKeeper)
	var r Restored
	var gone []Policy
	for _, part := range []struct {
		owner     Owner
		generated bool
		n         *int
	}{{db.cfg.Owner + declaredOwner, false, &r.Declared}, {db.cfg.Owner + orphanOwner, true, &r.Generated}} {
		mine := map[Policy]StoredPolicy{}
		var policies []Policy
		for _, s := range stored {
			if s.Generated == part.generated {
				mine[s.Policy] = s
				policies = append(policies, s.Policy)
			}
		}
		var adopted []Policy
		if keeper != nil && len(policies) > 0 {
			if adopted, err = keeper.AdoptPolicies(ctx, part.owner, policies); err != nil {
				return Restored{}, err
			}
		}
		if _, err := db.set.Set(part.owner, adopted); err != nil {
			return Restored{}, err
		}
		*part.n = len(adopted)
		for _, p := range adopted {
			s := mine[p]
			delete(mine, p)
			db.about[p] = s
			db.serial++
			db.serials[p] = db.serial
			db.reqIDs.take(s.Name, p.ReqID)
			if part.generated {
				db.orphans = append(db.orphans, s)
			} else {
				db.restored = append(db.restored, Rule{Name: s.Name, ReqID: p.ReqID})
			}
		}
		for _, p := range policies {
			if _, left := mine[p]; left {
				gone = append(gone, p)
			}
		}
	}
	r.Gone = len(gone)
	db.forget(gone)
	return r, nil
}

// Orphans returns the policies of generated rules of an earlier life that are
// still installed.
func (db *Database) Orphans() []StoredPolicy {
	<-db.token
	defer db.unlock()
	return slices.Clone(db.orphans)
}

// DropOrphans removes the generated rules of an earlier life that nobody has
// generated again.
func (db *Database) DropOrphans(ctx context.Context) error {
	if err := db.lock(ctx); err != nil {
		return err
	}
	defer db.unlock()
	if err := db.change(ctx, db.cfg.Owner+orphanOwner, nil); err != nil {
		return err
	}
	for _, s := range db.orphans {
		db.reqIDs.give(s.Name, s.ReqID)
	}
	db.orphans = nil
	return nil
}

// An InstalledRule is a policy of a rule as it is installed.
type InstalledRule struct {
	InstalledPolicy
	Name      string
	Generated bool
}

// Installed lists the policies in the data plane, in its order.
func (db *Database) Installed(ctx context.Context) ([]InstalledRule, error) {
	if err := db.lock(ctx); err != nil {
		return nil, err
	}
	defer db.unlock()
	return db.installed(ctx)
}

func (db *Database) installed(ctx context.Context) ([]InstalledRule, error) {
	var r []InstalledRule
	keeper, ok := db.cfg.DataPlane.(PolicyKeeper)
	if !ok {
		for p, s := range db.about {
			r = append(r, InstalledRule{InstalledPolicy{p, p.Direction, db.serials[p]}, s.Name, s.Generated})
		}
		slices.SortFunc(r, func(a, b InstalledRule) int { return cmp.Compare(a.ID, b.ID) })
		return r, nil
	}
	list, err := keeper.InstalledPolicies(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range list {
		if s, ours := db.about[p.Policy]; ours {
			r = append(r, InstalledRule{p, s.Name, s.Generated})
		}
	}
	return r, nil
}

// NameOf returns the name of the rule behind the kernel's number of a policy.
func (db *Database) NameOf(ctx context.Context, id uint32) (name string, ok bool, err error) {
	if err := db.lock(ctx); err != nil {
		return "", false, err
	}
	defer db.unlock()
	if name, ok = db.names[id]; ok {
		return name, true, nil
	}
	// A kernel may number anew what it has replaced.
	list, err := db.installed(ctx)
	if err != nil {
		return "", false, err
	}
	db.names = make(map[uint32]string, len(list))
	for _, p := range list {
		db.names[p.ID] = p.Name
	}
	name, ok = db.names[id]
	return name, ok, nil
}

// Close ends the database. What it has installed is removed, or with keep left
// for the next life to [Database.Restore], where the data plane can; without a
// PolicyStore nobody would know it, and it is removed.
func (db *Database) Close(ctx context.Context, keep bool) error {
	if err := db.lock(ctx); errors.Is(err, ErrClosed) {
		return nil
	} else if err != nil {
		return err
	}
	defer db.unlock()
	db.closed = true
	keeper, _ := db.cfg.DataPlane.(PolicyKeeper)
	owners := []Owner{db.cfg.Owner + declaredOwner, db.cfg.Owner + orphanOwner}
	for o := range db.generated {
		owners = append(owners, o)
	}
	var errs []error
	for _, o := range owners {
		if keep && keeper != nil && db.cfg.Store != nil {
			errs = append(errs, keeper.AbandonPolicies(ctx, o))
		} else {
			errs = append(errs, db.change(ctx, o, nil))
		}
	}
	return errors.Join(errs...)
}
