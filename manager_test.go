package racoon

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A Manager that never served ends as well: who follows its events sees the end.
func TestShutdownBeforeServe(t *testing.T) {
	bubble(t, func(t *testing.T, b *scene) {
		m, err := NewManager(Config{DataPlane: newPlane(), Listen: b.net.listen(clientAddr), Peers: []Peer{clientPeer()}})
		require.NoError(t, err)
		events := m.Subscribe(context.Background())
		initiated := make(chan error, 1)
		go func() {
			_, err := m.Initiate(context.Background(), "gw")
			initiated <- err
		}()
		synctest.Wait()
		require.NoError(t, m.Shutdown(t.Context()))
		require.ErrorIs(t, <-initiated, ErrClosed)
		_, open := <-events
		require.False(t, open)
		_, open = <-m.Subscribe(context.Background())
		require.False(t, open)
		require.NoError(t, m.Shutdown(t.Context()), "once more")
		require.ErrorIs(t, m.Serve(t.Context()), ErrClosed)
		_, err = m.Initiate(t.Context(), "gw")
		require.ErrorIs(t, err, ErrClosed)
		_, err = m.Reload(t.Context(), Config{})
		require.ErrorIs(t, err, ErrClosed)
	})
}

// Serve, Reload and Shutdown at the same time: nothing is touched by two, and
// when Shutdown has returned the Manager has ended.
func TestServeReloadShutdownAtOnce(t *testing.T) {
	for range 20 {
		bubble(t, func(t *testing.T, b *scene) {
			cfg := Config{DataPlane: newPlane(), Listen: b.net.listen(clientAddr), Workers: 2, Peers: []Peer{clientPeer()}}
			m, err := NewManager(cfg)
			require.NoError(t, err)
			var wg sync.WaitGroup
			wg.Go(func() {
				err := m.Serve(context.Background())
				require.True(t, err == nil || err == ErrClosed, "%v", err)
			})
			wg.Go(func() {
				for range 5 {
					_, err := m.Reload(context.Background(), cfg)
					require.True(t, err == nil || err == ErrClosed, "%v", err)
				}
			})
			wg.Go(func() {
				m.Stats(context.Background())
				require.NoError(t, m.Shutdown(context.Background()))
				select {
				case <-m.stopped:
				default:
					require.Fail(t, "Shutdown has returned before the Manager has ended")
				}
			})
			wg.Wait()
		})
	}
}

// stall keeps a worker from its work until the function that it returns is
// called.
func stall(w *worker) (release func()) {
	busy, free := make(chan struct{}), make(chan struct{})
	w.post(func(time.Time, core) error {
		close(busy)
		<-free
		return nil
	})
	<-busy
	return func() { close(free) }
}

// A reload whose context ends is taken as a whole or not at all.
func TestReloadCancelled(t *testing.T) {
	bubble(t, func(t *testing.T, b *scene) {
		b.start(gatewayAddr, Config{Peers: []Peer{gatewayPeer()}})
		b.start("192.0.2.3", Config{Peers: []Peer{gatewayPeer()}})
		second := with(clientPeer(), func(p *Peer) { p.Name, p.Remote = "second", "192.0.2.3" })[0]
		cfg := Config{DataPlane: newPlane(), Listen: b.net.listen(clientAddr), Workers: 3, Peers: []Peer{clientPeer(), second}}
		client := b.start(clientAddr, cfg)
		cfg.Logger = client.asked.Logger
		s, err := client.Initiate(t.Context(), "gw")
		require.NoError(t, err)
		s2, err := client.Initiate(t.Context(), "second")
		require.NoError(t, err)

		cfg.Peers = cfg.Peers[:1]
		over, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = client.Reload(over, cfg)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, []string{"gw", "second"}, client.Peers())

		var release []func()
		for _, w := range client.workers {
			release = append(release, stall(w))
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		changes, err := client.Reload(short, cfg)
		require.NoError(t, err)
		require.Equal(t, []Change{{Peer: "second", Effect: EffectDelete, Sessions: 1}}, changes)
		require.True(t, s2.Up(), "not yet")
		for _, f := range release {
			f()
		}
		<-s2.Done()
		require.True(t, s.Up())
		require.Equal(t, []string{"gw"}, client.Peers())
	})
}

// What concerns each session reaches it, however many there are and however
// long the worker is busy.
func TestOrdersOfTheManagerAreNotRefused(t *testing.T) {
	withFakes(t, Config{Workers: 1}, func(t *testing.T, m *Manager, _ []*fakeCore, _ *memoryNetwork) {
		w := m.workers[0]
		release := stall(w)
		const n = mailboxCommands + 1000
		done := 0
		for range n {
			w.post(func(time.Time, core) error { done++; return nil })
		}
		require.ErrorIs(t, w.do(t.Context(), func(time.Time, core) error { return nil }), ErrBusy, "a program's orders are")
		release()
		synctest.Wait()
		require.NoError(t, w.do(t.Context(), func(time.Time, core) error {
			require.Equal(t, n, done)
			return nil
		}))
	})
}

// What the program does with its own lists afterwards is not the Manager's.
func TestReloadSeesListsChangedInPlace(t *testing.T) {
	bubble(t, func(t *testing.T, b *scene) {
		cfg := Config{DataPlane: newPlane(), Listen: b.net.listen(clientAddr), Workers: 3, VendorIDs: [][]byte{[]byte("one")}, Peers: []Peer{clientPeer()}}
		client := b.start(clientAddr, cfg)
		cfg.Logger = client.asked.Logger
		cfg.VendorIDs[0][0] = 'x'
		_, err := client.Reload(t.Context(), cfg)
		require.ErrorContains(t, err, "VendorIDs: cannot change")
	})
}
