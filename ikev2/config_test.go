package ikev2

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/spd"
)

// testAssigner leases one address, once at a time.
type testAssigner struct {
	mu       sync.Mutex
	err      error
	config   *ike.NetworkConfig
	requests []ike.AddressRequest
	leased   int
}

func (a *testAssigner) Assign(_ context.Context, r ike.AddressRequest) (*ike.NetworkConfig, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests = append(a.requests, r)
	if a.err != nil {
		return nil, a.err
	}
	a.leased++
	if a.config == nil {
		return &ike.NetworkConfig{Addresses: []netip.Prefix{netip.MustParsePrefix("10.1.0.1/32")}}, nil
	}
	c := *a.config
	return &c, nil
}

func (a *testAssigner) Release(context.Context, ike.AddressRequest, *ike.NetworkConfig) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.leased--
}

func prefixes(s ...string) (p []netip.Prefix) {
	for _, x := range s {
		p = append(p, netip.MustParsePrefix(x))
	}
	return p
}

func addrs(s ...string) (p []netip.Addr) {
	for _, x := range s {
		p = append(p, netip.MustParseAddr(x))
	}
	return p
}

// roadWarrior makes A a client that asks for addresses and B its gateway.
func roadWarrior(assign *testAssigner, r *ike.ConfigRequest) sceneOption {
	return func(a, b *Peer, _, _ *Config) {
		a.Request, b.Assign = r, assign
		a.Children[0].Local, a.Children[0].LocalDynamic = nil, true
		a.Children[0].Remote = selectorSet("0.0.0.0/0", "::/0")
		b.Children[0].Remote, b.Children[0].RemoteDynamic = nil, true
		b.Children[0].Local = selectorSet("0.0.0.0/0", "::/0")
	}
}

// A client gets its addresses and what goes with them (RFC 7296 3.15), the
// Child SA is for just these, and the lease ends with the session.
func TestConfiguration(t *testing.T) {
	want := &ike.NetworkConfig{
		Addresses:  prefixes("10.1.0.1/32", "2001:db8::1/128"),
		DNS:        addrs("10.2.0.53", "2001:db8:2::53"),
		NBNS:       addrs("10.2.0.42"),
		DHCP:       addrs("10.2.0.67"),
		Subnets:    prefixes("10.2.0.0/16", "2001:db8:2::/48"),
		Domains:    []string{"corp.example"},
		HomePrefix: prefixes("2001:db8:3::/64"),

		Application: "a gateway, version 7",
	}
	assign := &testAssigner{config: want}
	s := newScene(t, roadWarrior(assign, &ike.ConfigRequest{IPv4: true, IPv6: true, DNS: true, Domains: true, Want: addrs("10.1.0.1"), Version: "a client\x1b[2J"}))
	s.initiate().flush()
	require.Len(t, assign.requests, 1)
	r := assign.requests[0]
	require.True(t, r.IPv4)
	require.True(t, r.IPv6)
	require.Equal(t, addrs("10.1.0.1"), r.Want)
	require.Equal(t, "a.example", r.RemoteID.Data)
	require.Equal(t, addrA, r.Remote)
	require.Equal(t, "a client?[2J", r.Application, "harmless to terminals")

	got := find[ike.SessionUp](s.A.happened)[0].Info.Config
	require.NotNil(t, got)
	require.Equal(t, want, got)
	require.Equal(t, want.Addresses, find[ike.SessionUp](s.B.happened)[0].Info.Config.Addresses)

	require.Equal(t, selectorSet("10.1.0.1/32", "2001:db8::1/128"), s.A.child().LocalTS)
	require.Equal(t, selectorSet("10.1.0.1/32", "2001:db8::1/128"), s.B.child().RemoteTS)
	s.converged(1)
	s.B.rekeyChild()
	s.pass(10 * time.Second)
	s.A.rekeyIKE()
	s.pass(time.Minute)
	s.converged(1)
	require.Equal(t, selectorSet("10.1.0.1/32", "2001:db8::1/128"), s.A.child().LocalTS)
	require.Equal(t, 1, assign.leased)
	s.A.deleteIKE()
	s.pass(2 * time.Minute)
	s.gone()
	require.Zero(t, assign.leased)
}

// With a netmask the address is a prefix.
func TestConfigurationNetmask(t *testing.T) {
	assign := &testAssigner{config: &ike.NetworkConfig{Addresses: prefixes("10.1.0.1/24")}}
	s := newScene(t, roadWarrior(assign, &ike.ConfigRequest{IPv4: true}))
	s.initiate().flush()
	require.Equal(t, prefixes("10.1.0.1/24"), find[ike.SessionUp](s.A.happened)[0].Info.Config.Addresses)
	require.Equal(t, selectorSet("10.1.0.1/32"), s.A.child().LocalTS)
}

// No address: the IKE SA comes up, the Child SA does not (RFC 7296 3.15.4).
func TestConfigurationExhausted(t *testing.T) {
	full := errors.New("the pool is exhausted")
	s := newScene(t, roadWarrior(&testAssigner{err: full}, &ike.ConfigRequest{IPv4: true}))
	s.initiate().flush()
	require.ErrorIs(t, find[ike.ChildFailed](s.B.happened)[0].Err, full)
	require.ErrorContains(t, find[ike.ChildFailed](s.A.happened)[0].Err, message.NotifyInternalAddressFailure.String())
	s.converged(0)
}

// The lease goes back if the session ends while it is being made, and if the
// authentication of the responder fails afterwards.
func TestConfigurationLeaseReturned(t *testing.T) {
	assign := &testAssigner{}
	s := newScene(t, roadWarrior(assign, &ike.ConfigRequest{IPv4: true})).initiate()
	s.A.sends("init")
	s.B.sends("init:ok")
	s.B.slow[ike.JobAddress] = true
	s.A.sends("auth")
	require.Len(t, s.B.held, 1)
	s.A.out = nil
	s.tick(time.Minute) // the half-open SA expires
	require.Empty(t, s.B.sessions)
	s.B.release()
	s.work()
	require.Zero(t, assign.leased)

	s = newScene(t, roadWarrior(assign, &ike.ConfigRequest{IPv4: true}), func(_, b *Peer, _, _ *Config) {
		b.Local.Credential = ike.SharedKeys()
	}).initiate()
	s.flush()
	s.pass(3 * time.Minute)
	require.Zero(t, assign.leased)
	s.gone()
}

// A gateway without pools gives none; a client that asks gets on without.
func TestConfigurationNotAssigned(t *testing.T) {
	s := newScene(t, func(a, _ *Peer, _, _ *Config) { a.Request = &ike.ConfigRequest{IPv4: true} })
	s.initiate().flush()
	s.converged(1)
	require.Empty(t, find[ike.SessionUp](s.A.happened)[0].Info.Config.Addresses)
}

// A configuration with a mistake is refused with the field's name.
func TestPeerErrors(t *testing.T) {
	for want, change := range map[string]func(p *Peer){
		"Name is empty":        func(p *Peer) { p.Name = "" },
		"Proposals is empty":   func(p *Peer) { p.Proposals = nil },
		"Local.Method":         func(p *Peer) { p.Local.Method = 0 },
		"Local.Credential":     func(p *Peer) { p.Local.Credential = nil },
		"Remote.Methods":       func(p *Peer) { p.Remote.Methods = nil },
		"Remote.Credential":    func(p *Peer) { p.Remote.Credential = nil },
		"Remote.Trust":         func(p *Peer) { p.Remote.Methods = []AuthMethod{AuthSignature} },
		"Proposals[0] is for":  func(p *Peer) { p.Proposals = []spd.Proposal{espProposal("aes128gcm16")} },
		"used twice":           func(p *Peer) { p.Children = append(p.Children, p.Children[0]) },
		"Remote[0]":            func(p *Peer) { p.Children[0].Remote = []spd.TrafficSelector{{}} },
		"Local and Remote":     func(p *Peer) { p.Children[0].Local = nil },
		"Children[0]":          func(p *Peer) { p.Children[0].Proposals = []spd.Proposal{ikeProposal("aes128gcm16-prfsha256-x25519")} },
		"KE(999)":              func(p *Peer) { p.Proposals[0] = p.Proposals[0].WithKE(999) },
		"Timing.RetransmitFac": func(p *Peer) { p.Timing.RetransmitFactor = -2 },
		"Timing.Jitter":        func(p *Peer) { p.Timing.Jitter = 2 },
		"Timing.RetransmitBas": func(p *Peer) { p.Timing.RetransmitBase = -1 },
	} {
		p := pskPeer("b", "a.example", "b.example")
		change(p)
		_, err := NewPeerSet([]*Peer{p})
		require.ErrorContains(t, err, want)
	}
	_, err := NewPeerSet([]*Peer{pskPeer("b", "a.example", "b.example"), pskPeer("b", "a.example", "b.example")})
	require.ErrorContains(t, err, `two peers have the name "b"`)
	_, err = NewEndpoint(Config{})
	require.ErrorContains(t, err, "Rand")
}

// A client that asks which attributes there are is told of all that it may get,
// and of those only.
func TestConfigurationSupportedAttributes(t *testing.T) {
	c := &ike.NetworkConfig{
		Addresses: prefixes("10.1.0.1/24", "2001:db8::1/128"), DNS: addrs("10.2.0.53", "2001:db8:2::53"), NBNS: addrs("10.2.0.42"),
		DHCP: addrs("10.2.0.67", "2001:db8::67"), Subnets: prefixes("10.2.0.0/16", "2001:db8:2::/48"), Domains: []string{"corp.example"},
		HomePrefix: prefixes("2001:db8:3::/64"), Application: "version 7",
	}
	request := &message.CP{Type: message.ConfigRequest, Attributes: []message.ConfigAttribute{
		{Type: message.AttrSupportedAttributes}, {Type: message.AttrApplicationVersion},
	}}
	answer := configAnswer(c, request)
	supported, err := answer.First(message.AttrSupportedAttributes).SupportedAttributes()
	require.NoError(t, err)
	sent := map[message.ConfigAttributeType]bool{}
	for _, a := range answer.Attributes {
		sent[a.Type] = true
		require.Contains(t, supported, a.Type)
	}
	require.Len(t, sent, len(supported))
	require.Equal(t, c, configReply(answer), "and reads as it was")
	for _, a := range configAnswer(c, &message.CP{Type: message.ConfigRequest}).Attributes {
		require.NotContains(t, []message.ConfigAttributeType{message.AttrSupportedAttributes, message.AttrApplicationVersion}, a.Type, "not asked for")
	}
}
