package control

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/spd"
)

// chosen is a session that a Select means, with the Child SAs of it that are
// meant.
type chosen struct {
	session  *racoon.Session
	children []racoon.ChildSA
}

// selection is a Select whose values have been read.
type selection struct {
	Select
	local, remote addrMatch
	spi           uint64
	hasSPI        bool
	from, to      *spd.TrafficSelector
	fromAddr      netip.Addr // of from and to, if each is one host
	toAddr        netip.Addr
}

// empty reports whether nothing is said, so that everything would be meant.
func (q *Select) empty() bool { return *q == Select{} }

// ofChildren reports whether Child SAs are chosen, not sessions.
func (q *selection) ofChildren() bool {
	return q.Child != "" || q.Protocol != "" || q.from != nil || q.to != nil
}

// addrMatch is an address, and a port if one was given.
type addrMatch struct {
	addr netip.Addr
	port uint16
}

func (m addrMatch) matches(a netip.AddrPort) bool {
	return !m.addr.IsValid() || m.addr == a.Addr().Unmap() && (m.port == 0 || m.port == a.Port())
}

// parseAddr reads "192.0.2.1", "192.0.2.1:500" and "[2001:db8::1]:500".
func parseAddr(what, s string) (addrMatch, error) {
	if s == "" {
		return addrMatch{}, nil
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return addrMatch{addr: a.Unmap()}, nil
	}
	if a, err := netip.ParseAddrPort(s); err == nil {
		return addrMatch{a.Addr().Unmap(), a.Port()}, nil
	}
	return addrMatch{}, badRequest("%s: %q is no address", what, s)
}

func parseTraffic(what, s string) (*spd.TrafficSelector, error) {
	if s == "" {
		return nil, nil
	}
	ts, err := spd.ParseTrafficSelector(s)
	if err != nil {
		return nil, badRequest("%s: %v", what, err)
	}
	return &ts, nil
}

// hostOf returns the address of a selector that is one host with all its
// traffic.
func hostOf(ts *spd.TrafficSelector) netip.Addr {
	if ts != nil && ts.IsHost() {
		return ts.First
	}
	return netip.Addr{}
}

// Check reports what of a Select cannot be read, or nil.
func (q *Select) Check() error {
	_, err := q.parse()
	return err
}

func (q *Select) parse() (*selection, error) {
	out := &selection{Select: *q}
	var err error
	if out.local, err = parseAddr("local", q.Local); err != nil {
		return nil, err
	}
	if out.remote, err = parseAddr("remote", q.Remote); err != nil {
		return nil, err
	}
	if out.from, err = parseTraffic("source", q.Source); err != nil {
		return nil, err
	}
	if out.to, err = parseTraffic("destination", q.Destination); err != nil {
		return nil, err
	}
	out.fromAddr, out.toAddr = hostOf(out.from), hostOf(out.to)
	if q.SPI != "" {
		if out.spi, err = strconv.ParseUint(strings.TrimPrefix(strings.ToLower(q.SPI), "0x"), 16, 64); err != nil || out.spi == 0 {
			return nil, badRequest("spi: %q is no hexadecimal number of up to 16 digits", q.SPI)
		}
		out.hasSPI = true
	}
	if q.Session != "" {
		if _, err := strconv.ParseUint(q.Session, 10, 64); err != nil {
			return nil, badRequest("session: %q is no number", q.Session)
		}
	}
	switch q.Protocol {
	case "", "esp", "ah":
	default:
		return nil, badRequest("protocol: %q is neither esp nor ah", q.Protocol)
	}
	return out, nil
}

// choose returns the sessions that are meant, by peer and age; those whose Child
// SAs are meant only if there are some.
func (s *server) choose(q *selection) []chosen {
	var out []chosen
	for session := range s.Manager.Sessions() {
		if c, ok := q.match(session); ok {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b chosen) int {
		return cmp.Or(cmp.Compare(a.session.Peer(), b.session.Peer()), cmp.Compare(a.session.ID(), b.session.ID()))
	})
	return out
}

func (q *selection) match(s *racoon.Session) (chosen, bool) {
	c := chosen{session: s}
	path := s.Path()
	if q.Session != "" && q.Session != idText(s.ID()) || q.Peer != "" && q.Peer != s.Peer() || !q.local.matches(path.Local) || !q.remote.matches(path.Remote) {
		return c, false
	}
	info := s.Info()
	if q.User != "" && q.User != info.User {
		return c, false
	}
	if q.hasSPI && !q.ofChildren() && (q.spi == info.LocalSPI || q.spi == info.RemoteSPI) {
		return c, true
	}
	if !q.hasSPI && !q.ofChildren() {
		return c, true
	}
	for _, ch := range s.ChildSAs() {
		switch {
		case q.Child != "" && q.Child != idText(ch.ID) && q.Child != ch.Name,
			q.Protocol != "" && q.Protocol != protocolText(ch.Protocol),
			q.hasSPI && q.spi != uint64(ch.In) && q.spi != uint64(ch.Out),
			!q.protectedBy(&ch, path.Local.Addr().Unmap(), path.Remote.Addr().Unmap()):
			continue
		}
		c.children = append(c.children, ch)
	}
	return c, len(c.children) > 0
}

// protectedBy reports whether a Child SA protects the traffic that is meant,
// or lies between the two hosts.
func (q *selection) protectedBy(c *racoon.ChildSA, local, remote netip.Addr) bool {
	if (q.from == nil || spd.Covers(c.LocalTS, *q.from)) && (q.to == nil || spd.Covers(c.RemoteTS, *q.to)) {
		return true
	}
	return q.fromAddr.IsValid() && q.toAddr.IsValid() && q.fromAddr == local && q.toAddr == remote
}
