//go:build linux

package xfrm_test

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/esp"
	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/internal/testhost"
	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/xfrm"
)

// testLabUserspacePeer: userspace ESP talks with the kernel's, as this package
// sets it up: each algorithm that both have, with keys in KEYMAT form.
func testLabUserspacePeer(t *testing.T) {
	a, b := lab.NewPair(t)
	a.RouteTo(b)
	b.RouteTo(a)
	pb := newPlane(t, b, xfrm.Config{})
	engine := esp.New(esp.Config{RawESP: true})
	defer engine.Close()
	var raw net.PacketConn
	a.Do(func() {
		var err error
		raw, err = net.ListenPacket("ip4:50", a.Outer.String())
		require.NoError(t, err)
	})
	defer raw.Close()
	ctx := context.Background()
	caps, theirs := engine.Capabilities(), pb.Capabilities()
	spi := spd.SPI(0x5000)
	tried := 0
	for _, text := range []string{"aes128gcm16", "aes256gcm12", "aes192gcm8", "chacha20poly1305", "aes128ccm16", "aes256ccm12", "aes128ccm8", "aes128gmac", "aes128-sha256-esn", "aes256-sha384",
		"aes192-sha512", "aes128-sha1", "aes128-md5", "aes128-aesxcbc", "aes128-aescmac", "aes128ctr-sha256", "aes256ctr-sha512", "3des-sha1", "null-sha256", "aes128gcm16-esn"} {
		prop, err := spd.ParseProposal(spd.ProtoESP, text)
		require.NoError(t, err)
		for _, tr := range prop.Transforms {
			require.True(t, caps.Supports(spd.ProtoESP, tr) && theirs.Supports(spd.ProtoESP, tr), "%s: %v", text, tr)
		}
		c := child{proposal: text}
		toB, toA := keyed(c.transforms(t)), keyed(c.transforms(t))
		spi += 2
		toB[0].SPI, toA[0].SPI = spi, spi+1
		bundle := func(sas []spd.SA, atA bool) *spd.Bundle {
			x := &spd.Bundle{SAs: sas, ReqID: 1, Local: netip.AddrPortFrom(a.Outer, 4500), Remote: netip.AddrPortFrom(b.Outer, 4500),
				LocalTS: []spd.TrafficSelector{spd.FromAddr(a.Inner)}, RemoteTS: []spd.TrafficSelector{spd.FromAddr(b.Inner)}}
			if !atA {
				x.Local, x.Remote, x.LocalTS, x.RemoteTS = x.Remote, x.Local, x.RemoteTS, x.LocalTS
			}
			return x
		}
		for _, x := range []struct {
			plane   spd.DataPlane
			in, out *spd.Bundle
		}{{engine, bundle(toA, true), bundle(toB, true)}, {pb, bundle(toB, false), bundle(toA, false)}} {
			require.NoError(t, x.plane.InstallInbound(ctx, x.in), text)
			require.NoError(t, x.plane.InstallOutbound(ctx, x.out), text)
			require.NoError(t, x.plane.SetPolicies(ctx, 1, bundlePolicies(x.out)), text)
		}
		require.True(t, echo(t, engine, raw, a.Inner, b.Inner, a.Outer, b.Outer), "%s: %s", text, b.Run("cat", "/proc/net/xfrm_stat"))
		_, err = engine.Remove(ctx, bundle(toB, true).ID(spd.Out, 0))
		require.NoError(t, err)
		counters, err := pb.Remove(ctx, bundle(toB, false).ID(spd.In, 0))
		require.NoError(t, err)
		require.EqualValues(t, 1, counters.Packets)
		_, err = pb.Remove(ctx, bundle(toA, false).ID(spd.Out, 0))
		require.NoError(t, err)
		tried++
	}
	require.Equal(t, 20, tried)
}

// echo sends an ICMP echo request through the engine and waits for its answer.
func echo(t *testing.T, engine *esp.Engine, raw net.PacketConn, from, to, local, remote netip.Addr) bool {
	p := []byte{0x45, 0, 0, 48, 0, 0, 0, 0, 64, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 7, 0, 1}
	copy(p[12:], from.AsSlice())
	copy(p[16:], to.AsSlice())
	p = append(p, []byte("twenty octets of data")[:20]...)
	sum := func(b []byte) uint16 {
		var s uint32
		for i := 0; i+1 < len(b); i += 2 {
			s += uint32(binary.BigEndian.Uint16(b[i:]))
		}
		for s>>16 != 0 {
			s = s&0xffff + s>>16
		}
		return ^uint16(s)
	}
	binary.BigEndian.PutUint16(p[10:], sum(p[:20]))
	binary.BigEndian.PutUint16(p[22:], sum(p[20:]))
	buf := make([]byte, esp.Headroom+len(p)+esp.Tailroom)
	copy(buf[esp.Headroom:], p)
	var batch esp.Batch
	engine.Outbound(&batch, esp.Packet{Buf: buf, Start: esp.Headroom, End: esp.Headroom + len(p)})
	if len(batch.Datagrams) != 1 {
		return false
	}
	_, err := raw.WriteTo(batch.Datagrams[0].Bytes(), &net.IPAddr{IP: remote.AsSlice()})
	require.NoError(t, err)
	require.NoError(t, raw.SetReadDeadline(time.Now().Add(testhost.Patience)))
	for {
		in := make([]byte, 2048)
		n, _, err := raw.ReadFrom(in[esp.Headroom:])
		if err != nil {
			return false
		}
		var got esp.Batch
		engine.Inbound(&got, esp.Datagram{Packet: esp.Packet{Buf: in, Start: esp.Headroom, End: esp.Headroom + n},
			Local: netip.AddrPortFrom(local, 0), Remote: netip.AddrPortFrom(remote, 0)})
		if len(got.Packets) == 1 {
			return string(got.Packets[0].Bytes()[28:]) == "twenty octets of data"[:20]
		}
	}
}

// testLabMany installs many SAs and policies in the real kernel.
func testLabMany(t *testing.T) {
	const children = 1500 // 3,000 SAs and 4,500 policies
	a, _ := lab.NewPair(t)
	p := newPlane(t, a, xfrm.Config{NoFirstPacket: true})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := time.Now()
	for i := range children {
		setMany(t, p, i, a.Outer)
	}
	elapsed := time.Since(start)
	runtime.GC()
	runtime.ReadMemStats(&after)
	t.Logf("%d Child SAs in %v: %.0f requests/s in User Mode Linux; %d octets each here", children, elapsed, 5*children/elapsed.Seconds(), (after.HeapAlloc-before.HeapAlloc)/children)
	info, err := p.Client().SADInfo(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 2*children, info.Count)
	spdInfo, err := p.Client().SPDInfo(ctx)
	require.NoError(t, err)
	require.EqualValues(t, children, spdInfo.Out)
	start = time.Now()
	n := 0
	for sa, err := range p.Client().SAs(ctx, &xfrm.DumpSA{}) {
		require.NoError(t, err)
		sa.Wipe()
		n++
	}
	t.Logf("dump of %d SAs in %v", n, time.Since(start))
	require.Equal(t, 2*children, n)
	start = time.Now()
	require.NoError(t, p.Close())
	t.Logf("closed in %v", time.Since(start))
	empty(t, a)
}
