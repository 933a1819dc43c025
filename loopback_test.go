package racoon

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/testhost"
	"github.com/racoon3/racoon/spd"
)

// testLog is where a test's Managers log to: nowhere, unless the test is run
// with -v.
func testLog(name string) *slog.Logger {
	if !testing.Verbose() {
		return nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("manager", name)
}

// serve runs a Manager for the time of a test and checks that it ends cleanly.
func serve(t *testing.T, cfg Config) *Manager {
	t.Helper()
	m, err := NewManager(cfg)
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- m.Serve(context.Background()) }()
	select {
	case <-m.Ready():
	case err := <-served:
		require.NoError(t, err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		m.Shutdown(ctx)
		require.NoError(t, <-served)
	})
	return m
}

// udpListen are two UDP sockets on free ports of an address.
func udpListen(t *testing.T, addr string) (list []Listen, plain, natt netip.AddrPort) {
	t.Helper()
	for i := range 2 {
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(addr), 0)))
		if err != nil {
			testhost.Missing(t, "no address %s here: %v", addr, err)
		}
		list = append(list, Listen{Conn: c, NATT: i == 1})
	}
	at := func(i int) netip.AddrPort { return list[i].Conn.LocalAddr().(*net.UDPAddr).AddrPort() }
	return list, at(0), at(1)
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), testhost.Patience)
	t.Cleanup(cancel)
	return ctx
}

func port(a netip.AddrPort) uint16 { return a.Port() }

// pairOfManagers are a client and a gateway over UDP on the loopback
// interface.
func pairOfManagers(t *testing.T, addr string, change func(client, gateway *Config)) (client, gateway *Manager, cp, gp *spd.Memory) {
	t.Helper()
	cl, _, _ := udpListen(t, addr)
	gl, plain, natt := udpListen(t, addr)
	cp, gp = spd.NewMemory(spd.MemoryConfig{}), spd.NewMemory(spd.MemoryConfig{})
	psk := ike.Secret("a secret of both")
	cc := Config{
		DataPlane: cp, Listen: cl, Logger: testLog("client"),
		Peers: []Peer{{
			Name: "gw", Remote: plain.String(), RemoteNATT: port(natt), LocalID: "alice@example.org", RemoteID: "gw.example.org", PSK: psk,
			Children: []Child{{Name: "net", Local: []string{"10.1.0.0/24"}, Remote: []string{"10.2.0.0/16"}}},
		}},
	}
	gc := Config{
		DataPlane: gp, Listen: gl, Logger: testLog("gateway"),
		Peers: []Peer{{
			Name: "clients", LocalID: "gw.example.org", RemoteID: "*@example.org", PSK: psk,
			Children: []Child{{Name: "net", Local: []string{"10.2.0.0/16"}, Remote: []string{"10.1.0.0/16"}}},
		}},
	}
	if change != nil {
		change(&cc, &gc)
	}
	return serve(t, cc), serve(t, gc), cp, gp
}

func only[T any](t *testing.T, seq func(func(T) bool)) (v T) {
	t.Helper()
	n := 0
	for x := range seq {
		v = x
		n++
	}
	require.Equal(t, 1, n)
	return v
}

// flow is a packet from the client's network to the gateway's.
var flow = spd.Flow{Src: netip.MustParseAddr("10.1.0.7"), Dst: netip.MustParseAddr("10.2.0.9"), Protocol: 17, SrcPort: 1024, DstPort: 53}

func TestTwoManagers(t *testing.T) {
	for _, addr := range []string{"127.0.0.1", "::1"} {
		t.Run(addr, func(t *testing.T) {
			client, gateway, cp, gp := pairOfManagers(t, addr, nil)
			ctx := testContext(t)
			s, err := client.Initiate(ctx, "gw")
			require.NoError(t, err)
			require.True(t, s.Up())
			require.Equal(t, "gw", s.Peer())
			require.Len(t, s.ChildSAs(), 1)
			require.Equal(t, "gw.example.org", s.Info().RemoteID.String())

			g := only(t, gateway.Sessions())
			require.Equal(t, "alice@example.org", g.Info().RemoteID.String())
			require.Equal(t, s.Info().LocalSPI, g.Info().RemoteSPI)

			d := cp.Send(gp, flow, 100)
			require.False(t, d.Outcome.Gap(), "%v", d)

			before := s.ChildSAs()[0]
			require.NoError(t, s.RekeyChild(ctx, before.ID))
			after := s.ChildSAs()[0]
			require.Equal(t, before.ID, after.ID)
			require.NotEqual(t, before.ChildSPIs, after.ChildSPIs)
			require.Equal(t, 1, after.Rekeys)
			require.False(t, cp.Send(gp, flow, 100).Outcome.Gap())

			spi := s.Info().LocalSPI
			require.NoError(t, s.Rekey(ctx))
			require.NotEqual(t, spi, s.Info().LocalSPI)
			require.NoError(t, g.Rekey(ctx), "the other side begins")

			st, err := s.Stats(ctx)
			require.NoError(t, err)
			require.Equal(t, uint64(2), st.Sent.Packets, "counted through the rekey")
			require.Equal(t, 2, st.IKERekeys)

			same, err := client.Initiate(ctx, "gw")
			require.NoError(t, err)
			require.Same(t, s, same, "there is a session already")

			require.NoError(t, s.Delete(ctx))
			select {
			case <-g.Done():
			case <-ctx.Done():
				t.Fatal("the gateway did not notice")
			}
			require.ErrorIs(t, s.Rekey(ctx), ErrSessionEnded)
			require.Equal(t, ike.DownRemote, g.reason)

			require.NoError(t, client.Shutdown(ctx))
			require.NoError(t, gateway.Shutdown(ctx))
			require.Empty(t, cp.Leaks())
			require.Empty(t, gp.Leaks())
		})
	}
}

// A rekey that the peer refuses is an error at once, and the SA lives on.
func TestRefusedRekeyIsTold(t *testing.T) {
	client, _, cp, gp := pairOfManagers(t, "127.0.0.1", func(_, g *Config) {
		g.Peers[0].Children[0].Proposals = []string{"aes128gcm16-ecp256"} // the first Child SA has no key exchange, its rekey must
	})
	ctx := testContext(t)
	s, err := client.Initiate(ctx, "gw")
	require.NoError(t, err)
	child := s.ChildSAs()[0]
	err = s.RekeyChild(ctx, child.ID)
	require.ErrorContains(t, err, "NO_PROPOSAL_CHOSEN")
	require.Equal(t, child.ChildSPIs, s.ChildSAs()[0].ChildSPIs)
	require.False(t, cp.Send(gp, flow, 100).Outcome.Gap())
}

// slowRemoval is a data plane whose Remove waits.
type slowRemoval struct {
	*spd.Memory
	begun, release chan struct{}
	once           sync.Once
}

func (p *slowRemoval) Remove(ctx context.Context, id spd.SAID) (spd.Counters, error) {
	p.once.Do(func() { close(p.begun) })
	select {
	case <-p.release:
	case <-ctx.Done():
	}
	return p.Memory.Remove(ctx, id)
}

// TestEndWaitsForTheDataPlane: a session has ended when its SAs are removed; not
// before do Delete and Done say so, and then the counters are final.
func TestEndWaitsForTheDataPlane(t *testing.T) {
	slow := &slowRemoval{begun: make(chan struct{}), release: make(chan struct{})}
	client, gateway, cp, gp := pairOfManagers(t, "127.0.0.1", func(c, _ *Config) {
		slow.Memory = c.DataPlane.(*spd.Memory)
		c.DataPlane = slow
	})
	ctx := testContext(t)
	events := client.Subscribe(ctx)
	s, err := client.Initiate(ctx, "gw")
	require.NoError(t, err)
	require.False(t, cp.Send(gp, flow, 100).Outcome.Gap())

	g := only(t, gateway.Sessions())
	deleted := make(chan error, 2)
	go func() { deleted <- s.Delete(ctx) }()
	<-slow.begun
	go func() { deleted <- s.Delete(ctx) }() // the protocol knows it no more
	<-g.Done()                               // the peer knows
	require.True(t, s.Up())
	require.Empty(t, deleted)
	close(slow.release)
	require.NoError(t, <-deleted)
	require.NoError(t, <-deleted)
	require.False(t, s.Up())
	st, err := s.Stats(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 1, st.Sent.Packets)
	require.EqualValues(t, 100, st.Sent.Bytes)
	require.Zero(t, cp.SAs())

	var last []ike.Event
	for ev := range events {
		last = append(last, ev)
		if _, ok := ev.(ike.SessionDown); ok {
			break
		}
	}
	down, ok := last[len(last)-2].(ike.ChildDown)
	require.True(t, ok, "%T", last[len(last)-2])
	require.True(t, down.SessionEnds)
	require.EqualValues(t, 1, down.Out.Packets)
}
