package core

import (
	"net/netip"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// Encap reports whether ESP travels in UDP.
func (s *Session) Encap() bool {
	return s.NATLocal || s.NATRemote || s.ForceEncap || s.ESPPort != 0
}

// Endpoints are the outer addresses as the data plane wants them.
func (s *Session) Endpoints() spd.Endpoints {
	e := spd.Endpoints{Local: s.Path.Local, Remote: s.Path.Remote, UDPEncap: s.Encap(), NonIKE: s.NonIKE && s.Encap() && s.ESPPort == 0}
	if s.ESPPort != 0 {
		e.Local = netip.AddrPortFrom(e.Local.Addr(), s.ESPPort)
		if e.Remote = netip.AddrPortFrom(e.Remote.Addr(), s.ESPPort); s.seldom != nil && s.seldom.espRemote.Addr() == e.Remote.Addr() {
			e.Remote = s.seldom.espRemote
		}
	}
	return e
}

// FollowsNAT reports whether the peer may show a new address by an
// authenticated message: it is behind a NAT, and we are not (RFC 7296 2.23).
func (s *Session) FollowsNAT() bool { return s.NATRemote && !s.NATLocal }

// MoveTo moves the session and its Child SAs to another path.
func (s *Session) MoveTo(now time.Time, path ike.Path) {
	old := s.Path
	s.Path = path
	if !s.Up {
		return
	}
	s.reindex(old.Remote.Addr().Unmap())
	s.Children.Move(s.Endpoints())
	s.core.Emit(ike.SessionMoved{EventHeader: s.EventHeader(now), Old: old})
}

// reindex finds the outbound SAs by the peer's new address.
func (s *Session) reindex(old netip.Addr) {
	c := s.core
	for _, a := range s.Children.All() {
		k := SAKey{SPI: a.Info.Out, Remote: old}
		if c.owners[k] == s {
			delete(c.owners, k)
		}
		c.owners[SAKey{SPI: a.Info.Out, Remote: s.RemoteAddr()}] = s
	}
}

// handleDataPlane passes an event on to the Child SA it concerns.
func (s *Session) handleDataPlane(now time.Time, ev spd.Event) {
	if m, ok := ev.(spd.MappingEvent); ok {
		s.mapped(now, m.New)
		return
	}
	s.Children.HandleDataPlane(now, ev)
}

// mapped: an authentic ESP packet came from another address of a peer behind a
// NAT. A packet that somebody has held back and sends from elsewhere must not
// steal the session, so the peer is asked there; its answer moves the session.
func (s *Session) mapped(now time.Time, remote netip.AddrPort) {
	if s.ESPPort != 0 {
		// Only ESP itself shows the peer's port. Another address is not believed:
		// that of IKE counts.
		if remote.Addr() == s.RemoteAddr() && remote != s.some().espRemote {
			s.seldom.espRemote = remote
			s.Children.Move(s.Endpoints())
		}
		return
	}
	if !s.Up || !s.FollowsNAT() || remote == s.Path.Remote {
		return
	}
	seen := s.Path
	seen.Remote = remote
	s.Seen = &seen
	s.self.Probe(now)
}
