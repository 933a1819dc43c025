package racoon

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/natt"
	"github.com/racoon3/racoon/spd"
)

// Each mistake names its field and what to do.
func TestConfigErrors(t *testing.T) {
	plain := spd.NewMemory(spd.MemoryConfig{Capabilities: spd.Capabilities{Name: "poor", Tunnel: true, Algorithms: []spd.Algorithm{
		{Protocol: spd.ProtoESP, Transform: spd.Transform{Type: spd.TransformENCR, ID: spd.EncrAESGCM16}},
	}}})
	for want, change := range map[string]func(c *Config, p *Peer){
		"racoon: DataPlane: is nil":                                                  func(c *Config, _ *Peer) { c.DataPlane = nil },
		"racoon: Workers: 500 is out of range; use 1 to 64":                          func(c *Config, _ *Peer) { c.Workers = 500 },
		"racoon: EventBuffer: -1 is negative":                                        func(c *Config, _ *Peer) { c.EventBuffer = -1 },
		`racoon: Listen[0]: Address: "500" is not an address and a port`:             func(c *Config, _ *Peer) { c.Listen = []Listen{{Address: "500"}} },
		`racoon: Listen[0]: Address: "localhost:500": "localhost" is not an IP`:      func(c *Config, _ *Peer) { c.Listen = []Listen{{Address: "localhost:500"}} },
		`racoon: Listen[1]: Address: ":500" is that of Listen[0] too`:                func(c *Config, _ *Peer) { c.Listen = []Listen{{Address: ":500"}, {Address: ":500"}} },
		`racoon: Listen: is empty`:                                                   func(c *Config, _ *Peer) { c.Listen = []Listen{} },
		`racoon: Peers[0] "": Name: is empty`:                                        func(_ *Config, p *Peer) { p.Name = "" },
		`racoon: Peers[1] "gw": Name: is used by another peer`:                       func(c *Config, p *Peer) { c.Peers = append(c.Peers, *p) },
		`racoon: Peers[0] "gw": Remote: "gw:x": "x" is not a port`:                   func(_ *Config, p *Peer) { p.Remote = "gw:x" },
		`Remote: "10.0.0.0/8" is not a host name or address; for addresses`:          func(_ *Config, p *Peer) { p.Remote = "10.0.0.0/8" },
		`RemoteAddrs[0]: "10.0.0.1/8" has bits after the prefix length`:              func(_ *Config, p *Peer) { p.RemoteAddrs = []string{"10.0.0.1/8"} },
		`LocalAddr: "eth0" is not an IP address`:                                     func(_ *Config, p *Peer) { p.LocalAddr = "eth0" },
		`LocalAddr: 2001:db8::1 cannot reach Remote 192.0.2.2`:                       func(_ *Config, p *Peer) { p.LocalAddr = "2001:db8::1" },
		`PSK: is not set, and neither is Credential`:                                 func(_ *Config, p *Peer) { p.PSK = nil },
		`PSK: is empty; everybody knows`:                                             func(_ *Config, p *Peer) { p.PSK = ike.Secret{} },
		`Trust: trust: neither a root`:                                               func(_ *Config, p *Peer) { p.Trust = new(ike.Trust) },
		`LocalAuth: EAP is not available`:                                            func(_ *Config, p *Peer) { p.LocalAuth = ikev2.AuthEAP },
		`RemoteAuth[0]: is signature, but Trust is nil`:                              func(_ *Config, p *Peer) { p.RemoteAuth = []ikev2.AuthMethod{ikev2.AuthSignature} },
		`LocalAuth: is not set; say ikev2.AuthPSK`:                                   func(_ *Config, p *Peer) { p.PSK, p.Credentials = nil, ike.SharedKeys() },
		`RemoteID: is empty; say who the peer must be`:                               func(_ *Config, p *Peer) { p.Remote, p.RemoteID = "", "" },
		`Proposals[1]: spd: invalid proposal`:                                        func(_ *Config, p *Peer) { p.Proposals = []string{"aes256gcm16-prfsha256-x25519", "aes257"} },
		`Children[0] "net": Local: [0]: spd: invalid traffic selector`:               func(_ *Config, p *Peer) { p.Children[0].Local = []string{"10.1.0.1/24"} },
		`Children[0] "net": Remote: no selector fits one of Local`:                   func(_ *Config, p *Peer) { p.Children[0].Remote = []string{"2001:db8::/32"} },
		`Children[1] "net": Name: is used by another Child`:                          func(_ *Config, p *Peer) { p.Children = append(p.Children, p.Children[0]) },
		`Children[0] "net": Mode: data plane "poor" has no transport mode`:           func(c *Config, p *Peer) { c.DataPlane, p.Children[0].Mode = plain, spd.ModeTransport },
		`Proposals: nothing is left of [chacha20poly1305]: data plane "poor" cannot`: func(c *Config, p *Peer) { c.DataPlane, p.Children[0].Proposals = plain, []string{"chacha20poly1305"} },
		`Children[0] "net": Start: data plane "poor" has no trap policies`:           func(c *Config, p *Peer) { c.DataPlane, p.Start = plain, StartTrap },
		`Children[0] "net": Start: a trap needs fixed selectors`:                     func(_ *Config, p *Peer) { p.Start, p.Children[0].Local = StartTrap, nil },
		`Children[0] "net": Lifetime: 1m0s is not longer than Rekey`:                 func(_ *Config, p *Peer) { p.Children[0].Rekey, p.Children[0].Lifetime = time.Hour, time.Minute },
		`Children[0] "net": ReqID: 20000 is too large`:                               func(_ *Config, p *Peer) { p.Children[0].ReqID = 20000 },
		`Children[0] "net": Mode: 7 is unknown`:                                      func(_ *Config, p *Peer) { p.Children[0].Mode = 7 },
		`Children[0] "net": Options: spd: invalid bundle: MTU -1 is not`:             func(_ *Config, p *Peer) { p.Children[0].Options.MTU = -1 },
		`Children[0] "net": Options: spd: not supported by this data plane: poor: offload`: func(c *Config, p *Peer) {
			c.DataPlane, p.Children[0].Options.Offload = plain, "eth0"
		},
		`Children[0] "net": Volume: spd: invalid bundle: SoftBytes 2 is above`: func(_ *Config, p *Peer) {
			p.Children[0].Volume = spd.Lifetime{SoftBytes: 2, HardBytes: 1}
		},
		`Start: is StartAlways, but Remote is empty`:               func(_ *Config, p *Peer) { p.Start, p.Remote = StartAlways, "" },
		`DeadAction: the peer cannot be called again`:              func(_ *Config, p *Peer) { p.DeadAction, p.Remote = ActionRestart, "" },
		`Timing.Lifetime: 1m0s is not longer than Timing.Rekey`:    func(_ *Config, p *Peer) { p.Timing.Rekey, p.Timing.Lifetime = time.Hour, time.Minute },
		`Timing.Jitter: 2 is out of range; use 0 to 1`:             func(_ *Config, p *Peer) { p.Timing.Jitter = 2 },
		`RequireAddress: is set, but Assign is nil; say where`:     func(_ *Config, p *Peer) { p.RequireAddress = true },
		`NoNATT: data plane "poor" has ESP in UDP only`:            func(c *Config, p *Peer) { c.DataPlane, p.NoNATT = plain, true },
		"racoon: Limits.Events: -1 is negative; leave it 0":        func(c *Config, _ *Peer) { c.Limits.Events = -1 },
		"racoon: VendorIDs[1]: has 0 octets; use 1 to 1024":        func(c *Config, _ *Peer) { c.VendorIDs = [][]byte{{1}, nil} },
		`DeadAction: 99 is not an action; use ActionClear`:         func(_ *Config, p *Peer) { p.DeadAction = 99 },
		`CloseAction: 99 is not an action; use ActionClear`:        func(_ *Config, p *Peer) { p.CloseAction = 99 },
		`Unique: 99 is not a policy; use one of`:                   func(_ *Config, p *Peer) { p.Unique = 99 },
		`FragmentSize: 5 is no size for a fragment; use 256`:       func(_ *Config, p *Peer) { p.FragmentSize = 5 },
		`FragmentSize: 65536 is no size for a fragment`:            func(_ *Config, p *Peer) { p.FragmentSize = 65536 },
		`Quirks.RekeyGroupFirst: 9999 is not a group`:              func(_ *Config, p *Peer) { p.Quirks.RekeyGroupFirst = 9999 },
		`Timing.Rekey: 28.8µs is too short to be meant; times`:     func(_ *Config, p *Peer) { p.Timing.Rekey = 28800 },
		`Children[0] "net": Lifetime: 3.6µs is too short`:          func(_ *Config, p *Peer) { p.Children[0].Lifetime = 3600 },
		`Children[0] "net": ReplayWindow: -1 is negative; use 0`:   func(_ *Config, p *Peer) { p.Children[0].ReplayWindow = -1 },
		`Remote: 0.0.0.0 is not the address of a host; for a peer`: func(_ *Config, p *Peer) { p.Remote = "0.0.0.0" },
		`LocalAddr: ff02::1 is not the address of a host; leave`:   func(_ *Config, p *Peer) { p.LocalAddr = "ff02::1" },
		`Request.Want[0]: invalid IP is not the address of a host`: func(_ *Config, p *Peer) { p.Request = &ike.ConfigRequest{Want: make([]netip.Addr, 1)} },
		`Request.Version: has 70000 octets; use 1024 at most`:      func(_ *Config, p *Peer) { p.Request = &ike.ConfigRequest{Version: strings.Repeat("v", 70000)} },
		`BackoffMax: 1s is less than Backoff, 1m0s`:                func(_ *Config, p *Peer) { p.Backoff, p.BackoffMax = time.Minute, time.Second },
	} {
		c := Config{DataPlane: newPlane()}
		p := clientPeer()
		c.Peers = make([]Peer, 0, 2)
		change(&c, &p)
		c.Peers = append([]Peer{p}, c.Peers...)
		_, err := NewManager(c)
		require.ErrorIs(t, err, ErrConfig, want)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "secret of both")
	}
}

func TestConfigIsCloned(t *testing.T) {
	p := clientPeer()
	p.PSK = testPSK.Clone()
	p.Versions, p.IKEv1.NATT = []Version{IKEv2, IKEv1}, []natt.Variant{natt.RFC3947}
	p.LocalSignature.Hashes = []message.HashAlgorithm{message.HashSHA256}
	m, err := NewManager(Config{DataPlane: newPlane(), Peers: []Peer{p}})
	require.NoError(t, err)
	p.Children[0].Remote[0] = "0.0.0.0/0"
	p.PSK.Wipe()
	p.IKEv1.NATT[0], p.LocalSignature.Hashes[0] = 0, 0
	q := m.peers.Load().peers[0]
	require.Equal(t, "10.2.0.0/16", q.cfg.Children[0].Remote[0])
	require.NotEqual(t, byte(0), q.cfg.PSK[0])
	require.Equal(t, natt.RFC3947, q.cfg.IKEv1.NATT[0])
	require.Equal(t, message.HashSHA256, q.cfg.LocalSignature.Hashes[0])
}

func TestConfigDefaults(t *testing.T) {
	ps := compilePeers(t, Peer{Name: "p", Remote: "gw.example.org", PSK: testPSK, RequestAddress: true})
	p := ps.peers[0]
	require.Equal(t, "gw.example.org", p.v2.Remote.ID.String(), "the peer is who it is called")
	require.Empty(t, p.v2.RemoteAddrs, "a name may lead anywhere")
	require.Equal(t, []ikev2.AuthMethod{ikev2.AuthPSK}, p.v2.Remote.Methods)
	require.Len(t, p.children, 1)
	require.Equal(t, "p", p.children[0].Name)
	require.True(t, p.children[0].LocalDynamic)
	require.Len(t, p.children[0].Remote, 2, "a client wants to reach everything")
	require.True(t, p.v2.Request.IPv4 && p.v2.Request.IPv6 && p.v2.Request.DNS)

	p = compilePeers(t, Peer{Name: "p", Remote: "[2001:db8::1]:501", PSK: testPSK}).peers[0]
	require.Equal(t, uint16(501), p.port)
	require.Equal(t, []netip.Prefix{netip.MustParsePrefix("2001:db8::1/128")}, p.v2.RemoteAddrs)
	require.Equal(t, "2001:db8::1", p.v2.Remote.ID.String())
}

// Narrower selectors come first, whatever the family.
func TestPriorities(t *testing.T) {
	last := uint32(0)
	for _, s := range []string{"10.0.0.1[tcp/80]", "10.0.0.1[tcp]", "10.0.0.1", "10.0.0.0/24[tcp/80]", "10.0.0.0/24", "10.0.0.0/8", "0.0.0.0/0"} {
		p := compilePeers(t, Peer{Name: "p", Remote: "192.0.2.1", PSK: testPSK, Start: StartTrap,
			Children: []Child{{Local: []string{"192.168.0.0/24"}, Remote: []string{s}}}}).peers[0]
		traps := p.trapPolicies([]string{"p"})
		require.Len(t, traps, 2)
		require.Greater(t, p.children[0].Priority, last, s)
		require.Equal(t, p.children[0].Priority+1, traps[0].Priority, "behind the policy it waits for")
		last = traps[0].Priority
	}
}

func compilePeers(t testing.TB, peers ...Peer) *peerSet {
	t.Helper()
	ps, err := newCompiler(spd.MemoryCapabilities(), nil, nil).compile(peers)
	require.NoError(t, err)
	return ps
}

// The ReqID of a trap stays the same through reloads, and makes way for one
// that is configured.
func TestReqIDs(t *testing.T) {
	peer := func(name string, reqID uint32) Peer {
		return Peer{Name: name, Remote: "192.0.2.1", PSK: testPSK, Start: StartTrap,
			Children: []Child{{Local: []string{"10.0.0.0/24"}, Remote: []string{"10.1.0.0/24"}, ReqID: reqID}}}
	}
	c := newCompiler(spd.MemoryCapabilities(), nil, nil)
	ps, err := c.compile([]Peer{peer("a", 0), peer("b", 0)})
	require.NoError(t, err)
	b := ps.byName["b"].children[0].ReqID
	require.NotEqual(t, b, ps.byName["a"].children[0].ReqID)
	c = newCompiler(spd.MemoryCapabilities(), nil, c.reqIDs)
	ps, err = c.compile([]Peer{peer("x", 0), peer("b", 0)})
	require.NoError(t, err)
	require.Equal(t, b, ps.byName["b"].children[0].ReqID)
	require.NotEqual(t, b, ps.byName["x"].children[0].ReqID)
	c = newCompiler(spd.MemoryCapabilities(), nil, c.reqIDs)
	ps, err = c.compile([]Peer{peer("x", b), peer("b", 0)})
	require.NoError(t, err)
	require.NotEqual(t, b, ps.byName["b"].children[0].ReqID)
}

func TestListenErrors(t *testing.T) {
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	defer c.Close()
	m, err := NewManager(Config{DataPlane: newPlane(), Listen: []Listen{{Address: "127.0.0.1:0"}, {Address: c.LocalAddr().String()}}})
	require.NoError(t, err)
	err = m.Serve(t.Context())
	require.ErrorContains(t, err, "racoon: Listen[1]: ")
	_, again := m.Initiate(t.Context(), "x")
	require.Equal(t, err, again, "whoever waits hears why")
	require.NoError(t, m.Shutdown(t.Context()))
}

// Ten thousand configured peers; BenchmarkManyPeers says how long it takes.
func TestManyPeers(t *testing.T) {
	m, err := NewManager(Config{DataPlane: newPlane(), Peers: manyPeers(10_000)})
	require.NoError(t, err)
	require.Len(t, m.Peers(), 10_000)
}

func manyPeers(n int) []Peer {
	peers := make([]Peer, n)
	for i := range peers {
		a := netip.AddrFrom4([4]byte{10, 200, byte(i >> 8), byte(i)})
		peers[i] = Peer{Name: a.String(), Remote: a.String(), PSK: testPSK, Proposals: []string{"aes256gcm16-prfsha256-x25519"}, Start: StartTrap,
			Children: []Child{{Local: []string{"10.1.0.0/16"}, Remote: []string{a.String()}, Proposals: []string{"aes256gcm16", "aes128-sha256"}}}}
	}
	return peers
}

func BenchmarkManyPeers(b *testing.B) {
	peers := manyPeers(10_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NewManager(Config{DataPlane: newPlane(), Peers: peers}); err != nil {
			b.Fatal(err)
		}
	}
}
