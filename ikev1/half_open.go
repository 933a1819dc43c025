package ikev1

import (
	"net/netip"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
)

// initKey is what a first message is known by before it has our cookie.
type initKey struct {
	cookie isakmp.Cookie
	remote netip.AddrPort
}

// A waitingRoom holds the half-open responders of Main Mode that have seen
// nothing but a first message, oldest first. When there is no room for another
// half-open SA, one of them goes: the sender of a flood from invented addresses
// never gets further, and an honest initiator goes on within its round trip.
type waitingRoom struct {
	sas  []*isakmpSA // some may have gone on meanwhile
	head int
}

// waits reports whether the SA has seen nothing but a first message.
func (sa *isakmpSA) waits() bool {
	return sa.state == statePhase1 && sa.mode == MainMode && !sa.initiator && sa.p1 != nil && sa.p1.step == 3 && !sa.p1.busy
}

func (w *waitingRoom) enter(sa *isakmpSA, halfOpen int) {
	if len(w.sas) >= 2*halfOpen+64 {
		w.tidy()
	}
	w.sas = append(w.sas, sa)
}

// tidy forgets those that have gone on. It is called seldom enough to cost
// little for each.
func (w *waitingRoom) tidy() {
	kept := w.sas[:0]
	for _, sa := range w.sas[w.head:] {
		if sa.waits() {
			kept = append(kept, sa)
		}
	}
	clear(w.sas[len(kept):])
	w.sas, w.head = kept, 0
}

// oldest returns the oldest SA that still waits, or nil.
func (w *waitingRoom) oldest() *isakmpSA {
	for ; w.head < len(w.sas); w.head++ {
		if sa := w.sas[w.head]; sa.waits() {
			return sa
		}
		w.sas[w.head] = nil
	}
	w.sas, w.head = w.sas[:0], 0
	return nil
}

// mayMakeRoom reports whether somebody would go for a first message from this
// address, when the limit of half-open SAs is reached. An address that has its
// share takes no other's place.
func (e *Endpoint) mayMakeRoom(path ike.Path, mode Mode) bool {
	return mode == MainMode && !e.Crowded(path.Remote) && e.waiting.oldest() != nil
}

// makeRoom ends the oldest SA that waits. That is no news to anybody.
func (e *Endpoint) makeRoom(now time.Time) {
	if sa := e.waiting.oldest(); sa != nil {
		sa.s.end(now, ike.DownFailed, nil)
	}
}

// noLongerHalfOpen takes a responder out of the accounts. What its first message
// is known by stays: a copy that comes late begins nothing.
func (sa *isakmpSA) noLongerHalfOpen() {
	if sa.halfOpen {
		sa.halfOpen = false
		sa.ep.CloseHalf(sa.first.remote)
	}
}

// forgetFirst ends what acceptFirst has begun.
func (sa *isakmpSA) forgetFirst() {
	sa.noLongerHalfOpen()
	if sa.ep.initial[sa.first] == sa {
		delete(sa.ep.initial, sa.first)
	}
}
