package pfkey

import (
	"fmt"

	"github.com/racoon3/racoon/spd"
)

// reqIDs gives each request ID of key management a number that a kernel takes
// in policies, 1 to MaxReqID: larger ones it replaces by its own. A number is
// the request ID itself where that is possible.
type reqIDs struct {
	ids   map[uint32]*reqID // by key management's
	taken [MaxReqID + 1]bool
	next  uint32

	foreign map[uint32]bool // larger ones that are a kernel's own numbers
}

type reqID struct {
	kernel uint32
	refs   int
}

func newReqIDs() reqIDs {
	return reqIDs{ids: map[uint32]*reqID{}, next: MaxReqID, foreign: map[uint32]bool{}}
}

// take returns the kernel's number, to be given back once for each take. 0 is
// always 0: any SA.
func (r *reqIDs) take(id uint32) (uint32, error) {
	if id == 0 {
		return 0, nil
	}
	x := r.ids[id]
	if x == nil {
		k := uint32(0)
		if id <= MaxReqID && !r.taken[id] || r.foreign[id] {
			k = id
		} else {
			for range MaxReqID {
				// From the top: small ones are what configurations name.
				if !r.taken[r.next] {
					k = r.next
				}
				if r.next--; r.next == 0 {
					r.next = MaxReqID
				}
				if k != 0 {
					break
				}
			}
		}
		if k == 0 {
			return 0, fmt.Errorf("%w: pfkey: more than %d request IDs at once", spd.ErrUnsupported, MaxReqID)
		}
		x = &reqID{kernel: k}
		r.ids[id] = x
		if k <= MaxReqID {
			r.taken[k] = true
		}
	}
	x.refs++
	return x.kernel, nil
}

func (r *reqIDs) give(id uint32) {
	if x := r.ids[id]; x != nil {
		if x.refs--; x.refs == 0 {
			delete(r.ids, id)
			if x.kernel <= MaxReqID {
				r.taken[x.kernel] = false
			}
		}
	}
}

// kernel returns the number that take has given.
func (r *reqIDs) kernel(id uint32) uint32 {
	if x := r.ids[id]; x != nil {
		return x.kernel
	}
	return 0
}
