//go:build linux

package pfkey_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/spd"
)

// TestKernel runs all that needs a real kernel, in one: most of the time goes
// into its start and into loading its modules. A single one: -run TestKernel/Move.
func TestKernel(t *testing.T) {
	if !lab.InKernel(t, lab.KernelOptions{MemoryMB: 768}) {
		return
	}
	lab.LoadAlgorithms(t) // for the kernel looks for them all at each REGISTER
	for _, x := range []struct {
		name string
		test func(t *testing.T)
	}{
		{"Client", testKernelClient},
		{"SPD", testKernelSPD},
		{"Promiscuous", testKernelPromiscuous},
		{"Traffic", testKernelTraffic},
		{"Acquire", testKernelAcquire},
		{"Holds", testKernelHolds},
		{"TakeUp", testKernelTakeUp},
		{"Expire", testKernelExpire},
		{"Move", testKernelMove},
		{"Mapping", testKernelMapping},
		{"Bypass", testKernelBypass},
		{"SocketPolicy", testKernelSocketPolicy},
		{"C21_KernelLeak", testC21_KernelLeak},
		{"Scale", testKernelScale},
		{"AdoptsPolicies", testKernelAdoptsPolicies},
	} {
		t.Run(x.name, x.test)
	}
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

// testKernelClient makes each request of a Linux kernel, and looks at what it
// has done from the other side.
func testKernelClient(t *testing.T) {
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

// testKernelSPD makes each request about policies of a Linux kernel.
func testKernelSPD(t *testing.T) {
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

// testKernelPromiscuous hears of another program's requests.
func testKernelPromiscuous(t *testing.T) {
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
