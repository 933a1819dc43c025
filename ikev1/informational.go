package ikev1

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/internal/quickmode"
	"github.com/racoon3/racoon/internal/secret"
	"github.com/racoon3/racoon/spd"
)

// informational is a message of the Informational exchange: one, that nobody
// answers (RFC 2409 5.7).
type informational struct{}

func (*informational) hash(x *exchange, covered []byte) secret.Bytes { return x.messageHash(covered) }

func (*informational) abort(time.Time, *exchange, error) {}

// receive implements conversation.
func (*informational) receive(now time.Time, x *exchange, m *inbound) {
	sa, s := x.sa, x.sa.s
	x.finish(now)
	for n := range m.Notifies() {
		if s.Dead {
			return
		}
		sa.notified(now, n)
	}
	for d := range m.Deletes() {
		if s.Dead {
			return
		}
		sa.deleted(now, d)
	}
}

// sendInformational sends one message. It is protected: before there are keys,
// nothing is said this way.
func (sa *isakmpSA) sendInformational(now time.Time, payloads ...isakmp.Payload) {
	if sa.keys == nil || sa.state == stateDead || !sa.ready() || sa.leaving {
		return
	}
	x, err := sa.newExchange(isakmp.ExchangeInformational, nil)
	if err != nil {
		return
	}
	x.transmit(now, x.messageHash, payloads)
	x.forget()
}

// sendNotify tells the peer something about the ISAKMP SA.
func (sa *isakmpSA) sendNotify(now time.Time, t isakmp.NotifyType, data []byte) {
	sa.sendInformational(now, sa.notify(t, data))
}

func (sa *isakmpSA) notify(t isakmp.NotifyType, data []byte) *isakmp.Notify {
	i, r := sa.cookiePair()
	return &isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoIKE, SPI: isakmp.AppendCookies(nil, i, r), Type: t, Data: data}
}

// sendDelete tells the peer that the ISAKMP SA goes.
func (sa *isakmpSA) sendDelete(now time.Time) {
	sa.sendInformational(now, sa.deletion())
}

func (sa *isakmpSA) deletion() *isakmp.Delete {
	i, r := sa.cookiePair()
	return &isakmp.Delete{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoIKE, SPISize: 16, SPIs: isakmp.AppendCookies(nil, i, r)}
}

// sendDeleteChild tells the peer that a Child SA goes.
func (sa *isakmpSA) sendDeleteChild(now time.Time, a *child.SA) {
	sa.sendDeleteSPI(now, a.Info.Protocol, a.Info.In)
}

func (sa *isakmpSA) sendDeleteSPI(now time.Time, protocol spd.Protocol, spi spd.SPI) {
	sa.sendInformational(now, &isakmp.Delete{DOI: isakmp.DOIIPsec, Protocol: protocol, SPISize: 4, SPIs: quickmode.AppendSPI(nil, spi)})
}

// notifyText is the text of a notification, if it is one.
func notifyText(n *isakmp.Notify) string {
	if n.Type >= isakmp.NotifyConnected || len(n.Data) == 0 || len(n.Data) > 256 {
		return ""
	}
	for _, c := range n.Data {
		if c < ' ' || c > '~' {
			return ""
		}
	}
	return string(n.Data)
}

// notified takes an authentic notification.
func (sa *isakmpSA) notified(now time.Time, n *isakmp.Notify) {
	s := sa.s
	switch {
	case n.Type == isakmp.NotifyRUThere:
		sa.answerDPD(now, n)
	case n.Type == isakmp.NotifyRUThereAck:
		sa.takeDPDAck(now, n)
	case n.Type == isakmp.NotifyInitialContact:
		sa.told(now, n)
		sa.initialContactReceived(now)
	case n.Type == isakmp.NotifyAuthenticationFailed && n.Protocol == spd.ProtoIKE && sa.lastWord() && now.Sub(sa.established) < crossing:
		sa.disowned(now, &NotifyError{Exchange: sa.mode.exchange(), Type: n.Type, Text: notifyText(n)})
	case n.Type == isakmp.NotifyInvalidSPI:
		sa.spiUnknown(now, n)
	case n.Type.IsError():
		sa.refused(now, n)
	case n.Type == isakmp.NotifyUnityLoadBalance:
		sa.told(now, n)
		if gateway, err := n.UnityLoadBalance(); err == nil {
			s.Warn(now, &LoadBalanceError{Gateway: gateway})
		}
	case n.Type == isakmp.NotifyResponderLifetime && n.Protocol == spd.ProtoIKE:
		sa.told(now, n)
		sa.shorten(now, n)
	default:
		sa.told(now, n)
	}
}

// told passes a notification on to the program.
func (sa *isakmpSA) told(now time.Time, n *isakmp.Notify) {
	sa.s.ep.Emit(ike.PeerNotify{EventHeader: sa.s.EventHeader(now), Type: uint16(n.Type), Data: slices.Clone(n.Data), Text: n.String()})
}

// shorten takes the responder's shorter lifetime of the ISAKMP SA (RFC 2407
// 4.6.3.1), which racoon tells when phase 1 is over.
func (sa *isakmpSA) shorten(now time.Time, n *isakmp.Notify) {
	said, err := n.ResponderLifetime()
	if err != nil || sa.state != stateEstablished || !sa.initiator || sa.s.current != sa {
		return
	}
	if life := sa.negotiated.life.Shortened(said); life != sa.negotiated.life {
		sa.negotiated.life = life
		sa.startLifetime(sa.established)
	}
}

// spiUnknown: the peer got a packet on an SA that it does not have. One of ours
// that it means has to be made anew.
func (sa *isakmpSA) spiUnknown(now time.Time, n *isakmp.Notify) {
	s := sa.s
	spi := n.SPI
	if len(spi) != 4 {
		spi = n.Data // where RFC 2408 3.14.1 leaves it open, some have it here
	}
	s.Warn(now, &NotifyError{Exchange: isakmp.ExchangeInformational, Type: n.Type, Text: fmt.Sprintf("%x", spi[:min(len(spi), 16)])})
	v, err := quickmode.ParseSPI(spd.ProtoESP, spi)
	if err != nil {
		return
	}
	for _, a := range s.Children.All() {
		about := n.Protocol == a.Info.Protocol || n.Protocol == spd.ProtoIKE
		if about && a.Info.Out == v && a.State == child.Mature && !a.Rekeying {
			s.StartRekey(now, a)
			return
		}
	}
}

// refused takes an error notification: the answer to a Quick Mode or New Group
// Mode of ours, if there is one that it may be about.
func (sa *isakmpSA) refused(now time.Time, n *isakmp.Notify) {
	s := sa.s
	var mine []*exchange
	for _, x := range sortedExchanges(sa.exchanges) {
		q, ok := x.of.(*quickMode)
		if x.asked() == "" {
			continue
		}
		mine = append(mine, x)
		if ok && len(n.SPI) == 4 && string(n.SPI) == string(quickmode.AppendSPI(nil, q.own[q.policy.Main()])) {
			mine = []*exchange{x}
			break
		}
	}
	if len(mine) != 1 {
		// It says not which one. Those that get no answer will be told why.
		told := &NotifyError{Exchange: isakmp.ExchangeInformational, Type: n.Type, Text: notifyText(n)}
		for _, x := range mine {
			x.doubt = &NotifyError{Exchange: x.kind, Type: n.Type, Text: told.Text, Detail: x.asked()}
		}
		s.Warn(now, told)
		return
	}
	x := mine[0]
	x.fail(now, &NotifyError{Exchange: x.kind, Type: n.Type, Text: notifyText(n), Detail: x.asked()})
}

// asked is what the peer may refuse of an exchange of ours, "" if it has been
// answered or cannot be.
func (x *exchange) asked() string {
	switch of := x.of.(type) {
	case *quickMode:
		if x.initiator && of.step == 2 {
			return of.offeredText()
		}
	case *groupProposal:
		return of.text()
	}
	return ""
}

// deleted takes a Delete payload: the peer's SAs are gone already (RFC 2408
// 3.15). An SPI that is unknown has been deleted before.
func (sa *isakmpSA) deleted(now time.Time, d *isakmp.Delete) {
	s := sa.s
	if d.DOI != isakmp.DOIIPsec && d.DOI != isakmp.DOIISAKMP {
		return
	}
	if d.Protocol == spd.ProtoIKE {
		for spi := range d.All() {
			if len(spi) != 16 {
				continue
			}
			for _, o := range slices.Clone(s.sas) {
				if b := o.cookies(); string(spi) == string(b[:]) && o.ready() {
					o.leave(now)
				}
			}
		}
		s.left(now)
		return
	}
	for spi := range d.All() {
		v, err := quickmode.ParseSPI(d.Protocol, spi)
		if err != nil {
			continue
		}
		if a := s.Children.ByOutbound(d.Protocol, v); a != nil && a.State != child.Gone {
			if q := s.unproven(a); q != nil {
				q.withdraw(now)
				continue
			}
			// It replaces what it deletes, unless an SA of our own has done so.
			if q := s.successorOf(a); q != nil && a.State < child.Replaced {
				q.prove(now)
			}
			s.Children.Remove(now, a, ike.DownRemote, nil, true)
		}
	}
}

// initialContactReceived: the peer knows of no other SA with us, so what this
// session has besides the SA that says so is from before its restart.
func (sa *isakmpSA) initialContactReceived(now time.Time) {
	s := sa.s
	if s.peer.Unique == ike.UniqueNever || now.Sub(sa.established) > crossing {
		return // said late it would take away what has been made since
	}
	s.ep.Emit(ike.InitialContact{EventHeader: s.EventHeader(now)})
	for _, o := range slices.Clone(s.sas) {
		if o != sa && o.ready() && o.established.Before(sa.established) {
			o.kill(now, errReplaced)
		}
	}
	for _, o := range s.ep.sessionsWith(s.peer, s.RemoteID) {
		if o != s && o.Up && o.RemoteID == s.RemoteID && o.LocalID == s.LocalID && sameUser(o.user, s.user) && o.Established.Before(sa.established) {
			o.end(now, ike.DownReplaced, nil)
		}
	}
	for _, a := range slices.Clone(s.Children.All()) {
		if a.Info.Installed.Before(sa.established) {
			s.Children.Remove(now, a, ike.DownReplaced, errLost, false)
		}
	}
}

// disowns: the peer says with a new ISAKMP SA that it knows of no other, so it
// has lost the session, or its Delete was lost. What the session has is dead.
// Unless something waits to be made, the session has ended.
func (sa *isakmpSA) disowns(now time.Time) {
	s := sa.s
	for _, o := range slices.Clone(s.sas) {
		if o != sa && o.ready() {
			o.kill(now, errReplaced)
		}
	}
	if !slices.ContainsFunc(s.queue, func(x errand) bool { return !x.rekey }) {
		s.delete(now, ike.DownRemote, errLost)
		return
	}
	for _, a := range slices.Clone(s.Children.All()) {
		s.Children.Remove(now, a, ike.DownReplaced, errLost, false)
	}
}

var errLost = errors.New("the peer has lost it (INITIAL-CONTACT)")
