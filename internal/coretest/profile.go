package coretest

import (
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/simnet"
)

// A Profile is a kind of schedule.
type Profile[E Core, P any] struct {
	Name   string
	Faults func(w *simnet.World) simnet.Faults
	// Commands that may be given, each as often as it is likely.
	Commands []string
	// Traffic: packets flow both ways all the time, and every one arrives.
	Traffic bool
	// Steady: nothing but rekeys happens, so nothing may go down.
	Steady bool
	// NAT: there is one in front of the first node.
	NAT bool
	// OnlyFirst: the second node cannot begin a session with the first, nor an
	// IKE SA.
	OnlyFirst bool
	// Both is how likely it is that both begin at once.
	Both float64
	// PlaneFail: operations of the data plane fail.
	PlaneFail bool
	// Kind tells the protocol more.
	Kind string
	// Run replaces the usual course.
	Run func(s *Sim[E, P])
}

// The commands, as Profile.Commands has them: RekeyCommands end nothing,
// AllCommands are those that do not need a NAT or time of their own.
var (
	RekeyCommands = []string{"rekey child", "rekey child", "rekey child both", "rekey IKE", "rekey IKE both", "rekey child and IKE", "liveness"}
	AllCommands   = []string{"initiate", "rekey child", "rekey child", "rekey child both", "rekey IKE", "rekey IKE both", "rekey child and IKE",
		"create child", "delete child", "delete child both", "rekey and delete child", "delete", "delete both", "rekey IKE and delete", "liveness"}
)

// StandardProfiles are the kinds of schedule that every protocol has to live
// through.
func StandardProfiles[E Core, P any]() []Profile[E, P] {
	with := func(more ...string) []string { return slices.Concat(more, AllCommands) }
	return []Profile[E, P]{
		{Name: "rekey", Faults: Reordering, Traffic: true, Steady: true, Commands: RekeyCommands},
		{Name: "rekey with loss", Faults: Lossy, Traffic: true, Steady: true, Commands: RekeyCommands},
		{Name: "loss", Faults: Lossy, Both: 0.3, Commands: AllCommands},
		{Name: "chaos", Faults: Chaotic, Both: 0.3, Commands: with("partition", "clock", "restart")},
		{Name: "NAT", Faults: Lossy, NAT: true, Commands: with("rebind", "rebind", "rebind")},
		{Name: "failing jobs", Faults: JobFailures, PlaneFail: true, Both: 0.3, Commands: AllCommands},
		{Name: "man in the middle", Faults: Hostile, Both: 0.3, Commands: with("partition")},
	}
}

// Reordering lets datagrams overtake each other, and jobs take their time.
func Reordering(w *simnet.World) simnet.Faults {
	return simnet.Faults{Latency: w.Between(time.Millisecond, 40*time.Millisecond), Jitter: w.Between(0, 100*time.Millisecond),
		JobDelay: w.Between(0, 20*time.Millisecond), JobSlow: 0.02, JobSlowBy: time.Second}
}

// Lossy loses, repeats and holds back datagrams, too.
func Lossy(w *simnet.World) simnet.Faults {
	f := Reordering(w)
	f.Loss, f.Duplicate = w.Rand().Float64()*0.25, w.Rand().Float64()*0.2
	f.Late, f.LateBy = w.Rand().Float64()*0.1, w.Between(time.Second, 8*time.Second)
	return f
}

// Chaotic damages and replays them, too.
func Chaotic(w *simnet.World) simnet.Faults {
	f := Lossy(w)
	f.Flip, f.Truncate, f.Replay = 0.03, 0.02, 0.05
	return f
}

// Hostile does so on purpose, and forges some.
func Hostile(w *simnet.World) simnet.Faults {
	f := Lossy(w)
	f.Flip, f.Truncate, f.Replay, f.Inject = 0.1, 0.03, 0.3, 0.3
	return f
}

// JobFailures lets jobs fail.
func JobFailures(w *simnet.World) simnet.Faults {
	f := Reordering(w)
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
