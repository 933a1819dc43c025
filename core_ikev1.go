package racoon

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1"
)

// ikev1Core is an ikev1.Endpoint as a core.
type ikev1Core struct{ *ikev1.Endpoint }

func (m *Manager) newIKEv1(tag uint8, ps *peerSet) (core, error) {
	e, err := ikev1.NewEndpoint(ikev1.Config{
		Rand: m.cfg.Rand, DataPlane: m.cfg.DataPlane, Tag: tag | tagIKEv1, Authorize: m.authorize, Narrow: m.narrow,
		Router: m.router,
		Limits: shareOf(m.cfg.Limits, m.cfg.Workers), Load: &m.load, NATTSocket: m.isNATTSocket, VendorIDs: m.cfg.VendorIDs, Trace: m.cfg.Trace,
	})
	if err != nil {
		return nil, err
	}
	e.SetPeers(ps.v1)
	return ikev1Core{e}, nil
}

// isNATTSocket reports whether a local address is that of a NAT-T socket.
func (m *Manager) isNATTSocket(local netip.AddrPort) bool {
	s := m.sockets.find(local)
	return s != nil && s.natt
}

func (c ikev1Core) HandleKINK(time.Time, ike.Path, []byte) {}

func (c ikev1Core) SetPeers(ps *peerSet) { c.Endpoint.SetPeers(ps.v1) }

func (c ikev1Core) Initiate(now time.Time, in initiation) (ike.SessionID, error) {
	return c.Endpoint.Initiate(now, ikev1.Initiation{Peer: in.peer.v1, Path: in.path, NATTPath: in.natt, Children: in.children,
		Acquire: in.acquire, Packet: in.packet})
}

func (c ikev1Core) SetPeer(now time.Time, s ike.SessionID, p *peer) error {
	if p.v1 == nil {
		return fmt.Errorf("peer %q no longer speaks IKEv1", p.name())
	}
	return c.Endpoint.SetPeer(now, s, p.v1)
}
