package ikev1

import (
	"crypto/sha256"
	"maps"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/internal/secret"
)

// An exchange is one under an ISAKMP SA: Quick Mode, Transaction,
// Informational, New Group Mode. Each has a message ID and an initialization
// vector of its own, so any number run side by side.
type exchange struct {
	sa        *isakmpSA
	id        uint32
	kind      isakmp.ExchangeType
	initiator bool
	iv        initVector
	of        conversation // nil when it has ended
	busy      bool         // a job works on the last message; duplicates are absorbed
	waits     bool         // for another message, retransmitting the own one

	seen   [sha256.Size]byte // the message accepted last
	hasAny bool
	sent   [][]byte // the own last message
	tries  int
	timer  child.Timer // retransmission, or forgetting it after its end

	patience time.Time    // until when to send again, instead of so many tries
	flags    isakmp.Flags // of the own messages
	doubt    *NotifyError // a refusal that may be meant for this one, if no answer comes
}

// A conversation is what an exchange is about.
type conversation interface {
	// hash returns what the HASH payload of the next message from the peer has
	// to be.
	hash(x *exchange, covered []byte) secret.Bytes
	// receive takes the next message, which is authentic. It ends, now or after
	// jobs, in send, reply or finish.
	receive(now time.Time, x *exchange, m *inbound)
	// abort ends it for want of an answer or of the ISAKMP SA.
	abort(now time.Time, x *exchange, err error)
}

// inbound is a received message of an exchange.
type inbound struct {
	header isakmp.Header
	isakmp.Payloads
	chain isakmp.Chain
	body  []byte // decrypted, padding included
}

const (
	// maxExchanges bounds the exchanges of one ISAKMP SA that the peer may have
	// under way.
	maxExchanges = 64
	// maxEnded bounds those that have ended and still answer retransmissions.
	maxEnded = 64
)

// newExchange begins an exchange with a fresh message ID.
func (sa *isakmpSA) newExchange(kind isakmp.ExchangeType, of conversation) (*exchange, error) {
	var b [4]byte
	for {
		if err := sa.ep.Random(b[:]); err != nil {
			return nil, err
		}
		id := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
		if id != 0 && sa.exchanges[id] == nil && !sa.used.has(id) {
			return sa.openExchange(kind, id, true, of), nil
		}
	}
}

func (sa *isakmpSA) openExchange(kind isakmp.ExchangeType, id uint32, initiator bool, of conversation) *exchange {
	x := sa.prepare(kind, id, initiator, of)
	x.register()
	return x
}

// prepare makes an exchange that does not count yet.
func (sa *isakmpSA) prepare(kind isakmp.ExchangeType, id uint32, initiator bool, of conversation) *exchange {
	x := &exchange{sa: sa, id: id, kind: kind, initiator: initiator, of: of}
	x.iv = sa.keys.hash.phase2IV(sa.blockSize(), sa.lastBlock, id)
	x.timer.Owner = x.timerDue
	return x
}

// register makes it count.
func (x *exchange) register() {
	sa := x.sa
	if sa.exchanges == nil {
		sa.exchanges = make(map[uint32]*exchange)
	}
	sa.exchanges[x.id] = x
	sa.used.add(x.id)
}

// forget ends the memory of an exchange.
func (x *exchange) forget() {
	sa := x.sa
	sa.ep.StopTimer(&x.timer)
	if sa.exchanges[x.id] != x {
		return
	}
	if delete(sa.exchanges, x.id); len(sa.exchanges) == 0 {
		sa.exchanges = nil
	}
	sa.ended = slices.DeleteFunc(sa.ended, func(o *exchange) bool { return o == x })
	if len(sa.ended) == 0 {
		sa.ended = nil
	}
}

// peerExchanges counts those that the peer has under way.
func (sa *isakmpSA) peerExchanges() (n int) {
	for _, x := range sa.exchanges {
		if !x.initiator && x.of != nil {
			n++
		}
	}
	return n
}

// send sends a message and waits for the answer, retransmitting.
func (x *exchange) send(now time.Time, hash func(covered []byte) secret.Bytes, payloads ...isakmp.Payload) {
	if x.transmit(now, hash, payloads) {
		x.waits, x.tries = true, 0
		x.arm(now)
	}
}

// reply sends a message that ends the exchange: it is sent again when the
// peer's last one comes again.
func (x *exchange) reply(now time.Time, hash func(covered []byte) secret.Bytes, payloads ...isakmp.Payload) {
	if x.transmit(now, hash, payloads) {
		x.finish(now)
	}
}

// answer sends a message that may be the last one: the exchange answers
// repetitions, and takes another message of the peer if it comes soon.
func (x *exchange) answer(now time.Time, hash func(covered []byte) secret.Bytes, payloads ...isakmp.Payload) {
	if x.transmit(now, hash, payloads) {
		x.sa.ep.SetTimer(&x.timer, now.Add(remember))
	}
}

func (x *exchange) transmit(now time.Time, hash func(covered []byte) secret.Bytes, payloads []isakmp.Payload) bool {
	sa := x.sa
	if sa.state == stateDead || sa.leaving {
		return false
	}
	h := sa.header(x.kind, x.id)
	h.Flags = x.flags
	packets, next, err := sa.seal(now, h, x.iv, hash, payloads)
	if err != nil {
		x.fail(now, err)
		return false
	}
	x.iv, x.sent, x.busy = next, packets, false
	sa.ep.Transmit(sa.s.Path, packets...)
	sa.spent(now)
	return true
}

// messageHash is the hash of most messages: over the message ID and the
// payloads.
func (x *exchange) messageHash(covered []byte) secret.Bytes {
	return x.sa.keys.messageHash(x.id, covered)
}

func (x *exchange) arm(now time.Time) {
	e := x.sa.ep
	e.SetTimer(&x.timer, now.Add(e.RetransmitAfter(x.sa.s.Timing, x.tries)))
}

// doubtful is after how many retransmissions the peer is asked whether it is
// there.
const doubtful = 3

// timerDue retransmits, gives up, or forgets.
func (x *exchange) timerDue(now time.Time) {
	sa := x.sa
	if !x.waits {
		if x.of != nil {
			x.fail(now, x.timeout())
			return
		}
		x.forget()
		return
	}
	if x.doubt != nil && x.tries > 1 {
		x.fail(now, x.doubt)
		return
	}
	if x.patience.IsZero() && x.tries >= sa.s.Timing.RetransmitTries || !x.patience.IsZero() && !now.Before(x.patience) {
		x.fail(now, x.timeout())
		return
	}
	x.tries++
	if x.tries == doubtful && sa.state == stateEstablished {
		sa.doubted(now)
	}
	x.sent = sa.smaller(x.sent, x.tries)
	sa.ep.Count.Retransmitted++
	if sa.p1Unconfirmed() {
		sa.ep.Transmit(sa.s.Path, sa.lastReply...)
	}
	sa.ep.Transmit(sa.s.Path, x.sent...)
	if p := sa.s.Seen; p != nil {
		sa.ep.Transmit(*p, x.sent...)
	}
	x.arm(now)
}

func (x *exchange) timeout() error {
	return &TimeoutError{Exchange: x.kind, Tries: x.tries + 1, Path: x.sa.s.Path}
}

// fail ends the exchange and tells its conversation.
func (x *exchange) fail(now time.Time, err error) {
	x.forget()
	x.abort(now, err)
}

func (x *exchange) abort(now time.Time, err error) {
	x.sa.ep.StopTimer(&x.timer)
	of := x.of
	x.of, x.waits = nil, false
	if of != nil {
		of.abort(now, x, err)
	}
}

// finish ends the exchange. It is remembered for a while, to answer
// retransmissions.
func (x *exchange) finish(now time.Time) {
	sa, over := x.sa, x.of == nil
	x.of, x.waits, x.busy = nil, false, false
	if over || sa.state == stateDead || sa.leaving || sa.exchanges[x.id] != x {
		return
	}
	sa.ep.SetTimer(&x.timer, now.Add(remember))
	if sa.ended = append(sa.ended, x); len(sa.ended) > maxEnded {
		sa.ended[0].forget()
	}
}

// remember is how long ended exchanges answer retransmissions.
const remember = 60 * time.Second

// receive takes a message of the exchange.
func (x *exchange) receive(now time.Time, path ike.Path, h isakmp.Header, b []byte) {
	sa, e := x.sa, x.sa.ep
	digest := sha256.Sum256(b)
	if x.hasAny && digest == x.seen {
		if x.sent != nil && !x.busy {
			e.Count.Repeated++
			if !x.waits {
				x.tries++
				x.sent = sa.smaller(x.sent, x.tries)
			}
			e.Transmit(sa.s.Path, x.sent...)
		}
		return
	}
	if x.of == nil || x.busy || h.Exchange != x.kind {
		e.Count.Unexpected++
		return
	}
	m, next, err := sa.open(now, h, b, x.iv, func(covered []byte) secret.Bytes { return x.of.hash(x, covered) })
	if err != nil {
		e.countBad(err)
		return
	}
	x.accept(now, path, digest, m, next)
}

// accept gives the conversation an authentic message.
func (x *exchange) accept(now time.Time, path ike.Path, digest [sha256.Size]byte, m *inbound, next initVector) {
	sa, e := x.sa, x.sa.ep
	x.iv, x.seen, x.hasAny = next, digest, true
	x.waits, x.busy = false, true
	x.sent = nil // a repetition of m gets the answer to m, and nothing before it
	e.StopTimer(&x.timer)
	sa.confirmed(now)
	sa.vouched()
	sa.spent(now)
	sa.s.alive(now, path)
	x.of.receive(now, x, m)
}

// sortedExchanges gives a map of exchanges a fixed order.
func sortedExchanges(m map[uint32]*exchange) []*exchange {
	out := make([]*exchange, 0, len(m))
	for _, id := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[id])
	}
	return out
}
