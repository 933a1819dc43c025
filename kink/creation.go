package kink

import (
	"fmt"
	"slices"
	"time"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/internal/core"
	"github.com/racoon3/racoon/internal/quickmode"
	"github.com/racoon3/racoon/internal/secret"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/message"
	"github.com/racoon3/racoon/natt"
	"github.com/racoon3/racoon/spd"
)

// A creation is the negotiation of one Child SA, in either role: one
// KINK_ISAKMP payload of a CREATE.
type creation struct {
	s         *session
	cfg       *ike.ChildConfig
	initiator bool
	begun     time.Time // initiator
	old       *child.SA // the one that is replaced, or nil

	key     *krb.Key  // session key of the ticket in the CREATE
	expires time.Time // the ticket

	policy    quickmode.Policy
	requests  []spd.SPIRequest
	spis      []spd.SPI
	own       quickmode.SPIs // the same by protocol
	ni, nr    []byte
	group     dh.ID
	withoutKE bool // the peer has none
	keyShare  core.KeyExchange

	chosen        quickmode.Selected
	expected      quickmode.Selected // initiator: what the inbound SA was installed for
	local, remote spd.TrafficSelector
	unnamed       bool // responder: the request has no identification payloads, so the answer has none

	acquire  spd.AcquireID
	sa       *child.SA // once installed
	accepted bool      // initiator: the peer has it
	unwanted bool      // to be deleted as soon as it is there
	ended    bool
}

// policyOf is what a Child's configuration offers and accepts.
func (s *session) policyOf(c *ike.ChildConfig) quickmode.Policy {
	l := core.LifeOf(c, false)
	return quickmode.Policy{Proposals: c.Proposals, Outer: c.Outer, Mode: c.Mode, UDP: natt.NoVariant,
		IPComp: s.Compresses(c, s.ep.cfg.DataPlane.Capabilities()),
		Life:   quickmode.LifetimeOf(l.Lifetime, l.Volume.HardBytes), Check: s.peer.Check}
}

// pairs are the pairs of a Child's selectors: a Child SA has one.
func (s *session) pairs(c *ike.ChildConfig) (all []spd.Selector) {
	local, remote := s.OfferedSelectors(c)
	for _, l := range local {
		for _, r := range remote {
			if l.Is4() == r.Is4() {
				all = append(all, spd.Selector{Local: l, Remote: r})
			}
		}
	}
	return all
}

// sameTraffic is the youngest Child SA for the same selectors of the same Child,
// or nil.
func (s *session) sameTraffic(name string, local, remote spd.TrafficSelector) *child.SA {
	for _, a := range slices.Backward(s.Children.All()) {
		if s.carries(a, name, local, remote) {
			return a
		}
	}
	return nil
}

// carries reports whether a Child SA is in use for these selectors.
func (s *session) carries(a *child.SA, name string, local, remote spd.TrafficSelector) bool {
	return a.State < child.Replaced && a.State > child.Larval && a.Info.Name == name &&
		len(a.Info.LocalTS) == 1 && a.Info.LocalTS[0] == local && a.Info.RemoteTS[0] == remote
}

// reserve gets an inbound SPI for each protocol.
func (c *creation) reserve(protocols []spd.Protocol, done func(now time.Time, err error)) {
	s := c.s
	reqID := c.cfg.ReqID
	if c.old != nil {
		reqID = c.old.Info.ReqID
	}
	for _, p := range protocols {
		c.requests = append(c.requests, spd.SPIRequest{Protocol: p, Local: s.LocalAddr(), Remote: s.RemoteAddr(), ReqID: reqID,
			Mark: c.cfg.Options.MarkIn, Acquire: c.acquire, TTL: 2 * s.cycle()})
	}
	s.Children.Reserve(c.requests, func(now time.Time, spis []spd.SPI, err error) {
		if err != nil {
			done(now, fmt.Errorf("reserving an SPI: %w", err))
			return
		}
		c.spis = spis
		for i, r := range c.requests {
			c.own[r.Protocol] = spis[i]
		}
		done(now, nil)
	})
}

// keymat is KEYMAT = prf(session key, [g(qm)^xy |] protocol | SPI | Ni_b [|
// Nr_b]), expanded as in IKE (RFC 4430 7).
func (c *creation) keymat(n int, protocol spd.Protocol, spi spd.SPI) secret.Bytes {
	if n == 0 {
		return nil
	}
	style := krb.PRFStandard
	if c.s.peer.Racoon2 {
		style = krb.PRFRacoon2
	}
	id := quickmode.AppendSPI([]byte{byte(protocol)}, spi)
	return c.key.AppendKeyMat(make([]byte, 0, n+krb.MaxPRF), n, style, c.keyShare.Secret, id, c.ni, c.nr)
}

// add puts the Child SA into the session's set. The SPIs are no longer reserved
// from here on: they are installed or removed.
func (c *creation) add(now time.Time, sel *quickmode.Selected, out spd.SPI) {
	s := c.s
	main := sel.Proposal.Protocol
	c.sa = s.AddChild(ike.ChildInfo{Name: c.cfg.Name, Protocol: main, ChildSPIs: ike.ChildSPIs{In: c.own[main], Out: out}, ReqID: c.cfg.ReqID,
		Mode: sel.Mode, LocalTS: []spd.TrafficSelector{c.local}, RemoteTS: []spd.TrafficSelector{c.remote}, Proposal: sel.Proposal,
		IPComp: sel.Has(spd.ProtoIPComp)}, c.life(now, sel), c.initiator, c.old)
	if c.old == nil {
		c.sa.Untold()
	}
}

// bundles are both directions of what was negotiated.
func (c *creation) bundles(sel *quickmode.Selected) (in, out *spd.Bundle) {
	s := c.s
	inSAs, outSAs := sel.ChildSAs(c.keymat, c.own)
	for i := range inSAs {
		inSAs[i].ReplayWindow = c.cfg.ReplayWindow
	}
	at := s.Endpoints()
	bundle := func(sas []spd.SA) *spd.Bundle {
		return &spd.Bundle{SAs: sas, ReqID: c.sa.Info.ReqID, Local: at.Local, Remote: at.Remote, Interface: s.Path.Interface,
			LocalTS: c.sa.Info.LocalTS, RemoteTS: c.sa.Info.RemoteTS, Lifetime: c.sa.Config.Volume, Options: c.cfg.Options}
	}
	return bundle(inSAs), bundle(outSAs)
}

// life is what governs the Child SA: the own times within the negotiated ones,
// and within those of the ticket if the configuration says so. Whoever made an SA
// rekeys it (RFC 4430 3.6).
func (c *creation) life(now time.Time, sel *quickmode.Selected) *child.Config {
	l := core.LifeOf(c.cfg, !c.initiator)
	if c.initiator {
		l.NoRekey = c.cfg.Rekey < 0
	}
	hard := sel.Life.Time()
	if l.Lifetime <= 0 || l.Lifetime > hard {
		l.Lifetime = hard
	}
	if c.s.peer.Tickets == TicketBounds {
		l.Lifetime = min(l.Lifetime, max(c.expires.Sub(now), time.Second))
	}
	if l.Rekey <= 0 || l.Rekey > l.Lifetime-l.Lifetime/10 {
		l.Rekey = l.Lifetime - l.Lifetime/10
	}
	if b := sel.Life.Bytes(); b > 0 && (l.Volume.HardBytes == 0 || l.Volume.HardBytes > b) {
		l.Volume.HardBytes = b
	}
	if b := l.Volume.HardBytes; b > 0 && (l.Volume.SoftBytes == 0 || l.Volume.SoftBytes > b-b/10) {
		l.Volume.SoftBytes = b - b/10
	}
	l.Volume.HardTime = ike.TenthMore(l.Lifetime) // a backstop behind our own timer
	return l
}

// releaseUnchosen gives the SPIs back of protocols that were not chosen.
func (c *creation) releaseUnchosen(sel *quickmode.Selected) {
	for i, r := range c.requests {
		if !sel.Has(r.Protocol) && i < len(c.spis) {
			c.s.Children.Release(c.requests[i:i+1], c.spis[i:i+1])
		}
	}
	c.spis = nil
}

// give gives back what was reserved or installed. It reports false if that was
// done before.
func (c *creation) give(now time.Time) bool {
	if c.ended {
		return false
	}
	c.ended = true
	s := c.s
	s.Children.Release(c.requests, c.spis)
	c.spis = nil
	c.keyShare.Wipe()
	if c.sa != nil && c.sa.State != child.Gone {
		s.Children.Discard(now, c.sa)
	}
	return true
}

// payload is the KINK_ISAKMP payload of a creation.
func (c *creation) payload(sa *isakmp.SA, nonce []byte) (*message.ISAKMP, error) {
	ps := []isakmp.Payload{sa}
	if nonce != nil {
		ps = append(ps, &isakmp.Nonce{Data: nonce})
	}
	if c.group != dh.None {
		ps = append(ps, &isakmp.KE{Data: c.keyShare.Public})
	}
	if c.unnamed {
		return message.NewISAKMP(ps...)
	}
	ci, cr := c.local, c.remote
	if !c.initiator {
		ci, cr = c.remote, c.local
	}
	idci, okI := isakmp.NewSelectorID(ci)
	idcr, okR := isakmp.NewSelectorID(cr)
	if !okI || !okR {
		return nil, fmt.Errorf("selectors %v === %v have no form in KINK: it knows one port or all", c.local, c.remote)
	}
	return message.NewISAKMP(append(ps, &idci, &idcr)...)
}

// used: a packet came in on a Child SA, so the peer has it.
func (s *session) used(now time.Time, id spd.SAID) {
	if int(id.Protocol) >= len(quickmode.SPIs{}) {
		return
	}
	s.confirm(now, func(c *creation) bool { return c.own[id.Protocol] == id.SPI })
}

// confirm does without the ACK for a Child SA, if that is waited for.
func (s *session) confirm(now time.Time, of func(c *creation) bool) {
	for _, v := range s.unacked {
		if slices.ContainsFunc(v.made, of) {
			v.confirm(now, nil)
			return
		}
	}
}
