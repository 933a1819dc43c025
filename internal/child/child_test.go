package child

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// bench is a Set with a host that does jobs at once, and a clock of its own.
type bench struct {
	*testing.T
	Set
	now    time.Time
	plane  *spd.Memory
	timers map[*Timer]time.Time
	events []ike.Event
	rekey  []*SA
	gone   []*SA
	spi    spd.SPI
}

func newBench(t *testing.T) *bench {
	b := &bench{T: t, now: time.Unix(1_700_000_000, 0), timers: map[*Timer]time.Time{}, spi: 0x1000}
	b.plane = spd.NewMemory(spd.MemoryConfig{Now: func() time.Time { return b.now }})
	b.Init(b, b.plane)
	return b
}

func (b *bench) Job(_ ike.JobKind, _ uint64, run func(ctx context.Context) (any, error), done func(now time.Time, v any, err error), _ func(v any)) {
	v, err := run(b.Context())
	done(b.now, v, err)
}

func (b *bench) Cleanup(k ike.JobKind, order uint64, run func(ctx context.Context) (any, error), done func(now time.Time, v any, err error)) {
	if done == nil {
		done = func(time.Time, any, error) {}
	}
	b.Job(k, order, run, done, nil)
}

func (b *bench) SetTimer(t *Timer, at time.Time)                    { b.timers[t] = at }
func (b *bench) StopTimer(t *Timer)                                 { delete(b.timers, t) }
func (b *bench) Jitter(d time.Duration, _ float64) time.Duration    { return d }
func (b *bench) Emit(e ike.Event)                                   { b.events = append(b.events, e) }
func (b *bench) EventHeader(now time.Time) ike.EventHeader          { return ike.EventHeader{Time: now} }
func (b *bench) StartRekey(_ time.Time, a *SA)                      { a.Rekeying = true; b.rekey = append(b.rekey, a) }
func (b *bench) StartDelete(now time.Time, a *SA, r ike.DownReason) { b.Remove(now, a, r, nil, false) }
func (b *bench) Removed(_ time.Time, a *SA)                         { b.gone = append(b.gone, a) }

// pass lets time pass, timer by timer.
func (b *bench) pass(d time.Duration) {
	end := b.now.Add(d)
	for {
		var next *Timer
		for t, at := range b.timers {
			if !at.After(end) && (next == nil || at.Before(b.timers[next])) {
				next = t
			}
		}
		if next == nil {
			b.now = end
			return
		}
		b.now = b.timers[next]
		delete(b.timers, next)
		next.Owner(b.now)
	}
}

var (
	here, there = netip.MustParseAddrPort("192.0.2.1:500"), netip.MustParseAddrPort("192.0.2.2:500")
	left, right = spd.MustParseTrafficSelector("10.1.0.0/16"), spd.MustParseTrafficSelector("10.2.0.0/16")
)

// sa adds an SA, the successor of old if that is not nil, and its bundles.
func (b *bench) sa(cfg Config, old *SA) (a *SA, in, out *spd.Bundle) {
	b.spi += 2
	info := ike.ChildInfo{ID: 7, Name: "net", Protocol: spd.ProtoESP, ChildSPIs: ike.ChildSPIs{In: b.spi, Out: b.spi + 1}, ReqID: 3, Mode: spd.ModeTunnel,
		LocalTS: []spd.TrafficSelector{left}, RemoteTS: []spd.TrafficSelector{right}}
	bundle := func(spi spd.SPI) *spd.Bundle {
		encr := spd.Transform{Type: spd.TransformENCR, ID: 20, KeyLen: 128}
		return &spd.Bundle{SAs: []spd.SA{{Protocol: spd.ProtoESP, SPI: spi, Mode: spd.ModeTunnel, Encryption: encr, EncrKey: slices.Repeat(spd.Key{9}, encr.KeymatLen())}},
			ReqID: 3, Local: here, Remote: there, LocalTS: info.LocalTS, RemoteTS: info.RemoteTS}
	}
	return b.Add(info, &cfg, true, old), bundle(info.In), bundle(info.Out)
}

// install adds and installs an SA.
func (b *bench) install(cfg Config, old *SA, hold bool) *SA {
	b.Helper()
	a, in, out := b.sa(cfg, old)
	b.Install(b.now, a, in, out, hold, func(_ time.Time, err error) { require.NoError(b, err) })
	return a
}

// has checks which SAs are in the data plane, with their policies: outbound and
// inbound ones.
func (b *bench) has(policies string, sas ...spd.SPI) {
	b.Helper()
	var got []spd.SPI
	for _, id := range b.plane.SAs() {
		got = append(got, id.SPI)
	}
	require.ElementsMatch(b, sas, got)
	dirs := map[string]bool{}
	for _, p := range b.plane.Policies() {
		dirs[p.Direction.String()] = true
	}
	text := ""
	for _, d := range []spd.Direction{spd.In, spd.Out} {
		if dirs[d.String()] {
			text += d.String() + " "
		}
	}
	require.Equal(b, policies, text)
}

func (b *bench) downs() (all []ike.ChildDown) {
	for _, e := range b.events {
		if d, ok := e.(ike.ChildDown); ok {
			all = append(all, d)
		}
	}
	return all
}

// Whichever step fails, nothing is left, and the keys are overwritten.
func TestInstallAllOrNothing(t *testing.T) {
	refused := errors.New("refused")
	for _, op := range []spd.Operation{spd.OpInstallInbound, spd.OpInstallOutbound, spd.OpSetPolicies} {
		t.Run(fmt.Sprint(op), func(t *testing.T) {
			b := newBench(t)
			a, in, out := b.sa(Config{Lifetime: time.Hour}, nil)
			b.plane.FailNext(op, refused)
			var got error
			b.Install(b.now, a, in, out, false, func(_ time.Time, err error) { got = err })
			require.ErrorIs(t, got, refused)
			require.Empty(t, b.plane.Leaks())
			require.Empty(t, b.All())
			require.Empty(t, b.timers)
			require.Equal(t, []*SA{a}, b.gone)
			require.Empty(t, b.downs(), "it never was up")
			for _, x := range []*spd.Bundle{in, out} {
				require.NotContains(t, x.SAs[0].EncrKey, byte(9))
			}
		})
	}
}

// watched is a data plane that is looked at before its SAs are installed.
type watched struct {
	*spd.Memory
	before func(d spd.Direction)
}

func (w *watched) InstallInbound(ctx context.Context, b *spd.Bundle) error {
	w.before(spd.In)
	return w.Memory.InstallInbound(ctx, b)
}

func (w *watched) InstallOutbound(ctx context.Context, b *spd.Bundle) error {
	w.before(spd.Out)
	return w.Memory.InstallOutbound(ctx, b)
}

// The inbound policies are there before the first SA, so that what comes by it at
// once passes whatever other policies say; the outbound ones when it can be served.
// A successor is served by those of its predecessor.
func TestInboundPoliciesFirst(t *testing.T) {
	b := newBench(t)
	b.Init(b, &watched{b.plane, func(d spd.Direction) {
		if d == spd.In {
			b.has("in ")
		} else {
			b.has("in ", b.spi)
		}
	}})
	first := b.install(Config{}, nil, false)
	b.has("in out ", first.Info.In, first.Info.Out)

	b.Init(b, &watched{b.plane, func(spd.Direction) { b.has("in out ", first.Info.In, first.Info.Out) }})
	b.sas = []*SA{first}
	b.install(Config{}, first, true)

	// The last step fails.
	refused := errors.New("refused")
	b = newBench(t)
	b.Init(b, &watched{b.plane, func(d spd.Direction) {
		if d == spd.Out {
			b.plane.FailNext(spd.OpSetPolicies, refused)
		}
	}})
	a, in, out := b.sa(Config{}, nil)
	b.Install(b.now, a, in, out, false, func(_ time.Time, err error) { require.ErrorIs(t, err, refused) })
	b.has("")
	require.Empty(t, b.plane.Leaks())

	// Whose policies are somebody else's has none at any time.
	b = newBench(t)
	b.Init(b, &watched{b.plane, func(spd.Direction) { require.Empty(t, b.plane.Policies()) }})
	b.install(Config{NoPolicies: true}, nil, false)
	require.Empty(t, b.plane.Policies())
}

// sends has a packet go out, and returns the SPI that it has; 0 if it waits.
func (b *bench) sends() spd.SPI {
	b.Helper()
	p, d := b.plane.Encapsulate(spd.Flow{Src: netip.MustParseAddr("10.1.0.1"), Dst: netip.MustParseAddr("10.2.0.1"), Protocol: 17, SrcPort: 1, DstPort: 2}, 100)
	if p == nil {
		require.Contains(b, []spd.Outcome{spd.Held, spd.NoPolicy}, d.Outcome)
		return 0
	}
	return p.SPI()
}

// The responder of a rekey sends on the old SA until the peer uses the new one;
// the old one still receives for a while; what was counted goes on, and the end is
// told once.
func TestReplace(t *testing.T) {
	b := newBench(t)
	old := b.install(Config{}, nil, false)
	b.has("in out ", old.Info.In, old.Info.Out)
	require.Equal(t, old.Info.Out, b.sends())

	next := b.install(Config{}, old, true)
	b.Replace(b.now, old, next)
	require.Equal(t, InboundOnly, next.State)
	b.has("in out ", old.Info.In, old.Info.Out, next.Info.In)
	require.Equal(t, old.Info.Out, b.sends())

	require.True(t, b.HandleDataPlane(b.now, spd.FirstPacketEvent{ID: spd.SAID{Direction: spd.In, Protocol: spd.ProtoESP, SPI: next.Info.In, Dst: here.Addr()}}))
	require.Equal(t, Mature, next.State)
	require.Equal(t, next.Info.Out, b.sends())
	require.Same(t, next, b.ByID(7))

	b.Remove(b.now, old, ike.DownReplaced, nil, true)
	b.has("in out ", old.Info.In, next.Info.In, next.Info.Out)
	b.pass(linger - time.Millisecond)
	b.has("in out ", old.Info.In, next.Info.In, next.Info.Out)
	b.pass(time.Millisecond)
	b.has("in out ", next.Info.In, next.Info.Out)
	require.Empty(t, b.downs())

	b.Remove(b.now, next, ike.DownLocal, nil, false)
	require.Empty(t, b.plane.Leaks())
	downs := b.downs()
	require.Len(t, downs, 1)
	require.EqualValues(t, 3, downs[0].Out.Packets, "of both")
	require.EqualValues(t, 300, downs[0].Out.Bytes)
}

// The old SA is removed before the new one was used: nothing else can send any
// more, so the new one does.
func TestOldOneGoesFirst(t *testing.T) {
	b := newBench(t)
	old := b.install(Config{}, nil, false)
	next := b.install(Config{}, old, true)
	b.Replace(b.now, old, next)
	b.Remove(b.now, old, ike.DownReplaced, nil, false)
	require.Equal(t, Mature, next.State)
	require.Equal(t, next.Info.Out, b.sends())
	b.has("in out ", next.Info.In, next.Info.Out)
}

// The SAs of a session that another one has taken the place of send no more: not
// either when one that has made way for another goes meanwhile, or a rekey ends
// that was under way.
func TestStopSending(t *testing.T) {
	b := newBench(t)
	old := b.install(Config{}, nil, false)
	next := b.install(Config{}, old, false)
	b.Replace(b.now, old, next)
	b.Remove(b.now, old, ike.DownReplaced, nil, true)
	b.StopSending(b.now)
	b.has("in ", old.Info.In, next.Info.In)
	require.Zero(t, b.sends())

	b.pass(linger)
	b.has("in ", next.Info.In)
	late := b.install(Config{}, next, true)
	b.Replace(b.now, next, late)
	require.Zero(t, b.sends())
	b.HandleDataPlane(b.now, spd.FirstPacketEvent{ID: spd.SAID{Direction: spd.In, Protocol: spd.ProtoESP, SPI: late.Info.In, Dst: here.Addr()}})
	require.Zero(t, b.sends())
	for _, p := range b.plane.Policies() {
		require.Equal(t, spd.In, p.Direction)
	}
	b.RemoveAll(b.now, ike.DownReauth, nil, func(time.Time) {})
	require.Empty(t, b.plane.Leaks())
}

// The peer is told to delete an SA: that sends no more, but what it protects does
// not go in clear until it is gone.
func TestStopSendingOn(t *testing.T) {
	b := newBench(t)
	a := b.install(Config{}, nil, false)
	a.State = Deleting
	b.StopSendingOn(a)
	b.has("in out ", a.Info.In)
	require.Zero(t, b.sends())
	b.Remove(b.now, a, ike.DownLocal, nil, true)
	b.has("")
	require.Len(t, b.downs(), 1)
}

// The peer deletes the successor and not the old SA, which takes its place again
// and is rekeyed a while later.
func TestRevert(t *testing.T) {
	b := newBench(t)
	old := b.install(Config{}, nil, false)
	next := b.install(Config{}, old, false)
	b.Replace(b.now, old, next)
	require.Equal(t, next.Info.Out, b.sends())
	b.Remove(b.now, next, ike.DownRemote, nil, false)
	require.Equal(t, Mature, old.State)
	require.Equal(t, old.Info.Out, b.sends())
	require.Empty(t, b.downs())
	require.Empty(t, b.rekey)
	b.pass(revertDelay)
	require.Equal(t, []*SA{old}, b.rekey)
}

// Lifetimes: the rekey, its repetition, and the end if none succeeds.
func TestLifetimes(t *testing.T) {
	b := newBench(t)
	a := b.install(Config{Rekey: 10 * time.Minute, Lifetime: 20 * time.Minute}, nil, false)
	b.pass(10*time.Minute - time.Second)
	require.Empty(t, b.rekey)
	b.pass(time.Second)
	require.Len(t, b.rekey, 1)
	require.True(t, b.HandleDataPlane(b.now, spd.ExpireEvent{ID: spd.SAID{Direction: spd.Out, Protocol: spd.ProtoESP, SPI: a.Info.Out}}))
	require.Len(t, b.rekey, 1, "it is under way")
	b.RetryRekey(b.now, a, time.Minute)
	b.pass(time.Minute)
	require.Len(t, b.rekey, 2)
	b.pass(9*time.Minute - time.Second)
	require.Len(t, b.All(), 1)
	b.pass(time.Second)
	require.Empty(t, b.plane.Leaks())
	require.Equal(t, ike.DownExpired, b.downs()[0].Reason)

	b.install(Config{Rekey: time.Minute, NoRekey: true}, nil, false)
	b.pass(time.Hour)
	require.Len(t, b.rekey, 2, "that is left to the peer")
}

// The session ends: everything goes, lingering SAs too, and then it is told.
func TestRemoveAll(t *testing.T) {
	b := newBench(t)
	old := b.install(Config{}, nil, false)
	next := b.install(Config{}, old, false)
	b.Replace(b.now, old, next)
	b.Remove(b.now, old, ike.DownReplaced, nil, true)
	ended := 0
	b.RemoveAll(b.now, ike.DownLocal, nil, func(time.Time) { ended++ })
	require.Equal(t, 1, ended)
	require.Empty(t, b.plane.Leaks())
	require.Empty(t, b.timers)
	require.Len(t, b.downs(), 1)
	require.True(t, b.downs()[0].SessionEnds)
}
