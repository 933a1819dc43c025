package control

import (
	"fmt"
	"log/slog"
	"time"
)

// The types of this file are the JSON forms of the interface. Numbers that a
// program may not be able to hold (IDs, 64 bits) and SPIs are strings; times are
// RFC 3339; durations are seconds.

// Status is the daemon as a whole.
type Status struct {
	Daemon    string    `json:"daemon"`
	Version   string    `json:"version"`
	PID       int       `json:"pid"`
	Started   time.Time `json:"started"`
	Serving   bool      `json:"serving"` // sockets are open
	Addresses []string  `json:"addresses"`
	Peers     int       `json:"peers"`
	Sessions  int       `json:"sessions"`
	HalfOpen  int       `json:"half_open"`
	Calls     int       `json:"calls"` // attempts of this side under way
	LogLevel  string    `json:"log_level,omitempty"`
}

// Session is one authenticated relation with a peer.
type Session struct {
	ID        string `json:"id"` // decimal, as in the log
	Peer      string `json:"peer"`
	Version   string `json:"version"` // "IKEv1", "IKEv2"
	State     string `json:"state"`   // of the IKE SA
	Up        bool   `json:"up"`
	Initiator bool   `json:"initiator"`

	Local     string `json:"local"` // address and port
	Remote    string `json:"remote"`
	LocalID   string `json:"local_id"`
	RemoteID  string `json:"remote_id"`
	LocalNAT  bool   `json:"local_nat"`
	RemoteNAT bool   `json:"remote_nat"`

	LocalSPI      string `json:"local_spi"` // cookie in IKEv1; 16 hexadecimal digits
	RemoteSPI     string `json:"remote_spi"`
	Proposal      string `json:"proposal"`
	Fragmentation bool   `json:"fragmentation"`

	User    string         `json:"user,omitempty"`
	Groups  []string       `json:"groups,omitempty"`
	Vendors []string       `json:"vendors,omitempty"`
	Network *NetworkConfig `json:"network,omitempty"`

	Established *time.Time `json:"established,omitempty"`
	LastAlive   *time.Time `json:"last_alive,omitempty"`
	Rekey       *time.Time `json:"rekey,omitempty"`  // soft lifetime
	Expire      *time.Time `json:"expire,omitempty"` // hard lifetime
	Reauth      *time.Time `json:"reauthenticate,omitempty"`

	Stats    *SessionStats `json:"stats,omitempty"` // where asked for
	Children []ChildSA     `json:"children"`
}

// SessionStats are counters, over all Child SAs and rekeys.
type SessionStats struct {
	Rekeys    int      `json:"rekeys"`
	Exchanges uint64   `json:"exchanges"`
	In        Counters `json:"in"`
	Out       Counters `json:"out"`
}

// NetworkConfig is what a gateway tells its client.
type NetworkConfig struct {
	Addresses       []string `json:"addresses,omitempty"`
	DNS             []string `json:"dns,omitempty"`
	NBNS            []string `json:"nbns,omitempty"`
	DHCP            []string `json:"dhcp,omitempty"`
	Subnets         []string `json:"subnets,omitempty"`
	Domains         []string `json:"domains,omitempty"`
	DefaultDomain   string   `json:"default_domain,omitempty"`
	LocalLANExclude []string `json:"local_lan,omitempty"`
	BackupServers   []string `json:"backup_servers,omitempty"`
	Banner          string   `json:"banner,omitempty"`
	Application     string   `json:"application,omitempty"`
}

// ChildSA is a Child SA (an IPsec SA pair).
type ChildSA struct {
	ID        string     `json:"id"`
	Session   string     `json:"session"`
	Peer      string     `json:"peer"`
	Name      string     `json:"name"`
	State     string     `json:"state,omitempty"`
	Protocol  string     `json:"protocol"` // "esp", "ah"
	Mode      string     `json:"mode"`
	Local     string     `json:"local"` // outer address; with a port if in UDP
	Remote    string     `json:"remote"`
	SPIIn     string     `json:"spi_in"` // 8 hexadecimal digits
	SPIOut    string     `json:"spi_out"`
	ReqID     uint32     `json:"reqid"`
	LocalTS   []string   `json:"local_ts"`
	RemoteTS  []string   `json:"remote_ts"`
	Proposal  string     `json:"proposal"`
	IPComp    bool       `json:"ipcomp"`
	UDPEncap  bool       `json:"udp_encap"`
	Installed *time.Time `json:"installed,omitempty"`
	Rekey     *time.Time `json:"rekey,omitempty"`
	Expire    *time.Time `json:"expire,omitempty"`
	In        *Counters  `json:"in,omitempty"` // where asked for
	Out       *Counters  `json:"out,omitempty"`
}

// Counters are those of one direction.
type Counters struct {
	Bytes         uint64     `json:"bytes"`
	Packets       uint64     `json:"packets"`
	LastUsed      *time.Time `json:"last_used,omitempty"`
	ReplayDrops   uint64     `json:"replay_drops"`
	AuthDrops     uint64     `json:"auth_drops"`
	SelectorDrops uint64     `json:"selector_drops"`
	OtherDrops    uint64     `json:"other_drops"`
}

// Policy is an entry of the security policy database.
type Policy struct {
	Direction string `json:"direction"`
	Local     string `json:"local"` // traffic selectors
	Remote    string `json:"remote"`
	Action    string `json:"action"`
	Priority  uint32 `json:"priority"`
	ReqID     uint32 `json:"reqid,omitempty"`
	Protocol  string `json:"protocol,omitempty"`
	Mode      string `json:"mode,omitempty"`
	LocalGW   string `json:"local_address,omitempty"` // of the tunnel
	RemoteGW  string `json:"remote_address,omitempty"`
}

// Peer is a configured peer.
type Peer struct {
	Name        string       `json:"name"`
	Remote      string       `json:"remote,omitempty"` // to call
	RemoteAddrs []string     `json:"remote_addresses,omitempty"`
	Versions    []string     `json:"versions"`
	Children    []PeersChild `json:"children"`
	UserPrompt  bool         `json:"user_prompt"`
	Wanted      bool         `json:"wanted"`
	Calling     bool         `json:"calling"`
	Failures    int          `json:"failures"`
	Next        *time.Time   `json:"next,omitempty"`
}

// PeersChild is a configured Child SA. "dynamic" among the selectors is the
// side's own address.
type PeersChild struct {
	Name     string   `json:"name"`
	Protocol string   `json:"protocol"`
	Mode     string   `json:"mode"`
	Start    string   `json:"start"`
	Local    []string `json:"local"`
	Remote   []string `json:"remote"`
}

// Due is something that the daemon will do.
type Due struct {
	At      time.Time `json:"at"`
	What    string    `json:"what"` // "rekey", "expire", "reauthenticate", "liveness", "call", ...
	Peer    string    `json:"peer"`
	Session string    `json:"session,omitempty"`
	Child   string    `json:"child,omitempty"` // ID
	Name    string    `json:"name,omitempty"`  // of the Child SA
}

// Select says which sessions or Child SAs are meant: those that fit in all that
// is said. Child, Protocol, Source and Destination choose Child SAs, and so
// does an SPI of one.
type Select struct {
	Session string `json:"session,omitempty"` // ID
	Peer    string `json:"peer,omitempty"`    // name
	Remote  string `json:"remote,omitempty"`  // outer address, a port may follow
	Local   string `json:"local,omitempty"`
	User    string `json:"user,omitempty"`
	SPI     string `json:"spi,omitempty"` // hexadecimal: either side's

	Child       string `json:"child,omitempty"`       // ID or name
	Protocol    string `json:"protocol,omitempty"`    // "esp", "ah"
	Source      string `json:"source,omitempty"`      // traffic of this side
	Destination string `json:"destination,omitempty"` // and of the peer's
}

// Done is what came of an order for several sessions or Child SAs.
type Done struct {
	Sessions int      `json:"sessions"`
	Children int      `json:"children"`
	Pending  int      `json:"pending"`         // of them ordered, but the peer has not answered yet
	Calls    int      `json:"calls,omitempty"` // attempts that were ordered through the control socket and have been given up
	Errors   []string `json:"errors,omitempty"`
}

// FlushRequest says what is deleted: "isakmp" all sessions, "esp", "ah" or
// "ipsec" the Child SAs of that protocol or all of them.
type FlushRequest struct {
	What string `json:"what"`
}

// EstablishRequest names what is to come up: a peer by Peer or by Remote and, if
// it is not to be all of its Child SAs, one by Child or by the traffic.
type EstablishRequest struct {
	Peer   string `json:"peer,omitempty"`
	Remote string `json:"remote,omitempty"` // address
	Local  string `json:"local,omitempty"`

	Child       string `json:"child,omitempty"` // name
	Protocol    string `json:"protocol,omitempty"`
	Source      string `json:"source,omitempty"`
	Destination string `json:"destination,omitempty"`

	// User and Password answer the gateway when it asks for the user (XAuth).
	// The daemon keeps them in memory while the session is up, because the
	// gateway may ask again.
	User     string   `json:"user,omitempty"`
	Password Password `json:"password,omitempty"`

	// Wait: answer when it is up or has failed, else at once.
	Wait bool `json:"wait"`
}

// Password is a user's password; base64 in JSON, and nothing where it would be
// printed.
type Password []byte

// Format implements [fmt.Formatter] for every verb.
func (p Password) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "[%d secret octets]", len(p)) }

// LogValue implements [slog.LogValuer].
func (p Password) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(p)) }

// Established is the answer to an EstablishRequest. Session is nil without Wait.
// Warning says what of it did not come up.
type Established struct {
	Peer    string   `json:"peer"`
	Session *Session `json:"session,omitempty"`
	Warning string   `json:"warning,omitempty"`
}

// RekeyRequest says what gets new keys: the IKE SAs of the sessions, or the
// Child SAs, that Select chooses. Reauthenticate begins a new authentication of
// the sessions instead, and does not wait for it.
type RekeyRequest struct {
	Select
	Reauthenticate bool `json:"reauthenticate,omitempty"`
}

// LogoutRequest ends the sessions of a user.
type LogoutRequest struct {
	User string `json:"user"`
}

// Certificate is what a peer has proved its identity with, leaf first.
type Certificate struct {
	Session  string   `json:"session"`
	Peer     string   `json:"peer"`
	RemoteID string   `json:"remote_id"`
	Chain    [][]byte `json:"chain"` // DER, base64 in JSON
}

// Reloaded is what a reload has changed.
type Reloaded struct {
	Changes []Change `json:"changes"`
}

// Change is one difference between the configuration before and after.
type Change struct {
	Peer     string `json:"peer,omitempty"`
	Child    string `json:"child,omitempty"`
	Field    string `json:"field,omitempty"`
	Effect   string `json:"effect"`
	Sessions int    `json:"sessions"`
}

// Stats are the daemon's counters.
type Stats struct {
	Sessions    int       `json:"sessions"` // established now
	HalfOpen    int       `json:"half_open"`
	Calls       int       `json:"calls"` // attempts of this side under way
	JobsQueued  int       `json:"jobs_queued"`
	Received    uint64    `json:"received"` // datagrams
	Sent        uint64    `json:"sent"`
	SendErrors  uint64    `json:"send_errors"`
	ReadErrors  uint64    `json:"read_errors"`
	Keepalives  uint64    `json:"keepalives"`
	ESP         uint64    `json:"esp"`
	Malformed   uint64    `json:"malformed"`
	QueueFull   uint64    `json:"queue_full"`
	EventsLost  uint64    `json:"events_lost"`
	Jobs        uint64    `json:"jobs"`
	IKEReceived uint64    `json:"ike_received"`
	IKE         CoreStats `json:"ike"`
}

// CoreStats are the counters of the protocols.
type CoreStats struct {
	Sessions int `json:"sessions"`
	HalfOpen int `json:"half_open"`
	Children int `json:"children"`
	Timers   int `json:"timers"`
	Jobs     int `json:"jobs"`

	Received      uint64 `json:"received"`
	Sent          uint64 `json:"sent"`
	Retransmitted uint64 `json:"retransmitted"`
	Repeated      uint64 `json:"repeated"`
	Malformed     uint64 `json:"malformed"`
	UnknownSPI    uint64 `json:"unknown_spi"`
	BadIntegrity  uint64 `json:"bad_integrity"`
	Unprotected   uint64 `json:"unprotected"`
	Unexpected    uint64 `json:"unexpected"`
	Limited       uint64 `json:"limited"`
	CookiesSent   uint64 `json:"cookies_sent"`
	CookiesBad    uint64 `json:"cookies_bad"`
	Established   uint64 `json:"established"`
	Failed        uint64 `json:"failed"`
	LostEvents    uint64 `json:"lost_events"`
}

// LogLevel is the least level that is logged: "error", "warn", "info", "debug",
// or one of these and an offset, as slog has it.
type LogLevel struct {
	Level string `json:"level"`
}

// Capture is the file that decrypted messages are written to.
type Capture struct {
	File   string   `json:"file,omitempty"` // left out: none
	Peers  []string `json:"peers,omitempty"`
	Octets uint64   `json:"octets"`
	Most   uint64   `json:"most,omitempty"` // octets at which it ends
	Lost   uint64   `json:"lost,omitempty"` // messages that the disk was too slow for
	Error  string   `json:"error,omitempty"`
}

// CaptureRequest begins one.
type CaptureRequest struct {
	Name  string   `json:"name"`            // of a file in the daemon's folder
	Peers []string `json:"peers,omitempty"` // left out: all
}

// An Error is the daemon's refusal.
type Error struct {
	Status  int    `json:"-"`     // of HTTP
	Code    string `json:"code"`  // one of the codes below
	Message string `json:"error"` // what is wrong, in words
}

func (e *Error) Error() string { return e.Message }

// Codes of errors.
const (
	CodeBadRequest  = "bad-request" // 400: what was sent makes no sense
	CodeNotFound    = "not-found"   // 404: no such peer, session, Child SA
	CodeConflict    = "conflict"    // 409: something else stands against it
	CodeFailed      = "failed"      // 422: it was tried and did not work
	CodeUnsupported = "unsupported" // 501: this daemon does not have it
	CodeBusy        = "busy"        // 503: too many requests or connections
	CodeTimeout     = "timeout"     // 504: it takes longer than the daemon waits
)
