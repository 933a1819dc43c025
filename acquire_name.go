package racoon

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/spd/names"
)

// An AddrResolver is a [Resolver] that also finds the names of an address, as
// *net.Resolver and [names.Directory] do. It is asked when a packet waits for a
// Child SA with an address, and the peers whose Child SAs it could be are known by
// their names. Its answer is a hint alone: a peer counts if its name has that
// address.
type AddrResolver interface {
	Resolver
	LookupAddr(ctx context.Context, addr string) (names []string, err error)
}

// maxNaming bounds the acquires whose address is being looked up, and how many
// names of peers are looked up for one of them.
const maxNaming = 64

// byName reports whether packets of a Child go to wherever the peer's name leads.
func (p *peer) byName(c *peerChild, ev *spd.AcquireEvent) bool {
	sel := ev.Packet
	if sel.Valid() != nil {
		sel = ev.Policy.Selector
	}
	return p.host != "" && !p.addr.IsValid() && c.RemoteDynamic && (c.LocalDynamic || spd.Covers(c.Local, sel.Local))
}

// acquireByName looks for the peer whose name has the address that a packet goes
// to. It reports false if there is none that could be it. The registry is locked.
func (r *registry) acquireByName(ev spd.AcquireEvent) bool {
	to := ev.Packet.Remote
	if ev.Packet.Valid() != nil {
		to = ev.Policy.Selector.Remote
	}
	if to.First != to.Last || !to.First.IsValid() || r.naming >= maxNaming {
		return false
	}
	var possible []peerAndChild
	for _, p := range r.m.peers.Load().peers {
		for _, c := range p.children {
			if p.byName(c, &ev) {
				possible = append(possible, peerAndChild{p, c})
			}
		}
	}
	if len(possible) == 0 {
		return false
	}
	r.naming++
	m := r.m
	m.wg.Go(func() {
		found, ok := m.named(possible, to.First)
		defer r.lock()()
		r.naming--
		if !ok || r.closed || m.isStopping() || m.peers.Load().byName[found.peer.name()] != found.peer {
			m.log.Debug("no peer's name has the address of a packet", "packet", ev.Packet)
			m.answerAcquire(ev.ID, errNoPolicy)
			return
		}
		m.log.Debug("a packet's address is one of a peer's name", "packet", ev.Packet, "peer", found.peer.name(), "name", found.peer.host)
		r.acquireFor(found.peer, found.child, ev, to.First)
	})
	return true
}

// named finds the peer whose name has an address: first among those that the
// address is said to be called by.
func (m *Manager) named(possible []peerAndChild, addr netip.Addr) (found peerAndChild, ok bool) {
	ctx, cancel := context.WithTimeout(m.ctx, jobTimeout)
	defer cancel()
	if r, reverse := m.cfg.Resolver.(AddrResolver); reverse {
		if list, err := r.LookupAddr(ctx, addr.String()); err == nil {
			called := func(p peerAndChild) int {
				if slices.ContainsFunc(list, func(n string) bool { return names.Canonical(n) == names.Canonical(p.peer.host) }) {
					return 0
				}
				return 1
			}
			slices.SortStableFunc(possible, func(a, b peerAndChild) int { return called(a) - called(b) })
		}
	}
	for _, p := range possible[:min(len(possible), maxNaming)] {
		if m.hasAddr(ctx, p.peer.host, addr) == nil {
			return p, true
		}
	}
	return found, false
}

// hasAddr reports by an error that a name does not have an address.
func (m *Manager) hasAddr(ctx context.Context, name string, addr netip.Addr) error {
	all, err := m.cfg.Resolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return fmt.Errorf("looking up %q: %w", name, err)
	}
	for _, a := range all {
		if a.Unmap() == addr.WithZone("") || a.Unmap() == addr {
			return nil
		}
	}
	return fmt.Errorf("%v is no address of %s, which has %v", addr, name, all)
}

// checkNamed refuses a principal that does not come from where its name leads:
// Kerberos proves who it is, and not whose address it uses (RFC 4430 10).
func (m *Manager) checkNamed(ctx context.Context, p *peer, q ike.AuthorizeRequest) error {
	if !p.cfg.KINK.NamedAddress || q.Initiator {
		return nil
	}
	who, err := krb.ParsePrincipal(q.RemoteID.Data, "")
	if err != nil {
		return err
	}
	parts := who.Components()
	if len(parts) != 2 || names.Canonical(parts[1]) == "" {
		return fmt.Errorf("KINK.NamedAddress: %v is not of the form service/host", who)
	}
	ctx, cancel := context.WithTimeout(ctx, jobTimeout)
	defer cancel()
	if err := m.hasAddr(ctx, strings.TrimSuffix(parts[1], "."), q.Path.Remote.Addr()); err != nil {
		return fmt.Errorf("KINK.NamedAddress: %w", err)
	}
	return nil
}
