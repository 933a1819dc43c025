package esp

import (
	"sync"
	"sync/atomic"

	"github.com/racoon3/racoon/spd"
)

// policies is the SPD. Packets work on a snapshot; owners count how many of
// them want a policy.
type policies struct {
	mu     sync.Mutex
	owners map[spd.Owner][]spd.Policy
	refs   map[spd.Policy]int
	table  atomic.Pointer[spd.PolicyTable]
}

// set replaces the policies of an owner, in one step for the packets.
func (p *policies) set(owner spd.Owner, list []spd.Policy) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.owners == nil {
		p.owners, p.refs = make(map[spd.Owner][]spd.Policy), make(map[spd.Policy]int)
	}
	wanted := make(map[spd.Policy]bool, len(list))
	var own, add, remove []spd.Policy
	for _, pol := range list {
		if !wanted[pol] {
			wanted[pol] = true
			own = append(own, pol)
			if p.refs[pol] == 0 {
				add = append(add, pol)
			}
		}
	}
	for _, pol := range p.owners[owner] {
		if p.refs[pol] == 1 && !wanted[pol] {
			remove = append(remove, pol)
		}
	}
	t, err := p.table.Load().With(remove, add)
	if err != nil {
		return err
	}
	p.table.Store(t)

	for _, pol := range own {
		p.refs[pol]++
	}
	for _, pol := range p.owners[owner] {
		if p.refs[pol]--; p.refs[pol] == 0 {
			delete(p.refs, pol)
		}
	}
	if len(own) == 0 {
		delete(p.owners, owner)
	} else {
		p.owners[owner] = own
	}
	return nil
}

func (p *policies) lookup(d spd.Direction, f *spd.Flow) *spd.Policy {
	return p.table.Load().Lookup(d, f)
}

func (p *policies) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.owners, p.refs = nil, nil
	p.table.Store(nil)
}
