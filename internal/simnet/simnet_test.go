package simnet_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/simnet"
	"github.com/racoon3/racoon/spd"
)

// echo is a core that sends a numbered datagram every second, answers those
// of the other side through a job, and records what it gets.
type echo struct {
	path     ike.Path
	next     time.Time
	n        uint64
	answers  bool
	out      []ike.Transmit
	jobs     []ike.Job
	got      []string
	from     []netip.AddrPort
	ran      []uint64
	results  []ike.JobID
	failures int
}

func (c *echo) HandleDatagram(_ time.Time, p ike.Path, b []byte) {
	c.got = append(c.got, string(b))
	c.from = append(c.from, p.Remote)
	if !c.answers {
		return
	}
	c.n++
	n := c.n
	c.jobs = append(c.jobs, ike.Job{ID: ike.JobID(n), Order: 1 + n%2, Run: func(context.Context) (any, error) {
		c.ran = append(c.ran, n)
		return p, nil
	}})
}

func (c *echo) HandleTimeout(now time.Time) {
	c.n++
	c.next = now.Add(time.Second)
	c.out = append(c.out, ike.Transmit{Path: c.path, Packet: fmt.Appendf(nil, "%04d", c.n)})
}

func (c *echo) HandleResult(_ time.Time, r ike.Result) {
	c.results = append(c.results, r.ID)
	if r.Err != nil {
		c.failures++
		return
	}
	c.out = append(c.out, ike.Transmit{Path: r.Value.(ike.Path), Packet: []byte("ok")})
}

func (c *echo) HandleDataPlane(time.Time, spd.Event) {}

func (c *echo) PollTransmit() (tx ike.Transmit, ok bool) {
	if len(c.out) == 0 {
		return tx, false
	}
	tx, c.out = c.out[0], c.out[1:]
	return tx, true
}

func (c *echo) PollTimeout() (time.Time, bool) { return c.next, !c.next.IsZero() }

func (c *echo) PollJob() (j ike.Job, ok bool) {
	if len(c.jobs) == 0 {
		return j, false
	}
	j, c.jobs = c.jobs[0], c.jobs[1:]
	return j, true
}

func (c *echo) PollEvent() (ike.Event, bool) { return nil, false }

var (
	addrA = netip.MustParseAddrPort("192.0.2.1:500")
	addrB = netip.MustParseAddrPort("192.0.2.2:500")
)

type world struct {
	*simnet.World
	a, b         *echo
	nodeA, nodeB *simnet.Node
}

func newWorld(seed uint64, f simnet.Faults, nat netip.Addr) *world {
	w := &world{World: simnet.New(simnet.Config{Seed: seed, Faults: f})}
	w.a = &echo{path: ike.Path{Local: addrA, Remote: addrB}, next: w.Now().Add(time.Second)}
	w.b = &echo{answers: true}
	w.nodeA = w.AddNode(simnet.NodeConfig{Name: "a", Core: w.a, Addr: addrA.Addr(), NAT: nat})
	w.nodeB = w.AddNode(simnet.NodeConfig{Name: "b", Core: w.b, Addr: addrB.Addr()})
	return w
}

func Example() {
	w := newWorld(7, simnet.Faults{Latency: 10 * time.Millisecond, Loss: 0.5}, netip.Addr{})
	w.Run(10 * time.Second)
	fmt.Println(w.Elapsed(), w.Fired)
	fmt.Println("a sent", w.nodeA.Stats().Sent, "and b received", w.nodeB.Stats().Received)
	// Output:
	// 10s lost 7
	// a sent 10 and b received 3
}

func TestPerfectNetwork(t *testing.T) {
	w := newWorld(1, simnet.Faults{Latency: time.Millisecond}, netip.Addr{})
	w.Run(10*time.Second + time.Millisecond)
	require.Len(t, w.b.got, 10)
	require.Zero(t, w.Fired.Total())
	w.Run(time.Second / 2)
	require.Len(t, w.a.got, 10)
}

func TestFaultsFire(t *testing.T) {
	w := newWorld(1, simnet.Faults{Latency: time.Millisecond, Jitter: 3 * time.Second, Loss: 0.1, Duplicate: 0.1, Late: 0.1, LateBy: 10 * time.Second,
		Flip: 0.1, Truncate: 0.1, Replay: 0.1, Inject: 0.1, JobDelay: time.Second, JobSlow: 0.1, JobSlowBy: time.Minute,
		JobFail: func(ike.JobKind) float64 { return 0.1 }}, netip.MustParseAddr("198.51.100.1"))
	w.Run(100 * time.Second)
	w.nodeA.Rebind()
	w.Partition(w.nodeA, w.nodeB, 10*time.Second)
	w.Run(100 * time.Second)
	w.nodeA.JumpClock(time.Hour)
	w.nodeA.JumpClock(-time.Hour)
	w.nodeB.Restart(&echo{})
	w.Run(100 * time.Second)
	for f, n := range w.Fired {
		require.NotZero(t, n, "%v", simnet.Fault(f))
	}
}

func TestReplaysExactly(t *testing.T) {
	f := simnet.Faults{Latency: time.Millisecond, Jitter: 3 * time.Second, Loss: 0.2, Duplicate: 0.2, Flip: 0.2, Inject: 0.2, JobDelay: time.Second}
	digests := map[uint64]bool{}
	for seed := uint64(1); seed <= 20; seed++ {
		first, again := newWorld(seed, f, netip.Addr{}), newWorld(seed, f, netip.Addr{})
		first.Run(time.Minute)
		again.Run(time.Minute)
		require.Equal(t, first.Digest(), again.Digest())
		require.Equal(t, first.b.got, again.b.got)
		digests[first.Digest()] = true
	}
	require.Len(t, digests, 20)
}

// TestOrder: jobs of one order run one after the other and their results come
// in that order; others overtake them.
func TestOrder(t *testing.T) {
	w := newWorld(3, simnet.Faults{JobDelay: 20 * time.Second}, netip.Addr{})
	w.Run(10 * time.Minute)
	last := map[uint64]uint64{}
	overtaken := false
	for i, n := range w.b.ran {
		require.Greater(t, n, last[n%2])
		last[n%2] = n
		overtaken = overtaken || i > 0 && n < w.b.ran[i-1]
	}
	require.True(t, overtaken)
	lastResult := map[ike.JobID]ike.JobID{}
	for _, id := range w.b.results {
		require.Greater(t, id, lastResult[id%2])
		lastResult[id%2] = id
	}
}

func TestNAT(t *testing.T) {
	outer := netip.MustParseAddr("198.51.100.1")
	w := newWorld(1, simnet.Faults{Latency: time.Millisecond}, outer)
	w.Run(5500 * time.Millisecond)
	require.Len(t, w.a.got, 5)
	require.Equal(t, outer, w.b.from[0].Addr())
	before := w.b.from[4]
	w.nodeA.Rebind()
	w.nodeB.Send(ike.Transmit{Path: ike.Path{Local: addrB, Remote: before}, Packet: []byte("too late")})
	w.Run(5 * time.Second)
	require.NotEqual(t, before, w.b.from[9])
	require.Equal(t, 1, w.Fired[simnet.Unroutable])
	require.NotContains(t, w.a.got, "too late")
}

func TestClocks(t *testing.T) {
	w := newWorld(1, simnet.Faults{}, netip.Addr{})
	w.nodeA.JumpClock(time.Hour) // all that was due is due now
	w.Run(0)
	require.Len(t, w.b.got, 1)
	require.Equal(t, w.Now().Add(time.Hour), w.nodeA.Now())
	w.nodeA.JumpClock(-10 * time.Second)
	w.Run(10 * time.Second)
	require.Len(t, w.b.got, 1)
	w.Run(time.Second)
	require.Len(t, w.b.got, 2)
}

func TestForce(t *testing.T) {
	for _, f := range []simnet.Fault{simnet.Lost, simnet.Duplicated, simnet.Delayed, simnet.Flipped, simnet.Truncated, simnet.Replayed, simnet.Injected} {
		w := newWorld(1, simnet.Faults{Latency: time.Millisecond}, netip.Addr{})
		w.Force(f)
		w.Run(time.Minute)
		require.Equal(t, 1, w.Fired[f], "%v", f)
	}
}
