package ikev1

import (
	"fmt"
	"time"

	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/secret"
)

// Transaction exchange (draft-dukes-ike-mode-cfg-02 3.1), for XAuth and mode
// config:
//
//	1  HASH, ATTR(REQUEST or SET)  ->
//	2                              <-  HASH, ATTR(REPLY or ACK)
//
// Each exchange has a message ID of its own. Some peers go on under the ID of
// the one before, so a responder keeps an answered exchange open for more.

// attributesOf returns the payload that a message of a Transaction exchange is
// there for.
func attributesOf(m *inbound) (*isakmp.Attributes, error) {
	if n := m.Count(isakmp.PayloadAttributes); n != 1 {
		return nil, protocolError(isakmp.ExchangeTransaction, "message with %d attribute payloads; one is wanted", n)
	}
	return m.Attributes(), nil
}

// A transaction is the initiator's side: one question and its answer.
type transaction struct {
	want isakmp.ConfigType // of the answer
	done func(now time.Time, a *isakmp.Attributes, err error)
}

// transact asks the peer. With a time, it asks until then; else as often as
// the retransmissions are configured. done gets the answer, unless the ISAKMP
// SA ends before.
func (sa *isakmpSA) transact(now time.Time, a *isakmp.Attributes, until time.Time, done func(now time.Time, a *isakmp.Attributes, err error)) {
	x, err := sa.newExchange(isakmp.ExchangeTransaction, &transaction{want: a.Type + 1, done: done})
	if err != nil {
		done(now, nil, err)
		return
	}
	x.patience = until
	x.send(now, x.messageHash, a)
}

func (t *transaction) hash(x *exchange, covered []byte) secret.Bytes { return x.messageHash(covered) }

func (t *transaction) receive(now time.Time, x *exchange, m *inbound) {
	x.finish(now)
	a, err := attributesOf(m)
	if err == nil && a.Type != t.want {
		err = protocolError(isakmp.ExchangeTransaction, "peer answered with %v; %v is wanted", a.Type, t.want)
	}
	if err != nil {
		a = nil
	}
	t.done(now, a, err)
}

func (t *transaction) abort(now time.Time, x *exchange, err error) {
	if x.sa.state != stateDead {
		t.done(now, nil, err)
	}
}

// transactionFor makes the responder's side of a Transaction exchange, nil if
// the peer may begin none: a client has to wait until its user is known.
func (sa *isakmpSA) transactionFor() conversation {
	if sa.state == stateUser && !sa.client() {
		return nil
	}
	return asked{}
}

// asked is the responder's side.
type asked struct{}

func (asked) hash(x *exchange, covered []byte) secret.Bytes { return x.messageHash(covered) }

func (asked) abort(time.Time, *exchange, error) {}

func (asked) receive(now time.Time, x *exchange, m *inbound) {
	sa := x.sa
	a, err := attributesOf(m)
	switch {
	case err != nil || a.Type != isakmp.ConfigRequest && a.Type != isakmp.ConfigSet:
		sa.ep.Count.Unexpected++
		x.finish(now)
	case sa.state == stateUser || hasXAuth(a):
		sa.userAsked(now, x, a)
	case a.Type == isakmp.ConfigRequest:
		sa.configAsked(now, x, a)
	default:
		sa.configPushed(now, x, a)
	}
}

// reply answers a message, and leaves the exchange open for another one of the
// peer.
func (asked) reply(now time.Time, x *exchange, to *isakmp.Attributes, attributes []isakmp.ConfigAttribute) {
	x.answer(now, x.messageHash, &isakmp.Attributes{Type: to.Type + 1, Identifier: to.Identifier, Attributes: attributes})
}

// newTransactionID draws the identifier that ties the messages of a
// configuration transaction together.
func (e *Endpoint) newTransactionID() (uint16, error) {
	var b [2]byte
	if err := e.Random(b[:]); err != nil {
		return 0, fmt.Errorf("transaction identifier: %w", err)
	}
	return uint16(b[0])<<8 | uint16(b[1]), nil
}

func basicAttribute(t isakmp.ConfigAttributeType, v uint16) isakmp.ConfigAttribute {
	return isakmp.ConfigAttribute{Type: t, Basic: true, Value: v}
}

func emptyAttribute(t isakmp.ConfigAttributeType) isakmp.ConfigAttribute {
	return isakmp.ConfigAttribute{Type: t}
}
