package ikev1

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/vendorid"
	"github.com/racoon3/racoon/natt"
)

// Times of a client's configuration.
const (
	// pushWait is how long a client waits for a gateway that is to begin, until
	// it asks itself.
	pushWait = 10 * time.Second
	// minExpiry keeps a gateway from making a client ask all the time.
	minExpiry = time.Minute
)

var errNoAddress = errors.New("the gateway has assigned no address")

// asksConfig reports whether this side is the one that gets a network
// configuration.
func (sa *isakmpSA) asksConfig() bool {
	if sa.s.Asked == nil {
		return false
	}
	return sa.client() || sa.s.Initiator && !sa.negotiated.method.XAuth()
}

// configure gets the network configuration that this side asks for, and then
// goes on. A gateway goes on at once: the client asks when it likes.
func (sa *isakmpSA) configure(now time.Time, next func(now time.Time)) {
	s := sa.s
	if !sa.asksConfig() {
		next(now)
		sa.pushConfig(now)
		return
	}
	s.configured = next
	if !s.peer.PushConfig {
		sa.pullConfig(now)
		return
	}
	s.configTimer.Owner = func(now time.Time) {
		if sa.state == stateEstablished {
			sa.pullConfig(now)
		}
	}
	s.ep.SetTimer(&s.configTimer, now.Add(pushWait))
}

// reconfigure goes through mode config again on an ISAKMP SA that takes over:
// to the peer it may be a new session, and the addresses have to stay.
func (sa *isakmpSA) reconfigure(now time.Time) {
	switch {
	case !sa.asksConfig():
		sa.pushConfig(now)
	case !sa.s.peer.PushConfig:
		sa.pullConfig(now)
	}
}

// pullConfig asks the gateway.
func (sa *isakmpSA) pullConfig(now time.Time) {
	s := sa.s
	id, err := s.ep.newTransactionID()
	if err != nil {
		s.noConfig(now, err)
		return
	}
	request := configRequest(s.Asked, s.Network, sa.peerVIDs.Has(vendorid.Unity))
	if sa.variant == natt.NoVariant {
		// The gateway would take it that this side has Cisco's UDP encapsulation.
		request = slices.DeleteFunc(request, func(a isakmp.ConfigAttribute) bool { return a.Type == isakmp.AttrUnityNATTPort })
	}
	sa.transact(now, &isakmp.Attributes{Type: isakmp.ConfigRequest, Identifier: id, Attributes: request}, time.Time{},
		func(now time.Time, a *isakmp.Attributes, err error) {
			switch {
			case s.Dead:
			case err != nil:
				s.noConfig(now, err)
			default:
				c, _ := networkConfig(a.Attributes)
				s.takeConfig(now, c)
			}
		})
}

// noConfig ends a session that needs its configuration; one that has it keeps
// it.
func (s *session) noConfig(now time.Time, err error) {
	err = fmt.Errorf("network configuration: %w", err)
	if s.configured == nil {
		s.Warn(now, err)
		return
	}
	reason := ike.DownFailed
	if timeout := (*TimeoutError)(nil); errors.As(err, &timeout) {
		reason = ike.DownDead
	}
	s.delete(now, reason, err)
}

// configPushed takes a gateway's SET (draft-dukes-ike-mode-cfg-02 2). The ACK
// names what was taken.
func (sa *isakmpSA) configPushed(now time.Time, x *exchange, a *isakmp.Attributes) {
	var ack []isakmp.ConfigAttribute
	var c *ike.NetworkConfig
	if sa.asksConfig() {
		var understood []isakmp.ConfigAttributeType
		c, understood = networkConfig(a.Attributes)
		for _, t := range understood {
			ack = append(ack, emptyAttribute(t))
		}
	}
	asked{}.reply(now, x, a, ack)
	if c != nil && sa.state == stateEstablished {
		sa.s.takeConfig(now, c)
	}
}

// takeConfig takes what the gateway says. The addresses of a session stay as
// they are while Child SAs use them.
func (s *session) takeConfig(now time.Time, c *ike.NetworkConfig) {
	s.Screen(now, c)
	next := s.configured
	s.configured = nil
	s.ep.StopTimer(&s.configTimer)
	old := s.Network
	switch {
	case old == nil:
		if len(c.Addresses) == 0 && (s.Asked.IPv4 || s.Asked.IPv6) {
			s.Warn(now, errNoAddress)
		}
		s.Network = c
	case len(c.Addresses) == 0 || sameHosts(old.Addresses, c.Addresses):
		c.Addresses = old.Addresses
		s.Network = c
	default:
		s.Warn(now, fmt.Errorf("the gateway has assigned %v before, and now %v", old.Addresses, c.Addresses))
		if s.Children.Len() > 0 {
			break
		}
		s.Network = c
		s.ep.Emit(ike.AddressAssigned{EventHeader: s.EventHeader(now), Config: c})
	}
	if c.Expiry > 0 {
		s.configTimer.Owner = s.addressExpires
		s.ep.SetTimer(&s.configTimer, now.Add(max(c.Expiry, minExpiry)*3/4))
	}
	if next != nil {
		next(now)
	}
}

// addressExpires asks for the addresses again before they expire.
func (s *session) addressExpires(now time.Time) {
	s.do(now, errand{
		run: func(now time.Time, sa *isakmpSA) { sa.pullConfig(now) },
		fail: func(now time.Time, err error) {
			if s.Up && !s.Dead {
				s.Warn(now, fmt.Errorf("the addresses expire: %w", err))
			}
		},
	})
}

func sameHosts(a, b []netip.Prefix) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(p netip.Prefix) bool {
		return !slices.ContainsFunc(b, func(q netip.Prefix) bool { return p.Addr() == q.Addr() })
	})
}
