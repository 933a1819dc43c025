package route

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
)

// Tables of every host.
const (
	TableMain uint32 = 254
)

// A Route says where packets to a prefix go.
type Route struct {
	Dst     netip.Prefix
	Link    string     // name of the device; empty with Unreachable, or if Gateway tells
	Gateway netip.Addr // next hop; invalid: Dst is on the link
	Src     netip.Addr // address that this host sends from; invalid: the system chooses
	Table   uint32     // 0 means TableMain
	Metric  uint32     // of several routes to Dst the least one counts; 0 is the system's default
	// Unreachable refuses the packets: their senders get an ICMP error.
	Unreachable bool
}

func (r Route) String() string {
	var b strings.Builder
	if r.Unreachable {
		b.WriteString("unreachable ")
	}
	b.WriteString(r.Dst.String())
	if r.Gateway.IsValid() {
		fmt.Fprintf(&b, " via %v", r.Gateway)
	}
	if r.Link != "" {
		fmt.Fprintf(&b, " dev %s", r.Link)
	}
	if r.Src.IsValid() {
		fmt.Fprintf(&b, " src %v", r.Src)
	}
	if r.Table != 0 && r.Table != TableMain {
		fmt.Fprintf(&b, " table %d", r.Table)
	}
	return b.String()
}

// A Rule says which packets look up which table. Rules are asked in the order
// of their priority until one has a route.
type Rule struct {
	IPv6     bool
	Priority uint32 // lower first; the main table is asked at 32766
	Mark     uint32 // of the socket (SO_MARK); 0 means any packet
	Table    uint32
	// NoDefault ignores default routes of the table.
	NoDefault bool
}

func (r Rule) String() string {
	var b strings.Builder
	if r.IPv6 {
		b.WriteString("IPv6 ")
	}
	fmt.Fprintf(&b, "rule %d:", r.Priority)
	if r.Mark != 0 {
		fmt.Fprintf(&b, " fwmark %#x", r.Mark)
	}
	fmt.Fprintf(&b, " lookup %d", r.Table)
	if r.NoDefault {
		b.WriteString(" suppress_prefixlength 0")
	}
	return b.String()
}

// Changes are what a program has changed. Its methods may be called by several
// goroutines at once.
type Changes struct {
	mu   sync.Mutex
	conn *conn
	undo []undo // in the order in which they were made
}

type undo struct {
	what string
	do   func() error
}

// New returns an empty set of changes. It needs the right to make them
// (CAP_NET_ADMIN).
func New() (*Changes, error) {
	c, err := dial()
	if err != nil {
		return nil, fmt.Errorf("route: %w", err)
	}
	return &Changes{conn: c}, nil
}

// SetUp sets a device's MTU, unless that is 0, and turns it on. It is not
// taken back: the device is the program's own.
func (c *Changes) SetUp(link string, mtu int) error {
	return c.make("device "+link, func() error { return c.conn.setUp(link, mtu) }, nil)
}

// AddAddress gives a device an address; it is no error if it has it already.
func (c *Changes) AddAddress(link string, p netip.Prefix) error {
	err := c.make(fmt.Sprintf("address %v of %s", p, link), func() error { return c.conn.address(add, link, p) },
		func() error { return c.conn.address(remove, link, p) })
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	return err
}

// RemoveAddress takes back an address of AddAddress before Undo does.
func (c *Changes) RemoveAddress(link string, p netip.Prefix) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	what := fmt.Sprintf("address %v of %s", p, link)
	for i, u := range c.undo {
		if u.what == what {
			c.undo = append(c.undo[:i], c.undo[i+1:]...)
			return wrap(u.what, u.do())
		}
	}
	return nil
}

// AddRoute adds a route. If there is one to the same prefix with the same
// metric, it fails with os.ErrExist.
func (c *Changes) AddRoute(r Route) error {
	if !r.Dst.IsValid() || r.Dst != r.Dst.Masked() {
		return fmt.Errorf("route: destination %v is not a prefix", r.Dst)
	}
	if r.Table == 0 {
		r.Table = TableMain
	}
	return c.make("route "+r.String(), func() error { return c.conn.route(add, r) }, func() error { return c.conn.route(remove, r) })
}

// RemoveLeftovers removes what a program that was killed has left on a device of
// its own, and this one does not want there: addresses, but for those that IPv6
// makes by itself, and static routes of the main table. What is wanted is to be
// added first: then there is no moment without it.
func (c *Changes) RemoveLeftovers(link string, addresses, routes []netip.Prefix) error {
	return c.make("what was left on "+link, func() error {
		there, err := c.conn.addressesOf(link)
		if err != nil {
			return err
		}
		// Else other addresses of the network would go with its first one, and with the
		// last address all routes. Where it cannot be set, they are made again.
		_ = os.WriteFile("/proc/sys/net/ipv4/conf/"+link+"/promote_secondaries", []byte("1"), 0)
		removed := false
		for _, p := range there {
			if slices.Contains(addresses, p) || p.Addr().IsLinkLocalUnicast() && p.Addr().Is6() {
				continue
			}
			if err := c.conn.address(remove, link, p); err != nil && !gone(err) {
				return fmt.Errorf("address %v: %w", p, err)
			}
			removed = true
		}
		if removed {
			for _, p := range addresses {
				if err := c.conn.address(add, link, p); err != nil && !errors.Is(err, os.ErrExist) {
					return fmt.Errorf("address %v: %w", p, err)
				}
			}
			for _, p := range routes {
				if err := c.conn.route(add, Route{Dst: p, Link: link, Table: TableMain}); err != nil && !errors.Is(err, os.ErrExist) {
					return fmt.Errorf("route %v: %w", p, err)
				}
			}
		}
		to, err := c.conn.routesOf(link)
		if err != nil {
			return err
		}
		for _, p := range to {
			if slices.Contains(routes, p) {
				continue
			}
			if err := c.conn.route(remove, Route{Dst: p, Link: link, Table: TableMain}); err != nil && !gone(err) {
				return fmt.Errorf("route %v: %w", p, err)
			}
		}
		return nil
	}, nil)
}

// AddRule adds a rule. If there is the very same one, left behind by a program
// that was killed, that one is taken over.
func (c *Changes) AddRule(r Rule) error {
	return c.make(r.String(), func() error {
		if err := c.conn.rule(add, r); !errors.Is(err, os.ErrExist) {
			return err
		}
		return nil
	}, func() error { return c.conn.rule(remove, r) })
}

// Set sets a network setting by its name, such as "net/ipv4/ip_forward".
func (c *Changes) Set(name, value string) error {
	path := "/proc/sys/" + name
	old, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("route: setting %s: %w", name, err)
	}
	if strings.TrimSpace(string(old)) == value {
		return nil
	}
	return c.make("setting "+name, func() error { return os.WriteFile(path, []byte(value), 0) }, func() error { return os.WriteFile(path, old, 0) })
}

func (c *Changes) make(what string, do, back func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		return errors.New("route: the changes have been taken back")
	}
	if err := do(); err != nil {
		return wrap(what, err)
	}
	if back != nil {
		c.undo = append(c.undo, undo{what, back})
	}
	return nil
}

// Undo takes everything back, the last change first, and goes on after
// errors. What is gone already, since a device has disappeared, is no error.
// The set cannot be used any more.
func (c *Changes) Undo() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		return nil
	}
	var errs []error
	for i := len(c.undo) - 1; i >= 0; i-- {
		if err := c.undo[i].do(); err != nil && !gone(err) {
			errs = append(errs, wrap("taking back "+c.undo[i].what, err))
		}
	}
	errs = append(errs, c.conn.close())
	c.conn, c.undo = nil, nil
	return errors.Join(errs...)
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("route: %s: %w", what, err)
}

// Lookup returns the way that packets of this host take to an address, past a
// tunnel for all addresses: Dst is the address alone, Src is set, Gateway if
// there is one.
func (c *Changes) Lookup(dst netip.Addr) (Route, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		return Route{}, errors.New("route: the changes have been taken back")
	}
	r, err := c.conn.lookup(dst.Unmap().WithZone(""))
	return r, wrap(fmt.Sprintf("looking up the way to %v", dst), err)
}
