package pfkey_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/pfkey/pfkeytest"
	"github.com/racoon3/racoon/spd"
)

// newPlane returns a data plane over a kernel, with two sockets.
func newPlane(t testing.TB, k *pfkeytest.Kernel, d *pfkey.Dialect, cfg pfkey.DataPlaneConfig) *pfkey.DataPlane {
	t.Helper()
	var clients [2]*pfkey.Client
	for i := range clients {
		c, err := pfkey.NewClient(k.Connect(), pfkey.ClientConfig{Dialect: d})
		require.NoError(t, err)
		clients[i] = c
	}
	cfg.Events = clients[1]
	p, err := pfkey.NewDataPlane(t.Context(), clients[0], cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func proposal(t testing.TB, text string) (encr, integ spd.Transform) {
	t.Helper()
	p, err := spd.ParseProposal(spd.ProtoESP, text)
	require.NoError(t, err)
	encr, _ = p.Get(spd.TransformENCR)
	integ, _ = p.Get(spd.TransformINTEG)
	if integ.ID == spd.IntegNone {
		integ = spd.Transform{}
	}
	return encr, integ
}

func keyOf(n int, first byte) spd.Key {
	k := make(spd.Key, n)
	for i := range k {
		k[i] = first + byte(i)
	}
	return k
}

// tunnel is a direction of a Child SA between net1 behind addrA, which is here,
// and net2 behind addrB.
func tunnel(t testing.TB, text string, spi spd.SPI, reqID uint32) *spd.Bundle {
	encr, integ := proposal(t, text)
	return &spd.Bundle{
		SAs: []spd.SA{{Protocol: spd.ProtoESP, SPI: spi, Mode: spd.ModeTunnel, Encryption: encr, Integrity: integ,
			EncrKey: keyOf(encr.KeymatLen(), 0x40), IntegKey: keyOf(integ.KeymatLen(), 0x10)}},
		ReqID: reqID, Local: netip.AddrPortFrom(addrA, 4500), Remote: netip.AddrPortFrom(addrB, 4500),
		LocalTS: []spd.TrafficSelector{spd.FromPrefix(net1)}, RemoteTS: []spd.TrafficSelector{spd.FromPrefix(net2)},
	}
}

// childPolicies are what a Child SA sets.
func childPolicies(reqID uint32) []spd.Policy {
	out := spd.Policy{Direction: spd.Out, Action: spd.ActionProtect, Priority: 1000, ReqID: reqID, Protocol: spd.ProtoESP, Mode: spd.ModeTunnel,
		Local: addrA, Remote: addrB, Selector: spd.Selector{Local: spd.FromPrefix(net1), Remote: spd.FromPrefix(net2)}}
	in := out
	in.Direction = spd.In
	return []spd.Policy{out, in}
}

var (
	flowOut = spd.Flow{Src: netip.MustParseAddr("192.168.1.5"), Dst: netip.MustParseAddr("192.168.2.5"), Protocol: 17, SrcPort: 1000, DstPort: 53}
	flowIn  = flowOut.Reverse()
)

const anySuite = "aes128-sha1" // every kernel has it

// establish installs a Child SA and returns its SAs.
func establish(t testing.TB, p *pfkey.DataPlane, reqID uint32) (in, out spd.SAID) {
	t.Helper()
	ctx := t.Context()
	spi, err := p.AllocSPI(ctx, spd.SPIRequest{Protocol: spd.ProtoESP, Local: addrA, Remote: addrB, ReqID: reqID})
	require.NoError(t, err)
	bi, bo := tunnel(t, anySuite, spi, reqID), tunnel(t, anySuite, spi+1, reqID)
	require.NoError(t, p.InstallInbound(ctx, bi))
	require.NoError(t, p.InstallOutbound(ctx, bo))
	require.NoError(t, p.SetPolicies(ctx, spd.Owner(reqID), childPolicies(reqID)))
	return bi.ID(spd.In, 0), bo.ID(spd.Out, 0)
}

// TestDataPlaneChild sets a Child SA up in each kernel, sends through it, and
// takes it down again.
func TestDataPlaneChild(t *testing.T) {
	each(t, func(t *testing.T, d *pfkey.Dialect) {
		ctx := t.Context()
		k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: d})
		p := newPlane(t, k, d, pfkey.DataPlaneConfig{})
		for _, reqID := range []uint32{5, 20000} { // the second is more than a kernel takes
			in, out := establish(t, p, reqID)
			sas := k.SAs()
			require.Len(t, sas, 2)
			require.Equal(t, addrB, sas[0].Src)
			require.Equal(t, keyOf(16, 0x40), sas[0].EncryptKey)
			require.Equal(t, keyOf(20, 0x10), sas[0].AuthKey)
			require.LessOrEqual(t, sas[0].ReqID, uint32(pfkey.MaxReqID))

			v, via := k.Packet(flowOut, 100)
			require.Equal(t, pfkeytest.Protect, v)
			require.Equal(t, []pfkey.SAKey{sas[1].Key()}, via)
			require.Equal(t, pfkeytest.Protect, k.Receive(pfkey.DirIn, flowIn, sas[0].Key()))
			require.Equal(t, pfkeytest.Drop, k.Receive(pfkey.DirIn, flowIn), "in clear")
			if d.HasForward() {
				require.Equal(t, pfkeytest.Drop, k.Receive(pfkey.DirForward, flowIn), "in clear, to a host behind")
				require.Equal(t, pfkeytest.Protect, k.Receive(pfkey.DirForward, flowIn, sas[0].Key()))
			}

			c, err := p.Query(ctx, out)
			require.NoError(t, err)
			require.EqualValues(t, 100, c.Bytes)
			require.False(t, c.LastUsed.IsZero())
			require.NoError(t, p.SetPolicies(ctx, spd.Owner(reqID), nil))
			c, err = p.Remove(ctx, out)
			require.NoError(t, err)
			require.EqualValues(t, 100, c.Bytes)
			_, err = p.Remove(ctx, out)
			require.ErrorIs(t, err, spd.ErrNotFound)
			_, err = p.Remove(ctx, in)
			require.NoError(t, err)
			require.Empty(t, k.SAs())
			require.Empty(t, k.Policies())
		}
	})
}

// TestDataPlaneSharedReqID: peers that share a request ID keep their own
// tunnels, and an outbound packet takes the latest SA of its own.
func TestDataPlaneSharedReqID(t *testing.T) {
	each(t, func(t *testing.T, d *pfkey.Dialect) {
		k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: d})
		p := newPlane(t, k, d, pfkey.DataPlaneConfig{})
		for i := range 3 {
			b := tunnel(t, anySuite, spd.SPI(0x1000+i), 7)
			b.Remote = netip.AddrPortFrom(peer(i), 0)
			b.RemoteTS = []spd.TrafficSelector{spd.FromAddr(peer(100 + i))}
			require.NoError(t, p.InstallOutbound(t.Context(), b))
			require.NoError(t, p.SetPolicies(t.Context(), spd.Owner(i), policiesTo(b)))
		}
		for i := range 3 {
			f := flowOut
			f.Dst = peer(100 + i)
			v, via := k.Packet(f, 10)
			require.Equal(t, pfkeytest.Protect, v)
			require.EqualValues(t, 0x1000+i, via[0].SPI)
			require.Equal(t, peer(i), via[0].Dst)
		}
	})
}

// TestDataPlaneReserved: SPIs are given back, and a kernel that has forgotten
// one takes the SA nevertheless.
func TestDataPlaneReserved(t *testing.T) {
	each(t, func(t *testing.T, d *pfkey.Dialect) {
		ctx := t.Context()
		k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: d})
		p := newPlane(t, k, d, pfkey.DataPlaneConfig{})
		for _, proto := range []spd.Protocol{spd.ProtoESP, spd.ProtoAH} {
			spi, err := p.AllocSPI(ctx, spd.SPIRequest{Protocol: proto, Local: addrA, Remote: addrB, ReqID: 3})
			require.NoError(t, err)
			require.Equal(t, pfkey.StateLarval, k.SAs()[0].State)
			id := spd.SAID{Direction: spd.In, Protocol: proto, SPI: spi, Dst: addrA}
			require.NoError(t, p.ReleaseSPI(ctx, id))
			require.ErrorIs(t, p.ReleaseSPI(ctx, id), spd.ErrNotFound)
			require.Empty(t, k.SAs())
		}
		spi, err := p.AllocSPI(ctx, spd.SPIRequest{Protocol: spd.ProtoESP, Local: addrA, Remote: addrB, ReqID: 3})
		require.NoError(t, err)
		k.Advance(time.Minute)
		require.Empty(t, k.SAs())
		require.NoError(t, p.InstallInbound(ctx, tunnel(t, anySuite, spi, 3)))
		require.Equal(t, pfkey.StateMature, k.SAs()[0].State)
		require.ErrorIs(t, p.InstallInbound(ctx, tunnel(t, anySuite, spi, 3)), spd.ErrExists)

		spi, err = p.AllocSPI(ctx, spd.SPIRequest{Protocol: spd.ProtoIPComp, Local: addrA, Remote: addrB, ReqID: 3})
		if d == pfkey.MacOS {
			require.ErrorIs(t, err, spd.ErrUnsupported)
			return
		}
		require.NoError(t, err)
		require.True(t, spi >= 256 && spi <= 61439)
	})
}

// TestDataPlaneUDP: UDP encapsulation, with the ports on the right sides.
func TestDataPlaneUDP(t *testing.T) {
	each(t, func(t *testing.T, d *pfkey.Dialect) {
		ctx := t.Context()
		k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: d})
		p := newPlane(t, k, d, pfkey.DataPlaneConfig{})
		spi, err := p.AllocSPI(ctx, spd.SPIRequest{Protocol: spd.ProtoESP, Local: addrA, Remote: addrB, ReqID: 3})
		require.NoError(t, err)
		in, out := tunnel(t, anySuite, spi, 3), tunnel(t, anySuite, 0x9000, 3)
		for _, b := range []*spd.Bundle{in, out} {
			b.UDPEncap, b.Remote = true, netip.AddrPortFrom(addrB, 33000)
		}
		require.NoError(t, p.InstallInbound(ctx, in))
		require.NoError(t, p.InstallOutbound(ctx, out))
		sas := k.SAs()
		require.Len(t, sas, 2, "no larval SA is left")
		if d == pfkey.MacOS { // own and peer's, in both directions
			for _, s := range sas {
				require.EqualValues(t, 4500, s.Encap.SrcPort)
				require.EqualValues(t, 33000, s.Encap.DstPort)
			}
			return
		}
		require.EqualValues(t, 33000, sas[0].Encap.SrcPort)
		require.EqualValues(t, 4500, sas[0].Encap.DstPort)
		require.EqualValues(t, 4500, sas[1].Encap.SrcPort)
		require.EqualValues(t, 33000, sas[1].Encap.DstPort)
	})
}

// TestDataPlaneNegotiation: what PF_KEY cannot carry is not offered, and who
// names it learns why.
func TestDataPlaneNegotiation(t *testing.T) {
	supports := func(c spd.Capabilities, text string) bool {
		p, err := spd.ParseProposal(spd.ProtoESP, text)
		require.NoError(t, err)
		kept, removed := spd.RestrictTo(c, []spd.Proposal{p})
		require.Equal(t, len(kept) == 0, len(removed) > 0)
		return len(kept) == 1
	}
	for _, x := range []struct {
		d       *pfkey.Dialect
		can     []string
		cannot  []string
		bundles bool
	}{
		{pfkey.Linux, []string{"aes128-sha1", "aes256-sha384", "aes192-sha512", "aes128-aesxcbc", "3des-md5", "aes128ctr-sha512", "null-sha1"},
			[]string{"aes128gcm16", "aes128-sha256", "aes256ccm16", "chacha20poly1305", "aes128gmac", "aes128-aescmac", "aes128-sha1-esn"}, true},
		{pfkey.FreeBSD, []string{"aes128gcm16", "aes256gcm16", "aes128-sha256", "aes256ctr-sha512", "null-sha1", "aes128-sha1-esn"},
			[]string{"3des-md5", "aes128gcm8", "chacha20poly1305", "aes128gmac"}, true},
		{pfkey.NetBSD, []string{"aes128gcm16", "aes256gcm16", "aes128-sha256", "3des-md5", "aes128-aesxcbc", "aes128gmac", "null-sha512"},
			[]string{"aes128gcm12", "aes128-sha1-esn"}, true},
		{pfkey.MacOS, []string{"aes128gcm16", "chacha20poly1305", "aes128-sha256", "3des-sha1"}, []string{"aes128ctr-sha256", "aes128-aesxcbc"}, false},
	} {
		t.Run(x.d.String(), func(t *testing.T) {
			k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: x.d})
			p := newPlane(t, k, x.d, pfkey.DataPlaneConfig{})
			c := p.Capabilities()
			require.Equal(t, x.bundles, c.Bundles)
			for i, text := range x.can {
				require.True(t, supports(c, text), text)
				require.NoError(t, p.InstallOutbound(t.Context(), esnOf(tunnel(t, text, spd.SPI(0x1000+i), 1), text)), text)
			}
			for _, text := range x.cannot {
				require.False(t, supports(c, text), text)
				err := p.InstallOutbound(t.Context(), esnOf(tunnel(t, text, 0x2000, 1), text))
				require.ErrorIs(t, err, spd.ErrUnsupported, text)
			}
		})
	}
}

func esnOf(b *spd.Bundle, text string) *spd.Bundle {
	b.SAs[0].ESN = len(text) > 4 && text[len(text)-4:] == "-esn"
	return b
}

// TestDataPlaneBundle: IPComp, ESP and AH in one Child SA; policies follow.
func TestDataPlaneBundle(t *testing.T) {
	each(t, func(t *testing.T, d *pfkey.Dialect) {
		ctx := t.Context()
		k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: d})
		p := newPlane(t, k, d, pfkey.DataPlaneConfig{})
		bundle := func(spi spd.SPI) *spd.Bundle {
			b := tunnel(t, anySuite, spi, 9)
			esp := b.SAs[0]
			esp.Mode = spd.ModeTransport
			b.SAs = []spd.SA{
				{Protocol: spd.ProtoIPComp, SPI: spi, Mode: spd.ModeTunnel, Encryption: spd.Transform{ID: 2}},
				esp,
				{Protocol: spd.ProtoAH, SPI: spi, Mode: spd.ModeTransport, Integrity: esp.Integrity, IntegKey: keyOf(20, 1)},
			}
			return b
		}
		err := p.InstallInbound(ctx, bundle(0x1000))
		if d == pfkey.MacOS {
			require.ErrorIs(t, err, spd.ErrUnsupported)
			return
		}
		require.NoError(t, err)
		require.NoError(t, p.InstallOutbound(ctx, bundle(0x2000)))
		require.NoError(t, p.SetPolicies(ctx, 1, childPolicies(9)))
		v, _ := k.Packet(flowOut, 100)
		require.Equal(t, pfkeytest.Waits, v, "transport mode is between the packet's own addresses here")
		pol := k.Policies()[0]
		require.Equal(t, pfkey.DirIn, pol.Policy.Dir)
		require.Len(t, pol.Policy.Requests, 3)
		require.EqualValues(t, pfkey.IPProtoIPComp, pol.Policy.Requests[0].Proto)
		require.Equal(t, pfkey.LevelUse, pol.Policy.Requests[0].Level)
		require.Equal(t, pfkey.ModeTunnel, pol.Policy.Requests[0].Mode)
		require.EqualValues(t, pfkey.IPProtoAH, pol.Policy.Requests[2].Proto)
	})
}

// TestDataPlanePolicyOrder: policies act in the order of their priorities, in
// whatever order they come, on kernels without priorities too; equal ones the
// more specific first.
func TestDataPlanePolicyOrder(t *testing.T) {
	each(t, func(t *testing.T, d *pfkey.Dialect) {
		ctx := t.Context()
		k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: d})
		p := newPlane(t, k, d, pfkey.DataPlaneConfig{})
		policy := func(prefix string, priority uint32, a spd.Action) spd.Policy {
			return spd.Policy{Direction: spd.Out, Action: a, Priority: priority, Selector: spd.Selector{
				Local: spd.AnyIPv4, Remote: spd.FromPrefix(netip.MustParsePrefix(prefix))}}
		}
		verdict := func(dst string) pfkeytest.Verdict {
			v, _ := k.Packet(spd.Flow{Src: addrA, Dst: netip.MustParseAddr(dst), Protocol: 17, SrcPort: 1, DstPort: 2}, 10)
			return v
		}
		require.NoError(t, p.SetPolicies(ctx, 1, []spd.Policy{policy("10.0.0.0/8", 100, spd.ActionDiscard)}))
		require.NoError(t, p.SetPolicies(ctx, 2, []spd.Policy{policy("10.1.0.0/16", 100, spd.ActionBypass)}))
		require.NoError(t, p.SetPolicies(ctx, 3, []spd.Policy{policy("10.1.1.0/24", 100, spd.ActionDiscard)}))
		require.NoError(t, p.SetPolicies(ctx, 4, []spd.Policy{policy("10.1.0.0/20", 50, spd.ActionBypass), policy("0.0.0.0/0", 200, spd.ActionBypass)}))
		require.Equal(t, pfkeytest.Drop, verdict("10.2.0.1"))
		require.Equal(t, pfkeytest.Clear, verdict("10.1.128.1"), "more specific")
		require.Equal(t, pfkeytest.Clear, verdict("10.1.1.1"), "lower priority number")
		require.Equal(t, pfkeytest.Clear, verdict("11.0.0.1"))
		require.NoError(t, p.SetPolicies(ctx, 4, nil))
		require.Equal(t, pfkeytest.Drop, verdict("10.1.1.1"))

		// Of two with one selector the better is there, and then the other.
		require.NoError(t, p.SetPolicies(ctx, 5, []spd.Policy{policy("10.1.1.0/24", 10, spd.ActionBypass)}))
		require.Equal(t, pfkeytest.Clear, verdict("10.1.1.1"))
		require.Len(t, k.Policies(), 3)
		require.NoError(t, p.SetPolicies(ctx, 5, nil))
		require.Equal(t, pfkeytest.Drop, verdict("10.1.1.1"))
		require.Equal(t, pfkeytest.Clear, verdict("10.1.128.1"))

		// What was moved behind a new one must still be met before the next.
		require.NoError(t, p.SetPolicies(ctx, 6, []spd.Policy{policy("20.0.0.0/8", 100, spd.ActionBypass)}))
		require.NoError(t, p.SetPolicies(ctx, 7, []spd.Policy{policy("20.2.0.0/16", 200, spd.ActionDiscard)}))
		require.NoError(t, p.SetPolicies(ctx, 8, []spd.Policy{policy("20.1.1.0/24", 10, spd.ActionDiscard)}))
		require.Equal(t, pfkeytest.Drop, verdict("20.1.1.1"))
		require.Equal(t, pfkeytest.Clear, verdict("20.2.0.1"))
	})
}

// TestDataPlanePolicyStays: a policy that the kernel does not let go is still
// ours, and goes later.
func TestDataPlanePolicyStays(t *testing.T) {
	each(t, func(t *testing.T, d *pfkey.Dialect) {
		k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: d})
		p := newPlane(t, k, d, pfkey.DataPlaneConfig{})
		require.NoError(t, p.SetPolicies(t.Context(), 1, childPolicies(7)))
		n := len(k.Policies())
		k.FailNext(pfkey.MsgSPDDelete, 0, pfkey.EPERM)
		require.ErrorIs(t, p.SetPolicies(t.Context(), 1, nil), pfkey.EPERM)
		require.Len(t, k.Policies(), n, "all or nothing")
		require.NoError(t, p.SetPolicies(t.Context(), 1, nil))
		require.Empty(t, k.Policies())
	})
}

// TestDataPlaneTrapEnds: a trap for a peer without an address has the ends of
// the Child SA while there is one.
func TestDataPlaneTrapEnds(t *testing.T) {
	k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: pfkey.Linux})
	p := newPlane(t, k, pfkey.Linux, pfkey.DataPlaneConfig{})
	trap := childPolicies(7)[0]
	trap.Action, trap.Remote = spd.ActionTrap, netip.Addr{}
	require.NoError(t, p.SetPolicies(t.Context(), 1, []spd.Policy{trap}))
	end := func() netip.Addr {
		for _, x := range k.Policies() {
			if x.Policy.Dir == pfkey.DirOut {
				return x.Policy.Requests[0].Dst.Addr
			}
		}
		return netip.Addr{}
	}
	require.Equal(t, netip.IPv4Unspecified(), end())
	in, out := establish(t, p, 7)
	require.Equal(t, addrB, end())
	require.NoError(t, p.SetPolicies(t.Context(), 7, nil))
	for _, id := range []spd.SAID{in, out} {
		_, err := p.Remove(t.Context(), id)
		require.NoError(t, err)
	}
	require.Equal(t, netip.IPv4Unspecified(), end())
}

// TestDataPlaneSelectors: what a policy becomes in the kernel.
func TestDataPlaneSelectors(t *testing.T) {
	ctx := t.Context()
	k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: pfkey.Linux})
	p := newPlane(t, k, pfkey.Linux, pfkey.DataPlaneConfig{})
	set := func(local, remote spd.TrafficSelector) error {
		return p.SetPolicies(ctx, 1, []spd.Policy{{Direction: spd.Out, Action: spd.ActionDiscard, Selector: spd.Selector{Local: local, Remote: remote}}})
	}
	ports := func(p uint8, a, b uint16) spd.TrafficSelector {
		return spd.AnyIPv4.WithProtocol(p, spd.PortRange{First: a, Last: b})
	}
	require.NoError(t, set(ports(6, 80, 80), spd.AnyIPv4.WithProtocol(6, spd.AnyPort)))
	require.EqualValues(t, 80, k.Policies()[0].SrcPort)
	require.EqualValues(t, 6, k.Policies()[0].Proto)

	r := spd.FromRange(netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.6"))
	require.NoError(t, set(r, spd.AnyIPv4))
	var got []string
	for _, x := range k.Policies() {
		got = append(got, x.Src.String())
	}
	require.ElementsMatch(t, []string{"10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/31", "10.0.0.6/32"}, got)

	require.NoError(t, set(ports(1, 8<<8, 8<<8|255), spd.AnyIPv4.WithProtocol(1, spd.AnyPort)))
	require.EqualValues(t, 8, k.Policies()[0].SrcPort)
	require.EqualValues(t, 0, k.Policies()[0].DstPort)
	require.NoError(t, set(spd.AnyIPv6.WithProtocol(135, spd.PortRange{First: 5 << 8, Last: 5<<8 | 255}), spd.AnyIPv6.WithProtocol(135, spd.AnyPort)))
	require.EqualValues(t, 5, k.Policies()[0].SrcPort, "Mobility Header: binding update")
	bu, err := spd.ParseTrafficSelector("::1[mh/5]")
	require.NoError(t, err)
	require.NoError(t, set(bu, spd.AnyIPv6.WithProtocol(135, spd.AnyPort)))
	require.EqualValues(t, 5, k.Policies()[0].SrcPort, "Mobility Header: binding update")

	before := k.Policies()
	for _, ts := range []spd.TrafficSelector{ports(6, 80, 90), ports(6, 65535, 0), ports(1, 0, 255), ports(1, 3<<8, 3<<8)} {
		require.ErrorIs(t, set(ts, spd.AnyIPv4), spd.ErrUnsupported)
		require.Equal(t, before, k.Policies(), "nothing is changed")
	}
}

// TestDataPlaneAcquire: a packet without an SA asks for one, and a refusal is
// told to the kernel.
func TestDataPlaneAcquire(t *testing.T) {
	each(t, func(t *testing.T, d *pfkey.Dialect) {
		ctx := t.Context()
		k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: d})
		p := newPlane(t, k, d, pfkey.DataPlaneConfig{})
		trap := childPolicies(7)[0]
		trap.Action, trap.Priority = spd.ActionTrap, 1001
		require.NoError(t, p.SetPolicies(ctx, 100, []spd.Policy{trap}))
		v, _ := k.Packet(flowOut, 100)
		require.Equal(t, pfkeytest.Waits, v)
		ev := (<-p.Events()).(spd.AcquireEvent)
		require.Equal(t, trap, ev.Policy)
		_, _ = k.Packet(flowOut, 100)
		require.NoError(t, p.AcquireDone(ctx, ev.ID, errors.New("no")))
		_, refused := k.Acquires()
		require.Equal(t, []uint32{uint32(ev.ID)}, refused)
		require.ErrorIs(t, p.AcquireDone(ctx, ev.ID, nil), spd.ErrNotFound)

		_, _ = k.Packet(flowOut, 100)
		ev = (<-p.Events()).(spd.AcquireEvent)
		in, out := establish(t, p, 7)
		require.NoError(t, p.AcquireDone(ctx, ev.ID, nil))
		v, _ = k.Packet(flowOut, 100)
		require.Equal(t, pfkeytest.Protect, v)

		// When the Child SA has gone, the trap is there again.
		require.NoError(t, p.SetPolicies(ctx, 7, nil))
		for _, id := range []spd.SAID{in, out} {
			_, err := p.Remove(ctx, id)
			require.NoError(t, err)
		}
		v, _ = k.Packet(flowOut, 100)
		require.Equal(t, pfkeytest.Waits, v)
	})
}

// TestDataPlaneForeignAcquire: policies that setkey has made work too.
func TestDataPlaneForeignAcquire(t *testing.T) {
	k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: pfkey.NetBSD})
	p := newPlane(t, k, pfkey.NetBSD, pfkey.DataPlaneConfig{})
	setkey := newClient(t, k, pfkey.ClientConfig{Dialect: pfkey.NetBSD, PID: 77})
	_, err := setkey.SPDAdd(t.Context(), &pfkey.PolicyEntry{Src: netip.PrefixFrom(addrA, 32), Dst: netip.PrefixFrom(addrB, 32), Proto: 6, DstPort: 22,
		Policy: pfkey.Policy{Type: pfkey.PolicyIPsec, Dir: pfkey.DirOut, Requests: []pfkey.Request{{Proto: pfkey.IPProtoESP, Mode: pfkey.ModeTransport, Level: pfkey.LevelRequire}}}})
	require.NoError(t, err)
	_, _ = k.Packet(spd.Flow{Src: addrA, Dst: addrB, Protocol: 6, SrcPort: 999, DstPort: 22}, 100)
	ev := (<-p.Events()).(spd.AcquireEvent)
	require.Equal(t, spd.FromAddr(addrB).WithProtocol(6, spd.PortRange{First: 22, Last: 22}), ev.Policy.Selector.Remote)
	require.Equal(t, spd.ModeTransport, ev.Policy.Mode)
	require.Equal(t, spd.ProtoESP, ev.Policy.Protocol)
	require.Equal(t, spd.FromAddr(addrA).WithProtocol(6, spd.AnyPort), ev.Packet.Local)
	require.Equal(t, ev.Policy.Selector.Remote, ev.Packet.Remote)
	reqID, ok := p.AcquireReqID(ev.ID)
	require.True(t, ok)
	require.Zero(t, reqID)
	_, ok = p.AcquireReqID(ev.ID + 1)
	require.False(t, ok)
}

// TestDataPlaneVolume: soft and hard limits, also where the kernel is silent
// about the hard one.
func TestDataPlaneVolume(t *testing.T) {
	each(t, func(t *testing.T, d *pfkey.Dialect) {
		synctest.Test(t, func(t *testing.T) {
			ctx := t.Context()
			k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: d})
			p := newPlane(t, k, d, pfkey.DataPlaneConfig{})
			defer p.Close()
			b := tunnel(t, anySuite, 0x1000, 7)
			b.Lifetime = spd.Lifetime{SoftBytes: 1000, HardBytes: 2000, HardTime: time.Hour}
			require.NoError(t, p.InstallOutbound(ctx, b))
			require.NoError(t, p.SetPolicies(ctx, 1, childPolicies(7)))
			require.EqualValues(t, 3600, k.SAs()[0].Hard.AddTime)
			_, _ = k.Packet(flowOut, 1200)
			ev := (<-p.Events()).(spd.ExpireEvent)
			require.False(t, ev.Hard)
			require.Equal(t, b.ID(spd.Out, 0), ev.ID)
			require.EqualValues(t, 1200, ev.Counters.Bytes)
			_, _ = k.Packet(flowOut, 1200)
			ev = (<-p.Events()).(spd.ExpireEvent)
			require.True(t, ev.Hard)
			require.Equal(t, b.ID(spd.Out, 0), ev.ID)
			_, err := p.Remove(ctx, ev.ID)
			require.ErrorIs(t, err, spd.ErrNotFound)
			v, _ := k.Packet(flowOut, 10)
			require.Equal(t, pfkeytest.Waits, v, "not in clear")
		})
	})
}

// TestDataPlaneOverflow: events that were lost are made up for.
func TestDataPlaneOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: pfkey.FreeBSD})
		p := newPlane(t, k, pfkey.FreeBSD, pfkey.DataPlaneConfig{})
		defer p.Close()
		in, out := establish(t, p, 7)
		k.DropSA(k.SAs()[0].Key())
		k.Overflow()
		require.IsType(t, spd.OverflowEvent{}, <-p.Events())
		ev := (<-p.Events()).(spd.ExpireEvent)
		require.True(t, ev.Hard)
		require.Equal(t, in, ev.ID)
		_, err := p.Query(t.Context(), out)
		require.NoError(t, err)
	})
}

// TestDataPlaneMove: a peer moves, and SAs and policies with it; counters go on.
func TestDataPlaneMove(t *testing.T) {
	each(t, func(t *testing.T, d *pfkey.Dialect) {
		ctx := t.Context()
		k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: d})
		p := newPlane(t, k, d, pfkey.DataPlaneConfig{})
		in, out := establish(t, p, 7)
		_, _ = k.Packet(flowOut, 100)
		to := spd.Endpoints{Local: netip.AddrPortFrom(addrA, 500), Remote: netip.AddrPortFrom(netip.MustParseAddr("10.9.0.99"), 500)}
		err := p.MovePeer(ctx, out, to)
		if d == pfkey.NetBSD {
			require.ErrorIs(t, err, spd.ErrUnsupported)
			return
		}
		require.NoError(t, err)
		require.NoError(t, p.MovePeer(ctx, in, to))
		out.Dst = to.Remote.Addr()
		c, err := p.Query(ctx, out)
		require.NoError(t, err)
		require.EqualValues(t, 100, c.Bytes)
		v, via := k.Packet(flowOut, 50)
		require.Equal(t, pfkeytest.Protect, v)
		require.Equal(t, to.Remote.Addr(), via[0].Dst)
		for _, s := range k.SAs() {
			if s.Dst == addrA {
				require.Equal(t, to.Remote.Addr(), s.Src)
				require.Equal(t, pfkeytest.Protect, k.Receive(pfkey.DirIn, flowIn, s.Key()))
				if d.HasForward() {
					require.Equal(t, pfkeytest.Protect, k.Receive(pfkey.DirForward, flowIn, s.Key()))
				}
			}
		}
		_, err = p.Remove(ctx, out)
		require.NoError(t, err)
	})
}

// TestDataPlaneMapping: a NAT has given the peer another port.
func TestDataPlaneMapping(t *testing.T) {
	ctx := t.Context()
	k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: pfkey.Linux})
	p := newPlane(t, k, pfkey.Linux, pfkey.DataPlaneConfig{})
	in, out := tunnel(t, anySuite, 0x1000, 7), tunnel(t, anySuite, 0x2000, 7)
	in.UDPEncap, out.UDPEncap = true, true
	require.NoError(t, p.InstallInbound(ctx, in))
	require.NoError(t, p.InstallOutbound(ctx, out))
	k.NewMapping(k.SAs()[0].Key(), netip.AddrPortFrom(addrB, 6000))
	ev := (<-p.Events()).(spd.MappingEvent)
	require.Equal(t, spd.MappingEvent{ID: in.ID(spd.In, 0), Old: netip.AddrPortFrom(addrB, 4500), New: netip.AddrPortFrom(addrB, 6000)}, ev)
	to := spd.Endpoints{Local: out.Local, Remote: ev.New, UDPEncap: true}
	require.NoError(t, p.MovePeer(ctx, out.ID(spd.Out, 0), to))
	require.NoError(t, p.MovePeer(ctx, in.ID(spd.In, 0), to))
	sas := k.SAs()
	require.EqualValues(t, 6000, sas[0].Encap.SrcPort)
	require.EqualValues(t, 6000, sas[1].Encap.DstPort)
	to.UDPEncap = false
	require.ErrorIs(t, p.MovePeer(ctx, in.ID(spd.In, 0), to), spd.ErrUnsupported)
}

// TestDataPlaneClose takes away what it has put there, and nothing else.
func TestDataPlaneClose(t *testing.T) {
	each(t, func(t *testing.T, d *pfkey.Dialect) {
		k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: d})
		setkey := newClient(t, k, pfkey.ClientConfig{Dialect: d, PID: 77})
		require.NoError(t, setkey.Add(t.Context(), cbcEntry(t, d, 0x777)))
		_, err := setkey.SPDAdd(t.Context(), &pfkey.PolicyEntry{Src: net1, Dst: net1, Policy: pfkey.Policy{Type: pfkey.PolicyNone, Dir: pfkey.DirIn}})
		require.NoError(t, err)
		p := newPlane(t, k, d, pfkey.DataPlaneConfig{})
		_, out := establish(t, p, 7)
		_, err = p.AllocSPI(t.Context(), spd.SPIRequest{Protocol: spd.ProtoESP, Local: addrA, Remote: addrB})
		require.NoError(t, err)
		require.NoError(t, p.Close())
		require.NoError(t, p.Close())
		require.Len(t, k.SAs(), 1)
		require.Len(t, k.Policies(), 1)
		for range p.Events() {
		}
		_, err = p.Query(context.Background(), out)
		require.ErrorIs(t, err, spd.ErrClosed)

		p = newPlane(t, k, d, pfkey.DataPlaneConfig{Flush: true})
		require.Empty(t, k.SAs(), "a new one begins with nothing, if it is told so")
		require.Empty(t, k.Policies())
		require.NoError(t, p.Close())
	})
}
