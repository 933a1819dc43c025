package racoon

import (
	"slices"
	"time"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1"
	"github.com/racoon3/racoon/ikev2"
	"github.com/racoon3/racoon/natt"
	"github.com/racoon3/racoon/spd"
)

// A Peer is the configuration of one remote, or of a group of remotes that
// are treated alike.
//
// What is needed: a Name; for a peer to be called, Remote; and how both sides
// prove who they are: PSK alone, or Credential (the own certificate and key)
// with Trust (whom to believe).
type Peer struct {
	// Name is what the peer is called in calls, events and logs.
	Name string

	// Remote is where the peer is: a host name or an address, with a port if
	// it is not 500. A name is looked up for each attempt. Empty: anywhere; it
	// calls us.
	Remote string
	// RemoteNATT is the peer's port for IKE and ESP in UDP; 0 means 4500.
	RemoteNATT uint16
	// RemoteAddrs are the addresses and prefixes that the peer may come from.
	// Empty: if Remote is an address, that one, else any.
	RemoteAddrs []string
	// LocalAddr is the own address to call from and to be called on. Empty:
	// whatever the routing table says, and any.
	LocalAddr string

	// LocalID is what this side calls itself, and RemoteID what the peer must
	// prove to be, in the forms of ike.ParseIdentity and
	// ike.ParseIdentityPattern: "gw.example.org", "alice@example.org",
	// "C=CH, CN=gw", "192.0.2.1", "*.example.org". An empty LocalID is the
	// certificate's first name, else the local address; an empty RemoteID is
	// Remote for a peer with a pre-shared key that is called by its name or
	// address. Otherwise it must be given: "*" accepts any identity that the
	// credentials prove.
	LocalID  string
	RemoteID string

	// PSK is the pre-shared key of both sides.
	PSK ike.Secret
	// Credential holds the own certificate chain and private key, or a raw
	// public key.
	Credential *ike.Credential
	// Trust says which certificates and raw keys of the peer are accepted.
	Trust *ike.Trust
	// Credentials finds the own credential, and the peer's pre-shared key,
	// where PSK and Credential are not enough: many keys, a store, an HSM.
	Credentials ike.CredentialSource
	// LocalAuth and RemoteAuth are the methods of authentication. They follow
	// from the fields above where those leave no doubt: with PSK alone it is
	// PSK on both sides; Credential makes the own side sign, Trust the peer.
	LocalAuth  ikev2.AuthMethod
	RemoteAuth []ikev2.AuthMethod
	// LocalSignature and RemoteSignature restrict signatures.
	LocalSignature, RemoteSignature ikev2.SignatureOptions

	// Proposals are the IKE algorithms in order of preference, in the form of
	// spd.ParseProposal: "aes256gcm16-prfsha256-x25519". Empty:
	// spd.DefaultIKEProposals.
	Proposals []string
	// Children are the Child SAs. Empty: one between the two hosts or, with
	// RequestAddress, between the assigned address and everything.
	Children []Child

	// Start says when the peer is called.
	Start StartMode
	// DeadAction and CloseAction say what follows when the peer no longer
	// answers, and when it deletes the session or a Child SA.
	DeadAction, CloseAction Action
	// Backoff bounds the time between attempts to call a peer with
	// StartAlways: it doubles from the first to the second value, with a
	// quarter of jitter. Zero values mean 2 s and 5 min.
	Backoff, BackoffMax time.Duration

	// Versions are the versions of IKE that the peer may speak, the preferred
	// one first: that is how it is called, and if it does not answer, the next.
	// Empty: IKEv2 alone. The fields of this configuration serve both as far as
	// they can; IKEv1 has what only that version knows.
	Versions []Version
	IKEv1    IKEv1Options
	KINK     KINKOptions

	// Users authenticates the user of a client, beside the client itself
	// (IKEv1: XAuth), in the way of UserKind. UserPrompt answers when a gateway
	// asks for the user of this side; see ike.StaticUser.
	Users      ike.UserAuthenticator
	UserKind   ike.UserAuthKind
	UserPrompt ike.UserPrompter

	// RequestAddress asks the peer for an inner address and its network's
	// configuration, as a client does. Request says in detail what for.
	RequestAddress bool
	Request        *ike.ConfigRequest
	// Assign gives inner addresses to peers that ask, as a gateway does; see
	// [NewPool].
	Assign ike.AddressAssigner
	// RequireAddress refuses the first Child SA to a peer that asks for no
	// inner address, where Assign is there to give it one.
	RequireAddress bool

	// Timing holds retransmission, liveness, lifetimes and keepalives; zero
	// fields take their defaults.
	Timing ike.Timing
	// Unique says what happens when the same identity connects again.
	Unique ike.UniquePolicy

	ForceEncap      bool // ESP in UDP even without a NAT; so it is too if the data plane has no other (esp.Config.RawESP)
	NoNATT          bool // no NAT detection
	FragmentSize    int  // see ikev2.Peer
	Childless       bool // come up without a Child SA (RFC 6023)
	MakeBeforeBreak bool // reauthenticate without a gap
	AlwaysSendCert  bool // send the certificate even if the peer does not ask
	Quirks          ikev2.Quirks
}

// IKEv1Options is what only IKEv1 knows.
type IKEv1Options struct {
	// Modes are the phase 1 exchanges, the one to call with first. Empty: Main
	// Mode alone.
	Modes []ikev1.Mode
	// Methods are the authentication methods, where they do not follow from the
	// credentials: DSS, hybrid beside another one, a client that is called. As
	// many methods as fit may be listed.
	Methods []ikev1.AuthMethod
	// Hybrid: the client proves nothing but its user; the gateway signs.
	Hybrid bool
	// Check says what to make of lifetimes that are not ours, Volume limits what
	// an ISAKMP SA encrypts, in octets.
	Check  ike.ProposalCheck
	Volume uint64

	// NATT are the kinds of NAT traversal to announce and to take, of which the
	// newest that both sides know is used. Empty: RFC 3947 and drafts 03 and 02
	// are announced, and drafts 02 to 08 taken. Drafts 00 and 01 are used only
	// where they are named here: IKE stays on its port then and ESP shares that,
	// which is weaker against NATs that meddle with port 500, and which not every
	// data plane can (spd.Capabilities.NonIKE).
	NATT []natt.Variant

	GeneratePolicy   ikev1.GeneratePolicy
	Fragmentation    ikev1.FragmentPolicy
	PushConfig       bool // the gateway sends the configuration unasked
	NoInitialContact bool
	NoCertRequest    bool
	Signature        ikev1.SignatureOptions // of the peer

	// PrivateGroups are groups for key exchanges that only the peer and this
	// side know; Proposals, and those of the Children, call them by their
	// numbers: "aes128gcm16-group32768". New Group Mode agrees on one before it
	// is used, so the ISAKMP SA that a session begins with has another.
	PrivateGroups []*dh.PrivateGroup
}

// A Child is the configuration of a Child SA.
type Child struct {
	// Name is what it is called; empty means the peer's name for the only
	// Child, else its number from 1.
	Name string

	// Local and Remote are the traffic selectors of each side, in the form of
	// spd.ParseTrafficSelector: "10.1.0.0/16", "192.0.2.7[tcp/443]". The
	// word "dynamic", or none at all, is the side's own address: the one
	// assigned to the client, else the outer one.
	Local, Remote []string

	// Protocol is spd.ProtoESP (also if zero) or spd.ProtoAH.
	Protocol spd.Protocol
	// Proposals are the algorithms in order of preference, in the form of
	// spd.ParseProposal: "aes256gcm16", "aes128-sha256-x25519" (a key
	// exchange makes perfect forward secrecy). Empty: the default of package
	// spd, as far as the data plane has it.
	Proposals []string
	Mode      spd.Mode
	IPComp    bool // offer and accept IPComp
	// OuterAH are proposals for AH around ESP, which IKEv1 and KINK negotiate.
	OuterAH []string

	// Start is as for the peer, which it overrides.
	Start StartMode

	Rekey        time.Duration // soft lifetime; 0 means 1 h, negative never
	Lifetime     time.Duration // hard lifetime; 0 means Rekey and a tenth, or in IKEv1, where it is offered, Rekey
	Volume       spd.Lifetime  // volume limits
	ReplayWindow int           // packets; 0 means the data plane's default
	Options      spd.Options

	ReqID      uint32 // ties policies to SAs; 0 means any, else 1 to 16383
	Priority   uint32 // of the policies, lower first; 0 means by how narrow the selectors are
	NoPolicies bool   // leave policies to somebody else
}

// StartMode says when this side begins.
type StartMode uint8

// Start modes.
const (
	StartDefault StartMode = iota // StartNone; for a Child that of its peer
	StartNone                     // when the program calls Initiate, or the peer calls
	StartTrap                     // when a packet needs it
	StartAlways                   // at once, and again whenever it is down
)

func (s StartMode) String() string {
	return nameOf([]string{"default", "none", "trap", "start"}, s)
}

// Action says what follows the end of a session or Child SA.
type Action uint8

// Actions.
const (
	ActionDefault Action = iota // as Start says: nothing, wait for a packet, or start again
	ActionClear                 // nothing
	ActionTrap                  // start again when a packet needs it
	ActionRestart               // start again
)

func (a Action) String() string {
	return nameOf([]string{"default", "clear", "trap", "restart"}, a)
}

func nameOf[T ~uint8](names []string, v T) string {
	if int(v) < len(names) {
		return names[v]
	}
	return "unknown"
}

// clone copies all that a caller could change.
func (p Peer) clone() Peer {
	p.RemoteAddrs = slices.Clone(p.RemoteAddrs)
	p.PSK = p.PSK.Clone()
	p.RemoteAuth = slices.Clone(p.RemoteAuth)
	p.Proposals = slices.Clone(p.Proposals)
	p.Versions = slices.Clone(p.Versions)
	p.IKEv1.Modes, p.IKEv1.Methods = slices.Clone(p.IKEv1.Modes), slices.Clone(p.IKEv1.Methods)
	p.IKEv1.NATT, p.IKEv1.PrivateGroups = slices.Clone(p.IKEv1.NATT), slices.Clone(p.IKEv1.PrivateGroups)
	p.LocalSignature.Hashes, p.RemoteSignature.Hashes = slices.Clone(p.LocalSignature.Hashes), slices.Clone(p.RemoteSignature.Hashes)
	p.Children = slices.Clone(p.Children)
	for i := range p.Children {
		c := &p.Children[i]
		c.Local, c.Remote, c.Proposals = slices.Clone(c.Local), slices.Clone(c.Remote), slices.Clone(c.Proposals)
		c.OuterAH = slices.Clone(c.OuterAH)
	}
	if p.Request != nil {
		r := *p.Request
		r.Want = slices.Clone(r.Want)
		p.Request = &r
	}
	return p
}

// action resolves ActionDefault.
func (p *Peer) action(a Action) Action {
	if a != ActionDefault {
		return a
	}
	switch p.Start {
	case StartAlways:
		return ActionRestart
	case StartTrap:
		return ActionTrap
	}
	return ActionClear
}
