package ikev2

import (
	"encoding/binary"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/internal/child"
)

// saState is where in its life an IKE SA is.
type saState uint8

const (
	stateInit        saState = iota // initiator: IKE_SA_INIT sent; responder: working on it
	stateAuth                       // keys exist, nobody is authenticated
	stateEstablished                // both sides are authenticated
	stateRekeyed                    // a successor has taken over; waits for its Delete
	stateDeleting                   // our Delete is on its way
	stateDead
	saStates // not a state
)

var saStateNames = [saStates]string{"INIT", "AUTH", "ESTABLISHED", "REKEYED", "DELETING", "DEAD"}

func (s saState) String() string { return saStateNames[s] }

// An ikeSA is one IKE SA: a pair of SPIs, one set of keys, two message
// windows of size one (RFC 7296 2.3). A rekey makes another one in the same
// session.
type ikeSA struct {
	ep        *Endpoint
	s         *session
	initiator bool // the original initiator is this side: it decides the I flag and the SPIs' order
	local     message.SPI
	remote    message.SPI
	state     saState
	alg       *algorithms
	keys      *ikeKeys
	hs        *handshake // until established

	// Our requests.
	sendID uint32
	req    *request // sent and not yet answered
	active task     // started and not yet finished
	queue  []task

	// The peer's requests.
	recvID  uint32 // the next one
	serving bool   // the request recvID is being worked on
	// yielding: the peer's request to replace this SA is being worked on. What
	// waits will be done by the new one.
	yielding bool
	// firstReply: reply is that to IKE_AUTH. While no request of ours is in
	// flight, the timer retransmit ends it.
	firstReply bool
	contends   *ikeSA // the SA that this one of the peer's may replace, while our own rekey is undecided
	reply      [][]byte
	partial    [2]*reassembly // fragments of a request, of a response

	retransmit child.Timer
	soft       child.Timer // rekey
	hard       child.Timer // lifetime, or the end of a half-open or dying SA
}

// request is a request in flight.
type request struct {
	exchange message.ExchangeType
	payloads message.Payloads // to be fragmented anew; nil for IKE_SA_INIT
	packets  [][]byte
	tries    int
	revived  int // see lives
}

// A task is an exchange that this side begins: it makes a request, perhaps
// after some jobs, and handles the response. The SA runs one at a time
// (window size 1).
type task interface {
	// start prepares the request. It ends, now or after jobs, in sa.request or
	// sa.finish.
	start(now time.Time, sa *ikeSA)
	// response handles the answer and ends, now or after jobs, in sa.request
	// (the exchange goes on) or sa.finish.
	response(now time.Time, sa *ikeSA, m *message.Message)
	// abort ends a task that was never answered, or never started. sa.finish
	// is not called.
	abort(now time.Time, sa *ikeSA, err error)
}

// spis returns SPIi | SPIr.
func (sa *ikeSA) spis() (b [16]byte) {
	i, r := sa.local, sa.remote
	if !sa.initiator {
		i, r = r, i
	}
	binary.BigEndian.PutUint64(b[:], uint64(i))
	binary.BigEndian.PutUint64(b[8:], uint64(r))
	return b
}

func (sa *ikeSA) header(exchange message.ExchangeType, response bool, id uint32) message.Header {
	h := message.Header{SPIi: sa.local, SPIr: sa.remote, Version: message.Version2, Exchange: exchange, MessageID: id}
	if sa.initiator {
		h.Flags = message.FlagInitiator
	} else {
		h.SPIi, h.SPIr = h.SPIr, h.SPIi
	}
	if response {
		h.Flags |= message.FlagResponse
	}
	return h
}

// newSA makes an IKE SA with a fresh SPI for a session.
func (e *Endpoint) newSA(s *session, initiator bool) (*ikeSA, error) {
	spi, err := e.newSPI()
	if err != nil {
		return nil, err
	}
	sa := &ikeSA{ep: e, s: s, initiator: initiator, local: spi, alg: &notNegotiated}
	sa.retransmit.Owner = sa.retransmitDue
	sa.soft.Owner = sa.softExpired
	sa.hard.Owner = sa.hardExpired
	e.sas[spi] = sa
	s.sas = append(s.sas, sa)
	return sa, nil
}

// kill takes the SA away without telling the peer. The session decides whether
// it lives on.
func (sa *ikeSA) kill(now time.Time, err error) {
	if sa.state == stateDead {
		return
	}
	sa.state = stateDead
	e := sa.ep
	delete(e.sas, sa.local)
	sa.forgetInitial()
	for _, t := range []*child.Timer{&sa.retransmit, &sa.soft, &sa.hard} {
		e.StopTimer(t)
	}
	sa.keys.wipe()
	sa.dropHandshake(now, err)
	sa.req, sa.reply, sa.partial = nil, nil, [2]*reassembly{}
	tasks := sa.queue
	if sa.active != nil {
		tasks = append([]task{sa.active}, tasks...)
	}
	sa.active, sa.queue = nil, nil
	sa.s.forget(sa)
	for _, t := range tasks {
		t.abort(now, sa, err)
	}
}

// dropHandshake ends a handshake that has not come to its end. The first Child
// SA's SPI goes back, and the packet that wanted it is answered.
func (sa *ikeSA) dropHandshake(now time.Time, err error) {
	hs := sa.hs
	if hs == nil {
		return
	}
	if err == nil {
		err = errGone
	}
	if hs.child != nil {
		hs.child.failed(now, err)
	}
	hs.wipe()
	sa.hs = nil
}

// softExpired begins the rekey of the IKE SA.
func (sa *ikeSA) softExpired(now time.Time) {
	if sa.state == stateEstablished && sa.s.current == sa {
		sa.s.rekeyIKE(now)
	}
}

// hardExpired ends the SA: half-open for too long, not replaced in time, or
// its Delete was not answered.
func (sa *ikeSA) hardExpired(now time.Time) {
	switch sa.state {
	case stateInit, stateAuth:
		sa.s.fail(now, ike.DownDead, errHalfOpen)
	case stateEstablished:
		sa.s.delete(now, ike.DownExpired, nil)
	default:
		sa.kill(now, errGone)
		sa.s.sweep(now)
	}
}
