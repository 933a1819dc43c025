package ikev1

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/vendorid"
	"github.com/racoon3/racoon/natt"
)

// configAsked answers a client's REQUEST. There is always an answer, even one
// with nothing in it (draft-dukes-ike-mode-cfg-02 2).
func (sa *isakmpSA) configAsked(now time.Time, x *exchange, a *isakmp.Attributes) {
	s := sa.s
	reply := func(now time.Time, c *ike.NetworkConfig) {
		asks := func(t isakmp.ConfigAttributeType) bool { return a.First(t) != nil }
		out := configAttributes(c, asks)
		s.splits = s.splits || asks(isakmp.AttrUnitySplitInclude)
		if c != nil && c.UDPPort != 0 && asks(isakmp.AttrUnityNATTPort) && sa.variant == natt.NoVariant {
			s.ESPPort = c.UDPPort // both sides send ESP in UDP there
		}
		if asks(isakmp.AttrSupportedAttributes) {
			out = append(out, isakmp.ConfigAttribute{Type: isakmp.AttrSupportedAttributes, Data: isakmp.AppendSupportedAttributesValue(nil, supportedAttributes...)})
		}
		asked{}.reply(now, x, a, out)
		s.addressed(now)
	}
	r := s.addressRequest(a)
	switch {
	case !s.servesConfig(sa):
		reply(now, nil)
	case !r.IPv4 && !r.IPv6 && s.Leased == nil:
		c := s.told(nil)
		reply(now, c)
	case !r.IPv4 && !r.IPv6:
		reply(now, s.Network)
	default:
		s.lease(now, r, func(now time.Time, c *ike.NetworkConfig, err error) {
			if err != nil {
				s.Warn(now, fmt.Errorf("address request of %v: %w", s.RemoteID, err))
			}
			reply(now, c)
		})
	}
}

// servesConfig reports whether this side gives the peer a network
// configuration.
func (s *session) servesConfig(sa *isakmpSA) bool {
	return !sa.client() && (s.peer.Assign != nil || s.user != nil && (s.user.Config != nil || len(s.user.Addresses) > 0))
}

// told is a configuration with what the user's authentication says in its
// place.
func (s *session) told(c *ike.NetworkConfig) *ike.NetworkConfig {
	if s.user == nil || s.user.Config == nil {
		return c
	}
	o := *s.user.Config
	o.Addresses = nil // fixed ones are leased
	return c.Override(&o)
}

// addressRequest is what a client asks for.
func (s *session) addressRequest(a *isakmp.Attributes) ike.AddressRequest {
	r := ike.AddressRequest{Session: s.ID, Peer: s.Name, RemoteID: s.RemoteID, Remote: s.Path.Remote}
	if s.user != nil {
		r.User, r.Groups, r.Fixed = s.user.User, s.user.Groups, ike.FixedAddresses(s.user.Addresses)
	}
	if a == nil {
		r.IPv4, r.IPv6 = true, true
		return r
	}
	for i := range a.Attributes {
		c := &a.Attributes[i]
		switch c.Type {
		case isakmp.AttrInternalIP4Address:
			r.IPv4 = true
		case isakmp.AttrInternalIP6Address:
			r.IPv6 = true
		case isakmp.AttrInternalAddressExpiry:
			r.Expiry, _ = c.AddressExpiry()
			continue
		default:
			continue
		}
		if v, err := c.Addr(); err == nil && usable(v) && len(r.Want) < maxConfig {
			r.Want = append(r.Want, v)
		}
	}
	return r
}

// lease gets addresses for the peer. A session that asks again keeps those that
// it has, and a family that was asked for before.
func (s *session) lease(now time.Time, r ike.AddressRequest, done func(now time.Time, c *ike.NetworkConfig, err error)) {
	if s.Leased != nil {
		r.IPv4, r.IPv6 = r.IPv4 || s.Leased.IPv4, r.IPv6 || s.Leased.IPv6
	}
	assign := s.peer.Assign
	if assign == nil {
		s.leased(now, r, s.told(withAddresses(r)))
		done(now, s.Network, nil)
		return
	}
	s.Job(ike.JobAddress, 0, func(ctx context.Context) (any, error) {
		c, err := assign.Assign(ctx, r)
		if err == nil && c == nil {
			err = errors.New("the assigner has nothing")
		}
		return c, err
	}, func(now time.Time, v any, err error) {
		if err != nil {
			done(now, nil, err)
			return
		}
		s.leased(now, r, s.told(v.(*ike.NetworkConfig)))
		done(now, s.Network, nil)
	}, func(v any) { s.giveBack(assign, r, v.(*ike.NetworkConfig)) })
}

// withAddresses is the configuration of a user with fixed addresses and no
// pool.
func withAddresses(r ike.AddressRequest) *ike.NetworkConfig {
	c := new(ike.NetworkConfig)
	for _, a := range r.Fixed {
		if a.Is4() && r.IPv4 || a.Is6() && r.IPv6 {
			addHost(&c.Addresses, a, a.BitLen())
		}
	}
	return c
}

// leased: the peer has addresses.
func (s *session) leased(now time.Time, r ike.AddressRequest, c *ike.NetworkConfig) {
	old, former := s.Network, s.Leased
	s.Network, s.Leased = c, &r
	s.startAccounting(now)
	if old != nil && sameHosts(old.Addresses, c.Addresses) {
		return
	}
	if former != nil && s.Assign != nil {
		gone := *old
		gone.Addresses = nil
		for _, p := range old.Addresses {
			if !slices.Contains(c.Addresses, p) {
				gone.Addresses = append(gone.Addresses, p)
			}
		}
		if len(gone.Addresses) > 0 {
			s.giveBack(s.Assign, *former, &gone)
		}
	}
	if s.Up {
		s.ep.Emit(ike.AddressAssigned{EventHeader: s.EventHeader(now), Config: c})
	}
}

// leaseWait is how long a gateway that has called its client waits for it to ask
// for addresses.
const leaseWait = 10 * time.Second

// awaitsLease reports whether a Quick Mode that this side wants to begin is with
// a client that has no addresses yet, and for those.
func (s *session) awaitsLease(q *quickMode) bool {
	sa := s.current
	return sa != nil && sa.negotiated.method.XAuth() && s.servesConfig(sa) && q.cfg.RemoteDynamic && s.Leased == nil
}

// addressed begins what has waited for the client's addresses.
func (s *session) addressed(now time.Time) {
	if s.Dead || len(s.forLease) == 0 {
		return
	}
	s.ep.StopTimer(&s.configTimer)
	waiting := s.forLease
	s.forLease = nil
	for _, q := range waiting {
		s.do(now, q.errand())
	}
}

// giveBack ends leases.
func (s *session) giveBack(assign ike.AddressAssigner, r ike.AddressRequest, c *ike.NetworkConfig) {
	s.Cleanup(ike.JobAddress, 0, func(ctx context.Context) (any, error) {
		assign.Release(ctx, r, c)
		return nil, nil
	}, nil)
}

// pushConfig tells the client its configuration without being asked, if the
// peer's configuration says so.
func (sa *isakmpSA) pushConfig(now time.Time) {
	s := sa.s
	if s.Dead || !s.peer.PushConfig || !s.servesConfig(sa) {
		return
	}
	s.lease(now, s.addressRequest(nil), func(now time.Time, c *ike.NetworkConfig, err error) {
		if err != nil {
			s.Warn(now, fmt.Errorf("addresses for %v: %w", s.RemoteID, err))
			return
		}
		if sa.state != stateEstablished {
			return
		}
		id, err := s.ep.newTransactionID()
		if err != nil {
			s.Warn(now, err)
			return
		}
		unity := sa.peerVIDs.Has(vendorid.Unity)
		a := configAttributes(c, func(t isakmp.ConfigAttributeType) bool { return unity || t < isakmp.AttrUnityBanner })
		sa.transact(now, &isakmp.Attributes{Type: isakmp.ConfigSet, Identifier: id, Attributes: a}, time.Time{},
			func(now time.Time, _ *isakmp.Attributes, err error) {
				if err != nil && !s.Dead {
					s.Warn(now, fmt.Errorf("the client does not take its configuration: %w", err))
				}
				s.addressed(now)
			})
	})
}
