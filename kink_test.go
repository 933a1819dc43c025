package racoon

import (
	"crypto/rand"
	"iter"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2"
	"github.com/racoon3/racoon/internal/testhost"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/krb/krbtest"
	"github.com/racoon3/racoon/spd"
)

// kinkPair is two Managers of one realm with sockets on loopback.
func kinkPair(t *testing.T, change func(host, gw *Config)) (host, gw *Manager, hp, gp *spd.Memory, realm *krbtest.Realm) {
	realm = krbtest.NewRealm("EXAMPLE.COM", rand.Reader, krb.AES256SHA384)
	hp, gp = spd.NewMemory(spd.MemoryConfig{}), spd.NewMemory(spd.MemoryConfig{})
	var conns [2]*net.UDPConn
	for i := range conns {
		var err error
		conns[i], err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		require.NoError(t, err)
	}
	config := func(own, other int, plane spd.DataPlane, me, peer string, local, remote string) Config {
		return Config{DataPlane: plane, KINK: KINKConfig{Kerberos: realm.Host("kink/" + me + ".example.com")},
			Listen: []Listen{{Conn: conns[own], KINK: true}},
			Peers: []Peer{{Name: peer, Versions: []Version{KINK}, Remote: conns[other].LocalAddr().String(),
				KINK:     KINKOptions{Principal: "kink/" + peer + ".example.com@EXAMPLE.COM"},
				Children: []Child{{Local: []string{local}, Remote: []string{remote}}}}}}
	}
	hc := config(0, 1, hp, "host", "gw", "10.1.0.0/16", "10.2.0.0/16")
	gc := config(1, 0, gp, "gw", "host", "10.2.0.0/16", "10.1.0.0/16")
	if change != nil {
		change(&hc, &gc)
	}
	return serve(t, hc), serve(t, gc), hp, gp, realm
}

func TestTwoManagersKINK(t *testing.T) {
	host, gw, hp, gp, _ := kinkPair(t, nil)
	ctx := testContext(t)
	s, err := host.Initiate(ctx, "gw")
	require.NoError(t, err)
	require.True(t, s.Up())
	require.Equal(t, KINK, s.Version())
	require.Equal(t, "krb5:kink/gw.example.com@EXAMPLE.COM", s.Info().RemoteID.String())
	require.Eventually(t, func() bool { return first(gw.Sessions()) != nil && len(first(gw.Sessions()).ChildSAs()) == 1 }, testhost.Patience, time.Millisecond)
	g := only(t, gw.Sessions())
	require.Len(t, g.ChildSAs(), 1)
	require.False(t, hp.Send(gp, flow, 100).Outcome.Gap())

	child := s.ChildSAs()[0]
	require.NoError(t, s.RekeyChild(ctx, child.ID))
	require.False(t, hp.Send(gp, flow, 100).Outcome.Gap())
	require.NotEqual(t, child.In, s.ChildSAs()[0].In)
	require.NoError(t, s.Rekey(ctx), "another ticket")

	require.NoError(t, g.Delete(ctx))
	require.Eventually(t, func() bool { return !s.Up() }, testhost.Patience, time.Millisecond)
	require.Eventually(t, func() bool { return len(hp.SAs()) == 0 && len(gp.SAs()) == 0 }, testhost.Patience, 10*time.Millisecond)
}

// Why a call fails is said.
func TestKINKFailures(t *testing.T) {
	t.Run("KDC down", func(t *testing.T) {
		host, _, _, _, realm := kinkPair(t, nil)
		realm.SetDown(net.ErrClosed)
		_, err := host.Initiate(testContext(t), "gw")
		require.ErrorContains(t, err, "no ticket for kink/gw.example.com@EXAMPLE.COM")
		require.ErrorIs(t, err, net.ErrClosed)
		realm.SetDown(nil)
		_, err = host.Initiate(testContext(t), "gw")
		require.NoError(t, err, "it recovers")
	})
	t.Run("algorithms", func(t *testing.T) {
		host, _, _, _, _ := kinkPair(t, func(h, g *Config) { g.Peers[0].Children[0].Proposals = []string{"aes192ctr-sha512"} })
		_, err := host.Initiate(testContext(t), "gw")
		require.ErrorContains(t, err, "NO-PROPOSAL-CHOSEN")
	})
	t.Run("another principal", func(t *testing.T) {
		host, _, _, _, _ := kinkPair(t, func(h, g *Config) { g.Peers[0].KINK.Principal = "kink/other.example.com@EXAMPLE.COM" })
		_, err := host.Initiate(testContext(t), "gw")
		require.ErrorContains(t, err, "AUTHENTICATION-FAILED")
	})
	t.Run("another port", func(t *testing.T) {
		host, _, _, _, _ := kinkPair(t, func(h, g *Config) { g.Peers[0].Remote = "127.0.0.1:9" })
		_, err := host.Initiate(testContext(t), "gw")
		require.ErrorContains(t, err, "there is a NAT on the path")
	})
}

func TestKINKConfiguration(t *testing.T) {
	realm := krbtest.NewRealm("EXAMPLE.COM", rand.Reader, krb.AES256SHA384)
	for want, change := range map[string]func(c *Config){
		"Versions[0]: KINK stands alone":           func(c *Config) { c.Peers[0].Versions = []Version{KINK, IKEv2} },
		"PSK: means nothing with KINK":             func(c *Config) { c.Peers[0].PSK = ike.Secret("x") },
		"RemoteAuth: means nothing":                func(c *Config) { c.Peers[0].RemoteAuth = []ikev2.AuthMethod{ikev2.AuthPSK} },
		"KINK needs Config.KINK.Kerberos":          func(c *Config) { c.KINK.Kerberos = nil },
		"KINK.Principal: is empty":                 func(c *Config) { c.Peers[0].Remote = "192.0.2.1" },
		"KINK: Principal \"x\" is not of the form": func(c *Config) { c.Peers[0].KINK.Principal = "x" },
		"KINK: has no effect without KINK": func(c *Config) {
			c.Peers[0].Versions, c.Peers[0].KINK.Principal = nil, "kink/a@B"
			c.Peers[0].PSK = ike.Secret("x")
		},
		"Start: is StartAlways, but KINK.Principal has a *": func(c *Config) {
			c.Peers[0].Start, c.Peers[0].KINK.Principal = StartAlways, "kink/*@EXAMPLE.COM"
		},
		"Start: is trap, but the peer's KINK.Principal has a *": func(c *Config) {
			c.Peers[0].KINK.Principal = "kink/*@EXAMPLE.COM"
			c.Peers[0].Children = []Child{{Name: "net", Start: StartTrap, Local: []string{"10.1.0.0/16"}, Remote: []string{"10.2.0.0/16"}}}
		},
		"Listen[0]: is for KINK, which has no NAT": func(c *Config) { c.Listen = []Listen{{Address: ":1910", KINK: true, NATT: true}} },
		"data plane \"memory\" has ESP in UDP only": func(c *Config) {
			caps := spd.MemoryCapabilities()
			caps.RawESP = false
			c.DataPlane = spd.NewMemory(spd.MemoryConfig{Capabilities: caps})
		},
	} {
		c := Config{DataPlane: spd.NewMemory(spd.MemoryConfig{}), KINK: KINKConfig{Kerberos: realm.Host("kink/me.example.com")},
			Peers: []Peer{{Name: "p", Remote: "gw.example.com", Versions: []Version{KINK}}}}
		_, err := NewManager(c)
		require.NoError(t, err)
		change(&c)
		_, err = NewManager(c)
		require.ErrorIs(t, err, ErrConfig, want)
		require.ErrorContains(t, err, want)
	}
}

func first(sessions iter.Seq[*Session]) *Session {
	for s := range sessions {
		return s
	}
	return nil
}

// A peer is asked whether it is there. No session is needed for that, none is
// left, and who wants one meanwhile gets it.
func TestAsk(t *testing.T) {
	host, gw, hp, _, realm := kinkPair(t, func(h, _ *Config) {
		h.Peers[0].Timing = ike.Timing{RetransmitBase: 300 * time.Millisecond, RetransmitTries: 3}
		h.Peers = append(h.Peers, Peer{Name: "caller", Versions: []Version{KINK}, KINK: KINKOptions{Principal: "kink/caller.example.com@EXAMPLE.COM"},
			Children: []Child{{Local: []string{"10.1.0.0/16"}, Remote: []string{"10.3.0.0/16"}}}})
	})
	ctx := testContext(t)
	events := host.Subscribe(ctx)
	require.NoError(t, host.Ask(ctx, "gw"))
	require.IsType(t, ike.PeerAlive{}, <-events, "and nothing of a session before")
	require.Nil(t, first(host.Sessions()))
	require.Nil(t, first(gw.Sessions()))
	require.Empty(t, hp.SAs())
	require.ErrorIs(t, host.Ask(ctx, "nobody"), ErrNoPeer)
	require.ErrorContains(t, host.Ask(ctx, "caller"), "Remote is empty")

	answers := make(chan error, 8)
	for range cap(answers) {
		go func() { answers <- host.Ask(ctx, "gw") }()
	}
	s, err := host.Initiate(ctx, "gw")
	require.NoError(t, err)
	for range cap(answers) {
		require.NoError(t, <-answers)
	}
	require.NoError(t, host.Ask(ctx, "gw"), "with a session")
	require.True(t, s.Up())
	require.Len(t, s.ChildSAs(), 1)
	require.NoError(t, s.Delete(ctx))

	realm.SetDown(net.ErrClosed)
	host.cfg.KINK.Kerberos.(*krbtest.Host).Forget()
	err = host.Ask(ctx, "gw")
	require.ErrorContains(t, err, "no ticket for kink/gw.example.com@EXAMPLE.COM")
	realm.SetDown(nil)
	require.NoError(t, gw.Shutdown(ctx))
	err = host.Ask(ctx, "gw")
	require.ErrorContains(t, err, "no answer to STATUS")
	require.Nil(t, first(host.Sessions()))
}
