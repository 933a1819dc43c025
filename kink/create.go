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
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/message"
	"github.com/racoon3/racoon/spd"
)

// The CREATE command, as its initiator (RFC 4430 3.2):
//
//	   inbound SA for what is offered first, unless there is a KE
//	1  CREATE ->
//	2                 <- REPLY
//	   outbound SA; another inbound SA, if something else was chosen, or the
//	   responder has added its nonce or a KE
//	3  ACK ->             if the REPLY wants it

// A create is one CREATE with all its Child SAs.
type create struct {
	s         *session
	all       []*creation
	left      int // jobs under way
	t         *transaction
	recovered recovery
	withoutKE bool
}

// createChild begins the negotiation of a configured Child: a Child SA for each
// pair of its selectors, all in one CREATE unless the peer is racoon2.
func (s *session) createChild(now time.Time, cfg *ike.ChildConfig, acquire spd.AcquireID, packet *spd.Selector) {
	pairs := s.pairs(cfg)
	if len(pairs) == 0 || len(pairs) > maxCreations {
		s.AcquireDone(acquire, errGone)
		s.childFailed(now, cfg.Name, nil, fmt.Errorf("Child %q has %d pairs of selectors; 1 to %d are possible", cfg.Name, len(pairs), maxCreations))
		return
	}
	if packet != nil { // the pair that holds the packet first
		slices.SortStableFunc(pairs, func(a, b spd.Selector) int { return holds(b, packet) - holds(a, packet) })
	}
	x := &create{s: s}
	for _, p := range pairs {
		c := &creation{s: s, cfg: cfg, initiator: true, local: p.Local, remote: p.Remote}
		if c.old = s.sameTraffic(cfg.Name, p.Local, p.Remote); c.old != nil {
			if c.old.Rekeying || early(now, c.old) > 0 { // it is being made, or was a moment ago
				continue
			}
			c.old.Rekeying = true
		}
		x.all = append(x.all, c)
	}
	if len(x.all) == 0 {
		s.AcquireDone(acquire, nil)
		return
	}
	x.all[0].acquire = acquire
	if !s.peer.Racoon2 {
		x.begin(now)
		return
	}
	for _, c := range x.all { // kinkd reads the first KINK_ISAKMP payload alone
		(&create{s: s, all: []*creation{c}}).begin(now)
	}
}

func holds(pair spd.Selector, packet *spd.Selector) int {
	if spd.Covers([]spd.TrafficSelector{pair.Local}, packet.Local) && spd.Covers([]spd.TrafficSelector{pair.Remote}, packet.Remote) {
		return 1
	}
	return 0
}

// StartRekey implements child.Host: a rekey is a CREATE, and then a DELETE of the
// old SA (RFC 4430 3.6).
func (s *session) StartRekey(now time.Time, a *child.SA) {
	cfg := s.peer.child(a.Info.Name)
	if cfg == nil || s.Ending {
		return // gone from the configuration; the SA ends with its lifetime
	}
	if d := early(now, a); d > 0 {
		s.Children.RetryRekey(now, a, d)
		return
	}
	a.Rekeying = true
	c := &creation{s: s, cfg: cfg, initiator: true, old: a, local: a.Info.LocalTS[0], remote: a.Info.RemoteTS[0]}
	(&create{s: s, all: []*creation{c}}).begin(now)
}

// begin gets the ticket.
func (x *create) begin(now time.Time) {
	s := x.s
	s.creating = append(s.creating, x)
	s.withTicket(now, func(now time.Time, ticket *krb.Ticket, err error) {
		if err != nil {
			x.fail(now, err)
			return
		}
		x.prepare(now, ticket)
	})
}

// prepare makes nonces and keys, reserves the SPIs, installs the inbound SAs,
// and sends the CREATE.
func (x *create) prepare(now time.Time, ticket *krb.Ticket) {
	x.left = len(x.all)
	for _, c := range x.all {
		c.begun = now
	}
	var failure error
	ready := func(now time.Time, err error) {
		if err != nil && failure == nil {
			failure = err
		}
		if x.left--; x.left > 0 {
			return
		}
		if failure == nil && (x.s.Dead || x.s.Ending) {
			failure = errGone
		}
		if failure != nil {
			x.fail(now, failure)
			return
		}
		x.send(now, ticket)
	}
	for _, c := range x.all {
		c.key, c.expires = ticket.Key, ticket.EndTime
		c.prepare(now, ready)
	}
}

func (c *creation) prepare(now time.Time, ready func(now time.Time, err error)) {
	s := c.s
	c.policy = s.policyOf(c.cfg)
	if c.withoutKE {
		c.policy.Proposals = withoutKE(c.policy.Proposals)
	}
	c.group = c.policy.Group()
	var err error
	if c.ni, err = s.ep.newNonce(); err != nil {
		ready(now, err)
		return
	}
	next := func(now time.Time) {
		c.reserve(c.policy.Protocols(), func(now time.Time, err error) {
			if err != nil || c.group != dh.None || s.Dead {
				ready(now, err)
				return
			}
			c.expect(now, ready)
		})
	}
	if c.group == dh.None {
		next(now)
		return
	}
	s.Generate(c.group, func(now time.Time, k core.KeyExchange, err error) {
		if err != nil {
			ready(now, fmt.Errorf("key exchange: %w", err))
			return
		}
		c.keyShare = k
		next(now)
	})
}

// expect installs the inbound SA for what is offered first.
func (c *creation) expect(now time.Time, ready func(now time.Time, err error)) {
	offer, err := c.policy.Offer(c.group, c.own)
	if err != nil {
		ready(now, err)
		return
	}
	if c.expected, err = c.policy.Expect(offer); err != nil {
		ready(now, err)
		return
	}
	// The SPIs of protocols that are not in it stay reserved; those that are
	// belong to the Child SA from here on.
	c.add(now, &c.expected, 0)
	c.keepReserved(&c.expected)
	in, out := c.bundles(&c.expected)
	for i := range out.SAs {
		out.SAs[i].EncrKey.Wipe()
		out.SAs[i].IntegKey.Wipe()
	}
	c.s.Children.InstallInbound(now, c.sa, in, func(now time.Time, err error) {
		if err != nil {
			c.sa = nil
			err = fmt.Errorf("installing the inbound SA: %w", err)
		}
		ready(now, err)
	})
}

// keepReserved leaves among what is to be released the SPIs that are not
// installed.
func (c *creation) keepReserved(installed interface{ Has(spd.Protocol) bool }) {
	var requests []spd.SPIRequest
	var spis []spd.SPI
	for i, r := range c.requests {
		if !installed.Has(r.Protocol) {
			requests, spis = append(requests, r), append(spis, c.spis[i])
		}
	}
	c.requests, c.spis = requests, spis
}

// send sends the CREATE.
func (x *create) send(now time.Time, ticket *krb.Ticket) {
	s := x.s
	var content []message.Payload
	for _, c := range x.all {
		offer, err := c.policy.Offer(c.group, c.own)
		if err == nil {
			var p *message.ISAKMP
			if p, err = c.payload(offer, c.ni); err == nil {
				content = append(content, p)
			}
		}
		if err != nil {
			x.fail(now, err)
			return
		}
	}
	x.t = &transaction{command: message.Create, ticket: ticket, content: content, recovered: x.recovered,
		done: func(now time.Time, ps message.Payloads, err error) {
			if err != nil {
				x.fail(now, err)
				return
			}
			s.authorize(now, true, func(now time.Time, err error) {
				if err == nil {
					x.answered(now, ps)
					return
				}
				for _, c := range x.all {
					c.accepted = true
				}
				x.fail(now, err)
			})
		},
		again: x.again}
	s.begin(now, x.t)
}

// again begins anew with another ticket: all keys hang on its session key, so
// what is installed goes.
func (x *create) again(now time.Time, ticket *krb.Ticket, r recovery) {
	all := x.all
	x.all, x.recovered = nil, r
	for _, c := range all {
		n := &creation{s: c.s, cfg: c.cfg, initiator: true, old: c.old, local: c.local, remote: c.remote, acquire: c.acquire, withoutKE: x.withoutKE,
			unwanted: c.unwanted}
		c.acquire = 0
		c.give(now)
		x.all = append(x.all, n)
	}
	x.prepare(now, ticket)
}

// answered takes the REPLY: a KINK_ISAKMP payload for each of ours, in their
// order.
func (x *create) answered(now time.Time, ps message.Payloads) {
	var answers []*message.ISAKMP
	for p := range ps.ISAKMPs() {
		answers = append(answers, p)
	}
	if x.refusedKE(answers) {
		x.withoutKE = true
		x.again(now, x.t.ticket, x.t.recovered)
		return
	}
	x.left = len(x.all)
	var failure error
	up := 0
	for i, c := range x.all {
		done := func(now time.Time, err error) {
			if err != nil {
				if failure == nil {
					failure = err
				}
				x.failed(now, c, err)
			} else {
				up++
			}
			if x.left--; x.left == 0 {
				x.concluded(now, up, failure)
			}
		}
		if i >= len(answers) {
			done(now, protocolError(message.Create, "answer has %d KINK_ISAKMP payloads for %d of ours", len(answers), len(x.all)))
			continue
		}
		c.conclude(now, answers[i], done)
	}
}

// refusedKE reports whether the peer has no key exchange, and the configuration
// can do without: its groups name "none". Then another transaction is tried (RFC
// 4430 3.2).
func (x *create) refusedKE(answers []*message.ISAKMP) bool {
	if x.withoutKE || len(answers) != len(x.all) {
		return false
	}
	refused := 0
	for i, c := range x.all {
		if c.group == dh.None {
			return false
		}
		ps, err := answers[i].Payloads()
		if err != nil || ps.SA() != nil || !ps.HasNotify(isakmp.NotifyInvalidPayloadType) {
			return false
		}
		if len(withoutKE(c.policy.Proposals)) == 0 {
			return false
		}
		refused++
	}
	return refused > 0
}

// withoutKE are the proposals that can do without a key exchange.
func withoutKE(all []spd.Proposal) (kept []spd.Proposal) {
	for _, p := range all {
		if p.KeyExchange() == 0 || slices.Contains(p.All(spd.TransformKE), spd.Transform{Type: spd.TransformKE}) {
			kept = append(kept, p.WithKE())
		}
	}
	return kept
}

// concluded: everything that was agreed on is installed.
func (x *create) concluded(now time.Time, up int, failure error) {
	s := x.s
	if s.ep.transactions[x.t.xid] == x.t { // an ACK is wanted, whatever we make of the answer (RFC 4430 3.2)
		x.t.acked = true
		x.t.ack(now)
	}
	if !s.made(x) || s.Dead {
		return
	}
	if up > 0 {
		s.up(now)
		for _, c := range x.all {
			if !c.ended {
				c.settled(now)
			}
		}
	}
	s.sweep(now, ike.DownFailed, failure)
}

// conclude takes the responder's choice for one Child SA, and installs it.
func (c *creation) conclude(now time.Time, p *message.ISAKMP, done func(now time.Time, err error)) {
	s := c.s
	ps, err := p.Payloads()
	if err != nil {
		done(now, &ProtocolError{Command: message.Create, Err: err})
		return
	}
	c.accepted = ps.SA() != nil
	if err := c.check(ps); err != nil {
		done(now, err)
		return
	}
	if c.sa != nil && c.sa.State == child.Gone || slices.Contains(s.overtook, c.chosen.PeerSPIs()[c.chosen.Proposal.Protocol]) {
		done(now, errOvertaken)
		return
	}
	install := func(now time.Time) {
		peer := c.chosen.PeerSPIs()[c.chosen.Proposal.Protocol]
		finish := func(now time.Time, err error) {
			if err != nil {
				c.sa = nil
				err = fmt.Errorf("installing the Child SA: %w", err)
			}
			done(now, err)
		}
		if c.sa == nil {
			c.add(now, &c.chosen, peer)
			c.releaseUnchosen(&c.chosen)
			c.addOuter()
			in, out := c.bundles(&c.chosen)
			s.Children.Install(now, c.sa, in, out, false, finish)
			return
		}
		s.SetOutbound(c.sa, peer)
		*c.sa.Config = *c.life(now, &c.chosen)
		c.sa.Info.Proposal, c.sa.Info.IPComp = c.chosen.Proposal, c.chosen.Has(spd.ProtoIPComp)
		c.addOuter()
		in, out := c.bundles(&c.chosen)
		if c.nr == nil && c.chosen.Same(&c.expected) {
			wipeBundle(in)
			in = nil
		}
		s.Children.Complete(now, c.sa, in, out, finish)
	}
	if c.group == dh.None {
		install(now)
		return
	}
	private := c.keyShare.Private
	c.keyShare.Private = nil
	s.Conclude(private, ps.KE().Data, func(now time.Time, k core.KeyExchange, err error) {
		if err != nil {
			done(now, fmt.Errorf("key exchange: %w", err))
			return
		}
		c.keyShare.Secret = k.Secret
		install(now)
	})
}

func wipeBundle(b *spd.Bundle) {
	for i := range b.SAs {
		b.SAs[i].EncrKey.Wipe()
		b.SAs[i].IntegKey.Wipe()
	}
}

// addOuter has the events of AH around ESP come to the Child SA.
func (c *creation) addOuter() {
	if outer := c.chosen.Parts[len(c.chosen.Parts)-1].Proposal.Protocol; outer != c.chosen.Proposal.Protocol {
		c.s.AddOuter(c.sa, ike.ChildSPIs{In: c.own[outer], Out: c.chosen.PeerSPIs()[outer]})
	}
}

// check compares the answer with what was offered: a responder may only choose,
// and shorten lifetimes (RFC 4430 3.2).
func (c *creation) check(ps isakmp.Payloads) error {
	if n := ps.ErrorNotify(); n != nil { // known or not, it means that all has failed (RFC 4430 5.5)
		detail := fmt.Sprintf("we offered %v for %v === %v", c.policy.Proposals, c.local, c.remote)
		if text := printable(n.Data); text != "" {
			detail = fmt.Sprintf("%q; %s", text, detail)
		}
		return &NotifyError{Command: message.Create, Type: n.Type, Detail: detail}
	}
	if err := ps.Require(isakmp.PayloadSA); err != nil {
		return protocolError(message.Create, "answer: %w", err)
	}
	if n := ps.Count(isakmp.PayloadSA); n != 1 {
		return protocolError(message.Create, "answer has %d SA payloads", n)
	}
	var err error
	if c.chosen, err = c.policy.CheckAnswer(ps.SA(), c.group); err != nil {
		return err
	}
	if c.chosen.Peer.Shorter(c.policy.Life) != c.chosen.Peer {
		return protocolError(message.Create, "answer has a longer lifetime (%v) than was offered (%v)", c.chosen.Peer, c.policy.Life)
	}
	if (ps.KE() != nil) != (c.group != dh.None) {
		return protocolError(message.Create, "KE payload: %v, group offered: %v", ps.KE() != nil, c.group)
	}
	if n := ps.Nonce(); n != nil {
		c.nr = slices.Clone(n.Data)
	}
	if ci, cr := ps.ClientIDs(); ci != nil && cr != nil {
		l, err := ci.TrafficSelector()
		r, err2 := cr.TrafficSelector()
		if err != nil || err2 != nil || l != c.local || r != c.remote {
			return protocolError(message.Create, "peer answered for %v === %v, and we asked for %v === %v", ci, cr, c.local, c.remote)
		}
	}
	return nil
}

// printable is the data of a notification where it is text.
func printable(b []byte) string {
	if len(b) > 512 {
		b = b[:512]
	}
	for _, c := range b {
		if c < ' ' || c > '~' {
			return ""
		}
	}
	return string(b)
}

// fail ends all of it.
func (x *create) fail(now time.Time, err error) {
	if !x.s.made(x) {
		return
	}
	for _, c := range x.all {
		x.failed(now, c, err)
	}
	x.s.sweep(now, ike.DownFailed, err)
}

// made takes a CREATE off the list of those under way. It reports false if that
// was done before.
func (s *session) made(x *create) bool {
	i := slices.Index(s.creating, x)
	if i < 0 {
		return false
	}
	s.creating = slices.Delete(s.creating, i, i+1)
	if len(s.creating) == 0 {
		s.overtook = nil
	}
	return true
}

// failed ends one Child SA, and tells the program.
func (x *create) failed(now time.Time, c *creation, err error) {
	s := x.s
	if c.accepted && !c.ended && !s.Dead {
		s.tellDelete(now, c.deletion(), func(time.Time, error) {})
	}
	if !c.give(now) {
		return
	}
	s.AcquireDone(c.acquire, err)
	if old := c.old; old != nil {
		old.Rekeying = false
		if old.State < child.Replaced {
			s.Children.RetryRekey(now, old, s.ep.Jitter(retryDelay, 0.5))
		}
	}
	s.childFailed(now, c.cfg.Name, c.old, err)
}

// deletion is the Delete payload for a Child SA of which only the peer may know.
func (c *creation) deletion() []isakmp.Payload {
	protocol := c.policy.Main()
	return []isakmp.Payload{&isakmp.Delete{DOI: isakmp.DOIIPsec, Protocol: protocol, SPISize: 4, SPIs: quickmode.AppendSPI(nil, c.own[protocol])}}
}

// retryDelay is after what time a failed rekey is tried again.
const retryDelay = 20 * time.Second

func (s *session) childFailed(now time.Time, name string, old *child.SA, err error) {
	switch {
	case !s.Up || s.Dead: // the session's own end tells it
	case old != nil:
		s.Emit(ike.RekeyFailed{EventHeader: s.EventHeader(now), Child: old.Info.ID, Name: name, Err: err})
	default:
		s.Emit(ike.ChildFailed{EventHeader: s.EventHeader(now), Name: name, Initiator: true, Err: err})
	}
}
