package racoon

import (
	"fmt"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2"
)

// ikev2Core is an ikev2.Endpoint as a core.
type ikev2Core struct{ *ikev2.Endpoint }

func (m *Manager) newIKEv2(tag uint8, ps *peerSet) (core, error) {
	e, err := ikev2.NewEndpoint(ikev2.Config{
		Rand: m.cfg.Rand, DataPlane: m.cfg.DataPlane, Tag: tag, Authorize: m.authorize, Narrow: m.narrow,
		Limits: shareOf(m.cfg.Limits, m.cfg.Workers), Load: &m.load, VendorIDs: m.cfg.VendorIDs, Trace: m.cfg.Trace,
	})
	if err != nil {
		return nil, err
	}
	e.SetPeers(ps.v2)
	return ikev2Core{e}, nil
}

func (c ikev2Core) HandleKINK(time.Time, ike.Path, []byte) {}

func (c ikev2Core) SetPeers(ps *peerSet) { c.Endpoint.SetPeers(ps.v2) }

func (c ikev2Core) Initiate(now time.Time, in initiation) (ike.SessionID, error) {
	return c.Endpoint.Initiate(now, ikev2.Initiation{Peer: in.peer.v2, Path: in.path, NATTPath: in.natt, Children: in.children,
		Acquire: in.acquire, Packet: in.packet, Replaces: in.replaces})
}

func (c ikev2Core) SetPeer(now time.Time, s ike.SessionID, p *peer) error {
	if !p.speaks(IKEv2) {
		return fmt.Errorf("peer %q no longer speaks IKEv2", p.name())
	}
	return c.Endpoint.SetPeer(now, s, p.v2)
}

// shareOf is one worker's part of the limits that a core counts for itself;
// half-open SAs are counted for all together. A share is rounded up, and a
// handshake's worker is its peer's choice of an SPI, so a single address may
// find its limit a little early or late.
func shareOf(l ike.Limits, workers int) ike.Limits {
	for _, v := range []*int{&l.Sessions, &l.HalfOpenPerIP} {
		if *v > 0 {
			*v = (*v + workers - 1) / workers
		}
	}
	return l
}
