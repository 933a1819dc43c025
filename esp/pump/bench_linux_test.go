package pump_test

import (
	"fmt"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/spd"
)

// cpu is the time that this process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

type tunnelRun struct {
	bits, cpuPerGB float64
}

// BenchmarkTunnel is one TCP connection of iperf3 through a tunnel between two
// namespaces, beside wireguard-go between the same two, in turns. Ours has both
// ends in this process, wireguard-go has a process for each.
func BenchmarkTunnel(b *testing.B) {
	lab.Require(b, lab.Iperf3, lab.WireGuardGo)
	chacha := spd.SA{Encryption: spd.Transform{Type: spd.TransformENCR, ID: spd.EncrChaCha20Poly1305}, EncrKey: make([]byte, 36)}
	for _, bench := range []struct {
		name string
		o    tunnelOptions
	}{
		{"AES-GCM-16-128", tunnelOptions{mtu: 1420}},
		{"Parallel", tunnelOptions{mtu: 1420, parallel: 3}},
		{"Manager's socket", tunnelOptions{mtu: 1420, shared: true}},
		{"ChaCha20-Poly1305", tunnelOptions{mtu: 1420, sa: chacha}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			siteA, siteB := lab.NewPair(b)
			ga, gb := tunnel(b, siteA, siteB, bench.o)
			wa, wb := lab.StartWireGuardGo(b, siteA, siteB, 1420)
			siteA.MustPing(netip.MustParseAddr("10.4.0.1"), netip.MustParseAddr("10.4.0.2"))
			siteA.MustPing(netip.MustParseAddr("10.3.0.1"), netip.MustParseAddr("10.3.0.2"))

			run := func(net int, used func() time.Duration) tunnelRun {
				before := used()
				const d = 3 * time.Second
				r, err := siteA.Iperf3(netip.MustParseAddr(fmt.Sprintf("10.%d.0.1", net)), siteB.Namespace, netip.MustParseAddr(fmt.Sprintf("10.%d.0.2", net)), d)
				require.NoError(b, err)
				spent := used() - before
				return tunnelRun{r.BitsPerSecond, spent.Seconds() / (r.BitsPerSecond * d.Seconds() / 8e9)}
			}
			var ours, theirs []tunnelRun
			for b.Loop() {
				ours = append(ours, run(3, func() time.Duration { return cpu(b) }))
				theirs = append(theirs, run(4, func() time.Duration {
					x, err := wa.CPU()
					require.NoError(b, err)
					y, err := wb.CPU()
					require.NoError(b, err)
					return x + y
				}))
			}
			o, w := mean(ours), mean(theirs)
			b.ReportMetric(o.bits/1e9, "Gbit/s")
			b.ReportMetric(w.bits/1e9, "wireguard-Gbit/s")
			b.ReportMetric(o.bits/w.bits, "ratio")
			b.ReportMetric(o.cpuPerGB, "cpu-s/GB")
			b.ReportMetric(w.cpuPerGB, "wireguard-cpu-s/GB")
			b.Logf("a %+v", ga.pump.Stats())
			b.Logf("b %+v", gb.pump.Stats())
		})
	}
}

func mean(list []tunnelRun) (m tunnelRun) {
	for _, r := range list {
		m.bits += r.bits / float64(len(list))
		m.cpuPerGB += r.cpuPerGB / float64(len(list))
	}
	return m
}
