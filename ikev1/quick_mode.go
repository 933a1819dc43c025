package ikev1

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/internal/core"
	"github.com/racoon3/racoon/internal/quickmode"
	"github.com/racoon3/racoon/internal/secret"
	"github.com/racoon3/racoon/internal/vendorid"
	"github.com/racoon3/racoon/natt"
	"github.com/racoon3/racoon/spd"
)

// Quick Mode (RFC 2409 5.5), all of it encrypted:
//
//	1  HASH(1), SA, Ni [, KE] [, IDci, IDcr] ->
//	2                                        <-  HASH(2), SA, Nr [, KE] [, IDci, IDcr]
//	3  HASH(3)                               ->
//	4                                        <-  HASH, CONNECTED   (if the responder set the commit bit)

// A quickMode is the negotiation of one Child SA, in either role. The KE payload
// is of one group, so a Quick Mode offers the proposals with one group only: an
// initiator begins with the first one configured, and again with the next one if
// the peer refuses.
type quickMode struct {
	s         *session
	cfg       *ike.ChildConfig
	old       *child.SA // the one that is replaced, or nil
	initiator bool

	policy   quickmode.Policy
	requests []spd.SPIRequest
	spis     []spd.SPI
	own      quickmode.SPIs // the same by protocol
	ni, nr   []byte
	keyShare core.KeyExchange
	group    dh.ID

	// Initiator.
	pair    *spd.Selector // of the configured selectors, the ones of this SA
	acquire spd.AcquireID
	packet  *spd.Selector
	x       *exchange

	chosen        quickmode.Selected
	local, remote spd.TrafficSelector
	served        []spd.TrafficSelector // of the own side, if less than local
	idci, idcr    *isakmp.ID            // as on the wire
	reqID         uint32                // 0: the Child's

	// Transport mode behind a NAT: what the peer calls the two hosts.
	originalLocal, originalRemote netip.Addr

	why     string    // this Child was chosen
	sa      *child.SA // once installed
	step    uint8     // number of the message that is expected
	commit  bool      // the responder will say CONNECTED
	ended   bool
	attempt int // which of the groups it is tried with
	// retried: it was begun under another ISAKMP SA before, which has gone.
	retried bool
}

func (s *session) newQuickMode(cfg *ike.ChildConfig) *quickMode {
	return &quickMode{s: s, cfg: cfg, initiator: true}
}

// errand is the initiator's side as something to do under an ISAKMP SA. A
// configured Child with several pairs of selectors takes one Quick Mode each.
func (q *quickMode) errand() errand {
	return errand{run: q.begin, fail: q.failed, rekey: q.old != nil}
}

// begin chooses the selectors and starts.
func (q *quickMode) begin(now time.Time, sa *isakmpSA) {
	s := q.s
	if q.old != nil {
		if q.overtaken(now) {
			return
		}
		q.local, q.remote, q.served = s.negotiatedFor(q.old)
		q.why = q.old.Info.Why
		q.start(now, sa)
		return
	}
	if q.pair == nil {
		pairs := s.pairs(q.cfg)
		if p := q.packet; p != nil {
			// On demand the pair that holds the packet comes first.
			slices.SortStableFunc(pairs, func(a, b spd.Selector) int { return holds(b, p) - holds(a, p) })
		}
		if len(pairs) == 0 {
			q.failed(now, fmt.Errorf("Child %q: %w", q.cfg.Name, errNoSelectors))
			return
		}
		q.pair = &pairs[0]
		for i := range pairs[1:] {
			more := s.newQuickMode(q.cfg)
			more.pair = &pairs[1+i]
			defer func() { s.do(now, more.errand()) }()
		}
	}
	q.local, q.remote = q.pair.Local, q.pair.Remote
	if q.why = "begun by this side"; q.acquire != 0 {
		q.why = "a packet asked for it"
	}
	if a := s.sameTraffic(q.cfg.Name, q.localTS(), q.remote); a != nil {
		// For the peer it is a rekey, so it is one.
		q.old = a
		if a.Rekeying || q.overtaken(now) {
			q.give(now, nil)
			return
		}
		a.Rekeying = true
	}
	q.start(now, sa)
}

func holds(pair spd.Selector, packet *spd.Selector) int {
	if spd.Covers([]spd.TrafficSelector{pair.Local}, packet.Local) && spd.Covers([]spd.TrafficSelector{pair.Remote}, packet.Remote) {
		return 1
	}
	return 0
}

// policyOf is what a Child's configuration offers and accepts under an SA.
func (s *session) policyOf(sa *isakmpSA, c *ike.ChildConfig) quickmode.Policy {
	l := core.LifeOf(c, false)
	l.Lifetime = offeredLifetime(l.Rekey, l.Lifetime)
	p := quickmode.Policy{Proposals: c.Proposals, Outer: c.Outer, IPComp: s.Compresses(c, s.ep.cfg.DataPlane.Capabilities()), Mode: c.Mode,
		Life: quickmode.LifetimeOf(l.Lifetime, l.Volume.HardBytes), Check: s.peer.Check}
	if s.Encap() && s.ESPPort == 0 { // what Cisco does apart from NAT traversal is not negotiated here
		if p.UDP = sa.variant; p.UDP == natt.NoVariant {
			p.UDP = natt.RFC3947
		}
	}
	return p
}

// start makes the nonce, the key exchange and the SPIs, and sends the first
// message.
func (q *quickMode) start(now time.Time, sa *isakmpSA) {
	s := q.s
	q.policy = s.policyOf(sa, q.cfg)
	groups := groupsOf(q.policy.Proposals)
	q.group = groups[min(q.attempt, len(groups)-1)]
	if q.awaitsGroup(now, sa) {
		return
	}
	var err error
	if q.ni, err = s.newQuickNonce(sa); err != nil {
		q.failed(now, err)
		return
	}
	q.step = 2
	next := func(now time.Time) {
		q.reserve(q.policy.Protocols(), func(now time.Time, err error) {
			switch {
			case err != nil:
				q.failed(now, err)
			case sa.state != stateEstablished:
				q.again(now, errGone)
			case q.overtaken(now):
				q.give(now, errReplaced)
			default:
				q.sendFirst(now, sa)
			}
		})
	}
	if q.group == dh.None || q.keyShare.Private != nil {
		next(now)
		return
	}
	s.GenerateIn(sa.group(q.group, true), func(now time.Time, k core.KeyExchange, err error) {
		if err != nil {
			q.failed(now, fmt.Errorf("key exchange: %w", err))
			return
		}
		q.keyShare = k
		if q.ended {
			k.Wipe()
			return
		}
		next(now)
	})
}

// unityNonceLen is the size of our nonces towards Unity clients: vpnc puts no
// more octets of a gateway's nonce into the keys of a rekey that the gateway
// begins.
const unityNonceLen = 20

// newQuickNonce draws a nonce for a Quick Mode that this side begins.
func (s *session) newQuickNonce(sa *isakmpSA) ([]byte, error) {
	if s.Leased != nil && sa.peerVIDs.Has(vendorid.Unity) {
		return s.ep.nonceOf(unityNonceLen)
	}
	return s.ep.newNonce()
}

// reserve gets an inbound SPI for each protocol.
func (q *quickMode) reserve(protocols []spd.Protocol, done func(now time.Time, err error)) {
	s := q.s
	reqID := q.cfg.ReqID
	if q.old != nil {
		reqID = q.old.Info.ReqID
	}
	q.requests = nil
	for _, p := range protocols {
		q.requests = append(q.requests, spd.SPIRequest{Protocol: p, Local: s.LocalAddr(), Remote: s.RemoteAddr(), ReqID: reqID,
			Mark: q.cfg.Options.MarkIn, Acquire: q.acquire, TTL: s.Timing.RetransmitMax * time.Duration(s.Timing.RetransmitTries+1)})
	}
	s.Children.Reserve(q.requests, func(now time.Time, spis []spd.SPI, err error) {
		if err != nil {
			done(now, fmt.Errorf("reserving an SPI: %w", err))
			return
		}
		q.spis = spis
		if q.ended {
			s.Children.Release(q.requests, spis)
			return
		}
		for i, r := range q.requests {
			q.own[r.Protocol] = spis[i]
		}
		done(now, nil)
	})
}

// sendFirst sends the first message.
func (q *quickMode) sendFirst(now time.Time, sa *isakmpSA) {
	offer, err := q.policy.Offer(q.group, q.own)
	if err != nil {
		q.failed(now, err)
		return
	}
	idci, okI := isakmp.NewSelectorID(q.local)
	idcr, okR := isakmp.NewSelectorID(q.remote)
	if !okI || !okR {
		q.failed(now, fmt.Errorf("selectors %v === %v have no form in IKEv1: it knows one port or all", q.local, q.remote))
		return
	}
	q.idci, q.idcr = &idci, &idcr
	payloads := []isakmp.Payload{offer, &isakmp.Nonce{Data: q.ni}}
	if q.group != dh.None {
		payloads = append(payloads, &isakmp.KE{Data: q.keyShare.Public})
	}
	payloads = append(payloads, q.idci, q.idcr)
	payloads = append(payloads, q.natOAs(sa)...)
	if q.x, err = sa.newExchange(isakmp.ExchangeQuickMode, q); err != nil {
		q.failed(now, err)
		return
	}
	q.x.send(now, q.x.messageHash, payloads...)
}

// hash implements conversation.
func (q *quickMode) hash(x *exchange, covered []byte) secret.Bytes {
	keys := x.sa.keys
	switch q.step {
	case 2:
		return keys.quickHash2(x.id, q.ni, covered)
	case 3:
		return keys.quickHash3(x.id, q.ni, q.nr)
	}
	return x.messageHash(covered)
}

// receive implements conversation.
func (q *quickMode) receive(now time.Time, x *exchange, m *inbound) {
	q.x = x
	for n := range m.Notifies() {
		if !n.Type.IsError() { // an answer that is an error is told as one
			x.sa.told(now, n)
		}
	}
	switch q.step {
	case 2:
		q.answered(now, m)
	case 3:
		q.confirmed(now, m)
	case 4:
		q.connected(now)
	default:
		q.respond(now, m)
	}
}

// abort implements conversation.
func (q *quickMode) abort(now time.Time, x *exchange, err error) {
	switch {
	case q.step == 4 && q.sa != nil:
		q.prove(now) // CONNECTED was lost: nobody sends it again
		return
	case q.step == 3 && q.sa != nil:
		q.unconfirmed(now, x, err)
		return
	case q.initiator && q.sa == nil && (x.sa.state == stateDead || x.sa.leaving) && q.s.current != nil:
		q.again(now, err)
		return
	}
	q.failed(now, err)
	if _, silent := err.(*TimeoutError); silent {
		q.s.unanswered(now, x.sa)
	}
}

// answered takes the responder's choice.
func (q *quickMode) answered(now time.Time, m *inbound) {
	s := q.s
	if err := q.check(m); err != nil {
		if m.SA() == nil {
			q.end(now, err)
			return
		}
		// The peer believes that the SA stands.
		q.x.sa.sendDeleteSPI(now, q.policy.Main(), q.own[q.policy.Main()])
		q.end(now, err)
		return
	}
	q.commit = m.header.Flags&isakmp.FlagCommit != 0
	if q.group == dh.None {
		q.install(now, nil, q.commit || q.rivalled(), q.acknowledge)
		return
	}
	private := q.keyShare.Private
	q.keyShare.Private = nil
	s.Conclude(private, m.KE().Data, func(now time.Time, k core.KeyExchange, err error) {
		if err != nil {
			q.end(now, fmt.Errorf("key exchange: %w", err))
			return
		}
		if !q.ended {
			q.install(now, k.Secret, q.commit || q.rivalled(), q.acknowledge)
		}
		k.Wipe()
	})
}

// check compares the answer with what was offered: a responder may only choose.
func (q *quickMode) check(m *inbound) error {
	if n := m.ErrorNotify(); n != nil && m.SA() == nil {
		return &NotifyError{Exchange: m.header.Exchange, Type: n.Type, Text: notifyText(n), Detail: q.offeredText()}
	}
	if err := m.Require(isakmp.PayloadSA, isakmp.PayloadNonce); err != nil {
		return protocolError(m.header.Exchange, "answer: %w", err)
	}
	if m.Count(isakmp.PayloadSA) != 1 {
		return protocolError(m.header.Exchange, "answer has %d SA payloads", m.Count(isakmp.PayloadSA))
	}
	var err error
	if q.chosen, err = q.policy.CheckAnswer(m.SA(), q.group); err != nil {
		return err
	}
	q.nr = m.Nonce().Data
	if (m.KE() != nil) != (q.group != dh.None) {
		return protocolError(m.header.Exchange, "KE payload: %v, group offered: %v", m.KE() != nil, q.group)
	}
	if ci, cr := m.ClientIDs(); ci != nil && cr != nil {
		if err := q.takeAnsweredIDs(ci, cr); err != nil {
			return err
		}
	}
	q.noteNATOAs(q.x.sa, m)
	q.noteLifetime(m)
	return nil
}

func (q *quickMode) offeredText() string {
	return fmt.Sprintf("we offered %v for %v === %v", q.policy.Proposals, q.local, q.remote)
}

// noteLifetime takes a responder's shorter lifetime (RFC 2407 4.6.3.1).
func (q *quickMode) noteLifetime(m *inbound) {
	n := m.Notify(isakmp.NotifyResponderLifetime)
	if n == nil {
		return
	}
	attributes, err := isakmp.ParseAttributes(n.Data)
	if err != nil {
		return
	}
	if said, err := isakmp.LifetimeOf(spd.ProtoESP, attributes); err == nil {
		q.chosen.Life = q.chosen.Life.Shortened(said)
	}
}

// install derives the keys and installs both directions; with hold the outbound
// one waits.
func (q *quickMode) install(now time.Time, shared []byte, hold bool, done func(now time.Time, err error)) {
	s, sa := q.s, q.x.sa
	in, out := q.chosen.ChildSAs(sa.keys.keymatOf(shared, q.ni, q.nr), q.own)
	for i := range in {
		in[i].ReplayWindow = q.cfg.ReplayWindow
	}
	main := q.chosen.Proposal.Protocol
	peer := q.chosen.PeerSPIs()
	reqID := q.reqID
	if reqID == 0 {
		reqID = q.cfg.ReqID
	}
	local, remote := q.localTS(), []spd.TrafficSelector{q.remote}
	q.sa = s.AddChild(ike.ChildInfo{Name: q.cfg.Name, Protocol: main, ChildSPIs: ike.ChildSPIs{In: q.own[main], Out: peer[main]}, ReqID: reqID,
		Mode: q.chosen.Mode, LocalTS: local, RemoteTS: remote, Proposal: q.chosen.Proposal, IPComp: q.chosen.Has(spd.ProtoIPComp), UDPEncap: s.Encap(), Why: q.why},
		q.life(), q.initiator, q.old)
	if q.old == nil {
		q.sa.Untold()
	}
	s.noteServed(q)
	q.releaseUnchosen()
	if outer := q.chosen.Parts[len(q.chosen.Parts)-1].Proposal.Protocol; outer != main {
		s.AddOuter(q.sa, ike.ChildSPIs{In: q.own[outer], Out: peer[outer]})
	}
	at := s.Endpoints()
	bundle := func(sas []spd.SA) *spd.Bundle {
		return &spd.Bundle{SAs: sas, ReqID: q.sa.Info.ReqID, Local: at.Local, Remote: at.Remote, UDPEncap: at.UDPEncap, NonIKE: at.NonIKE, Interface: s.Path.Interface,
			LocalTS: local, RemoteTS: remote, OriginalLocal: q.originalLocal, OriginalRemote: q.originalRemote, Lifetime: q.sa.Config.Volume, Options: q.cfg.Options}
	}
	s.Children.Install(now, q.sa, bundle(in), bundle(out), hold, func(now time.Time, err error) {
		switch {
		case err != nil:
			q.sa = nil
			done(now, fmt.Errorf("installing the Child SA: %w", err))
		case q.ended: // with its ISAKMP SA
			q.discard(now, nil)
		default:
			done(now, nil)
		}
	})
}

// life is what governs the Child SA: the own times within the negotiated ones.
// A responder leaves the initiator a head start at rekeying.
func (q *quickMode) life() *child.Config {
	l := core.LifeOf(q.cfg, false)
	hard := q.chosen.Life.Time()
	if l.Lifetime <= 0 || l.Lifetime > hard {
		l.Lifetime = hard
	}
	if l.Rekey <= 0 || l.Rekey > l.Lifetime-l.Lifetime/10 {
		l.Rekey = l.Lifetime - l.Lifetime/10
	}
	if !q.initiator {
		l.Rekey += (l.Lifetime - l.Rekey) / 2
		l.Jitter /= 2
	}
	if b := q.chosen.Life.Bytes(); b > 0 && (l.Volume.HardBytes == 0 || l.Volume.HardBytes > b) {
		l.Volume.HardBytes = b
	}
	if b := l.Volume.HardBytes; b > 0 {
		soft := b - b/10
		if !q.initiator {
			soft += b / 20
		}
		if l.Volume.SoftBytes == 0 || l.Volume.SoftBytes > soft {
			l.Volume.SoftBytes = soft
		}
	}
	l.Volume.HardTime = ike.TenthMore(l.Lifetime) // a backstop behind our own timer
	return l
}

// releaseUnchosen gives the SPIs back of protocols that the peer did not want.
// The others are installed or removed from here on, no longer reserved.
func (q *quickMode) releaseUnchosen() {
	for i, r := range q.requests {
		if !q.chosen.Has(r.Protocol) && i < len(q.spis) {
			q.s.Children.Release(q.requests[i:i+1], q.spis[i:i+1])
		}
	}
	q.spis = nil
}

// acknowledge sends the third message: both directions stand.
func (q *quickMode) acknowledge(now time.Time, err error) {
	x := q.x
	if err != nil {
		x.sa.sendDeleteSPI(now, q.policy.Main(), q.own[q.policy.Main()])
		q.end(now, err)
		return
	}
	third := func([]byte) secret.Bytes { return x.sa.keys.quickHash3(x.id, q.ni, q.nr) }
	if q.commit {
		q.step = 4
		x.transmit(now, third, nil)
		// It is not sent again by itself: a peer that misses it repeats its own
		// message. If CONNECTED is lost, the SA is used all the same.
		q.s.ep.SetTimer(&x.timer, now.Add(connectedWait))
		return
	}
	x.reply(now, third)
	q.succeed(now)
}

// connectedWait is how long an initiator waits for CONNECTED.
const connectedWait = 5 * time.Second

// aside takes an Informational message that has the message ID of a Quick Mode:
// CONNECTED (RFC 2408 3.1), or a refusal.
func (x *exchange) aside(now time.Time, path ike.Path, h isakmp.Header, b []byte) {
	sa := x.sa
	q, ok := x.of.(*quickMode)
	if !ok || !q.initiator || x.busy {
		sa.ep.Count.Unexpected++
		return
	}
	iv := sa.keys.hash.phase2IV(sa.blockSize(), sa.lastBlock, h.MessageID)
	m, _, err := sa.open(now, h, b, iv, x.messageHash)
	if err != nil {
		m, _, err = sa.open(now, h, b, x.iv, x.messageHash) // as if it were the next one of the exchange
	}
	if err != nil {
		sa.ep.countBad(err)
		return
	}
	sa.s.alive(now, path)
	switch n := m.ErrorNotify(); {
	case n != nil && q.step == 2:
		x.fail(now, &NotifyError{Exchange: x.kind, Type: n.Type, Text: notifyText(n), Detail: q.offeredText()})
	case m.HasNotify(isakmp.NotifyConnected) && q.step == 4:
		q.connected(now)
	default:
		sa.ep.Count.Unexpected++
	}
}

// connected takes the fourth message.
func (q *quickMode) connected(now time.Time) {
	if q.sa == nil || q.sa.State == child.Gone {
		q.x.finish(now)
		return
	}
	q.prove(now)
}

// end ends the exchange without a Child SA.
func (q *quickMode) end(now time.Time, err error) {
	if q.x != nil {
		q.x.finish(now)
	}
	q.failed(now, err)
}

// give gives back SPIs and secrets. It reports false if that was done before.
func (q *quickMode) give(now time.Time, err error) bool {
	if q.ended {
		return false
	}
	q.ended = true
	q.s.Children.Release(q.requests, q.spis)
	q.spis = nil
	q.keyShare.Wipe()
	q.s.AcquireDone(q.acquire, err)
	q.acquire = 0
	if q.sa == nil {
		q.discard(now, err)
	}
	return true
}

// failed ends it without a Child SA, and tells the program.
func (q *quickMode) failed(now time.Time, err error) {
	s := q.s
	if q.anotherGroup(now, err) || !q.give(now, err) {
		return
	}
	if old := q.old; old != nil && q.initiator {
		if old.State < child.Replaced {
			s.Children.RetryRekey(now, old, s.ep.Jitter(retryDelay, 0.5))
		}
		old.Rekeying = false
		if s.Up && !s.Dead {
			s.Emit(ike.RekeyFailed{EventHeader: s.EventHeader(now), Child: old.Info.ID, Name: old.Info.Name, Err: err})
		}
		return
	}
	if s.Up && !s.Dead {
		name := ""
		if q.cfg != nil {
			name = q.cfg.Name
		}
		s.Emit(ike.ChildFailed{EventHeader: s.EventHeader(now), Name: name, Initiator: q.initiator, Err: err})
	}
}
