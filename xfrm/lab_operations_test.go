//go:build linux

package xfrm_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/internal/testhost"
	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/xfrm"
)

func newClient(t *testing.T, s *lab.Site) (c *xfrm.Client) {
	t.Helper()
	s.Do(func() {
		dial, release, err := xfrm.SystemDialer()
		require.NoError(t, err)
		t.Cleanup(release)
		c, err = xfrm.NewClient(dial)
		require.NoError(t, err)
	})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// testLabOperations makes every request of XFRM and looks at it with ip(8), and
// the other way round.
func testLabOperations(t *testing.T) {
	a, b := lab.NewPair(t)
	c := newClient(t, a)
	ctx := context.Background()
	state := func() string { return a.Run("ip", "-s", "xfrm", "state") }
	policy := func() string { return a.Run("ip", "-s", "xfrm", "policy") }

	// NEWSA: all that ip(8) can show.
	sa := &xfrm.SA{
		Selector: xfrm.Selector{Src: prefix("10.1.0.0/16"), Dst: prefix("10.2.0.0/24"), Proto: 17, SrcPort: 53, SrcPortMask: 0xffff},
		Src:      a.Outer, Dst: b.Outer, SPI: 0x1001, Proto: xfrm.ProtoESP, Mode: xfrm.ModeTunnel, ReqID: 77, Flags: xfrm.FlagESN | xfrm.FlagNoECN | xfrm.FlagNoPMTUDisc,
		AEAD:      xfrm.Algorithm{Name: "rfc4106(gcm(aes))", Key: spd.Key("0123456789abcdefSALT"), ICVBits: 96},
		ReplayESN: xfrm.NewReplayESN(4096), Encap: xfrm.Encap{Type: xfrm.EncapUDP, SrcPort: 4500, DstPort: 31000},
		Limits: xfrm.Limits{SoftBytes: 1000, HardBytes: 2000, SoftPackets: 10, HardPackets: 20, HardAdd: 1000},
		Mark:   xfrm.Mark{Value: 0x12, Mask: 0xff}, SetMark: xfrm.Mark{Value: 3, Mask: 7}, InterfaceID: 9, TFCPad: 1200, ExtraFlags: xfrm.ExtraNoDSCP,
		Thresholds: &xfrm.Thresholds{},
	}
	require.NoError(t, c.AddSA(ctx, sa))
	out := state()
	for _, want := range []string{
		"src 10.99.0.1 dst 10.99.0.2", "proto esp spi 0x00001001(4097) reqid 77(0x0000004d) mode tunnel", "flag noecn nopmtudisc esn", "extra_flag dont-encap-dscp",
		"mark 0x12/0xff", "output-mark 0x3/0x7", "if_id 0x9", "aead rfc4106(gcm(aes)) 0x3031323334353637383961626364656653414c54 (160 bits) 96",
		"encap type espinudp sport 4500 dport 31000", "replay_window 4096", "tfcpad", "soft 1000(bytes), hard 2000(bytes)", "soft 10(packets), hard 20(packets)", "hard 1000(sec)",
		"sel src 10.1.0.0/16 dst 10.2.0.0/24 proto udp sport 53",
	} {
		if want != "tfcpad" { // this ip(8) does not show it
			require.Contains(t, out, want)
		}
	}
	require.ErrorIs(t, c.AddSA(ctx, sa), spd.ErrExists)

	// GETSA: all of it comes back.
	got, err := c.SA(ctx, sa.Key())
	require.NoError(t, err)
	require.Equal(t, sa.AEAD, got.AEAD)
	require.Equal(t, sa.Selector, got.Selector)
	require.Equal(t, sa.Encap, got.Encap)
	require.Equal(t, sa.ReplayESN, got.ReplayESN)
	require.Equal(t, sa.Limits, got.Limits)
	require.Equal(t, []any{sa.Mark, sa.SetMark, sa.InterfaceID, sa.TFCPad, sa.ExtraFlags, sa.Flags, sa.Mode, sa.ReqID},
		[]any{got.Mark, got.SetMark, got.InterfaceID, got.TFCPad, got.ExtraFlags, got.Flags, got.Mode, got.ReqID})
	require.Empty(t, got.Unknown)
	_, err = c.SA(ctx, xfrm.SAKey{Dst: b.Outer, SPI: 5, Proto: xfrm.ProtoESP})
	require.ErrorIs(t, err, spd.ErrNotFound)

	// UPDSA: limits and ports, not keys.
	sa.Limits, sa.Encap.DstPort, sa.AEAD.Key = xfrm.Limits{HardBytes: 5000}, 32000, spd.Key("9999999999abcdefSALT")
	require.NoError(t, c.UpdateSA(ctx, sa))
	require.Contains(t, state(), "dport 32000")
	require.Contains(t, state(), "hard 5000(bytes)")
	require.Contains(t, state(), "0x3031323334353637")
	unknown := *sa
	unknown.SPI = 0x9999
	require.ErrorIs(t, c.UpdateSA(ctx, &unknown), spd.ErrNotFound)
	bad := *sa
	bad.SPI, bad.AEAD.Name = 0x9998, "none(such)"
	err = c.AddSA(ctx, &bad)
	require.ErrorIs(t, err, spd.ErrUnsupported)
	require.ErrorContains(t, err, "Requested AEAD algorithm not found", "the kernel's own words")

	// NEWAE, GETAE.
	require.NoError(t, c.SetAE(ctx, &xfrm.AE{Key: sa.Key(), ReplayESN: &xfrm.ReplayESN{OutSeq: 1<<32 | 7, Window: 4096, Bitmap: make([]uint32, 128)}}))
	ae, err := c.AE(ctx, sa.Key(), xfrm.AEReplay|xfrm.AEUsage|xfrm.AEReplayThreshold)
	require.NoError(t, err)
	require.EqualValues(t, uint64(1<<32|7), ae.ReplayESN.OutSeq)
	require.NotNil(t, ae.Usage)
	require.Equal(t, a.Outer, ae.Src)

	// An SA of ip(8)'s in our dump.
	a.IP(fmt.Sprintf("xfrm state add src %v dst %v proto ah spi 0x2002 reqid 5 mode transport auth-trunc hmac(sha256) 0x%064x 96 sel src ::/0 dst fd00::/8", b.Outer6, a.Outer6, 7),
		fmt.Sprintf("xfrm state add src %v dst %v proto comp spi 0x303 mode tunnel comp deflate", b.Outer, a.Outer))
	n := map[uint8]int{}
	for sa, err := range c.SAs(ctx, &xfrm.DumpSA{}) {
		require.NoError(t, err)
		n[sa.Proto]++
		if sa.Proto == xfrm.ProtoAH {
			require.Equal(t, xfrm.Algorithm{Name: "hmac(sha256)", Key: append(make(spd.Key, 31), 7), ICVBits: 96}, sa.Auth)
			require.Equal(t, prefix("fd00::/8"), sa.Selector.Dst)
		}
	}
	require.Equal(t, 1, n[xfrm.ProtoESP])
	require.Equal(t, 1, n[xfrm.ProtoAH])
	require.Equal(t, 1, n[xfrm.ProtoIPComp])
	count := 0
	for _, err := range c.SAs(ctx, &xfrm.DumpSA{Proto: xfrm.ProtoAH}) {
		require.NoError(t, err)
		count++
	}
	require.Equal(t, 1, count)
	info, err := c.SADInfo(ctx)
	require.NoError(t, err)
	require.GreaterOrEqual(t, info.Count, uint32(3)) // and one of IP in IP for IPComp
	require.Contains(t, a.Run("ip", "xfrm", "state", "count"), fmt.Sprintf("SAD count %d", info.Count))

	// DELSA, FLUSHSA.
	require.NoError(t, c.DeleteSA(ctx, sa.Key()))
	require.NotContains(t, state(), "0x00001001")
	require.ErrorIs(t, c.DeleteSA(ctx, sa.Key()), spd.ErrNotFound)
	require.NoError(t, c.FlushSAs(ctx, xfrm.ProtoAH))
	require.NotContains(t, state(), "proto ah")
	require.Contains(t, state(), "proto comp")
	require.NoError(t, c.FlushSAs(ctx, xfrm.ProtoAny))
	require.NoError(t, c.FlushSAs(ctx, xfrm.ProtoAny), "that there is none is no error")
	require.Empty(t, state())

	// NEWPOLICY, UPDPOLICY.
	pol := &xfrm.Policy{
		Selector: xfrm.Selector{Src: prefix("10.1.0.0/16"), Dst: prefix("10.2.0.0/24"), Proto: 6, DstPort: 0x400, DstPortMask: 0xfc00},
		Dir:      xfrm.DirOut, Priority: 1234, Mark: xfrm.Mark{Value: 1, Mask: 3}, InterfaceID: 8, Flags: xfrm.PolicyICMP,
		Limits: xfrm.Limits{SoftBytes: 99, HardUse: 3600},
		Templates: []xfrm.Template{{Src: a.Outer, Dst: b.Outer, Proto: xfrm.ProtoIPComp, Mode: xfrm.ModeTunnel, ReqID: 6},
			{AnyFamily: 2, Proto: xfrm.ProtoESP, ReqID: 6}},
	}
	require.NoError(t, c.AddPolicy(ctx, pol))
	require.ErrorIs(t, c.AddPolicy(ctx, pol), spd.ErrExists)
	for _, want := range []string{"src 10.1.0.0/16 dst 10.2.0.0/24 proto tcp dport 1024", "dir out action allow", "priority 1234", "flag icmp", "mark 0x1/0x3", "if_id 0x8",
		"tmpl src 10.99.0.1 dst 10.99.0.2", "proto comp spi 0x00000000(0) reqid 6(0x00000006) mode tunnel", "proto esp spi 0x00000000(0) reqid 6(0x00000006) mode transport",
		"soft 99(bytes)", "hard 3600(sec)"} {
		require.Contains(t, policy(), want)
	}
	pol.Priority, pol.Action, pol.Templates = 55, xfrm.ActionBlock, nil
	require.NoError(t, c.SetPolicy(ctx, pol))
	require.Contains(t, policy(), "action block")
	require.Contains(t, policy(), "priority 55")
	require.Equal(t, 1, strings.Count(policy(), "dir out"))
	back, err := c.Policy(ctx, pol.Key())
	require.NoError(t, err)
	require.EqualValues(t, 55, back.Priority)
	require.NotZero(t, back.Index)
	require.Equal(t, pol.Selector, back.Selector)
	byIndex, err := c.Policy(ctx, xfrm.PolicyKey{Index: back.Index, Dir: back.Dir, Mark: pol.Mark, InterfaceID: pol.InterfaceID})
	require.NoError(t, err)
	require.Equal(t, back.Selector, byIndex.Selector)

	// ip(8)'s in our dump.
	a.IP("xfrm policy add src fd01::/16 dst ::/0 dir fwd priority 7 tmpl src fd99::9 dst fd99::8 proto esp spi 0x77 reqid 4 mode tunnel level use")
	var dump []*xfrm.Policy
	for p, err := range c.Policies(ctx) {
		require.NoError(t, err)
		dump = append(dump, p)
	}
	require.Len(t, dump, 2)
	for _, p := range dump {
		if p.Dir == xfrm.DirForward {
			require.Equal(t, []xfrm.Template{{Src: addr("fd99::9"), Dst: addr("fd99::8"), Proto: xfrm.ProtoESP, SPI: 0x77, ReqID: 4, Mode: xfrm.ModeTunnel, Optional: true}}, p.Templates)
			require.Equal(t, prefix("fd01::/16"), p.Selector.Src)
		}
	}
	spdInfo, err := c.SPDInfo(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 1, spdInfo.Out)
	require.EqualValues(t, 1, spdInfo.Forward)
	require.NoError(t, c.SetSPDInfo(ctx, &xfrm.HashThreshold{Local: 24, Remote: 32}, &xfrm.HashThreshold{Local: 64, Remote: 96}))
	require.Contains(t, a.Run("ip", "-s", "-s", "xfrm", "policy", "count"), "local 24 remote 32")
	require.NoError(t, c.SetDefault(ctx, &xfrm.SetDefault{In: xfrm.DefaultBlock, Forward: xfrm.DefaultBlock}))
	require.Regexp(t, `in:\s+block\s*\n?.*fwd:\s+block\s*\n?.*out:\s+accept`, strings.ReplaceAll(a.Run("ip", "xfrm", "policy", "getdefault"), "\n", " "))
	d, err := c.Default(ctx)
	require.NoError(t, err)
	require.Equal(t, &xfrm.GetDefault{In: xfrm.DefaultBlock, Forward: xfrm.DefaultBlock, Out: xfrm.DefaultAccept}, d)
	require.NoError(t, c.SetDefault(ctx, &xfrm.SetDefault{In: xfrm.DefaultAccept, Forward: xfrm.DefaultAccept}))

	// POLEXPIRE ends a policy at once; DELPOLICY, FLUSHPOLICY.
	require.NoError(t, c.Do(ctx, &xfrm.PolExpire{Policy: *pol, Hard: true}, 0))
	require.NotContains(t, policy(), "dir out")
	require.ErrorIs(t, c.DeletePolicy(ctx, pol.Key()), spd.ErrNotFound)
	require.NoError(t, c.AddPolicy(ctx, pol))
	require.NoError(t, c.DeletePolicy(ctx, pol.Key()))
	require.NotContains(t, policy(), "dir out")
	require.NoError(t, c.FlushPolicies(ctx))
	require.Empty(t, policy())
}

// testLabMigrate: MIGRATE moves a policy and its SA; selectors of the Mobility
// Header (RFC 4877).
func testLabMigrate(t *testing.T) {
	p := newPair(t, xfrm.Config{})
	ctx := context.Background()
	p.a.IP("addr add 10.99.0.11/24 dev " + p.a.Device)
	r := p.install(t, child{proposal: "aes128gcm16"})
	p.a.MustPing(p.a.Inner, p.b.Inner)
	moved := addr("10.99.0.11")
	for _, x := range []struct {
		plane *xfrm.DataPlane
		at    *lab.Site
	}{{p.pa, p.a}, {p.pb, p.b}} {
		c := x.plane.Client()
		var keys []xfrm.Policy
		for pol, err := range c.Policies(ctx) {
			require.NoError(t, err)
			keys = append(keys, *pol)
		}
		require.Len(t, keys, 3)
		for _, pol := range keys {
			tm := pol.Templates[0]
			m := xfrm.Migration{OldSrc: tm.Src, OldDst: tm.Dst, NewSrc: tm.Src, NewDst: tm.Dst, Proto: tm.Proto, Mode: tm.Mode, ReqID: tm.ReqID}
			if tm.Src == p.a.Outer {
				m.NewSrc = moved
			} else {
				m.NewDst = moved
			}
			require.NoError(t, c.Migrate(ctx, &xfrm.Migrate{Key: pol.Key(), Entries: []xfrm.Migration{m}}), "%v", pol.Dir)
		}
		require.NotContains(t, x.at.Run("ip", "xfrm", "policy"), "10.99.0.1 ")
		require.Equal(t, 2, strings.Count(x.at.Run("ip", "xfrm", "state"), "10.99.0.11"), x.at.Run("ip", "xfrm", "state"))
	}
	p.a.MustPing(p.a.Inner, p.b.Inner)
	sa, err := p.pa.Client().SA(ctx, xfrm.SAKey{Dst: p.b.Outer, SPI: uint32(r.aOut.SAs[0].SPI), Proto: xfrm.ProtoESP})
	require.NoError(t, err)
	t.Logf("after MIGRATE: replay %+v usage %+v", sa.Replay, sa.Usage)

	mh := spd.FromPrefix(netip.MustParsePrefix("::/0")).WithProtocol(135, spd.PortRange{First: 5 << 8, Last: 5<<8 | 255}) // Binding Update
	pol := spd.Policy{Direction: spd.Out, Selector: spd.Selector{Local: mh, Remote: mh}, Action: spd.ActionProtect, ReqID: 9, Protocol: spd.ProtoESP, Mode: spd.ModeTransport}
	require.NoError(t, p.pa.SetPolicies(ctx, 5, []spd.Policy{pol}))
	require.Contains(t, p.a.Run("ip", "xfrm", "policy"), "proto mobility-header type 5")
}

// testLabSocket: a socket that was prepared talks in clear whatever the
// policies say.
func testLabSocket(t *testing.T) {
	p := newPair(t, xfrm.Config{})
	ctx := context.Background()
	r := p.install(t, child{proposal: "aes128gcm16", mode: spd.ModeTransport})
	for _, network := range []string{"udp4", "udp"} { // an IPv6 socket takes IPv4 too
		var ca, cb *net.UDPConn
		p.a.Do(func() { ca, _ = net.ListenUDP(network, &net.UDPAddr{Port: 500}) })
		p.b.Do(func() { cb, _ = net.ListenUDP(network, &net.UDPAddr{Port: 500}) })
		talk := func() bool {
			_, err := ca.WriteToUDPAddrPort([]byte("IKE"), netip.AddrPortFrom(p.b.Outer, 500))
			if err != nil {
				return false
			}
			_ = cb.SetReadDeadline(time.Now().Add(testhost.Patience))
			_, _, err = cb.ReadFromUDPAddrPort(make([]byte, 10))
			return err == nil
		}
		before, err := p.pa.Query(ctx, r.aOut.ID(spd.Out, 0))
		require.NoError(t, err)
		require.True(t, talk(), "protected")
		during, err := p.pa.Query(ctx, r.aOut.ID(spd.Out, 0))
		require.NoError(t, err)
		require.Equal(t, before.Packets+1, during.Packets)
		require.NoError(t, p.pa.PrepareSocket(ca, false))
		require.NoError(t, p.pb.PrepareSocket(cb, false))
		require.True(t, talk(), "in clear")
		after, err := p.pa.Query(ctx, r.aOut.ID(spd.Out, 0))
		require.NoError(t, err)
		require.Equal(t, during.Packets, after.Packets)
		ca.Close()
		cb.Close()
	}
	require.Error(t, p.pa.PrepareSocket(struct{ net.PacketConn }{}, false))
}

// testLabRestart: after a program was killed, its SAs are flushed, its policies,
// which nobody remembers, make room for the new ones, and traffic flows again. At
// the end they are as they were found.
func testLabRestart(t *testing.T) {
	p := newPair(t, xfrm.Config{})
	ctx := context.Background()
	p.install(t, child{proposal: "aes128gcm16"})
	p.a.MustPing(p.a.Inner, p.b.Inner)
	// The first life is not closed. The next one:
	again := &pair{a: p.a, b: p.b}
	for _, x := range []struct {
		s     *lab.Site
		plane **xfrm.DataPlane
	}{{p.a, &again.pa}, {p.b, &again.pb}} {
		require.NoError(t, newClient(t, x.s).FlushSAs(ctx, xfrm.ProtoAny))
		*x.plane = newPlane(t, x.s, xfrm.Config{})
		require.Empty(t, x.s.Run("ip", "xfrm", "state"))
	}
	got, _ := p.a.Ping(p.a.Inner, p.b.Inner, 1, 56)
	require.Zero(t, got, "no SA, and nothing in clear")
	r := again.install(t, child{proposal: "aes256gcm16"})
	p.a.MustPing(p.a.Inner, p.b.Inner)
	require.Equal(t, 3, strings.Count(p.a.Run("ip", "xfrm", "policy", "list", "nosock"), "dir "))
	// In any order: they are given back one by one.
	policies := func() []string {
		return strings.Split("\n"+strings.TrimSpace(p.a.Run("ip", "xfrm", "policy", "list", "nosock")), "\nsrc ")
	}
	before := policies()
	require.Len(t, before, 4)
	again.removeAll(t, r)
	require.ElementsMatch(t, before, policies())
	require.NoError(t, newClient(t, p.a).FlushPolicies(ctx))
	empty(t, p.a)
}
