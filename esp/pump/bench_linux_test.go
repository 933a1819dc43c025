package pump_test

import (
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/spd"
)

// A contender is a tunnel between two sites.
type contender struct {
	name     string
	a, b     *lab.Site
	from, to netip.Addr
	cpu      func() time.Duration // used so far by both ends
	runs     []tunnelRun
}

type tunnelRun struct{ bits, cpuPerGB float64 }

// runTime is how long a contender has for one run.
const runTime = 3 * time.Second

// run is one TCP connection of iperf3.
func (c *contender) run(b *testing.B) {
	before := c.cpu()
	r, err := c.a.Iperf3(c.from, c.b.Namespace, c.to, runTime)
	require.NoError(b, err, c.name)
	spent := c.cpu() - before
	c.runs = append(c.runs, tunnelRun{r.BitsPerSecond, spent.Seconds() / (r.BitsPerSecond * runTime.Seconds() / 8e9)})
}

func (c *contender) mean() (m tunnelRun) {
	for _, r := range c.runs {
		m.bits += r.bits / float64(len(c.runs))
		m.cpuPerGB += r.cpuPerGB / float64(len(c.runs))
	}
	return m
}

// BenchmarkTunnel is one TCP connection through a tunnel between two
// namespaces: ours with different settings, with both ends in this process,
// and two others with a process for each end. They take turns in each
// iteration; ratios are ours to theirs.
func BenchmarkTunnel(b *testing.B) {
	lab.Require(b, lab.Iperf3, lab.WireGuardGo, lab.StrongSwan)
	chacha := spd.SA{Encryption: spd.Transform{Type: spd.TransformENCR, ID: spd.EncrChaCha20Poly1305}, EncrKey: make([]byte, 36)}
	for _, bench := range []struct {
		name string
		o    tunnelOptions
	}{
		{"AES-GCM", tunnelOptions{mtu: 1420}},
		{"ChaCha20-Poly1305", tunnelOptions{mtu: 1420, sa: chacha}},
		{"Manager's socket", tunnelOptions{mtu: 1420, shared: true}},
		{"parallel", tunnelOptions{mtu: 1420, parallel: 3}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			ours, wireguard, strongswan := racoonTunnel(b, bench.o), wireguardTunnel(b), strongswanTunnel(b)
			for b.Loop() {
				ours.run(b)
				wireguard.run(b)
				strongswan.run(b)
			}
			o := ours.mean()
			b.ReportMetric(o.bits/1e9, "Gbit/s")
			b.ReportMetric(o.cpuPerGB, "CPU-s/GB")
			for _, c := range []*contender{wireguard, strongswan} {
				m := c.mean()
				b.ReportMetric(m.bits/1e9, c.name+"-Gbit/s")
				b.ReportMetric(m.cpuPerGB, c.name+"-CPU-s/GB")
				b.ReportMetric(o.bits/m.bits, "ratio-to-"+c.name)
			}
		})
	}
}

func racoonTunnel(b *testing.B, o tunnelOptions) *contender {
	siteA, siteB := lab.NewPair(b)
	tunnel(b, siteA, siteB, o)
	c := &contender{name: "racoon", a: siteA, b: siteB, from: netip.MustParseAddr("10.3.0.1"), to: netip.MustParseAddr("10.3.0.2")}
	c.cpu = func() time.Duration {
		var u syscall.Rusage
		require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	siteA.MustPing(c.from, c.to)
	return c
}

func wireguardTunnel(b *testing.B) *contender {
	siteA, siteB := lab.NewPair(b)
	pa, pb := lab.StartWireGuardGo(b, siteA, siteB, 1420)
	c := &contender{name: "wireguard-go", a: siteA, b: siteB, from: netip.MustParseAddr("10.4.0.1"), to: netip.MustParseAddr("10.4.0.2")}
	c.cpu = processes(b, pa, pb)
	siteA.MustPing(c.from, c.to)
	return c
}

func strongswanTunnel(b *testing.B) *contender {
	siteA, siteB := lab.NewPair(b)
	start := func(me, peer *lab.Site) *lab.Charon {
		return lab.StartStrongSwan(b, me.Namespace, lab.StrongSwanConfig{
			PSK: "lab-psk",
			Conns: []lab.StrongSwanConn{{
				Local: me.Outer.String(), Remote: peer.Outer.String(), LocalID: me.Name + ".lab", RemoteID: peer.Name + ".lab",
				Proposals: "aes128gcm16-prfsha256-x25519",
				Children:  []lab.StrongSwanChild{{LocalTS: me.InnerNet.String(), RemoteTS: peer.InnerNet.String(), Proposals: "aes128gcm16"}},
			}},
		})
	}
	ca, cb := start(siteA, siteB), start(siteB, siteA)
	require.NoError(b, ca.Initiate("net"))
	c := &contender{name: "libipsec", a: siteA, b: siteB, from: siteA.Inner, to: siteB.Inner}
	c.cpu = processes(b, ca.Process, cb.Process)
	siteA.MustPing(c.from, c.to)
	return c
}

func processes(b *testing.B, ps ...*lab.Process) func() time.Duration {
	return func() (sum time.Duration) {
		for _, p := range ps {
			d, err := p.CPU()
			require.NoError(b, err)
			sum += d
		}
		return sum
	}
}
