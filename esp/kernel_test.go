//go:build linux

package esp

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/spd"
)

// TestAgainstLinuxKernel pings through every combination that a Linux kernel's
// ESP has too: cipher and integrity, tunnel and transport mode, inner and outer
// family, 64-bit sequence numbers, UDP encapsulation and protocol 50. The
// engine is the network behind the kernel's TUN device: what it makes goes in
// there, what the kernel makes comes out. Of AES with 192 and 256 bits, some
// combinations stand for all.
func TestAgainstLinuxKernel(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes")
	}
	if !lab.InKernel(t, lab.KernelOptions{Timeout: 8 * time.Minute, Modules: strings.Fields("echainiv seqiv authencesn cmac xcbc chacha20poly1305 ccm gcm ctr cbc des_generic sha512_generic")}) {
		return
	}
	k := newKernel(t)
	done := 0
	all := algorithms(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		for i := range 32 {
			if i%7 != 0 && (strings.Contains(name, "-192") || strings.Contains(name, "-256")) {
				continue
			}
			v := []variant{all[name]}
			mode, udpEncap, outer6, inner6 := "tunnel", i&1 != 0, i&4 != 0, i&16 != 0
			if i&2 != 0 {
				v = append(v, extendedESN)
			}
			if i&8 != 0 {
				mode = "transport"
				v = append(v, transport)
				if inner6 != outer6 {
					continue // the inner addresses are the outer ones
				}
				if udpEncap && outer6 {
					// The kernel takes these datagrams (Udp6InDatagrams) and
					// does not answer, without counting any error.
					continue
				}
			}
			if udpEncap {
				v = append(v, inUDP)
			}
			what := fmt.Sprintf("%s %s ESN=%v UDP=%v outer6=%v inner6=%v", name, mode, i&2 != 0, udpEncap, outer6, inner6)
			k.ping(what, mode, outer6, inner6, v)
			done++
		}
	}
	t.Logf("%d combinations", done)
}

// kernel is the Linux kernel that this test runs in, seen from the network.
type kernel struct {
	t   *testing.T
	ns  *lab.Namespace
	tun *os.File
}

var (
	outerEngine = map[bool]netip.Addr{false: netip.MustParseAddr("192.0.2.1"), true: netip.MustParseAddr("2001:db8::1")}
	outerKernel = map[bool]netip.Addr{false: netip.MustParseAddr("192.0.2.2"), true: netip.MustParseAddr("2001:db8::2")}
	innerEngine = map[bool]netip.Addr{false: netip.MustParseAddr("10.1.0.1"), true: netip.MustParseAddr("2001:db8:1::1")}
	innerKernel = map[bool]netip.Addr{false: netip.MustParseAddr("10.2.0.2"), true: netip.MustParseAddr("2001:db8:2::2")}
)

func newKernel(t *testing.T) *kernel {
	k := &kernel{t: t, ns: lab.NewNamespace(t, "kernel")}
	k.tun = k.ns.OpenTUN("net0", 1500)
	k.ns.IP("link set lo up",
		"addr add 192.0.2.2/24 dev net0", "addr add 2001:db8::2/64 dev net0 nodad",
		"addr add 10.2.0.2/32 dev lo", "addr add 2001:db8:2::2/128 dev lo",
		"route add 10.1.0.0/16 dev net0 src 10.2.0.2", "route add 2001:db8:1::/48 dev net0 src 2001:db8:2::2")
	for _, v6 := range []bool{false, true} {
		c := k.ns.ListenUDP(netip.AddrPortFrom(outerKernel[v6], 4500))
		raw, err := c.SyscallConn()
		require.NoError(t, err)
		require.NoError(t, raw.Control(func(fd uintptr) {
			const udpEncap, espInUDP = 100, 2
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, udpEncap, espInUDP)
		}))
		require.NoError(t, err)
	}
	return k
}

// kernelAlgorithm is an SA's algorithms in the words of "ip xfrm".
func kernelAlgorithm(s *spd.SA) string {
	key := "0x" + hex.EncodeToString(s.EncrKey)
	aead := map[uint16]string{
		spd.EncrAESGCM8: "rfc4106(gcm(aes)) %s 64", spd.EncrAESGCM12: "rfc4106(gcm(aes)) %s 96", spd.EncrAESGCM16: "rfc4106(gcm(aes)) %s 128",
		spd.EncrAESCCM8: "rfc4309(ccm(aes)) %s 64", spd.EncrAESCCM12: "rfc4309(ccm(aes)) %s 96", spd.EncrAESCCM16: "rfc4309(ccm(aes)) %s 128",
		spd.EncrNULLAESGMAC: "rfc4543(gcm(aes)) %s 128", spd.EncrChaCha20Poly1305: "rfc7539esp(chacha20,poly1305) %s 128",
	}
	if a, ok := aead[s.Encryption.ID]; ok {
		return "aead " + fmt.Sprintf(a, key)
	}
	enc := map[uint16]string{spd.EncrAESCBC: "cbc(aes)", spd.EncrAESCTR: "rfc3686(ctr(aes))", spd.Encr3DES: "cbc(des3_ede)", spd.EncrNULL: "ecb(cipher_null)"}[s.Encryption.ID]
	if s.Encryption.ID == spd.EncrNULL {
		key = `""`
	}
	auth := map[uint16]string{
		spd.IntegHMACMD5_96: "hmac(md5) %s 96", spd.IntegHMACSHA1_96: "hmac(sha1) %s 96", spd.IntegAESXCBC96: "xcbc(aes) %s 96", spd.IntegAESCMAC96: "cmac(aes) %s 96",
		spd.IntegHMACSHA256_128: "hmac(sha256) %s 128", spd.IntegHMACSHA384_192: "hmac(sha384) %s 192", spd.IntegHMACSHA512_256: "hmac(sha512) %s 256",
	}[s.Integrity.ID]
	return "enc " + enc + " " + key + " auth-trunc " + fmt.Sprintf(auth, "0x"+hex.EncodeToString(s.IntegKey))
}

// ping sends echo requests of several sizes from the engine's side through an
// SA to the kernel, and wants the answers back through the SA the other way.
func (k *kernel) ping(what, mode string, outer6, inner6 bool, v []variant) {
	t := k.t
	src, dst := innerEngine[inner6], innerKernel[inner6]
	if mode == "transport" {
		src, dst = outerEngine[outer6], outerKernel[outer6]
	}
	e := newGateway(t, Config{}, netip.AddrPortFrom(outerEngine[outer6], 4500).String(), netip.PrefixFrom(src, src.BitLen()).String())
	remote := newGateway(t, Config{}, netip.AddrPortFrom(outerKernel[outer6], 4500).String(), netip.PrefixFrom(dst, dst.BitLen()).String())
	p := &pair{t: t, a: e, b: remote}
	there := p.bundle(e, remote, 0x1000, 1, v)
	back := p.bundle(remote, e, 0x2000, 101, v)
	in := reversed(back)
	require.NoError(t, e.InstallInbound(t.Context(), &in), what)
	require.NoError(t, e.InstallOutbound(t.Context(), &there), what)
	require.NoError(t, e.SetPolicies(t.Context(), 1, []spd.Policy{{Direction: spd.Out, Action: spd.ActionProtect, ReqID: reqID,
		Selector: spd.Selector{Local: e.nets[0], Remote: remote.nets[0]}}}))

	commands := []string{"xfrm state flush", "xfrm policy flush"}
	for _, b := range []*spd.Bundle{&there, &back} {
		c := fmt.Sprintf("xfrm state add src %v dst %v proto esp spi %d mode %s reqid 1 replay-window 64", b.Local.Addr(), b.Remote.Addr(), b.SAs[0].SPI, mode)
		var flags []string
		if b.SAs[0].ESN {
			flags = append(flags, "esn")
		}
		if outer6 != inner6 {
			flags = append(flags, "af-unspec")
		}
		if flags != nil {
			c += " flag " + strings.Join(flags, " ")
		}
		c += " " + kernelAlgorithm(&b.SAs[0])
		if b.UDPEncap {
			c += " encap espinudp 4500 4500 " + map[bool]string{false: "0.0.0.0", true: "::"}[outer6]
		}
		commands = append(commands, c)
		dirs := []string{"in"}
		if b == &back {
			dirs = []string{"out"}
		}
		for _, dir := range dirs {
			// Of a protocol, so that ESP in UDP itself needs no protection.
			proto := map[bool]int{false: protoICMP, true: protoICMPv6}[dst.Is6()]
			sel := fmt.Sprintf("src %v dst %v proto %d", b.LocalTS[0].First, b.RemoteTS[0].First, proto)
			tmpl := fmt.Sprintf("tmpl src %v dst %v proto esp reqid 1 mode %s", b.Local.Addr(), b.Remote.Addr(), mode)
			commands = append(commands, fmt.Sprintf("xfrm policy add %s dir %s %s", sel, dir, tmpl))
		}
	}
	k.ns.IP(commands...)

	for i, size := range []int{0, 1, 2, 3, 17, 1000} {
		request := echo(src, dst, uint16(i), size)
		ds := e.send(request)
		require.Len(t, ds, 1, what)
		whole, ok := ds[0].WithOuterHeader()
		require.True(t, ok)
		_, err := k.tun.Write(whole.Bytes())
		require.NoError(t, err)
		answer := k.answer(what, e)
		h := headerSize(src)
		require.Equal(t, request[h+4:], answer[h+4:], what)
		require.Contains(t, []byte{0, 129}, answer[h], "%s: an echo reply", what)
		requireChecksums(t, answer)
	}
}

// answer reads what comes out of the kernel until there is an ESP packet, and
// opens that.
func (k *kernel) answer(what string, e *gateway) []byte {
	buf := make([]byte, 2000)
	require.NoError(k.t, k.tun.SetReadDeadline(time.Now().Add(5*time.Second)))
	for {
		n, err := k.tun.Read(buf)
		if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			require.NoErrorf(k.t, err, "%s: the kernel does not answer; %+v\n%s", what, e.Stats(),
				k.ns.Run("ip", "-s", "xfrm", "state")+k.ns.Run("sed", "/[\t ]0$/d", "/proc/net/xfrm_stat", "/proc/net/snmp6"))
		}
		f, ok := parseFlow(buf[:n])
		if !ok {
			continue
		}
		h := headerSize(f.Src)
		switch f.Protocol {
		case protoESP:
		case protoUDP:
			h += udpHeaderSize
		default:
			require.NotContains(k.t, []uint8{protoICMP}, f.Protocol, "%s: in clear", what)
			continue // router solicitations and the like
		}
		e.batch.Reset()
		e.Inbound(&e.batch, Datagram{
			Packet: Packet{Buf: buf, Start: h, End: n}, UDPEncap: f.Protocol == protoUDP,
			Local: netip.AddrPortFrom(f.Dst, f.DstPort), Remote: netip.AddrPortFrom(f.Src, f.SrcPort),
		})
		require.Len(k.t, e.batch.Packets, 1, "%s: %+v %+v", what, e.Stats(), e.counters(spd.In, 0x2000))
		return bytes.Clone(e.batch.Packets[0].Bytes())
	}
}

// echo is an ICMP or ICMPv6 echo request.
func echo(src, dst netip.Addr, seq uint16, n int) []byte {
	b := make([]byte, 8+n)
	for i := range n {
		b[8+i] = byte(i)
	}
	binary.BigEndian.PutUint16(b[4:], 77)
	binary.BigEndian.PutUint16(b[6:], seq)
	if src.Is4() {
		b[0] = 8
		binary.BigEndian.PutUint16(b[2:], checksum(b))
		return ipPacket(src, dst, protoICMP, b)
	}
	b[0] = 128
	binary.BigEndian.PutUint16(b[2:], checksum(pseudoHeader(src, dst, len(b), protoICMPv6), b))
	return ipPacket(src, dst, protoICMPv6, b)
}
