package xfrmtest

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/racoon3/racoon/xfrm"
)

// A Kernel is Linux's XFRM in memory. It is safe for concurrent use; its
// exported fields are set before it is used, but for what says otherwise.
type Kernel struct {
	// Fail is asked before each request is carried out: a number that is not 0
	// is its error. Silence means that the request is carried out but not
	// answered, and Lost that it is neither. It runs under the kernel's lock.
	Fail func(m xfrm.Message) xfrm.Errno
	// After is called after each request, under the kernel's lock: to watch
	// what packets would meet in between, by [Kernel.LookOut].
	After func(m xfrm.Message, errno xfrm.Errno)
	// Answer changes the datagrams of answers, for what no real kernel sends.
	Answer func(datagram []byte) []byte
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Lacks tells which algorithms the kernel has not, by name.
	Lacks func(algorithm string) bool
	// Ignores are attributes that the kernel does not know, and so ignores.
	Ignores []xfrm.AttributeType
	// HideKeys makes it tell keys of zeros only, as under lockdown.
	HideKeys bool
	// AcquireExpires is how long reserved SPIs and acquires live; 0 is 30 s.
	AcquireExpires time.Duration
	// EventQueue is how many events a socket holds; 0 is very many. It may be
	// changed between events.
	EventQueue int
	// LoseEvents loses events, which their readers learn. Set it with [Kernel.Do].
	LoseEvents bool

	mu       sync.Mutex
	conns    map[*conn]bool
	lastPort uint32
	sas      map[xfrm.SAKey]*state
	bySPI    map[uint32][]*state
	larval   map[*state]bool
	byAddr   map[pairKey][]*state // those without an SPI too
	policies map[xfrm.PolicyKey]*policy
	index    uint32
	seq      uint32 // of acquires
	order    uint64 // of installation
	requests map[xfrm.MessageType]int
	defaults xfrm.GetDefault
}

// What Kernel.Fail returns besides error numbers.
const (
	Silence xfrm.Errno = 0xfffe
	Lost    xfrm.Errno = 0xffff
)

type state struct {
	xfrm.SA
	larval  bool
	ends    time.Time // larval only
	dying   bool
	order   uint64
	noticed bool // the first packet was told
}

type policy struct {
	xfrm.Policy
	order uint64
}

type pairKey struct {
	proto    uint8
	src, dst netip.Addr
}

// NewKernel returns a kernel without SAs and policies.
func NewKernel() *Kernel {
	return &Kernel{conns: map[*conn]bool{}, sas: map[xfrm.SAKey]*state{}, bySPI: map[uint32][]*state{}, larval: map[*state]bool{}, byAddr: map[pairKey][]*state{},
		policies: map[xfrm.PolicyKey]*policy{}, requests: map[xfrm.MessageType]int{},
		defaults: xfrm.GetDefault{In: xfrm.DefaultAccept, Forward: xfrm.DefaultAccept, Out: xfrm.DefaultAccept}}
}

func (k *Kernel) now() time.Time {
	if k.Now != nil {
		return k.Now()
	}
	return time.Now()
}

// Do runs f under the kernel's lock, to change its fields while it is used.
func (k *Kernel) Do(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f()
}

// Requests returns how many requests of a type there were.
func (k *Kernel) Requests(t xfrm.MessageType) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.requests[t]
}

// Conns returns how many sockets are open.
func (k *Kernel) Conns() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.conns)
}

// SAs returns all SAs, in the order of their installation. Those without keys
// are reserved SPIs and acquires.
func (k *Kernel) SAs() []xfrm.SA {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expireLarval()
	var all []*state
	for _, list := range k.byAddr {
		all = append(all, list...)
	}
	slices.SortFunc(all, func(a, b *state) int { return int(a.order) - int(b.order) })
	r := make([]xfrm.SA, len(all))
	for i, s := range all {
		r[i] = s.SA
	}
	return r
}

// Policies returns all policies, in precedence.
func (k *Kernel) Policies() []xfrm.Policy {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []*policy
	for _, p := range k.policies {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *policy) int {
		if a.Priority != b.Priority {
			return int(int64(a.Priority) - int64(b.Priority))
		}
		return int(a.order) - int(b.order)
	})
	r := make([]xfrm.Policy, len(all))
	for i, p := range all {
		r[i] = p.Policy
	}
	return r
}

// handle carries out one request.
func (k *Kernel) handle(c *conn, h xfrm.Header, body []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	h.Port = c.port
	reply := func(b []byte) {
		if k.Answer != nil {
			b = k.Answer(b)
		}
		c.put(b, 1<<30)
	}
	t := xfrm.MessageType(h.Type)
	var m xfrm.Message
	var err error
	dump := h.Flags&xfrm.FlagDump == xfrm.FlagDump
	switch {
	case dump && t == xfrm.MsgGetSA:
		m, err = xfrm.ParseDumpSA(body)
	case dump && t == xfrm.MsgGetPolicy:
		m = &xfrm.DumpPolicy{}
	default:
		m, err = xfrm.Parse(t, body)
	}
	if err != nil {
		reply(xfrm.AppendAck(nil, h, xfrm.EINVAL, "malformed"))
		return
	}
	k.requests[t]++
	k.expireLarval()
	var answer []xfrm.Message
	var errno xfrm.Errno
	if k.Fail != nil {
		errno = k.Fail(m)
	}
	silent := errno == Silence || errno == Lost
	if errno == 0 || errno == Silence {
		answer, errno = k.carryOut(h, m)
	}
	if k.After != nil {
		k.After(m, errno)
	}
	switch {
	case silent:
	case errno != 0:
		reply(xfrm.AppendAck(nil, h, errno, ""))
	case dump:
		k.replyDump(reply, h, answer)
	case len(answer) > 0:
		for _, a := range answer {
			reply(xfrm.AppendMessage(nil, xfrm.Header{Type: uint16(a.MessageType()), Seq: h.Seq, Port: h.Port}, a.Append))
		}
	case h.Flags&xfrm.FlagAck != 0:
		reply(xfrm.AppendAck(nil, h, 0, ""))
	}
}

// replyDump sends the answers of a dump, several in a datagram.
func (k *Kernel) replyDump(reply func([]byte), h xfrm.Header, answer []xfrm.Message) {
	const size = 16 << 10
	b := make([]byte, 0, size)
	for _, a := range answer {
		if len(b) > size-4096 {
			reply(b)
			b = make([]byte, 0, size)
		}
		b = xfrm.AppendMessage(b, xfrm.Header{Type: uint16(a.MessageType()), Flags: xfrm.FlagMulti, Seq: h.Seq, Port: h.Port}, a.Append)
	}
	reply(xfrm.AppendMessage(b, xfrm.Header{Type: xfrm.CtlDone, Flags: xfrm.FlagMulti, Seq: h.Seq, Port: h.Port},
		func(b []byte) []byte { return append(b, 0, 0, 0, 0) }))
}

func (k *Kernel) carryOut(h xfrm.Header, m xfrm.Message) ([]xfrm.Message, xfrm.Errno) {
	switch m := m.(type) {
	case *xfrm.NewSA:
		return nil, k.newSA(h, &m.SA, false)
	case *xfrm.UpdSA:
		return nil, k.newSA(h, &m.SA, true)
	case *xfrm.AllocSPI:
		return k.allocSPI(m)
	case *xfrm.DelSA:
		s := k.lookup(m.Key)
		if s == nil {
			return nil, xfrm.ESRCH
		}
		k.remove(s)
		last := s.SA
		k.multicast(xfrm.GroupSA, h, &xfrm.DelSA{Key: s.Key(), SA: &last})
		return nil, 0
	case *xfrm.GetSA:
		s := k.lookup(m.Key)
		if s == nil {
			return nil, xfrm.ESRCH
		}
		return []xfrm.Message{&xfrm.NewSA{SA: k.told(s)}}, 0
	case *xfrm.DumpSA:
		var r []xfrm.Message
		for _, list := range k.byAddr {
			for _, s := range list {
				if m.Proto == 0 || m.Proto == s.Proto {
					r = append(r, &xfrm.NewSA{SA: k.told(s)})
				}
			}
		}
		return r, 0
	case *xfrm.FlushSA:
		return nil, k.flushSAs(m.Proto)
	case *xfrm.NewPolicy:
		return nil, k.setPolicy(&m.Policy, false)
	case *xfrm.UpdPolicy:
		return nil, k.setPolicy(&m.Policy, true)
	case *xfrm.DelPolicy:
		p := k.policies[policyKey(m.Key)]
		if p == nil {
			return nil, xfrm.ENOENT
		}
		delete(k.policies, policyKey(m.Key))
		return nil, 0
	case *xfrm.GetPolicy:
		p := k.policies[policyKey(m.Key)]
		if p == nil {
			return nil, xfrm.ENOENT
		}
		return []xfrm.Message{&xfrm.NewPolicy{Policy: p.Policy}}, 0
	case *xfrm.DumpPolicy:
		var r []xfrm.Message
		for _, p := range k.policies {
			r = append(r, &xfrm.NewPolicy{Policy: p.Policy})
		}
		return r, 0
	case *xfrm.FlushPolicy:
		clear(k.policies)
		return nil, 0
	case *xfrm.NewAE:
		return nil, k.setAE(&m.AE)
	case *xfrm.GetAE:
		return k.getAE(&m.AE)
	case *xfrm.Migrate:
		return nil, k.migrate(m)
	case *xfrm.GetSADInfo:
		return []xfrm.Message{&xfrm.NewSADInfo{Count: uint32(len(k.sas)), Buckets: 8, MaxBucket: 1 << 20}}, 0
	case *xfrm.GetSPDInfo:
		r := &xfrm.NewSPDInfo{Buckets: 8, MaxBuckets: 1 << 20}
		for key := range k.policies {
			*[]*uint32{&r.In, &r.Out, &r.Forward}[key.Dir]++
		}
		return []xfrm.Message{r}, 0
	case *xfrm.NewSPDInfo:
		return nil, 0
	case *xfrm.GetDefault:
		d := k.defaults
		return []xfrm.Message{&d}, 0
	case *xfrm.SetDefault:
		for _, f := range []struct {
			to *xfrm.Default
			v  xfrm.Default
		}{{&k.defaults.In, m.In}, {&k.defaults.Forward, m.Forward}, {&k.defaults.Out, m.Out}} {
			if f.v != xfrm.DefaultUnspec {
				*f.to = f.v
			}
		}
		return nil, 0
	}
	return nil, xfrm.EINVAL
}

// policyKey drops what does not name a policy.
func policyKey(k xfrm.PolicyKey) xfrm.PolicyKey {
	k.Index = 0
	k.Selector.Src, k.Selector.Dst = k.Selector.Src.Masked(), k.Selector.Dst.Masked()
	return k
}

func (k *Kernel) setPolicy(p *xfrm.Policy, replace bool) xfrm.Errno {
	s := &p.Selector
	if !s.Src.IsValid() || !s.Dst.IsValid() || p.Dir > xfrm.DirForward || p.Action > xfrm.ActionBlock {
		return xfrm.EINVAL
	}
	key := policyKey(p.Key())
	old := k.policies[key]
	if old != nil && !replace {
		return xfrm.EEXIST
	}
	k.order++
	n := &policy{Policy: *p, order: k.order}
	n.Usage.Added = uint64(k.now().Unix())
	if old != nil {
		n.Index, n.Usage = old.Index, old.Usage
		if old.Priority == n.Priority {
			n.order = old.order
		}
	} else {
		k.index += 8
		n.Index = k.index | uint32(p.Dir)
	}
	k.policies[key] = n
	return 0
}

// randomSPI draws a number between lowest and highest.
func randomSPI(lowest, highest uint32) uint32 { return lowest + rand.Uint32N(highest-lowest+1) }
