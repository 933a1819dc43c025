package conf

// Config is a configuration as it is in effect: everything resolved, defaults
// filled in. It must not be changed.
type Config struct {
	// Further files, as names or patterns relative to this file. They belong to the same configuration: a name may be defined in one of them only. A pattern may match nothing.
	Include []string `toml:"include" example:"[\"conf.d/*.toml\"]"`
	// Words of your own: ${NAME} in any string stands for the value. A list stands for its elements where it is an element of a list.
	Macros map[string][]string `toml:"macros" name:"NAME" example:"\"192.0.2.1\""`

	// The process: where it listens, what it logs, what it may use.
	Daemon Daemon `toml:"daemon"`
	// What enforces policies and transforms packets.
	DataPlane DataPlane `toml:"dataplane"`
	// Network interfaces for route-based operation, which the daemon makes and removes. A Child SA names one; what is routed to it is protected. One that a killed daemon has left is taken over, without what is not said here any more, and made anew if it has to be another one. One that somebody else has made is used as it is, and stays, if it is what is said here; if it is another, the daemon does not start.
	Interfaces []*Interface `toml:"interface"`
	// The socket of racoonctl.
	Control Control `toml:"control"`
	// Programs to run when something has happened.
	Hooks Hooks `toml:"hooks"`
	// A file of decrypted messages, for finding faults. Whoever reads it knows everything but the keys of Child SAs.
	Capture Capture `toml:"capture"`
	// Where secrets are that are not named for a single peer.
	Secrets Secrets `toml:"secrets"`

	// What all peers have unless they say otherwise: the keys of [peer.NAME], and under [defaults.child] those of [peer.NAME.child.NAME].
	Defaults Defaults `toml:"defaults"`
	// Like [peer.NAME], to inherit from: a template is never used by itself and need not be complete.
	Templates []*Peer `toml:"template"`
	// A remote, or a group of remotes that are treated alike. A peer needs: remote, if it is to be called; remote-id, unless that is remote; and how both sides prove who they are: psk-file, or certificate and key with ca.
	Peers []*Peer `toml:"peer"`
	// Addresses and network configuration that a gateway gives to its clients.
	Pools []*Pool `toml:"pool"`
	// Users who log in, beside their machine (XAuth of IKEv1).
	Users []*Users `toml:"users"`

	// Entries of the security policy database that stand without a peer being up.
	Policies []*Policy `toml:"policy"`
	// The policy daemon: spmif, names and the DNS forwarder.
	Spmd Spmd `toml:"spmd"`
	// What this host is for KINK, and what holds for all peers with protocol = "kink".
	Kink Kink `toml:"kink"`

	// File is the name of the main file, and Files are all that were read, in order.
	File  string   `toml:"-"`
	Files []string `toml:"-"`
	// Warnings are what an operator should know about a configuration that is
	// valid.
	Warnings Errors `toml:"-"`

	sources sources // where everything is written, for errors that come later
}

// Defaults are what peers and their Child SAs have unless they say otherwise.
type Defaults struct {
	Peer
	// What all Child SAs have unless they say otherwise.
	Child Child `toml:"child"`
}

// Peer returns the peer of that name, or nil.
func (c *Config) Peer(name string) *Peer { return named(c.Peers, name) }

// Pool returns the pool of that name, or nil.
func (c *Config) Pool(name string) *Pool { return named(c.Pools, name) }

// UsersOf returns the users section of that name, or nil.
func (c *Config) UsersOf(name string) *Users { return named(c.Users, name) }

// Interface returns the interface of that name, or nil.
func (c *Config) Interface(name string) *Interface { return named(c.Interfaces, name) }

// Policy returns the policy of that name, or nil.
func (c *Config) Policy(name string) *Policy { return named(c.Policies, name) }

type hasName interface{ name() string }

func named[T hasName](list []T, name string) (none T) {
	for _, v := range list {
		if v.name() == name {
			return v
		}
	}
	return none
}

func (p *Peer) name() string      { return p.Name }
func (p *Child) name() string     { return p.Name }
func (p *Pool) name() string      { return p.Name }
func (u *Users) name() string     { return u.Name }
func (i *Interface) name() string { return i.Name }
func (p *Policy) name() string    { return p.Name }

// HooksOf returns the hooks that hold for a peer: its own, and the general ones
// for events it has none for.
func (c *Config) HooksOf(peer string) Scripts {
	s := c.Hooks.Scripts
	if p := c.Peer(peer); p != nil {
		s = p.Hooks.over(s)
	}
	return s
}
