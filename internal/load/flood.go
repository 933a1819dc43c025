package load

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/spd"
)

// FloodConfig is what [RunFlood] does.
type FloodConfig struct {
	// Target is the responder, an IPv4 address.
	Target netip.AddrPort
	// Marker puts the non-ESP marker before each message; it is assumed for
	// port 4500.
	Marker bool
	// Sources are the addresses to come from: all of the prefix, in a random
	// order. They must be the host's own, as all of 127.0.0.0/8 are.
	Sources netip.Prefix
	// Ports is how many source ports there are to each address; 0 means 1.
	Ports int

	Attempts int           // IKE_SA_INIT requests with new SPIs; 1 to MaxHandshakes
	Rate     float64       // per second; 0 for as fast as possible
	Time     time.Duration // the flood ends then in any case; 0 means a minute
	Wait     time.Duration // for answers after the last request; 0 means a second

	// Cookies makes the flood answer COOKIE notifies, as an attacker can who
	// receives at all his addresses. Otherwise he ignores them.
	Cookies bool

	// Proposals are offered; empty for the defaults.
	Proposals []string
}

func (c *FloodConfig) fill() error {
	if c.Ports == 0 {
		c.Ports = 1
	}
	if c.Time == 0 {
		c.Time = time.Minute
	}
	if c.Wait == 0 {
		c.Wait = time.Second
	}
	if c.Target.Port() == 4500 {
		c.Marker = true
	}
	switch {
	case !c.Target.Addr().Unmap().Is4() || c.Target.Port() == 0 || c.Target.Addr().IsUnspecified():
		return fieldError("Target", "%v is not an IPv4 address and a port; use one such as 127.0.0.1:500", c.Target)
	case !c.Sources.IsValid() || !c.Sources.Addr().Is4():
		return fieldError("Sources", "%v is not an IPv4 prefix; use own addresses such as 127.0.0.0/8", c.Sources)
	case c.Ports < 1 || c.Ports > 1000:
		return fieldError("Ports", "%d is out of range; use 1 to 1000", c.Ports)
	case c.Attempts < 1 || c.Attempts > MaxHandshakes:
		return fieldError("Attempts", "%d is out of range; use 1 to %d", c.Attempts, MaxHandshakes)
	case !(c.Rate >= 0 && c.Rate <= 1e7):
		return fieldError("Rate", "%v is out of range; use up to 10000000 a second, or 0 for no limit", c.Rate)
	case c.Time < 0 || c.Time > MaxTime:
		return fieldError("Time", "%v is out of range; use up to %v", c.Time, MaxTime)
	case c.Wait < 0 || c.Wait > time.Minute:
		return fieldError("Wait", "%v is out of range; use up to 1m", c.Wait)
	}
	return nil
}

// A FloodReport is what came of [RunFlood].
type FloodReport struct {
	Target   string  `json:"target"`
	Attempts int     `json:"attempts"` // requests with a new SPI
	Sent     uint64  `json:"sent"`     // with those that carry a cookie
	Elapsed  float64 `json:"elapsed_s"`
	Rate     float64 `json:"rate_per_s"`
	Overrun  bool    `json:"time_was_too_short"`

	// Answers counts them by kind: IKE_SA_INIT is an accepted one, COOKIE and
	// the others are notifies.
	Answers   map[string]uint64 `json:"answers"`
	Answered  uint64            `json:"answered"`
	Generator float64           `json:"generator_cpu_s"`
}

// WriteText writes the report for a reader.
func (r *FloodReport) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "target       %s\n", r.Target)
	fmt.Fprintf(&b, "flood        %d half-open attempts, %d datagrams, %.0f a second, in %.2f s\n", r.Attempts, r.Sent, r.Rate, r.Elapsed)
	fmt.Fprintf(&b, "answered     %d\n", r.Answered)
	for _, kind := range slices.Sorted(maps.Keys(r.Answers)) {
		fmt.Fprintf(&b, "answer       %d times: %s\n", r.Answers[kind], kind)
	}
	fmt.Fprintf(&b, "generator    %.2f s of processor time\n", r.Generator)
	if r.Overrun {
		b.WriteString("note         the time was over before all attempts had begun\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// A flood is one run of RunFlood.
type flood struct {
	cfg     FloodConfig
	request []byte // an IKE_SA_INIT request, with marker if there is one
	conns   []*ipv4.PacketConn
	sent    atomic.Uint64

	mu      sync.Mutex
	answers map[string]uint64
}

// RunFlood sends IKE_SA_INIT requests from many addresses and goes no further
// (but see FloodConfig.Cookies). It reports how the responder took it.
func RunFlood(ctx context.Context, cfg FloodConfig) (*FloodReport, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	f := &flood{cfg: cfg, answers: make(map[string]uint64)}
	var err error
	if f.request, err = floodRequest(&cfg); err != nil {
		return nil, err
	}
	for range cfg.Ports {
		c, err := net.ListenUDP("udp4", nil)
		if err != nil {
			return nil, fmt.Errorf("socket for the flood: %w", err)
		}
		defer c.Close()
		_ = c.SetReadBuffer(4 << 20)
		p := ipv4.NewPacketConn(c)
		if err := p.SetControlMessage(ipv4.FlagDst, true); err != nil {
			return nil, fmt.Errorf("this system cannot send from many addresses: %w", err)
		}
		f.conns = append(f.conns, p)
	}
	cpu := processorTime()
	begin := time.Now()
	var readers sync.WaitGroup
	for _, c := range f.conns {
		readers.Go(func() { f.read(c) })
	}
	attempts, failure := f.send(ctx, begin)
	elapsed := time.Since(begin)
	end := time.Now().Add(cfg.Wait)
	for _, c := range f.conns {
		_ = c.SetReadDeadline(end)
	}
	readers.Wait()
	if failure != nil && f.sent.Load() == 0 {
		return nil, fieldError("Sources", "nothing could be sent from %v: %w; use addresses of this host", cfg.Sources, failure)
	}
	r := &FloodReport{Target: cfg.Target.String(), Attempts: attempts, Sent: f.sent.Load(), Elapsed: elapsed.Seconds(),
		Overrun: attempts < cfg.Attempts, Answers: f.answers, Generator: (processorTime() - cpu).Seconds()}
	r.Rate = float64(attempts) / r.Elapsed
	for _, n := range f.answers {
		r.Answered += n
	}
	return r, nil
}

// floodRequest makes the message that all attempts have in common.
func floodRequest(cfg *FloodConfig) ([]byte, error) {
	proposals := spd.DefaultIKEProposals()
	if len(cfg.Proposals) > 0 {
		var err error
		if proposals, err = parseProposals(spd.ProtoIKE, cfg.Proposals); err != nil {
			return nil, fieldError("Proposals", "%w", err)
		}
	}
	groups := spd.KEGroups(proposals)
	if len(groups) == 0 {
		return nil, fieldError("Proposals", "none of %s has a key exchange", cfg.Proposals)
	}
	g, ok := dh.ByID(dh.ID(groups[0]))
	if !ok {
		return nil, fieldError("Proposals", "key exchange %v is not known here", dh.ID(groups[0]))
	}
	seed := make([]byte, g.SeedSize())
	rand.Read(seed)
	key, err := g.Generate(seed)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, 32)
	rand.Read(nonce)
	sa := &message.SA{}
	for i, p := range proposals {
		w := message.Proposal{Num: uint8(i + 1), Protocol: p.Protocol}
		for _, t := range p.Transforms {
			w.Transforms = append(w.Transforms, message.Transform{Transform: t})
		}
		sa.Proposals = append(sa.Proposals, w)
	}
	m := message.Message{
		Header:   message.Header{SPIi: 1, Version: message.Version2, Exchange: message.ExchangeIKESAInit, Flags: message.FlagInitiator},
		Payloads: message.Payloads{sa, &message.KE{Group: groups[0], Data: key.Public()}, &message.Nonce{Data: nonce}},
	}
	var b []byte
	if cfg.Marker {
		b = make([]byte, markerLen)
	}
	return m.AppendBinary(b)
}

const markerLen = 4

func (f *flood) message(b []byte) []byte {
	if f.cfg.Marker {
		return b[markerLen:]
	}
	return b
}

// send makes the attempts and returns their number, and why the last one that
// failed did.
func (f *flood) send(ctx context.Context, begin time.Time) (n int, failure error) {
	const burst = 32
	target := net.UDPAddrFromAddrPort(f.cfg.Target)
	end := begin.Add(f.cfg.Time)
	hosts := uint32(1) << (32 - f.cfg.Sources.Bits())
	a4 := f.cfg.Sources.Masked().Addr().As4()
	base := binary.BigEndian.Uint32(a4[:])
	buf := slices.Clone(f.request)
	control := &ipv4.ControlMessage{Src: make(net.IP, 4)}
	for n < f.cfg.Attempts {
		if n%burst == 0 {
			now := time.Now()
			if !now.Before(end) || ctx.Err() != nil {
				break
			}
			if f.cfg.Rate > 0 {
				due := begin.Add(time.Duration(float64(n) / f.cfg.Rate * float64(time.Second)))
				if wait := min(due.Sub(now), end.Sub(now)); wait > 0 {
					select {
					case <-time.After(wait):
					case <-ctx.Done():
					}
				}
			}
		}
		// Network and broadcast addresses are left out where there are others.
		host := mathrand.Uint32N(hosts)
		if hosts > 2 {
			host = 1 + mathrand.Uint32N(hosts-2)
		}
		binary.BigEndian.PutUint32(control.Src, base+host)
		binary.BigEndian.PutUint64(f.message(buf), mathrand.Uint64()|1)
		c := f.conns[n%len(f.conns)]
		n++
		if _, err := c.WriteTo(buf, control, target); err == nil {
			f.sent.Add(1)
		} else {
			failure = err
		}
	}
	return n, failure
}

// read counts what comes back to a socket until its deadline.
func (f *flood) read(c *ipv4.PacketConn) {
	buf := make([]byte, 65536)
	control := &ipv4.ControlMessage{Src: make(net.IP, 4)}
	target := net.UDPAddrFromAddrPort(f.cfg.Target)
	for {
		n, cm, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		if u, ok := from.(*net.UDPAddr); !ok || u.Port != int(f.cfg.Target.Port()) || n < len(f.request)-len(f.message(f.request)) {
			continue
		}
		m, err := message.Parse(f.message(buf[:n]))
		if err != nil {
			f.count("malformed")
			continue
		}
		kind := m.Header.Exchange.String()
		notify := m.ErrorNotify()
		cookie := m.Notify(message.NotifyCookie)
		switch {
		case m.SA() != nil:
		case cookie != nil:
			kind = "COOKIE"
		case notify != nil:
			kind = notify.Type.String()
		}
		f.count(kind)
		if f.cfg.Cookies && kind == "COOKIE" && cm != nil {
			b, err := f.withCookie(m.Header.SPIi, cookie.Data)
			if err != nil {
				continue
			}
			copy(control.Src, cm.Dst.To4())
			if _, err := c.WriteTo(b, control, target); err == nil {
				f.sent.Add(1)
			}
		}
	}
}

// withCookie is the request again with the cookie in front (RFC 7296 2.6).
func (f *flood) withCookie(spi message.SPI, cookie []byte) ([]byte, error) {
	m, err := message.Parse(f.message(f.request))
	if err != nil {
		return nil, err
	}
	m.Header.SPIi = spi
	m.Payloads = append(message.Payloads{&message.Notify{Type: message.NotifyCookie, Data: cookie}}, m.Payloads...)
	return m.AppendBinary(slices.Clone(f.request[:len(f.request)-len(f.message(f.request))]))
}

func (f *flood) count(kind string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, known := f.answers[kind]; !known && len(f.answers) >= maxKinds {
		kind = "other"
	}
	f.answers[kind]++
}
