package conf

import (
	"io/fs"
	"runtime"
	"strconv"
)

// Daemon is the process.
type Daemon struct {
	// UDP sockets for IKE: addresses with or without a port, which is 500 if there is none. No address means all of them, IPv4 and IPv6. Port 4500 has the non-ESP marker and shares its port with ESP in UDP, as all of listen-natt do.
	Listen []string `toml:"listen" default:":500"`
	// UDP sockets for IKE and ESP in UDP (RFC 3948), with port 4500 if there is none. Left out: the addresses of listen. An empty list: none.
	ListenNATT []string `toml:"listen-natt" computed:"[\":4500\"], or the addresses of listen"`
	// What to log: debug, info, warn or error and what is worse.
	LogLevel string `toml:"log-level" default:"info" enum:"debug|info|warn|error"`
	// The form of the log: text, or one JSON object a line.
	LogFormat string `toml:"log-format" default:"text" enum:"text|json"`
	// Where to log to. Left out: standard error.
	LogFile string `toml:"log-file" path:"file" example:"\"/var/log/racoon.log\""`
	// A file to hold the process ID. Left out: none.
	PIDFile string `toml:"pid-file" path:"file" example:"\"/var/run/racoon.pid\""`
	// The account to run as once sockets and the data plane are open. Left out: whoever started the daemon.
	User string `toml:"user" example:"\"racoon\""`
	// The group to run as. Left out: that of user.
	Group string `toml:"group" example:"\"racoon\""`
	// A directory to confine the process to, once all files are open. Left out: none.
	Chroot string `toml:"chroot" path:"file" example:"\"/var/empty\""`
	// How many goroutines run the protocol. 0 is one for each processor.
	Workers int `toml:"workers" default:"0" min:"0" max:"64"`
	// How many events may wait for one subscriber (racoonctl, hooks) before further ones are lost.
	EventBuffer int `toml:"event-buffer" default:"1024" min:"1" max:"1048576"`
	// Vendor IDs to send in the first message of each handshake: text, or 0x and hexadecimal digits.
	VendorIDs []string `toml:"vendor-ids" example:"[\"example gateway\"]"`
	// How long to wait at the end for peers to answer Deletes.
	ShutdownTimeout Duration `toml:"shutdown-timeout" default:"5s" min:"0s"`
	// Bounds of what peers can make the daemon hold.
	Limits Limits `toml:"limits"`
}

// Limits bound what peers can make the daemon hold.
type Limits struct {
	// Half-open sessions of callers who have proved nothing before new ones are dropped.
	HalfOpen int `toml:"half-open" default:"10000" min:"1"`
	// Half-open sessions from which on callers must show that they receive at their address (COOKIE, RFC 7296 2.6). 0: always.
	CookieThreshold int `toml:"cookie-threshold" default:"500" min:"0"`
	// Half-open sessions for each remote address.
	HalfOpenPerIP int `toml:"half-open-per-ip" default:"50" min:"1"`
	// Sessions. 0: any number.
	Sessions int `toml:"sessions" default:"0" min:"0"`
	// Child SAs for each session.
	Children int `toml:"children" default:"64" min:"1"`
	// Tasks that may wait for each session.
	Queue int `toml:"queue" default:"64" min:"1"`
	// Events that may wait inside.
	Events int `toml:"events" default:"65536" min:"16"`
}

// DataPlane says what enforces policies and transforms packets.
type DataPlane struct {
	// auto: xfrm on Linux, pfkey on systems with PF_KEY. userspace: ESP in this process, behind a TUN device. none: keys are negotiated and not used, for tests.
	Kind string `toml:"kind" default:"auto" enum:"auto|xfrm|pfkey|userspace|none"`
	// What to do at the start with SAs and policies that are in the kernel. adopt: take over what this configuration would install, remove what a predecessor has left. flush: remove all, those of others too. keep: touch none.
	AtStart string `toml:"at-start" default:"adopt" enum:"adopt|flush|keep"`
	// How many events of the data plane may wait.
	Events int `toml:"events" default:"1024" min:"16" max:"1048576"`
	// Keep the packets that wait for an SA and send them then, instead of dropping them. On Linux that is a setting of the whole network namespace; other kernels drop them.
	HoldPackets bool `toml:"hold-packets" default:"true"`
	// How long an unanswered request of the data plane for an SA stands before it asks again. 0s: the data plane's own, as always with kernels other than Linux.
	AcquireTimeout Duration `toml:"acquire-timeout" default:"0s" min:"0s" max:"1h"`

	// Linux XFRM: what all Child SAs have unless they say otherwise.
	XFRM XFRM `toml:"xfrm"`
	// PF_KEYv2 of the BSDs, macOS, and Linux.
	PFKey PFKey `toml:"pfkey"`
	// ESP in this process, behind a TUN device.
	Userspace Userspace `toml:"userspace"`
}

// XFRM is the kernel's IPsec on Linux.
type XFRM struct {
	// An [interface.NAME] that all Child SAs belong to which name none.
	Interface string `toml:"interface" example:"\"ipsec0\""`
	// Marks, as value or value/mask, that packets must have to be matched by policies and SAs: on their way in,
	MarkIn Mark `toml:"mark-in" example:"\"0x1/0xff\""`
	// and on their way out.
	MarkOut Mark `toml:"mark-out" example:"\"0x1/0xff\""`
	// Mark that encapsulated packets get, so that routing rules can tell them from others.
	OutputMark Mark `toml:"output-mark" example:"\"0x2\""`
	// Network device to which encryption is offloaded.
	Offload string `toml:"offload" example:"\"eth0\""`
	// The SPIs to choose from, first and last.
	FirstSPI uint32 `toml:"first-spi" default:"0xc0000000" min:"256"`
	LastSPI  uint32 `toml:"last-spi" default:"0xcfffffff" min:"256"`
}

// PFKey is the kernel's IPsec over PF_KEYv2.
type PFKey struct {
	// Whose numbers and layouts the kernel has. Left out: those of the system that the daemon was built for.
	Dialect string `toml:"dialect" enum:"linux|freebsd|netbsd|macos|openbsd"`
}

// Userspace is ESP in this process.
type Userspace struct {
	// Name of the TUN device. On systems that name it themselves it is a wish.
	TUN string `toml:"tun" default:"ipsec0"`
	// MTU of the TUN device, in octets. 0: what is left of path-mtu.
	MTU int `toml:"mtu" default:"0" min:"0" max:"65535"`
	// Largest packet of the outer network, in octets.
	PathMTU int `toml:"path-mtu" default:"1500" min:"576" max:"65535"`
	// Addresses of the TUN device, with prefix lengths.
	Addresses []string `toml:"addresses" example:"[\"10.1.0.1/16\"]"`
	// Add routes to the device for what is behind the peers.
	Routes bool `toml:"routes" default:"true"`
	// Send and take ESP as IP protocol 50 too (Linux). Without, ESP is always in UDP.
	RawESP bool `toml:"raw-esp" default:"false"`
	// Mark of outer packets (Linux), so that routing rules can lead them past the device.
	Mark uint32 `toml:"mark" default:"0"`
}

// Interface is a network interface for route-based operation.
type Interface struct {
	Name string `toml:"-"`
	// xfrm: an XFRM interface (Linux 4.19). vti, vti6: the older kind, between two addresses.
	Kind string `toml:"kind" default:"xfrm" enum:"xfrm|vti|vti6"`
	// Number that ties SAs and policies to the interface (if_id); no two interfaces have the same.
	InterfaceID uint32 `toml:"interface-id" example:"1"`
	// Routes say the number for each packet instead (Linux 6.1).
	External bool `toml:"external" default:"false"`
	// The device below. Left out: the route to the peer decides.
	Device string `toml:"device" example:"\"eth0\""`
	// MTU in octets. 0: the kernel's default.
	MTU int `toml:"mtu" default:"0" min:"0" max:"65535"`
	// Addresses of the interface, with prefix lengths.
	Addresses []string `toml:"addresses" example:"[\"10.255.0.1/30\"]"`
	// Networks to route to the interface.
	Routes []string `toml:"routes" example:"[\"10.2.0.0/16\"]"`
	// vti: the outer addresses of the tunnel.
	Local  string `toml:"local" example:"\"192.0.2.1\""`
	Remote string `toml:"remote" example:"\"192.0.2.2\""`
	// vti: marks of inbound and outbound policies.
	InKey  uint32 `toml:"in-key" example:"1"`
	OutKey uint32 `toml:"out-key" example:"1"`
}

// Control is the socket of racoonctl.
type Control struct {
	// Unix socket. Empty: none.
	Socket string `toml:"socket" default:"/var/run/racoon/control.sock" path:"file"`
	// Account that owns it. Left out: whoever runs the daemon.
	Owner string `toml:"owner" example:"\"root\""`
	// Its group.
	Group string `toml:"group" example:"\"wheel\""`
	// Its permissions, octal. Whoever may write to it commands the daemon.
	Mode string `toml:"mode" default:"0600"`
}

// Scripts are the programs to run, by event.
type Scripts struct {
	// A session has come up (racoon: phase1_up).
	SessionUp string `toml:"session-up" path:"file" example:"\"hooks/session-up\""`
	// A session is over, in order (phase1_down).
	SessionDown string `toml:"session-down" path:"file" example:"\"hooks/session-down\""`
	// A session is over since the peer no longer answers (phase1_dead).
	SessionDead string `toml:"session-dead" path:"file" example:"\"hooks/session-dead\""`
	// A session has new keys (racoon2: ike_sa_rekey).
	SessionRekey string `toml:"session-rekey" path:"file" example:"\"hooks/session-rekey\""`
	// A Child SA has come up (phase2_up, child_up).
	ChildUp string `toml:"child-up" path:"file" example:"\"hooks/child-up\""`
	// A Child SA is over (phase2_down, child_down).
	ChildDown string `toml:"child-down" path:"file" example:"\"hooks/child-down\""`
	// A Child SA has new keys (phase2_rekey, child_rekey).
	ChildRekey string `toml:"child-rekey" path:"file" example:"\"hooks/child-rekey\""`
	// The peer has another address (migration).
	Migration string `toml:"migration" path:"file" example:"\"hooks/migration\""`
}

// Hooks are programs to run when something has happened.
type Hooks struct {
	Scripts
	// What event names and environment variables look like: native, or as scripts for racoon or racoon2 expect them.
	Environment string `toml:"environment" default:"native" enum:"native|racoon|racoon2"`
	// How long a program may run before it is killed.
	Timeout Duration `toml:"timeout" default:"30s" min:"100ms" max:"1h"`
	// How many may run at one time. Those of one session run one after the other.
	Parallel int `toml:"parallel" default:"8" min:"1" max:"1024"`
	// How many may wait before further events are dropped.
	Queue int `toml:"queue" default:"1024" min:"1" max:"1048576"`
}

// Of returns the script of an event by its name, such as "session-up"; "" if
// there is none.
func (s Scripts) Of(event string) string {
	switch event {
	case "session-up":
		return s.SessionUp
	case "session-down":
		return s.SessionDown
	case "session-dead":
		return s.SessionDead
	case "session-rekey":
		return s.SessionRekey
	case "child-up":
		return s.ChildUp
	case "child-down":
		return s.ChildDown
	case "child-rekey":
		return s.ChildRekey
	case "migration":
		return s.Migration
	}
	return ""
}

// FileMode returns the permissions of the socket.
func (c *Control) FileMode() fs.FileMode { return fileMode(c.Mode) }

// FileMode returns the permissions of the socket.
func (s *Spmd) FileMode() fs.FileMode { return fileMode(s.Mode) }

func fileMode(octal string) fs.FileMode {
	m, _ := strconv.ParseUint(octal, 8, 32) // checked
	return fs.FileMode(m)
}

// EffectiveKind is Kind with what "auto" is on this system.
func (d *DataPlane) EffectiveKind() string {
	switch {
	case d.Kind != "auto":
		return d.Kind
	case runtime.GOOS == "linux":
		return "xfrm"
	}
	return "pfkey"
}

// over returns s with what is missing taken from general.
func (s Scripts) over(general Scripts) Scripts {
	for _, f := range []struct{ own, other *string }{
		{&s.SessionUp, &general.SessionUp}, {&s.SessionDown, &general.SessionDown},
		{&s.SessionDead, &general.SessionDead}, {&s.SessionRekey, &general.SessionRekey},
		{&s.ChildUp, &general.ChildUp}, {&s.ChildDown, &general.ChildDown},
		{&s.ChildRekey, &general.ChildRekey}, {&s.Migration, &general.Migration},
	} {
		if *f.own == "" {
			*f.own = *f.other
		}
	}
	return s
}

// Capture is files of decrypted messages.
type Capture struct {
	// File in pcapng form, made anew at each start. Left out: none.
	File string `toml:"file" path:"file" example:"\"/var/log/racoon.pcapng\""`
	// Folder in which racoonctl capture may have files made, that no other user may write to. Left out: nowhere.
	Directory string `toml:"directory" path:"file" example:"\"/var/log/racoon\""`
	// The peers whose messages are kept. Left out: all, and those of callers who are nobody yet.
	Peers []string `toml:"peers" example:"[\"office\"]"`
	// When the file is that large, no more is written.
	MaxSize Size `toml:"max-size" default:"1GiB" min:"64KiB"`
}
