package ikev2

import (
	"net/netip"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// AuthMethod is a way to prove an identity in IKE_AUTH.
type AuthMethod uint8

// Authentication methods. EAP has its seam here and comes later.
const (
	AuthPSK       AuthMethod = iota + 1 // shared key message integrity code (RFC 7296 2.15)
	AuthSignature                       // certificate or raw public key; the concrete method follows the key and the peer (RFC 7427)
	AuthEAP                             // EAP (RFC 7296 2.16)
)

func (m AuthMethod) String() string {
	switch m {
	case AuthPSK:
		return "PSK"
	case AuthSignature:
		return "signature"
	case AuthEAP:
		return "EAP"
	}
	return "unknown"
}

// A Peer is the configuration of one remote as the core needs it. It must not
// be changed once a core has it; a session keeps the one it was made with.
type Peer struct {
	Name string

	// Local is how this side authenticates, Remote how the peer must.
	Local  LocalAuth
	Remote RemoteAuth

	// RemoteAddrs limits the addresses the peer may come from; empty means
	// any. LocalAddrs limits the own addresses on which it is served.
	RemoteAddrs []netip.Prefix
	LocalAddrs  []netip.Prefix

	Proposals []spd.Proposal     // IKE SA proposals in order of preference; at least one
	Children  []*ike.ChildConfig // Child SAs that may be negotiated

	Timing ike.Timing

	// Request asks the peer for a network configuration (client); nil asks
	// for nothing.
	Request *ike.ConfigRequest
	// Assign answers a peer's request (gateway); nil assigns nothing.
	Assign ike.AddressAssigner

	Unique ike.UniquePolicy

	// ForceEncap pretends that there is a NAT, so that ESP travels in UDP.
	ForceEncap bool
	// NoNATT turns NAT detection off.
	NoNATT bool
	// FragmentSize is the largest IP datagram for IKE messages, in octets,
	// when fragmentation (RFC 7383) is negotiated; 0 means 1280, and negative
	// turns fragmentation off.
	FragmentSize int
	// Childless lets an IKE SA come up without its first Child SA (RFC 6023).
	Childless bool
	// RequireAddress refuses the first Child SA to a peer that asks for no
	// inner address (FAILED_CP_REQUIRED); it goes with Assign.
	RequireAddress bool
	// MakeBeforeBreak reauthenticates by a new session beside the old one.
	MakeBeforeBreak bool
	// Quirks tolerate known defects of peers.
	Quirks Quirks

	timing *ike.Timing // with defaults, once it is in a set
}

// times are the peer's times with their defaults.
func (p *Peer) times() *ike.Timing {
	if p.timing != nil {
		return p.timing
	}
	t := p.Timing.WithDefaults()
	return &t
}

// LocalAuth is the own side's authentication.
type LocalAuth struct {
	ID     ike.Identity // zero: the certificate's first subject name, or the local address
	Method AuthMethod
	// Credential finds the own credential; it runs as a job, so it may ask a
	// file, a store or an HSM. The certificate and key may change between
	// calls.
	Credential ike.CredentialSource
	Signature  SignatureOptions
	// AlwaysSendCert sends the certificate even without a CERTREQ (some
	// clients want one and ask for none).
	AlwaysSendCert bool
}

// RemoteAuth is what the peer has to prove.
type RemoteAuth struct {
	ID      ike.IdentityPattern // zero matches any identity
	Methods []AuthMethod        // allowed ones
	// Credential finds the pre-shared key for AuthPSK.
	Credential ike.CredentialSource
	Trust      *ike.Trust // for AuthSignature
	Signature  SignatureOptions
}

// Quirks are tolerances for peers that deviate; all off by default.
type Quirks struct {
	// NoIDr: do not send IDr in the first IKE_AUTH request.
	NoIDr bool
	// DNAsFQDN accepts a distinguished name sent with the type of a domain
	// name (Apple).
	DNAsFQDN bool
	// OnePairPerChild negotiates a Child SA for each pair of selectors, for
	// peers that take one pair each.
	OnePairPerChild bool
	// NoChildRekeyInitiation leaves rekeying Child SAs to the peer (a Windows
	// client behind a NAT refuses a rekey that the gateway begins). The SA is
	// deleted at its hard lifetime.
	NoChildRekeyInitiation bool
	// RekeyGroupFirst puts this group first when rekeying the IKE SA; 0 is
	// none.
	RekeyGroupFirst uint16
}
