package load

import (
	"crypto/rand"
	"strings"
	"time"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1"
	"github.com/racoon3/racoon/ikev2"
	"github.com/racoon3/racoon/spd"
)

// An endpoint is the core of either version of IKE.
type endpoint interface {
	HandleDatagram(now time.Time, path ike.Path, b []byte)
	HandleTimeout(now time.Time)
	HandleResult(now time.Time, r ike.Result)
	PollTransmit() (ike.Transmit, bool)
	PollJob() (ike.Job, bool)
	PollEvent() (ike.Event, bool)
	PollTimeout() (time.Time, bool)
	RekeyIKE(now time.Time, s ike.SessionID) error
	RekeyChild(now time.Time, s ike.SessionID, c ike.ChildID) error
	Delete(now time.Time, s ike.SessionID, reason ike.DownReason) error
	Stats() ike.CoreStats
}

// An initiator is an endpoint that begins handshakes of a configured kind. The
// n-th has its own identity or selectors, if the configuration says so.
type initiator struct {
	endpoint
	initiate func(now time.Time, path ike.Path, n int) (ike.SessionID, error)
}

// newInitiator makes the endpoint of worker i.
func (c *Config) newInitiator(i int, plane spd.DataPlane) (initiator, error) {
	peer, err := c.peer(plane.Capabilities())
	if err != nil {
		return initiator{}, err
	}
	peer.Timing = retransmission(c.Timeout)
	var children []string
	if c.Childless {
		children = []string{}
	}
	if c.IKEv1 {
		old, err := c.ikev1Peer(peer)
		if err != nil {
			return initiator{}, err
		}
		ep, err := ikev1.NewEndpoint(ikev1.Config{Rand: rand.Reader, DataPlane: plane, Tag: uint8(i)})
		return initiator{ep, func(now time.Time, path ike.Path, n int) (ike.SessionID, error) {
			p := *old
			p.Local.ID, p.Children = c.nth(n, p.Local.ID, p.Children)
			return ep.Initiate(now, ikev1.Initiation{Peer: &p, Path: path, Children: children})
		}}, err
	}
	ep, err := ikev2.NewEndpoint(ikev2.Config{Rand: rand.Reader, DataPlane: plane, Tag: uint8(i)})
	return initiator{ep, func(now time.Time, path ike.Path, n int) (ike.SessionID, error) {
		p := *peer
		p.Local.ID, p.Children = c.nth(n, p.Local.ID, p.Children)
		return ep.Initiate(now, ikev2.Initiation{Peer: &p, Path: path, Children: children})
	}}, err
}

// nth is the identity and the Child of the n-th handshake.
func (c *Config) nth(n int, id ike.Identity, children []*ike.ChildConfig) (ike.Identity, []*ike.ChildConfig) {
	if strings.Contains(c.LocalID, "%d") {
		if own, err := ike.ParseIdentity(numbered(c.LocalID, n)); err == nil {
			id = own
		}
	}
	if c.LocalNet.IsValid() {
		child := *children[0]
		child.Local, child.LocalDynamic = []spd.TrafficSelector{spd.FromAddr(nthAddr(c.LocalNet, n))}, false
		children = []*ike.ChildConfig{&child}
	}
	return id, children
}

// ikev1Peer is a configuration of IKEv2 for the old version.
func (c *Identity) ikev1Peer(p *ikev2.Peer) (*ikev1.Peer, error) {
	old := &ikev1.Peer{Name: p.Name, Modes: []ikev1.Mode{c.mode()}, Methods: []ikev1.AuthMethod{ikev1.AuthPSK}, Proposals: p.Proposals, Children: p.Children,
		Timing: p.Timing, Unique: p.Unique, Check: ike.CheckObey,
		Local:  ikev1.LocalAuth{ID: p.Local.ID},
		Remote: ikev1.RemoteAuth{ID: p.Remote.ID, Credential: p.Remote.Credential, Trust: p.Remote.Trust}}
	old.Timing.Lifetime = 8 * time.Hour // it is negotiated
	if c.Credential != nil {
		m := ikev1.MethodOfKey(c.Credential.Signer.Public())
		if m == 0 {
			return nil, fieldError("Credential", "IKEv1 has no signatures with %T; use RSA or ECDSA", c.Credential.Signer.Public())
		}
		old.Methods, old.Local.Credential = []ikev1.AuthMethod{m}, p.Local.Credential
	}
	_, err := ikev1.NewPeerSet([]*ikev1.Peer{old})
	return old, err
}

func (c *Identity) mode() ikev1.Mode {
	if c.Aggressive {
		return ikev1.AggressiveMode
	}
	return ikev1.MainMode
}

// versions are those of a responder.
func (c *Identity) versions() []racoon.Version {
	if c.IKEv1 {
		return []racoon.Version{racoon.IKEv1}
	}
	return []racoon.Version{racoon.IKEv2}
}
