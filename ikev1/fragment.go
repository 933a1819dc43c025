package ikev1

import (
	"bytes"
	"cmp"
	"container/list"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/internal/vendorid"
)

// Fragments of IKE messages, as Cisco has them. A fragment is in clear and
// proves nothing: whoever sees the cookies can send one. So what is collected is
// bounded, and a message that does not turn out to be genuine changes nothing.
// Nothing in a fragment says which transmission of a message it belongs to, or
// even which message: most senders number all of them 1, and those of phase 1
// share the message ID 0. What came last counts, and the length in the
// message's own header tells when it is whole.

const (
	// maxFragmented bounds one message that is collected, in octets,
	// maxFragmentedEarly one of a peer that is not authenticated: room for a
	// chain of certificates.
	maxFragmented      = 64 << 10
	maxFragmentedEarly = 32 << 10
	// maxCollected bounds all messages that an endpoint collects, once for the
	// half-open ones and once for the others. The oldest gives way.
	maxCollected = 8 << 20
	// maxCollecting is how many messages one ISAKMP SA may collect.
	maxCollecting = 3
	// fragmentTime is how long a message may take, retransmissions included.
	fragmentTime = 60 * time.Second
	// fragmentCost is what a fragment costs us beside its data, in octets.
	fragmentCost = 64
	// maxMixtures is how often a message is tried that may be a mixture of two.
	maxMixtures = 8
)

// A reassembly collects the fragments of one message.
type reassembly struct {
	exchange isakmp.ExchangeType
	message  uint32
	id       uint16

	parts    []fragmentPart // by index, holes left out
	size     int            // of the data
	mixtures int
	expires  time.Time

	first initKey // of a first message, while there is no SA
	sa    *isakmpSA
	in    *collection
	place *list.Element
}

type fragmentPart struct {
	index uint8
	last  bool
	fresh bool // came since the message was whole the last time
	data  []byte
}

// A collection bounds what is being reassembled.
type collection struct {
	sets   list.List // of *reassembly, oldest first
	octets int
}

// fragments is what an endpoint is reassembling.
type fragments struct {
	early, late collection              // before and after the peer is authenticated
	firsts      map[initKey]*reassembly // first messages, which have no SA
	timer       child.Timer
}

// fragment takes a fragment, and the message that it completes.
func (e *Endpoint) fragment(now time.Time, path ike.Path, sa *isakmpSA, h isakmp.Header, b []byte) {
	switch {
	case sa == nil && h.CookieR != 0:
		e.Count.UnknownSPI++
		return
	case !e.takesFragments(path, sa, h):
		e.Count.Unexpected++
		return
	case sa == nil && e.Crowded(path.Remote):
		e.Count.Limited++
		return
	}
	chain, err := isakmp.ParseChain(h.NextPayload, b[isakmp.HeaderLen:])
	if err != nil || len(chain) != 1 {
		e.Count.Malformed++
		return
	}
	payloads, err := chain.Payloads()
	if err != nil {
		e.Count.Malformed++
		return
	}
	f := payloads.Fragment()
	if f.Index == 1 && len(f.Data) < isakmp.HeaderLen {
		e.Count.Malformed++ // nobody cuts that small, and the length is in there
		return
	}
	r := e.reassembly(now, path, sa, h, f.ID)
	before, limit := r.size+len(r.parts)*fragmentCost, maxFragmentedEarly
	if sa != nil && sa.ready() {
		limit = maxFragmented
	}
	changed := r.add(f)
	cost := r.size + len(r.parts)*fragmentCost
	r.in.octets += cost - before
	if r.size > limit {
		e.Count.Limited++
		e.forgetFragments(r)
		return
	}
	for r.in.octets > maxCollected {
		e.Count.Limited++
		e.forgetFragments(r.in.sets.Front().Value.(*reassembly))
	}
	if r.place == nil || !r.whole(changed) {
		return
	}
	whole := make([]byte, 0, r.size)
	for i := range r.parts {
		whole = append(whole, r.parts[i].data...)
		r.parts[i].fresh = false
	}
	if sa == nil {
		e.forgetFragments(r)
	}
	m, err := isakmp.ParseHeader(whole)
	if err != nil || m.NextPayload == isakmp.PayloadFragment || m.CookieI != h.CookieI || m.CookieR != h.CookieR ||
		m.Exchange != h.Exchange || m.MessageID != h.MessageID {
		e.Count.Malformed++
		return
	}
	e.dispatch(now, path, sa, m, whole)
}

// takesFragments reports whether the configuration allows fragments, of an SA
// or of a first message.
func (e *Endpoint) takesFragments(path ike.Path, sa *isakmpSA, h isakmp.Header) bool {
	allows := func(p *Peer) bool { return p.Fragmentation != FragmentOff }
	if sa != nil {
		return slices.ContainsFunc(sa.peers(), allows)
	}
	if _, ok := modeOf(h.Exchange); !ok || h.MessageID != 0 {
		return false
	}
	possible, _ := e.peers.index.Candidates(path)
	return slices.ContainsFunc(possible, allows)
}

// peers are those that the other side may be: one, once it is known.
func (sa *isakmpSA) peers() []*Peer {
	switch {
	case sa.s.peer != nil:
		return []*Peer{sa.s.peer}
	case sa.p1 != nil:
		return sa.p1.possible
	}
	return nil
}

// reassembly finds the message that a fragment belongs to, or begins one.
func (e *Endpoint) reassembly(now time.Time, path ike.Path, sa *isakmpSA, h isakmp.Header, id uint16) *reassembly {
	first := initKey{h.CookieI, path.Remote}
	is := func(r *reassembly) bool { return r.exchange == h.Exchange && r.message == h.MessageID && r.id == id }
	if sa == nil {
		if r := e.fragments.firsts[first]; r != nil {
			if is(r) {
				return r
			}
			e.forgetFragments(r)
		}
	} else {
		if i := slices.IndexFunc(sa.collecting, is); i >= 0 {
			return sa.collecting[i]
		}
		if len(sa.collecting) == maxCollecting {
			e.forgetFragments(sa.collecting[0])
		}
	}
	r := &reassembly{exchange: h.Exchange, message: h.MessageID, id: id, expires: now.Add(fragmentTime), sa: sa, in: &e.fragments.early}
	switch {
	case sa == nil:
		if e.fragments.firsts == nil {
			e.fragments.firsts = make(map[initKey]*reassembly)
		}
		r.first = first
		e.fragments.firsts[first] = r
	case sa.ready():
		r.in = &e.fragments.late
		fallthrough
	default:
		sa.collecting = append(sa.collecting, r)
	}
	r.place = r.in.sets.PushBack(r)
	r.in.octets += reassemblyCost
	e.fragments.timer.Owner = e.fragmentsDue
	if !e.fragments.timer.Active() {
		e.SetTimer(&e.fragments.timer, r.expires)
	}
	return r
}

// reassemblyCost is what an empty reassembly costs us, in octets.
const reassemblyCost = 256

// forgetFragments ends a reassembly.
func (e *Endpoint) forgetFragments(r *reassembly) {
	if r.place == nil {
		return
	}
	r.in.sets.Remove(r.place)
	r.in.octets -= reassemblyCost + r.size + len(r.parts)*fragmentCost
	r.place, r.parts = nil, nil
	if r.sa == nil {
		delete(e.fragments.firsts, r.first)
		return
	}
	r.sa.collecting = slices.DeleteFunc(r.sa.collecting, func(o *reassembly) bool { return o == r })
	if len(r.sa.collecting) == 0 {
		r.sa.collecting = nil
	}
}

// fragmentsDue ends what has not become whole in time.
func (e *Endpoint) fragmentsDue(now time.Time) {
	var next time.Time
	for _, c := range []*collection{&e.fragments.early, &e.fragments.late} {
		for c.sets.Len() > 0 {
			r := c.sets.Front().Value.(*reassembly)
			if r.expires.After(now) {
				if next.IsZero() || r.expires.Before(next) {
					next = r.expires
				}
				break
			}
			e.forgetFragments(r)
		}
	}
	if !next.IsZero() {
		e.SetTimer(&e.fragments.timer, next)
	}
}

// add takes a fragment, and reports whether it changes anything. What it
// contradicts is of another message, or of one that was cut in another way, and
// gives way.
func (r *reassembly) add(f *isakmp.Fragment) (changed bool) {
	i, found := slices.BinarySearchFunc(r.parts, f.Index, func(p fragmentPart, index uint8) int { return cmp.Compare(p.index, index) })
	if found && r.parts[i].last == f.Last() && bytes.Equal(r.parts[i].data, f.Data) {
		r.parts[i].fresh = true
		return false
	}
	p := fragmentPart{index: f.Index, last: f.Last(), fresh: true, data: bytes.Clone(f.Data)}
	if found {
		r.size -= len(r.parts[i].data)
		r.parts[i] = p
	} else {
		r.parts = slices.Insert(r.parts, i, p)
	}
	r.size += len(p.data)
	r.parts = slices.DeleteFunc(r.parts, func(o fragmentPart) bool {
		stale := o.index != p.index && (p.last && o.index > p.index || o.last && o.index < p.index)
		if stale {
			r.size -= len(o.data)
		}
		return stale
	})
	return true
}

// whole reports whether the message is complete and to be looked at: all of it
// has come since the last time, or it differs from what it was then. The latter
// may be a mixture of two messages, so that ends at some time.
func (r *reassembly) whole(changed bool) bool {
	n := len(r.parts)
	if !r.parts[n-1].last || int(r.parts[n-1].index) != n {
		return false
	}
	first := r.parts[0].data
	if length := uint32(first[24])<<24 | uint32(first[25])<<16 | uint32(first[26])<<8 | uint32(first[27]); uint64(length) != uint64(r.size) {
		return false
	}
	if !slices.ContainsFunc(r.parts, func(p fragmentPart) bool { return !p.fresh }) {
		return true
	}
	if !changed || r.mixtures == maxMixtures {
		return false
	}
	r.mixtures++
	return true
}

// forgetAllFragments ends what an SA is collecting.
func (sa *isakmpSA) forgetAllFragments() {
	for len(sa.collecting) > 0 {
		sa.ep.forgetFragments(sa.collecting[0])
	}
}

// peerFragments reports whether the peer has said that it takes fragments of
// the SA's messages.
func (sa *isakmpSA) peerFragments() bool {
	need := vendorid.FragmentsMain
	if sa.mode == BaseMode {
		need = vendorid.FragmentsBase
	}
	return sa.peerVIDs.Has(vendorid.Fragmentation) && sa.peerVIDs.Fragmentation()&need != 0
}

// ownFragments is where this side takes fragments of any of the peers, 0 for
// nowhere.
func ownFragments(peers []*Peer) (f vendorid.Fragments) {
	for _, p := range peers {
		if p.Fragmentation == FragmentOff {
			continue
		}
		f |= vendorid.FragmentsMain
		if slices.Contains(p.Modes, BaseMode) {
			f |= vendorid.FragmentsBase
		}
	}
	return f
}

// fragmentSize is the size of IP datagram that messages are cut to, 0 for none.
func (sa *isakmpSA) fragmentSize() int {
	peers := sa.peers()
	if len(peers) == 0 {
		return 0
	}
	p := peers[0]
	switch {
	case p.Fragmentation == FragmentOff, p.Fragmentation != FragmentForce && !sa.peerFragments():
		return 0
	case p.FragmentSize > 0:
		return max(p.FragmentSize, smallFragment4)
	}
	return sa.smallFragment()
}

// Datagrams that every host takes (RFC 791, RFC 8200 5).
const (
	smallFragment4 = 576
	smallFragment6 = 1280
)

func (sa *isakmpSA) smallFragment() int {
	if sa.s.RemoteAddr().Is4() {
		return smallFragment4
	}
	return smallFragment6
}

// cut cuts a message into fragments where that is agreed.
func (sa *isakmpSA) cut(m []byte) [][]byte { return sa.cutTo(m, sa.fragmentSize()) }

// cutTo cuts a message for IP datagrams of a size; 0 leaves it whole.
func (sa *isakmpSA) cutTo(m []byte, size int) [][]byte {
	room := size - 20 - 8 - 4 // IPv4, UDP, non-ESP marker
	if !sa.s.RemoteAddr().Is4() {
		room -= 20 // IPv6
	}
	if size == 0 || len(m) <= room {
		return [][]byte{m}
	}
	h, err := isakmp.ParseHeader(m)
	if err != nil {
		return [][]byte{m}
	}
	h.Flags &^= isakmp.FlagEncryption // a fragment is in clear
	const most = 255
	room = max(room-isakmp.HeaderLen-isakmp.FragmentLen, (len(m)+most-1)/most)
	out := make([][]byte, 0, (len(m)+room-1)/room)
	for data := range slices.Chunk(m, room) {
		// All messages have the same number, as racoon and Cisco have it.
		f := isakmp.Fragment{ID: 1, Index: uint8(len(out) + 1), Data: data}
		if len(out)+1 == cap(out) {
			f.Flags = isakmp.FragmentLast
		}
		b := isakmp.NewBuilder(make([]byte, 0, isakmp.HeaderLen+isakmp.FragmentLen+len(data)), h)
		b.Add(&f)
		packet, err := b.Finish()
		if err != nil {
			return [][]byte{m}
		}
		out = append(out, packet)
	}
	return out
}

// smaller returns a message for its retransmission: after two that were not
// answered, it may have been too large for the path. Then it is cut to the
// smallest size, if the peer can put it together.
func (sa *isakmpSA) smaller(packets [][]byte, tries int) [][]byte {
	size := sa.fragmentSize()
	if tries < 2 || size <= sa.smallFragment() || len(packets) == 0 {
		return packets
	}
	return sa.cutTo(joinFragments(packets), sa.smallFragment())
}

// joinFragments puts a message of our own together again.
func joinFragments(packets [][]byte) []byte {
	if isakmp.PayloadType(packets[0][16]) != isakmp.PayloadFragment {
		return packets[0]
	}
	var m []byte
	for _, p := range packets {
		m = append(m, p[isakmp.HeaderLen+isakmp.FragmentLen:]...)
	}
	return m
}
