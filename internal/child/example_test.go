package child_test

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/spd"
)

// A host is what a protocol core is for its Child SAs; this one does jobs at once.
type host struct {
	child.Host // what the example does not need
	timers     map[*child.Timer]time.Time
}

func (h *host) Job(_ ike.JobKind, _ uint64, run func(ctx context.Context) (any, error), done func(now time.Time, v any, err error), _ func(v any)) {
	v, err := run(context.Background())
	done(begun, v, err)
}

func (h *host) Cleanup(k ike.JobKind, order uint64, run func(ctx context.Context) (any, error), done func(now time.Time, v any, err error)) {
	h.Job(k, order, run, done, nil)
}

func (h *host) SetTimer(t *child.Timer, at time.Time)           { h.timers[t] = at }
func (h *host) StopTimer(t *child.Timer)                        { delete(h.timers, t) }
func (h *host) Jitter(d time.Duration, _ float64) time.Duration { return d }
func (h *host) Emit(e ike.Event)                                { fmt.Printf("%T\n", e) }
func (h *host) EventHeader(now time.Time) ike.EventHeader       { return ike.EventHeader{Time: now} }
func (h *host) StartRekey(now time.Time, sa *child.SA)          { fmt.Println("rekey after", now.Sub(begun)) }
func (h *host) Removed(now time.Time, sa *child.SA)             { fmt.Println("removed") }

var begun = time.Unix(1_700_000_000, 0)

// A Child SA is installed, grows old, and is removed.
func ExampleSet() {
	h := &host{timers: map[*child.Timer]time.Time{}}
	plane := spd.NewMemory(spd.MemoryConfig{Now: func() time.Time { return begun }})
	var set child.Set
	set.Init(h, plane)

	sides := func(s string) []spd.TrafficSelector {
		return []spd.TrafficSelector{spd.MustParseTrafficSelector(s)}
	}
	info := ike.ChildInfo{ID: 1, Name: "net", Protocol: spd.ProtoESP, ReqID: 7, Mode: spd.ModeTunnel,
		ChildSPIs: ike.ChildSPIs{In: 0x1001, Out: 0x2002}, LocalTS: sides("10.1.0.0/16"), RemoteTS: sides("10.2.0.0/16")}
	bundle := func(spi spd.SPI) *spd.Bundle {
		encr := spd.Transform{Type: spd.TransformENCR, ID: 20, KeyLen: 128} // AES-GCM
		return &spd.Bundle{ReqID: 7, LocalTS: info.LocalTS, RemoteTS: info.RemoteTS,
			Local: netip.MustParseAddrPort("192.0.2.1:500"), Remote: netip.MustParseAddrPort("192.0.2.2:500"),
			SAs: []spd.SA{{Protocol: spd.ProtoESP, SPI: spi, Mode: spd.ModeTunnel, Encryption: encr, EncrKey: make(spd.Key, encr.KeymatLen())}}}
	}
	sa := set.Add(info, &child.Config{Rekey: time.Hour, Lifetime: 2 * time.Hour}, true, nil)
	set.Install(begun, sa, bundle(info.In), bundle(info.Out), false, func(_ time.Time, err error) { fmt.Println("installed:", err) })
	fmt.Println(sa.State, len(plane.SAs()), "SAs,", len(plane.Policies()), "policies")

	for t, at := range h.timers { // the soft lifetime's
		if at.Equal(begun.Add(time.Hour)) {
			t.Owner(at)
		}
	}
	set.Remove(begun.Add(time.Hour), sa, ike.DownExpired, nil, false)
	fmt.Println(len(plane.SAs()), "SAs,", len(plane.Policies()), "policies")
	// Output:
	// installed: <nil>
	// mature 2 SAs, 2 policies
	// rekey after 1h0m0s
	// removed
	// ike.ChildDown
	// 0 SAs, 0 policies
}
