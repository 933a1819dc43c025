package krb

import "time"

// A Stamp is the time in an authenticator, in microseconds since 1970. With the
// client's name it identifies the authenticator (RFC 4120 3.2.3): the AP-REP
// repeats it.
type Stamp int64

// StampOf returns the stamp of a time.
func StampOf(t time.Time) Stamp { return Stamp(t.UnixMicro()) }

// Time returns the stamp as a time.
func (s Stamp) Time() time.Time { return time.UnixMicro(int64(s)).UTC() }

// String returns the stamp as a time.
func (s Stamp) String() string { return s.Time().Format("2006-01-02T15:04:05.000000Z") }

// seconds and micro are ctime and cusec.
func (s Stamp) seconds() time.Time { return s.Time().Truncate(time.Second) }
func (s Stamp) micro() int64       { return int64(s.Time().Nanosecond() / 1000) }

// A Stamper hands out stamps of which no two are the same, so that no two
// authenticators are. The zero Stamper is ready. It is not safe for concurrent
// use.
type Stamper struct{ last Stamp }

// Next returns a stamp for now: now itself or, if it was handed out already, a
// few microseconds later. After the clock was put back, stamps follow it.
func (s *Stamper) Next(now time.Time) Stamp {
	n := StampOf(now)
	if n <= s.last && s.last-n < Stamp(time.Second/time.Microsecond) {
		n = s.last + 1
	}
	s.last = n
	return n
}
