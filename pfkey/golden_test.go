package pfkey

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// octets joins hexadecimal text with spaces.
func octets(t *testing.T, text ...string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(strings.Join(text, ""), " ", ""))
	require.NoError(t, err)
	return b
}

// golden checks that a message is encoded to octets that were written down from
// the systems' header files, and decoded from them.
func golden(t *testing.T, d *Dialect, m *Message, text ...string) {
	t.Helper()
	want := octets(t, text...)
	got, err := d.Append(nil, m)
	require.NoError(t, err)
	require.Equal(t, hex.EncodeToString(want), hex.EncodeToString(got), d)
	back, err := d.Parse(want)
	require.NoError(t, err)
	again, err := d.Append(nil, back)
	require.NoError(t, err)
	require.Equal(t, want, again)
}

func little(d *Dialect) *Dialect { return d.WithByteOrder(binary.LittleEndian) }

var (
	src4, dst4 = netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("10.9.0.7")
	src6, dst6 = netip.MustParseAddr("fe80::1"), netip.MustParseAddr("fd00::2")
)

// TestGoldenRegister: the numbers of SA types.
func TestGoldenRegister(t *testing.T) {
	m := &Message{Header: Header{Type: MsgRegister, SAType: SATypeAH, Seq: 5, PID: 0x1092}}
	for _, d := range []*Dialect{Linux, FreeBSD, NetBSD, MacOS} {
		golden(t, little(d), m, "02070002 02000000 05000000 92100000")
	}
	golden(t, little(OpenBSD), m, "02070001 02000000 05000000 92100000")
	golden(t, Linux.WithByteOrder(binary.BigEndian), m, "02070002 00020000 00000005 00001092")
}

// TestGoldenAdd: an SA with UDP encapsulation.
func TestGoldenAdd(t *testing.T) {
	entry := &SAEntry{Type: SATypeESP, SPI: 0x01020304, Src: src4, Dst: dst4, Mode: ModeTunnel, ReqID: 7, ReplayWindow: 32, Auth: 3, Encrypt: 12,
		AuthKey: []byte("aaaaaaaaaaaaaaaaaaaa"), EncryptKey: []byte("eeeeeeeeeeeeeeee"), Hard: &Lifetime{Bytes: 0x100, AddTime: 3600},
		Encap: &Encap{SrcPort: 4500, DstPort: 33000}}
	const (
		hard  = "0400 0300 00000000 0001000000000000 100e000000000000 0000000000000000"
		soft  = "0400 0400 00000000 0000000000000000 0000000000000000 0000000000000000"
		src   = "0300 0500 ff20 0000 02000000 0a090001 0000000000000000"
		dst   = "0300 0600 ff20 0000 02000000 0a090007 0000000000000000"
		srcL  = "0300 0500 ff20 0000 10020000 0a090001 0000000000000000"
		dstL  = "0300 0600 ff20 0000 10020000 0a090007 0000000000000000"
		keyA  = "0400 0800 a000 0000 6161616161616161616161616161616161616161 00000000"
		keyE  = "0300 0900 8000 0000 65656565656565656565656565656565"
		mode  = "0200 1300 02 000000 00000000 07000000"
		ports = "0100 1400 02 000000 0100 1500 1194 0000 0100 1600 80e8 0000"
	)
	add := func(d *Dialect) *Message {
		m, err := d.saMessage(MsgAdd, entry)
		require.NoError(t, err)
		m.Seq, m.PID = 1, 2
		return m
	}
	golden(t, little(Linux), add(Linux), "0203 0003 1e00 0000 01000000 02000000", "0200 0100 01020304 20 01 03 0c 00000000",
		hard, soft, src, dst, keyA, keyE, mode, ports)
	for _, d := range []*Dialect{FreeBSD, NetBSD} { // the window in octets of bitmap
		golden(t, little(d), add(d), "0203 0003 1e00 0000 01000000 02000000", "0200 0100 01020304 04 01 03 0c 00000000",
			hard, soft, srcL, dstL, keyA, keyE, mode, ports)
	}
	// The ports in the longer SA: the peer's in host order, the own one not.
	golden(t, little(MacOS), add(MacOS), "0203 0003 1c00 0000 01000000 02000000", "0300 0100 01020304 04 01 03 0c 02000000 e880 0000 0000 1194",
		hard, soft, srcL, dstL, keyA, keyE, mode)
	// Flags for tunnel mode and encapsulation, no protocol and prefix length.
	golden(t, little(OpenBSD), add(OpenBSD), "0203 0002 1a00 0000 01000000 02000000", "0200 0100 01020304 20 01 03 0c 04020000",
		hard, soft, strings.Replace(srcL, "ff20", "0000", 1), strings.Replace(dstL, "ff20", "0000", 1), keyA, keyE, "0100 1f00 80e8 0000")
}

// TestGoldenPolicy: the two layouts of requests, and where there is a priority.
func TestGoldenPolicy(t *testing.T) {
	m := &Message{Header: Header{Type: MsgSPDAdd, Seq: 1, PID: 2}, Exts: []Extension{&Policy{Type: PolicyIPsec, Dir: DirIn, Priority: 0x11223344, Requests: []Request{
		{Proto: IPProtoAH, Mode: ModeTransport, Level: LevelUse},
		{Proto: IPProtoESP, Mode: ModeTunnel, Level: LevelUnique, ReqID: 0x1234, Src: SockAddr{Addr: src6, Scope: 3}, Dst: SockAddr{Addr: dst6}}}}}}
	const (
		srcAddr = "0000 00000000 fe800000000000000000000000000001 03000000"
		dstAddr = "0000 00000000 fd000000000000000000000000000002 00000000"
	)
	golden(t, little(Linux), m, "020e 0000 0f00 0000 01000000 02000000", "0d00 1200 0200 01 00 00000000 44332211",
		"1000 3300 01 01 0000 00000000 00000000", "4800 3200 02 03 0000 34120000 00000000", "0a00"+srcAddr, "0a00"+dstAddr)
	for _, x := range []struct {
		d        *Dialect
		family   string
		priority string
	}{{FreeBSD, "1c1c", "44332211"}, {NetBSD, "1c18", "00000000"}, {MacOS, "1c1e", "00000000"}} {
		golden(t, little(x.d), m, "020e 0000 0d00 0000 01000000 02000000", "0b00 1200 0200 01 00 00000000"+x.priority,
			"0800 3300 01 01 0000", "4000 3200 02 03 3412", x.family+srcAddr, x.family+dstAddr)
	}
	_, err := OpenBSD.Append(nil, m)
	require.ErrorIs(t, err, ErrMessage, "OpenBSD has flows instead")
}

// TestGoldenOwn: extensions that one system alone has.
func TestGoldenOwn(t *testing.T) {
	for _, x := range []struct {
		d *Dialect
		e Extension
		s string
	}{
		{Linux, &SecCtx{Alg: 1, DOI: 1, Context: []byte("a:b\x00")}, "0200 1800 01 01 0400 613a6200 00000000"},
		{Linux, &Filter{Src: netip.MustParsePrefix("10.0.0.0/8"), Dst: netip.MustParsePrefix("10.9.0.0/16")},
			"0500 1a00 0a000000000000000000000000000000 0a090000000000000000000000000000 0200 08 10"},
		{Linux, &KMAddress{Local: SockAddr{Addr: src4, Port: 500}, Remote: SockAddr{Addr: dst4}},
			"0500 1900 00000000 020001f4 0a090001 0000000000000000 02000000 0a090007 0000000000000000"},
		{FreeBSD, &SAReplay{Window: 4096}, "0100 1a00 00100000"},
		{FreeBSD, saAddress(ExtNewAddressSrc, src4, 0, 0), "0300 1b00 ff20 0000 10020000 0a090001 0000000000000000"},
		{FreeBSD, saAddress(ExtNATTOAR, src4, 0, 0), "0300 1800 ff20 0000 10020000 0a090001 0000000000000000"},
		{NetBSD, &NATTFrag{Size: 1400}, "0100 1900 7805 0000"},
		{MacOS, &SessionID{ID: [2]uint64{1, 2}}, "0300 1400 00000000 0100000000000000 0200000000000000"},
		{MacOS, &SA2{Mode: ModeTransport, ReqID: 1, AlwaysExpire: true, Flags: 2}, "0200 1300 01 01 0200 00000000 01000000"},
		{MacOS, saAddress(ExtMigrateDst, dst4, 0, 0), "0300 1c00 ff20 0000 10020000 0a090007 0000000000000000"},
		{OpenBSD, &Protocol{Type: ExtFlowType, Proto: uint8(FlowRequire), Dir: 2}, "0100 1400 03 02 00 00"},
		{OpenBSD, &Tag{Name: "vpn"}, "0200 2100 04000000 76706e00 00000000"},
		{OpenBSD, &ReplayCounter{Count: 9}, "0200 2700 00000000 0900000000000000"},
		{OpenBSD, &Number{Type: ExtPolicySeq, Value: 7}, "0100 1900 07000000"},
		{OpenBSD, &Number{Type: ExtTap, Value: 2}, "0100 2200 02000000"},
		{OpenBSD, &Number{Type: ExtMTU, Value: 1400}, "0100 2600 78050000"},
		{OpenBSD, &Counter{InPackets: 1, OutPackets: 2, InBytes: 3, OutBytes: 4, InDrops: 5, OutDrops: 6, InDecompressed: 7, OutBeforeCompress: 8},
			"0900 2400 00000000 0100000000000000 0200000000000000 0300000000000000 0400000000000000 0500000000000000 0600000000000000 0700000000000000 0800000000000000"},
		{OpenBSD, &RDomain{Inner: 1, Outer: 2}, "0100 2500 0100 0200"},
		{OpenBSD, &Iface{Unit: 5, Dir: 1}, "0200 2800 05000000 01 00000000000000"},
		{OpenBSD, &Proposal{Replay: 64}, "0100 0d00 00 40 0000"},
		{Linux, &Proposal{Replay: 32}, "0100 0d00 20 000000"},
		{Linux, &SPIRange{Min: 0x100, Max: 0x1ff}, "0200 1000 00010000 ff010000 00000000"},
		{Linux, &Sensitivity{DPD: 1, Level: 2, IntegLevel: 3, Bitmap: make([]byte, 8), Integ: []byte{}}, "0300 0c00 01000000 02 01 03 00 00000000 0000000000000000"},
		{Linux, &Identity{Type: ExtIdentityDst, Kind: IdentityUserFQDN, UserID: 7, Name: []byte("u@host.x")},
			"0400 0b00 0300 0000 0700000000000000 7540686f73742e78 0000000000000000"},
	} {
		d := little(x.d)
		want := octets(t, x.s)
		got, err := d.appendExt(nil, x.e)
		require.NoError(t, err, x.e.Ext())
		require.Equal(t, hex.EncodeToString(want), hex.EncodeToString(got), "%v %v", x.d, x.e.Ext())
		back, err := d.parseExt(x.e.Ext(), want)
		require.NoError(t, err)
		require.Equal(t, x.e, back)
	}
}

// TestAppendAllocs: encoding into a buffer with room does not allocate.
func TestAppendAllocs(t *testing.T) {
	m, err := Linux.saMessage(MsgAdd, &SAEntry{Type: SATypeESP, SPI: 1000, Src: src6, Dst: dst6, AuthKey: make([]byte, 20), EncryptKey: make([]byte, 16)})
	require.NoError(t, err)
	buf := make([]byte, 0, 1024)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if _, err := Linux.Append(buf, m); err != nil {
			t.Error(err)
		}
	}))
}
