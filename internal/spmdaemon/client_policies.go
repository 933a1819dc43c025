package spmdaemon

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/spd/spmif"
)

// clientPolicies are the policies that clients have installed.
type clientPolicies struct {
	d *Daemon

	mu      sync.Mutex // held during changes of the data plane: they wait for each other there anyway
	byKey   map[policyKey]*clientPolicy
	owned   map[spmif.ClientID]int
	stopped bool
	ctx     context.Context
	cancel  context.CancelFunc
}

// policyKey is what a client says to name a policy.
type policyKey struct {
	name         string
	mode         spd.Mode
	src, dst     netip.Prefix
	sasrc, sadst netip.Addr
}

type clientPolicy struct {
	key   policyKey
	rules *spd.Generated
	owner spmif.ClientID // 0: nobody any more
	ends  *time.Timer    // its lifetime; nil: for good
	lost  *time.Timer    // its client is gone
}

var _ spmif.Policies = (*clientPolicies)(nil)

func (p *clientPolicies) init(d *Daemon) {
	p.d, p.byKey, p.owned = d, map[policyKey]*clientPolicy{}, map[spmif.ClientID]int{}
	p.ctx, p.cancel = context.WithCancel(context.Background())
}

// stop ends the timers. The policies are left to the database.
func (p *clientPolicies) stop() {
	p.cancel() // what a timer does holds the lock
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	for _, c := range p.byKey {
		c.stopTimers()
	}
}

func (c *clientPolicy) stopTimers() {
	for _, t := range []*time.Timer{c.ends, c.lost} {
		if t != nil {
			t.Stop()
		}
	}
	c.ends, c.lost = nil, nil
}

func keyOf(r *spmif.Request) policyKey {
	return policyKey{r.Name, r.Mode, r.Src, r.Dst, r.SASrc, r.SADst}
}

// rule is what a request makes of the configuration's rule.
func (p *clientPolicies) rule(r *spmif.Request) (spd.Rule, error) {
	p.d.mu.Lock()
	lookup := p.d.policies.Rule
	p.d.mu.Unlock()
	var rule spd.Rule
	ok := false
	if lookup != nil {
		rule, ok = lookup(r.Name)
	}
	if !ok {
		return rule, spmif.ErrNotFound
	}
	if rule.Action != spd.ActionProtect && rule.Action != spd.ActionTrap {
		return rule, fmt.Errorf("the rule %q is to %v, and has no SAs", r.Name, rule.Action)
	}
	// The packets' protocol and ports are the configuration's, and it says which
	// side is which.
	side := func(to netip.Prefix, of []spd.TrafficSelector) []spd.TrafficSelector {
		ts := spd.FromPrefix(to)
		if len(of) > 0 {
			ts = ts.WithProtocol(of[0].Protocol, of[0].Ports)
		}
		return []spd.TrafficSelector{ts}
	}
	local, remote, localAddr, remoteAddr := r.Src, r.Dst, r.SASrc, r.SADst
	if rule.Direction == spd.OnlyInbound {
		local, remote, localAddr, remoteAddr = remote, local, remoteAddr, localAddr
	}
	rule.Local, rule.Remote = side(local, rule.Local), side(remote, rule.Remote)
	rule.Mode, rule.LocalAddr, rule.RemoteAddr = r.Mode, localAddr, remoteAddr
	rule.Direction = spd.BothDirections
	return rule, nil
}

// AddPolicy implements [spmif.Policies]. To add what is there begins its
// lifetime anew, and makes it this client's.
func (p *clientPolicies) AddPolicy(ctx context.Context, id spmif.ClientID, r *spmif.Request) (out, in string, err error) {
	rule, err := p.rule(r)
	if err != nil {
		return "", "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return "", "", spd.ErrClosed
	}
	c := p.byKey[keyOf(r)]
	if (c == nil || c.owner != id) && p.owned[id] >= p.d.opt.MaxPolicies {
		return "", "", fmt.Errorf("the client has %d policies already", p.owned[id])
	}
	if c == nil {
		rules, err := p.d.db.Generate(ctx, rule)
		if err != nil {
			return "", "", err
		}
		c = &clientPolicy{key: keyOf(r), rules: rules}
		p.byKey[c.key] = c
	} else if err := c.rules.Set(ctx, rule); err != nil {
		return "", "", err
	}
	p.give(c, id)
	c.stopTimers()
	if r.Lifetime > 0 {
		c.ends = p.after(r.Lifetime, c, func() bool { return true })
	}
	return r.Name, r.Name, nil
}

// give makes a policy another client's. p.mu is held.
func (p *clientPolicies) give(c *clientPolicy, to spmif.ClientID) {
	if c.owner != 0 {
		if p.owned[c.owner]--; p.owned[c.owner] == 0 {
			delete(p.owned, c.owner)
		}
	}
	if c.owner = to; to != 0 {
		p.owned[to]++
	}
}

// after removes a policy later, if it is still there and still is so. p.mu is
// held.
func (p *clientPolicies) after(t time.Duration, c *clientPolicy, still func() bool) (timer *time.Timer) {
	timer = time.AfterFunc(t, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.stopped || p.byKey[c.key] != c || c.ends != timer && c.lost != timer || !still() {
			return
		}
		if err := p.remove(p.ctx, c); err != nil && p.ctx.Err() == nil {
			p.d.log.Error("a client's policy could not be removed", "policy", c.key.name, "err", err)
			timer.Reset(time.Minute)
		}
	})
	return timer
}

// remove removes a policy. p.mu is held.
func (p *clientPolicies) remove(ctx context.Context, c *clientPolicy) error {
	if err := c.rules.Remove(ctx); err != nil {
		return err
	}
	c.stopTimers()
	p.give(c, 0)
	delete(p.byKey, c.key)
	return nil
}

// DeletePolicy implements [spmif.Policies], for policies of any client.
func (p *clientPolicies) DeletePolicy(ctx context.Context, _ spmif.ClientID, r *spmif.Request) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !r.Whole {
		if c := p.byKey[keyOf(r)]; c != nil {
			return p.remove(ctx, c)
		}
		return spmif.ErrNotFound
	}
	found := false
	var errs []error
	for _, c := range p.byKey {
		if c.key.name == r.Name {
			found = true
			errs = append(errs, p.remove(ctx, c))
		}
	}
	if !found {
		return spmif.ErrNotFound
	}
	return errors.Join(errs...)
}

// ListPolicies implements [spmif.Policies].
func (p *clientPolicies) ListPolicies(ctx context.Context) ([]spmif.PolicyID, error) {
	list, err := p.d.db.Installed(ctx)
	r := make([]spmif.PolicyID, len(list))
	for i, e := range list {
		r[i] = spmif.PolicyID{Name: e.Name, ID: e.ID}
	}
	return r, err
}

// SelectorOf implements [spmif.Policies].
func (p *clientPolicies) SelectorOf(ctx context.Context, id uint32) (string, error) {
	name, ok, err := p.d.db.NameOf(ctx, id)
	if err == nil && !ok {
		err = spmif.ErrNotFound
	}
	return name, err
}

// outer are the ends of a tunnel; 0.0.0.0 and :: are an end that is left open.
func outer(src, dst netip.Addr) spd.AddrPair {
	p := spd.AddrPair{Local: src, Remote: dst}
	for _, a := range []*netip.Addr{&p.Local, &p.Remote} {
		if a.IsUnspecified() {
			*a = netip.Addr{}
		}
	}
	return p
}

// Migrate implements [spmif.Policies].
func (p *clientPolicies) Migrate(ctx context.Context, r *spmif.Request) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	from, to := outer(r.SASrc, r.SADst), outer(r.NewSrc, r.NewDst)
	p.d.mu.Lock()
	lookup := p.d.policies.Rule
	p.d.mu.Unlock()
	if lookup != nil {
		if rule, ok := lookup(r.Name); ok && rule.Direction == spd.OnlyInbound {
			from, to = spd.AddrPair{Local: from.Remote, Remote: from.Local}, spd.AddrPair{Local: to.Remote, Remote: to.Local}
		}
	}
	n, err := p.d.db.Move(ctx, r.Name, from, to)
	if err == nil && n == 0 {
		err = spmif.ErrNotFound
	}
	if err != nil {
		return err
	}
	for k, c := range p.byKey {
		if k.name == r.Name && k.sasrc == r.SASrc && k.sadst == r.SADst {
			delete(p.byKey, k)
			c.key.sasrc, c.key.sadst = r.NewSrc, r.NewDst
			p.byKey[c.key] = c
		}
	}
	return nil
}

// ClientGone implements [spmif.Policies].
func (p *clientPolicies) ClientGone(id spmif.ClientID, orderly bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped || p.owned[id] == 0 {
		return
	}
	if !orderly {
		p.d.log.Warn("a client is gone without a word", "client", id, "policies", p.owned[id])
	}
	for _, c := range p.byKey {
		if c.owner != id {
			continue
		}
		p.give(c, 0)
		if !orderly && p.d.opt.Lost == LostRemove {
			c.lost = p.after(p.d.opt.Grace, c, func() bool { return c.owner == 0 })
		}
	}
}
