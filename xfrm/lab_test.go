//go:build linux

package xfrm_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/xfrm"
)

// TestLab runs all that needs a real kernel, in one: most of the time goes into
// its start and into loading its modules. A single one: -run TestLab/Traffic.
func TestLab(t *testing.T) {
	if !lab.InKernel(t, lab.KernelOptions{MemoryMB: 1024}) {
		return
	}
	lab.LoadAlgorithms(t)
	for _, x := range []struct {
		name string
		test func(t *testing.T)
	}{
		{"Capabilities", testLabCapabilities},
		{"Traffic", testLabTraffic},
		{"UserspacePeer", testLabUserspacePeer},
		{"Acquire", testLabAcquire},
		{"Hold", testLabHold},
		{"Lifetimes", testLabLifetimes},
		{"Larval", testLabLarval},
		{"Move", testLabMove},
		{"Mapping", testLabMapping},
		{"SocketOverflow", testLabSocketOverflow},
		{"Overflow", testLabOverflow},
		{"AdoptsPolicies", testLabAdoptsPolicies},
		{"Operations", testLabOperations},
		{"Migrate", testLabMigrate},
		{"Socket", testLabSocket},
		{"Restart", testLabRestart},
		{"Forward", testLabForward},
		{"VTI", testLabVTI},
		{"Interface", testLabInterface},
		{"Many", testLabMany},
	} {
		t.Run(x.name, x.test)
	}
}

// newPlane opens a data plane in a namespace of the lab.
func newPlane(t *testing.T, s *lab.Site, cfg xfrm.Config) *xfrm.DataPlane {
	t.Helper()
	cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("site", s.Name)
	var p *xfrm.DataPlane
	var err error
	s.Do(func() { p, err = xfrm.New(cfg) })
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// pair is two sites of the lab, both with the kernel as data plane.
type pair struct {
	a, b   *lab.Site
	pa, pb *xfrm.DataPlane
}

func newPair(t *testing.T, cfg xfrm.Config) *pair {
	a, b := lab.NewPair(t)
	a.RouteTo(b)
	b.RouteTo(a)
	return &pair{a: a, b: b, pa: newPlane(t, a, cfg), pb: newPlane(t, b, cfg)}
}

// child is a Child SA between the two, as key management would have negotiated it.
type child struct {
	proposal   string // "aes128gcm16-esn"; "ah:sha256"; "aes128-sha256+ipcomp", ...
	mode       spd.Mode
	encap      bool
	outer6     bool
	inner6     bool
	reqID      uint32
	window     int
	lifetime   spd.Lifetime
	options    spd.Options
	local      []spd.TrafficSelector // of a; nil: by mode
	remote     []spd.TrafficSelector
	noPolicies bool
	aPort      uint16
}

type installed struct {
	aIn, aOut, bIn, bOut *spd.Bundle
	aTS, bTS             []spd.TrafficSelector
}

func (c *child) transforms(t *testing.T) []spd.SA {
	var sas []spd.SA
	for _, part := range strings.Split(c.proposal, "+") {
		if part == "ipcomp" {
			sas = append([]spd.SA{{Protocol: spd.ProtoIPComp, Mode: c.mode, Encryption: spd.Transform{Type: spd.TransformENCR, ID: 2}}}, sas...)
			continue
		}
		proto := spd.ProtoESP
		if rest, ok := strings.CutPrefix(part, "ah:"); ok {
			proto, part = spd.ProtoAH, rest
		}
		p, err := spd.ParseProposal(proto, part)
		require.NoError(t, err, part)
		s := spd.SA{Protocol: proto, Mode: c.mode, ReplayWindow: c.window}
		s.Encryption, _ = p.Get(spd.TransformENCR)
		if i, ok := p.Get(spd.TransformINTEG); ok && i.ID != spd.IntegNone {
			s.Integrity = i
		}
		if e, ok := p.Get(spd.TransformESN); ok {
			s.ESN = e.ID == spd.ESNExtended
		}
		sas = append(sas, s)
	}
	return sas
}

func keyed(sas []spd.SA) []spd.SA {
	r := append([]spd.SA(nil), sas...)
	for i := range r {
		r[i].EncrKey, r[i].IntegKey = make(spd.Key, r[i].Encryption.KeymatLen()), make(spd.Key, r[i].Integrity.KeymatLen())
		if r[i].Protocol == spd.ProtoIPComp {
			r[i].EncrKey = nil
		}
		_, _ = rand.Read(r[i].EncrKey)
		_, _ = rand.Read(r[i].IntegKey)
	}
	return r
}

// install brings the Child SA up on both sides: SPIs reserved, inbound before
// outbound, policies last.
func (p *pair) install(t *testing.T, c child) *installed {
	t.Helper()
	ctx := context.Background()
	local, remote := p.a.Outer, p.b.Outer
	if c.outer6 {
		local, remote = p.a.Outer6, p.b.Outer6
	}
	if c.reqID == 0 {
		c.reqID = 1
	}
	if c.local == nil {
		switch {
		case c.mode == spd.ModeTransport:
			c.local, c.remote = []spd.TrafficSelector{spd.FromAddr(local)}, []spd.TrafficSelector{spd.FromAddr(remote)}
		case c.inner6:
			c.local, c.remote = []spd.TrafficSelector{spd.FromPrefix(p.a.InnerNet6)}, []spd.TrafficSelector{spd.FromPrefix(p.b.InnerNet6)}
		default:
			c.local, c.remote = []spd.TrafficSelector{spd.FromPrefix(p.a.InnerNet)}, []spd.TrafficSelector{spd.FromPrefix(p.b.InnerNet)}
		}
	}
	toB, toA := keyed(c.transforms(t)), keyed(c.transforms(t))
	for i := range toB {
		spi, err := p.pb.AllocSPI(ctx, spd.SPIRequest{Protocol: toB[i].Protocol, Local: remote, Remote: local, ReqID: c.reqID})
		require.NoError(t, err)
		toB[i].SPI = spi
		spi, err = p.pa.AllocSPI(ctx, spd.SPIRequest{Protocol: toA[i].Protocol, Local: local, Remote: remote, ReqID: c.reqID})
		require.NoError(t, err)
		toA[i].SPI = spi
	}
	aPort := c.aPort
	if aPort == 0 {
		aPort = 4500
	}
	bundle := func(sas []spd.SA, atA bool) *spd.Bundle {
		b := &spd.Bundle{SAs: append([]spd.SA(nil), sas...), ReqID: c.reqID, Local: netip.AddrPortFrom(local, aPort), Remote: netip.AddrPortFrom(remote, 4500), UDPEncap: c.encap,
			LocalTS: c.local, RemoteTS: c.remote, Lifetime: c.lifetime, Options: c.options}
		if !atA {
			b.Local, b.Remote, b.LocalTS, b.RemoteTS = b.Remote, b.Local, b.RemoteTS, b.LocalTS
		}
		return b
	}
	r := &installed{aIn: bundle(toA, true), aOut: bundle(toB, true), bIn: bundle(toB, false), bOut: bundle(toA, false), aTS: c.local, bTS: c.remote}
	// All of b comes first: packets that wait at a are sent as soon as a can.
	side := func(plane *xfrm.DataPlane, in, out *spd.Bundle) {
		t.Helper()
		require.NoError(t, plane.InstallInbound(ctx, in), c.proposal)
		require.NoError(t, plane.InstallOutbound(ctx, out), c.proposal)
		if !c.noPolicies {
			require.NoError(t, plane.SetPolicies(ctx, spd.Owner(c.reqID), bundlePolicies(out)))
		}
	}
	side(p.pb, r.bIn, r.bOut)
	side(p.pa, r.aIn, r.aOut)
	return r
}

// pings sends n pings from a, all of which have to be answered. Each is a program
// by itself: the last of several is not waited for as long as a busy machine may
// need.
func (p *pair) pings(t *testing.T, from, to netip.Addr, n, size int, args ...any) {
	t.Helper()
	for i := range n {
		got, err := p.a.Ping(from, to, 1, size, "-W", "20")
		require.NoError(t, err, args...)
		require.Equal(t, 1, got, "ping %d: %v\n%s\n%s\n%s", i, args, p.a.Run("ip", "-s", "xfrm", "state"), p.a.Run("ip", "xfrm", "policy"), p.b.Run("cat", "/proc/net/xfrm_stat"))
	}
}

// removeAll takes the Child SA down on both sides and returns b's inbound
// counters.
func (p *pair) removeAll(t *testing.T, r *installed) spd.Counters {
	t.Helper()
	ctx := context.Background()
	var last spd.Counters
	for _, x := range []struct {
		plane   *xfrm.DataPlane
		in, out *spd.Bundle
	}{{p.pa, r.aIn, r.aOut}, {p.pb, r.bIn, r.bOut}} {
		require.NoError(t, x.plane.SetPolicies(ctx, spd.Owner(x.in.ReqID), nil))
		for _, id := range x.out.IDs(spd.Out) {
			_, err := x.plane.Remove(ctx, id)
			require.NoError(t, err)
		}
		for _, id := range x.in.IDs(spd.In) {
			c, err := x.plane.Remove(ctx, id)
			require.NoError(t, err)
			last = c
		}
	}
	return last
}

// empty requires that the kernel has nothing any more.
func empty(t *testing.T, s *lab.Site) {
	t.Helper()
	require.Empty(t, s.Run("ip", "xfrm", "state"))
	require.Empty(t, s.Run("ip", "xfrm", "policy", "list", "nosock"))
}

// testLabCapabilities: what is found is what is known of this kernel.
func testLabCapabilities(t *testing.T) {
	a, _ := lab.NewPair(t)
	start := time.Now()
	p := newPlane(t, a, xfrm.Config{})
	c := p.Capabilities()
	t.Logf("%v: %+v", time.Since(start), c)
	for _, text := range []string{"aes128gcm16", "aes256gcm12", "aes128gcm8", "chacha20poly1305", "aes128ccm8", "aes128gmac", "aes128-sha256",
		"aes256-sha384", "aes192-sha512", "aes128-sha1", "3des-md5", "aes128-aesxcbc", "aes128-aescmac", "aes128ctr-sha256", "null-sha256"} {
		prop, err := spd.ParseProposal(spd.ProtoESP, text)
		require.NoError(t, err)
		for _, tr := range prop.Transforms {
			require.True(t, c.Supports(spd.ProtoESP, tr), "%s: %v", text, tr)
		}
	}
	require.True(t, c.Supports(spd.ProtoAH, spd.Transform{Type: spd.TransformINTEG, ID: spd.IntegHMACSHA256_128}))
	require.False(t, c.Supports(spd.ProtoAH, spd.Transform{Type: spd.TransformINTEG, ID: spd.IntegAES128GMAC}))
	require.True(t, c.ESN && c.Tunnel && c.Transport && c.UDPEncap && c.UDPEncap6 && c.RawESP && c.Bundles && c.Volume && c.TrapPolicy && c.Marks && c.InterfaceIDs)
	require.Equal(t, []uint8{2}, c.IPComp)
	require.Equal(t, 4096, c.MaxReplay)
	empty(t, a) // the search leaves nothing
}

// testLabTraffic sends pings through the kernel's ESP, AH and IPComp on both
// sides, for each algorithm and each way of carrying it.
func testLabTraffic(t *testing.T) {
	p := newPair(t, xfrm.Config{})
	// The kernel takes ESP in UDP from a socket that says so.
	for _, x := range []struct {
		s     *lab.Site
		plane *xfrm.DataPlane
	}{{p.a, p.pa}, {p.b, p.pb}} {
		for _, addr := range []netip.Addr{x.s.Outer, x.s.Outer6} {
			require.NoError(t, x.plane.PrepareSocket(x.s.ListenUDP(netip.AddrPortFrom(addr, 4500)), true))
		}
	}
	ping := func(c child) {
		t.Helper()
		name := fmt.Sprintf("%+v", c)
		r := p.install(t, c)
		from, to := p.a.Inner, p.b.Inner
		switch {
		case c.mode == spd.ModeTransport && c.outer6:
			from, to = p.a.Outer6, p.b.Outer6
		case c.mode == spd.ModeTransport:
			from, to = p.a.Outer, p.b.Outer
		case c.inner6:
			from, to = p.a.Inner6, p.b.Inner6
		}
		size := 56
		if strings.Contains(c.proposal, "ipcomp") {
			size = 1000 // so that it is worth it
		}
		p.pings(t, from, to, 2, size, name)
		counters := p.removeAll(t, r)
		require.EqualValues(t, 2, counters.Packets, name)
		require.NotZero(t, counters.Bytes, name)
		require.False(t, counters.LastUsed.IsZero(), name)
	}
	for _, proposal := range []string{"aes128gcm16", "aes256gcm12", "aes128gcm8", "chacha20poly1305", "aes128ccm16", "aes128ccm12", "aes256ccm8", "aes128gmac",
		"aes128-sha256", "aes256-sha384", "aes192-sha512", "aes128-sha1", "3des-md5", "aes128-aesxcbc", "aes128-aescmac", "aes128ctr-sha256", "null-sha256",
		"ah:sha256", "ah:sha1"} {
		ping(child{proposal: proposal, mode: spd.ModeTunnel})
	}
	for _, proposal := range []string{"aes128gcm16", "aes128-sha256-esn"} {
		for _, mode := range []spd.Mode{spd.ModeTunnel, spd.ModeTransport} {
			for _, encap := range []bool{false, true} {
				for _, outer6 := range []bool{false, true} {
					for _, inner6 := range []bool{false, true} {
						if mode == spd.ModeTransport && inner6 || mode == spd.ModeTransport && encap && outer6 {
							continue
						}
						ping(child{proposal: proposal, mode: mode, encap: encap, outer6: outer6, inner6: inner6, window: 4096})
					}
				}
			}
		}
	}
	for _, proposal := range []string{"aes128-sha256+ipcomp", "aes128gcm16+ah:sha256", "aes128gcm16+ah:sha256+ipcomp"} {
		for _, mode := range []spd.Mode{spd.ModeTunnel, spd.ModeTransport} {
			ping(child{proposal: proposal, mode: mode})
		}
	}
	empty(t, p.a)
	empty(t, p.b)
}
