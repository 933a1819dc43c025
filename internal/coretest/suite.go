package coretest

import (
	"fmt"
	"maps"
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

	"github.com/racoon3/racoon/internal/simnet"
)

// A Suite is the simulation of a protocol.
//
//	RACOON_SIMULATIONS=10000     how many schedules; the default is the Suite's
//	RACOON_SIMULATION_SEED=4711  run this one alone, with a trace
type Suite[E Core, P any] struct {
	New       func(s *Sim[E, P]) Protocol[E, P]
	Profiles  []Profile[E, P] // each has the seeds that its place is left over from
	Schedules int
	MustVisit []Visit // without which a run of 500 schedules would prove little
}

// outcome is what a schedule has come to.
type outcome struct {
	seed    uint64
	profile string
	err     error
	fired   simnet.Counts
	visited map[Visit]int
	steps   int
	probed  int
	virtual time.Duration
	settled time.Duration
	digest  uint64
}

// simulate runs the schedule of a seed; the seed decides about its profile.
func (u *Suite[E, P]) simulate(seed uint64, trace func(string)) outcome {
	return u.simulateProfile(seed, u.Profiles[seed%uint64(len(u.Profiles))], trace, nil)
}

func (u *Suite[E, P]) simulateProfile(seed uint64, p Profile[E, P], trace func(string), m *Mutant[E, P]) (o outcome) {
	s := u.newSim(seed, p, trace, m)
	defer func() {
		if r := recover(); r != nil {
			s.err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
		o = outcome{seed, p.Name, s.err, s.W.Fired, s.Visited, s.W.Steps(), s.probed, s.W.Elapsed(), s.settled, s.W.Digest()}
	}()
	s.run()
	return o
}

// schedules is how many there are to be.
func (u *Suite[E, P]) schedules(t testing.TB) int {
	v := os.Getenv("RACOON_SIMULATIONS")
	if v == "" {
		if testing.Short() {
			return u.Schedules / 4
		}
		return u.Schedules
	}
	n, err := strconv.Atoi(v)
	require.NoError(t, err, "RACOON_SIMULATIONS")
	return n
}

// Test runs the schedules, prints what was covered, and fails with the seeds
// that went wrong.
func (u *Suite[E, P]) Test(t *testing.T) {
	if v := os.Getenv("RACOON_SIMULATION_SEED"); v != "" {
		seed, err := strconv.ParseUint(v, 10, 64)
		require.NoError(t, err, "RACOON_SIMULATION_SEED")
		o := u.simulate(seed, func(line string) { fmt.Println(line) })
		t.Logf("seed %d, profile %q: %d steps in %v; %v", seed, o.profile, o.steps, o.virtual, o.fired)
		require.NoError(t, o.err)
		return
	}
	total := u.schedules(t)
	began := time.Now()
	sum := outcome{visited: map[Visit]int{}}
	var failures []outcome
	perProfile := map[string]int{}
	var settled []time.Duration
	forEachSeed(total, func(seed uint64) outcome { return u.simulate(seed, nil) }, func(o outcome) {
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
	if total < 500 {
		return
	}
	for _, want := range u.MustVisit {
		if sum.visited[want] == 0 {
			t.Errorf("never visited: %q meets %q", want.State, want.Event)
		}
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
func table(v map[Visit]int) string {
	keys := slices.SortedFunc(maps.Keys(v), func(x, y Visit) int {
		return strings.Compare(x.State+"\x00"+x.Event, y.State+"\x00"+y.Event)
	})
	var b strings.Builder
	last := ""
	for _, k := range keys {
		if k.State != last {
			fmt.Fprintf(&b, "%s\n", k.State)
			last = k.State
		}
		fmt.Fprintf(&b, "%12d  %s\n", v[k], k.Event)
	}
	return b.String()
}

// Replays checks that the same seed is the same run, to the last octet.
func (u *Suite[E, P]) Replays(t *testing.T) {
	for seed := uint64(1); seed <= uint64(2*len(u.Profiles)); seed++ {
		first, again := u.simulate(seed, nil), u.simulate(seed, nil)
		require.Equal(t, first.digest, again.digest, "seed %d, profile %q", seed, first.profile)
		require.Equal(t, first.steps, again.steps)
		require.Equal(t, first.visited, again.visited)
	}
}

// profile finds a profile by name.
func (u *Suite[E, P]) profile(t *testing.T, name string) Profile[E, P] {
	i := slices.IndexFunc(u.Profiles, func(p Profile[E, P]) bool { return p.Name == name })
	require.GreaterOrEqual(t, i, 0, "no profile %q", name)
	return u.Profiles[i]
}

// TestProfile runs schedules of one profile, from a first seed on.
func (u *Suite[E, P]) TestProfile(t *testing.T, name string, seed uint64, n int) {
	p := u.profile(t, name)
	for ; n > 0; n-- {
		o := u.simulateProfile(seed, p, nil, nil)
		require.NoError(t, o.err, "profile %q, seed %d", name, seed)
		require.Positive(t, o.fired.Total(), "no fault fired")
		seed++
	}
}

// Catches checks that the simulation notices when something is wrong: each
// mutant within 200 schedules, which go well without it.
func (u *Suite[E, P]) Catches(t *testing.T, mutants []*Mutant[E, P]) {
	for _, m := range mutants {
		t.Run(m.Name, func(t *testing.T) {
			p := u.profile(t, m.Profile)
			for seed := uint64(1); seed <= 200; seed++ {
				o := u.simulateProfile(seed, p, nil, m)
				if o.err != nil {
					t.Logf("caught by seed %d: %.150v", seed, o.err)
					require.NoError(t, u.simulateProfile(seed, p, nil, nil).err, "the same schedule without the mutant")
					return
				}
			}
			t.Error("not caught in 200 schedules")
		})
	}
}
