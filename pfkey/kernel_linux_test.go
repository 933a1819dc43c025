//go:build linux

package pfkey_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/pfkey/policy"
	"github.com/racoon3/racoon/spd"
)

// inKernel reports whether the test runs in a kernel that has PF_KEY; if not it
// has been run in one when this returns.
func inKernel(t *testing.T) bool {
	return lab.InKernel(t, lab.KernelOptions{Timeout: 4 * time.Minute, MemoryMB: 768, Modules: []string{"xcbc", "des_generic", "deflate"}})
}

// kernelClient is a client in a namespace.
func kernelClient(t testing.TB, ns *lab.Namespace, cfg pfkey.ClientConfig) *pfkey.Client {
	t.Helper()
	var conn pfkey.Conn
	var err error
	ns.Do(func() { conn, err = pfkey.OpenSocket() })
	require.NoError(t, err)
	c, err := pfkey.NewClient(conn, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func kernelPlane(t testing.TB, ns *lab.Namespace) *pfkey.DataPlane {
	t.Helper()
	p, err := pfkey.NewDataPlane(t.Context(), kernelClient(t, ns, pfkey.ClientConfig{}), pfkey.DataPlaneConfig{Events: kernelClient(t, ns, pfkey.ClientConfig{})})
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func state(ns *lab.Namespace) string    { return ns.Run("ip", "-s", "xfrm", "state") }
func policies(ns *lab.Namespace) string { return ns.Run("ip", "xfrm", "policy") }

// TestKernelClient makes each request of a Linux kernel, and looks at what it
// has done from the other side.
func TestKernelClient(t *testing.T) {
	if !inKernel(t) {
		return
	}
	ns := lab.NewNamespace(t, "client")
	ctx := t.Context()
	c := kernelClient(t, ns, pfkey.ClientConfig{})
	d := c.Dialect()
	require.Equal(t, pfkey.Linux, d)

	auth, encrypt, err := c.Register(ctx, pfkey.SATypeESP)
	require.NoError(t, err)
	require.Contains(t, auth, pfkey.Alg{ID: 5, MinBits: 256, MaxBits: 256})
	require.NotEmpty(t, encrypt)
	for _, a := range encrypt {
		x, ok := d.AlgorithmByID(pfkey.AlgEncrypt, a.ID)
		require.True(t, ok, a)
		require.False(t, spd.IsCombinedMode(x.Transform), "no AEAD over PF_KEY")
	}
	for range c.Dump(ctx, pfkey.SATypeUnspec) {
		t.Fatal("an empty SAD")
	}
	for range c.SPDDump(ctx) {
		t.Fatal("an empty SPD")
	}

	// GETSPI and UPDATE.
	spi, err := c.GetSPI(ctx, pfkey.SPIRequest{Type: pfkey.SATypeESP, Src: addrB, Dst: addrA, Mode: pfkey.ModeTunnel, ReqID: 7, Min: 0x1000, Max: 0x1fff})
	require.NoError(t, err)
	require.True(t, spi >= 0x1000 && spi <= 0x1fff)
	e := cbcEntry(t, d, spi)
	e.Src, e.Dst, e.Mode = addrB, addrA, pfkey.ModeTunnel
	e.AuthKey, e.EncryptKey = keyOf(20, 0x10), keyOf(16, 0x40)
	e.Hard, e.Soft = &pfkey.Lifetime{Bytes: 1 << 30, AddTime: 3600, Allocations: 1000}, &pfkey.Lifetime{Bytes: 1 << 29, AddTime: 3000}
	require.NoError(t, c.Update(ctx, e))
	s := state(ns)
	for _, want := range []string{
		fmt.Sprintf("src %v dst %v", addrB, addrA), fmt.Sprintf("spi 0x%08x", uint32(spi)), "reqid 7(0x00000007) mode tunnel", "replay-window 32",
		"auth-trunc hmac(sha1) 0x101112131415161718191a1b1c1d1e1f20212223 (160 bits) 96", "enc cbc(aes) 0x404142434445464748494a4b4c4d4e4f",
		"limit: soft 536870912(bytes), hard 1073741824(bytes)", "expire add: soft 3000(sec), hard 3600(sec)", "hard 1000(packets)",
	} {
		require.Contains(t, s, want)
	}

	// ADD in all forms.
	n := spd.SPI(0x2000)
	for _, x := range []struct {
		auth, encrypt string
		akey, ekey    int
		want          string
	}{
		{"hmac-md5", "3des-cbc", 16, 24, "hmac(md5)"},
		{"hmac-sha2-256", "aes-cbc", 32, 32, "hmac(sha256) 0x101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f (256 bits) 96"},
		{"hmac-sha2-384", "aes-cbc", 48, 24, "hmac(sha384)"},
		{"hmac-sha2-512", "aes-ctr", 64, 20, "rfc3686(ctr(aes))"},
		{"aes-xcbc-mac", "camellia-cbc", 16, 16, "xcbc(aes)"},
		{"hmac-sha1", "blowfish-cbc", 20, 16, "cbc(blowfish)"},
		{"hmac-sha1", "null", 20, 0, "ecb(cipher_null)"},
	} {
		a := cbcEntry(t, d, n)
		a.Auth, a.Encrypt = number(t, d, pfkey.AlgAuth, x.auth), number(t, d, pfkey.AlgEncrypt, x.encrypt)
		a.AuthKey, a.EncryptKey = keyOf(x.akey, 0x10), keyOf(x.ekey, 0x40)
		require.NoError(t, c.Add(ctx, a), x)
		require.Contains(t, state(ns), x.want)
		n++
	}
	gcm := cbcEntry(t, d, n)
	gcm.Auth, gcm.AuthKey, gcm.Encrypt, gcm.EncryptKey = 0, nil, number(t, d, pfkey.AlgEncrypt, "aes-gcm-16"), keyOf(20, 1)
	require.ErrorIs(t, c.Add(ctx, gcm), pfkey.ENOSYS)
	ah := cbcEntry(t, d, 0x3000)
	ah.Type, ah.Encrypt, ah.EncryptKey = pfkey.SATypeAH, 0, nil
	require.NoError(t, c.Add(ctx, ah))
	comp := &pfkey.SAEntry{Type: pfkey.SATypeIPComp, SPI: 0x4321, Src: addrA, Dst: addrB, Mode: pfkey.ModeTransport, ReqID: 7, Encrypt: 2}
	require.NoError(t, c.Add(ctx, comp))
	natt := cbcEntry(t, d, 0x5000)
	natt.Encap = &pfkey.Encap{SrcPort: 4500, DstPort: 33000}
	natt.Flags = pfkey.FlagNoECN | pfkey.FlagNoPMTUDisc | pfkey.FlagDecapDSCP
	require.NoError(t, c.Add(ctx, natt))
	v6 := cbcEntry(t, d, 0x6000)
	v6.Src, v6.Dst = netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2")
	require.NoError(t, c.Add(ctx, v6))
	s = state(ns)
	for _, want := range []string{"proto ah spi 0x00003000", "proto comp spi 0x00004321", "comp deflate", "encap type espinudp sport 4500 dport 33000",
		"flag noecn decap-dscp nopmtudisc", "src fd00::1 dst fd00::2"} {
		require.Contains(t, s, want)
	}
	require.ErrorIs(t, c.Add(ctx, v6), pfkey.EEXIST)

	// GET, DUMP with a filter, and one's own view of it all.
	got, err := c.Get(ctx, natt.Key())
	require.NoError(t, err)
	require.Equal(t, natt.EncryptKey, got.EncryptKey)
	require.Equal(t, &pfkey.Encap{Type: 2, SrcPort: 4500, DstPort: 33000}, got.Encap)
	require.Equal(t, natt.Flags, got.Flags)
	require.Equal(t, 32, got.ReplayWindow)
	require.EqualValues(t, 7, got.ReqID)
	count := func(m *pfkey.Message) (n int) {
		for _, err := range c.Messages(ctx, m) {
			require.NoError(t, err)
			n++
		}
		return n
	}
	require.Equal(t, strings.Count(state(ns), "\tproto "), count(&pfkey.Message{Header: pfkey.Header{Type: pfkey.MsgDump}}))
	require.Equal(t, 1, count(&pfkey.Message{Header: pfkey.Header{Type: pfkey.MsgDump, SAType: pfkey.SATypeAH}}))
	require.Equal(t, 1, count(&pfkey.Message{Header: pfkey.Header{Type: pfkey.MsgDump}, Exts: []pfkey.Extension{
		&pfkey.Filter{Src: netip.MustParsePrefix("10.9.0.7/32"), Dst: netip.MustParsePrefix("10.9.0.0/24")}}}))

	// UPDATE of a mature SA: other ports, the same keys.
	natt.Encap.DstPort = 44000
	natt.EncryptKey = keyOf(16, 0x99)
	require.NoError(t, c.Update(ctx, natt))
	require.Contains(t, state(ns), "sport 4500 dport 44000")
	got, err = c.Get(ctx, natt.Key())
	require.NoError(t, err)
	require.NotEqual(t, natt.EncryptKey, got.EncryptKey)

	// DELETE, FLUSH, and what they answer when there is nothing.
	require.NoError(t, c.Delete(ctx, natt.Key()))
	require.ErrorIs(t, c.Delete(ctx, natt.Key()), pfkey.ESRCH)
	_, err = c.Get(ctx, natt.Key())
	require.ErrorIs(t, err, pfkey.ESRCH)
	require.NoError(t, c.Flush(ctx, pfkey.SATypeESP))
	s = state(ns)
	require.NotContains(t, s, "proto esp")
	require.Contains(t, s, "proto ah")
	require.NoError(t, c.Flush(ctx, pfkey.SATypeUnspec))
	require.Empty(t, state(ns))
	require.NoError(t, c.Flush(ctx, pfkey.SATypeUnspec))

	// An SA that another program has made with an AEAD.
	ns.IP("xfrm state add src 10.9.0.1 dst 10.9.0.7 proto esp spi 0x99 mode transport aead rfc4106(gcm(aes)) 0x0102030405060708090a0b0c0d0e0f1011121314 128")
	for x, err := range c.Dump(ctx, pfkey.SATypeUnspec) {
		require.NoError(t, err)
		require.EqualValues(t, 0x99, x.SPI)
		require.Empty(t, x.EncryptKey)
	}
}

// TestKernelSPD makes each request about policies of a Linux kernel.
func TestKernelSPD(t *testing.T) {
	if !inKernel(t) {
		return
	}
	ns := lab.NewNamespace(t, "spd")
	ctx := t.Context()
	c := kernelClient(t, ns, pfkey.ClientConfig{})
	p := &pfkey.PolicyEntry{Src: net1, Dst: net2, Policy: pfkey.Policy{Type: pfkey.PolicyIPsec, Dir: pfkey.DirOut, Priority: 1234, Requests: []pfkey.Request{
		{Proto: pfkey.IPProtoIPComp, Mode: pfkey.ModeTunnel, Level: pfkey.LevelRequire, Src: pfkey.SockAddr{Addr: addrA}, Dst: pfkey.SockAddr{Addr: addrB}},
		{Proto: pfkey.IPProtoESP, Mode: pfkey.ModeTransport, Level: pfkey.LevelUnique, ReqID: 77},
		{Proto: pfkey.IPProtoAH, Mode: pfkey.ModeTransport, Level: pfkey.LevelUse},
	}}}
	id, err := c.SPDAdd(ctx, p)
	require.NoError(t, err)
	s := policies(ns)
	for _, want := range []string{"src 192.168.1.0/24 dst 192.168.2.0/24", "dir out priority 1234", "tmpl src 10.9.0.1 dst 10.9.0.7", "proto comp reqid 0 mode tunnel",
		"proto esp reqid 77 mode transport", "proto ah reqid 0 mode transport", "level use"} {
		require.Contains(t, s, want)
	}
	_, err = c.SPDAdd(ctx, p)
	require.ErrorIs(t, err, pfkey.EEXIST)
	_, err = c.SPDSetIdx(ctx, p)
	t.Logf("SPDSETIDX of a policy that is there: %v", err)
	got, err := c.SPDGet(ctx, pfkey.DirOut, id)
	require.NoError(t, err)
	t.Logf("as it comes back: %+v", got.Policy)
	require.Equal(t, p.Src, got.Src)
	require.EqualValues(t, 1234, got.Policy.Priority)
	require.Len(t, got.Policy.Requests, 3)
	require.EqualValues(t, 77, got.Policy.Requests[1].ReqID)
	require.Equal(t, addrA, got.Policy.Requests[0].Src.Addr)

	p.Policy.Requests = p.Policy.Requests[:1]
	id2, err := c.SPDUpdate(ctx, p)
	require.NoError(t, err)
	t.Logf("SPDUPDATE: number %d, was %d", id2, id)
	require.NotContains(t, policies(ns), "proto ah")
	q := &pfkey.PolicyEntry{Src: net1, Dst: net2, Proto: 6, DstPort: 22, Policy: pfkey.Policy{Type: pfkey.PolicyDiscard, Dir: pfkey.DirForward}}
	_, err = c.SPDAdd(ctx, q)
	require.NoError(t, err)
	require.Contains(t, policies(ns), "proto tcp dport 22")
	require.Contains(t, policies(ns), "dir fwd action block")
	n := 0
	for _, err := range c.SPDDump(ctx) {
		require.NoError(t, err)
		n++
	}
	require.Equal(t, 2, n)
	require.NoError(t, c.SPDDelete(ctx, q))
	require.ErrorIs(t, c.SPDDelete(ctx, q), pfkey.ENOENT)
	require.NoError(t, c.SPDDeleteID(ctx, pfkey.DirOut, id2))
	require.ErrorIs(t, c.SPDDeleteID(ctx, pfkey.DirOut, id2), pfkey.ENOENT)
	require.Empty(t, policies(ns))
	_, err = c.SPDAdd(ctx, p)
	require.NoError(t, err)
	require.NoError(t, c.SPDFlush(ctx))
	require.Empty(t, policies(ns))
}

// TestKernelPromiscuous hears of another program's requests.
func TestKernelPromiscuous(t *testing.T) {
	if !inKernel(t) {
		return
	}
	ns := lab.NewNamespace(t, "promisc")
	listener := kernelClient(t, ns, pfkey.ClientConfig{Broadcasts: true, PID: 5})
	other := kernelClient(t, ns, pfkey.ClientConfig{PID: 6})
	require.NoError(t, listener.Promiscuous(t.Context(), true))
	_, err := other.GetSPI(t.Context(), pfkey.SPIRequest{Type: pfkey.SATypeESP, Src: addrA, Dst: addrB})
	require.NoError(t, err)
	for n := range listener.Notifications() {
		if n.Message.Type == pfkey.MsgGetSPI && n.Message.PID == 6 {
			return
		}
	}
}

// kernelPair are two sites whose kernels protect what goes between them.
type kernelPair struct {
	a, b   *lab.Site
	pa, pb *pfkey.DataPlane
	spi    spd.SPI
}

func newKernelPair(t *testing.T) *kernelPair {
	a, b := lab.NewPair(t)
	a.RouteTo(b)
	b.RouteTo(a)
	k := &kernelPair{a: a, b: b, pa: kernelPlane(t, a.Namespace), pb: kernelPlane(t, b.Namespace), spi: 0x10000}
	return k
}

// link is a Child SA between the sites.
type link struct {
	text           string
	mode           spd.Mode
	outer6, inner6 bool
	udp            bool
	comp, ah       bool
}

func (k *kernelPair) addresses(l link) (outerA, outerB, innerA, innerB netip.Addr) {
	outerA, outerB, innerA, innerB = k.a.Outer, k.b.Outer, k.a.Inner, k.b.Inner
	if l.outer6 {
		outerA, outerB = k.a.Outer6, k.b.Outer6
	}
	if l.inner6 {
		innerA, innerB = k.a.Inner6, k.b.Inner6
	}
	if l.mode == spd.ModeTransport {
		innerA, innerB = outerA, outerB
	}
	return
}

// bundles are the two directions of a link, each as seen from the site that
// sends; the receiver's view of it is its mirror.
func (k *kernelPair) bundles(t testing.TB, l link, reqID uint32) (ab, ba *spd.Bundle) {
	encr, integ := proposal(t, l.text)
	outerA, outerB, innerA, innerB := k.addresses(l)
	bundle := func(local, remote, il, ir netip.Addr) *spd.Bundle {
		k.spi += 3
		b := &spd.Bundle{ReqID: reqID, Local: netip.AddrPortFrom(local, 4500), Remote: netip.AddrPortFrom(remote, 4500), UDPEncap: l.udp,
			LocalTS: []spd.TrafficSelector{spd.FromAddr(il)}, RemoteTS: []spd.TrafficSelector{spd.FromAddr(ir)}}
		mode := l.mode
		add := func(s spd.SA) {
			s.Mode, mode = mode, spd.ModeTransport
			b.SAs = append(b.SAs, s)
		}
		if l.comp {
			add(spd.SA{Protocol: spd.ProtoIPComp, SPI: 0x1000 + k.spi&0xfff, Encryption: spd.Transform{ID: 2}})
		}
		add(spd.SA{Protocol: spd.ProtoESP, SPI: k.spi, Encryption: encr, Integrity: integ,
			EncrKey: keyOf(encr.KeymatLen(), byte(k.spi)), IntegKey: keyOf(integ.KeymatLen(), byte(k.spi+1))})
		if l.ah {
			add(spd.SA{Protocol: spd.ProtoAH, SPI: k.spi, Integrity: integ, IntegKey: keyOf(integ.KeymatLen(), 3)})
		}
		return b
	}
	return bundle(outerA, outerB, innerA, innerB), bundle(outerB, outerA, innerB, innerA)
}

func mirror(b *spd.Bundle) *spd.Bundle {
	m := b.Clone()
	m.Local, m.Remote, m.LocalTS, m.RemoteTS = b.Remote, b.Local, b.RemoteTS, b.LocalTS
	return m
}

func policiesOf(b *spd.Bundle, action spd.Action) []spd.Policy {
	out := spd.Policy{Direction: spd.Out, Action: action, Priority: 1000, ReqID: b.ReqID, Protocol: spd.ProtoESP, Mode: b.SAs[0].Mode,
		Local: b.Local.Addr(), Remote: b.Remote.Addr(), Selector: spd.Selector{Local: b.LocalTS[0], Remote: b.RemoteTS[0]}}
	in := out
	in.Direction = spd.In
	return []spd.Policy{out, in}
}

// install sets a link up on both sides and returns the SAs of a.
func (k *kernelPair) install(t testing.TB, l link, reqID uint32) (ab, ba *spd.Bundle) {
	t.Helper()
	ctx := t.Context()
	ab, ba = k.bundles(t, l, reqID)
	for _, x := range []struct {
		p       *pfkey.DataPlane
		out, in *spd.Bundle
	}{{k.pa, ab, mirror(ba)}, {k.pb, ba, mirror(ab)}} {
		require.NoError(t, x.p.InstallInbound(ctx, x.in))
		require.NoError(t, x.p.InstallOutbound(ctx, x.out))
		require.NoError(t, x.p.SetPolicies(ctx, spd.Owner(reqID), policiesOf(x.out, spd.ActionProtect)))
	}
	return ab, ba
}

func (k *kernelPair) remove(t testing.TB, ab, ba *spd.Bundle) {
	ctx := t.Context()
	for _, x := range []struct {
		p       *pfkey.DataPlane
		out, in *spd.Bundle
	}{{k.pa, ab, mirror(ba)}, {k.pb, ba, mirror(ab)}} {
		require.NoError(t, x.p.SetPolicies(ctx, spd.Owner(ab.ReqID), nil))
		for _, id := range append(x.out.IDs(spd.Out), x.in.IDs(spd.In)...) {
			_, err := x.p.Remove(ctx, id)
			require.NoError(t, err)
		}
	}
}

// TestKernelTraffic sends through Child SAs that two data planes have set up in
// two kernels.
func TestKernelTraffic(t *testing.T) {
	if !inKernel(t) {
		return
	}
	k := newKernelPair(t)
	for _, s := range []*lab.Site{k.a, k.b} {
		for _, addr := range []netip.Addr{s.Outer, s.Outer6} {
			p := k.pa
			if s == k.b {
				p = k.pb
			}
			require.NoError(t, p.PrepareSocket(s.ListenUDP(netip.AddrPortFrom(addr, 4500)), true))
		}
	}
	for i, l := range []link{
		{text: "aes128-sha1", mode: spd.ModeTunnel},
		{text: "aes256-sha384", mode: spd.ModeTunnel, outer6: true, inner6: true},
		{text: "aes192-sha512", mode: spd.ModeTransport},
		{text: "3des-md5", mode: spd.ModeTransport, outer6: true, inner6: true},
		{text: "aes128ctr-sha1", mode: spd.ModeTunnel, udp: true},
		{text: "aes128-aesxcbc", mode: spd.ModeTransport, udp: true},
		{text: "null-sha1", mode: spd.ModeTunnel, udp: true, outer6: true, inner6: true},
		{text: "aes128-sha1", mode: spd.ModeTunnel, inner6: true},
		{text: "aes128-sha1", mode: spd.ModeTunnel, outer6: true},
		{text: "aes128-sha1", mode: spd.ModeTransport, ah: true},
		{text: "aes128-sha1", mode: spd.ModeTunnel, ah: true, comp: true},
	} {
		reqID := uint32(100 + i*20000)
		ab, ba := k.install(t, l, reqID)
		_, _, innerA, innerB := k.addresses(l)
		ok := t.Run(fmt.Sprintf("%+v", l), func(t *testing.T) {
			n, err := k.a.Ping(innerA, innerB, 3, 500)
			require.NoError(t, err, "%s\n%s\n%s\n%s", state(k.a.Namespace), policies(k.a.Namespace), state(k.b.Namespace), policies(k.b.Namespace))
			require.Equal(t, 3, n)
			c, err := k.pa.Query(t.Context(), ab.ID(spd.Out, len(ab.SAs)-1))
			require.NoError(t, err)
			require.GreaterOrEqual(t, c.Packets, uint64(3))
			require.GreaterOrEqual(t, c.Bytes, uint64(3*100))
			require.WithinDuration(t, time.Now(), c.LastUsed, time.Minute)
			in := mirror(ab)
			c, err = k.pb.Query(t.Context(), in.ID(spd.In, len(ab.SAs)-1))
			require.NoError(t, err)
			require.GreaterOrEqual(t, c.Packets, uint64(3))
		})
		k.remove(t, ab, ba)
		require.True(t, ok)
		require.Empty(t, state(k.a.Namespace))
		require.NotContains(t, policies(k.a.Namespace), "tmpl")
	}
	require.NoError(t, k.pa.Close())
}

// TestKernelAcquire: a packet asks for an SA and goes through it; one whose SA
// is refused does not leave in clear.
func TestKernelAcquire(t *testing.T) {
	if !inKernel(t) {
		return
	}
	k := newKernelPair(t)
	// After a refusal the kernel asks again when this time is over.
	k.a.Sysctl("core/xfrm_acq_expires=4")
	ctx := t.Context()
	for _, mode := range []spd.Mode{spd.ModeTransport, spd.ModeTunnel} {
		l := link{text: "aes128-sha1", mode: mode}
		ab, ba := k.bundles(t, l, 50+uint32(mode))
		traps := policiesOf(ab, spd.ActionTrap)[:1]
		require.NoError(t, k.pa.SetPolicies(ctx, 999, traps))
		_, _, innerA, innerB := k.addresses(l)

		n, err := k.a.Ping(innerA, innerB, 1, 100)
		require.False(t, err == nil && n > 0, "in clear")
		ev := waitFor[spd.AcquireEvent](t, k.pa)
		require.Equal(t, traps[0], ev.Policy)
		if mode == spd.ModeTransport {
			require.Equal(t, spd.FromAddr(innerB), ev.Packet.Remote)
		}
		require.NoError(t, k.pa.AcquireDone(ctx, ev.ID, errors.New("nobody is there")))

		// A later packet waits until the SA is there.
		answered := make(chan int)
		go func() {
			n, _ := k.a.Ping(innerA, innerB, 9, 100, "-i", "1")
			answered <- n
		}()
		ev = waitFor[spd.AcquireEvent](t, k.pa)
		spi, err := k.pa.AllocSPI(ctx, spd.SPIRequest{Protocol: spd.ProtoESP, Local: ab.Local.Addr(), Remote: ab.Remote.Addr(), ReqID: ab.ReqID, Acquire: ev.ID})
		require.NoError(t, err)
		ba.SAs[0].SPI = spi
		require.NoError(t, k.pb.InstallInbound(ctx, mirror(ab)))
		require.NoError(t, k.pb.InstallOutbound(ctx, ba))
		require.NoError(t, k.pb.SetPolicies(ctx, 1, policiesOf(ba, spd.ActionProtect)))
		require.NoError(t, k.pa.InstallInbound(ctx, mirror(ba)))
		require.NoError(t, k.pa.InstallOutbound(ctx, ab))
		require.NoError(t, k.pa.SetPolicies(ctx, 1, policiesOf(ab, spd.ActionProtect)))
		require.NoError(t, k.pa.AcquireDone(ctx, ev.ID, nil))
		require.NotZero(t, <-answered)
		require.NoError(t, k.pa.SetPolicies(ctx, 999, nil))
		ab.ReqID, ba.ReqID = 1, 1
		k.remove(t, ab, ba)
	}
}

// waitFor returns the next event of a kind.
func waitFor[T spd.Event](t testing.TB, p *pfkey.DataPlane) T {
	t.Helper()
	end := time.After(20 * time.Second)
	for {
		select {
		case ev := <-p.Events():
			if x, ok := ev.(T); ok {
				return x
			}
			t.Logf("another event: %#v", ev)
		case <-end:
			var none T
			t.Fatalf("no %T", none)
		}
	}
}

// TestKernelExpire: soft and hard limits by volume and by time.
func TestKernelExpire(t *testing.T) {
	if !inKernel(t) {
		return
	}
	k := newKernelPair(t)
	ctx := t.Context()
	l := link{text: "aes128-sha1", mode: spd.ModeTunnel}
	ab, ba := k.bundles(t, l, 5)
	ab.Lifetime = spd.Lifetime{SoftBytes: 1000, HardBytes: 4000}
	in := mirror(ba)
	in.Lifetime = spd.Lifetime{HardTime: 6 * time.Second}
	require.NoError(t, k.pa.InstallInbound(ctx, in))
	require.NoError(t, k.pa.InstallOutbound(ctx, ab))
	require.NoError(t, k.pa.SetPolicies(ctx, 1, policiesOf(ab, spd.ActionProtect)))
	_, _, innerA, innerB := k.addresses(l)
	_, _ = k.a.Ping(innerA, innerB, 2, 700)
	_, _ = k.a.Ping(innerA, innerB, 5, 1000)
	type kind struct {
		id   spd.SAID
		hard bool
	}
	seen := map[kind]spd.Counters{}
	for len(seen) < 3 {
		ev := waitFor[spd.ExpireEvent](t, k.pa)
		seen[kind{ev.ID, ev.Hard}] = ev.Counters
	}
	require.GreaterOrEqual(t, seen[kind{ab.ID(spd.Out, 0), false}].Bytes, uint64(1000))
	require.Contains(t, seen, kind{ab.ID(spd.Out, 0), true})
	require.Contains(t, seen, kind{in.ID(spd.In, 0), true})
	_, err := k.pa.Remove(ctx, ab.ID(spd.Out, 0))
	require.ErrorIs(t, err, spd.ErrNotFound)
}

// TestKernelMove: the peer gets another address, and SAs and policies follow
// without new keys and with their sequence numbers (X_MIGRATE).
func TestKernelMove(t *testing.T) {
	if !inKernel(t) {
		return
	}
	k := newKernelPair(t)
	ctx := t.Context()
	l := link{text: "aes128-sha1", mode: spd.ModeTunnel}
	ab, ba := k.install(t, l, 5)
	_, _, innerA, innerB := k.addresses(l)
	k.a.MustPing(innerA, innerB)
	moved := netip.MustParseAddr("10.99.0.77")
	k.b.IP("addr add 10.99.0.77/24 dev out0")
	seen := spd.Endpoints{Local: ab.Local, Remote: netip.AddrPortFrom(moved, 4500)}
	own := spd.Endpoints{Local: seen.Remote, Remote: ab.Local}
	move := func(p *pfkey.DataPlane, id spd.SAID, to spd.Endpoints) {
		t.Helper()
		err := p.MovePeer(ctx, id, to)
		if errors.Is(err, pfkey.ENOPROTOOPT) {
			t.Skip("this kernel has no X_MIGRATE")
		}
		require.NoError(t, err, "%s\n%s", state(k.a.Namespace), policies(k.a.Namespace))
	}
	ina, inb := mirror(ba), mirror(ab)
	move(k.pa, ab.ID(spd.Out, 0), seen)
	move(k.pa, ina.ID(spd.In, 0), seen)
	move(k.pb, ba.ID(spd.Out, 0), own)
	move(k.pb, inb.ID(spd.In, 0), own)
	s := state(k.a.Namespace) + policies(k.a.Namespace)
	require.NotContains(t, s, k.b.Outer.String()+" ", "nothing of the old address is left")
	require.Contains(t, s, "src 10.99.0.77 dst 10.99.0.1")
	k.b.IP("addr del 10.99.0.2/24 dev out0")
	k.b.IP("addr add 10.99.0.77/24 dev out0 noprefixroute", "route replace 10.99.0.0/24 dev out0 src 10.99.0.77", "route replace "+k.a.InnerNet.String()+" dev out0 src "+k.b.Inner.String())
	n, err := k.a.Ping(innerA, innerB, 3, 100)
	require.NoError(t, err, "%s%s", s, state(k.b.Namespace))
	require.Equal(t, 3, n)
	id := ab.ID(spd.Out, 0)
	id.Dst = moved
	c, err := k.pa.Query(ctx, id)
	require.NoError(t, err)
	require.GreaterOrEqual(t, c.Packets, uint64(3))
	require.Contains(t, s, "anti-replay context: seq 0x0, oseq 0x3,", "sequence numbers went along")
	require.Contains(t, s, "anti-replay context: seq 0x3, oseq 0x0,", "and the replay window")
	require.NoError(t, k.pa.SetPolicies(ctx, 5, nil))
	_, err = k.pa.Remove(ctx, id)
	require.NoError(t, err)
}

// TestKernelMapping: a NAT gives the peer another port, the kernel tells, and
// MovePeer follows.
func TestKernelMapping(t *testing.T) {
	if !inKernel(t) {
		return
	}
	k := newKernelPair(t)
	ctx := t.Context()
	require.NoError(t, k.pa.PrepareSocket(k.a.ListenUDP(netip.AddrPortFrom(k.a.Outer, 4500)), true))
	require.NoError(t, k.pb.PrepareSocket(k.b.ListenUDP(netip.AddrPortFrom(k.b.Outer, 4500)), true))
	require.NoError(t, k.pb.PrepareSocket(k.b.ListenUDP(netip.AddrPortFrom(k.b.Outer, 4501)), true))
	l := link{text: "aes128-sha1", mode: spd.ModeTunnel, udp: true}
	ab, ba := k.install(t, l, 5)
	_, _, innerA, innerB := k.addresses(l)
	k.a.MustPing(innerA, innerB)

	// b sends from another port, and listens there.
	port := netip.AddrPortFrom(k.b.Outer, 4501)
	require.NoError(t, k.pb.MovePeer(ctx, ba.ID(spd.Out, 0), spd.Endpoints{Local: port, Remote: ba.Remote, UDPEncap: true}))
	in := mirror(ab)
	require.NoError(t, k.pb.MovePeer(ctx, in.ID(spd.In, 0), spd.Endpoints{Local: port, Remote: ba.Remote, UDPEncap: true}))
	_, _ = k.b.Ping(innerB, innerA, 1, 100)
	ev := waitFor[spd.MappingEvent](t, k.pa)
	ina := mirror(ba)
	require.Equal(t, spd.MappingEvent{ID: ina.ID(spd.In, 0), Old: netip.AddrPortFrom(k.b.Outer, 4500), New: port}, ev)
	to := spd.Endpoints{Local: ab.Local, Remote: port, UDPEncap: true}
	require.NoError(t, k.pa.MovePeer(ctx, ab.ID(spd.Out, 0), to))
	require.NoError(t, k.pa.MovePeer(ctx, ina.ID(spd.In, 0), to))
	k.a.MustPing(innerA, innerB)
}

// TestKernelBypass: IKE's sockets are not held up by policies that discard
// everything.
func TestKernelBypass(t *testing.T) {
	if !inKernel(t) {
		return
	}
	k := newKernelPair(t)
	ctx := t.Context()
	for _, x := range []struct {
		any  spd.TrafficSelector
		a, b netip.Addr
	}{{spd.AnyIPv4, k.a.Outer, k.b.Outer}, {spd.AnyIPv6, k.a.Outer6, k.b.Outer6}} {
		pol := spd.Policy{Direction: spd.Out, Action: spd.ActionDiscard, Selector: spd.Selector{Local: x.any.WithProtocol(17, spd.AnyPort), Remote: x.any.WithProtocol(17, spd.AnyPort)}}
		in := pol
		in.Direction = spd.In
		require.NoError(t, k.pa.SetPolicies(ctx, 1, []spd.Policy{pol, in}))
		a, b := k.a.ListenUDP(netip.AddrPortFrom(x.a, 500)), k.b.ListenUDP(netip.AddrPortFrom(x.b, 500))
		exchange := func() error {
			if _, err := a.WriteToUDPAddrPort([]byte("ping"), netip.AddrPortFrom(x.b, 500)); err != nil {
				return err
			}
			buf := make([]byte, 10)
			for _, c := range []*net.UDPConn{b, a} {
				if err := c.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
					return err
				}
				_, from, err := c.ReadFromUDPAddrPort(buf)
				if err != nil {
					return err
				}
				if c == b {
					if _, err := b.WriteToUDPAddrPort([]byte("pong"), from); err != nil {
						return err
					}
				}
			}
			return nil
		}
		require.Error(t, exchange(), "the policies discard it")
		require.NoError(t, k.pa.PrepareSocket(a, false))
		require.NoError(t, exchange())
	}
}

// TestKernelSocketPolicy: a socket with a policy of its own asks for an SA.
func TestKernelSocketPolicy(t *testing.T) {
	if !inKernel(t) {
		return
	}
	k := newKernelPair(t)
	for text, to := range map[string]netip.Addr{
		"out ipsec esp/transport//require": k.b.Outer, "out ipsec ah/transport//require": k.b.Outer6,
	} {
		p, err := policy.Parse(text)
		require.NoError(t, err)
		local := k.a.Outer
		if to.Is6() {
			local = k.a.Outer6
		}
		c := k.a.ListenUDP(netip.AddrPortFrom(local, 7777))
		require.NoError(t, pfkey.Linux.SetSocketPolicy(c, to.Is6(), p))
		// Without an SA the kernel answers EAGAIN, which Go takes for a full socket.
		require.NoError(t, c.SetWriteDeadline(time.Now().Add(time.Second)))
		_, _ = c.WriteToUDPAddrPort([]byte("x"), netip.AddrPortFrom(to, 7777))
		ev := waitFor[spd.AcquireEvent](t, k.pa)
		require.Equal(t, to.Is6(), ev.Policy.Protocol == spd.ProtoAH, "%+v", ev)
	}
}

// TestC21_KernelLeak: after an SA has gone, nothing leaves in clear, and what
// comes in clear is not taken.
func TestC21_KernelLeak(t *testing.T) {
	if !inKernel(t) {
		return
	}
	k := newKernelPair(t)
	ctx := t.Context()
	l := link{text: "aes128-sha1", mode: spd.ModeTunnel}
	ab, _ := k.install(t, l, 5)
	_, _, innerA, innerB := k.addresses(l)
	k.a.MustPing(innerA, innerB)
	_, err := k.pa.Remove(ctx, ab.ID(spd.Out, 0))
	require.NoError(t, err)
	n, err := k.a.Ping(innerA, innerB, 2, 100)
	require.False(t, err == nil && n > 0)
	// In clear to b: dropped there.
	require.NoError(t, k.pa.SetPolicies(ctx, 5, nil))
	n, err = k.a.Ping(innerA, innerB, 2, 100)
	require.False(t, err == nil && n > 0)
}

// TestKernelScale: many SAs and policies, and a dump of all. There are 5,000 of
// each, with RACOON_SCALE set 50,000, which takes minutes.
func TestKernelScale(t *testing.T) {
	if !inKernel(t) {
		return
	}
	n := 5000
	if os.Getenv("RACOON_SCALE") != "" {
		n = 50000
	}
	ns := lab.NewNamespace(t, "scale")
	c := kernelClient(t, ns, pfkey.ClientConfig{Timeout: time.Minute})
	ctx := context.Background()
	each := func(what string, f func(peer netip.Addr, i int) error) {
		begin := time.Now()
		for i := range n {
			if err := f(netip.AddrFrom4([4]byte{10, 100, byte(i >> 8), byte(i)}), i); err != nil {
				t.Fatalf("%s %d: %v", what, i, err)
			}
		}
		t.Logf("%s: %d in %v, %.0f a second", what, n, time.Since(begin).Round(time.Millisecond), float64(n)/time.Since(begin).Seconds())
	}
	dump := func(what string, count func() int) {
		begin := time.Now()
		require.Equal(t, n, count())
		t.Logf("%s: %d in %v", what, n, time.Since(begin).Round(time.Millisecond))
	}
	sa := func(peer netip.Addr, i int) *pfkey.SAEntry {
		e := cbcEntry(t, c.Dialect(), spd.SPI(0x10000+i))
		e.Dst, e.ReqID = peer, uint32(i%pfkey.MaxReqID+1)
		return e
	}
	pol := func(peer netip.Addr, i int) *pfkey.PolicyEntry {
		return &pfkey.PolicyEntry{Src: netip.PrefixFrom(addrA, 32), Dst: netip.PrefixFrom(peer, 32), Policy: pfkey.Policy{Type: pfkey.PolicyIPsec, Dir: pfkey.DirOut,
			Priority: 1000, Requests: []pfkey.Request{{Proto: pfkey.IPProtoESP, Mode: pfkey.ModeTransport, Level: pfkey.LevelUnique, ReqID: uint32(i%pfkey.MaxReqID + 1)}}}}
	}
	each("ADD", func(peer netip.Addr, i int) error { return c.Add(ctx, sa(peer, i)) })
	each("GET", func(peer netip.Addr, i int) error { _, err := c.Get(ctx, sa(peer, i).Key()); return err })
	dump("DUMP", func() (seen int) {
		for _, err := range c.Dump(ctx, pfkey.SATypeESP) {
			require.NoError(t, err)
			seen++
		}
		return seen
	})
	each("DELETE", func(peer netip.Addr, i int) error { return c.Delete(ctx, sa(peer, i).Key()) })
	each("SPDADD", func(peer netip.Addr, i int) error { _, err := c.SPDAdd(ctx, pol(peer, i)); return err })
	dump("SPDDUMP", func() (seen int) {
		for _, err := range c.SPDDump(ctx) {
			require.NoError(t, err)
			seen++
		}
		return seen
	})
	each("SPDDELETE", func(peer netip.Addr, i int) error { return c.SPDDelete(ctx, pol(peer, i)) })
}
