package xfrm

import (
	"context"
	"fmt"
	"iter"
)

// AddSA installs an SA (NEWSA). Its SPI must not be in use, nor reserved.
func (c *Client) AddSA(ctx context.Context, sa *SA) error { return c.Do(ctx, &NewSA{*sa}, 0) }

// UpdateSA makes an SA mature whose SPI is reserved, or changes the limits and
// the encapsulation of one that is (UPDSA).
func (c *Client) UpdateSA(ctx context.Context, sa *SA) error { return c.Do(ctx, &UpdSA{*sa}, 0) }

// DeleteSA removes an SA (DELSA).
func (c *Client) DeleteSA(ctx context.Context, k SAKey) error { return c.Do(ctx, &DelSA{Key: k}, 0) }

// ask is Ask for an answer of one type.
func ask[T Message](ctx context.Context, c *Client, m Message) (r T, err error) {
	a, err := c.Ask(ctx, m)
	if err != nil {
		return r, err
	}
	r, ok := a.(T)
	if !ok {
		return r, fmt.Errorf("%w: it answered %v with %v", ErrNoAnswer, m.MessageType(), a.MessageType())
	}
	return r, nil
}

// SA returns an SA, with its keys (GETSA).
func (c *Client) SA(ctx context.Context, k SAKey) (*SA, error) {
	r, err := ask[*NewSA](ctx, c, &GetSA{Key: k})
	if err != nil {
		return nil, err
	}
	return &r.SA, nil
}

// ReserveSPI reserves an inbound SPI (ALLOCSPI).
func (c *Client) ReserveSPI(ctx context.Context, m *AllocSPI) (*SA, error) {
	r, err := ask[*NewSA](ctx, c, m)
	if err != nil {
		return nil, err
	}
	return &r.SA, nil
}

// SAs yields all SAs that match, with their keys (GETSA).
func (c *Client) SAs(ctx context.Context, m *DumpSA) iter.Seq2[*SA, error] {
	return func(yield func(*SA, error) bool) {
		for r, err := range c.Dump(ctx, m) {
			if sa, ok := r.(*NewSA); ok && err == nil {
				if !yield(&sa.SA, nil) {
					return
				}
			} else if err != nil && !yield(nil, err) {
				return
			}
		}
	}
}

// FlushSAs removes all SAs of a protocol; ProtoAny means all of them (FLUSHSA).
// That there were none is no error.
func (c *Client) FlushSAs(ctx context.Context, proto uint8) error {
	return unless(ESRCH, c.Do(ctx, &FlushSA{Proto: proto}, 0))
}

// AddPolicy installs a policy (NEWPOLICY). There must be none with its key.
func (c *Client) AddPolicy(ctx context.Context, p *Policy) error { return c.Do(ctx, &NewPolicy{*p}, 0) }

// SetPolicy installs a policy, in place of the one with its key if there is one
// (UPDPOLICY).
func (c *Client) SetPolicy(ctx context.Context, p *Policy) error { return c.Do(ctx, &UpdPolicy{*p}, 0) }

// DeletePolicy removes a policy (DELPOLICY).
func (c *Client) DeletePolicy(ctx context.Context, k PolicyKey) error {
	return c.Do(ctx, &DelPolicy{Key: k}, 0)
}

// Policy returns a policy (GETPOLICY).
func (c *Client) Policy(ctx context.Context, k PolicyKey) (*Policy, error) {
	r, err := ask[*NewPolicy](ctx, c, &GetPolicy{Key: k})
	if err != nil {
		return nil, err
	}
	return &r.Policy, nil
}

// Policies yields all policies but those of sockets (GETPOLICY).
func (c *Client) Policies(ctx context.Context) iter.Seq2[*Policy, error] {
	return func(yield func(*Policy, error) bool) {
		for r, err := range c.Dump(ctx, &DumpPolicy{}) {
			if p, ok := r.(*NewPolicy); ok && err == nil {
				if !yield(&p.Policy, nil) {
					return
				}
			} else if err != nil && !yield(nil, err) {
				return
			}
		}
	}
}

// FlushPolicies removes all policies but those of sockets (FLUSHPOLICY).
func (c *Client) FlushPolicies(ctx context.Context) error {
	return unless(ESRCH, c.Do(ctx, &FlushPolicy{}, 0))
}

// unless returns err unless it is the kernel's errno.
func unless(errno Errno, err error) error {
	if isErrno(err, errno) {
		return nil
	}
	return err
}

// Migrate moves a policy's templates and their SAs to other addresses
// (MIGRATE).
func (c *Client) Migrate(ctx context.Context, m *Migrate) error { return c.Do(ctx, m, 0) }

// AE returns the changing part of an SA (GETAE): that which flags name.
func (c *Client) AE(ctx context.Context, k SAKey, flags AEFlags) (*AE, error) {
	r, err := ask[*NewAE](ctx, c, &GetAE{AE{Key: k, Flags: flags}})
	if err != nil {
		return nil, err
	}
	return &r.AE, nil
}

// SetAE sets the changing part of an SA (NEWAE).
func (c *Client) SetAE(ctx context.Context, ae *AE) error { return c.Do(ctx, &NewAE{*ae}, FlagReplace) }

// SADInfo returns how many SAs there are (GETSADINFO).
func (c *Client) SADInfo(ctx context.Context) (*NewSADInfo, error) {
	return ask[*NewSADInfo](ctx, c, &GetSADInfo{Flags: ^uint32(0)})
}

// SPDInfo returns how many policies there are (GETSPDINFO).
func (c *Client) SPDInfo(ctx context.Context) (*NewSPDInfo, error) {
	return ask[*NewSPDInfo](ctx, c, &GetSPDInfo{Flags: ^uint32(0)})
}

// SetSPDInfo sets from which prefix lengths on policies are hashed
// (NEWSPDINFO).
func (c *Client) SetSPDInfo(ctx context.Context, ipv4, ipv6 *HashThreshold) error {
	return c.Do(ctx, &NewSPDInfo{IPv4Threshold: ipv4, IPv6Threshold: ipv6}, 0)
}

// Default returns what happens to packets that no policy matches (GETDEFAULT).
func (c *Client) Default(ctx context.Context) (*GetDefault, error) {
	return ask[*GetDefault](ctx, c, &GetDefault{})
}

// SetDefault sets what happens to packets that no policy matches (SETDEFAULT).
func (c *Client) SetDefault(ctx context.Context, m *SetDefault) error { return c.Do(ctx, m, 0) }
