package esp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd"
)

// TestVolumeLifetimes: one soft event, one hard event, and then nothing passes.
func TestVolumeLifetimes(t *testing.T) {
	packet := udp("10.1.0.1:1", "10.2.0.2:2", 72) // 100 octets
	for name, life := range map[string]spd.Lifetime{
		"packets": {SoftPackets: 3, HardPackets: 5},
		"octets":  {SoftBytes: 250, HardBytes: 450},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, func(b *spd.Bundle) { b.Lifetime = life })
			sent := 0
			for range 8 {
				ds := p.a.send(packet)
				sent += len(ds)
				p.b.receive(ds...)
			}
			require.Equal(t, 5, sent)
			out := p.a.event().(spd.ExpireEvent)
			require.False(t, out.Hard)
			require.EqualValues(t, 3, out.Counters.Packets)
			require.Equal(t, spd.Out, out.ID.Direction)
			out = p.a.event().(spd.ExpireEvent)
			require.True(t, out.Hard)
			require.False(t, out.Exhausted)
			p.a.noEvent()
			require.EqualValues(t, 3, p.a.counters(spd.Out, p.ab.SAs[0].SPI).OtherDrops)

			require.IsType(t, spd.FirstPacketEvent{}, p.b.event())
			in := p.b.event().(spd.ExpireEvent)
			require.Equal(t, spd.In, in.ID.Direction)
			require.False(t, in.Hard)
			require.True(t, p.b.event().(spd.ExpireEvent).Hard)
			p.b.noEvent()
		})
	}

	p := newPair(t, func(b *spd.Bundle) { b.Lifetime.HardTime = time.Hour })
	p.a.now = p.a.now.Add(time.Hour - 1)
	require.Len(t, p.a.send(packet), 1)
	p.a.now = p.a.now.Add(1)
	require.Empty(t, p.a.send(packet))
	require.True(t, p.a.event().(spd.ExpireEvent).Hard)
	require.Empty(t, p.a.send(packet))
	p.a.noEvent()
}
