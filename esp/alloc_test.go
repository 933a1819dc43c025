package esp

import (
	"bytes"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd"
)

// TestAllocations: a packet costs none, neither in Seal and Open nor on its
// whole way through two engines.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("sync.Pool drops objects under the race detector")
	}
	// A collection would empty the pools, and clean up after other tests.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for name, alg := range algorithms(t) {
		for _, esn := range []bool{false, true} {
			v := []variant{alg, inUDP}
			if esn {
				v = append(v, extendedESN)
			}
			p := newPair(t, v...)
			s := p.ab.SAs[0]
			out, err := NewOutboundSA(&s, bytes.NewReader(make([]byte, 24)))
			require.NoError(t, err)
			in, err := NewInboundSA(&s)
			require.NoError(t, err)
			buf := make([]byte, 1600)
			require.Zero(t, testing.AllocsPerRun(20, func() {
				start, end, err := out.Seal(buf, 24, 1324, protoIPv4)
				if err == nil {
					_, err = in.Open(buf[start:end])
				}
				if err != nil {
					t.Error(err)
				}
			}), "seal and open %s", name)

			packet := udp("10.1.0.1:1", "10.2.0.2:2", 1300)
			room := roomy(packet)
			var a, b Batch
			require.Zero(t, testing.AllocsPerRun(20, func() {
				copy(room.Bytes(), packet)
				a.Reset()
				p.a.Outbound(&a, room)
				b.Reset()
				p.b.Inbound(&b, a.Datagrams...)
				if len(b.Packets) != 1 {
					t.Error("lost")
				}
			}), "engines %s", name)
		}
	}
	p := newPair(t, options(func(o *spd.Options) { o.Fragment = 500 }))
	room := roomy(udp("10.1.0.1:1", "10.2.0.2:2", 1300))
	var a Batch
	require.Zero(t, testing.AllocsPerRun(20, func() {
		a.Reset()
		p.a.Outbound(&a, room)
		if len(a.Datagrams) != 3 {
			t.Error("fragments")
		}
	}), "fragments")
}
