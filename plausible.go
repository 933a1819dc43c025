package racoon

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
)

// Values that no configuration means: they would be taken, and show much later
// that nothing works.

const (
	// leastTime is shorter than any time that serves. A number that was meant
	// in seconds is nanoseconds without a unit: 28800 are 28.8 µs.
	leastTime = time.Millisecond

	leastFragment, mostFragment = 256, 65535 // octets of an IP datagram

	maxVendorID    = 1024 // octets
	maxApplication = 1024 // octets of APPLICATION_VERSION
)

// limits checks Config.Limits and Config.VendorIDs.
func (c *Config) limits() error {
	l := &c.Limits
	for _, f := range []struct {
		name  string
		value int
	}{{"HalfOpen", l.HalfOpen}, {"HalfOpenPerIP", l.HalfOpenPerIP}, {"Sessions", l.Sessions}, {"Children", l.Children}, {"Queue", l.Queue}, {"Events", l.Events}} {
		if f.value < 0 {
			return configError("Limits."+f.name, "%d is negative; leave it 0 for the default", f.value)
		}
	}
	for i, v := range c.VendorIDs {
		if len(v) == 0 || len(v) > maxVendorID {
			return configError(fmt.Sprintf("VendorIDs[%d]", i), "has %d octets; use 1 to %d", len(v), maxVendorID)
		}
	}
	return nil
}

type namedTime struct {
	name  string
	value time.Duration
}

func checkTimes(times ...namedTime) error {
	for _, f := range times {
		if f.value > 0 && f.value < leastTime {
			return configError(f.name, "%v is too short to be meant; times have units, such as 3600*time.Second", f.value)
		}
	}
	return nil
}

// plausible checks single fields of a peer.
func (c *compiler) plausible(cfg *Peer, _ *peer) error {
	t := &cfg.Timing
	if err := checkTimes(namedTime{"Timing.RetransmitBase", t.RetransmitBase}, namedTime{"Timing.RetransmitMax", t.RetransmitMax},
		namedTime{"Timing.Liveness", t.Liveness}, namedTime{"Timing.HalfOpen", t.HalfOpen}, namedTime{"Timing.Rekey", t.Rekey},
		namedTime{"Timing.Reauth", t.Reauth}, namedTime{"Timing.Lifetime", t.Lifetime}, namedTime{"Timing.Keepalive", t.Keepalive},
		namedTime{"Timing.DeleteWait", t.DeleteWait}, namedTime{"Backoff", cfg.Backoff}, namedTime{"BackoffMax", cfg.BackoffMax}); err != nil {
		return err
	}
	switch {
	case cfg.DeadAction > ActionRestart:
		return configError("DeadAction", "%d is not an action; use ActionClear, ActionTrap or ActionRestart", cfg.DeadAction)
	case cfg.CloseAction > ActionRestart:
		return configError("CloseAction", "%d is not an action; use ActionClear, ActionTrap or ActionRestart", cfg.CloseAction)
	case cfg.Unique > ike.UniqueNo:
		return configError("Unique", "%d is not a policy; use one of ike.UniqueReplace, UniqueKeep, UniqueNever and UniqueNo", cfg.Unique)
	case cfg.FragmentSize > mostFragment, cfg.FragmentSize > 0 && cfg.FragmentSize < leastFragment:
		return configError("FragmentSize", "%d is no size for a fragment; use %d to %d octets, 0 for the default, or -1 for no fragmentation", cfg.FragmentSize, leastFragment, mostFragment)
	}
	if g := cfg.Quirks.RekeyGroupFirst; g != 0 {
		if _, ok := dh.ByID(dh.ID(g)); !ok {
			return configError("Quirks.RekeyGroupFirst", "%d is not a group; use a number of package dh, such as uint16(dh.MODP2048)", g)
		}
	}
	if r := cfg.Request; r != nil {
		if len(r.Version) > maxApplication {
			return configError("Request.Version", "has %d octets; use %d at most", len(r.Version), maxApplication)
		}
		for i, a := range r.Want {
			if !isHost(a) {
				return configError(fmt.Sprintf("Request.Want[%d]", i), "%v is not the address of a host; leave it out", a)
			}
		}
	}
	return nil
}

// isHost reports whether an address can be that of a host.
func isHost(a netip.Addr) bool { return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() }
