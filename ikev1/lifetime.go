package ikev1

import (
	"fmt"
	"math"
	"time"

	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/spd"
)

// ProposalCheck says what a responder makes of an offered lifetime that is not
// its own. Everything else that is negotiated, key lengths included, has to be
// equal at every level.
type ProposalCheck uint8

const (
	// CheckClaim takes a lifetime that is not longer than the own one; of a
	// longer one it uses the own, and says so by a RESPONDER-LIFETIME
	// notification where there is room for it (Quick Mode). It is the default:
	// peers' lifetimes differ, and nobody is worse off.
	CheckClaim ProposalCheck = iota
	// CheckObey takes whatever is offered.
	CheckObey
	// CheckStrict takes a lifetime that is not longer than the own one, and
	// refuses others.
	CheckStrict
	// CheckExact takes an equal lifetime only.
	CheckExact
)

func (c ProposalCheck) String() string {
	switch c {
	case CheckStrict:
		return "strict"
	case CheckObey:
		return "obey"
	case CheckClaim:
		return "claim"
	case CheckExact:
		return "exact"
	}
	return "unknown"
}

// An saLifetime is how long an SA may be used, as it is negotiated.
type saLifetime struct {
	seconds   uint32 // never 0 once negotiated
	kilobytes uint64 // of 1024 octets; 0 is no limit
}

// defaultLifetime is what a proposal without a lifetime means (RFC 2407 4.5).
const defaultLifetime = 28800

// maxKilobytes keeps the octets within 63 bits.
const maxKilobytes = math.MaxInt64 >> 10

// lifetimeOf makes a lifetime of what is configured; 0 seconds mean the
// default.
func lifetimeOf(d time.Duration, bytes uint64) saLifetime {
	l := saLifetime{seconds: defaultLifetime, kilobytes: min(bytes>>10, maxKilobytes)}
	if d > 0 {
		l.seconds = uint32(min(max(d/time.Second, 1), math.MaxUint32))
	}
	if bytes > 0 {
		l.kilobytes = max(l.kilobytes, 1)
	}
	return l
}

func (l saLifetime) time() time.Duration { return time.Duration(l.seconds) * time.Second }

// bytes returns the limit in octets, 0 for none.
func (l saLifetime) bytes() uint64 { return l.kilobytes << 10 }

func (l saLifetime) String() string {
	if l.kilobytes == 0 {
		return fmt.Sprintf("%d s", l.seconds)
	}
	return fmt.Sprintf("%d s, %d KiB", l.seconds, l.kilobytes)
}

// volume returns the kilobytes for comparisons: no limit is the longest.
func (l saLifetime) volume() uint64 { return l.kilobytes - 1 }

// shorter returns the shorter of both, for time and for volume.
func (l saLifetime) shorter(o saLifetime) saLifetime {
	l.seconds = min(l.seconds, o.seconds)
	if o.volume() < l.volume() {
		l.kilobytes = o.kilobytes
	}
	return l
}

// use is what a responder with the lifetime own uses for an offered one, and
// whether it takes the offer at all.
func (c ProposalCheck) use(offered, own saLifetime) (l saLifetime, ok bool) {
	shorter := offered.shorter(own)
	switch c {
	case CheckObey:
		return offered, true
	case CheckClaim:
		return shorter, true
	case CheckExact:
		return offered, offered == own
	}
	return offered, shorter == offered
}

// wire is the lifetime as attributes say it.
func (l saLifetime) wire() isakmp.Lifetime {
	return isakmp.Lifetime{Seconds: uint64(l.seconds), Kilobytes: l.kilobytes}
}

// offeredLifetime returns the lifetime that a transform says, with the default
// where it says none. Beyond what the fields hold it is as long as can be.
func offeredLifetime(p spd.Protocol, attributes []isakmp.Attribute) (saLifetime, error) {
	w, err := isakmp.LifetimeOf(p, attributes)
	if err != nil {
		return saLifetime{}, err
	}
	l := saLifetime{seconds: defaultLifetime, kilobytes: min(w.Kilobytes, maxKilobytes)}
	if w.Seconds > 0 {
		l.seconds = uint32(min(w.Seconds, math.MaxUint32))
	}
	return l, nil
}

// shortened returns what a RESPONDER-LIFETIME notification (RFC 2407 4.6.3.1)
// makes of a lifetime: the shorter one of both. What the notification does not
// speak of stays.
func (l saLifetime) shortened(said isakmp.Lifetime) saLifetime {
	o := saLifetime{seconds: l.seconds, kilobytes: min(said.Kilobytes, maxKilobytes)}
	if said.Seconds > 0 {
		o.seconds = uint32(min(said.Seconds, math.MaxUint32))
	}
	return l.shorter(o)
}
