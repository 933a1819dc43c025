package racoon

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// bubble runs a test in virtual time.
func bubble(t *testing.T, f func(t *testing.T, b *scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, &scene{t: t, net: newMemoryNetwork()}) })
}

// scene is a network with Managers.
type scene struct {
	t   *testing.T
	net *memoryNetwork
}

// host is a Manager with what belongs to it.
type host struct {
	*Manager
	t     *testing.T
	plane *spd.Memory
	done  chan error
	end   context.CancelFunc

	mu     sync.Mutex
	events []ike.Event
}

// start serves a Manager at an address.
func (b *scene) start(addr string, cfg Config) *host {
	b.t.Helper()
	h := &host{t: b.t, plane: newPlane(), done: make(chan error, 1)}
	if cfg.Listen == nil {
		cfg.Listen = b.net.listen(addr)
	}
	if cfg.DataPlane == nil {
		cfg.DataPlane = h.plane
	}
	if cfg.Workers == 0 {
		cfg.Workers = 3
	}
	cfg.Logger = testLog(addr)
	m, err := NewManager(cfg)
	require.NoError(b.t, err)
	h.Manager = m
	var ctx context.Context
	ctx, h.end = context.WithCancel(context.Background())
	events := m.Subscribe(context.Background())
	go func() {
		for ev := range events {
			h.mu.Lock()
			h.events = append(h.events, ev)
			h.mu.Unlock()
		}
	}()
	go func() { h.done <- m.Serve(ctx) }()
	b.t.Cleanup(func() {
		h.end()
		<-m.stopped
	})
	<-m.Ready()
	return h
}

// newPlane returns a data plane whose SPIs do not come again in another one.
func newPlane() *spd.Memory {
	return spd.NewMemory(spd.MemoryConfig{SPI: func() spd.SPI { return spd.SPI(rand.Uint32() | 1<<31) }})
}

// kill takes a host off the network without a word.
func (h *host) kill(n *memoryNetwork) {
	n.cut(true)
	h.end()
	<-h.stopped
	n.cut(false)
}

// count returns how many events of a type there were.
func count[T ike.Event](h *host) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, ev := range h.events {
		if _, ok := ev.(T); ok {
			n++
		}
	}
	return n
}

func last[T ike.Event](h *host) (v T) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, ev := range h.events {
		if x, ok := ev.(T); ok {
			v = x
		}
	}
	return v
}

func (h *host) up() int {
	n := 0
	for range h.Sessions() {
		n++
	}
	return n
}

const (
	clientAddr  = "192.0.2.1"
	gatewayAddr = "192.0.2.2"
)

var testPSK = ike.Secret("a secret of both")

func clientPeer() Peer {
	return Peer{
		Name: "gw", Remote: gatewayAddr, LocalID: "alice@example.org", RemoteID: "gw.example.org", PSK: testPSK,
		Children: []Child{{Name: "net", Local: []string{"10.1.0.0/24"}, Remote: []string{"10.2.0.0/16"}}},
	}
}

func gatewayPeer() Peer {
	return Peer{
		Name: "clients", LocalID: "gw.example.org", RemoteID: "*@example.org", PSK: testPSK,
		Children: []Child{{Name: "net", Local: []string{"10.2.0.0/16"}, Remote: []string{"10.1.0.0/16"}}},
	}
}

func with(p Peer, change func(p *Peer)) []Peer {
	change(&p)
	return []Peer{p}
}

func TestStartAlwaysComesBack(t *testing.T) {
	bubble(t, func(t *testing.T, b *scene) {
		begin := time.Now()
		client := b.start(clientAddr, Config{Peers: with(clientPeer(), func(p *Peer) {
			p.Start = StartAlways
			p.Timing = ike.Timing{RetransmitTries: 2, RetransmitBase: time.Second, Liveness: 10 * time.Second}
		})})
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.Zero(t, client.up(), "nobody is there")
		require.Greater(t, count[ike.SessionFailed](client), 2)
		require.Less(t, count[ike.SessionFailed](client), 20, "it backs off")
		failed := last[ike.SessionFailed](client)
		require.ErrorContains(t, failed.Err, "no answer")

		gateway := b.start(gatewayAddr, Config{Peers: []Peer{gatewayPeer()}})
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		require.Equal(t, 1, client.up(), "after %v", time.Since(begin))
		require.Equal(t, 1, gateway.up())

		// The gateway dies and another one takes its place.
		gateway.kill(b.net)
		downs := count[ike.SessionDown](client)
		gateway = b.start(gatewayAddr, Config{Peers: []Peer{gatewayPeer()}})
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, downs+1, count[ike.SessionDown](client))
		require.Equal(t, ike.DownDead, last[ike.SessionDown](client).Reason)
		require.Equal(t, 1, client.up(), "comes back at once after a long life")
		require.Equal(t, 1, gateway.up())

		// The gateway deletes the session: CloseAction follows Start.
		require.NoError(t, only(t, gateway.Sessions()).Delete(t.Context()))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Equal(t, 1, client.up())

		// The program deletes it: it stays down until it is called again.
		require.NoError(t, only(t, client.Sessions()).Delete(t.Context()))
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Zero(t, client.up())
		_, err := client.Initiate(t.Context(), "gw")
		require.NoError(t, err)
		require.Equal(t, 1, client.up())
		require.NoError(t, gateway.Shutdown(t.Context()))
		require.NoError(t, client.Shutdown(t.Context()))
		require.Empty(t, client.plane.Leaks())
	})
}

// resolver answers from a function.
type resolver func(host string) ([]netip.Addr, error)

func (r resolver) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	return r(host)
}

func TestNameIsLookedUpForEachAttempt(t *testing.T) {
	bubble(t, func(t *testing.T, b *scene) {
		var mu sync.Mutex
		answer, fail := []netip.Addr{netip.MustParseAddr("192.0.2.99")}, errors.New("no such host")
		asked := 0
		client := b.start(clientAddr, Config{
			Resolver: resolver(func(host string) ([]netip.Addr, error) {
				mu.Lock()
				defer mu.Unlock()
				require.Equal(t, "gw.example.org", host)
				if asked++; asked == 1 {
					return nil, fail
				}
				return answer, nil
			}),
			Peers: with(clientPeer(), func(p *Peer) {
				p.Remote, p.RemoteID, p.Start = "gw.example.org", "", StartAlways
				p.Timing = ike.Timing{RetransmitTries: 1, RetransmitBase: time.Second}
			}),
		})
		b.start(gatewayAddr, Config{Peers: []Peer{gatewayPeer()}})
		time.Sleep(20 * time.Second)
		synctest.Wait()
		require.Zero(t, client.up(), "the name leads to a host that is not there")
		mu.Lock()
		require.Greater(t, asked, 1)
		answer = append(answer, netip.MustParseAddr(gatewayAddr)) // the second of two
		mu.Unlock()
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		require.Equal(t, 1, client.up())
	})
}

func TestInitiateExplains(t *testing.T) {
	bubble(t, func(t *testing.T, b *scene) {
		client := b.start(clientAddr, Config{Peers: []Peer{
			with(clientPeer(), func(p *Peer) { p.Name = "wrong key"; p.PSK = ike.Secret("another") })[0],
			with(clientPeer(), func(p *Peer) { p.Name = "wrong group"; p.Proposals = []string{"aes128-sha256-modp4096"} })[0],
			with(clientPeer(), func(p *Peer) { p.Name = "wrong net"; p.Children[0].Remote = []string{"10.3.0.0/16"} })[0],
			with(clientPeer(), func(p *Peer) { p.Name = "nobody"; p.Remote = "192.0.2.77" })[0],
			gatewayPeer(),
		}})
		b.start(gatewayAddr, Config{Peers: with(gatewayPeer(), func(p *Peer) { p.Proposals = []string{"aes256gcm16-prfsha256-x25519"} })})
		ctx := t.Context()
		for name, want := range map[string]string{
			"wrong key": "AUTHENTICATION_FAILED", "wrong group": "NO_PROPOSAL_CHOSEN", "nobody": "no answer",
			"clients": "Remote is empty", "unknown": "no such peer",
		} {
			s, err := client.Initiate(ctx, name)
			require.Nil(t, s, name)
			require.ErrorContains(t, err, want, name)
		}
		s, err := client.Initiate(ctx, "wrong net")
		require.ErrorContains(t, err, "TS_UNACCEPTABLE")
		require.True(t, s != nil && s.Up(), "the session itself is up")

		// Who gives up takes the attempt along, but not from others.
		b.net.cut(true)
		short, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		_, err = client.Initiate(short, "nobody")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		synctest.Wait()
		require.Zero(t, client.Stats(ctx).Calls)
		require.Equal(t, 1, client.Stats(ctx).IKE.Sessions)
	})
}

func TestInitiateJoins(t *testing.T) {
	bubble(t, func(t *testing.T, b *scene) {
		client := b.start(clientAddr, Config{Peers: []Peer{clientPeer()}})
		b.start(gatewayAddr, Config{Peers: []Peer{gatewayPeer()}})
		var sessions [5]*Session
		var wg sync.WaitGroup
		for i := range sessions {
			wg.Go(func() {
				var err error
				sessions[i], err = client.Initiate(t.Context(), "gw")
				require.NoError(t, err)
			})
		}
		wg.Wait()
		for _, s := range sessions {
			require.Same(t, sessions[0], s)
		}
		require.Equal(t, 1, count[ike.SessionUp](client))
	})
}

func TestReauthentication(t *testing.T) {
	for _, mbb := range []bool{false, true} {
		bubble(t, func(t *testing.T, b *scene) {
			client := b.start(clientAddr, Config{Peers: with(clientPeer(), func(p *Peer) {
				p.MakeBeforeBreak = mbb
				p.Timing.Reauth = time.Hour
			})})
			gateway := b.start(gatewayAddr, Config{Peers: []Peer{gatewayPeer()}})
			s, err := client.Initiate(t.Context(), "gw")
			require.NoError(t, err)
			time.Sleep(90 * time.Minute)
			synctest.Wait()
			require.False(t, s.Up())
			require.ErrorContains(t, s.Err(), "reauth")
			next := only(t, client.Sessions())
			require.NotEqual(t, s.ID(), next.ID())
			require.Len(t, next.ChildSAs(), 1)
			require.Equal(t, 1, gateway.up())
			require.False(t, client.plane.Send(gateway.plane, flow, 100).Outcome.Gap())
			require.Len(t, client.plane.SAs(), 2)
		})
	}
}

func TestTraps(t *testing.T) {
	bubble(t, func(t *testing.T, b *scene) {
		client := b.start(clientAddr, Config{Peers: with(clientPeer(), func(p *Peer) {
			p.Start = StartTrap
			p.Timing = ike.Timing{RetransmitTries: 1, RetransmitBase: time.Second}
			p.Children = append(p.Children, Child{Name: "other", Local: []string{"10.1.0.0/24"}, Remote: []string{"10.5.0.0/16"}})
		})})
		synctest.Wait()
		require.Len(t, client.plane.Policies(), 4)

		// Nobody is there: the packet is answered nevertheless.
		require.True(t, client.plane.Send(client.plane, flow, 100).Outcome.Gap())
		require.Equal(t, 1, client.plane.PendingAcquires())
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Zero(t, client.plane.PendingAcquires())
		require.Equal(t, 1, count[ike.SessionFailed](client))

		gateway := b.start(gatewayAddr, Config{Peers: with(gatewayPeer(), func(p *Peer) {
			p.Children = append(p.Children, Child{Name: "other", Local: []string{"10.5.0.0/16"}, Remote: []string{"10.1.0.0/16"}})
		})})
		client.plane.Send(gateway.plane, flow, 100)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Zero(t, client.plane.PendingAcquires())
		s := only(t, client.Sessions())
		require.Len(t, s.ChildSAs(), 1, "only what the packet needs")
		require.False(t, client.plane.Send(gateway.plane, flow, 100).Outcome.Gap())

		// Another policy, the same session.
		far := flow
		far.Dst = netip.MustParseAddr("10.5.0.1")
		client.plane.Send(gateway.plane, far, 100)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Len(t, s.ChildSAs(), 2)
		require.False(t, client.plane.Send(gateway.plane, far, 100).Outcome.Gap())
		require.Zero(t, client.plane.PendingAcquires())

		// When the session ends the traps wait again.
		require.NoError(t, s.Delete(t.Context()))
		require.Len(t, client.plane.Policies(), 4)
		require.NoError(t, client.Shutdown(t.Context()))
		require.Empty(t, client.plane.Policies())
	})
}

func TestShutdown(t *testing.T) {
	bubble(t, func(t *testing.T, b *scene) {
		client := b.start(clientAddr, Config{Peers: []Peer{clientPeer()}})
		gateway := b.start(gatewayAddr, Config{Peers: []Peer{gatewayPeer()}})
		s, err := client.Initiate(t.Context(), "gw")
		require.NoError(t, err)
		b.net.cut(true)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		err = client.Shutdown(ctx)
		require.ErrorContains(t, err, "1 sessions were not deleted in time")
		require.NoError(t, <-client.done)
		<-s.Done()
		require.Empty(t, client.plane.Leaks(), "SAs are removed all the same")
		_, err = client.Initiate(t.Context(), "gw")
		require.ErrorIs(t, err, ErrClosed)

		b.net.cut(false)
		client = b.start(clientAddr, Config{Peers: []Peer{clientPeer()}})
		_, err = client.Initiate(t.Context(), "gw")
		require.NoError(t, err)
		require.NoError(t, gateway.Shutdown(t.Context()))
		synctest.Wait()
		require.Zero(t, client.up(), "the peer was told")
		require.Empty(t, gateway.plane.Leaks())
		require.ErrorIs(t, gateway.Serve(t.Context()), ErrServing)
	})
}
