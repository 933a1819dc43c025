package ikev2

import (
	"context"
	"errors"
	"net/netip"
	"slices"
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
	read := configReply(answer)
	require.Len(t, read.Supported, len(supported))
	read.Supported = nil
	require.Equal(t, c, read, "and reads as it was")
	for _, a := range configAnswer(c, &message.CP{Type: message.ConfigRequest}).Attributes {
		require.NotContains(t, []message.ConfigAttributeType{message.AttrSupportedAttributes, message.AttrApplicationVersion}, a.Type, "not asked for")
	}
}

// An authenticated gateway may be hostile: what it says must not make a client
// take an address that is none, hundreds of servers, or traffic for addresses
// that are not its own (C15).
func TestC15_HostileGateway(t *testing.T) {
	evil := &ike.NetworkConfig{
		Addresses: prefixes("0.0.0.0/32", "224.0.0.1/32", "127.0.0.1/32", "255.255.255.255/32", "10.1.0.1/32", "10.1.0.1/32",
			"::/128", "::1/128", "ff02::1/128", "::ffff:10.1.0.9/128", "2001:db8::1/128"),
		DNS:     addrs("127.0.0.53", "0.0.0.0", "10.2.0.53", "10.2.0.53", "::1", "ff02::fb"),
		NBNS:    addrs("255.255.255.255", "10.2.0.42"),
		DHCP:    addrs("239.1.2.3"),
		Subnets: prefixes("0.0.0.0/0", "10.2.3.4/16", "10.2.0.0/16", "127.0.0.0/8", "224.0.0.0/4", "ff00::/8"),
	}
	for i := range 300 {
		evil.DNS = append(evil.DNS, netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}))
	}
	s := newScene(t, roadWarrior(&testAssigner{config: evil}, &ike.ConfigRequest{IPv4: true, DNS: true}))
	s.initiate().flush()
	got := find[ike.SessionUp](s.A.happened)[0].Info.Config
	require.Equal(t, prefixes("10.1.0.1/32"), got.Addresses, "no IPv6 was asked for")
	require.Len(t, got.DNS, 16)
	require.Equal(t, addrs("10.2.0.53", "10.9.0.0"), got.DNS[:2])
	require.Equal(t, addrs("10.2.0.42"), got.NBNS)
	require.Empty(t, got.DHCP)
	require.Equal(t, prefixes("0.0.0.0/0", "10.2.0.0/16"), got.Subnets)
	warning := find[ike.Warning](s.A.happened)[0].Err
	require.ErrorContains(t, warning, "of what the gateway says is left out: address 0.0.0.0/32, address 224.0.0.1/32, address 127.0.0.1/32,")
	require.ErrorContains(t, warning, " more")
	require.Less(t, len(warning.Error()), 500)
	require.Equal(t, selectorSet("10.1.0.1/32"), s.A.child().LocalTS)

	// A netmask of zero, and a prefix length of zero or 255.
	c := configReply(&message.CP{Type: message.ConfigReply, Attributes: []message.ConfigAttribute{
		{Type: message.AttrInternalIP4Address, Value: []byte{10, 1, 0, 1}}, {Type: message.AttrInternalIP4Netmask, Value: make([]byte, 4)},
		{Type: message.AttrInternalIP6Address, Value: append(addrs("2001:db8::1")[0].AsSlice(), 0)},
		{Type: message.AttrInternalIP6Address, Value: append(addrs("2001:db8::2")[0].AsSlice(), 255)},
	}})
	s.A.session().Asked = &ike.ConfigRequest{IPv4: true, IPv6: true}
	s.A.session().Screen(s.now, c)
	require.Equal(t, prefixes("10.1.0.1/32", "2001:db8::1/128"), c.Addresses)
}

// A gateway that leaves the client's side of the traffic wide open, after it
// has assigned an address, gets traffic of that address only; one that narrows
// to another address gets none.
func TestC15_SelectorsBeyondTheAddress(t *testing.T) {
	for answer, want := range map[string]string{"0.0.0.0/0": "10.1.0.1/32", "10.1.0.0/24": "10.1.0.1/32", "192.168.1.1/32": ""} {
		s := newScene(t, roadWarrior(&testAssigner{}, &ike.ConfigRequest{IPv4: true}), func(_, b *Peer, _, _ *Config) {
			b.Children[0].RemoteDynamic, b.Children[0].Remote = false, selectorSet(answer)
		})
		s.initiate().flush()
		if want == "" {
			require.ErrorContains(t, find[ike.ChildFailed](s.A.happened)[0].Err, "not those of the address that the gateway has assigned")
			require.Empty(t, s.A.session().Children.All())
			continue
		}
		require.Equal(t, selectorSet(want), s.A.child().LocalTS)
	}
}

// A client may ask which attributes its gateway knows, and either side may ask
// again later, which leases nothing (RFC 7296 2.20, 3.15).
func TestConfigurationAskedAgain(t *testing.T) {
	assign := &testAssigner{config: &ike.NetworkConfig{Addresses: prefixes("10.1.0.1/32"), DNS: addrs("10.2.0.53"), Application: "gateway 7"}}
	s := newScene(t, roadWarrior(assign, &ike.ConfigRequest{IPv4: true, DNS: true, Supported: true, Version: "client 3"}))
	s.initiate().flush()
	known := find[ike.SessionUp](s.A.happened)[0].Info.Config.Supported
	require.Contains(t, known, uint16(message.AttrInternalIP4DNS))
	require.Contains(t, known, uint16(message.AttrInternalDNSDomain))

	request := &message.CP{Type: message.ConfigRequest, Attributes: slices.Repeat([]message.ConfigAttribute{
		{Type: message.AttrInternalIP4Address}, {Type: message.AttrApplicationVersion}, {Type: message.AttrSupportedAttributes}}, 20)}
	m := s.A.asks(message.ExchangeInformational, request)
	require.NotNil(t, m.CP())
	require.Equal(t, message.ConfigReply, m.CP().Type)
	require.Len(t, m.CP().Attributes, 4, "each is answered once")
	got := configReply(m.CP())
	require.Equal(t, prefixes("10.1.0.1/32"), got.Addresses)
	require.Equal(t, "gateway 7", got.Application)
	require.Len(t, assign.requests, 1)
	require.Equal(t, 1, assign.leased)

	m = s.B.asks(message.ExchangeInformational, &message.CP{Type: message.ConfigRequest, Attributes: []message.ConfigAttribute{{Type: message.AttrApplicationVersion}}})
	require.Equal(t, "client 3", configReply(m.CP()).Application)
	for _, cp := range []*message.CP{{Type: message.ConfigRequest}, {Type: message.ConfigSet, Attributes: request.Attributes}, {Type: message.ConfigReply, Attributes: request.Attributes}} {
		require.Empty(t, s.B.asks(message.ExchangeInformational, cp).Payloads)
	}
	s.converged(1)
}
