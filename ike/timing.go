package ike

import (
	"fmt"
	"time"
)

// Timing holds the times of a peer. A zero field takes its default; a
// negative one turns the function off where that makes sense.
type Timing struct {
	RetransmitBase   time.Duration // first retransmission, default 1 s
	RetransmitFactor float64       // growth per try, default 1.8
	RetransmitMax    time.Duration // largest interval, default 30 s
	RetransmitTries  int           // retransmissions before giving up, default 6 (about 100 s)
	RetransmitJitter float64       // fraction of the interval, default 0.1

	Liveness   time.Duration // idle time before a liveness check, default 30 s; negative: off
	OnDemand   bool          // check only a peer that was sent packets since its last sign of life (RFC 3706 5.4)
	HalfOpen   time.Duration // largest age of an unauthenticated responder SA, default 30 s
	Rekey      time.Duration // IKE SA rekey (soft), default 4 h; negative: never
	Reauth     time.Duration // reauthentication, default 0: never
	Lifetime   time.Duration // hard lifetime of an IKE SA without rekey, default Rekey + 10 %, or in IKEv1, where it is offered, Rekey
	Jitter     float64       // fraction of the rekey and reauth times that is random, default 0.1
	Keepalive  time.Duration // NAT keepalive when behind a NAT, default 20 s; negative: off
	DeleteWait time.Duration // how long a deleted SA waits for its answer, default one RetransmitMax
}

// WithDefaults returns t with its zero fields filled in.
func (t Timing) WithDefaults() Timing {
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
		t.Lifetime = TenthMore(t.Rekey)
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

// Validate checks what the cores rely on: times that make progress.
func (t *Timing) Validate() error {
	for _, f := range []struct {
		name  string
		value time.Duration
	}{{"RetransmitBase", t.RetransmitBase}, {"RetransmitMax", t.RetransmitMax}, {"HalfOpen", t.HalfOpen}, {"DeleteWait", t.DeleteWait}} {
		if f.value < 0 {
			return fmt.Errorf("Timing.%s is %v; it cannot be negative (0 takes the default)", f.name, f.value)
		}
	}
	if f := t.RetransmitFactor; f != 0 && !(f >= 1) {
		return fmt.Errorf("Timing.RetransmitFactor is %v; it has to be 1 or more (0 takes the default)", f)
	}
	if j := t.RetransmitJitter; !(j <= 1) {
		return fmt.Errorf("Timing.RetransmitJitter is %v; it is a fraction, at most 1", j)
	}
	if j := t.Jitter; !(j <= 1) {
		return fmt.Errorf("Timing.Jitter is %v; it is a fraction, at most 1", j)
	}
	return nil
}

// TenthMore returns d and a tenth of it, or d where that is too long to count.
func TenthMore(d time.Duration) time.Duration {
	if more := d + d/10; more > d {
		return more
	}
	return max(d, 0)
}
