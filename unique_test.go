package racoon

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
)

// manyClients connect one after the other with one identity from different
// addresses, which spreads them over the gateway's workers.
func manyClients(t *testing.T, b *scene, policy ike.UniquePolicy, n int) (gateway *host, clients []*host, errs []error) {
	gateway = b.start(gatewayAddr, Config{Workers: 4, Peers: with(gatewayPeer(), func(p *Peer) { p.Unique = policy })})
	for i := range n {
		c := b.start(fmt.Sprintf("192.0.2.%d", 10+i), Config{Peers: with(clientPeer(), func(p *Peer) {
			p.Unique = ike.UniqueNever // sends no INITIAL_CONTACT
			if i%2 == 1 {
				p.LocalID = "ALICE@example.org" // the same identity
			}
		})})
		_, err := c.Initiate(t.Context(), "gw")
		synctest.Wait()
		clients, errs = append(clients, c), append(errs, err)
	}
	time.Sleep(time.Second)
	synctest.Wait()
	return gateway, clients, errs
}

func TestUniqueReplace(t *testing.T) {
	bubble(t, func(t *testing.T, b *scene) {
		gateway, clients, errs := manyClients(t, b, ike.UniqueReplace, 8)
		require.NoError(t, errors.Join(errs...))
		workers := make(map[uint64]bool)
		for _, ev := range gateway.events {
			if up, ok := ev.(ike.SessionUp); ok {
				workers[uint64(up.Session)>>56] = true
			}
		}
		require.Greater(t, len(workers), 1, "the sessions were on several workers")
		require.Equal(t, 1, gateway.up())
		for i, c := range clients {
			require.Equal(t, i == len(clients)-1, c.up() == 1, "client %d", i)
		}
		require.Equal(t, ike.DownReplaced, last[ike.SessionDown](gateway).Reason)
	})
}

func TestUniqueKeep(t *testing.T) {
	bubble(t, func(t *testing.T, b *scene) {
		gateway, clients, errs := manyClients(t, b, ike.UniqueKeep, 4)
		require.NoError(t, errs[0])
		for _, err := range errs[1:] {
			require.ErrorContains(t, err, "AUTHENTICATION_FAILED")
		}
		require.Equal(t, 1, gateway.up())
		require.Equal(t, 1, clients[0].up())
		require.ErrorContains(t, last[ike.SessionFailed](gateway).Err, "policy is to keep it")

		// The one kept is gone without a word: asked whether it lives, it is
		// found dead, and the next one is admitted.
		clients[0].kill(b.net)
		_, err := clients[1].Initiate(t.Context(), "gw")
		require.Error(t, err)
		time.Sleep(5 * time.Minute)
		_, err = clients[1].Initiate(t.Context(), "gw")
		require.NoError(t, err)
	})
}

func TestUniqueNeverAndNo(t *testing.T) {
	for _, policy := range []ike.UniquePolicy{ike.UniqueNever, ike.UniqueNo} {
		bubble(t, func(t *testing.T, b *scene) {
			gateway, clients, errs := manyClients(t, b, policy, 3)
			require.NoError(t, errors.Join(errs...))
			require.Equal(t, 3, gateway.up())
			// A client that restarts says that it has no other session.
			clients[0].kill(b.net)
			c := b.start("192.0.2.10", Config{Peers: []Peer{clientPeer()}})
			_, err := c.Initiate(t.Context(), "gw")
			require.NoError(t, err)
			time.Sleep(3 * time.Minute) // the one it had is asked to delete, and does not answer
			synctest.Wait()
			up := 0
			for s := range gateway.Sessions() {
				if s.Info().RemoteID.String() != "ALICE@example.org" {
					up++
				}
			}
			if policy == ike.UniqueNever {
				require.Equal(t, 2, up, "liveness has found the dead one; INITIAL_CONTACT is ignored")
			} else {
				require.Equal(t, 1, up, "INITIAL_CONTACT ends the others")
			}
		})
	}
}

// Both sides call each other at the same time: one session remains, and it is
// the same one.
func TestCrossingSessions(t *testing.T) {
	for range 10 {
		bubble(t, func(t *testing.T, b *scene) {
			peerOf := func(name, self, other string) []Peer {
				return []Peer{{Name: name, Remote: other, LocalID: self, RemoteID: other, PSK: testPSK, Unique: ike.UniqueReplace}}
			}
			one := b.start(clientAddr, Config{Peers: peerOf("two", clientAddr, gatewayAddr)})
			two := b.start(gatewayAddr, Config{Peers: peerOf("one", gatewayAddr, clientAddr)})
			done := make(chan error, 2)
			go func() { _, err := one.Initiate(context.Background(), "two"); done <- err }()
			go func() { _, err := two.Initiate(context.Background(), "one"); done <- err }()
			<-done
			<-done
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			s1, s2 := only(t, one.Sessions()), only(t, two.Sessions())
			require.Equal(t, s1.Info().LocalSPI, s2.Info().RemoteSPI)
		})
	}
}

func TestAuthorizeCallback(t *testing.T) {
	bubble(t, func(t *testing.T, b *scene) {
		asked := make(chan ike.AuthorizeRequest, 4)
		b.start(gatewayAddr, Config{
			Peers: []Peer{gatewayPeer()},
			Authorize: func(ctx context.Context, r ike.AuthorizeRequest) error {
				asked <- r
				if len(asked) == 1 {
					return errors.New("account is locked")
				}
				return nil
			},
		})
		client := b.start(clientAddr, Config{Peers: []Peer{clientPeer()}})
		_, err := client.Initiate(t.Context(), "gw")
		require.ErrorContains(t, err, "AUTHENTICATION_FAILED")
		_, err = client.Initiate(t.Context(), "gw")
		require.NoError(t, err)
		r := <-asked
		require.Equal(t, "clients", r.Peer)
		require.Equal(t, "alice@example.org", r.RemoteID.String())
	})
}
