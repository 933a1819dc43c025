package load

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2"
	"github.com/racoon3/racoon/spd"
)

// Bounds of a run.
const (
	MaxHandshakes  = 10_000_000
	MaxConcurrency = 100_000
	MaxWorkers     = 256
	MaxTime        = 24 * time.Hour
)

// A FieldError says which setting is wrong, and what to do about it. Field is
// the name of a field of [Config], [Identity] or [FloodConfig].
type FieldError struct {
	Field string
	Err   error
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }

// Unwrap returns the reason.
func (e *FieldError) Unwrap() error { return e.Err }

func fieldError(field, format string, args ...any) error {
	return &FieldError{Field: field, Err: fmt.Errorf(format, args...)}
}

// Identity says how both sides prove who they are, and what is negotiated. It
// serves generator and responder.
type Identity struct {
	// PSK, or Credential and Trust.
	PSK        ike.Secret
	Credential *ike.Credential
	Trust      *ike.Trust

	// LocalID is the own identity. In a generator, "%d" in it stands for the
	// number of the handshake, so that each session is somebody else's. Empty:
	// the certificate's first name.
	LocalID string
	// RemoteID is who the other side must be; empty for anybody who proves an
	// identity.
	RemoteID string

	// Proposals and ESP are in the form of spd.ParseProposal; empty for the
	// defaults.
	Proposals []string
	ESP       []string

	// LocalTS and RemoteTS are traffic selectors; empty for the outer address.
	LocalTS, RemoteTS []string

	// IKEv1 is the version instead of IKEv2; with Aggressive its phase 1 is
	// Aggressive Mode, else Main Mode.
	IKEv1, Aggressive bool

	// Childless makes IKE SAs without a Child SA (RFC 6023): key management
	// without any data plane. A responder with it admits both.
	Childless bool
}

// peer makes the configuration that all handshakes share.
func (id *Identity) peer(caps spd.Capabilities) (*ikev2.Peer, error) {
	p := &ikev2.Peer{Name: "load", Unique: ike.UniqueNever}
	switch {
	case id.PSK != nil && (id.Credential != nil || id.Trust != nil):
		return nil, fieldError("PSK", "is set beside a certificate or trust; choose one of them")
	case id.PSK != nil:
		c := &ike.Credential{PSK: id.PSK}
		if err := c.Validate(); err != nil {
			return nil, fieldError("PSK", "%w", err)
		}
		p.Local.Method, p.Local.Credential = ikev2.AuthPSK, c.Source()
		p.Remote.Methods, p.Remote.Credential = []ikev2.AuthMethod{ikev2.AuthPSK}, c.Source()
	case id.Credential == nil:
		return nil, fieldError("PSK", "is empty, and so is Credential; one of them is needed")
	case id.Trust == nil:
		return nil, fieldError("Trust", "is nil; say which authority vouches for the peer's certificate")
	default:
		if err := id.Credential.Validate(); err != nil {
			return nil, fieldError("Credential", "%w", err)
		}
		p.Local.Method, p.Local.Credential = ikev2.AuthSignature, id.Credential.Source()
		p.Remote.Methods, p.Remote.Trust = []ikev2.AuthMethod{ikev2.AuthSignature}, id.Trust
		if ids := id.Credential.Identities(); len(ids) > 0 {
			p.Local.ID = ids[0]
		}
	}
	if id.LocalID != "" {
		local, err := ike.ParseIdentity(numbered(id.LocalID, 0))
		if err != nil {
			return nil, fieldError("LocalID", "%w", err)
		}
		p.Local.ID = local
	}
	if id.RemoteID != "" {
		remote, err := ike.ParseIdentityPattern(id.RemoteID)
		if err != nil {
			return nil, fieldError("RemoteID", "%w", err)
		}
		p.Remote.ID = remote
	}
	switch {
	case id.Aggressive && !id.IKEv1:
		return nil, fieldError("Aggressive", "is an exchange of IKEv1; set IKEv1 too")
	case id.Childless && id.IKEv1:
		return nil, fieldError("Childless", "contradicts IKEv1, where a Child SA is never part of the handshake; leave it out")
	}
	p.Proposals = spd.DefaultIKEProposals()
	if len(id.Proposals) > 0 {
		var err error
		if p.Proposals, err = parseProposals(spd.ProtoIKE, id.Proposals); err != nil {
			return nil, fieldError("Proposals", "%w", err)
		}
	}
	child := &ike.ChildConfig{Name: "load", Proposals: spd.DefaultESPProposals(caps), Rekey: -1, NoPolicies: true}
	if len(id.ESP) > 0 {
		var err error
		if child.Proposals, err = parseProposals(spd.ProtoESP, id.ESP); err != nil {
			return nil, fieldError("ESP", "%w", err)
		}
	}
	for _, side := range []struct {
		field   string
		from    []string
		to      *[]spd.TrafficSelector
		dynamic *bool
	}{{"LocalTS", id.LocalTS, &child.Local, &child.LocalDynamic}, {"RemoteTS", id.RemoteTS, &child.Remote, &child.RemoteDynamic}} {
		*side.dynamic = len(side.from) == 0
		for _, s := range side.from {
			ts, err := spd.ParseTrafficSelector(s)
			if err != nil {
				return nil, fieldError(side.field, "%w", err)
			}
			*side.to = append(*side.to, ts)
		}
	}
	if l, r := child.Local, child.Remote; len(l) > 0 && len(r) > 0 && !sameFamily(l, r) {
		return nil, fieldError("LocalTS", "%v and RemoteTS %v have no address family in common", l, r)
	}
	p.Children, p.Childless = []*ike.ChildConfig{child}, id.Childless
	return p, nil
}

func sameFamily(l, r []spd.TrafficSelector) bool {
	return slices.ContainsFunc(l, func(a spd.TrafficSelector) bool {
		return slices.ContainsFunc(r, func(b spd.TrafficSelector) bool { return a.Is4() == b.Is4() })
	})
}

func parseProposals(proto spd.Protocol, list []string) (all []spd.Proposal, err error) {
	for _, s := range list {
		ps, err := spd.ParseProposals(proto, s)
		if err != nil {
			return nil, err
		}
		all = append(all, ps...)
	}
	return all, nil
}

// Config is what [Run] does.
type Config struct {
	Identity

	// Target is the responder.
	Target netip.AddrPort
	// Marker puts the non-ESP marker before each message, as NAT-T sockets
	// want it (RFC 3948 2.2); it is assumed for port 4500.
	Marker bool
	// Sources are the addresses to come from, one for each worker, beginning
	// with the first; zero: what the routing table says.
	Sources netip.Prefix
	// LocalNet gives each handshake its own traffic selector, the n-th address
	// of the prefix, instead of LocalTS, as if each were another client.
	LocalNet netip.Prefix

	Handshakes  int     // how many; 1 to MaxHandshakes
	Rate        float64 // handshakes begun per second, 0 for as fast as Concurrency allows
	Concurrency int     // handshakes under way at a time; 0 means 16
	Workers     int     // endpoints, each with a goroutine and a socket; 0 means 1

	// IKERekeys and ChildRekeys are how often each session renews its IKE SA
	// and its Child SA when it is up, one after the other.
	IKERekeys, ChildRekeys int

	Time    time.Duration // no handshake begins later than this; 0 means a minute
	Timeout time.Duration // of one exchange, with its retransmissions; 0 means 10 s
	Hold    time.Duration // how long the sessions are kept when all are up

	// Churn deletes each session as soon as it is up and rekeyed. Without, all
	// are deleted at the end; with Leave, none: the responder keeps them.
	Churn, Leave bool
}

func (c *Config) fill() error {
	if c.Concurrency == 0 {
		c.Concurrency = 16
	}
	if c.Workers == 0 {
		c.Workers = 1
	}
	if c.Time == 0 {
		c.Time = time.Minute
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Target.Port() == 4500 {
		c.Marker = true
	}
	switch {
	case !c.Target.IsValid() || c.Target.Port() == 0 || c.Target.Addr().IsUnspecified():
		return fieldError("Target", "%v is not an address and a port; use one such as 192.0.2.1:500", c.Target)
	case c.Handshakes < 1 || c.Handshakes > MaxHandshakes:
		return fieldError("Handshakes", "%d is out of range; use 1 to %d", c.Handshakes, MaxHandshakes)
	case !(c.Rate >= 0 && c.Rate <= 1e6):
		return fieldError("Rate", "%v is out of range; use up to 1000000 a second, or 0 for no limit", c.Rate)
	case c.Concurrency < 1 || c.Concurrency > MaxConcurrency:
		return fieldError("Concurrency", "%d is out of range; use 1 to %d", c.Concurrency, MaxConcurrency)
	case c.Workers < 1 || c.Workers > MaxWorkers:
		return fieldError("Workers", "%d is out of range; use 1 to %d", c.Workers, MaxWorkers)
	case c.IKERekeys < 0 || c.IKERekeys > 1000:
		return fieldError("IKERekeys", "%d is out of range; use 0 to 1000", c.IKERekeys)
	case c.ChildRekeys < 0 || c.ChildRekeys > 1000:
		return fieldError("ChildRekeys", "%d is out of range; use 0 to 1000", c.ChildRekeys)
	case c.Time < 0 || c.Time > MaxTime:
		return fieldError("Time", "%v is out of range; use up to %v", c.Time, MaxTime)
	case c.Timeout < 100*time.Millisecond || c.Timeout > 10*time.Minute:
		return fieldError("Timeout", "%v is out of range; use 100ms to 10m", c.Timeout)
	case c.Hold < 0 || c.Hold > MaxTime:
		return fieldError("Hold", "%v is out of range; use up to %v", c.Hold, MaxTime)
	case c.Childless && c.ChildRekeys > 0:
		return fieldError("ChildRekeys", "contradicts Childless; use one of them")
	case c.Churn && c.Leave:
		return fieldError("Leave", "contradicts Churn; use one of them")
	case c.Churn && c.Hold > 0:
		return fieldError("Hold", "contradicts Churn, which keeps no session; use one of them")
	case c.Sources.IsValid() && c.Sources.Addr().Is4() != c.Target.Addr().Unmap().Is4():
		return fieldError("Sources", "%v is not of the address family of the target %v", c.Sources, c.Target)
	}
	if c.LocalNet.IsValid() {
		if len(c.LocalTS) > 0 {
			return fieldError("LocalNet", "contradicts LocalTS; use one of them")
		}
		if bits := c.LocalNet.Addr().BitLen() - c.LocalNet.Bits(); bits < 31 && c.Handshakes > 1<<bits {
			return fieldError("LocalNet", "%v has %d addresses for %d handshakes; use a shorter prefix", c.LocalNet, 1<<bits, c.Handshakes)
		}
	}
	c.Workers = min(c.Workers, c.Handshakes)
	c.Concurrency = max(c.Concurrency, c.Workers)
	return checkSources(c.Sources, c.Workers)
}

// checkSources says whether a prefix has n addresses.
func checkSources(p netip.Prefix, n int) error {
	if !p.IsValid() {
		return nil
	}
	if bits := p.Addr().BitLen() - p.Bits(); bits < 31 && n > 1<<bits {
		return fieldError("Sources", "%v has %d addresses, %d are needed; use a shorter prefix or fewer workers", p, 1<<bits, n)
	}
	return nil
}

// retransmission fits the retransmissions of a request into a timeout.
func retransmission(timeout time.Duration) ike.Timing {
	const tries, factor = 3, 1.8
	sum, term := 0.0, 1.0
	for range tries + 1 {
		sum += term
		term *= factor
	}
	return ike.Timing{
		RetransmitBase: time.Duration(float64(timeout) / sum), RetransmitFactor: factor, RetransmitTries: tries, RetransmitMax: timeout,
		Liveness: -1, Rekey: -1, Keepalive: -1,
	}
}
