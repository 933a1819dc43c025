package natt

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	spiI = 0x0102030405060708
	spiR = 0x1112131415161718
)

var (
	client  = netip.MustParseAddrPort("10.0.0.2:500")
	nat     = netip.MustParseAddrPort("198.51.100.7:1024")
	gateway = netip.MustParseAddrPort("203.0.113.1:500")
	inside  = netip.MustParseAddrPort("10.9.0.1:500")
)

func TestDetect(t *testing.T) {
	hash := func(a netip.AddrPort) []byte { return AppendHash(nil, SHA1, spiI, spiR, a) }
	for name, c := range map[string]struct {
		local, remote         netip.AddrPort // of the packet as received
		sources, destinations []netip.AddrPort
		want                  Detection
		text                  string
	}{
		"no NAT": {
			gateway, client, []netip.AddrPort{client}, []netip.AddrPort{gateway},
			Detection{Supported: true}, "no NAT",
		},
		"sender behind NAT": {
			gateway, nat, []netip.AddrPort{client}, []netip.AddrPort{gateway},
			Detection{Supported: true, RemoteNAT: true}, "peer behind NAT",
		},
		"receiver behind NAT": {
			inside, client, []netip.AddrPort{client}, []netip.AddrPort{gateway},
			Detection{Supported: true, LocalNAT: true}, "this side behind NAT",
		},
		"both": {
			inside, nat, []netip.AddrPort{client}, []netip.AddrPort{gateway},
			Detection{Supported: true, LocalNAT: true, RemoteNAT: true}, "both behind NAT",
		},
		"only the port changed": {
			gateway, netip.AddrPortFrom(client.Addr(), 501), []netip.AddrPort{client}, []netip.AddrPort{gateway},
			Detection{Supported: true, RemoteNAT: true}, "peer behind NAT",
		},
		"several sources, one right": {
			gateway, client, []netip.AddrPort{inside, nat, client, inside}, []netip.AddrPort{gateway},
			Detection{Supported: true}, "no NAT",
		},
		"feigned by the zero address": {
			gateway, client, []netip.AddrPort{{}}, []netip.AddrPort{gateway},
			Detection{Supported: true, RemoteNAT: true}, "peer behind NAT",
		},
		"no hashes":          {gateway, client, nil, nil, Detection{}, "peer without NAT traversal"},
		"only a source hash": {gateway, client, []netip.AddrPort{inside}, nil, Detection{}, "peer without NAT traversal"},
		"only a destination": {gateway, client, nil, []netip.AddrPort{inside}, Detection{}, "peer without NAT traversal"},
	} {
		d := NewDetector(SHA1, spiI, spiR, c.local, c.remote)
		for _, a := range c.sources {
			d.Source(hash(a))
		}
		for _, a := range c.destinations {
			d.Destination(hash(a))
		}
		got := d.Result()
		require.Equal(t, c.want, got, name)
		require.Equal(t, c.text, got.String(), name)
		require.Equal(t, got.LocalNAT || got.RemoteNAT, got.Found(), name)
	}
}

// TestDetectDependsOnSPIs: hashes of another exchange match nothing.
func TestDetectDependsOnSPIs(t *testing.T) {
	for _, spis := range [][2]uint64{{spiI, 0}, {spiR, spiI}, {spiI ^ 1, spiR}} {
		d := NewDetector(SHA1, spiI, spiR, gateway, client)
		d.Source(AppendHash(nil, SHA1, spis[0], spis[1], client))
		d.Destination(AppendHash(nil, SHA1, spis[0], spis[1], gateway))
		require.Equal(t, Detection{Supported: true, LocalNAT: true, RemoteNAT: true}, d.Result())
	}
}

// TestDetectIKEv1 uses each hash that IKEv1 may negotiate.
func TestDetectIKEv1(t *testing.T) {
	for _, h := range []Hash{MD5, SHA1, SHA256, SHA384, SHA512} {
		d := NewDetector(h, spiI, spiR, gateway, client)
		d.Source(AppendHash(nil, h, spiI, spiR, client))
		d.Destination(AppendHash(nil, h, spiI, spiR, gateway))
		require.Equal(t, Detection{Supported: true}, d.Result())
	}
}

func TestA32_NATDetectionHashes(t *testing.T) {
	right := AppendHash(nil, SHA1, spiI, spiR, client)
	destination := AppendHash(nil, SHA1, spiI, spiR, gateway)
	wrong := AppendHash(nil, SHA1, spiI, spiR, inside)

	t.Run("wrong length is as good as absent", func(t *testing.T) {
		for _, bad := range [][]byte{nil, {}, right[:19], append(right[:20:20], 0), make([]byte, 64), make([]byte, 65_000)} {
			d := NewDetector(SHA1, spiI, spiR, gateway, client)
			d.Source(bad)
			d.Destination(bad)
			require.False(t, d.Result().Supported)

			d.Source(right)
			d.Destination(destination)
			require.Equal(t, Detection{Supported: true}, d.Result())
		}
	})
	t.Run("64 sources", func(t *testing.T) {
		d := NewDetector(SHA1, spiI, spiR, gateway, client)
		d.Destination(destination)
		for range 63 {
			d.Source(wrong)
		}
		require.True(t, d.Result().RemoteNAT)
		d.Source(right)
		require.False(t, d.Result().RemoteNAT, "the 64th counts")
	})
	t.Run("no more than 64", func(t *testing.T) {
		d := NewDetector(SHA1, spiI, spiR, gateway, client)
		d.Destination(destination)
		for range MaxHashes {
			d.Source(wrong)
		}
		d.Source(right)
		require.True(t, d.Result().RemoteNAT, "the 65th does not")
	})
	t.Run("cost does not grow with the number", func(t *testing.T) {
		// No hash is computed per payload: a million of them take milliseconds, not a second.
		d := NewDetector(SHA1, spiI, spiR, gateway, client)
		start := time.Now()
		for range 1_000_000 {
			d.Source(wrong)
		}
		t.Log(time.Since(start))
		require.Zero(t, testing.AllocsPerRun(100, func() {
			d := NewDetector(SHA1, spiI, spiR, gateway, client)
			for range 100 {
				d.Source(wrong)
			}
			d.Destination(destination)
			_ = d.Result()
		}))
	})
	t.Run("unknown hash function", func(t *testing.T) {
		d := NewDetector(0, spiI, spiR, gateway, client)
		d.Source(nil)
		d.Destination([]byte{})
		require.False(t, d.Result().Supported)
	})
}

func BenchmarkDetector(b *testing.B) {
	source := AppendHash(nil, SHA1, spiI, spiR, client)
	destination := AppendHash(nil, SHA1, spiI, spiR, gateway)
	b.ReportAllocs()
	for b.Loop() {
		d := NewDetector(SHA1, spiI, spiR, gateway, client)
		d.Source(source)
		d.Destination(destination)
		if d.Result().Found() {
			b.Fatal("no NAT here")
		}
	}
}
