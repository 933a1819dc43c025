package conf

// Pool is what a gateway gives to its clients.
type Pool struct {
	Name string `toml:"-"`
	// Networks and ranges to lease addresses from, of one family or both.
	Addresses []string `toml:"addresses" example:"[\"10.99.0.0/24\", \"2001:db8:99::10-2001:db8:99::99\"]"`
	// Addresses and networks never to lease.
	Exclude []string `toml:"exclude" example:"[\"10.99.0.1\"]"`
	// Never lease an address that this host has.
	ExcludeOwn bool `toml:"exclude-own" default:"true"`
	// Addresses of their own for identities or users, one of a family at most.
	Static map[string][]string `toml:"static" name:"\"alice@example.org\"" example:"[\"10.99.0.7\"]"`
	// How long an address stays reserved for its identity after its session.
	Keep Duration `toml:"keep" default:"0s" min:"0s"`

	// Name servers.
	DNS []string `toml:"dns" example:"[\"10.1.0.53\"]"`
	// WINS servers.
	WINS []string `toml:"wins" example:"[\"10.1.0.54\"]"`
	// DHCP servers.
	DHCP []string `toml:"dhcp" example:"[\"10.1.0.55\"]"`
	// Networks that are reached through the gateway (Unity: split include).
	Subnets []string `toml:"subnets" example:"[\"10.1.0.0/16\"]"`
	// Names to resolve inside (RFC 8598; Unity: split DNS).
	Domains []string `toml:"domains" example:"[\"corp.example.org\"]"`
	// How long addresses may be used before the client asks again (IKEv1). 0s: as long as the session.
	Expiry Duration `toml:"expiry" default:"0s" min:"0s"`
	// What this gateway says it is (APPLICATION_VERSION).
	Application string `toml:"application" example:"\"example gateway\""`
	// Home networks of mobile nodes (RFC 5026).
	HomePrefix []string `toml:"home-prefix" example:"[\"2001:db8:5::/64\"]"`

	// Unity, IKEv1: text that the client shows.
	Banner string `toml:"banner" example:"\"Authorized use only.\""`
	// Unity: the domain of names without one.
	DefaultDomain string `toml:"default-domain" example:"\"corp.example.org\""`
	// Unity: networks of the client's own that stay outside.
	LocalLANExclude []string `toml:"local-lan-exclude" example:"[\"192.168.0.0/16\"]"`
	// Unity: other gateways.
	BackupServers []string `toml:"backup-servers" example:"[\"gw2.example.org\"]"`
	// Unity: the client may keep the password.
	SavePassword bool `toml:"save-password" default:"false"`
	// Unity: the client is to use perfect forward secrecy.
	PFS bool `toml:"pfs" default:"false"`
	// Unity: port of ESP in UDP as Cisco had it before NAT traversal. It has to be in listen-natt too. 0: none.
	UDPPort int `toml:"udp-port" default:"0" min:"0" max:"65535"`
	// Unity: host name for dynamic DNS.
	DDNSHostname string `toml:"ddns-hostname" example:"\"alice\""`
}

// Users are users who log in.
type Users struct {
	Name string `toml:"-"`
	// File of users and hashes of their passwords, as htpasswd -B makes it; groups and fixed addresses may follow.
	File string `toml:"file" path:"secret" example:"\"users\""`
	// Only members of one of these groups may log in. Left out: all.
	Groups []string `toml:"groups" example:"[\"vpn\"]"`
	// How failed logins slow down what follows.
	Throttle Throttle `toml:"throttle"`
}

// Throttle says how failed logins slow down what follows.
type Throttle struct {
	// Failed logins of one user without consequences.
	UserFree int `toml:"user-free" default:"5" min:"1"`
	// Failed logins from one address without consequences.
	AddressFree int `toml:"address-free" default:"20" min:"1"`
	// How long the next login must wait then; it doubles with each failure
	Delay Duration `toml:"delay" default:"1s" min:"1ms"`
	// up to this.
	MaxDelay Duration `toml:"max-delay" default:"1m" min:"1ms"`
	// How long after the last failure all is as before.
	Forget Duration `toml:"forget" default:"15m" min:"1s"`
	// Users and addresses that are remembered.
	MaxEntries int `toml:"max-entries" default:"65536" min:"16"`
}

// Secrets says where secrets are.
type Secrets struct {
	// File of pre-shared keys for all peers that have none of their own: lines of identity and key, as psk.txt of racoon. Passwords of user-name may be there too.
	PSKFile string `toml:"psk-file" path:"secret" example:"\"psk.txt\""`
	// Directory of key files, as racoon2 had it: a peer without a key of its own has the one in the file of its name, or of its name and ".psk".
	KeyDirectory string `toml:"key-directory" path:"secret" example:"\"psk\""`
	// How files in key-directory are read: see psk-format of a peer.
	KeyFormat string `toml:"key-format" default:"raw" enum:"text|raw"`
	// Read files of secrets that others may read or change.
	InsecurePermissions bool `toml:"insecure-permissions" default:"false"`
}
