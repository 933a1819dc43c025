package load

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/esp"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1"
	"github.com/racoon3/racoon/internal/nullplane"
	"github.com/racoon3/racoon/spd"
)

// ResponderConfig is what [NewResponder] makes.
type ResponderConfig struct {
	Identity

	// Listen is the UDP address; with port 4500 or Marker it takes messages
	// with the non-ESP marker.
	Listen string
	Marker bool

	// Plane is the data plane: "null" does nothing, "memory" keeps SAs and
	// policies, "esp" is userspace ESP without packets.
	Plane string

	// Limits are the Manager's, with all half-open limits but HalfOpen out of
	// the way unless they are set: a load test comes from few addresses.
	Limits ike.Limits
	// HalfOpenTime is after how long a handshake that goes no further is
	// given up; 0 means 30 s.
	HalfOpenTime time.Duration

	Workers int
	Logger  *slog.Logger
}

// Planes are the names of data planes for a responder.
var Planes = []string{"null", "memory", "esp"}

func newPlane(name string) (spd.DataPlane, error) {
	switch name {
	case "null", "":
		return nullplane.New(), nil
	case "memory":
		return spd.NewMemory(spd.MemoryConfig{}), nil
	case "esp":
		return esp.New(esp.Config{Rand: rand.Reader}), nil
	}
	return nil, fieldError("Plane", "%q is not a data plane; use one of %s", name, strings.Join(Planes, ", "))
}

// A Responder is a gateway that admits everybody who proves an identity: a
// [racoon.Manager] over a data plane that moves no packets.
type Responder struct {
	Manager *racoon.Manager
	Plane   spd.DataPlane

	begin time.Time
}

// NewResponder makes a gateway; Manager.Serve runs it.
func NewResponder(cfg ResponderConfig) (*Responder, error) {
	plane, err := newPlane(cfg.Plane)
	if err != nil {
		return nil, err
	}
	if _, err := cfg.peer(plane.Capabilities()); err != nil { // for errors in the terms of Identity
		return nil, err
	}
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&cfg.Limits.CookieThreshold, 1<<30)
	def(&cfg.Limits.HalfOpenPerIP, 1<<30)
	peer := racoon.Peer{
		Name: "load", LocalID: cfg.LocalID, RemoteID: cfg.RemoteID, PSK: cfg.PSK, Credential: cfg.Credential, Trust: cfg.Trust,
		Versions: cfg.versions(), IKEv1: racoon.IKEv1Options{Modes: []ikev1.Mode{cfg.mode()}, Check: ike.CheckObey},
		Proposals: cfg.Proposals, Unique: ike.UniqueNever, Childless: cfg.Childless,
		Timing:   ike.Timing{Liveness: -1, Keepalive: -1, HalfOpen: cfg.HalfOpenTime},
		Children: []racoon.Child{{Name: "load", Local: cfg.LocalTS, Remote: cfg.RemoteTS, Proposals: cfg.ESP}},
	}
	if peer.RemoteID == "" {
		peer.RemoteID = "*"
	}
	m, err := racoon.NewManager(racoon.Config{
		DataPlane: plane, Peers: []racoon.Peer{peer}, Limits: cfg.Limits, Workers: cfg.Workers, Logger: cfg.Logger,
		Listen: []racoon.Listen{{Address: cfg.Listen, NATT: cfg.Marker}},
	})
	if err != nil {
		return nil, err
	}
	return &Responder{Manager: m, Plane: plane, begin: time.Now()}, nil
}

// Addr returns where the responder listens, once the Manager is ready.
func (r *Responder) Addr() netip.AddrPort {
	if a := r.Manager.Addrs(); len(a) > 0 {
		return a[0]
	}
	return netip.AddrPort{}
}

// ResponderReport is what a responder has done so far.
type ResponderReport struct {
	Plane       string  `json:"data_plane"`
	Elapsed     float64 `json:"elapsed_s"`
	Sessions    int     `json:"sessions"`    // now
	HalfOpen    int     `json:"half_open"`   // now
	Established uint64  `json:"established"` // ever
	Failed      uint64  `json:"failed"`
	Cookies     uint64  `json:"cookies_sent"`
	Limited     uint64  `json:"limited"` // refused or dropped since a limit was reached
	Received    uint64  `json:"datagrams_recvd"`
	Sent        uint64  `json:"datagrams_sent"`
	QueueFull   uint64  `json:"queue_full"`
	CPU         float64 `json:"cpu_s"`
	PerSession  float64 `json:"cpu_ms_per_handshake"`
	RSS         int64   `json:"rss_bytes"`  // 0 where the system does not tell
	Heap        int64   `json:"heap_bytes"` // of live objects, after a collection
	Goroutines  int     `json:"goroutines"`
}

// Report returns the counters. It collects garbage, for the heap; what is in
// memory is read before that.
func (r *Responder) Report(ctx context.Context) ResponderReport {
	st := r.Manager.Stats(ctx)
	p := ResponderReport{
		Plane: r.Plane.Capabilities().Name, Elapsed: time.Since(r.begin).Seconds(),
		Sessions: st.Sessions, HalfOpen: st.HalfOpen, Established: st.IKE.Established, Failed: st.IKE.Failed,
		Cookies: st.IKE.CookiesSent, Limited: st.IKE.Limited, Received: st.Received, Sent: st.Sent, QueueFull: st.QueueFull,
		CPU: processorTime().Seconds(), RSS: residentMemory(), Goroutines: runtime.NumGoroutine(),
	}
	p.Heap = liveHeap()
	if p.Established > 0 {
		p.PerSession = p.CPU * 1000 / float64(p.Established)
	}
	return p
}

// String is the report for a reader.
func (p ResponderReport) String() string {
	return fmt.Sprintf("data plane %s: %d sessions, %d half-open; %d established, %d failed, %d cookies, %d limited, %d lost to full queues; "+
		"%d datagrams in, %d out; %.2f s of processor time in %.1f s (%.3f ms a handshake); %.1f MiB in memory, %.1f MiB of heap, %d goroutines",
		p.Plane, p.Sessions, p.HalfOpen, p.Established, p.Failed, p.Cookies, p.Limited, p.QueueFull,
		p.Received, p.Sent, p.CPU, p.Elapsed, p.PerSession, float64(p.RSS)/(1<<20), float64(p.Heap)/(1<<20), p.Goroutines)
}

// residentMemory is what of this process is in memory, in octets, as Linux
// tells it.
func residentMemory() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var total, resident int64
	if _, err := fmt.Sscan(string(b), &total, &resident); err != nil {
		return 0
	}
	return resident * int64(os.Getpagesize())
}

// liveHeap is what the heap has of objects that are in use, in octets.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC() // finalizers of the first round
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
