package spmdaemon_test

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/racoon3/racoon/internal/spmdaemon"
	"github.com/racoon3/racoon/spd"
)

// A daemon with one rule, over a data plane in memory, until its context ends.
func ExampleDaemon() {
	ts := func(s string) []spd.TrafficSelector {
		return []spd.TrafficSelector{spd.MustParseTrafficSelector(s)}
	}
	plane := spd.NewMemory(spd.MemoryConfig{})
	ctx, end := context.WithCancel(context.Background())
	ready := make(chan struct{})
	d := spmdaemon.New(spmdaemon.Options{
		DataPlane: plane,
		Policies: spmdaemon.Policies{Rules: func(func(name string) []netip.Addr) (rules []spd.Rule, waiting []string) {
			return []spd.Rule{{Name: "telnet", Action: spd.ActionDiscard, Local: ts("10.1.0.0/16"), Remote: ts("0.0.0.0/0[tcp/23]")}}, nil
		}},
		Ready: func() { close(ready) },
	})
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	<-ready
	for _, p := range plane.Policies() {
		fmt.Println(p.Direction, p.Action, p.Selector)
	}
	end()
	fmt.Println(<-ended)
	fmt.Println(len(plane.Policies()), "left")
	// Output:
	// in discard 10.1.0.0/16 === 0.0.0.0/0[tcp/23]
	// out discard 10.1.0.0/16 === 0.0.0.0/0[tcp/23]
	// context canceled
	// 0 left
}
