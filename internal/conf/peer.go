package conf

// Peer is a remote, or a group of remotes that are treated alike.
type Peer struct {
	Name string `toml:"-"`

	// A peer or template whose keys this one has, unless it says otherwise. Tables are joined key by key, Child SAs by name; lists are replaced. An empty value ("" or []) takes back what is inherited.
	Inherits string `toml:"inherits" example:"\"branches\""`
	// ike, or kink: keys from Kerberos (RFC 4430).
	Protocol string `toml:"protocol" default:"ike" enum:"ike|kink"`
	// Versions of IKE that the peer may speak, the preferred one first. If it does not answer in that one, it is called in the next.
	Versions []string `toml:"versions" default:"ikev2" enum:"ikev2|ikev1"`

	// Where the peer is: a host name or an address, with a port if it is not 500. A name is looked up for each attempt. Left out: anywhere; it calls us.
	Remote string `toml:"remote" example:"\"gw.example.org\""`
	// The peer's port for IKE and ESP in UDP.
	RemoteNATTPort int `toml:"remote-natt-port" default:"4500" min:"1" max:"65535"`
	// Addresses and networks that the peer may call from. Left out: remote if that is an address, else any.
	RemoteAddresses []string `toml:"remote-addresses" example:"[\"192.0.2.0/24\"]"`
	// The own address to call from and to be called on. Left out: whatever the routes say, and any.
	LocalAddress string `toml:"local-address" example:"\"${interface4:eth0}\""`

	// What this side calls itself: "gw.example.org", "alice@example.org", "192.0.2.1", "C=CH, CN=gw", "keyid:staff". Left out: the certificate's first name, else the local address.
	LocalID string `toml:"local-id" example:"\"gw.example.org\""`
	// What the peer must prove to be: as local-id, or a pattern such as "*.example.org", or "*" for anybody who proves a name. Left out: remote.
	RemoteID string `toml:"remote-id" example:"\"branch.example.org\""`

	// File with the pre-shared key.
	PSKFile string `toml:"psk-file" path:"secret" example:"\"branch.psk\""`
	// How psk-file is read. text: all of it but the newline at its end, or 0x and hexadecimal digits. raw: every octet, as racoon2 did. table: lines of identity and key, as psk.txt of racoon.
	PSKFormat string `toml:"psk-format" default:"text" enum:"text|raw|table"`
	// File with the own certificate, and the intermediate ones after it (PEM or DER). With key alone, the key itself is what the peer knows (RFC 7670).
	Certificate string `toml:"certificate" path:"file" example:"\"gw.pem\""`
	// File with the private key, not encrypted.
	Key string `toml:"key" path:"secret" example:"\"gw.key\""`
	// Files or directories with the authorities that the peer's certificate must come from, and revocation lists.
	CA []string `toml:"ca" path:"file" example:"[\"ca.pem\"]"`
	// How this side authenticates. Left out: what follows from the keys.
	LocalAuth string `toml:"local-auth" enum:"psk|signature"`
	// How the peer may authenticate. Left out: by signature if there is ca or trust, else with the pre-shared key.
	RemoteAuth []string `toml:"remote-auth" enum:"psk|signature" example:"[\"signature\"]"`
	// What makes the peer's certificate or key acceptable, beyond ca.
	Trust Trust `toml:"trust"`
	// Signatures of IKEv2.
	Signature Signature `toml:"signature"`

	// IKE algorithms in order of preference. Weak ones are used only where they are named, and warned of.
	Proposals []string `toml:"proposals" computed:"spd:ike"`

	// When to call: none: never by itself; trap: when a packet needs it; always: at once, and again whenever it is down.
	Start string `toml:"start" default:"none" enum:"none|trap|always"`
	// What follows when the peer no longer answers. default: as start says; clear: nothing; trap: start again when a packet needs it; restart: start again.
	DeadAction string `toml:"dead-action" default:"default" enum:"default|clear|trap|restart"`
	// The same when the peer deletes the session or a Child SA.
	CloseAction string `toml:"close-action" default:"default" enum:"default|clear|trap|restart"`
	// The time between attempts to call with start = "always": it doubles from this
	Backoff Duration `toml:"backoff" default:"2s" min:"10ms"`
	// up to this.
	BackoffMax Duration `toml:"backoff-max" default:"5m" min:"10ms"`

	// Gateway: the [pool.NAME] that clients get their addresses from.
	Pool string `toml:"pool" example:"\"clients\""`
	// Gateway: refuse traffic to clients that ask for no address. Left out: true where there is a pool.
	RequireAddress bool `toml:"require-address" computed:"true with pool, else false"`
	// Client: ask the gateway for an inner address and its network's configuration.
	RequestAddress bool `toml:"request-address" default:"false"`
	// Client: what to ask for in detail. Used with request-address.
	Request Request `toml:"request"`

	// Gateway: the [users.NAME] who must log in (XAuth of IKEv1).
	Users string `toml:"users" example:"\"staff\""`
	// How users prove who they are. chap needs passwords, not hashes.
	UserKind string `toml:"user-kind" default:"generic" enum:"generic|chap|otp|skey"`
	// Client: the name to log in with, if the gateway asks. Left out where start is none: whoever calls gives it, with racoonctl vpn-connect -u.
	UserName string `toml:"user-name" example:"\"alice\""`
	// Client: file with the password of user-name. Left out: the line of user-name in psk-file of [secrets].
	UserPasswordFile string `toml:"user-password-file" path:"secret" example:"\"alice.password\""`

	// What happens when the same identity connects again. replace: the new session replaces the old one; keep: it is refused; no: both stay, unless the peer says it has lost the old one (INITIAL_CONTACT); never: both stay.
	Unique string `toml:"unique" default:"replace" enum:"replace|keep|no|never"`
	// NAT detection. on: ESP in UDP where there is a NAT; force: ESP always in UDP; off: no detection.
	NATTraversal string `toml:"nat-traversal" default:"on" enum:"on|force|off"`
	// Fragments of IKE messages (RFC 7383; of IKEv1 as Cisco has it). force: IKEv1 only, from the first message on.
	Fragmentation string `toml:"fragmentation" default:"on" enum:"on|off|force"`
	// Largest IP packet of a fragment, in octets. 0: 1280 in IKEv2, 552 in IKEv1.
	FragmentSize int `toml:"fragment-size" default:"0" min:"0" max:"65535"`
	// Come up without a Child SA (RFC 6023).
	Childless bool `toml:"childless" default:"false"`
	// Reauthenticate without a gap: the new session is there before the old one goes.
	MakeBeforeBreak bool `toml:"make-before-break" default:"false"`
	// Send the certificate even if the peer does not ask for it.
	AlwaysSendCert bool `toml:"always-send-cert" default:"false"`

	// Retransmission, liveness, lifetimes and keepalives.
	Timing Timing `toml:"timing"`
	// What only IKEv1 knows.
	IKEv1 IKEv1 `toml:"ikev1"`
	// Tolerance for peers that deviate. All off.
	Quirks Quirks `toml:"quirks"`
	// KINK: who the peer is.
	Kink PeerKink `toml:"kink"`
	// Hooks of this peer, in place of the general ones.
	Hooks Scripts `toml:"hooks"`

	// Traffic that is protected together. Without any there is one Child SA, between the two hosts or, for a client with request-address, between its address and everything.
	Children []*Child `toml:"child"`
}

// Trust says what makes the peer's certificate or key acceptable.
type Trust struct {
	// Files with intermediate certificates, which help to build a path.
	Intermediates []string `toml:"intermediates" path:"file" example:"[\"sub-ca.pem\"]"`
	// Files with certificates of peers that need no path to an authority.
	Pinned []string `toml:"pinned" path:"file" example:"[\"branch.pem\"]"`
	// Files with public keys of peers that need no certificate.
	RawKeys []string `toml:"raw-keys" path:"file" example:"[\"branch.pub\"]"`
	// Revocation lists. if-present: what a list revokes is refused; strict: there must be a current list of every issuer; off: none is looked at.
	Revocation string `toml:"revocation" default:"if-present" enum:"if-present|strict|off"`
	// Extended key usage. if-present: if the certificate has one, it must be one of IKE or TLS; required: it must have one; ignored: not looked at.
	EKU string `toml:"eku" default:"if-present" enum:"if-present|required|ignored"`
	// Look for names in the common name too, if there is no subjectAltName of that kind.
	MatchCN bool `toml:"match-cn" default:"false"`
	// Let *.example.org in a subjectAltName stand for all hosts.
	WildcardSANs bool `toml:"wildcard-sans" default:"false"`
	// Look for an address written as a DNS name.
	AddressInDNS bool `toml:"address-in-dns" default:"false"`
	// Kinds of identities that need not be in the certificate. Every holder of an acceptable certificate may use all of the kind.
	AnyIdentity []string `toml:"any-identity" enum:"keyid|fqdn|email|address|dn" example:"[\"keyid\"]"`
	// The longest path, in certificates.
	MaxChain int `toml:"max-chain" default:"8" min:"1" max:"64"`
	// The smallest RSA key in a path, in bits.
	MinRSABits int `toml:"min-rsa-bits" default:"2048" min:"1024" max:"8192"`
}

// Signature is the policy for signatures of IKEv2.
type Signature struct {
	// Hash functions of the own signatures, the preferred one first.
	LocalHashes []string `toml:"local-hashes" default:"sha256,sha384,sha512,identity" enum:"sha1|sha256|sha384|sha512|identity"`
	// Hash functions that the peer may use. sha1 has to be named.
	RemoteHashes []string `toml:"remote-hashes" default:"sha256,sha384,sha512,identity" enum:"sha1|sha256|sha384|sha512|identity"`
	// How an own RSA key signs.
	RSAPadding string `toml:"rsa-padding" default:"pss" enum:"pss|pkcs1"`
	// The smallest RSA key of a peer, in bits.
	MinRSABits int `toml:"min-rsa-bits" default:"2048" min:"1024" max:"8192"`
	// Refuse the methods from before RFC 7427.
	NoLegacyMethods bool `toml:"no-legacy-methods" default:"false"`
	// Accept method 14 without its algorithm, as some FortiClients send it.
	BareDigitalSignature bool `toml:"bare-digital-signature" default:"false"`
}

// Request is what a client asks for.
type Request struct {
	// An IPv4 address. Left out: as the Child SAs' remote has it.
	IPv4 bool `toml:"ipv4" computed:"as the Child SAs have it"`
	// An IPv6 address.
	IPv6 bool `toml:"ipv6" computed:"as the Child SAs have it"`
	// Addresses that the client would like.
	Want []string `toml:"want" example:"[\"10.99.0.7\"]"`
	// Name servers.
	DNS bool `toml:"dns" default:"true"`
	// Names to resolve inside (RFC 8598).
	Domains bool `toml:"domains" default:"true"`
	// What the client says it is (APPLICATION_VERSION). Left out: nothing.
	Version string `toml:"version" example:"\"example client 1\""`
}

// Timing holds the times of a peer.
type Timing struct {
	// First retransmission of a request.
	RetransmitBase Duration `toml:"retransmit-base" default:"1s" min:"10ms"`
	// Growth of the interval.
	RetransmitFactor float64 `toml:"retransmit-factor" default:"1.8" min:"1" max:"10"`
	// Largest interval.
	RetransmitMax Duration `toml:"retransmit-max" default:"30s" min:"10ms"`
	// Retransmissions before giving up.
	RetransmitTries int `toml:"retransmit-tries" default:"6" min:"1" max:"100"`
	// Random fraction of the interval.
	RetransmitJitter float64 `toml:"retransmit-jitter" default:"0.1" min:"0.001" max:"1"`
	// Idle time before the peer is asked whether it is there (dead peer detection).
	Liveness Duration `toml:"liveness" default:"30s" min:"1s" off:"off"`
	// Ask only a peer that was sent packets since its last sign of life (RFC 3706 5.4).
	OnDemand bool `toml:"on-demand" default:"false"`
	// Age at which a caller who has proved nothing is dropped.
	HalfOpen Duration `toml:"half-open" default:"30s" min:"1s"`
	// Age at which the IKE SA gets new keys.
	Rekey Duration `toml:"rekey" default:"4h" min:"10s" off:"never"`
	// Age at which both sides authenticate again.
	Reauth Duration `toml:"reauth" default:"never" min:"10s" off:"never"`
	// Age at which an IKE SA without new keys ends.
	Lifetime Duration `toml:"lifetime" computed:"rekey and a tenth; IKEv1 offers rekey" min:"10s"`
	// Random fraction of rekey and reauth.
	Jitter float64 `toml:"jitter" default:"0.1" min:"0.001" max:"1"`
	// Interval of keepalives from behind a NAT.
	Keepalive Duration `toml:"keepalive" default:"20s" min:"1s" off:"off"`
	// How long a deleted SA waits for its answer.
	DeleteWait Duration `toml:"delete-wait" computed:"retransmit-max" min:"10ms"`
}

// IKEv1 is what only IKEv1 knows.
type IKEv1 struct {
	// Phase 1 exchanges, the one to call with first. Aggressive and Base Mode with a pre-shared key let anybody guess at it offline.
	Modes []string `toml:"modes" default:"main" enum:"main|aggressive|base"`
	// Authentication methods, where they do not follow from the keys.
	Methods []string `toml:"methods" enum:"psk|dss|rsa|ecdsa256|ecdsa384|ecdsa521|hybrid-rsa|hybrid-rsa-responder|hybrid-dss|hybrid-dss-responder|xauth-psk|xauth-psk-responder|xauth-dss|xauth-dss-responder|xauth-rsa|xauth-rsa-responder" example:"[\"xauth-psk\"]"`
	// The client proves nothing but its user; the gateway signs.
	Hybrid bool `toml:"hybrid" default:"false"`
	// What to make of an offered lifetime that is not ours. claim: the shorter one counts, and the peer is told; obey: whatever is offered; strict: not longer than ours; exact: ours.
	ProposalCheck string `toml:"proposal-check" default:"claim" enum:"claim|obey|strict|exact"`
	// How much an ISAKMP SA encrypts. 0B: no limit.
	Volume Size `toml:"volume" default:"0B"`
	// Take a client's selectors that no Child SA has. on: with the first Child SA's reqid; unique: each with one of its own.
	GeneratePolicy string `toml:"generate-policy" default:"off" enum:"off|on|require|unique"`
	// Gateway: send the configuration unasked. Client: wait for it.
	PushConfig bool `toml:"push-config" default:"false"`
	// Do not send INITIAL-CONTACT.
	NoInitialContact bool `toml:"no-initial-contact" default:"false"`
	// Do not ask for certificates.
	NoCertRequest bool `toml:"no-cert-request" default:"false"`
	// The smallest RSA key of a peer, in bits.
	MinRSABits int `toml:"min-rsa-bits" default:"2048" min:"1024" max:"8192"`
	// Kinds of NAT traversal to announce and take, of which the newest that both sides know is used. Left out: rfc3947, draft-03 and draft-02 (both forms) are announced, and all but draft-00 and draft-01 taken. Those two keep IKE and ESP on port 500, which is weaker against NATs, and need a data plane that can: userspace, or a kernel that still has it.
	NATTVersions []string `toml:"natt-versions" enum:"rfc3947|draft-08|draft-07|draft-06|draft-05|draft-04|draft-03|draft-02-newline|draft-02|draft-01|draft-00" example:"[\"rfc3947\", \"draft-03\"]"`
	// Files with groups that only the peer and this side know, as openssl dhparam makes them: a prime, of which (p-1)/2 is prime too, and a generator. Proposals call the first one group32768, the second one group32769. Below 2048 bits they are weak.
	PrivateGroups []string `toml:"private-groups" path:"file" example:"[\"branch-dh.pem\"]"`
}

// Quirks are tolerances for peers that deviate.
type Quirks struct {
	// Do not send IDr in the first IKE_AUTH request.
	NoIDr bool `toml:"no-idr" default:"false"`
	// Accept a distinguished name sent with the type of a domain name (Apple).
	DNAsFQDN bool `toml:"dn-as-fqdn" default:"false"`
	// A Child SA for each pair of selectors, for peers that take one pair each.
	OnePairPerChild bool `toml:"one-pair-per-child" default:"false"`
	// Leave rekeying Child SAs to the peer.
	NoChildRekeyInitiation bool `toml:"no-child-rekey-initiation" default:"false"`
	// The group that comes first when rekeying the IKE SA. Left out: as in proposals.
	RekeyGroupFirst string `toml:"rekey-group-first" example:"\"modp2048\""`
}

// Child is traffic that is protected together.
type Child struct {
	Name string `toml:"-"`

	// Traffic selectors of this side: addresses, prefixes and ranges, with protocol and ports in brackets: "10.1.0.0/16", "192.0.2.7[tcp/443]". "dynamic", or none, is the side's own address: the one assigned to the client, else the outer one.
	Local []string `toml:"local" example:"[\"10.1.0.0/16\"]"`
	// The same of the peer's side.
	Remote []string `toml:"remote" example:"[\"10.2.0.0/16\"]"`
	// esp, or ah, which authenticates only.
	Protocol string `toml:"protocol" default:"esp" enum:"esp|ah"`
	// Algorithms in order of preference. A key exchange word, as in "aes128gcm16-x25519", makes perfect forward secrecy. Left out: today's good ones, as far as the data plane has them.
	Proposals []string `toml:"proposals" computed:"spd:child"`
	// tunnel, or transport: between the two hosts only.
	Mode string `toml:"mode" default:"tunnel" enum:"tunnel|transport"`
	// Offer and accept compression (IPComp).
	IPComp bool `toml:"ipcomp" default:"false"`
	// IKEv1 and KINK: algorithms of AH around ESP.
	OuterAH []string `toml:"outer-ah" example:"[\"sha256\"]"`
	// As start of the peer, which it overrides.
	Start string `toml:"start" computed:"start of the peer" enum:"none|trap|always"`

	// Age at which the Child SA gets new keys.
	Rekey Duration `toml:"rekey" default:"1h" min:"5s" off:"never"`
	// Age at which a Child SA without new keys ends.
	Lifetime Duration `toml:"lifetime" computed:"rekey and a tenth; IKEv1 offers rekey" min:"5s"`
	// Octets after which the Child SA gets new keys. 0B: no limit.
	RekeyBytes Size `toml:"rekey-bytes" default:"0B" example:"\"4GiB\""`
	// Octets after which it ends.
	LifetimeBytes Size `toml:"lifetime-bytes" default:"0B" example:"\"5GiB\""`
	// Packets after which the Child SA gets new keys. 0: no limit.
	RekeyPackets uint64 `toml:"rekey-packets" default:"0"`
	// Packets after which it ends.
	LifetimePackets uint64 `toml:"lifetime-packets" default:"0"`
	// Anti-replay window in packets. 0: the data plane's default.
	ReplayWindow int `toml:"replay-window" default:"0" min:"0" max:"65536"`

	// Number that ties policies to SAs, up to 16383. 0: chosen by the daemon.
	ReqID int `toml:"reqid" default:"0" min:"0" max:"16383"`
	// Of the policies; lower is looked up first. 0: by how narrow the selectors are.
	Priority uint32 `toml:"priority" default:"0"`
	// Leave policies to somebody else.
	NoPolicies bool `toml:"no-policies" default:"false"`

	// The [interface.NAME] that the traffic is routed to.
	Interface string `toml:"interface" example:"\"ipsec0\""`
	// Number of an XFRM interface that somebody else makes. 0: none.
	InterfaceID uint32 `toml:"interface-id" default:"0"`
	// Largest packet in the tunnel, in octets. 0: the data plane's default.
	MTU int `toml:"mtu" default:"0" min:"0" max:"65535"`
	// Fragment inner IPv4 packets to this size before encryption. 0: never.
	Fragment int `toml:"fragment" default:"0" min:"0" max:"65535"`
	// The outer DF bit: copied, set or cleared.
	DF string `toml:"df" default:"copy" enum:"copy|set|clear"`
	// Do not propagate congestion marks (RFC 6040).
	NoECN bool `toml:"no-ecn" default:"false"`
	// Do not copy DSCP to the outer header.
	NoDSCP bool `toml:"no-dscp" default:"false"`
	// Pad every packet to this size, in octets (tunnel mode). 0: no.
	TFCPadding int `toml:"tfc-padding" default:"0" min:"0" max:"65535"`
	// Linux: marks that packets must have, on their way in and out, and that encapsulated packets get.
	MarkIn     Mark `toml:"mark-in" example:"\"0x1/0xff\""`
	MarkOut    Mark `toml:"mark-out" example:"\"0x1/0xff\""`
	OutputMark Mark `toml:"output-mark" example:"\"0x2\""`
	// Linux: network device that encrypts.
	Offload string `toml:"offload" example:"\"eth0\""`
	// Label of the traffic (SELinux).
	SecurityContext string `toml:"security-context" example:"\"system_u:object_r:ipsec_spd_t:s0\""`
}
