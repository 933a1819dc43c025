package names

import (
	"cmp"
	"container/list"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// CacheConfig configures a [Cache]. All of it may be left out.
type CacheConfig struct {
	// MinTTL and MaxTTL bound for how long an answer holds; 0 is 5 s and 1 h.
	MinTTL, MaxTTL time.Duration

	// StaleFor is how long an address goes on being one of a name after its time,
	// if no newer answer says otherwise: while name servers do not answer, or
	// nobody asks. 0 is 1 h.
	StaleFor time.Duration

	// LearnAll learns names that nobody has registered too.
	LearnAll bool

	// MaxNames bounds the names, 0 is 10,000: registering one more fails, and of
	// those that are only learnt the one that was of use longest ago goes.
	// MaxAddrs bounds the addresses of a name; 0 is 64.
	MaxNames, MaxAddrs int

	// Changed is called when the addresses of a name have changed, not at the
	// same time for two, and without a lock.
	Changed func(name string)

	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// A Cache is a mapping between names and addresses. It is safe for concurrent
// use.
type Cache struct {
	cfg CacheConfig

	mu      sync.Mutex
	names   map[string]*entry
	addrs   map[netip.Addr][]*mapping // the one that was learnt last is the last
	learnt  list.List                 // of *entry, those that are not registered; the last was of use last
	total   int
	wake    chan struct{} // has room for one: something is registered
	telling sync.Mutex
}

type entry struct {
	name       string
	registered int
	use        *list.Element
	addrs      []*mapping
	refresh    time.Time // when Follow asks again
	failures   int
	asking     bool
}

type mapping struct {
	entry   *entry
	addr    netip.Addr
	expires time.Time
	learnt  time.Time
	gone    bool // a newer answer does not have it
}

// Errors of [Cache.Register] and [Cache.Deregister].
var (
	ErrName          = errors.New("names: not a domain name")
	ErrFull          = errors.New("names: too many names")
	ErrNotRegistered = errors.New("names: the name is not registered")
)

// NewCache returns an empty cache.
func NewCache(cfg CacheConfig) *Cache {
	cfg.MinTTL = cmp.Or(cfg.MinTTL, 5*time.Second)
	cfg.MaxTTL = max(cmp.Or(cfg.MaxTTL, time.Hour), cfg.MinTTL)
	cfg.StaleFor = cmp.Or(cfg.StaleFor, time.Hour)
	cfg.MaxNames = cmp.Or(cfg.MaxNames, 10_000)
	cfg.MaxAddrs = cmp.Or(cfg.MaxAddrs, 64)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Cache{cfg: cfg, names: map[string]*entry{}, addrs: map[netip.Addr][]*mapping{}, wake: make(chan struct{}, 1)}
}

// Register makes the cache learn a name and keep it. It counts: as many
// Deregisters end it. It reports whether the name was registered before.
func (c *Cache) Register(name string) (before bool, err error) {
	if name = Canonical(name); name == "" {
		return false, ErrName
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.names[name]
	if e == nil {
		if len(c.names) >= c.cfg.MaxNames && !c.evict() {
			return false, ErrFull
		}
		e = &entry{name: name}
		c.names[name] = e
	}
	if e.use != nil {
		c.learnt.Remove(e.use)
		e.use = nil
	}
	e.registered++
	if e.registered == 1 {
		e.refresh = time.Time{}
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
	return e.registered > 1, nil
}

// Deregister takes Register back. With the last the addresses are forgotten.
func (c *Cache) Deregister(name string) error {
	name = Canonical(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.names[name]
	if e == nil || e.registered == 0 {
		return ErrNotRegistered
	}
	if e.registered--; e.registered == 0 {
		c.drop(e)
	}
	return nil
}

// Registered lists the registered names, sorted.
func (c *Cache) Registered() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var r []string
	for _, e := range c.names {
		if e.registered > 0 {
			r = append(r, e.name)
		}
	}
	slices.Sort(r)
	return r
}

// evict drops the learnt name that was of use longest ago. c.mu is held.
func (c *Cache) evict() bool {
	f := c.learnt.Front()
	if f == nil {
		return false
	}
	c.drop(f.Value.(*entry))
	return true
}

func (c *Cache) drop(e *entry) {
	for _, m := range slices.Clone(e.addrs) {
		c.dropMapping(m)
	}
	if e.use != nil {
		c.learnt.Remove(e.use)
	}
	delete(c.names, e.name)
}

func (c *Cache) dropMapping(m *mapping) {
	same := func(o *mapping) bool { return o == m }
	m.entry.addrs = slices.DeleteFunc(m.entry.addrs, same)
	if rest := slices.DeleteFunc(c.addrs[m.addr], same); len(rest) > 0 {
		c.addrs[m.addr] = rest
	} else {
		delete(c.addrs, m.addr)
	}
	c.total--
}

// Learn notes an answer for a name, and reports whether the name's addresses are
// others now. The addresses of the same family that it had before and that are
// not in the answer go when their time is over: an answer may be a part only.
// An answer without addresses says that there are none of any family.
func (c *Cache) Learn(name string, answers []Answer) bool {
	name = Canonical(name)
	now := c.cfg.Now()
	c.mu.Lock()
	changed := c.learn(name, answers, now)
	c.mu.Unlock()
	c.tell(changed, name)
	return changed
}

func (c *Cache) tell(changed bool, name string) {
	if changed && c.cfg.Changed != nil {
		c.telling.Lock()
		defer c.telling.Unlock()
		c.cfg.Changed(name)
	}
}

func (c *Cache) learn(name string, answers []Answer, now time.Time) (changed bool) {
	e := c.names[name]
	if e == nil {
		if !c.cfg.LearnAll || name == "" || len(answers) == 0 || len(c.names) >= c.cfg.MaxNames && !c.evict() {
			return false
		}
		e = &entry{name: name}
		e.use = c.learnt.PushBack(e)
		c.names[name] = e
	}
	if e.use != nil {
		c.learnt.MoveToBack(e.use)
	}
	var v4, v6 bool
	for _, a := range answers {
		v4, v6 = v4 || a.Addr.Is4(), v6 || !a.Addr.Is4()
	}
	for _, m := range e.addrs {
		if is4 := m.addr.Is4(); is4 && v4 || !is4 && v6 || len(answers) == 0 {
			m.gone = true
		}
	}
	for _, a := range answers {
		if !a.Addr.IsValid() || a.Addr.IsUnspecified() || a.Addr.IsMulticast() || a.Addr.Is4In6() {
			continue
		}
		i := slices.IndexFunc(e.addrs, func(m *mapping) bool { return m.addr == a.Addr })
		if i < 0 {
			if len(e.addrs) >= c.cfg.MaxAddrs {
				continue
			}
			m := &mapping{entry: e, addr: a.Addr}
			e.addrs = append(e.addrs, m)
			c.addrs[a.Addr] = append(c.addrs[a.Addr], m)
			c.total++
			i, changed = len(e.addrs)-1, true
		}
		m := e.addrs[i]
		m.gone, m.learnt, m.expires = false, now, now.Add(min(max(a.TTL, c.cfg.MinTTL), c.cfg.MaxTTL))
		list := c.addrs[a.Addr]
		at := slices.Index(list, m)
		copy(list[at:], list[at+1:])
		list[len(list)-1] = m
	}
	return changed
}

// over reports whether a mapping's time is over.
func (c *Cache) over(m *mapping, now time.Time) bool { return !now.Before(c.end(m)) }

func (c *Cache) end(m *mapping) time.Time {
	if m.gone {
		return m.expires
	}
	return m.expires.Add(c.cfg.StaleFor)
}

// Addrs returns the addresses of a name, sorted.
func (c *Cache) Addrs(name string) []netip.Addr {
	now := c.cfg.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.names[Canonical(name)]
	if e == nil {
		return nil
	}
	if e.use != nil {
		c.learnt.MoveToBack(e.use)
	}
	var r []netip.Addr
	for _, m := range e.addrs {
		if !c.over(m, now) {
			r = append(r, m.addr)
		}
	}
	slices.SortFunc(r, netip.Addr.Compare)
	return r
}

// Names returns the names of an address, the one that was learnt last first.
func (c *Cache) Names(addr netip.Addr) []string {
	now := c.cfg.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	var r []string
	for _, m := range slices.Backward(c.addrs[addr.WithZone("").Unmap()]) {
		if !c.over(m, now) {
			r = append(r, m.entry.name)
		}
	}
	return r
}

// Expire drops the addresses whose time is over, and returns when the next one's
// is; the zero time if there is none.
func (c *Cache) Expire() time.Time {
	now := c.cfg.Now()
	var next time.Time
	changed := map[string]bool{}
	c.mu.Lock()
	for _, e := range c.names {
		for _, m := range slices.Clone(e.addrs) {
			if c.over(m, now) {
				c.dropMapping(m)
				changed[e.name] = true
			} else if end := c.end(m); next.IsZero() || end.Before(next) {
				next = end
			}
		}
		if e.registered == 0 && len(e.addrs) == 0 {
			c.drop(e)
		}
	}
	c.mu.Unlock()
	for name := range changed {
		c.tell(true, name)
	}
	return next
}

// CacheStats counts what is in a cache.
type CacheStats struct{ Addrs, Registered, Names, Mappings int }

// Stats returns the counts.
func (c *Cache) Stats() CacheStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return CacheStats{Addrs: len(c.addrs), Registered: len(c.names) - c.learnt.Len(), Names: len(c.names), Mappings: c.total}
}
