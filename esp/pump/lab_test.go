//go:build linux

package pump_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/esp"
	"github.com/racoon3/racoon/esp/pump"
	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/spd"
)

// gateway is one end of a tunnel between the sites of a lab, with sockets of
// its own and keys set by hand.
type gateway struct {
	site   *lab.Site
	engine *esp.Engine
	pump   *pump.Pump
	udp    *pump.UDPConn
	raw    *pump.RawConn
	outer  netip.AddrPort
}

type tunnelOptions struct {
	outer6 bool // over IPv6
	raw    bool // as protocol 50
	shared bool // through the sockets of a Manager
	mtu    int  // of the TUN devices

	parallel int
	sa       spd.SA
	bundle   func(*spd.Bundle)
}

// tunnel joins two sites: 10.3.0.1 and fd00:3::1 at a, 10.3.0.2 and fd00:3::2
// at b are the tunnel's ends, and each site's inner network is routed to.
func tunnel(t testing.TB, a, b *lab.Site, o tunnelOptions) (ga, gb *gateway) {
	if o.sa.Encryption.ID == 0 {
		o.sa.Encryption = spd.Transform{Type: spd.TransformENCR, ID: spd.EncrAESGCM16, KeyLen: 128}
		o.sa.EncrKey = make([]byte, 20)
	}
	gs := [2]*gateway{{site: a}, {site: b}}
	for i, g := range gs {
		g.engine = esp.New(esp.Config{RawESP: true})
		addr := g.site.Outer
		if o.outer6 {
			addr = g.site.Outer6
		}
		g.outer = netip.AddrPortFrom(addr, 4500)
		dev := g.site.CreateTUN("tun0", o.mtu)
		p, err := pump.New(pump.Config{Engine: g.engine, TUN: dev, Parallel: o.parallel})
		require.NoError(t, err)
		g.pump = p
		g.site.Do(func() {
			if o.raw {
				g.raw, err = pump.ListenRaw(addr)
			} else if !o.shared {
				g.udp, err = pump.ListenUDP(g.outer)
			}
		})
		require.NoError(t, err)
		served := make(chan error, 1)
		if o.shared {
			g.manager(t)
		} else if o.raw {
			p.SetRawWriter(g.raw)
			go func() { served <- g.raw.Serve(p) }()
		} else {
			p.SetWriter(g.udp)
			go func() { served <- g.udp.Serve(p) }()
		}
		t.Cleanup(func() {
			if o.raw {
				require.NoError(t, g.raw.Close())
			} else if !o.shared {
				require.NoError(t, g.udp.Close())
			}
			if !o.shared {
				require.NoError(t, <-served)
			}
			require.NoError(t, p.Close())
			require.NoError(t, g.engine.Close())
		})
		other := gs[1-i].site
		g.site.IP(fmt.Sprintf("addr add 10.3.0.%d/24 dev tun0", i+1), fmt.Sprintf("addr add fd00:3::%d/64 dev tun0 nodad", i+1),
			fmt.Sprintf("route add %v dev tun0 src %v", other.InnerNet, g.site.Inner),
			fmt.Sprintf("route add %v dev tun0 src %v", other.InnerNet6, g.site.Inner6))
		g.site.AwaitAddress(netip.MustParseAddr(fmt.Sprintf("fd00:3::%d", i+1)))
	}
	everything := []spd.TrafficSelector{
		spd.FromPrefix(netip.MustParsePrefix("0.0.0.0/0")), spd.FromPrefix(netip.MustParsePrefix("::/0")),
	}
	for i, g := range gs {
		other := gs[1-i]
		s := o.sa
		s.Protocol, s.SPI = spd.ProtoESP, spd.SPI(0x1000+i)
		rand.Read(s.EncrKey)
		out := spd.Bundle{
			SAs: []spd.SA{s}, ReqID: 1, Local: g.outer, Remote: other.outer, UDPEncap: !o.raw, LocalTS: everything, RemoteTS: everything,
		}
		if o.bundle != nil {
			o.bundle(&out)
		}
		in := out
		in.Local, in.Remote = out.Remote, out.Local
		require.NoError(t, other.engine.InstallInbound(t.Context(), &in))
		require.NoError(t, g.engine.InstallOutbound(t.Context(), &out))
		var policies []spd.Policy
		for _, ts := range everything {
			for _, d := range []spd.Direction{spd.In, spd.Out} {
				policies = append(policies, spd.Policy{Direction: d, Selector: spd.Selector{Local: ts, Remote: ts}, Action: spd.ActionProtect, ReqID: 1})
			}
		}
		require.NoError(t, g.engine.SetPolicies(t.Context(), 1, policies))
	}
	return gs[0], gs[1]
}

// manager makes a Manager without peers, whose NAT-T socket carries the ESP.
func (g *gateway) manager(t testing.TB) {
	m, err := racoon.NewManager(racoon.Config{
		DataPlane: g.engine, PacketHandler: g.pump,
		Listen: []racoon.Listen{{Conn: g.site.ListenUDP(g.outer), NATT: true}},
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- m.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.ErrorIs(t, <-served, context.Canceled)
	})
	<-m.Ready()
	g.pump.SetWriter(m)
}
