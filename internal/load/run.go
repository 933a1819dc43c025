package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/racoon3/racoon/internal/nullplane"
)

// Run makes the handshakes that cfg asks for and reports what came of them. A
// handshake that fails is no error of Run; settings that cannot work are, and
// so are sockets that cannot be opened. When ctx ends, no further handshake
// begins and the report is of what was done.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	plane := nullplane.New()
	var err error
	cpu := processorTime()
	start := time.Now()
	workers := make([]*worker, cfg.Workers)
	source := cfg.Sources.Addr()
	for i := range workers {
		w := &worker{cfg: &cfg, begin: start, open: make(map[sessionID]*attempt), failures: make(failures)}
		w.number, w.step = i, cfg.Workers
		w.todo = share(cfg.Handshakes, i, cfg.Workers)
		w.limit = share(cfg.Concurrency, i, cfg.Workers)
		if w.conn, err = dial(source, cfg.Target); err != nil {
			break
		}
		defer w.conn.Close()
		w.path.Local = w.conn.LocalAddr().(*net.UDPAddr).AddrPort()
		w.path.Remote = cfg.Target
		if w.ep, err = cfg.newInitiator(i, plane); err != nil {
			break
		}
		workers[i] = w
		if source.IsValid() {
			source = source.Next()
		}
	}
	if err != nil {
		return nil, err
	}
	var wg sync.WaitGroup
	for _, w := range workers {
		wg.Go(func() { w.run(ctx) })
	}
	wg.Wait()
	return merge(&cfg, workers, processorTime()-cpu), nil
}

// share divides n among several.
func share(n, i, of int) int {
	s := n / of
	if i < n%of {
		s++
	}
	return s
}

// dial opens a socket that knows its own address: NAT detection needs it.
func dial(source netip.Addr, target netip.AddrPort) (*net.UDPConn, error) {
	var local *net.UDPAddr
	if source.IsValid() {
		local = net.UDPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
	}
	c, err := net.DialUDP("udp", local, net.UDPAddrFromAddrPort(target))
	if err != nil {
		if source.IsValid() && (errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EINVAL)) {
			return nil, fieldError("Sources", "%v is no address of this host, or none that leads to %v; use its own", source, target)
		}
		return nil, fmt.Errorf("socket to %v: %w", target, err)
	}
	// Bursts of answers are the point of a load test; a smaller buffer is no
	// reason to give up.
	_ = c.SetReadBuffer(4 << 20)
	return c, nil
}

func merge(cfg *Config, workers []*worker, cpu time.Duration) *Report {
	r := &Report{Target: cfg.Target.String(), Requested: cfg.Handshakes, Failures: make(map[string]int), Generator: cpu.Seconds()}
	var handshakes, ikeRekeys, childRekeys []time.Duration
	var last time.Time
	begin := workers[0].begin
	for _, w := range workers {
		r.Begun += w.begun
		r.Established += w.established
		r.Failed += w.failed
		r.Deletes += w.deleted
		r.Lost += w.lost
		r.Received += w.received
		st := w.ep.Stats()
		r.Sent += st.Sent
		r.Repeated += st.Retransmitted
		handshakes = append(handshakes, w.latencies...)
		ikeRekeys = append(ikeRekeys, w.ikeRekeys...)
		childRekeys = append(childRekeys, w.childRekeys...)
		for k, n := range w.failures {
			r.Failures[k] += n
		}
		if w.last.After(last) {
			last = w.last
		}
		r.Overrun = r.Overrun || w.todo > 0
	}
	r.Latency, r.IKERekeys, r.ChildRekeys = summarise(handshakes), summarise(ikeRekeys), summarise(childRekeys)
	if last.After(begin) {
		r.Elapsed = last.Sub(begin).Seconds()
		r.Rate = float64(r.Established) / r.Elapsed
	}
	return r
}
