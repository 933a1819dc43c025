package spd_test

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/racoon3/racoon/spd"
)

// A daemon declares what its configuration says, and generates what sessions
// need. Another declaration changes only what differs.
func ExampleDatabase() {
	ctx := context.Background()
	traffic := func(s string) []spd.TrafficSelector {
		return []spd.TrafficSelector{spd.FromPrefix(netip.MustParsePrefix(s))}
	}
	plane := spd.NewMemory(spd.MemoryConfig{}) // or xfrm.New, pfkey.OpenDataPlane
	db := spd.NewDatabase(spd.DatabaseConfig{DataPlane: plane})

	err := db.Declare(ctx, []spd.Rule{{
		Name: "branch", Local: traffic("10.1.0.0/16"), Remote: traffic("10.2.0.0/16"), Action: spd.ActionProtect, Priority: 1000,
		LocalAddr: netip.MustParseAddr("192.0.2.1"), RemoteAddr: netip.MustParseAddr("192.0.2.2"),
	}})
	fmt.Println(err, len(plane.Policies()))

	session, err := db.Generate(ctx, spd.Rule{
		Name: "client", Local: traffic("0.0.0.0/0"), Remote: traffic("10.9.0.7/32"), Action: spd.ActionProtect, Priority: 1000,
		LocalAddr: netip.MustParseAddr("192.0.2.1"), RemoteAddr: netip.MustParseAddr("198.51.100.7"),
	})
	fmt.Println(err, len(plane.Policies()))
	fmt.Println(session.Remove(ctx), len(plane.Policies()))
	// Output:
	// <nil> 2
	// <nil> 4
	// <nil> 2
}
