package racoon

import (
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2"
)

// ikev2Core is an ikev2.Endpoint as a core.
type ikev2Core struct{ *ikev2.Endpoint }

func (m *Manager) newIKEv2(tag uint8, ps *peerSet) (core, error) {
	e, err := ikev2.NewEndpoint(ikev2.Config{
		Rand: m.cfg.Rand, DataPlane: m.cfg.DataPlane, Tag: tag, Authorize: m.authorize, Narrow: m.narrow,
		Limits: m.cfg.Limits, Load: &m.load, VendorIDs: m.cfg.VendorIDs, Trace: m.cfg.Trace,
	})
	if err != nil {
		return nil, err
	}
	e.SetPeers(ps.v2)
	return ikev2Core{e}, nil
}

func (c ikev2Core) SetPeers(ps *peerSet) { c.Endpoint.SetPeers(ps.v2) }

func (c ikev2Core) Initiate(now time.Time, in initiation) (ike.SessionID, error) {
	return c.Endpoint.Initiate(now, ikev2.Initiation{Peer: in.peer.v2, Path: in.path, NATTPath: in.natt, Children: in.children,
		Acquire: in.acquire, Packet: in.packet, Replaces: in.replaces})
}

func (c ikev2Core) SetPeer(now time.Time, s ike.SessionID, p *peer) error {
	return c.Endpoint.SetPeer(now, s, p.v2)
}
