package setkey

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/spd"
)

// golden reads what setkey itself has printed, see testdata/README.md.
func golden(t *testing.T, file string) string {
	b, err := os.ReadFile("testdata/" + file)
	require.NoError(t, err)
	return string(b)
}

func unhex(t *testing.T, s string) spd.Key {
	all, err := Parse("f", []byte("add ::1 ::1 tcp 0x1000 -A tcp-md5 0x"+strings.ReplaceAll(s, " ", "")+";"))
	require.NoError(t, err)
	return all[0].(*SAStatement).Auth.Key
}

// TestPrintSA: what ipsec-tools' setkey has printed of two SAs is what is
// printed of the same.
func TestPrintSA(t *testing.T) {
	now := time.Date(2026, 11, 22, 1, 6, 49, 0, time.UTC)
	at := uint64(now.Add(-7 * time.Second).Unix())
	a, b := netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.1.0.2")
	one := SA{Proto: ProtoESP, Src: a, Dst: b, SPI: 0x0401bae9, Mode: pfkey.ModeTransport, Replay: 4, State: pfkey.StateMature,
		Encrypt: Algorithm{"aes-cbc", unhex(t, "e313d6cb 475e5c21 a846c164 b9b5c715")}, Auth: Algorithm{"hmac-sha1", unhex(t, "f479629e b2d32e5b f50bbb1c 117c83bb ee577186")},
		Hard: Lifetime{AddTime: 1800}, Soft: Lifetime{AddTime: 1440}, Current: &Lifetime{AddTime: at, UseTime: at + 1, Bytes: 384, Allocations: 6}, Origin: Origin{Seq: 1, PID: 1099}}
	two := one
	two.Src, two.Dst, two.SPI, two.Origin.Seq = b, a, 0x0ff5aac8, 0
	two.Encrypt.Key, two.Auth.Key = unhex(t, "db20687d eb2a4719 037ab4a0 ecc9cd40"), unhex(t, "0f423802 b064feec 4a52c249 45f30335 cff568a6")
	o := PrintOptions{Location: time.UTC}
	require.Equal(t, golden(t, "sad.txt"), string(AppendSA(AppendSA(nil, &one, now, o), &two, now, o)))

	one.Proto, one.SrcPort, one.DstPort, one.Original = ProtoESPUDP, 4500, 33000, a
	one.Auth.Key = unhex(t, strings.Repeat("01", 64))
	one.Context = &Context{1, 1, "a:b"}
	text := string(AppendSA(nil, &one, now, o))
	require.Contains(t, text, "10.1.0.1[4500] 10.1.0.2[33000] \n\tesp-udp mode=transport spi=67222249(0x0401bae9) reqid=0(0x00000000)\n\tNAT OA=10.1.0.1\n")
	require.Contains(t, text, "A: hmac-sha1 "+strings.Repeat(" 01010101", 8)+"\n"+strings.Repeat(" 01010101", 8)+"\n")
	require.Contains(t, text, "\tsecurity context doi: 1\n\tsecurity context algorithm: 1\n\tsecurity context length: 4\n\tsecurity context: a:b\n")
	require.Contains(t, string(AppendSA(nil, &two, now, PrintOptions{Ports: true})), "10.1.0.2[0] 10.1.0.1[0] \n")
	require.Equal(t, "0649 esp M 0ff5aac8   7/big 10.1.0.2 -> 10.1.0.1\n", string(AppendSA(nil, &two, now, PrintOptions{Short: true})))
	two.Current, two.State = nil, pfkey.StateDead
	require.Equal(t, "0649 esp d 0ff5aac8  ??/??? 10.1.0.2 -> 10.1.0.1\n", string(AppendSA(nil, &two, now, PrintOptions{Short: true})))
}

// TestPrintPolicy: as TestPrintSA, with policies of the SPD and of sockets.
func TestPrintPolicy(t *testing.T) {
	day := func(h, m, s int) uint64 { return uint64(time.Date(2026, 11, 22, h, m, s, 0, time.UTC).Unix()) }
	socket := func(dir pfkey.Dir, id, seq uint32, last uint64) *Policy {
		return &Policy{Src: netip.MustParsePrefix("0.0.0.0/0"), Dst: netip.MustParsePrefix("0.0.0.0/0"), Socket: true, Policy: pfkey.Policy{Type: pfkey.PolicyNone, Dir: dir, ID: id},
			Current: &Lifetime{AddTime: day(1, 23, 39), UseTime: last}, Hard: &Lifetime{}, Origin: Origin{seq, 1185, 1}}
	}
	packets := func(src, dst string, dir pfkey.Dir, id, seq uint32) *Policy {
		return &Policy{Src: netip.MustParsePrefix(src), Dst: netip.MustParsePrefix(dst), Proto: 1, Current: &Lifetime{AddTime: day(1, 23, 37), UseTime: day(1, 23, 47)}, Hard: &Lifetime{},
			Origin: Origin{seq, 1185, 1}, Policy: pfkey.Policy{Type: pfkey.PolicyIPsec, Dir: dir, ID: id,
				Requests: []pfkey.Request{{Proto: 50, Mode: pfkey.ModeTransport, Level: pfkey.LevelRequire}}}}
	}
	last := day(1, 23, 42)
	var text []byte
	for _, p := range []*Policy{socket(5, 44, 1, 0), socket(4, 35, 2, 0), socket(5, 28, 3, last), socket(4, 19, 4, last),
		packets("10.1.0.2/32", "10.1.0.1/32", pfkey.DirIn, 8, 5), packets("10.1.0.1/32", "10.1.0.2/32", pfkey.DirOut, 1, 0)} {
		text = AppendPolicy(text, p, PrintOptions{Location: time.UTC})
	}
	require.Equal(t, golden(t, "spd.txt"), string(text))

	for _, x := range []struct{ statement, want string }{
		{"spdadd 10.0.0.0/8 fd00::1/64 any -P out prio high + 10 none;", "10.0.0.0/8[any] fd00::1/64[any] any\n\tout prio high + 10 none\n"},
		{"spdadd ::1 ::1 icmp6 135,0 -P in discard;", "::1 ::1 icmp6 135,0\n\tin prio def discard\n"},
		{"spdadd ::1 ::1 gre 1.2.3.4 -P in discard;", "::1 ::1 gre 16909060\n\tin prio def discard\n"},
		{"spdadd tagged \"x\" -P in discard;", "tagged \"x\" \n\tin prio def discard\n"},
		{"spdadd ::1[5] ::1 udp -P out prio low - 1 ipsec ipcomp/transport//use ah/tunnel/10.0.0.1[4500]-10.0.0.2/unique:3;",
			"::1[5] ::1[any] udp\n\tout prio low - 1 ipsec\n\tipcomp/transport//use\n\tah/tunnel/10.0.0.1[4500]-10.0.0.2[0]/unique:3\n"},
	} {
		all, err := Parse("f", []byte(x.statement))
		require.NoError(t, err)
		s := all[0].(*PolicyStatement)
		if s.Src.Name == "10.0.0.0" {
			s.Dst.Name, x.want = "10.0.0.1", strings.Replace(x.want, "fd00::1/64", "10.0.0.1/24", 1)
			s.Dst.Bits = 24
		}
		p, err := s.Policies(t.Context(), names{})
		require.NoError(t, err)
		require.Equal(t, x.want+"\tspid=0 seq=0 pid=0\n\trefcnt=0\n", string(AppendPolicy(nil, p[0], PrintOptions{Ports: true})))
	}
	require.Contains(t, string(AppendPolicy(nil, &Policy{Socket: true}, PrintOptions{})), "(no selector, probably per-socket policy) \n")
}

// TestPrintMessage: every message that the kernel in memory has answered with is
// printed, and those that are malformed too.
func TestPrintMessage(t *testing.T) {
	for _, d := range pfkey.Dialects() {
		m := &pfkey.Message{Header: pfkey.Header{Type: pfkey.MsgAdd, SAType: pfkey.SATypeESP, Seq: 9, PID: 7}, Exts: []pfkey.Extension{
			&pfkey.SA{SPI: 0x1000, Replay: 4, State: 1, Auth: 3, Encrypt: 12}, &pfkey.Address{Type: pfkey.ExtAddressSrc, Proto: 255, PrefixLen: 32, SockAddr: pfkey.SockAddr{Addr: netip.MustParseAddr("10.0.0.1")}},
			&pfkey.Key{Type: pfkey.ExtKeyEncrypt, Key: spd.Key("0123456789abcdef")}, &pfkey.Lifetime{Type: pfkey.ExtLifetimeHard, Bytes: 5}}}
		raw, err := d.Append(nil, m)
		require.NoError(t, err)
		text := string(AppendMessage(nil, d, raw))
		require.Contains(t, text, "sadb_msg{ version=2 type=3 errno=0 satype=")
		require.Contains(t, text, " reserved=0 seq=9 pid=7\nsadb_ext{ len=2 type=1 }\nsadb_sa{ spi=4096 replay=4 state=1\n  auth=3 encrypt=12 flags=0x00000000 }\n")
		require.Contains(t, text, "sadb_key{ bits=128\n  key= 30313233 34353637 38396162 63646566 }\n")
		require.Contains(t, text, "sockaddr{ addr=10.0.0.1 port=0 }\n")
		wrapped, err := d.Append(nil, &pfkey.Message{Header: pfkey.Header{Type: pfkey.MsgPromisc}, Inner: raw})
		require.NoError(t, err)
		require.Equal(t, text, string(AppendMessage(nil, d, wrapped)))
		for n := range raw {
			require.NotEmpty(t, AppendMessage(nil, d, raw[:n]))
		}
	}
	require.Equal(t, "00000000: 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f \n00000010: 10 \n",
		string(AppendHexDump(nil, []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16})))
}

func FuzzAppendMessage(f *testing.F) {
	raw, err := pfkey.Linux.Append(nil, &pfkey.Message{Header: pfkey.Header{Type: pfkey.MsgSPDAdd}, Exts: []pfkey.Extension{&pfkey.Policy{Type: pfkey.PolicyIPsec, Dir: pfkey.DirOut,
		Requests: []pfkey.Request{{Proto: 50, Mode: pfkey.ModeTransport}}}}})
	require.NoError(f, err)
	f.Add(uint8(0), raw)
	f.Fuzz(func(t *testing.T, system uint8, raw []byte) {
		d := pfkey.Dialects()[int(system)%len(pfkey.Dialects())]
		_ = AppendMessage(nil, d, raw)
		m, err := d.Parse(raw)
		if err != nil {
			return
		}
		if sa, err := SAOf(d, m); err == nil {
			_ = AppendSA(nil, sa, time.Unix(0, 0), PrintOptions{})
			_ = AppendSA(nil, sa, time.Unix(0, 0), PrintOptions{Short: true})
		}
		if p, err := PolicyOf(d, m); err == nil {
			_ = AppendPolicy(nil, p, PrintOptions{Ports: true})
		}
	})
}
