//go:build linux

package interop

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/internal/testhost"
	"github.com/racoon3/racoon/natt"
	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/xfrm"
)

// inKernel runs a test in a kernel of the lab with all algorithms.
func inKernel(t *testing.T, modules ...string) bool {
	if !lab.InKernel(t, lab.KernelOptions{MemoryMB: 768, Modules: modules}) {
		return false
	}
	lab.LoadAlgorithms(t)
	return true
}

// A planeKind is a way to the kernel's IPsec.
type planeKind string

const (
	viaXFRM  planeKind = "xfrm"
	viaPFKey planeKind = "pfkey"
)

var bothPlanes = []planeKind{viaXFRM, viaPFKey}

// kernelConfig is for startKernel; only Peers is needed.
type kernelConfig struct {
	Plane planeKind // viaXFRM if empty
	XFRM  xfrm.Config
	Peers []racoon.Peer
	IPv6  bool // the outer network
	Wrap  func(spd.DataPlane) spd.DataPlane
	Edit  func(c *racoon.Config)
}

// startKernel runs our side at a site until the test ends, with the kernel's
// ESP. At the end nothing of it may be left in the kernel.
func startKernel(t *testing.T, site *lab.Site, kc kernelConfig) *host {
	t.Helper()
	h := &host{t: t, site: site}
	outer := site.Outer
	if kc.IPv6 {
		outer = site.Outer6
	}
	logs := &testhost.Log{}
	logger := slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var plane spd.DataPlane
	var err error
	site.Do(func() {
		if kc.Plane == viaPFKey {
			plane, err = pfkey.OpenDataPlane(t.Context(), pfkey.DataPlaneConfig{})
			return
		}
		kc.XFRM.Logger = logger
		plane, err = xfrm.New(kc.XFRM)
	})
	require.NoError(t, err)
	closePlane := plane.Close
	if kc.Wrap != nil {
		plane = kc.Wrap(plane)
	}
	c := racoon.Config{
		DataPlane: plane,
		Listen: []racoon.Listen{
			{Conn: site.ListenUDP(netip.AddrPortFrom(outer, 500))},
			{Conn: site.ListenUDP(netip.AddrPortFrom(outer, 4500)), NATT: true},
		},
		Peers:  kc.Peers,
		Logger: logger,
		Trace: func(r ike.TraceRecord) {
			logger.Debug("message", "outbound", r.Outbound, "m", describe(r.Message))
		},
	}
	for i := range c.Peers {
		if c.Peers[i].LocalAddr == "" {
			c.Peers[i].LocalAddr = outer.String()
		}
	}
	if kc.Edit != nil {
		kc.Edit(&c)
	}
	h.Manager, err = racoon.NewManager(c)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	h.ctx = ctx
	h.events = watchEvents(h.Subscribe(ctx))
	served := make(chan error, 1)
	go func() { served <- h.Serve(ctx) }()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the kernel at %s:\n%s\n%s\n%s", site.Name, site.Run("ip", "-s", "xfrm", "state"), site.Run("ip", "xfrm", "policy", "list", "nosock"), site.Run("cat", "/proc/net/xfrm_stat"))
		}
		stop, done := context.WithTimeout(context.Background(), patience)
		defer done()
		if err := h.Shutdown(stop); err != nil && !t.Failed() {
			t.Errorf("shutdown: %v", err)
		}
		cancel()
		if err := <-served; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("serve: %v", err)
		}
		if err := closePlane(); err != nil {
			t.Errorf("closing the data plane: %v", err)
		}
		// What was asked for through PF_KEY and refused stays until its own time is over.
		left := h.installed() + h.policies()
		for end := time.Now().Add(patience); strings.Contains(left, "spi 0x00000000") && time.Now().Before(end) && !t.Failed(); left = h.installed() + h.policies() {
			time.Sleep(50 * time.Millisecond)
		}
		if left != "" && !t.Failed() {
			t.Errorf("%s: left in the kernel:\n%s", site.Name, left)
		}
		if t.Failed() || os.Getenv("RACOON_INTEROP_LOG") != "" {
			t.Logf("our log at %s:\n%s", site.Name, logs.String())
		}
	})
	select {
	case <-h.Ready():
	case err := <-served:
		t.Fatalf("serve: %v", err)
	}
	return h
}

// installed is what the kernel has of SAs, larval ones too.
func (h *host) installed() string { return h.site.Run("ip", "xfrm", "state") }

// policies is what the kernel has of policies but those of sockets.
func (h *host) policies() string { return h.site.Run("ip", "xfrm", "policy", "list", "nosock") }

// A wire watches what a site sends.
type wire struct {
	*lab.Sniffer
	site *lab.Site
}

func watch(s *lab.Site) *wire { return &wire{Sniffer: s.Sniff(), site: s} }

// clear returns the packets that the site has sent without protection, besides
// IKE and what the network itself needs.
func (w *wire) clear() (list []string) {
	own := []netip.Addr{w.site.Outer, w.site.Outer6, w.site.Inner, w.site.Inner6}
	for _, p := range w.Packets() {
		sent := false
		for _, a := range own {
			sent = sent || p.Src.Addr() == a
		}
		switch {
		case !sent, p.Proto == unix.IPPROTO_ESP, p.Proto == unix.IPPROTO_AH, p.Dst.Addr().IsMulticast():
		case p.Proto == unix.IPPROTO_UDP && (p.Src.Port() == 500 || p.Src.Port() == 4500):
		case p.Proto == unix.IPPROTO_ICMPV6 && len(p.Payload) > 0 && p.Payload[0] >= 133 && p.Payload[0] <= 137: // neighbours
		default:
			list = append(list, p.String())
		}
	}
	return list
}

// sent counts the packets of a protocol that the site has sent; of UDP those with
// ESP: on port 4500, or behind the non-IKE marker on 500.
func (w *wire) sent(proto uint8) (n int) {
	for _, p := range w.Packets() {
		if p.Proto != proto || p.Src.Addr() != w.site.Outer && p.Src.Addr() != w.site.Outer6 {
			continue
		}
		if proto != unix.IPPROTO_UDP {
			n++
			continue
		}
		classify := natt.ClassifyIKE
		if p.Src.Port() == natt.PortNATT {
			classify = natt.Classify
		}
		if kind, _ := classify(p.Payload); kind == natt.ESP {
			n++
		}
	}
	return n
}

// larval reports whether the kernel waits for an SA at a site.
func (h *host) larval() bool { return strings.Contains(h.installed(), "spi 0x00000000") }
