package esp

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd"
)

// TestOverflow: a reader that falls behind learns of it, even if nothing ever
// happens again.
func TestOverflow(t *testing.T) {
	g := newGateway(t, Config{Events: 4}, "192.0.2.1:0")
	for i := range 10 {
		g.now = g.now.Add(time.Second)
		d := roomy(binary.BigEndian.AppendUint64(nil, uint64(1000+i)<<32))
		g.Inbound(&g.batch, Datagram{Packet: d})
	}
	var lost uint64
	var got int
	for range 4 {
		switch ev := g.event().(type) {
		case spd.OverflowEvent:
			lost += ev.Lost
		default:
			got++
		}
	}
	g.noEvent()
	require.Equal(t, 3, got)
	require.Positive(t, lost)
	g.now = g.now.Add(time.Second)
	g.Inbound(&g.batch, Datagram{Packet: roomy(make([]byte, 8)[:8:8])}, Datagram{Packet: roomy(binary.BigEndian.AppendUint64(nil, 5000<<32))})
	lost += g.event().(spd.OverflowEvent).Lost
	require.EqualValues(t, 7, lost)
	require.IsType(t, spd.PeerErrorEvent{}, g.event())
}

// TestUnknownSPIEventsAreLimited: a flood of packets without SA cannot push
// other events out.
func TestUnknownSPIEventsAreLimited(t *testing.T) {
	g := newGateway(t, Config{}, "192.0.2.1:0")
	for i := range 10000 {
		g.Inbound(&g.batch, Datagram{Packet: roomy(binary.BigEndian.AppendUint64(nil, uint64(1000+i)<<32))})
	}
	require.Len(t, g.Events(), limitPerSecond)
	require.EqualValues(t, 10000, g.Stats().UnknownSPI)
}
