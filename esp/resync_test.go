package esp

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd"
)

// TestResynchronization: after a loss of more than 2^32 packets in a row the
// receiver finds the sender again (RFC 4303 appendix A3), whatever the cipher.
func TestResynchronization(t *testing.T) {
	packet := udp("10.1.0.1:1", "10.2.0.2:2", 8)
	for name, alg := range map[string]variant{
		"GCM":      algorithm(encr(spd.EncrAESGCM16, 128), spd.Transform{}),
		"GCM-8":    algorithm(encr(spd.EncrAESGCM8, 128), spd.Transform{}),
		"ChaCha20": algorithm(encr(spd.EncrChaCha20Poly1305, 0), spd.Transform{}),
		"CBC":      algorithm(encr(spd.EncrAESCBC, 128), integ(spd.IntegHMACSHA256_128)),
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, alg, extendedESN)
			out := p.a.outbound[p.ab.SAs[0].SPI][0].sa
			in := p.b.in.get(uint32(p.ab.SAs[0].SPI)).sa
			require.Len(t, p.b.receive(p.a.send(packet, packet)...), 2)

			out.seq.Store(resyncTries<<32 + 10)
			early := cloned(p.a.send(packet))
			for range resyncAfter - 2 {
				require.Empty(t, p.b.receive(p.a.send(packet)...))
			}
			require.Empty(t, p.b.receive(early...))
			require.Equal(t, [][]byte{packet}, p.b.receive(p.a.send(packet)...))
			require.Equal(t, out.Sequence(), in.window.Top())
			require.Len(t, p.b.receive(p.a.send(packet)...), 1, "and those that follow at once")
			require.EqualValues(t, resyncAfter-1, p.b.counters(spd.In, p.ab.SAs[0].SPI).AuthDrops)

			// Farther than that it does not look, nor back.
			for _, seq := range []uint64{(2*resyncTries+1)<<32 + 20, 1 << 32} {
				out.seq.Store(seq)
				for range 2 * resyncAfter {
					require.Empty(t, p.b.receive(p.a.send(packet)...))
				}
			}
		})
	}
}

// TestResynchronizationTakesFailuresInARow: a packet that passes begins the
// count anew, so forged packets among good ones cost one check each.
func TestResynchronizationTakesFailuresInARow(t *testing.T) {
	p := newPair(t, extendedESN)
	packet := udp("10.1.0.1:1", "10.2.0.2:2", 8)
	in := p.b.in.get(uint32(p.ab.SAs[0].SPI)).sa
	for range resyncAfter {
		ds := p.a.send(packet, packet)
		ds[0].Bytes()[20] ^= 1
		require.Len(t, p.b.receive(ds...), 1)
		require.False(t, in.failed.due())
	}
}
