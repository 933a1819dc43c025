package core

import (
	"net/netip"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/spd"
)

// OfferedSelectors are a Child's configured selectors, with dynamic sides
// filled in.
func (s *Session) OfferedSelectors(c *ike.ChildConfig) (local, remote []spd.TrafficSelector) {
	local, remote = slices.Clone(c.Local), slices.Clone(c.Remote)
	if c.LocalDynamic {
		local = append(local, s.ownSelectors()...)
	}
	if c.RemoteDynamic {
		remote = append(remote, s.peerSelectors()...)
	}
	return local, remote
}

// ownSelectors is the own side of a dynamic selector: a client's leased
// addresses, anything while it has asked for some, else the outer address. A
// client does not always begin (XAuth, in the direction "Resp").
func (s *Session) ownSelectors() (set []spd.TrafficSelector) {
	if r := s.Asked; r != nil && (s.Initiator || s.Network != nil) && s.Leased == nil {
		if s.Network != nil && len(s.Network.Addresses) > 0 {
			for _, a := range s.Network.Addresses {
				set = append(set, spd.FromAddr(a.Addr()))
			}
			return set
		}
		if s.Network == nil {
			if r.IPv4 {
				set = append(set, spd.AnyIPv4)
			}
			if r.IPv6 {
				set = append(set, spd.AnyIPv6)
			}
			return set
		}
	}
	return []spd.TrafficSelector{spd.FromAddr(s.LocalAddr())}
}

// peerSelectors is the peer's side: what it was leased, else its outer
// address.
func (s *Session) peerSelectors() (set []spd.TrafficSelector) {
	if s.Leased != nil && s.Network != nil {
		for _, a := range s.Network.Addresses {
			set = append(set, spd.FromAddr(a.Addr()))
		}
		return set
	}
	return []spd.TrafficSelector{spd.FromAddr(s.RemoteAddr())}
}

// LifeOf is what governs the life of a Child's SAs; noRekey leaves rekeying to
// the peer.
func LifeOf(c *ike.ChildConfig, noRekey bool) *child.Config {
	l := &child.Config{Rekey: c.Rekey, Lifetime: c.Lifetime, Jitter: c.Jitter, Volume: c.Volume, NoPolicies: c.NoPolicies,
		Priority: c.Priority, NoRekey: noRekey || c.Rekey < 0,
		MarkIn: c.Options.MarkIn, MarkOut: c.Options.MarkOut, InterfaceID: c.Options.InterfaceID}
	if l.Rekey == 0 {
		l.Rekey = time.Hour
	}
	if l.Lifetime == 0 && l.Rekey > 0 {
		l.Lifetime = ike.TenthMore(l.Rekey)
	}
	if l.Jitter == 0 {
		l.Jitter = 0.1
	}
	if l.Volume.HardTime == 0 && l.Lifetime > 0 {
		l.Volume.HardTime = ike.TenthMore(l.Lifetime) // a backstop behind our own timer
	}
	return l
}

// NATSelectors replaces the hosts' addresses in transport mode by those that
// the packets will have on this side of a NAT, and returns what the peer calls
// the two hosts: its checksums are over those (RFC 7296 2.23.1, RFC 3947 5.2).
// Without a NAT it changes nothing.
func (s *Session) NATSelectors(mode spd.Mode, local, remote []spd.TrafficSelector) (l, r []spd.TrafficSelector, originalLocal, originalRemote netip.Addr) {
	if mode != spd.ModeTransport || !s.NATLocal && !s.NATRemote {
		return local, remote, originalLocal, originalRemote
	}
	l, originalLocal = swapHosts(local, s.NATLocal, s.LocalAddr())
	r, originalRemote = swapHosts(remote, s.NATRemote, s.RemoteAddr())
	return l, r, originalLocal, originalRemote
}

// swapHosts replaces single addresses by to, if there is a NAT before that side.
func swapHosts(set []spd.TrafficSelector, nat bool, to netip.Addr) (out []spd.TrafficSelector, original netip.Addr) {
	if nat {
		set = slices.Clone(set)
		for i := range set {
			if ts := &set[i]; ts.First == ts.Last && ts.First.Is4() == to.Is4() {
				original = ts.First
				ts.First, ts.Last = to, to
			}
		}
	}
	if !original.IsValid() && len(set) == 1 {
		original = set[0].First
	}
	return set, original
}
