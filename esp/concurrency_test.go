package esp

import (
	"bytes"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/esp/replay"
	"github.com/racoon3/racoon/spd"
)

// TestConcurrentTrafficAndManagement: several goroutines send and receive on
// one pair while SAs are rekeyed, removed and moved, and policies change. No
// packet is lost, doubled or in clear; each arrives through some SA, and the
// counters of the SAs know them all, those of the removed ones too.
func TestConcurrentTrafficAndManagement(t *testing.T) {
	// A goroutine may be held up while the others send a thousand packets.
	wide := func(b *spd.Bundle) { b.SAs[0].ReplayWindow = replay.MaxSize }
	p := newPair(t, inUDP, wide)
	const workers, each = 4, 400
	var received, wrong atomic.Int64
	var removed spd.Counters
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			var a, b Batch
			packet := udp("10.1.0.1:1", "10.2.0.2:2", 100+w)
			room := roomy(packet)
			for range each {
				copy(room.Bytes(), packet)
				a.Reset()
				p.a.Outbound(&a, room)
				b.Reset()
				for _, d := range a.Datagrams {
					d.Local, d.Remote = d.Remote, d.Local
					p.b.Inbound(&b, d)
				}
				for _, got := range b.Packets {
					received.Add(1)
					if !bytes.Equal(got.Bytes(), packet) {
						wrong.Add(1)
					}
				}
			}
		})
	}
	ctx := t.Context()
	for gen := byte(2); gen < 40; gen++ {
		old := []spd.SAID{
			{Direction: spd.Out, Protocol: spd.ProtoESP, SPI: p.ab.SAs[0].SPI, Dst: p.b.outer.Addr()},
			{Direction: spd.In, Protocol: spd.ProtoESP, SPI: p.ab.SAs[0].SPI, Dst: p.b.outer.Addr()},
		}
		in := old[1]
		p.rekey(gen, inUDP, wide)
		require.NoError(t, p.b.MovePeer(ctx, in, spd.Endpoints{Local: p.b.outer, Remote: p.a.outer, UDPEncap: true}))
		require.NoError(t, p.a.SetPolicies(ctx, spd.Owner(gen), []spd.Policy{{Direction: spd.Out, Action: spd.ActionProtect, ReqID: reqID,
			Selector: spd.Selector{Local: p.a.nets[0], Remote: p.b.nets[0]}, Priority: uint32(gen)}}))
		c, err := p.a.Remove(ctx, old[0])
		require.NoError(t, err)
		removed = removed.Add(c)
		if gen%8 == 0 { // the inbound side lingers, as after a real rekey
			_, err = p.b.Query(ctx, in)
			require.NoError(t, err)
		}
	}
	wg.Wait()
	require.Zero(t, wrong.Load())
	require.EqualValues(t, workers*each, received.Load())
	require.EqualValues(t, workers*each, removed.Packets+p.a.counters(spd.Out, p.ab.SAs[0].SPI).Packets)
}

// TestFinalCounters: what Remove returns is what passed, however many packets
// are on their way at that moment.
func TestFinalCounters(t *testing.T) {
	packet := udp("10.1.0.1:1", "10.2.0.2:2", 100)
	for range 50 {
		p := newPair(t)
		var ds []Datagram
		for range 400 {
			ds = append(ds, p.a.send(packet)...)
		}
		var passed atomic.Uint64
		var wg sync.WaitGroup
		begun := make(chan struct{})
		for half := range 2 {
			wg.Go(func() {
				var b Batch
				for i := half; i < len(ds); i += 2 {
					if i == 20 {
						close(begun)
					}
					p.b.Inbound(&b, ds[i])
				}
				passed.Add(uint64(len(b.Packets)))
			})
		}
		<-begun
		c, err := p.b.Remove(t.Context(), spd.SAID{Direction: spd.In, Protocol: spd.ProtoESP, SPI: p.ab.SAs[0].SPI})
		require.NoError(t, err)
		wg.Wait()
		require.Equal(t, passed.Load(), c.Packets)
	}
}
