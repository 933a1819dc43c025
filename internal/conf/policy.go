package conf

// Policy is an entry of the SPD that stands without a peer being up.
type Policy struct {
	Name string `toml:"-"`
	// protect: through an SA or not at all; bypass: in clear; discard: not at all.
	Action string `toml:"action" enum:"protect|bypass|discard" example:"\"protect\""`
	// both, or one of the directions, as seen from this host. Linux has forward for what it forwards.
	Direction string `toml:"direction" default:"both" enum:"both|in|out|forward"`
	// Traffic selectors of this side, as local of a Child SA. A host name in place of an address is resolved, and followed when its addresses change. "any" is everything.
	Local []string `toml:"local" default:"any"`
	// The same of the other side.
	Remote []string `toml:"remote" default:"any"`
	// Lower is looked up first. 0: before the policies of Child SAs, whose priorities are from 1000 to 4000 unless told; among each other by how narrow the selectors are.
	Priority uint32 `toml:"priority" default:"0"`
	// Install it. If not, it is there for clients of spmif to name.
	Install bool `toml:"install" default:"true"`

	// protect: the peer whose Child SA protects the traffic; it is called when a packet needs it. Mode, protocol, addresses and reqid are those of the Child SA.
	Peer string `toml:"peer" example:"\"branch\""`
	// protect: its Child SA. Left out: the only one.
	Child string `toml:"child" example:"\"net\""`
	// protect, without peer: how packets are wrapped.
	Mode string `toml:"mode" default:"tunnel" enum:"tunnel|transport"`
	// protect, without peer: the transforms, the innermost first.
	Bundle []string `toml:"bundle" default:"esp" enum:"ipcomp|esp|ah"`
	// protect, without peer: the outer addresses of a tunnel.
	LocalAddress  string `toml:"local-address" example:"\"192.0.2.1\""`
	RemoteAddress string `toml:"remote-address" example:"\"192.0.2.2\""`
	// protect, without peer: number of the SAs. 0: any.
	ReqID int `toml:"reqid" default:"0" min:"0" max:"16383"`
	// protect: require: nothing passes in clear; use: inbound packets in clear are accepted too; unique: only SAs of this policy.
	Level string `toml:"level" default:"require" enum:"require|use|unique"`
	// Linux: mark that packets must have.
	Mark Mark `toml:"mark" example:"\"0x1/0xff\""`
	// Linux: the [interface.NAME] that packets must be routed to.
	Interface string `toml:"interface" example:"\"ipsec0\""`
}

// Spmd is the policy daemon.
type Spmd struct {
	// Unix socket of the policy service (spmif). Empty: none.
	Socket string `toml:"socket" default:"/var/run/racoon2/spmif" path:"file"`
	// Account that owns it. Left out: whoever runs the daemon.
	Owner string `toml:"owner" example:"\"root\""`
	// Its group.
	Group string `toml:"group" example:"\"wheel\""`
	// Its permissions, octal.
	Mode string `toml:"mode" default:"0600"`
	// File with the password of racoon2's clients (LOGIN). Left out: who may connect is let in, no password is asked for.
	PasswordFile string `toml:"password-file" path:"secret" example:"\"spmd.pwd\""`
	// What becomes of the policies of a client that is gone without a word.
	LostClient string `toml:"lost-client" default:"remove" enum:"remove|keep"`
	// Clients at one time.
	MaxClients int `toml:"max-clients" default:"64" min:"1" max:"4096"`
	// Policies of one client.
	MaxPolicies int `toml:"max-policies" default:"10000" min:"1"`
	// Names and their addresses.
	Names Names `toml:"names"`
	// A DNS forwarder that learns which names addresses have.
	DNS DNS `toml:"dns"`
}

// Names are names and their addresses.
type Names struct {
	// Read names from the system's file of hosts too. Empty: no.
	HostsFile string `toml:"hosts-file" default:"/etc/hosts" path:"file"`
	// Names with fixed addresses.
	Static map[string][]string `toml:"static" name:"\"www.example.org\"" example:"[\"192.0.2.80\"]"`
	// Ask the resolver for names of policies. Without, they are learnt by the forwarder alone.
	Resolve bool `toml:"resolve" default:"true"`
	// A name is not asked for more often than this,
	MinTTL Duration `toml:"min-ttl" default:"5s" min:"1s"`
	// nor more seldom than this.
	MaxTTL Duration `toml:"max-ttl" default:"1h" min:"1s"`
	// Names that are remembered.
	MaxEntries int `toml:"max-entries" default:"10000" min:"16"`
}

// DNS is the forwarder.
type DNS struct {
	// Addresses to serve on, with port 53 if there is none. Left out: no forwarder.
	Listen []string `toml:"listen" example:"[\"127.0.0.1:53\"]"`
	// Name servers to ask, in this order, with port 53 if there is none.
	Upstream []string `toml:"upstream" example:"[\"192.0.2.53\"]"`
	// How long to wait for one of them.
	Timeout Duration `toml:"timeout" default:"2s" min:"10ms" max:"1m"`
}

// Kink is what this host is for KINK (RFC 4430).
type Kink struct {
	// UDP sockets, with port 910 if there is none.
	Listen []string `toml:"listen" default:":910"`
	// The own principal. Left out: kink/ and the host's name.
	Principal string `toml:"principal" computed:"kink/HOSTNAME" example:"\"kink/gw.example.org@EXAMPLE.ORG\""`
	// Realm of principals without one. Left out: that of krb5-conf.
	Realm string `toml:"realm" example:"\"EXAMPLE.ORG\""`
	// File with the own keys. It is read again when it has changed; it may come later.
	Keytab string `toml:"keytab" default:"/etc/krb5.keytab" path:"secret"`
	// File with tickets, for a host without keytab that others keep logged in.
	CCache string `toml:"ccache" path:"secret" example:"\"/var/run/racoon/krb5cc\""`
	// Configuration of Kerberos: realms and their KDCs. Empty: it is not looked at.
	Krb5Conf string `toml:"krb5-conf" default:"/etc/krb5.conf" path:"file"`
	// KDCs by realm, beside those of krb5-conf: host, host:port, or one of them after udp/ or tcp/.
	KDCs map[string][]string `toml:"kdcs" name:"\"EXAMPLE.ORG\"" example:"[\"kdc.example.org\"]"`
	// Ask the DNS for the KDCs of other realms.
	DNS bool `toml:"dns" default:"false"`
	// Encryption types of tickets, the preferred one first. des3-sha1 is weak and has to be named.
	EncTypes []string `toml:"enctypes" default:"aes256-sha384,aes128-sha256,aes256-sha1,aes128-sha1" enum:"aes256-sha384|aes128-sha256|aes256-sha1|aes128-sha1|des3-sha1"`
	// Lifetime of tickets to ask for. 0s: that of krb5-conf, else 10 hours.
	Lifetime Duration `toml:"lifetime" default:"0s" min:"0s"`
	// How long the KDCs of a realm may take to answer.
	Timeout Duration `toml:"timeout" default:"10s" min:"100ms" max:"5m"`
	// Difference of clocks that is tolerated.
	ClockSkew Duration `toml:"clock-skew" default:"5m" min:"1s" max:"1h"`
}

// PeerKink is who a peer is for KINK.
type PeerKink struct {
	// Principal of the peer; for one that only calls, one * stands for a part of the name. Left out: kink/ and remote.
	Principal string `toml:"principal" computed:"kink/REMOTE" example:"\"kink/branch.example.org@EXAMPLE.ORG\""`
	// What to make of an offered lifetime that is not ours: as in [peer.NAME.ikev1].
	ProposalCheck string `toml:"proposal-check" default:"claim" enum:"claim|obey|strict|exact"`
	// Admit the peer only from an address that the host in its principal has.
	NamedAddress bool `toml:"named-address" default:"false"`
	// When called, add to the keying material. It costs a third message.
	ContributeNonce bool `toml:"contribute-nonce" default:"false"`
	// User-to-user authentication, for hosts without a keytab. never: both have one; accept: give the own ticket-granting ticket to a peer that asks; request: ask the peer for its one first.
	UserToUser string `toml:"user-to-user" default:"never" enum:"never|accept|request"`
	// What the end of a ticket means. bounds: Child SAs made with it end with it at the latest; ignored: nothing.
	Tickets string `toml:"tickets" default:"bounds" enum:"bounds|ignored"`
	// The peer is racoon2's kinkd, whose pseudo-random function with AES is not that of the RFC.
	Racoon2 bool `toml:"racoon2" default:"false"`
}
