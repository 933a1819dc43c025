package pfkey

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/racoon3/racoon/spd"
)

// A kernel has one policy for a selector and direction. If it is somebody
// else's, this data plane's own takes its place for a while, and it is put back
// in one step when the own one goes. Nothing that somebody else has put there
// meanwhile is touched.

// displace puts a policy in the place of somebody else's, which is remembered
// first.
func (p *DataPlane) displace(ctx context.Context, kp *kernelPolicy, e *PolicyEntry) (id uint32, err error) {
	_, there, err := p.dumpPolicies(ctx)
	if err != nil {
		return 0, err
	}
	if under := there[kp.key]; under != nil {
		under.Policy.ID, under.Current = 0, nil
		if d := p.cfg.Displaced; d != nil {
			content, err := json.Marshal(under)
			if err == nil {
				err = d.Put(placeOf(&kp.key), content)
			}
			if err != nil {
				return 0, fmt.Errorf("pfkey: remembering a policy of somebody else: %w", err)
			}
		}
		kp.under = under
	}
	return p.c.SPDUpdate(ctx, e)
}

// takeAway makes the kernel as it was before a policy was this data plane's:
// without, or with what somebody else had there. What is not this data plane's
// any more stays.
func (p *DataPlane) takeAway(ctx context.Context, kp *kernelPolicy) error {
	now, err := p.c.SPDGet(ctx, kp.key.dir, kp.entry.Policy.ID)
	switch {
	case missing(err), err == nil && !isStill(now, &kp.entry):
		p.putBack(kp)
		return nil
	case err != nil && !errors.Is(err, EINVAL): // that is what some answer of one that is not there
		return err
	}
	if kp.under != nil {
		_, err = p.c.SPDUpdate(ctx, kp.under)
	} else if err = p.c.SPDDelete(ctx, &kp.entry); err != nil && (missing(err) || p.notThere(ctx, err, kp)) {
		err = nil
	}
	if err != nil {
		return err
	}
	p.putBack(kp)
	return nil
}

// putBack forgets what was displaced.
func (p *DataPlane) putBack(kp *kernelPolicy) {
	if kp.under != nil {
		kp.under = nil
		p.forgetDisplaced(&kp.key)
	}
}

// forgetDisplaced forgets what was displaced in a place. That the store still
// remembers it does no harm before a crash, and then only as much as putting
// back what is not wanted any more.
func (p *DataPlane) forgetDisplaced(k *kernelKey) {
	if d := p.cfg.Displaced; d != nil {
		_ = d.Remove(placeOf(k))
	}
}

// isStill reports whether a policy of the kernel can be what this data plane has
// put there. Addresses are not compared: some kernels move them themselves.
func isStill(now, put *PolicyEntry) bool {
	if now.Policy.Type != put.Policy.Type || now.Policy.Priority != put.Policy.Priority || len(now.Policy.Requests) != len(put.Policy.Requests) {
		return false
	}
	for i := range put.Policy.Requests {
		r, o := &now.Policy.Requests[i], &put.Policy.Requests[i]
		// Of a request that is not unique some kernels forget the ID.
		if r.Proto != o.Proto || r.Mode != o.Mode || r.ReqID != o.ReqID && r.ReqID != 0 {
			return false
		}
	}
	return true
}

// placeOf is a policy's name in a store.
func placeOf(k *kernelKey) string {
	return fmt.Sprintf("%v %v[%d] %v[%d] %d", k.dir, k.src, k.sport, k.dst, k.dport, k.proto)
}

// loadDisplaced takes up what an earlier life has displaced.
func (p *DataPlane) loadDisplaced() (map[string]*PolicyEntry, error) {
	if p.cfg.Displaced == nil {
		return nil, nil
	}
	stored, err := p.cfg.Displaced.Load()
	if err != nil {
		return nil, fmt.Errorf("pfkey: policies of somebody else that were displaced: %w", err)
	}
	under := make(map[string]*PolicyEntry, len(stored))
	for place, content := range stored {
		e := new(PolicyEntry)
		if err := json.Unmarshal(content, e); err != nil {
			return nil, fmt.Errorf("pfkey: a policy of somebody else that was displaced: %w", err)
		}
		under[place] = e
	}
	return under, nil
}

var _ spd.PolicyObserver = (*DataPlane)(nil)

// ForeignPolicies implements [spd.PolicyObserver].
func (p *DataPlane) ForeignPolicies(ctx context.Context) ([]spd.InstalledPolicy, error) {
	p.policyMu.Lock()
	defer p.policyMu.Unlock()
	if err := p.lock(ctx); err != nil {
		return nil, err
	}
	p.mu.Unlock()
	order, there, err := p.dumpPolicies(ctx)
	if err != nil {
		return nil, err
	}
	var list []spd.InstalledPolicy
	for _, k := range order {
		e := there[k]
		if kp := p.policies.keys[k]; kp != nil && kp.there && isStill(e, &kp.entry) {
			continue
		}
		pol := p.foreignPolicy(e)
		list = append(list, spd.InstalledPolicy{Policy: pol, Direction: pol.Direction, ID: e.Policy.ID})
	}
	if p.d.priority {
		slices.SortStableFunc(list, func(a, b spd.InstalledPolicy) int { return cmp.Compare(a.Policy.Priority, b.Policy.Priority) })
	}
	return list, nil
}

// foreignPolicy describes a policy that somebody else has put into the kernel,
// with setkey for instance: its SAs are made on demand too.
func (p *DataPlane) foreignPolicy(e *PolicyEntry) spd.Policy {
	side := func(n netip.Prefix, port uint16) spd.TrafficSelector {
		ts := spd.FromPrefix(n)
		if e.Proto != 0 {
			ports := spd.AnyPort
			if port != 0 {
				ports = spd.PortRange{First: port, Last: port}
			}
			ts = ts.WithProtocol(e.Proto, ports)
		}
		return ts
	}
	pol := spd.Policy{Direction: spd.Out, Action: spd.ActionTrap, Priority: e.Policy.Priority,
		Selector: spd.Selector{Local: side(e.Src, e.SrcPort), Remote: side(e.Dst, e.DstPort)}}
	if e.Policy.Dir != DirOut {
		pol.Direction, pol.Action, pol.Selector = spd.In, spd.ActionProtect, pol.Selector.Reverse()
		if e.Policy.Dir == DirForward {
			pol.Direction = spd.Forward
		}
	}
	n := len(e.Policy.Requests)
	switch {
	case e.Policy.Type == PolicyDiscard:
		pol.Action = spd.ActionDiscard
		return pol
	case e.Policy.Type != PolicyIPsec || n == 0:
		pol.Action = spd.ActionBypass
		return pol
	}
	for i := range e.Policy.Requests {
		r := &e.Policy.Requests[i]
		proto := spd.ProtoESP
		switch r.Proto {
		case IPProtoAH:
			proto = spd.ProtoAH
		case IPProtoIPComp:
			proto = spd.ProtoIPComp
		}
		switch {
		case i == n-1:
			pol.Protocol = proto
		case i < len(pol.Inner):
			pol.Inner[i] = proto
		}
		pol.OptionalInbound = pol.OptionalInbound || pol.Direction != spd.Out && r.Level == LevelUse && r.Proto != IPProtoIPComp
	}
	pol.ReqID = p.foreignReqID(e.Policy.Requests[n-1].ReqID)
	first := &e.Policy.Requests[0]
	if first.Mode == ModeTransport {
		pol.Mode = spd.ModeTransport
		return pol
	}
	pol.Local, pol.Remote = first.Src.Addr, first.Dst.Addr
	if pol.Direction != spd.Out {
		pol.Local, pol.Remote = pol.Remote, pol.Local
	}
	for _, a := range []*netip.Addr{&pol.Local, &pol.Remote} {
		if a.IsValid() && a.IsUnspecified() {
			*a = netip.Addr{}
		}
	}
	return pol
}

// foreignReqID is the request ID of somebody else's policy: SAs of that ID get
// the kernel's number as it is.
func (p *DataPlane) foreignReqID(id uint32) uint32 {
	if id > MaxReqID {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.reqs.foreign[id] = true
	}
	return id
}

// AcquireReqID implements [spd.PolicyObserver].
func (p *DataPlane) AcquireReqID(id spd.AcquireID) (reqID uint32, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.acquires[id]
	if a == nil {
		return 0, false
	}
	return a.reqID, true
}
