//go:build linux

package interop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/spd"
)

// TestKernelLife: what a Child SA in a kernel lives through, from the packet that
// asks for it to its last rekey, through packages xfrm and pfkey.
func TestKernelLife(t *testing.T) {
	t.Parallel()
	if !inKernel(t) {
		return
	}
	for _, plane := range bothPlanes {
		t.Run(string(plane), func(t *testing.T) {
			t.Run("on demand", func(t *testing.T) { kernelOnDemand(t, plane) })
			for _, v1 := range []bool{false, true} {
				version := map[bool]string{false: "IKEv2", true: "IKEv1"}[v1]
				t.Run("rekey by volume "+version, func(t *testing.T) {
					kernelRekey(t, plane, v1, func(c *racoon.Child) { c.Volume = spd.Lifetime{SoftPackets: 200, HardPackets: 100000} })
				})
				t.Run("rekey by time "+version, func(t *testing.T) {
					kernelRekey(t, plane, v1, func(c *racoon.Child) { c.Rekey, c.Lifetime = 1500*time.Millisecond, time.Hour })
				})
			}
			t.Run("NAT mapping", func(t *testing.T) { kernelMapping(t, plane) })
			t.Run("Mobility Header", func(t *testing.T) { kernelMobilityHeader(t, plane) })
			t.Run("C20 and C21", func(t *testing.T) { kernelFailures(t, plane) })
		})
	}
}

// usual is a tunnel with what either way to the kernel has.
func usual(plane planeKind) *kernelCase {
	esp := map[planeKind]string{viaXFRM: "aes128gcm16-esn", viaPFKey: "aes128-sha1"}
	return &kernelCase{planes: [2]planeKind{plane, plane}, esp: esp[plane]}
}

// send sends one datagram from a's inner address to port 4002 of b's.
func send(a, b *lab.Site, text string) (err error) {
	a.Do(func() {
		var c net.Conn
		if c, err = net.DialUDP("udp", &net.UDPAddr{IP: a.Inner.AsSlice()}, &net.UDPAddr{IP: b.Inner.AsSlice(), Port: 4002}); err == nil {
			_ = c.SetWriteDeadline(time.Now().Add(time.Second))
			_, err = c.Write([]byte(text))
			_ = c.Close()
		}
	})
	return err
}

// kernelOnDemand: a packet asks for the SA of a peer that is not there, and the
// kernel is told so. Then the peer is there, and a packet that is sent once
// arrives.
func kernelOnDemand(t *testing.T, plane planeKind) {
	c := usual(plane)
	a, b, _ := c.sites(t)
	// The kernel keeps packets that wait; and what is refused stays refused for
	// as long, if it was asked for through PF_KEY.
	expires := map[planeKind]int{viaXFRM: 100, viaPFKey: 3}[plane]
	a.Sysctl(fmt.Sprintf("core/xfrm_acq_expires=%d", expires))
	a.Sysctl("core/xfrm_larval_drop=0")
	atA, atB := c.peers(a, b)
	atA.Start = racoon.StartTrap
	atA.Timing = ike.Timing{RetransmitBase: 100 * time.Millisecond, RetransmitTries: 1}
	var config racoon.Config
	ha := startKernel(t, a, kernelConfig{Plane: plane, Peers: []racoon.Peer{atA}, Edit: func(c *racoon.Config) { config = *c }})
	ha.until("the trap", func() bool { return strings.Contains(ha.policies(), "dir out") })
	w := watch(a)
	_ = send(a, b, "nobody is there")
	ha.until("the refusal", func() bool { return len(eventsOf[ike.SessionFailed](ha)) == 1 })
	if plane == viaPFKey {
		ha.until("an error for the sender", func() bool { return send(a, b, "still not") != nil })
	}
	ha.until("the end of the larval SA", func() bool { return !ha.larval() })

	sink := b.ListenUDP(netip.AddrPortFrom(b.Inner, 4002))
	startKernel(t, b, kernelConfig{Plane: plane, Peers: []racoon.Peer{atB}})
	config.Peers = []racoon.Peer{atA}
	config.Peers[0].Timing, config.Peers[0].LocalAddr = ike.Timing{}, a.Outer.String() // it may take its time now
	_, err := ha.Reload(ha.within(), config)
	require.NoError(t, err)
	require.NoError(t, send(a, b, "only once"))
	require.NoError(t, sink.SetReadDeadline(time.Now().Add(2*patience)))
	buf := make([]byte, 100)
	for got := ""; got != "only once"; { // what was refused may have been kept too
		n, err := sink.Read(buf)
		require.NoError(t, err)
		got = string(buf[:n])
	}
	require.Len(t, eventsOf[ike.SessionUp](ha), 1)
	require.False(t, ha.larval())
	require.Empty(t, w.clear())
}

// kernelRekey: three rekeys that the kernel or our timer asks for, under traffic
// both ways, and nothing is lost.
func kernelRekey(t *testing.T, plane planeKind, v1 bool, edit func(c *racoon.Child)) {
	c := usual(plane)
	c.v1 = v1
	a, b, _ := c.sites(t)
	atA, atB := c.peers(a, b)
	edit(&atA.Children[0])
	hb := startKernel(t, b, kernelConfig{Plane: plane, Peers: []racoon.Peer{atB}})
	ha := startKernel(t, a, kernelConfig{Plane: plane, Peers: []racoon.Peer{atA}})
	ha.initiate("b")
	hb.until("the peer's Child SA", func() bool { return len(eventsOf[ike.ChildUp](hb)) == 1 })
	wa, wb := watch(a), watch(b)
	TrafficBetween(t, a, a.Inner, b, b.Inner, func() { waitEvent[ike.ChildRekeyed](ha, 3) })
	require.Empty(t, wa.clear())
	require.Empty(t, wb.clear())
	spis := map[spd.SPI]bool{}
	for _, ev := range eventsOf[ike.ChildRekeyed](ha) {
		require.True(t, ev.Initiator)
		spis[ev.Child.Out] = true
	}
	require.GreaterOrEqual(t, len(spis), 3)
	require.Empty(t, eventsOf[ike.ChildDown](ha))
}

// kernelMapping: a NAT forgets. The next ESP packet from behind it shows the new
// mapping to the kernel outside, which tells; and the session and its SAs follow.
func kernelMapping(t *testing.T, plane planeKind) {
	c := usual(plane)
	c.nat = true
	a, b, router := c.sites(t)
	atA, atB := c.peers(a, b)
	// No sign of life but ESP.
	atA.Timing, atB.Timing = ike.Timing{Liveness: -1, Keepalive: -1}, ike.Timing{Liveness: -1, Keepalive: -1}
	hb := startKernel(t, b, kernelConfig{Plane: plane, Peers: []racoon.Peer{atB}})
	ha := startKernel(t, a, kernelConfig{Plane: plane, Peers: []racoon.Peer{atA}})
	ha.initiate("b")
	ha.reach(a, a.Inner, b, b.Inner)
	spis := hb.session().ChildSAs()[0].ChildSPIs
	for _, rebind := range []func(){router.Rebind, func() { router.RebindTo(netip.MustParseAddr("10.99.0.77")) }} {
		old := hb.session().Path().Remote
		n := len(eventsOf[ike.SessionMoved](hb))
		rebind()
		hb.until("the new path", func() bool {
			_, _ = a.Ping(a.Inner, b.Inner, 1, 56, "-W", "0.2") // its answer may go where the peer was
			return len(eventsOf[ike.SessionMoved](hb)) > n
		})
		require.NotEqual(t, old, hb.session().Path().Remote)
		require.Equal(t, router.Public, hb.session().Path().Remote.Addr())
		ha.reach(a, a.Inner, b, b.Inner)
		hb.reach(b, b.Inner, a, a.Inner)
	}
	require.Equal(t, spis, hb.session().ChildSAs()[0].ChildSPIs, "the same SAs")
	require.NoError(t, ha.session().RekeyChild(ha.within(), ha.session().ChildSAs()[0].ID))
	hb.reach(b, b.Inner, a, a.Inner)
}

// kernelMobilityHeader: Binding Updates of Mobile IPv6 are protected, other
// packets between the hosts are not (RFC 4877 4.2).
func kernelMobilityHeader(t *testing.T, plane planeKind) {
	c := usual(plane)
	c.mode, c.ipv6 = transport, true
	a, b, _ := c.sites(t)
	atA, atB := c.peers(a, b)
	const bindingUpdate = "[mh/5]"
	for p, s := range map[*racoon.Peer][2]*lab.Site{&atA: {a, b}, &atB: {b, a}} {
		p.Children[0].Local, p.Children[0].Remote = []string{s[0].Outer6.String() + bindingUpdate}, []string{s[1].Outer6.String() + bindingUpdate}
	}
	startKernel(t, b, kernelConfig{Plane: plane, Peers: []racoon.Peer{atB}, IPv6: true})
	ha := startKernel(t, a, kernelConfig{Plane: plane, Peers: []racoon.Peer{atA}, IPv6: true})
	ha.initiate("b")
	require.Contains(t, ha.policies(), "proto mobility-header type 5")
	require.NotContains(t, ha.policies(), "proto mobility-header type 6")
	w := watch(a)
	var mh net.PacketConn
	a.Do(func() {
		var err error
		mh, err = net.ListenPacket("ip6:135", a.Outer6.String())
		require.NoError(t, err)
	})
	defer mh.Close()
	for _, mhType := range []byte{5, 6} { // Binding Update, Binding Acknowledgement
		_, err := mh.WriteTo([]byte{59, 1, mhType, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 4, 0, 0}, &net.IPAddr{IP: b.Outer6.AsSlice()})
		require.NoError(t, err)
	}
	ha.until("both packets on the wire", func() bool { return w.sent(unix.IPPROTO_ESP) == 1 && len(w.clear()) == 1 })
	require.Contains(t, w.clear()[0], "protocol 135")
}

// A faultyPlane is a kernel that fails once in a call of one name.
type faultyPlane struct {
	spd.DataPlane
	mu     sync.Mutex
	fails  string
	failed int
	alloc  func(spd.SPI) // told what was reserved
}

var errKernel = errors.New("cannot allocate memory")

func (p *faultyPlane) fault(call string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if call != p.fails {
		return nil
	}
	p.fails = ""
	p.failed++
	return errKernel
}

func (p *faultyPlane) next(call string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fails = call
}

func (p *faultyPlane) hits() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

func (p *faultyPlane) AllocSPI(ctx context.Context, r spd.SPIRequest) (spd.SPI, error) {
	if err := p.fault("AllocSPI"); err != nil {
		return 0, err
	}
	spi, err := p.DataPlane.AllocSPI(ctx, r)
	if err == nil && p.alloc != nil {
		p.alloc(spi)
	}
	return spi, err
}

func (p *faultyPlane) InstallInbound(ctx context.Context, b *spd.Bundle) error {
	if err := p.fault("InstallInbound"); err != nil {
		return err
	}
	return p.DataPlane.InstallInbound(ctx, b)
}

func (p *faultyPlane) InstallOutbound(ctx context.Context, b *spd.Bundle) error {
	if err := p.fault("InstallOutbound"); err != nil {
		return err
	}
	return p.DataPlane.InstallOutbound(ctx, b)
}

func (p *faultyPlane) SetPolicies(ctx context.Context, o spd.Owner, ps []spd.Policy) error {
	if len(ps) > 0 && ps[0].Action == spd.ActionProtect {
		if err := p.fault("SetPolicies"); err != nil {
			return err
		}
	}
	return p.DataPlane.SetPolicies(ctx, o, ps)
}

// kernelFailures, rows C20 and C21: each step of an installation fails once, on
// either side; at last the kernel itself refuses. What was installed goes, the
// trap stays, and no packet leaves in clear at any time; then it works.
func kernelFailures(t *testing.T, plane planeKind) {
	c := usual(plane)
	a, b, _ := c.sites(t)
	a.Sysctl("core/xfrm_acq_expires=2")
	atA, atB := c.peers(a, b)
	atA.Start, atB.Start = racoon.StartTrap, racoon.StartTrap
	atB.Remote = a.Outer.String()
	// Who waits for what the other has given up need not wait long.
	impatient := ike.Timing{RetransmitBase: 300 * time.Millisecond, RetransmitTries: 6, RetransmitMax: time.Second}
	atA.Timing, atB.Timing = impatient, impatient
	var faulty [2]*faultyPlane
	wrap := func(i int) func(spd.DataPlane) spd.DataPlane {
		return func(p spd.DataPlane) spd.DataPlane { faulty[i] = &faultyPlane{DataPlane: p}; return faulty[i] }
	}
	hb := startKernel(t, b, kernelConfig{Plane: plane, Peers: []racoon.Peer{atB}, Wrap: wrap(1)})
	ha := startKernel(t, a, kernelConfig{Plane: plane, Peers: []racoon.Peer{atA}, Wrap: wrap(0)})
	hosts := []*host{ha, hb}
	for _, h := range hosts {
		h.until("the trap", func() bool { return strings.Contains(h.policies(), "dir out") })
	}
	wa, wb := watch(a), watch(b)
	sink := b.ListenUDP(netip.AddrPortFrom(b.Inner, 4002))
	// mature counts SAs with keys.
	mature := func(h *host) int {
		state := h.installed()
		return strings.Count(state, "auth-trunc") + strings.Count(state, "aead")
	}
	deliver := func(name string) {
		t.Helper()
		for end := time.Now().Add(2 * patience); ; {
			_ = send(a, b, name)
			_ = sink.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
			buf := make([]byte, 100)
			if n, err := sink.Read(buf); err == nil {
				if string(buf[:n]) == name {
					break
				}
				continue
			}
			require.True(t, time.Now().Before(end), "%s: nothing arrives", name)
		}
	}
	down := func(name string) {
		t.Helper()
		for s := range ha.Sessions() {
			_ = s.Delete(ha.within())
		}
		for _, h := range hosts {
			h.until(name+": the end of all SAs at "+h.site.Name, func() bool { return mature(h) == 0 })
			require.Contains(t, h.policies(), "dir out", "%s: the trap is there", name)
		}
		require.Empty(t, wa.clear(), name)
		require.Empty(t, wb.clear(), name)
	}
	for i, f := range faulty {
		for _, call := range []string{"AllocSPI", "InstallInbound", "InstallOutbound", "SetPolicies"} {
			name := fmt.Sprintf("%s at %s", call, hosts[i].site.Name)
			before := f.hits()
			f.next(call)
			hosts[i].until("the failure of "+name, func() bool {
				_ = send(a, b, "early")
				return f.hits() > before
			})
			hosts[i].until(name+": the SAs taken back", func() bool { return mature(hosts[i]) != 1 })
			deliver(name)
			down(name)
		}
	}
	// b's kernel has an SA with the SPI that a has chosen.
	var taken []string
	faulty[0].alloc = func(spi spd.SPI) {
		if len(taken) > 0 {
			return
		}
		id := fmt.Sprintf("src %v dst %v proto esp spi %#x", b.Outer, a.Outer, uint32(spi))
		taken = append(taken, id)
		b.IP("xfrm state add " + id + " mode transport enc ecb(cipher_null) \"\"")
	}
	failed := len(eventsOf[ike.ChildFailed](hb))
	hb.until("the kernel's refusal", func() bool {
		_ = send(a, b, "early")
		return len(eventsOf[ike.ChildFailed](hb)) > failed
	})
	require.ErrorContains(t, eventsOf[ike.ChildFailed](hb)[failed].Err, "EEXIST")
	hb.until("the SA taken back", func() bool { return mature(hb) != 1 }) // or the next attempt has succeeded
	b.IP("xfrm state del " + taken[0])
	deliver("after the kernel's refusal")
	down("after the kernel's refusal")
}
