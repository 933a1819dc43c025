package kink

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/core"
	"github.com/racoon3/racoon/internal/quickmode"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/message"
	"github.com/racoon3/racoon/spd"
)

// A Peer is the configuration of one remote as the core needs it. It must not
// be changed once a core has it; a session keeps the one it was made with.
type Peer struct {
	Name string

	// Principal is who the peer is, "kink/host.example.org@REALM" (RFC 4430
	// 4.2.1): what tickets are for, and what the peer's own tickets must say. One *
	// stands for any part of a name without a /, or the realm: such a peer can only
	// call.
	Principal string

	// RemoteAddrs limits the addresses the peer may come from; empty means
	// any. LocalAddrs limits the own addresses on which it is served.
	RemoteAddrs []netip.Prefix
	LocalAddrs  []netip.Prefix
	// Port is the peer's UDP port; 0 means 910. A message from another one has
	// passed a NAT.
	Port uint16

	Children []*ike.ChildConfig // Child SAs that may be negotiated

	// Timing: what concerns IKE SAs has no meaning.
	Timing ike.Timing
	// Check says what to make of lifetimes that are not ours.
	Check ike.ProposalCheck

	// ContributeNonce: as a responder, add to the keying material. It costs a
	// third message (RFC 4430 3.2.1); without it the KDC's randomness and the
	// initiator's nonce have to be good enough.
	ContributeNonce bool
	UserToUser      UserToUser
	Tickets         TicketPolicy
	// Racoon2 is for racoon2's kinkd, whose pseudo-random function with AES is
	// not that of RFC 3962: both sides would have different keys. It also reads one
	// Child SA alone in a CREATE, so it gets one at a time; and no nonce for its
	// first choice, whatever ContributeNonce says, since it would not heed it.
	Racoon2 bool

	timing *ike.Timing // with defaults, once it is in a set
}

// UserToUser says what becomes of user-to-user authentication (RFC 4430 3.1), for
// hosts without a keytab.
type UserToUser uint8

const (
	// UserToUserNever: the peer has a keytab, and so have we.
	UserToUserNever UserToUser = iota
	// UserToUserAccept gives the own ticket-granting ticket to a peer that asks.
	UserToUserAccept
	// UserToUserRequest asks the peer for its ticket-granting ticket before
	// anything else; it accepts too.
	UserToUserRequest
)

// TicketPolicy says what the end of a ticket means for the Child SAs that were
// made with it.
type TicketPolicy uint8

const (
	// TicketBounds: a Child SA ends with the ticket at the latest; before that it
	// is rekeyed with a new one.
	TicketBounds TicketPolicy = iota
	// TicketIgnored: a Child SA may outlive the ticket.
	TicketIgnored
)

func (p *Peer) times() *ike.Timing {
	if p.timing == nil {
		t := p.Timing.WithDefaults()
		return &t
	}
	return p.timing
}

func (p *Peer) port() uint16 {
	if p.Port == 0 {
		return message.Port
	}
	return p.Port
}

func (p *Peer) child(name string) *ike.ChildConfig {
	for _, c := range p.Children {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// matches reports whether the peer may be this principal.
func (p *Peer) matches(who krb.Principal) bool {
	principal := who.String()
	before, after, wild := strings.Cut(p.Principal, "*")
	if !wild {
		return principal == p.Principal
	}
	rest, ok := strings.CutPrefix(principal, before)
	if !ok {
		return false
	}
	middle, ok := strings.CutSuffix(rest, after)
	return ok && middle != "" && !strings.ContainsAny(middle, "/@")
}

// canInitiate reports whether tickets for the peer can be had.
func (p *Peer) canInitiate() bool { return !strings.Contains(p.Principal, "*") }

// check reports what is wrong with the configuration. The error names the
// field.
func (p *Peer) check() error {
	_, err := krb.ParsePrincipal(strings.ReplaceAll(p.Principal, "*", "any"), "")
	switch {
	case p.Name == "":
		return errors.New("Name is empty")
	case err != nil || strings.Count(p.Principal, "*") > 1:
		return fmt.Errorf("Principal %q is not of the form kink/host.example.org@REALM, in which one * is possible", p.Principal)
	case p.Check > ike.CheckExact:
		return fmt.Errorf("Check is %d, which is unknown", p.Check)
	case p.UserToUser > UserToUserRequest:
		return fmt.Errorf("UserToUser is %d, which is unknown", p.UserToUser)
	case p.Tickets > TicketIgnored:
		return fmt.Errorf("Tickets is %d, which is unknown", p.Tickets)
	}
	if err := p.Timing.Validate(); err != nil {
		return err
	}
	if err := core.CheckChildren(p.Children); err != nil {
		return err
	}
	for i, c := range p.Children {
		if err := quickmode.CheckProposals(c.Proposals); err != nil {
			return fmt.Errorf("Children[%d] %q: %w", i, c.Name, err)
		}
		for _, g := range spd.KEGroups(c.Proposals) {
			if dh.ID(g).KEM() {
				return fmt.Errorf("Children[%d] %q: %v encapsulates a key; KINK has Diffie-Hellman groups only", i, c.Name, dh.ID(g))
			}
		}
		for side, set := range map[string][]spd.TrafficSelector{"Local": c.Local, "Remote": c.Remote} {
			for j, ts := range set {
				if _, ok := isakmp.NewSelectorID(ts); !ok {
					return fmt.Errorf("Children[%d] %q: %s[%d]: %v has no form in KINK, which knows one port or all", i, c.Name, side, j, ts)
				}
			}
		}
	}
	return nil
}

// A PeerSet is an immutable, indexed set of configured peers, shared by all
// endpoints of a program.
type PeerSet struct{ index core.Index[*Peer] }

// NewPeerSet checks and indexes peers. The error names the peer and the field.
func NewPeerSet(peers []*Peer) (*PeerSet, error) {
	for i, p := range peers {
		if p.timing == nil {
			t := p.Timing.WithDefaults()
			p.timing = &t
		}
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("kink: peer %d %q: %w", i, p.Name, err)
		}
	}
	x, err := core.NewIndex(peers, func(p *Peer) core.Facts {
		return core.Facts{Name: p.Name, RemoteAddrs: p.RemoteAddrs, LocalAddrs: p.LocalAddrs}
	})
	if err != nil {
		return nil, fmt.Errorf("kink: %w", err)
	}
	return &PeerSet{index: x}, nil
}

// Peer returns the peer of that name, or nil.
func (ps *PeerSet) Peer(name string) *Peer { return ps.index.ByName(name) }

// Len returns the number of peers.
func (ps *PeerSet) Len() int { return len(ps.index.All()) }

// choose returns the peer that a principal is, among those possible by address:
// a whole name before one with a *, then the order of configuration.
func (ps *PeerSet) choose(path ike.Path, principal krb.Principal) (*Peer, error) {
	possible, _ := ps.index.Candidates(path)
	if len(possible) == 0 {
		return nil, fmt.Errorf("no peer is configured for the address %v", path.Remote.Addr())
	}
	i := slices.IndexFunc(possible, func(p *Peer) bool { return p.Principal == principal.String() })
	if i < 0 {
		i = slices.IndexFunc(possible, func(p *Peer) bool { return p.matches(principal) })
	}
	switch {
	case i >= 0:
		return possible[i], nil
	case len(possible) == 1:
		return nil, fmt.Errorf("principal %v is not %q of peer %q, the only one for address %v", principal, possible[0].Principal, possible[0].Name, path.Remote.Addr())
	}
	return nil, fmt.Errorf("principal %v is none of the %d peers possible at address %v", principal, len(possible), path.Remote.Addr())
}

// why tells, for the log, which settings of a peer a caller fits.
func (ps *PeerSet) why(p *Peer, path ike.Path) string {
	why := "principal matches " + p.Principal
	if address := ps.index.WhyAddress(p, path); address != "" {
		return address + ", " + why
	}
	return why // meanwhile the configuration has changed
}
