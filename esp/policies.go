package esp

import (
	"sync"
	"sync/atomic"

	"github.com/racoon3/racoon/spd"
)

// policies is the SPD. Packets work on a snapshot.
type policies struct {
	mu    sync.Mutex
	set   spd.PolicySet
	table atomic.Pointer[spd.PolicyTable]
}

// replace replaces the policies of an owner, in one step for the packets.
func (p *policies) replace(owner spd.Owner, list []spd.Policy) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	change, err := p.set.Set(owner, list)
	if err != nil {
		return err
	}
	p.table.Store(p.table.Load().Apply(change))
	return nil
}

func (p *policies) lookup(d spd.Direction, f *spd.Flow) *spd.Policy {
	return p.table.Load().Lookup(d, f)
}

func (p *policies) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set = spd.PolicySet{}
	p.table.Store(nil)
}
