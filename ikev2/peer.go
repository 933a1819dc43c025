package ikev2

import (
	"net/netip"
	"time"

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

	Proposals []spd.Proposal // IKE SA proposals in order of preference; at least one
	Children  []*Child       // Child SAs that may be negotiated

	Timing Timing

	// Request asks the peer for a network configuration (client); nil asks
	// for nothing.
	Request *ConfigRequest
	// Assign answers a peer's request (gateway); nil assigns nothing.
	Assign ike.AddressAssigner

	Unique UniquePolicy

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
	// MakeBeforeBreak reauthenticates by a new session beside the old one.
	MakeBeforeBreak bool
	// Quirks tolerate known defects of peers.
	Quirks Quirks
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

// UniquePolicy says what happens when an identity connects again while it has
// a session.
type UniquePolicy uint8

// Unique policies.
const (
	UniqueReplace UniquePolicy = iota // the new session replaces the old one
	UniqueKeep                        // the new session is refused
	UniqueNever                       // several sessions, INITIAL_CONTACT is ignored
	UniqueNo                          // several sessions, unless INITIAL_CONTACT is sent
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
	HalfOpen   time.Duration // largest age of an unauthenticated responder SA, default 30 s
	Rekey      time.Duration // IKE SA rekey (soft), default 4 h; negative: never
	Reauth     time.Duration // reauthentication, default 0: never
	Lifetime   time.Duration // hard lifetime of an IKE SA without rekey, default Rekey + 10 %
	Jitter     float64       // fraction of the rekey and reauth times that is random, default 0.1
	Keepalive  time.Duration // NAT keepalive when behind a NAT, default 20 s; negative: off
	DeleteWait time.Duration // how long a deleted SA waits for its answer, default one RetransmitMax
}

// A Child is the configuration of a Child SA.
type Child struct {
	Name string

	// Local and Remote are the traffic selectors. With Dynamic set the side's
	// address is filled in when the session is up: the address leased by or
	// to the peer, else the outer address.
	Local, Remote               []spd.TrafficSelector
	LocalDynamic, RemoteDynamic bool

	Proposals []spd.Proposal // ESP or AH; a KE transform means PFS
	Mode      spd.Mode
	IPComp    bool // offer and accept IPComp (DEFLATE)

	ReplayWindow int // packets; 0 is the data plane's default
	Options      spd.Options
	ReqID        uint32 // 0: chosen by the core

	Rekey    time.Duration // soft lifetime, default 1 h; negative: never
	Lifetime time.Duration // hard lifetime, default Rekey + 10 %
	Jitter   float64       // default 0.1
	Volume   spd.Lifetime  // volume limits; HardTime is filled in

	// Priority of the policies, lower is looked up first; 0 is derived from
	// the selectors.
	Priority uint32
	// NoPolicies leaves policies to somebody else (route-based operation).
	NoPolicies bool
}

// ConfigRequest is what a client asks of its gateway (RFC 7296 3.15).
type ConfigRequest struct {
	IPv4, IPv6 bool         // an address of the family
	Want       []netip.Addr // preferred addresses
	DNS        bool
	Domains    bool   // INTERNAL_DNS_DOMAIN (RFC 8598)
	Version    string // APPLICATION_VERSION to send, empty for none
}
