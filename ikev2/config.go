package ikev2

import (
	"io"
	"sync/atomic"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// Config is what an Endpoint is made of.
type Config struct {
	// Rand is the only source of randomness; it must be a cryptographic one
	// and must not fail: a failing read ends the exchange that needed it.
	Rand io.Reader
	// DataPlane is called from jobs, never by the core itself.
	DataPlane spd.DataPlane
	// Tag is the top octet of all SPIs and session IDs that this endpoint
	// chooses, so that several endpoints can share sockets: Route tells which
	// one a datagram belongs to.
	Tag uint8

	Authorize ike.Authorize // nil: whoever proves a configured identity is welcome
	Narrow    ike.Narrow    // nil: the configuration alone decides

	Limits Limits
	// Load is shared by the endpoints of a program, so that half-open limits
	// count for all of them; nil makes one for this endpoint.
	Load *Load

	// VendorIDs are sent in IKE_SA_INIT.
	VendorIDs [][]byte
	// Trace, if set, is called with each decrypted message. It must return
	// quickly and keep no reference to m.
	Trace func(t TraceRecord)
}

// Limits bound what peers can make an endpoint hold. Zero fields take their
// defaults.
type Limits struct {
	HalfOpen        int // half-open responder SAs before new ones are dropped, default 10,000
	CookieThreshold int // half-open responder SAs before a COOKIE is demanded, default 500; negative: always
	HalfOpenPerIP   int // half-open responder SAs per remote address, default 50
	Sessions        int // sessions, default unlimited
	Children        int // Child SAs per session, default 64
	Queue           int // waiting tasks per session, default 64
	Events          int // events waiting to be polled, default 65,536
}

// Load counts what the endpoints of a program hold together. It is safe for
// concurrent use.
type Load struct {
	halfOpen atomic.Int64
	sessions atomic.Int64
}

// HalfOpen returns the number of half-open responder SAs.
func (l *Load) HalfOpen() int { return int(l.halfOpen.Load()) }

// Sessions returns the number of established sessions.
func (l *Load) Sessions() int { return int(l.sessions.Load()) }

// TraceRecord is a decrypted message as it was sent or received.
type TraceRecord struct {
	Time     time.Time
	Session  ike.SessionID
	Path     ike.Path
	Outbound bool
	Message  []byte // header and payloads in clear, as IKEv2 would look without its SK payload
}

func (l Limits) withDefaults() Limits {
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

// tenthMore returns d and a tenth of it, or d where that is too long to count.
func tenthMore(d time.Duration) time.Duration {
	if more := d + d/10; more > d {
		return more
	}
	return max(d, 0)
}

func (t Timing) withDefaults() Timing {
	def := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	def(&t.RetransmitBase, time.Second)
	def(&t.RetransmitMax, 30*time.Second)
	def(&t.Liveness, 30*time.Second)
	def(&t.HalfOpen, 30*time.Second)
	def(&t.Rekey, 4*time.Hour)
	def(&t.Keepalive, 20*time.Second)
	def(&t.DeleteWait, t.RetransmitMax)
	if t.Lifetime == 0 && t.Rekey > 0 {
		t.Lifetime = tenthMore(t.Rekey)
	}
	if t.RetransmitFactor == 0 {
		t.RetransmitFactor = 1.8
	}
	if t.RetransmitTries == 0 {
		t.RetransmitTries = 6
	}
	if t.RetransmitJitter == 0 {
		t.RetransmitJitter = 0.1
	}
	if t.Jitter == 0 {
		t.Jitter = 0.1
	}
	return t
}
