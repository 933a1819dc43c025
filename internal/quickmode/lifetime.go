package quickmode

import (
	"fmt"
	"math"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/spd"
)

// A Lifetime is how long an SA may be used, as it is negotiated.
type Lifetime struct {
	Seconds   uint32 // never 0 once negotiated
	Kilobytes uint64 // of 1024 octets; 0 is no limit
}

// DefaultLifetime is what a proposal without a lifetime means (RFC 2407 4.5).
const DefaultLifetime = 28800

// MaxKilobytes keeps the octets within 63 bits.
const MaxKilobytes = math.MaxInt64 >> 10

// LifetimeOf makes a lifetime of what is configured; 0 seconds mean the
// default.
func LifetimeOf(d time.Duration, bytes uint64) Lifetime {
	l := Lifetime{Seconds: DefaultLifetime, Kilobytes: min(bytes>>10, MaxKilobytes)}
	if d > 0 {
		l.Seconds = uint32(min(max(d/time.Second, 1), math.MaxUint32))
	}
	if bytes > 0 {
		l.Kilobytes = max(l.Kilobytes, 1)
	}
	return l
}

func (l Lifetime) Time() time.Duration { return time.Duration(l.Seconds) * time.Second }

// Bytes returns the limit in octets, 0 for none.
func (l Lifetime) Bytes() uint64 { return l.Kilobytes << 10 }

func (l Lifetime) String() string {
	if l.Kilobytes == 0 {
		return fmt.Sprintf("%d s", l.Seconds)
	}
	return fmt.Sprintf("%d s, %d KiB", l.Seconds, l.Kilobytes)
}

// volume returns the kilobytes for comparisons: no limit is the longest.
func (l Lifetime) volume() uint64 { return l.Kilobytes - 1 }

// Shorter returns the shorter one of both, for time and for volume.
func (l Lifetime) Shorter(o Lifetime) Lifetime {
	l.Seconds = min(l.Seconds, o.Seconds)
	if o.volume() < l.volume() {
		l.Kilobytes = o.Kilobytes
	}
	return l
}

// Agree is what a responder with the lifetime own uses for an offered one, and
// whether it takes the offer at all.
func Agree(c ike.ProposalCheck, offered, own Lifetime) (l Lifetime, ok bool) {
	shorter := offered.Shorter(own)
	switch c {
	case ike.CheckObey:
		return offered, true
	case ike.CheckClaim:
		return shorter, true
	case ike.CheckExact:
		return offered, offered == own
	}
	return offered, shorter == offered
}

// Wire is the lifetime as attributes say it.
func (l Lifetime) Wire() isakmp.Lifetime {
	return isakmp.Lifetime{Seconds: uint64(l.Seconds), Kilobytes: l.Kilobytes}
}

// OfferedLifetime returns the lifetime that a transform says, with the default
// where it says none. Beyond what the fields hold it is as long as can be.
func OfferedLifetime(p spd.Protocol, attributes []isakmp.Attribute) (Lifetime, error) {
	w, err := isakmp.LifetimeOf(p, attributes)
	if err != nil {
		return Lifetime{}, err
	}
	l := Lifetime{Seconds: DefaultLifetime, Kilobytes: min(w.Kilobytes, MaxKilobytes)}
	if w.Seconds > 0 {
		l.Seconds = uint32(min(w.Seconds, math.MaxUint32))
	}
	return l, nil
}

// Shortened returns what a RESPONDER-LIFETIME notification (RFC 2407 4.6.3.1)
// makes of a lifetime: the shorter one of both. What the notification does not
// speak of stays.
func (l Lifetime) Shortened(said isakmp.Lifetime) Lifetime {
	o := Lifetime{Seconds: l.Seconds, Kilobytes: min(said.Kilobytes, MaxKilobytes)}
	if said.Seconds > 0 {
		o.Seconds = uint32(min(said.Seconds, math.MaxUint32))
	}
	return l.Shorter(o)
}
