package ikev1

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/core"
	"github.com/racoon3/racoon/internal/quickmode"
	"github.com/racoon3/racoon/natt"
	"github.com/racoon3/racoon/spd"
)

// Mode is a phase 1 exchange.
type Mode uint8

// Modes.
const (
	// MainMode protects the identities (RFC 2409 5, Identity Protection).
	MainMode Mode = iota + 1
	// AggressiveMode takes three messages and shows the identities. With a
	// pre-shared key whoever asks gets a hash to try passwords on offline
	// (CVE-2018-5389).
	AggressiveMode
	// BaseMode is racoon's (draft-ietf-ipsec-ike-base-mode): four messages in
	// clear, and no key exchange before the peer has shown its address.
	BaseMode
)

var modeNames = [...]string{"none", "Main Mode", "Aggressive Mode", "Base Mode"}

func (m Mode) String() string {
	if int(m) < len(modeNames) {
		return modeNames[m]
	}
	return "unknown mode"
}

// A Peer is the configuration of one remote as the core needs it. It must not
// be changed once a core has it; a session keeps the one it was made with.
type Peer struct {
	Name string

	// Modes are the phase 1 exchanges; the first one is used to initiate, all
	// are accepted.
	Modes []Mode
	// Methods are the authentication methods, the preferred one first. Those
	// with XAuth say by their name which side is the client.
	Methods []AuthMethod

	Local  LocalAuth
	Remote RemoteAuth

	// RemoteAddrs limits the addresses the peer may come from; empty means
	// any. LocalAddrs limits the own addresses on which it is served.
	RemoteAddrs []netip.Prefix
	LocalAddrs  []netip.Prefix

	// Proposals for the ISAKMP SA, in order of preference. Of the PRF comes the
	// hash function; integrity transforms mean nothing here, and AEAD ciphers
	// cannot be used.
	Proposals []spd.Proposal
	Children  []*ike.ChildConfig // Child SAs that may be negotiated
	// PrivateGroups are groups that only this peer and this side know, which
	// Proposals and the Children's name by their numbers. New Group Mode agrees
	// on one before it is used; the peer may have another number for it.
	PrivateGroups []*dh.PrivateGroup

	// Timing: Lifetime is negotiated.
	Timing ike.Timing
	// Volume limits what one ISAKMP SA encrypts, in octets; 0 is no limit.
	Volume uint64
	// Check says what to make of lifetimes that are not ours.
	Check ike.ProposalCheck

	// Users authenticates the user of a client (XAuth, server), in the way of
	// UserKind. Prompt answers for the user of this side (client).
	Users    ike.UserAuthenticator
	UserKind ike.UserAuthKind
	Prompt   ike.UserPrompter

	// Request asks the peer for a network configuration (client); nil asks
	// for nothing.
	Request *ike.ConfigRequest
	// Assign answers a peer's request (gateway); nil assigns nothing. With
	// PushConfig the gateway begins (mode config by SET), and a client waits ten
	// seconds for that before it asks.
	Assign     ike.AddressAssigner
	PushConfig bool

	// GeneratePolicy lets a peer whose proposal fits no Child choose its own
	// selectors on its side; see the type.
	GeneratePolicy GeneratePolicy

	Unique ike.UniquePolicy
	// NoInitialContact leaves the INITIAL-CONTACT notification out.
	NoInitialContact bool

	// ForceEncap pretends that there is a NAT, so that ESP travels in UDP.
	ForceEncap bool
	// NATT are the kinds of NAT traversal to announce and to take; of those that
	// both sides know, the newest is used. Nil: RFC 3947 and drafts 03 and 02 are
	// announced, which are met in the field, and all are taken except drafts 00
	// and 01. Those two leave IKE on port 500 and have ESP there too, behind the
	// non-IKE marker, which needs a data plane with spd.Capabilities.NonIKE.
	NATT []natt.Variant
	// NoNATT turns NAT traversal off.
	NoNATT bool

	// Fragmentation of IKE messages as Cisco does it.
	Fragmentation FragmentPolicy
	// FragmentSize is the largest IP datagram for IKE messages when they are
	// fragmented, in octets; 0 means what every host takes: 576 with IPv4, 1280
	// with IPv6.
	FragmentSize int

	timing *ike.Timing // with defaults, once it is in a set
}

// LocalAuth is the own side's authentication.
type LocalAuth struct {
	ID ike.Identity // zero: the certificate's first subject name, or the local address
	// Credential finds the own credential for signatures; it runs as a job.
	Credential ike.CredentialSource
	// AlwaysSendCert sends the certificate without a request for it.
	AlwaysSendCert bool
	// NoCertRequest does not ask the peer for its certificate.
	NoCertRequest bool
}

// RemoteAuth is what the peer has to prove.
type RemoteAuth struct {
	ID ike.IdentityPattern // zero matches any identity
	// Credential finds the pre-shared key. In Main Mode it is asked before the
	// peer has said who it is, for its address as identity.
	Credential ike.CredentialSource
	Trust      *ike.Trust // for signatures
	Signature  SignatureOptions
}

// GeneratePolicy says whether a responder takes a client's selectors that no
// Child has, as ipsec-tools' generate_policy did. Such a Child SA has the
// algorithms of the first Child; its local side must be within that Child's.
type GeneratePolicy uint8

// Levels.
const (
	GenerateOff    GeneratePolicy = iota
	GenerateOn                    // policies with the Child's ReqID, if it has one
	GenerateUnique                // each with a ReqID of its own

	GenerateRequire = GenerateOn // racoon's other word for it
)

// FragmentPolicy says when IKE messages are fragmented.
type FragmentPolicy uint8

// Policies.
const (
	FragmentOn    FragmentPolicy = iota // when the peer announces it
	FragmentOff                         // never, and fragments are dropped
	FragmentForce                       // from the first message on
)

// times are the peer's times with their defaults.
func (p *Peer) times() *ike.Timing {
	if p.timing != nil {
		return p.timing
	}
	t := p.Timing.WithDefaults()
	return &t
}

// offeredLifetime is the lifetime that is offered. Where that is the default, a
// tenth more than the age for new keys, it is that age, and new keys come a tenth
// before: racoon and racoon2 refuse by default what is longer than their own
// (proposal_check strict), for which people write down the same round numbers.
func offeredLifetime(rekey, lifetime time.Duration) time.Duration {
	if rekey > 0 && lifetime == ike.TenthMore(rekey) {
		return rekey
	}
	return lifetime
}

// child returns the configured Child of that name.
func (p *Peer) child(name string) *ike.ChildConfig {
	for _, c := range p.Children {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// accepts reports whether the peer may use a phase 1 exchange.
func (p *Peer) accepts(m Mode) bool { return slices.Contains(p.Modes, m) }

// signs reports whether any of the methods is one with signatures.
func (p *Peer) signs() bool {
	return slices.ContainsFunc(p.Methods, func(m AuthMethod) bool { return m.Base() != AuthPSK })
}

func (p *Peer) check() error {
	switch {
	case p.Name == "":
		return fmt.Errorf("Name is empty")
	case len(p.Modes) == 0:
		return fmt.Errorf("Modes is empty; use MainMode")
	case len(p.Methods) == 0:
		return fmt.Errorf("Methods is empty; use AuthPSK or AuthRSA")
	case len(p.Proposals) == 0:
		return fmt.Errorf("Proposals is empty; spd.DefaultIKEProposals gives today's good ones")
	}
	for i, v := range p.NATT {
		if !v.Valid() || slices.Contains(p.NATT[:i], v) {
			return fmt.Errorf("NATT has %v, which is unknown or there twice", v)
		}
	}
	for i, m := range p.Modes {
		if m < MainMode || m > BaseMode || slices.Contains(p.Modes[:i], m) {
			return fmt.Errorf("Modes has %v, which is none or there twice", m)
		}
	}
	switch {
	case p.Check > ike.CheckExact:
		return fmt.Errorf("Check is %d, which is unknown", p.Check)
	case p.Fragmentation > FragmentForce:
		return fmt.Errorf("Fragmentation is %d, which is unknown", p.Fragmentation)
	case p.GeneratePolicy > GenerateUnique:
		return fmt.Errorf("GeneratePolicy is %d, which is unknown", p.GeneratePolicy)
	case p.GeneratePolicy != GenerateOff && len(p.Children) == 0:
		return fmt.Errorf("GeneratePolicy needs a Child, whose algorithms and local side count")
	}
	for _, m := range p.Methods {
		if err := p.checkMethod(m); err != nil {
			return fmt.Errorf("Methods: %v: %w", m, err)
		}
		if p.Users != nil && !m.XAuth() {
			return fmt.Errorf("Methods: %v asks for no user, but Users is set: whoever chooses it would come in without; use the method with XAuth, or another peer", m)
		}
	}
	if t := p.Remote.Trust; t != nil && p.signs() {
		if err := t.Validate(); err != nil {
			return fmt.Errorf("Remote.Trust: %w", err)
		}
	}
	if err := p.Remote.Signature.validate(); err != nil {
		return fmt.Errorf("Remote.Signature: %w", err)
	}
	if err := p.Timing.Validate(); err != nil {
		return err
	}
	if err := p.checkPrivateGroups(); err != nil {
		return err
	}
	if err := checkPhase1Proposals(withoutPrivate(p.Proposals)); err != nil {
		return err
	}
	for i, q := range p.Proposals {
		if err := core.CheckGroups(q, p.PrivateGroups...); err != nil {
			return fmt.Errorf("Proposals[%d]: %w", i, err)
		}
	}
	if err := core.CheckChildren(p.Children, p.PrivateGroups...); err != nil {
		return err
	}
	for i, c := range p.Children {
		if err := quickmode.CheckProposals(c.Proposals); err != nil {
			return fmt.Errorf("Children[%d] %q: %w", i, c.Name, err)
		}
		for _, g := range spd.KEGroups(c.Proposals) {
			if dh.ID(g).KEM() {
				return fmt.Errorf("Children[%d] %q: %v encapsulates a key; IKEv1 has Diffie-Hellman groups only", i, c.Name, dh.ID(g))
			}
		}
		for side, set := range map[string][]spd.TrafficSelector{"Local": c.Local, "Remote": c.Remote} {
			for j, ts := range set {
				if _, ok := isakmp.NewSelectorID(ts); !ok {
					return fmt.Errorf("Children[%d] %q: %s[%d]: %v has no form in IKEv1, which knows one port or all", i, c.Name, side, j, ts)
				}
			}
		}
	}
	return nil
}

// checkMethod checks that what a method needs is there. A peer may be called
// and call: with an XAuth method this side is the client in one direction.
func (p *Peer) checkMethod(m AuthMethod) error {
	switch {
	case !m.Supported():
		return fmt.Errorf("not supported")
	case m.Base() == AuthPSK && p.Remote.Credential == nil:
		return fmt.Errorf("Remote.Credential is nil; it finds the pre-shared key")
	case m.XAuth() && p.Users == nil && p.Prompt == nil:
		return fmt.Errorf("Users (server) and Prompt (client) are both nil")
	case m.XAuth() && p.Users != nil && !p.Users.Supports(p.UserKind):
		return fmt.Errorf("Users cannot do UserKind %v", p.UserKind)
	case m.Base() == AuthPSK:
		return nil
	}
	ownClient := p.Prompt != nil && m.XAuth()
	if p.Local.Credential == nil && !(m.Hybrid() && ownClient) {
		return fmt.Errorf("Local.Credential is nil")
	}
	if p.Remote.Trust == nil && !(m.Hybrid() && !ownClient) {
		return fmt.Errorf("Remote.Trust is nil")
	}
	return nil
}

// A PeerSet is an immutable, indexed set of configured peers, shared by all
// endpoints of a program.
type PeerSet struct {
	index core.Index[*Peer]
	any   [BaseMode + 1]called // of the peers that may come from anywhere, by mode
}

// NewPeerSet checks and indexes peers. The error names the peer and the field.
func NewPeerSet(peers []*Peer) (*PeerSet, error) {
	for i, p := range peers {
		if p.timing == nil {
			t := p.Timing.WithDefaults()
			p.timing = &t
		}
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("ikev1: peer %d %q: %w", i, p.Name, err)
		}
	}
	x, err := core.NewIndex(peers, func(p *Peer) core.Facts {
		return core.Facts{Name: p.Name, RemoteAddrs: p.RemoteAddrs, LocalAddrs: p.LocalAddrs, LocalID: p.Local.ID, RemoteID: p.Remote.ID}
	})
	if err != nil {
		return nil, fmt.Errorf("ikev1: %w", err)
	}
	ps := &PeerSet{index: x}
	for m := MainMode; m <= BaseMode; m++ {
		ps.any[m] = calledBy(x.Any(), m)
	}
	return ps, nil
}

// Peer returns the peer of that name, or nil.
func (ps *PeerSet) Peer(name string) *Peer { return ps.index.ByName(name) }

// Len returns the number of peers.
func (ps *PeerSet) Len() int { return len(ps.index.All()) }
