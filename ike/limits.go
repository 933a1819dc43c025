package ike

import "sync/atomic"

// Limits bound what peers can make an endpoint hold. Zero fields take their
// defaults.
type Limits struct {
	HalfOpen int // half-open responder SAs before new ones are dropped, default 10,000
	// CookieThreshold is the number of half-open responder SAs from which on a
	// stranger gets nothing that costs a key exchange before it has shown its
	// address, default 500. IKEv2 demands a COOKIE then; negative: always. IKEv1,
	// which has none, does not answer Aggressive Mode then; negative: it is always
	// answered, since without it such a peer cannot come in at all.
	CookieThreshold int
	HalfOpenPerIP   int // half-open responder SAs per remote address, default 50
	Sessions        int // sessions, default unlimited
	Children        int // Child SAs per session, default 64
	Queue           int // waiting tasks per session, default 64
	Events          int // events waiting to be polled, default 65,536
}

// WithDefaults returns l with its zero fields filled in.
func (l Limits) WithDefaults() Limits {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&l.HalfOpen, 10_000)
	def(&l.CookieThreshold, 500)
	def(&l.HalfOpenPerIP, 50)
	def(&l.Children, 64)
	def(&l.Queue, 64)
	def(&l.Events, 65_536)
	return l
}

// Load counts what the cores of a program hold together. It is safe for
// concurrent use.
type Load struct {
	halfOpen atomic.Int64
	sessions atomic.Int64
}

// HalfOpen returns the number of half-open responder SAs.
func (l *Load) HalfOpen() int { return int(l.halfOpen.Load()) }

// Sessions returns the number of established sessions.
func (l *Load) Sessions() int { return int(l.sessions.Load()) }

// AddHalfOpen counts half-open SAs, for cores.
func (l *Load) AddHalfOpen(n int) { l.halfOpen.Add(int64(n)) }

// AddSessions counts sessions, for cores.
func (l *Load) AddSessions(n int) { l.sessions.Add(int64(n)) }
