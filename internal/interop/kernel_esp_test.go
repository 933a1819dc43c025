//go:build linux

package interop_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"github.com/racoon3/racoon/esp"
	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/internal/testhost"
	"github.com/racoon3/racoon/spd"
)

// kernelAlgorithm is an algorithm that both the kernel and package esp have.
type kernelAlgorithm struct {
	proposal string // without esn
	kernel   string // arguments of "ip xfrm state add"; %[1]s and %[2]s are the keys
}

// kernelAlgorithms are all of esp's. The kernel has no AES-CTR with anything
// but an IV per RFC 3686, which is esp's too.
var kernelAlgorithms = []kernelAlgorithm{
	{"aes128gcm8", "aead rfc4106(gcm(aes)) %[1]s 64"},
	{"aes128gcm12", "aead rfc4106(gcm(aes)) %[1]s 96"},
	{"aes128gcm16", "aead rfc4106(gcm(aes)) %[1]s 128"},
	{"aes192gcm16", "aead rfc4106(gcm(aes)) %[1]s 128"},
	{"aes256gcm16", "aead rfc4106(gcm(aes)) %[1]s 128"},
	{"aes128ccm8", "aead rfc4309(ccm(aes)) %[1]s 64"},
	{"aes128ccm12", "aead rfc4309(ccm(aes)) %[1]s 96"},
	{"aes256ccm16", "aead rfc4309(ccm(aes)) %[1]s 128"},
	{"chacha20poly1305", "aead rfc7539esp(chacha20,poly1305) %[1]s 128"},
	{"aes128gmac", "aead rfc4543(gcm(aes)) %[1]s 128"},
	{"aes128-sha256", "enc cbc(aes) %[1]s auth-trunc hmac(sha256) %[2]s 128"},
	{"aes192-sha384", "enc cbc(aes) %[1]s auth-trunc hmac(sha384) %[2]s 192"},
	{"aes256-sha512", "enc cbc(aes) %[1]s auth-trunc hmac(sha512) %[2]s 256"},
	{"aes128-sha1", "enc cbc(aes) %[1]s auth-trunc hmac(sha1) %[2]s 96"},
	{"aes128-md5", "enc cbc(aes) %[1]s auth-trunc hmac(md5) %[2]s 96"},
	{"aes128-aesxcbc", "enc cbc(aes) %[1]s auth-trunc xcbc(aes) %[2]s 96"},
	{"aes128-aescmac", "enc cbc(aes) %[1]s auth-trunc cmac(aes) %[2]s 96"},
	{"aes128ctr-sha256", "enc rfc3686(ctr(aes)) %[1]s auth-trunc hmac(sha256) %[2]s 128"},
	{"aes256ctr-sha256", "enc rfc3686(ctr(aes)) %[1]s auth-trunc hmac(sha256) %[2]s 128"},
	{"camellia128-sha256", "enc cbc(camellia) %[1]s auth-trunc hmac(sha256) %[2]s 128"},
	{"camellia256-sha1", "enc cbc(camellia) %[1]s auth-trunc hmac(sha1) %[2]s 96"},
	{"3des-sha1", "enc cbc(des3_ede) %[1]s auth-trunc hmac(sha1) %[2]s 96"},
	{"null-sha256", "enc ecb(cipher_null) \"\" auth-trunc hmac(sha256) %[2]s 128"},
}

// TestKernelESP exchanges echo messages between esp.Engine and the kernel's
// ESP: each algorithm, tunnel and transport mode, each combination of address
// families, with and without ESN, in UDP and as protocol 50.
func TestKernelESP(t *testing.T) {
	t.Parallel()
	if !lab.InKernel(t, lab.KernelOptions{Modules: []string{"xcbc", "cmac", "des_generic"}}) {
		return
	}
	a, b := lab.NewPair(t)
	a.RouteTo(b)
	b.RouteTo(a)
	k := &kernelPeer{a: a, b: b}
	k.open(t)
	k.openIP(t)
	for _, alg := range kernelAlgorithms {
		t.Run(alg.proposal, func(t *testing.T) {
			for _, esn := range []bool{false, true} {
				for _, encap := range []bool{false, true} {
					for _, outer6 := range []bool{false, true} {
						k.exchange(t, alg, spd.ModeTransport, esn, encap, outer6, outer6)
						k.exchange(t, alg, spd.ModeTunnel, esn, encap, outer6, false)
						k.exchange(t, alg, spd.ModeTunnel, esn, encap, outer6, true)
					}
				}
			}
		})
	}
}

// kernelPeer is a site with userspace ESP (a) and one with the kernel's (b).
type kernelPeer struct {
	a, b *lab.Site
	udp  [2]*net.UDPConn // IPv4, IPv6: port 4500 of a
	raw  [2]net.PacketConn
	spi  spd.SPI

	// One ip(8) for all of its commands: to start a program takes long in the lab's
	// kernel.
	commands io.Writer
	answers  *bufio.Reader
}

func (k *kernelPeer) open(t *testing.T) {
	for i, addr := range []netip.Addr{k.a.Outer, k.a.Outer6} {
		k.udp[i] = k.a.ListenUDP(netip.AddrPortFrom(addr, 4500))
		k.a.Do(func() {
			var err error
			k.raw[i], err = net.ListenPacket([]string{"ip4:50", "ip6:50"}[i], addr.String())
			require.NoError(t, err)
			t.Cleanup(func() { k.raw[i].Close() })
		})
	}
	// The kernel takes ESP in UDP from a socket that says so.
	for _, addr := range []netip.Addr{k.b.Outer, k.b.Outer6} {
		c, err := k.b.ListenUDP(netip.AddrPortFrom(addr, 4500)).SyscallConn()
		require.NoError(t, err)
		require.NoError(t, c.Control(func(fd uintptr) {
			require.NoError(t, unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_ENCAP, unix.UDP_ENCAP_ESPINUDP))
		}))
	}
}

// openIP starts ip(8).
func (k *kernelPeer) openIP(t *testing.T) {
	// (It ends at the first command that fails. The output would wait in a buffer.)
	cmd := exec.Command("nsenter", "--net="+k.b.Path(), "stdbuf", "-oL", "ip", "-batch", "-")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = cmd.Stdout
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	k.commands, k.answers = in, bufio.NewReader(out)
}

// ip carries out commands of ip(8).
func (k *kernelPeer) ip(t *testing.T, commands ...string) {
	t.Helper()
	// The last one answers with a line, when the others are done.
	_, err := io.WriteString(k.commands, strings.Join(commands, "\n")+"\nxfrm state count\n")
	require.NoError(t, err)
	line, err := k.answers.ReadString('\n')
	require.NoError(t, err, "%s", line)
	if !strings.Contains(line, "SAD count") {
		rest, _ := io.ReadAll(k.answers)
		require.FailNow(t, "ip", "%s%s\nof:\n%s", line, rest, strings.Join(commands, "\n"))
	}
}

// exchange sets up one pair of SAs, and expects an answer to each echo request.
func (k *kernelPeer) exchange(t *testing.T, alg kernelAlgorithm, mode spd.Mode, esn, encap, outer6, inner6 bool) {
	name := fmt.Sprintf("%s %v esn=%v udp=%v outer6=%v inner6=%v", alg.proposal, mode, esn, encap, outer6, inner6)
	local, remote := k.a.Outer, k.b.Outer
	if outer6 {
		local, remote = k.a.Outer6, k.b.Outer6
	}
	from, to := k.a.Inner, k.b.Inner
	if inner6 {
		from, to = k.a.Inner6, k.b.Inner6
	}
	if mode == spd.ModeTransport {
		from, to = local, remote
	}
	k.spi += 2
	in, out := 0x10000+k.spi, 0x10001+k.spi

	text := alg.proposal
	if esn {
		text += "-esn"
	}
	p, err := spd.ParseProposal(spd.ProtoESP, text)
	require.NoError(t, err, name)
	encr, _ := p.Get(spd.TransformENCR)
	integ, _ := p.Get(spd.TransformINTEG)
	key := func(n int) spd.Key {
		b := make([]byte, n)
		_, _ = rand.Read(b)
		return b
	}
	sa := func(spi spd.SPI) spd.SA {
		s := spd.SA{Protocol: spd.ProtoESP, SPI: spi, Mode: mode, Encryption: encr, Integrity: integ, ESN: esn,
			EncrKey: key(encr.KeymatLen())}
		if integ.ID != spd.IntegNone {
			s.IntegKey = key(integ.KeymatLen())
		}
		return s
	}
	sain, saout := sa(in), sa(out)
	bundle := func(s spd.SA) *spd.Bundle {
		return &spd.Bundle{SAs: []spd.SA{s}, ReqID: 1, Local: netip.AddrPortFrom(local, 4500), Remote: netip.AddrPortFrom(remote, 4500), UDPEncap: encap,
			LocalTS: []spd.TrafficSelector{spd.FromAddr(from)}, RemoteTS: []spd.TrafficSelector{spd.FromAddr(to)}}
	}
	k.install(t, alg, saout, sain, local, remote, from, to, mode, esn, encap)
	engine := esp.New(esp.Config{RawESP: true})
	defer engine.Close()
	ctx := context.Background()
	require.NoError(t, engine.InstallInbound(ctx, bundle(sain)), name)
	require.NoError(t, engine.InstallOutbound(ctx, bundle(saout)), name)
	policy := spd.Policy{Direction: spd.Out, Selector: spd.Selector{Local: spd.FromAddr(from), Remote: spd.FromAddr(to)},
		Action: spd.ActionProtect, ReqID: 1, Protocol: spd.ProtoESP, Mode: mode}
	inbound := policy
	inbound.Direction = spd.In
	require.NoError(t, engine.SetPolicies(ctx, 1, []spd.Policy{policy, inbound}), name)

	for seq := range 2 {
		k.echo(t, engine, name, from, to, local, remote, encap, uint16(seq+1))
	}
}

// install gives the kernel the two SAs and its policies.
func (k *kernelPeer) install(t *testing.T, alg kernelAlgorithm, toKernel, fromKernel spd.SA, local, remote, from, to netip.Addr, mode spd.Mode, esn, encap bool) {
	state := func(src, dst netip.Addr, s spd.SA) string {
		args := fmt.Sprintf(alg.kernel, fmt.Sprintf("0x%x", []byte(s.EncrKey)), fmt.Sprintf("0x%x", []byte(s.IntegKey)))
		c := fmt.Sprintf("xfrm state add src %v dst %v proto esp spi %d reqid 1 mode %v replay-window 64 ", src, dst, s.SPI, mode)
		var flags []string
		if esn {
			flags = append(flags, "esn")
		}
		if from.Is4() != local.Is4() {
			flags = append(flags, "af-unspec")
		}
		if len(flags) > 0 {
			c += "flag " + strings.Join(flags, " ") + " "
		}
		c += args
		if encap {
			c += " encap espinudp 4500 4500 0.0.0.0"
		}
		return c
	}
	tmpl := func(dir string, src, dst, osrc, odst netip.Addr) string {
		return fmt.Sprintf("xfrm policy add src %v dst %v dir %s priority 10 tmpl src %v dst %v proto esp reqid 1 mode %v", src, dst, dir, osrc, odst, mode)
	}
	commands := []string{"xfrm state flush", "xfrm policy flush", state(local, remote, toKernel), state(remote, local, fromKernel),
		tmpl("in", from, to, local, remote), tmpl("out", to, from, remote, local)}
	for _, dir := range []string{"in", "out"} {
		for _, neighbour := range []int{135, 136} { // solicitation, advertisement: in clear
			commands = append(commands, fmt.Sprintf("xfrm policy add src ::/0 dst ::/0 proto ipv6-icmp type %d dir %s priority 1", neighbour, dir))
		}
	}
	// The packets around ESP in UDP are not what transport mode protects.
	for _, any := range []string{"0.0.0.0/0", "::/0"} {
		commands = append(commands, fmt.Sprintf("xfrm policy add src %s dst %s proto udp dport 4500 dir in priority 1", any, any))
	}
	k.ip(t, commands...)
}

// echo sends one echo request through the engine and expects its answer.
func (k *kernelPeer) echo(t *testing.T, engine *esp.Engine, name string, from, to, local, remote netip.Addr, encap bool, seq uint16) {
	data := bytes.Repeat([]byte{byte(seq), 0x5a}, 100)
	request := echoRequest(t, from, to, seq, data)
	buf := make([]byte, esp.Headroom+len(request)+esp.Tailroom)
	copy(buf[esp.Headroom:], request)
	var batch esp.Batch
	engine.Outbound(&batch, esp.Packet{Buf: buf, Start: esp.Headroom, End: esp.Headroom + len(request)})
	require.Len(t, batch.Datagrams, 1, name)
	i := 0
	if local.Is6() {
		i = 1
	}
	if encap {
		_, err := k.udp[i].WriteToUDPAddrPort(batch.Datagrams[0].Bytes(), netip.AddrPortFrom(remote, 4500))
		require.NoError(t, err, name)
	} else {
		_, err := k.raw[i].WriteTo(batch.Datagrams[0].Bytes(), &net.IPAddr{IP: remote.AsSlice()})
		require.NoError(t, err, name)
	}
	deadline := time.Now().Add(testhost.Patience)
	for {
		answer := make([]byte, 2048)
		var n int
		var err error
		if encap {
			require.NoError(t, k.udp[i].SetReadDeadline(deadline))
			n, _, err = k.udp[i].ReadFromUDPAddrPort(answer[esp.Headroom:])
		} else {
			require.NoError(t, k.raw[i].SetReadDeadline(deadline))
			n, _, err = k.raw[i].ReadFrom(answer[esp.Headroom:])
		}
		require.NoError(t, err, "%s: no answer from the kernel: %s", name, k.b.Run("ip", "-s", "xfrm", "state"))
		var in esp.Batch
		engine.Inbound(&in, esp.Datagram{Packet: esp.Packet{Buf: answer, Start: esp.Headroom, End: esp.Headroom + n},
			Local: netip.AddrPortFrom(local, 4500), Remote: netip.AddrPortFrom(remote, 4500), UDPEncap: encap})
		if len(in.Packets) == 0 {
			continue // neighbour discovery and the like
		}
		got := in.Packets[0].Bytes()
		require.True(t, bytes.HasSuffix(got, data), "%s: %x", name, got)
		header := 20
		if from.Is6() {
			header = 40
		}
		require.Equal(t, seq, binary.BigEndian.Uint16(got[header+6:]), name)
		return
	}
}

// echoRequest is an IP packet with an ICMP echo request.
func echoRequest(t *testing.T, from, to netip.Addr, seq uint16, data []byte) []byte {
	echo := &icmp.Echo{ID: 7, Seq: int(seq), Data: data}
	if from.Is4() {
		body, err := (&icmp.Message{Type: ipv4.ICMPTypeEcho, Body: echo}).Marshal(nil)
		require.NoError(t, err)
		h := ipv4.Header{Version: 4, Len: 20, TotalLen: 20 + len(body), TTL: 64, Protocol: 1, Src: from.AsSlice(), Dst: to.AsSlice()}
		b, err := h.Marshal()
		require.NoError(t, err)
		binary.BigEndian.PutUint16(b[2:], uint16(h.TotalLen))
		var sum uint32
		for i := 0; i < 20; i += 2 {
			sum += uint32(binary.BigEndian.Uint16(b[i:]))
		}
		for sum>>16 != 0 {
			sum = sum&0xffff + sum>>16
		}
		binary.BigEndian.PutUint16(b[10:], ^uint16(sum))
		return append(b, body...)
	}
	body, err := (&icmp.Message{Type: ipv6.ICMPTypeEchoRequest, Body: echo}).Marshal(icmp.IPv6PseudoHeader(from.AsSlice(), to.AsSlice()))
	require.NoError(t, err)
	h := make([]byte, 40)
	h[0], h[6], h[7] = 0x60, 58, 64
	binary.BigEndian.PutUint16(h[4:], uint16(len(body)))
	copy(h[8:], from.AsSlice())
	copy(h[24:], to.AsSlice())
	return append(h, body...)
}
