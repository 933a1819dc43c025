package netstack_test

import (
	"io"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkTCP is one TCP connection through a tunnel in memory, both hosts and
// both gateways in this process.
func BenchmarkTCP(b *testing.B) {
	for _, bench := range []struct {
		name string
		to   netip.Addr
	}{{"IPv4", addr2}, {"IPv6", addr26}} {
		b.Run(bench.name, func(b *testing.B) {
			p := newPair(b, options{})
			l, err := p.b.Listen("tcp", ":80")
			require.NoError(b, err)
			defer l.Close()
			received := make(chan int64, 1)
			go func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				n, _ := io.CopyBuffer(struct{ io.Writer }{io.Discard}, c, make([]byte, 256<<10))
				received <- n
				c.Close()
			}()
			c, err := p.a.DialContext(b.Context(), "tcp", netip.AddrPortFrom(bench.to, 80).String())
			require.NoError(b, err)
			buf := make([]byte, 256<<10)
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			for b.Loop() {
				_, err := c.Write(buf)
				require.NoError(b, err)
			}
			require.NoError(b, c.Close())
			require.EqualValues(b, int64(b.N)*int64(len(buf)), <-received)
			b.ReportMetric(float64(p.a.Stats().Sent)/float64(b.N), "datagrams/op")
		})
	}
}
