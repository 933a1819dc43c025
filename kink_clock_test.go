package racoon

import (
	"context"
	"crypto/rand"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/testhost"
	"github.com/racoon3/racoon/kink"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/krb/krbtest"
	"github.com/racoon3/racoon/spd"
)

// otherClock is a KINK endpoint on a socket whose host has another time.
type otherClock struct {
	mu    sync.Mutex
	e     *kink.Endpoint
	conn  *net.UDPConn
	ahead time.Duration
	evs   []ike.Event
}

func newOtherClock(t *testing.T, conn *net.UDPConn, ahead time.Duration, k krb.Kerberos, plane spd.DataPlane, p *kink.Peer) *otherClock {
	o := &otherClock{conn: conn, ahead: ahead}
	e, err := kink.NewEndpoint(kink.Config{Rand: rand.Reader, DataPlane: plane, Kerberos: k, Started: o.now().Add(-time.Hour)})
	require.NoError(t, err)
	ps, err := kink.NewPeerSet([]*kink.Peer{p})
	require.NoError(t, err)
	e.SetPeers(ps)
	o.e = e
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 65536)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			o.do(func(now time.Time) {
				e.HandleDatagram(now, ike.Path{Local: conn.LocalAddr().(*net.UDPAddr).AddrPort(), Remote: from}, b[:n])
			})
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	return o
}

func (o *otherClock) now() time.Time { return time.Now().Add(o.ahead) }

// do gives the endpoint something, and does what it wants.
func (o *otherClock) do(f func(now time.Time)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f(o.now())
	for more := true; more; {
		more = false
		for j, ok := o.e.PollJob(); ok; j, ok = o.e.PollJob() {
			o.e.HandleResult(o.now(), j.Do(context.Background()))
			more = true
		}
		for tx, ok := o.e.PollTransmit(); ok; tx, ok = o.e.PollTransmit() {
			_, _ = o.conn.WriteToUDPAddrPort(tx.Packet, tx.Path.Remote) // the test's end closes it
			more = true
		}
		for ev, ok := o.e.PollEvent(); ok; ev, ok = o.e.PollEvent() {
			o.evs = append(o.evs, ev)
		}
	}
}

func (o *otherClock) up() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, ev := range o.evs {
		if _, ok := ev.(ike.ChildUp); ok {
			return true
		}
	}
	return false
}

// ownTime is a Kerberos whose tickets are half an hour old, so that they are valid
// on either clock.
type ownTime struct{ *krbtest.Host }

func (k ownTime) ServiceTicket(ctx context.Context, _ time.Time, server krb.Principal, o krb.TicketOptions) (*krb.Ticket, error) {
	return k.Host.ServiceTicket(ctx, time.Now().Add(-30*time.Minute), server, o)
}

// The clocks of a Manager's host and of its peer's differ by more than is allowed,
// in either direction. Whoever begins is told, protected, and goes on with the
// peer's time (RFC 4430 3.5), also for what follows.
func TestKINKClockSkew(t *testing.T) {
	for name, ahead := range map[string]time.Duration{"ahead": 20 * time.Minute, "behind": -20 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			var conns [2]*net.UDPConn
			for i := range conns {
				var err error
				conns[i], err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
				require.NoError(t, err)
			}
			realm := krbtest.NewRealm("EXAMPLE.COM", rand.Reader, krb.AES256SHA384)
			realm.SetLifetime(10 * time.Hour)
			hp, pp := spd.NewMemory(spd.MemoryConfig{}), spd.NewMemory(spd.MemoryConfig{})
			local, remote := spd.MustParseTrafficSelector("10.2.0.0/16"), spd.MustParseTrafficSelector("10.1.0.0/16")
			own := conns[0].LocalAddr().(*net.UDPAddr).AddrPort()
			peer := &kink.Peer{Name: "host", Principal: "kink/host.example.com@EXAMPLE.COM", Port: own.Port(),
				Children: []*ike.ChildConfig{{Name: "net", Local: []spd.TrafficSelector{local}, Remote: []spd.TrafficSelector{remote}, Proposals: spd.DefaultESPProposals(hp.Capabilities())}}}
			o := newOtherClock(t, conns[1], ahead, ownTime{realm.Host("kink/gw.example.com")}, pp, peer)
			host := serve(t, Config{DataPlane: hp, KINK: KINKConfig{Kerberos: ownTime{realm.Host("kink/host.example.com")}}, Listen: []Listen{{Conn: conns[0], KINK: true}},
				Peers: []Peer{{Name: "gw", Versions: []Version{KINK}, Remote: conns[1].LocalAddr().String(), KINK: KINKOptions{Principal: "kink/gw.example.com@EXAMPLE.COM"},
					Children: []Child{{Name: "net", Local: []string{"10.1.0.0/16"}, Remote: []string{"10.2.0.0/16"}}}}}})
			ctx := testContext(t)

			s, err := host.Initiate(ctx, "gw")
			require.NoError(t, err)
			require.True(t, s.Up())
			require.False(t, hp.Send(pp, flow, 100).Outcome.Gap())
			require.NoError(t, s.RekeyChild(ctx, s.ChildSAs()[0].ID), "it has remembered the difference")
			require.NoError(t, s.Delete(ctx))

			// And the other way round: the Manager explains, and is explained to.
			require.Eventually(t, func() bool { return first(host.Sessions()) == nil }, testhost.Patience, time.Millisecond)
			o.mu.Lock()
			o.evs = nil
			o.mu.Unlock()
			events := host.Subscribe(ctx)
			o.do(func(now time.Time) {
				_, err := o.e.Initiate(now, kink.Initiation{Peer: peer, Path: ike.Path{Local: netip.MustParseAddrPort(conns[1].LocalAddr().String()), Remote: own}})
				require.NoError(t, err)
			})
			refused := (<-events).(ike.SessionFailed)
			require.ErrorIs(t, refused.Err, krb.APErrSkew)
			require.ErrorContains(t, refused.Err, "the clock of kink/gw.example.com@EXAMPLE.COM differs from ours by")
			require.Eventually(t, o.up, testhost.Patience, time.Millisecond)
			require.Eventually(t, func() bool { return first(host.Sessions()) != nil && len(first(host.Sessions()).ChildSAs()) == 1 }, testhost.Patience, time.Millisecond)
			require.False(t, pp.Send(hp, spd.Flow{Src: flow.Dst, Dst: flow.Src, Protocol: 17, SrcPort: 53, DstPort: 1024}, 100).Outcome.Gap())
		})
	}
}
