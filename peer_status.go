package racoon

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/racoon3/racoon/spd"
)

// PeerStatus describes a configured peer and what is done to have it up.
type PeerStatus struct {
	Name        string
	Remote      string         // address or host name to call; "": it calls us
	RemoteAddrs []netip.Prefix // where it may come from; nil: anywhere
	Local       netip.Addr     // own address, invalid: any
	Versions    []Version
	UserPrompt  bool // the user of this side can be asked for (Peer.UserPrompt)
	Children    []ChildStatus

	Calling  bool      // an attempt of this side is under way
	Wanted   bool      // it has to be up
	Failures int       // attempts in vain, one after the other
	Next     time.Time // when it is called again, or looked after; zero: not planned
}

// ChildStatus describes a configured Child SA.
type ChildStatus struct {
	Name     string
	Protocol spd.Protocol
	Mode     spd.Mode
	// Local and Remote are the configured selectors. Dynamic: the side's own
	// address counts too, which is known when the session is up.
	Local, Remote               []spd.TrafficSelector
	LocalDynamic, RemoteDynamic bool
	Start                       StartMode
}

// PeerStatus returns the configured peers in the order of the configuration.
// What the Manager plans for them is missing before it serves.
func (m *Manager) PeerStatus(ctx context.Context) ([]PeerStatus, error) {
	type plan struct {
		wanted   bool
		failures int
		next     time.Time
	}
	plans := make(map[string]plan)
	if m.isReady() && !m.isStopped() {
		told := make(chan map[string]plan, 1)
		m.sup.post(func() {
			ps := make(map[string]plan, len(m.sup.peers))
			for name, e := range m.sup.peers {
				at, _ := m.sup.timers.At(&e.timer)
				ps[name] = plan{e.wanted, e.failures, at}
			}
			told <- ps
		})
		select {
		case plans = <-told:
		case <-m.stop:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	peers := m.peers.Load().peers
	out := make([]PeerStatus, 0, len(peers))
	defer m.reg.lock()()
	for _, p := range peers {
		plan := plans[p.name()]
		st := PeerStatus{Name: p.name(), Remote: p.host, RemoteAddrs: slices.Clone(p.v2.RemoteAddrs), Local: p.local,
			Versions: slices.Clone(p.cfg.Versions), UserPrompt: p.cfg.UserPrompt != nil, Calling: m.reg.calls[p.name()] != nil,
			Wanted: plan.wanted, Failures: plan.failures, Next: plan.next}
		for _, c := range p.children {
			proto := spd.ProtoESP
			if len(c.Proposals) > 0 {
				proto = c.Proposals[0].Protocol
			}
			st.Children = append(st.Children, ChildStatus{Name: c.Name, Protocol: proto, Mode: c.Mode, Local: slices.Clone(c.Local),
				Remote: slices.Clone(c.Remote), LocalDynamic: c.LocalDynamic, RemoteDynamic: c.RemoteDynamic, Start: c.start})
		}
		out = append(out, st)
	}
	return out, nil
}
