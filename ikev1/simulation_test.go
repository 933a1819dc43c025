package ikev1

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/simnet"
	"github.com/racoon3/racoon/spd"
)

// The simulation lets two endpoints live through random schedules: who
// initiates, rekeys, creates and deletes when, and what the network, the
// clocks, the jobs and an attacker do to that. When the faults are over, both
// must come to hold the same, and in the end nothing may be left behind.
//
//	RACOON_SIMULATIONS=10000     how many schedules; the default is 600
//	RACOON_SIMULATION_SEED=4711  run this one alone, with a trace

// A profile is a kind of schedule.
type profile struct {
	name   string
	faults func(s *sim) simnet.Faults
	// commands that may be given, each as often as it is likely.
	commands []string
	// traffic: packets flow both ways all the time, and every one arrives.
	traffic bool
	// steady: nothing but rekeys happens, so nothing may go down.
	steady bool
	nat    bool
	// both begin at once.
	both bool
	// roadwarrior: XAuth, and an address by mode config.
	roadwarrior bool
	// planeFail: operations of the data plane fail.
	planeFail bool
	// run replaces the usual course.
	run func(s *sim)
}

var rekeyCommands = []string{"rekey child", "rekey child", "rekey child both", "rekey IKE", "rekey IKE both", "rekey child and IKE", "liveness"}

var profiles = []profile{
	{name: "rekey", faults: reordering, traffic: true, steady: true, commands: rekeyCommands},
	{name: "rekey with loss", faults: lossy, traffic: true, steady: true, commands: rekeyCommands},
	{name: "loss", faults: lossy, commands: allCommands},
	{name: "chaos", faults: chaotic, commands: append([]string{"partition", "clock", "restart"}, allCommands...)},
	{name: "NAT", faults: lossy, nat: true, commands: append([]string{"rebind", "rebind", "rebind"}, allCommands...)},
	{name: "failing jobs", faults: jobFailures, planeFail: true, commands: allCommands},
	{name: "man in the middle", faults: hostile, commands: append([]string{"partition"}, allCommands...)},
}

var allCommands = []string{"initiate", "rekey child", "rekey child", "rekey child both", "rekey IKE", "rekey IKE both", "rekey child and IKE",
	"create child", "delete child", "delete child both", "rekey and delete child", "delete", "delete both", "rekey IKE and delete", "liveness"}

func reordering(s *sim) simnet.Faults {
	return simnet.Faults{Latency: s.w.Between(time.Millisecond, 40*time.Millisecond), Jitter: s.w.Between(0, 100*time.Millisecond),
		JobDelay: s.w.Between(0, 20*time.Millisecond), JobSlow: 0.02, JobSlowBy: time.Second}
}

func lossy(s *sim) simnet.Faults {
	f := reordering(s)
	f.Loss, f.Duplicate = s.w.Rand().Float64()*0.25, s.w.Rand().Float64()*0.2
	f.Late, f.LateBy = s.w.Rand().Float64()*0.1, s.w.Between(time.Second, 8*time.Second)
	return f
}

func chaotic(s *sim) simnet.Faults {
	f := lossy(s)
	f.Flip, f.Truncate, f.Replay = 0.03, 0.02, 0.05
	return f
}

func hostile(s *sim) simnet.Faults {
	f := lossy(s)
	f.Flip, f.Truncate, f.Replay, f.Inject = 0.1, 0.03, 0.3, 0.3
	return f
}

func jobFailures(s *sim) simnet.Faults {
	f := reordering(s)
	f.JobFail = func(k ike.JobKind) float64 {
		switch k {
		case ike.JobKeyExchange, ike.JobQuery, ike.JobCredential:
			return 0.05
		case ike.JobSign, ike.JobVerify, ike.JobAuthorize, ike.JobUser, ike.JobPrompt:
			return 0.02
		}
		return 0 // the others hold or give back something: the plane's own failures cover them
	}
	return f
}

// sim is one schedule.
type sim struct {
	profile
	seed uint64
	w    *simnet.World
	a, b *simNode
	err  error

	limits    ike.Limits
	planeFail map[spd.Operation]float64
	activeFor time.Duration
	visited   map[visit]int
	probed    int
	settled   time.Duration // how long agreement took after the faults
	flowing   bool
	lastSeen  uint64
	longest   time.Duration // of what a lost Delete may leave on one side
	mode      Mode
}

// visit is a state of an ISAKMP SA and what it met there.
type visit struct{ state, event string }

func (s *sim) visit(state, event string) { s.visited[visit{state, event}]++ }

func (s *sim) failf(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf("at %v: %s", s.w.Elapsed(), fmt.Sprintf(format, args...))
		s.w.Tracef("FAILURE %v", s.err)
	}
}

var (
	simAddrA   = netip.MustParseAddrPort("192.0.2.1:500")
	simAddrB   = netip.MustParseAddrPort("192.0.2.2:500")
	simNATAddr = netip.MustParseAddr("198.51.100.1")
)

// newSim sets a schedule up: the two peers, with random times.
func newSim(seed uint64, p profile, trace func(string), mutants ...*mutant) *sim {
	s := &sim{profile: p, seed: seed, visited: map[visit]int{}, planeFail: map[spd.Operation]float64{}}
	s.w = simnet.New(simnet.Config{Seed: seed, Trace: trace})
	s.w.Faults = p.faults(s)
	if p.planeFail {
		for _, op := range []spd.Operation{spd.OpAllocSPI, spd.OpInstallInbound, spd.OpInstallOutbound, spd.OpSetPolicies, spd.OpQuery} {
			s.planeFail[op] = s.w.Rand().Float64() * 0.1
		}
	}
	pa, pb := simPeers(s)
	pathA := ike.Path{Local: simAddrA, Remote: simAddrB}
	var nat netip.Addr
	if p.nat {
		nat = simNATAddr
	}
	s.a = s.newNode("a", pa, pathA, nat)
	s.b = s.newNode("b", pb, reverse(pathA), netip.Addr{})
	for i, m := range mutants {
		[]*simNode{s.a, s.b}[i].mutant = m
	}
	return s
}

// simPeers are two peers that fit, in any mode, with lifetimes of a minute or of
// half an hour.
func simPeers(s *sim) (a, b *Peer) {
	r := s.w.Rand()
	a, b = pskPeer("b", "a.example", "b.example"), pskPeer("a", "b.example", "a.example")
	s.mode = MainMode + Mode(r.IntN(3))
	esp := []string{"aes128gcm16-noesn", "aes128-sha1-noesn", "aes128gcm16-ecp256-noesn"}[r.IntN(3)]
	rekey, life := 20*time.Minute, 25*time.Minute
	childRekey, childLife := 20*time.Minute, 24*time.Minute
	if s.w.Chance(0.5) {
		rekey, life = s.w.Between(time.Minute, 2*time.Minute), s.w.Between(6*time.Minute, 10*time.Minute)
		childRekey, childLife = s.w.Between(40*time.Second, 2*time.Minute), s.w.Between(5*time.Minute, 10*time.Minute)
	}
	s.longest = max(life, childLife)
	fragments := s.w.Chance(0.3)
	for _, p := range []*Peer{a, b} {
		p.Modes = []Mode{s.mode}
		p.Children = append(p.Children, &ike.ChildConfig{Name: "net2",
			Local:  []spd.TrafficSelector{spd.MustParseTrafficSelector("10.3.0.0/16")},
			Remote: []spd.TrafficSelector{spd.MustParseTrafficSelector("10.4.0.0/16")},
		})
		for _, c := range p.Children {
			c.Proposals = []spd.Proposal{spd.MustParseProposal(spd.ProtoESP, esp)}
			if p == b {
				c.Local, c.Remote = c.Remote, c.Local
			}
			c.Rekey, c.Lifetime, c.Jitter = childRekey, childLife, 0.3
		}
		p.Timing.Rekey, p.Timing.Lifetime, p.Timing.Jitter = rekey, life, 0.3
		if s.steady {
			p.Timing.RetransmitTries = 15 // bad luck must not look like a dead peer
		}
		if fragments {
			p.Fragmentation, p.FragmentSize = FragmentForce, smallFragment4
		}
	}
	return a, b
}

func (s *sim) initiate(n *simNode) {
	n.node.Do(func(now time.Time) {
		in := Initiation{Peer: n.peer, Path: n.path, Children: []string{"net"}}
		if s.nat {
			in.NATTPath = ike.Path{Local: netip.AddrPortFrom(n.path.Local.Addr(), 4500), Remote: netip.AddrPortFrom(n.path.Remote.Addr(), 4500)}
		}
		if _, err := n.Initiate(now, in); err != nil {
			s.failf("%s: Initiate: %v", n.name, err)
		}
	})
}

// onlyA: b cannot reach a, or has no user to be, until a has begun.
func (s *sim) onlyA() bool { return s.nat || s.roadwarrior }

// command gives one of the profile's commands.
func (s *sim) command(what string) {
	n := s.a
	if s.w.Chance(0.5) {
		n = s.b
	}
	s.w.Tracef("%s: command %s", n.name, what)
	// both gives a command to one side and, before its messages can have
	// arrived, the other.
	both := func(f func(n *simNode)) {
		f(n)
		s.w.After(s.w.Between(0, s.w.Faults.Latency), func() { f(n.other()) })
	}
	switch what {
	case "initiate":
		if s.onlyA() {
			n = s.a
		}
		if len(s.a.sessions)+len(s.b.sessions) == 0 {
			s.initiate(n)
		}
	case "rekey child":
		s.rekeyChild(n)
	case "rekey child both":
		both(s.rekeyChild)
	case "rekey IKE":
		s.rekeyIKE(n)
	case "rekey IKE both":
		both(s.rekeyIKE)
	case "rekey child and IKE":
		s.rekeyChild(n)
		s.w.After(s.w.Between(0, s.w.Faults.Latency), func() { s.rekeyIKE(n.other()) })
	case "rekey and delete child":
		s.rekeyChild(n)
		s.w.After(s.w.Between(0, s.w.Faults.Latency), func() { s.deleteChild(n.other()) })
	case "rekey IKE and delete":
		s.rekeyIKE(n)
		s.w.After(s.w.Between(0, s.w.Faults.Latency), func() { s.deleteSession(n.other()) })
	case "create child":
		if x := s.pick(n); x != nil {
			s.do(n, x, "create Child", func(now time.Time) error { return n.CreateChild(now, x.ID, "net2", 0, nil) })
		}
	case "delete child":
		s.deleteChild(n)
	case "delete child both":
		both(s.deleteChild)
	case "delete":
		s.deleteSession(n)
	case "delete both":
		both(s.deleteSession)
	case "liveness":
		if x := s.pick(n); x != nil {
			s.do(n, x, "liveness", func(now time.Time) error { return n.CheckLiveness(now, x.ID) })
		}
	case "partition":
		s.w.Partition(s.a.node, s.b.node, s.w.Between(time.Second, 150*time.Second))
	case "clock":
		n.node.JumpClock(s.w.Between(-5*time.Second, 30*time.Second))
	case "restart":
		n.restart()
	case "rebind":
		s.a.node.Rebind()
	default:
		panic("no command " + what)
	}
}

// pick returns one of the established sessions.
func (s *sim) pick(n *simNode) *session {
	up := n.up()
	if len(up) == 0 {
		return nil
	}
	return up[s.w.Rand().IntN(len(up))]
}

func (s *sim) do(n *simNode, x *session, what string, f func(now time.Time) error) {
	s.visit(stateOf(x.current), "command: "+what)
	n.node.Do(func(now time.Time) {
		if err := f(now); err != nil {
			s.failf("%s: %s: %v", n.name, what, err)
		}
	})
}

func (s *sim) pickChild(n *simNode) (*session, ike.ChildID) {
	x := s.pick(n)
	if x == nil {
		return nil, 0
	}
	var known []ike.ChildID
	for _, c := range x.Children.All() {
		if _, told := n.child[c.Info.ID]; told {
			known = append(known, c.Info.ID)
		}
	}
	if len(known) == 0 {
		return nil, 0
	}
	return x, known[s.w.Rand().IntN(len(known))]
}

func (s *sim) rekeyChild(n *simNode) {
	if x, c := s.pickChild(n); x != nil {
		s.do(n, x, "rekey Child", func(now time.Time) error { return n.RekeyChild(now, x.ID, c) })
	}
}

func (s *sim) deleteChild(n *simNode) {
	if x, c := s.pickChild(n); x != nil {
		s.do(n, x, "delete Child", func(now time.Time) error { return n.DeleteChild(now, x.ID, c) })
	}
}

func (s *sim) rekeyIKE(n *simNode) {
	if x := s.pick(n); x != nil && x.canInitiate() {
		s.do(n, x, "rekey IKE", func(now time.Time) error { return n.RekeyIKE(now, x.ID) })
	}
}

func (s *sim) deleteSession(n *simNode) {
	if x := s.pick(n); x != nil {
		s.do(n, x, "delete", func(now time.Time) error { return n.Endpoint.Delete(now, x.ID, ike.DownLocal) })
	}
}

// run lets the schedule happen and checks what must hold.
func (s *sim) run() {
	if s.profile.run != nil {
		s.profile.run(s)
		return
	}
	s.activeFor = s.w.Between(10*time.Second, 90*time.Second)
	s.begin()
	for range 3 + s.w.Rand().IntN(10) {
		what := s.commands[s.w.Rand().IntN(len(s.commands))]
		s.w.After(s.w.Between(time.Second, s.activeFor), func() { s.command(what) })
	}
	s.advance(s.activeFor)
	s.settle()
	s.restoreSession()
	s.flowing = false
	s.tearDown()
	if s.err == nil && s.w.Fired.Total() == 0 {
		s.failf("no fault has fired")
	}
}

// begin makes the first session, and one fault certain to happen.
func (s *sim) begin() {
	certain := []simnet.Fault{simnet.Lost, simnet.Duplicated, simnet.Delayed}
	s.w.After(s.w.Between(0, 2*time.Second), func() { s.w.Force(certain[s.w.Rand().IntN(len(certain))]) })
	first := s.a
	if !s.onlyA() && s.w.Chance(0.5) {
		first = s.b
	}
	s.initiate(first)
	if s.both {
		s.w.After(s.w.Between(0, 200*time.Millisecond), func() { s.initiate(first.other()) })
	}
}

// advance lets time pass, and traffic flow.
func (s *sim) advance(d time.Duration) {
	end := s.w.Now().Add(d)
	for s.err == nil && s.w.Step(end) {
		if s.w.Steps() > maxSteps {
			s.failf("more than %d steps: the endpoints are busy with nothing", maxSteps)
		}
		if s.traffic {
			s.probe()
		}
	}
	if s.err == nil {
		s.w.Run(end.Sub(s.w.Now()))
	}
}

// maxSteps is far more than any schedule takes.
const maxSteps = 200_000

// restoreSession: whatever has happened, a new session comes up if there is
// none.
func (s *sim) restoreSession() {
	if s.err != nil || len(s.a.up()) > 0 {
		return
	}
	s.initiate(s.a)
	s.advance(30 * time.Second)
	s.waitAgreement("after a new session", time.Minute)
	if s.err == nil && len(s.a.up()) == 0 {
		s.failf("no session comes up any more")
	}
}

// tearDown deletes everything, and checks that nothing is left. The last
// Deletes arrive: there are no faults any more.
func (s *sim) tearDown() {
	if s.err != nil {
		return
	}
	n := s.a
	if !s.nat && s.w.Chance(0.5) { // b does not know where a is since its NAT has rebound
		n = s.b
	}
	for _, x := range n.up() {
		s.do(n, x, "delete", func(now time.Time) error { return n.Endpoint.Delete(now, x.ID, ike.DownLocal) })
		s.w.Run(s.w.Between(0, time.Second))
	}
	s.w.Run(5 * time.Minute)
	s.checkEmpty(s.a)
	s.checkEmpty(s.b)
}

// outcome is what a schedule has come to.
type outcome struct {
	seed    uint64
	profile string
	err     error
	fired   simnet.Counts
	visited map[visit]int
	steps   int
	probed  int
	virtual time.Duration
	settled time.Duration
	digest  uint64
}

// simulate runs the schedule of a seed; the seed decides about its profile.
func simulate(seed uint64, trace func(string), mutants ...*mutant) outcome {
	return simulateProfile(seed, profiles[seed%uint64(len(profiles))], trace, mutants...)
}

func simulateProfile(seed uint64, p profile, trace func(string), mutants ...*mutant) (o outcome) {
	s := newSim(seed, p, trace, mutants...)
	defer func() {
		if r := recover(); r != nil {
			s.err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
		o = outcome{seed, p.name, s.err, s.w.Fired, s.visited, s.w.Steps(), s.probed, s.w.Elapsed(), s.settled, s.w.Digest()}
	}()
	s.run()
	return o
}

func simulations(t testing.TB) int {
	v := os.Getenv("RACOON_SIMULATIONS")
	if v == "" {
		if testing.Short() {
			return 200
		}
		return 600
	}
	n, err := strconv.Atoi(v)
	require.NoError(t, err, "RACOON_SIMULATIONS")
	return n
}

func TestSimulation(t *testing.T) {
	if v := os.Getenv("RACOON_SIMULATION_SEED"); v != "" {
		seed, err := strconv.ParseUint(v, 10, 64)
		require.NoError(t, err, "RACOON_SIMULATION_SEED")
		o := simulate(seed, func(line string) { fmt.Println(line) })
		t.Logf("seed %d, profile %q: %d steps in %v; %v", seed, o.profile, o.steps, o.virtual, o.fired)
		require.NoError(t, o.err)
		return
	}
	total := simulations(t)
	began := time.Now()
	sum := outcome{visited: map[visit]int{}}
	var failures []outcome
	perProfile := map[string]int{}
	var settled []time.Duration
	forEachSeed(total, func(seed uint64) outcome { return simulate(seed, nil) }, func(o outcome) {
		if o.err != nil {
			failures = append(failures, o)
		}
		perProfile[o.profile]++
		sum.fired.Add(o.fired)
		sum.steps += o.steps
		sum.probed += o.probed
		sum.virtual += o.virtual
		settled = append(settled, o.settled)
		for v, c := range o.visited {
			sum.visited[v] += c
		}
	})
	t.Logf("%d schedules, %d steps, %v of virtual time in %v; %d packets sent during rekeys", total, sum.steps, sum.virtual, time.Since(began).Round(time.Millisecond), sum.probed)
	t.Logf("profiles: %v", perProfile)
	t.Logf("faults: %v", sum.fired)
	slices.Sort(settled)
	t.Logf("time to agreement after the faults: half within %v, 99 %% within %v, all within %v", settled[len(settled)/2], settled[len(settled)*99/100], settled[len(settled)-1])
	t.Logf("%d pairs of state and event were visited:\n%s", len(sum.visited), table(sum.visited))
	slices.SortFunc(failures, func(x, y outcome) int { return int(x.seed) - int(y.seed) })
	for i, o := range failures {
		if i == 20 {
			t.Errorf("and %d more", len(failures)-i)
			break
		}
		t.Errorf("profile %q: RACOON_SIMULATION_SEED=%d: %v", o.profile, o.seed, o.err)
	}
	if total >= 500 {
		checkVisited(t, sum.visited)
	}
}

// forEachSeed runs schedules on all processors.
func forEachSeed(total int, run func(seed uint64) outcome, take func(o outcome)) {
	var next atomic.Uint64
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				seed := next.Add(1)
				if seed > uint64(total) {
					return
				}
				o := run(seed)
				mu.Lock()
				take(o)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// table shows what was visited, state by state.
func table(v map[visit]int) string {
	keys := slices.SortedFunc(maps.Keys(v), func(x, y visit) int {
		return strings.Compare(x.state+"\x00"+x.event, y.state+"\x00"+y.event)
	})
	var b strings.Builder
	last := ""
	for _, k := range keys {
		if k.state != last {
			fmt.Fprintf(&b, "%s\n", k.state)
			last = k.state
		}
		fmt.Fprintf(&b, "%12d  %s\n", v[k], k.event)
	}
	return b.String()
}

// TestSimulationReplays: the same seed is the same run, to the last octet.
func TestSimulationReplays(t *testing.T) {
	for seed := uint64(1); seed <= uint64(2*len(profiles)); seed++ {
		first, again := simulate(seed, nil), simulate(seed, nil)
		require.Equal(t, first.digest, again.digest, "seed %d, profile %q", seed, first.profile)
		require.Equal(t, first.steps, again.steps)
		require.Equal(t, first.visited, again.visited)
	}
}
