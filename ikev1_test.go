package racoon

import (
	"encoding/hex"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1"
	"github.com/racoon3/racoon/internal/testhost"
	"github.com/racoon3/racoon/natt"
	"github.com/racoon3/racoon/spd"
)

// versions sets the versions of IKE of all peers of a Manager.
func versions(cfg *Config, v ...Version) {
	for i := range cfg.Peers {
		cfg.Peers[i].Versions = v
	}
}

func TestTwoManagersIKEv1(t *testing.T) {
	for _, addr := range []string{"127.0.0.1", "::1"} {
		t.Run(addr, func(t *testing.T) {
			client, gateway, cp, gp := pairOfManagers(t, addr, func(c, g *Config) {
				versions(c, IKEv1)
				versions(g, IKEv2, IKEv1)
			})
			ctx := testContext(t)
			s, err := client.Initiate(ctx, "gw")
			require.NoError(t, err)
			require.True(t, s.Up())
			g := only(t, gateway.Sessions())
			require.Equal(t, s.Info().LocalSPI, g.Info().RemoteSPI)
			require.Eventually(t, func() bool { return len(g.ChildSAs()) == 1 }, testhost.Patience, time.Millisecond)
			require.False(t, cp.Send(gp, flow, 100).Outcome.Gap())

			child := s.ChildSAs()[0]
			require.NoError(t, s.RekeyChild(ctx, child.ID))
			require.NoError(t, s.Rekey(ctx))
			require.False(t, cp.Send(gp, flow, 100).Outcome.Gap())
			require.NotEqual(t, child.In, s.ChildSAs()[0].In)

			require.NoError(t, g.Delete(ctx))
			require.Eventually(t, func() bool { return !s.Up() }, testhost.Patience, time.Millisecond)
		})
	}
}

// A private group makes the keys of Child SAs and of the ISAKMP SA, after New
// Group Mode; IKEv2 does not know it.
func TestManagersPrivateGroup(t *testing.T) {
	prime, err := hex.DecodeString("ca03be819750946b5ff0740621c666e32285a2d302645e61cf498d60ad747d142c2439aeb27d64e2d293d0d7b3c86708490a04db679f37d14e4716fef7a29cf5" +
		"305e3cb8315fd50ade959b2d09e380658623d58f5ca22e6e374cda495d210cf9fab3f4231499a21d2d16ca83a85a2def5c8fe5397b8c55cdfcdb44e13ee6ba17")
	require.NoError(t, err)
	group, err := dh.NewPrivateGroup(40000, prime, []byte{2})
	require.NoError(t, err)
	private := func(c *Config) {
		versions(c, IKEv1)
		p := &c.Peers[0]
		p.IKEv1.PrivateGroups = []*dh.PrivateGroup{group}
		p.Proposals = []string{"aes128-sha256-group40000-ecp256"}
		p.Children[0].Proposals = []string{"aes128gcm16-group40000"}
	}
	client, _, cp, gp := pairOfManagers(t, "127.0.0.1", func(c, g *Config) { private(c); private(g) })
	ctx := testContext(t)
	s, err := client.Initiate(ctx, "gw")
	require.NoError(t, err)
	require.Contains(t, s.Info().Proposal.String(), "ecp256")
	require.Equal(t, "aes128gcm16-group40000", s.ChildSAs()[0].Proposal.String())
	require.False(t, cp.Send(gp, flow, 100).Outcome.Gap())
	require.NoError(t, s.Rekey(ctx))
	require.Contains(t, s.Info().Proposal.String(), "group40000")
	require.NoError(t, s.RekeyChild(ctx, s.ChildSAs()[0].ID))
	require.False(t, cp.Send(gp, flow, 100).Outcome.Gap())

	cfg := Config{DataPlane: spd.NewMemory(spd.MemoryConfig{}), Peers: []Peer{{Name: "gw", Remote: "192.0.2.1", PSK: []byte("secret")}}}
	cfg.Peers[0].IKEv1.PrivateGroups = []*dh.PrivateGroup{group}
	_, err = NewManager(cfg)
	require.ErrorContains(t, err, "known to IKEv1 only")
}

func TestFallBackToIKEv1(t *testing.T) {
	client, _, _, _ := pairOfManagers(t, "127.0.0.1", func(c, g *Config) {
		versions(c, IKEv2, IKEv1)
		versions(g, IKEv1)
		c.Peers[0].Timing = ike.Timing{RetransmitBase: time.Second, RetransmitTries: 2}
	})
	s, err := client.Initiate(testContext(t), "gw")
	require.NoError(t, err)
	require.NotZero(t, uint64(s.ID())>>56&tagIKEv1, "the session is IKEv1's")
}

func TestIKEv1Configuration(t *testing.T) {
	base := func() Peer {
		return Peer{Name: "p", Remote: "192.0.2.1", LocalID: "a.example", RemoteID: "b.example", PSK: ike.Secret("a secret"), Versions: []Version{IKEv1}}
	}
	users, err := ike.NewMemoryUsers(nil)
	require.NoError(t, err)
	for want, change := range map[string]func(p *Peer){
		"Versions[0]: IKE version 4 is unknown":           func(p *Peer) { p.Versions = []Version{4} },
		"Versions[1]: IKEv1 is unknown or named twice":    func(p *Peer) { p.Versions = []Version{IKEv1, IKEv1} },
		"Users: IKEv2 cannot ask for a user yet":          func(p *Peer) { p.Versions, p.Users = []Version{IKEv1, IKEv2}, users },
		"IKEv1.Hybrid: has no effect":                     func(p *Peer) { p.Versions, p.IKEv1.Hybrid = nil, true },
		"UserPrompt: has no effect":                       func(p *Peer) { p.Versions, p.UserPrompt = nil, ike.StaticUser("a", ike.Secret("b")) },
		"IKEv1.PushConfig: has nothing":                   func(p *Peer) { p.IKEv1.PushConfig = true },
		"IKEv1.NATT: has no effect without IKEv1":         func(p *Peer) { p.Versions, p.IKEv1.NATT = nil, []natt.Variant{natt.Draft02} },
		"IKEv1.NATT: has no effect with NoNATT":           func(p *Peer) { p.NoNATT, p.IKEv1.NATT = true, []natt.Variant{natt.Draft02} },
		"NATT has none, which is unknown":                 func(p *Peer) { p.IKEv1.NATT = []natt.Variant{natt.NoVariant} },
		"IKEv1.Hybrid: needs Users":                       func(p *Peer) { p.IKEv1.Hybrid = true },
		"OuterAH: cannot be negotiated by IKEv2":          func(p *Peer) { p.Versions = nil; p.Children = []Child{{OuterAH: []string{"sha256"}}} },
		"no cipher that IKEv1 has":                        func(p *Peer) { p.Proposals = []string{"aes256gcm16-prfsha256-x25519"} },
		"IKEv1: Modes has unknown mode":                   func(p *Peer) { p.IKEv1.Modes = []ikev1.Mode{9} },
		"Methods: XAUTHInitPreShared: Users (server) and": func(p *Peer) { p.IKEv1.Methods = []ikev1.AuthMethod{ikev1.AuthXAuthInitPSK} },
	} {
		p := base()
		change(&p)
		_, err := NewManager(Config{DataPlane: spd.NewMemory(spd.MemoryConfig{}), Peers: []Peer{p}})
		require.ErrorIs(t, err, ErrConfig, want)
		require.ErrorContains(t, err, want)
	}
	_, err = NewManager(Config{DataPlane: spd.NewMemory(spd.MemoryConfig{}), Peers: []Peer{base()}})
	require.NoError(t, err)

	// What the data plane cannot is said at once.
	caps := spd.MemoryCapabilities()
	caps.NonIKE = false
	p := base()
	p.IKEv1.NATT = []natt.Variant{natt.RFC3947, natt.Draft01}
	_, err = NewManager(Config{DataPlane: spd.NewMemory(spd.MemoryConfig{Capabilities: caps}), Peers: []Peer{p}})
	require.ErrorIs(t, err, ErrConfig)
	require.ErrorContains(t, err, "behind the non-IKE marker, as drafts 00 and 01 want it")
	p.IKEv1.NATT = []natt.Variant{natt.RFC3947, natt.Draft02}
	_, err = NewManager(Config{DataPlane: spd.NewMemory(spd.MemoryConfig{Capabilities: caps}), Peers: []Peer{p}})
	require.NoError(t, err)
}
