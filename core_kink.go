package racoon

import (
	"fmt"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/kink"
)

// kinkCore is a kink.Endpoint as a core.
type kinkCore struct{ *kink.Endpoint }

// newKINK returns nil if the Manager has no Kerberos.
func (m *Manager) newKINK(tag uint8, ps *peerSet) (core, error) {
	k := &m.cfg.KINK
	if k.Kerberos == nil {
		return nil, nil
	}
	e, err := kink.NewEndpoint(kink.Config{
		Rand: m.cfg.Rand, DataPlane: m.cfg.DataPlane, Kerberos: k.Kerberos, Replays: m.replays, ETypes: k.ETypes, Skew: k.Skew, Started: m.created, Epochs: m.epochs,
		Tag: tag | tagKINK, Authorize: m.authorize, Narrow: m.narrow, Limits: shareOf(m.cfg.Limits, m.cfg.Workers), Load: &m.load, Trace: m.cfg.Trace,
	})
	if err != nil {
		return nil, err
	}
	e.SetPeers(ps.kink)
	return kinkCore{e}, nil
}

func (c kinkCore) SetPeers(ps *peerSet) {
	if k := &ps.kerberos; k.Kerberos != nil {
		c.SetKerberos(k.Kerberos, k.ETypes, k.Skew)
	}
	c.Endpoint.SetPeers(ps.kink)
}

func (c kinkCore) HandleKINK(now time.Time, path ike.Path, b []byte) {
	c.HandleDatagram(now, path, b)
}

func (c kinkCore) Initiate(now time.Time, in initiation) (ike.SessionID, error) {
	return c.Endpoint.Initiate(now, kink.Initiation{Peer: in.peer.kink, Path: in.path, Children: in.children, Acquire: in.acquire, Packet: in.packet})
}

func (c kinkCore) SetPeer(now time.Time, s ike.SessionID, p *peer) error {
	if p.kink == nil {
		return fmt.Errorf("peer %q no longer speaks KINK", p.name())
	}
	return c.Endpoint.SetPeer(now, s, p.kink)
}
