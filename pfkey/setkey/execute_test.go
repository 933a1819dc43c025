package setkey

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/pfkey/pfkeytest"
)

// bench is a kernel in memory with an executor on it.
type bench struct {
	t      *testing.T
	d      *pfkey.Dialect
	kernel *pfkeytest.Kernel
	x      *Executor
	out    bytes.Buffer
}

var start = time.Date(2026, 11, 22, 1, 6, 42, 0, time.UTC)

func newBench(t *testing.T, d *pfkey.Dialect) *bench {
	b := &bench{t: t, d: d, kernel: pfkeytest.NewKernel(pfkeytest.Config{Dialect: d, Now: start})}
	c, err := pfkey.NewClient(b.kernel.Connect(), pfkey.ClientConfig{Dialect: d, PID: 1099})
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	b.x = &Executor{Kernel: NewPFKey(c), Resolver: names{"a.example": {"192.0.2.1", "2001:db8::1"}, "b.example": {"192.0.2.7", "192.0.2.8", "2001:db8::7"}, "six.example": {"2001:db8::9"}},
		Out: &b.out, Print: PrintOptions{Location: time.UTC}, Now: func() time.Time { return start.Add(7 * time.Second) }}
	return b
}

// do carries out statements and returns what they print.
func (b *bench) do(text string) (string, error) {
	b.t.Helper()
	b.out.Reset()
	all, err := Parse("f", []byte(text))
	require.NoError(b.t, err, text)
	for _, s := range all {
		if err := b.x.Execute(b.t.Context(), s); err != nil {
			return b.out.String(), err
		}
	}
	return b.out.String(), nil
}

func (b *bench) must(text string) string {
	b.t.Helper()
	out, err := b.do(text)
	require.NoError(b.t, err, text)
	return out
}

// kame are the dialects with an SPD.
var kame = []*pfkey.Dialect{pfkey.Linux, pfkey.FreeBSD, pfkey.NetBSD, pfkey.MacOS}

// TestExecuteSAs: each statement about SAs, on each system.
func TestExecuteSAs(t *testing.T) {
	for _, d := range kame {
		t.Run(d.String(), func(t *testing.T) {
			b := newBench(t, d)
			require.Equal(t, "No SAD entries.\n", b.must("dump;"))
			b.must(`add 10.0.0.1 10.0.0.2 esp 0x1000 -m tunnel -u 7 -r 4 -lh 1800 -ls 1440 -bh 1000 -bs 900 -E aes-cbc "0123456789abcdef" -A hmac-sha1 "this is the test key";
				add fd00::1 fd00::2 ah 4097 -A hmac-sha2-256 ` + hexKey(32) + `;`)
			sas := b.kernel.SAs()
			require.Len(t, sas, 2)
			esp := sas[0]
			require.Equal(t, "0123456789abcdef", string(esp.EncryptKey))
			require.Equal(t, "this is the test key", string(esp.AuthKey))
			require.EqualValues(t, 7, esp.ReqID)
			require.Equal(t, pfkey.ModeTunnel, esp.Mode)
			require.EqualValues(t, 1800, esp.Hard.AddTime)
			require.EqualValues(t, 900, esp.Soft.Bytes)
			switch d {
			case pfkey.Linux:
				require.Equal(t, 4, esp.ReplayWindow, "packets")
				require.Zero(t, esp.Flags)
			default:
				require.Equal(t, 32, esp.ReplayWindow, "four octets of bitmap")
				require.Equal(t, pfkey.FlagCyclicSeq, esp.Flags)
			}

			got := b.must("get 10.0.0.1 10.0.0.2 esp 0x1000;")
			require.Contains(t, got, "10.0.0.1 10.0.0.2 \n\tesp mode=tunnel spi=4096(0x00001000) reqid=7(0x00000007)\n"+
				"\tE: aes-cbc  30313233 34353637 38396162 63646566\n\tA: hmac-sha1  74686973 20697320 74686520 74657374 206b6579\n")
			require.Contains(t, got, " replay=4 ")
			require.Equal(t, 2, strings.Count(b.must("dump;"), "mode="))
			require.Equal(t, 1, strings.Count(b.must("dump ah;"), "mode="))
			_, err := b.do("add 10.0.0.1 10.0.0.2 esp 0x1000 -E null;")
			require.ErrorIs(t, err, pfkey.EEXIST)
			require.ErrorContains(t, err, "f:1:1: add: ")

			b.must("delete fd00::1 fd00::2 ah 0x1001;")
			_, err = b.do("\n delete fd00::1 fd00::2 ah 0x1001;")
			require.ErrorIs(t, err, ErrNotFound)
			require.ErrorContains(t, err, "f:2:2: delete: ")
			_, err = b.do("get fd00::1 fd00::2 ah 0x1001;")
			require.ErrorIs(t, err, ErrNotFound)

			b.must("getspi 10.0.0.2 10.0.0.1 esp 0 -m tunnel -u 9; getspi 10.0.0.2 10.0.0.1 ah 0x2000;")
			require.Contains(t, b.must("dump ah;"), "state=larval")
			b.must(`update 10.0.0.2 10.0.0.1 ah 0x2000 -A hmac-sha1 "this is the test key";`)
			require.Contains(t, b.must("dump ah;"), "state=mature")

			b.must("add 10.0.0.1 10.0.0.3 esp 0x3000 -E null; add 10.0.0.1 10.0.0.3 esp 0x3001 -E null; add 10.0.0.1 10.0.0.3 ah 0x3002 -A null; deleteall 10.0.0.1 10.0.0.3 esp;")
			var left []string
			for _, sa := range b.kernel.SAs() {
				left = append(left, fmt.Sprintf("%v %#x", sa.Type, uint32(sa.SPI)))
			}
			require.Contains(t, left, "ah 0x3002")
			require.NotContains(t, left, "esp 0x3000")
			require.NotContains(t, left, "esp 0x3001")
			b.must("deleteall 10.0.0.1 10.0.0.3;")
			require.NotContains(t, b.must("dump;"), "10.0.0.3")
			b.must("flush esp;")
			require.NotContains(t, b.must("dump;"), "esp mode")
			b.must("flush;")
			require.Empty(t, b.kernel.SAs())
			_, err = b.do("exit;")
			require.Equal(t, ErrExit, err)
		})
	}
}

// TestExecuteKinds: the kinds of SAs that systems have or do not have.
func TestExecuteKinds(t *testing.T) {
	b := newBench(t, pfkey.Linux)
	b.must(`add 10.0.0.1 10.0.0.2[33000] esp-udp 192.168.7.7 0x1000 -E null; add 10.0.0.1 10.0.0.2 ipcomp 0x1234 -C deflate;`)
	require.Equal(t, &pfkey.Encap{Type: 2, SrcPort: 4500, DstPort: 33000, OriginalSrc: original}, b.kernel.SAs()[0].Encap)
	out := b.must("dump;")
	require.Contains(t, out, "10.0.0.1[4500] 10.0.0.2[33000] \n\tesp-udp mode=transport")
	require.Contains(t, out, "\n\tE: null \n\tseq=")
	require.Contains(t, out, "\n\tipcomp mode=transport spi=4660(0x00001234) reqid=0(0x00000000)\n\tC: deflate \tseq=")
	for text, want := range map[string]string{
		`add 10.0.0.1 10.0.0.2 tcp 0x1000 -A tcp-md5 "k";`:                 "Linux has no SAs for TCP-MD5",
		`add 10.0.0.1 10.0.0.2 esp-old 0x1001 -E des-cbc "12345678";`:      "Linux has no esp-old",
		`add 10.0.0.1 10.0.0.2 ah 0x1001 -A keyed-md5 "0123456789abcdef";`: "PF_KEY of linux has no keyed-md5",
		`add 10.0.0.1 10.0.0.2 esp 0x1001 -E aes-gcm ` + hexKey(20) + `;`:  "PF_KEY of linux has no aes-gcm-16, but XFRM has",
		`spdadd tagged "x" -P in none;`:                                    "linux has no policies by tag",
	} {
		_, err := b.do(text)
		require.ErrorIs(t, err, ErrUnsupported, text)
		require.ErrorContains(t, err, want)
	}

	b = newBench(t, pfkey.NetBSD)
	b.must(`add 10.0.0.1 10.0.0.2 esp 0x1000 -f zero-pad -f nocyclic-seq -E aes-gcm ` + hexKey(20) + `; add 10.0.0.1 10.0.0.2 ipcomp 2 -C deflate -R;
		add 10.0.0.1 10.0.0.2 esp 0x1001 -f random-pad -E des-deriv "12345678";`)
	sas := b.kernel.SAs()
	require.EqualValues(t, flagZero, sas[0].Flags)
	require.EqualValues(t, pfkey.FlagCyclicSeq|pfkey.FlagRawCPI, sas[1].Flags)
	require.EqualValues(t, pfkey.FlagCyclicSeq|flagRandom|pfkey.FlagDerivedIV, sas[2].Flags)
	_, err := b.do(`spdadd ::1 ::1 any -P fwd none;`)
	require.ErrorContains(t, err, "no policies for forwarded packets")

	// What the kernel in memory does not have, as it is asked for.
	sa := &SA{Proto: ProtoTCP, Src: start4, Dst: start4, SPI: 0x1000, Auth: Algorithm{"tcp-md5", []byte("secret")}}
	for d, id := range map[*pfkey.Dialect]uint8{pfkey.FreeBSD: 252, pfkey.NetBSD: 252} {
		e, err := (&pfkeyKernel{d: d}).entry(sa)
		require.NoError(t, err)
		require.Equal(t, pfkey.SATypeTCPSignature, e.Type)
		require.Equal(t, id, e.Auth)
	}
	old, err := (&pfkeyKernel{d: pfkey.NetBSD}).entry(&SA{Proto: ProtoESPOld, Src: start4, Dst: start4, SPI: 0x1000, Encrypt: Algorithm{"des-32iv", make([]byte, 8)}})
	require.NoError(t, err)
	require.EqualValues(t, pfkey.FlagOldProtocol|flagIV4|pfkey.FlagCyclicSeq, old.Flags)
	require.EqualValues(t, 2, old.Encrypt)
}

var (
	start4, _   = isNumeric("10.0.0.1")
	original, _ = isNumeric("192.168.7.7")
)

// TestExecuteNames: a statement is for all pairs of addresses of one family.
func TestExecuteNames(t *testing.T) {
	b := newBench(t, pfkey.Linux)
	pairs := func() (all []string) {
		for _, sa := range b.kernel.SAs() {
			all = append(all, fmt.Sprintf("%v %v", sa.Src, sa.Dst))
		}
		b.must("flush;")
		return all
	}
	b.must("add a.example b.example esp 0x1000 -E null;")
	require.Equal(t, []string{"192.0.2.1 192.0.2.7", "192.0.2.1 192.0.2.8", "2001:db8::1 2001:db8::7"}, pairs())
	b.must("add -6 a.example b.example esp 0x1000 -E null;")
	require.Equal(t, []string{"2001:db8::1 2001:db8::7"}, pairs())
	b.must("add -4 a.example 10.0.0.1[isakmp] esp-udp 0x1000 -E null;")
	require.EqualValues(t, 500, b.kernel.SAs()[0].Encap.DstPort)
	b.must("spdadd a.example/16 b.example[isakmp] udp -P out none;")
	require.Len(t, b.kernel.Policies(), 3)
	require.EqualValues(t, 500, b.kernel.Policies()[0].DstPort)
	for text, want := range map[string]string{
		"add six.example 10.0.0.1 esp 0x1000 -E null;":      "six.example and 10.0.0.1 have no addresses of one family",
		"add nobody.example 10.0.0.1 esp 0x1000 -E null;":   "no such host",
		"delete a.example b.example esp 0x1000;":            "several addresses",
		"add ::1[nosuch] ::1 esp-udp 0x1000 -E null;":       "unknown port",
		"spdadd -4 a.example/64 b.example any -P out none;": "a.example has addresses of 32 bits, not 64",
	} {
		_, err := b.do(text)
		require.ErrorContains(t, err, want)
	}
}

// TestExecutePolicies: each statement about policies, on each system, and the
// twin for forwarded packets.
func TestExecutePolicies(t *testing.T) {
	for _, d := range kame {
		t.Run(d.String(), func(t *testing.T) {
			b := newBench(t, d)
			require.Equal(t, "No SPD entries.\n", b.must("spddump;"))
			b.must("spdadd 10.0.1.0/24 10.0.2.0/24[80] tcp -P out ipsec esp/tunnel/192.0.2.1-192.0.2.2/unique:7;")
			p := b.kernel.Policies()[0]
			require.Equal(t, "10.0.2.0/24", p.Dst.String())
			require.EqualValues(t, 80, p.DstPort)
			require.EqualValues(t, 7, p.Policy.Requests[0].ReqID)
			out := b.must("spddump;")
			prio := ""
			if d.HasPriority() {
				prio = " prio def"
			}
			require.True(t, strings.HasPrefix(out, "10.0.1.0/24[any] 10.0.2.0/24[80] tcp\n\tout"+prio+" ipsec\n\tesp/tunnel/192.0.2.1-192.0.2.2/unique:7\n"), out)
			require.Contains(t, out, fmt.Sprintf("\tspid=%d seq=", p.Policy.ID))
			_, err := b.do("spdadd 10.0.1.0/24 10.0.2.0/24[80] tcp -P out none;")
			require.ErrorIs(t, err, pfkey.EEXIST)
			b.must("spdupdate 10.0.1.0/24 10.0.2.0/24[80] tcp -P out none;")
			require.Equal(t, pfkey.PolicyNone, b.kernel.Policies()[0].Policy.Type)
			b.must("spddelete 10.0.1.0/24 10.0.2.0/24[80] tcp -P out;")
			require.Empty(t, b.kernel.Policies())
			_, err = b.do("spddelete 10.0.1.0/24 10.0.2.0/24[80] tcp -P out;")
			require.Error(t, err)

			in := "spdadd 10.0.2.0/24 10.0.1.0/24 any -P in ipsec esp/tunnel/192.0.2.2-192.0.2.1/unique;"
			b.must(in)
			all := b.kernel.Policies()
			if !d.HasForward() {
				require.Len(t, all, 1)
				return
			}
			require.Len(t, all, 2)
			require.Equal(t, []pfkey.Dir{pfkey.DirIn, pfkey.DirForward}, []pfkey.Dir{all[0].Policy.Dir, all[1].Policy.Dir})
			require.Greater(t, all[0].Policy.Requests[0].ReqID, uint32(pfkey.MaxReqID))
			require.Equal(t, pfkey.LevelRequire, all[1].Policy.Requests[0].Level, "a kernel takes none of the IDs that it chooses")
			require.Zero(t, all[1].Policy.Requests[0].ReqID)
			require.Contains(t, b.must("spddump;"), fmt.Sprintf("/unique#%d\n", all[0].Policy.Requests[0].ReqID))
			b.must("spddelete 10.0.2.0/24 10.0.1.0/24 any -P in;")
			require.Empty(t, b.kernel.Policies())
			b.x.KernelSemantics = true
			b.must(in)
			require.Len(t, b.kernel.Policies(), 1)
			b.x.KernelSemantics = false
			b.must("spddelete 10.0.2.0/24 10.0.1.0/24 any -P in;") // there is no twin
			b.must(strings.Replace(in, "/unique", "/unique:5", 1))
			require.Equal(t, b.kernel.Policies()[0].Policy.Requests, b.kernel.Policies()[1].Policy.Requests)
			b.must("spdflush;" + strings.Replace(in, "-P in", "-P fwd", 1))
			_, err = b.do(in)
			require.ErrorIs(t, err, pfkey.EEXIST)
			require.ErrorContains(t, err, "its twin for forwarded packets")
			b.must("spdflush;" + in + "spdflush;")
			require.Empty(t, b.kernel.Policies())
		})
	}
}

// TestExecuteCancelled: a kernel that does not answer is not waited for when the
// context ends.
func TestExecuteCancelled(t *testing.T) {
	b := newBench(t, pfkey.Linux)
	b.kernel.Ignore(pfkey.MsgFlush, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, b.x.Execute(ctx, &Command{Verb: VerbFlush}), context.Canceled)
}
