package racoon

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
)

func TestReload(t *testing.T) {
	bubble(t, func(t *testing.T, b *scene) {
		ctx := t.Context()
		b.start(gatewayAddr, Config{Peers: with(gatewayPeer(), func(p *Peer) {
			p.Children[0].Local = []string{"10.2.0.0/15"}
			p.Children = append(p.Children, Child{Name: "more", Local: []string{"10.7.0.0/16"}, Remote: []string{"10.1.0.0/16"}})
		})})
		b.start("192.0.2.3", Config{Peers: []Peer{gatewayPeer()}})
		second := with(clientPeer(), func(p *Peer) { p.Name, p.Remote = "second", "192.0.2.3" })[0]
		conns := b.net.listen(clientAddr)
		plane := newPlane()
		cfg := func(peers ...Peer) Config {
			return Config{DataPlane: plane, Listen: conns, Workers: 3, Peers: peers}
		}
		client := b.start(clientAddr, cfg(clientPeer(), second))
		s, err := client.Initiate(ctx, "gw")
		require.NoError(t, err)
		s2, err := client.Initiate(ctx, "second")
		require.NoError(t, err)

		reload := func(peers ...Peer) []Change {
			t.Helper()
			c := cfg(peers...)
			c.Logger = client.asked.Logger
			changes, err := client.Reload(ctx, c)
			require.NoError(t, err)
			time.Sleep(5 * time.Second)
			synctest.Wait()
			return changes
		}
		require.Empty(t, reload(clientPeer(), second), "the same again")

		// What only concerns calls, rekeys, and reauthentication.
		p := clientPeer()
		p.Timing.Liveness = time.Minute
		p.Proposals = []string{"aes128gcm16-prfsha256-x25519"}
		p.DeadAction = ActionRestart
		p.PSK = ike.Secret("the next secret")
		changes := reload(p, second)
		require.ElementsMatch(t, []Change{
			{Peer: "gw", Field: "Timing", Effect: EffectRekey, Sessions: 1},
			{Peer: "gw", Field: "Proposals", Effect: EffectRekey, Sessions: 1},
			{Peer: "gw", Field: "DeadAction", Effect: EffectLive, Sessions: 1},
			{Peer: "gw", Field: "PSK", Effect: EffectReauth, Sessions: 1},
		}, changes)
		require.True(t, s.Up() && s2.Up())
		require.Contains(t, s.Info().Proposal.String(), "aes256")
		require.NoError(t, s.Rekey(ctx))
		require.Contains(t, s.Info().Proposal.String(), "aes128", "the next rekey has it")
		p.PSK = testPSK

		// A Child SA more, which has to be up; other selectors for the first.
		child := s.ChildSAs()[0].ID
		p.Children = append(p.Children, Child{Name: "more", Local: []string{"10.1.0.0/24"}, Remote: []string{"10.7.0.0/16"}, Start: StartAlways})
		changes = reload(p, second)
		require.Contains(t, changes, Change{Peer: "gw", Child: "more", Effect: EffectLive, Sessions: 1})
		require.Len(t, s.ChildSAs(), 2)
		require.Equal(t, child, s.ChildSAs()[0].ID, "what has not changed goes on")

		p = p.clone()
		p.Children[0].Remote = []string{"10.3.0.0/16"}
		p.Children[0].Start = StartAlways
		changes = reload(p, second)
		require.Contains(t, changes, Change{Peer: "gw", Child: "net", Field: "Remote", Effect: EffectDelete, Sessions: 1})
		require.Len(t, s.ChildSAs(), 2)
		for _, c := range s.ChildSAs() {
			if c.Name == "net" {
				require.NotEqual(t, child, c.ID)
				require.Equal(t, "10.3.0.0/16", c.RemoteTS[0].String())
			}
		}
		require.True(t, s.Up())

		// A peer is gone.
		changes = reload(p)
		require.Equal(t, []Change{{Peer: "second", Effect: EffectDelete, Sessions: 1}}, changes)
		<-s2.Done()
		require.ErrorContains(t, s2.Err(), "configuration")
		require.True(t, s.Up())
		_, err = client.Initiate(ctx, "second")
		require.ErrorIs(t, err, ErrNoPeer)

		// What cannot be changes nothing.
		bad := cfg(clientPeer())
		bad.Peers[0].RemoteID = "dn:nonsense"
		_, err = client.Reload(ctx, bad)
		require.ErrorIs(t, err, ErrConfig)
		require.ErrorContains(t, err, `Peers[0] "gw": RemoteID`)
		bad = cfg()
		bad.Logger, bad.Workers, bad.DataPlane = client.asked.Logger, 2, newPlane()
		_, err = client.Reload(ctx, bad)
		require.ErrorContains(t, err, "racoon: Workers: cannot change")
		require.ErrorContains(t, err, "racoon: DataPlane: cannot change")
		require.True(t, s.Up())
		require.Len(t, s.ChildSAs(), 2)
	})
}

// A peer that is no longer to be up stays down, one that is to be up now comes.
// A pointer of the configuration that the Manager has a copy of is compared by
// what is there.
func TestReloadRequest(t *testing.T) {
	bubble(t, func(t *testing.T, b *scene) {
		conns, plane := b.net.listen(clientAddr), newPlane()
		cfg := func(r ike.ConfigRequest) Config {
			return Config{DataPlane: plane, Listen: conns, Workers: 3, Peers: with(clientPeer(), func(p *Peer) { p.Request = &r })}
		}
		client := b.start(clientAddr, cfg(ike.ConfigRequest{IPv4: true}))
		reload := func(r ike.ConfigRequest) []Change {
			c := cfg(r)
			c.Logger = client.asked.Logger
			changes, err := client.Reload(t.Context(), c)
			require.NoError(t, err)
			return changes
		}
		require.Empty(t, reload(ike.ConfigRequest{IPv4: true}))
		require.Len(t, reload(ike.ConfigRequest{IPv6: true}), 1)
	})
}

func TestReloadStart(t *testing.T) {
	bubble(t, func(t *testing.T, b *scene) {
		gateway := b.start(gatewayAddr, Config{Peers: []Peer{gatewayPeer()}})
		client := b.start(clientAddr, Config{Peers: []Peer{clientPeer()}})
		set := func(change func(p *Peer)) {
			c := client.asked
			c.Peers = with(clientPeer(), change)
			_, err := client.Reload(t.Context(), c)
			require.NoError(t, err)
			time.Sleep(time.Second)
			synctest.Wait()
		}
		require.Zero(t, client.up())
		set(func(p *Peer) { p.Start = StartAlways })
		require.Equal(t, 1, client.up())
		set(func(p *Peer) { p.Start = StartNone })
		require.Equal(t, 1, client.up(), "a session that is up stays")
		require.NoError(t, only(t, gateway.Sessions()).Delete(t.Context()))
		time.Sleep(time.Hour)
		require.Zero(t, client.up())
		set(func(p *Peer) { p.Start = StartTrap })
		require.Len(t, client.plane.Policies(), 2)
		set(func(p *Peer) { p.Start = StartNone })
		require.Empty(t, client.plane.Policies())
	})
}

// A session whose configuration changed takes it at reauthentication.
func TestReloadThenReauthenticate(t *testing.T) {
	bubble(t, func(t *testing.T, b *scene) {
		b.start(gatewayAddr, Config{Peers: []Peer{gatewayPeer()}})
		client := b.start(clientAddr, Config{Peers: []Peer{clientPeer()}})
		s, err := client.Initiate(t.Context(), "gw")
		require.NoError(t, err)
		c := client.asked
		c.Peers = with(clientPeer(), func(p *Peer) { p.LocalID, p.MakeBeforeBreak, p.Unique = "bob@example.org", true, ike.UniqueNever })
		_, err = client.Reload(t.Context(), c)
		require.NoError(t, err)
		require.Equal(t, "alice@example.org", s.Info().LocalID.String())
		require.NoError(t, s.Reauthenticate(t.Context()))
		<-s.Done()
		require.Equal(t, "bob@example.org", only(t, client.Sessions()).Info().LocalID.String())
	})
}
