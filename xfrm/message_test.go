package xfrm_test

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/xfrm"
)

var (
	addr   = netip.MustParseAddr
	prefix = netip.MustParsePrefix
)

func fullSA() xfrm.SA {
	return xfrm.SA{
		Selector: xfrm.Selector{Src: prefix("10.1.0.0/16"), Dst: prefix("10.2.3.0/24"), DstPort: 80, DstPortMask: 0xffff, Proto: 6, Interface: 3, User: 4},
		Src:      addr("192.0.2.1"), Dst: addr("198.51.100.2"), SPI: 0x11223344, Proto: xfrm.ProtoESP, Mode: xfrm.ModeTunnel,
		Flags: xfrm.FlagESN | xfrm.FlagAnyFamily, ReqID: 7, Seq: 8,
		Limits: xfrm.Limits{SoftBytes: 1 << 40, HardBytes: 1 << 41, SoftPackets: 5, HardPackets: 6, SoftAdd: 1, HardAdd: 2, SoftUse: 3, HardUse: 4},
		Usage:  xfrm.Usage{Bytes: 1, Packets: 2, Added: 3, Used: 4}, SetUsage: true,
		Stats: xfrm.Stats{Window: 1, Replay: 2, Integrity: 3}, ReplayWindow: 32,
		AEAD:       xfrm.Algorithm{Name: "rfc4106(gcm(aes))", Key: spd.Key("0123456789abcdefSALT"), ICVBits: 128},
		Crypt:      xfrm.Algorithm{Name: "cbc(aes)", Key: spd.Key("0123456789abcdef")},
		Auth:       xfrm.Algorithm{Name: "hmac(sha256)", Key: spd.Key("0123456789abcdef0123456789abcdef"), ICVBits: 128},
		Comp:       xfrm.Algorithm{Name: "deflate"},
		Encap:      xfrm.Encap{Type: xfrm.EncapUDP, SrcPort: 4500, DstPort: 31000, Original: addr("10.0.0.9")},
		Replay:     &xfrm.Replay{OutSeq: 1, Seq: 2, Bitmap: 3},
		ReplayESN:  &xfrm.ReplayESN{OutSeq: 1<<33 | 5, Seq: 1<<32 | 6, Window: 64, Bitmap: []uint32{1, 2}},
		Thresholds: &xfrm.Thresholds{Packets: 1, Time: 2}, CoAddr: addr("192.0.2.77"), Mark: xfrm.Mark{Value: 1, Mask: 0xff},
		SetMark: xfrm.Mark{Value: 2, Mask: 0xf0}, InterfaceID: 9, TFCPad: 1400, ExtraFlags: xfrm.ExtraNoDSCP,
		Offload: xfrm.Offload{Interface: 2, Flags: xfrm.OffloadInbound}, SecCtx: xfrm.SecCtx{DOI: 1, Algorithm: 1, Label: "system_u:object_r:ipsec_t:s0"},
		MappingThreshold: 5, Direction: xfrm.SADirOut, NATKeepalive: 20, CPU: 4, LastUsed: 1700000000,
		Unknown: []xfrm.Attribute{{Type: 300, Value: []byte{1, 2, 3}}},
	}
}

func fullPolicy() xfrm.Policy {
	return xfrm.Policy{
		Selector: xfrm.Selector{Src: prefix("fd00::/8"), Dst: prefix("::/0"), SrcPort: 0x8000, SrcPortMask: 0xff00},
		Priority: 1000, Index: 9, Dir: xfrm.DirForward, Action: xfrm.ActionBlock, Flags: xfrm.PolicyICMP, Share: 1,
		Limits: xfrm.Limits{HardUse: 9}, Usage: xfrm.Usage{Used: 77},
		Templates: []xfrm.Template{
			{Src: addr("::"), Dst: addr("::"), Proto: xfrm.ProtoIPComp, Mode: xfrm.ModeTunnel, ReqID: 3, Optional: true},
			{Src: addr("192.0.2.1"), Dst: addr("192.0.2.2"), SPI: 3, Proto: xfrm.ProtoESP, ReqID: 3, Share: 2, Auth: 1, Crypt: 2, Comp: 4},
		},
		Type: xfrm.PolicySub, Mark: xfrm.Mark{Value: 1, Mask: 1}, InterfaceID: 4, SecCtx: xfrm.SecCtx{DOI: 1, Algorithm: 1, Label: "l"},
		Offload: xfrm.Offload{Interface: 1, Flags: xfrm.OffloadPacket}, Unknown: []xfrm.Attribute{{Type: 200, Value: []byte{9}}},
	}
}

// messages has one of every message with every field set.
func messages() []xfrm.Message {
	sa, policy := fullSA(), fullPolicy()
	key := sa.Key()
	plain := fullPolicy()
	return []xfrm.Message{
		&xfrm.NewSA{SA: sa}, &xfrm.UpdSA{SA: sa}, &xfrm.AllocSPI{SA: sa, Min: 0xc0000000, Max: 0xcfffffff}, &xfrm.Expire{SA: sa, Hard: true},
		&xfrm.DelSA{Key: key, Src: addr("192.0.2.1")}, &xfrm.DelSA{Key: key, SA: &sa},
		&xfrm.GetSA{Key: key, Src: addr("192.0.2.1"), Unknown: []xfrm.Attribute{{Type: 99, Value: []byte{1, 2, 3, 4}}}},
		&xfrm.FlushSA{Proto: xfrm.ProtoAny},
		&xfrm.NewPolicy{Policy: policy}, &xfrm.UpdPolicy{Policy: policy}, &xfrm.PolExpire{Policy: policy, Hard: true},
		&xfrm.DelPolicy{Key: policy.Key()}, &xfrm.DelPolicy{Key: policy.Key(), Policy: &plain}, &xfrm.GetPolicy{Key: policy.Key()},
		&xfrm.FlushPolicy{Type: xfrm.PolicyAny}, &xfrm.SetDefault{In: 1, Forward: 2, Out: 1}, &xfrm.GetDefault{In: 2, Forward: 1, Out: 2},
		&xfrm.Acquire{Src: addr("192.0.2.1"), Dst: addr("192.0.2.2"), Proto: xfrm.ProtoESP, Seq: 5, Auth: 1, Crypt: 2, Comp: 3, CPU: 1,
			Packet: xfrm.Selector{Src: prefix("10.0.0.1/32"), Dst: prefix("10.0.0.2/32")}, Policy: policy},
		&xfrm.Mapping{Key: key, ReqID: 3, OldSrc: addr("192.0.2.1"), NewSrc: addr("192.0.2.9"), OldPort: 4500, NewPort: 4501},
		&xfrm.Report{Proto: 43, Packet: sa.Selector, CoAddr: addr("192.0.2.1")},
		&xfrm.NewAE{AE: ae()}, &xfrm.GetAE{AE: ae()},
		&xfrm.Migrate{Key: policy.Key(), Entries: []xfrm.Migration{
			{OldSrc: addr("192.0.2.1"), OldDst: addr("192.0.2.2"), NewSrc: addr("2001:db8::1"), NewDst: addr("2001:db8::2"), Proto: xfrm.ProtoESP, Mode: xfrm.ModeTunnel, ReqID: 1},
		}, KMAddress: &xfrm.KMAddress{Local: addr("192.0.2.1"), Remote: addr("192.0.2.2")}, Encap: xfrm.Encap{Type: xfrm.EncapUDP, SrcPort: 1, DstPort: 2}},
		&xfrm.GetSADInfo{Flags: 1}, &xfrm.NewSADInfo{Flags: 1, Count: 2, Buckets: 3, MaxBucket: 4},
		&xfrm.GetSPDInfo{Flags: 1}, &xfrm.NewSPDInfo{Flags: 1, In: 1, Out: 2, Forward: 3, SocketIn: 4, SocketOut: 5, SocketForward: 6, Buckets: 7, MaxBuckets: 8,
			IPv4Threshold: &xfrm.HashThreshold{Local: 24, Remote: 32}, IPv6Threshold: &xfrm.HashThreshold{Local: 64, Remote: 128}},
	}
}

func ae() xfrm.AE {
	sa := fullSA()
	return xfrm.AE{Key: sa.Key(), Src: addr("192.0.2.1"), Flags: xfrm.AEReplayThreshold | xfrm.AETimerThreshold | xfrm.AEReplay, ReqID: 1,
		Replay: sa.Replay, ReplayESN: sa.ReplayESN, Usage: &sa.Usage, Thresholds: &xfrm.Thresholds{Packets: 3, Time: 4}}
}

// TestRoundTrip: every field of every message comes back.
func TestRoundTrip(t *testing.T) {
	seen := map[xfrm.MessageType]bool{}
	for _, m := range messages() {
		seen[m.MessageType()] = true
		b := m.Append([]byte("prefix"))
		require.Zero(t, (len(b)-6)%4*boolInt(len(b)-6 > 4), "%v is not aligned", m.MessageType())
		got, err := xfrm.Parse(m.MessageType(), b[6:])
		require.NoError(t, err, "%v", m.MessageType())
		require.Equal(t, m, got, "%v", m.MessageType())
	}
	for mt := xfrm.MsgNewSA; mt <= xfrm.MsgGetDefault; mt++ {
		require.True(t, seen[mt], "%v is not tested", mt)
	}
	for _, m := range []*xfrm.DumpSA{{}, {Proto: xfrm.ProtoAH, Filter: &xfrm.AddressFilter{Src: prefix("10.0.0.0/8"), Dst: prefix("10.1.0.0/16")}}} {
		got, err := xfrm.ParseDumpSA(m.Append(nil))
		require.NoError(t, err)
		require.Equal(t, m, got)
	}
	_, err := xfrm.Parse(0x29, nil)
	require.ErrorIs(t, err, xfrm.ErrSyntax)
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestLabel: the kernel ends a label with one zero octet more than it was told.
func TestLabel(t *testing.T) {
	p := fullPolicy()
	for _, end := range []string{"", "\x00"} {
		m := p
		m.SecCtx.Label += end
		got, err := xfrm.Parse(xfrm.MsgNewPolicy, (&xfrm.NewPolicy{Policy: m}).Append(nil))
		require.NoError(t, err)
		require.Equal(t, &xfrm.NewPolicy{Policy: p}, got)
	}
	key := p.Key()
	require.Equal(t, p.SecCtx, key.SecCtx, "it is part of a policy's name")
}

// TestSizes: the fixed parts have the sizes of the kernel's structures, which
// it checks on every message.
func TestSizes(t *testing.T) {
	want := map[xfrm.MessageType]int{
		xfrm.MsgNewSA: 224, xfrm.MsgUpdSA: 224, xfrm.MsgDelSA: 24, xfrm.MsgGetSA: 24, xfrm.MsgAllocSPI: 232, xfrm.MsgExpire: 232,
		xfrm.MsgFlushSA: 1, xfrm.MsgNewPolicy: 168, xfrm.MsgUpdPolicy: 168, xfrm.MsgDelPolicy: 64, xfrm.MsgGetPolicy: 64, xfrm.MsgPolExpire: 176,
		xfrm.MsgFlushPolicy: 0, xfrm.MsgAcquire: 280, xfrm.MsgReport: 60, xfrm.MsgMapping: 64, xfrm.MsgMigrate: 64,
		xfrm.MsgNewAE: 48, xfrm.MsgGetAE: 48, xfrm.MsgGetSADInfo: 4, xfrm.MsgGetSPDInfo: 4, xfrm.MsgSetDefault: 3, xfrm.MsgGetDefault: 3,
	}
	if runtime.GOARCH == "386" {
		for mt, n := range map[xfrm.MessageType]int{xfrm.MsgNewSA: 220, xfrm.MsgUpdSA: 220, xfrm.MsgAllocSPI: 228, xfrm.MsgExpire: 224,
			xfrm.MsgNewPolicy: 164, xfrm.MsgUpdPolicy: 164, xfrm.MsgPolExpire: 168, xfrm.MsgAcquire: 276} {
			want[mt] = n
		}
	}
	for mt, n := range want {
		m, err := xfrm.Parse(mt, make([]byte, n))
		require.NoError(t, err, "%v", mt)
		require.Len(t, m.Append(nil), n, "%v", mt)
		if n > 0 {
			_, err = xfrm.Parse(mt, make([]byte, n-1))
			require.ErrorIs(t, err, xfrm.ErrSyntax, "%v", mt)
			require.ErrorContains(t, err, mt.String())
		}
	}
}

// TestLayout pins fields to the offsets of the kernel's structures.
func TestLayout(t *testing.T) {
	sa := fullSA()
	b := (&xfrm.NewSA{SA: sa}).Append(nil)
	hexAt := func(off, n int) string { return hex.EncodeToString(b[off : off+n]) }
	ne := binary.NativeEndian
	require.Equal(t, "0a020300000000000000000000000000", hexAt(0, 16)) // sel.daddr
	require.Equal(t, "0a010000", hexAt(16, 4))                         // sel.saddr
	require.Equal(t, "0050ffff00000000", hexAt(32, 8))                 // dport, mask, sport, mask
	require.EqualValues(t, 2, ne.Uint16(b[40:]))                       // sel.family
	require.Equal(t, "181006", hexAt(42, 3))                           // prefixlen_d, prefixlen_s, proto
	require.EqualValues(t, 3, ne.Uint32(b[48:]))                       // ifindex
	require.EqualValues(t, 4, ne.Uint32(b[52:]))                       // user
	require.Equal(t, "c6336402", hexAt(56, 4))                         // id.daddr
	require.Equal(t, "1122334432", hexAt(72, 5))                       // id.spi, id.proto
	require.Equal(t, "c0000201", hexAt(80, 4))                         // saddr
	require.EqualValues(t, uint64(1)<<40, ne.Uint64(b[96:]))           // lft
	require.EqualValues(t, 4, ne.Uint64(b[152:]))                      // lft.hard_use
	require.EqualValues(t, 1, ne.Uint64(b[160:]))                      // curlft
	require.EqualValues(t, 1, ne.Uint32(b[192:]))                      // stats
	require.EqualValues(t, 8, ne.Uint32(b[204:]))                      // seq
	require.EqualValues(t, 7, ne.Uint32(b[208:]))                      // reqid
	require.EqualValues(t, 2, ne.Uint16(b[212:]))                      // family
	require.Equal(t, "0120a0", hexAt(214, 3))                          // mode, replay_window, flags
	attr := 224
	if runtime.GOARCH == "386" {
		attr = 220
	}
	require.EqualValues(t, 4+72+20, ne.Uint16(b[attr:])) // XFRMA_ALG_AEAD
	require.EqualValues(t, 18, ne.Uint16(b[attr+2:]))
	require.Equal(t, "rfc4106(gcm(aes))", string(b[attr+4:attr+21]))
	require.EqualValues(t, 160, ne.Uint32(b[attr+68:])) // key length in bits
	require.EqualValues(t, 128, ne.Uint32(b[attr+72:])) // ICV length in bits

	policy := fullPolicy()
	b = (&xfrm.NewPolicy{Policy: policy}).Append(nil)
	require.EqualValues(t, 1000, ne.Uint32(b[152:]))
	require.EqualValues(t, 9, ne.Uint32(b[156:]))
	require.Equal(t, "02010201", hexAt(160, 4)) // dir, action, flags, share
	tmpl := 168 + 4
	if runtime.GOARCH == "386" {
		tmpl = 164 + 4
	}
	require.EqualValues(t, 4+128, ne.Uint16(b[tmpl-4:]))
	require.Equal(t, "6c", hexAt(tmpl+20, 1))          // proto
	require.EqualValues(t, 10, ne.Uint16(b[tmpl+24:])) // family
	require.EqualValues(t, 3, ne.Uint32(b[tmpl+44:]))  // reqid
	require.Equal(t, "010001", hexAt(tmpl+48, 3))      // mode, share, optional
	require.Equal(t, "ffffffffffffffffffffffff", hexAt(tmpl+52, 12))
}

// TestNoLimit: an unlimited SA is not one whose limit is zero.
func TestNoLimit(t *testing.T) {
	b := (&xfrm.NewSA{}).Append(nil)
	for i := range 4 {
		require.Equal(t, xfrm.Infinite, binary.NativeEndian.Uint64(b[96+8*i:]))
	}
	require.Zero(t, binary.NativeEndian.Uint64(b[96+32:]))
}

func TestAppendAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, 4096)
	for _, m := range messages() {
		require.Zero(t, testing.AllocsPerRun(20, func() { m.Append(buf) }), "%v", m.MessageType())
	}
}
